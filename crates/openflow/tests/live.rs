//! Channels on real sockets: both ends, and peers that behave badly.

mod peer;

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use openflow::Version;
use openflow::channel::{AUXILIARIES_MAX, Config, ConnectionId, Down, Event, Up};
use openflow::live::{
    Handler, Hub, HubConfig, LinkError, Links, MESSAGES_PER_TURN, Side, Target, TlsFiles, TlsIdentity,
};
use openflow::message::Body;

use peer::{Peer, answer, encoded};

/// Longer than anything here takes on a busy machine.
const PATIENCE: Duration = Duration::from_secs(20);

/// Writes down what happens. As a switch it answers what a controller's handshake asks.
#[derive(Debug, Default)]
struct Log {
    datapath: u64,
    up: Vec<(ConnectionId, Up)>,
    down: Vec<Down>,
    refused: Vec<Down>,
    packet_ins: Vec<ConnectionId>,
    messages: Vec<(ConnectionId, Body)>,
    unreadable: usize,
    woken: usize,
    deadline: Option<Duration>,
    deadlines: usize,
}

impl Handler for Log {
    fn connected(&mut self, _links: &mut Links<'_>, id: ConnectionId, up: Up) {
        self.up.push((id, up));
    }

    fn event(&mut self, links: &mut Links<'_>, id: ConnectionId, event: Event<'_>) {
        match event {
            Event::PacketIn(_) => self.packet_ins.push(id),
            Event::Message(message) => {
                if let Some(reply) = answer(self.datapath, 0, &message) {
                    links.send(id, &reply).unwrap();
                }
                self.messages.push((id, message.body));
            }
            Event::Unreadable { .. } => self.unreadable += 1,
            other => panic!("{other:?}"),
        }
    }

    fn disconnected(&mut self, _links: &mut Links<'_>, _id: ConnectionId, reason: &Down) {
        self.down.push(reason.clone());
    }

    fn refused(&mut self, _links: &mut Links<'_>, _peer: &str, reason: &Down) {
        self.refused.push(reason.clone());
    }

    fn next_deadline(&self) -> Option<Duration> {
        self.deadline
    }

    fn deadline(&mut self, _links: &mut Links<'_>) {
        self.deadline = None;
        self.deadlines += 1;
    }

    fn woken(&mut self, _links: &mut Links<'_>) {
        self.woken += 1;
    }
}

fn hub(config: HubConfig) -> Hub<Log> {
    Hub::new(Log::default(), config).unwrap()
}

/// A controller's hub and where it listens.
fn controller(config: Config, limits: HubConfig) -> (Hub<Log>, SocketAddr) {
    let mut hub = hub(limits);
    let at = hub.links().listen(&"ptcp:0:127.0.0.1".parse().unwrap(), Side::Controller(config)).unwrap();
    let Target::Listen(at, _) = at else { panic!("{at}") };
    (hub, at)
}

/// Turns until it is so.
fn until(hub: &mut Hub<Log>, what: impl Fn(&Log) -> bool) {
    turns(&mut [hub], |logs| what(logs[0]));
}

fn turns(hubs: &mut [&mut Hub<Log>], what: impl Fn(&[&Log]) -> bool) {
    let begin = Instant::now();
    loop {
        for hub in hubs.iter_mut() {
            hub.turn(Some(Duration::from_millis(1))).unwrap();
        }
        let logs: Vec<&Log> = hubs.iter_mut().map(|hub| &*hub.handler()).collect();
        if what(&logs) {
            return;
        }
        assert!(begin.elapsed() < PATIENCE, "{logs:?}");
    }
}

