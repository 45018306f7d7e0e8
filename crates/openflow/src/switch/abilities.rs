//! What a controller has asked of the tables (`OFPMP_TABLE_FEATURES` with a body; OpenFlow 1.3.5, section 7.3.5.5): which there
//! are, and what entries each may have.
//!
//! A table does then just what was asked, and entries beyond it are refused. Nicira's actions, and groups and packet-outs,
//! are no part of what tables tell: they stay as they are.

use std::collections::BTreeSet;

use super::features::{self, ACTIONS};
use super::key::slot;
use super::tables::TABLES;
use crate::action::Action;
use crate::error::{BadAction, BadInstruction, BadMatch, Fault, TableFeaturesFailed};
use crate::field::Field;
use crate::instruction::Instruction;
use crate::matching::Match;
use crate::oxm::Oxm;
use crate::table::{TableFeatures, TableProperty, TypeId};

/// `OFPTC_DEPRECATED_MASK`: bits of a table's configuration that may be there.
const CONFIG: u32 = 3;

/// Numbers of instructions (`ofp_instruction_type`).
mod kind {
    pub(super) const GOTO_TABLE: u16 = 1;
    pub(super) const WRITE_METADATA: u16 = 2;
    pub(super) const WRITE_ACTIONS: u16 = 3;
    pub(super) const APPLY_ACTIONS: u16 = 4;
    pub(super) const CLEAR_ACTIONS: u16 = 5;
    pub(super) const METER: u16 = 6;
}

/// What entries may do: the others, or the table-miss entry.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
struct Side {
    /// Bits by number.
    instructions: u32,
    next: BTreeSet<u8>,
    /// Bits by number, as in [`ACTIONS`].
    write: u32,
    apply: u32,
    write_set: BTreeSet<Field>,
    apply_set: BTreeSet<Field>,
}

/// What a table can do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Abilities {
    metadata_match: u64,
    metadata_write: u64,
    /// Of entries, and of the table-miss entry.
    sides: [Side; 2],
    matches: BTreeSet<Field>,
    /// Of these, those that may have a mask.
    masks: BTreeSet<Field>,
    /// Of these, those that may be left out.
    wildcards: BTreeSet<Field>,
}

/// A table as it was asked for.
#[derive(Debug)]
pub(super) struct Asked {
    pub(super) table: u8,
    pub(super) name: String,
    pub(super) config: u32,
    pub(super) abilities: Abilities,
}

fn argument(is_good: bool) -> Result<(), Fault> {
    if is_good { Ok(()) } else { Err(TableFeaturesFailed::BadArgument.into()) }
}

/// Numbers as bits. Those of experimenters are none that tables here tell.
fn bits(types: &[TypeId], known: u32) -> Result<u32, Fault> {
    let mut bits = 0;
    for one in types {
        // Some write the type with the padding that its whole would have.
        let is_bare = one.data.iter().all(|byte| *byte == 0);
        argument(is_bare && one.kind < 32 && known & 1 << one.kind != 0)?;
        bits |= 1 << one.kind;
    }
    Ok(bits)
}

/// A header's field, and whether it has the bit of a mask.
fn header(oxm: &Oxm) -> Result<(Field, bool), Fault> {
    let masked = match oxm {
        Oxm::Known { mask, .. } => mask.is_some(),
        Oxm::Unknown { header, .. } => header & 0x100 != 0,
    };
    match oxm.field() {
        Some(field) if slot(field).is_some() => Ok((field, masked)),
        _ => Err(TableFeaturesFailed::BadArgument.into()),
    }
}

fn settable(fields: &[Oxm]) -> Result<BTreeSet<Field>, Fault> {
    let one = |oxm: &Oxm| {
        let (field, _) = header(oxm)?;
        argument(features::settable(field))?;
        Ok(field)
    };
    fields.iter().map(one).collect()
}

/// Properties as they come in: each at most once.
#[derive(Default)]
struct Parts {
    instructions: [Option<u32>; 2],
    next: [Option<BTreeSet<u8>>; 2],
    write: [Option<u32>; 2],
    apply: [Option<u32>; 2],
    write_set: [Option<BTreeSet<Field>>; 2],
    apply_set: [Option<BTreeSet<Field>>; 2],
    matches: Option<(BTreeSet<Field>, BTreeSet<Field>)>,
    wildcards: Option<BTreeSet<Field>>,
}

