//! `IPFrag`: of IPv4, or with `ipv6`, a field of ours, of both versions.

use crate::bess::class::{Argument, Class, Setup, commands, decode};
use crate::bess::{Failure, pb};
use crate::engine::Module;
use crate::modules::IpFrag;

pub(super) const CLASS: Class = Class {
    name: "IPFrag",
    help: "cuts IP packets that are too long into fragments",
    template: "ip_frag",
    arg: "IPFragArg",
    build,
    commands: commands![IpFrag; "get_eth_mtu" => get_eth_mtu],
};

fn build(setup: &mut Setup<'_>, argument: &Argument<'_>) -> Result<Box<dyn Module>, Failure> {
    let arg: pb::IpFragArg = decode(argument)?;
    let frag = IpFrag::new(setup.pool(), arg.mtu.into()).map_err(Failure::refused)?;
    Ok(Box::new(if arg.ipv6 { frag.with_ipv6(setup.seed()) } else { frag }))
}

fn get_eth_mtu(module: &mut IpFrag, _: pb::EmptyArg) -> Result<pb::IpFragArg, Failure> {
    let mtu = i32::try_from(module.length()).unwrap_or(i32::MAX);
    Ok(pb::IpFragArg { mtu, ipv6: module.cuts_ipv6() })
}
