//! What forwarding components ask of Ethernet addresses.

use packet::wire::MacAddr;

/// Whether bridges keep frames for that address to themselves (IEEE 802.1D, table 7-10: 01:80:c2:00:00:00 to 0f).
#[must_use]
pub fn is_bridge_filtered(address: MacAddr) -> bool {
    matches!(address.0, [0x01, 0x80, 0xc2, 0, 0, 0..=0x0f])
}
