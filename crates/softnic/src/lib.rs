//! The software NIC: packets cross a graph of modules, run by workers, changed while they flow.
//!
//! ```text
//!   port ─► PortIn ─► module ─┬► module ─► PortOut ─► port      worker 0: its modules, run to completion
//!                             └─────── ring ──────┐
//!   port ─► PortIn ─► module ◄────────────────────┘             worker 1
//! ```
//!
//! [`engine`] is the machinery: modules with gates, workers, and edits that take effect between two batches.
//! [`modules`] are the stock modules. [`fabric`] is the container network, which knows nothing of the engine: packets
//! and time go in, packets come out. [`daemon`] is the process that runs both. [`routing`] is a router of its own.
//!
//! ```
//! use packet::{Pool, PoolConfig};
//! use softnic::engine::{Edit, Engine, WorkerConfig};
//! use softnic::modules::{NoOp, Sink, Source};
//!
//! let engine = Engine::new();
//! let worker = engine.add_worker(WorkerConfig::default())?;
//! let pool = Pool::new(PoolConfig::default())?;
//! engine.apply(
//!     Edit::new()
//!         .add("source", Source::new(pool, &[0; 60]).count(1000), worker)
//!         .add("wire", NoOp, worker)
//!         .add("sink", Sink::new(), worker)
//!         .connect("source", 0, "wire", 0)
//!         .connect("wire", 0, "sink", 0),
//! )?;
//! while engine.with_module("sink", |sink: &mut Sink| sink.packets())? < 1000 {
//!     std::thread::yield_now();
//! }
//! let snapshot = engine.snapshot();
//! assert_eq!(snapshot.module("wire").unwrap().outputs[0].packets, 1000);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
#![forbid(unsafe_code)]

pub mod bess;
pub mod config;
pub mod daemon;
pub mod engine;
pub mod fabric;
pub mod filter;
pub mod hooks;
pub mod modules;
pub mod routing;
