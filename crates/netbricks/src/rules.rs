//! Firewall rules as people write them, the first that matches decides.
//!
//! ```text
//! permit|deny [out|in] [PROTOCOL] SOURCE [PORTS] DESTINATION [PORTS]
//! ```
//!
//! `out` is for packets that come in at gate 0 and `in` for those of gate 1; without either a rule is for both. A protocol
//! is `tcp`, `udp`, `sctp`, `udplite`, `icmp`, `icmp6`, `gre`, `esp`, `ah`, a number, or `any`; source and destination are
//! an address, a prefix or `any`; ports are `80` or `1000-2000`, for protocols that have them. ClassBench's filter files
//! ([`lookup::acl`]) can be read as well; they say what is matched and not what is done with it.
//!
//! ```
//! use netbricks::rules::{Action, Line, Rules};
//! use packet::{flow::FlowKey, wire::IpProtocol};
//!
//! let lines = ["permit tcp 10.0.0.0/8 any 80-88", "permit in udp any 53 any", "deny any any"];
//! let lines: Vec<Line> = lines.iter().map(|line| line.parse()).collect::<Result<_, _>>()?;
//! let mut rules = Rules::new(lines, Action::Permit)?;
//! let web = FlowKey::new(IpProtocol::TCP, "10.1.2.3:4000".parse()?, "192.0.2.1:80".parse()?).unwrap();
//! assert_eq!(rules.decide(0, &web), Action::Permit);
//! assert_eq!(rules.decide(0, &web.reversed()), Action::Deny);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

use std::fmt;
use std::net::IpAddr;
use std::ops::RangeInclusive;
use std::str::FromStr;
use std::sync::Arc;

use lookup::acl::{Acl, AclError, Networks, Prefix, ProtocolMatch, RULES_MAX, Rule};
use packet::flow::FlowKey;
use packet::parse::{Layers, Network};
use packet::wire::{IpProtocol, icmpv6};
use thiserror::Error;

use crate::{Args, ArgsError, Gate, Report};

/// What is done with a packet.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Action {
    /// It passes.
    Permit,
    /// It ends.
    #[default]
    Deny,
}

impl FromStr for Action {
    type Err = RuleError;

    fn from_str(text: &str) -> Result<Self, RuleError> {
        match text {
            "permit" => Ok(Self::Permit),
            "deny" => Ok(Self::Deny),
            _ => Err(RuleError::Action(shown(text))),
        }
    }
}

impl fmt::Display for Action {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if *self == Self::Permit { "permit" } else { "deny" })
    }
}

/// What is wrong with a rule.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum RuleError {
    /// It begins with something else than what to do.
    #[error("'{0}': permit or deny is wanted")]
    Action(String),
    /// It ends too early.
    #[error("the {0} is missing")]
    Missing(&'static str),
    /// No protocol, no address, no prefix.
    #[error("'{0}': a protocol, an address, a prefix or any is wanted")]
    Network(String),
    /// Source and destination are of two families.
    #[error("source and destination are of different families")]
    Families,
    /// Ports of a protocol that has none.
    #[error("'{0}': ports ask for tcp, udp, sctp or udplite")]
    NoPorts(String),
    /// More than a rule has.
    #[error("'{0}' stands behind the end of the rule, or is no port")]
    Trailing(String),
}

/// As much of a word as an error repeats.
fn shown(text: &str) -> String {
    text.chars().take(60).collect()
}

/// One rule: what it is for and what it does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Line {
    /// Permit or deny.
    pub action: Action,
    /// The gate whose packets it is for; `None` for both.
    pub gate: Option<Gate>,
    /// What it matches.
    pub rule: Rule,
    text: String,
}

impl fmt::Display for Line {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl Line {
    /// A rule of ClassBench's, for both gates.
    #[must_use]
    pub fn of_classbench(rule: Rule, action: Action) -> Self {
        let text = format!("{action} {}", rule.to_string().replace('\t', " "));
        Self { action, gate: None, rule, text }
    }
}

impl FromStr for Line {
    type Err = RuleError;

