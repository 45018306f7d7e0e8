//! Wires between namespaces.

use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;

use host::link::{Netlink, VethEnd};
use host::{ProcessId, netns};

use super::LiveError;

/// Bytes of a packet on a wire between sites: a frame of 1,500 and the headers of the tunnel, with room.
const TRUNK_MTU: u32 = 4000;
/// The name of a server's end.
pub(super) const TRUNK: &str = "trunk";
const QUEUE: u32 = 1000;

/// One end of a wire.
pub(super) struct End<'a> {
    pub(super) name: &'a str,
    /// In whose namespace; in that of the caller where nobody is named.
    pub(super) within: Option<ProcessId>,
}

impl End<'_> {
    fn namespace(&self) -> host::Result<OwnedFd> {
        match self.within {
            Some(process) => netns::of(process),
            None => netns::open(Path::new("/proc/thread-self/ns/net")),
        }
    }

    fn ask<T: Send>(&self, ask: impl FnOnce(&mut Netlink) -> host::Result<T> + Send) -> host::Result<T> {
        netns::within(self.namespace()?, || ask(&mut Netlink::open()?))?
    }
}

/// Lays a wire.
pub(super) fn lay(one: &End<'_>, other: &End<'_>, mtu: u32) -> Result<(), LiveError> {
    let (first, second) = (one.namespace()?, other.namespace()?);
    let far = second.as_fd();
    let make = || -> host::Result<()> {
        let end = |name, netns| VethEnd { name, mac: None, netns, up: false };
        Netlink::open()?.add_veth(end(one.name, None), end(other.name, Some(far)), mtu, QUEUE)
    };
    netns::within(&first, make)??;
    for (namespace, name) in [(&first, one.name), (&second, other.name)] {
        netns::within(namespace, || switch_on(name))??;
    }
    Ok(())
}

fn switch_on(name: &str) -> host::Result<()> {
    // An end that carries others' frames says nothing itself. A kernel without IPv6 has no such file and needs none.
    let _ = std::fs::write(format!("/proc/sys/net/ipv6/conf/{name}/disable_ipv6"), "1");
    let mut netlink = Netlink::open()?;
    let index = netlink.index(name)?;
    netlink.set_up(index, true)
}

/// Lays the wire between the switch and a server.
pub(super) fn trunk(name: &str, server: ProcessId) -> Result<(), LiveError> {
    lay(&End { name: TRUNK, within: Some(server) }, &End { name, within: None }, TRUNK_MTU)
}

/// Takes a wire away, if it is there.
pub(super) fn remove(end: &End<'_>) {
    // It goes with the namespace of either end in any case.
    let _ = end.ask(|netlink| match netlink.link(end.name)? {
        Some(link) => netlink.delete(link.index),
        None => Ok(()),
    });
}

/// Whether there is a wire of that name.
pub(super) fn exists(end: &End<'_>) -> bool {
    end.ask(|netlink| netlink.link(end.name)).is_ok_and(|link| link.is_some())
}
