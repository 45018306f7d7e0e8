//! Whether the machines of a blueprint can be one cluster.

use std::collections::HashSet;

use super::sizes::{PROVIDERS, price_micros};
use crate::check::placement;
use crate::fault::{Fault, Kind};
use crate::model::{Blueprint, Floating, Machine, Role};

/// Most machines of one deployment.
pub const MACHINES_MAX: usize = 1_000;
/// Longest name of a deployment with machines: it is part of the names of nodes, keys and firewalls.
const NAME_MAX: usize = 40;
/// Longest public key, in bytes.
const SSH_KEY_BYTES_MAX: usize = 4_096;

/// Everything that is wrong with a blueprint's machines. `admins` are networks named beside the blueprint's own.
pub fn vet(blueprint: &Blueprint, admins: &[String]) -> Vec<Fault> {
    let machines = &blueprint.machines;
    let mut faults = Vec::new();
    let Some(first) = machines.all.first() else {
        let (what, help) = (
            "the blueprint has no machines",
            "make one: `new Machine({ provider: 'Amazon', role: 'master' })`",
        );
        return vec![fault(what.into(), help, &Machine::default())];
    };
    if machines.all.len() > MACHINES_MAX {
        let what = format!("the blueprint has {} machines", machines.all.len());
        faults.push(fault(what, "have 1000 at most", first));
    }
    if blueprint.name.len() > NAME_MAX {
        let what = format!("'{}' is too long a name for a deployment with machines", blueprint.name);
        faults.push(fault(what, "let it have 40 characters at most", first));
    }
    if !machines.all.iter().any(|machine| machine.role == Role::Master) {
        let help = "give one the role: `new Machine({ role: 'master', … })`; a master runs containers too";
        faults.push(fault("no machine is a master".into(), help, first));
    }
    for machine in &machines.all {
        if machine.provider != first.provider || machine.region != first.region {
            let what = format!("machines are in {} and in {}", place(first), place(machine));
            faults.push(fault(what, "have all of a deployment in one region: they are one cluster", machine));
            break;
        }
    }
    if first.provider != "Amazon" {
        let known: Vec<&str> = PROVIDERS.iter().copied().filter(|one| *one != "Amazon").collect();
        let what = format!("machines of {} cannot be booted yet", first.provider);
        let help = format!("name Amazon; {} are known by name only", known.join(", "));
        faults.push(Fault::new(Kind::Deployment { what, help }, first.span.clone()));
    }
    networks(blueprint, admins, first, &mut faults);
    let mut spans = HashSet::new();
    let mut floating = HashSet::new();
    for machine in &machines.all {
        if let Floating::Of(address) = &machine.floating
            && !floating.insert(address)
        {
            let what = format!("two machines have the floating address {address}");
            faults.push(fault(what, "give each its own", machine));
        }
        if spans.insert(&machine.span) {
            one(machine, machines.max_price_micros, &mut faults);
        }
    }
    if let Err(obstacle) = placement::enough(blueprint) {
        let span = obstacle.places().into_iter().next().map_or_else(|| first.span.clone(), |(_, span)| span);
        let help = "ask for more machines or larger ones, or for less of them";
        faults.push(Fault::new(Kind::Deployment { what: obstacle.to_string(), help: help.into() }, span));
    }
    faults
}

fn place(machine: &Machine) -> String {
    format!("{}'s {}", machine.provider, machine.region)
}

fn fault(what: String, help: &str, machine: &Machine) -> Fault {
    Fault::new(Kind::Deployment { what, help: help.into() }, machine.span.clone())
}

fn networks(blueprint: &Blueprint, admins: &[String], first: &Machine, faults: &mut Vec<Fault>) {
    let all: Vec<&String> = blueprint.machines.admins.iter().chain(admins).collect();
    if all.is_empty() {
        let help = "say who may: `deployment({ adminACL: ['203.0.113.7/32'] })`, or --admin 203.0.113.7/32; the address \
                    of this machine, as the internet sees it, must be among them";
        faults.push(fault("nobody may reach the machines, not even weft".into(), help, first));
    }
    for network in all {
        if !is_network(network) {
            let what = format!("'{network}' is no network");
            faults.push(fault(
                what,
                "write an address and the length of its prefix, such as '203.0.113.0/24'",
                first,
            ));
        }
    }
}

fn one(machine: &Machine, max_price_micros: Option<u64>, faults: &mut Vec<Fault>) {
    let price = price_micros(&machine.provider, &machine.size);
    if let (Some(price), Some(most)) = (price, max_price_micros)
        && price > most
        && !machine.is_spot
    {
        let what = format!(
            "an hour of '{}' costs {} dollars, and the most that is to be paid is {}",
            machine.size,
            price as f64 / 1e6,
            most as f64 / 1e6
        );
        faults.push(fault(
            what,
            "ask for less, pay more, or have it at the market's price: spot: true",
            machine,
        ));
    }
    for key in &machine.ssh_keys {
        let is_key =
            key.split_whitespace().count() >= 2 && key.len() <= SSH_KEY_BYTES_MAX && !key.contains('\n');
        if !is_key {
            let shown: String = key.chars().take(20).collect();
            let what = format!("'{}' is no public key", shown.escape_debug());
            faults.push(fault(what, "write it as in ~/.ssh/id_ed25519.pub: 'ssh-ed25519 AAAA…'", machine));
        }
    }
}

/// Whether it is an address with the length of a prefix; bits beyond it are none of a network.
fn is_network(text: &str) -> bool {
    let Some((address, length)) = text.split_once('/') else { return false };
    let Ok(length) = length.parse::<u32>() else { return false };
    match address.parse::<std::net::IpAddr>() {
        Ok(std::net::IpAddr::V4(address)) => {
            length <= 32 && u32::from(address).checked_shl(length).unwrap_or_default() == 0
        }
        Ok(std::net::IpAddr::V6(address)) => {
            length <= 128 && u128::from(address).checked_shl(length).unwrap_or_default() == 0
        }
        Err(_) => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_network_is_an_address_with_the_length_of_its_prefix() {
        for right in ["0.0.0.0/0", "203.0.113.7/32", "10.0.0.0/8", "::/0", "2001:db8::/32", "::1/128"] {
            assert!(is_network(right), "{right}");
        }
        for wrong in [
            "",
            "10.0.0.0",
            "10.0.0.1/8",
            "10.0.0.0/33",
            "a/8",
            "2001:db8::1/32",
            "::/129",
            "local",
            "1.2.3.4/x",
        ] {
            assert!(!is_network(wrong), "{wrong}");
        }
    }
}
