//! Matches: `tcp,in_port=1,nw_dst=10.0.0.0/8,tp_dst=80`.

use std::fmt;

use super::names::{self, field_named, nearest};
use super::piece::{Pair, Piece, Result, Wrong};
use super::value::{self, Hex, Value, ones};
use crate::field::Field;
use crate::matching::Match;
use crate::oxm::Oxm;

/// Words for an EtherType and a protocol.
const KEYWORDS: &[(&str, u16, Option<u8>)] = &[
    ("ip", 0x0800, None),
    ("icmp", 0x0800, Some(1)),
    ("igmp", 0x0800, Some(2)),
    ("tcp", 0x0800, Some(6)),
    ("udp", 0x0800, Some(17)),
    ("sctp", 0x0800, Some(132)),
    ("ipv6", 0x86dd, None),
    ("ip6", 0x86dd, None),
    ("icmp6", 0x86dd, Some(58)),
    ("tcp6", 0x86dd, Some(6)),
    ("udp6", 0x86dd, Some(17)),
    ("sctp6", 0x86dd, Some(132)),
    ("arp", 0x0806, None),
    ("rarp", 0x8035, None),
    ("mpls", 0x8847, None),
    ("mplsm", 0x8848, None),
];

/// `OFPVID_PRESENT`: the packet has a tag.
const TAGGED: u128 = 0x1000;
/// A VLAN id and whether there is a tag.
const VID: u128 = 0x1fff;
/// 1.0's id of packets without a tag.
const UNTAGGED: u128 = 0xffff;

/// What kind of packet a match is about, as far as it says.
#[derive(Debug, Clone, Copy, Default)]
struct Kind {
    ethertype: Option<u16>,
    protocol: Option<u8>,
    /// ICMPv6 type.
    message: Option<u8>,
    /// It says something of the VLAN tag.
    tag: bool,
}

impl Kind {
    fn of<'a>(fields: impl Iterator<Item = &'a Oxm>) -> Self {
        let mut kind = Self::default();
        for oxm in fields {
            let Oxm::Known { field, value, mask, .. } = oxm else { continue };
            match (field, mask) {
                (Field::EthType, None) => kind.ethertype = Some(*value as u16),
                (Field::IpProto, None) => kind.protocol = Some(*value as u8),
                (Field::Icmpv6Type, None) => kind.message = Some(*value as u8),
                (Field::VlanVid | Field::VlanTci, _) => kind.tag = true,
                _ => {}
            }
        }
        kind
    }

    const fn arp(self) -> bool {
        matches!(self.ethertype, Some(0x0806 | 0x8035))
    }

    const fn ip(self) -> bool {
        matches!(self.ethertype, Some(0x0800 | 0x86dd))
    }

    fn over_ip(self, protocol: u8) -> bool {
        self.ip() && self.protocol == Some(protocol)
    }

    fn icmp6(self) -> bool {
        self.ethertype == Some(0x86dd) && self.protocol == Some(58)
    }
}

/// A list of fields.
pub(super) struct Fields<'a>(pub(super) &'a [Oxm]);

impl fmt::Display for Fields<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = Kind::of(self.0.iter());
        let mut at = 0;
        let mut said = None; // a protocol that its keyword has said already
        while at < self.0.len() {
            if said == Some(at) {
                at += 1;
                continue;
            }
            f.write_str(if at == 0 { "" } else { "," })?;
            match keyword(&self.0[at..]) {
                Some((word, protocol)) => {
                    f.write_str(word)?;
                    said = protocol.map(|protocol| at + protocol).or(said);
                    at += 1;
                }
                None => at += one(f, kind, &self.0[at..])?,
            }
        }
        Ok(())
    }
}

/// Fields that the table has between EtherType and protocol: a protocol stands behind them.
fn before_protocol(oxm: &Oxm) -> bool {
    let Oxm::Known { field, .. } = oxm else { return false };
    (Field::VlanVid..Field::IpProto).contains(field)
}

/// The value of a field without a mask.
fn exact(oxm: &Oxm, wanted: Field) -> Option<u128> {
    match oxm {
        Oxm::Known { field, value, mask: None, .. } if *field == wanted => Some(*value),
        _ => None,
    }
}

