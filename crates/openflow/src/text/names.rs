//! Names of fields: those of matches (`nw_src`, also called `ip_src`) and those of bit ranges (`NXM_OF_IP_SRC[]`).

use std::fmt;

use super::piece::{Piece, Result};
use crate::field::Field;
use crate::nicira::Subfield;
use crate::oxm::Oxm;

/// Other names of fields, and first the one that `set_field` is written with where it is not [`Field::name`].
const ALIASES: &[(&str, Field)] = &[
    ("eth_dst", Field::EthDst),
    ("eth_src", Field::EthSrc),
    ("eth_type", Field::EthType),
    ("ip_src", Field::Ipv4Src),
    ("ip_dst", Field::Ipv4Dst),
    ("ipv4_src", Field::Ipv4Src),
    ("ipv4_dst", Field::Ipv4Dst),
    ("ip_proto", Field::IpProto),
    ("ip_ecn", Field::IpEcn),
    ("nw_tos_shifted", Field::IpDscp),
    ("ip_ttl", Field::NwTtl),
    ("nw_frag", Field::IpFrag),
    ("tunnel_id", Field::TunnelId),
    ("in_port_oxm", Field::InPort),
    ("dl_vlan_pcp", Field::VlanPcp),
    ("ipv6_flabel", Field::Ipv6Label),
    ("icmpv4_type", Field::Icmpv4Type),
    ("icmpv4_code", Field::Icmpv4Code),
    ("tun_ipv4_src", Field::TunSrc),
    ("tun_ipv4_dst", Field::TunDst),
    ("nxm_cookie", Field::Cookie),
];

/// Fields whose first alias `set_field` is written with, as `ovs-ofctl` does.
const SET_BY_ALIAS: &[Field] =
    &[Field::EthDst, Field::EthSrc, Field::EthType, Field::Ipv4Src, Field::Ipv4Dst];

/// What `set_field` calls the field.
pub(super) fn set_name(field: Field) -> &'static str {
    match ALIASES.iter().find(|(_, aliased)| *aliased == field && SET_BY_ALIAS.contains(aliased)) {
        Some((name, _)) => name,
        None => field.name(),
    }
}

/// The field of that name.
pub(super) fn field_named(name: &str) -> Option<Field> {
    Field::from_name(name)
        .or_else(|| ALIASES.iter().find(|(alias, _)| *alias == name).map(|(_, field)| *field))
}

/// The known name that is nearest to `name`, at most two changes away.
pub(super) fn nearest<'a>(name: &str, known: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    /// Letters of a name that is compared.
    const NAME_MAX: usize = 32;
    if name.len() > NAME_MAX {
        return None;
    }
    let distance = |other: &str| {
        let mut row: Vec<usize> = (0..=other.len()).collect();
        for (i, a) in name.bytes().enumerate() {
            let mut diagonal = row[0];
            row[0] = i + 1;
            for (j, b) in other.bytes().enumerate() {
                let replaced = diagonal + usize::from(a != b);
                diagonal = row[j + 1];
                row[j + 1] = replaced.min(row[j] + 1).min(diagonal + 1);
            }
        }
        row[other.len()]
    };
    let letters = |word: &str| {
        let mut letters = word.as_bytes().to_vec();
        letters.sort_unstable();
        letters
    };
    // Of names as near, one of the same letters.
    let mine = letters(name);
    let near = known.map(|other| (distance(other), letters(other) != mine, other)).min()?;
    (near.0 <= 2).then_some(near.2)
}

/// `NXM_OF_*`, class 0, by number.
const NXM_OF: &[&str] = &[
    "IN_PORT",
    "ETH_DST",
    "ETH_SRC",
    "ETH_TYPE",
    "VLAN_TCI",
    "IP_TOS",
    "IP_PROTO",
    "IP_SRC",
    "IP_DST",
    "TCP_SRC",
    "TCP_DST",
    "UDP_SRC",
    "UDP_DST",
    "ICMP_TYPE",
    "ICMP_CODE",
    "ARP_OP",
    "ARP_SPA",
    "ARP_TPA",
];

