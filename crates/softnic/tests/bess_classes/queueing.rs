//! Classes in which packets wait, and bursts of those that bring them in.

use softnic::bess::{Config, pb};

use crate::bess_kit::bench::Bench;
use crate::bess_kit::frames::datagram;
use crate::bess_kit::{Daemon, packed, receive};
use crate::{EMPTY, ENDS, NO_ARG, other};

/// Sends frames in that are there before the module has a turn, and says which of them come out first.
fn at_once(bench: &mut Bench, frames: &[Vec<u8>], out: usize) -> Vec<usize> {
    bench.daemon.must("PauseAll", &EMPTY);
    frames.iter().for_each(|frame| bench.send(0, frame));
    bench.daemon.must("ResumeAll", &EMPTY);
    let place = |frame: Vec<u8>| frames.iter().position(|sent| *sent == frame).expect("one of those sent");
    (0..out).map(|_| place(bench.receive(0))).collect()
}

#[test]
fn drr_gives_each_flow_its_quantum() {
    for [from, to] in ENDS {
        let frame = |port: &str, number: u8| datagram([&from.replace("1000", port), to], &[number; 40]);
        // Two packets of one flow, then two of another.
        let all = [frame("1", 1), frame("1", 2), frame("2", 1), frame("2", 2)];
        let arg = pb::DrrArg { num_flows: 2, quantum: 10_000, max_flow_queue_size: 100 };
        let mut bench = Bench::new("DRR", &arg, 1);
        assert_eq!(at_once(&mut bench, &all, 4), [0, 1, 2, 3]);
        // A packet each round.
        let quantum = |quantum| pb::DrrQuantumArg { quantum };
        bench.ask::<_, pb::EmptyArg>("set_quantum_size", &quantum(all[0].len() as u32));
        assert_eq!(at_once(&mut bench, &all, 4), [0, 2, 1, 3]);
        // One packet of a flow waits at most.
        let most = |max_queue_size| pb::DrrMaxFlowQueueSizeArg { max_queue_size };
        bench.ask::<_, pb::EmptyArg>("set_max_flow_queue_size", &most(1));
        assert_eq!(at_once(&mut bench, &all, 2), [0, 2]);
        bench.ask::<_, pb::EmptyArg>("set_max_flow_queue_size", &most(2));
        assert_eq!(at_once(&mut bench, &all, 4), [0, 2, 1, 3], "nothing was left over");
        // There may be two flows.
        let [a1, a2, b1, _] = all;
        assert_eq!(at_once(&mut bench, &[a1, b1, frame("3", 1), a2], 3), [0, 1, 3]);
        assert_eq!(bench.at_once(), None);
        assert_eq!(bench.command("set_quantum_size", &quantum(0)).error.unwrap().code, 22);
        assert_eq!(bench.command("set_max_flow_queue_size", &most(0)).error.unwrap().code, 22);
    }
}

/// The bursts of a port by their size.
fn bursts(daemon: &mut Daemon, port: &str) -> pb::get_port_stats_response::Stat {
    let request = pb::GetPortStatsRequest { name: port.to_owned() };
    daemon.ask::<pb::GetPortStatsResponse>("GetPortStats", &request).inc.unwrap()
}

#[test]
fn port_inc_takes_no_more_than_its_burst() {
    let mut bench = Bench::new("Merge", &pb::MergeArg {}, 1);
    let set = |bench: &mut Bench, burst| {
        bench.daemon.command("in0", "set_burst", &pb::PortIncCommandSetBurstArg { burst }).error
    };
    let frames: Vec<Vec<u8>> = (0..6).map(|number| vec![number; 60]).collect();
    assert_eq!(set(&mut bench, 2), None);
    assert_eq!(at_once(&mut bench, &frames, 6), [0, 1, 2, 3, 4, 5]);
    let counted = bursts(&mut bench.daemon, "p0");
    assert_eq!((counted.actual_hist[2], counted.actual_hist[3..].iter().sum::<u64>()), (3, 0));
    assert_eq!(set(&mut bench, 33).unwrap().code, 22);
    assert_eq!(set(&mut bench, 32), None);
    assert_eq!(at_once(&mut bench, &frames, 6), [0, 1, 2, 3, 4, 5]);
    assert_eq!(bursts(&mut bench.daemon, "p0").actual_hist[6], 1);
}

#[test]
fn one_queue_of_a_port_is_read_and_written() {
    let mut daemon = Daemon::start(Config { buffers: 4096, ..Config::default() });
    let (near, far) = (daemon.socket("near"), daemon.socket("far"));
    daemon.module("QueueInc", "in", &pb::QueueIncArg { port: "near".to_owned(), qid: 0, prefetch: false });
    let out = pb::QueueOutArg { port: "far".to_owned(), qid: 0 };
    daemon.module("QueueOut", "out", &out);
    daemon.connect("in", 0, 0, "out");
    let through = |daemon: &mut Daemon, frames: &[Vec<u8>]| {
        daemon.must("PauseAll", &EMPTY);
        for frame in frames {
            rustix::net::send(&near, frame, rustix::net::SendFlags::empty()).unwrap();
        }
        daemon.must("ResumeAll", &EMPTY);
        frames.iter().for_each(|frame| assert_eq!(receive(&far), *frame));
    };
    let frames = vec![other(); 4];
    through(&mut daemon, &frames);
    assert_eq!(bursts(&mut daemon, "near").actual_hist[4], 1);
    let set = |burst| pb::QueueIncCommandSetBurstArg { burst };
    assert_eq!(daemon.command("in", "set_burst", &set(1)).error, None);
    through(&mut daemon, &frames);
    assert_eq!(bursts(&mut daemon, "near").actual_hist[1], 4);
    assert_eq!(daemon.command("in", "set_burst", &set(33)).error.unwrap().code, 22);
    let initial = daemon.command("out", "get_initial_arg", &NO_ARG).data.unwrap();
    assert_eq!(initial, packed(&out));
    // A queue that is not there, and one that somebody has.
    for (class, arg, code) in [
        ("QueueInc", packed(&pb::QueueIncArg { port: "far".to_owned(), qid: 1, prefetch: false }), 22),
        ("QueueOut", packed(&pb::QueueOutArg { port: "near".to_owned(), qid: 1 }), 22),
        ("QueueOut", packed(&out), 16),
    ] {
        let request =
            pb::CreateModuleRequest { mclass: class.to_owned(), arg: Some(arg), ..Default::default() };
        assert_eq!(daemon.tell("CreateModule", &request).0, code, "{class}");
    }
}
