//! What terms name: hosts, networks, ports and protocols, by number, address or name.

use super::lexer::{self, Token};
use super::parser::{Parser, Protocol};
use super::primitive::{End, Family, Layout, SCTP, TCP, UDP};
use super::program::Node;
use super::{FilterError, names};

/// What kind of thing a term names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Host,
    Net,
    Port,
    PortRange,
    Protocol,
}

/// What a term is about; the next one is about the same unless it says otherwise.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Subject {
    pub(super) protocol: Option<Protocol>,
    pub(super) end: End,
    pub(super) kind: Kind,
}

impl Parser {
    /// One name, number or address.
    pub(super) fn name(&mut self, subject: Subject) -> Result<Node, FilterError> {
        let token = self.peek().cloned().ok_or_else(|| self.wrong("a name is wanted"))?;
        let start = self.at;
        self.advance();
        let node = match token {
            Token::Number(number) => self.number_of(subject, number),
            Token::Dotted(address, count) => self.dotted(subject, address, count),
            Token::V6(address) => self.v6(subject, address),
            Token::Mac(address) => match subject {
                Subject { protocol: Some(Protocol::Ethernet), kind: Kind::Host, end } => {
                    Ok(Layout::station(end, address))
                }
                _ => Err("ethernet address used in non-ether expression".to_owned()),
            },
            Token::Word(name) if names::constant(&name).is_some() => {
                self.number_of(subject, names::constant(&name).unwrap_or(0))
            }
            Token::Word(name) | Token::Quoted(name) => self.called(subject, &name),
            _ => Err("a name is wanted".to_owned()),
        };
        node.map_err(|message| {
            self.at = start;
            self.wrong(message)
        })
    }

    fn number_of(&self, subject: Subject, number: u32) -> Result<Node, String> {
        match subject.kind {
            Kind::Host => self.host(subject, number, u32::MAX),
            Kind::Net => {
                let zeros = if number == 0 { 0 } else { number.leading_zeros() / 8 * 8 };
                self.host(subject, number << zeros, u32::MAX << zeros)
            }
            Kind::Port | Kind::PortRange => self.ports(subject, number, number),
            Kind::Protocol => match subject.protocol {
                None => Ok(self.layout.over_either(number)),
                Some(Protocol::Ip) => Ok(self.layout.over_ip(number)),
                Some(Protocol::Ip6) => Ok(self.layout.over_ip6(number)),
                Some(Protocol::Ethernet) => Ok(self.layout.ethertype(number)),
                Some(_) => Err("only ether, ip and ip6 carry protocols by number".to_owned()),
            },
        }
    }

    fn host(&self, subject: Subject, address: u32, mask: u32) -> Result<Node, String> {
        let family = match subject.protocol {
            None => Family::Any,
            Some(Protocol::Ip) => Family::Ip,
            Some(Protocol::Arp) => Family::Arp,
            Some(Protocol::Rarp) => Family::Rarp,
            Some(_) => return Err("an IPv4 address is one of ip, arp or rarp".to_owned()),
        };
        Ok(self.layout.host(family, subject.end, address, mask))
    }

    fn ports(&self, subject: Subject, first: u32, last: u32) -> Result<Node, String> {
        self.ports_of(protocol_with_ports(subject)?, subject.end, first, last)
    }

    fn ports_of(&self, protocol: Option<u32>, end: End, first: u32, last: u32) -> Result<Node, String> {
        if first.max(last) > u16::MAX.into() {
            return Err(format!("illegal port number {} > 65535", first.max(last)));
        }
        Ok(self.layout.ports(protocol, end, first.min(last), first.max(last)))
    }

    fn dotted(&mut self, subject: Subject, address: u32, count: u8) -> Result<Node, String> {
        let short = |count: u8| u32::MAX << (32 - 8 * u32::from(count));
        let mask = if self.take_sign("/") {
            let len = self.constant().filter(|len| *len <= 32).ok_or("a length up to 32 is wanted")?;
            Some(u32::MAX.checked_shl(32 - len).unwrap_or(0))
        } else if self.take_word("mask") {
            let Some(&Token::Dotted(mask, _)) = self.peek() else {
                return Err("a mask is wanted".to_owned());
            };
            self.advance();
            Some(mask)
        } else {
            None
        };
        match (subject.kind, mask) {
            (Kind::Net, Some(mask)) if address & !mask != 0 => Err("bits are set behind the mask".to_owned()),
            (Kind::Net, Some(mask)) => self.host(subject, address, mask),
            (_, Some(_)) => Err("a mask is for networks only".to_owned()),
            (Kind::Host | Kind::Net, None) => self.host(subject, address, short(count)),
            (_, None) => Err("an address is no port and no protocol".to_owned()),
        }
    }

    fn v6(&mut self, subject: Subject, address: std::net::Ipv6Addr) -> Result<Node, String> {
        let mask = match self.take_sign("/") {
            true => {
                let len = self.constant().filter(|len| *len <= 128).ok_or("a length up to 128 is wanted")?;
                u128::MAX.checked_shl(128 - len).unwrap_or(0)
            }
            false => u128::MAX,
        };
        if !matches!(subject.protocol, None | Some(Protocol::Ip6)) {
            return Err("an IPv6 address is one of ip6".to_owned());
        }
        match subject.kind {
            _ if address.to_bits() & !mask != 0 => Err("bits are set behind the mask".to_owned()),
            Kind::Host if mask != u128::MAX => Err("a mask is for networks only".to_owned()),
            Kind::Host | Kind::Net => Ok(self.layout.host6(subject.end, address, mask)),
            _ => Err("an address is no port and no protocol".to_owned()),
        }
    }

    fn called(&self, subject: Subject, name: &str) -> Result<Node, String> {
        match subject.kind {
            Kind::Host | Kind::Net => Err(format!("'{name}' is no address, and names are not looked up")),
            Kind::Port => {
                let asked = protocol_with_ports(subject)?;
                let (port, only) = names::service(name).ok_or_else(|| format!("unknown port '{name}'"))?;
                if asked.zip(only).is_some_and(|(asked, only)| asked != only) {
                    return Err(format!("port '{name}' is one of another protocol"));
                }
                self.ports_of(asked.or(only), subject.end, port, port)
            }
            Kind::PortRange => {
                let range = name.split_once('-');
                let range = range.and_then(|(first, last)| lexer::number(first).zip(lexer::number(last)));
                let (first, last) = range.ok_or_else(|| format!("'{name}' is no range of ports"))?;
                self.ports(subject, first, last)
            }
            Kind::Protocol => {
                let number = match subject.protocol {
                    Some(Protocol::Ethernet) => names::ethertype(name),
                    _ => names::protocol(name),
                };
                self.number_of(subject, number.ok_or_else(|| format!("unknown protocol '{name}'"))?)
            }
        }
    }
}

/// The protocol whose ports are asked for.
fn protocol_with_ports(subject: Subject) -> Result<Option<u32>, String> {
    match subject.protocol {
        None => Ok(None),
        Some(Protocol::Tcp) => Ok(Some(TCP)),
        Some(Protocol::Udp) => Ok(Some(UDP)),
        Some(Protocol::Sctp) => Ok(Some(SCTP)),
        Some(_) => Err("only tcp, udp and sctp have ports".to_owned()),
    }
}
