//! What functions that look into streams have in common: arguments and counters.

use crate::reassembly::{Config, Policy, Reassembler, StreamConfig};
use crate::{Args, ArgsError, Report};

/// The most connections.
const CONNECTIONS_MAX: u64 = 1 << 20;
/// The most memory, in MiB.
const MEMORY_MIB_MAX: u64 = 16 << 10;

/// Takes `policy`, `connections`, `memory` and `checksums`.
pub(super) fn reassembly(args: &mut Args) -> Result<Config, ArgsError> {
    let default = Config { connections: 16_384, ..Config::default() };
    let memory_mib = args.number("memory", 64, 1..=MEMORY_MIB_MAX)?;
    let stream = StreamConfig { pool_bytes: (memory_mib as usize) << 20, ..default.stream };
    Ok(Config {
        policy: args.take_or("policy", Policy::default())?,
        connections: args.number("connections", default.connections as u64, 1..=CONNECTIONS_MAX)? as usize,
        verify_checksums: args.switch("checksums", false)?,
        stream,
        ..default
    })
}

/// What a reassembler has counted.
pub(super) fn report<T: Default>(reassembler: &Reassembler<T>, report: &mut Report) {
    let (table, streams) = (reassembler.table_counters(), reassembler.counters());
    for (name, count) in [
        ("connections", table.opened),
        ("segments of connections not followed, table full", table.table_full),
        ("segments with a wrong checksum", table.bad_checksum),
        ("segments of no connection", table.unknown),
        ("stream bytes", streams.bytes),
        ("stream bytes sent again", streams.repeated_bytes),
        ("stream bytes missed", streams.gap_bytes),
        ("overlaps with other content", streams.conflicts),
    ] {
        report.counter(name, count);
    }
}
