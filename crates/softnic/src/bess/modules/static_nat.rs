//! `StaticNAT`.

use std::net::IpAddr;

use crate::bess::class::{Argument, Class, Setup, commands, decode};
use crate::bess::pb::static_nat_arg::{AddressRange, AddressRangePair};
use crate::bess::{Failure, pb};
use crate::engine::Module;
use crate::modules::{AddressPair, StaticNat};

pub(super) const CLASS: Class = Class {
    name: "StaticNAT",
    help: "exchanges inside addresses for outside ones, one for one",
    template: "static_nat",
    arg: "StaticNATArg",
    build,
    commands: commands![
        StaticNat;
        "get_initial_arg" => INITIAL,
        "get_runtime_config" => nothing,
        "set_runtime_config" => nothing,
    ],
};

fn build(_: &mut Setup<'_>, argument: &Argument<'_>) -> Result<Box<dyn Module>, Failure> {
    let arg: pb::StaticNatArg = decode(argument)?;
    let pairs = arg.pairs.iter().map(pair).collect::<Result<_, _>>()?;
    Ok(Box::new(StaticNat::new(pairs).map_err(Failure::refused)?))
}

fn pair(pair: &AddressRangePair) -> Result<AddressPair, Failure> {
    let (inside, outside) = (range(pair.int_range.as_ref())?, range(pair.ext_range.as_ref())?);
    AddressPair::new(inside, outside).map_err(Failure::refused)
}

fn range(range: Option<&AddressRange>) -> Result<(IpAddr, IpAddr), Failure> {
    let (start, end) = range.map_or(("", ""), |range| (&range.start, &range.end));
    let address =
        |text: &str| text.parse().map_err(|_| Failure::invalid(format!("invalid IP address {text}")));
    Ok((address(start)?, address(end)?))
}

/// There is nothing to configure while it runs.
fn nothing(_: &mut StaticNat, _: pb::EmptyArg) -> Result<pb::EmptyArg, Failure> {
    Ok(pb::EmptyArg {})
}
