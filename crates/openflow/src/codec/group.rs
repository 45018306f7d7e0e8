//! Groups (OpenFlow 1.3.5, sections 7.3.4.3, 7.3.5.8 to 7.3.5.10).

use super::read::Reader;
use super::write::Put;
use super::{DecodeError, EncodeError, action};
use crate::Version;
use crate::error::{BadRequest, GroupModFailed};
use crate::group::{Bucket, GroupCommand, GroupDescription, GroupFeatures, GroupKind, GroupMod, GroupStats};
use crate::port::PortNo;

/// Bytes of a bucket without actions, of a description without buckets, of counters without those of buckets.
const BUCKET_LEN: usize = 16;
const DESCRIPTION_LEN: usize = 8;
const STATS_LEN: usize = 40;

fn kind(number: u8) -> GroupKind {
    match number {
        0 => GroupKind::All,
        1 => GroupKind::Select,
        2 => GroupKind::Indirect,
        3 => GroupKind::FastFailover,
        other => GroupKind::Other(other),
    }
}

const fn kind_number(kind: GroupKind) -> u8 {
    match kind {
        GroupKind::All => 0,
        GroupKind::Select => 1,
        GroupKind::Indirect => 2,
        GroupKind::FastFailover => 3,
        GroupKind::Other(other) => other,
    }
}

pub(super) fn decode_mod(reader: &mut Reader<'_>) -> Result<GroupMod, DecodeError> {
    let command = match reader.u16()? {
        0 => GroupCommand::Add,
        1 => GroupCommand::Modify,
        2 => GroupCommand::Delete,
        other => GroupCommand::Other(other),
    };
    let kind = kind(reader.u8()?);
    reader.skip(1)?;
    Ok(GroupMod { command, kind, group: reader.u32()?, buckets: reader.all(decode_bucket)? })
}

pub(super) fn encode_mod(group: &GroupMod, out: &mut Vec<u8>) -> Result<(), EncodeError> {
    out.u16(match group.command {
        GroupCommand::Add => 0,
        GroupCommand::Modify => 1,
        GroupCommand::Delete => 2,
        GroupCommand::Other(other) => other,
    });
    out.u8(kind_number(group.kind));
    out.u8(0);
    out.u32(group.group);
    group.buckets.iter().try_for_each(|bucket| encode_bucket(bucket, out))
}

fn decode_bucket(reader: &mut Reader<'_>) -> Result<Bucket, DecodeError> {
    let mut inner = reader.entry(BUCKET_LEN, "bucket", GroupModFailed::BadBucket)?;
    let weight = inner.u16()?;
    let (watch_port, watch_group) = (PortNo(inner.u32()?), inner.u32()?);
    inner.skip(4)?;
    Ok(Bucket { weight, watch_port, watch_group, actions: action::decode_all(Version::V13, inner)? })
}

fn encode_bucket(bucket: &Bucket, out: &mut Vec<u8>) -> Result<(), EncodeError> {
    let start = out.len();
    out.u16(0);
    out.u16(bucket.weight);
    out.u32(bucket.watch_port.0);
    out.u32(bucket.watch_group);
    out.u32(0);
    action::encode_all(Version::V13, &bucket.actions, action::About::Nothing, out)?;
    out.length(start, start, "bucket")
}

pub(super) fn decode_description(reader: &mut Reader<'_>) -> Result<GroupDescription, DecodeError> {
    let mut inner = reader.entry(DESCRIPTION_LEN, "group", BadRequest::BadLen)?;
    let kind = kind(inner.u8()?);
    inner.skip(1)?;
    Ok(GroupDescription { kind, group: inner.u32()?, buckets: inner.all(decode_bucket)? })
}

pub(super) fn encode_description(group: &GroupDescription, out: &mut Vec<u8>) -> Result<(), EncodeError> {
    let start = out.len();
    out.u16(0);
    out.u8(kind_number(group.kind));
    out.u8(0);
    out.u32(group.group);
    group.buckets.iter().try_for_each(|bucket| encode_bucket(bucket, out))?;
    out.length(start, start, "group")
}

pub(super) fn decode_stats(reader: &mut Reader<'_>) -> Result<GroupStats, DecodeError> {
    let mut inner = reader.entry(STATS_LEN, "group counters", BadRequest::BadLen)?;
    inner.skip(2)?;
    let (group, references) = (inner.u32()?, inner.u32()?);
    inner.skip(4)?;
    Ok(GroupStats {
        group,
        references,
        packets: inner.u64()?,
        bytes: inner.u64()?,
        duration: inner.duration()?,
        buckets: inner.all(|inner| Ok((inner.u64()?, inner.u64()?)))?,
    })
}

pub(super) fn encode_stats(stats: &GroupStats, out: &mut Vec<u8>) -> Result<(), EncodeError> {
    let start = out.len();
    out.u32(0);
    out.u32(stats.group);
    out.u32(stats.references);
    out.u32(0);
    out.u64(stats.packets);
    out.u64(stats.bytes);
    out.duration(stats.duration);
    for (packets, bytes) in &stats.buckets {
        out.u64(*packets);
        out.u64(*bytes);
    }
    out.length(start, start, "group counters")
}

pub(super) fn decode_features(reader: &mut Reader<'_>) -> Result<GroupFeatures, DecodeError> {
    let (types, capabilities) = (reader.u32()?, reader.u32()?);
    let mut four = || Ok([reader.u32()?, reader.u32()?, reader.u32()?, reader.u32()?]);
    Ok(GroupFeatures { types, capabilities, max_groups: four()?, actions: four()? })
}

pub(super) fn encode_features(features: &GroupFeatures, out: &mut Vec<u8>) {
    out.u32(features.types);
    out.u32(features.capabilities);
    features.max_groups.iter().chain(&features.actions).for_each(|number| out.u32(*number));
}
