//! Values as people write them: ports, addresses, masks, flags.

use std::fmt::{self, Write};
use std::net::{Ipv4Addr, Ipv6Addr};

use packet::wire::MacAddr;

use super::piece::{Piece, Result};
use crate::field::{Field, Format};
use crate::port::PortNo;

/// Reserved ports that have a name.
const PORTS: &[(PortNo, &str)] = &[
    (PortNo::IN_PORT, "IN_PORT"),
    (PortNo::TABLE, "TABLE"),
    (PortNo::NORMAL, "NORMAL"),
    (PortNo::FLOOD, "FLOOD"),
    (PortNo::ALL, "ALL"),
    (PortNo::CONTROLLER, "CONTROLLER"),
    (PortNo::LOCAL, "LOCAL"),
    (PortNo::ANY, "ANY"),
    (PortNo::UNSET, "UNSET"),
];

impl fmt::Display for PortNo {
    /// The number, or the name of a reserved one.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match PORTS.iter().find(|(port, _)| port == self) {
            Some((_, name)) => f.write_str(name),
            None => write!(f, "{}", self.0),
        }
    }
}

/// The reserved port of that name, in capitals or not.
pub(super) fn port_named(name: &str) -> Option<PortNo> {
    if name.eq_ignore_ascii_case("none") {
        return Some(PortNo::ANY);
    }
    PORTS.iter().find(|(_, known)| known.eq_ignore_ascii_case(name)).map(|(port, _)| *port)
}

pub(super) fn port(piece: Piece<'_>) -> Result<PortNo> {
    let piece = piece.trim();
    if let Some(port) = port_named(piece.text) {
        return Ok(port);
    }
    if piece.text.starts_with(|c: char| c.is_ascii_digit()) {
        return piece.u32("port").map(PortNo);
    }
    Err(piece.unexpected("port", "write its number, or IN_PORT, NORMAL, FLOOD, ALL, CONTROLLER, LOCAL, ANY"))
}

/// A port in the 16 bits that Nicira's actions have for one.
pub(super) fn port16(piece: Piece<'_>) -> Result<u16> {
    let number = port(piece)?;
    number.to_v10().map_or_else(|| piece.number("port", 0xfeff).map(|port| port as u16), Ok)
}

/// A time as seconds and nanoseconds: `1.5`.
pub(super) struct Duration(pub(super) (u32, u32));

impl fmt::Display for Duration {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (seconds, nanoseconds) = self.0;
        write!(f, "{seconds}")?;
        if nanoseconds == 0 {
            return Ok(());
        }
        let digits = format!("{nanoseconds:09}");
        let whole = digits.len() > 9; // no nanoseconds at all, but what the message says
        write!(f, ".{}", if whole { &digits } else { digits.trim_end_matches('0') })
    }
}

/// The reverse. More than a second of nanoseconds has ten digits, of which none is lost.
pub(super) fn duration(piece: Piece<'_>) -> Result<(u32, u32)> {
    let Some((seconds, fraction)) = piece.split_once(".") else {
        return Ok((piece.u32("duration in seconds")?, 0));
    };
    let wrong = || fraction.unexpected("part of a second", "write up to nine digits behind the point");
    let digits = fraction.text;
    if digits.is_empty() || digits.len() > 10 || !digits.bytes().all(|digit| digit.is_ascii_digit()) {
        return Err(wrong());
    }
    let padded = format!("{digits:0<9}");
    Ok((seconds.u32("duration in seconds")?, padded.parse().map_err(|_| wrong())?))
}

/// Bytes as hexadecimal digits.
pub(super) struct Hex<'a>(pub(super) &'a [u8]);

impl fmt::Display for Hex<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

/// Bits `0..bits`.
pub(super) const fn ones(bits: u32) -> u128 {
    if bits >= 128 { u128::MAX } else { (1 << bits) - 1 }
}

/// Class of OpenFlow's own fields.
const OPENFLOW_BASIC: u16 = 0x8000;

/// Names of flags, the lowest bit first.
fn flag_names(field: Field) -> Option<&'static [&'static str]> {
    Some(match field {
        Field::TcpFlags => &["fin", "syn", "rst", "psh", "ack", "urg", "ece", "cwr", "ns"],
        Field::CtState => &["new", "est", "rel", "rpl", "inv", "trk", "snat", "dnat"],
        Field::TunFlags => &["oam"],
        _ => return None,
    })
}

/// Treatments of fragments: name, value and mask.
const FRAGMENTS: &[(&str, u128, u128)] =
    &[("no", 0, 3), ("yes", 1, 1), ("first", 1, 3), ("later", 3, 3), ("not_later", 0, 2)];

fn mac(value: u128) -> MacAddr {
    let bytes = (value as u64).to_be_bytes();
    MacAddr([bytes[2], bytes[3], bytes[4], bytes[5], bytes[6], bytes[7]])
}

fn mac_value(address: MacAddr) -> u128 {
    address.0.iter().fold(0, |value, byte| value << 8 | u128::from(*byte))
}

