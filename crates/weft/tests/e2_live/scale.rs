//! A function grows and shrinks while flows go through it, and whoever dies meanwhile.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader};
use std::net::{SocketAddr, UdpSocket};
use std::process::{Child, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

use rustix::net::sockopt::set_socket_recv_buffer_size_force;
use rustix::process::{Resource, getrlimit, setrlimit};
use serde_json::Value;

use crate::bed::{Bed, PATIENCE, RIGHT, must, pair};

const PORT: u16 = 7;

/// A flow from the left, each of whose datagrams comes back.
struct Flow {
    socket: UdpSocket,
    sent: u64,
    received: u64,
}

impl Flow {
    fn receive(&mut self) {
        let mut bytes = [0; 64];
        while self.socket.recv(&mut bytes).is_ok() {
            self.received += 1;
        }
    }
}

/// Flows: the first stay, the others are short.
struct Load<'a> {
    bed: &'a Bed,
    flows: Vec<Flow>,
    /// Sent and received by flows that have ended.
    ended: (u64, u64),
    begun: usize,
}

impl<'a> Load<'a> {
    fn new(bed: &'a Bed) -> Self {
        let limits = getrlimit(Resource::Nofile);
        setrlimit(Resource::Nofile, rustix::process::Rlimit { current: limits.maximum, ..limits }).unwrap();
        let socket = bed.right.within(|| UdpSocket::bind(("0.0.0.0", PORT)).unwrap());
        // What waits for a thread that has no core is not to be lost here.
        set_socket_recv_buffer_size_force(&socket, 8 << 20).unwrap();
        std::thread::spawn(move || {
            let mut bytes = [0; 64];
            while let Ok((count, from)) = socket.recv_from(&mut bytes) {
                let _ = socket.send_to(&bytes[..count], from);
            }
        });
        Self { bed, flows: Vec::new(), ended: (0, 0), begun: 0 }
    }

    fn begin(&mut self, count: usize) {
        let far = SocketAddr::new(RIGHT.parse().unwrap(), PORT);
        let new = self.bed.left.within(|| -> Vec<Flow> {
            let open = |_| {
                let socket = UdpSocket::bind(("0.0.0.0", 0)).unwrap();
                socket.connect(far).unwrap();
                socket.set_nonblocking(true).unwrap();
                Flow { socket, sent: 0, received: 0 }
            };
            (0..count).map(open).collect()
        });
        self.begun += count;
        self.flows.extend(new);
    }

    /// One datagram of each, `EVERY` apart.
    fn round(&mut self) {
        const EVERY: Duration = Duration::from_micros(300);
        let began = Instant::now();
        for (number, flow) in (0u32..).zip(&mut self.flows) {
            flow.receive();
            flow.socket.send(&flow.sent.to_be_bytes()).unwrap();
            flow.sent += 1;
            std::thread::sleep((began + EVERY * number).saturating_duration_since(Instant::now()));
        }
    }

    /// Ends all but the first, once what they have sent is back.
    fn keep(&mut self, count: usize) {
        self.settle();
        for flow in self.flows.drain(count.min(self.flows.len())..) {
            self.ended = (self.ended.0 + flow.sent, self.ended.1 + flow.received);
        }
    }

    /// Waits for what is on its way.
    fn settle(&mut self) {
        let end = Instant::now() + Duration::from_secs(3);
        while self.flows.iter().any(|flow| flow.received < flow.sent) && Instant::now() < end {
            std::thread::sleep(Duration::from_millis(5));
            self.flows.iter_mut().for_each(Flow::receive);
        }
    }

    /// Every flow is answered still: of what it sends from now on, something comes back.
    fn is_answered(&mut self) {
        self.settle();
        let before: Vec<u64> = self.flows.iter().map(|flow| flow.received).collect();
        let end = Instant::now() + PATIENCE;
        let silent = |load: &Self| {
            let now = load.flows.iter().zip(&before);
            now.filter(|(flow, before)| flow.received <= **before).count()
        };
        while silent(self) > 0 {
            assert!(Instant::now() < end, "{} of {} flows are dead", silent(self), before.len());
            self.round();
            self.settle();
        }
    }

