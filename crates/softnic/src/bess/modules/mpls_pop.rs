//! `MPLSPop`.

use packet::wire::EtherType;

use crate::bess::class::{Class, commands, decode};
use crate::bess::{Failure, pb};
use crate::modules::MplsPop;

pub(super) const CLASS: Class = Class {
    name: "MPLSPop",
    help: "takes an MPLS label off frames",
    template: "mpls_pop",
    arg: "EmptyArg",
    build: |_, argument| {
        decode::<pb::EmptyArg>(argument)?;
        Ok(Box::new(MplsPop::default()))
    },
    commands: commands![MplsPop; "set" => set],
};

fn set(module: &mut MplsPop, arg: pb::MplsPopArg) -> Result<(), Failure> {
    let next = u16::try_from(arg.next_eth_type)
        .map_err(|_| Failure::invalid(format!("invalid 'next_eth_type': {:#x}", arg.next_eth_type)))?;
    module.set(EtherType(next), arg.remove_eth_header);
    Ok(())
}
