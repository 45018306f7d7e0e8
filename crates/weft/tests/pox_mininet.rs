//! `weft pox` under Mininet's `mn`: its topologies, its switches, its `pingall` and its iperf.
//!
//! Mininet wants Open vSwitch to run system-wide, raises limits of the machine, and on any trouble kills programs by name and
//! empties `/tmp`. So it has a world of its own: the lab's network namespace, a mount namespace in which the lab's Open vSwitch
//! is the system's, `/tmp` is empty and `/proc/sys` cannot be written, and a process namespace in which there is nobody
//! else; when `mn` ends, everything in there does.

#[path = "pox_ovs/lab.rs"]
mod lab;

use std::io::{Read, Write};
use std::process::{Child, ChildStdin, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::Instant;

use lab::{Lab, PATIENCE, eventually};
use serde_json::Value;

const WEB: &str = "web.webcore web.jsonrpc openflow.of_service openflow.topology host_tracker";
/// What `mn` says when it waits for a command.
const PROMPT: &str = "mininet> ";
/// Makes `mn`'s world and becomes `mn`.
const WORLD: &str = r#"set -e
mount -t tmpfs tmpfs /run
mkdir /run/openvswitch
mount --bind "$OVS_RUNDIR" /run/openvswitch
mount -t tmpfs tmpfs /tmp
mount --bind -o ro /proc/sys /proc/sys
unset OVS_RUNDIR OVS_LOGDIR
export HOME=/tmp
exec "$@"
"#;

/// `mn`, at its prompt. Dropped, it is killed, and with it what it has started.
struct Mininet<'a> {
    lab: &'a Lab,
    child: Child,
    commands: ChildStdin,
    said: Receiver<Vec<u8>>,
}