    fn from_str(text: &str) -> Result<Self, RuleError> {
        let mut words = Words(text.split_whitespace().collect(), 0);
        let action = words.next().ok_or(RuleError::Missing("action"))?.parse()?;
        let gate = match words.peek() {
            Some("out") => Some(0),
            Some("in") => Some(1),
            _ => None,
        };
        words.1 += usize::from(gate.is_some());
        let protocol = words.protocol();
        let source = network(words.next().ok_or(RuleError::Missing("source"))?)?;
        let source_ports = words.ports();
        let destination = network(words.next().ok_or(RuleError::Missing("destination"))?)?;
        let destination_ports = words.ports();
        if let Some(more) = words.next() {
            return Err(RuleError::Trailing(shown(more)));
        }
        let asks_ports = source_ports.is_some() || destination_ports.is_some();
        if asks_ports && !protocol.is_some_and(has_ports) {
            return Err(RuleError::NoPorts(shown(text)));
        }
        let any = || 0..=u16::MAX;
        let rule = Rule {
            networks: networks(source, destination)?,
            source_ports: source_ports.unwrap_or_else(any),
            destination_ports: destination_ports.unwrap_or_else(any),
            protocol: protocol.map_or(ProtocolMatch::ANY, ProtocolMatch::exactly),
        };
        Ok(Self { action, gate, rule, text: words.0.join(" ") })
    }
}

fn has_ports(protocol: IpProtocol) -> bool {
    matches!(protocol, IpProtocol::TCP | IpProtocol::UDP | IpProtocol::SCTP | IpProtocol::UDP_LITE)
}

/// The words of a rule, and how many are read.
struct Words<'a>(Vec<&'a str>, usize);

impl<'a> Words<'a> {
    fn peek(&self) -> Option<&'a str> {
        self.0.get(self.1).copied()
    }

    fn next(&mut self) -> Option<&'a str> {
        let word = self.peek()?;
        self.1 += 1;
        Some(word)
    }

    /// The protocol, if the next word is one. `any` is where two networks follow it; `None` is any.
    fn protocol(&mut self) -> Option<IpProtocol> {
        let word = self.peek()?;
        let protocol = match word {
            "tcp" => IpProtocol::TCP,
            "udp" => IpProtocol::UDP,
            "sctp" => IpProtocol::SCTP,
            "udplite" => IpProtocol::UDP_LITE,
            "icmp" => IpProtocol::ICMP,
            "icmp6" => IpProtocol::ICMPV6,
            "gre" => IpProtocol::GRE,
            "esp" => IpProtocol::ESP,
            "ah" => IpProtocol::AH,
            "any" => {
                let networks = self.0[self.1 + 1..].iter().take(2).filter(|word| network(word).is_ok());
                self.1 += usize::from(networks.count() == 2);
                return None;
            }
            _ => IpProtocol(word.parse().ok()?),
        };
        self.1 += 1;
        Some(protocol)
    }

    /// Ports, if the next word is that.
    fn ports(&mut self) -> Option<RangeInclusive<u16>> {
        let word = self.peek()?;
        let (first, last) = word.split_once('-').unwrap_or((word, word));
        let (first, last) = (first.parse().ok()?, last.parse().ok()?);
        self.1 += usize::from(first <= last);
        (first <= last).then_some(first..=last)
    }
}

/// An address and how many of its bits count; `None` for any.
type Side = Option<(IpAddr, u8)>;

fn network(text: &str) -> Result<Side, RuleError> {
    if text == "any" {
        return Ok(None);
    }
    let wrong = || RuleError::Network(shown(text));
    let (address, length) = match text.split_once('/') {
        Some((address, length)) => (address, Some(length.parse::<u8>().map_err(|_| wrong())?)),
        None => (text, None),
    };
    let address: IpAddr = address.parse().map_err(|_| wrong())?;
    let longest = if address.is_ipv4() { 32 } else { 128 };
    match length.unwrap_or(longest) {
        length if length <= longest => Ok(Some((address, length))),
        _ => Err(wrong()),
    }
}

fn networks(source: Side, destination: Side) -> Result<Networks, RuleError> {
    let is_v4 = |side: Side| side.map(|(address, _)| address.is_ipv4());
    match is_v4(source).or(is_v4(destination)) {
        None => Ok(Networks::Any),
        Some(true) => Ok(Networks::V4 { source: v4(source)?, destination: v4(destination)? }),
        Some(false) => Ok(Networks::V6 { source: v6(source)?, destination: v6(destination)? }),
    }
}

fn v4(side: Side) -> Result<Prefix<std::net::Ipv4Addr>, RuleError> {
    match side {
        None => Ok(Prefix::<std::net::Ipv4Addr>::ANY),
        Some((IpAddr::V4(address), length)) => {
            Prefix::<std::net::Ipv4Addr>::new(address, length).ok_or(RuleError::Families)
        }
        Some(_) => Err(RuleError::Families),
    }
}

