//! What the hidden subcommands do: the long-lived processes of a deployment.

use std::net::IpAddr;

use host::link::{Netlink, Route, VethEnd};
use host::sandbox::Enter;
use host::{Mac, ProcessId};
use softnic::fabric::Endpoint;

use super::process::{RoleContext, run_role};
use super::store::Role;
use super::{During, RuntimeError, edge};
use crate::address::AddressPlan;

/// The interface of the edge and of every container, inside.
pub(super) const INTERFACE: &str = "eth0";
/// The dataplane's end of the edge's interface where there is no TAP.
pub(super) const EDGE_PEER: &str = "wedge";
/// Largest IP packet on every interface.
pub(super) const MTU: u16 = 1500;
/// Packets that may wait between an interface and the dataplane.
pub(super) const QUEUE_PACKETS: u32 = 4096;

/// Holds the deployment's namespaces until it is ended.
///
/// # Errors
/// When namespaces cannot be made; the error says what to change.
pub fn sandbox(context: &RoleContext) -> Result<(), RuntimeError> {
    run_role(context, Role::Sandbox, |context| {
        context.sandbox.create_here()?;
        host::netns::unshare_here()?;
        let mut netlink = Netlink::open()?;
        let loopback = netlink.index("lo")?;
        netlink.set_up(loopback, true)?;
        context.ready().during("answer the starting command")?;
        loop {
            std::thread::park();
        }
    })
}

/// Carries the deployment's packets until it is ended.
///
/// # Errors
/// When the deployment's namespaces cannot be entered or the socket cannot be made.
pub fn dataplane(context: &RoleContext) -> Result<(), RuntimeError> {
    run_role(context, Role::Dataplane, |context| {
        context.enter(Enter::UserAndNetwork)?;
        let socket = context.deployment.socket(Role::Dataplane);
        softnic::daemon::serve(&socket, || context.ready()).map_err(RuntimeError::from)
    })
}

/// Serves the deployment's published ports until it is ended.
///
/// # Errors
/// When the deployment's namespaces cannot be entered or the interface cannot be made.
pub fn edge(context: &RoleContext) -> Result<(), RuntimeError> {
    run_role(context, Role::Edge, |context| {
        let holder = context.enter(Enter::User)?;
        host::netns::unshare_here()?;
        let record = context.deployment.record()?.unwrap_or_default();
        make_interface(&record.deployed.addresses, holder)?;
        edge::serve(&context.deployment.socket(Role::Edge), || context.ready()).during("serve published ports")
    })
}

/// Makes the edge's own interface, as a container's is made.
fn make_interface(addresses: &AddressPlan, holder: ProcessId) -> Result<(), RuntimeError> {
    let own = addresses.edge();
    let mac = Mac(Endpoint::mac_of(own.ipv4).0);
    let mut netlink = Netlink::open()?;
    let loopback = netlink.index("lo")?;
    netlink.set_up(loopback, true)?;
    if host::tap::available() {
        host::tap::create(INTERFACE)?;
    } else {
        let netns = host::netns::of(holder)?;
        let peer = VethEnd { name: EDGE_PEER, mac: None, netns: Some(std::os::fd::AsFd::as_fd(&netns)) };
        netlink.add_veth(VethEnd { name: INTERFACE, mac: Some(mac), netns: None }, peer, MTU.into(), QUEUE_PACKETS)?;
    }
    let index = netlink.index(INTERFACE)?;
    netlink.set_mac(index, mac)?;
    netlink.set_mtu(index, MTU.into())?;
    netlink.set_txqueuelen(index, QUEUE_PACKETS)?;
    netlink.set_up(index, true)?;
    let ways = [
        (IpAddr::from(own.ipv4), 32, IpAddr::from(addresses.gateway().ipv4)),
        (IpAddr::from(own.ipv6), 128, IpAddr::from(addresses.gateway().ipv6)),
    ];
    for (address, prefix, gateway) in ways {
        netlink.add_address(index, address, prefix)?;
        netlink.add_route(Route { destination: Some((gateway, prefix)), via: None, index })?;
        netlink.add_route(Route { destination: None, via: Some(gateway), index })?;
    }
    Ok(())
}
