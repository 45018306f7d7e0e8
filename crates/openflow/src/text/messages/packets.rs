//! Packets in and out, with what is said of them.

use std::fmt;

use super::{data, keyed, write_data};
use crate::Version;
use crate::flow::{NO_BUFFER, PacketIn, PacketInFormat, PacketInReason, PacketOut};
use crate::matching::Match;
use crate::text::actions::{self, Actions, Dialect};
use crate::text::matches;
use crate::text::piece::{Piece, Result, Wrong};
use crate::text::value::port;

/// Why a packet comes, by the words `ovs-ofctl` has.
const REASONS: &[(PacketInReason, &str)] = &[
    (PacketInReason::NoMatch, "no_match"),
    (PacketInReason::Action, "action"),
    (PacketInReason::InvalidTtl, "invalid_ttl"),
];

impl fmt::Display for PacketInReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (REASONS.iter().find(|(reason, _)| reason == self), self) {
            (Some((_, name)), _) => f.write_str(name),
            (None, Self::Other(reason)) => write!(f, "{reason}"),
            (None, _) => Err(fmt::Error),
        }
    }
}

impl fmt::Display for PacketIn {
    /// `total_len=60 in_port=1 (via no_match) data_len=60 (unbuffered)`, and the packet's bytes on a line of their own.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_packet_in(f, self, None)
    }
}

/// The cookie that a form has which tells none.
fn cookie_untold(format: PacketInFormat, version: Option<Version>) -> u64 {
    if version == Some(Version::V10) && format == PacketInFormat::Standard { 0 } else { u64::MAX }
}

pub(super) fn write_packet_in(
    f: &mut fmt::Formatter<'_>,
    packet: &PacketIn,
    version: Option<Version>,
) -> fmt::Result {
    if packet.table != 0 {
        write!(f, "table_id={} ", packet.table)?;
    }
    if packet.cookie != cookie_untold(packet.format, version) {
        write!(f, "cookie={:#x} ", packet.cookie)?;
    }
    write!(f, "total_len={} {} (via {})", packet.total_len, packet.metadata, packet.reason)?;
    write!(f, " data_len={}", packet.data.len())?;
    match packet.buffer {
        NO_BUFFER => f.write_str(" (unbuffered)")?,
        buffer => write!(f, " buffer={buffer:#010x}")?,
    }
    write_data(f, &packet.data)
}

pub(super) fn read_packet_in(piece: Piece<'_>, format: PacketInFormat, version: Version) -> Result<PacketIn> {
    let (head, data) = data(piece)?;
    let mut packet = PacketIn {
        format,
        buffer: NO_BUFFER,
        total_len: 0,
        reason: PacketInReason::NoMatch,
        table: 0,
        cookie: cookie_untold(format, Some(version)),
        metadata: Match::default(),
        data,
    };
    let mut reader = matches::Reader::new(false);
    // `(via action)` and `(unbuffered)` have no key.
    let (before, behind) = head.split_once("(via ").ok_or_else(|| {
        head.end().error(Wrong::Missing { wanted: "reason" }, "write `(via no_match)` or `(via action)`")
    })?;
    let (reason, behind) =
        behind.split_once(")").ok_or_else(|| behind.unexpected("reason", "close what `(` opens"))?;
    packet.reason = match REASONS.iter().find(|(_, name)| *name == reason.text) {
        Some((reason, _)) => *reason,
        None => PacketInReason::Other(reason.u8("reason of a packet-in")?),
    };
    let behind = behind.split_once("(unbuffered)").map_or(behind, |(behind, _)| behind);
    // `ovs-ofctl` has the packet's headers in words on the next line, which say nothing of the metadata.
    let behind = behind.split_once("\n").map_or(behind, |(line, _)| line);
    for pair in before.pairs().chain(behind.pairs()) {
        let pair = pair?;
        let value = |what| pair.needed(what);
        match pair.key.text {
            "table_id" => packet.table = value("table")?.u8("table")?,
            "cookie" => packet.cookie = value("cookie")?.u64("cookie")?,
            "total_len" => packet.total_len = value("length")?.u16("length")?,
            "data_len" => {
                value("length")?.u16("length")?;
            }
            "buffer" => packet.buffer = value("buffer")?.u32("buffer")?,
            _ if reader.take(pair)? => {}
            _ => {
                return Err(matches::unknown_key(pair.key, &["table_id", "cookie", "total_len", "buffer"]));
            }
        }
    }
    packet.metadata = reader.finish()?;
    Ok(packet)
}

impl fmt::Display for PacketOut {
    /// `in_port=CONTROLLER actions=output:1 data_len=60`, and the packet's bytes on a line of their own.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "in_port={} actions={}", self.in_port, Actions(&self.actions))?;
        match self.buffer {
            NO_BUFFER => write!(f, " data_len={}", self.data.len())?,
            buffer => write!(f, " buffer={buffer:#010x}")?,
        }
        write_data(f, &self.data)
    }
}

pub(super) fn read_packet_out(piece: Piece<'_>, dialect: Dialect) -> Result<PacketOut> {
    let (head, data) = match piece.rsplit_once("\ndata=") {
        Some((before, bytes)) => (before, bytes.bytes("bytes")?),
        None => (piece, Vec::new()),
    };
    let missing = |wanted, help: &str| head.trim().error(Wrong::Missing { wanted }, help);
    let (before, list) = head.split_once("actions=").ok_or_else(|| missing("actions", "write `actions=`"))?;
    let (list, buffer) = match (list.rsplit_once(" data_len="), list.rsplit_once(" buffer=")) {
        (Some((list, length)), _) => {
            // The same.
            let length = length.split_once("\n").map_or(length, |(length, _)| length);
            length.u16("length")?;
            (list, NO_BUFFER)
        }
        (None, Some((list, buffer))) => (list, buffer.u32("buffer")?),
        (None, None) => (list, NO_BUFFER),
    };
    let in_port = port(keyed(before, "in_port")?)?;
    Ok(PacketOut { buffer, in_port, actions: actions::actions(list, dialect)?, data })
}