/// Both ends over a target that listens; the dialled one may need the port.
fn meet(listens: &str, dials: impl Fn(&Target) -> String, tls: Option<TlsIdentity>) {
    let limits = HubConfig { tls, ..HubConfig::default() };
    let (mut controller, mut switch) = (hub(limits.clone()), hub(limits));
    switch.handler().datapath = 0xabc;
    let config = Config::default();
    let at = controller.links().listen(&listens.parse().unwrap(), Side::Controller(config.clone())).unwrap();
    switch.links().dial(&dials(&at).parse().unwrap(), Side::Switch(config)).unwrap();
    turns(&mut [&mut controller, &mut switch], |logs| logs.iter().all(|log| log.up.len() == 1));
    let (id, up) = controller.handler().up[0].clone();
    assert_eq!((up.version, up.features.unwrap().datapath), (Version::V13, 0xabc));
    // More than fits into one record, one read or one write.
    let sent: Vec<Body> = (0..200).map(|n| Body::EchoReply(vec![n; 5000])).collect();
    for body in &sent {
        controller.links().send_body(id, body).unwrap();
    }
    turns(&mut [&mut controller, &mut switch], |logs| {
        logs[1].messages.iter().filter(|(_, body)| matches!(body, Body::EchoReply(_))).count() == sent.len()
    });
    let got = switch
        .handler()
        .messages
        .iter()
        .map(|(_, body)| body)
        .filter(|body| matches!(body, Body::EchoReply(_)));
    assert!(got.eq(&sent));
    drop(switch);
    until(&mut controller, |log| log.down.len() == 1);
    assert_eq!(controller.connections(), 0);
}

#[test]
fn both_ends_meet_over_tcp() {
    meet(
        "ptcp:0:127.0.0.1",
        |at| match at {
            Target::Listen(at, _) => format!("tcp:{at}"),
            other => panic!("{other}"),
        },
        None,
    );
    meet(
        "ptcp:0:[::1]",
        |at| match at {
            Target::Listen(at, _) => format!("tcp:{at}"),
            other => panic!("{other}"),
        },
        None,
    );
}

#[test]
fn both_ends_meet_over_a_unix_socket_that_somebody_left_behind() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("of.sock");
    drop(std::os::unix::net::UnixListener::bind(&path).unwrap());
    assert!(path.exists());
    let path = path.to_str().unwrap();
    meet(&format!("punix:{path}"), |_| format!("unix:{path}"), None);
    assert!(!std::path::Path::new(path).exists());
}

/// What openssl makes: an authority, and a key and certificate that it has signed; another that it has not.
fn certificates(directory: &std::path::Path) {
    let script = "set -e
        openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 -subj /CN=authority \
            -addext basicConstraints=critical,CA:TRUE -keyout ca.key -out ca.pem
        openssl req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj /CN=switch -keyout sw.key -out sw.csr
        printf 'basicConstraints=CA:FALSE\nsubjectAltName=DNS:switch\n' > ext
        openssl x509 -req -in sw.csr -CA ca.pem -CAkey ca.key -CAcreateserial -days 2 -extfile ext -out sw.pem
        openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 -subj /CN=nobody \
            -keyout no.key -out no.pem";
    let made = std::process::Command::new("sh").args(["-c", script]).current_dir(directory).output().unwrap();
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
}

#[test]
fn tls_lets_in_whom_the_authority_has_signed_and_nobody_else() {
    let directory = tempfile::tempdir().unwrap();
    certificates(directory.path());
    let identity = |name: &str| {
        let file = |name: String| directory.path().join(name);
        TlsIdentity::read(&TlsFiles {
            private_key: file(format!("{name}.key")),
            certificate: file(format!("{name}.pem")),
            ca: file("ca.pem".into()),
        })
    };
    let good = identity("sw").unwrap();
    meet(
        "pssl:0:127.0.0.1",
        |at| match at {
            Target::Listen(at, _) => format!("ssl:{at}"),
            other => panic!("{other}"),
        },
        Some(good.clone()),
    );

    // Unsigned; no TLS at all.
    let (mut controller, mut stranger) = (
        hub(HubConfig { tls: Some(good), ..HubConfig::default() }),
        hub(HubConfig { tls: Some(identity("no").unwrap()), ..HubConfig::default() }),
    );
    let listens = "pssl:0:127.0.0.1".parse().unwrap();
    let at = controller.links().listen(&listens, Side::Controller(Config::default())).unwrap();
    let Target::Listen(at, _) = at else { panic!() };
    stranger.links().dial(&format!("ssl:{at}").parse().unwrap(), Side::Switch(Config::default())).unwrap();
    turns(&mut [&mut controller, &mut stranger], |logs| logs.iter().all(|log| !log.refused.is_empty()));
    let mut plain = TcpStream::connect(at).unwrap();
    plain.write_all(&[4, 0, 0, 8, 0, 0, 0, 1]).unwrap();
    until(&mut controller, |log| log.refused.len() == 2);
    assert!(controller.handler().up.is_empty() && stranger.handler().up.is_empty());
    let Down::Socket(why) = &controller.handler().refused[0] else { panic!() };
    assert!(why.contains("certificate"), "{why}");

    let missing = TlsFiles { private_key: "k".into(), certificate: "c".into(), ca: "a".into() };
    assert!(TlsIdentity::read(&missing).unwrap_err().to_string().starts_with("c: "));
    let refused = hub(HubConfig::default()).links().listen(&listens, Side::Controller(Config::default()));
    assert!(matches!(refused, Err(LinkError::NoCertificate(_))));
}

