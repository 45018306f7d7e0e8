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
    let longest = frame.len();
    let head = frame.first_chunk_mut::<{ ethernet::HEADER_LEN + ipv4::HEADER_LEN }>()?;
    // EtherType, version 4, a header of five words.
    let plain = u32::from_be_bytes([head[12], head[13], head[14], head[15]]) >> 8 == 0x08_0045;
    let total = usize::from(u16::from_be_bytes([head[16], head[17]]));
    let fits = total >= ipv4::HEADER_LEN && ethernet::HEADER_LEN + total <= longest;
    if plain && fits { head.last_chunk_mut() } else { None }
}

#[cold]
fn behind_tags(ethertype: EtherType, payload: &[u8]) -> Option<(EtherType, usize)> {
    let mut tags = vlan::Tags::new(ethertype, payload);
    for tag in tags.by_ref() {
        tag.ok()?;
    }
    Some((tags.ethertype(), ethernet::HEADER_LEN + tags.offset()))
}
