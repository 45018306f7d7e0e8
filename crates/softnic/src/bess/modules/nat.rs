//! `NAT`. External addresses may be of either version of IP; hosts get one of their own. `get_initial_arg` gives back the
//! argument as it came; BESS puts its addresses in order.

use std::net::IpAddr;
use std::ops::RangeInclusive;

use crate::bess::class::{Argument, Class, Setup, commands, decode};
use crate::bess::pb::nat_arg;
use crate::bess::{Failure, pb};
use crate::engine::Module;
use crate::modules::{ExternalAddress, Nat, NatConfig};

pub(super) const CLASS: Class = Class {
    name: "NAT",
    help: "translates addresses and ports, so that many hosts share a few addresses",
    template: "nat",
    arg: "NATArg",
    build,
    commands: commands![
        Nat;
        "get_initial_arg" => INITIAL,
        "get_runtime_config" => nothing,
        "set_runtime_config" => nothing,
    ],
};

fn build(setup: &mut Setup<'_>, argument: &Argument<'_>) -> Result<Box<dyn Module>, Failure> {
    let arg: pb::NatArg = decode(argument)?;
    let mut externals = arg.ext_addrs.iter().map(external).collect::<Result<Vec<_>, _>>()?;
    externals.sort_by_key(|external| external.address);
    let config = NatConfig { externals, ..NatConfig::default() };
    Ok(Box::new(Nat::new(&config, u128::from(setup.seed())).map_err(Failure::refused)?))
}

fn external(external: &nat_arg::ExternalAddress) -> Result<ExternalAddress, Failure> {
    let nat_arg::ExternalAddress { ext_addr, port_ranges } = external;
    let address: IpAddr =
        ext_addr.parse().map_err(|_| Failure::invalid(format!("invalid IP address {ext_addr}")))?;
    let mut ports = port_ranges.iter().map(|range| ports(ext_addr, range)).collect::<Result<Vec<_>, _>>()?;
    if port_ranges.is_empty() {
        ports.push(Some(0..=u16::MAX));
    }
    Ok(ExternalAddress { address, ports: ports.into_iter().flatten().collect() })
}

/// A range, both ends of which are given out; none where it is suspended.
fn ports(address: &str, range: &nat_arg::PortRange) -> Result<Option<RangeInclusive<u16>>, Failure> {
    let nat_arg::PortRange { begin, end, suspended } = *range;
    match (u16::try_from(begin), u16::try_from(end)) {
        (Ok(begin), Ok(end)) if begin < end => Ok((!suspended).then_some(begin..=end)),
        _ => {
            Err(Failure::invalid(format!("Port range for address {address} is malformed: {begin} to {end}")))
        }
    }
}

/// There is nothing to configure while it runs.
fn nothing(_: &mut Nat, _: pb::EmptyArg) -> Result<pb::EmptyArg, Failure> {
    Ok(pb::EmptyArg {})
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn port_ranges_are_checked_and_suspended_ones_left_out() {
        let range = |begin, end, suspended| nat_arg::PortRange { begin, end, suspended };
        let read =
            |port_ranges| external(&nat_arg::ExternalAddress { ext_addr: "192.0.2.1".into(), port_ranges });
        let ports = |ranges| read(ranges).unwrap().ports;
        assert_eq!(ports(vec![]), [0..=65_535]);
        assert_eq!(ports(vec![range(1, 1024, false), range(2000, 3000, true)]), [1..=1024]);
        assert_eq!(ports(vec![range(2000, 3000, true)]), []);
        for (begin, end) in [(5, 5), (6, 5), (1, 65_536), (70_000, 80_000)] {
            assert!(read(vec![range(begin, end, false)]).is_err(), "{begin} to {end}");
        }
    }
}
