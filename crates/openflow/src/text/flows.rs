//! Flow entries: `table=0,priority=10,ip,nw_dst=10.0.0.0/8 actions=output:2`.

use std::fmt;

use super::actions::{self, Dialect, Instructions};
use super::matches::{Reader, unknown_key};
use super::piece::{Pair, Pairs, Piece, Result, Wrong};
use super::value::{Duration, duration, port};
use crate::Version;
use crate::flow::{
    ALL_TABLES, DEFAULT_PRIORITY, FlowCommand, FlowMod, FlowRemoved, NO_BUFFER, RemovedReason, flags,
};
use crate::group;
use crate::matching::Match;
use crate::multipart::{FlowRequest, FlowStats};
use crate::nicira;
use crate::port::PortNo;

/// Words of [`FlowMod::flags`].
const FLAGS: &[(&str, u16)] = &[
    ("send_flow_rem", flags::SEND_FLOW_REM),
    ("check_overlap", flags::CHECK_OVERLAP),
    ("reset_counts", flags::EMERG_OR_RESET_COUNTS),
    ("no_packet_counts", flags::NO_PACKET_COUNTS),
    ("no_byte_counts", flags::NO_BYTE_COUNTS),
];

/// Words of commands: as `ovs-ofctl` prints them, as people write them.
const COMMANDS: &[(&str, &str, FlowCommand)] = &[
    ("ADD", "add", FlowCommand::Add),
    ("MOD", "modify", FlowCommand::Modify),
    ("MOD_STRICT", "modify_strict", FlowCommand::ModifyStrict),
    ("DEL", "delete", FlowCommand::Delete),
    ("DEL_STRICT", "delete_strict", FlowCommand::DeleteStrict),
];

/// Keys beside a match's, for corrections.
const KEYS: &[&str] = &[
    "table",
    "priority",
    "cookie",
    "idle_timeout",
    "hard_timeout",
    "buffer",
    "out_port",
    "out_group",
    "actions",
    "send_flow_rem",
    "check_overlap",
    "reset_counts",
    "no_packet_counts",
    "no_byte_counts",
];

fn write_flags(f: &mut fmt::Formatter<'_>, flags: u16) -> fmt::Result {
    let mut rest = flags;
    for (name, bit) in FLAGS {
        if rest & bit != 0 {
            write!(f, "{name} ")?;
            rest &= !bit;
        }
    }
    if rest == 0 { Ok(()) } else { write!(f, "flags:{rest:#x} ") }
}

/// A priority that is not the default one, a match, and a blank behind them.
pub(super) fn write_match(f: &mut fmt::Formatter<'_>, priority: u16, matching: &Match) -> fmt::Result {
    let text = matching.to_string();
    match (priority, text.as_str()) {
        (DEFAULT_PRIORITY, "") => Ok(()),
        (DEFAULT_PRIORITY, text) => write!(f, "{text} "),
        (_, "") => write!(f, "priority={priority} "),
        (_, text) => write!(f, "priority={priority},{text} "),
    }
}

impl fmt::Display for FlowCommand {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (COMMANDS.iter().find(|(.., command)| command == self), self) {
            (Some((name, ..)), _) => f.write_str(name),
            (None, Self::Other(command)) => write!(f, "cmd:{command}"),
            (None, _) => Err(fmt::Error),
        }
    }
}

impl fmt::Display for FlowMod {
    /// `ADD table:1 priority=10,ip cookie:0x5 idle:10 actions=output:2`, as in a message.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ", self.command)?;
        if self.table != 0 {
            write!(f, "table:{} ", self.table)?;
        }
        write_match(f, self.priority, &self.matching)?;
        match (self.cookie, self.cookie_mask) {
            (0, 0) => {}
            (cookie, 0) => write!(f, "cookie:{cookie:#x} ")?,
            (cookie, mask) => write!(f, "cookie:{cookie:#x}/{mask:#x} ")?,
        }
        for (name, seconds) in [("idle", self.idle_timeout), ("hard", self.hard_timeout)] {
            if seconds != 0 {
                write!(f, "{name}:{seconds} ")?;
            }
        }
        if self.buffer != NO_BUFFER {
            write!(f, "buf:{:#x} ", self.buffer)?;
        }
        if self.out_port != PortNo::ANY {
            write!(f, "out_port:{} ", self.out_port)?;
        }
        if self.out_group != group::ANY {
            write!(f, "out_group:{} ", self.out_group)?;
        }
        write_flags(f, self.flags)?;
        write!(f, "actions={}", Instructions(&self.instructions))
    }
}

