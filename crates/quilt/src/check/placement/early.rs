//! What can be seen without placing anything: in time linear in the blueprint, with the reason for a person.

use std::collections::{BTreeMap, HashMap, HashSet};

use super::classes::{Class, Classes, admits};
use super::why::{MACHINES_SHOWN_MAX, Obstacle, Reason, Resource};

/// Sets of machines that are looked at for what their containers need together.
const SETS_MAX: usize = 64;

pub(super) fn check(classes: &Classes<'_>) -> Result<(), Obstacle> {
    if classes.classes.is_empty() {
        return Ok(());
    }
    for class in &classes.classes {
        fits_one(classes, class)?;
    }
    apart(classes)?;
    together(classes)
}

/// Every container fits some machine, were it alone.
fn fits_one(classes: &Classes<'_>, class: &Class<'_>) -> Result<(), Obstacle> {
    let enough = |has: Option<u64>, needed: u64| has.is_none_or(|has| needed <= has);
    let fits = |kind: usize| {
        let (cpu, memory) = (classes.kinds[kind].cpu_milli, classes.kinds[kind].memory_bytes);
        class.allowed[kind] && enough(cpu, class.cpu_milli) && enough(memory, class.memory_bytes)
    };
    if (0..classes.kinds.len()).any(fits) {
        return Ok(());
    }
    let reason = |machine: usize| {
        let (own, kind) = (&classes.machines[machine], &classes.kinds[classes.kind_of[machine]]);
        if let Some(rule) = class.machine_rules.iter().find(|rule| !admits(&rule.rule, own)) {
            let words = format!("{} runs {}", rule.target, rule.rule);
            return Reason::Rule { rule: words, span: rule.span.clone() };
        }
        let full = |what, needed: u64, has: Option<u64>| {
            let of = has.filter(|has| needed > *has)?;
            Some(Reason::Full { what, needed, left: of, of })
        };
        full(Resource::Memory, class.memory_bytes, kind.memory_bytes)
            .or_else(|| full(Resource::Cpu, class.cpu_milli, kind.cpu_milli))
            .unwrap_or(Reason::Full { what: Resource::Cpu, needed: class.cpu_milli, left: 0, of: 0 })
    };
    // One machine of each kind stands for the others.
    let mut seen = HashSet::new();
    let firsts: Vec<usize> =
        (0..classes.machines.len()).filter(|machine| seen.insert(classes.kind_of[*machine])).collect();
    let shown = firsts.iter().take(MACHINES_SHOWN_MAX);
    let machines: Vec<_> =
        shown.map(|machine| (classes.machines[*machine].name.clone(), reason(*machine))).collect();
    let more = classes.machines.len() - machines.len();
    Err(Obstacle::NoMachine { container: class.first.name.clone(), machines, more })
}

/// Containers that are all kept apart from each other have a machine each.
fn apart(classes: &Classes<'_>) -> Result<(), Obstacle> {
    for (at, rule) in classes.between.iter().enumerate().filter(|(_, rule)| rule.apart) {
        let both = |class: &&Class<'_>| class.target_of.contains(&at) && class.other_of.contains(&at);
        let alone: Vec<&Class<'_>> = classes.classes.iter().filter(both).collect();
        let containers: usize = alone.iter().map(|class| class.members.len()).sum();
        if containers < 2 {
            continue;
        }
        let allowed = |kind: &usize| alone.iter().any(|class| class.allowed[*kind]);
        let machines = classes.kind_of.iter().filter(|kind| allowed(kind)).count();
        if containers > machines {
            return Err(Obstacle::TooFew {
                container: alone[0].first.name.clone(),
                party: rule.placement.target.to_string(),
                containers,
                machines,
                span: rule.placement.span.clone(),
            });
        }
    }
    Ok(())
}

/// Containers do not need more than the machines have that rules leave to them.
fn together(classes: &Classes<'_>) -> Result<(), Obstacle> {
    let mut sets: HashMap<&[bool], ()> = HashMap::new();
    let all = vec![true; classes.kinds.len()];
    sets.insert(&all, ());
    for class in &classes.classes {
        if sets.len() < SETS_MAX {
            sets.insert(&class.allowed, ());
        }
    }
    let mut counts: BTreeMap<usize, u64> = BTreeMap::new();
    for kind in &classes.kind_of {
        *counts.entry(*kind).or_default() += 1;
    }
    let mut sets: Vec<&[bool]> = sets.into_keys().collect();
    sets.sort_unstable();
    for set in sets {
        let within = |class: &&Class<'_>| class.allowed.iter().zip(set).all(|(own, set)| *set || !own);
        let inside: Vec<&Class<'_>> = classes.classes.iter().filter(within).collect();
        for what in [Resource::Memory, Resource::Cpu] {
            let need = |class: &&Class<'_>| {
                let each = match what {
                    Resource::Cpu => class.cpu_milli,
                    Resource::Memory => class.memory_bytes,
                };
                each.saturating_mul(class.members.len() as u64)
            };
            let has = |kind: usize| match what {
                Resource::Cpu => classes.kinds[kind].cpu_milli,
                Resource::Memory => classes.kinds[kind].memory_bytes,
            };
            let needed = inside.iter().map(need).fold(0, u64::saturating_add);
            let mut available = Some(0_u64);
            let mut machines = 0;
            for (kind, count) in counts.iter().filter(|(kind, _)| set[**kind]) {
                machines += *count as usize;
                let own = has(*kind).map(|own| own.saturating_mul(*count));
                available = available.zip(own).map(|(sum, own)| sum.saturating_add(own));
            }
            if let (Some(available), Some(first)) = (available.filter(|sum| needed > *sum), inside.first()) {
                return Err(Obstacle::TooMuch {
                    container: first.first.name.clone(),
                    containers: inside.iter().map(|class| class.members.len()).sum(),
                    what,
                    needed,
                    machines,
                    available,
                });
            }
        }
    }
    Ok(())
}
