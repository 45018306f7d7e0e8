//! Connection tracking: which flow a packet belongs to, what state that flow is in, and whether the packet can be there.
//! What stateful firewalls, NAT, load balancers, SYN guards and TCP monitors stand on.
//!
//! ```text
//!  frame ─▶ Subject ─┬─ a tuple ────▶ flows, by both directions at once ─▶ Flow: state, window, counts, your data
//!                    │                  └ altered replies (NAT) ──────────▶   │
//!                    ├─ ICMP error ─▶ the same, by the packet it quotes       ▼
//!                    └─ none                                               Verdict: new, established, related,
//!                                                                          invalid (why), fragment, untracked
//! ```
//!
//! The core does no I/O and allocates nothing after [`Tracker::new`]: frames and the time go in, verdicts come out.
//!
//! ```
//! use netbricks::conntrack::{Config, Direction, State, Tracker};
//! use packet::{flow::FlowHasher, parse::Layers};
//!
//! # let mut request = [0u8; 42];
//! # request[12..14].copy_from_slice(&[8, 0]);
//! # request[14..34].copy_from_slice(&[0x45, 0, 0, 28, 0, 0, 0, 0, 64, 17, 0, 0, 10, 0, 0, 1, 10, 0, 0, 2]);
//! # request[34..42].copy_from_slice(&[0x30, 0x39, 0, 53, 0, 8, 0, 0]);
//! # let mut answer = request;
//! # answer[26..34].copy_from_slice(&[10, 0, 0, 2, 10, 0, 0, 1]);
//! # answer[34..38].copy_from_slice(&[0, 53, 0x30, 0x39]);
//! // A firewall that lets answers in: what is new may only come from inside.
//! let mut tracker: Tracker<u32> = Tracker::new(&Config::default(), FlowHasher::new(0x5eed));
//! let mut pass = |now_ns, frame: &[u8], from_inside| {
//!     let Ok(layers) = Layers::of(frame) else { return false };
//!     let verdict = tracker.track(now_ns, &layers, frame);
//!     if let Some(flow) = verdict.flow.and_then(|id| tracker.flow_mut(id)) {
//!         flow.data += 1; // what is kept with a flow is the user's: here how often it was asked for
//!     }
//!     match verdict.state {
//!         State::Established | State::Related => true,
//!         State::New if from_inside => true,
//!         State::New => {
//!             tracker.remove(verdict.flow.expect("a new flow")); // dropped packets leave no flow behind
//!             false
//!         }
//!         _ => false,
//!     }
//! };
//! assert!(!pass(0, &answer, false), "nobody asked");
//! assert!(pass(1, &request, true));
//! assert!(pass(2, &answer, false));
//! ```
//!
//! # TCP
//!
//! The states are those of Linux, seen from between the ends. `>` is what the opener sends, `<` what comes back; resets that
//! are believed lead from everywhere to CLOSE.
//!
//! ```text
//!            > SYN                < SYN/ACK              > ACK                 FIN               ACK
//!  (nothing) ─────▶ SYN_SENT ──────────────▶ SYN_RECV ─────────▶ ESTABLISHED ─────▶ FIN_WAIT ─────▶ CLOSE_WAIT
//!      │               │ < SYN                  ▲                    ▲                  │ FIN            │ FIN
//!      │               ▼          SYN/ACK       │                    │                  ▼                ▼
//!      │           SYN_SENT2 ───────────────────┘                    │               LAST_ACK ◀──────────┘
//!      │                                                             │                  │ ACK
//!      └─ > ACK, if loose: picked up in its middle ──────────────────┘                  ▼        SYN
//!                                                                                    TIME_WAIT ─────▶ a new flow
//! ```
//!
//! Each segment is held to the window of the receiver as far as it can be known from outside (van Rooij 2000; the file
//! `window.rs` has the picture): beyond it, or acknowledging what was never sent, it is invalid; too old it passes, and what
//! it says is not believed. A reset counts where it is the next in sequence (RFC 5961 §3); within the window it passes and
//! the state stays. A SYN in an open connection passes and changes nothing, until the other end answers it: with a SYN/ACK the
//! flow follows them, with a challenge ACK (RFC 5961 §4) it stays. Of several SYNs before the first answer nobody in between
//! knows which came from the client, so a SYN/ACK for any of them passes; the client resets it if it is the wrong one (RFC
//! 9293 §3.10.7.3). `tests/conntrack_linux.rs` shows the kernel the same packets: both must say the same of each, and keep
//! the same state for the same time.
//!
//! # Other protocols
//!
//! UDP and UDP-Lite by ports; ICMP and ICMPv6 queries by identifier and type; SCTP by ports and everything else by addresses,
//! without a state of their own. ICMP errors belong to the flow of the packet they quote, as [`State::Related`]: the quote
//! must hold the ports, and the error must be addressed to who sent the quoted packet. Their direction is the way the error
//! travels. Errors do not prolong their flow.
//!
//! # Translations
//!
//! A flow is one entry under one key for both directions. If NAT has [altered its reply](Tracker::alter_reply), the tuple of
//! the translated answers leads to it as well, and the untranslated one no longer. A tuple has one owner: an alteration
//! that would give it two is refused.
//!
//! # Limits
//!
//! - Fragments that are not the first have no ports and are handed back as [`State::Fragment`]; put packets together first,
//!   as Linux does. The first fragment is tracked; of TCP it ends the window check of its flow, because how much the rest
//!   carries is not known.
//! - No helpers: what a connection negotiates in its payload (FTP, SIP) is new, not related. Translators must not change
//!   the length of payloads, since sequence numbers are not adjusted.
//! - Flows held: [`Config::flows`], at most [`FLOWS_MAX`]. In a full table a new flow takes the place of one that has ended,
//!   else of one that nobody answered, else of one that is not (or no longer) a connection, among the first
//!   [`EVICTION_LOOKS`] that came; else it is [`Invalid::TableFull`]. Nothing is dropped without being [counted](Counters).
//! - New flows stay until they end, also when the caller drops their first packet: [`Tracker::remove`] them.
//! - Redirects of neighbour discovery (ICMPv6 type 137) are untracked; Linux looks at what they quote.
//! - One tracker belongs to one worker: both directions of a flow must come to it (hash [`packet::flow::FlowKey::symmetric`]).

mod alteration;
mod batch;
mod config;
mod eviction;
mod flow;
mod follow;
pub(crate) mod fuzz;
mod moved;
mod segment;
mod subject;
mod tcp;
mod tracker;
mod verdict;
mod way;
mod window;

pub use alteration::AlterError;
pub use batch::Arrival;
pub use config::{Config, FLOWS_MAX, Timeouts};
pub use eviction::EVICTION_LOOKS;
pub use flow::{End, Flow, Traffic};
pub use lookup::flow_table::FlowId;
pub use moved::{MoveError, Moved};
pub use tcp::TcpState;
pub use tracker::Tracker;
pub use verdict::{Counters, Direction, Invalid, State, Verdict};
