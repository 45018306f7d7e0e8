//! Containers and machines with those folded together that no rule tells apart.

use std::collections::HashMap;

use super::Node;
use crate::model::{Blueprint, Container, Party, Placement, PlacementRule};

/// Containers that need the same and that every rule speaks of alike.
#[derive(Debug)]
pub(super) struct Class<'a> {
    /// Positions of its containers in the blueprint.
    pub(super) members: Vec<usize>,
    /// A container of it.
    pub(super) first: &'a Container,
    /// Thousandths of a core that each needs.
    pub(super) cpu_milli: u64,
    /// Bytes of memory that each needs.
    pub(super) memory_bytes: u64,
    /// Kinds of machine that rules let it run on, as flags.
    pub(super) allowed: Vec<bool>,
    /// Rules between containers that speak of it as the target.
    pub(super) target_of: Vec<usize>,
    /// Rules between containers that speak of it as the other.
    pub(super) other_of: Vec<usize>,
    /// Rules about machines that speak of it.
    pub(super) machine_rules: Vec<&'a Placement>,
}

/// Machines that have the same and that every rule treats alike.
#[derive(Debug)]
pub(super) struct Kind {
    pub(super) cpu_milli: Option<u64>,
    pub(super) memory_bytes: Option<u64>,
}

/// A rule between containers.
#[derive(Debug)]
pub(super) struct Between<'a> {
    pub(super) placement: &'a Placement,
    pub(super) other: &'a Party,
    /// Apart, or beside.
    pub(super) apart: bool,
}

/// A blueprint as classes and kinds; as large as the blueprint.
#[derive(Debug)]
pub(super) struct Classes<'a> {
    pub(super) blueprint: &'a Blueprint,
    pub(super) machines: &'a [Node],
    /// The kind of each machine.
    pub(super) kind_of: Vec<usize>,
    pub(super) kinds: Vec<Kind>,
    pub(super) classes: Vec<Class<'a>>,
    pub(super) between: Vec<Between<'a>>,
}

/// Whether a rule is about machines, not about other containers.
pub(super) fn is_about_machines(rule: &PlacementRule) -> bool {
    matches!(rule, PlacementRule::On(_) | PlacementRule::NotOn(_))
}

/// Whether a rule about machines lets its targets run on this one.
pub(super) fn admits(rule: &PlacementRule, node: &Node) -> bool {
    match rule {
        PlacementRule::On(kind) => kind.is_all_of(&node.kind),
        PlacementRule::NotOn(kind) => !kind.is_any_of(&node.kind),
        PlacementRule::Apart(_) | PlacementRule::Beside(_) => true,
    }
}

impl<'a> Classes<'a> {
    pub(super) fn of(blueprint: &'a Blueprint, machines: &'a [Node]) -> Self {
        let mut machine_rules = Vec::new();
        let mut between = Vec::new();
        for placement in &blueprint.placements {
            let (other, apart) = match &placement.rule {
                PlacementRule::Apart(other) => (other, true),
                PlacementRule::Beside(other) => (other, false),
                PlacementRule::On(_) | PlacementRule::NotOn(_) => {
                    machine_rules.push(placement);
                    continue;
                }
            };
            between.push(Between { placement, other, apart });
        }
        let (kind_of, kinds, firsts) = kinds(machines, &machine_rules);
        let mut built = Self { blueprint, machines, kind_of, kinds, classes: Vec::new(), between };
        built.fold(&machine_rules, &firsts);
        built
    }

    /// Machines that rules let a class run on.
    pub(super) fn machines_of<'s>(&'s self, class: &'s Class<'a>) -> impl Iterator<Item = usize> + 's {
        (0..self.machines.len()).filter(|machine| class.allowed[self.kind_of[*machine]])
    }

    fn fold(&mut self, machine_rules: &[&'a Placement], firsts: &[&Node]) {
        let blueprint = self.blueprint;
        let position: HashMap<&str, usize> =
            blueprint.containers.iter().enumerate().map(|(at, one)| (one.name.as_str(), at)).collect();
        let mut services: HashMap<&str, &[String]> = HashMap::new();
        for service in &blueprint.services {
            services.insert(&service.name, &service.members);
        }
        // For each container the rules that speak of it: machine rules, then targets and others of the rest.
        let mut said: Vec<[Vec<usize>; 3]> = vec![Default::default(); blueprint.containers.len()];
        let mut say = |party: &'a Party, what: usize, rule: usize| {
            let mut note = |name: &str| {
                let Some(at) = position.get(name) else { return };
                let list = &mut said[*at][what];
                if list.last() != Some(&rule) {
                    list.push(rule);
                }
            };
            match party {
                Party::Container(name) => note(name),
                Party::Service(name) => {
                    services
                        .get(name.as_str())
                        .into_iter()
                        .flat_map(|list| list.iter())
                        .for_each(|name| note(name));
                }
                Party::PublicInternet => {}
            }
        };
        for (at, rule) in machine_rules.iter().enumerate() {
            say(&rule.target, 0, at);
        }
        for (at, rule) in self.between.iter().enumerate() {
            say(&rule.placement.target, 1, at);
            say(rule.other, 2, at);
        }
        let mut known: HashMap<(u64, u64, [Vec<usize>; 3]), usize> = HashMap::new();
        for (at, (container, said)) in blueprint.containers.iter().zip(said).enumerate() {
            let cpu_milli = container.limits.cpu_milli.unwrap_or(0).into();
            let memory_bytes = container.limits.memory_bytes.unwrap_or(0);
            let next = self.classes.len();
            let class = *known.entry((cpu_milli, memory_bytes, said.clone())).or_insert(next);
            if class == next {
                let [rules, target_of, other_of] = said;
                let rules: Vec<&Placement> = rules.into_iter().map(|rule| machine_rules[rule]).collect();
                let allowed = firsts
                    .iter()
                    .map(|machine| rules.iter().all(|rule| admits(&rule.rule, machine)))
                    .collect();
                self.classes.push(Class {
                    members: Vec::new(),
                    first: container,
                    cpu_milli,
                    memory_bytes,
                    allowed,
                    target_of,
                    other_of,
                    machine_rules: rules,
                });
            }
            self.classes[class].members.push(at);
        }
    }
}

/// The kind of each machine, the kinds, and a machine of each.
fn kinds<'a>(machines: &'a [Node], rules: &[&Placement]) -> (Vec<usize>, Vec<Kind>, Vec<&'a Node>) {
    type Key<'k> = (Option<u64>, Option<u64>, [&'k str; 4]);
    let mut known: HashMap<Key<'_>, usize> = HashMap::new();
    let mut kinds = Vec::new();
    let mut firsts = Vec::new();
    let by_rules = !rules.is_empty();
    let kind_of = machines
        .iter()
        .map(|machine| {
            // What no rule asks about tells nobody apart.
            let said = |text: &'a str| if by_rules { text } else { "" };
            let said = [
                said(&machine.kind.provider),
                said(&machine.kind.size),
                said(&machine.kind.region),
                said(&machine.kind.floating_ip),
            ];
            let next = kinds.len();
            let kind = *known.entry((machine.cpu_milli, machine.memory_bytes, said)).or_insert(next);
            if kind == next {
                kinds.push(Kind { cpu_milli: machine.cpu_milli, memory_bytes: machine.memory_bytes });
                firsts.push(machine);
            }
            kind
        })
        .collect();
    (kind_of, kinds, firsts)
}
