//! `ArpResponder`.

use std::net::IpAddr;

use packet::wire::MacAddr;

use crate::bess::class::{Class, Told, commands, decode, told};
use crate::bess::{Failure, pb};
use crate::modules::ArpResponder;

pub(super) const CLASS: Class = Class {
    name: "ArpResponder",
    help: "answers ARP requests and IPv6 neighbour solicitations",
    template: "arp_responder",
    arg: "ArpResponderArg",
    build: |_, argument| {
        // BESS's takes no argument; a station in it is one that is there from the beginning.
        let arg: pb::ArpResponderArg = decode(argument)?;
        let mut module = ArpResponder::default();
        if arg != pb::ArpResponderArg::default() {
            add(&mut module, arg)?;
        }
        Ok(Box::new(module))
    },
    commands: commands![ArpResponder; "add" => add],
};

fn add(module: &mut ArpResponder, arg: pb::ArpResponderArg) -> Result<(), Failure> {
    if arg.ip.is_empty() {
        return Err(Failure::invalid("IP address is missing"));
    }
    let address: IpAddr =
        arg.ip.parse().map_err(|_| Failure::invalid(format!("Invalid IP Address: {}", arg.ip)))?;
    let mac: MacAddr = arg
        .mac_addr
        .parse()
        .map_err(|_| Failure::invalid(format!("Invalid MAC Address: {}", arg.mac_addr)))?;
    module.add(address, mac).map_err(|error| Failure::no_space(error.to_string()))
}

/// A station is never forgotten, so those that the argument has named are among them.
pub(super) fn save(module: &mut ArpResponder) -> Vec<Told> {
    let station = |(address, mac): (IpAddr, MacAddr)| {
        told("add", &pb::ArpResponderArg { ip: address.to_string(), mac_addr: mac.to_string() })
    };
    let mut stations: Vec<_> = module.stations().collect();
    stations.sort_unstable();
    stations.into_iter().map(station).collect()
}
