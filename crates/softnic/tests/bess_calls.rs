//! Requests that BESS's clients make now and then: what each does, and what it answers, errors as well.

mod bess_kit;

use std::time::{Duration, Instant};

use bess_kit::bench::Bench;
use bess_kit::{Daemon, packed};
use prost_types::Any;
use softnic::bess::{Config, pb};

use pb::gate_hook_info::Gate;

const EMPTY: pb::EmptyRequest = pb::EmptyRequest {};
const NO_ARG: pb::EmptyArg = pb::EmptyArg {};
const ENOENT: i32 = 2;
const EBUSY: i32 = 16;
const EEXIST: i32 = 17;
const EINVAL: i32 = 22;
const ENOTSUP: i32 = 95;

const BUFFERS: usize = 4096;

fn daemon() -> Daemon {
    Daemon::start(Config { buffers: BUFFERS, ..Config::default() })
}

/// A worker's number and whether it runs, of each.
fn workers(daemon: &mut Daemon) -> Vec<(i64, bool)> {
    let listed: pb::ListWorkersResponse = daemon.ask("ListWorkers", &EMPTY);
    listed.workers_status.into_iter().map(|worker| (worker.wid, worker.running)).collect()
}

fn modules(daemon: &mut Daemon) -> Vec<String> {
    let listed: pb::ListModulesResponse = daemon.ask("ListModules", &EMPTY);
    listed.modules.into_iter().map(|module| module.name).collect()
}

fn ports(daemon: &mut Daemon) -> Vec<String> {
    let listed: pb::ListPortsResponse = daemon.ask("ListPorts", &EMPTY);
    listed.ports.into_iter().map(|port| port.name).collect()
}

fn classes(daemon: &mut Daemon) -> Vec<String> {
    let listed: pb::ListTcsResponse = daemon.ask("ListTcs", &pb::ListTcsRequest { wid: -1 });
    listed.classes_status.into_iter().map(|status| status.class.unwrap().name).collect()
}

#[test]
fn the_version_is_wefts() {
    let version: pb::VersionResponse = daemon().ask("GetVersion", &EMPTY);
    assert_eq!((version.error, version.version), (None, format!("weft {}", env!("CARGO_PKG_VERSION"))));
}

#[test]
fn there_are_no_plugins() {
    let mut daemon = daemon();
    let path = "/tmp/sequential_update.so".to_owned();
    let (code, text) = daemon.tell("ImportPlugin", &pb::ImportPluginRequest { path: path.clone() });
    assert_eq!(code, ENOTSUP);
    assert!(text.starts_with("/tmp/sequential_update.so: shared libraries are not loaded"), "{text}");
    let gone = daemon.tell("UnloadPlugin", &pb::UnloadPluginRequest { path });
    assert_eq!(gone, (ENOENT, "no plugin '/tmp/sequential_update.so' is loaded".to_owned()));
    let listed: pb::ListPluginsResponse = daemon.ask("ListPlugins", &EMPTY);
    assert_eq!(listed, pb::ListPluginsResponse::default());
}

#[test]
fn one_worker_pauses_while_others_run() {
    let mut daemon = daemon();
    for wid in 0..2 {
        daemon.must("AddWorker", &pb::AddWorkerRequest { wid, ..Default::default() });
        let name = format!("source{wid}");
        daemon.module("Source", &name, &pb::SourceArg::default());
        daemon.module("Sink", &format!("sink{wid}"), &NO_ARG);
        daemon.connect(&name, 0, 0, &format!("sink{wid}"));
        let class = pb::TrafficClass { leaf_module_name: name, wid, ..Default::default() };
        daemon.must("UpdateTcParent", &pb::UpdateTcParentRequest { class: Some(class) });
    }
    daemon.must("ResumeAll", &EMPTY);
    assert_eq!(workers(&mut daemon), [(0, true), (1, true)]);
    daemon.must("PauseWorker", &pb::PauseWorkerRequest { wid: 1 });
    assert_eq!(workers(&mut daemon), [(0, true), (1, false)]);
    let packets = |daemon: &mut Daemon, wid: i64| {
        let request = pb::GetTcStatsRequest { name: format!("!leaf_source{wid}:0") };
        daemon.ask::<pb::GetTcStatsResponse>("GetTcStats", &request).packets
    };
    let (running, paused) = (packets(&mut daemon, 0), packets(&mut daemon, 1));
    while packets(&mut daemon, 0) < running + 10_000 {}
    assert_eq!(packets(&mut daemon, 1), paused);
    let unknown = daemon.tell("PauseWorker", &pb::PauseWorkerRequest { wid: 2 });
    assert_eq!(unknown, (ENOENT, "worker 2 is not active".to_owned()));
    assert_eq!(daemon.tell("PauseWorker", &pb::PauseWorkerRequest { wid: 64 }).0, EINVAL);
    daemon.must("ResumeWorker", &pb::ResumeWorkerRequest { wid: 1 });
    while packets(&mut daemon, 1) == paused {}
}

