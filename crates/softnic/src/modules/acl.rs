//! [`Acl`].

mod compared;

use std::net::{Ipv4Addr, Ipv6Addr};

use lookup::acl::{AclError, Networks, Prefix, RULES_MAX, Rule};
use packet::flow::{FlowKey, Tuple};
use packet::{Batch, Packet};

use self::compared::{Compared, Keys, V4, V6};
use super::flow_key::flow_key;
use super::gates::{DROP, send};
use super::part::part;
use crate::engine::{Context, Gate, Module};

/// Rules behind those in the classifier, at least: they are compared one by one.
const TAIL_MIN: usize = 32;
/// There may be as many more as the classifier has rules, divided by this.
const TAIL_SHARE: usize = 16;

/// Lets packets through, or not, by their addresses, ports and protocol.
///
/// *Input gates*: one. *Output gates*: one.
///
/// The first rule that a packet matches says whether it is dropped; one that matches none is dropped. Both families have
/// the same rules, and a rule is of the family of its addresses. Packets that are not IP, or whose lengths lie, match
/// only [`Rule::ANY`]. Fragments behind the first have no ports: they are 0.
///
/// The first 32 rules are compared one by one; more are put into a classifier ([`lookup::acl`]), which is built anew when
/// too many have come since. Ten thousand rules take it tens of milliseconds, so those who have many give them at once.
///
/// ```
/// use lookup::acl::Rule;
/// let mut module = softnic::modules::Acl::new();
/// module.add([(Rule { destination_ports: 80..=80, ..Rule::ANY }, true), (Rule::ANY, false)])?;
/// # Ok::<(), lookup::acl::AclError>(())
/// ```
#[derive(Default)]
pub struct Acl {
    /// Each, and whether packets are dropped.
    rules: Vec<(Rule, bool)>,
    /// Of the first of them.
    classifier: Option<lookup::acl::Acl<()>>,
    classified: usize,
    /// Those behind, as each family sees them.
    tail_v4: Vec<Compared<V4>>,
    tail_v6: Vec<Compared<V6>>,
}

impl Acl {
    /// Without rules: everything is dropped.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds rules behind those there are, each with whether its packets are dropped.
    ///
    /// # Errors
    /// More than [`RULES_MAX`]; a range of ports that is none. Then nothing changes.
    pub fn add(&mut self, rules: impl IntoIterator<Item = (Rule, bool)>) -> Result<(), AclError> {
        let before = self.rules.len();
        self.rules.extend(rules.into_iter().take(RULES_MAX + 1 - before));
        if let Err(error) = check(&self.rules, before) {
            self.rules.truncate(before);
            return Err(error);
        }
        let tail = self.rules.len() - self.classified;
        if tail <= TAIL_MIN + self.classified / TAIL_SHARE {
            (before..self.rules.len()).for_each(|number| self.compare(number));
            return Ok(());
        }
        self.classifier =
            Some(lookup::acl::Acl::build(self.rules.iter().map(|(rule, _)| (rule.clone(), ())))?);
        self.classified = self.rules.len();
        self.tail_v4.clear();
        self.tail_v6.clear();
        Ok(())
    }

    /// Has a rule compared.
    fn compare(&mut self, number: usize) {
        let (rule, at) = (&self.rules[number].0, number as u32);
        match rule.networks {
            Networks::Any => {
                let (any_v4, any_v6) = (Prefix::<Ipv4Addr>::ANY, Prefix::<Ipv6Addr>::ANY);
                self.tail_v4.push(Compared::v4(rule, at, any_v4, any_v4));
                self.tail_v6.push(Compared::v6(rule, at, any_v6, any_v6));
            }
            Networks::V4 { source, destination } => {
                self.tail_v4.push(Compared::v4(rule, at, source, destination));
            }
            Networks::V6 { source, destination } => {
                self.tail_v6.push(Compared::v6(rule, at, source, destination));
            }
        }
    }

    /// Takes all rules out.
    pub fn clear(&mut self) {
        *self = Self::default();
    }

    /// The rules, in order, each with whether its packets are dropped.
    pub fn rules(&self) -> &[(Rule, bool)] {
        &self.rules
    }

    /// The first rule behind the classified that matches.
    #[inline]
    fn tail(&self, key: &FlowKey) -> Option<u32> {
        match key {
            FlowKey::V4(tuple) => self.tail_v4.iter().find(|rule| rule.is(tuple)).map(|rule| rule.rule),
            FlowKey::V6(tuple) => self.tail_v6.iter().find(|rule| rule.is(tuple)).map(|rule| rule.rule),
        }
    }

