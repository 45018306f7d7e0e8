//! A blueprint that runs, with a prober in the network of each of its containers.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Write};
use std::net::{IpAddr, SocketAddr};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};

use quilt::address::AddressPlan;
use quilt::model::{Blueprint, Protocol};
use softnic::fabric::Policy;

use crate::harness::{Weft, Who};
use crate::prober::{How, Job, MARK, SAYS, Setup, TEST};
use crate::question::{EDGE, Question, ports};
use crate::sides::{FAMILIES, Packets};

/// How long nothing must have happened before what is open counts as denied, in milliseconds.
const PATIENCE_MS: u64 = 200;
/// The same where a yes was expected: the kernel asks again after one second, and after three.
const SECOND_PATIENCE_MS: u64 = 5_000;

/// A network namespace that goes when this does: host ports in it are nobody else's.
struct Netns(String);

impl Netns {
    fn new() -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let name = format!("weft-agree-{}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
        let netns = Self(name);
        netns.ip(&["netns", "add", &netns.0]);
        netns.ip(&["-n", &netns.0, "link", "set", "lo", "up"]);
        netns
    }

    fn ip(&self, arguments: &[&str]) {
        let run = Command::new("ip").args(arguments).output().expect("ip, which tests/install.sh installs");
        assert!(run.status.success(), "ip {arguments:?}: {}", String::from_utf8_lossy(&run.stderr));
    }

    fn option(&self) -> String {
        format!("--net=/run/netns/{}", self.0)
    }
}

impl Drop for Netns {
    fn drop(&mut self) {
        let _ = Command::new("ip").args(["netns", "delete", &self.0]).output();
    }
}

pub(crate) struct Running<'a> {
    blueprint: &'a Blueprint,
    probers: BTreeMap<String, Prober>,
    outside: Prober,
    addresses: BTreeMap<String, IpAddr>,
    addresses_v6: BTreeMap<String, IpAddr>,
    weft: Weft,
    // Last: it is in use until the rest is gone.
    _netns: Netns,
}

impl<'a> Running<'a> {
    /// Starts the blueprint of a file with the real binary, as root.
    pub(crate) fn up(path: &Path, blueprint: &'a Blueprint) -> Self {
        let weft = Weft::new(Who::Root);
        let netns = Netns::new();
        let mut up =
            within(&netns.option(), &weft.command(&["up", "-q", path.to_str().expect("a plain path")]));
        for secret in secrets(blueprint) {
            up.env(quilt::model::Text::secret_variable(&secret), "not told");
        }
        let run = up.output().expect("nsenter, of util-linux");
        assert!(run.status.success(), "{}: {}", path.display(), String::from_utf8_lossy(&run.stderr));
        let listing = weft.json(&["ps", "--json"]);
        let (mut addresses, mut addresses_v6) = (BTreeMap::new(), BTreeMap::new());
        let mut probers = BTreeMap::new();
        let setup = Setup { ports: ports(blueprint) };
        let rows = ["containers", "services"].map(|kind| listing[kind].as_array().expect("a list").clone());
        for row in rows.iter().flatten() {
            let name = row["name"].as_str().expect("a name").to_owned();
            let address =
                |family: &str| row[family].as_str().and_then(|text| text.parse().ok()).expect("an address");
            addresses.insert(name.clone(), address("ipv4"));
            addresses_v6.insert(name.clone(), address("ipv6"));
            if let Some(pid) = row.get("pid") {
                let pid = pid.as_u64().unwrap_or_else(|| panic!("{name} does not run: {row}"));
                probers.insert(name, Prober::start(&format!("--net=/proc/{pid}/ns/net"), &setup));
            }
        }
        if !blueprint.publishes.is_empty() {
            let edge = weft.carrier(&blueprint.name, "edge");
            probers.insert(EDGE.to_owned(), Prober::start(&format!("--net=/proc/{edge}/ns/net"), &setup));
        }
        let outside = Prober::start(&netns.option(), &Setup { ports: Vec::new() });
        let mut running = Self { blueprint, probers, outside, addresses, addresses_v6, weft, _netns: netns };
        for prober in running.probers.values_mut().chain([&mut running.outside]) {
            assert_eq!(prober.heard(), "ready");
        }
        running
    }

    /// What the dataplane says of its tables.
    pub(crate) fn policy(&self) -> Policy {
        serde_json::from_value(self.weft.json(&["why", "--all", "--json"])).expect("a policy")
    }

    /// Whether the dataplane explains a question as its tables have it.
    pub(crate) fn explains(&self, question: Question<'_>) -> bool {
        let (port, protocol) = (question.port.to_string(), question.protocol.to_string());
        let words = ["why", question.from, question.to, &port, "--protocol", &protocol, "--json"];
        let output = self.weft.run(&words);
        let told: serde_json::Value = serde_json::from_slice(&output.stdout).expect("JSON");
        told["allowed"].as_bool().expect("an answer")
    }