/// `NXM_NX_*`, class 1, by number; gaps have no name.
const NXM_NX: &[(u8, &str)] = &[
    (0, "REG0"),
    (1, "REG1"),
    (2, "REG2"),
    (3, "REG3"),
    (4, "REG4"),
    (5, "REG5"),
    (6, "REG6"),
    (7, "REG7"),
    (8, "REG8"),
    (9, "REG9"),
    (10, "REG10"),
    (11, "REG11"),
    (12, "REG12"),
    (13, "REG13"),
    (14, "REG14"),
    (15, "REG15"),
    (16, "TUN_ID"),
    (17, "ARP_SHA"),
    (18, "ARP_THA"),
    (19, "IPV6_SRC"),
    (20, "IPV6_DST"),
    (21, "ICMPV6_TYPE"),
    (22, "ICMPV6_CODE"),
    (23, "ND_TARGET"),
    (24, "ND_SLL"),
    (25, "ND_TLL"),
    (26, "IP_FRAG"),
    (27, "IPV6_LABEL"),
    (28, "IP_ECN"),
    (29, "IP_TTL"),
    (30, "MPLS_TTL"),
    (31, "TUN_IPV4_SRC"),
    (32, "TUN_IPV4_DST"),
    (33, "PKT_MARK"),
    (34, "TCP_FLAGS"),
    (37, "CONJ_ID"),
    (38, "TUN_GBP_ID"),
    (39, "TUN_GBP_FLAGS"),
    (104, "TUN_FLAGS"),
    (105, "CT_STATE"),
    (106, "CT_ZONE"),
    (107, "CT_MARK"),
    (108, "CT_LABEL"),
    (109, "TUN_IPV6_SRC"),
    (110, "TUN_IPV6_DST"),
    (111, "XXREG0"),
    (112, "XXREG1"),
    (113, "XXREG2"),
    (114, "XXREG3"),
];

/// `OXM_OF_*`, class 0x8000, by number.
const OXM_OF: &[(u8, &str)] = &[
    (0, "IN_PORT"),
    (1, "IN_PHY_PORT"),
    (2, "METADATA"),
    (3, "ETH_DST"),
    (4, "ETH_SRC"),
    (5, "ETH_TYPE"),
    (6, "VLAN_VID"),
    (7, "VLAN_PCP"),
    (8, "IP_DSCP"),
    (9, "IP_ECN"),
    (10, "IP_PROTO"),
    (11, "IPV4_SRC"),
    (12, "IPV4_DST"),
    (13, "TCP_SRC"),
    (14, "TCP_DST"),
    (15, "UDP_SRC"),
    (16, "UDP_DST"),
    (17, "SCTP_SRC"),
    (18, "SCTP_DST"),
    (19, "ICMPV4_TYPE"),
    (20, "ICMPV4_CODE"),
    (21, "ARP_OP"),
    (22, "ARP_SPA"),
    (23, "ARP_TPA"),
    (24, "ARP_SHA"),
    (25, "ARP_THA"),
    (26, "IPV6_SRC"),
    (27, "IPV6_DST"),
    (28, "IPV6_FLABEL"),
    (29, "ICMPV6_TYPE"),
    (30, "ICMPV6_CODE"),
    (31, "IPV6_ND_TARGET"),
    (32, "IPV6_ND_SLL"),
    (33, "IPV6_ND_TLL"),
    (34, "MPLS_LABEL"),
    (35, "MPLS_TC"),
    (36, "MPLS_BOS"),
    (37, "PBB_ISID"),
    (38, "TUNNEL_ID"),
    (39, "IPV6_EXTHDR"),
    (41, "PBB_UCA"),
    (42, "TCP_FLAGS"),
    (43, "ACTSET_OUTPUT"),
];

/// Class, number and name of every header that has a name.
fn headers() -> impl Iterator<Item = (u16, u8, &'static str, &'static str)> {
    let of = NXM_OF.iter().enumerate().map(|(number, name)| (0, number as u8, "NXM_OF_", *name));
    let nx = NXM_NX.iter().map(|(number, name)| (1, *number, "NXM_NX_", *name));
    let oxm = OXM_OF.iter().map(|(number, name)| (0x8000, *number, "OXM_OF_", *name));
    of.chain(nx).chain(oxm)
}

