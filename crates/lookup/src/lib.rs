//! The tables packets are looked up in. They know no port, no clock and no network function; every room above that
//! decides by what a packet says keeps its state in them.
//!
//! ```text
//!                          ┌ flow_table   which flow it is of, and until when      exact
//!  packet ─► key, hash ────┼ tuple_space  which rule of many masks fits            masked
//!                          ├ lpm          which prefix is the longest              prefixes
//!                          ├ acl          which rule is the first                  ranges
//!                          ├ maglev       which back end it goes to                shares
//!                          └ token_bucket whether it may pass, and when it may     rates
//! ```
//!
//! The time is passed in as `now_ns`, nanoseconds of a clock that does not go back; keys of hashes are passed in as well. All
//! memory is reserved when a table is made, and whatever holds state has a bound.
//!
//! A load balancer that keeps a flow at its back end, with a limit on new flows:
//!
//! ```
//! use lookup::flow_table::FlowTable;
//! use lookup::maglev::{Backend, Maglev, SIZE_SMALL};
//! use lookup::token_bucket::{Rate, TokenBucket};
//! use packet::flow::{FlowHasher, FlowKey};
//! use packet::wire::IpProtocol;
//!
//! const IDLE_NS: u64 = 60_000_000_000;
//! let hasher = FlowHasher::new(0x5eed); // in earnest, 128 random bits
//! let backends = [b"10.0.1.1", b"10.0.1.2", b"10.0.1.3"].map(|name| Backend { name, weight: 1 });
//! let maglev = Maglev::new(SIZE_SMALL, &backends, hasher)?;
//! let mut flows = FlowTable::with_hasher(100_000, hasher);
//! let mut new_flows = TokenBucket::new(Rate::per_second(10_000), 100, 0);
//!
//! let mut backend_of = |key: FlowKey, now_ns: u64| -> Option<usize> {
//!     flows.expire(now_ns, 4, |key, backend| println!("{key} is over; it was at {backend}"));
//!     let id = match flows.find(&key, now_ns) {
//!         Some(id) => id,
//!         None if !new_flows.take(1, now_ns) => return None,
//!         None => flows.insert(key, maglev.lookup(hasher.hash(&key)), now_ns + IDLE_NS, now_ns).ok()?,
//!     };
//!     flows.set_deadline(id, now_ns + IDLE_NS);
//!     flows.get(id).copied()
//! };
//!
//! let client = |port| FlowKey::new(IpProtocol::TCP, ([192, 0, 2, 1], port).into(), ([10, 0, 0, 1], 80).into());
//! let flow = client(40_000).expect("one family");
//! let first = backend_of(flow, 0);
//! assert_eq!(backend_of(flow, 59_999_999_999), first, "kept, whatever happens to the set of back ends");
//! let let_in = (1..=200).filter_map(client).filter(|&flow| backend_of(flow, 60_000_000_000).is_some()).count();
//! assert_eq!(let_in, 100, "the burst of new flows");
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

#![forbid(unsafe_code)]

pub mod acl;
pub mod flow_table;
#[doc(hidden)]
pub mod fuzzing;
pub mod lpm;
pub mod maglev;
pub mod token_bucket;
pub mod tuple_space;