/// The word for the EtherType that the fields begin with, and where the protocol is that it says too: the next field but for
/// those of [`before_protocol`].
fn keyword(fields: &[Oxm]) -> Option<(&'static str, Option<usize>)> {
    let ethertype = exact(fields.first()?, Field::EthType)?;
    let at = 1 + fields[1..].iter().take_while(|oxm| before_protocol(oxm)).count();
    let next_is_behind = !fields.get(at + 1).is_some_and(before_protocol);
    let protocol = fields.get(at).and_then(|oxm| exact(oxm, Field::IpProto)).filter(|_| next_is_behind);
    let find = |protocol: Option<u128>| {
        let same = |word: &&(&str, u16, Option<u8>)| {
            (u128::from(word.1), word.2.map(u128::from)) == (ethertype, protocol)
        };
        KEYWORDS.iter().find(same).map(|(word, ..)| *word)
    };
    let both = protocol.and_then(|protocol| find(Some(protocol)));
    both.map(|word| (word, Some(at))).or_else(|| find(None).map(|word| (word, None)))
}

/// Writes the first of the fields, or the first two in one word; returns how many.
fn one(f: &mut fmt::Formatter<'_>, kind: Kind, fields: &[Oxm]) -> std::result::Result<usize, fmt::Error> {
    if let Some(ethertype) = exact(&fields[0], Field::EthType) {
        return write!(f, "dl_type={ethertype:#06x}").map(|()| 1);
    }
    let (field, value, mask) = match &fields[0] {
        // A mask of ones is none, and one of the VLAN id is that of its own field.
        Oxm::Known { field: Field::VlanTci, value, mask: Some(VID), .. } => (Field::VlanVid, *value, None),
        Oxm::Known { field, value, mask, .. } => {
            (*field, *value, mask.filter(|mask| *mask != ones(field.bits())))
        }
        Oxm::Unknown { header, payload } => {
            return write!(f, "{}{header:08x}=0x{}", names::UNKNOWN, Hex(payload)).map(|()| 1);
        }
    };
    let tagged = (field, value, mask) == (Field::VlanVid, TAGGED, Some(TAGGED));
    let priority = fields.get(1).and_then(|oxm| exact(oxm, Field::VlanPcp));
    if let (true, Some(priority)) = (tagged, priority) {
        return write!(f, "dl_vlan_pcp={priority}").map(|()| 2);
    }
    match (field, mask) {
        (Field::VlanVid, None) if (TAGGED..=VID).contains(&value) => {
            write!(f, "dl_vlan={}", value & !TAGGED)?;
        }
        (Field::VlanVid, _) => write!(f, "vlan_tci={value:#06x}/{:#06x}", mask.unwrap_or(VID))?,
        (Field::VlanTci, None) => write!(f, "vlan_tci={value:#06x}")?,
        (Field::VlanTci, Some(mask)) => write!(f, "vlan_tci={value:#06x}/{mask:#06x}")?,
        (Field::VlanPcp, None) if kind.tag => write!(f, "dl_vlan_pcp={value}")?,
        (Field::IpDscp, None) if value < 64 => write!(f, "nw_tos={}", value << 2)?,
        _ => write!(f, "{}={}", in_kind(field, kind), Value { field, value, mask })?,
    }
    Ok(1)
}

/// The name of a field in a match of that kind.
fn in_kind(field: Field, kind: Kind) -> &'static str {
    match field {
        Field::TcpSrc if kind.over_ip(6) => "tp_src",
        Field::TcpDst if kind.over_ip(6) => "tp_dst",
        Field::UdpSrc if kind.over_ip(17) => "tp_src",
        Field::UdpDst if kind.over_ip(17) => "tp_dst",
        Field::SctpSrc if kind.over_ip(132) => "tp_src",
        Field::SctpDst if kind.over_ip(132) => "tp_dst",
        // As the word is read.
        Field::Icmpv4Type if kind.ethertype == Some(0x86dd) => "icmpv4_type",
        Field::Icmpv4Code if kind.ethertype == Some(0x86dd) => "icmpv4_code",
        Field::Icmpv6Type if kind.icmp6() => "icmp_type",
        Field::Icmpv6Code if kind.icmp6() => "icmp_code",
        Field::IpFrag => "nw_frag",
        // A flow has a cookie of its own.
        Field::Cookie => "nxm_cookie",
        _ => field.name(),
    }
}

