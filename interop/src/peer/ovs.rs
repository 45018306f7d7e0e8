//! Open vSwitch's userspace datapath (`datapath_type=netdev`), from the distribution's package.
//!
//! A database server and a switch of our own run on sockets in a private directory; the switch runs in a
//! namespace of its own, so that the devices it makes (`ovs-netdev`, `br0`) go with it. Without
//! `userspace-tso-enable` the datapath passes frames on as they are, so senders must finish their checksums:
//! `ethtool -K eth0 tx off` on veth, as its documentation asks; TAP devices it opens have no such offload.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use super::{CLIENT, Ends, Kind, Peer, SERVER, Side};
use crate::error::Result;
use crate::namespace::Namespace;
use crate::process::{Running, quick, start};

/// Where the package puts its schema.
const SCHEMA: &str = "/usr/share/openvswitch/vswitch.ovsschema";
/// How long a daemon may take until its socket is there.
const START: Duration = Duration::from_secs(10);

/// How the switch reaches a namespace.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Port {
    /// A veth pair, read with a packet socket.
    Veth,
    /// A TAP device of the switch, moved into the namespace.
    Tap,
}

/// A switch with two ports.
pub(super) struct Ovs {
    kind: Kind,
    // Dropped in this order: the server's program, the switch, its database, the namespace it ran in.
    ends: Ends,
    switch: Running,
    _database: Running,
    _namespace: Namespace,
}

impl Ovs {
    pub(super) fn new(kind: Kind, directory: &Path, port: Port, offload: bool) -> Result<Self> {
        let letter = match kind {
            Kind::OvsVeth => 'o',
            Kind::OvsTap => 'p',
            Kind::OvsVethTso => 'q',
            _ => 'r',
        };
        let files = Files { directory: directory.join(kind.name()) };
        let namespace = Namespace::new(&letter.to_string())?;
        let database = files.database(&namespace)?;
        files.configure(&["--no-wait", "init"])?;
        let setting = format!("other_config:userspace-tso-enable={offload}");
        files.configure(&["--no-wait", "set", "Open_vSwitch", ".", &setting])?;
        let switch = files.switch(&namespace)?;
        files.configure(&["add-br", "br0", "--", "set", "bridge", "br0", "datapath_type=netdev"])?;
        let mut ends = Ends::new(letter)?;
        for (end, name, address) in [(&ends.client, "client", CLIENT), (&ends.server, "server", SERVER)] {
            match port {
                Port::Veth => {
                    end.join(&namespace, name, address)?;
                    files.configure(&["add-port", "br0", name])?;
                    if !offload {
                        quick(end.command("ethtool").args(["-K", "eth0", "tx", "off"]))?;
                    }
                }
                Port::Tap => {
                    files.configure(&[
                        "add-port",
                        "br0",
                        name,
                        "--",
                        "set",
                        "interface",
                        name,
                        "type=tap",
                    ])?;
                    namespace.ip(&["link", "set", name, "netns", end.name()])?;
                    end.ip(&["link", "set", name, "down"])?;
                    end.ip(&["link", "set", name, "name", "eth0"])?;
                    end.address(address)?;
                }
            }
        }
        ends.serve()?;
        Ok(Self { kind, ends, switch, _database: database, _namespace: namespace })
    }
}

/// The directory one switch keeps everything in.
struct Files {
    directory: std::path::PathBuf,
}

impl Files {
    fn path(&self, name: &str) -> String {
        self.directory.join(name).to_string_lossy().into_owned()
    }

    fn at<'a>(&self, command: &'a mut Command) -> &'a mut Command {
        for variable in ["OVS_RUNDIR", "OVS_LOGDIR", "OVS_DBDIR"] {
            command.env(variable, &self.directory);
        }
        command
    }

    fn database(&self, namespace: &Namespace) -> Result<Running> {
        use crate::error::During;
        std::fs::create_dir_all(&self.directory).during("make a directory for Open vSwitch")?;
        quick(self.at(Command::new("ovsdb-tool").args(["create", &self.path("conf.db"), SCHEMA])))?;
        let mut command = namespace.command("ovsdb-server");
        command.args([
            &self.path("conf.db"),
            &format!("--remote=punix:{}", self.path("db.sock")),
            &format!("--unixctl={}", self.path("database.ctl")),
            &format!("--log-file={}", self.path("database.log")),
            "--no-chdir",
        ]);
        let running = start(self.at(&mut command))?;
        self.await_socket("db.sock")?;
        Ok(running)
    }

    fn switch(&self, namespace: &Namespace) -> Result<Running> {
        let mut command = namespace.command("ovs-vswitchd");
        command.args([
            &format!("unix:{}", self.path("db.sock")),
            &format!("--unixctl={}", self.path("switch.ctl")),
            &format!("--log-file={}", self.path("switch.log")),
            "--no-chdir",
        ]);
        let running = start(self.at(&mut command))?;
        self.await_socket("switch.ctl")?;
        Ok(running)
    }

    fn await_socket(&self, name: &str) -> Result<()> {
        let started = std::time::Instant::now();
        while !Path::new(&self.path(name)).exists() {
            if started.elapsed() > START {
                let (peer, what) = ("Open vSwitch".into(), format!("{} does not appear", self.path(name)));
                return Err(crate::error::Error::Peer { peer, what });
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        Ok(())
    }

    /// `ovs-vsctl`, which waits until the switch has done what it was told.
    fn configure(&self, arguments: &[&str]) -> Result<()> {
        let mut command = Command::new("ovs-vsctl");
        command.arg("--timeout=10").arg(format!("--db=unix:{}", self.path("db.sock"))).args(arguments);
        quick(self.at(&mut command)).map(drop)
    }
}

impl Peer for Ovs {
    fn kind(&self) -> Kind {
        self.kind
    }

    fn command(&self, side: Side, program: &str) -> Command {
        self.ends.command(side, program)
    }

    fn namespace(&self, side: Side) -> Option<&Namespace> {
        Some(self.ends.of(side))
    }

    fn dataplane(&self) -> Vec<u32> {
        vec![self.switch.id()]
    }
}
