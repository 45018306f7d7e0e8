//! `weft openflow switch` and `bench`, with the real binary: our switch between network namespaces, under controllers nobody here wrote.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use serde_json::Value;

/// Longer than anything here takes on a busy machine.
const PATIENCE: Duration = Duration::from_secs(90);
/// Stations of a lab.
const STATIONS: usize = 3;

/// A namespace with a switch's ends of cables, and one for each station. All of it goes with the value.
struct Lab {
    name: String,
    directory: tempfile::TempDir,
    programs: Vec<(String, Child)>,
}

impl Lab {
    fn new() -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let name = format!("wof{}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
        let lab = Self { name, directory: tempfile::tempdir().unwrap(), programs: Vec::new() };
        let switch = &lab.name;
        ip(&["netns", "add", switch]);
        ip(&["-n", switch, "link", "set", "lo", "up"]);
        for station in 1..=STATIONS {
            let (there, port) = (lab.station(station), format!("p{station}"));
            ip(&["netns", "add", &there]);
            ip(&[
                "-n", switch, "link", "add", &port, "type", "veth", "peer", "name", "eth0", "netns", &there,
            ]);
            ip(&["-n", switch, "link", "set", &port, "up"]);
            ip(&["-n", &there, "addr", "add", &format!("10.0.0.{station}/24"), "dev", "eth0"]);
            ip(&["-n", &there, "link", "set", "eth0", "up"]);
        }
        lab
    }

    fn station(&self, number: usize) -> String {
        format!("{}-{number}", self.name)
    }

    /// A program beside the switch.
    fn command(&self, program: impl AsRef<Path>) -> Command {
        let mut command = Command::new("ip");
        command.args(["netns", "exec", &self.name]).arg(program.as_ref()).current_dir(self.directory.path());
        command.env("OVS_RUNDIR", self.directory.path()).env("NO_COLOR", "1").stdin(Stdio::null());
        command
    }

    /// Starts a program; what it says is in a file of its name.
    fn start(&mut self, name: &str, command: &mut Command) {
        let said = File::create(self.directory.path().join(name)).unwrap();
        let child = command.stdout(said.try_clone().unwrap()).stderr(said).spawn().unwrap();
        self.programs.push((name.to_owned(), child));
    }

    fn said(&self, name: &str) -> String {
        std::fs::read_to_string(self.directory.path().join(name)).unwrap_or_default()
    }

    /// Starts the switch, and waits until it is there.
    fn start_switch(&mut self, arguments: &[&str]) {
        let mut command = self.command(env!("CARGO_BIN_EXE_weft"));
        command.args(["openflow", "switch", "--json", "--datapath-id", "abc"]);
        for station in 1..=STATIONS {
            command.args(["--port", &format!("veth:p{station}")]);
        }
        command.args(arguments);
        let summary = File::create(self.directory.path().join("summary")).unwrap();
        let said = File::create(self.directory.path().join("switch")).unwrap();
        self.programs.push(("switch".to_owned(), command.stdout(summary).stderr(said).spawn().unwrap()));
        self.until("the switch runs", |lab| lab.said("switch").contains("is running"));
    }

    /// Ends the switch; what it has counted.
    fn end_switch(&mut self) -> Value {
        self.stop("switch");
        serde_json::from_str(&self.said("summary")).unwrap_or_else(|_| panic!("{}", self.said("switch")))
    }

    /// Asks a program to end, which it must do.
    fn stop(&mut self, name: &str) {
        let at = self.programs.iter().position(|(known, _)| known == name).unwrap();
        let child = &mut self.programs[at].1;
        terminate(child);
        let begin = Instant::now();
        while child.try_wait().unwrap().is_none() {
            assert!(begin.elapsed() < PATIENCE, "{name} does not end");
            std::thread::sleep(Duration::from_millis(10));
        }
        self.programs.remove(at);
    }

    fn until(&mut self, what: &str, is_so: impl Fn(&Self) -> bool) {
        let begin = Instant::now();
        while !is_so(self) {
            let all = self.programs.iter().map(|(name, _)| format!("\n{name}: {}", self.said(name)));
            assert!(begin.elapsed() < PATIENCE, "{what}: never{}", all.collect::<String>());
            std::thread::sleep(Duration::from_millis(100));
        }
    }

