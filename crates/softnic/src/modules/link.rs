//! Where the network layer of a frame begins.

use packet::wire::{EtherType, ethernet, vlan};

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

#[cold]
fn behind_tags(ethertype: EtherType, payload: &[u8]) -> Option<(EtherType, usize)> {
    let mut tags = vlan::Tags::new(ethertype, payload);
    for tag in tags.by_ref() {
        tag.ok()?;
    }
    Some((tags.ethertype(), ethernet::HEADER_LEN + tags.offset()))
}
