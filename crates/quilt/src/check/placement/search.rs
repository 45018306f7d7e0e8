//! Packing: containers one after the other into the first machine that takes them, and back where one finds none.
//!
//! Containers of a class are interchangeable: they are tried on machines in one order only. So are machines of a kind
//! with the same containers on them: of these only the first is tried.

use super::STEPS_MAX;
use super::classes::{Class, Classes};
use super::why::{MACHINES_SHOWN_MAX, Obstacle, Reason, Resource};

/// A machine and what is on it.
#[derive(Clone, Debug)]
struct Load {
    kind: usize,
    cpu_milli: u64,
    memory_bytes: u64,
    /// Per rule between containers: how many targets of it are here, and how many others.
    targets: Vec<u32>,
    others: Vec<u32>,
    /// Classes and how many of each, in the order of placing.
    on_it: Vec<(usize, u32)>,
}

/// One container to be placed.
#[derive(Clone, Copy, Debug)]
struct Item {
    class: usize,
    /// Its position in the blueprint.
    container: usize,
}

struct Search<'c, 'a> {
    classes: &'c Classes<'a>,
    items: Vec<Item>,
    loads: Vec<Load>,
    /// The machine of each item that is placed.
    chosen: Vec<usize>,
    steps: usize,
    /// Per rule between containers: the last item that is one of its others.
    last_other: Vec<Option<usize>>,
    /// The most that were placed, and what the next one met.
    deepest: Option<(usize, Obstacle)>,
}

/// The machine of each container, by position in the blueprint.
pub(super) fn search(classes: &Classes<'_>) -> Result<Vec<usize>, Obstacle> {
    let load = |kind: &usize| Load {
        kind: *kind,
        cpu_milli: 0,
        memory_bytes: 0,
        targets: vec![0; classes.between.len()],
        others: vec![0; classes.between.len()],
        on_it: Vec::new(),
    };
    let items = items(classes);
    let mut last_other = vec![None; classes.between.len()];
    for (at, item) in items.iter().enumerate() {
        classes.classes[item.class].other_of.iter().for_each(|rule| last_other[*rule] = Some(at));
    }
    let mut search = Search {
        items,
        last_other,
        loads: classes.kind_of.iter().map(load).collect(),
        chosen: Vec::new(),
        steps: STEPS_MAX,
        deepest: None,
        classes,
    };
    search.run()?;
    let mut machines = vec![0; search.items.len()];
    for (item, machine) in search.items.iter().zip(&search.chosen) {
        machines[item.container] = *machine;
    }
    Ok(machines)
}

/// Containers in the order they are placed: those first whom others must be beside, then those with the fewest
/// machines, then the largest.
fn items(classes: &Classes<'_>) -> Vec<Item> {
    let beside = |class: &Class<'_>| class.target_of.iter().any(|rule| !classes.between[*rule].apart);
    let mut order: Vec<usize> = (0..classes.classes.len()).collect();
    order.sort_by_cached_key(|at| {
        let class = &classes.classes[*at];
        let machines = classes.machines_of(class).count();
        (beside(class), machines, std::cmp::Reverse((class.memory_bytes, class.cpu_milli)), *at)
    });
    let items = |class: usize| {
        classes.classes[class].members.iter().map(move |container| Item { class, container: *container })
    };
    order.into_iter().flat_map(items).collect()
}

impl Search<'_, '_> {
    fn run(&mut self) -> Result<(), Obstacle> {
        // The first machine that is still to be tried, of the item at hand.
        let mut from = 0;
        loop {
            let at = self.chosen.len();
            if at == self.items.len() {
                let Some(obstacle) = self.alone() else { return Ok(()) };
                self.note(at, obstacle);
                from = match self.back() {
                    Some(machine) => machine + 1,
                    None => return Err(self.failure()),
                };
                continue;
            }
            if let Some(machine) = self.next(at, from)? {
                self.put(at, machine);
                let same = self.items.get(at + 1).is_some_and(|next| next.class == self.items[at].class);
                from = if same { machine } else { 0 };
                continue;
            }
            if self.deepest.as_ref().is_none_or(|(deepest, _)| at > *deepest) {
                let obstacle = self.explain(at);
                self.note(at, obstacle);
            }
            from = match self.back() {
                Some(machine) => machine + 1,
                None => return Err(self.failure()),
            };
        }
    }

