//! `learn`: `learn(table=2,hard_timeout=10,NXM_OF_ETH_DST[]=NXM_OF_ETH_SRC[],output:NXM_OF_IN_PORT[])`.

use std::fmt;

use super::names::{self, field_named, range, write_range};
use super::piece::{Pair, Piece, Result};
use super::value::{self, Hex};
use crate::flow::DEFAULT_PRIORITY;
use crate::nicira::{Learn, LearnDestination, LearnSource, LearnSpec, Subfield};

/// Bits of [`Learn::flags`] (`nx_learn_flags`).
const FLAGS: &[(&str, u16)] = &[("send_flow_rem", 1), ("delete_learned", 2)];

/// Parts of a learned flow: more do not fit into an action.
const SPECS_MAX: usize = 8192;

/// What stands between the parentheses.
pub(super) struct Text<'a>(pub(super) &'a Learn);

impl fmt::Display for Text<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let learn = self.0;
        write!(f, "table={}", learn.table)?;
        for (name, value) in [
            ("idle_timeout", learn.idle_timeout),
            ("hard_timeout", learn.hard_timeout),
            ("fin_idle_timeout", learn.fin_idle_timeout),
            ("fin_hard_timeout", learn.fin_hard_timeout),
        ] {
            if value != 0 {
                write!(f, ",{name}={value}")?;
            }
        }
        if learn.priority != DEFAULT_PRIORITY {
            write!(f, ",priority={}", learn.priority)?;
        }
        let mut rest = learn.flags;
        for (name, bit) in FLAGS {
            if rest & bit != 0 {
                write!(f, ",{name}")?;
                rest &= !bit;
            }
        }
        if rest != 0 {
            write!(f, ",flags={rest:#x}")?;
        }
        if learn.cookie != 0 {
            write!(f, ",cookie={:#x}", learn.cookie)?;
        }
        learn.specs.iter().try_for_each(|spec| write!(f, ",{}", SpecText(spec)))
    }
}

struct SpecText<'a>(&'a LearnSpec);

impl fmt::Display for SpecText<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let LearnSpec { source, destination, bits } = self.0;
        let source = |f: &mut fmt::Formatter<'_>| match source {
            LearnSource::Field(header, offset) => write_range(f, *header, *offset, *bits),
            LearnSource::Immediate(bytes) => write!(f, "0x{}", Hex(bytes)),
        };
        match destination {
            LearnDestination::Match(header, offset) => {
                write_range(f, *header, *offset, *bits)?;
                if self.0.source == LearnSource::Field(*header, *offset) {
                    return Ok(());
                }
                f.write_str("=")?;
                source(f)
            }
            LearnDestination::Load(header, offset) => {
                f.write_str("load:")?;
                source(f)?;
                f.write_str("->")?;
                write_range(f, *header, *offset, *bits)
            }
            LearnDestination::Output => {
                f.write_str("output:")?;
                source(f)
            }
        }
    }
}

/// Bits of a field with a value for all of them: `eth_type=0x800`, `NXM_OF_VLAN_TCI[0..11]=5`.
fn immediate(piece: Piece<'_>, to: &Subfield) -> Result<LearnSource> {
    let words = usize::from(to.bits).div_ceil(16);
    let known = names::known(to.header).filter(|(_, all)| to.offset == 0 && *all == u32::from(to.bits));
    let digits = piece.text.strip_prefix("0x").filter(|digits| digits.len() == 4 * words);
    let bytes = match (known, digits) {
        (_, Some(_)) => piece.bytes("value")?,
        (Some((field, _)), None) => {
            let (value, mask) = value::parse(field, piece, true)?;
            if mask.is_some() {
                return Err(piece.unexpected("value", "write it without a mask"));
            }
            low_bytes(value, 2 * words)
        }
        (None, None) => {
            let limit = value::ones(to.bits.into());
            low_bytes(piece.number("value", limit)?, 2 * words)
        }
    };
    Ok(LearnSource::Immediate(bytes))
}

/// The lowest bytes of a value; what is wider than a value has zeros before.
fn low_bytes(value: u128, count: usize) -> Vec<u8> {
    let bytes = value.to_be_bytes();
    match count.checked_sub(bytes.len()) {
        Some(more) => [vec![0; more], bytes.to_vec()].concat(),
        None => bytes[bytes.len() - count..].to_vec(),
    }
}

/// Where bits come from that go to `to`.
fn source(piece: Piece<'_>, to: &Subfield) -> Result<LearnSource> {
    let piece = piece.trim();
    let is_field =
        piece.text.contains('[') || field_named(piece.text).is_some() || piece.text.contains("XM_");
    if !is_field {
        return immediate(piece, to);
    }
    let from = range(piece)?;
    if from.bits != to.bits {
        return Err(piece.unexpected("range of as many bits", format!("write {} bits", to.bits)));
    }
    Ok(LearnSource::Field(from.header, from.offset))
}

