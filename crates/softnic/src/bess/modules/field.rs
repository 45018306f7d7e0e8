//! Fields, values and gates in BESS's messages.

use crate::bess::{Failure, pb};
use crate::engine::Gate;
use crate::modules::{DROP, FIELD_BYTES_MAX, Field, FieldError, Fields, GateError, Gates, Position};

/// How the bytes of a `value_int` stand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Order {
    /// The highest first, as on the wire.
    Big,
    /// The lowest first, as `SetMetadata` writes it.
    Little,
}

impl Order {
    /// That of a field of `ExactMatch`: a packet's is on the wire, an attribute's in the machine.
    pub(super) fn of(field: &Field) -> Self {
        match field.position {
            Position::Offset(_) => Self::Big,
            Position::Attribute(_) => Self::Little,
        }
    }
}

/// A field, with all of its bits.
pub(super) fn field(index: usize, field: &pb::Field) -> Result<Field, Failure> {
    let bytes = field.num_bytes as usize;
    match &field.position {
        Some(pb::field::Position::Offset(offset)) => Ok(Field::at(*offset, bytes)),
        Some(pb::field::Position::AttrName(name)) => Ok(Field::attribute(name, bytes)),
        None => Err(Failure::invalid(format!("idx {index}: must specify 'offset' or 'attr_name'"))),
    }
}

/// Fields, of which the masks say which bits count; without masks all do, and so do they where a mask is 0.
pub(super) fn fields(of: &[pb::Field], masks: &[pb::FieldData]) -> Result<Fields, Failure> {
    if !masks.is_empty() && masks.len() != of.len() {
        return Err(Failure::invalid(
            "must provide masks for all fields (or no masks for default match on all bits on all fields)",
        ));
    }
    let mut fields = Vec::with_capacity(of.len());
    for (index, one) in of.iter().enumerate() {
        let field = field(index, one)?;
        let bytes = field.bytes.min(FIELD_BYTES_MAX);
        let mask = match masks.get(index) {
            Some(mask) => value(index, mask, bytes, Order::of(&field))?,
            None => Vec::new(),
        };
        fields.push(if mask.iter().all(|byte| *byte == 0) { field } else { field.masked(&mask) });
    }
    Ok(Fields::new(fields)?)
}

/// The bytes of a value for a field of `bytes` bytes. Bytes as such stay as they are, whatever their number; no value is 0.
pub(super) fn value(
    index: usize,
    data: &pb::FieldData,
    bytes: usize,
    order: Order,
) -> Result<Vec<u8>, Failure> {
    let number = match &data.encoding {
        Some(pb::field_data::Encoding::ValueBin(value)) => return Ok(value.clone()),
        Some(pb::field_data::Encoding::ValueInt(number)) => *number,
        None => 0,
    };
    // A number has eight bytes, however long the field is.
    let number = u128::from(number);
    if bytes < FIELD_BYTES_MAX && number >> (bytes * 8) != 0 {
        return Err(Failure::invalid(format!("idx {index}: not a correct {bytes}-byte value: {number:#x}")));
    }
    Ok(match order {
        Order::Big => number.to_be_bytes()[FIELD_BYTES_MAX - bytes..].to_vec(),
        Order::Little => number.to_le_bytes()[..bytes].to_vec(),
    })
}

/// The values for some fields, each in the order that `order` says.
pub(super) fn values(
    fields: &Fields,
    data: &[pb::FieldData],
    order: fn(&Field) -> Order,
) -> Result<Vec<Vec<u8>>, Failure> {
    if data.len() != fields.len() {
        return Err(FieldError::Count { fields: fields.len(), values: data.len() }.into());
    }
    let each = fields.iter().zip(data).enumerate();
    each.map(|(index, (field, data))| value(index, data, field.bytes, order(field))).collect()
}

/// Values as bytes, as BESS lists them.
pub(super) fn binary(values: Vec<Vec<u8>>) -> Vec<pb::FieldData> {
    let data = |value| pb::FieldData { encoding: Some(pb::field_data::Encoding::ValueBin(value)) };
    values.into_iter().map(data).collect()
}

/// A gate, or the one that drops.
pub(super) fn gate<N: TryInto<Gate> + Copy + std::fmt::Display>(number: N) -> Result<Gate, Failure> {
    let gate = number.try_into().ok().filter(|gate| *gate <= DROP);
    gate.ok_or_else(|| Failure::invalid(format!("Invalid gate: {number}")))
}

/// A list of gates, `most` of them at most.
pub(super) fn gates(numbers: &[i64], most: usize) -> Result<Gates, Failure> {
    if numbers.len() > most {
        return Err(GateError::TooMany { count: numbers.len(), most }.into());
    }
    let gates = numbers.iter().map(|number| gate(*number)).collect::<Result<_, _>>()?;
    Ok(Gates::new(gates)?)
}

impl From<FieldError> for Failure {
    fn from(error: FieldError) -> Self {
        Self::invalid(error.to_string())
    }
}

impl From<GateError> for Failure {
    fn from(error: GateError) -> Self {
        Self::invalid(error.to_string())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn int(number: u64) -> pb::FieldData {
        pb::FieldData { encoding: Some(pb::field_data::Encoding::ValueInt(number)) }
    }

    #[test]
    fn numbers_stand_as_their_field_does() {
        let of = |data: &pb::FieldData, bytes, order| value(0, data, bytes, order).unwrap();
        assert_eq!(of(&int(0x1234), 3, Order::Big), [0, 0x12, 0x34]);
        assert_eq!(of(&int(0x1234), 3, Order::Little), [0x34, 0x12, 0]);
        assert_eq!(of(&int(u64::MAX), 8, Order::Big), [0xff; 8]);
        assert_eq!(of(&int(0x1234), 16, Order::Big)[13..], [0, 0x12, 0x34]);
        assert_eq!(of(&int(0x1234), 16, Order::Little)[..3], [0x34, 0x12, 0]);
        assert_eq!(of(&pb::FieldData { encoding: None }, 2, Order::Big), [0, 0]);
        assert_eq!(of(&binary(vec![vec![1, 2, 3]])[0], 2, Order::Big), [1, 2, 3]);
        assert_eq!(value(4, &int(256), 1, Order::Big).unwrap_err().code, 22);
        assert_eq!(Order::of(&Field::at(0, 1)), Order::Big);
        assert_eq!(Order::of(&Field::attribute("a", 1)), Order::Little);
    }

    #[test]
    fn masks_are_for_all_fields_or_none() {
        let field = |offset| pb::Field { position: Some(pb::field::Position::Offset(offset)), num_bytes: 2 };
        let two = [field(0), field(2)];
        assert!(fields(&two, &[int(1)]).is_err());
        let masked = fields(&two, &[int(0xff00), int(0)]).unwrap();
        let masks: Vec<_> = masked.iter().map(|field| field.mask[..2].to_vec()).collect();
        assert_eq!(masks, [[0xff, 0], [0xff, 0xff]]);
        assert!(fields(&[pb::Field { position: None, num_bytes: 2 }], &[]).is_err());
        assert!(fields(&vec![field(0); 9], &[]).is_err());
    }

    #[test]
    fn only_gates_and_drop_are_gates() {
        assert_eq!((gate(8191u64).unwrap(), gate(8192i64).unwrap()), (8191, DROP));
        assert!(gate(8193u64).is_err() && gate(-1i64).is_err() && gate(65_536u64).is_err());
        assert!(gates(&[0, 1], 1).is_err() && gates(&[-1], 1).is_err());
    }
}