    /// Whether so many pings from a station to another are all answered.
    fn pings(&self, from: usize, to: usize, count: usize) -> bool {
        let (count, to) = (count.to_string(), format!("10.0.0.{to}"));
        let mut ping = Command::new("ip");
        ping.args([
            "netns",
            "exec",
            &self.station(from),
            "ping",
            "-n",
            "-q",
            "-i",
            "0.05",
            "-W",
            "2",
            "-c",
            &count,
            &to,
        ]);
        let Output { stdout, .. } = ping.output().unwrap();
        String::from_utf8_lossy(&stdout).contains(&format!(" {count} received"))
    }

    /// Everybody reaches everybody.
    fn carries_traffic(&mut self) {
        self.until("the first ping", |lab| lab.pings(1, 2, 1));
        for (from, to) in [(1, 2), (2, 1), (1, 3), (3, 2)] {
            self.until("pings", |lab| lab.pings(from, to, 10));
        }
    }

    fn ofctl(&self, arguments: &[&str]) -> String {
        let output = self.command("ovs-ofctl").args(arguments).output().unwrap();
        assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8_lossy(&output.stdout).into_owned()
    }
}

impl Drop for Lab {
    fn drop(&mut self) {
        for (_, child) in &mut self.programs {
            let _ = child.kill();
            let _ = child.wait();
        }
        for station in 1..=STATIONS {
            let _ = Command::new("ip").args(["netns", "del", &self.station(station)]).output();
        }
        let _ = Command::new("ip").args(["netns", "del", &self.name]).output();
    }
}