fn once<T>(place: &mut Option<T>, value: T) -> Result<(), Fault> {
    argument(place.replace(value).is_none())
}

impl Parts {
    fn add(&mut self, table: u8, property: &TableProperty, there: &BTreeSet<u8>) -> Result<(), Fault> {
        const INSTRUCTIONS: u32 = 0b111_1110;
        match property {
            TableProperty::Instructions { miss, instructions } => {
                once(&mut self.instructions[usize::from(*miss)], bits(instructions, INSTRUCTIONS)?)
            }
            TableProperty::NextTables { miss, tables } => {
                argument(tables.iter().all(|next| *next > table && there.contains(next)))?;
                once(&mut self.next[usize::from(*miss)], tables.iter().copied().collect())
            }
            TableProperty::WriteActions { miss, actions } => {
                once(&mut self.write[usize::from(*miss)], bits(actions, ACTIONS)?)
            }
            TableProperty::ApplyActions { miss, actions } => {
                once(&mut self.apply[usize::from(*miss)], bits(actions, ACTIONS)?)
            }
            TableProperty::WriteSetField { miss, fields } => {
                once(&mut self.write_set[usize::from(*miss)], settable(fields)?)
            }
            TableProperty::ApplySetField { miss, fields } => {
                once(&mut self.apply_set[usize::from(*miss)], settable(fields)?)
            }
            TableProperty::Match(fields) => {
                let fields: Vec<(Field, bool)> = fields.iter().map(header).collect::<Result<_, _>>()?;
                argument(fields.iter().all(|(field, masked)| !masked || field.maskable()))?;
                let masks = fields.iter().filter(|(_, masked)| *masked).map(|(field, _)| *field).collect();
                once(&mut self.matches, (fields.iter().map(|(field, _)| *field).collect(), masks))
            }
            // The bit of a mask says nothing here: it is whole fields that are left out.
            TableProperty::Wildcards(fields) => {
                let fields = fields.iter().map(|oxm| header(oxm).map(|(field, _)| field));
                once(&mut self.wildcards, fields.collect::<Result<_, _>>()?)
            }
            TableProperty::Other(..) => Err(TableFeaturesFailed::BadType.into()),
        }
    }

    /// Every property must be there; the table-miss entry's are those of the others where they are not (section 7.3.5.5.1).
    fn end(self, (metadata_match, metadata_write): (u64, u64)) -> Option<Abilities> {
        fn pair<T: Clone>([first, miss]: [Option<T>; 2]) -> Option<[T; 2]> {
            let first = first?;
            Some([first.clone(), miss.unwrap_or(first)])
        }
        let [a, b] = pair(self.instructions)?;
        let mut sides =
            [Side { instructions: a, ..Side::default() }, Side { instructions: b, ..Side::default() }];
        let (next, write, apply) = (pair(self.next)?, pair(self.write)?, pair(self.apply)?);
        let (write_set, apply_set) = (pair(self.write_set)?, pair(self.apply_set)?);
        let lists = next.into_iter().zip(write_set).zip(apply_set);
        for ((side, (write, apply)), ((next, write_set), apply_set)) in
            sides.iter_mut().zip(write.into_iter().zip(apply)).zip(lists)
        {
            (side.write, side.apply) = (write, apply);
            (side.next, side.write_set, side.apply_set) = (next, write_set, apply_set);
        }
        let (matches, masks) = self.matches?;
        let wildcards = self.wildcards?;
        Some(Abilities { metadata_match, metadata_write, sides, matches, masks, wildcards })
    }
}

/// The tables of a request, or what is wrong with them.
///
/// # Errors
/// `BAD_TABLE`: one twice, one that cannot be, or none to begin at. `BAD_TYPE`: a property that is not known. `BAD_ARGUMENT`:
/// a property that is missing or there twice, or says what cannot be done. Every metadata mask can be.
pub(super) fn parse(request: &[TableFeatures]) -> Result<Vec<Asked>, Fault> {
    let there: BTreeSet<u8> = request.iter().map(|features| features.table).collect();
    let is_good = there.len() == request.len() && there.contains(&0);
    if !is_good || there.last().is_some_and(|last| *last >= TABLES) {
        return Err(TableFeaturesFailed::BadTable.into());
    }
    request.iter().map(|features| parse_one(features, &there)).collect()
}

