//! `Split`.

use crate::bess::class::{Argument, Class, Setup, decode};
use crate::bess::{Failure, pb};
use crate::engine::Module;
use crate::modules::{Field, OFFSET_MAX, Split};

/// Difference from BESS: a number above 8191 is dropped, where BESS first cuts it to 16 bits.
pub(super) const CLASS: Class = Class {
    name: "Split",
    help: "sends packets to the gates whose numbers they carry",
    template: "split",
    arg: "SplitArg",
    build,
    commands: &[],
};

fn build(_: &mut Setup<'_>, argument: &Argument<'_>) -> Result<Box<dyn Module>, Failure> {
    let arg: pb::SplitArg = decode(argument)?;
    let bytes = usize::try_from(arg.size).ok().filter(|bytes| (1..=Split::BYTES_MAX).contains(bytes));
    let bytes = bytes.ok_or_else(|| Failure::invalid(format!("'size' must be 1-{}", Split::BYTES_MAX)))?;
    let field = match arg.r#type {
        Some(pb::split_arg::Type::Attribute(name)) => Field::attribute(&name, bytes),
        Some(pb::split_arg::Type::Offset(offset)) => {
            let offset = u32::try_from(offset).ok().filter(|offset| *offset <= OFFSET_MAX);
            Field::at(offset.ok_or_else(|| Failure::invalid("invalid 'offset'"))?, bytes)
        }
        None => Field::at(0, bytes),
    };
    Ok(Box::new(Split::new(field)?))
}