#[test]
fn each_kind_of_thing_is_cleared_by_itself() {
    let mut daemon = daemon();
    let _socket = daemon.socket("p");
    daemon.module("PortInc", "in", &pb::PortIncArg { port: "p".to_owned(), prefetch: false });
    daemon.module("Sink", "sink", &NO_ARG);
    daemon.connect("in", 0, 0, "sink");
    let class = pb::TrafficClass {
        name: "top".to_owned(),
        policy: "round_robin".to_owned(),
        wid: -1,
        ..Default::default()
    };
    daemon.must("AddTc", &pb::AddTcRequest { class: Some(class) });
    daemon.must("ResumeAll", &EMPTY);
    assert_eq!(workers(&mut daemon), [(0, true)]);

    // What is in use stays.
    let used = daemon.tell("ResetPorts", &EMPTY);
    assert_eq!(used, (EBUSY, "port p is in use by a module".to_owned()));
    assert_eq!(daemon.tell("ResetTcs", &EMPTY), (EBUSY, "traffic classes still have tasks".to_owned()));
    assert!(classes(&mut daemon).contains(&"top".to_owned()));

    // Without workers nothing runs, but all is there.
    daemon.must("ResetWorkers", &EMPTY);
    assert_eq!(
        (workers(&mut daemon), modules(&mut daemon)),
        (vec![], vec!["in".to_owned(), "sink".to_owned()])
    );
    daemon.must("ResumeAll", &EMPTY);
    assert_eq!(workers(&mut daemon), [(0, true)], "one is started again");

    daemon.must("ResetModules", &EMPTY);
    assert_eq!((modules(&mut daemon), ports(&mut daemon)), (vec![], vec!["p".to_owned()]));
    daemon.must("ResetTcs", &EMPTY);
    assert_eq!(classes(&mut daemon), [""; 0]);
    daemon.must("ResetPorts", &EMPTY);
    assert_eq!(ports(&mut daemon), [""; 0]);
    daemon.must("ResetPorts", &EMPTY);
}

#[test]
fn drivers_say_what_they_are() {
    let mut daemon = daemon();
    let listed: pb::ListDriversResponse = daemon.ask("ListDrivers", &EMPTY);
    assert_eq!(listed.driver_names, ["PCAPPort", "PMDPort", "SpecPort", "UnixSocketPort", "VPort"]);
    for driver_name in listed.driver_names {
        let info: pb::GetDriverInfoResponse =
            daemon.ask("GetDriverInfo", &pb::GetDriverInfoRequest { driver_name: driver_name.clone() });
        assert_eq!((info.error, info.name, info.commands.len()), (None, driver_name.clone(), 0));
        assert!(info.help.len() > 10, "{driver_name}");
    }
    let ask = |name: &str| pb::GetDriverInfoRequest { driver_name: name.to_owned() };
    let unknown = daemon.tell("GetDriverInfo", &ask("NoPort"));
    assert_eq!(unknown, (ENOENT, "no driver 'NoPort' found".to_owned()));
    assert_eq!(daemon.tell("GetDriverInfo", &ask("")).0, EINVAL);
}

