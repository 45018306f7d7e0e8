//! `weft e2 watch`: functions grow and shrink by themselves, and what dies is started again.

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

use e2::live::{Site, Store};
use e2::policy::Policy;
use rustix::process::Signal;
use serde_json::Value;

use crate::bed::{Bed, LEFT, PATIENCE, RIGHT, must};
use crate::scale::shares;
use crate::traffic::Traffic;

/// A watch, and what it says.
pub(crate) struct Watch {
    process: Child,
    lines: Receiver<String>,
}

impl Watch {
    fn start(bed: &Bed, args: &[&str]) -> Self {
        let often = ["watch", "--every", "0.25", "--pause", "1", "--wait", "2", "--entries", "20"];
        Self::with(bed, &[&often, args].concat())
    }

    pub(crate) fn with(bed: &Bed, args: &[&str]) -> Self {
        let mut command = bed.weft(args);
        let mut process = command.stdout(Stdio::piped()).spawn().unwrap();
        let output = BufReader::new(process.stdout.take().unwrap());
        let (tell, lines) = channel();
        std::thread::spawn(move || output.lines().map_while(Result::ok).try_for_each(|line| tell.send(line)));
        Self { process, lines }
    }

    /// Waits until it has said so.
    fn until(&mut self, wanted: &str) {
        let end = Instant::now() + PATIENCE;
        while let Some(left) = end.checked_duration_since(Instant::now()) {
            let Ok(line) = self.lines.recv_timeout(left) else { break };
            println!("{line}");
            if line.contains(wanted) {
                return;
            }
        }
        panic!("it does not say `{wanted}`");
    }

    /// What it says in this time.
    fn during(&self, time: Duration) -> Vec<String> {
        std::thread::sleep(time);
        self.lines.try_iter().collect()
    }

