//! Classes that make packets, or nothing.

use std::time::{Duration, Instant};

use softnic::bess::{Config, pb};

use crate::bess_kit::Daemon;
use crate::{EMPTY, NO_ARG};

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
fn running(class: &str, arg: &(impl prost::Message + prost::Name)) -> Daemon {
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
