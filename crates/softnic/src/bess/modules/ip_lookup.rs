//! `IPLookup`.

use std::net::IpAddr;

use super::field::gate;
use crate::bess::class::{Argument, Class, Setup, Told, commands, decode, told};
use crate::bess::{Failure, pb};
use crate::engine::{Gate, Module};
use crate::modules::{IpLookup, IpLookupError, PREFIXES_DEFAULT};

/// Prefixes of IPv6 are taken as those of IPv4 are. `max_rules` is for each family; `max_tbl8s` is not needed.
pub(super) const CLASS: Class = Class {
    name: "IPLookup",
    help: "sends packets to gates by the longest prefix that their IP destination address is in",
    template: "ip_lookup",
    arg: "IPLookupArg",
    build,
    commands: commands![IpLookup; "add" => add, "delete" => delete, "clear" => clear],
};

fn build(_: &mut Setup<'_>, argument: &Argument<'_>) -> Result<Box<dyn Module>, Failure> {
    let arg: pb::IpLookupArg = decode(argument)?;
    let limit = if arg.max_rules == 0 { PREFIXES_DEFAULT } else { arg.max_rules as usize };
    Ok(Box::new(IpLookup::new(limit)))
}

fn prefix(address: &str, len: u64) -> Result<(IpAddr, u8), Failure> {
    if address.is_empty() {
        return Err(Failure::invalid("prefix' is missing"));
    }
    let parsed = address.parse().map_err(|_| Failure::invalid(format!("Invalid IP prefix: {address}")))?;
    let len = u8::try_from(len).map_err(|_| Failure::invalid(format!("Invalid prefix length: {len}")))?;
    Ok((parsed, len))
}

fn add(module: &mut IpLookup, arg: pb::IpLookupCommandAddArg) -> Result<(), Failure> {
    let (address, len) = prefix(&arg.prefix, arg.prefix_len)?;
    Ok(module.add(address, len, gate(arg.gate)?)?)
}

fn delete(module: &mut IpLookup, arg: pb::IpLookupCommandDeleteArg) -> Result<(), Failure> {
    let (address, len) = prefix(&arg.prefix, arg.prefix_len)?;
    Ok(module.delete(address, len)?)
}

fn clear(module: &mut IpLookup, _: pb::EmptyArg) -> Result<(), Failure> {
    module.clear();
    Ok(())
}

impl From<IpLookupError> for Failure {
    fn from(error: IpLookupError) -> Self {
        let message = error.to_string();
        match error {
            IpLookupError::V4(_) | IpLookupError::V6(_) => Self::invalid(message),
            IpLookupError::Full(_) => Self::no_space(message),
            IpLookupError::NotFound { .. } => Self::not_found(message),
        }
    }
}

pub(super) fn save(module: &mut IpLookup) -> Vec<Told> {
    let add = |(address, len, gate): (IpAddr, u8, Gate)| {
        let add = pb::IpLookupCommandAddArg {
            prefix: address.to_string(),
            prefix_len: len.into(),
            gate: gate.into(),
        };
        told("add", &add)
    };
    module.prefixes().map(add).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_bess_tests() {
        let mut module = IpLookup::new(PREFIXES_DEFAULT);
        let mut put = |prefix: &str, prefix_len, gate| {
            add(&mut module, pb::IpLookupCommandAddArg { prefix: prefix.to_owned(), prefix_len, gate })
                .map_err(|failure| failure.code)
        };
        assert_eq!(put("22.22.22.0", 24, 0), Ok(()));
        assert_eq!(put("2001:db8::", 32, 1), Ok(()));
        assert_eq!(put("22.22.22.0", 16, 0), Err(22));
        assert_eq!(put("22.22.22.0", 300, 0), Err(22));
        assert_eq!(put("22.22.22", 24, 0), Err(22));
        assert_eq!(put("", 24, 0), Err(22));
        assert_eq!(put("0.0.0.0", 0, 8193), Err(22));
        let mut take = |prefix: &str, prefix_len| {
            delete(&mut module, pb::IpLookupCommandDeleteArg { prefix: prefix.to_owned(), prefix_len })
                .map_err(|failure| failure.code)
        };
        assert_eq!(take("22.22.22.0", 24), Ok(()));
        assert_eq!(take("52.22.22.0", 24), Err(2));
        assert_eq!(module.len(), 1);
    }
}
