//! Without loss or load, flows take what the closed form says.

use rc3::simulate::{Fabric, Flow, Limits, PAPER_SIZES, internet2, run};
use rc3::{LowConfig, Model, SenderConfig};
use sim::{LinkSpec, Network, NodeId, Rate, Time};

/// The most that a time may be off the form.
const OFF_MOST: f64 = 0.005;
const SEGMENT: u64 = 1_460;

fn off(found: Time, form: Time) -> f64 {
    (found.secs_f64() / form.secs_f64() - 1.0).abs()
}

#[test]
fn every_size_of_the_table_on_one_link() {
    for (mbit, rtt) in [(1_000, 80), (10_000, 80), (1_000, 200), (100, 200)] {
        let rate = Rate::from_mbit(mbit);
        let model = Model { rtt: Time::from_millis(rtt), rate, segment: SEGMENT as u32, initial_window: 4 };
        for (segments, _) in PAPER_SIZES {
            let mut net = Network::new(1);
            let (a, b) = (net.add_node().unwrap(), net.add_node().unwrap());
            let spec = LinkSpec::new(rate, Time::from_millis(rtt / 2));
            for (from, to) in [(a, b), (b, a)] {
                let link = net.add_link(from, to, spec).unwrap();
                net.set_route(from, to, link).unwrap();
            }
            let time = alone(net, a, b, segments, model);
            println!("{mbit} Mbit/s, {rtt} ms, {segments} segments: {time:?}");
        }
    }
}

#[test]
fn every_size_of_the_table_across_the_baseline() {
    let fabric = Fabric::new(&internet2()).unwrap();
    for name in ["21", "14", "19"] {
        let (from, to) = (fabric.host("10").unwrap(), fabric.host(name).unwrap());
        let rtt = fabric.round_trip(from, to).unwrap();
        let model = Model { rtt, rate: Rate::from_mbit(1_000), segment: SEGMENT as u32, initial_window: 4 };
        for (segments, _) in PAPER_SIZES {
            alone(fabric.network(1, |link| link).unwrap(), from, to, segments, model);
        }
    }
}

/// TCP's time and RC3's, held to the form.
fn alone(net: Network<rc3::Segment>, from: NodeId, to: NodeId, segments: u64, model: Model) -> [Time; 2] {
    let tcp = SenderConfig::default();
    let configs = [tcp, tcp.with_low(LowConfig::paper())];
    // One after the other, with a pause.
    let flow = |config| Flow {
        start: Time::from_secs(100 * u64::from(config)),
        from,
        to,
        bytes: segments * SEGMENT,
        config,
    };
    let outcome = run(net, &[flow(0), flow(1)], &configs, Limits::default());
    let times = [0, 1].map(|at| outcome.finished[at].unwrap());
    assert_eq!(outcome.accepted, 2 * segments * SEGMENT);
    assert_eq!((outcome.senders.timeouts, outcome.drops.by_level.iter().sum::<u64>()), (0, 0));
    for (time, form) in times.into_iter().zip([model.tcp(segments), model.rc3(segments)]) {
        let off = off(time, form);
        assert!(
            off <= OFF_MOST,
            "{segments} segments of {model:?}: {time} for {form}, {:.3} % off",
            100.0 * off
        );
    }
    times
}
