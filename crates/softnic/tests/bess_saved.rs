//! A daemon that ends at any moment goes on as it was: what it runs, and what packets find there.

mod bess_kit;

use std::os::fd::OwnedFd;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bess_kit::fuzzer::Fuzzer;
use bess_kit::{packed, receive};
use packet::fuzzing::bounded;
use prost::{Message, Name};
use rustix::net::{
    AddressFamily, SendFlags, SocketAddrUnix, SocketFlags, SocketType, connect, send, socket_with, sockopt,
};
use softnic::bess::saving::{RestoreError, Restored, Saved};
use softnic::bess::{Bess, Config, pb};

/// How long anything may take.
const PATIENCE: Duration = Duration::from_secs(30);

fn config() -> Config {
    Config { buffers: 4096, seed: 0x5eed, ..Config::default() }
}

fn start(directory: &Path) -> Result<(Arc<Bess>, Restored), RestoreError> {
    let saved = Saved::open(directory, false)?;
    // Another seed than the first one's, which has to come from the file.
    let seed = std::time::UNIX_EPOCH.elapsed().unwrap().as_nanos() as u64;
    let bess = Bess::start(saved.config(Config { seed, ..config() })?).unwrap();
    let restored = saved.restore(&bess)?;
    Ok((bess, restored))
}

/// Ends a daemon with nothing written or closed beforehand, and waits until its sockets are free: the lock is the last that
/// it lets go of.
fn end(bess: Arc<Bess>, directory: &Path) {
    drop(bess);
    until(|| Saved::open(directory, false).ok().map(drop));
}

fn restart(bess: Arc<Bess>, directory: &Path) -> (Arc<Bess>, Restored) {
    end(bess, directory);
    start(directory).unwrap()
}

fn until<R>(mut done: impl FnMut() -> Option<R>) -> R {
    let start = Instant::now();
    loop {
        if let Some(result) = done() {
            return result;
        }
        assert!(start.elapsed() < PATIENCE, "it does not end");
        std::thread::sleep(Duration::from_millis(1));
    }
}

/// Makes a request, which must be carried out.
fn ask<R: Message + Default>(bess: &Bess, method: &str, request: &impl Message) -> R {
    let answer = bess.call(method, &request.encode_to_vec()).unwrap();
    let error = pb::EmptyResponse::decode(&*answer).unwrap().error;
    assert_eq!(error, None, "{method}");
    R::decode(&*answer).unwrap()
}

fn must(bess: &Bess, method: &str, request: &impl Message) {
    ask::<pb::EmptyResponse>(bess, method, request);
}

fn module<A: Message + Name>(bess: &Bess, class: &str, name: &str, arg: &A) -> String {
    let arg = Some(packed(arg));
    let request = pb::CreateModuleRequest { name: name.to_owned(), mclass: class.to_owned(), arg };
    ask::<pb::CreateModuleResponse>(bess, "CreateModule", &request).name
}

fn command<A: Message + Name>(bess: &Bess, module: &str, command: &str, arg: &A) {
    let (name, cmd) = (module.to_owned(), command.to_owned());
    must(bess, "ModuleCommand", &pb::CommandRequest { name, cmd, arg: Some(packed(arg)) });
}

fn link(bess: &Bess, m1: &str, ogate: u64, m2: &str) {
    let (m1, m2) = (m1.to_owned(), m2.to_owned());
    must(bess, "ConnectModules", &pb::ConnectModulesRequest { m1, m2, ogate, ..Default::default() });
}

fn socket_port(bess: &Bess, name: &str, path: &str) {
    let arg = pb::UnixSocketPortArg { path: path.to_owned(), confirm_connect: true, ..Default::default() };
    let (name, driver, arg) = (name.to_owned(), "UnixSocketPort".to_owned(), Some(packed(&arg)));
    must(bess, "CreatePort", &pb::CreatePortRequest { name, driver, arg, ..Default::default() });
}

fn peer(path: &str) -> OwnedFd {
    let socket = socket_with(AddressFamily::UNIX, SocketType::SEQPACKET, SocketFlags::CLOEXEC, None).unwrap();
    sockopt::set_socket_timeout(&socket, sockopt::Timeout::Recv, Some(PATIENCE)).unwrap();
    let address = SocketAddrUnix::new_abstract_name(&path.as_bytes()[1..]).unwrap();
    connect(&socket, &address).unwrap();
    assert_eq!(receive(&socket), b"yes\0");
    socket
}

