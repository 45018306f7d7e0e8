//! The client over a live server, and configuration files carried out.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::mpsc::channel;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use rustix::io::Errno;
use softnic::bess::process::{self, Options, ProcessError};
use softnic::bess::{Bess, Client, ClientError, Config, TraceEnd, TraceRequest, pb};
use softnic::config;

/// Ethernet, IPv4, UDP 10.0.0.1:12345 -> 10.0.0.2:53.
const FRAME: [u8; 44] = [
    2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2, 0x08, 0x00, // Ethernet
    0x45, 0, 0, 30, 0, 0, 0, 0, 64, 17, 0x66, 0xcd, 10, 0, 0, 1, 10, 0, 0, 2, // IPv4
    0x30, 0x39, 0, 53, 0, 10, 0, 0, b'h', b'i', // UDP
];

const GRAPH: &str = "in::Source() -> acl::ACL(rules=[{dst_ip: 10.0.0.2, dst_port: 53, drop: false}, {drop: true}]) \
                     -> out::Sink()";

fn config() -> Config {
    Config { buffers: 2048, ..Config::default() }
}

/// A daemon that carries out `text` and serves a free port.
fn served(text: &'static str) -> (SocketAddr, JoinHandle<Result<(), ProcessError>>) {
    let (tell, told) = channel();
    let daemon = std::thread::spawn(move || {
        let options = Options {
            listen: Some(([127, 0, 0, 1], 0).into()),
            pid_file: None,
            replace: false,
            duration: None,
            config: config(),
            state: None,
        };
        let start = |bess: &Arc<Bess>, _: Option<&_>| -> Result<(), ProcessError> {
            config::apply(bess, &config::parse(text).unwrap()).unwrap();
            Ok(())
        };
        process::run(&options, start, move |address| tell.send(address).unwrap())
    });
    (told.recv_timeout(Duration::from_secs(60)).expect("it serves"), daemon)
}

fn empty() -> pb::EmptyRequest {
    pb::EmptyRequest::default()
}

#[test]
fn calls_are_answered_and_errors_have_a_type() {
    let (address, daemon) = served(GRAPH);
    let mut client = Client::connect(address).unwrap();
    let names: Vec<String> =
        client.list_modules(empty()).unwrap().modules.into_iter().map(|module| module.name).collect();
    assert_eq!(names, ["acl", "in", "out"]);
    let failure = match client.get_module_info(pb::GetModuleInfoRequest { name: "nobody".into() }) {
        Err(ClientError::Refused(failure)) => failure,
        other => panic!("{other:?}"),
    };
    assert_eq!(failure.code, Errno::NOENT.raw_os_error());
    assert!(failure.message.contains("nobody"));
    client.kill_bess(empty()).unwrap();
    daemon.join().unwrap().unwrap();
    assert!(matches!(Client::connect(address), Err(ClientError::Gone { .. })));
}

#[test]
fn traces_are_served_beside_bess() {
    let (address, daemon) = served(GRAPH);
    let mut client = Client::connect(address).unwrap();
    let request = TraceRequest { module: "in".into(), gate: 0, packet: FRAME.to_vec(), send: false };
    let reply = client.trace(request.clone()).unwrap();
    let told: Vec<(&str, TraceEnd, Option<u32>)> =
        reply.steps.iter().map(|step| (step.module.as_str(), step.exits[0].end(), step.worker)).collect();
    let wanted = [TraceEnd::Passed, TraceEnd::Passed, TraceEnd::Spared];
    assert_eq!(told, [("in", wanted[0], Some(0)), ("acl", wanted[1], Some(0)), ("out", wanted[2], Some(0))]);

    let mut other = FRAME;
    other[37] = 54;
    let reply = client.trace(TraceRequest { packet: other.to_vec(), ..request.clone() }).unwrap();
    assert_eq!((reply.steps.len(), reply.steps[1].exits[0].end()), (2, TraceEnd::Dropped));

    for (request, wanted) in [
        (TraceRequest { module: "nobody".into(), ..request.clone() }, "no module 'nobody' found"),
        (TraceRequest { gate: 7, ..request.clone() }, "module `in` has no output gate 7: it has 1"),
        (TraceRequest { gate: 70_000, ..request.clone() }, "gate 70000 does not exist"),
        (TraceRequest { packet: Vec::new(), ..request.clone() }, "a packet has 1 to"),
        (TraceRequest { packet: vec![0; 100_000], ..request.clone() }, "a packet has 1 to"),
    ] {
        let error = client.trace(request).unwrap_err().to_string();
        assert!(error.contains(wanted), "{error}");
    }
    client.kill_bess(empty()).unwrap();
    daemon.join().unwrap().unwrap();
}

#[test]
fn within_its_own_process_a_daemon_answers_the_same() {
    let bess = Bess::start(config()).unwrap();
    config::apply(&bess, &config::parse(GRAPH).unwrap()).unwrap();
    let mut client = Client::within(bess);
    assert_eq!(client.list_modules(empty()).unwrap().modules.len(), 3);
    let refused = client.get_module_info(pb::GetModuleInfoRequest { name: "nobody".into() });
    assert!(matches!(refused, Err(ClientError::Refused(_))));
    let request = TraceRequest { module: "acl".into(), gate: 0, packet: FRAME.to_vec(), send: true };
    assert_eq!(client.trace(request).unwrap().steps[1].exits[0].end(), TraceEnd::Taken);
}

#[test]
fn a_daemon_that_nobody_can_call_ends_when_its_time_is_over() {
    let options = Options {
        listen: None,
        pid_file: None,
        replace: false,
        duration: Some(Duration::from_millis(20)),
        config: config(),
        state: None,
    };
    let begin = Instant::now();
    process::run(&options, |_, _| Ok::<(), ProcessError>(()), |_| panic!("it listens")).unwrap();
    assert!(begin.elapsed() >= Duration::from_millis(20));
}
