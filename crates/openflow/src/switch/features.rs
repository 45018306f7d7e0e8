//! What tables can do (OpenFlow 1.3.5, section 7.3.5.5): all the same, unless a controller asks for less.

use super::key::slot;
use super::tables::TABLES;
use crate::field::Field;
use crate::oxm::Oxm;
use crate::table::{TableFeatures, TableProperty, TypeId};

/// Numbers of 1.3's actions that are done here (`ofp_action_type`).
const ACTION_TYPES: [u16; 16] = [0, 11, 12, 15, 16, 17, 18, 19, 20, 21, 22, 23, 24, 25, 26, 27];
/// Numbers of 1.3's instructions (`ofp_instruction_type`).
const INSTRUCTION_TYPES: [u16; 6] = [1, 2, 3, 4, 5, 6];

/// The actions as bits.
pub(super) const ACTIONS: u32 = {
    let (mut bits, mut at) = (0, 0);
    while at < ACTION_TYPES.len() {
        bits |= 1 << ACTION_TYPES[at];
        at += 1;
    }
    bits
};

/// A table's name.
pub(super) fn table_name(table: u8) -> String {
    format!("table{table}")
}

fn types(numbers: &[u16]) -> Vec<TypeId> {
    numbers.iter().map(|&kind| TypeId { kind, data: Vec::new() }).collect()
}

/// Fields that have a name of OXM's own in 1.3, `with_masks` where they have some.
fn fields(with_masks: bool, wanted: impl Fn(Field) -> bool) -> Vec<Oxm> {
    let is_ours = |field: &Field| {
        let is_oxm = field.headers()[0].0 == 0x8000;
        slot(*field).is_some() && is_oxm && wanted(*field)
    };
    let header = |field: Field| {
        if with_masks && field.maskable() { Oxm::masked(field, 0, 0) } else { Oxm::exact(field, 0) }
    };
    Field::ALL.iter().copied().filter(is_ours).map(header).collect()
}

/// Whether actions may set that field.
pub(super) fn settable(field: Field) -> bool {
    !matches!(
        field,
        Field::InPort
            | Field::InPhyPort
            | Field::Metadata
            | Field::Ipv6ExtHdr
            | Field::IpFrag
            | Field::ActsetOutput
    )
}

/// What a table with room for so many entries can do, of which nothing less was asked.
pub(super) fn table(table: u8, limit: usize) -> TableFeatures {
    let set = || fields(false, settable);
    let next: Vec<u8> = (table + 1..TABLES).collect();
    let mut properties = Vec::new();
    for miss in [false, true] {
        let instructions = if next.is_empty() { &INSTRUCTION_TYPES[1..] } else { &INSTRUCTION_TYPES[..] };
        properties.push(TableProperty::Instructions { miss, instructions: types(instructions) });
        properties.push(TableProperty::NextTables { miss, tables: next.clone() });
        properties.push(TableProperty::WriteActions { miss, actions: types(&ACTION_TYPES) });
        properties.push(TableProperty::ApplyActions { miss, actions: types(&ACTION_TYPES) });
        properties.push(TableProperty::WriteSetField { miss, fields: set() });
        properties.push(TableProperty::ApplySetField { miss, fields: set() });
    }
    properties.push(TableProperty::Match(fields(true, |_| true)));
    // Open vSwitch refuses masks here: it is fields that are left out.
    properties.push(TableProperty::Wildcards(fields(false, |_| true)));
    TableFeatures {
        table,
        name: table_name(table),
        metadata_match: u64::MAX,
        metadata_write: u64::MAX,
        config: 0,
        max_entries: u32::try_from(limit).unwrap_or(u32::MAX),
        properties,
    }
}
