//! Ports: descriptions, changes, counters (OpenFlow 1.0, sections 5.2.1, 5.3.3; 1.3.5, sections 7.2.1, 7.3.4.2, 7.3.5.6).

use super::read::Reader;
use super::write::{Put, unsayable};
use super::{DecodeError, EncodeError};
use crate::Version;
use crate::message::{PortMod, PortReason, PortStatus};
use crate::port::{Port, PortNo, PortStats};

/// Bytes of a name.
const NAME_LEN: usize = 16;
/// Feature bits that are the same in both versions: 10 Mbit/s to 10 Gbit/s.
const SAME_FEATURES: u32 = 0x7f;
/// Bits that the medium and negotiation bits moved up by in 1.1, to make room for higher rates.
const FEATURES_MOVED: u32 = 4;

/// A port number in the width of that version.
#[inline]
pub(super) fn number(version: Version, reader: &mut Reader<'_>) -> Result<PortNo, DecodeError> {
    match version {
        Version::V10 => reader.u16().map(PortNo::from_v10),
        Version::V13 => reader.u32().map(PortNo),
    }
}

#[inline]
pub(super) fn put_number(version: Version, port: PortNo, out: &mut Vec<u8>) -> Result<(), EncodeError> {
    match version {
        Version::V10 => out.port16(port)?,
        Version::V13 => out.u32(port.0),
    }
    Ok(())
}

/// Feature bits of 1.0 in those of 1.3. The four highest, which no version gives a meaning, are left out.
const fn from_v10(features: u32) -> u32 {
    features & SAME_FEATURES | (features & !SAME_FEATURES) << FEATURES_MOVED
}

/// The reverse, without rates that 1.0 does not know.
const fn to_v10(features: u32) -> u32 {
    features & SAME_FEATURES | features >> FEATURES_MOVED & !SAME_FEATURES
}

fn features(version: Version, reader: &mut Reader<'_>) -> Result<u32, DecodeError> {
    let bits = reader.u32()?;
    Ok(if version == Version::V10 { from_v10(bits) } else { bits })
}

fn put_features(version: Version, features: u32, out: &mut Vec<u8>) {
    out.u32(if version == Version::V10 { to_v10(features) } else { features });
}

pub(super) fn decode(version: Version, reader: &mut Reader<'_>) -> Result<Port, DecodeError> {
    let mut port = Port { number: number(version, reader)?, ..Port::default() };
    if version == Version::V13 {
        reader.skip(4)?;
    }
    port.address = reader.mac()?;
    if version == Version::V13 {
        reader.skip(2)?;
    }
    port.name = reader.text::<NAME_LEN>()?;
    port.config = reader.u32()?;
    port.state = reader.u32()?;
    port.current = features(version, reader)?;
    port.advertised = features(version, reader)?;
    port.supported = features(version, reader)?;
    port.peer = features(version, reader)?;
    if version == Version::V13 {
        port.speed_current = reader.u32()?;
        port.speed_max = reader.u32()?;
    }
    Ok(port)
}

pub(super) fn encode(version: Version, port: &Port, out: &mut Vec<u8>) -> Result<(), EncodeError> {
    put_number(version, port.number, out)?;
    if version == Version::V13 {
        out.u32(0);
    }
    out.extend_from_slice(&port.address.0);
    if version == Version::V13 {
        out.u16(0);
    }
    out.text(&port.name, NAME_LEN, "port name")?;
    out.u32(port.config);
    out.u32(port.state);
    for features in [port.current, port.advertised, port.supported, port.peer] {
        put_features(version, features, out);
    }
    if version == Version::V13 {
        out.u32(port.speed_current);
        out.u32(port.speed_max);
    }
    Ok(())
}

pub(super) fn decode_status(version: Version, reader: &mut Reader<'_>) -> Result<PortStatus, DecodeError> {
    let reason = match reader.u8()? {
        0 => PortReason::Add,
        1 => PortReason::Delete,
        2 => PortReason::Modify,
        other => PortReason::Other(other),
    };
    reader.skip(7)?;
    Ok(PortStatus { reason, port: decode(version, reader)? })
}

pub(super) fn encode_status(
    version: Version,
    status: &PortStatus,
    out: &mut Vec<u8>,
) -> Result<(), EncodeError> {
    out.u8(match status.reason {
        PortReason::Add => 0,
        PortReason::Delete => 1,
        PortReason::Modify => 2,
        PortReason::Other(other) => other,
    });
    out.zeros(7);
    encode(version, &status.port, out)
}

