//! What a network function says itself: answers, built in the buffer of the packet that asked for them.
//!
//! ```text
//!  Question   who has this address? are you there?     ─▶ ARP reply, neighbour advertisement, echo reply
//!  Notice     a packet that ends here, and why         ─▶ ICMP error, ICMPv6 error, TCP reset
//! ```
//!
//! An answer keeps the link header of what it answers, VLAN tags included, with the addresses the other way round, so
//! it leaves at the gate where the question came in and needs no table of neighbours.

mod notice;
mod question;
pub(crate) mod segment;

use packet::wire::ethernet;

pub use notice::{ERRORS_BURST, ERRORS_PER_SECOND, Notice, Notices};
pub(crate) use notice::{is_host_v4, may_be_told};
pub use question::Question;

/// Time to live, or hop limit, of an answer.
const HOPS: u8 = 64;

/// Sends a frame back to the station it came from. It was addressed to one station, which is its source now.
///
/// # Panics
/// Where the frame is shorter than an Ethernet header.
#[inline]
pub fn turn_round(frame: &mut [u8]) {
    let mut link = ethernet::View::new_unchecked(frame);
    let (source, destination) = (link.source(), link.destination());
    link.set_source(destination);
    link.set_destination(source);
}
