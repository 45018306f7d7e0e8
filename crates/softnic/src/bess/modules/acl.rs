//! `ACL`.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::ops::RangeInclusive;

use lookup::acl::{AclError, Networks, Prefix, Rule};

use crate::bess::class::{Argument, Class, Setup, Told, commands, decode, told};
use crate::bess::{Failure, pb};
use crate::engine::Module;
use crate::modules::Acl;

/// A rule is of the family of its addresses; one of length 0, or none, asks for nothing, and a rule that asks for nothing
/// at all also matches what is not IP. Port 0 asks for none. `established` is taken and means nothing, as in BESS.
/// Differences from BESS: an address without a length is that of one host, and one that is none is an error, where BESS
/// takes both for all addresses; ports are only looked for where the protocol has some.
pub(super) const CLASS: Class = Class {
    name: "ACL",
    help: "lets packets through by the first rule that they match",
    template: "acl",
    arg: "ACLArg",
    build,
    commands: commands![Acl; "add" => add, "clear" => clear],
};

fn build(_: &mut Setup<'_>, argument: &Argument<'_>) -> Result<Box<dyn Module>, Failure> {
    let mut module = Acl::new();
    add(&mut module, decode(argument)?)?;
    Ok(Box::new(module))
}

fn add(module: &mut Acl, arg: pb::AclArg) -> Result<(), Failure> {
    let rules: Vec<(Rule, bool)> =
        arg.rules.iter().map(|one| Ok((rule(one)?, one.drop))).collect::<Result<_, Failure>>()?;
    module.add(rules).map_err(|error| match error {
        AclError::TooManyRules => Failure::no_space(error.to_string()),
        AclError::EmptyRange { .. } => Failure::invalid(error.to_string()),
    })
}

fn clear(module: &mut Acl, _: pb::EmptyArg) -> Result<(), Failure> {
    module.clear();
    Ok(())
}

/// An address and its length; `None` where all addresses are meant.
fn prefix(text: &str) -> Result<Option<(IpAddr, u8)>, Failure> {
    if text.is_empty() {
        return Ok(None);
    }
    let wrong = || Failure::invalid(format!("'{text}' is no prefix, such as 10.0.0.0/8"));
    let (address, len) = match text.split_once('/') {
        Some((address, len)) => (address, Some(len.parse::<u8>().map_err(|_| wrong())?)),
        None => (text, None),
    };
    let address: IpAddr = address.parse().map_err(|_| wrong())?;
    let longest = if address.is_ipv4() { 32 } else { 128 };
    match len.unwrap_or(longest) {
        0 => Ok(None),
        len if len <= longest => Ok(Some((address, len))),
        _ => Err(wrong()),
    }
}

fn rule(of: &pb::acl_arg::Rule) -> Result<Rule, Failure> {
    let port = |port: u32| match u16::try_from(port) {
        Ok(0) => Ok(0..=u16::MAX),
        Ok(port) => Ok(port..=port),
        Err(_) => Err(Failure::invalid(format!("{port} is no port"))),
    };
    Ok(Rule {
        networks: networks(prefix(&of.src_ip)?, prefix(&of.dst_ip)?)?,
        source_ports: port(of.src_port)?,
        destination_ports: port(of.dst_port)?,
        ..Rule::ANY
    })
}

fn networks(source: Option<(IpAddr, u8)>, destination: Option<(IpAddr, u8)>) -> Result<Networks, Failure> {
    let v4 = |of: Option<(IpAddr, u8)>| match of {
        None => Some(Prefix::<Ipv4Addr>::ANY),
        Some((IpAddr::V4(address), len)) => Prefix::<Ipv4Addr>::new(address, len),
        Some(_) => None,
    };
    let v6 = |of: Option<(IpAddr, u8)>| match of {
        None => Some(Prefix::<Ipv6Addr>::ANY),
        Some((IpAddr::V6(address), len)) => Prefix::<Ipv6Addr>::new(address, len),
        Some(_) => None,
    };
    if source.is_none() && destination.is_none() {
        return Ok(Networks::Any);
    }
    match (v4(source).zip(v4(destination)), v6(source).zip(v6(destination))) {
        (Some((source, destination)), _) => Ok(Networks::V4 { source, destination }),
        (_, Some((source, destination))) => Ok(Networks::V6 { source, destination }),
        _ => Err(Failure::invalid("a rule's addresses are of one family")),
    }
}

/// The text of a prefix.
fn text(address: impl Into<IpAddr>, len: u8) -> String {
    format!("{}/{len}", address.into())
}

/// All rules, behind none.
pub(super) fn save(module: &mut Acl) -> Vec<Told> {
    let rules = module.rules().iter().map(|(rule, drop)| {
        let (src_ip, dst_ip) = match rule.networks {
            Networks::Any => (String::new(), String::new()),
            Networks::V4 { source, destination } => {
                (text(source.address(), source.length()), text(destination.address(), destination.length()))
            }
            Networks::V6 { source, destination } => {
                (text(source.address(), source.length()), text(destination.address(), destination.length()))
            }
        };
        // One port or all: clients have no words for others.
        let port = |ports: &RangeInclusive<u16>| if ports.len() == 1 { u32::from(*ports.start()) } else { 0 };
        pb::acl_arg::Rule {
            src_ip,
            dst_ip,
            src_port: port(&rule.source_ports),
            dst_port: port(&rule.destination_ports),
            drop: *drop,
            ..Default::default()
        }
    });
    let rules = rules.collect();
    vec![told("clear", &pb::EmptyArg {}), told("add", &pb::AclArg { rules })]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(src_ip: &str, dst_ip: &str, dst_port: u32) -> Result<Rule, i32> {
        let (src_ip, dst_ip) = (src_ip.to_owned(), dst_ip.to_owned());
        let of = pb::acl_arg::Rule { src_ip, dst_ip, dst_port, ..pb::acl_arg::Rule::default() };
        rule(&of).map_err(|failure| failure.code)
    }

    #[test]
    fn rules_ask_for_what_they_say() {
        for nothing in [("", ""), ("0.0.0.0/0", ""), ("::/0", "0.0.0.0/0")] {
            assert_eq!(parsed(nothing.0, nothing.1, 0), Ok(Rule::ANY));
        }
        let text = |source, destination, port| parsed(source, destination, port).unwrap().to_string();
        assert_eq!(
            text("172.12.0.0/16", "", 0),
            "@172.12.0.0/16\t0.0.0.0/0\t0 : 65535\t0 : 65535\t0x00/0x00"
        );
        assert_eq!(
            text("192.168.32.4", "10.0.0.0/8", 4455),
            "@192.168.32.4/32\t10.0.0.0/8\t0 : 65535\t4455 : 4455\t0x00/0x00"
        );
        assert!(text("", "2001:db8::/32", 0).contains("2001:db8:0:0:0:0:0:0/32"));
    }

    #[test]
    fn what_is_no_rule_is_refused() {
        for (source, destination, port) in [
            ("10.0.0.0/33", "", 0),
            ("10.0.0/8", "", 0),
            ("10.0.0.0/", "", 0),
            ("10.0.0.0/8", "2001:db8::/32", 0),
            ("", "", 65_536),
        ] {
            assert_eq!(parsed(source, destination, port), Err(22));
        }
    }
}