impl fmt::Display for Match {
    /// As `ovs-ofctl` writes it; nothing where everything matches.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Fields(fields) => Fields(fields).fmt(f),
            Self::V10(_) => Fields(&self.fields()).fmt(f),
        }
    }
}

impl fmt::Display for Oxm {
    /// The field alone, by its own name.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        Fields(std::slice::from_ref(self)).fmt(f)
    }
}

/// A field by a name that means one thing in one kind of packet and another in others.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Word {
    Field(Field),
    Source,
    Destination,
    MessageType,
    MessageCode,
    NetworkSource,
    NetworkDestination,
}

impl Word {
    fn named(name: &str) -> Option<Self> {
        Some(match name {
            "tp_src" => Self::Source,
            "tp_dst" => Self::Destination,
            "icmp_type" => Self::MessageType,
            "icmp_code" => Self::MessageCode,
            "nw_src" | "ip_src" => Self::NetworkSource,
            "nw_dst" | "ip_dst" => Self::NetworkDestination,
            _ => Self::Field(field_named(name)?),
        })
    }

    /// Which field it is in that kind of packet; `None` if in none.
    fn field(self, kind: Kind, strict: bool) -> Option<Field> {
        // A message's own text has ARP's names.
        let (arp, icmp6) = (strict && kind.arp(), kind.ethertype == Some(0x86dd));
        Some(match self {
            Self::Field(field) => field,
            Self::Source | Self::Destination => {
                let [source, destination] = match kind.protocol? {
                    6 => [Field::TcpSrc, Field::TcpDst],
                    17 => [Field::UdpSrc, Field::UdpDst],
                    132 => [Field::SctpSrc, Field::SctpDst],
                    _ => return None,
                };
                if self == Self::Source { source } else { destination }
            }
            Self::MessageType if icmp6 => Field::Icmpv6Type,
            Self::MessageType => Field::Icmpv4Type,
            Self::MessageCode if icmp6 => Field::Icmpv6Code,
            Self::MessageCode => Field::Icmpv4Code,
            Self::NetworkSource if arp => Field::ArpSpa,
            Self::NetworkSource => Field::Ipv4Src,
            Self::NetworkDestination if arp => Field::ArpTpa,
            Self::NetworkDestination => Field::Ipv4Dst,
        })
    }
}

/// What a match says so far.
pub(super) struct Reader<'a> {
    items: Vec<Item<'a>>,
    strict: bool,
}

struct Item<'a> {
    said: Said<'a>,
    pair: Piece<'a>,
}

enum Said<'a> {
    Oxm(Oxm),
    /// The protocol of a keyword.
    Protocol(Oxm),
    /// Which field it is depends on the others.
    Later(Word, Piece<'a>),
}

/// Most fields of a match: more do not fit into a message.
const FIELDS_MAX: usize = 16_384;

impl<'a> Reader<'a> {
    /// Nothing yet. With `strict`, a value that its field cannot have, a field whose prerequisite is missing or that is said
    /// twice is an error, and fields are put behind their prerequisites; without, they come as they are said.
    pub(super) const fn new(strict: bool) -> Self {
        Self { items: Vec::new(), strict }
    }

