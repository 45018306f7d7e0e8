//! Flow monitors: `id=7 flags=initial,add out_port=2 table=3 ip`, `event=ADDED table=3 cookie=0x5 ip actions=output:2`.

use std::fmt;

use super::actions::{self, Dialect, Instructions};
use super::flows::{self, Parts, write_match};
use super::matches::{Reader, unknown_key};
use super::piece::{Piece, Result, Wrong};
use super::value::port;
use crate::flow::{ALL_TABLES, DEFAULT_PRIORITY};
use crate::matching::Match;
use crate::monitor::{FlowUpdate, MonitorEvent, MonitorRequest, MonitorUpdate, flags};
use crate::port::PortNo;

/// Words of [`MonitorRequest::flags`].
const FLAGS: &[(&str, u16)] = &[
    ("initial", flags::INITIAL),
    ("add", flags::ADD),
    ("delete", flags::DELETE),
    ("modify", flags::MODIFY),
    ("actions", flags::ACTIONS),
    ("own", flags::OWN),
];

/// Keys beside a match's, for corrections.
const REQUEST_KEYS: &[&str] = &["id", "flags", "out_port", "table"];
const UPDATE_KEYS: &[&str] =
    &["event", "reason", "table", "priority", "idle_timeout", "hard_timeout", "cookie", "actions", "xid"];

impl fmt::Display for MonitorRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut rest = self.flags;
        let mut words = Vec::new();
        for (name, bit) in FLAGS.iter().filter(|(_, bit)| self.flags & bit != 0) {
            words.push((*name).to_owned());
            rest &= !bit;
        }
        if rest != 0 || words.is_empty() {
            words.push(format!("{rest:#x}"));
        }
        write!(f, "id={} flags={}", self.id, words.join(","))?;
        if self.out_port != PortNo::ANY {
            write!(f, " out_port={}", self.out_port)?;
        }
        if self.table != ALL_TABLES {
            write!(f, " table={}", self.table)?;
        }
        match self.matching.to_string().as_str() {
            "" => Ok(()),
            matching => write!(f, " {matching}"),
        }
    }
}

/// The bits of a word, or of a number.
fn flag(piece: Piece<'_>) -> Result<u16> {
    match FLAGS.iter().find(|(name, _)| *name == piece.text) {
        Some((_, bit)) => Ok(*bit),
        None => piece.u16("flag of a monitor"),
    }
}

/// The reverse.
pub(super) fn request(piece: Piece<'_>) -> Result<MonitorRequest> {
    let mut request = MonitorRequest {
        id: 0,
        flags: 0,
        out_port: PortNo::ANY,
        table: ALL_TABLES,
        matching: Match::default(),
    };
    let mut reader = Reader::new(false);
    for pair in piece.pairs() {
        let pair = pair?;
        let value = |what| pair.needed(what);
        // A list of words goes on behind its commas.
        let is_flag = pair.value.is_none()
            && (FLAGS.iter().any(|(name, _)| *name == pair.key.text)
                || pair.key.text.starts_with(|c: char| c.is_ascii_digit()));
        match pair.key.text {
            _ if is_flag => request.flags |= flag(pair.key)?,
            "id" => request.id = value("number of a monitor")?.u32("number of a monitor")?,
            "flags" => request.flags |= flag(value("flags")?)?,
            "out_port" => request.out_port = port(value("port")?)?,
            "table" => request.table = value("table")?.u8("table")?,
            _ if reader.take(pair)? => {}
            _ => return Err(unknown_key(pair.key, REQUEST_KEYS)),
        }
    }
    request.matching = reader.finish()?;
    Ok(request)
}

impl fmt::Display for FlowUpdate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.event {
            MonitorEvent::Added => f.write_str("event=ADDED ")?,
            MonitorEvent::Removed(reason) => write!(f, "event=DELETED reason={reason} ")?,
            MonitorEvent::Modified => f.write_str("event=MODIFIED ")?,
        }
        write!(f, "table={} ", self.table)?;
        for (name, seconds) in [("idle_timeout", self.idle_timeout), ("hard_timeout", self.hard_timeout)] {
            if seconds != 0 {
                write!(f, "{name}={seconds} ")?;
            }
        }
        write!(f, "cookie={:#x} ", self.cookie)?;
        write_match(f, self.priority, &self.matching)?;
        // As Open vSwitch has it: none are not told apart from those that were not asked for.
        match Instructions(&self.instructions).to_string() {
            actions if actions == "drop" => Ok(()),
            actions => write!(f, "actions={actions}"),
        }
    }
}

impl fmt::Display for MonitorUpdate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Flow(flow) => f.write_str(flow.to_string().trim_end()),
            Self::Own { xid } => write!(f, "event=ABBREV xid={xid:#x}"),
        }
    }
}

/// The reverse.
pub(super) fn update(piece: Piece<'_>, dialect: Dialect) -> Result<MonitorUpdate> {
    let mut update = FlowUpdate {
        event: MonitorEvent::Added,
        table: 0,
        priority: DEFAULT_PRIORITY,
        idle_timeout: 0,
        hard_timeout: 0,
        cookie: 0,
        matching: Match::default(),
        instructions: Vec::new(),
    };
    let (mut own, mut event, mut reason) = (None, None, None);
    let mut parts = Parts { pairs: piece.pairs() };
    let mut reader = Reader::new(dialect.strict);
    while let Some(pair) = parts.next()? {
        let value = |what| pair.needed(what);
        match pair.key.text {
            "event" => event = Some(value("event")?),
            "reason" => reason = Some(flows::removed_reason(value("reason")?)?),
            "xid" => own = Some(value("transaction")?.u32("transaction")?),
            "table" => update.table = value("table")?.u8("table")?,
            "priority" => update.priority = value("priority")?.u16("priority")?,
            "idle_timeout" => update.idle_timeout = value("seconds")?.u16("seconds")?,
            "hard_timeout" => update.hard_timeout = value("seconds")?.u16("seconds")?,
            "cookie" => update.cookie = value("cookie")?.u64("cookie")?,
            "actions" | "action" => {
                update.instructions = actions::instructions(pair.value.unwrap_or(pair.key.end()), dialect)?;
            }
            _ if reader.take(pair)? => {}
            _ => return Err(unknown_key(pair.key, UPDATE_KEYS)),
        }
    }
    let missing = |wanted, help: &str| piece.end().error(Wrong::Missing { wanted }, help);
    let event = event.ok_or_else(|| missing("event", "write `event=ADDED`"))?;
    update.event = match event.text {
        "ADDED" => MonitorEvent::Added,
        "MODIFIED" => MonitorEvent::Modified,
        "DELETED" => MonitorEvent::Removed(reason.ok_or_else(|| missing("reason", "write `reason=delete`"))?),
        "ABBREV" => {
            let xid = own.ok_or_else(|| missing("transaction", "write `xid=` and the transaction"))?;
            return Ok(MonitorUpdate::Own { xid });
        }
        _ => return Err(event.unexpected("event", "write ADDED, DELETED, MODIFIED or ABBREV")),
    };
    update.matching = reader.finish()?;
    Ok(MonitorUpdate::Flow(update))
}