    fn note(&mut self, at: usize, obstacle: Obstacle) {
        if self.deepest.as_ref().is_none_or(|(deepest, _)| at > *deepest) {
            self.deepest = Some((at, obstacle));
        }
    }

    fn failure(&mut self) -> Obstacle {
        self.deepest.take().map_or(Obstacle::TooCostly, |(_, obstacle)| obstacle)
    }

    /// The next machine that takes the item, from `from` on.
    fn next(&mut self, at: usize, from: usize) -> Result<Option<usize>, Obstacle> {
        let class = &self.classes.classes[self.items[at].class];
        // Machines before this one are closed to it: members of a class go in one order.
        let lowest = match at.checked_sub(1) {
            Some(before) if self.items[before].class == self.items[at].class => self.chosen[before],
            _ => 0,
        };
        for machine in from..self.loads.len() {
            self.steps = self.steps.checked_sub(1).ok_or(Obstacle::TooCostly)?;
            if !self.takes(class, machine, at) {
                continue;
            }
            let load = &self.loads[machine];
            let alike = |other: &Load| other.kind == load.kind && other.on_it == load.on_it;
            self.steps = self.steps.checked_sub((machine - lowest) / 16).ok_or(Obstacle::TooCostly)?;
            if !self.loads[lowest..machine].iter().any(alike) {
                return Ok(Some(machine));
            }
        }
        Ok(None)
    }

    fn takes(&self, class: &Class<'_>, machine: usize, at: usize) -> bool {
        let load = &self.loads[machine];
        let kind = &self.classes.kinds[load.kind];
        let fits = |has: Option<u64>, used: u64, needed: u64| has.is_none_or(|has| used + needed <= has);
        class.allowed[load.kind]
            && fits(kind.cpu_milli, load.cpu_milli, class.cpu_milli)
            && fits(kind.memory_bytes, load.memory_bytes, class.memory_bytes)
            && self.apart_rule(class, load).is_none()
            && self.beside_rule(class, load, at).is_none()
    }

    /// A rule that keeps the class apart from what is on a machine.
    fn apart_rule(&self, class: &Class<'_>, load: &Load) -> Option<usize> {
        let apart = |rule: &&usize| self.classes.between[**rule].apart;
        let target = class.target_of.iter().filter(apart).find(|rule| load.others[**rule] > 0);
        let other = || class.other_of.iter().filter(apart).find(|rule| load.targets[**rule] > 0);
        target.or_else(other).copied()
    }

    /// A rule by which the class must be beside somebody who is not on a machine and will not come there any more.
    fn beside_rule(&self, class: &Class<'_>, load: &Load, at: usize) -> Option<usize> {
        let beside = |rule: &&usize| !self.classes.between[**rule].apart;
        class
            .target_of
            .iter()
            .filter(beside)
            .find(|rule| load.others[**rule] == 0 && !self.to_come(**rule, at))
            .copied()
    }

    /// Whether one is still to be placed, after the item at hand, whom the targets of a rule must be beside.
    fn to_come(&self, rule: usize, at: usize) -> bool {
        self.last_other[rule].is_some_and(|last| last > at)
    }

    fn put(&mut self, at: usize, machine: usize) {
        let item = self.items[at];
        let class = &self.classes.classes[item.class];
        let load = &mut self.loads[machine];
        load.cpu_milli += class.cpu_milli;
        load.memory_bytes += class.memory_bytes;
        class.target_of.iter().for_each(|rule| load.targets[*rule] += 1);
        class.other_of.iter().for_each(|rule| load.others[*rule] += 1);
        match load.on_it.last_mut() {
            Some((last, count)) if *last == item.class => *count += 1,
            _ => load.on_it.push((item.class, 1)),
        }
        self.chosen.push(machine);
    }

