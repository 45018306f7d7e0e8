//! `Rewrite`.

use crate::bess::class::{Argument, Class, Setup, commands, decode};
use crate::bess::{Failure, pb};
use crate::engine::Module;
use crate::modules::Rewrite;

pub(super) const CLASS: Class = Class {
    name: "Rewrite",
    help: "replaces packets by templates",
    template: "rewrite",
    arg: "RewriteArg",
    build,
    commands: commands![Rewrite; "add" => add, "clear" => clear],
};

fn build(setup: &mut Setup<'_>, argument: &Argument<'_>) -> Result<Box<dyn Module>, Failure> {
    let arg: pb::RewriteArg = decode(argument)?;
    let most = setup.burst_max() as usize;
    Ok(Box::new(Rewrite::new(most, &arg.templates).map_err(Failure::refused)?))
}

fn add(module: &mut Rewrite, arg: pb::RewriteArg) -> Result<(), Failure> {
    module.add(&arg.templates).map_err(Failure::refused)
}

fn clear(module: &mut Rewrite, _: pb::EmptyArg) -> Result<(), Failure> {
    module.clear();
    Ok(())
}
