//! Ethernet, tags, labels, ARP.

use packet::wire::{EtherType, WireError, arp, ethernet, mpls, vlan};

use super::{Extent, Follows, Header, Push, Wire, follows, viewed};

/// Ethernet II.
#[derive(Debug)]
pub enum Ethernet {}

impl Header for Ethernet {
    viewed!("ethernet", ethernet);

    #[inline(always)]
    fn measure(bytes: &[u8]) -> Result<Extent, WireError> {
        ethernet::View::new_checked(bytes)?;
        Ok(Extent { header: ethernet::HEADER_LEN, end: bytes.len() })
    }
}

impl Push for Ethernet {
    type Repr = ethernet::Repr;

    fn length(repr: &ethernet::Repr) -> usize {
        repr.buffer_len()
    }

    fn emit(repr: &ethernet::Repr, bytes: &mut [u8]) {
        repr.emit(&mut ethernet::View::new_unchecked(bytes));
    }
}

impl Follows<Wire> for Ethernet {
    #[inline(always)]
    fn follows(_: &&[u8]) -> bool {
        true
    }

    #[inline(always)]
    fn announce(_: &mut &mut [u8]) {}
}

/// One 802.1Q or 802.1ad tag. Several stand on top of each other.
#[derive(Debug)]
pub enum Vlan {}

impl Header for Vlan {
    viewed!("vlan", vlan);

    #[inline(always)]
    fn measure(bytes: &[u8]) -> Result<Extent, WireError> {
        vlan::View::new_checked(bytes)?;
        Ok(Extent { header: vlan::TAG_LEN, end: bytes.len() })
    }
}

impl Push for Vlan {
    type Repr = vlan::Repr;

    fn length(repr: &vlan::Repr) -> usize {
        repr.buffer_len()
    }

    fn emit(repr: &vlan::Repr, bytes: &mut [u8]) {
        repr.emit(&mut vlan::View::new_unchecked(bytes));
    }
}

impl Follows<Ethernet> for Vlan {
    #[inline(always)]
    fn follows(below: &ethernet::View<&[u8]>) -> bool {
        below.ethertype().is_vlan()
    }

    fn announce(below: &mut ethernet::View<&mut [u8]>) {
        // The outer of two tags is a service tag (IEEE 802.1Q §9.5).
        let outer = below.ethertype().is_vlan();
        below.set_ethertype(if outer { EtherType::QINQ } else { EtherType::VLAN });
    }
}

impl Follows<Vlan> for Vlan {
    #[inline(always)]
    fn follows(below: &vlan::View<&[u8]>) -> bool {
        below.ethertype().is_vlan()
    }

    fn announce(below: &mut vlan::View<&mut [u8]>) {
        below.set_ethertype(EtherType::VLAN);
    }
}

/// One MPLS label (RFC 3032). Several stand on top of each other.
#[derive(Debug)]
pub enum Mpls {}

impl Header for Mpls {
    viewed!("mpls", mpls);

    #[inline(always)]
    fn measure(bytes: &[u8]) -> Result<Extent, WireError> {
        mpls::View::new_checked(bytes)?;
        Ok(Extent { header: mpls::ENTRY_LEN, end: bytes.len() })
    }
}

impl Push for Mpls {
    type Repr = mpls::Repr;

    fn length(repr: &mpls::Repr) -> usize {
        repr.buffer_len()
    }

    fn emit(repr: &mpls::Repr, bytes: &mut [u8]) {
        repr.emit(&mut mpls::View::new_unchecked(bytes));
    }
}

impl Follows<Ethernet> for Mpls {
    #[inline(always)]
    fn follows(below: &ethernet::View<&[u8]>) -> bool {
        below.ethertype().is_mpls()
    }

    fn announce(below: &mut ethernet::View<&mut [u8]>) {
        below.set_ethertype(EtherType::MPLS);
    }
}

impl Follows<Vlan> for Mpls {
    #[inline(always)]
    fn follows(below: &vlan::View<&[u8]>) -> bool {
        below.ethertype().is_mpls()
    }

    fn announce(below: &mut vlan::View<&mut [u8]>) {
        below.set_ethertype(EtherType::MPLS);
    }
}

impl Follows<Mpls> for Mpls {
    #[inline(always)]
    fn follows(below: &mpls::View<&[u8]>) -> bool {
        !below.bottom()
    }

    fn announce(below: &mut mpls::View<&mut [u8]>) {
        let repr = mpls::Repr::parse(below);
        mpls::Repr { bottom: false, ..repr }.emit(below);
    }
}

/// ARP for IPv4 over Ethernet (RFC 826).
#[derive(Debug)]
pub enum Arp {}

impl Header for Arp {
    viewed!("arp", arp);

    #[inline(always)]
    fn measure(bytes: &[u8]) -> Result<Extent, WireError> {
        arp::View::new_checked(bytes)?;
        Ok(Extent { header: arp::PACKET_LEN, end: arp::PACKET_LEN })
    }
}

impl Push for Arp {
    type Repr = arp::Repr;

    fn length(_: &arp::Repr) -> usize {
        arp::PACKET_LEN
    }

    fn emit(repr: &arp::Repr, bytes: &mut [u8]) {
        repr.emit(&mut arp::View::new_unchecked(bytes));
    }
}

follows!(Arp, Ethernet, ethertype, set_ethertype, EtherType::ARP);
follows!(Arp, Vlan, ethertype, set_ethertype, EtherType::ARP);