/// The length of a prefix that a mask of `bits` is.
fn prefix(mask: u128, bits: u32) -> Option<u32> {
    let length = bits - mask.trailing_zeros().min(bits);
    (mask == ones(bits) & !ones(bits - length)).then_some(length)
}

/// A field's value and mask.
pub(super) struct Value {
    pub(super) field: Field,
    pub(super) value: u128,
    pub(super) mask: Option<u128>,
}

impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (value, bits) = (self.value, self.field.bits());
        let mask = self.mask.filter(|mask| *mask != ones(bits));
        if let Some(names) = flag_names(self.field)
            && value | mask.unwrap_or(0) <= ones(names.len() as u32)
        {
            return flags(f, names, value, mask);
        }
        match (self.field.format(), mask) {
            (Format::Port, None) => fmt::Display::fmt(&PortNo(value as u32), f),
            (Format::Mac, None) => mac(value).fmt(f),
            (Format::Mac, Some(mask)) => write!(f, "{}/{}", mac(value), mac(mask)),
            (Format::Ipv4, mask) => {
                address(f, mask, 32, value, |f, value| Ipv4Addr::from(value as u32).fmt(f))
            }
            (Format::Ipv6, mask) => address(f, mask, 128, value, |f, value| Ipv6Addr::from(value).fmt(f)),
            (Format::Fragment, _) => {
                let wanted = (value, self.mask.unwrap_or(ones(bits)));
                match FRAGMENTS.iter().find(|(_, value, mask)| (*value, *mask) == wanted) {
                    Some((name, ..)) => f.write_str(name),
                    None => write!(f, "{:#x}/{:#x}", wanted.0, wanted.1),
                }
            }
            (Format::Decimal, None) => write!(f, "{value}"),
            (_, None) => write!(f, "{value:#x}"),
            (_, Some(mask)) => write!(f, "{value:#x}/{mask:#x}"),
        }
    }
}

fn address(
    f: &mut fmt::Formatter<'_>,
    mask: Option<u128>,
    bits: u32,
    value: u128,
    show: impl Fn(&mut fmt::Formatter<'_>, u128) -> fmt::Result,
) -> fmt::Result {
    show(f, value)?;
    let Some(mask) = mask else { return Ok(()) };
    f.write_char('/')?;
    match prefix(mask, bits) {
        Some(length) => write!(f, "{length}"),
        None => show(f, mask),
    }
}

/// `syn|ack` for exact flags, `+syn-ack` for some.
fn flags(f: &mut fmt::Formatter<'_>, names: &[&str], value: u128, mask: Option<u128>) -> fmt::Result {
    let Some(mask) = mask else {
        let set = (0..names.len()).filter(|bit| value >> bit & 1 == 1).map(|bit| names[bit]);
        let set: Vec<&str> = set.collect();
        return if set.is_empty() { f.write_str("0") } else { f.write_str(&set.join("|")) };
    };
    if mask == 0 {
        return f.write_str("0/0");
    }
    for (bit, name) in names.iter().enumerate() {
        if (mask | value) >> bit & 1 == 1 {
            write!(f, "{}{name}", if value >> bit & 1 == 1 { '+' } else { '-' })?;
        }
    }
    Ok(())
}

fn parse_flags(piece: Piece<'_>, names: &'static [&'static str], all: u128) -> Result<(u128, Option<u128>)> {
    let bit = |name: Piece<'_>| {
        names.iter().position(|known| *known == name.text).map(|bit| 1u128 << bit).ok_or_else(|| {
            name.unexpected("flag", format!("write one of {}, or numbers as VALUE/MASK", names.join(", ")))
        })
    };
    if !piece.text.starts_with(['+', '-']) {
        return Ok((piece.split('|').try_fold(0, |value, name| Ok(value | bit(name)?))?, None));
    }
    let (mut value, mut mask) = (0, 0);
    let mut rest = piece;
    while let Some(sign) = rest.text.chars().next() {
        let behind = rest.from(sign.len_utf8());
        let end = behind.text.find(['+', '-']).unwrap_or(behind.text.len());
        let flag = bit(behind.part(0..end))?;
        mask |= flag;
        value |= if sign == '+' { flag } else { 0 };
        rest = behind.from(end);
    }
    Ok((value, Some(mask).filter(|mask| *mask != all)))
}

/// A mask of addresses: a length of a prefix, or an address.
fn address_mask(mask: Piece<'_>, bits: u32, address: impl Fn(Piece<'_>) -> Result<u128>) -> Result<u128> {
    if mask.text.contains(['.', ':']) {
        return address(mask);
    }
    let length = mask.number("prefix length", bits.into())? as u32;
    Ok(ones(bits) & !ones(bits - length))
}