/// A frame for a station.
fn frame(station: u8, number: u8) -> Vec<u8> {
    let mut frame = vec![2, 0, 0, 0, 0, station, 2, 0, 0, 0, 0, 9, 0x08, 0x00];
    frame.resize(60, number);
    frame
}

const EMPTY: pb::EmptyRequest = pb::EmptyRequest {};
const NO_ARG: pb::EmptyArg = pb::EmptyArg {};

fn entry(addr: &str, gate: i64) -> pb::l2_forward_command_add_arg::Entry {
    pb::l2_forward_command_add_arg::Entry { addr: addr.to_owned(), gate }
}

/// near ─► in ─► l2 ─┬ 1 ─► out ─► far
///                   └ 2 ─► update ─► out
fn switch(bess: &Bess, [near, far]: &[String; 2]) {
    must(bess, "PauseAll", &EMPTY);
    must(bess, "AddWorker", &pb::AddWorkerRequest { wid: 1, core: 0, ..Default::default() });
    let class = pb::TrafficClass {
        name: "slow".to_owned(),
        policy: "rate_limit".to_owned(),
        resource: "packet".to_owned(),
        limit: [("packet".to_owned(), 1_000_000)].into(),
        wid: 1,
        ..Default::default()
    };
    must(bess, "AddTc", &pb::AddTcRequest { class: Some(class) });
    socket_port(bess, "near", near);
    socket_port(bess, "far", far);
    module(bess, "PortInc", "in", &pb::PortIncArg { port: "near".to_owned(), prefetch: false });
    module(bess, "PortOut", "out", &pb::PortOutArg { port: "far".to_owned() });
    let l2 = module(bess, "L2Forward", "", &pb::L2ForwardArg::default());
    assert_eq!(l2, "l2_forward0");
    let field = |value| pb::update_arg::Field { offset: 20, size: 1, value };
    let update = module(bess, "Update", "", &pb::UpdateArg { fields: vec![field(1)] });
    link(bess, "in", 0, &l2);
    link(bess, &l2, 1, "out");
    link(bess, &l2, 2, &update);
    link(bess, &update, 0, "out");
    let attach = pb::TrafficClass {
        leaf_module_name: "in".to_owned(),
        parent: "slow".to_owned(),
        wid: -1,
        ..Default::default()
    };
    must(bess, "UpdateTcParent", &pb::UpdateTcParentRequest { class: Some(attach) });
    must(bess, "ResumeAll", &EMPTY);
    let add = |entries| pb::L2ForwardCommandAddArg { entries };
    command(bess, &l2, "add", &add(vec![entry("02:00:00:00:00:01", 1), entry("02:00:00:00:00:02", 1)]));
    let gone = pb::L2ForwardCommandDeleteArg { addrs: vec!["02:00:00:00:00:02".to_owned()] };
    command(bess, &l2, "delete", &gone);
    command(bess, &l2, "add", &add(vec![entry("02:00:00:00:00:02", 2)]));
    command(bess, &update, "clear", &NO_ARG);
    command(bess, &update, "add", &pb::UpdateArg { fields: vec![field(0x77)] });
    let gates = pb::L2ForwardCommandSetDefaultGateArg { gate: 1 };
    command(bess, &l2, "set_default_gate", &gates);
}

/// What that switch does with frames.
fn switches([near, far]: &[String; 2]) {
    let (near, far) = (peer(near), peer(far));
    for (station, number, byte) in [(1, 10, 10), (2, 11, 0x77), (3, 12, 12), (1, 13, 13)] {
        send(&near, &frame(station, number), SendFlags::empty()).unwrap();
        let came = receive(&far);
        assert_eq!((came[5], came[20], came[21]), (station, byte, number));
    }
}

fn names(test: &str) -> [String; 2] {
    ["near", "far"].map(|end| format!("@weft-saved-{}-{test}-{end}", std::process::id()))
}

