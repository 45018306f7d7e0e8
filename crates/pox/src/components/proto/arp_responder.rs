//! Answers ARP requests, for addresses it is told and addresses it learns.
//!
//! Every ARP packet comes to the controller, by a flow of its own on each switch. Where an address is known the request is
//! answered at the port it came from, and no other component sees it; other ARP packets go on to those that forward.
//! What it learned it forgets after four minutes without a word.
//!
//! | option | meaning |
//! |---|---|
//! | `--hosts=IP=MAC,…` | what to answer; `IP` alone is answered with the address of `--mac` |
//! | `--mac=MAC` | the address of those; `02:77:65:66:74:01` |
//! | `--no-learn` | learns nothing from what hosts say of themselves |
//! | `--timeout=SECONDS` | forgets learned addresses after so long; 240 |
//! | `--no-flow` | installs no flow: it sees only what the other components leave to the controller |
//!
//! Launch: `weft pox proto.arp_responder --hosts=10.0.0.254 forwarding.l2_learning`

use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use std::time::Duration;

use openflow::matching::Match;
use openflow::port::PortNo;
use packet::wire::{MacAddr, arp};

use super::frames::{self, OWN_MAC};
use crate::{
    Component, ConnectionUp, Core, Event, Flow, Listen, OPENFLOW, Options, OptionsError, PacketIn, Result,
    Verdict, debug, output,
};

/// Addresses known at one time; no more are learned.
pub const ADDRESSES_MAX: usize = 1 << 16;
/// Priority of the flow that brings ARP to the controller.
pub const PRIORITY: u16 = 0x7000;

/// Answers ARP requests.
#[derive(Debug)]
pub struct ArpResponder {
    learn: bool,
    flow: bool,
    timeout: Duration,
    table: BTreeMap<Ipv4Addr, Entry>,
}

#[derive(Debug, Clone, Copy)]
struct Entry {
    mac: MacAddr,
    /// `None` never.
    expires: Option<Duration>,
}

/// A host said that an address is another's than was known. Raised by `proto.arp_responder`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AddressMoved {
    /// The address.
    pub ip: Ipv4Addr,
    /// Whose it was.
    pub before: MacAddr,
    /// Whose it is.
    pub now: MacAddr,
}

impl Event for AddressMoved {}

/// `IP` or `IP=MAC`.
fn host(text: &str) -> std::result::Result<(Ipv4Addr, Option<MacAddr>), String> {
    let (ip, mac) = text.split_once('=').map_or((text, None), |(ip, mac)| (ip, Some(mac)));
    let ip = ip.parse().map_err(|_| format!("'{ip}' is not an IPv4 address"))?;
    let mac = mac.map(str::parse).transpose().map_err(|_| "not a hardware address".to_owned())?;
    Ok((ip, mac))
}

pub(crate) fn build(options: &mut Options) -> std::result::Result<Box<dyn Component>, OptionsError> {
    let mac: MacAddr = options.take_or("mac", OWN_MAC)?;
    let mut table = BTreeMap::new();
    for text in options.list::<String>("hosts")? {
        let (ip, own) = host(&text).map_err(|problem| options.wrong("hosts", &text, problem))?;
        table.insert(ip, Entry { mac: own.unwrap_or(mac), expires: None });
    }
    Ok(Box::new(ArpResponder {
        learn: !options.flag("no-learn")?,
        flow: !options.flag("no-flow")?,
        timeout: options.seconds("timeout", Duration::from_secs(240))?,
        table,
    }))
}

impl Component for ArpResponder {
    fn start(&mut self, core: &mut Core) -> Result {
        if self.flow {
            core.listen(OPENFLOW, |_: &mut Self, event: &ConnectionUp, core: &mut Core| {
                let flow = Flow::add(Match::new().arp()).priority(PRIORITY).to_controller();
                core.send(event.connection, flow).map(|_| ())
            });
        }
        core.listen_with(OPENFLOW, Listen::priority(100), Self::packet_in);
        core.every(Duration::from_secs(10), Self::forget);
        Ok(())
    }
}

impl ArpResponder {
    /// Whose an address is.
    #[must_use]
    pub fn lookup(&self, ip: Ipv4Addr) -> Option<MacAddr> {
        self.table.get(&ip).map(|entry| entry.mac)
    }

    fn forget(&mut self, core: &mut Core) {
        let now = core.now();
        self.table.retain(|_, entry| entry.expires.is_none_or(|expires| expires > now));
    }

    fn packet_in(&mut self, event: &PacketIn, core: &mut Core) -> Result<Verdict> {
        let Some(packet) = event.arp() else { return Ok(Verdict::Continue) };
        if self.learn {
            self.learn(&packet, core);
        }
        if packet.operation != arp::Operation::REQUEST || packet.sender_ip == packet.target_ip {
            return Ok(Verdict::Continue); // an answer, or a host that announces itself
        }
        let Some(mac) = self.lookup(packet.target_ip).filter(|mac| *mac != packet.sender_mac) else {
            return Ok(Verdict::Continue);
        };
        debug!(core, "{} asked for {}: {mac}", packet.sender_ip, packet.target_ip);
        let reply = frames::arp_reply(event, &packet, mac);
        core.inject(event.connection, event.in_port, [output(PortNo::IN_PORT)], reply)?;
        core.drop_packet(event)?;
        Ok(Verdict::Halt)
    }

    fn learn(&mut self, packet: &arp::Repr, core: &mut Core) {
        if packet.sender_ip.is_unspecified() || !packet.sender_mac.is_unicast() {
            return; // an address probe (RFC 5227)
        }
        let entry = Entry { mac: packet.sender_mac, expires: Some(core.now() + self.timeout) };
        let room = self.table.len() < ADDRESSES_MAX;
        match self.table.get_mut(&packet.sender_ip) {
            Some(known) if known.expires.is_none() => {} // what was told holds
            Some(known) => {
                if known.mac != entry.mac {
                    core.raise(AddressMoved { ip: packet.sender_ip, before: known.mac, now: entry.mac });
                }
                *known = entry;
            }
            None if room => {
                self.table.insert(packet.sender_ip, entry);
            }
            None => {}
        }
    }
}