    /// Those of a batch's packets, one bit each, that pass rules of which none is classified.
    #[inline]
    fn passing(&self, batch: &Batch) -> u64 {
        let keys = Keys::of(batch);
        let mut passing = 0;
        keys.match_first(&self.tail_v4, |rule, lanes| {
            if self.gate(Some(rule)) != DROP {
                passing |= u64::from(lanes);
            }
        });
        let all = (1u64 << batch.len()) - 1;
        if u64::from(keys.there) != all {
            passing |= self.passing_others(batch, all & !u64::from(keys.there));
        }
        passing
    }

    /// [`passing`](Self::passing) of those that are not plain.
    #[inline(never)]
    fn passing_others(&self, batch: &Batch, others: u64) -> u64 {
        let passes = |packet: &Packet| match flow_key(packet.data()) {
            Some(key) => self.gate(self.tail(&key)) != DROP,
            None => self.gate_of_others() != DROP,
        };
        let mut passing = 0;
        for (lane, packet) in batch.iter().enumerate().filter(|(lane, _)| others >> lane & 1 == 1) {
            passing |= u64::from(passes(packet)) << lane;
        }
        passing
    }

    /// Whether the first rule that matches lets pass.
    #[inline]
    fn gate(&self, rule: Option<u32>) -> Gate {
        match rule {
            Some(rule) if !self.rules[rule as usize].1 => 0,
            _ => DROP,
        }
    }

    /// Where packets go that are not IP.
    #[cold]
    fn gate_of_others(&self) -> Gate {
        let any = self.rules.iter().position(|(rule, _)| *rule == Rule::ANY);
        self.gate(any.map(|at| at as u32))
    }
}

/// Whether all rules from `first` on are ones that a classifier takes.
fn check(rules: &[(Rule, bool)], first: usize) -> Result<(), AclError> {
    if rules.len() > RULES_MAX {
        return Err(AclError::TooManyRules);
    }
    for (number, (rule, _)) in rules.iter().enumerate().skip(first) {
        let mut ranges = [&rule.source_ports, &rule.destination_ports].into_iter();
        if let Some(range) = ranges.find(|range| range.is_empty()) {
            return Err(AclError::EmptyRange { rule: number, first: *range.start(), last: *range.end() });
        }
    }
    Ok(())
}

impl Module for Acl {
    fn class(&self) -> &'static str {
        "ACL"
    }

    fn keeps_lengths(&self) -> bool {
        true
    }

    fn process(&mut self, ctx: &mut Context<'_>, _gate: Gate, batch: &mut Batch) {
        let Some(classifier) = &self.classifier else {
            let passing = self.passing(batch);
            return part(ctx, batch, passing, Some(0), None);
        };
        let (mut gates, count) = ([DROP; packet::BATCH], batch.len());
        // The key of those that have none is looked up and thrown away.
        let nobody = FlowKey::V4(Tuple {
            source: [0; 4].into(),
            destination: [0; 4].into(),
            source_port: 0,
            destination_port: 0,
            protocol: packet::wire::IpProtocol(0),
        });
        let (mut keys, mut is_ip) = ([nobody; packet::BATCH], [false; packet::BATCH]);
        for ((key, is_ip), packet) in keys.iter_mut().zip(&mut is_ip).zip(&*batch) {
            if let Some(found) = flow_key(packet.data()) {
                (*key, *is_ip) = (found, true);
            }
        }
        let mut found = [None; packet::BATCH];
        classifier.lookup_batch(&keys[..count], &mut found);
        for lane in 0..count {
            gates[lane] = match is_ip[lane] {
                true => self.gate(found[lane].or_else(|| self.tail(&keys[lane]))),
                false => self.gate_of_others(),
            };
        }
        send(ctx, batch, &gates[..count]);
    }

    fn status(&self) -> String {
        format!("{} rules", self.rules.len())
    }
}

#[cfg(test)]
mod tests {
    use lookup::acl::{Prefix, ProtocolMatch};
    use packet::wire::IpProtocol;

    use super::*;
    use crate::engine::rig::{Random, Rig, packet};

    fn frame(random: &mut Random) -> Vec<u8> {
        let mut frame = vec![2; 12];
        let small = |random: &mut Random| random.below(3) as u8;
        let ports = [0, small(random), 0, small(random)];
        let protocol = *random.pick(&[6, 17]);
        if random.below(10) == 0 {
            frame.extend([0x08, 0x06]);
            frame.extend([0; 50]);
        } else if random.below(2) == 0 {
            let [source, destination] = [small(random), small(random)];
            frame.extend([0x08, 0x00, 0x45, 0, 0, 40, 0, 0, 0, 0, 64, protocol, 0, 0, 10, 0, 0, source]);
            frame.extend([10, 0, 0, destination]);
            segment(&mut frame, ports, protocol);
        } else {
            frame.extend([0x86, 0xdd, 0x60, 0, 0, 0, 0, 20, protocol, 64]);
            for _ in 0..2 {
                frame.extend([0x20, 1, 0xd, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, small(random)]);
            }
            segment(&mut frame, ports, protocol);
        }
        frame
    }

