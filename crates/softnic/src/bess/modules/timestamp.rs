//! `Timestamp`.

use crate::bess::class::{Argument, Class, Setup, commands, decode};
use crate::bess::pb::timestamp_arg::Type;
use crate::bess::{Failure, pb};
use crate::engine::Module;
use crate::modules::{Stamp, Timestamp};

pub(super) const CLASS: Class = Class {
    name: "Timestamp",
    help: "notes the time in packets, for Measure",
    template: "timestamp",
    arg: "TimestampArg",
    build,
    commands: commands![Timestamp;],
};

/// The attribute when the client does not say.
const ATTRIBUTE: &str = "timestamp";

fn build(_: &mut Setup<'_>, argument: &Argument<'_>) -> Result<Box<dyn Module>, Failure> {
    let arg: pb::TimestampArg = decode(argument)?;
    let stamp = match arg.r#type {
        Some(Type::Offset(offset)) => stamp(offset, ""),
        Some(Type::AttrName(name)) => stamp(0, &name),
        None => stamp(0, ""),
    };
    Ok(Box::new(Timestamp::new(stamp)))
}

/// Where packets hold their time, which [`Measure`](super::measure) has to know as well. Offset 0 is none.
pub(super) fn stamp(offset: u64, attribute: &str) -> Stamp {
    match (offset, attribute) {
        (0, "") => Stamp::Attribute(ATTRIBUTE.to_owned()),
        (0, name) => Stamp::Attribute(name.to_owned()),
        (offset, _) => Stamp::Packet(usize::try_from(offset).unwrap_or(usize::MAX)),
    }
}