pub(super) fn decode_mod(version: Version, reader: &mut Reader<'_>) -> Result<PortMod, DecodeError> {
    let port = number(version, reader)?;
    if version == Version::V13 {
        reader.skip(4)?;
    }
    let address = reader.mac()?;
    if version == Version::V13 {
        reader.skip(2)?;
    }
    let (config, mask) = (reader.u32()?, reader.u32()?);
    let advertise = features(version, reader)?;
    reader.skip(4)?;
    Ok(PortMod { port, address, config, mask, advertise })
}

pub(super) fn encode_mod(version: Version, port: &PortMod, out: &mut Vec<u8>) -> Result<(), EncodeError> {
    put_number(version, port.port, out)?;
    if version == Version::V13 {
        out.u32(0);
    }
    out.extend_from_slice(&port.address.0);
    match version {
        Version::V13 => out.u16(0),
        Version::V10 if from_v10(to_v10(port.advertise)) != port.advertise => {
            return Err(unsayable(version, "rates over 10 Gbit/s to advertise"));
        }
        Version::V10 => {}
    }
    out.u32(port.config);
    out.u32(port.mask);
    put_features(version, port.advertise, out);
    out.u32(0);
    Ok(())
}

pub(super) fn decode_stats(version: Version, reader: &mut Reader<'_>) -> Result<PortStats, DecodeError> {
    let port = number(version, reader)?;
    reader.skip(if version == Version::V10 { 6 } else { 4 })?;
    Ok(PortStats {
        port,
        rx_packets: reader.u64()?,
        tx_packets: reader.u64()?,
        rx_bytes: reader.u64()?,
        tx_bytes: reader.u64()?,
        rx_dropped: reader.u64()?,
        tx_dropped: reader.u64()?,
        rx_errors: reader.u64()?,
        tx_errors: reader.u64()?,
        rx_frame_errors: reader.u64()?,
        rx_over_errors: reader.u64()?,
        rx_crc_errors: reader.u64()?,
        collisions: reader.u64()?,
        duration: if version == Version::V10 { (0, 0) } else { reader.duration()? },
    })
}

pub(super) fn encode_stats(
    version: Version,
    stats: &PortStats,
    out: &mut Vec<u8>,
) -> Result<(), EncodeError> {
    put_number(version, stats.port, out)?;
    out.zeros(if version == Version::V10 { 6 } else { 4 });
    for counter in [
        stats.rx_packets,
        stats.tx_packets,
        stats.rx_bytes,
        stats.tx_bytes,
        stats.rx_dropped,
        stats.tx_dropped,
        stats.rx_errors,
        stats.tx_errors,
        stats.rx_frame_errors,
        stats.rx_over_errors,
        stats.rx_crc_errors,
        stats.collisions,
    ] {
        out.u64(counter);
    }
    if version == Version::V13 {
        out.duration(stats.duration);
    }
    Ok(())
}

/// A port as statistics and queue requests name it: 1.0 pads to 32 bits behind, 1.3's have their own padding.
pub(super) fn decode_which(version: Version, reader: &mut Reader<'_>) -> Result<PortNo, DecodeError> {
    let port = number(version, reader)?;
    if version == Version::V10 {
        reader.skip(2)?;
    }
    Ok(port)
}

pub(super) fn put_which(version: Version, port: PortNo, out: &mut Vec<u8>) -> Result<(), EncodeError> {
    put_number(version, port, out)?;
    if version == Version::V10 {
        out.u16(0);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn feature_bits_keep_their_meaning() {
        // OpenFlow 1.0, section 5.2.1; 1.3.5, section 7.2.1: copper, fiber, autonegotiation, pause, asymmetric pause.
        for (old, new) in [(7, 11), (8, 12), (9, 13), (10, 14), (11, 15), (0, 0), (6, 6)] {
            assert_eq!(from_v10(1 << old), 1 << new);
            assert_eq!(to_v10(1 << new), 1 << old);
        }
        // 40, 100 Gbit/s, 1 Tbit/s and others are not known to 1.0.
        assert_eq!(to_v10(0b1111 << 7), 0);
        assert_eq!(to_v10(from_v10(0x0fff_ffff)), 0x0fff_ffff);
    }
}
