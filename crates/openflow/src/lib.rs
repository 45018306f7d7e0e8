//! OpenFlow 1.0 and 1.3, with Nicira's extensions: messages, the channel, and the flow-table switch.
//!
//! ```text
//!   bytes ⇄ codec ⇄ message::Message ⇄ text        one type for both versions; each message has a readable form
//!                        │
//!   channel ─────────────┤                          hello, echo, barriers, roles: a state machine without sockets
//!   switch  ─────────────┘                          flow tables, groups, meters: packets and messages in, the same out
//! ```

#![forbid(unsafe_code)]

pub mod action;
pub mod capture;
pub mod channel;
pub mod codec;
pub mod error;
pub mod field;
pub mod flow;
#[doc(hidden)]
pub mod fuzzing;
pub mod group;
pub mod instruction;
pub mod live;
pub mod load;
pub mod matching;
pub mod message;
pub mod meter;
pub mod monitor;
pub mod multipart;
pub mod nicira;
pub mod oxm;
pub mod port;
pub mod queue;
pub mod switch;
pub mod table;
pub mod text;
mod version;
pub mod wire;

pub use version::Version;