#[test]
fn who_dials_tries_again_until_somebody_listens() {
    let (gone, at) = controller(Config::default(), HubConfig::default());
    drop(gone);
    let mut switch = hub(HubConfig::default());
    let dial =
        switch.links().dial(&format!("tcp:{at}").parse().unwrap(), Side::Switch(Config::default())).unwrap();
    until(&mut switch, |log| log.refused.len() == 1);

    let mut controller = hub(HubConfig::default());
    let listens: Target = format!("ptcp:{}:127.0.0.1", at.port()).parse().unwrap();
    controller.links().listen(&listens, Side::Controller(Config::default())).unwrap();
    turns(&mut [&mut controller, &mut switch], |logs| logs.iter().all(|log| log.up.len() == 1));
    // Closed there, it comes back; hung up, it does not.
    let id = controller.handler().up[0].0;
    controller.links().close(id, "enough");
    turns(&mut [&mut controller, &mut switch], |logs| logs.iter().all(|log| log.up.len() == 2));
    assert_eq!(controller.handler().down, [Down::Here("enough".into())]);
    assert_eq!(switch.handler().down, [Down::Closed]);
    switch.links().hang_up(dial);
    turns(&mut [&mut controller, &mut switch], |logs| logs.iter().all(|log| log.down.len() == 2));
    assert_eq!(switch.next_deadline(), None, "nothing is left to be done");
}

#[test]
fn one_that_floods_does_not_keep_another_waiting() {
    let (mut controller, at) = controller(Config::default(), HubConfig::default());
    let (mut flood, mut quiet) = (Peer::connect(at, 1), Peer::connect(at, 2));
    flood.come_up(|| controller.turn(Some(Duration::from_millis(1))).unwrap());
    quiet.come_up(|| controller.turn(Some(Duration::from_millis(1))).unwrap());
    let id = controller.handler().up[1].0;
    // As much as the socket takes.
    let packet_in = encoded(Version::V13, 0, peer::packet_in(&[1; 60])).repeat(100);
    flood.socket.set_nonblocking(true).unwrap();
    while flood.socket.write(&packet_in).is_ok() {}
    for round in 1..=20 {
        let before = controller.handler().packet_ins.len();
        quiet.socket.write_all(&encoded(Version::V13, 5, Body::BarrierReply)).unwrap();
        until(&mut controller, |log| log.messages.iter().filter(|(from, _)| *from == id).count() == round);
        let flooded = controller.handler().packet_ins.len() - before;
        assert!(flooded <= 3 * MESSAGES_PER_TURN, "{flooded} messages came first");
    }
    assert!(controller.handler().packet_ins.len() > MESSAGES_PER_TURN);
}

#[test]
fn who_stalls_in_a_message_is_dropped_and_the_others_are_not() {
    let config = Config {
        echo_after: Duration::from_millis(200),
        echo_timeout: Duration::from_millis(200),
        ..Config::default()
    };
    let (mut controller, at) = controller(config, HubConfig::default());
    let (mut bad, mut good) = (Peer::connect(at, 1), Peer::connect(at, 2));
    bad.come_up(|| controller.turn(Some(Duration::from_millis(1))).unwrap());
    good.come_up(|| controller.turn(Some(Duration::from_millis(1))).unwrap());
    bad.socket.write_all(&[4, 10, 0x10, 0, 0, 0, 0, 1, 2, 3]).unwrap();
    let begin = Instant::now();
    while controller.handler().down.is_empty() {
        good.barrier(|| controller.turn(Some(Duration::from_millis(1))).unwrap());
        std::thread::sleep(Duration::from_millis(10));
        assert!(begin.elapsed() < PATIENCE);
    }
    assert_eq!(controller.handler().down, [Down::Stalled { have: 10, length: 0x1000 }]);
    assert_eq!(controller.connections(), 1);
}