/// Walks a flow's parts up to its actions.
pub(super) struct Parts<'a> {
    pub(super) pairs: Pairs<'a>,
}

impl<'a> Parts<'a> {
    /// The next part; at the actions all of them.
    pub(super) fn next(&mut self) -> Result<Option<Pair<'a>>> {
        let rest = self.pairs.rest();
        let blank = rest.text.len() - rest.text.trim_start_matches([',', ' ', '\t', '\r', '\n']).len();
        let rest = rest.from(blank);
        let word = ["actions=", "action="].into_iter().find(|word| rest.text.starts_with(word));
        if let Some(word) = word {
            let (key, value) = (rest.part(0..word.len() - 1), rest.from(word.len()));
            self.pairs = rest.end().pairs();
            return Ok(Some(Pair { key, value: Some(value), whole: rest }));
        }
        self.pairs.next().transpose()
    }
}

/// A cookie, and behind `/` its mask; `-1` is all bits.
fn cookie(piece: Piece<'_>) -> Result<(u64, u64)> {
    match piece.split_once("/") {
        Some((cookie, mask)) if mask.text == "-1" => Ok((cookie.u64("cookie")?, u64::MAX)),
        Some((cookie, mask)) => Ok((cookie.u64("cookie")?, mask.u64("mask of a cookie")?)),
        None => Ok((piece.u64("cookie")?, 0)),
    }
}

/// A flow-mod as a person writes it, or as a message's text has it.
pub(super) fn flow_mod(piece: Piece<'_>, dialect: Dialect) -> Result<FlowMod> {
    let mut flow = FlowMod::default();
    let mut parts = Parts { pairs: piece.pairs() };
    let mut reader = Reader::new(dialect.strict);
    let mut acts = false;
    let mut first = true;
    while let Some(pair) = parts.next()? {
        let key = pair.key.text;
        let value = |what| pair.needed(what);
        let command = COMMANDS.iter().find(|(printed, written, _)| [printed, written].contains(&&key));
        match (key, command) {
            (_, Some((printed, written, command))) if first => {
                pair.bare()?;
                flow.command = *command;
                // A person who names no table means all of them.
                let removes = matches!(command, FlowCommand::Delete | FlowCommand::DeleteStrict);
                if removes && key == *written && key != *printed {
                    flow.table = ALL_TABLES;
                }
            }
            ("cmd", _) => flow.command = FlowCommand::Other(value("command")?.u8("command")?),
            ("table" | "table_id", _) => flow.table = value("table")?.u8("table")?,
            ("priority" | "pri", _) => flow.priority = value("priority")?.u16("priority")?,
            ("cookie", _) => (flow.cookie, flow.cookie_mask) = cookie(value("cookie")?)?,
            ("idle_timeout" | "idle", _) => flow.idle_timeout = value("seconds")?.u16("seconds")?,
            ("hard_timeout" | "hard", _) => flow.hard_timeout = value("seconds")?.u16("seconds")?,
            ("buffer" | "buf", _) => flow.buffer = value("buffer")?.u32("buffer")?,
            ("out_port", _) => flow.out_port = port(value("port")?)?,
            ("out_group", _) => flow.out_group = value("group")?.u32("group")?,
            ("flags", _) => flow.flags |= value("flags")?.u16("flags")?,
            ("actions" | "action", _) => {
                flow.instructions = actions::instructions(pair.value.unwrap_or(pair.key.end()), dialect)?;
                acts = true;
            }
            _ => match FLAGS.iter().find(|(name, _)| *name == key) {
                Some((_, bit)) => {
                    pair.bare()?;
                    flow.flags |= bit;
                }
                None if reader.take(pair)? => {}
                None => return Err(unknown_key(pair.key, KEYS)),
            },
        }
        first = false;
    }
    flow.matching = reader.finish()?;
    let removes = matches!(flow.command, FlowCommand::Delete | FlowCommand::DeleteStrict);
    if dialect.strict && !acts && !removes {
        let wrong = Wrong::Missing { wanted: "`actions=`" };
        return Err(piece
            .end()
            .error(wrong, "write what to do, such as `actions=output:2`, or `actions=drop`"));
    }
    Ok(flow)
}

