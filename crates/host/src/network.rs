//! A container's interface: made and configured by the container's own first process.

use std::collections::HashMap;
use std::fs;
use std::net::IpAddr;
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;

use crate::error::{During, Result};
use crate::link::{Netlink, Route, VethEnd};
use crate::process::ProcessId;
use crate::spec::{NetworkKind, NetworkSpec};
use crate::{netns, sys, tap};

/// Name of a container's interface.
pub const INTERFACE: &str = "eth0";
/// Transmit queue of veth ends, in packets.
const VETH_TXQUEUELEN: u32 = 1000;

/// Network namespaces that veth peers are put into. Opened by the launcher: the container is in a
/// process namespace of its own and cannot name other processes.
#[derive(Debug, Default)]
pub(crate) struct PeerNamespaces {
    open: HashMap<ProcessId, OwnedFd>,
}

impl PeerNamespaces {
    pub(crate) fn prepare(&mut self, network: Option<&NetworkSpec>) -> Result<()> {
        if let Some(NetworkSpec { kind: NetworkKind::Veth { peer_netns, .. }, .. }) = network
            && !self.open.contains_key(peer_netns)
        {
            self.open.insert(*peer_netns, netns::of(*peer_netns)?);
        }
        Ok(())
    }

    pub(crate) fn of(&self, network: Option<&NetworkSpec>) -> Option<&OwnedFd> {
        match network.map(|network| &network.kind) {
            Some(NetworkKind::Veth { peer_netns, .. }) => self.open.get(peer_netns),
            _ => None,
        }
    }
}

/// Makes and configures the interface of the network namespace the caller is in; says what had to be done
/// differently.
///
/// # Errors
/// The interface cannot be made, or the process whose namespace a veth's other end goes to has ended.
pub fn configure(network: &NetworkSpec) -> Result<Vec<String>> {
    let mut peers = PeerNamespaces::default();
    peers.prepare(Some(network))?;
    set_up(Some(network), peers.of(Some(network)))
}

/// Has the network namespace the caller is in take packets for every address that come in through [`INTERFACE`]: a
/// socket that listens on all addresses then hears connections to the whole world. What leaves is routed as before.
///
/// # Errors
/// The interface is not configured, or the kernel has no policy routing. That it has no IPv6 is none.
pub fn take_everything() -> Result<()> {
    let mut netlink = Netlink::open()?;
    let loopback = netlink.index("lo")?;
    netlink.take_everything(INTERFACE, loopback, true)?;
    if fs::exists("/proc/sys/net/ipv6").unwrap_or(false) {
        netlink.take_everything(INTERFACE, loopback, false)?;
    }
    Ok(())
}

/// Configures the new network namespace the caller is in, while the host's `/dev` and `/proc` are still there.
pub(crate) fn set_up(network: Option<&NetworkSpec>, peer: Option<&OwnedFd>) -> Result<Vec<String>> {
    let mut netlink = Netlink::open()?;
    let loopback = netlink.index("lo")?;
    netlink.set_up(loopback, true)?;
    write_sysctls();
    let Some(network) = network else { return Ok(Vec::new()) };
    match &network.kind {
        NetworkKind::Tap { queues, txqueuelen } => {
            tap::create(INTERFACE, usize::from(*queues))?;
            let index = netlink.index(INTERFACE)?;
            netlink.set_mac(index, network.mac)?;
            netlink.set_mtu(index, network.mtu)?;
            netlink.set_txqueuelen(index, *txqueuelen)?;
        }
        NetworkKind::Veth { peer_name, .. } => {
            let here = VethEnd { name: INTERFACE, mac: Some(network.mac), netns: None, up: false };
            let there = VethEnd { name: peer_name, mac: None, netns: peer.map(AsFd::as_fd), up: false };
            netlink.add_veth(here, there, network.mtu, VETH_TXQUEUELEN)?;
            // Neither end can be up before both exist, and the other one is up to its namespace.
            if let Some(peer) = peer {
                switch_on_in(peer, peer_name)?;
            }
        }
    }
    let index = netlink.index(INTERFACE)?;
    netlink.set_up(index, true)?;
    let mut warnings = Vec::new();
    add_family(&mut netlink, index, network, network.ipv4.map(IpAddr::V4), network.gateway4.map(IpAddr::V4))?;
    if fs::exists("/proc/sys/net/ipv6").unwrap_or(false) {
        add_family(
            &mut netlink,
            index,
            network,
            network.ipv6.map(IpAddr::V6),
            network.gateway6.map(IpAddr::V6),
        )?;
    } else if network.ipv6.is_some() {
        warnings.push("this kernel has no IPv6; the container has none either".into());
    }
    Ok(warnings)
}

/// Visits another network namespace. The process has one thread, so nobody else is taken along.
fn switch_on_in(netns: &OwnedFd, name: &str) -> Result<()> {
    let own = netns::open(Path::new("/proc/self/ns/net"))?;
    let enter =
        |netns: &OwnedFd| sys::setns(netns, libc::CLONE_NEWNET).during("enter", "a network namespace");
    enter(netns)?;
    let switched = Netlink::open().and_then(|mut netlink| {
        let index = netlink.index(name)?;
        netlink.set_up(index, true)
    });
    enter(&own)?;
    switched
}

/// One host address, the gateway on the link, everything else through the gateway.
fn add_family(
    netlink: &mut Netlink,
    interface: u32,
    network: &NetworkSpec,
    address: Option<IpAddr>,
    gateway: Option<IpAddr>,
) -> Result<()> {
    let Some(address) = address else { return Ok(()) };
    let bits = if address.is_ipv4() { 32 } else { 128 };
    netlink.add_address(interface, address, bits)?;
    let Some(gateway) = gateway else { return Ok(()) };
    let source = Some(address);
    netlink.add_route(Route { destination: gateway, prefix_len: bits, gateway: None, interface, source })?;
    let anywhere = if address.is_ipv4() { [0; 4].into() } else { IpAddr::from([0_u16; 8]) };
    let route = Route { destination: anywhere, prefix_len: 0, gateway: Some(gateway), interface, source };
    netlink.add_route(route)?;
    match network.gateway_mac {
        Some(mac) => netlink.add_neighbour(interface, gateway, mac),
        None => Ok(()),
    }
}

/// Settings of the new namespace, before it has an interface: addresses usable at once, no router
/// asked for, no address chosen but ours; every user may ping and serve low ports, since there is no
/// one else in the namespace to protect. Absent files (no IPv6) and refusals do no harm.
fn write_sysctls() {
    for (name, value) in [
        ("ipv6/conf/default/disable_ipv6", "0"),
        ("ipv6/conf/default/accept_dad", "0"),
        ("ipv6/conf/default/accept_ra", "0"),
        ("ipv6/conf/default/autoconf", "0"),
        ("ipv6/conf/default/router_solicitations", "0"),
        // IN6_ADDR_GEN_MODE_NONE of linux/if_link.h: no link-local address.
        ("ipv6/conf/default/addr_gen_mode", "1"),
        ("ipv4/ip_unprivileged_port_start", "0"),
        ("ipv4/ping_group_range", "0 2147483647"),
    ] {
        let path = format!("/proc/sys/net/{name}");
        if fs::write(&path, value).is_err() && name.ends_with("ping_group_range") {
            let _ = fs::write(&path, "0 0");
        }
    }
}
