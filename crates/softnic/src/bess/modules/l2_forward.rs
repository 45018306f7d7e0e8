//! `L2Forward`.

use packet::wire::MacAddr;

use super::field::gate;
use crate::bess::class::{Argument, Class, Setup, Told, commands, decode, told};
use crate::bess::{Failure, pb};
use crate::engine::{Gate, Module};
use crate::modules::{L2Forward, L2ForwardError, STATIONS_MAX};

/// Differences from BESS: there is room for all of `size` times `bucket` addresses, whatever they are; `populate` counts up
/// from the address that it is given, where BESS shifts it by two bytes.
pub(super) const CLASS: Class = Class {
    name: "L2Forward",
    help: "sends packets to gates by their destination MAC address",
    template: "l2_forward",
    arg: "L2ForwardArg",
    build,
    commands: commands![L2Forward;
        "add" => add,
        "delete" => delete,
        "set_default_gate" => set_default_gate,
        "lookup" => lookup,
        "populate" => populate,
    ],
};

const SIZE_DEFAULT: i64 = 1024;
const SIZE_MAX: i64 = 1 << 26;
const BUCKET_MAX: i64 = 4;

fn build(setup: &mut Setup<'_>, argument: &Argument<'_>) -> Result<Box<dyn Module>, Failure> {
    let arg: pb::L2ForwardArg = decode(argument)?;
    let size = if arg.size == 0 { SIZE_DEFAULT } else { arg.size };
    let bucket = if arg.bucket == 0 { BUCKET_MAX } else { arg.bucket };
    let fits = |number: i64, most: i64| (1..=most).contains(&number) && number.count_ones() == 1;
    if !fits(size, SIZE_MAX) || !fits(bucket, BUCKET_MAX) {
        return Err(Failure::invalid(format!(
            "initialization failed with argument size: '{size}' bucket: '{bucket}'"
        )));
    }
    let capacity = usize::try_from(size * bucket).unwrap_or(STATIONS_MAX);
    Ok(Box::new(L2Forward::new(capacity, setup.seed())))
}

fn mac(text: &str) -> Result<MacAddr, Failure> {
    if text.is_empty() {
        return Err(Failure::invalid("an address must be a string such as 00:01:02:03:04:05"));
    }
    // BESS also takes single digits.
    let mut octets = text.split(':').map(|octet| u8::from_str_radix(octet, 16));
    let mut next = || octets.next()?.ok();
    let address = [next(), next(), next(), next(), next(), next()];
    match (address, octets.next()) {
        ([Some(a), Some(b), Some(c), Some(d), Some(e), Some(f)], None) => Ok(MacAddr([a, b, c, d, e, f])),
        _ => Err(Failure::invalid(format!("{text} is not a proper mac address"))),
    }
}

/// All of them, or none.
fn add(module: &mut L2Forward, arg: pb::L2ForwardCommandAddArg) -> Result<(), Failure> {
    let entry = |entry: &pb::l2_forward_command_add_arg::Entry| Ok((mac(&entry.addr)?, gate(entry.gate)?));
    let entries: Vec<(MacAddr, Gate)> = arg.entries.iter().map(entry).collect::<Result<_, Failure>>()?;
    for (at, &(address, gate)) in entries.iter().enumerate() {
        if let Err(error) = module.add(address, gate) {
            for (added, _) in &entries[..at] {
                let _ = module.delete(*added);
            }
            return Err(error.into());
        }
    }
    Ok(())
}

/// All of them, or none.
fn delete(module: &mut L2Forward, arg: pb::L2ForwardCommandDeleteArg) -> Result<(), Failure> {
    let addresses: Vec<MacAddr> = arg.addrs.iter().map(|address| mac(address)).collect::<Result<_, _>>()?;
    let mut gone = Vec::with_capacity(addresses.len());
    for address in addresses {
        let gate = module.lookup(address);
        if let Err(error) = module.delete(address) {
            for (address, gate) in gone {
                // There is room: they have just made it.
                let _ = module.add(address, gate);
            }
            return Err(error.into());
        }
        gone.extend(gate.map(|gate| (address, gate)));
    }
    Ok(())
}

fn set_default_gate(
    module: &mut L2Forward,
    arg: pb::L2ForwardCommandSetDefaultGateArg,
) -> Result<(), Failure> {
    module.set_default_gate(gate(arg.gate)?);
    Ok(())
}

fn lookup(
    module: &mut L2Forward,
    arg: pb::L2ForwardCommandLookupArg,
) -> Result<pb::L2ForwardCommandLookupResponse, Failure> {
    let mut gates = Vec::with_capacity(arg.addrs.len());
    for address in arg.addrs {
        let address = mac(&address)?;
        gates.push(module.lookup(address).ok_or(L2ForwardError::NotFound(address))?.into());
    }
    Ok(pb::L2ForwardCommandLookupResponse { gates })
}

