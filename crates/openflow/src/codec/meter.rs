//! Meters (OpenFlow 1.3.5, sections 7.3.4.4, 7.3.5.11 to 7.3.5.13).

use super::read::Reader;
use super::write::Put;
use super::{DecodeError, EncodeError};
use crate::error::{BadRequest, MeterModFailed};
use crate::meter::{Band, BandKind, MeterCommand, MeterConfig, MeterFeatures, MeterMod, MeterStats};

/// Bytes of a band's type, length, rate and burst; of a whole one; of a meter and its counters without bands.
const BAND_MIN: usize = 12;
const BAND_LEN: usize = 16;
const CONFIG_LEN: usize = 8;
const STATS_LEN: usize = 40;

const DROP: u16 = 1;
const DSCP_REMARK: u16 = 2;
const EXPERIMENTER: u16 = 0xffff;

pub(super) fn decode_mod(reader: &mut Reader<'_>) -> Result<MeterMod, DecodeError> {
    let command = match reader.u16()? {
        0 => MeterCommand::Add,
        1 => MeterCommand::Modify,
        2 => MeterCommand::Delete,
        other => MeterCommand::Other(other),
    };
    Ok(MeterMod { command, flags: reader.u16()?, meter: reader.u32()?, bands: reader.all(decode_band)? })
}

pub(super) fn encode_mod(meter: &MeterMod, out: &mut Vec<u8>) -> Result<(), EncodeError> {
    out.u16(match meter.command {
        MeterCommand::Add => 0,
        MeterCommand::Modify => 1,
        MeterCommand::Delete => 2,
        MeterCommand::Other(other) => other,
    });
    out.u16(meter.flags);
    out.u32(meter.meter);
    meter.bands.iter().try_for_each(|band| encode_band(band, out))
}

fn decode_band(reader: &mut Reader<'_>) -> Result<Band, DecodeError> {
    let (kind, mut inner) = reader.tlv(BAND_MIN, 1, "meter band", MeterModFailed::BadBand)?;
    let (rate, burst) = (inner.u32()?, inner.u32()?);
    let whole = inner.len() == BAND_LEN - BAND_MIN;
    let kind = match kind {
        DROP if whole => BandKind::Drop,
        DSCP_REMARK if whole => BandKind::DscpRemark { precedence: inner.u8()? },
        DROP | DSCP_REMARK => return Err(inner.wrong()),
        EXPERIMENTER => BandKind::Experimenter { experimenter: inner.u32()?, data: inner.rest().to_vec() },
        kind => BandKind::Other { kind, data: inner.rest().to_vec() },
    };
    Ok(Band { rate, burst, kind })
}

fn encode_band(band: &Band, out: &mut Vec<u8>) -> Result<(), EncodeError> {
    let start = out.len();
    out.u16(match &band.kind {
        BandKind::Drop => DROP,
        BandKind::DscpRemark { .. } => DSCP_REMARK,
        BandKind::Experimenter { .. } => EXPERIMENTER,
        BandKind::Other { kind, .. } => *kind,
    });
    out.u16(0);
    out.u32(band.rate);
    out.u32(band.burst);
    match &band.kind {
        BandKind::Drop => out.u32(0),
        BandKind::DscpRemark { precedence } => {
            out.u8(*precedence);
            out.zeros(3);
        }
        BandKind::Experimenter { experimenter, data } => {
            out.u32(*experimenter);
            out.extend_from_slice(data);
        }
        BandKind::Other { data, .. } => out.extend_from_slice(data),
    }
    out.length(start, start + 2, "meter band")
}

pub(super) fn decode_config(reader: &mut Reader<'_>) -> Result<MeterConfig, DecodeError> {
    let mut inner = reader.entry(CONFIG_LEN, "meter", BadRequest::BadLen)?;
    Ok(MeterConfig { flags: inner.u16()?, meter: inner.u32()?, bands: inner.all(decode_band)? })
}

pub(super) fn encode_config(meter: &MeterConfig, out: &mut Vec<u8>) -> Result<(), EncodeError> {
    let start = out.len();
    out.u16(0);
    out.u16(meter.flags);
    out.u32(meter.meter);
    meter.bands.iter().try_for_each(|band| encode_band(band, out))?;
    out.length(start, start, "meter")
}

pub(super) fn decode_stats(reader: &mut Reader<'_>) -> Result<MeterStats, DecodeError> {
    let meter = reader.u32()?;
    let length = usize::from(reader.u16()?);
    if length < STATS_LEN {
        return Err(reader.wrong());
    }
    let mut inner = reader.sub(length - 6, "meter counters", BadRequest::BadLen)?;
    inner.skip(6)?;
    Ok(MeterStats {
        meter,
        flows: inner.u32()?,
        packets: inner.u64()?,
        bytes: inner.u64()?,
        duration: inner.duration()?,
        bands: inner.all(|inner| Ok((inner.u64()?, inner.u64()?)))?,
    })
}

pub(super) fn encode_stats(stats: &MeterStats, out: &mut Vec<u8>) -> Result<(), EncodeError> {
    let start = out.len();
    out.u32(stats.meter);
    out.zeros(8);
    out.u32(stats.flows);
    out.u64(stats.packets);
    out.u64(stats.bytes);
    out.duration(stats.duration);
    for (packets, bytes) in &stats.bands {
        out.u64(*packets);
        out.u64(*bytes);
    }
    out.length(start, start + 4, "meter counters")
}

pub(super) fn decode_features(reader: &mut Reader<'_>) -> Result<MeterFeatures, DecodeError> {
    let features = MeterFeatures {
        max_meters: reader.u32()?,
        band_types: reader.u32()?,
        capabilities: reader.u32()?,
        max_bands: reader.u8()?,
        max_color: reader.u8()?,
    };
    reader.skip(2)?;
    Ok(features)
}

pub(super) fn encode_features(features: &MeterFeatures, out: &mut Vec<u8>) {
    out.u32(features.max_meters);
    out.u32(features.band_types);
    out.u32(features.capabilities);
    out.u8(features.max_bands);
    out.u8(features.max_color);
    out.u16(0);
}
