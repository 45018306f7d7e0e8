//! `MetadataTest`.

use std::collections::HashMap;

use crate::bess::class::{Argument, Class, Setup, commands, decode};
use crate::bess::{Failure, pb};
use crate::engine::{ATTRIBUTE_SIZE_MAX, Access, Attribute, Module};
use crate::modules::MetadataTest;

pub(super) const CLASS: Class = Class {
    name: "MetadataTest",
    help: "declares metadata attributes",
    template: "mt_test",
    arg: "MetadataTestArg",
    build,
    commands: commands![MetadataTest;],
};

fn build(_: &mut Setup<'_>, argument: &Argument<'_>) -> Result<Box<dyn Module>, Failure> {
    let arg: pb::MetadataTestArg = decode(argument)?;
    let mut attributes = Vec::new();
    for (named, access) in
        [(arg.read, Access::Read), (arg.write, Access::Write), (arg.update, Access::Update)]
    {
        attributes.extend(declared(named, access)?);
    }
    Ok(Box::new(MetadataTest::new(attributes)))
}

/// A map has no order, so these are by name.
fn declared(named: HashMap<String, i64>, access: Access) -> Result<Vec<Attribute>, Failure> {
    let mut named: Vec<(String, i64)> = named.into_iter().collect();
    named.sort();
    let attribute = |(name, size): (String, i64)| {
        let fits = u8::try_from(size).ok().filter(|size| (1..=ATTRIBUTE_SIZE_MAX).contains(size));
        let size = fits
            .ok_or_else(|| Failure::invalid(format!("invalid metadata declaration: {name}, {size} bytes")))?;
        Ok(Attribute { name, size, access })
    };
    named.into_iter().map(attribute).collect()
}
