//! Classes that make packets, or nothing.

use std::collections::BTreeSet;
use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant};

use packet::flow::FlowKey;
use packet::parse::Layers;
use softnic::bess::{Config, pb};

use crate::bess_kit::frames::datagram;
use crate::bess_kit::{Daemon, receive};
use crate::{EMPTY, ENDS, NO_ARG, other};

fn stats(daemon: &mut Daemon, module: &str) -> pb::GetTcStatsResponse {
    daemon.ask("GetTcStats", &pb::GetTcStatsRequest { name: format!("!leaf_{module}:0") })
}

/// Waits until what a task has done is as `enough` wants it.
fn wait_for(
    daemon: &mut Daemon,
    module: &str,
    enough: impl Fn(&pb::GetTcStatsResponse) -> bool,
) -> pb::GetTcStatsResponse {
    let start = Instant::now();
    loop {
        let stats = stats(daemon, module);
        if enough(&stats) {
            return stats;
        }
        assert!(start.elapsed() < Duration::from_secs(20), "{module}: {stats:?}");
    }
}

/// A module that makes packets, before one that takes them.
fn running(class: &str, arg: &impl prost::Name) -> Daemon {
    let mut daemon = Daemon::start(Config { buffers: 4096, ..Config::default() });
    daemon.module(class, "maker", arg);
    daemon.module("Sink", "sink", &NO_ARG);
    daemon.connect("maker", 0, 0, "sink");
    daemon.must("ResumeAll", &EMPTY);
    daemon
}

#[test]
fn source_makes_packets_of_its_size_and_burst() {
    let mut daemon = running("Source", &pb::SourceArg { pkt_size: 0 });
    // What the task does from now on.
    let more = |daemon: &mut Daemon| {
        daemon.must("PauseAll", &EMPTY);
        let before = stats(daemon, "maker");
        daemon.must("ResumeAll", &EMPTY);
        wait_for(daemon, "maker", |stats| stats.packets > before.packets + 1000);
        daemon.must("PauseAll", &EMPTY);
        let after = stats(daemon, "maker");
        daemon.must("ResumeAll", &EMPTY);
        [after.count - before.count, after.packets - before.packets, after.bits - before.bits]
    };
    // 24 bytes of each packet are the wire's.
    let [count, packets, bits] = more(&mut daemon);
    assert_eq!((packets, bits), (32 * count, packets * (60 + 24) * 8));
    let size = |pkt_size| pb::SourceCommandSetPktSizeArg { pkt_size };
    assert_eq!(daemon.command("maker", "set_pkt_size", &size(1000)).error, None);
    let [_, packets, bits] = more(&mut daemon);
    assert_eq!(bits, packets * (1000 + 24) * 8);
    let burst = |burst| pb::SourceCommandSetBurstArg { burst };
    assert_eq!(daemon.command("maker", "set_burst", &burst(5)).error, None);
    let [count, packets, _] = more(&mut daemon);
    assert_eq!(packets, 5 * count);
    for wrong in [0, 1 << 20] {
        assert_eq!(daemon.command("maker", "set_pkt_size", &size(wrong)).error.unwrap().code, 22);
    }
    assert_eq!(daemon.command("maker", "set_burst", &burst(33)).error.unwrap().code, 22);
}

#[test]
fn noop_has_turns_and_makes_nothing() {
    let mut daemon = Daemon::start(Config { buffers: 64, ..Config::default() });
    daemon.module("NoOP", "idle", &NO_ARG);
    daemon.must("ResumeAll", &EMPTY);
    let stats = wait_for(&mut daemon, "idle", |stats| stats.count > 1000);
    assert_eq!((stats.packets, stats.bits), (0, 0));
}

/// What tells a flow from others: its source and its destination port, and the payload.
fn flow(frame: &[u8]) -> (IpAddr, u16, Vec<u8>) {
    let layers = Layers::of(frame).unwrap();
    let key = FlowKey::of(&layers, frame).unwrap();
    let payload = layers.l4_payload(frame).to_vec();
    let ends = [
        SocketAddr::new(key.source(), key.source_port()).to_string(),
        SocketAddr::new(key.destination(), key.destination_port()).to_string(),
    ];
    assert_eq!(frame, datagram([&ends[0], &ends[1]], &payload), "all else is the template's");
    (key.source(), key.destination_port(), payload)
}

#[test]
fn flow_gen_makes_flows_of_its_template() {
    for (ends, last) in ENDS.into_iter().zip(["10.0.0.4", "fd00::4"]) {
        let mut daemon = Daemon::start(Config { buffers: 4096, ..Config::default() });
        let far = daemon.socket("far");
        let arg = pb::FlowGenArg {
            template: datagram(ends, b"template"),
            pps: 2000.0,
            flow_rate: 200.0,
            flow_duration: 0.1,
            quick_rampup: true,
            ip_src_range: 4,
            port_dst_range: 3,
            ..Default::default()
        };
        daemon.module("FlowGen", "maker", &arg);
        daemon.module("PortOut", "out", &pb::PortOutArg { port: "far".to_owned() });
        daemon.connect("maker", 0, 0, "out");
        daemon.must("ResumeAll", &EMPTY);
        let (mut sources, mut ports) = (BTreeSet::new(), BTreeSet::new());
        for _ in 0..200 {
            let (source, port, payload) = flow(&receive(&far));
            assert_eq!(payload, b"template");
            sources.insert(source);
            ports.insert(port);
        }
        let [first, last] = [ends[0].parse::<SocketAddr>().unwrap().ip(), last.parse().unwrap()];
        assert!(sources.len() > 1 && sources.iter().all(|source| (first..=last).contains(source)));
        assert!(ports.len() > 1 && ports.iter().all(|port| (53..56).contains(port)), "{ports:?}");

        let another = datagram(ends, b"another");
        let update =
            pb::FlowGenArg { template: another, arrival: "exponential".to_owned(), ..Default::default() };
        assert_eq!(daemon.command("maker", "update", &update).error, None);
        let start = Instant::now();
        while flow(&receive(&far)).2 != b"another" {
            assert!(start.elapsed() < Duration::from_secs(20), "the template stays");
        }
        for wrong in [
            pb::FlowGenArg { arrival: "never".to_owned(), ..Default::default() },
            pb::FlowGenArg { template: other(), ..Default::default() },
        ] {
            assert_eq!(daemon.command("maker", "update", &wrong).error.unwrap().code, 22);
        }

        let burst = |burst| pb::FlowGenCommandSetBurstArg { burst };
        assert_eq!(daemon.command("maker", "set_burst", &burst(0)).error, None);
        let before = stats(&mut daemon, "maker");
        let later = wait_for(&mut daemon, "maker", |stats| stats.count > before.count + 3);
        assert_eq!(later.packets, before.packets, "a burst of nothing");
        assert_eq!(daemon.command("maker", "set_burst", &burst(1)).error, None);
        wait_for(&mut daemon, "maker", |stats| stats.packets > before.packets + 20);
        assert_eq!(daemon.command("maker", "set_burst", &burst(1 << 32)).error.unwrap().code, 22);
    }
}
