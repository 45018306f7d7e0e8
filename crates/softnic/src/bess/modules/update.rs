//! `Update`.

use crate::bess::class::{Argument, Class, Setup, commands, decode};
use crate::bess::{Failure, pb};
use crate::engine::Module;
use crate::modules::{Update, UpdateField};

pub(super) const CLASS: Class = Class {
    name: "Update",
    help: "writes fixed values into packets",
    template: "update",
    arg: "UpdateArg",
    build,
    commands: commands![Update; "add" => add, "clear" => clear],
};

fn fields(arg: &pb::UpdateArg) -> Result<Vec<UpdateField>, Failure> {
    let field = |field: &pb::update_arg::Field| {
        let offset = offset(field.offset)?;
        let size = usize::try_from(field.size).unwrap_or(usize::MAX);
        Ok(UpdateField { offset, size, value: field.value })
    };
    arg.fields.iter().map(field).collect()
}

/// An offset from the packet's first byte; BESS takes those in front of it as well, and writes there.
pub(super) fn offset(offset: i64) -> Result<usize, Failure> {
    usize::try_from(offset).map_err(|_| Failure::invalid(format!("invalid 'offset': {offset}")))
}

fn build(_: &mut Setup<'_>, argument: &Argument<'_>) -> Result<Box<dyn Module>, Failure> {
    let arg: pb::UpdateArg = decode(argument)?;
    Ok(Box::new(Update::new(&fields(&arg)?).map_err(Failure::refused)?))
}

fn add(module: &mut Update, arg: pb::UpdateArg) -> Result<(), Failure> {
    module.add(&fields(&arg)?).map_err(Failure::refused)
}

fn clear(module: &mut Update, _: pb::EmptyArg) -> Result<(), Failure> {
    module.clear();
    Ok(())
}