#[test]
fn the_configuration_of_a_port_is_read_and_checked() {
    let mut daemon = daemon();
    let _socket = daemon.socket("p");
    let get = |daemon: &mut Daemon, name: &str| -> pb::GetPortConfResponse {
        daemon.ask("GetPortConf", &pb::GetPortConfRequest { name: name.to_owned() })
    };
    let conf = get(&mut daemon, "p").conf.unwrap();
    assert_eq!((conf.mac_addr.as_str(), conf.admin_up), ("00:00:00:00:00:00", true));
    assert!(conf.mtu >= 1500, "{conf:?}");
    let set = |daemon: &mut Daemon, name: &str, conf: pb::PortConf| {
        daemon.tell("SetPortConf", &pb::SetPortConfRequest { name: name.to_owned(), conf: Some(conf) })
    };
    assert_eq!(set(&mut daemon, "p", conf.clone()), (0, String::new()), "as it is");
    // An interface takes all of that: tests/bess_ports.rs.
    let mac_addr = "02:00:00:00:00:09".to_owned();
    for wrong in [
        pb::PortConf { mac_addr, ..conf.clone() },
        pb::PortConf { mtu: 999, ..conf.clone() },
        pb::PortConf { admin_up: false, ..conf.clone() },
    ] {
        assert_eq!(set(&mut daemon, "p", wrong.clone()).0, ENOTSUP, "{wrong:?}");
    }
    let mac_addr = "02:00".to_owned();
    assert_eq!(set(&mut daemon, "p", pb::PortConf { mac_addr, ..conf.clone() }).0, EINVAL);
    assert_eq!(get(&mut daemon, "p").conf.unwrap(), conf, "nothing has changed");
    let unknown = (ENOENT, "no port 'q' found".to_owned());
    assert_eq!(set(&mut daemon, "q", conf), unknown);
    let error = get(&mut daemon, "q").error.unwrap();
    assert_eq!((error.code, error.errmsg), unknown);
}

#[test]
fn buffers_are_counted() {
    let mut daemon = daemon();
    let dump = |daemon: &mut Daemon, socket| -> Vec<pb::MempoolDump> {
        let answer: pb::DumpMempoolResponse = daemon.ask("DumpMempool", &pb::DumpMempoolRequest { socket });
        assert_eq!(answer.error, None);
        answer.dumps
    };
    let used = |daemon: &mut Daemon| {
        let [pool] = &dump(daemon, -1)[..] else { panic!("one pool") };
        assert_eq!((pool.socket, pool.initialized, pool.mp_size as usize), (0, true, BUFFERS));
        assert_eq!(pool.mp_populated_size as usize, BUFFERS);
        assert_eq!(pool.mp_available_count + pool.mp_in_use_count, pool.mp_size);
        assert!(pool.mp_element_size >= 2048);
        pool.mp_in_use_count
    };
    assert_eq!(used(&mut daemon), 0);
    // A batch that is not full is held. What a worker keeps at hand is free.
    daemon.module("Source", "source", &pb::SourceArg::default());
    daemon.module("Buffer", "buffer", &pb::BufferArg {});
    daemon.module("Sink", "sink", &NO_ARG);
    daemon.connect("source", 0, 0, "buffer");
    daemon.connect("buffer", 0, 0, "sink");
    let three = pb::SourceCommandSetBurstArg { burst: 3 };
    assert_eq!(daemon.command("source", "set_burst", &three).error, None);
    let start = Instant::now();
    loop {
        daemon.must("ResumeAll", &EMPTY);
        daemon.must("PauseAll", &EMPTY);
        let held = used(&mut daemon);
        assert!(held < 32, "{held}");
        if held > 0 {
            break;
        }
        assert!(start.elapsed() < Duration::from_secs(20), "nothing is held");
    }
    assert_eq!(dump(&mut daemon, 0), dump(&mut daemon, -1));
    assert_eq!(dump(&mut daemon, 1), [], "there is one socket");
    daemon.must("ResetAll", &EMPTY);
    // They are free again, or at hand for the thread that took the graph apart.
    assert!(used(&mut daemon) < 32);
}

fn hook(class_name: &str, hook_name: &str, gate: Gate) -> pb::GateHookInfo {
    pb::GateHookInfo {
        class_name: class_name.to_owned(),
        hook_name: hook_name.to_owned(),
        module_name: "m0".to_owned(),
        gate: Some(gate),
        arg: Some(Any::default()),
    }
}

