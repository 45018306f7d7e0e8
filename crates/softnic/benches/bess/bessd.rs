//! A bessd that was built elsewhere, beside ours: the same calls of BESS's interface build the same graphs in both, and each is
//! measured while the other one rests.

use std::collections::BTreeMap;
use std::fs;
use std::net::{Ipv4Addr, SocketAddr};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use prost::Name;
use softnic::bess::{Bess, Client, Config, pack, pb};

use crate::flows::{FRAME, STATIONS, hot_set, station};
use crate::peer::median;

const ROUNDS: usize = 5;
const TIME: Duration = Duration::from_millis(400);
const PATIENCE: Duration = Duration::from_secs(30);
/// A module between source and sink: its class and arguments, and commands that it gets.
struct Step {
    class: &'static str,
    arg: prost_types::Any,
    commands: Vec<(&'static str, prost_types::Any)>,
    /// The gate by which packets leave.
    out: u64,
}

fn step(class: &'static str, arg: &impl Name) -> Step {
    Step { class, arg: pack(arg), commands: Vec::new(), out: 0 }
}

fn rewrite() -> Step {
    step("Rewrite", &pb::RewriteArg { templates: hot_set() })
}

/// Address by address: bessd's `populate` fills in others than it is asked for.
fn l2() -> Step {
    let entry = |number| pb::l2_forward_command_add_arg::Entry { addr: station(number).to_string(), gate: 0 };
    let add = pb::L2ForwardCommandAddArg { entries: (0..=u8::MAX).map(entry).collect() };
    let arg = pb::L2ForwardArg { size: STATIONS as i64, bucket: 4 };
    Step { commands: vec![("add", pack(&add))], ..step("L2Forward", &arg) }
}

/// Nine rules that are no packet's, and one that is every packet's.
fn acl() -> Step {
    let rule = |destination: String, drop| pb::acl_arg::Rule {
        src_ip: "10.0.0.0/8".into(),
        dst_ip: destination,
        drop,
        ..Default::default()
    };
    let others =
        (0..9).map(|number| pb::acl_arg::Rule { dst_port: 80, ..rule(format!("192.{number}.0.0/16"), true) });
    step("ACL", &pb::AclArg { rules: others.chain([rule("198.18.0.0/15".into(), false)]).collect() })
}

/// 200 networks and a default.
fn lpm() -> Step {
    let add = |address: Ipv4Addr, len| {
        ("add", pack(&pb::IpLookupCommandAddArg { prefix: address.to_string(), prefix_len: len, gate: 0 }))
    };
    let networks = (0..200).map(|number| add(Ipv4Addr::new(198, 18, number, 0), 24));
    let commands = networks.chain([add(Ipv4Addr::UNSPECIFIED, 0)]).collect();
    Step { commands, ..step("IPLookup", &pb::IpLookupArg { max_rules: 1024, max_tbl8s: 128 }) }
}

fn nat() -> Step {
    let address = pb::nat_arg::ExternalAddress { ext_addr: "192.0.2.1".into(), port_ranges: Vec::new() };
    Step { out: 1, ..step("NAT", &pb::NatArg { ext_addrs: vec![address] }) }
}

fn plain(class: &'static str) -> Step {
    step(class, &pb::EmptyArg {})
}

fn rows() -> Vec<(&'static str, Vec<Step>)> {
    vec![
        ("source → sink", Vec::new()),
        ("plus 8 Bypass", (0..8).map(|_| step("Bypass", &pb::BypassArg::default())).collect()),
        ("rewrite", vec![rewrite()]),
        ("rewrite, macswap", vec![rewrite(), plain("MACSwap")]),
        ("rewrite, L2Forward (256 entries)", vec![rewrite(), l2()]),
        ("rewrite, ACL (10 rules)", vec![rewrite(), acl()]),
        ("rewrite, IPLookup (201 prefixes)", vec![rewrite(), lpm()]),
        (
            "rewrite, UpdateTTL, IPChecksum",
            vec![rewrite(), plain("UpdateTTL"), step("IPChecksum", &pb::IpChecksumArg::default())],
        ),
        ("**rewrite, L2, ACL, LPM, TTL**", vec![rewrite(), l2(), acl(), lpm(), plain("UpdateTTL")]),
        ("rewrite, NAT (32 flows)", vec![rewrite(), nat()]),
    ]
}

/// A daemon with a client.
struct Daemon {
    client: Client,
    /// The process whose busiest thread is its worker.
    process: u32,
}

impl Daemon {
    /// Builds a graph, which rests.
    fn build(&mut self, steps: &[Step]) {
        let client = &mut self.client;
        client.reset_all(pb::EmptyRequest {}).expect("reset");
        client
            .add_worker(pb::AddWorkerRequest { wid: 0, core: 0, scheduler: String::new() })
            .expect("a worker");
        let mut create = |name: &str, class: &str, arg| {
            let request = pb::CreateModuleRequest { name: name.into(), mclass: class.into(), arg: Some(arg) };
            client.create_module(request).unwrap_or_else(|error| panic!("{class}: {error}"));
        };
        create("source", "Source", pack(&pb::SourceArg { pkt_size: FRAME as u64 }));
        create("sink", "Sink", pack(&pb::EmptyArg {}));
        for (at, step) in steps.iter().enumerate() {
            create(&format!("m{at}"), step.class, step.arg.clone());
        }
        let mut from = ("source".to_owned(), 0);
        for (at, step) in steps.iter().enumerate() {
            for (cmd, arg) in &step.commands {
                let request =
                    pb::CommandRequest { name: format!("m{at}"), cmd: (*cmd).into(), arg: Some(arg.clone()) };
                client.module_command(request).unwrap_or_else(|error| panic!("{cmd}: {error}"));
            }
            connect(client, &from, &format!("m{at}"));
            from = (format!("m{at}"), step.out);
        }
        connect(client, &from, "sink");
        let class = pb::TrafficClass { leaf_module_name: "source".into(), wid: 0, ..Default::default() };
        client.update_tc_parent(pb::UpdateTcParentRequest { class: Some(class) }).expect("the worker");
    }

