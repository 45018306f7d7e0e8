//! IPv4, IPv6, and either.

use std::net::IpAddr;

use packet::wire::{EtherType, IpProtocol, WireError, ethernet, gre, ipv4, ipv6, mpls, vlan};

use super::{Ethernet, Extent, Follows, Gre, Header, Mpls, Push, Vlan, follows, viewed};

/// IPv4 with its options.
#[derive(Debug)]
pub enum Ipv4 {}

impl Header for Ipv4 {
    viewed!("ipv4", ipv4);

    #[inline(always)]
    fn measure(bytes: &[u8]) -> Result<Extent, WireError> {
        let view = ipv4::View::new_checked(bytes)?;
        Ok(Extent { header: view.header_len(), end: view.total_len() })
    }

    fn hosts(bytes: &[u8]) -> Option<(IpAddr, IpAddr)> {
        let view = Self::view(bytes);
        // What a fragment carries is part of what a checksum covers.
        (!view.is_fragment()).then(|| (view.source().into(), view.destination().into()))
    }

    fn reconcile(bytes: &mut [u8], _: Option<(IpAddr, IpAddr)>) {
        let length = bytes.len();
        let mut view = Self::view_mut(bytes);
        view.set_total_len(length);
        view.fill_checksum();
    }
}

impl Push for Ipv4 {
    type Repr = ipv4::Repr;

    fn length(repr: &ipv4::Repr) -> usize {
        repr.buffer_len()
    }

    fn emit(repr: &ipv4::Repr, bytes: &mut [u8]) {
        let payload_len = bytes.len() - repr.buffer_len();
        ipv4::Repr { payload_len, ..*repr }.emit(&mut ipv4::View::new_unchecked(bytes));
    }
}

/// IPv6 with its extension headers.
#[derive(Debug)]
pub enum Ipv6 {}

impl Header for Ipv6 {
    viewed!("ipv6", ipv6);

    #[inline(always)]
    fn measure(bytes: &[u8]) -> Result<Extent, WireError> {
        let view = ipv6::View::new_checked(bytes)?;
        Ok(Extent { header: view.upper()?.offset, end: view.total_len() })
    }

    fn hosts(bytes: &[u8]) -> Option<(IpAddr, IpAddr)> {
        let view = Self::view(bytes);
        let fragment = view.upper().ok()?.fragment;
        let whole = fragment.is_none_or(|fragment| fragment.offset == 0 && !fragment.more);
        whole.then(|| (view.source().into(), view.destination().into()))
    }

    fn reconcile(bytes: &mut [u8], _: Option<(IpAddr, IpAddr)>) {
        let length = bytes.len().saturating_sub(ipv6::HEADER_LEN);
        Self::view_mut(bytes).set_payload_len(length);
    }
}

impl Push for Ipv6 {
    type Repr = ipv6::Repr;

    fn length(repr: &ipv6::Repr) -> usize {
        repr.buffer_len()
    }

    fn emit(repr: &ipv6::Repr, bytes: &mut [u8]) {
        let payload_len = bytes.len() - repr.buffer_len();
        ipv6::Repr { payload_len, ..*repr }.emit(&mut ipv6::View::new_unchecked(bytes));
    }
}

/// IPv4 or IPv6, whichever it is.
#[derive(Debug)]
pub enum Ip {}

/// What [`Ip`] turned out to be, to read.
#[derive(Debug)]
pub enum IpView<'a> {
    /// IPv4.
    V4(ipv4::View<&'a [u8]>),
    /// IPv6.
    V6(ipv6::View<&'a [u8]>),
}

/// What [`Ip`] turned out to be, to change.
#[derive(Debug)]
pub enum IpViewMut<'a> {
    /// IPv4.
    V4(ipv4::View<&'a mut [u8]>),
    /// IPv6.
    V6(ipv6::View<&'a mut [u8]>),
}

impl IpView<'_> {
    /// Source address.
    #[inline(always)]
    #[must_use]
    pub fn source(&self) -> IpAddr {
        match self {
            Self::V4(view) => view.source().into(),
            Self::V6(view) => view.source().into(),
        }
    }

    /// Destination address.
    #[inline(always)]
    #[must_use]
    pub fn destination(&self) -> IpAddr {
        match self {
            Self::V4(view) => view.destination().into(),
            Self::V6(view) => view.destination().into(),
        }
    }

    /// What it carries, behind options and extension headers.
    #[inline(always)]
    #[must_use]
    pub fn protocol(&self) -> IpProtocol {
        match self {
            Self::V4(view) => view.protocol(),
            Self::V6(view) => view.upper().map_or(IpProtocol::NONE, |upper| upper.protocol),
        }
    }

    /// Time to live, or hop limit.
    #[inline(always)]
    #[must_use]
    pub fn ttl(&self) -> u8 {
        match self {
            Self::V4(view) => view.ttl(),
            Self::V6(view) => view.hop_limit(),
        }
    }

    /// Whether an L4 header stands at the start of the payload: not so in later fragments.
    #[inline(always)]
    #[must_use]
    pub fn starts(&self) -> bool {
        match self {
            Self::V4(view) => view.fragment_offset() == 0,
            Self::V6(view) => {
                view.upper().is_ok_and(|upper| upper.fragment.is_none_or(|fragment| fragment.offset == 0))
            }
        }
    }
}

impl IpViewMut<'_> {
    /// Lowers the time to live or hop limit, IPv4's checksum with it; `false`, and nothing done, at 0.
    #[inline(always)]
    pub fn decrement_ttl(&mut self) -> bool {
        match self {
            Self::V4(view) => view.decrement_ttl(),
            Self::V6(view) => view.decrement_hop_limit(),
        }
    }
}