#[test]
fn hook_classes_say_what_they_are() {
    let mut daemon = daemon();
    let listed: pb::ListGateHookClassResponse = daemon.ask("ListGateHookClass", &EMPTY);
    assert_eq!(
        (listed.error, &listed.names[..]),
        (None, &["PcapNg", "TcpDump", "Track"].map(String::from)[..])
    );
    let schema = bess_kit::schema();
    for name in listed.names {
        let info: pb::GetGateHookClassInfoResponse =
            daemon.ask("GetGateHookClassInfo", &pb::GetGateHookClassInfoRequest { name: name.clone() });
        let commands: &[&str] = if name == "Track" { &["reset"] } else { &[] };
        assert_eq!((info.error, &info.name), (None, &name));
        assert_eq!((info.cmds.len(), info.cmd_args.len()), (commands.len(), commands.len()));
        assert!(info.cmds == commands && !info.help.is_empty());
        assert!(
            info.cmd_args.iter().all(|arg| schema.get_message_by_name(&format!("bess.pb.{arg}")).is_some())
        );
    }
    let ask = |name: &str| pb::GetGateHookClassInfoRequest { name: name.to_owned() };
    let unknown = daemon.tell("GetGateHookClassInfo", &ask("Tap"));
    assert_eq!(unknown, (ENOENT, "no gate hook class 'Tap' found".to_owned()));
    assert_eq!(daemon.tell("GetGateHookClassInfo", &ask("")).0, EINVAL);
}

#[test]
fn track_begins_anew_when_told_so() {
    let mut bench = Bench::new("Merge", &pb::MergeArg {}, 1);
    let bits = pb::ConfigureGateHookRequest {
        hook: Some(pb::GateHookInfo {
            arg: Some(packed(&pb::TrackArg { bits: true })),
            ..hook("Track", "mine", Gate::Igate(0))
        }),
        enable: true,
    };
    bench.daemon.must("ConfigureGateHook", &bits);
    let counted = |bench: &mut Bench| {
        let info: pb::GetModuleInfoResponse =
            bench.daemon.ask("GetModuleInfo", &pb::GetModuleInfoRequest { name: "m0".to_owned() });
        [(info.igates[0].pkts, info.igates[0].bytes), (info.ogates[0].pkts, info.ogates[0].bytes)]
    };
    let pass = |bench: &Bench, count| (0..count).for_each(|_| drop(bench.through(0, &[7; 60], 0)));
    let command = |bench: &mut Bench, hook: pb::GateHookInfo, cmd: &str| {
        bench
            .daemon
            .tell("GateHookCommand", &pb::GateHookCommandRequest { hook: Some(hook), cmd: cmd.to_owned() })
    };
    pass(&bench, 3);
    // 24 bytes of each packet are the wire's.
    assert_eq!(counted(&mut bench), [(3, 3 * 84), (3, 0)]);
    assert_eq!(command(&mut bench, hook("Track", "track0", Gate::Ogate(0)), "reset"), (0, String::new()));
    assert_eq!(counted(&mut bench), [(3, 3 * 84), (0, 0)]);
    pass(&bench, 2);
    assert_eq!(command(&mut bench, hook("Track", "mine", Gate::Igate(0)), "reset"), (0, String::new()));
    assert_eq!(counted(&mut bench), [(0, 0), (2, 0)]);
    pass(&bench, 1);
    assert_eq!(counted(&mut bench), [(1, 84), (3, 0)]);

    let wrong = command(&mut bench, hook("Track", "track0", Gate::Ogate(0)), "stop");
    assert_eq!(wrong, (ENOTSUP, "'Track' does not support command 'stop'".to_owned()));
    assert_eq!(command(&mut bench, hook("Track", "none", Gate::Ogate(0)), "reset").0, ENOENT);
    assert_eq!(command(&mut bench, hook("Track", "track0", Gate::Ogate(5)), "reset").0, ENOENT);
    assert_eq!(command(&mut bench, hook("Track", "track0", Gate::Ogate(-1)), "reset").0, EINVAL);
    let nobody =
        pb::GateHookInfo { module_name: "nobody".to_owned(), ..hook("Track", "track0", Gate::Ogate(0)) };
    assert_eq!(command(&mut bench, nobody, "reset").0, ENOENT);
    assert_eq!(counted(&mut bench), [(1, 84), (3, 0)]);
}

#[test]
fn resume_hooks_neither_come_nor_go() {
    let mut daemon = daemon();
    let mut ask = |name: &str, enable| {
        let hook_name = name.to_owned();
        daemon.tell("ConfigureResumeHook", &pb::ConfigureResumeHookRequest { hook_name, enable, arg: None })
    };
    for enable in [true, false] {
        assert_eq!(ask("Nothing", enable), (ENOENT, "no such resume hook 'Nothing'".to_owned()));
        assert_eq!(ask("", enable).0, ENOENT);
    }
    for known in ["SetupMetadata", "SetupTaskGraph"] {
        assert_eq!(ask(known, true), (EEXIST, format!("resume hook '{known}' is already installed")));
        assert_eq!(ask(known, false).0, ENOTSUP);
    }
}
