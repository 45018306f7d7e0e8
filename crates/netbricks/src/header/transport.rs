//! TCP, UDP, ICMP. A transport header follows an IP header in whole packets and first fragments only.

use std::net::IpAddr;

use packet::wire::{IpProtocol, WireError, icmpv4, icmpv6, ipv4, ipv6, tcp, udp};

use super::{Extent, Follows, Header, Ip, IpView, IpViewMut, Ipv4, Ipv6, Push, viewed};

/// TCP with its options.
#[derive(Debug)]
pub enum Tcp {}

impl Header for Tcp {
    viewed!("tcp", tcp);

    #[inline(always)]
    fn measure(bytes: &[u8]) -> Result<Extent, WireError> {
        let view = tcp::View::new_checked(bytes)?;
        Ok(Extent { header: view.header_len(), end: bytes.len() })
    }

    fn reconcile(bytes: &mut [u8], hosts: Option<(IpAddr, IpAddr)>) {
        if let Some((source, destination)) = hosts {
            Self::view_mut(bytes).fill_checksum(source, destination);
        }
    }
}

impl Push for Tcp {
    type Repr = tcp::Repr;

    fn length(repr: &tcp::Repr) -> usize {
        repr.buffer_len()
    }

    fn emit(repr: &tcp::Repr, bytes: &mut [u8]) {
        repr.emit(&mut tcp::View::new_unchecked(bytes));
    }
}

/// UDP. The first fragment of a larger datagram does not parse as one: its length lies beyond it.
#[derive(Debug)]
pub enum Udp {}

impl Header for Udp {
    viewed!("udp", udp);

    #[inline(always)]
    fn measure(bytes: &[u8]) -> Result<Extent, WireError> {
        let view = udp::View::new_checked(bytes)?;
        Ok(Extent { header: udp::HEADER_LEN, end: view.length() })
    }

    fn reconcile(bytes: &mut [u8], hosts: Option<(IpAddr, IpAddr)>) {
        let length = bytes.len();
        let mut view = Self::view_mut(bytes);
        view.set_length(length);
        if let Some((source, destination)) = hosts {
            view.fill_checksum(source, destination);
        }
    }
}

impl Push for Udp {
    type Repr = udp::Repr;

    fn length(repr: &udp::Repr) -> usize {
        repr.buffer_len()
    }

    fn emit(repr: &udp::Repr, bytes: &mut [u8]) {
        let payload_len = bytes.len() - repr.buffer_len();
        udp::Repr { payload_len, ..*repr }.emit(&mut udp::View::new_unchecked(bytes));
    }
}

/// ICMP for IPv4.
#[derive(Debug)]
pub enum Icmpv4 {}

impl Header for Icmpv4 {
    viewed!("icmp", icmpv4);

    #[inline(always)]
    fn measure(bytes: &[u8]) -> Result<Extent, WireError> {
        icmpv4::View::new_checked(bytes)?;
        Ok(Extent { header: icmpv4::HEADER_LEN, end: bytes.len() })
    }

    fn reconcile(bytes: &mut [u8], hosts: Option<(IpAddr, IpAddr)>) {
        if hosts.is_some() {
            Self::view_mut(bytes).fill_checksum();
        }
    }
}

/// ICMPv6, neighbour discovery included.
#[derive(Debug)]
pub enum Icmpv6 {}

impl Header for Icmpv6 {
    viewed!("icmp6", icmpv6);

    #[inline(always)]
    fn measure(bytes: &[u8]) -> Result<Extent, WireError> {
        icmpv6::View::new_checked(bytes)?;
        Ok(Extent { header: icmpv6::HEADER_LEN, end: bytes.len() })
    }

    fn reconcile(bytes: &mut [u8], hosts: Option<(IpAddr, IpAddr)>) {
        if let Some((IpAddr::V6(source), IpAddr::V6(destination))) = hosts {
            Self::view_mut(bytes).fill_checksum(source, destination);
        }
    }
}

macro_rules! follows_v4 {
    ($header:ty, $protocol:expr) => {
        impl Follows<Ipv4> for $header {
            #[inline(always)]
            fn follows(below: &ipv4::View<&[u8]>) -> bool {
                below.protocol() == $protocol && below.fragment_offset() == 0
            }

            #[inline(always)]
            fn announce(below: &mut ipv4::View<&mut [u8]>) {
                below.set_protocol($protocol);
            }
        }
    };
}

macro_rules! follows_v6 {
    ($header:ty, $protocol:expr) => {
        impl Follows<Ipv6> for $header {
            #[inline(always)]
            fn follows(below: &ipv6::View<&[u8]>) -> bool {
                <Self as Follows<Ip>>::follows(&IpView::V6(*below))
            }

            #[inline(always)]
            fn announce(below: &mut ipv6::View<&mut [u8]>) {
                below.set_upper_protocol($protocol);
            }
        }
    };
}

macro_rules! follows_either {
    ($header:ty, $protocol:expr) => {
        impl Follows<Ip> for $header {
            #[inline(always)]
            fn follows(below: &IpView<'_>) -> bool {
                below.protocol() == $protocol && below.starts()
            }

            #[inline(always)]
            fn announce(below: &mut IpViewMut<'_>) {
                match below {
                    IpViewMut::V4(view) => view.set_protocol($protocol),
                    IpViewMut::V6(view) => view.set_upper_protocol($protocol),
                }
            }
        }
    };
}

follows_v4!(Tcp, IpProtocol::TCP);
follows_v6!(Tcp, IpProtocol::TCP);
follows_either!(Tcp, IpProtocol::TCP);
follows_v4!(Udp, IpProtocol::UDP);
follows_v6!(Udp, IpProtocol::UDP);
follows_either!(Udp, IpProtocol::UDP);
follows_v4!(Icmpv4, IpProtocol::ICMP);

impl Follows<Ipv6> for Icmpv6 {
    #[inline(always)]
    fn follows(below: &ipv6::View<&[u8]>) -> bool {
        let below = IpView::V6(*below);
        below.protocol() == IpProtocol::ICMPV6 && below.starts()
    }

    #[inline(always)]
    fn announce(below: &mut ipv6::View<&mut [u8]>) {
        below.set_upper_protocol(IpProtocol::ICMPV6);
    }
}