fn ip(arguments: &[&str]) {
    let output = Command::new("ip").args(arguments).output().unwrap();
    assert!(output.status.success(), "ip {arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
}

/// `ip netns exec` becomes the program it runs, so the child is that program. It is not SIGINT: what a shell runs in the
/// background ignores that, its children do too, and Open vSwitch's programs leave it at that.
fn terminate(child: &Child) {
    let pid = rustix::process::Pid::from_child(child);
    rustix::process::kill_process(pid, rustix::process::Signal::TERM).unwrap();
}

/// Puts a controller in Python in place; where its programs are.
fn pypi(name: &str) -> PathBuf {
    let script = format!("{}/../../tests/pypi.sh", env!("CARGO_MANIFEST_DIR"));
    let output = Command::new(&script).arg(name).stdin(Stdio::null()).output().unwrap();
    assert!(output.status.success(), "{script} {name}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).trim().into()
}

fn connected(summary: &Value) -> &str {
    summary["controllers"][0]["version"].as_str().unwrap_or("")
}

#[test]
fn ovs_testcontroller_has_the_switch_learn_in_either_version() {
    for (version, named) in [("OpenFlow10", "OF1.0"), ("OpenFlow13", "OF1.3")] {
        let mut lab = Lab::new();
        let mut controller = lab.command("ovs-testcontroller");
        controller.args(["-O", version, "ptcp:6653:127.0.0.1"]);
        lab.start("controller", &mut controller);
        lab.start_switch(&["--controller", "tcp:127.0.0.1", "--listen", "ptcp:6654:127.0.0.1"]);
        lab.carries_traffic();
        let flows = lab.ofctl(&["-O", version, "dump-flows", "tcp:127.0.0.1:6654", "icmp"]);
        assert!(flows.contains("actions=output:"), "{flows}");
        let summary = lab.end_switch();
        assert_eq!((connected(&summary), &summary["datapath_id"]), (named, &"0000000000000abc".into()));
        assert!(
            summary["flows"].as_u64() > Some(0) && summary["packets_by_cache"].as_u64() > Some(0),
            "{summary}"
        );
        assert_eq!(summary["ports"][2]["up"], true);
    }
}

#[test]
fn os_ken_has_the_switch_learn_in_either_version() {
    let python = pypi("os-ken").join("python");
    for (version, named) in [("1.0", "OF1.0"), ("1.3", "OF1.3")] {
        let mut lab = Lab::new();
        let mut controller = lab.command(&python);
        controller
            .arg(format!("{}/tests/openflow_switch/l2.py", env!("CARGO_MANIFEST_DIR")))
            .args(["6653", version]);
        controller.env("OSKEN_HUB_TYPE", "eventlet");
        lab.start("controller", &mut controller);
        lab.start_switch(&["--controller", "tcp:127.0.0.1:6653"]);
        lab.carries_traffic();
        assert!(lab.said("controller").contains("switch 0000000000000abc"), "{}", lab.said("controller"));
        let summary = lab.end_switch();
        assert_eq!(connected(&summary), named);
        assert!(summary["flows"].as_u64() > Some(1), "{summary}");
    }
}

#[test]
fn faucet_runs_a_network_on_the_switch() {
    let programs = pypi("faucet");
    let mut lab = Lab::new();
    let directory = lab.directory.path().to_owned();
    let vlan = "vlans: {office: {vid: 100}}\n";
    let interfaces: String =
        (1..=STATIONS).map(|n| format!("      {n}: {{native_vlan: office}}\n")).collect();
    let datapath =
        format!("dps:\n  one:\n    dp_id: 0xabc\n    hardware: Open vSwitch\n    interfaces:\n{interfaces}");
    std::fs::write(directory.join("faucet.yaml"), [vlan, &datapath].concat()).unwrap();
    let mut controller = lab.command(programs.join("faucet"));
    // It starts another program of its own.
    let programs = programs.display();
    controller.env("PATH", format!("{programs}:{}", std::env::var("PATH").unwrap_or_default()));
    controller.args(["--ryu-ofp-tcp-listen-port=6653", "--ryu-ofp-listen-host=127.0.0.1"]);
    controller.env("FAUCET_CONFIG", directory.join("faucet.yaml")).env("FAUCET_LOG", directory.join("log"));
    controller
        .env("FAUCET_EXCEPTION_LOG", directory.join("exceptions"))
        .env("FAUCET_PROMETHEUS_ADDR", "127.0.0.1");
    controller.env("FAUCET_EVENT_SOCK_HEARTBEAT", "0");
    lab.start("controller", &mut controller);
    lab.start_switch(&["--controller", "tcp:127.0.0.1:6653", "--listen", "ptcp:6654:127.0.0.1"]);
    lab.carries_traffic();
    let flows = lab.ofctl(&["-O", "OpenFlow13", "dump-flows", "tcp:127.0.0.1:6654"]);
    assert!(flows.contains("goto_table"), "{flows}");
    let summary = lab.end_switch();
    assert_eq!(connected(&summary), "OF1.3");
    let wrong = lab.said("exceptions");
    assert!(wrong.trim().is_empty(), "{wrong}");
}

#[test]
fn a_switch_whose_controller_dies_forwards_by_itself_where_it_is_told_to() {
    let mut lab = Lab::new();
    let mut controller = lab.command("ovs-testcontroller");
    // No flows: all that passes goes by the controller.
    controller.args(["--noflow", "ptcp:6653:127.0.0.1"]);
    lab.start("controller", &mut controller);
    lab.start_switch(&["--controller", "tcp:127.0.0.1", "--fail", "standalone", "--grace", "2s"]);
    lab.until("the first ping", |lab| lab.pings(1, 2, 1));
    lab.stop("controller");
    lab.carries_traffic();
    assert_eq!(connected(&lab.end_switch()), "");

    let mut lab = Lab::new();
    lab.start_switch(&["--controller", "tcp:127.0.0.1", "--fail", "secure"]);
    assert!(!lab.pings(1, 2, 2));
    let summary = lab.end_switch();
    assert!(summary["controllers"][0]["problem"].as_str().unwrap().contains("refused"), "{summary}");
}

#[test]
fn large_tcp_segments_are_cut_and_arrive() {
    let mut lab = Lab::new();
    lab.start_switch(&["--listen", "ptcp:6654:127.0.0.1"]);
    lab.ofctl(&["add-flow", "tcp:127.0.0.1:6654", "actions=normal"]);
    let station = lab.station(1);
    let mut server = Command::new("ip");
    server.args(["netns", "exec", &station, "iperf3", "-s", "-1"]);
    lab.start("server", &mut server);
    let mut client = Command::new("ip");
    client.args(["netns", "exec", &lab.station(2), "iperf3", "-c", "10.0.0.1", "-n", "20M", "--json"]);
    let begin = Instant::now();
    let told = loop {
        // That there is no server yet is no failure to iperf3 where JSON is wanted.
        let output = client.output().unwrap();
        let told: Value = serde_json::from_slice(&output.stdout).unwrap_or_default();
        if told["end"]["sum_received"].is_object() {
            break told;
        }
        assert!(begin.elapsed() < PATIENCE, "{}", String::from_utf8_lossy(&output.stdout));
        std::thread::sleep(Duration::from_millis(100));
    };
    // It ends when all is sent: the rest is on its way.
    assert!(told["end"]["sum_sent"]["bytes"].as_u64() >= Some(20 << 20), "{told}");
    assert!(told["end"]["sum_received"]["bytes"].as_u64() >= Some(10 << 20), "{told}");
    let summary = lab.end_switch();
    assert_eq!(summary["dropped"], 0, "{summary}");
}

/// A flow monitor, as `ovs-ofctl` sets it up, sees what other connections and time do to the flows.
#[test]
fn ovs_ofctl_watches_the_switchs_flows() {
    for (version, named) in [("OpenFlow10", "NXST_FLOW_MONITOR"), ("OpenFlow13", "ONFST_FLOW_MONITOR")] {
        let mut lab = Lab::new();
        lab.start_switch(&["--listen", "ptcp:6654:127.0.0.1"]);
        lab.ofctl(&["-O", version, "add-flow", "tcp:127.0.0.1:6654", "in_port=1,actions=output:2"]);
        let mut watch = lab.command("ovs-ofctl");
        watch.args(["-O", version, "monitor", "tcp:127.0.0.1:6654", "watch:"]);
        lab.start("watch", &mut watch);
        lab.until("what is there", |lab| {
            lab.said("watch").contains("event=ADDED table=0 cookie=0 in_port=1 actions=output:2")
        });
        lab.ofctl(&["-O", version, "add-flow", "tcp:127.0.0.1:6654", "hard_timeout=1,ip,actions=normal"]);
        lab.ofctl(&["-O", version, "mod-flows", "tcp:127.0.0.1:6654", "in_port=1,actions=output:3"]);
        lab.ofctl(&["-O", version, "del-flows", "tcp:127.0.0.1:6654", "in_port=1"]);
        for event in [
            "event=ADDED table=0 hard_timeout=1 cookie=0 ip actions=NORMAL",
            "event=MODIFIED table=0 cookie=0 in_port=1 actions=output:3",
            "event=DELETED reason=delete table=0 cookie=0 in_port=1 actions=output:3",
            "event=DELETED reason=hard table=0 hard_timeout=1 cookie=0 ip actions=NORMAL",
        ] {
            lab.until(event, |lab| lab.said("watch").contains(event));
        }
        assert!(lab.said("watch").contains(named), "{}", lab.said("watch"));
    }
}

/// What `trace` says of a running switch is what becomes of packets, and none is sent for it.
#[test]
fn a_running_switch_explains_what_it_would_do() {
    let mut lab = Lab::new();
    let at = "tcp:127.0.0.1:6654";
    lab.start_switch(&["--listen", "ptcp:6654:127.0.0.1"]);
    let trace = |lab: &Lab| {
        let mut trace = lab.command(env!("CARGO_BIN_EXE_weft"));
        let output = trace
            .args(["openflow", "trace", "--switch", at, "in_port=1,ip,nw_dst=10.0.0.2"])
            .output()
            .unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    };
    assert!(trace(&lab).contains(" 0. no match"));
    for (version, port) in [("OpenFlow10", 2), ("OpenFlow13", 3)] {
        let flow = format!("priority=7,ip,nw_dst=10.0.0.2,actions=output:{port}");
        lab.ofctl(&["-O", version, "add-flow", at, &flow]);
        let told = trace(&lab);
        let lines = format!(" 0. ip,nw_dst=10.0.0.2, priority 7\n    output:{port}\n");
        assert!(told.contains(&lines) && told.contains(&format!("out of port {port}")), "{told}");
    }
    lab.ofctl(&["-O", "OpenFlow13", "add-group", at, "group_id=1,type=all,bucket=output:2,bucket=output:3"]);
    lab.ofctl(&["-O", "OpenFlow13", "add-flow", at, "priority=8,ip,actions=dec_ttl,group:1"]);
    let told = trace(&lab);
    assert!(told.contains("out of port 2") && told.contains("out of port 3"), "{told}");
    let flows = lab.ofctl(&["-O", "OpenFlow13", "dump-flows", at, "ip"]);
    assert!(flows.lines().skip(1).all(|flow| flow.contains("n_packets=0,")), "{flows}");
}

/// Ports of several kinds in one switch: a cable's end, and an interface that the switch makes for the system it runs on.
#[test]
fn a_cable_and_a_tap_are_ports_of_one_switch() {
    let mut lab = Lab::new();
    lab.start_switch(&["--port", "tap:t4", "--listen", "ptcp:6654:127.0.0.1"]);
    let name = lab.name.clone();
    // The system answers for an address where it has it, and not on the cables.
    for interface in ["all", "default"] {
        let set = format!("net.ipv4.conf.{interface}.arp_ignore=1");
        assert!(lab.command("sysctl").args(["-qw", &set]).status().unwrap().success());
    }
    ip(&["-n", &name, "addr", "add", "10.0.0.4/24", "dev", "t4"]);
    ip(&["-n", &name, "link", "set", "t4", "up"]);
    assert!(!lab.pings(1, 4, 1), "there is no flow yet");
    lab.ofctl(&["add-flow", "tcp:127.0.0.1:6654", "actions=normal"]);
    for from in 1..=STATIONS {
        lab.until("pings over the tap", |lab| lab.pings(from, 4, 10));
    }
    lab.carries_traffic();
    let summary = lab.end_switch();
    let tap = &summary["ports"][STATIONS];
    assert_eq!((tap["port"].as_str(), tap["up"].as_bool()), (Some("tap:t4"), Some(true)), "{summary}");
    for direction in ["rx_packets", "tx_packets"] {
        assert!(tap[direction].as_u64() >= Some(10 * STATIONS as u64), "{summary}");
    }
}

#[test]
fn the_load_generator_measures_a_controller() {
    let mut lab = Lab::new();
    let mut controller = lab.command("ovs-testcontroller");
    controller.arg("ptcp:6653:127.0.0.1");
    lab.start("controller", &mut controller);
    let pid = lab.programs[0].1.id().to_string();
    let weft = || lab.command(env!("CARGO_BIN_EXE_weft"));
    let begin = Instant::now();
    for mode in ["throughput", "latency"] {
        let output = loop {
            let mut bench = weft();
            bench.args([
                "openflow",
                "bench",
                "tcp:127.0.0.1:6653",
                "--switches",
                "4",
                "--hosts",
                "20",
                "--mode",
                mode,
            ]);
            bench.args(["--warm-up", "500ms", "--duration", "1s", "--pid", &pid, "--json"]);
            let output = bench.output().unwrap();
            if output.status.success() {
                break output;
            }
            assert!(begin.elapsed() < PATIENCE, "{}", String::from_utf8_lossy(&output.stderr));
        };
        let told: Value = serde_json::from_slice(&output.stdout).unwrap();
        assert!(told["responses_per_s"].as_f64() > Some(100.0), "{told}");
        assert!(told["responses_per_cpu_s"].as_f64() > Some(100.0), "{told}");
        assert_eq!(told["latency_us"].is_object(), mode == "latency", "{told}");
        assert_eq!(told["disconnected"], 0);
    }
    let output =
        weft().args(["openflow", "bench", "tcp:127.0.0.1:1", "--pid", "4294967295"]).output().unwrap();
    assert_eq!(output.status.code(), Some(1));
}
