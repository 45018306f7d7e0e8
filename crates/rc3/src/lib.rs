//! RC3, recursively cautious congestion control (Mittal et al., HotNets'13, NSDI'14): TCP that from the first round trip on sends
//! the rest of its data too, backwards from the tail and at low priority, where it takes nothing from anybody.
//!
//! ```text
//!              0 ──────────────► next              tail
//!  send buffer ├────────────────┼────────┼─────────┤
//!              primary, level 0 ─►      ◄─ level 2, ◄─ level 1: the last 40 segments
//!              ordinary SACK TCP           low-priority loop: no window, no timer, sent once
//! ```
//!
//! [`Sender`] and [`Receiver`] are state machines without I/O or clock: [`Sender::handle`] takes what comes in, with the time;
//! [`Sender::poll_output`] gives what goes out, and [`Sender::next_deadline`] says when to come back. Without [`LowConfig`] they are
//! the SACK TCP that RC3 is measured against. [`simulate`] runs them over `sim`; [`scenario`] runs files of experiments.
//!
//! ```
//! use rc3::simulate::{Fabric, Flow, Limits, internet2, run};
//! use rc3::{LowConfig, Model, SenderConfig};
//! use sim::{Rate, Time};
//!
//! // 390 KB across the backbone, by TCP and by RC3: six windows, or one go.
//! let fabric = Fabric::new(&internet2())?;
//! let (from, to) = (fabric.host("10").unwrap(), fabric.host("19").unwrap());
//! let tcp = SenderConfig::default();
//! let configs = [tcp, tcp.with_low(LowConfig::paper())];
//! let flow = |config, start| Flow { start, from, to, bytes: 267 * 1_460, config };
//! let flows = [flow(0, Time::ZERO), flow(1, Time::from_secs(5))];
//! let outcome = run(fabric.network(1, |link| link)?, &flows, &configs, Limits::default());
//!
//! let rtt = fabric.round_trip(from, to).unwrap();
//! let model = Model { rtt, rate: Rate::from_mbit(1_000), segment: 1_460, initial_window: 4 };
//! for (found, form) in outcome.finished.iter().zip([model.tcp(267), model.rc3(267)]) {
//!     let found = found.unwrap().secs_f64();
//!     assert!((found / form.secs_f64() - 1.0).abs() < 0.005);
//! }
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

#![forbid(unsafe_code)]

mod config;
mod congestion;
pub mod connection;
mod endpoint;
pub mod fuzzing;
mod levels;
pub mod live;
mod low;
mod model;
pub mod ranges;
mod receiver;
mod rtt;
pub mod scenario;
mod secure;
mod segment;
mod sender;
pub mod simulate;
pub mod socks;
pub mod wire;

pub use endpoint::{Endpoint, EndpointStats, HALF_OPEN_FREE, HALF_OPEN_MAX};
pub use secure::{Entropy, Key, KeyError};

pub use config::{LowConfig, Pacing, SenderConfig};
pub use congestion::Algorithm;
pub use levels::level_of;
pub use model::Model;
pub use receiver::{ACKS_MAX, RANGES_MAX, Receiver, ReceiverStats};
pub use rtt::RttConfig;
pub use segment::{HEADER_BYTES, Kind, SACK_BLOCKS_MAX, Sack, Segment};
pub use sender::{Input, Sender, SenderStats};
