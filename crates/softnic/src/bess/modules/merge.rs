//! `Merge`.

use crate::bess::class::{Argument, Class, Setup, decode};
use crate::bess::{Failure, pb};
use crate::engine::{GATES_MAX, Module};
use crate::modules::Merge;

pub(super) const CLASS: Class = Class {
    name: "Merge",
    help: "brings packets from all input gates together",
    template: "merge",
    arg: "MergeArg",
    build,
    commands: &[],
};

fn build(_: &mut Setup<'_>, argument: &Argument<'_>) -> Result<Box<dyn Module>, Failure> {
    let pb::MergeArg {} = decode(argument)?;
    Ok(Box::new(Merge::new(GATES_MAX)))
}