/// A flow as `ovs-ofctl add-flow` takes it, or as a printed flow-mod has it behind its header.
///
/// Parts stand in any order before `actions=`: fields of the match; `table`, `priority`, `cookie[/mask]`, `idle_timeout`,
/// `hard_timeout`, `buffer`, `out_port`, `out_group`, `send_flow_rem`, `check_overlap`, `reset_counts`,
/// `no_packet_counts`, `no_byte_counts`. The first word may be a command: `add` (without one), `modify`, `modify_strict`,
/// `delete`, `delete_strict`; a deletion covers all tables unless it names one.
///
/// ```
/// let flow = openflow::text::parse_flow("table=1,priority=10,ip,nw_dst=10.0.0.0/8 actions=output:2")?;
/// assert_eq!(flow.to_string(), "ADD table:1 priority=10,ip,nw_dst=10.0.0.0/8 actions=output:2");
///
/// let wrong = openflow::text::parse_flow("priority=10,ip,nw_dst=10.0.0.0/33 actions=output:2").unwrap_err();
/// assert_eq!(wrong.at, 31..33);
/// assert_eq!(wrong.to_string(), "`33` is more than 32, the most that prefix length takes");
/// # Ok::<(), openflow::text::ParseError>(())
/// ```
///
/// # Errors
/// What is no part of a flow, a value that does not fit, missing actions; with the place.
pub fn parse_flow(text: &str) -> Result<FlowMod> {
    flow_mod(Piece::new(text)?, Dialect::PERSON)
}

/// A flow with its counters, as `ovs-ofctl dump-flows` prints it.
struct Counted<'a> {
    flow: &'a FlowStats,
    ages: Option<(u16, u16)>,
}

impl fmt::Display for Counted<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let flow = self.flow;
        write!(f, "cookie={:#x}, duration={}s, ", flow.cookie, Duration(flow.duration))?;
        write!(f, "table={}, n_packets={}, n_bytes={}, ", flow.table, flow.packets, flow.bytes)?;
        for (name, seconds) in [("idle_timeout", flow.idle_timeout), ("hard_timeout", flow.hard_timeout)] {
            if seconds != 0 {
                write!(f, "{name}={seconds}, ")?;
            }
        }
        write_flags(f, flow.flags)?;
        let (idle, hard) = self.ages.unwrap_or_default();
        for (name, age) in [("idle_age", idle), ("hard_age", hard)] {
            if let Some(age) = age.checked_sub(1) {
                write!(f, "{name}={age}, ")?;
            }
        }
        write_match(f, flow.priority, &flow.matching)?;
        write!(f, "actions={}", Instructions(&flow.instructions))
    }
}

impl fmt::Display for FlowStats {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        Counted { flow: self, ages: None }.fmt(f)
    }
}

impl fmt::Display for nicira::FlowStats {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        Counted { flow: &self.flow, ages: Some((self.idle_age, self.hard_age)) }.fmt(f)
    }
}