fn v6(side: Side) -> Result<Prefix<std::net::Ipv6Addr>, RuleError> {
    match side {
        None => Ok(Prefix::<std::net::Ipv6Addr>::ANY),
        Some((IpAddr::V6(address), length)) => {
            Prefix::<std::net::Ipv6Addr>::new(address, length).ok_or(RuleError::Families)
        }
        Some(_) => Err(RuleError::Families),
    }
}

/// What rules can be asked about a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Subject {
    /// The 5-tuple; of a fragment that is not the first, without ports.
    Flow(FlowKey),
    /// What keeps a link together, and no rule speaks of: frames that are not IP, multicast listener and neighbour
    /// discovery. The tracker calls them untracked.
    Link,
}

impl Subject {
    /// What a packet is to rules.
    #[inline]
    #[must_use]
    pub fn of(layers: &Layers, frame: &[u8]) -> Self {
        if layers.protocol == IpProtocol::ICMPV6
            && layers.network == Network::V6
            && is_discovery(layers, frame)
        {
            return Self::Link;
        }
        // A fragment without its first is never put together (RFC 1858 §2), so it may be judged without its ports.
        FlowKey::of(layers, frame).or_else(|| FlowKey::hosts(layers, frame)).map_or(Self::Link, Self::Flow)
    }
}

fn is_discovery(layers: &Layers, frame: &[u8]) -> bool {
    icmpv6::View::new_checked(layers.segment(frame))
        .is_ok_and(|message| matches!(message.kind().0, 130..=137 | 143))
}

/// Rules in their order, and how many packets each has decided.
pub struct Rules {
    /// Those for gate 0 and for gate 1, each with the place of its line; one and the same where no line has a gate.
    acls: [Arc<Acl<u32>>; 2],
    lines: Vec<Line>,
    hits: Vec<u64>,
    default: Action,
    default_hits: u64,
}

impl fmt::Debug for Rules {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(&self.lines).finish()
    }
}

impl Rules {
    /// The rules `lines`; what none matches is done as `default` says.
    ///
    /// # Errors
    /// More than [`RULES_MAX`] rules.
    pub fn new(lines: Vec<Line>, default: Action) -> Result<Self, AclError> {
        let of_gate = |gate| {
            let mine =
                lines.iter().zip(0..).filter(move |(line, _)| line.gate.is_none_or(|only| only == gate));
            Acl::build(mine.map(|(line, at)| (line.rule.clone(), at))).map(Arc::new)
        };
        let inside = of_gate(0)?;
        let alike = lines.iter().all(|line| line.gate.is_none());
        let acls = [inside.clone(), if alike { inside } else { of_gate(1)? }];
        let hits = vec![0; lines.len()];
        Ok(Self { acls, lines, hits, default, default_hits: 0 })
    }

    /// What is done with a packet of this tuple that came in at `gate`.
    #[inline]
    pub fn decide(&mut self, gate: Gate, key: &FlowKey) -> Action {
        let mut action = [Action::default()];
        self.decide_batch(gate, std::slice::from_ref(key), &mut action);
        action[0]
    }

    /// [`decide`](Self::decide) for many, in less time; as many as there are both keys and places.
    pub fn decide_batch(&mut self, gate: Gate, keys: &[FlowKey], actions: &mut [Action]) {
        let acl = &self.acls[usize::from(gate & 1)];
        for (keys, actions) in keys.chunks(packet::BATCH).zip(actions.chunks_mut(packet::BATCH)) {
            let mut found = [None; packet::BATCH];
            acl.lookup_batch(keys, &mut found);
            for (action, place) in actions.iter_mut().zip(found).take(keys.len()) {
                *action = match place.and_then(|place| acl.rule(place as usize)) {
                    Some((_, line)) => {
                        self.hits[*line as usize] += 1;
                        self.lines[*line as usize].action
                    }
                    None => {
                        self.default_hits += 1;
                        self.default
                    }
                };
            }
        }
    }

    /// How many packets each rule has decided, in their order, those that none of it has left out, and the default.
    pub fn report(&self, report: &mut Report) {
        let hit = self.lines.iter().zip(&self.hits).filter(|(_, hits)| **hits > 0);
        hit.for_each(|(line, hits)| report.line(format!("{hits:>10} {line}")));
        report.line(format!("{:>10} {} by default", self.default_hits, self.default));
        let idle = self.hits.iter().filter(|hits| **hits == 0).count();
        report.counter("rules that decided nothing", idle as u64);
    }