fn parse_one(features: &TableFeatures, there: &BTreeSet<u8>) -> Result<Asked, Fault> {
    argument(features.config & !CONFIG == 0)?;
    let mut parts = Parts::default();
    for property in &features.properties {
        parts.add(features.table, property, there)?;
    }
    let metadata = (features.metadata_match, features.metadata_write);
    let abilities = parts.end(metadata).ok_or(TableFeaturesFailed::BadArgument)?;
    argument(abilities.wildcards.is_subset(&abilities.matches))?;
    Ok(Asked { table: features.table, name: features.name.clone(), config: features.config, abilities })
}

fn types(bits: u32) -> Vec<TypeId> {
    (0..32).filter(|kind| bits & 1 << kind != 0).map(|kind| TypeId { kind, data: Vec::new() }).collect()
}

fn headers(fields: &BTreeSet<Field>) -> Vec<Oxm> {
    fields.iter().map(|field| Oxm::exact(*field, 0)).collect()
}

impl Abilities {
    /// What a table is told to be.
    pub(super) fn properties(&self) -> Vec<TableProperty> {
        let mut properties = Vec::new();
        for (side, miss) in self.sides.iter().zip([false, true]) {
            let instructions = types(side.instructions);
            properties.push(TableProperty::Instructions { miss, instructions });
            properties.push(TableProperty::NextTables { miss, tables: side.next.iter().copied().collect() });
            properties.push(TableProperty::WriteActions { miss, actions: types(side.write) });
            properties.push(TableProperty::ApplyActions { miss, actions: types(side.apply) });
            properties.push(TableProperty::WriteSetField { miss, fields: headers(&side.write_set) });
            properties.push(TableProperty::ApplySetField { miss, fields: headers(&side.apply_set) });
        }
        let masked = |field: &Field| match self.masks.contains(field) {
            true => Oxm::masked(*field, 0, 0),
            false => Oxm::exact(*field, 0),
        };
        properties.push(TableProperty::Match(self.matches.iter().map(masked).collect()));
        properties.push(TableProperty::Wildcards(headers(&self.wildcards)));
        properties
    }

    /// Metadata bits that it can match, and write.
    pub(super) fn metadata(&self) -> (u64, u64) {
        (self.metadata_match, self.metadata_write)
    }

    fn has(&self, field: Field) -> bool {
        let has = |field| self.matches.contains(&field);
        has(field)
            || match field {
                // Nicira's words for two fields, and for the larger part of one.
                Field::VlanTci => has(Field::VlanVid) && has(Field::VlanPcp),
                Field::NwTos => has(Field::IpDscp),
                _ => false,
            }
    }

    /// Whether an entry may have that match.
    ///
    /// # Errors
    /// The specification's, of a match that the table does not support.
    pub(super) fn admit_match(&self, priority: u16, matching: &Match) -> Result<(), Fault> {
        let fields = matching.as_fields();
        // Every table has a table-miss entry (section 5.4).
        if fields.is_empty() && priority == 0 {
            return Ok(());
        }
        for oxm in fields.iter() {
            let Some(field) = oxm.field() else { return Err(BadMatch::BadField.into()) };
            if !self.has(field) {
                return Err(BadMatch::BadField.into());
            }
            let mask = oxm.effective_mask();
            let is_masked = mask != field.all_bits();
            let beyond = field == Field::Metadata && mask & !u128::from(self.metadata_match) != 0;
            if is_masked && self.matches.contains(&field) && !self.masks.contains(&field) || beyond {
                return Err(BadMatch::BadMask.into());
            }
        }
        let is_there = |field: &Field| fields.iter().any(|oxm| oxm.field() == Some(*field));
        if self.matches.difference(&self.wildcards).all(is_there) {
            Ok(())
        } else {
            Err(BadMatch::BadWildcards.into())
        }
    }