fn spec(pair: Pair<'_>) -> Result<LearnSpec> {
    match (pair.key.text, pair.value) {
        ("load", Some(value)) => {
            let help = "write load:NXM_OF_IN_PORT[]->NXM_NX_REG0[0..15]";
            let (from, to) = value.rsplit_once("->").ok_or_else(|| value.unexpected("load", help))?;
            let to = range(to)?;
            Ok(LearnSpec {
                source: source(from, &to)?,
                destination: LearnDestination::Load(to.header, to.offset),
                bits: to.bits,
            })
        }
        ("output", Some(value)) => {
            // A constant port is written as 16 bits.
            if value.text.starts_with("0x") && !value.text.contains('[') {
                let source = LearnSource::Immediate(value.bytes("port")?);
                let bits = match &source {
                    LearnSource::Immediate(bytes) => u16::try_from(8 * bytes.len()).unwrap_or(u16::MAX),
                    LearnSource::Field(..) => 0,
                };
                return Ok(LearnSpec { source, destination: LearnDestination::Output, bits });
            }
            let from = range(value)?;
            let source = LearnSource::Field(from.header, from.offset);
            Ok(LearnSpec { source, destination: LearnDestination::Output, bits: from.bits })
        }
        (_, value) => {
            let to = range(pair.key)?;
            let source = match value {
                Some(value) => source(value, &to)?,
                None => LearnSource::Field(to.header, to.offset),
            };
            let destination = LearnDestination::Match(to.header, to.offset);
            Ok(LearnSpec { source, destination, bits: to.bits })
        }
    }
}

/// What stands between the parentheses.
pub(super) fn parse(piece: Piece<'_>) -> Result<Learn> {
    let mut learn = Learn {
        idle_timeout: 0,
        hard_timeout: 0,
        priority: DEFAULT_PRIORITY,
        cookie: 0,
        flags: 0,
        table: 1,
        fin_idle_timeout: 0,
        fin_hard_timeout: 0,
        specs: Vec::new(),
    };
    for pair in piece.pairs() {
        let pair = pair?;
        let value = || pair.needed("number");
        match pair.key.text {
            "table" => learn.table = value()?.u8("table")?,
            "idle_timeout" => learn.idle_timeout = value()?.u16("seconds")?,
            "hard_timeout" => learn.hard_timeout = value()?.u16("seconds")?,
            "fin_idle_timeout" => learn.fin_idle_timeout = value()?.u16("seconds")?,
            "fin_hard_timeout" => learn.fin_hard_timeout = value()?.u16("seconds")?,
            "priority" => learn.priority = value()?.u16("priority")?,
            "cookie" => learn.cookie = value()?.u64("cookie")?,
            "flags" => learn.flags |= value()?.u16("flags")?,
            name => match FLAGS.iter().find(|(flag, _)| *flag == name) {
                Some((_, bit)) => {
                    pair.bare()?;
                    learn.flags |= bit;
                }
                None if learn.specs.len() == SPECS_MAX => {
                    return Err(pair.whole.unexpected("part that fits into an action", "leave parts out"));
                }
                None => learn.specs.push(spec(pair)?),
            },
        }
    }
    Ok(learn)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn learned_flows_read_back() {
        for text in [
            "table=1",
            "table=2,idle_timeout=10,hard_timeout=20,fin_idle_timeout=1,fin_hard_timeout=2,priority=9,send_flow_rem,\
             delete_learned,flags=0x8,cookie=0x5",
            "table=1,NXM_OF_VLAN_TCI[0..11],NXM_OF_ETH_DST[]=NXM_OF_ETH_SRC[],\
             load:NXM_OF_IN_PORT[]->NXM_NX_REG1[16..31],output:NXM_OF_IN_PORT[]",
            "table=1,NXM_OF_ETH_TYPE[]=0x0800,NXM_OF_IP_PROTO[]=0x0006,load:0x0005->NXM_NX_REG0[3]",
        ] {
            let learn = parse(Piece { text, at: 0 }).unwrap_or_else(|wrong| panic!("{text}: {wrong}"));
            assert_eq!(Text(&learn).to_string(), text);
        }
    }

    #[test]
    fn values_are_written_in_words_of_sixteen_bits() {
        let one = |text| parse(Piece { text, at: 0 }).map(|learn| learn.specs[0].clone());
        let spec = one("eth_type=0x800").unwrap();
        assert_eq!(spec.source, LearnSource::Immediate(vec![8, 0]));
        assert_eq!(one("NXM_OF_ETH_TYPE[]=0x800").unwrap(), spec);
        assert_eq!(one("reg0[0..4]=0x1f").unwrap().source, LearnSource::Immediate(vec![0, 0x1f]));
        assert_eq!(one("ip_dst=10.0.0.1").unwrap().source, LearnSource::Immediate(vec![10, 0, 0, 1]));
        for wrong in
            ["reg0[0..4]=0x20", "eth_src[]=eth_type[]", "load:reg0[]", "quux=1", "output:", "priority="]
        {
            assert!(one(wrong).is_err(), "{wrong}");
        }
    }
}