    /// Packets that the source has made.
    fn packets(&mut self) -> u64 {
        let classes = self.client.list_tcs(pb::ListTcsRequest { wid: 0 }).expect("classes").classes_status;
        let of = |class: &pb::TrafficClass| class.leaf_module_name == "source";
        let leaf =
            classes.into_iter().filter_map(|status| status.class).find(of).expect("the source's class");
        self.client.get_tc_stats(pb::GetTcStatsRequest { name: leaf.name }).expect("its counts").packets
    }

    /// CPU nanoseconds of its worker for a packet, for a while.
    fn measure(&mut self) -> f64 {
        self.client.resume_all(pb::EmptyRequest {}).expect("to go on");
        std::thread::sleep(TIME / 4);
        let (packets, before) = (self.packets(), threads(self.process));
        std::thread::sleep(TIME);
        let (more, after) = (self.packets(), threads(self.process));
        self.client.pause_all(pb::EmptyRequest {}).expect("a pause");
        for module in self.client.list_modules(pb::EmptyRequest {}).expect("modules").modules {
            let request = pb::GetModuleInfoRequest { name: module.name.clone() };
            let lost = self.client.get_module_info(request).expect("what it is").deadends;
            assert_eq!(
                lost, 0,
                "a graph of this table drops nothing, but {} of {}",
                module.name, self.process
            );
        }
        let used = after.iter().map(|(thread, ns)| ns - before.get(thread).copied().unwrap_or(0)).max();
        used.unwrap_or(0) as f64 / (more - packets) as f64
    }
}

fn connect(client: &mut Client, (from, ogate): &(String, u64), to: &str) {
    // Without the counters that BESS hooks into gates: ours counts in any case.
    let request = pb::ConnectModulesRequest {
        m1: from.clone(),
        m2: to.into(),
        ogate: *ogate,
        igate: 0,
        skip_default_hooks: true,
    };
    client.connect_modules(request).unwrap_or_else(|error| panic!("{from} to {to}: {error}"));
}

/// CPU nanoseconds of each thread of a process; one may end meanwhile.
fn threads(process: u32) -> BTreeMap<String, u64> {
    let tasks = fs::read_dir(format!("/proc/{process}/task")).expect("its threads").flatten();
    let used = |task: fs::DirEntry| {
        let text = fs::read_to_string(task.path().join("schedstat")).ok()?;
        let ns = text.split(' ').next()?.parse().ok()?;
        Some((task.file_name().to_string_lossy().into_owned(), ns))
    };
    tasks.filter_map(used).collect()
}

/// A bessd in a process of its own, which as ours has no huge pages.
struct Process {
    child: Child,
    _directory: tempfile::TempDir,
}

impl Process {
    fn start(program: &str) -> (Self, SocketAddr) {
        let directory = tempfile::tempdir().expect("a directory");
        let listener = std::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port");
        let address = listener.local_addr().expect("a port");
        let child = Command::new(program)
            .args(["--f", "--no_crashlog", "--m=0", &format!("--grpc_url={address}")])
            .arg(format!("--i={}", directory.path().join("pid").display()))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap_or_else(|error| panic!("{program}: {error}"));
        (Self { child, _directory: directory }, address)
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The table, with the bessd of that name.
pub(crate) fn beside(program: &str) {
    let (process, address) = Process::start(program);
    let deadline = Instant::now() + PATIENCE;
    let client = loop {
        match Client::connect(address) {
            Ok(client) => break client,
            Err(error) => assert!(Instant::now() < deadline, "{program}: {error}"),
        }
        std::thread::sleep(Duration::from_millis(100));
    };
    let mut theirs = Daemon { client, process: process.child.id() };
    let bess = Bess::start(Config::default()).expect("a daemon");
    let mut ours = Daemon { client: Client::within(bess), process: std::process::id() };
    println!("\n| graph | bessd, ns | weft, ns | bessd / weft |\n|---|---|---|---|");
    for (name, steps) in rows() {
        theirs.build(&steps);
        ours.build(&steps);
        let measured: (Vec<f64>, Vec<f64>) = (0..ROUNDS).map(|_| (theirs.measure(), ours.measure())).unzip();
        let (theirs, ours) = (median(measured.0), median(measured.1));
        println!("| {name} | {theirs:.2} | {ours:.2} | {:.2} |", theirs / ours);
    }
}
