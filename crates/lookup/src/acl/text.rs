//! ClassBench's filter files, which `dpdk-test-acl` reads as well: one rule a line, the most important first.
//!
//! ```text
//! @192.0.2.0/24   198.51.100.7/32   0 : 65535   53 : 53   0x11/0xFF   0x0000/0x0000
//! source          destination       its ports   ports     protocol    TCP flags, not used
//! ```
//!
//! Fields are separated by any white space. Empty lines and lines that begin with `#` are passed over. IPv6 addresses are
//! read in every form of RFC 4291; `dpdk-test-acl` wants all eight groups. The flags are checked and then not used, as
//! `dpdk-test-acl` does: what is classified is the 5-tuple.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::num::ParseIntError;
use std::ops::RangeInclusive;
use std::str::{FromStr, SplitWhitespace};

use thiserror::Error;

use super::RULES_MAX;
use super::rule::{Networks, Prefix, ProtocolMatch, Rule};

/// Characters of a field that an error repeats.
const SHOWN_MAX: usize = 60;

/// A rule file that cannot be read, and where.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("line {line}: {fault}")]
pub struct TextError {
    /// Counted from 1.
    pub line: usize,
    /// What is wrong with it.
    pub fault: Fault,
}

/// What is wrong with a line.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum Fault {
    /// The line ends before this field.
    #[error("the {0} is missing")]
    Missing(Field),
    /// A field that does not say what it should.
    #[error("`{text}` is no {field}")]
    Bad {
        /// Which.
        field: Field,
        /// What stands there, its first 60 characters.
        text: String,
    },
    /// One address is IPv4 and the other IPv6.
    #[error("source and destination are of different families")]
    Families,
    /// There is more behind the last field.
    #[error("`{0}` stands behind the last field")]
    Trailing(String),
    /// More rules than [`RULES_MAX`].
    #[error("more than {RULES_MAX} rules")]
    TooManyRules,
}

/// A field of a line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Field {
    /// `@10.0.0.0/8`.
    Source,
    /// `10.0.0.0/8`.
    Destination,
    /// `0 : 65535`.
    SourcePorts,
    /// `0 : 65535`.
    DestinationPorts,
    /// `0x06/0xFF`.
    Protocol,
    /// `0x0000/0x0200`.
    Flags,
}

impl fmt::Display for Field {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Source => "source prefix (@address/length)",
            Self::Destination => "destination prefix (address/length)",
            Self::SourcePorts => "range of source ports (first : last)",
            Self::DestinationPorts => "range of destination ports (first : last)",
            Self::Protocol => "protocol (0xvalue/0xmask)",
            Self::Flags => "TCP flags (0xvalue/0xmask)",
        })
    }
}

impl Field {
    fn bad(self, text: impl fmt::Display) -> Fault {
        Fault::Bad { field: self, text: text.to_string().chars().take(SHOWN_MAX).collect() }
    }

    fn next<'a>(self, fields: &mut SplitWhitespace<'a>) -> Result<&'a str, Fault> {
        fields.next().ok_or(Fault::Missing(self))
    }

    fn prefix(self, text: &str) -> Result<(IpAddr, u8), Fault> {
        let parse = || {
            let (address, length) = text.split_once('/')?;
            Some((address.parse().ok()?, length.parse().ok()?))
        };
        parse().ok_or_else(|| self.bad(text))
    }

    fn ports(self, fields: &mut SplitWhitespace<'_>) -> Result<RangeInclusive<u16>, Fault> {
        let [first, colon, last] = [self.next(fields)?, self.next(fields)?, self.next(fields)?];
        let fault = || self.bad(format_args!("{first} {colon} {last}"));
        let (Ok(start), ":", Ok(end)) = (first.parse(), colon, last.parse()) else { return Err(fault()) };
        if start <= end { Ok(start..=end) } else { Err(fault()) }
    }

    /// `value/mask`, each read by `number` from what stands behind its `0x`.
    fn masked<N>(
        self,
        text: &str,
        number: fn(&str, u32) -> Result<N, ParseIntError>,
    ) -> Result<(N, N), Fault> {
        let hex = |part: &str| {
            let digits = part.strip_prefix("0x").or_else(|| part.strip_prefix("0X"))?;
            digits.starts_with(|first: char| first.is_ascii_hexdigit()).then(|| number(digits, 16).ok())?
        };
        let parse = || {
            let (value, mask) = text.split_once('/')?;
            Some((hex(value)?, hex(mask)?))
        };
        parse().ok_or_else(|| self.bad(text))
    }
}

/// One line of a filter file.
impl FromStr for Rule {
    type Err = Fault;

