//! The headers that a [`Frame`](crate::Frame) knows, and which of them may follow which.
//!
//! A header is a type without values. It names its view in [`packet::wire`], says where it ends, and [`Follows`] says
//! below which headers it may stand, so that an order that no network has does not compile:
//!
//! ```compile_fail,E0277
//! # use netbricks::{Frame, header::{Ethernet, Tcp}};
//! # fn parse(frame: Frame) -> netbricks::Step<()> {
//! let ethernet = frame.parse::<Ethernet>()?;
//! let segment = ethernet.parse::<Tcp>()?; // a TCP header cannot follow an Ethernet header
//! # Ok(()) }
//! ```

mod link;
mod network;
mod transport;
mod tunnel;

use std::net::IpAddr;

use packet::wire::WireError;

pub use link::{Arp, Ethernet, Mpls, Vlan};
pub use network::{Ip, IpView, IpViewMut, Ipv4, Ipv6};
pub use transport::{Icmpv4, Icmpv6, Tcp, Udp};
pub use tunnel::{Geneve, Gre, Vxlan};

/// Where a header and its payload end, in bytes from the header's start. Header ≤ end ≤ the bytes it was measured in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Extent {
    /// Bytes of the header, options and extension headers included.
    pub header: usize,
    /// Bytes of header and payload, without padding.
    pub end: usize,
}

/// A protocol header.
pub trait Header: 'static {
    /// Its name, as in causes of drops.
    const NAME: &'static str;
    /// Header and payload, to read.
    type View<'a>;
    /// Header and payload, to change.
    type ViewMut<'a>;

    /// Validates every length in the header once, and says where it ends.
    ///
    /// # Errors
    /// What is wrong with it.
    fn measure(bytes: &[u8]) -> Result<Extent, WireError>;

    /// A view of bytes that were measured.
    fn view(bytes: &[u8]) -> Self::View<'_>;

    /// A view of bytes that were measured.
    fn view_mut(bytes: &mut [u8]) -> Self::ViewMut<'_>;

    /// The addresses that a checksum further up covers; `None` in a fragment, which holds only part of what it covers.
    fn hosts(_bytes: &[u8]) -> Option<(IpAddr, IpAddr)> {
        None
    }

    /// Makes lengths and checksums true of the bytes. `hosts` are the addresses of the IP header below; without them a
    /// transport checksum is left as it is.
    fn reconcile(_bytes: &mut [u8], _hosts: Option<(IpAddr, IpAddr)>) {}
}

/// A header that may stand on top of `Below`.
#[diagnostic::on_unimplemented(
    message = "a `{Self}` header cannot follow a `{Below}` header",
    label = "no frame has these headers in this order"
)]
pub trait Follows<Below: Header>: Header {
    /// Whether the header below says that this one follows.
    fn follows(below: &Below::View<'_>) -> bool;

    /// Makes the header below say so.
    fn announce(below: &mut Below::ViewMut<'_>);
}

/// A header that can be written in front of a payload.
pub trait Push: Header {
    /// What it will say.
    type Repr;

    /// Bytes it will take.
    fn length(repr: &Self::Repr) -> usize;

    /// Writes it in front of its payload, both in `bytes`.
    fn emit(repr: &Self::Repr, bytes: &mut [u8]);
}

/// What lies below the first header: the wire, or whatever a port hands over.
#[derive(Debug)]
pub enum Wire {}

impl Header for Wire {
    const NAME: &'static str = "wire";
    type View<'a> = &'a [u8];
    type ViewMut<'a> = &'a mut [u8];

    #[inline(always)]
    fn measure(bytes: &[u8]) -> Result<Extent, WireError> {
        Ok(Extent { header: 0, end: bytes.len() })
    }

    #[inline(always)]
    fn view(bytes: &[u8]) -> &[u8] {
        bytes
    }

    #[inline(always)]
    fn view_mut(bytes: &mut [u8]) -> &mut [u8] {
        bytes
    }
}

/// [`Header::NAME`], [`Header::View`], [`Header::view`] and their mutable twins for a protocol of [`packet::wire`].
macro_rules! viewed {
    ($name:literal, $protocol:ident) => {
        const NAME: &'static str = $name;
        type View<'a> = packet::wire::$protocol::View<&'a [u8]>;
        type ViewMut<'a> = packet::wire::$protocol::View<&'a mut [u8]>;

        #[inline(always)]
        fn view(bytes: &[u8]) -> Self::View<'_> {
            packet::wire::$protocol::View::new_unchecked(bytes)
        }

        #[inline(always)]
        fn view_mut(bytes: &mut [u8]) -> Self::ViewMut<'_> {
            packet::wire::$protocol::View::new_unchecked(bytes)
        }
    };
}

/// `impl Follows<Below>`, where a field of the header below holds a value.
macro_rules! follows {
    ($header:ty, $below:ty, $field:ident, $set:ident, $value:expr) => {
        impl Follows<$below> for $header {
            #[inline(always)]
            fn follows(below: &<$below as Header>::View<'_>) -> bool {
                below.$field() == $value
            }

            #[inline(always)]
            fn announce(below: &mut <$below as Header>::ViewMut<'_>) {
                below.$set($value);
            }
        }
    };
}

use {follows, viewed};
