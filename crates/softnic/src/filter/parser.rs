//! The grammar: terms, what they are about, and how they are joined.

use super::arithmetic::follows_number;
use super::lexer::{self, Token};
use super::named::{Kind, Subject};
use super::primitive::{End, Layout, SCTP, TCP, TYPE_ARP, TYPE_IP, TYPE_IP6, TYPE_RARP, UDP};
use super::program::{Node, Relation, Test};
use super::{DEPTH_MAX, FilterError, TERMS_MAX, TESTS_MAX, names};

/// A protocol that a term may begin with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Protocol {
    Ethernet,
    Arp,
    Rarp,
    Ip,
    Ip6,
    Tcp,
    Udp,
    Sctp,
    Icmp,
    Icmp6,
    Igmp,
    Igrp,
    Pim,
    Vrrp,
    Carp,
    Ah,
    Esp,
}

impl Protocol {
    fn named(name: &str) -> Option<Self> {
        Some(match name {
            "ether" | "link" => Self::Ethernet,
            "arp" => Self::Arp,
            "rarp" => Self::Rarp,
            "ip" => Self::Ip,
            "ip6" => Self::Ip6,
            "tcp" => Self::Tcp,
            "udp" => Self::Udp,
            "sctp" => Self::Sctp,
            "icmp" => Self::Icmp,
            "icmp6" => Self::Icmp6,
            "igmp" => Self::Igmp,
            "igrp" => Self::Igrp,
            "pim" => Self::Pim,
            "vrrp" => Self::Vrrp,
            "carp" => Self::Carp,
            "ah" => Self::Ah,
            "esp" => Self::Esp,
            _ => return None,
        })
    }
}

pub(super) struct Parser {
    words: Vec<(Token, usize)>,
    pub(super) at: usize,
    /// Of the text.
    end: usize,
    pub(super) layout: Layout,
    pub(super) depth: usize,
    terms: usize,
}

/// The tests of a filter.
pub(super) fn parse(text: &str) -> Result<Node, FilterError> {
    let words = lexer::words(text)?;
    let mut parser = Parser { words, at: 0, end: text.len(), layout: Layout::ETHERNET, depth: 0, terms: 0 };
    if parser.words.is_empty() {
        return Ok(Node::True);
    }
    let (node, _) = parser.expression(None)?;
    if parser.peek().is_some() {
        return Err(parser.wrong("'and' or 'or' is wanted"));
    }
    let tests = count(&node);
    if tests > TESTS_MAX {
        return Err(FilterError::new(
            0,
            format!("the filter needs {tests} tests, {TESTS_MAX} at most are made"),
        ));
    }
    Ok(node)
}

fn count(node: &Node) -> usize {
    match node {
        Node::True => 0,
        Node::Test(_) => 1,
        Node::Not(node) => count(node),
        Node::And(first, second) | Node::Or(first, second) => count(first) + count(second),
    }
}

impl Parser {
    pub(super) fn peek(&self) -> Option<&Token> {
        self.words.get(self.at).map(|(token, _)| token)
    }

    fn peek_behind(&self, words: usize) -> Option<&Token> {
        self.words.get(self.at + words).map(|(token, _)| token)
    }

    pub(super) fn advance(&mut self) {
        self.at += 1;
    }

    /// An error where the parser is.
    pub(super) fn wrong(&self, message: impl Into<String>) -> FilterError {
        FilterError::new(self.words.get(self.at).map_or(self.end, |(_, at)| *at), message)
    }

    pub(super) fn take_sign(&mut self, sign: &str) -> bool {
        let there = matches!(self.peek(), Some(Token::Sign(next)) if *next == sign);
        self.at += usize::from(there);
        there
    }

    pub(super) fn expect_sign(&mut self, sign: &str) -> Result<(), FilterError> {
        if self.take_sign(sign) { Ok(()) } else { Err(self.wrong(format!("{sign:?} is wanted"))) }
    }

    pub(super) fn take_word(&mut self, word: &str) -> bool {
        let there = matches!(self.peek(), Some(Token::Word(next)) if next == word);
        self.at += usize::from(there);
        there
    }

    fn peek_word(&self) -> &str {
        match self.peek() {
            Some(Token::Word(word)) => word,
            _ => "",
        }
    }