    /// Takes a part of a match in; `false` if it is none.
    pub(super) fn take(&mut self, pair: Pair<'a>) -> Result<bool> {
        let key = pair.key.text;
        if let Some((_, ethertype, protocol)) = KEYWORDS.iter().find(|(word, ..)| *word == key) {
            pair.bare()?;
            self.add(pair, Oxm::exact(Field::EthType, u128::from(*ethertype)));
            if let Some(protocol) = protocol {
                let protocol = Oxm::exact(Field::IpProto, u128::from(*protocol));
                self.items.push(Item { said: Said::Protocol(protocol), pair: pair.whole });
            }
            return Ok(true);
        }
        if key.starts_with(names::UNKNOWN) {
            self.add(pair, names::unknown(pair.key, pair.value.unwrap_or(pair.key.end()))?);
            return Ok(true);
        }
        match key {
            "dl_vlan" => {
                let id = pair.needed("VLAN id")?;
                let vid = match id.number("VLAN id", UNTAGGED)? {
                    UNTAGGED => 0,
                    vid if vid < TAGGED => TAGGED | vid,
                    _ => return Err(id.unexpected("VLAN id", "write 0 to 4095, or 0xffff for no tag")),
                };
                self.add(pair, Oxm::exact(Field::VlanVid, vid));
            }
            "dl_vlan_pcp" => {
                let (value, _) = value::parse(Field::VlanPcp, pair.needed("VLAN priority")?, self.strict)?;
                self.items.push(Item {
                    said: Said::Later(Word::Field(Field::VlanPcp), pair.key),
                    pair: pair.whole,
                });
                self.add(pair, Oxm::exact(Field::VlanPcp, value));
            }
            "vlan_tci" => {
                let (value, mask) = value::parse(Field::VlanTci, pair.needed("VLAN tag")?, self.strict)?;
                self.add(
                    pair,
                    match mask {
                        Some(VID) => Oxm::exact(Field::VlanVid, value),
                        Some(mask) if mask & !VID == 0 => oxm(Field::VlanVid, value, Some(mask)),
                        mask => oxm(Field::VlanTci, value, mask),
                    },
                );
            }
            "nw_tos" => {
                let value = pair.needed("TOS byte")?;
                let (tos, mask) = value::parse(Field::NwTos, value, self.strict)?;
                if mask.is_none() && tos & 3 == 0 {
                    self.add(pair, Oxm::exact(Field::IpDscp, tos >> 2));
                } else if self.strict {
                    let help = "write a multiple of 4; nw_ecn has the lower two bits";
                    return Err(value.unexpected("TOS byte without ECN", help));
                } else {
                    self.add(pair, oxm(Field::NwTos, tos, mask));
                }
            }
            _ => match Word::named(key) {
                Some(Word::Field(field)) => {
                    let (value, mask) = value::parse(field, pair.needed(field.name())?, self.strict)?;
                    self.add(pair, oxm(field, value, mask));
                }
                Some(word) => {
                    let said = Said::Later(word, pair.needed("value of a field")?);
                    self.items.push(Item { said, pair: pair.whole });
                }
                None => return Ok(false),
            },
        }
        Ok(true)
    }

    fn kind(&self) -> Kind {
        Kind::of(self.items.iter().filter_map(|item| match &item.said {
            Said::Oxm(oxm) | Said::Protocol(oxm) => Some(oxm),
            Said::Later(..) => None,
        }))
    }

    fn add(&mut self, pair: Pair<'a>, oxm: Oxm) {
        self.items.push(Item { said: Said::Oxm(oxm), pair: pair.whole });
    }