#[test]
fn a_switch_goes_on_with_its_table_its_classes_and_its_sockets() {
    let directory = tempfile::tempdir().unwrap();
    let names = names("switch");
    let (bess, restored) = start(directory.path()).unwrap();
    assert_eq!((restored, restored.to_string().as_str()), (Restored::default(), "nothing was saved"));
    switch(&bess, &names);
    switches(&names);
    let before = bess.requests().unwrap();
    let (bess, restored) = restart(bess, directory.path());
    assert_eq!((restored.ports, restored.modules, restored.workers, restored.torn), (2, 4, 1, false));
    assert_eq!(restored.to_string(), "2 ports, 4 modules, 1 worker");
    assert_eq!(bess.requests().unwrap(), before);
    let workers: pb::ListWorkersResponse = ask(&bess, "ListWorkers", &EMPTY);
    let [worker] = &workers.workers_status[..] else { panic!("{workers:?}") };
    assert!(worker.running && worker.wid == 1);
    switches(&names);
    // What is refused is not saved, nor what only asks.
    let len = std::fs::metadata(directory.path().join("bess.state")).unwrap().len();
    let unknown = pb::DestroyModuleRequest { name: "nobody".to_owned() }.encode_to_vec();
    bess.call("DestroyModule", &unknown).unwrap();
    ask::<pb::ListModulesResponse>(&bess, "ListModules", &EMPTY);
    assert_eq!(std::fs::metadata(directory.path().join("bess.state")).unwrap().len(), len);
    must(&bess, "ResetAll", &EMPTY);
    let (bess, restored) = restart(bess, directory.path());
    assert_eq!((restored.found, restored.ports, restored.modules, restored.workers), (true, 0, 0, 0));
    end(bess, directory.path());
}

#[test]
fn only_one_daemon_saves_in_a_place_and_for_its_own_clients() {
    let directory = tempfile::tempdir().unwrap();
    let (bess, _) = start(directory.path()).unwrap();
    let refused = start(directory.path()).err().unwrap().to_string();
    assert!(refused.ends_with("another daemon saves there"), "{refused}");
    module(&bess, "Sink", "kept", &NO_ARG);
    end(bess, directory.path());
    let omec = Config { flavour: softnic::bess::Flavour::Omec, ..config() };
    let saved = Saved::open(directory.path(), false).unwrap();
    assert!(matches!(saved.config(omec), Err(RestoreError::Flavour { .. })));
    drop(saved);
    let forgotten = Saved::open(directory.path(), true).unwrap();
    let bess = Bess::start(config()).unwrap();
    assert_eq!(forgotten.restore(&bess).unwrap(), Restored::default());
    let (bess, restored) = restart(bess, directory.path());
    assert_eq!((restored.found, restored.modules), (true, 0));
    end(bess, directory.path());
}

#[test]
fn what_cannot_be_done_again_is_named_and_nothing_runs() {
    let directory = tempfile::tempdir().unwrap();
    let names = names("taken");
    let (bess, _) = start(directory.path()).unwrap();
    switch(&bess, &names);
    let before = bess.requests().unwrap();
    end(bess, directory.path());
    let socket = socket_with(AddressFamily::UNIX, SocketType::SEQPACKET, SocketFlags::CLOEXEC, None).unwrap();
    let address = SocketAddrUnix::new_abstract_name(&names[1].as_bytes()[1..]).unwrap();
    rustix::net::bind(&socket, &address).unwrap();
    let refused = start(directory.path()).err().unwrap().to_string();
    assert!(refused.contains("CreatePort far: unix:@weft-saved"), "{refused}");
    drop(socket);
    // It was not touched.
    let (bess, _) = start(directory.path()).unwrap();
    assert_eq!(bess.requests().unwrap(), before);
    end(bess, directory.path());
}

