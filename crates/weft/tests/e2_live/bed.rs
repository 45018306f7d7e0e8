//! Two hosts, and between them the namespace in which a policy runs.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use serde_json::Value;

/// How long anything may take on a busy machine.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

pub(crate) fn must(command: &mut Command) -> String {
    let output = command.output().unwrap();
    let error = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{command:?}: {error}{}", String::from_utf8_lossy(&output.stdout));
    String::from_utf8(output.stdout).unwrap()
}

fn ip(args: &[&str]) {
    must(Command::new("ip").args(args));
}

/// A namespace that goes with the test.
pub(crate) struct Namespace(String);

impl Namespace {
    fn new(name: &str) -> Self {
        // Tests run beside each other.
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        let name = format!("e2t-{}-{number}{name}", std::process::id());
        ip(&["netns", "add", &name]);
        let namespace = Self(name);
        ip(&["-n", &namespace.0, "link", "set", "lo", "up"]);
        namespace.run("sysctl", &["-qw", "net.ipv6.conf.default.disable_ipv6=1"]);
        namespace
    }

    pub(crate) fn command(&self, program: &str, args: &[&str]) -> Command {
        let mut command = Command::new("ip");
        command.args(["netns", "exec", &self.0, program]).args(args);
        command
    }

    pub(crate) fn run(&self, program: &str, args: &[&str]) -> String {
        must(&mut self.command(program, args))
    }

    /// Runs something in it; sockets that it makes stay there.
    pub(crate) fn within<R: Send>(&self, run: impl FnOnce() -> R + Send) -> R {
        let path = Path::new("/var/run/netns").join(&self.0);
        host::netns::within(host::netns::open(&path).unwrap(), run).unwrap()
    }
}

impl Drop for Namespace {
    fn drop(&mut self) {
        let _ = Command::new("ip").args(["netns", "del", &self.0]).status();
    }
}

/// Two hosts and, between them, the namespace in which the policy's ports are. What runs there ends with the test.
pub(crate) struct Bed {
    pub(crate) state: tempfile::TempDir,
    pub(crate) switch: Namespace,
    pub(crate) left: Namespace,
    pub(crate) right: Namespace,
}

pub(crate) const LEFT: &str = "10.9.0.1";
pub(crate) const RIGHT: &str = "10.9.0.2";

impl Bed {
    pub(crate) fn new() -> Self {
        let [switch, left, right] = ["x", "l", "r"].map(Namespace::new);
        for (name, namespace, address) in [("left", &left, LEFT), ("right", &right, RIGHT)] {
            let far = ["link", "add", name, "netns", &switch.0, "type", "veth", "peer", "name", "eth0"];
            ip(&[&far[..], &["netns", &namespace.0]].concat());
            ip(&["-n", &switch.0, "link", "set", name, "up"]);
            ip(&["-n", &namespace.0, "address", "add", &format!("{address}/24"), "dev", "eth0"]);
            ip(&["-n", &namespace.0, "link", "set", "eth0", "up"]);
        }
        Self { state: tempfile::tempdir().unwrap(), switch, left, right }
    }

    pub(crate) fn weft(&self, args: &[&str]) -> Command {
        let mut command = self.switch.command(env!("CARGO_BIN_EXE_weft"), &[]);
        command.arg("e2").args(args).env("WEFT_STATE", self.state.path()).env("NO_COLOR", "1");
        command.env_remove("WEFT_LOG").stdin(Stdio::null());
        command
    }

    pub(crate) fn up(&self, policy: &str, options: &[&str]) {
        let file = self.state.path().join("test.yaml");
        std::fs::write(&file, policy).unwrap();
        println!("{}", must(&mut self.weft(&[&["up", file.to_str().unwrap()], options].concat())));
    }

    pub(crate) fn json(&self, args: &[&str]) -> Value {
        serde_json::from_str(&must(&mut self.weft(&[args, &["--json"]].concat()))).unwrap()
    }

    /// Wires of ours in the switch's namespace, by name: addresses are random, and look like anything.
    pub(crate) fn wires(&self) -> Vec<String> {
        let links = self.switch.run("ip", &["-br", "link"]);
        links.lines().filter(|line| line.starts_with("e2")).map(str::to_owned).collect()
    }

    /// The flows of each instance, as they are told.
    pub(crate) fn flows(&self) -> Vec<(String, String, u64)> {
        let text = |value: &Value| value.as_str().unwrap().to_owned();
        let flows = self.json(&["flows"]);
        let flows = flows.as_array().unwrap().iter();
        flows
            .map(|one| (text(&one["instance"]), text(&one["flow"]), one["packets"].as_u64().unwrap()))
            .collect()
    }

    /// A service that sends back what it is sent, on `port` of the right host.
    pub(crate) fn echo(&self, port: u16) {
        let listener = self.right.within(|| TcpListener::bind((Ipv4Addr::UNSPECIFIED, port)).unwrap());
        std::thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                std::thread::spawn(move || {
                    let mut stream = stream;
                    let mut bytes = [0; 4096];
                    while let Ok(count @ 1..) = stream.read(&mut bytes) {
                        if stream.write_all(&bytes[..count]).is_err() {
                            return;
                        }
                    }
                });
            }
        });
    }

    /// Opens a connection from the left, over which a few bytes come back.
    pub(crate) fn talk(&self, port: u16) -> TcpStream {
        let address = SocketAddr::new(RIGHT.parse().unwrap(), port);
        let mut stream = self.left.within(|| TcpStream::connect_timeout(&address, PATIENCE).unwrap());
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream.write_all(b"there and back").unwrap();
        let mut back = [0; 14];
        stream.read_exact(&mut back).unwrap();
        assert_eq!(&back, b"there and back");
        stream
    }
}

impl Drop for Bed {
    fn drop(&mut self) {
        if std::thread::panicking() {
            // What the processes said goes with the directory.
            let mut logs = Command::new("sh");
            logs.args(["-c", "tail -n 30 e2/*/*.log"]).current_dir(self.state.path());
            println!(
                "{}",
                logs.output()
                    .map(|said| String::from_utf8_lossy(&said.stdout).into_owned())
                    .unwrap_or_default()
            );
        }
        let _ = self.weft(&["stop"]).output();
    }
}

/// The ends of a flow, without its direction.
pub(crate) fn pair(flow: &str) -> String {
    let mut ends: Vec<&str> = flow.split(' ').filter(|word| *word != "->").collect();
    ends.sort_unstable();
    ends.join(" ")
}
