//! What BESS's clients rely on, over a real connection with a plain gRPC client, and each crash that the original is
//! known for.

mod bess_kit;

use std::time::{Duration, Instant};

use bess_kit::{Daemon, packed, receive};
use rustix::net::{SendFlags, send};
use softnic::bess::{Config, pb};

const EMPTY: pb::EmptyRequest = pb::EmptyRequest {};
const NO_ARG: pb::EmptyArg = pb::EmptyArg {};

fn daemon() -> Daemon {
    Daemon::start(Config { buffers: 4096, ..Config::default() })
}

fn port_inc(port: &str) -> pb::PortIncArg {
    pb::PortIncArg { port: port.to_owned(), prefetch: false }
}

fn port_out(port: &str) -> pb::PortOutArg {
    pb::PortOutArg { port: port.to_owned() }
}

fn root(daemon: &mut Daemon) -> String {
    let classes: pb::ListTcsResponse = daemon.ask("ListTcs", &pb::ListTcsRequest { wid: -1 });
    let root = classes.classes_status.into_iter().find(|status| status.parent.is_empty());
    root.unwrap().class.unwrap().name
}

fn packets(daemon: &mut Daemon, class: &str) -> u64 {
    let request = pb::GetTcStatsRequest { name: class.to_owned() };
    daemon.ask::<pb::GetTcStatsResponse>("GetTcStats", &request).packets
}

/// Waits until a class has brought in as many packets.
fn wait_for(daemon: &mut Daemon, class: &str, wanted: u64) {
    let start = Instant::now();
    while packets(daemon, class) < wanted {
        assert!(start.elapsed() < Duration::from_secs(20), "{class} never brought in {wanted} packets");
    }
}

#[test]
fn a_script_runs_as_bessctl_runs_it() {
    let mut daemon = daemon();
    let classes: pb::ListMclassResponse = daemon.ask("ListMclass", &EMPTY);
    assert!(classes.names.iter().any(|name| name == "Source") && classes.names.is_sorted());
    let workers: pb::ListWorkersResponse = daemon.ask("ListWorkers", &EMPTY);
    assert_eq!(workers.workers_status, []);
    daemon.must("PauseAll", &EMPTY);
    let source = daemon.module("Source", "", &pb::SourceArg { pkt_size: 0 });
    let sink = daemon.module("Sink", "", &NO_ARG);
    assert_eq!((source.as_str(), sink.as_str()), ("source0", "sink0"));
    daemon.connect(&source, 0, 0, &sink);
    let constraints: pb::CheckSchedulingConstraintsResponse =
        daemon.ask("CheckSchedulingConstraints", &EMPTY);
    assert_eq!(constraints, pb::CheckSchedulingConstraintsResponse::default());
    daemon.must("ResumeAll", &EMPTY);
    let workers: pb::ListWorkersResponse = daemon.ask("ListWorkers", &EMPTY);
    let worker = &workers.workers_status[0];
    assert_eq!((worker.wid, worker.core, worker.running), (0, 0, true));
    let root = root(&mut daemon);
    wait_for(&mut daemon, &root, 1000);
    wait_for(&mut daemon, "!leaf_source0:0", 1000);

    daemon.must("PauseAll", &EMPTY);
    let before = packets(&mut daemon, &root);
    let info: pb::GetModuleInfoResponse =
        daemon.ask("GetModuleInfo", &pb::GetModuleInfoRequest { name: source });
    let gate = &info.ogates[0];
    assert_eq!((gate.pkts, gate.name.as_str(), gate.igate), (before, "sink0", 0));
    assert_eq!(gate.gatehooks[0].class_name, "Track");
    assert_eq!(packets(&mut daemon, &root), before, "it is paused");
    daemon.must("ResetAll", &EMPTY);
    assert_eq!(daemon.ask::<pb::ListModulesResponse>("ListModules", &EMPTY).modules, []);
    assert_eq!(daemon.ask::<pb::ListWorkersResponse>("ListWorkers", &EMPTY).workers_status, []);
}

#[test]
fn frames_have_arrived_when_the_counter_says_so() {
    let mut daemon = daemon();
    let (near, far) = (daemon.socket("near"), daemon.socket("far"));
    daemon.module("PortInc", "in", &port_inc("near"));
    daemon.module("PortOut", "out", &port_out("far"));
    daemon.connect("in", 0, 0, "out");
    daemon.must("ResumeAll", &EMPTY);
    let root = root(&mut daemon);
    for count in 1..=100u64 {
        let frame = count.to_be_bytes().repeat(8);
        send(&near, &frame, SendFlags::empty()).unwrap();
        wait_for(&mut daemon, &root, count);
        assert_eq!(receive(&far), frame);
    }
    let stats: pb::GetPortStatsResponse =
        daemon.ask("GetPortStats", &pb::GetPortStatsRequest { name: "far".to_owned() });
    assert_eq!(stats.out.unwrap().packets, 100);
    let in_use = daemon.tell("DestroyPort", &pb::DestroyPortRequest { name: "far".to_owned() });
    assert_eq!(in_use.0, rustix::io::Errno::BUSY.raw_os_error());
    daemon.must("DestroyModule", &pb::DestroyModuleRequest { name: "out".to_owned() });
    daemon.must("DestroyPort", &pb::DestroyPortRequest { name: "far".to_owned() });
}