#[test]
fn who_does_not_read_is_cut_off_and_the_others_are_not() {
    let config = Config { output_max: 1 << 20, ..Config::default() };
    let (mut controller, at) = controller(config, HubConfig::default());
    let (mut bad, mut good) = (Peer::connect(at, 1), Peer::connect(at, 2));
    bad.come_up(|| controller.turn(Some(Duration::from_millis(1))).unwrap());
    good.come_up(|| controller.turn(Some(Duration::from_millis(1))).unwrap());
    let id = controller.handler().up[0].0;
    let begin = Instant::now();
    while controller.handler().down.is_empty() {
        for _ in 0..20 {
            let _ = controller.links().send_body(id, &Body::EchoRequest(vec![0; 60_000]));
        }
        good.barrier(|| controller.turn(Some(Duration::from_millis(1))).unwrap());
        assert!(begin.elapsed() < PATIENCE);
    }
    assert!(matches!(controller.handler().down[..], [Down::Slow(_)]), "{:?}", controller.handler().down);
}

#[test]
fn more_connections_than_may_be_are_closed_at_once() {
    let (mut controller, at) = controller(Config::default(), HubConfig { connections_max: 3, tls: None });
    let mut peers: Vec<Peer> = (0..5).map(|n| Peer::connect(at, n)).collect();
    let begin = Instant::now();
    while controller.counters().refused < 2 {
        controller.turn(Some(Duration::from_millis(1))).unwrap();
        assert!(begin.elapsed() < PATIENCE);
    }
    for refused in &mut peers[3..] {
        assert_eq!(refused.socket.read(&mut [0; 100]).unwrap_or(0), 0);
    }
    for peer in &mut peers[..3] {
        peer.come_up(|| controller.turn(Some(Duration::from_millis(1))).unwrap());
    }
    // Once one is gone there is room for another.
    peers.truncate(2);
    until(&mut controller, |log| log.down.len() == 1);
    Peer::connect(at, 9).come_up(|| controller.turn(Some(Duration::from_millis(1))).unwrap());
}

#[test]
fn a_datapaths_other_connections_end_with_its_main_one() {
    let (mut controller, at) = controller(Config::default(), HubConfig::default());
    let mut connect = |datapath, auxiliary| {
        let mut peer = Peer::connect(at, datapath);
        peer.auxiliary = auxiliary;
        peer.come_up(|| controller.turn(Some(Duration::from_millis(1))).unwrap());
        peer
    };
    let other = connect(6, 0);
    let main = connect(7, 0);
    let auxiliaries: Vec<Peer> = (1..=AUXILIARIES_MAX as u8).map(|number| connect(7, number)).collect();
    // One too many, one twice, one of nobody.
    let refused = [connect(7, 100), connect(7, 1), connect(8, 1)];
    until(&mut controller, |log| log.refused.len() == 3);
    assert!(controller.handler().refused.iter().all(|down| matches!(down, Down::Auxiliary { .. })));
    assert_eq!(controller.handler().up.len(), 2 + AUXILIARIES_MAX);
    let main_id = controller.handler().up[1].0;
    assert_eq!(controller.links().datapath(7), Some(main_id));
    drop(main);
    until(&mut controller, |log| log.down.len() == 1 + AUXILIARIES_MAX);
    assert_eq!(controller.links().datapath(7), None);
    // Who comes back before its old connection is known to be dead takes its place.
    let mut again = Peer::connect(at, 6);
    again.come_up(|| controller.turn(Some(Duration::from_millis(1))).unwrap());
    until(&mut controller, |log| log.down.len() == 2 + AUXILIARIES_MAX);
    assert_eq!(controller.connections(), 1);
    drop((other, auxiliaries, refused));
}

#[test]
fn other_threads_wake_it_and_deadlines_come() {
    let mut hub = hub(HubConfig::default());
    let (waker, done) = (hub.waker(), Arc::new(AtomicBool::new(false)));
    let thread = {
        let done = done.clone();
        std::thread::spawn(move || {
            std::thread::sleep(Duration::from_millis(20));
            done.store(true, Ordering::SeqCst);
            waker.wake();
        })
    };
    while hub.handler().woken == 0 {
        hub.turn(Some(PATIENCE)).unwrap();
    }
    assert!(done.load(Ordering::SeqCst));
    thread.join().unwrap();
    let due = hub.links().now() + Duration::from_millis(20);
    hub.handler().deadline = Some(due);
    while hub.handler().deadlines == 0 {
        hub.turn(Some(PATIENCE)).unwrap();
    }
    assert!(hub.links().now() >= due);
}