    /// Datagrams that were sent, and that came back.
    fn counts(&mut self) -> (u64, u64) {
        self.settle();
        let sum = |of: fn(&Flow) -> u64| self.flows.iter().map(of).sum::<u64>();
        (self.ended.0 + sum(|flow| flow.sent), self.ended.1 + sum(|flow| flow.received))
    }
}

/// What the sites say has ended there, and where.
fn told_lost(bed: &Bed) -> BTreeMap<String, u64> {
    let status = bed.json(&["ps"]);
    let mut lost = BTreeMap::new();
    for site in status["sites"].as_array().unwrap() {
        for (cause, packets) in site["drops"].as_object().unwrap() {
            lost.insert(format!("{}: {cause}", site["name"]), packets.as_u64().unwrap());
        }
    }
    for instance in status["instances"].as_array().unwrap() {
        lost.insert(format!("{}: queue", instance["name"]), instance["overrun"].as_u64().unwrap());
    }
    lost.retain(|_, packets| *packets > 0);
    lost
}

/// `weft e2 scale`, and what it says.
struct Scaling {
    process: Child,
    lines: Receiver<String>,
}

impl Scaling {
    fn start(bed: &Bed, args: &[&str]) -> Self {
        let mut command = bed.weft(&[&["scale"], args].concat());
        let mut process = command.stdout(Stdio::piped()).spawn().unwrap();
        let output = BufReader::new(process.stdout.take().unwrap());
        let (tell, lines) = channel();
        std::thread::spawn(move || output.lines().map_while(Result::ok).try_for_each(|line| tell.send(line)));
        Self { process, lines }
    }

    /// Lets `meanwhile` go on until it has said so.
    fn until(&mut self, wanted: &str, mut meanwhile: impl FnMut()) {
        let end = Instant::now() + PATIENCE;
        while Instant::now() < end {
            while let Ok(line) = self.lines.try_recv() {
                println!("{line}");
                if line.contains(wanted) {
                    return;
                }
            }
            meanwhile();
        }
        panic!("it does not say `{wanted}`");
    }

    fn kill(mut self) {
        self.process.kill().unwrap();
        self.process.wait().unwrap();
    }
}

