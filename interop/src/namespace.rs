//! Named network namespaces and what is put into them, through `ip`.

use std::process::Command;

use crate::cleanup::Guard;
use crate::error::Result;
use crate::process::quick;

/// Every interface of a measurement has the MTU of Ethernet.
pub(crate) const MTU: &str = "1500";

/// A network namespace that goes when this is dropped, with every interface in it.
#[derive(Debug)]
pub(crate) struct Namespace {
    name: String,
    _guard: Guard,
}

impl Namespace {
    /// Makes the namespace `wbPID` + `suffix` with its loopback up.
    pub(crate) fn new(suffix: &str) -> Result<Self> {
        let name = format!("wb{}{suffix}", std::process::id());
        let guard = Guard::namespace(&name);
        ip(&["netns", "add", &name])?;
        let namespace = Self { name, _guard: guard };
        namespace.ip(&["link", "set", "lo", "up"])?;
        Ok(namespace)
    }

    /// Its name, as `ip netns` lists it.
    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// `ip -n NAME …`
    pub(crate) fn ip(&self, arguments: &[&str]) -> Result<()> {
        ip(&[&["-n", &self.name], arguments].concat())
    }

    /// A command that runs inside.
    pub(crate) fn command(&self, program: &str) -> Command {
        let mut command = Command::new("ip");
        command.args(["netns", "exec", &self.name, program]);
        command
    }

    /// Makes `eth0` here with the given address, as one end of a veth pair whose other end is `port` in `other`.
    pub(crate) fn join(&self, other: &Self, port: &str, address: &str) -> Result<()> {
        let pair = ["link", "add", port, "mtu", MTU, "type", "veth", "peer", "name", "eth0"];
        other.ip(&[&pair[..], &["mtu", MTU, "netns", &self.name]].concat())?;
        other.ip(&["link", "set", port, "up"])?;
        self.address(address)
    }

    /// Gives `eth0` its address and brings it up.
    pub(crate) fn address(&self, address: &str) -> Result<()> {
        self.ip(&["addr", "add", address, "dev", "eth0"])?;
        self.ip(&["link", "set", "eth0", "mtu", MTU, "up"])
    }
}

fn ip(arguments: &[&str]) -> Result<()> {
    quick(Command::new("ip").args(arguments)).map(drop)
}