/// Bits of a field under that class.
fn value_bits(field: Field, class: u16) -> u32 {
    field.bits().min(8 * field.width(class) as u32)
}

/// The header of an exact value.
fn header(class: u16, number: u8, field: Field) -> u32 {
    u32::from(class) << 16 | u32::from(number) << 9 | field.width(class) as u32
}

/// What a header names: the field and its width.
pub(super) fn known(of: u32) -> Option<(Field, u32)> {
    let (class, number) = ((of >> 16) as u16, (of >> 9) as u8 & 0x7f);
    let (field, _) = Field::from_header(class, number, None, (of & 0xff) as usize)?;
    // A mask bit is part of what is written in digits.
    (header(class, number, field) == of).then(|| (field, value_bits(field, class)))
}

/// The preferred header of a field for bit ranges, as `ovs-ofctl` writes it: Nicira's where there is one.
fn preferred(field: Field) -> Option<u32> {
    let all = field.headers().iter().filter(|(_, _, maker)| maker.is_none());
    let (class, number, _) = *all.min_by_key(|(class, ..)| *class)?;
    Some(header(class, number, field))
}

/// A header by its name, or in digits where it has none.
pub(super) struct HeaderName(pub(super) u32);

impl fmt::Display for HeaderName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (class, number) = ((self.0 >> 16) as u16, (self.0 >> 9) as u8 & 0x7f);
        let named = headers().find(|(of, with, ..)| (*of, *with) == (class, number));
        // The cookie has the number of another field, and no name as a range of bits.
        let known = known(self.0).is_some_and(|(field, _)| field != Field::Cookie);
        match named.filter(|_| known) {
            Some((_, _, family, name)) => write!(f, "{family}{name}"),
            None => write!(f, "{:#010x}", self.0),
        }
    }
}

/// Bits of the widest field that a header can tell of.
const BITS_MAX: u32 = 255 * 8;

/// A range of bits: `NXM_NX_REG0[0..15]`, `[3]` for one bit, `[]` for all.
pub(super) fn write_range(f: &mut fmt::Formatter<'_>, of: u32, offset: u16, bits: u16) -> fmt::Result {
    write!(f, "{}", HeaderName(of))?;
    match known(of) {
        Some((_, all)) if offset == 0 && u32::from(bits) == all => f.write_str("[]"),
        // What no field has, but what a message may say.
        all if bits == 0 || u32::from(offset) + u32::from(bits) > all.map_or(BITS_MAX, |(_, all)| all) => {
            write!(f, "[{offset}+{bits}]")
        }
        _ if bits == 1 => write!(f, "[{offset}]"),
        _ => write!(f, "[{offset}..{}]", offset + bits - 1),
    }
}

impl fmt::Display for Subfield {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_range(f, self.header, self.offset, self.bits)
    }
}

const RANGE_HELP: &str =
    "write a field and its bits, such as NXM_NX_REG0[0..15], NXM_OF_IN_PORT[] or reg0[3]";

/// The header of that name: `NXM_OF_IP_SRC`, `reg0`, `0x00010004`.
fn header_named(piece: Piece<'_>) -> Result<u32> {
    if piece.text.starts_with("0x") {
        return piece.u32("header of a field");
    }
    let named = headers().find(|(_, _, family, name)| piece.text.strip_prefix(family) == Some(name));
    let found = named
        .and_then(|(class, number, ..)| {
            Some(header(class, number, Field::from_number(class, number, None)?.0))
        })
        .or_else(|| field_named(piece.text).and_then(preferred));
    found.ok_or_else(|| piece.unexpected("field", RANGE_HELP))
}