#[inline(always)]
fn is_v4(bytes: &[u8]) -> bool {
    bytes.first().is_some_and(|first| first >> 4 == 4)
}

impl Header for Ip {
    const NAME: &'static str = "ip";
    type View<'a> = IpView<'a>;
    type ViewMut<'a> = IpViewMut<'a>;

    #[inline(always)]
    fn measure(bytes: &[u8]) -> Result<Extent, WireError> {
        if is_v4(bytes) { Ipv4::measure(bytes) } else { Ipv6::measure(bytes) }
    }

    #[inline(always)]
    fn view(bytes: &[u8]) -> IpView<'_> {
        if is_v4(bytes) { IpView::V4(Ipv4::view(bytes)) } else { IpView::V6(Ipv6::view(bytes)) }
    }

    #[inline(always)]
    fn view_mut(bytes: &mut [u8]) -> IpViewMut<'_> {
        if is_v4(bytes) { IpViewMut::V4(Ipv4::view_mut(bytes)) } else { IpViewMut::V6(Ipv6::view_mut(bytes)) }
    }

    fn hosts(bytes: &[u8]) -> Option<(IpAddr, IpAddr)> {
        if is_v4(bytes) { Ipv4::hosts(bytes) } else { Ipv6::hosts(bytes) }
    }

    fn reconcile(bytes: &mut [u8], hosts: Option<(IpAddr, IpAddr)>) {
        if is_v4(bytes) { Ipv4::reconcile(bytes, hosts) } else { Ipv6::reconcile(bytes, hosts) }
    }
}

follows!(Ipv4, Ethernet, ethertype, set_ethertype, EtherType::IPV4);
follows!(Ipv4, Vlan, ethertype, set_ethertype, EtherType::IPV4);
follows!(Ipv6, Ethernet, ethertype, set_ethertype, EtherType::IPV6);
follows!(Ipv6, Vlan, ethertype, set_ethertype, EtherType::IPV6);

/// `Ip` follows where either does; only a known version can be announced, so it announces what the payload says.
macro_rules! either_follows {
    ($below:ty, $view:ident) => {
        impl Follows<$below> for Ip {
            #[inline(always)]
            fn follows(below: &$view::View<&[u8]>) -> bool {
                <Ipv4 as Follows<$below>>::follows(below) || <Ipv6 as Follows<$below>>::follows(below)
            }

            fn announce(below: &mut $view::View<&mut [u8]>) {
                if is_v4(below.payload()) {
                    <Ipv4 as Follows<$below>>::announce(below);
                } else {
                    <Ipv6 as Follows<$below>>::announce(below);
                }
            }
        }
    };
}

either_follows!(Ethernet, ethernet);
either_follows!(Vlan, vlan);
either_follows!(Gre, gre);
either_follows!(Mpls, mpls);

/// A label says nothing of what it carries (RFC 3032 §2.2): the first nibble decides, as in every router.
macro_rules! follows_label {
    ($header:ty, $version:literal) => {
        impl Follows<Mpls> for $header {
            fn follows(below: &mpls::View<&[u8]>) -> bool {
                below.bottom() && below.payload().first().is_some_and(|first| first >> 4 == $version)
            }

            fn announce(below: &mut mpls::View<&mut [u8]>) {
                let repr = mpls::Repr::parse(below);
                mpls::Repr { bottom: true, ..repr }.emit(below);
            }
        }
    };
}

follows_label!(Ipv4, 4);
follows_label!(Ipv6, 6);

/// GRE's protocol field (RFC 2784 §2.4).
macro_rules! follows_gre {
    ($header:ty, $ethertype:expr) => {
        impl Follows<Gre> for $header {
            fn follows(below: &gre::View<&[u8]>) -> bool {
                below.protocol() == $ethertype
            }

            fn announce(below: &mut gre::View<&mut [u8]>) {
                let repr = gre::Repr::parse(below);
                gre::Repr { protocol: $ethertype, ..repr }.emit(below);
            }
        }
    };
}

follows_gre!(Ipv4, EtherType::IPV4);
follows_gre!(Ipv6, EtherType::IPV6);
follows_gre!(Ethernet, EtherType::BRIDGING);

/// IP in IP (RFC 2003, RFC 2473, RFC 4213).
macro_rules! follows_ip {
    ($header:ty, $protocol:expr) => {
        impl Follows<Ipv4> for $header {
            fn follows(below: &ipv4::View<&[u8]>) -> bool {
                below.protocol() == $protocol && below.fragment_offset() == 0
            }

            fn announce(below: &mut ipv4::View<&mut [u8]>) {
                below.set_protocol($protocol);
            }
        }

        impl Follows<Ipv6> for $header {
            fn follows(below: &ipv6::View<&[u8]>) -> bool {
                IpView::V6(*below).protocol() == $protocol && IpView::V6(*below).starts()
            }

            fn announce(below: &mut ipv6::View<&mut [u8]>) {
                below.set_upper_protocol($protocol);
            }
        }
    };
}

follows_ip!(Ipv4, IpProtocol::IPV4);
follows_ip!(Ipv6, IpProtocol::IPV6);
