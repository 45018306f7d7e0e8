//! Reads the answers of name servers as they pass, and remembers which name belongs to which address.
//!
//! Datagrams from port 53 come to the controller by a flow of its own on each switch, and go on from there as other components
//! decide. Other components look names up (`DnsSpy::names_of`, `DnsSpy::addresses_of`) or listen to `NameLearned`.
//!
//! | option | meaning |
//! |---|---|
//! | `--no-flow` | installs no flow: it sees only what the other components leave to the controller |
//!
//! Launch: `weft pox proto.dns_spy forwarding.l2_learning`

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use openflow::matching::Match;
use packet::wire::dns;

use crate::{
    Component, ConnectionUp, Core, Event, Flow, Listen, OPENFLOW, Options, OptionsError, PacketIn, Result,
    info,
};

/// Addresses remembered; names of more are passed on, not kept.
pub const ADDRESSES_MAX: usize = 1 << 16;
/// Names remembered of one address.
pub const NAMES_MAX: usize = 64;
/// Priority of the flow that brings answers to the controller.
pub const PRIORITY: u16 = 0x7000;
/// The port of name servers.
const DNS: u16 = 53;

/// Remembers names.
#[derive(Debug)]
pub struct DnsSpy {
    flow: bool,
    names: BTreeMap<IpAddr, BTreeSet<String>>,
}

/// A name and an address belong together that were not known to. Raised by `proto.dns_spy`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NameLearned {
    /// The name, in small letters.
    pub name: String,
    /// The address.
    pub address: IpAddr,
}

impl Event for NameLearned {}

pub(crate) fn build(options: &mut Options) -> std::result::Result<Box<dyn Component>, OptionsError> {
    Ok(Box::new(DnsSpy { flow: !options.flag("no-flow")?, names: BTreeMap::new() }))
}

impl Component for DnsSpy {
    fn start(&mut self, core: &mut Core) -> Result {
        if self.flow {
            core.listen(OPENFLOW, |_: &mut Self, event: &ConnectionUp, core: &mut Core| {
                let flow = Flow::add(Match::new().udp_src(DNS)).priority(PRIORITY).to_controller();
                core.send(event.connection, flow).map(|_| ())
            });
        }
        core.listen_with(OPENFLOW, Listen::priority(100), Self::packet_in);
        Ok(())
    }
}

impl DnsSpy {
    /// The names of an address.
    pub fn names_of(&self, address: IpAddr) -> impl Iterator<Item = &str> {
        self.names.get(&address).into_iter().flatten().map(String::as_str)
    }

    /// The addresses of a name, in no order.
    pub fn addresses_of(&self, name: &str) -> impl Iterator<Item = IpAddr> {
        let name = name.trim_end_matches('.').to_ascii_lowercase();
        self.names.iter().filter(move |(_, names)| names.contains(&name)).map(|(address, _)| *address)
    }

    fn packet_in(&mut self, event: &PacketIn, core: &mut Core) {
        let Some(udp) = event.udp().filter(|udp| udp.source_port() == DNS) else { return };
        let Ok(answer) = dns::View::new_checked(udp.payload()) else { return };
        if !answer.is_response() || answer.response_code() != dns::ResponseCode::NO_ERROR {
            return;
        }
        // The name that was asked for and those it is another name for.
        let mut asked: Vec<String> = answer
            .questions()
            .map_while(std::result::Result::ok)
            .map(|question| question.name.to_lower())
            .collect();
        let Ok(records) = answer.records() else { return };
        for record in records.map_while(std::result::Result::ok) {
            let name = record.name.to_lower();
            if let Some(address) = record.address() {
                asked.push(name);
                asked.sort_unstable();
                asked.dedup();
                for name in asked.clone() {
                    self.learn(name, address, core);
                }
            }
        }
    }

    fn learn(&mut self, name: String, address: IpAddr, core: &mut Core) {
        if !self.names.contains_key(&address) && self.names.len() >= ADDRESSES_MAX {
            return;
        }
        let names = self.names.entry(address).or_default();
        if names.len() < NAMES_MAX && names.insert(name.clone()) {
            info!(core, "{name} is {address}");
            core.raise(NameLearned { name, address });
        }
    }
}
