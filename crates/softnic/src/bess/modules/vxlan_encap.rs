//! `VXLANEncap`: over IPv4, since the attributes that its clients set have 4 bytes.

use packet::wire::vxlan;

use crate::bess::class::{Argument, Class, Setup, commands, decode};
use crate::bess::{Failure, pb};
use crate::engine::Module;
use crate::modules::{Family, VxlanEncap};

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
    Ok(Box::new(VxlanEncap::new(Family::V4, port)))
}