/// A field's value and mask; a mask of ones is none. With `strict`, only what the field can have; without, all that fits
/// into its bytes.
pub(super) fn parse(field: Field, piece: Piece<'_>, strict: bool) -> Result<(u128, Option<u128>)> {
    let piece = piece.trim();
    let (bits, all) = (field.bits(), ones(field.bits()));
    let limit = if strict { all } else { ones(8 * field.width(OPENFLOW_BASIC) as u32) };
    if let Some(names) = flag_names(field)
        && !piece.text.starts_with(|c: char| c.is_ascii_digit())
    {
        return parse_flags(piece, names, all);
    }
    let fragments = FRAGMENTS.iter().find(|(name, ..)| *name == piece.text);
    if let (Format::Fragment, Some((_, value, mask))) = (field.format(), fragments) {
        return Ok((*value, Some(*mask).filter(|mask| *mask != all)));
    }
    let (value, mask) = match piece.split_once("/") {
        Some((value, mask)) => (value, Some(mask)),
        None => (piece, None),
    };
    let read: &dyn Fn(Piece<'_>) -> Result<u128> = &|piece| match field.format() {
        Format::Mac => {
            let help = "write six pairs of hexadecimal digits, such as 02:00:00:00:00:01";
            piece.parsed::<MacAddr>("Ethernet address", help).map(mac_value)
        }
        Format::Ipv4 => piece
            .parsed::<Ipv4Addr>("IPv4 address", "write it as 10.0.0.1 or 10.0.0.0/8")
            .map(|address| u32::from(address).into()),
        Format::Ipv6 => {
            piece.parsed::<Ipv6Addr>("IPv6 address", "write it as fd00::1 or fd00::/8").map(u128::from)
        }
        Format::Port => port(piece).map(|port| port.0.into()),
        _ => piece.number(field.name(), limit),
    };
    let mask = match (field.format(), mask) {
        (_, None) => None,
        (Format::Ipv4 | Format::Ipv6, Some(mask)) => Some(address_mask(mask, bits, read)?),
        (_, Some(mask)) => Some(read(mask)?),
    };
    let value = read(value)?;
    if !strict {
        return Ok((value, mask.filter(|mask| *mask != all)));
    }
    if mask.is_some_and(|mask| mask != all) && !field.maskable() {
        return Err(piece.unexpected("exact value", "this field takes no mask: leave it out"));
    }
    Ok((mask.map_or(value, |mask| value & mask), mask.filter(|mask| *mask != all)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(field: Field, text: &str) -> (u128, Option<u128>) {
        parse(field, Piece { text, at: 0 }, true).unwrap_or_else(|wrong| panic!("{text}: {wrong}"))
    }

    #[test]
    fn values_read_as_they_are_written() {
        for (field, text) in [
            (Field::InPort, "7"),
            (Field::InPort, "LOCAL"),
            (Field::EthSrc, "02:00:00:00:00:01"),
            (Field::EthDst, "01:00:00:00:00:00/01:00:00:00:00:00"),
            (Field::Ipv4Src, "10.0.0.1"),
            (Field::Ipv4Dst, "10.0.0.0/8"),
            (Field::Ipv4Dst, "0.0.0.0/0"),
            (Field::Ipv4Dst, "10.0.0.1/255.0.0.255"),
            (Field::Ipv6Src, "fd00::/8"),
            (Field::Ipv6Src, "fd00::1/ff00::ffff"),
            (Field::TcpDst, "80"),
            (Field::TcpDst, "0x50/0xfff0"),
            (Field::Metadata, "0x1234567890abcdef"),
            (Field::Reg3, "0x10/0xf0"),
            (Field::TcpFlags, "+syn-ack"),
            (Field::TcpFlags, "syn|ack"),
            (Field::TcpFlags, "0x800/0xc00"),
            (Field::CtState, "-new+trk"),
            (Field::IpFrag, "no"),
            (Field::IpFrag, "yes"),
            (Field::IpFrag, "not_later"),
        ] {
            let (value, mask) = read(field, text);
            assert_eq!(Value { field, value, mask }.to_string(), text);
        }
    }

    #[test]
    fn what_does_not_fit_is_pointed_at() {
        for (field, text, at) in [
            (Field::IpProto, "256", 0..3),
            (Field::Ipv4Dst, "10.0.0.0/33", 9..11),
            (Field::EthSrc, "02:00", 0..5),
            (Field::Reg0, "1/x", 2..3),
            (Field::InPort, "wan", 0..3),
            (Field::TcpFlags, "+syn-foo", 5..8),
            (Field::TcpFlags, "+", 1..1),
        ] {
            let wrong = parse(field, Piece { text, at: 0 }, true).unwrap_err();
            assert_eq!(wrong.at, at, "{text}: {wrong}");
            assert!(!wrong.help.is_empty());
        }
    }

    #[test]
    fn durations_read_back() {
        for duration in [(0, 0), (1, 5), (7, 500_000_000), (u32::MAX, 999_999_999), (1, 4_000_000_000)] {
            let text = Duration(duration).to_string();
            assert_eq!(super::duration(Piece { text: &text, at: 0 }), Ok(duration), "{text}");
        }
        for wrong in ["", "1.", "1.x", ".5", "1.99999999999", "x"] {
            assert!(super::duration(Piece { text: wrong, at: 0 }).is_err(), "{wrong}");
        }
    }
}
