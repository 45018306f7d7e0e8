//! `GenericEncap`.

use super::set_metadata::number;
use crate::bess::class::{Argument, Class, Setup, commands, decode};
use crate::bess::pb::field_data::Encoding;
use crate::bess::pb::generic_encap_arg::encap_field::Insertion;
use crate::bess::{Failure, pb};
use crate::engine::Module;
use crate::modules::{EncapField, GenericEncap};

pub(super) const CLASS: Class = Class {
    name: "GenericEncap",
    help: "puts a header of constants and metadata attributes in front of packets",
    template: "generic_encap",
    arg: "GenericEncapArg",
    build,
    commands: commands![GenericEncap;],
};

fn build(_: &mut Setup<'_>, argument: &Argument<'_>) -> Result<Box<dyn Module>, Failure> {
    let arg: pb::GenericEncapArg = decode(argument)?;
    let fields = arg.fields.into_iter().enumerate().map(|(index, field)| {
        let size = usize::try_from(field.size).unwrap_or(usize::MAX);
        self::field(index, size, field.insertion)
    });
    let fields = fields.collect::<Result<_, _>>()?;
    Ok(Box::new(GenericEncap::new(fields).map_err(Failure::refused)?))
}

fn field(index: usize, size: usize, insertion: Option<Insertion>) -> Result<EncapField, Failure> {
    let value = match insertion {
        Some(Insertion::Attribute(name)) => return Ok(EncapField::Attribute { name, size }),
        Some(Insertion::Value(value)) => value.encoding,
        None => return Err(Failure::invalid(format!("idx {index}: must specify 'value' or 'attribute'"))),
    };
    match value {
        Some(Encoding::ValueBin(bytes)) if bytes.len() != size => Err(Failure::invalid(format!(
            "idx {index}: not a correct {size}-byte value: {} bytes",
            bytes.len()
        ))),
        Some(Encoding::ValueBin(bytes)) => Ok(EncapField::Constant(bytes)),
        Some(Encoding::ValueInt(value)) => Ok(EncapField::Constant(number(value, size)?)),
        None => Ok(EncapField::Constant(number(0, size)?)),
    }
}