    fn segment(frame: &mut Vec<u8>, ports: [u8; 4], protocol: u8) {
        frame.extend(ports);
        match protocol {
            6 => frame.extend([0, 0, 0, 0, 0, 0, 0, 0, 0x50, 0, 0, 0, 0, 0, 0, 0]),
            _ => frame.extend([0, 20, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]),
        }
    }

    fn rule(random: &mut Random) -> Rule {
        let v4 = |random: &mut Random| {
            Prefix::<std::net::Ipv4Addr>::new(
                [10, 0, 0, random.below(3) as u8].into(),
                *random.pick(&[0, 8, 30, 31, 32]),
            )
        };
        let v6 = |random: &mut Random| {
            let address = [0x2001, 0xdb8, 0, 0, 0, 0, 0, random.below(3) as u16].into();
            Prefix::<std::net::Ipv6Addr>::new(address, *random.pick(&[0, 32, 126, 127, 128]))
        };
        let networks = match random.below(5) {
            0 => Networks::Any,
            1 | 2 => Networks::V4 { source: v4(random).unwrap(), destination: v4(random).unwrap() },
            _ => Networks::V6 { source: v6(random).unwrap(), destination: v6(random).unwrap() },
        };
        let ports = |random: &mut Random| match random.below(3) {
            0 => 0..=u16::MAX,
            1 => 1..=2,
            _ => 2..=2,
        };
        let protocol = match random.below(3) {
            0 => ProtocolMatch::exactly(IpProtocol::UDP),
            _ => ProtocolMatch::ANY,
        };
        Rule { networks, source_ports: ports(random), destination_ports: ports(random), protocol }
    }

    #[test]
    fn the_first_rule_decides_however_many_there_are() {
        let mut random = Random::seeded();
        let mut passed = 0;
        for _ in 0..30 {
            let mut module = Acl::new();
            for _ in 0..random.below(8) {
                let many = *random.pick(&[1, 1, 5, 40]);
                let rules: Vec<_> = (0..many).map(|_| (rule(&mut random), random.below(2) == 0)).collect();
                module.add(rules).unwrap();
                let frames: Vec<_> = (0..100).map(|_| frame(&mut random)).collect();
                for frame in &frames {
                    let key = flow_key(frame);
                    let matches =
                        |(rule, _): &&(Rule, bool)| key.map_or(*rule == Rule::ANY, |key| rule.matches(&key));
                    let passes = module.rules().iter().find(matches).is_some_and(|(_, drop)| !drop);
                    let gate = Rig::on(&mut module).gate(frame);
                    assert_eq!(gate, passes.then_some(0), "{key:?} {random:?}");
                    passed += u32::from(passes);
                }
                let twin: Vec<_> =
                    frames.iter().filter(|frame| Rig::on(&mut module).gate(frame).is_some()).collect();
                let out = Rig::on(&mut module).pass(0, frames.iter().map(|frame| packet(frame)));
                assert!(out.iter().map(|(_, packet)| packet.data()).eq(twin), "{random:?}");
            }
        }
        assert!(passed > 100, "{random:?}");
    }

    #[test]
    fn rules_come_behind_those_there_are() {
        let mut module = Acl::new();
        let frame_of = || frame(&mut Random::seeded());
        assert_eq!(Rig::on(&mut module).gate(&frame_of()), None);
        module.add([(Rule::ANY, false)]).unwrap();
        module.add([(Rule::ANY, true)]).unwrap();
        assert_eq!(Rig::on(&mut module).gate(&frame_of()), Some(0));
        module.clear();
        module.add([(Rule::ANY, true), (Rule::ANY, false)]).unwrap();
        assert_eq!(Rig::on(&mut module).gate(&frame_of()), None);
    }

    #[test]
    fn wrong_rules_change_nothing() {
        let mut module = Acl::new();
        module.add([(Rule::ANY, false)]).unwrap();
        #[expect(clippy::reversed_empty_ranges)]
        let empty = Rule { source_ports: 2..=1, ..Rule::ANY };
        let wrong = module.add([(Rule::ANY, true), (empty, true)]);
        assert_eq!(wrong, Err(AclError::EmptyRange { rule: 2, first: 2, last: 1 }));
        let many = module.add(std::iter::repeat_n((Rule::ANY, true), RULES_MAX));
        assert_eq!(many, Err(AclError::TooManyRules));
        assert_eq!(module.rules().len(), 1);
    }
}