    /// Takes the last item off its machine again, which it says.
    fn back(&mut self) -> Option<usize> {
        let machine = self.chosen.pop()?;
        let class = &self.classes.classes[self.items[self.chosen.len()].class];
        let load = &mut self.loads[machine];
        load.cpu_milli -= class.cpu_milli;
        load.memory_bytes -= class.memory_bytes;
        class.target_of.iter().for_each(|rule| load.targets[*rule] -= 1);
        class.other_of.iter().for_each(|rule| load.others[*rule] -= 1);
        if let Some((_, count)) = load.on_it.last_mut() {
            *count -= 1;
            if *count == 0 {
                load.on_it.pop();
            }
        }
        Some(machine)
    }

    /// Whether one that must be beside somebody is not, when all are placed.
    fn alone(&self) -> Option<Obstacle> {
        for (item, machine) in self.items.iter().zip(&self.chosen) {
            let class = &self.classes.classes[item.class];
            for rule in class.target_of.iter().filter(|rule| !self.classes.between[**rule].apart) {
                let itself = u32::from(class.other_of.contains(rule));
                if self.loads[*machine].others[*rule] <= itself {
                    let between = &self.classes.between[*rule];
                    return Some(Obstacle::Alone {
                        container: self.name(*item),
                        beside: between.other.to_string(),
                        span: between.placement.span.clone(),
                    });
                }
            }
        }
        None
    }

    fn name(&self, item: Item) -> String {
        self.classes.blueprint.containers[item.container].name.clone()
    }

    /// Why no machine takes the item, with what is placed now.
    fn explain(&self, at: usize) -> Obstacle {
        let class = &self.classes.classes[self.items[at].class];
        let all = self.classes.machines_of(class).count();
        let shown: Vec<(String, Reason)> = self
            .classes
            .machines_of(class)
            .take(MACHINES_SHOWN_MAX)
            .filter_map(|machine| {
                let reason = self.reason(class, machine, at)?;
                Some((self.classes.machines[machine].name.clone(), reason))
            })
            .collect();
        Obstacle::NoMachine { container: self.name(self.items[at]), more: all - shown.len(), machines: shown }
    }

    fn reason(&self, class: &Class<'_>, machine: usize, at: usize) -> Option<Reason> {
        let load = &self.loads[machine];
        let kind = &self.classes.kinds[load.kind];
        if let Some(rule) = self.apart_rule(class, load) {
            let between = &self.classes.between[rule];
            let met = |item: &Item| {
                let other = &self.classes.classes[item.class];
                (class.target_of.contains(&rule) && other.other_of.contains(&rule))
                    || (class.other_of.contains(&rule) && other.target_of.contains(&rule))
            };
            let there = self.items.iter().zip(&self.chosen).filter(|(_, own)| **own == machine);
            let from = there.map(|(item, _)| item).find(|item| met(item)).map(|item| self.name(*item));
            return Some(Reason::Apart {
                from: from.unwrap_or_default(),
                rule: format!("{} is kept apart from {}", between.placement.target, between.other),
                span: between.placement.span.clone(),
            });
        }
        let full = |what, has: Option<u64>, used: u64, needed: u64| {
            let of = has.filter(|has| used + needed > *has)?;
            Some(Reason::Full { what, needed, left: of - used, of })
        };
        full(Resource::Memory, kind.memory_bytes, load.memory_bytes, class.memory_bytes)
            .or_else(|| full(Resource::Cpu, kind.cpu_milli, load.cpu_milli, class.cpu_milli))
            .or_else(|| {
                let between = &self.classes.between[self.beside_rule(class, load, at)?];
                let span = between.placement.span.clone();
                Some(Reason::NotBeside { whom: between.other.to_string(), span })
            })
    }
}
