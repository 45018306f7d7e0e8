//! A name server for the names it is given.
//!
//! Questions to its address come to the controller by a flow of its own on each switch, and are answered at the port they came
//! from; so is ARP for that address. It answers A and AAAA with authority, says that a name does not exist where it knows none
//! in the domain it serves, and refuses others.
//!
//! | option | meaning |
//! |---|---|
//! | `--ip=IP` | its address; 192.168.0.253 |
//! | `--mac=MAC` | its hardware address; `02:77:65:66:74:01` |
//! | `--names=NAME=IP,…` | what it knows; a name may stand several times |
//! | `--domain=NAME` | the domain it answers for, and appends to names without a dot; everything |
//! | `--ttl=SECONDS` | how long answers may be kept; 60 |
//!
//! Launch: `weft pox proto.dnsd --ip=10.0.0.53 --names=web=10.0.0.1,db=10.0.0.2 --domain=lab forwarding.l2_learning`

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr};

use openflow::matching::Match;
use openflow::port::PortNo;
use packet::wire::{MacAddr, arp, dns};

use super::frames::{self, OWN_MAC};
use crate::compose::{self, Ends};
use crate::{
    Component, ConnectionUp, Core, Flow, Listen, OPENFLOW, Options, OptionsError, PacketIn, Result, Verdict,
    debug, output,
};

/// Names it may know.
pub const NAMES_MAX: usize = 1 << 16;
/// Priority of the flow that brings questions to the controller.
pub const PRIORITY: u16 = 0x7000;
/// The port of name servers.
const DNS: u16 = 53;

/// The name server.
#[derive(Debug)]
pub struct Dnsd {
    ip: Ipv4Addr,
    mac: MacAddr,
    domain: Option<String>,
    ttl_s: u32,
    names: BTreeMap<String, Vec<IpAddr>>,
}

pub(crate) fn build(options: &mut Options) -> std::result::Result<Box<dyn Component>, OptionsError> {
    let domain = options.text("domain")?.map(|domain| domain.trim_matches('.').to_ascii_lowercase());
    let mut server = Dnsd {
        ip: options.take_or("ip", [192, 168, 0, 253].into())?,
        mac: options.take_or("mac", OWN_MAC)?,
        domain,
        ttl_s: options.take_or("ttl", 60)?,
        names: BTreeMap::new(),
    };
    for text in options.list::<String>("names")? {
        let Some((name, address)) = text.split_once('=') else {
            return Err(options.wrong("names", &text, "not NAME=IP"));
        };
        let address = address.parse().map_err(|problem| options.wrong("names", &text, problem))?;
        if !server.add(name, address) {
            return Err(options.wrong("names", &text, format!("more than {NAMES_MAX} names")));
        }
    }
    Ok(Box::new(server))
}

impl Component for Dnsd {
    fn start(&mut self, core: &mut Core) -> Result {
        core.listen(OPENFLOW, |this: &mut Self, event: &ConnectionUp, core: &mut Core| {
            let questions = Match::new().ipv4_dst(this.ip).udp_dst(DNS);
            core.send(event.connection, Flow::add(questions).priority(PRIORITY).to_controller())?;
            let arp = Match::new().arp_op(1).arp_tpa(this.ip);
            core.send(event.connection, Flow::add(arp).priority(PRIORITY + 1).to_controller()).map(|_| ())
        });
        core.listen_with(OPENFLOW, Listen::priority(100), Self::packet_in);
        Ok(())
    }
}

impl Dnsd {
    /// Adds an address of a name; `false` with [`NAMES_MAX`] names.
    pub fn add(&mut self, name: &str, address: IpAddr) -> bool {
        let name = self.full(name);
        if !self.names.contains_key(&name) && self.names.len() >= NAMES_MAX {
            return false;
        }
        let addresses = self.names.entry(name).or_default();
        if !addresses.contains(&address) {
            addresses.push(address);
        }
        true
    }

    /// Forgets a name.
    pub fn remove(&mut self, name: &str) -> bool {
        self.names.remove(&self.full(name)).is_some()
    }

    fn full(&self, name: &str) -> String {
        let name = name.trim_end_matches('.').to_ascii_lowercase();
        match &self.domain {
            Some(domain) if !name.contains('.') => format!("{name}.{domain}"),
            _ => name,
        }
    }

    fn packet_in(&mut self, event: &PacketIn, core: &mut Core) -> Result<Verdict> {
        let reply = if let Some(request) = event.arp() {
            if request.operation != arp::Operation::REQUEST || request.target_ip != self.ip {
                return Ok(Verdict::Continue);
            }
            frames::arp_reply(event, &request, self.mac)
        } else {
            let Some(ip) = event.ipv4().filter(|ip| ip.destination() == self.ip) else {
                return Ok(Verdict::Continue);
            };
            let Some(udp) = event.udp().filter(|udp| udp.destination_port() == DNS) else {
                return Ok(Verdict::Continue);
            };
            let Some(answer) = self.answer(udp.payload(), core) else { return Ok(Verdict::Halt) };
            let ends = Ends { macs: (self.mac, event.source()), ips: (self.ip, ip.source()) };
            let packet = compose::udp(ends, (DNS, udp.source_port()), &answer);
            frames::answer(event, self.mac, frames::packet(&packet))
        };
        core.inject(event.connection, event.in_port, [output(PortNo::IN_PORT)], reply)?;
        core.drop_packet(event)?;
        Ok(Verdict::Halt)
    }

    /// The answer to a question; `None` for what is not to be answered.
    fn answer(&self, question: &[u8], core: &mut Core) -> Option<Vec<u8>> {
        let mut buffer = vec![0; dns::UDP_LEN_MAX];
        let addresses;
        let answer = match dns::Query::parse(question) {
            Ok(query) => {
                let name = query.name.to_lower();
                let served = self.domain.as_ref().is_none_or(|domain| {
                    name == *domain
                        || name.strip_suffix(domain.as_str()).is_some_and(|head| head.ends_with('.'))
                });
                debug!(core, "asked for {name}");
                match self.names.get(name.as_str()) {
                    Some(known) => {
                        addresses = known.clone();
                        dns::Answer::Addresses(&addresses)
                    }
                    None if served => dns::Answer::NoName,
                    None => dns::Answer::Code(dns::ResponseCode::REFUSED),
                }
            }
            Err(_) => dns::Answer::Code(dns::ResponseCode::FORMAT_ERROR),
        };
        let length = dns::Response { query: question, answer, ttl_s: self.ttl_s }.emit(&mut buffer).ok()?;
        buffer.truncate(length);
        Some(buffer)
    }
}
