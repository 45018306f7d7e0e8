//! Where network functions meet judges: namespaces, programs in them, and a function of ours, or the kernel, in the middle.
//!
//! ```text
//!  netns     a namespace, and programs in it        star      hosts round a function
//!  running   a function in a thread of one          internet  a translator between a home and the world
//!  servers   nginx, an echo of datagrams            wire      one end of a veth in the test's own hands
//!  capture   what tcpdump sees                      random    numbers with a printed seed
//! ```
#![allow(dead_code, unreachable_pub, unused_imports)]

mod capture;
mod internet;
mod netns;
mod random;
mod running;
mod servers;
mod star;
mod wire;

pub use capture::{Capture, checksums_are_right, frames, tshark};
pub use internet::{Internet, V4, V6};
pub use netns::{Netns, PATIENCE, Program, must, until};
pub use random::{Random, seed};
pub use running::{KEY, Running, counter, dropped, function, setup};
pub use servers::{Echo, Web, ask};
pub use star::Star;
pub use wire::Wire;