fn populate(module: &mut L2Forward, arg: pb::L2ForwardCommandPopulateArg) -> Result<(), Failure> {
    let gates = gate(arg.gate_count)?;
    if gates == 0 {
        return Err(Failure::invalid("gate_count must be above 0"));
    }
    module.populate(mac(&arg.base)?, arg.count.try_into().unwrap_or(0), gates);
    Ok(())
}

impl From<L2ForwardError> for Failure {
    fn from(error: L2ForwardError) -> Self {
        let message = error.to_string();
        match error {
            L2ForwardError::Exists(_) => Self::exists(message),
            L2ForwardError::NotFound(_) => Self::not_found(message),
            L2ForwardError::Full { .. } => Self::no_memory(message),
        }
    }
}

pub(super) fn save(module: &mut L2Forward) -> Vec<Told> {
    let entry = |(address, gate): (MacAddr, Gate)| pb::l2_forward_command_add_arg::Entry {
        addr: address.to_string(),
        gate: gate.into(),
    };
    let mut stations: Vec<_> = module.stations().collect();
    stations.sort_unstable();
    let add = pb::L2ForwardCommandAddArg { entries: stations.into_iter().map(entry).collect() };
    let gate = pb::L2ForwardCommandSetDefaultGateArg { gate: module.default_gate().into() };
    vec![told("add", &add), told("set_default_gate", &gate)]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(addr: &str, gate: i64) -> pb::l2_forward_command_add_arg::Entry {
        pb::l2_forward_command_add_arg::Entry { addr: addr.to_owned(), gate }
    }

    #[test]
    fn what_bess_tests() {
        let mut module = L2Forward::new(16, 1);
        let entries =
            vec![entry("00:01:02:03:04:05", 64), entry("aa:bb:cc:dd:ee:ff", 1), entry("1:1:1:1:1:22", 2)];
        add(&mut module, pb::L2ForwardCommandAddArg { entries }).unwrap();
        let again = pb::L2ForwardCommandAddArg { entries: vec![entry("00:01:02:03:04:05", 0)] };
        assert_eq!(add(&mut module, again).unwrap_err().code, 17);
        let addrs =
            ["aa:bb:cc:dd:ee:ff", "00:01:02:03:04:05", "01:01:01:01:01:22"].map(str::to_owned).to_vec();
        let found = lookup(&mut module, pb::L2ForwardCommandLookupArg { addrs }).unwrap();
        assert_eq!(found.gates, [1, 64, 2]);
        let gone = pb::L2ForwardCommandDeleteArg { addrs: vec!["00:01:02:03:04:05".to_owned()] };
        delete(&mut module, gone.clone()).unwrap();
        assert_eq!(delete(&mut module, gone).unwrap_err().code, 2);
        let before = save(&mut module);
        for wrong in ["aa:bb:cc:dd:ee:ff", "x"] {
            let entries = vec![entry("2:2:2:2:2:2", 1), entry(wrong, 3), entry("3:3:3:3:3:3", 1)];
            assert!(add(&mut module, pb::L2ForwardCommandAddArg { entries }).is_err());
        }
        let addrs = ["aa:bb:cc:dd:ee:ff", "9:9:9:9:9:9"].map(str::to_owned).to_vec();
        assert_eq!(delete(&mut module, pb::L2ForwardCommandDeleteArg { addrs }).unwrap_err().code, 2);
        assert_eq!((module.len(), save(&mut module).len()), (2, before.len()), "as it was");
        assert_eq!(module.lookup(mac("aa:bb:cc:dd:ee:ff").unwrap()), Some(1));
    }

    #[test]
    fn wrong_addresses_and_counts_are_refused() {
        for wrong in
            ["", "00:01:02:03:04", "00:01:02:03:04:05:06", "00:01:02:03:04:100", "g0:01:02:03:04:05", "a"]
        {
            assert_eq!(mac(wrong).unwrap_err().code, 22, "{wrong}");
        }
        let mut module = L2Forward::new(16, 1);
        let mut none =
            pb::L2ForwardCommandPopulateArg { base: "0:0:0:0:0:1".to_owned(), count: 2, gate_count: 0 };
        assert_eq!(populate(&mut module, none.clone()).unwrap_err().code, 22);
        none.gate_count = 5;
        populate(&mut module, none.clone()).unwrap();
        none.count = -1;
        populate(&mut module, none).unwrap();
        assert_eq!(module.len(), 2);
    }
}
