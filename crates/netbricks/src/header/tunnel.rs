//! GRE, VXLAN, GENEVE.

use std::net::IpAddr;

use packet::wire::{EtherType, IpProtocol, WireError, geneve, gre, ipv4, ipv6, udp, vxlan};

use super::{Ethernet, Extent, Follows, Header, IpView, Ipv4, Ipv6, Push, Udp, viewed};

/// GRE version 0 (RFC 2784, RFC 2890).
#[derive(Debug)]
pub enum Gre {}

impl Header for Gre {
    viewed!("gre", gre);

    #[inline(always)]
    fn measure(bytes: &[u8]) -> Result<Extent, WireError> {
        let view = gre::View::new_checked(bytes)?;
        Ok(Extent { header: view.header_len(), end: bytes.len() })
    }

    fn reconcile(bytes: &mut [u8], _: Option<(IpAddr, IpAddr)>) {
        // Does nothing where the header has no checksum.
        Self::view_mut(bytes).fill_checksum();
    }
}

impl Push for Gre {
    type Repr = gre::Repr;

    fn length(repr: &gre::Repr) -> usize {
        repr.buffer_len()
    }

    fn emit(repr: &gre::Repr, bytes: &mut [u8]) {
        repr.emit(&mut gre::View::new_unchecked(bytes));
    }
}

impl Follows<Ipv4> for Gre {
    #[inline(always)]
    fn follows(below: &ipv4::View<&[u8]>) -> bool {
        below.protocol() == IpProtocol::GRE && below.fragment_offset() == 0
    }

    fn announce(below: &mut ipv4::View<&mut [u8]>) {
        below.set_protocol(IpProtocol::GRE);
    }
}

impl Follows<Ipv6> for Gre {
    #[inline(always)]
    fn follows(below: &ipv6::View<&[u8]>) -> bool {
        let below = IpView::V6(*below);
        below.protocol() == IpProtocol::GRE && below.starts()
    }

    fn announce(below: &mut ipv6::View<&mut [u8]>) {
        below.set_upper_protocol(IpProtocol::GRE);
    }
}

/// VXLAN (RFC 7348): UDP to port 4789.
#[derive(Debug)]
pub enum Vxlan {}

impl Header for Vxlan {
    viewed!("vxlan", vxlan);

    #[inline(always)]
    fn measure(bytes: &[u8]) -> Result<Extent, WireError> {
        vxlan::View::new_checked(bytes)?;
        Ok(Extent { header: vxlan::HEADER_LEN, end: bytes.len() })
    }
}

impl Push for Vxlan {
    type Repr = vxlan::Repr;

    fn length(repr: &vxlan::Repr) -> usize {
        repr.buffer_len()
    }

    fn emit(repr: &vxlan::Repr, bytes: &mut [u8]) {
        repr.emit(&mut vxlan::View::new_unchecked(bytes));
    }
}

/// GENEVE (RFC 8926): UDP to port 6081.
#[derive(Debug)]
pub enum Geneve {}

impl Header for Geneve {
    viewed!("geneve", geneve);

    #[inline(always)]
    fn measure(bytes: &[u8]) -> Result<Extent, WireError> {
        let view = geneve::View::new_checked(bytes)?;
        Ok(Extent { header: view.header_len(), end: bytes.len() })
    }
}

impl Push for Geneve {
    type Repr = geneve::Repr;

    fn length(repr: &geneve::Repr) -> usize {
        repr.buffer_len()
    }

    fn emit(repr: &geneve::Repr, bytes: &mut [u8]) {
        repr.emit(&mut geneve::View::new_unchecked(bytes));
    }
}

macro_rules! follows_port {
    ($header:ty, $port:expr) => {
        impl Follows<Udp> for $header {
            #[inline(always)]
            fn follows(below: &udp::View<&[u8]>) -> bool {
                below.destination_port() == $port
            }

            fn announce(below: &mut udp::View<&mut [u8]>) {
                below.set_destination_port($port);
            }
        }
    };
}

follows_port!(Vxlan, vxlan::PORT);
follows_port!(Geneve, geneve::PORT);

impl Follows<Vxlan> for Ethernet {
    #[inline(always)]
    fn follows(_: &vxlan::View<&[u8]>) -> bool {
        true
    }

    fn announce(_: &mut vxlan::View<&mut [u8]>) {}
}

impl Follows<Geneve> for Ethernet {
    #[inline(always)]
    fn follows(below: &geneve::View<&[u8]>) -> bool {
        below.protocol() == EtherType::BRIDGING
    }

    fn announce(below: &mut geneve::View<&mut [u8]>) {
        let repr = geneve::Repr::parse(below);
        geneve::Repr { protocol: EtherType::BRIDGING, ..repr }.emit(below);
    }
}
