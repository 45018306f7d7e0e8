//! `VXLANEncap`: over IPv4, for the attributes that BESS's clients set have 4 bytes, or with `ipv6`, a field of ours, over
//! IPv6.

use packet::wire::vxlan;

use super::ip_encap::family;
use crate::bess::class::{Argument, Class, Setup, commands, decode};
use crate::bess::{Failure, pb};
use crate::engine::Module;
use crate::modules::VxlanEncap;

pub(super) const CLASS: Class = Class {
    name: "VXLANEncap",
    help: "puts UDP and VXLAN headers in front of frames",
    template: "vxlan_encap",
    arg: "VXLANEncapArg",
    build,
    commands: commands![VxlanEncap;],
};

fn build(_: &mut Setup<'_>, argument: &Argument<'_>) -> Result<Box<dyn Module>, Failure> {
    let arg: pb::VxlanEncapArg = decode(argument)?;
    let port = if arg.dstport == 0 { u64::from(vxlan::PORT) } else { arg.dstport };
    let port =
        u16::try_from(port).map_err(|_| Failure::invalid(format!("invalid 'dstport' field: {port}")))?;
    Ok(Box::new(VxlanEncap::new(family(arg.ipv6), port)))
}
