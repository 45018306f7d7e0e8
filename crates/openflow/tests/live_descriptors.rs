//! Descriptors: none is leaked, and a process that has none left goes on. One test, since they are the whole process's.

mod peer;

use std::io::Write;
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use openflow::channel::{Config, ConnectionId, Down, Event, Up};
use openflow::live::{Handler, Hub, HubConfig, Links, Side, Target};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use peer::{Peer, descriptors};

/// Longer than anything here takes on a busy machine.
const PATIENCE: Duration = Duration::from_secs(20);

#[derive(Default)]
struct Count {
    down: usize,
    refused: usize,
}

impl Handler for Count {
    fn connected(&mut self, _links: &mut Links<'_>, _id: ConnectionId, _up: Up) {}
    fn event(&mut self, _links: &mut Links<'_>, _id: ConnectionId, _event: Event<'_>) {}
    fn disconnected(&mut self, _links: &mut Links<'_>, _id: ConnectionId, _reason: &Down) {
        self.down += 1;
    }
    fn refused(&mut self, _links: &mut Links<'_>, _peer: &str, _reason: &Down) {
        self.refused += 1;
    }
}

#[test]
fn descriptors_come_back_and_are_not_missed() {
    let mut hub = Hub::new(Count::default(), HubConfig::default()).unwrap();
    let at = hub
        .links()
        .listen(&"ptcp:0:127.0.0.1".parse().unwrap(), Side::Controller(Config::default()))
        .unwrap();
    let Target::Listen(at, _) = at else { panic!("{at}") };
    let mut good = Peer::connect(at, 1);
    good.come_up(|| hub.turn(Some(Duration::from_millis(1))).unwrap());

    a_thousand_reconnections_and_all_kinds_of_rubbish_leave_nothing_behind(&mut hub, at, &mut good);
    without_descriptors_listening_rests_and_those_who_are_there_are_served(&mut hub, at, &mut good);
}

fn a_thousand_reconnections_and_all_kinds_of_rubbish_leave_nothing_behind(
    hub: &mut Hub<Count>,
    at: SocketAddr,
    good: &mut Peer,
) {
    let (before, begin) = (descriptors(), Instant::now());
    for n in 0..1000 {
        let mut peer = TcpStream::connect(at).unwrap();
        let rubbish: &[u8] = match n % 7 {
            0 => b"",
            1 => b"GET / HTTP/1.1\r\n\r\n",
            2 => &[4, 0, 0, 8, 0, 0, 0, 1, 4, 6],
            3 => &[1, 0, 0, 8, 0, 0, 0, 1, 1, 6, 0, 7, 0, 0, 0, 1],
            4 => &[4, 0, 0, 8, 0, 0, 0, 1, 1, 6, 0, 8, 0, 0, 0, 1],
            5 => &[9, 1, 0, 8, 0, 0, 0, 1],
            _ => &[0xff; 4000],
        };
        // It may be closed on us before we are done.
        let _ = peer.write_all(rubbish);
        drop(peer);
        while n % 20 == 0 && hub.handler().refused <= n {
            // The good one is served all along.
            good.barrier(|| hub.turn(Some(Duration::from_millis(1))).unwrap());
            assert!(begin.elapsed() < PATIENCE);
        }
    }
    while hub.handler().refused < 1000 {
        hub.turn(Some(Duration::from_millis(1))).unwrap();
        assert!(begin.elapsed() < PATIENCE);
    }
    assert_eq!((hub.connections(), hub.counters().closed), (1, 1000));
    assert_eq!((descriptors(), hub.handler().down), (before, 0));
}

fn without_descriptors_listening_rests_and_those_who_are_there_are_served(
    hub: &mut Hub<Count>,
    at: SocketAddr,
    good: &mut Peer,
) {
    // Those who connect are here too: room for their ends and for one or two of ours.
    let crowd = 50;
    let limit = Rlimit {
        current: Some((descriptors() + crowd + 2) as u64),
        maximum: getrlimit(Resource::Nofile).maximum,
    };
    setrlimit(Resource::Nofile, limit).unwrap();
    let mut waiting: Vec<TcpStream> = (0..crowd).map(|_| TcpStream::connect(at).unwrap()).collect();
    let begin = Instant::now();
    while hub.counters().accept_pauses < 3 {
        good.barrier(|| hub.turn(Some(Duration::from_millis(1))).unwrap());
        assert!(begin.elapsed() < PATIENCE);
    }
    let there = hub.connections();
    assert!((1..10).contains(&there), "{there}");
    // It rests: three pauses are no busy loop.
    assert!(begin.elapsed() > Duration::from_millis(200), "{:?}", begin.elapsed());

    // When some leave, those who waited come in without anybody new connecting.
    waiting.truncate(20);
    while hub.connections() < 1 + 20 {
        good.barrier(|| hub.turn(Some(Duration::from_millis(1))).unwrap());
        assert!(begin.elapsed() < PATIENCE, "{}", hub.connections());
    }
}