    fn from_str(line: &str) -> Result<Self, Fault> {
        let mut fields = line.split_whitespace();
        let source = Field::Source.next(&mut fields)?;
        let from = source.strip_prefix('@').ok_or_else(|| Field::Source.bad(source))?;
        let (from, from_length) = Field::Source.prefix(from)?;
        let destination = Field::Destination.next(&mut fields)?;
        let (to, to_length) = Field::Destination.prefix(destination)?;
        let networks = match (from, to) {
            (IpAddr::V4(from), IpAddr::V4(to)) => Networks::V4 {
                source: Prefix::<Ipv4Addr>::new(from, from_length)
                    .ok_or_else(|| Field::Source.bad(source))?,
                destination: Prefix::<Ipv4Addr>::new(to, to_length)
                    .ok_or_else(|| Field::Destination.bad(destination))?,
            },
            (IpAddr::V6(from), IpAddr::V6(to)) => Networks::V6 {
                source: Prefix::<Ipv6Addr>::new(from, from_length)
                    .ok_or_else(|| Field::Source.bad(source))?,
                destination: Prefix::<Ipv6Addr>::new(to, to_length)
                    .ok_or_else(|| Field::Destination.bad(destination))?,
            },
            _ => return Err(Fault::Families),
        };
        let source_ports = Field::SourcePorts.ports(&mut fields)?;
        let destination_ports = Field::DestinationPorts.ports(&mut fields)?;
        let (value, mask) = Field::Protocol.masked(Field::Protocol.next(&mut fields)?, u8::from_str_radix)?;
        if let Some(flags) = fields.next() {
            Field::Flags.masked(flags, u16::from_str_radix)?;
        }
        match fields.next() {
            Some(more) => Err(Fault::Trailing(more.chars().take(SHOWN_MAX).collect())),
            None => {
                let protocol = ProtocolMatch::masked(value, mask);
                Ok(Self { networks, source_ports, destination_ports, protocol })
            }
        }
    }
}

/// The rules of a filter file, the most important first.
pub fn from_classbench(text: &str) -> Result<Vec<Rule>, TextError> {
    let mut rules = Vec::new();
    for (index, line) in text.lines().enumerate() {
        let at = |fault| TextError { line: index + 1, fault };
        let line = line.trim();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        if rules.len() == RULES_MAX {
            return Err(at(Fault::TooManyRules));
        }
        rules.push(line.parse().map_err(at)?);
    }
    Ok(rules)
}

#[cfg(test)]
mod tests {
    use super::*;

    const LINE: &str = "@192.0.2.9/24\t198.51.100.7/32\t0 : 65535\t53 : 1024\t0x11/0xFF\t0x0000/0x0000\t";

    #[test]
    fn lines_are_read_and_written() {
        let rule: Rule = LINE.parse().unwrap();
        assert_eq!(rule.to_string(), "@192.0.2.0/24\t198.51.100.7/32\t0 : 65535\t53 : 1024\t0x11/0xff");
        assert_eq!(rule.to_string().parse(), Ok(rule));
        let six: Rule = "@2001:db8::/32 ::/0 1 : 2 3 : 3 0x06/0xf0".parse().unwrap();
        assert!(six.to_string().starts_with("@2001:db8:0:0:0:0:0:0/32\t0:0:0:0:0:0:0:0/0\t"), "{six}");
        assert_eq!(six.to_string().parse(), Ok(six));
    }

    #[test]
    fn errors_name_line_and_value() {
        let error = |from: &str, to: &str| {
            let text = format!("# rules\n\n{LINE}\n{}\n", LINE.replace(from, to));
            from_classbench(&text).unwrap_err().to_string()
        };
        assert_eq!(error("@", ""), "line 4: `192.0.2.9/24` is no source prefix (@address/length)");
        assert_eq!(error("/24", "/33"), "line 4: `@192.0.2.9/33` is no source prefix (@address/length)");
        assert_eq!(
            error("100.7/", "100.7.1/"),
            "line 4: `198.51.100.7.1/32` is no destination prefix (address/length)"
        );
        assert_eq!(error("@192.0.2.9", "@::"), "line 4: source and destination are of different families");
        assert_eq!(error("65535", "65536"), "line 4: `0 : 65536` is no range of source ports (first : last)");
        assert_eq!(
            error("53 : 1024", "53 : 52"),
            "line 4: `53 : 52` is no range of destination ports (first : last)"
        );
        assert_eq!(
            error("53 : 1024", "53 - 1024"),
            "line 4: `53 - 1024` is no range of destination ports (first : last)"
        );
        assert_eq!(error("0x11/0xFF", "0x111/0xFF"), "line 4: `0x111/0xFF` is no protocol (0xvalue/0xmask)");
        assert_eq!(error("0x11/", "0x+1/"), "line 4: `0x+1/0xFF` is no protocol (0xvalue/0xmask)");
        assert_eq!(error("0x0000/0x0000", "0x0000"), "line 4: `0x0000` is no TCP flags (0xvalue/0xmask)");
        assert_eq!(error("0x0000/0x0000", "0x0/0x0 9"), "line 4: `9` stands behind the last field");
        assert_eq!(
            error(LINE, "@1.2.3.4/32 1.2.3.4/32 1 :"),
            "line 4: the range of source ports (first : last) is missing"
        );
    }

    #[test]
    fn rules_have_a_limit() {
        let text = "@0.0.0.0/0 0.0.0.0/0 0 : 1 0 : 1 0x00/0x00\n".repeat(RULES_MAX + 1);
        assert_eq!(
            from_classbench(&text),
            Err(TextError { line: RULES_MAX + 1, fault: Fault::TooManyRules })
        );
    }
}
