//! From a filter to text that reads back the same.

use std::fmt::{self, Display};

use super::{Attribute, Filter, Net, Side, Test};

impl fmt::Display for Filter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Constant(true) => f.write_str("any"),
            Self::Constant(false) => f.write_str("not any"),
            Self::Header(test) => test.fmt(f),
            Self::Attribute(attribute) => attribute.fmt(f),
            Self::Not(filter) => {
                f.write_str("not ")?;
                enclosed(f, filter)
            }
            Self::All(filters) => joined(f, filters, " and ", true),
            Self::Any(filters) => joined(f, filters, " or ", false),
        }
    }
}

fn joined(f: &mut fmt::Formatter<'_>, filters: &[Filter], word: &str, of_none: bool) -> fmt::Result {
    if filters.is_empty() {
        return Filter::Constant(of_none).fmt(f);
    }
    for (place, filter) in filters.iter().enumerate() {
        if place > 0 {
            f.write_str(word)?;
        }
        enclosed(f, filter)?;
    }
    Ok(())
}

fn enclosed(f: &mut fmt::Formatter<'_>, filter: &Filter) -> fmt::Result {
    match filter {
        Filter::All(filters) | Filter::Any(filters) if filters.len() != 1 => write!(f, "({filter})"),
        _ => filter.fmt(f),
    }
}

impl fmt::Display for Attribute {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(function) = &self.function {
            write!(f, "{function}.")?;
        }
        f.write_str(&self.name)
    }
}

impl fmt::Display for Side {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Source => "src ",
            Self::Destination => "dst ",
            Self::Either => "",
        })
    }
}

impl fmt::Display for Net {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::V4(net) if net.len() == 32 => write!(f, "host {}", net.address()),
            Self::V6(net) if net.len() == 128 => write!(f, "host {}", net.address()),
            Self::V4(net) => write!(f, "net {net}"),
            Self::V6(net) => write!(f, "net {net}"),
        }
    }
}

impl fmt::Display for Test {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Version(4) => f.write_str("ip"),
            Self::Version(_) => f.write_str("ip6"),
            Self::Protocol(6) => f.write_str("tcp"),
            Self::Protocol(17) => f.write_str("udp"),
            Self::Protocol(132) => f.write_str("sctp"),
            Self::Protocol(1) => f.write_str("icmp"),
            Self::Protocol(58) => f.write_str("icmp6"),
            Self::Protocol(number) => write!(f, "proto {number}"),
            Self::Net(side, net) => write!(f, "{side}{net}"),
            Self::Port(side, first, last) if first == last => write!(f, "{side}port {first}"),
            Self::Port(side, first, last) => write!(f, "{side}portrange {first}-{last}"),
        }
    }
}
