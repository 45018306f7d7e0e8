//! The network while one blueprint takes another's place and containers of both are there.
//!
//! Every container lives under the blueprint that it was started from; those that both have alike go from the old to
//! the new one at a single moment. So between two containers passes
//!
//! | | that stays | still to go | started anew |
//! |---|---|---|---|
//! | **that stays** | what the new blueprint allows | what the old one allows | what the new one allows |
//! | **still to go** | what the old one allows | what the old one allows | what both allow |
//! | **started anew** | what the new one allows | what both allow | what the new one allows |
//!
//! and through the address of a service, which may lead to containers of several of these kinds, what all of them allow.
//! Nothing passes that neither blueprint allows, whoever is or was behind a name.
//!
//! Both blueprints are taken as the dataplane has them ([`crate::compile`]), so what a rule means is decided in one place.

use std::collections::{BTreeSet, HashMap, HashSet};

use softnic::fabric::program::{Program, Protocol, Rule, Selector, Service};

use crate::compile::Rules;
use crate::model::Ports;

/// Who is what while a blueprint takes another's place.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Instances {
    /// Containers that run as the old blueprint has them and will be stopped, replaced or not.
    pub old: BTreeSet<String>,
    /// Containers that the old blueprint does not have as they are now.
    pub fresh: BTreeSet<String>,
    /// Containers that services give no new connections.
    pub resting: BTreeSet<String>,
}

/// The program for a moment in between: `old` and `new` are what is in force before and after.
pub fn program(old: &Program, new: &Program, instances: &Instances) -> Program {
    let mut program = new.clone();
    let known: HashSet<&str> = new.endpoints.iter().map(|endpoint| endpoint.name.as_str()).collect();
    let gone = old
        .endpoints
        .iter()
        .filter(|endpoint| instances.old.contains(&endpoint.name) && !known.contains(endpoint.name.as_str()));
    program.endpoints.extend(gone.cloned());
    for endpoint in &mut program.endpoints {
        endpoint.resting = instances.resting.contains(&endpoint.name);
    }
    if instances.old.is_empty() {
        return program;
    }
    let present: HashSet<String> = program.endpoints.iter().map(|endpoint| endpoint.name.clone()).collect();
    let before: HashMap<&str, &Service> =
        old.services.iter().map(|service| (service.name.as_str(), service)).collect();
    let asked = asked_by_old(old, instances);
    for service in &mut program.services {
        let was = before.get(service.name.as_str()).copied();
        service.members = members(service, was, asked.contains(service.name.as_str()), instances, &present);
    }
    // What old rules go through that the new program does not have. A function that both have is the new one's at once.
    let functions =
        old.functions.iter().filter(|function| new.functions.iter().all(|other| other.name != function.name));
    program.functions.extend(functions.cloned());
    let between = Between::new(old, &program, new, instances, &present);
    program.rules = between.rules();
    program
}

/// Services whose address old containers may open connections to.
fn asked_by_old<'a>(old: &'a Program, instances: &Instances) -> HashSet<&'a str> {
    let has_old = |service: &&Service| service.members.iter().any(|member| instances.old.contains(member));
    let with_old: HashSet<&str> =
        old.services.iter().filter(has_old).map(|service| service.name.as_str()).collect();
    let by_old = |rule: &&Rule| match &rule.from {
        Selector::Endpoint(name) => instances.old.contains(name),
        Selector::Service(name) => with_old.contains(name.as_str()),
        _ => false,
    };
    let services = old.rules.iter().filter(by_old).filter_map(|rule| match &rule.to {
        Selector::Service(name) => Some(name.as_str()),
        _ => None,
    });
    services.collect()
}

/// Who is behind a service: the new blueprint's members, but of the old containers only those that were behind it, and
/// old members that rest until their connections are over. Where old containers ask it, nobody joins it meanwhile: they
/// are not to be led to whom they never knew.
fn members(
    service: &Service,
    before: Option<&Service>,
    asked_by_old: bool,
    instances: &Instances,
    present: &HashSet<String>,
) -> Vec<String> {
    let was = |name: &String| before.is_some_and(|before| before.members.contains(name));
    let stays = |name: &&String| !instances.old.contains(*name) || was(name);
    let mut members: Vec<String> = service.members.iter().filter(stays).cloned().collect();
    if asked_by_old && members.iter().any(was) {
        members.retain(was);
    }
    let leaves = |name: &&String| {
        instances.old.contains(*name)
            && instances.resting.contains(*name)
            && present.contains(*name)
            && !service.members.contains(name)
    };
    members.extend(before.into_iter().flat_map(|before| &before.members).filter(leaves).cloned());
    members
}

/// What decides about rules in between.
struct Between<'a> {
    old: &'a Program,
    new: &'a Program,
    instances: &'a Instances,
    present: &'a HashSet<String>,
    /// Members of services: in the old program, in the new one, and now.
    members: [HashMap<&'a str, BTreeSet<&'a str>>; 3],
    /// The new program's rules by whom they lead to.
    new_to: HashMap<&'a Selector, Vec<&'a Rule>>,
}

/// Whose word decides where one that is still to go is concerned.
enum Word {
    Old,
    Both,
    /// Old ones would be led to whom they never knew.
    None,
}

/// Which of the programs that know a service.
const OLD: usize = 0;
const NEW: usize = 1;
const NOW: usize = 2;

