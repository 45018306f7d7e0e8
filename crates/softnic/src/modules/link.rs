//! Where the network layer of a frame begins.

use packet::wire::{EtherType, ethernet, ipv4, vlan};

/// The network layer's EtherType and where it starts, behind all tags; `None` for a frame that ends before, or that has
/// more than [`vlan::TAGS_MAX`] tags.
#[inline]
pub(super) fn network(frame: &[u8]) -> Option<(EtherType, usize)> {
    let link = ethernet::View::new_checked(frame).ok()?;
    let ethertype = link.ethertype();
    if ethertype.is_vlan() {
        behind_tags(ethertype, link.into_payload())
    } else {
        Some((ethertype, ethernet::HEADER_LEN))
    }
}

/// The header of IPv4 in a frame without tags, whose header has no options and whose lengths are right: what most frames
/// are. `None` for all others, which are to be looked at with care.
#[inline]
pub(super) fn plain_v4(frame: &mut [u8]) -> Option<&mut [u8; ipv4::HEADER_LEN]> {
    let (link, packet) = frame.split_first_chunk_mut::<{ ethernet::HEADER_LEN }>()?;
    let longest = packet.len();
    let header = packet.first_chunk_mut::<{ ipv4::HEADER_LEN }>()?;
    let total = usize::from(u16::from_be_bytes([header[2], header[3]]));
    // Version 4, a header of five words.
    let plain = [link[12], link[13], header[0]] == [0x08, 0x00, 0x45];
    (plain && total >= ipv4::HEADER_LEN && total <= longest).then_some(header)
}

#[cold]
fn behind_tags(ethertype: EtherType, payload: &[u8]) -> Option<(EtherType, usize)> {
    let mut tags = vlan::Tags::new(ethertype, payload);
    for tag in tags.by_ref() {
        tag.ok()?;
    }
    Some((tags.ethertype(), ethernet::HEADER_LEN + tags.offset()))
}
