//! What forwarding components ask of Ethernet addresses.

use openflow::field::Field;
use openflow::matching::Match;
use openflow::oxm::Oxm;
use packet::wire::MacAddr;

/// Whether bridges keep frames for that address to themselves (IEEE 802.1D, table 7-10: 01:80:c2:00:00:00 to 0f).
#[must_use]
pub fn is_bridge_filtered(address: MacAddr) -> bool {
    matches!(address.0, [0x01, 0x80, 0xc2, 0, 0, 0..=0x0f])
}

/// Matches what is for an address.
#[must_use]
pub fn to_address(address: MacAddr) -> Match {
    Match::Fields(vec![Oxm::exact(Field::EthDst, value(address))])
}

/// Matches what comes from an address.
#[must_use]
pub fn from_address(address: MacAddr) -> Match {
    Match::Fields(vec![Oxm::exact(Field::EthSrc, value(address))])
}

/// Matches what goes from one address to another.
#[must_use]
pub fn between(source: MacAddr, destination: MacAddr) -> Match {
    Match::Fields(vec![
        Oxm::exact(Field::EthDst, value(destination)),
        Oxm::exact(Field::EthSrc, value(source)),
    ])
}

/// An address as the value of a field.
#[must_use]
pub fn value(address: MacAddr) -> u128 {
    address.0.iter().fold(0, |value, byte| value << 8 | u128::from(*byte))
}
