//! Whatever links do, every byte gets there, once.

use proptest::prelude::*;
use rc3::simulate::{Flow, Limits, run};
use rc3::{Algorithm, Input, Kind, LowConfig, Pacing, Sack, Segment, Sender, SenderConfig};
use sim::{LinkSpec, Network, NodeId, Rate, Time};

/// Two hosts, a router between, another link back.
fn line(seed: u64, there: LinkSpec, back: LinkSpec) -> Network<Segment> {
    let mut net = Network::new(seed);
    let nodes: Vec<NodeId> = (0..3).map(|_| net.add_node().unwrap()).collect();
    let nic = LinkSpec::new(Rate::from_mbit(1_000), Time::from_micros(10));
    for (from, to, spec) in [(0, 1, nic), (1, 2, there), (2, 1, nic), (1, 0, back)] {
        let link = net.add_link(nodes[from], nodes[to], spec).unwrap();
        let end = if from < to { 2 } else { 0 };
        net.set_route(nodes[from], nodes[end], link).unwrap();
    }
    net
}

fn pacing(kind: u8) -> Pacing {
    match kind {
        0 => Pacing::Nic,
        1 => Pacing::Bottleneck { percent: 90, remembered: None },
        _ => Pacing::Bottleneck { percent: 100, remembered: Some(Rate::from_mbit(100)) },
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn every_byte_is_delivered_once(
        seed: u64,
        loss in 0.0..0.15_f64,
        back_loss in 0.0..0.15_f64,
        reorder in 0.0..0.2_f64,
        mbit in 5_u64..500,
        delay_us in 100_u64..20_000,
        buffer in 3_000_u64..200_000,
        sizes in proptest::collection::vec(1_u64..300_000, 1..5),
        (low, pace, cubic, limited, flush) in (any::<bool>(), 0_u8..3, any::<bool>(), any::<bool>(), any::<bool>()),
        levels in 2_u8..=8,
    ) {
        let delay = Time::from_micros(delay_us);
        let there = LinkSpec::new(Rate::from_mbit(mbit), delay).buffer(buffer).loss(loss).reorder(reorder, delay);
        let back = LinkSpec::new(Rate::from_mbit(mbit), delay).loss(back_loss).reorder(reorder, delay);
        let algorithm = if cubic { Algorithm::Cubic } else { Algorithm::NewReno };
        let low = low.then(|| LowConfig { levels, pacing: pacing(pace), flush, ..LowConfig::default() });
        let config = SenderConfig { algorithm, limited_transmit: limited, low, ..SenderConfig::default() };
        let flows: Vec<Flow> = (0..)
            .zip(&sizes)
            .map(|(number, bytes)| Flow {
                start: Time::from_millis(number),
                from: NodeId(0),
                to: NodeId(2),
                bytes: *bytes,
                config: 0,
            })
            .collect();
        let outcome = run(line(seed, there, back), &flows, &[config], Limits::default());
        prop_assert!(outcome.finished.iter().all(Option::is_some), "{outcome:?}");
        // Receivers count a byte as accepted when it is new to them: all of them, and none twice.
        prop_assert_eq!(outcome.accepted, sizes.iter().sum::<u64>());
        let gone = outcome.drops.by_level.iter().sum::<u64>() + outcome.drops.lost;
        prop_assert!(loss > 0.01 || gone > 0 || outcome.senders.timeouts <= outcome.senders.primary);
    }
}

#[test]
fn without_loss_or_load_nothing_is_sent_twice() {
    let link = LinkSpec::new(Rate::from_mbit(100), Time::from_millis(20));
    let flow = Flow { start: Time::ZERO, from: NodeId(0), to: NodeId(2), bytes: 1_000_001, config: 0 };
    let tcp = run(line(0, link, link), &[flow], &[SenderConfig::default()], Limits::default());
    assert_eq!((tcp.senders.primary, tcp.senders.again, tcp.duplicate), (685, 0, 0));
    for low in [LowConfig::paper(), LowConfig::default()] {
        let rc3 =
            run(line(0, link, link), &[flow], &[SenderConfig::default().with_low(low)], Limits::default());
        assert!(rc3.senders.low > 300 && rc3.senders.again == 0, "{rc3:?}");
        // Where the loops meet, what is in flight comes twice.
        assert!(rc3.duplicate < 60 * 1_460, "{rc3:?}");
        assert!(rc3.finished[0] < tcp.finished[0], "{rc3:?}, {tcp:?}");
    }
}

#[test]
fn pacing_keeps_small_buffers_from_overflowing() {
    // A tenth of a second of 50 Mbit/s behind a NIC of 1 Gbit/s, and a quarter of the bandwidth-delay product to wait in.
    let link = LinkSpec::new(Rate::from_mbit(50), Time::from_millis(40)).buffer(125_000);
    let flow = Flow { start: Time::ZERO, from: NodeId(0), to: NodeId(2), bytes: 400_000, config: 0 };
    let time = |low: Option<LowConfig>| {
        let config = SenderConfig { low, initial_window: 10, ..SenderConfig::default() };
        let outcome = run(line(0, link, link), &[flow], &[config], Limits::default());
        (outcome.finished[0].unwrap().secs_f64(), outcome.drops.by_level.iter().sum::<u64>())
    };
    let (tcp, paced, unpaced) =
        (time(None), time(Some(LowConfig::default())), time(Some(LowConfig::paper())));
    assert_eq!((tcp.1, paced.1), (0, 0), "{tcp:?} {paced:?}");
    assert!(unpaced.1 > 50, "{unpaced:?}");
    assert!(
        paced.0 < 0.8 * tcp.0 && paced.0 < unpaced.0,
        "TCP {tcp:?}, paced {paced:?}, not paced {unpaced:?}"
    );
}

#[test]
fn what_is_all_there_makes_room_though_no_cumulative_ack_came() {
    let config = SenderConfig { segment: 100, initial_window: 2, buffer: 1_000, ..SenderConfig::default() };
    let mut sender = Sender::new(config.with_low(LowConfig::paper()));
    assert_eq!(sender.write(2_000), 1_000);
    sender.handle(Time::ZERO, Input::Granted { window: 1 << 20, rtt: None });
    while sender.poll_output(Time::ZERO).is_some() {
        sender.handle(Time::ZERO, Input::Departed);
    }
    // The acks of the primary segments are lost; that of a low-priority one that filled the last gap names everything.
    let mut sack = Sack::default();
    sack.push((0, 1_000));
    let ack = Segment {
        kind: Kind::Ack,
        level: 1,
        seq: 0,
        len: 0,
        ack: 1_000,
        window: 1 << 20,
        sack,
        stamp: Time::ZERO,
    };
    sender.handle(Time::from_millis(1), Input::Segment(&ack));
    assert!(sender.is_done() && sender.next_deadline().is_none());
    assert_eq!((sender.acked(), sender.write(2_000)), (1_000, 1_000));
    assert_eq!(sender.poll_output(Time::from_millis(1)).map(|segment| segment.seq), Some(1_000));
}
