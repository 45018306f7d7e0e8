//! Tables: counters and features (OpenFlow 1.0, section 5.3.5; 1.3.5, sections 7.3.3, 7.3.5.4, 7.3.5.5).

use super::read::Reader;
use super::write::Put;
use super::{DecodeError, EncodeError, oxm};
use crate::Version;
use crate::error::TableFeaturesFailed;
use crate::message::TableMod;
use crate::table::{TableFeatures, TableProperty, TableStats, TypeId};

/// Bytes of a name; of features without properties; of a property's header.
const NAME_LEN: usize = 32;
const FEATURES_LEN: usize = 64;
const PROPERTY_LEN: usize = 4;

// Properties; one more is that of the table-miss entry.
const INSTRUCTIONS: u16 = 0;
const NEXT_TABLES: u16 = 2;
const WRITE_ACTIONS: u16 = 4;
const APPLY_ACTIONS: u16 = 6;
const MATCH: u16 = 8;
const WILDCARDS: u16 = 10;
const WRITE_SETFIELD: u16 = 12;
const APPLY_SETFIELD: u16 = 14;

pub(super) fn decode_mod(reader: &mut Reader<'_>) -> Result<TableMod, DecodeError> {
    let table = reader.u8()?;
    reader.skip(3)?;
    Ok(TableMod { table, config: reader.u32()? })
}

pub(super) fn encode_mod(table: TableMod, out: &mut Vec<u8>) {
    out.u8(table.table);
    out.zeros(3);
    out.u32(table.config);
}

pub(super) fn decode_stats(version: Version, reader: &mut Reader<'_>) -> Result<TableStats, DecodeError> {
    let mut stats = TableStats { table: reader.u8()?, ..TableStats::default() };
    reader.skip(3)?;
    if version == Version::V10 {
        stats.name = reader.text::<NAME_LEN>()?;
        stats.wildcards = reader.u32()?;
        stats.max_entries = reader.u32()?;
    }
    stats.active = reader.u32()?;
    stats.lookups = reader.u64()?;
    stats.matched = reader.u64()?;
    Ok(stats)
}

pub(super) fn encode_stats(
    version: Version,
    stats: &TableStats,
    out: &mut Vec<u8>,
) -> Result<(), EncodeError> {
    out.u8(stats.table);
    out.zeros(3);
    if version == Version::V10 {
        out.text(&stats.name, NAME_LEN, "table name")?;
        out.u32(stats.wildcards);
        out.u32(stats.max_entries);
    }
    out.u32(stats.active);
    out.u64(stats.lookups);
    out.u64(stats.matched);
    Ok(())
}

pub(super) fn decode_features(reader: &mut Reader<'_>) -> Result<TableFeatures, DecodeError> {
    let mut inner = reader.entry(FEATURES_LEN, "table features", TableFeaturesFailed::BadLen)?;
    let table = inner.u8()?;
    inner.skip(5)?;
    Ok(TableFeatures {
        table,
        name: inner.text::<NAME_LEN>()?,
        metadata_match: inner.u64()?,
        metadata_write: inner.u64()?,
        config: inner.u32()?,
        max_entries: inner.u32()?,
        properties: inner.all(decode_property)?,
    })
}

pub(super) fn encode_features(features: &TableFeatures, out: &mut Vec<u8>) -> Result<(), EncodeError> {
    let start = out.len();
    out.u16(0);
    out.u8(features.table);
    out.zeros(5);
    out.text(&features.name, NAME_LEN, "table name")?;
    out.u64(features.metadata_match);
    out.u64(features.metadata_write);
    out.u32(features.config);
    out.u32(features.max_entries);
    features.properties.iter().try_for_each(|property| encode_property(property, out))?;
    out.length(start, start, "table features")
}

fn decode_property(reader: &mut Reader<'_>) -> Result<TableProperty, DecodeError> {
    let (kind, mut inner) = reader.tlv(PROPERTY_LEN, 1, "table property", TableFeaturesFailed::BadLen)?;
    reader.pad8(inner.len() + PROPERTY_LEN);
    let miss = kind & 1 == 1;
    Ok(match kind & !1 {
        INSTRUCTIONS => TableProperty::Instructions { miss, instructions: inner.all(decode_type)? },
        NEXT_TABLES => TableProperty::NextTables { miss, tables: inner.rest().to_vec() },
        WRITE_ACTIONS => TableProperty::WriteActions { miss, actions: inner.all(decode_type)? },
        APPLY_ACTIONS => TableProperty::ApplyActions { miss, actions: inner.all(decode_type)? },
        MATCH if !miss => TableProperty::Match(inner.all(oxm::decode_header)?),
        WILDCARDS if !miss => TableProperty::Wildcards(inner.all(oxm::decode_header)?),
        WRITE_SETFIELD => TableProperty::WriteSetField { miss, fields: inner.all(oxm::decode_header)? },
        APPLY_SETFIELD => TableProperty::ApplySetField { miss, fields: inner.all(oxm::decode_header)? },
        _ => TableProperty::Other(kind, inner.rest().to_vec()),
    })
}

fn encode_property(property: &TableProperty, out: &mut Vec<u8>) -> Result<(), EncodeError> {
    let start = out.len();
    let (kind, miss) = match property {
        TableProperty::Instructions { miss, .. } => (INSTRUCTIONS, *miss),
        TableProperty::NextTables { miss, .. } => (NEXT_TABLES, *miss),
        TableProperty::WriteActions { miss, .. } => (WRITE_ACTIONS, *miss),
        TableProperty::ApplyActions { miss, .. } => (APPLY_ACTIONS, *miss),
        TableProperty::Match(_) => (MATCH, false),
        TableProperty::Wildcards(_) => (WILDCARDS, false),
        TableProperty::WriteSetField { miss, .. } => (WRITE_SETFIELD, *miss),
        TableProperty::ApplySetField { miss, .. } => (APPLY_SETFIELD, *miss),
        TableProperty::Other(kind, _) => (*kind, false),
    };
    out.u16(kind | u16::from(miss));
    out.u16(0);
    match property {
        TableProperty::Instructions { instructions: types, .. }
        | TableProperty::WriteActions { actions: types, .. }
        | TableProperty::ApplyActions { actions: types, .. } => {
            types.iter().try_for_each(|one| encode_type(one, out))?;
        }
        TableProperty::NextTables { tables: bytes, .. } | TableProperty::Other(_, bytes) => {
            out.extend_from_slice(bytes);
        }
        TableProperty::Match(fields)
        | TableProperty::Wildcards(fields)
        | TableProperty::WriteSetField { fields, .. }
        | TableProperty::ApplySetField { fields, .. } => {
            fields.iter().try_for_each(|field| oxm::encode_header(field, out))?;
        }
    }
    out.length(start, start + 2, "table property")?;
    out.pad8(start);
    Ok(())
}

fn decode_type(reader: &mut Reader<'_>) -> Result<TypeId, DecodeError> {
    let (kind, mut inner) = reader.tlv(PROPERTY_LEN, 1, "table property", TableFeaturesFailed::BadLen)?;
    Ok(TypeId { kind, data: inner.rest().to_vec() })
}

fn encode_type(one: &TypeId, out: &mut Vec<u8>) -> Result<(), EncodeError> {
    let start = out.len();
    out.u16(one.kind);
    out.u16(0);
    out.extend_from_slice(&one.data);
    out.length(start, start + 2, "table property")
}