    /// Behind an opening bracket.
    pub(super) fn enter(&mut self) -> Result<(), FilterError> {
        self.depth += 1;
        if self.depth > DEPTH_MAX {
            return Err(self.wrong(format!("more than {DEPTH_MAX} brackets are nested")));
        }
        Ok(())
    }

    /// A closing bracket.
    pub(super) fn leave(&mut self) -> Result<(), FilterError> {
        self.depth -= 1;
        self.expect_sign(")")
    }

    /// Terms joined by `and` and `or`, which bind alike; and the subject of the last.
    fn expression(&mut self, subject: Option<Subject>) -> Result<(Node, Option<Subject>), FilterError> {
        let (mut node, mut subject) = self.term(subject)?;
        loop {
            let and = match self.peek() {
                Some(Token::And) => true,
                Some(Token::Or) => false,
                _ => return Ok((node, subject)),
            };
            self.advance();
            let other;
            (other, subject) = self.term(subject)?;
            node = if and { node.and(other) } else { node.or(other) };
        }
    }

    fn term(&mut self, subject: Option<Subject>) -> Result<(Node, Option<Subject>), FilterError> {
        self.terms += 1;
        if self.terms > TERMS_MAX {
            return Err(self.wrong(format!("a filter has at most {TERMS_MAX} terms")));
        }
        if self.peek() == Some(&Token::Not) {
            self.advance();
            self.enter()?;
            let (node, subject) = self.term(subject)?;
            self.depth -= 1;
            return Ok((node.negated(), subject));
        }
        if self.is_comparison() {
            return Ok((self.comparison()?, None));
        }
        if self.take_sign("(") {
            self.enter()?;
            let (node, _) = self.expression(subject)?;
            self.leave()?;
            return Ok((node, subject));
        }
        if let Some(node) = self.other()? {
            return Ok((node, None));
        }
        self.named(subject)
    }

    /// Whether what follows is a number that is compared.
    fn is_comparison(&self) -> bool {
        match self.peek() {
            Some(Token::Sign("-")) => true,
            Some(Token::Number(_)) => follows_number(self.peek_behind(1)),
            Some(Token::Word(word)) if word == "len" => true,
            Some(Token::Word(word)) if names::constant(word).is_some() => follows_number(self.peek_behind(1)),
            Some(Token::Word(word)) => {
                Protocol::named(word).is_some() && self.peek_behind(1) == Some(&Token::Sign("["))
            }
            Some(Token::Sign("(")) => {
                let mut depth = 0;
                let closing = self.words[self.at..].iter().position(|(token, _)| {
                    match token {
                        Token::Sign("(") => depth += 1,
                        Token::Sign(")") => depth -= 1,
                        _ => {}
                    }
                    depth == 0
                });
                closing.is_some_and(|closing| follows_number(self.peek_behind(closing + 1)))
            }
            _ => false,
        }
    }

    pub(super) fn take_protocol(&mut self) -> Option<Protocol> {
        let protocol = Protocol::named(self.peek_word())?;
        self.advance();
        Some(protocol)
    }

    /// A term that names nothing.
    fn other(&mut self) -> Result<Option<Node>, FilterError> {
        if self.take_word("vlan") {
            let number = self.constant();
            if let Some(number) = number.filter(|number| *number > 4095) {
                return Err(self.wrong(format!("VLAN tag {number} greater than maximum 4095")));
            }
            return Ok(Some(self.layout.vlan(number)));
        }
        let less = self.peek_word() == "less";
        if less || self.peek_word() == "greater" {
            self.advance();
            let value = self.constant().ok_or_else(|| self.wrong("a length is wanted"))?;
            let test = |relation| Node::Test(Test::Length { relation, value });
            return Ok(Some(match less {
                true => test(Relation::Greater).negated(),
                false => test(Relation::AtLeast),
            }));
        }
        let start = self.at;
        let protocol = self.take_protocol();
        match self.peek_word() {
            "broadcast" => {
                if !matches!(protocol, None | Some(Protocol::Ethernet)) {
                    return Err(self.wrong("only ether and no protocol have a broadcast that is known here"));
                }
                self.advance();
                Ok(Some(Layout::station(End::Destination, [0xff; 6])))
            }
            "multicast" => {
                let node = match protocol {
                    None | Some(Protocol::Ethernet) => Layout::group_of_stations(),
                    Some(Protocol::Ip) => self.layout.group_of_hosts(),
                    Some(Protocol::Ip6) => self.layout.group_of_hosts6(),
                    Some(_) => return Err(self.wrong("only ether, ip and ip6 have groups")),
                };
                self.advance();
                Ok(Some(node))
            }
            "src" | "dst" | "host" | "net" | "port" | "portrange" | "proto" => {
                self.at = start;
                Ok(None)
            }
            _ => protocol.map(|protocol| self.packets_of(protocol)).transpose(),
        }
    }