impl<'a> Mininet<'a> {
    /// Starts it. Checksums are left to no device (`--link tcu`), since the userspace datapath does not finish them.
    fn start(lab: &'a Lab, topology: &str, protocols: &str) -> Self {
        let unshare = ["unshare", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc"];
        let switch = format!("ovsk,datapath=user,protocols={protocols}");
        let mn = ["mn", "--topo", topology, "--switch", &switch, "--link", "tcu", "--mac"];
        let mut command = lab.command_in("sw", &[&unshare[..], &["sh", "-c", WORLD, "sh"], &mn].concat());
        command.args(["--controller", "remote,ip=127.0.0.1,port=6653"]);
        command.stdin(Stdio::piped()).stdout(Stdio::piped());
        command.stderr(std::fs::File::create(lab.path("mn.log")).unwrap());
        let mut child = command.spawn().unwrap();
        let (mut output, commands) = (child.stdout.take().unwrap(), child.stdin.take().unwrap());
        let (sender, said) = channel();
        std::thread::spawn(move || {
            let mut bytes = [0; 4096];
            while let Ok(count @ 1..) = output.read(&mut bytes) {
                if sender.send(bytes[..count].to_vec()).is_err() {
                    return;
                }
            }
        });
        let mininet = Self { lab, child, commands, said };
        mininet.hear();
        mininet
    }

    /// What it says until the next prompt, or until it ends.
    fn hear(&self) -> String {
        let end = Instant::now() + PATIENCE;
        let mut bytes = Vec::new();
        loop {
            match self.said.recv_timeout(end.saturating_duration_since(Instant::now())) {
                Ok(more) => bytes.extend(more),
                Err(RecvTimeoutError::Disconnected) => break,
                Err(RecvTimeoutError::Timeout) => panic!("mn waits: {}", self.all(&bytes)),
            }
            if bytes.ends_with(PROMPT.as_bytes()) {
                break;
            }
        }
        self.all(&bytes)
    }

    /// What it says to the prompt, and to its log so far.
    fn all(&self, bytes: &[u8]) -> String {
        let log = std::fs::read_to_string(self.lab.path("mn.log")).unwrap();
        format!("{}{log}", String::from_utf8_lossy(bytes))
    }

    /// A command of Mininet's: what comes of it.
    fn run(&mut self, command: &str) -> String {
        std::fs::write(self.lab.path("mn.log"), "").unwrap();
        writeln!(self.commands, "{command}").unwrap();
        self.hear()
    }

    /// Everybody pings everybody, in time.
    fn all_reach_all(&mut self, pairs: usize) {
        let whole = format!("*** Results: 0% dropped ({pairs}/{pairs} received)");
        let mut said = String::new();
        eventually("everybody reaches everybody", || {
            said = self.run("pingall");
            said.contains(&whole)
        });
    }

    /// Once more, none of which is lost.
    fn still_all_reach_all(&mut self, pairs: usize) {
        let said = self.run("pingall");
        assert!(said.contains(&format!("*** Results: 0% dropped ({pairs}/{pairs} received)")), "{said}");
    }

    /// Bits per second of Mininet's UDP test, asked for and received.
    fn udp(&mut self, from: &str, to: &str) -> f64 {
        let said = self.run(&format!("iperfudp 5M {from} {to}"));
        // *** Results: ['5M', '5.24 Mbits/sec', '5.24 Mbits/sec']
        let rate = said.split("'5M', '").nth(1).and_then(|rest| rest.split('\'').next());
        bits(rate.unwrap_or_else(|| panic!("{said}"))).unwrap_or_else(|| panic!("{said}"))
    }

    /// Bits per second that TCP moves between two hosts. Not by Mininet's `iperf`: that waits for a rate from the server for a
    /// connection which carried nothing, and the iperf of Debian 12 reports none.
    fn tcp(&mut self, from: &str, to: &str, address: &str) -> f64 {
        self.run(&format!("{to} iperf -s > /tmp/iperf 2>&1 &"));
        let mut said = String::new();
        let mut rate = None;
        eventually("iperf measures", || {
            said = self.run(&format!("{from} iperf -t 2 -c {address}"));
            rate = said.lines().find(|line| line.contains("bits/sec")).and_then(|line| bits(line.trim()));
            rate.is_some()
        });
        self.run(&format!("{to} kill %iperf"));
        rate.unwrap()
    }

    /// Ends, and leaves nothing behind.
    fn end(mut self) {
        let said = self.run("exit");
        assert!(said.contains("completed in"), "{said}");
        assert!(self.child.wait().unwrap().success(), "{said}");
        assert_eq!(self.lab.vsctl(&["list-br"]), "");
        let links = self.lab.inside("sw", &["ip", "-o", "link"]);
        assert_eq!(links.lines().filter(|line| !line.contains(" lo:")).count(), 0, "{links}");
    }
}

impl Drop for Mininet<'_> {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The last two words of a rate: `20.9 Mbits/sec`.
fn bits(text: &str) -> Option<f64> {
    let mut words = text.split_whitespace().rev();
    let scale = match words.next()? {
        "bits/sec" => 1.0,
        "Kbits/sec" => 1e3,
        "Mbits/sec" => 1e6,
        "Gbits/sec" => 1e9,
        _ => return None,
    };
    Some(scale * words.next()?.parse::<f64>().ok()?)
}

#[test]
fn a_tree_of_learning_switches_carries_pingall_and_iperf() {
    let lab = Lab::new("OpenFlow10");
    let _controller = lab.controller(&format!("forwarding.l2_learning {WEB}"), 0);
    let mut mininet = Mininet::start(&lab, "tree,depth=2,fanout=2", "OpenFlow10");
    mininet.all_reach_all(12);
    mininet.still_all_reach_all(12);
    let rate = mininet.udp("h1", "h4");
    assert!(rate > 4e6, "{rate} bit/s of 5 million");
    let rate = mininet.tcp("h1", "h4", "10.0.0.4");
    assert!(rate > 1e6, "{rate} bit/s");
    mininet.end();
    lab.assert_healthy();
}

/// Nine switches, each of which has four neighbours: Mininet says of its torus that it will not work without a spanning tree.
#[test]
fn a_torus_has_paths_and_survives_a_link() {
    let lab = Lab::new("OpenFlow13");
    let line = format!("openflow.discovery openflow.spanning_tree forwarding.l2_multi {WEB}");
    let _controller = lab.controller(&line, 0);
    let mut mininet = Mininet::start(&lab, "torus,3,3", "OpenFlow13");
    // Those between switches; hosts have an address for a name.
    let links = || {
        let all = lab.ask("topology.get", "{}");
        let between = |link: &&Value| !link["to"]["node"].as_str().unwrap().contains(':');
        all["links"].as_array().unwrap().iter().filter(between).count()
    };
    eventually("all links are found", || links() == 18);
    mininet.all_reach_all(72);
    mininet.still_all_reach_all(72);
    let rate = mininet.tcp("h1x1", "h2x2", "10.0.0.5");
    assert!(rate > 1e6, "{rate} bit/s");
    mininet.run("link s1x1 s1x2 down");
    eventually("the link is gone", || links() == 17);
    mininet.all_reach_all(72);
    mininet.still_all_reach_all(72);
    mininet.end();
    lab.assert_healthy();
}