    /// Whether an entry may do that.
    ///
    /// # Errors
    /// The specification's, of an instruction or action that the table does not support.
    pub(super) fn admit(&self, is_miss: bool, instructions: &[Instruction]) -> Result<(), Fault> {
        let side = &self.sides[usize::from(is_miss)];
        for instruction in instructions {
            let number = match instruction {
                Instruction::GotoTable(_) => kind::GOTO_TABLE,
                Instruction::WriteMetadata { .. } => kind::WRITE_METADATA,
                Instruction::WriteActions(_) => kind::WRITE_ACTIONS,
                Instruction::ApplyActions(_) => kind::APPLY_ACTIONS,
                Instruction::ClearActions => kind::CLEAR_ACTIONS,
                Instruction::Meter(_) => kind::METER,
                Instruction::Experimenter { .. } => return Err(BadInstruction::BadExperimenter.into()),
            };
            if side.instructions & 1 << number == 0 {
                return Err(BadInstruction::UnsupInst.into());
            }
            match instruction {
                Instruction::GotoTable(next) if !side.next.contains(next) => {
                    return Err(BadInstruction::BadTableId.into());
                }
                Instruction::WriteMetadata { mask, .. } if mask & !self.metadata_write != 0 => {
                    return Err(BadInstruction::UnsupMetadataMask.into());
                }
                Instruction::WriteActions(actions) => {
                    actions.iter().try_for_each(|action| admits(side.write, &side.write_set, action))?;
                }
                Instruction::ApplyActions(actions) => {
                    actions.iter().try_for_each(|action| admits(side.apply, &side.apply_set, action))?;
                }
                _ => {}
            }
        }
        Ok(())
    }
}

/// Whether those actions and fields to set take in that one. 1.0's are what 1.3 has for them.
fn admits(kinds: u32, fields: &BTreeSet<Field>, action: &Action) -> Result<(), Fault> {
    const SET_FIELD: u32 = 25;
    let any = |of: &[Field]| of.iter().any(|field| fields.contains(field));
    let (kind, can_set) = match action {
        Action::Output { .. } => (0, true),
        Action::CopyTtlOut => (11, true),
        Action::CopyTtlIn => (12, true),
        Action::SetMplsTtl(_) => (15, true),
        Action::DecMplsTtl => (16, true),
        Action::PushVlan(_) => (17, true),
        Action::PopVlan | Action::StripVlan => (18, true),
        Action::PushMpls(_) => (19, true),
        Action::PopMpls(_) => (20, true),
        Action::SetQueue(_) | Action::Enqueue { .. } => (21, true),
        Action::Group(_) => (22, true),
        Action::SetNwTtl(_) => (23, true),
        Action::DecNwTtl => (24, true),
        Action::PushPbb(_) => (26, true),
        Action::PopPbb => (27, true),
        Action::SetField(oxm) => (SET_FIELD, oxm.field().is_some_and(|field| fields.contains(&field))),
        Action::SetVlanVid(_) => (SET_FIELD, any(&[Field::VlanVid])),
        Action::SetVlanPcp(_) => (SET_FIELD, any(&[Field::VlanPcp])),
        Action::SetDlSrc(_) => (SET_FIELD, any(&[Field::EthSrc])),
        Action::SetDlDst(_) => (SET_FIELD, any(&[Field::EthDst])),
        Action::SetNwSrc(_) => (SET_FIELD, any(&[Field::Ipv4Src])),
        Action::SetNwDst(_) => (SET_FIELD, any(&[Field::Ipv4Dst])),
        Action::SetNwTos(_) => (SET_FIELD, any(&[Field::IpDscp])),
        Action::SetTpSrc(_) => (SET_FIELD, any(&[Field::TcpSrc, Field::UdpSrc])),
        Action::SetTpDst(_) => (SET_FIELD, any(&[Field::TcpDst, Field::UdpDst])),
        Action::Nicira(_) => return Ok(()),
        Action::Experimenter { .. } => return Err(BadAction::BadExperimenter.into()),
    };
    match (kinds & 1 << kind != 0, can_set) {
        (false, _) => Err(BadAction::BadType.into()),
        (true, false) => Err(BadAction::BadSetType.into()),
        (true, true) => Ok(()),
    }
}