impl<'a> Between<'a> {
    fn new(
        old: &'a Program,
        now: &'a Program,
        new: &'a Program,
        instances: &'a Instances,
        present: &'a HashSet<String>,
    ) -> Self {
        let members = [old, new, now].map(|program| {
            let of = |service: &'a Service| {
                (service.name.as_str(), service.members.iter().map(String::as_str).collect())
            };
            program.services.iter().map(of).collect()
        });
        let mut new_to: HashMap<&Selector, Vec<&Rule>> = HashMap::new();
        for rule in &new.rules {
            new_to.entry(&rule.to).or_default().push(rule);
        }
        Self { old, new, instances, present, members, new_to }
    }

    fn rules(&self) -> Vec<Rule> {
        let mut rules = Rules::default();
        for rule in &self.new.rules {
            for from in self.sources(rule, NEW) {
                if !self.is_old(&from) && !self.leads_to_old(&rule.to) {
                    rules.add(&from, rule.to.clone(), rule.protocol, ports(rule), rule.into());
                }
            }
        }
        for rule in &self.old.rules {
            if !self.exists(&rule.to) {
                continue;
            }
            for from in self.sources(rule, OLD) {
                if !self.is_old(&from) && !self.leads_to_old(&rule.to) {
                    continue;
                }
                match self.word(&from, &rule.to) {
                    Word::Old => rules.add(&from, rule.to.clone(), rule.protocol, ports(rule), rule.into()),
                    Word::Both => self.add_common(&mut rules, &from, rule),
                    Word::None => {}
                }
            }
        }
        rules.rules
    }

    /// Who a rule's source stands for: as it is written where all members of a service are in the same position now, else
    /// each one on its own. Who is not there is left out.
    fn sources(&self, rule: &Rule, of: usize) -> Vec<Selector> {
        let Selector::Service(name) = &rule.from else {
            return if self.exists(&rule.from) { vec![rule.from.clone()] } else { Vec::new() };
        };
        let Some(members) = self.members[of].get(name.as_str()) else { return Vec::new() };
        let uniform = |class: &dyn Fn(&str) -> bool| {
            members.iter().all(|member| class(member)) || members.iter().all(|member| !class(member))
        };
        let same = self.members[NOW].get(name.as_str()) == Some(members);
        if same
            && uniform(&|name| self.instances.old.contains(name))
            && uniform(&|name| self.instances.fresh.contains(name))
        {
            return vec![rule.from.clone()];
        }
        let present = members.iter().filter(|member| self.present.contains(**member));
        present.map(|member| Selector::Endpoint((*member).to_owned())).collect()
    }

    fn exists(&self, selector: &Selector) -> bool {
        match selector {
            Selector::Endpoint(name) => self.present.contains(name),
            Selector::Service(name) => self.members[NOW].contains_key(name.as_str()),
            _ => true,
        }
    }

    /// Whether a source is one that is still to go.
    fn is_old(&self, from: &Selector) -> bool {
        self.any(from, &self.instances.old)
    }

    /// Whether one that is still to go may be reached by a destination.
    fn leads_to_old(&self, to: &Selector) -> bool {
        self.any(to, &self.instances.old)
    }

    fn any(&self, selector: &Selector, set: &BTreeSet<String>) -> bool {
        match selector {
            Selector::Endpoint(name) => set.contains(name),
            Selector::Service(name) => {
                let members = self.members[NOW].get(name.as_str());
                members.is_some_and(|members| members.iter().any(|member| set.contains(*member)))
            }
            _ => false,
        }
    }

    /// Whose word decides about a rule of the old program that concerns one that is still to go.
    fn word(&self, from: &Selector, to: &Selector) -> Word {
        let fresh = &self.instances.fresh;
        let Selector::Service(name) = to else {
            return if self.any(from, fresh) || self.any(to, fresh) { Word::Both } else { Word::Old };
        };
        let empty = BTreeSet::new();
        let members = |of: usize| self.members[of].get(name.as_str()).unwrap_or(&empty);
        let were_behind = members(NOW).is_subset(members(OLD));
        let all_old = members(NOW).iter().all(|member| self.instances.old.contains(*member));
        match self.is_old(from) {
            true if !were_behind => Word::None,
            _ if self.any(from, fresh) || self.any(to, fresh) => Word::Both,
            true => Word::Old,
            false if all_old && were_behind => Word::Old,
            false => Word::Both,
        }
    }

    /// Adds what the old rule and those of the new blueprint allow alike.
    fn add_common(&self, rules: &mut Rules, from: &Selector, rule: &Rule) {
        for other in self.new_to.get(&rule.to).into_iter().flatten() {
            let (min, max) =
                (*rule.ports.start().max(other.ports.start()), *rule.ports.end().min(other.ports.end()));
            let protocol = match (rule.protocol, other.protocol) {
                (Protocol::Any, protocol) | (protocol, Protocol::Any) => protocol,
                (one, two) if one == two => one,
                _ => continue,
            };
            if min > max {
                continue;
            }
            for from in self.shared(from, &other.from) {
                rules.add(&from, rule.to.clone(), protocol, Ports { min, max }, (*other).into());
            }
        }
    }

    /// What a source of now and one of the new program's rules both stand for.
    fn shared(&self, from: &Selector, source: &Selector) -> Vec<Selector> {
        let expand = |selector: &Selector, of: usize| -> BTreeSet<String> {
            match selector {
                Selector::Endpoint(name) => BTreeSet::from([name.clone()]),
                Selector::Service(name) => {
                    let members = self.members[of].get(name.as_str()).into_iter().flatten();
                    members.map(|member| (*member).to_owned()).collect()
                }
                _ => BTreeSet::new(),
            }
        };
        let (one, two) = (expand(from, NOW), expand(source, NEW));
        // One name may stand for others now: for those that rest behind it until their connections are over.
        if from == source && one.is_subset(&two) {
            return vec![from.clone()];
        }
        one.intersection(&two).cloned().map(Selector::Endpoint).collect()
    }
}

fn ports(rule: &Rule) -> Ports {
    Ports { min: *rule.ports.start(), max: *rule.ports.end() }
}
