//! TCP reassembly: segments in any order in, bytes in order out, each exactly once.
//!
//! ```text
//!  frame ─► Reassembler: flow table ─► Stream, Stream ─► Event ─► Sink, Sink, …
//!                                      one a direction            reassembled once, however many look at it
//!                                        │
//!                                        └ out of order: chunks of one pool, with a budget
//! ```
//!
//! [`Stream`] is one direction of a connection, [`Reassembler`] the table of connections, [`Window`] a sliding window over
//! a stream. Nothing here does I/O or reads a clock, and nothing allocates after the start. A segment that is next in line
//! is told from the packet itself; only what has to wait is copied.
//!
//! ```
//! use netbricks::reassembly::{Config, Conversation, Event, Reassembler, Sink};
//! use packet::flow::FlowHasher;
//! use packet::parse::Layers;
//!
//! /// Bytes of payload of each connection.
//! struct Count;
//!
//! impl Sink<u64> for Count {
//!     fn event(&mut self, conversation: &mut Conversation<'_, u64>, event: Event<'_>) {
//!         match event {
//!             Event::Data { bytes, .. } => *conversation.state += bytes.len() as u64,
//!             Event::Closed { cause } => println!("{}: {} bytes, {cause:?}", conversation.key, conversation.state),
//!             _ => {}
//!         }
//!     }
//! }
//!
//! let key = 0x5eed; // draw it at random
//! let mut reassembler = Reassembler::new(Config::default(), FlowHasher::new(key));
//! # let frames: [(u64, &[u8]); 0] = [];
//! for (now_ns, frame) in frames {
//!     if let Ok(layers) = Layers::of(frame) {
//!         reassembler.segment(now_ns, &layers, frame, &mut Count);
//!     }
//! }
//! reassembler.finish(&mut Count);
//! ```

mod event;
#[doc(hidden)]
pub mod fuzz;
mod holders;
mod policy;
mod pool;
mod reassembler;
mod shared;
mod stream;
mod window;

pub use event::{CloseCause, Conversation, Direction, Event, GapCause, Sink};
pub use policy::{Policy, UnknownPolicy};
pub use pool::CHUNKS_MAX;
pub use reassembler::{Config, Reassembler, TableCounters, Timeouts};
pub use shared::{Counters, Exhausted, Shared, StreamConfig, UrgentBytes};
pub use stream::{PoolEmpty, Segment, Stream};
pub use window::{Window, WindowError};
