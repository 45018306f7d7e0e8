//! E2: from what traffic is to pass to which instance runs where, and how it grows without a flow changing its instance.
//!
//! ```text
//!  policy (YAML) ─► compile                                                   scale
//!   functions        merge ─► size ─► split ─► place ─► offload ─► connect     splits and joins the ranges of
//!   pipelets         pGraph   k       iGraph   servers  switch     rules       instances that run, step by step
//!   hardware
//! ```
//!
//! A [`policy`] says which traffic passes which network functions and on what hardware. [`compile`] makes a plan of it; each step is a
//! function of what the steps before made. [`place`] finds the servers, with a bound that no placement is below. [`scale`] is the
//! protocol that moves load between instances. [`deploy`] says what the sites of a plan do, [`plane`] does it, [`live`] runs it. After Palkar et al., "E2: A Framework for NFV Applications", SOSP'15.
//!
//! ```
//! use e2::{compile, policy::Policy};
//!
//! let policy = Policy::read("
//! nfs:
//!   - {name: firewall, affinity: flow, capacity: 5 Gbit/s, attributes: [{name: safe, by: metadata}]}
//!   - {name: ids, affinity: host pair, capacity: 1 Gbit/s}
//! pipelets:
//!   - name: web
//!     traffic: tcp dst port 80
//!     rate: 8 Gbit/s
//!     edges:
//!       - {from: internet, to: firewall}
//!       - {from: firewall, to: shop, when: safe, share: 75%}
//!       - {from: firewall, to: ids}
//!       - {from: ids, to: shop}
//! hardware:
//!   switch: {name: tor, entries: 100}
//!   servers: [{name: s1, cores: 4}]
//!   links: [{between: [s1, tor], rate: 40 Gbit/s}]
//!   ports: [{name: internet, rate: 10 Gbit/s}, {name: shop, rate: 10 Gbit/s}]
//! ")?;
//! let plan = compile::plan(&policy)?;
//! assert_eq!(plan.sizes.instances, [2, 2]); // 8 and 2 Gbit/s at 5 and 1 a core
//! assert_eq!((plan.cut, plan.bound), (0, 0)); // all on one server
//! # Ok::<(), e2::policy::Faults>(())
//! ```
#![forbid(unsafe_code)]

pub mod compile;
pub mod deploy;
pub mod draw;
pub mod filter;
pub mod fuzzing;
pub mod key;
pub mod live;
pub mod place;
pub mod plane;
pub mod policy;
mod rate;
pub mod sample;
pub mod scale;

pub use rate::{RATE_MAX, Rate, RateError, Share, ShareError};
