//! ICMP and ICMPv6: which message of one is which of the other (RFC 7915 §4.2, §5.2).

use packet::wire::{icmpv4, icmpv6, ipv4, ipv6};

/// Type, code, and the 32 bits behind the checksum.
pub(super) type Head = (u8, u8, u32);

/// What one MTU is on the other side: the headers differ by 20 bytes.
const DIFFERENCE: u32 = (ipv6::HEADER_LEN - ipv4::HEADER_LEN) as u32;

/// MTUs that routers without the field of RFC 1191 are likely to have (its §7), largest first.
const PLATEAUS: [u32; 11] = [65_535, 32_000, 17_914, 8166, 4352, 2002, 1492, 1006, 508, 296, 68];

/// Of an ICMP error, the ICMPv6 one. `quoted` is the length that the quoted packet claims.
pub(super) fn error_to_v6((kind, code, rest): Head, quoted: usize) -> Option<Head> {
    use icmpv4::Type;
    Some(match (Type(kind), code) {
        (Type::UNREACHABLE, 0 | 1 | 5..=8 | 11 | 12) => (1, icmpv6::unreachable::NO_ROUTE, 0),
        (Type::UNREACHABLE, 2) => (4, 1, 6), // an unrecognised next header, which is at 6
        (Type::UNREACHABLE, 3) => (1, icmpv6::unreachable::PORT, 0),
        (Type::UNREACHABLE, 4) => {
            let mtu = match rest & 0xffff {
                0 => PLATEAUS.into_iter().find(|mtu| (*mtu as usize) < quoted).unwrap_or(68),
                mtu => mtu,
            };
            // Below 1280, IPv6 would have to fragment towards IPv4, and its packets are ours to send with DF off.
            (2, 0, (mtu + DIFFERENCE).max(ipv6::MTU_MIN as u32))
        }
        (Type::UNREACHABLE, 9 | 10 | 13 | 15) => (1, icmpv6::unreachable::PROHIBITED, 0),
        (Type::TIME_EXCEEDED, code) => (3, code, 0),
        (Type::PARAMETER_PROBLEM, 0 | 2) => (4, 0, pointer_to_v6(rest >> 24)?),
        _ => return None,
    })
}

/// Of an ICMPv6 error, the ICMP one.
pub(super) fn error_to_v4((kind, code, rest): Head) -> Option<Head> {
    use icmpv6::Type;
    Some(match (Type(kind), code) {
        (Type::UNREACHABLE, 0 | 2 | 3) => (3, icmpv4::unreachable::HOST, 0),
        (Type::UNREACHABLE, 1) => (3, 10, 0),
        (Type::UNREACHABLE, 4) => (3, icmpv4::unreachable::PORT, 0),
        (Type::TOO_BIG, _) => {
            (3, icmpv4::unreachable::FRAGMENTATION_NEEDED, rest.saturating_sub(DIFFERENCE).min(0xffff))
        }
        (Type::TIME_EXCEEDED, code) => (11, code, 0),
        (Type::PARAMETER_PROBLEM, 0) => (12, 0, pointer_to_v4(rest)? << 24),
        (Type::PARAMETER_PROBLEM, 1) => (3, icmpv4::unreachable::PROTOCOL, 0),
        _ => return None,
    })
}

/// RFC 7915 figure 3.
const fn pointer_to_v6(pointer: u32) -> Option<u32> {
    Some(match pointer {
        0 | 1 => pointer,
        2 | 3 => 4,
        8 => 7,
        9 => 6,
        12..=15 => 8,
        16..=19 => 24,
        _ => return None,
    })
}

/// RFC 7915 figure 6.
const fn pointer_to_v4(pointer: u32) -> Option<u32> {
    Some(match pointer {
        0 | 1 => pointer,
        4 | 5 => 2,
        6 => 9,
        7 => 8,
        8..=23 => 12,
        24..=39 => 16,
        _ => return None,
    })
}

/// The other family's echo of a type.
pub(super) const fn other_echo(kind: u8) -> Option<u8> {
    Some(match kind {
        8 => 128,
        0 => 129,
        128 => 8,
        129 => 0,
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_are_those_of_rfc_7915() {
        for (v4, v6) in [
            ((3, 0, 0), Some((1, 0, 0))),
            ((3, 1, 0), Some((1, 0, 0))),
            ((3, 2, 0), Some((4, 1, 6))),
            ((3, 3, 0), Some((1, 4, 0))),
            ((3, 4, 1400), Some((2, 0, 1420))),
            ((3, 4, 576), Some((2, 0, 1280))),
            ((3, 4, 0), Some((2, 0, 1512))),
            ((3, 13, 0), Some((1, 1, 0))),
            ((3, 14, 0), None),
            ((11, 0, 0), Some((3, 0, 0))),
            ((11, 1, 0), Some((3, 1, 0))),
            ((12, 0, 16 << 24), Some((4, 0, 24))),
            ((12, 0, 10 << 24), None),
            ((12, 1, 0), None),
            ((4, 0, 0), None),
            ((5, 0, 0), None),
        ] {
            assert_eq!(error_to_v6(v4, 1500), v6, "{v4:?}");
        }
        for (v6, v4) in [
            ((1, 0, 0), Some((3, 1, 0))),
            ((1, 1, 0), Some((3, 10, 0))),
            ((1, 4, 0), Some((3, 3, 0))),
            ((1, 5, 0), None),
            ((2, 0, 1400), Some((3, 4, 1380))),
            ((2, 0, 0), Some((3, 4, 0))),
            ((3, 0, 0), Some((11, 0, 0))),
            ((4, 0, 7), Some((12, 0, 8 << 24))),
            ((4, 0, 40), None),
            ((4, 1, 6), Some((3, 2, 0))),
            ((4, 2, 0), None),
        ] {
            assert_eq!(error_to_v4(v6), v4, "{v6:?}");
        }
    }

    #[test]
    fn echoes_are_each_others() {
        for kind in [0, 8, 128, 129] {
            assert_eq!(other_echo(kind).and_then(other_echo), Some(kind));
        }
        assert_eq!(other_echo(3), None);
    }
}
