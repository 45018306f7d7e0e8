//! `GenericDecap`.

use crate::bess::class::{Argument, Class, Setup, commands, decode};
use crate::bess::{Failure, pb};
use crate::engine::Module;
use crate::modules::GenericDecap;

pub(super) const CLASS: Class = Class {
    name: "GenericDecap",
    help: "takes bytes off the front of packets",
    template: "generic_decap",
    arg: "GenericDecapArg",
    build,
    commands: commands![GenericDecap;],
};

fn build(_: &mut Setup<'_>, argument: &Argument<'_>) -> Result<Box<dyn Module>, Failure> {
    let arg: pb::GenericDecapArg = decode(argument)?;
    let bytes = usize::try_from(arg.bytes).unwrap_or(usize::MAX);
    Ok(Box::new(GenericDecap::new(bytes).map_err(Failure::refused)?))
}