impl Drop for Scaling {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// One firewall that two servers have room for.
pub(crate) fn policy() -> String {
    include_str!("../../../e2/examples/live.yaml").replace("capacity: 600 Mbit/s", "capacity: 6 Gbit/s")
}

/// No flow is at two instances of the firewall; how many are at each.
pub(crate) fn shares(bed: &Bed) -> BTreeMap<String, usize> {
    let (mut shares, mut at) = (BTreeMap::new(), BTreeMap::new());
    for (instance, flow, _) in bed.flows() {
        if instance.starts_with("firewall") && flow.starts_with("udp") {
            *shares.entry(instance.clone()).or_default() += 1;
            if let Some(other) = at.insert(pair(&flow), instance.clone()) {
                panic!("{flow} is at {other} and at {instance}");
            }
        }
    }
    shares
}

#[test]
fn it_grows_and_shrinks_and_no_flow_changes_its_instance() {
    const STAY: usize = 1000;
    let bed = Bed::new();
    bed.up(&policy(), &["--idle", "10"]);
    let mut load = Load::new(&bed);
    load.begin(STAY);
    load.round();
    // The load doubles; half of it never ends.
    let mut out = Scaling::start(&bed, &["firewall", "out", "--wait", "2", "--entries", "100"]);
    out.until("converged", || {
        load.begin(100);
        load.round();
        if load.flows.len() > 2 * STAY {
            load.keep(STAY + STAY / 2);
        }
    });
    let (mut sent, mut back) = (0, 0);
    for _ in 0..2 {
        load.begin(100);
        load.round();
        (sent, back) = load.counts();
    }
    let grown = shares(&bed);
    println!("{} flows, {sent} datagrams; {grown:?}", load.begun);
    assert_eq!(back, sent, "{:#?}", told_lost(&bed));
    assert_eq!(grown.len(), 2);
    assert!(
        grown["firewall.1"] >= STAY && grown["firewall.2"] >= 50,
        "old ones stay, new ones are shared out"
    );
    load.is_answered();

    // All end; nothing is left of the way there.
    load.keep(0);
    out.until("over: moved", || std::thread::sleep(Duration::from_millis(20)));
    assert!(out.process.wait().unwrap().success());

    // The load is halved: one goes, and the flows that it has stay with it until they end.
    load.begin(STAY / 2);
    load.round();
    let mut inward = Scaling::start(&bed, &["firewall", "in", "--wait", "1", "--entries", "100"]);
    inward.until("converged", || {
        load.begin(20);
        load.round();
    });
    load.round();
    shares(&bed);
    let (sent, back) = load.counts();
    println!("{} flows, {sent} datagrams", load.begun);
    assert_eq!(back, sent, "{:#?}", told_lost(&bed));
    load.is_answered();
    load.keep(0);
    inward.until("over: moved", || std::thread::sleep(Duration::from_millis(20)));
    let status = bed.json(&["ps"]);
    let names: Vec<&str> =
        status["instances"].as_array().unwrap().iter().map(|one| one["name"].as_str().unwrap()).collect();
    assert_eq!(names, ["firewall.1", "monitor.1"]);
}

#[test]
fn a_manager_that_is_killed_is_followed_by_another_and_a_server_that_dies_loses_its_range() {
    let bed = Bed::new();
    bed.up(&policy(), &["--idle", "4"]);
    let mut load = Load::new(&bed);
    load.begin(200);
    load.round();
    // Killed in phase 1, and once the range has moved.
    let mut first = Scaling::start(&bed, &["firewall", "out", "--wait", "60"]);
    first.until("detour", || load.round());
    first.kill();
    load.begin(100);
    load.round();
    let mut second = Scaling::start(&bed, &["--continue", "--wait", "1", "--entries", "20"]);
    second.until("has moved", || load.round());
    second.kill();
    load.begin(100);
    load.round();
    let shared = shares(&bed);
    assert!(shared["firewall.1"] >= 200 && shared["firewall.2"] >= 20, "{shared:?}");
    load.is_answered();
    // The server of the new instance dies: its range goes back, and nothing is left half done.
    let status = bed.json(&["ps"]);
    let new = status["instances"].as_array().unwrap().iter().find(|one| one["name"] == "firewall.2").unwrap();
    let site = status["sites"].as_array().unwrap().iter().find(|site| site["name"] == new["site"]).unwrap();
    let pid = u32::try_from(site["pid"].as_u64().unwrap()).unwrap();
    host::ProcessId::of(pid).unwrap().kill(rustix::process::Signal::KILL).unwrap();
    let said = must(&mut bed.weft(&["scale", "--continue"]));
    println!("{said}");
    assert!(said.contains("all goes to the source") && said.contains("over: the target died"), "{said}");
    let mut again = Load { bed: &bed, flows: Vec::new(), ended: (0, 0), begun: 0 };
    again.begin(100);
    again.round();
    again.is_answered();
    let record = std::fs::read(bed.state.path().join("e2/test/record.json")).unwrap();
    let record: Value = serde_json::from_slice(&record).unwrap();
    assert!(record["moving"].as_array().unwrap().is_empty(), "{record:#}");
    let deployed = &record["deployed"];
    assert_eq!(deployed["functions"][0]["parts"].as_array().unwrap().len(), 1);
    assert!(
        deployed["instances"]
            .as_object()
            .unwrap()
            .values()
            .all(|one| one["detour"].is_null() && one["back"].is_null())
    );
}
