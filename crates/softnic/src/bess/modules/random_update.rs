//! `RandomUpdate`.

use super::update::offset;
use crate::bess::class::{Argument, Class, Setup, commands, decode};
use crate::bess::{Failure, pb};
use crate::engine::Module;
use crate::modules::{RandomField, RandomUpdate};

pub(super) const CLASS: Class = Class {
    name: "RandomUpdate",
    help: "writes random values into packets",
    template: "rupdate",
    arg: "RandomUpdateArg",
    build,
    commands: commands![RandomUpdate; "add" => add, "clear" => clear],
};

fn fields(arg: &pb::RandomUpdateArg) -> Result<Vec<RandomField>, Failure> {
    // The module cuts bounds to the field's size; here they are cut to what the module is told.
    let bound = |bound: u64| u32::try_from(bound).unwrap_or(u32::MAX);
    let field = |field: &pb::random_update_arg::Field| {
        let offset = offset(field.offset)?;
        let size = usize::try_from(field.size).unwrap_or(usize::MAX);
        Ok(RandomField { offset, size, min: bound(field.min), max: bound(field.max) })
    };
    arg.fields.iter().map(field).collect()
}

fn build(setup: &mut Setup<'_>, argument: &Argument<'_>) -> Result<Box<dyn Module>, Failure> {
    let arg: pb::RandomUpdateArg = decode(argument)?;
    Ok(Box::new(RandomUpdate::new(&fields(&arg)?, setup.seed()).map_err(Failure::refused)?))
}

fn add(module: &mut RandomUpdate, arg: pb::RandomUpdateArg) -> Result<(), Failure> {
    module.add(&fields(&arg)?).map_err(Failure::refused)
}

fn clear(module: &mut RandomUpdate, _: pb::EmptyArg) -> Result<(), Failure> {
    module.clear();
    Ok(())
}