    /// Takes `rule=`, `classbench=`, `matched=` and `default=` from arguments.
    pub(crate) fn take(args: &mut Args) -> Result<Self, ArgsError> {
        let mut lines = Vec::new();
        for text in args.lines("rule")? {
            lines.push(text.parse::<Line>().map_err(|error| args.wrong("rule", &text, error))?);
        }
        let matched = args.take_or("matched", Action::Permit)?;
        for text in args.lines("classbench")? {
            let rule = text.parse::<Rule>().map_err(|error| args.wrong("classbench", &text, error))?;
            lines.push(Line::of_classbench(rule, matched));
        }
        if lines.len() > RULES_MAX {
            return Err(args.conflict(AclError::TooManyRules));
        }
        let default = args.take_or("default", Action::Deny)?;
        Self::new(lines, default).map_err(|error| args.conflict(error))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rules_are_read_as_they_are_written() {
        let read =
            |text: &str| text.parse::<Line>().map(|line| (line.action, line.gate, line.rule.to_string()));
        let rule = |text: &str| Ok(text.replace(' ', "\t").replace("_", " "));
        let both = |action, text| rule(text).map(|text| (action, None, text));
        use Action::{Deny, Permit};
        assert_eq!(
            read("permit tcp 10.0.0.0/8 any 80"),
            both(Permit, "@10.0.0.0/8 0.0.0.0/0 0_:_65535 80_:_80 0x06/0xff")
        );
        assert_eq!(read("deny any any"), both(Deny, "@0.0.0.0/0 0.0.0.0/0 0_:_65535 0_:_65535 0x00/0x00"));
        assert_eq!(read("deny any any any"), read("deny any any"));
        assert_eq!(read("deny any any 10.0.0.1"), read("deny any 10.0.0.1/32"));
        assert_eq!(
            read("permit  udp any 1000-2000 192.0.2.7"),
            both(Permit, "@0.0.0.0/0 192.0.2.7/32 1000_:_2000 0_:_65535 0x11/0xff")
        );
        assert_eq!(read("permit in 47 any any").unwrap().1, Some(1));
        assert_eq!(read("permit out any any").unwrap().1, Some(0));
        assert_eq!(
            read("deny icmp6 fd00::/8 any"),
            both(Deny, "@fd00:0:0:0:0:0:0:0/8 0:0:0:0:0:0:0:0/0 0_:_65535 0_:_65535 0x3a/0xff")
        );
    }

    #[test]
    fn what_is_wrong_with_a_rule_is_said() {
        let wrong = |text: &str| text.parse::<Line>().unwrap_err().to_string();
        assert_eq!(wrong(""), "the action is missing");
        assert_eq!(wrong("allow any any"), "'allow': permit or deny is wanted");
        assert_eq!(wrong("permit tcp any"), "the destination is missing");
        assert_eq!(
            wrong("permit tcp any 10.0.0.0/33"),
            "'10.0.0.0/33': a protocol, an address, a prefix or any is wanted"
        );
        assert_eq!(wrong("permit 10.0.0.1 fd00::1"), "source and destination are of different families");
        assert_eq!(
            wrong("permit any any 80"),
            "'permit any any 80': ports ask for tcp, udp, sctp or udplite"
        );
        assert_eq!(
            wrong("permit icmp any any 8"),
            "'permit icmp any any 8': ports ask for tcp, udp, sctp or udplite"
        );
        assert_eq!(
            wrong("permit tcp any any 90-80"),
            "'90-80' stands behind the end of the rule, or is no port"
        );
        assert_eq!(
            wrong("permit tcp any any 80 81"),
            "'81' stands behind the end of the rule, or is no port"
        );
    }

    #[test]
    fn each_gate_has_its_rules_in_one_order() {
        let lines =
            ["permit out tcp any any 80", "permit in tcp any any 22", "deny tcp any any", "permit any any"];
        let lines = lines.map(|line| line.parse().unwrap()).to_vec();
        let mut rules = Rules::new(lines, Action::Deny).unwrap();
        let key = |port: u16| {
            FlowKey::new(IpProtocol::TCP, ([10, 0, 0, 1], 1).into(), ([10, 0, 0, 2], port).into()).unwrap()
        };
        let mut decide = |gate, port| rules.decide(gate, &key(port));
        assert_eq!([decide(0, 80), decide(0, 22), decide(1, 80), decide(1, 22)], {
            use Action::{Deny, Permit};
            [Permit, Deny, Deny, Permit]
        });
        let mut report = Report::default();
        rules.report(&mut report);
        assert_eq!(report.lines()[2].trim(), "2 deny tcp any any");
        assert_eq!(report.get("rules that decided nothing"), 1);
    }
}