    /// The match.
    pub(super) fn finish(self) -> Result<Match> {
        let (kind, strict) = (self.kind(), self.strict);
        let mut fields: Vec<(Oxm, Piece<'a>)> = Vec::with_capacity(self.items.len());
        let mut protocol = None;
        for Item { said, pair } in self.items {
            if fields.len() >= FIELDS_MAX {
                return Err(pair.unexpected("match that fits into a message", "leave fields out"));
            }
            let field = match said {
                // ARP's operation has had this name too.
                Said::Oxm(Oxm::Known { field: Field::IpProto, value, mask: None, .. })
                    if strict && kind.arp() =>
                {
                    Oxm::exact(Field::ArpOp, value)
                }
                Said::Oxm(oxm) => oxm,
                Said::Protocol(oxm) => {
                    protocol = Some((oxm, pair));
                    continue;
                }
                Said::Later(Word::Field(Field::VlanPcp), _) if kind.tag => continue,
                Said::Later(Word::Field(Field::VlanPcp), _) => Oxm::masked(Field::VlanVid, TAGGED, TAGGED),
                Said::Later(word, value) => later(word, value, pair, kind, strict)?,
            };
            if !before_protocol(&field) {
                fields.extend(protocol.take());
            }
            fields.push((field, pair));
        }
        fields.extend(protocol);
        if strict {
            check(&fields)?;
            // The order of the fields' table has every field behind what it needs.
            if !in_order(&fields) {
                fields.sort_by_key(|(oxm, _)| match oxm {
                    Oxm::Known { field, .. } => Some(*field),
                    Oxm::Unknown { .. } => None,
                });
            }
        }
        Ok(Match::Fields(fields.into_iter().map(|(oxm, _)| oxm).collect()))
    }
}

/// The field that a word is in packets of that kind.
fn later(word: Word, value: Piece<'_>, pair: Piece<'_>, kind: Kind, strict: bool) -> Result<Oxm> {
    let field = word.field(kind, strict).ok_or_else(|| {
        let field = if word == Word::Source { "tp_src" } else { "tp_dst" };
        let wrong = Wrong::Prerequisite { field, need: "tcp, udp or sctp" };
        pair.error(wrong, format!("write `tcp,{}`", pair.text))
    })?;
    let (value, mask) = value::parse(field, value, strict)?;
    Ok(oxm(field, value, mask))
}

/// A field as it is said: what its mask leaves out stays.
pub(super) const fn oxm(field: Field, value: u128, mask: Option<u128>) -> Oxm {
    Oxm::Known { field, spelling: 0, value, mask }
}

/// What a field needs to mean something, and whether it is there.
fn prerequisite(field: Field, kind: Kind, tag: bool) -> Option<(&'static str, &'static str, bool)> {
    let ethertype = kind.ethertype;
    let met = |need, word, there| Some((need, word, there));
    match field {
        Field::VlanPcp => met("dl_vlan", "dl_vlan_pcp", tag),
        Field::IpDscp | Field::NwTos | Field::IpEcn | Field::IpProto | Field::NwTtl | Field::IpFrag => {
            met("ip or ipv6", "ip", kind.ip())
        }
        Field::Ipv4Src | Field::Ipv4Dst => met("ip", "ip", ethertype == Some(0x0800)),
        Field::TcpSrc | Field::TcpDst | Field::TcpFlags => met("tcp or tcp6", "tcp", kind.over_ip(6)),
        Field::UdpSrc | Field::UdpDst => met("udp or udp6", "udp", kind.over_ip(17)),
        Field::SctpSrc | Field::SctpDst => met("sctp or sctp6", "sctp", kind.over_ip(132)),
        Field::Icmpv4Type | Field::Icmpv4Code => {
            met("icmp or icmp6", "icmp", ethertype == Some(0x0800) && kind.protocol == Some(1))
        }
        Field::Icmpv6Type | Field::Icmpv6Code => met("icmp6", "icmp6", kind.icmp6()),
        Field::ArpOp | Field::ArpSpa | Field::ArpTpa | Field::ArpSha | Field::ArpTha => {
            met("arp or rarp", "arp", kind.arp())
        }
        Field::Ipv6Src | Field::Ipv6Dst | Field::Ipv6Label | Field::Ipv6ExtHdr => {
            met("ipv6", "ipv6", ethertype == Some(0x86dd))
        }
        Field::NdTarget => {
            let there = kind.icmp6() && matches!(kind.message, Some(135 | 136));
            met("icmp6 and icmp_type=135 or 136", "icmp6,icmp_type=135", there)
        }
        Field::NdSll => {
            let there = kind.icmp6() && kind.message == Some(135);
            met("icmp6 and icmp_type=135", "icmp6,icmp_type=135", there)
        }
        Field::NdTll => {
            let there = kind.icmp6() && kind.message == Some(136);
            met("icmp6 and icmp_type=136", "icmp6,icmp_type=136", there)
        }
        Field::MplsLabel | Field::MplsTc | Field::MplsBos | Field::MplsTtl => {
            met("mpls or mplsm", "mpls", matches!(ethertype, Some(0x8847 | 0x8848)))
        }
        Field::PbbIsid | Field::PbbUca => met("dl_type=0x88e7", "dl_type=0x88e7", ethertype == Some(0x88e7)),
        _ => None,
    }
}

fn check(fields: &[(Oxm, Piece<'_>)]) -> Result<()> {
    let kind = Kind::of(fields.iter().map(|(oxm, _)| oxm));
    let tag = fields.iter().any(|(oxm, _)| match oxm {
        Oxm::Known { field: Field::VlanVid, value, mask, .. } => value & mask.unwrap_or(VID) & TAGGED != 0,
        Oxm::Known { field: Field::VlanTci, .. } => true,
        _ => false,
    });
    let mut seen = std::collections::BTreeSet::new();
    for (oxm, piece) in fields {
        let Oxm::Known { field, .. } = oxm else { continue };
        if !seen.insert(*field) {
            let what = in_kind(*field, kind).to_owned();
            return Err(piece.error(Wrong::Twice { what }, "remove one of them"));
        }
        if let Some((need, word, false)) = prerequisite(*field, kind, tag) {
            let wrong = Wrong::Prerequisite { field: in_kind(*field, kind), need };
            return Err(piece.error(wrong, format!("write `{word},{}`", piece.text)));
        }
    }
    Ok(())
}

/// Whether every field is behind what it needs.
fn in_order(fields: &[(Oxm, Piece<'_>)]) -> bool {
    let mut kind = Kind::default();
    let mut tag = false;
    fields.iter().all(|(oxm, _)| {
        let Oxm::Known { field, value, mask, .. } = oxm else { return true };
        let ordered = prerequisite(*field, kind, tag).is_none_or(|(_, _, there)| there);
        match (field, mask) {
            (Field::EthType, None) => kind.ethertype = Some(*value as u16),
            (Field::IpProto, None) => kind.protocol = Some(*value as u8),
            (Field::Icmpv6Type, None) => kind.message = Some(*value as u8),
            (Field::VlanVid | Field::VlanTci, _) => tag = true,
            _ => {}
        }
        ordered
    })
}

/// The names a part of a match may have.
pub(super) fn known_names() -> impl Iterator<Item = &'static str> {
    let fields = Field::ALL.iter().map(|field| field.name());
    let words = KEYWORDS.iter().map(|(word, ..)| *word);
    fields.chain(words).chain(["dl_vlan", "nw_tos", "tp_src", "tp_dst", "nw_frag"])
}

/// What is wrong with a key that nothing knows.
pub(super) fn unknown_key(key: Piece<'_>, more: &'static [&'static str]) -> super::ParseError {
    let known = known_names().chain(more.iter().copied());
    let help = match nearest(key.text, known) {
        Some(name) => format!("did you mean `{name}`?"),
        None => "write fields such as in_port=1, dl_dst=02:00:00:00:00:01, ip, nw_dst=10.0.0.0/8".to_owned(),
    };
    key.unexpected("field", help)
}

/// A match as `ovs-ofctl` writes it: `tcp,nw_dst=10.0.0.0/8,tp_dst=80`.
///
/// Fields may come in any order; they are put behind those they need.
///
/// ```
/// let matching = openflow::text::parse_match("tp_dst=80,tcp,nw_dst=10.1.2.3/8")?;
/// assert_eq!(matching.to_string(), "tcp,nw_dst=10.0.0.0/8,tp_dst=80");
/// # Ok::<(), openflow::text::ParseError>(())
/// ```
///
/// # Errors
/// What is not a field, a value that does not fit, a field without its prerequisite or twice; with the place.
pub fn parse_match(text: &str) -> Result<Match> {
    matching(Piece::new(text)?, true)
}

/// A match that is all of the piece.
pub(super) fn matching(piece: Piece<'_>, strict: bool) -> Result<Match> {
    let mut reader = Reader::new(strict);
    for pair in piece.pairs() {
        let pair = pair?;
        if !reader.take(pair)? {
            return Err(unknown_key(pair.key, &[]));
        }
    }
    reader.finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn matches_read_as_they_are_written() {
        for text in [
            "",
            "in_port=1",
            "in_port=LOCAL,dl_src=02:00:00:00:00:01",
            "ip,nw_dst=10.0.0.0/8",
            "ip,nw_proto=50",
            "tcp,nw_src=10.0.0.1,tp_src=0x400/0xfc00,tp_dst=80",
            "udp6,ipv6_dst=fd00::/8,tp_dst=53",
            "sctp,tp_src=5",
            "icmp,icmp_type=8,icmp_code=0",
            "icmp6,icmp_type=135,nd_target=fd00::1,nd_sll=02:00:00:00:00:01",
            "arp,arp_op=1,arp_spa=10.0.0.0/24,arp_tha=02:00:00:00:00:02",
            "dl_vlan=5,dl_vlan_pcp=3",
            "dl_vlan_pcp=3",
            "vlan_tci=0x0000/0x1fff",
            "vlan_tci=0x1000/0x1000",
            "vlan_tci=0x0000",
            "vlan_tci=0x2000/0xe000",
            "dl_type=0x88cc",
            "mpls,mpls_label=100,mpls_tc=3,mpls_bos=1",
            "ip,nw_tos=184,nw_ecn=1,nw_ttl=64,nw_frag=no",
            "metadata=0x1/0xff,tun_id=0x5,reg0=0x7,xxreg0=0x1234567890abcdef1234567890abcdef",
            "tcp,tcp_flags=+syn-ack",
            "ct_state=+est+trk,ct_zone=5,ct_mark=0x1/0x1,conj_id=7,pkt_mark=0x9",
            "oxm_80fe1204=0x0a0b0c0d,in_port=1",
        ] {
            let parsed = parse_match(text).unwrap_or_else(|wrong| panic!("{text}: {wrong}"));
            assert_eq!(parsed.to_string(), text);
        }
    }

    #[test]
    fn other_names_and_orders_mean_the_same() {
        for (text, expected) in [
            ("tp_dst=80,tcp", "tcp,tp_dst=80"),
            ("eth_type=0x0800 ip_proto=6 tcp_dst=80", "tcp,tp_dst=80"),
            ("arp,nw_src=10.0.0.1,nw_proto=2", "arp,arp_spa=10.0.0.1,arp_op=2"),
            ("nw_proto=2,arp", "arp,arp_op=2"),
            ("dl_vlan=0xffff", "vlan_tci=0x0000/0x1fff"),
            ("vlan_vid=0x1005", "dl_vlan=5"),
            ("ip6,nw_proto=17,tp_src=1", "udp6,tp_src=1"),
            ("icmp6,icmpv6_type=1", "icmp6,icmp_type=1"),
            ("ip,ip_dscp=46", "ip,nw_tos=184"),
            ("ip,ip_frag=first", "ip,nw_frag=first"),
            ("nw_dst=10.0.0.1/255.255.0.0,ip", "ip,nw_dst=10.0.0.0/16"),
        ] {
            let parsed = parse_match(text).unwrap_or_else(|wrong| panic!("{text}: {wrong}"));
            assert_eq!(parsed.to_string(), expected, "{text}");
        }
    }

    #[test]
    fn errors_point_and_say_what_to_write() {
        for (text, at, wrong, help) in [
            ("ip,nw_dts=10.0.0.1", 3..9, "`nw_dts` is no field", "did you mean `nw_dst`?"),
            ("nw_dst=10.0.0.1", 0..15, "`nw_dst` says nothing without ip", "write `ip,nw_dst=10.0.0.1`"),
            (
                "ip,tp_dst=80",
                3..12,
                "`tp_dst` says nothing without tcp, udp or sctp",
                "write `tcp,tp_dst=80`",
            ),
            ("ip,in_port=1,in_port=2", 13..22, "`in_port` is said twice", "remove one of them"),
            (
                "tcp,tp_dst=70000",
                11..16,
                "`70000` is more than 65535, the most that tcp_dst takes",
                "write a number from 0 to 65535",
            ),
            (
                "ip,nw_tos=3",
                10..11,
                "`3` is no TOS byte without ECN",
                "write a multiple of 4; nw_ecn has the lower two bits",
            ),
            ("in_port", 0..7, "in_port is missing", "write `in_port=` and its value"),
            ("dl_vlan=4096", 8..12, "`4096` is no VLAN id", "write 0 to 4095, or 0xffff for no tag"),
        ] {
            let found = parse_match(text).unwrap_err();
            assert_eq!(
                (found.at.clone(), found.to_string().as_str(), found.help.as_str()),
                (at, wrong, help),
                "{text}"
            );
        }
    }
}
