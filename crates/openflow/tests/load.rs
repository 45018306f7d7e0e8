//! The load generator against a small learning controller.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use openflow::Version;
use openflow::action::Action;
use openflow::channel::{Config, ConnectionId, Down, Event, Up};
use openflow::flow::{FlowMod, PacketOut};
use openflow::instruction::Instruction;
use openflow::live::{Handler, Hub, HubConfig, Links, Side, Target, Waker};
use openflow::load::{self, LoadConfig, LoadError, Phase};
use openflow::matching::Match;
use openflow::message::Body;
use openflow::port::PortNo;
use packet::wire::MacAddr;

/// Learns where addresses are, sends flows to known ones, floods the rest.
#[derive(Default)]
struct Learning {
    stations: HashMap<(ConnectionId, [u8; 6]), PortNo>,
    stop: Arc<AtomicBool>,
    /// Answers all but every such packet-in.
    forgets: u32,
    seen: u32,
}

impl Handler for Learning {
    fn connected(&mut self, _links: &mut Links<'_>, _id: ConnectionId, _up: Up) {}

    fn event(&mut self, links: &mut Links<'_>, id: ConnectionId, event: Event<'_>) {
        let Event::PacketIn(view) = event else { return };
        let mac = |at: usize| -> [u8; 6] { view.data[at..at + 6].try_into().unwrap() };
        self.stations.insert((id, mac(6)), view.in_port);
        self.seen += 1;
        let body = match self.stations.get(&(id, mac(0))) {
            _ if self.forgets != 0 && self.seen.is_multiple_of(self.forgets) => return,
            Some(&port) => Body::FlowMod(FlowMod {
                matching: Match::new().in_port(view.in_port).eth_dst(MacAddr(mac(0))),
                buffer: view.buffer,
                instructions: vec![Instruction::ApplyActions(vec![Action::output(port)])],
                ..FlowMod::default()
            }),
            None => Body::PacketOut(PacketOut {
                buffer: view.buffer,
                in_port: view.in_port,
                actions: vec![Action::output(PortNo::FLOOD)],
                data: Vec::new(),
            }),
        };
        links.send_body(id, &body).unwrap();
    }

    fn disconnected(&mut self, _links: &mut Links<'_>, _id: ConnectionId, _reason: &Down) {}

    fn woken(&mut self, links: &mut Links<'_>) {
        if self.stop.load(Ordering::SeqCst) {
            links.stop();
        }
    }
}

/// A controller on a thread of its own.
struct Controller {
    at: Target,
    stop: Arc<AtomicBool>,
    waker: Waker,
    thread: Option<JoinHandle<()>>,
}

impl Controller {
    fn start(forgets: u32) -> Self {
        let handler = Learning { forgets, ..Learning::default() };
        let stop = handler.stop.clone();
        let mut hub = Hub::new(handler, HubConfig::default()).unwrap();
        let listens = "ptcp:0:127.0.0.1".parse().unwrap();
        let at = hub.links().listen(&listens, Side::Controller(Config::default())).unwrap();
        let Target::Listen(at, tls) = at else { panic!("{at}") };
        let waker = hub.waker();
        let thread = Some(std::thread::spawn(move || hub.run().unwrap()));
        Self { at: Target::Dial(at, tls), stop, waker, thread }
    }

    fn load(&self, version: Version, window: Option<u32>) -> LoadConfig {
        LoadConfig {
            switches: 3,
            hosts: 100,
            version,
            window,
            warm_up: Duration::from_millis(200),
            duration: Duration::from_millis(300),
            ..LoadConfig::new(self.at.clone())
        }
    }
}

impl Drop for Controller {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::SeqCst);
        self.waker.wake();
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

#[test]
fn responses_are_counted_and_timed() {
    let controller = Controller::start(0);
    for version in Version::ALL {
        for window in [Some(1), Some(50)] {
            let mut phases = Vec::new();
            let report = load::run(&controller.load(version, window), |phase| phases.push(phase)).unwrap();
            assert_eq!(phases, [Phase::Connecting, Phase::WarmingUp, Phase::Measuring, Phase::Done]);
            assert!(report.flow_mods > 100, "{report:?}");
            assert_eq!((report.packet_outs, report.lost, report.disconnected), (0, 0, 0), "{report:?}");
            assert_eq!(report.latency.count(), report.flow_mods);
            assert!(
                report.latency.quantile(0.5) > 0 && report.latency.max() >= report.latency.quantile(0.99)
            );
            // What is sent is answered, but for the windows that are open at either end.
            let open = 2 * 3 * u64::from(window.unwrap());
            assert!(report.packet_ins.abs_diff(report.flow_mods) <= open, "{report:?}");
            let (fewest, most) = report.flow_mods_per_switch;
            assert!(
                fewest > 0 && fewest * 3 <= report.flow_mods && most * 3 >= report.flow_mods,
                "{report:?}"
            );
        }
        let report = load::run(&controller.load(version, None), |_| {}).unwrap();
        assert!(report.flow_mods > 1000, "{report:?}");
        assert_eq!((report.disconnected, report.latency.count()), (0, 0));
        assert!(report.flow_mods_per_switch.0 > 0, "{report:?}");
    }
}

#[test]
fn what_is_not_answered_is_given_up() {
    let controller = Controller::start(100);
    let config = LoadConfig {
        hosts: 8,
        duration: Duration::from_millis(2500),
        ..controller.load(Version::V10, Some(1))
    };
    let report = load::run(&config, |_| {}).unwrap();
    assert!(report.lost > 0 && report.flow_mods > 0, "{report:?}");
}

#[test]
fn many_switches_connect() {
    let controller = Controller::start(0);
    let config =
        LoadConfig { switches: 300, duration: Duration::ZERO, ..controller.load(Version::V13, None) };
    let report = load::run(&config, |_| {}).unwrap();
    assert!(!report.connect_time.is_zero() && report.flow_mods == 0);
}

#[test]
fn what_makes_no_sense_is_said() {
    let gone = Controller::start(0).at.clone();
    let config = LoadConfig { connect_timeout: Duration::from_millis(300), ..LoadConfig::new(gone) };
    match load::run(&config, |_| {}) {
        Err(LoadError::NotUp { up: 0, of: 1, reason: Some(reason), .. }) => {
            assert!(reason.contains("refused"), "{reason}");
        }
        other => panic!("{other:?}"),
    }
    for wrong in [
        LoadConfig { switches: 0, ..config.clone() },
        LoadConfig { hosts: 1, ..config.clone() },
        LoadConfig { ports: 1, ..config.clone() },
        LoadConfig { window: Some(0), ..config.clone() },
    ] {
        assert!(matches!(load::run(&wrong, |_| {}), Err(LoadError::Config(_))));
    }
}
