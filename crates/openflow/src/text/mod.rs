//! The readable form of messages, and back: as `ovs-ofctl` prints and takes them.
//!
//! Everything has `Display`: a match, an action, a flow, a group, a meter, a whole message. The parsers read it back, and
//! what people write for `ovs-ofctl`. Short messages are one line; statistics have a line or more for each entry, as
//! `ovs-ofctl ofp-print` writes them; bytes (packets, payloads) are a last line `data=` in hexadecimal, so that nothing is
//! lost. What has no word here stands in numbers: `oxm_80fe1204=0x0a0b0c0d`, `nicira(subtype=35,data=…)`.
//!
//! A parser's error says where in the text it is and what to write instead.
//!
//! ```
//! use openflow::text::{parse_flow, parse_message};
//! use openflow::{Version, codec, message::{Body, Message}};
//!
//! let flow = parse_flow("table=1,priority=10,tcp,nw_dst=10.0.0.0/8,tp_dst=80 actions=dec_ttl,output:2")?;
//! let message = Message::new(1, Body::FlowMod(flow));
//! let mut bytes = Vec::new();
//! codec::encode(Version::V13, &message, &mut bytes)?;
//! let (version, message) = codec::decode(&bytes)?;
//! let text = message.text(version).to_string();
//! assert_eq!(
//!     text,
//!     "OFPT_FLOW_MOD (OF1.3) (xid=0x1): \
//!      ADD table:1 priority=10,tcp,nw_dst=10.0.0.0/8,tp_dst=80 actions=dec_ttl,output:2"
//! );
//! assert_eq!(parse_message(&text)?, (version, message));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod actions;
mod flows;
mod groups;
mod learn;
mod matches;
mod messages;
mod monitors;
mod names;
mod nicira_actions;
mod pen;
mod piece;
mod records;
mod tables;
mod value;

pub use actions::parse_actions;
pub use flows::{parse_flow, parse_flow_stats};
pub use groups::{parse_group, parse_meter};
pub use matches::parse_match;
pub use messages::{Versioned, parse_message};
pub use piece::{ParseError, TEXT_LEN_MAX, Wrong};