    /// By SIGKILL.
    pub(crate) fn kill(mut self) {
        self.process.kill().unwrap();
        self.process.wait().unwrap();
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn names(bed: &Bed) -> Vec<String> {
    let status = bed.json(&["ps"]);
    let instances = status["instances"].as_array().unwrap().iter();
    instances.map(|one| one["name"].as_str().unwrap().to_owned()).collect()
}

fn record(bed: &Bed) -> Value {
    serde_json::from_slice(&std::fs::read(bed.state.path().join("e2/test/record.json")).unwrap()).unwrap()
}

/// Kills the process of a site.
fn kill_site(bed: &Bed, name: &str) {
    let record = record(bed);
    let site = record["sites"].as_array().unwrap().iter().find(|site| site["name"] == name).unwrap();
    kill(&site["process"]);
}

/// Takes an instance out of its site, as if it had died.
fn remove(bed: &Bed, name: &str) {
    let record = Store::new(bed.state.path()).known("test").unwrap();
    let policy = Policy::read(&record.policy).unwrap();
    let mut all = record.deployed.instances.iter();
    let (id, placed) = all.find(|(id, _)| record.deployed.name(&policy, **id) == name).unwrap();
    let mut site = Site::connect(&record.sites[placed.site]).unwrap();
    site.remove_function(*id, placed).unwrap();
}

fn kill(process: &Value) {
    let process: host::ProcessId = serde_json::from_value(process.clone()).unwrap();
    assert!(process.kill(Signal::KILL).unwrap(), "it lives");
}

fn all_live(bed: &Bed) {
    let status = bed.json(&["ps"]);
    for site in status["sites"].as_array().unwrap() {
        assert!(site["error"].is_null(), "{status:#}");
    }
    assert!(status["moving"].as_array().unwrap().is_empty(), "{status:#}");
}

#[test]
fn a_load_that_doubles_and_halves_is_followed_and_no_flow_changes_its_instance() {
    // A datagram of 942 bytes there and back is 15 kbit: 200 a second are 3 Mbit/s.
    let policy = include_str!("../../../e2/examples/live.yaml")
        .replace("capacity: 600 Mbit/s", "capacity: 5 Mbit/s")
        .replace("rate: 1 Gbit/s", "rate: 2 Mbit/s")
        .replace("rate: 100 Mbit/s", "rate: 2 Mbit/s");
    let swift = ["--reports", "4", "--calm", "8", "--low", "70%"];
    let bed = Bed::new();
    bed.up(&policy, &["--idle", "3"]);
    let traffic = Traffic::start(&bed, 60, 200);
    let mut watch = Watch::start(&bed, &swift);
    let said = watch.during(Duration::from_secs(3));
    assert!(said.is_empty(), "3 of 5 Mbit/s are neither too much nor too little: {said:?}");

    // Twice as much. The watch is killed on the way, and another goes on.
    traffic.rate(400);
    watch.until("firewall.1 gets");
    watch.until("new flows take the detour");
    watch.kill();
    let mut watch = Watch::start(&bed, &swift);
    watch.until("firewall.1 gets");
    watch.until("converged");
    traffic.is_answered();
    let grown = shares(&bed);
    println!("{grown:?}");
    assert_eq!(grown.len(), 2);
    let top = must(&mut bed.weft(&["top", "--once"]));
    println!("{top}");
    assert!(top.contains("managed by process") && top.contains("and carries 5 Mbit/s"), "{top}");
    // Nobody else is to scale meanwhile.
    let other = bed.weft(&["scale", "firewall", "out"]).output().unwrap();
    let error = String::from_utf8_lossy(&other.stderr).into_owned();
    assert!(error.contains("is managed by process"), "{error}");
    watch.until("over: moved");
    shares(&bed);

    // Half as much.
    traffic.rate(150);
    watch.until("with its neighbour");
    watch.until("converged");
    shares(&bed);
    traffic.is_answered();
    watch.until("over: moved");
    assert_eq!(names(&bed), ["firewall.1", "monitor.1"]);
    traffic.is_answered();
    let (sent, back) = traffic.counts();
    println!("{sent} datagrams, {} not back yet", sent - back);
    all_live(&bed);
    // Who ends the policy ends who would start it again.
    must(&mut bed.weft(&["stop"]));
    assert!(!watch.process.wait().unwrap().success());
}

#[test]
fn whatever_dies_is_started_again_and_service_resumes() {
    let bed = Bed::new();
    bed.up(include_str!("../../../e2/examples/live.yaml"), &["--idle", "4"]);
    let traffic = Traffic::start(&bed, 60, 200);
    let patient = ["--calm", "1000"];
    let mut watch = Watch::start(&bed, &patient);
    traffic.is_answered();
    let both = shares(&bed);
    assert_eq!(both.len(), 2, "two firewalls: {both:?}");

    // A server. It gets its own hashes back.
    let parts = record(&bed)["deployed"]["functions"].clone();
    kill_site(&bed, "s1");
    watch.until("s1: has died and is started again; lost is the state of ");
    watch.until("s1: is back");
    traffic.is_answered();
    assert_eq!(record(&bed)["deployed"]["functions"], parts);
    assert_eq!(shares(&bed).len(), 2);

    // An instance that is gone though its site lives.
    let gone = names(&bed).into_iter().find(|name| name.starts_with("monitor")).unwrap();
    remove(&bed, &gone);
    watch.until(&format!("{gone}: has died and is started again; lost is the state of {gone}"));
    watch.until(&format!("{gone}: is back"));
    traffic.is_answered();

    // The other one, and the watch while it starts it.
    kill_site(&bed, "s2");
    watch.until("s2: has died");
    watch.kill();
    let mut watch = Watch::start(&bed, &patient);
    watch.until("s2: is back");
    traffic.is_answered();

    // The switch, with all wires.
    kill_site(&bed, "tor");
    watch.until("tor: is back");
    traffic.is_answered();
    all_live(&bed);
    let top = must(&mut bed.weft(&["top", "--once"]));
    assert!(top.contains("tor: is back after"), "{top}");

    // A server in the middle of a shift, before the range has moved and after it, and the manager with it.
    for (wait, phase, end) in [("60", "detour", "target"), ("0", "has moved", "source")] {
        watch.kill();
        let mut out = bed.weft(&["scale", "firewall", "out", "--wait", wait]);
        let mut out = out.stdout(Stdio::piped()).spawn().unwrap();
        let mut lines = BufReader::new(out.stdout.take().unwrap()).lines().map_while(Result::ok);
        assert!(lines.any(|line| line.contains(phase)), "the shift comes to `{phase}`");
        out.kill().unwrap();
        out.wait().unwrap();
        let now = record(&bed);
        let instance = now["moving"][0]["moving"][end].to_string();
        let site = now["deployed"]["instances"][&instance]["site"].as_u64().unwrap();
        kill(&now["sites"][usize::try_from(site).unwrap()]["process"]);
        watch = Watch::start(&bed, &patient);
        watch.until("over: ");
        watch.until("is back");
        traffic.is_answered();
        all_live(&bed);
        shares(&bed);
        println!("{:?}", names(&bed));
    }
    let (sent, back) = traffic.counts();
    println!("{sent} datagrams, {} not back yet", sent - back);
}

#[test]
fn a_legacy_instance_that_dies_is_set_up_again() {
    let bed = Bed::new();
    for (namespace, other, address) in [(&bed.left, &bed.right, RIGHT), (&bed.right, &bed.left, LEFT)] {
        let mac = other.run("cat", &["/sys/class/net/eth0/address"]);
        namespace.run("ip", &["neigh", "add", address, "lladdr", mac.trim(), "dev", "eth0"]);
    }
    bed.up(crate::LEGACY, &[]);
    bed.echo(80);
    bed.talk(80);
    let mut watch = Watch::start(&bed, &[]);
    let refused = |packets: u64| {
        // Its counters are new, and its rule is there again.
        let pid = record(&bed)["held"][0]["process"]["pid"].to_string();
        let counters = must(Command::new("nsenter").args(["-t", &pid, "-n", "nft", "list", "counters"]));
        let behind = counters.split("passed").nth(1).unwrap().split("packets ").nth(1).unwrap();
        let passed: u64 = behind.split(' ').next().unwrap().parse().unwrap();
        assert!((1..packets).contains(&passed), "{counters}");
    };
    // The instance, then its server with it.
    kill(&record(&bed)["held"][0]["process"]);
    watch.until("nft.1: is back");
    bed.talk(80);
    refused(100);
    let now = record(&bed);
    let site = now["deployed"]["instances"]["0"]["site"].as_u64().unwrap();
    let name = now["sites"][usize::try_from(site).unwrap()]["name"].as_str().unwrap().to_owned();
    kill_site(&bed, &name);
    watch.until(&format!("{name}: is back"));
    bed.talk(80);
    refused(100);
    all_live(&bed);
}