/// A client that adds and deletes for ever: the file stays within what is there and a journal.
#[test]
fn the_file_does_not_grow_with_time() {
    let directory = tempfile::tempdir().unwrap();
    let (mut bess, _) = start(directory.path()).unwrap();
    module(&bess, "IPLookup", "routes", &pb::IpLookupArg { max_rules: 5000, max_tbl8s: 0 });
    module(&bess, "Update", "update", &pb::UpdateArg::default());
    let route = |number: u32| std::net::Ipv4Addr::from(0x0a00_0000 | number << 8).to_string();
    let state = directory.path().join("bess.state");
    let (mut longest, mut shorter, mut last) = (0, 0, 0);
    for round in 0..25u32 {
        for number in 0..2000 {
            let (prefix, gate) = (route(number), u64::from(round));
            command(&bess, "routes", "add", &pb::IpLookupCommandAddArg { prefix, prefix_len: 24, gate });
            if number % 2 == 0 {
                let gone = pb::IpLookupCommandDeleteArg { prefix: route(number), prefix_len: 24 };
                command(&bess, "routes", "delete", &gone);
            }
            let len = std::fs::metadata(&state).unwrap().len();
            (longest, shorter, last) = (longest.max(len), shorter + u32::from(len < last), len);
        }
        if round == 11 {
            let before = bess.requests().unwrap();
            bess = restart(bess, directory.path()).0;
            assert_eq!(bess.requests().unwrap(), before);
        }
    }
    println!("{longest} bytes at most, {shorter} times written anew");
    assert!(shorter > 0 && longest < 5 << 20, "{longest} bytes, {shorter} times shorter");
    let before = bess.requests().unwrap();
    let (bess, _) = restart(bess, directory.path());
    assert_eq!(bess.requests().unwrap(), before);
    end(bess, directory.path());
}

/// Random requests, and an end at random moments: what runs then is what ran before, and goes on the same.
#[test]
fn random_requests_are_all_there_after_the_end() {
    let seed = bounded::seed(None);
    let rounds = std::env::var("WEFT_SAVED_ROUNDS").ok().map_or(40, |rounds| rounds.parse::<u32>().unwrap());
    println!("WEFT_FUZZ_SEED={seed} WEFT_SAVED_ROUNDS={rounds}");
    let directory = tempfile::tempdir().unwrap();
    let (mut bess, _) = start(directory.path()).unwrap();
    let sockets = format!("weft-saved-{}-random", std::process::id());
    let mut fuzzer = Fuzzer::new(&bess, seed, sockets);
    let mut random = bounded::Random(seed ^ 1);
    let (mut modules, mut classes) = (0, 0);
    for round in 0..rounds {
        for _ in 0..random.below(300) {
            let (method, request) = fuzzer.request();
            let _ = bess.call(&method, &request);
        }
        let before = bess.requests().unwrap();
        let shown = shown(&bess);
        bess = restart(bess, directory.path()).0;
        assert_eq!(told(&bess.requests().unwrap()), told(&before), "round {round}");
        assert_eq!(self::shown(&bess), shown, "round {round}");
        let count = |method: &str| before.iter().filter(|(name, _)| name == method).count();
        (modules, classes) = (modules + count("CreateModule"), classes + count("AddTc"));
    }
    println!("{modules} modules and {classes} classes in all");
    assert!(modules > rounds as usize && classes > rounds as usize / 4, "there was nothing to restore");
    end(bess, directory.path());
}

/// Requests as people read them.
fn told(requests: &[(String, Vec<u8>)]) -> Vec<String> {
    requests.iter().map(|(method, request)| format!("{method} {}", request.escape_ascii())).collect()
}

/// What clients are shown, without what was counted.
fn shown(bess: &Bess) -> Vec<String> {
    let ports: pb::ListPortsResponse = ask(bess, "ListPorts", &EMPTY);
    let workers: pb::ListWorkersResponse = ask(bess, "ListWorkers", &EMPTY);
    let mut classes: pb::ListTcsResponse = ask(bess, "ListTcs", &pb::ListTcsRequest { wid: -1 });
    for class in classes.classes_status.iter_mut().filter_map(|status| status.class.as_mut()) {
        class.blocked = false;
    }
    let hooks: pb::ListGateHooksResponse = ask(bess, "ListGateHooks", &EMPTY);
    let modules: pb::ListModulesResponse = ask(bess, "ListModules", &EMPTY);
    let told = |module: &pb::list_modules_response::Module| {
        let name = module.name.clone();
        let info: pb::GetModuleInfoResponse = ask(bess, "GetModuleInfo", &pb::GetModuleInfoRequest { name });
        let gates: Vec<_> = info.ogates.iter().map(|gate| (gate.ogate, &gate.name, gate.igate)).collect();
        format!("{} {} {gates:?} {:?}", info.name, info.mclass, info.metadata)
    };
    let mut all =
        vec![format!("{ports:?}"), format!("{workers:?}"), format!("{classes:?}"), format!("{hooks:?}")];
    all.extend(modules.modules.iter().map(told));
    all
}
