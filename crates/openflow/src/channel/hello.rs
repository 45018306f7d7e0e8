//! Which version is spoken (OpenFlow 1.3.5, section 6.3.1).
//!
//! Hellos are read here and not by the codec: the version of a hello is that of the sender, which may be one that is
//! not spoken here, and whatever is behind its header is there to be ignored where it is not understood.

use crate::Version;

/// `OFPHET_VERSIONBITMAP`.
const VERSION_BITMAP: u16 = 1;
/// Bytes of an OpenFlow header.
const HEADER: usize = 8;

/// A set of versions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Versions {
    /// Bit `v` for wire version `v`.
    bits: u32,
}

impl Default for Versions {
    fn default() -> Self {
        Self::ALL
    }
}

impl Versions {
    /// All that are spoken here.
    pub const ALL: Self = Self { bits: 1 << Version::V10.wire() | 1 << Version::V13.wire() };

    /// One.
    #[must_use]
    pub const fn only(version: Version) -> Self {
        Self { bits: 1 << version.wire() }
    }

    /// Whether a version is among them.
    #[must_use]
    pub const fn has(self, version: Version) -> bool {
        self.bits & 1 << version.wire() != 0
    }

    /// The highest.
    #[must_use]
    pub fn highest(self) -> Option<Version> {
        Version::ALL.into_iter().rev().find(|&version| self.has(version))
    }

    /// The lowest.
    #[must_use]
    pub fn lowest(self) -> Option<Version> {
        Version::ALL.into_iter().find(|&version| self.has(version))
    }

    fn names(self) -> String {
        let names: Vec<_> = Version::ALL
            .into_iter()
            .filter(|&version| self.has(version))
            .map(|version| version.to_string())
            .collect();
        names.join(", ")
    }
}

/// The hello that says so. From 1.3 on with a bitmap; 1.0 has none.
pub(super) fn encode(versions: Versions, xid: u32, out: &mut Vec<u8>) {
    let version = versions.highest().unwrap_or(Version::V10);
    let bitmap = version >= Version::V13;
    out.extend([version.wire(), 0, 0, if bitmap { 16 } else { 8 }]);
    out.extend(xid.to_be_bytes());
    if bitmap {
        out.extend(VERSION_BITMAP.to_be_bytes());
        out.extend(8u16.to_be_bytes());
        out.extend(versions.bits.to_be_bytes());
    }
}

/// The version to speak with a peer whose hello this is, or a text that says why there is none.
pub(super) fn negotiate(ours: Versions, hello: &[u8]) -> Result<Version, String> {
    let theirs = hello.first().copied().unwrap_or(0);
    let highest = ours.highest().ok_or_else(|| "no version is spoken here".to_owned())?;
    // A bitmap says it all; without one the lower of the two version bytes is it.
    let common = match bitmap(hello) {
        Some(bitmap) => Versions { bits: ours.bits & bitmap }.highest(),
        None => Version::from_wire(theirs.min(highest.wire())).filter(|&version| ours.has(version)),
    };
    common.ok_or_else(|| match bitmap(hello) {
        Some(bitmap) => format!("spoken here: {}; versions {bitmap:#x} as bits are not", ours.names()),
        None => format!("spoken here: {}; version {theirs:#04x} is not", ours.names()),
    })
}

/// The versions up to 31 of the first bitmap among a hello's elements.
fn bitmap(hello: &[u8]) -> Option<u32> {
    let mut rest = hello.get(HEADER..)?;
    while let [kind_high, kind_low, length_high, length_low, value @ ..] = rest {
        let kind = u16::from_be_bytes([*kind_high, *kind_low]);
        let length = usize::from(u16::from_be_bytes([*length_high, *length_low]));
        let value = value.get(..length.checked_sub(4)?)?;
        if kind == VERSION_BITMAP {
            return Some(u32::from_be_bytes(value.get(..4)?.try_into().ok()?));
        }
        rest = rest.get(length.next_multiple_of(8)..)?;
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hello(version: u8, elements: &[u8]) -> Vec<u8> {
        let mut bytes = vec![version, 0, 0, 8 + elements.len() as u8, 0, 0, 0, 1];
        bytes.extend(elements);
        bytes
    }

    #[test]
    fn the_highest_common_version_is_spoken() {
        let bits = |bits: u32| [&[0, 1, 0, 8][..], &bits.to_be_bytes()].concat();
        let (only10, only13) = (Versions::only(Version::V10), Versions::only(Version::V13));
        for (ours, version, elements, agreed) in [
            (Versions::ALL, 1, vec![], Some(Version::V10)),
            (Versions::ALL, 4, vec![], Some(Version::V13)),
            (Versions::ALL, 6, vec![], Some(Version::V13)),
            (Versions::ALL, 6, bits(0x52), Some(Version::V13)),
            (Versions::ALL, 6, bits(0x42), Some(Version::V10)),
            (Versions::ALL, 6, bits(0x40), None),
            // A bitmap rules, whatever the version byte says.
            (Versions::ALL, 1, bits(0x10), Some(Version::V13)),
            (Versions::ALL, 2, vec![], None),
            (Versions::ALL, 0, vec![], None),
            (only10, 4, bits(0x10), None),
            (only10, 4, vec![], Some(Version::V10)),
            (only10, 1, vec![], Some(Version::V10)),
            (only13, 1, vec![], None),
            (only13, 4, vec![], Some(Version::V13)),
            // Another element first; lengths that lie are no bitmap.
            (Versions::ALL, 6, [vec![0, 9, 0, 5, 7, 0, 0, 0], bits(0x2)].concat(), Some(Version::V10)),
            (Versions::ALL, 6, vec![0, 1, 0, 3], Some(Version::V13)),
            (Versions::ALL, 6, vec![0, 1, 0, 200, 0, 0, 0, 2], Some(Version::V13)),
            (Versions::ALL, 6, vec![0, 1, 0, 4], Some(Version::V13)),
        ] {
            assert_eq!(negotiate(ours, &hello(version, &elements)).ok(), agreed, "{version} {elements:x?}");
        }
    }

    #[test]
    fn what_we_say_is_what_we_speak() {
        for (versions, other) in [
            (Versions::ALL, Versions::ALL),
            (Versions::only(Version::V10), Versions::ALL),
            (Versions::only(Version::V13), Versions::ALL),
        ] {
            let mut bytes = Vec::new();
            encode(versions, 7, &mut bytes);
            assert_eq!(usize::from(bytes[3]), bytes.len());
            assert_eq!(negotiate(other, &bytes).ok(), versions.highest());
        }
        let mut bytes = Vec::new();
        encode(Versions::only(Version::V13), 7, &mut bytes);
        let denied = negotiate(Versions::only(Version::V10), &bytes).unwrap_err();
        assert_eq!(denied, "spoken here: OF1.0; versions 0x10 as bits are not");
    }
}