/// The reverse. `cookie=0x0, duration=1.5s, table=0, …`
pub(super) fn flow_stats(piece: Piece<'_>, dialect: Dialect) -> Result<nicira::FlowStats> {
    let mut stats = nicira::FlowStats {
        flow: FlowStats {
            table: 0,
            duration: (0, 0),
            priority: DEFAULT_PRIORITY,
            idle_timeout: 0,
            hard_timeout: 0,
            flags: 0,
            cookie: 0,
            packets: 0,
            bytes: 0,
            matching: Match::default(),
            instructions: Vec::new(),
        },
        idle_age: 0,
        hard_age: 0,
    };
    let mut parts = Parts { pairs: piece.pairs() };
    let mut reader = Reader::new(dialect.strict);
    while let Some(pair) = parts.next()? {
        let flow = &mut stats.flow;
        let value = |what| pair.needed(what);
        let age = || value("seconds")?.number("seconds", 0xfffe).map(|age| age as u16 + 1);
        match pair.key.text {
            "cookie" => flow.cookie = value("cookie")?.u64("cookie")?,
            "duration" => {
                let text = value("duration")?;
                flow.duration = duration(text.strip_suffix("s").unwrap_or(text))?;
            }
            "table" => flow.table = value("table")?.u8("table")?,
            "n_packets" => flow.packets = value("packets")?.u64("packets")?,
            "n_bytes" => flow.bytes = value("bytes")?.u64("bytes")?,
            "idle_timeout" => flow.idle_timeout = value("seconds")?.u16("seconds")?,
            "hard_timeout" => flow.hard_timeout = value("seconds")?.u16("seconds")?,
            "idle_age" => stats.idle_age = age()?,
            "hard_age" => stats.hard_age = age()?,
            "priority" => flow.priority = value("priority")?.u16("priority")?,
            "flags" => flow.flags |= value("flags")?.u16("flags")?,
            "actions" | "action" => {
                flow.instructions = actions::instructions(pair.value.unwrap_or(pair.key.end()), dialect)?;
            }
            name => match FLAGS.iter().find(|(flag, _)| *flag == name) {
                Some((_, bit)) => {
                    pair.bare()?;
                    flow.flags |= bit;
                }
                None if reader.take(pair)? => {}
                None => return Err(unknown_key(pair.key, KEYS)),
            },
        }
    }
    stats.flow.matching = reader.finish()?;
    Ok(stats)
}

/// A flow and its counters as `ovs-ofctl dump-flows` prints them:
/// `cookie=0x0, duration=1.5s, table=0, n_packets=3, n_bytes=180, priority=10,ip actions=output:2`.
///
/// # Errors
/// What is no part of it, a value that does not fit; with the place.
pub fn parse_flow_stats(text: &str) -> Result<FlowStats> {
    flow_stats(Piece::new(text)?, Dialect { version: None, strict: false }).map(|stats| stats.flow)
}

/// Why a flow went, by the words `ovs-ofctl` has.
const REASONS: &[(RemovedReason, &str)] = &[
    (RemovedReason::IdleTimeout, "idle"),
    (RemovedReason::HardTimeout, "hard"),
    (RemovedReason::Delete, "delete"),
    (RemovedReason::GroupDelete, "group_delete"),
];

pub(super) fn removed_reason(piece: Piece<'_>) -> Result<RemovedReason> {
    Ok(match REASONS.iter().find(|(_, name)| *name == piece.text) {
        Some((reason, _)) => *reason,
        None => RemovedReason::Other(piece.u8("reason of a removal")?),
    })
}

impl fmt::Display for RemovedReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (REASONS.iter().find(|(reason, _)| reason == self), self) {
            (Some((_, name)), _) => f.write_str(name),
            (None, Self::Other(reason)) => write!(f, "{reason}"),
            (None, _) => Err(fmt::Error),
        }
    }
}

impl fmt::Display for FlowRemoved {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.write(f, None)
    }
}

impl FlowRemoved {
    /// The table that a form has which tells none.
    fn table_untold(nxm: bool, version: Option<Version>) -> u8 {
        if version == Some(Version::V10) && !nxm { 0 } else { ALL_TABLES }
    }

