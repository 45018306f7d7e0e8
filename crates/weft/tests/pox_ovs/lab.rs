//! Open vSwitch in a network namespace, hosts in theirs, and `weft pox` beside the switches.
//!
//! The switches are bridges of one `ovs-vswitchd` with its userspace datapath, which needs no kernel module; links are veth
//! pairs, so they can be cut.

#![allow(dead_code, reason = "each test uses its part")]

use std::cell::{Cell, RefCell};
use std::io::{BufRead, BufReader};
use std::path::PathBuf;
use std::process::{Child, Command, Output, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

/// Long enough for anything, on a machine that is busy.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);
const SCHEMA: &str = "/usr/share/openvswitch/vswitch.ovsschema";

static LABS: AtomicU32 = AtomicU32::new(0);

pub(crate) struct Lab {
    prefix: String,
    directory: tempfile::TempDir,
    namespaces: RefCell<Vec<String>>,
    children: RefCell<Vec<Child>>,
    links: Cell<u32>,
    protocols: &'static str,
}

/// A host, and the switch's end of its cable.
#[derive(Debug, Clone)]
pub(crate) struct Host {
    pub(crate) name: String,
    pub(crate) ip: String,
    pub(crate) switch_end: String,
}

/// The controller. Dropped, it is killed.
pub(crate) struct Controller {
    child: Child,
    lines: Receiver<String>,
}

fn run(command: &mut Command) -> Output {
    command.stdin(Stdio::null()).output().unwrap_or_else(|error| panic!("{command:?}: {error}"))
}

/// A command that must do its work.
fn must(command: &mut Command) -> String {
    let output = run(command);
    assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// Waits until something is so.
pub(crate) fn eventually(what: &str, mut is_so: impl FnMut() -> bool) {
    let end = Instant::now() + PATIENCE;
    while !is_so() {
        assert!(Instant::now() < end, "not within {PATIENCE:?}: {what}");
        std::thread::sleep(Duration::from_millis(50));
    }
}

impl Lab {
    /// Starts Open vSwitch; its bridges speak that version.
    pub(crate) fn new(protocols: &'static str) -> Self {
        let prefix = format!("px{}-{}", std::process::id() % 100_000, LABS.fetch_add(1, Ordering::Relaxed));
        let lab = Self {
            prefix,
            directory: tempfile::tempdir().unwrap(),
            namespaces: RefCell::default(),
            children: RefCell::default(),
            links: Cell::new(0),
            protocols,
        };
        lab.namespace("sw");
        let database = lab.path("conf.db");
        must(Command::new("ovsdb-tool").arg("create").arg(&database).arg(SCHEMA));
        let remote = format!("--remote=punix:{}", lab.path("db.sock").display());
        lab.spawn("ovsdb-server", &[database.to_str().unwrap(), &remote, "--unixctl=none"]);
        eventually("the database answers", || lab.path("db.sock").exists());
        lab.vsctl(&["--no-wait", "init"]);
        let database = format!("unix:{}", lab.path("db.sock").display());
        let control = format!("--unixctl={}", lab.path("vswitchd.ctl").display());
        lab.spawn("ovs-vswitchd", &[&database, "--disable-system", &control]);
        eventually("the switch answers", || lab.path("vswitchd.ctl").exists());
        lab
    }

    /// A file of the lab's.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// What the system calls a namespace.
    pub(crate) fn full_name(&self, namespace: &str) -> String {
        format!("{}-{namespace}", self.prefix)
    }

    fn namespace(&self, name: &str) {
        let full = self.full_name(name);
        must(Command::new("ip").args(["netns", "add", &full]));
        self.namespaces.borrow_mut().push(full);
        self.inside(name, &["ip", "link", "set", "lo", "up"]);
    }

    /// A command in a namespace.
    pub(crate) fn command_in(&self, namespace: &str, words: &[&str]) -> Command {
        let mut command = Command::new("ip");
        command.args(["netns", "exec", &self.full_name(namespace)]).args(words);
        command.env("OVS_RUNDIR", self.directory.path()).env("OVS_LOGDIR", self.directory.path());
        command
    }

    /// A command in a namespace, which must do its work.
    pub(crate) fn inside(&self, namespace: &str, words: &[&str]) -> String {
        must(&mut self.command_in(namespace, words))
    }

    /// A command in a namespace, whatever comes of it.
    pub(crate) fn attempt(&self, namespace: &str, words: &[&str]) -> Output {
        run(&mut self.command_in(namespace, words))
    }

    /// A program that runs until the lab ends.
    pub(crate) fn spawn_in(&self, namespace: &str, words: &[&str]) -> u32 {
        let log = std::fs::File::create(self.path(&format!("log{}", self.children.borrow().len()))).unwrap();
        let mut command = self.command_in(namespace, words);
        command.stdin(Stdio::null()).stdout(log.try_clone().unwrap()).stderr(log);
        let child = command.spawn().unwrap_or_else(|error| panic!("{words:?}: {error}"));
        let pid = child.id();
        self.children.borrow_mut().push(child);
        pid
    }

    fn spawn(&self, program: &str, arguments: &[&str]) {
        self.spawn_in("sw", &[&[program], arguments].concat());
    }

    pub(crate) fn vsctl(&self, words: &[&str]) -> String {
        let database = format!("--db=unix:{}", self.path("db.sock").display());
        let words: Vec<&str> =
            ["ovs-vsctl", "--timeout=30", &database].iter().chain(words).copied().collect();
        self.inside("sw", &words)
    }

    /// A bridge `sN` with datapath id N, that calls the controller.
    pub(crate) fn switch(&self, number: u32) {
        self.switch_calling(number, "tcp:127.0.0.1:6653");
    }

    /// A bridge that calls that controller.
    pub(crate) fn switch_calling(&self, number: u32, target: &str) {
        let name = format!("s{number}");
        let id = format!("other-config:datapath-id={number:016x}");
        let address = format!("other-config:hwaddr=02:aa:00:00:00:{number:02x}");
        let protocols = format!("protocols={}", self.protocols);
        let bridge = [
            "add-br",
            &name,
            "--",
            "set",
            "bridge",
            &name,
            "datapath_type=netdev",
            "fail-mode=secure",
            &id,
            &address,
            &protocols,
        ];
        let controller = [
            "--",
            "set-controller",
            &name,
            target,
            "--",
            "set",
            "controller",
            &name,
            "max_backoff=1000",
            "connection-mode=out-of-band",
        ];
        self.vsctl(&[&bridge[..], &controller].concat());
    }

    /// A cable in the switches' namespace.
    pub(crate) fn veth(&self, one: &str, other: &str) {
        self.inside("sw", &["ip", "link", "add", one, "type", "veth", "peer", "name", other]);
        for end in [one, other] {
            // The userspace datapath does not finish checksums that the kernel has left to a device.
            self.inside("sw", &["ethtool", "-K", end, "tx", "off"]);
            self.inside("sw", &["ip", "link", "set", end, "up"]);
        }
    }

    /// A cable between two switches; the interface names of both ends.
    pub(crate) fn link(&self, one: u32, other: u32) -> (String, String) {
        let ends = (format!("s{one}-s{other}"), format!("s{other}-s{one}"));
        self.veth(&ends.0, &ends.1);
        self.vsctl(&[
            "add-port",
            &format!("s{one}"),
            &ends.0,
            "--",
            "add-port",
            &format!("s{other}"),
            &ends.1,
        ]);
        ends
    }

    /// A host `hN` with 10.0.0.N/8 at a switch.
    pub(crate) fn host(&self, number: u32, switch: u32) -> Host {
        self.host_with(number, switch, &format!("10.0.0.{number}/8"))
    }

    /// A host with an address, or with none.
    pub(crate) fn host_with(&self, number: u32, switch: u32, address: &str) -> Host {
        let name = format!("h{number}");
        self.namespace(&name);
        self.links.set(self.links.get() + 1);
        let (end, own) = (format!("s{switch}-{name}"), format!("{name}-eth0"));
        self.veth(&end, &own);
        self.inside("sw", &["ip", "link", "set", &own, "netns", &self.full_name(&name)]);
        self.inside(&name, &["ip", "link", "set", &own, "address", &format!("02:00:00:00:00:{number:02x}")]);
        // IPv6's own chatter would tell the controller where a host is before it has said anything.
        self.inside(&name, &["sysctl", "-qw", "net.ipv6.conf.all.disable_ipv6=1"]);
        if !address.is_empty() {
            self.inside(&name, &["ip", "addr", "add", address, "dev", &own]);
        }
        self.inside(&name, &["ip", "link", "set", &own, "up"]);
        self.vsctl(&["add-port", &format!("s{switch}"), &end]);
        Host { name, ip: address.split('/').next().unwrap_or_default().into(), switch_end: end }
    }

    /// A host with an address, not at a switch but at a second port of another host, which has that address there.
    pub(crate) fn host_behind(
        &self,
        router: &Host,
        number: u32,
        address: &str,
        router_address: &str,
    ) -> Host {
        let name = format!("h{number}");
        self.namespace(&name);
        let (end, own) = (format!("{}-{name}", router.name), format!("{name}-eth0"));
        let inside_router = |words: &[&str]| self.inside(&router.name, words);
        inside_router(&["ip", "link", "add", &end, "type", "veth", "peer", "name", &own]);
        inside_router(&["ip", "link", "set", &own, "netns", &format!("{}-{name}", self.prefix)]);
        inside_router(&["ip", "addr", "add", router_address, "dev", &end]);
        inside_router(&["ip", "link", "set", &end, "up"]);
        inside_router(&["sysctl", "-qw", "net.ipv4.ip_forward=1"]);
        self.inside(&name, &["ip", "addr", "add", address, "dev", &own]);
        self.inside(&name, &["ip", "link", "set", &own, "up"]);
        Host { name, ip: address.split('/').next().unwrap_or_default().into(), switch_end: end }
    }

    /// A file in the lab's directory.
    pub(crate) fn file(&self, name: &str, text: &str) -> String {
        let path = self.path(name);
        std::fs::write(&path, text).unwrap();
        path.to_str().unwrap().into()
    }

    /// Takes a host's cable to another switch.
    pub(crate) fn replug(&self, host: &Host, switch: u32) {
        self.vsctl(&[
            "del-port",
            &host.switch_end,
            "--",
            "add-port",
            &format!("s{switch}"),
            &host.switch_end,
        ]);
    }

    /// Launches the controller where [`Lab::switch`] calls it, and waits until it has so many switches.
    pub(crate) fn controller(&self, line: &str, switches: usize) -> Controller {
        self.launch(&format!("openflow.of_01 --port=6653 --address=127.0.0.1 {line}"), switches)
    }

    /// Launches a controller, and waits until it has so many switches.
    pub(crate) fn launch(&self, line: &str, switches: usize) -> Controller {
        let weft = env!("CARGO_BIN_EXE_weft");
        let mut command = self.command_in("sw", &[weft, "pox"]);
        command.args(line.split_whitespace()).env("NO_COLOR", "1");
        let mut child =
            command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
        let errors = BufReader::new(child.stderr.take().unwrap());
        let (sender, lines) = channel();
        std::thread::spawn(move || {
            for line in errors.lines().map_while(Result::ok) {
                if sender.send(line).is_err() {
                    return;
                }
            }
        });
        let controller = Controller { child, lines };
        let end = Instant::now() + PATIENCE;
        let mut up = 0;
        let mut said = Vec::new();
        while up < switches {
            let left = end.saturating_duration_since(Instant::now());
            let Ok(line) = controller.lines.recv_timeout(left) else {
                panic!("{up} of {switches} switches: {said:#?}")
            };
            up += usize::from(line.contains("core: switch ") && line.ends_with(" is up"));
            said.push(line);
        }
        controller
    }

    /// Answered pings of `count`, one every 50 ms.
    pub(crate) fn ping(&self, from: &Host, to: &str, count: u32) -> u32 {
        let output =
            self.attempt(&from.name, &["ping", "-n", "-i", "0.05", "-W", "2", "-c", &count.to_string(), to]);
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        let received = text.split(" received").next().and_then(|head| head.rsplit(' ').next());
        received.and_then(|number| number.parse().ok()).unwrap_or_else(|| panic!("{text}"))
    }

    /// Waits until a ping is answered.
    pub(crate) fn reaches(&self, from: &Host, to: &str) {
        eventually(&format!("{} reaches {to}", from.name), || self.ping(from, to, 1) == 1);
    }

    /// Frames that an interface of a host has received.
    pub(crate) fn received(&self, host: &Host) -> u64 {
        let path = format!("/sys/class/net/{}-eth0/statistics/rx_packets", host.name);
        self.inside(&host.name, &["cat", &path]).trim().parse().unwrap()
    }

    /// What the controller's JSON-RPC answers, which `web.webcore` serves.
    fn call(&self, method: &str, parameters: &str) -> serde_json::Value {
        let body = format!(r#"{{"id":1,"method":"{method}","params":{parameters}}}"#);
        let text = self.inside("sw", &["curl", "-sS", "-m", "20", "-d", &body, "http://127.0.0.1:8000/rpc"]);
        serde_json::from_str(&text).unwrap_or_else(|error| panic!("{text}: {error}"))
    }

    /// Asks the controller, which must have a result.
    pub(crate) fn ask(&self, method: &str, parameters: &str) -> serde_json::Value {
        let answer = self.call(method, parameters);
        assert!(answer["error"].is_null(), "{answer}");
        answer["result"].clone()
    }

    /// Asks the controller, which must refuse; what it says.
    pub(crate) fn refused(&self, method: &str, parameters: &str) -> String {
        let answer = self.call(method, parameters);
        let said = answer["error"]["message"].as_str();
        said.unwrap_or_else(|| panic!("{method} {parameters}: {answer}")).to_owned()
    }

    /// Asks a switch itself, by `ovs-ofctl COMMAND SWITCH …`.
    pub(crate) fn ofctl(&self, switch: u32, command: &[&str], more: &[&str]) -> String {
        let management = format!("unix:{}", self.path(&format!("s{switch}.mgmt")).display());
        let words = [&["ovs-ofctl", "-O", self.protocols], command, &[&management], more].concat();
        self.inside("sw", &words)
    }

    /// No handler of any component has failed.
    pub(crate) fn assert_healthy(&self) {
        let components = self.ask("core.components", "{}");
        let failed: Vec<_> =
            components.as_object().unwrap().iter().filter(|(_, health)| health["failures"] != 0).collect();
        assert!(failed.is_empty(), "{failed:?}");
    }
}

impl Controller {
    /// The next line that says something of the kind.
    pub(crate) fn says(&self, words: &str) -> String {
        let end = Instant::now() + PATIENCE;
        loop {
            let left = end.saturating_duration_since(Instant::now());
            match self.lines.recv_timeout(left) {
                Ok(line) if line.contains(words) => return line,
                Ok(_) => {}
                Err(_) => panic!("the controller does not say {words:?}"),
            }
        }
    }
}

impl Drop for Controller {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Drop for Lab {
    fn drop(&mut self) {
        let control = self.path("vswitchd.ctl");
        let _ = run(Command::new("ovs-appctl").arg("-t").arg(control).args(["exit", "--cleanup"]));
        for child in self.children.get_mut() {
            let _ = child.kill();
            let _ = child.wait();
        }
        for namespace in self.namespaces.get_mut() {
            let _ = run(Command::new("ip").args(["netns", "del", namespace]));
        }
    }
}
