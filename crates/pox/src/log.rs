//! What components say: to `tracing`, and to whoever listens to [`Record`]s.

use std::collections::VecDeque;
use std::fmt;
use std::rc::Rc;
use std::time::Duration;

use crate::event::Event;

/// Records kept to be looked at.
pub const RECORDS_MAX: usize = 1_000;
/// Bytes of one record; the rest is cut.
pub const RECORD_BYTES_MAX: usize = 16 << 10;

/// How loud.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Level {
    /// Every packet.
    Debug,
    /// What an operator wants to see.
    Info,
    /// What an operator should look at.
    Warning,
    /// What failed.
    Error,
}

impl fmt::Display for Level {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Debug => "DEBUG",
            Self::Info => "INFO",
            Self::Warning => "WARNING",
            Self::Error => "ERROR",
        })
    }
}

/// Something a component said. Raised by the core where anybody listens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record {
    /// When.
    pub at: Duration,
    /// How loud.
    pub level: Level,
    /// Who: a component's name, or `core`.
    pub component: Rc<str>,
    /// What.
    pub text: String,
}

impl Event for Record {}

impl fmt::Display for Record {
    /// `INFO forwarding.hub: …`
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}: {}", self.level, self.component, self.text)
    }
}

/// The last records, and what is recorded.
pub(crate) struct Log {
    pub(crate) level: Level,
    pub(crate) records: VecDeque<Record>,
}

impl Default for Log {
    fn default() -> Self {
        Self { level: Level::Info, records: VecDeque::new() }
    }
}

impl Log {
    pub(crate) fn keep(&mut self, record: &Record) {
        let (who, text) = (&*record.component, &*record.text);
        match record.level {
            Level::Debug => tracing::debug!(target: "pox", "{who}: {text}"),
            Level::Info => tracing::info!(target: "pox", "{who}: {text}"),
            Level::Warning => tracing::warn!(target: "pox", "{who}: {text}"),
            Level::Error => tracing::error!(target: "pox", "{who}: {text}"),
        }
        if self.records.len() == RECORDS_MAX {
            self.records.pop_front();
        }
        self.records.push_back(record.clone());
    }
}

/// Cuts a text to [`RECORD_BYTES_MAX`] at a character.
pub(crate) fn bounded(mut text: String) -> String {
    if text.len() > RECORD_BYTES_MAX {
        let end = (0..=RECORD_BYTES_MAX).rev().find(|end| text.is_char_boundary(*end)).unwrap_or(0);
        text.truncate(end);
    }
    text
}

/// Says something at [`Level::Debug`]: `debug!(core, "{} packets", count)`. Free where nobody wants it.
#[macro_export]
macro_rules! debug {
    ($core:expr, $($text:tt)+) => { $crate::log!($core, $crate::Level::Debug, $($text)+) };
}

/// Says something at [`Level::Info`]: `info!(core, "{} is up", datapath)`.
#[macro_export]
macro_rules! info {
    ($core:expr, $($text:tt)+) => { $crate::log!($core, $crate::Level::Info, $($text)+) };
}

/// Says something at [`Level::Warning`].
#[macro_export]
macro_rules! warning {
    ($core:expr, $($text:tt)+) => { $crate::log!($core, $crate::Level::Warning, $($text)+) };
}

/// Says something at [`Level::Error`].
#[macro_export]
macro_rules! error {
    ($core:expr, $($text:tt)+) => { $crate::log!($core, $crate::Level::Error, $($text)+) };
}

/// Says something at a level.
#[macro_export]
macro_rules! log {
    ($core:expr, $level:expr, $($text:tt)+) => {
        if $core.logs($level) {
            $core.log($level, format!($($text)+));
        }
    };
}