#[test]
fn bursts_are_counted_by_their_size() {
    let mut daemon = daemon();
    let (near, far) = (daemon.socket("near"), daemon.socket("far"));
    daemon.module("PortInc", "in", &port_inc("near"));
    daemon.module("PortOut", "out", &port_out("far"));
    daemon.connect("in", 0, 0, "out");
    for _ in 0..3 {
        send(&near, &[7; 60], SendFlags::empty()).unwrap();
    }
    daemon.must("ResumeAll", &EMPTY);
    for _ in 0..3 {
        receive(&far);
    }
    daemon.must("PauseAll", &EMPTY);
    let stats = |daemon: &mut Daemon, port: &str| -> pb::GetPortStatsResponse {
        daemon.ask("GetPortStats", &pb::GetPortStatsRequest { name: port.to_owned() })
    };
    let inc = stats(&mut daemon, "near").inc.unwrap();
    assert_eq!((inc.requested_hist.len(), inc.actual_hist.len(), inc.diff_hist.len()), (33, 33, 33));
    // All three waited, so they came in one burst of the 32 that were asked for; others came empty.
    assert_eq!((inc.actual_hist[3], inc.diff_hist[29]), (1, 1));
    let empty = inc.actual_hist[0];
    assert_eq!((inc.requested_hist[32], inc.diff_hist[32]), (1 + empty, empty));
    let out = stats(&mut daemon, "far").out.unwrap();
    assert_eq!((out.requested_hist[3], out.actual_hist[3], out.diff_hist[0]), (1, 1, 1));
    assert_eq!(stats(&mut daemon, "far").inc.unwrap().requested_hist, [0; 33]);
}

/// As with BESS, whose ports have threads of their own for that.
#[test]
fn a_port_takes_clients_while_everything_is_paused() {
    let mut daemon = daemon();
    let first = daemon.socket("p");
    daemon.module("PortInc", "in", &port_inc("p"));
    daemon.module("Sink", "sink", &NO_ARG);
    daemon.connect("in", 0, 0, "sink");
    daemon.must("ResumeAll", &EMPTY);
    daemon.must("PauseAll", &EMPTY);
    let address = rustix::net::getpeername(&first).unwrap().unwrap();
    drop(first);
    for _ in 0..3 {
        drop(bess_kit::client(&rustix::net::SocketAddrUnix::try_from(address.clone()).unwrap()));
    }
    assert_eq!(packets(&mut daemon, "!leaf_in:0"), 0, "it is paused");
    let last = bess_kit::client(&rustix::net::SocketAddrUnix::try_from(address).unwrap());
    daemon.must("ResumeAll", &EMPTY);
    send(&last, &[0; 60], SendFlags::empty()).unwrap();
    wait_for(&mut daemon, "!leaf_in:0", 1);
}

#[test]
fn errors_travel_in_the_answer() {
    let mut daemon = daemon();
    assert_eq!(daemon.tell("CreateModule", &pb::CreateModuleRequest::default()).0, 22);
    let unknown = pb::CreateModuleRequest { mclass: "Nothing".to_owned(), ..Default::default() };
    assert_eq!(daemon.tell("CreateModule", &unknown), (2, "no mclass 'Nothing' found".to_owned()));
    assert_eq!(daemon.tell("DestroyModule", &pb::DestroyModuleRequest { name: "x".to_owned() }).0, 2);
    assert_eq!(daemon.tell("GetTcStats", &pb::GetTcStatsRequest { name: "x".to_owned() }).0, 2);
    assert_eq!(daemon.tell("AddWorker", &pb::AddWorkerRequest { wid: 64, ..Default::default() }).0, 22);
    assert_eq!(daemon.tell("AddWorker", &pb::AddWorkerRequest { core: 1 << 40, ..Default::default() }).0, 22);
    let wrong = pb::CreateModuleRequest {
        mclass: "Source".to_owned(),
        arg: Some(packed(&pb::AclArg::default())),
        ..Default::default()
    };
    assert_eq!(
        daemon.tell("CreateModule", &wrong),
        (22, "the argument is a ACLArg, not a SourceArg".to_owned())
    );
}

#[test]
fn two_readers_of_one_port_are_told_apart() {
    // BESS crashes: NetSys/bess issue 792.
    let mut daemon = daemon();
    let _socket = daemon.socket("p");
    daemon.module("PortInc", "first", &port_inc("p"));
    let request = pb::CreateModuleRequest {
        mclass: "PortInc".to_owned(),
        name: "second".to_owned(),
        arg: Some(packed(&port_inc("p"))),
    };
    let refused = daemon.tell("CreateModule", &request);
    assert_eq!(refused, (16, "a queue of port p is in use by another module".to_owned()));
    daemon.must("DestroyModule", &pb::DestroyModuleRequest { name: "first".to_owned() });
    daemon.must("CreateModule", &request);
}

#[test]
fn a_script_may_run_again_and_again() {
    // BESS crashes: NetSys/bess issue 722.
    let mut daemon = daemon();
    for _ in 0..50 {
        daemon.must("PauseAll", &EMPTY);
        daemon.must("ResetAll", &EMPTY);
        let near = daemon.socket("near");
        let class = pb::TrafficClass {
            name: "c".to_owned(),
            policy: "priority".to_owned(),
            wid: -1,
            ..Default::default()
        };
        daemon.must("AddTc", &pb::AddTcRequest { class: Some(class) });
        daemon.module("PortInc", "in", &port_inc("near"));
        daemon.module("Sink", "sink", &NO_ARG);
        daemon.connect("in", 0, 0, "sink");
        daemon.must("ResumeAll", &EMPTY);
        send(&near, &[0; 60], SendFlags::empty()).unwrap();
        wait_for(&mut daemon, "!leaf_in:0", 1);
    }
}