    /// As that version has it.
    pub(super) fn write(&self, f: &mut fmt::Formatter<'_>, version: Option<Version>) -> fmt::Result {
        write_match(f, self.priority, &self.matching)?;
        write!(f, "reason={}", self.reason)?;
        if self.table != Self::table_untold(self.nxm, version) {
            write!(f, " table_id={}", self.table)?;
        }
        if self.cookie != 0 {
            write!(f, " cookie:{:#x}", self.cookie)?;
        }
        write!(f, " duration{}s", Duration(self.duration))?;
        write!(f, " idle{}", self.idle_timeout)?;
        if self.hard_timeout != 0 {
            write!(f, " hard{}", self.hard_timeout)?;
        }
        write!(f, " pkts{} bytes{}", self.packets, self.bytes)
    }
}

/// The reverse.
pub(super) fn flow_removed(piece: Piece<'_>, nxm: bool, version: Version) -> Result<FlowRemoved> {
    let mut removed = FlowRemoved {
        nxm,
        cookie: 0,
        priority: DEFAULT_PRIORITY,
        reason: RemovedReason::IdleTimeout,
        table: FlowRemoved::table_untold(nxm, Some(version)),
        duration: (0, 0),
        idle_timeout: 0,
        hard_timeout: 0,
        packets: 0,
        bytes: 0,
        matching: Match::default(),
    };
    let mut reader = Reader::new(false);
    for pair in piece.pairs() {
        let pair = pair?;
        let value = |what| pair.needed(what);
        // These have no `=` before their number.
        let number = |word| {
            pair.key.strip_prefix(word).filter(|rest| rest.text.starts_with(|c: char| c.is_ascii_digit()))
        };
        match pair.key.text {
            "priority" => removed.priority = value("priority")?.u16("priority")?,
            "reason" => {
                removed.reason = removed_reason(value("reason")?)?;
            }
            "table_id" => removed.table = value("table")?.u8("table")?,
            "cookie" => removed.cookie = value("cookie")?.u64("cookie")?,
            _ => {
                if let Some(text) = number("duration") {
                    removed.duration = duration(text.strip_suffix("s").unwrap_or(text))?;
                } else if let Some(text) = number("idle") {
                    removed.idle_timeout = text.u16("seconds")?;
                } else if let Some(text) = number("hard") {
                    removed.hard_timeout = text.u16("seconds")?;
                } else if let Some(text) = number("pkts") {
                    removed.packets = text.u64("packets")?;
                } else if let Some(text) = number("bytes") {
                    removed.bytes = text.u64("bytes")?;
                } else if !reader.take(pair)? {
                    return Err(unknown_key(pair.key, KEYS));
                }
            }
        }
    }
    removed.matching = reader.finish()?;
    Ok(removed)
}

impl fmt::Display for FlowRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.table != ALL_TABLES {
            write!(f, "table={} ", self.table)?;
        }
        if self.out_port != PortNo::ANY {
            write!(f, "out_port={} ", self.out_port)?;
        }
        if self.out_group != group::ANY {
            write!(f, "out_group={} ", self.out_group)?;
        }
        if (self.cookie, self.cookie_mask) != (0, 0) {
            write!(f, "cookie={:#x}/{:#x} ", self.cookie, self.cookie_mask)?;
        }
        self.matching.fmt(f)
    }
}

/// The reverse.
pub(super) fn flow_request(piece: Piece<'_>) -> Result<FlowRequest> {
    let mut request = FlowRequest {
        table: ALL_TABLES,
        out_port: PortNo::ANY,
        out_group: group::ANY,
        cookie: 0,
        cookie_mask: 0,
        matching: Match::default(),
    };
    let mut reader = Reader::new(false);
    for pair in piece.pairs() {
        let pair = pair?;
        let value = |what| pair.needed(what);
        match pair.key.text {
            "table" => request.table = value("table")?.u8("table")?,
            "out_port" => request.out_port = port(value("port")?)?,
            "out_group" => request.out_group = value("group")?.u32("group")?,
            "cookie" => (request.cookie, request.cookie_mask) = cookie(value("cookie")?)?,
            _ if reader.take(pair)? => {}
            _ => return Err(unknown_key(pair.key, KEYS)),
        }
    }
    request.matching = reader.finish()?;
    Ok(request)
}