/// A range of bits.
pub(super) fn range(piece: Piece<'_>) -> Result<Subfield> {
    let piece = piece.trim();
    let (name, bits) = match piece.split_once("[") {
        Some((name, bits)) => {
            (name, bits.strip_suffix("]").ok_or_else(|| piece.unexpected("range of bits", RANGE_HELP))?)
        }
        None => (piece, piece.end()),
    };
    let header = header_named(name)?;
    let all = known(header).map(|(_, all)| all);
    if let Some((offset, bits)) = bits.split_once("+") {
        return Ok(Subfield { header, offset: offset.u16("first bit")?, bits: bits.u16("number of bits")? });
    }
    let limit = u128::from(all.unwrap_or(BITS_MAX)) - 1;
    let (first, last) = match (bits.split_once(".."), all) {
        (Some((first, last)), _) => (first.number("first bit", limit)?, last.number("last bit", limit)?),
        (None, Some(all)) if bits.is_empty() => (0, u128::from(all) - 1),
        (None, _) => {
            let bit = bits.number("bit", limit)?;
            (bit, bit)
        }
    };
    if last < first {
        return Err(bits.unexpected("range of bits", "write the lower bit first"));
    }
    Ok(Subfield { header, offset: first as u16, bits: (last - first + 1) as u16 })
}

/// The bytes of a field that is not known here, as `oxm_` and its header name it.
pub(super) const UNKNOWN: &str = "oxm_";

/// Such a field.
pub(super) fn unknown(key: Piece<'_>, value: Piece<'_>) -> Result<Oxm> {
    let digits = key.strip_prefix(UNKNOWN).unwrap_or(key);
    match (digits.text.len(), u32::from_str_radix(digits.text, 16)) {
        (8, Ok(header)) if !digits.text.starts_with('+') => {
            Ok(Oxm::Unknown { header, payload: value.bytes("bytes of a field")? })
        }
        _ => Err(digits.unexpected("header of a field", "write its eight hexadecimal digits")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Subfield> {
        range(Piece { text, at: 0 })
    }

    #[test]
    fn ranges_read_back() {
        for text in [
            "NXM_OF_IN_PORT[]",
            "NXM_NX_REG0[0..15]",
            "NXM_NX_REG15[31]",
            "NXM_OF_VLAN_TCI[0..11]",
            "OXM_OF_METADATA[]",
            "OXM_OF_IN_PORT[]",
            "NXM_NX_XXREG1[64..127]",
            "OXM_OF_IPV6_FLABEL[]",
            "0x80fe1204[0..7]",
        ] {
            assert_eq!(read(text).unwrap().to_string(), text);
        }
        assert_eq!(read("NXM_NX_REG0[]").unwrap(), Subfield { header: 0x0001_0004, offset: 0, bits: 32 });
        assert_eq!(read("eth_src").unwrap(), Subfield { header: 0x0000_0406, offset: 0, bits: 48 });
        assert_eq!(read("in_port[]").unwrap(), Subfield { header: 0x0000_0002, offset: 0, bits: 16 });
        for wrong in ["", "reg0[", "reg0[32]", "reg0[5..4]", "reg0[0..32]", "regs[]", "0x80fe1204[]", "reg0]"]
        {
            assert!(read(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn every_header_with_a_name_is_a_fields() {
        for (class, number, family, name) in headers() {
            let (field, _) =
                Field::from_number(class, number, None).unwrap_or_else(|| panic!("{family}{name}"));
            assert_eq!(HeaderName(header(class, number, field)).to_string(), format!("{family}{name}"));
        }
        for field in Field::ALL {
            for (class, number, maker) in field.headers() {
                let named = headers().any(|(of, with, ..)| (of, with) == (*class, *number));
                assert!(named || maker.is_some(), "{field} {class:#x} {number}");
            }
            assert_eq!(field_named(field.name()), Some(*field));
            assert_eq!(field_named(set_name(*field)), Some(*field));
        }
    }

    #[test]
    fn the_nearest_name_is_close() {
        let names = || ["priority", "in_port", "nw_src"].into_iter();
        assert_eq!(nearest("prioritty", names()), Some("priority"));
        assert_eq!(nearest("inport", names()), Some("in_port"));
        assert_eq!(nearest("quux", names()), None);
    }
}
