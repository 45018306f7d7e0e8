//! `SetMetadata`.

use crate::bess::class::{Argument, Class, Setup, commands, decode};
use crate::bess::pb::set_metadata_arg::Attribute;
use crate::bess::pb::set_metadata_arg::attribute::Value;
use crate::bess::{Failure, pb};
use crate::engine::Module;
use crate::modules::{AttributeValue, Origin, SetMetadata};

pub(super) const CLASS: Class = Class {
    name: "SetMetadata",
    help: "gives metadata attributes values",
    template: "setattr",
    arg: "SetMetadataArg",
    build,
    commands: commands![SetMetadata; "get_initial_arg" => INITIAL],
};

fn build(_: &mut Setup<'_>, argument: &Argument<'_>) -> Result<Box<dyn Module>, Failure> {
    let arg: pb::SetMetadataArg = decode(argument)?;
    let values = arg.attrs.into_iter().map(value).collect::<Result<_, _>>()?;
    Ok(Box::new(SetMetadata::new(values).map_err(Failure::refused)?))
}

fn value(attribute: Attribute) -> Result<AttributeValue, Failure> {
    let Attribute { name, size, offset, mask, rshift_bits, value } = attribute;
    let size = usize::try_from(size).unwrap_or(usize::MAX);
    if offset < 0 && !mask.is_empty() {
        return Err(Failure::invalid("'mask' may only be set when copying metadata from a packet."));
    }
    if offset < 0 && rshift_bits != 0 {
        return Err(Failure::invalid("'rshift_bits' may only be set when copying metadata from a packet."));
    }
    let origin = match value {
        Some(Value::ValueInt(value)) => Origin::Constant(number(value, size)?),
        Some(Value::ValueBin(value)) => Origin::Constant(value),
        None => {
            let offset = usize::try_from(offset)
                .map_err(|_| Failure::invalid(format!("invalid packet offset: {offset}")))?;
            if rshift_bits % 8 != 0 {
                return Err(Failure::invalid("'rshift_bits' must be a multiple of 8"));
            }
            Origin::Packet { offset, shift_right: rshift_bits / 8, mask }
        }
    };
    Ok(AttributeValue { name, size, origin })
}

/// A number as bytes, the highest first. Sizes that no attribute has are the module's to refuse.
pub(super) fn number(value: u64, size: usize) -> Result<Vec<u8>, Failure> {
    const LONGEST: usize = 64;
    let bytes = value.to_be_bytes();
    match size {
        1..8 if value >> (8 * size) != 0 => {
            Err(Failure::invalid(format!("{value:#x} is not a correct {size}-byte value")))
        }
        0..=8 => Ok(bytes[8 - size..].to_vec()),
        _ => {
            let mut padded = vec![0; size.min(LONGEST) - bytes.len()];
            padded.extend(bytes);
            Ok(padded)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn attribute(value: Option<Value>) -> Attribute {
        Attribute { name: "a".into(), size: 2, value, ..Attribute::default() }
    }

    #[test]
    fn numbers_are_in_network_order_and_fit() {
        let constant = |attribute| match value(attribute).unwrap().origin {
            Origin::Constant(bytes) => bytes,
            Origin::Packet { .. } => panic!("a constant"),
        };
        assert_eq!(constant(attribute(Some(Value::ValueInt(0x1234)))), [0x12, 0x34]);
        let long = Attribute { size: 10, ..attribute(Some(Value::ValueInt(7))) };
        assert_eq!(constant(long), [0, 0, 0, 0, 0, 0, 0, 0, 0, 7]);
        assert!(value(attribute(Some(Value::ValueInt(0x1_0000)))).is_err());
        let endless = Attribute { size: u64::MAX, ..attribute(Some(Value::ValueInt(7))) };
        assert!(SetMetadata::new(vec![value(endless).unwrap()]).is_err());
        let none = Attribute { size: 0, ..attribute(Some(Value::ValueInt(7))) };
        assert!(SetMetadata::new(vec![value(none).unwrap()]).is_err());
    }

    #[test]
    fn shifts_are_whole_bytes_of_packets() {
        let shifted = |rshift_bits, offset| Attribute { rshift_bits, offset, ..attribute(None) };
        let origin = value(shifted(-8, 3)).unwrap().origin;
        assert_eq!(origin, Origin::Packet { offset: 3, shift_right: -1, mask: Vec::new() });
        assert!(value(shifted(4, 3)).is_err() && value(shifted(8, -1)).is_err());
        assert!(value(Attribute { offset: -1, ..attribute(None) }).is_err());
        assert!(value(Attribute { offset: -1, mask: vec![1, 1], ..attribute(None) }).is_err());
    }
}