    /// Sends packets, all at once.
    pub(crate) fn ask<'q>(&mut self, questions: &[Question<'q>]) -> Packets<'q> {
        let reached = self.probe(questions, PATIENCE_MS);
        Packets { asked: questions.iter().copied().collect(), reached: reached.into_iter().collect() }
    }

    /// Sends those again that should have come through: a packet may be lost on a busy machine.
    pub(crate) fn ask_again<'q>(&mut self, questions: &[Question<'q>], packets: &mut Packets<'q>) {
        let reached = self.probe(questions, SECOND_PATIENCE_MS);
        packets.reached.extend(reached);
    }

    fn probe<'q>(&mut self, questions: &[Question<'q>], patience_ms: u64) -> Vec<(Question<'q>, bool)> {
        let mut of: BTreeMap<&str, Vec<(Question<'q>, bool)>> = BTreeMap::new();
        for question in questions {
            let asked = FAMILIES.map(|v6| (*question, v6));
            of.entry(question.from).or_default().extend(asked);
        }
        let gateway = AddressPlan::gateway();
        let gateways: Vec<SocketAddr> = vec![(gateway.ipv4, 53).into(), (gateway.ipv6, 53).into()];
        let target = |(question, v6): &(Question<'_>, bool)| {
            let addresses = if *v6 { &self.addresses_v6 } else { &self.addresses };
            let how = if question.protocol == Protocol::Tcp { How::Tcp } else { How::Udp };
            (SocketAddr::from((addresses[question.to], question.port)), how)
        };
        for (from, probes) in &of {
            let probes = probes.iter().map(target).collect();
            let job = Job { gateways: gateways.clone(), probes, patience_ms };
            self.probers.get_mut(*from).expect("its prober").tell(&job);
        }
        let mut reached = Vec::new();
        for (from, probes) in &of {
            let heard = self.probers.get_mut(*from).expect("its prober").heard();
            let places: Vec<usize> = serde_json::from_value(heard).expect("places in the list");
            reached.extend(places.into_iter().map(|at| probes[at]));
        }
        reached
    }

    /// Whether something comes back through every published port; returns those that are silent.
    pub(crate) fn silent_ports(&mut self) -> Vec<String> {
        let how = |protocol| if protocol == Protocol::Tcp { How::Talk } else { How::Udp };
        let local = |port| SocketAddr::from(([127, 0, 0, 1], port));
        let publishes = &self.blueprint.publishes;
        let probes =
            publishes.iter().map(|publish| (local(publish.host_port), how(publish.protocol))).collect();
        self.outside.tell(&Job { gateways: Vec::new(), probes, patience_ms: 1_000 });
        let places: Vec<usize> = serde_json::from_value(self.outside.heard()).expect("places in the list");
        let silent = publishes.iter().enumerate().filter(|(at, _)| !places.contains(at));
        silent.map(|(_, publish)| format!("{publish} ({})", publish.span)).collect()
    }

    /// Stops it, and sees that nothing is left.
    pub(crate) fn stop(mut self) {
        for prober in self.probers.values_mut().chain([&mut self.outside]) {
            prober.end();
        }
        self.weft.ok(&["stop", "--grace", "0", "--volumes"]);
        self.weft.nothing_left();
    }
}

fn secrets(blueprint: &Blueprint) -> Vec<String> {
    let texts = blueprint.containers.iter().flat_map(|one| one.env.values().chain(one.files.values()));
    let secret = |text: &quilt::model::Text| match text {
        quilt::model::Text::Secret { secret } => Some(secret.clone()),
        quilt::model::Text::Plain(_) => None,
    };
    texts.filter_map(secret).collect()
}

/// The same command in a network namespace.
fn within(netns: &str, command: &Command) -> Command {
    let mut moved = Command::new("nsenter");
    moved.arg(netns).arg("--").arg(command.get_program()).args(command.get_args());
    for (name, value) in command.get_envs() {
        match value {
            Some(value) => moved.env(name, value),
            None => moved.env_remove(name),
        };
    }
    if let Some(directory) = command.get_current_dir() {
        moved.current_dir(directory);
    }
    moved.stdin(Stdio::null());
    moved
}

struct Prober {
    process: Child,
    lines: std::io::Lines<BufReader<std::process::ChildStdout>>,
}

impl Prober {
    fn start(netns: &str, setup: &Setup) -> Self {
        let mut command = Command::new(std::env::current_exe().expect("this test"));
        command.args(["--ignored", "--exact", TEST, "--nocapture", "--test-threads", "1"]).env(MARK, "1");
        let mut command = within(netns, &command);
        let mut process =
            command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("nsenter, of util-linux");
        let lines = BufReader::new(process.stdout.take().expect("its output")).lines();
        let mut prober = Self { process, lines };
        prober.tell(setup);
        prober
    }

    fn tell(&mut self, what: &impl serde::Serialize) {
        let mut line = serde_json::to_vec(what).expect("JSON");
        line.push(b'\n');
        self.process.stdin.as_mut().expect("its input").write_all(&line).expect("to tell the prober");
    }

    fn heard(&mut self) -> serde_json::Value {
        loop {
            let line = self.lines.next().expect("the prober lives").expect("a line");
            if let Some(said) = line.strip_prefix(SAYS) {
                return serde_json::from_str(said).expect("JSON");
            }
        }
    }

    fn end(&mut self) {
        drop(self.process.stdin.take());
        let _ = self.process.wait();
    }
}

impl Drop for Prober {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
