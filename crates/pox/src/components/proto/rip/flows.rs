//! A router's flows: in one table, by the length of the prefix.
//!
//! ```text
//! priority
//!   7000  what is for the router itself, ARP and RIP   to the controller
//!   4043  hosts on attached networks                   TTL, hardware addresses, port
//!   4000  and twice the prefix's bits: networks        likewise; to the controller while the next hop is not known
//!   3000  whatever else comes in by the router's ports dropped
//! ```
//!
//! What goes back by the port it came in by needs an entry of its own, one above the other, because switches send nothing back
//! there unless they are told so.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;

use openflow::action::Action;
use openflow::field::Field;
use openflow::matching::Match;
use openflow::oxm::Oxm;
use openflow::port::PortNo;
use packet::wire::{MacAddr, rip};

use super::prefix::{Interface, Prefix};
use crate::{ConnectionId, Core, Flow, SendError, output};

/// Of what comes to the controller.
const CONTROL: u16 = 0x7000;
/// Of the default route.
const ROUTES: u16 = 0x4000;
/// Of what is dropped.
const REST: u16 = 0x3000;

/// Where packets go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Way {
    Forward {
        port: PortNo,
        mac: MacAddr,
    },
    /// To the controller, which asks for the hardware address.
    Ask,
}

/// What a way is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Target {
    Network(Prefix),
    /// A host on an attached network.
    Host(Ipv4Addr),
}

impl Target {
    fn priority(self) -> u16 {
        match self {
            Self::Network(prefix) => ROUTES + 2 * u16::from(prefix.len()),
            Self::Host(_) => ROUTES + 2 * 33,
        }
    }

    fn matching(self, mac: MacAddr) -> Match {
        let ours = Match::new().eth_dst(mac).untagged();
        match self {
            Self::Network(prefix) if prefix.len() == 0 => ours.ipv4(),
            Self::Network(prefix) => ours.ipv4_dst_masked(prefix.network(), prefix.mask()),
            Self::Host(ip) => ours.ipv4_dst(ip),
        }
    }
}

/// What a router does with a packet that it forwards to a neighbour.
pub(crate) fn rewrite(from: MacAddr, to: MacAddr) -> [Action; 3] {
    let number = |mac: MacAddr| mac.0.iter().fold(0, |number, byte| number << 8 | u128::from(*byte));
    let set = |field, mac| Action::SetField(Oxm::exact(field, number(mac)));
    [Action::DecNwTtl, set(Field::EthSrc, from), set(Field::EthDst, to)]
}

/// The flows of a router on its switch, as they were last told.
#[derive(Debug)]
pub(crate) struct Flows {
    mac: MacAddr,
    installed: BTreeMap<Target, Way>,
}

impl Flows {
    pub(crate) fn new(mac: MacAddr) -> Self {
        Self { mac, installed: BTreeMap::new() }
    }

    /// The switch has none any more.
    pub(crate) fn clear(&mut self) {
        self.installed.clear();
    }

    pub(crate) fn len(&self) -> usize {
        self.installed.len()
    }

    /// Removes what a switch may still have from before.
    pub(crate) fn remove_all(&self, to: ConnectionId, core: &mut Core) -> Result<(), SendError> {
        core.send(to, Flow::delete(Match::new().eth_dst(self.mac).ipv4())).map(|_| ())
    }

    /// A port is the router's, with an address of its; or it is not any more.
    pub(crate) fn port(
        &self,
        to: ConnectionId,
        port: PortNo,
        interface: &Interface,
        is_ours: bool,
        core: &mut Core,
    ) -> Result<(), SendError> {
        let here = || Match::new().in_port(port);
        let flow = |matching: Match, priority| {
            let flow = if is_ours { Flow::add(matching) } else { Flow::delete_strict(matching) };
            flow.priority(priority)
        };
        let announcements = here().ipv4_dst(rip::ROUTERS).udp_dst(rip::PORT);
        let control = [here().arp(), Match::new().eth_dst(self.mac).ipv4_dst(interface.ip)];
        for matching in control.into_iter().chain((!interface.passive).then_some(announcements)) {
            let flow = flow(matching, CONTROL);
            core.send(to, if is_ours { flow.to_controller() } else { flow })?;
        }
        core.send(to, flow(here(), REST)).map(|_| ())
    }

    /// A target is to be reached that way, or not at all.
    pub(crate) fn set(
        &mut self,
        to: ConnectionId,
        target: Target,
        way: Option<Way>,
        core: &mut Core,
    ) -> Result<(), SendError> {
        let before = match way {
            Some(way) => self.installed.insert(target, way),
            None => self.installed.remove(&target),
        };
        if before == way {
            return Ok(());
        }
        let (priority, matching) = (target.priority(), target.matching(self.mac));
        let back_port = |way: Option<Way>| match way {
            Some(Way::Forward { port, .. }) => Some(port),
            _ => None,
        };
        // One of the same match takes the place of the one before.
        if let Some(port) = back_port(before).filter(|port| back_port(way) != Some(*port)) {
            let back = matching.clone().in_port(port);
            core.send(to, Flow::delete_strict(back).priority(priority + 1))?;
        }
        match way {
            None => core.send(to, Flow::delete_strict(matching).priority(priority))?,
            Some(Way::Ask) => core.send(to, Flow::add(matching).priority(priority).to_controller())?,
            Some(Way::Forward { port, mac }) => {
                let forward = |matching, priority, out| {
                    let flow = Flow::add(matching).priority(priority);
                    flow.actions(rewrite(self.mac, mac)).action(output(out))
                };
                core.send(to, forward(matching.clone(), priority, port))?;
                core.send(to, forward(matching.in_port(port), priority + 1, PortNo::IN_PORT))?
            }
        };
        Ok(())
    }
}