    /// All packets of a protocol.
    pub(super) fn packets_of(&self, protocol: Protocol) -> Result<Node, FilterError> {
        let layout = self.layout;
        Ok(match protocol {
            Protocol::Ethernet => return Err(self.wrong("behind ether, what is asked for is wanted")),
            Protocol::Arp => layout.ethertype(TYPE_ARP),
            Protocol::Rarp => layout.ethertype(TYPE_RARP),
            Protocol::Ip => layout.ethertype(TYPE_IP),
            Protocol::Ip6 => layout.ethertype(TYPE_IP6),
            Protocol::Tcp => layout.over_either(TCP),
            Protocol::Udp => layout.over_either(UDP),
            Protocol::Sctp => layout.over_either(SCTP),
            Protocol::Icmp => layout.over_ip(1),
            Protocol::Icmp6 => layout.over_ip6(58),
            Protocol::Igmp => layout.over_ip(2),
            Protocol::Igrp => layout.over_ip(9),
            Protocol::Pim => layout.over_either(103),
            Protocol::Vrrp | Protocol::Carp => layout.over_ip(112),
            Protocol::Ah => layout.over_either(51),
            Protocol::Esp => layout.over_either(50),
        })
    }

    /// A term that names something, and perhaps what.
    fn named(&mut self, inherited: Option<Subject>) -> Result<(Node, Option<Subject>), FilterError> {
        let start = self.at;
        let protocol = self.take_protocol();
        let end = self.end_of_packet();
        let kind = match self.peek_word() {
            "host" => Some(Kind::Host),
            "net" => Some(Kind::Net),
            "port" => Some(Kind::Port),
            "portrange" => Some(Kind::PortRange),
            "proto" if end.is_none() => Some(Kind::Protocol),
            _ => None,
        };
        self.at += usize::from(kind.is_some());
        let subject = match inherited {
            Some(subject) if self.at == start => subject,
            None if self.at == start => {
                return Err(self.wrong("a word such as host, port, tcp or vlan is wanted"));
            }
            _ => Subject { protocol, end: end.unwrap_or(End::Either), kind: kind.unwrap_or(Kind::Host) },
        };
        Ok((self.names(subject)?, Some(subject)))
    }

    fn end_of_packet(&mut self) -> Option<End> {
        let one = |word: &str| match word {
            "src" => Some(End::Source),
            "dst" => Some(End::Destination),
            _ => None,
        };
        let first = one(self.peek_word())?;
        self.advance();
        let second = match self.peek_behind(1) {
            Some(Token::Word(word)) => one(word).filter(|second| *second != first),
            _ => None,
        };
        let both = match self.peek() {
            Some(Token::And) if second.is_some() => End::Both,
            Some(Token::Or) if second.is_some() => End::Either,
            _ => return Some(first),
        };
        self.at += 2;
        Some(both)
    }

    /// One name, or some in brackets.
    fn names(&mut self, subject: Subject) -> Result<Node, FilterError> {
        self.enter()?;
        let node = if self.peek() == Some(&Token::Not) {
            self.advance();
            self.names(subject)?.negated()
        } else if self.take_sign("(") {
            let mut node = self.names(subject)?;
            while let Some(and) = self.peek().and_then(|token| match token {
                Token::And => Some(true),
                Token::Or => Some(false),
                _ => None,
            }) {
                self.advance();
                self.terms += 1;
                if self.terms > TERMS_MAX {
                    return Err(self.wrong(format!("a filter has at most {TERMS_MAX} terms")));
                }
                let other = self.names(subject)?;
                node = if and { node.and(other) } else { node.or(other) };
            }
            self.expect_sign(")")?;
            node
        } else {
            self.name(subject)?
        };
        self.depth -= 1;
        Ok(node)
    }
}
