//! Which machines come, go and stay.

use std::collections::HashSet;
use std::fmt;

use serde::Serialize;
use sha2::{Digest, Sha256};

use super::provider::{Found, State};
use crate::model::{Floating, Machine, Role};

/// What happens to a machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Verb {
    /// It is rented.
    Boot,
    /// Another one is rented in its place.
    Replace,
    /// It is given back.
    Terminate,
}

/// What happens to one machine.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Change {
    /// What happens.
    pub verb: Verb,
    /// The machine: the one that comes, else the one that goes.
    pub name: String,
    /// What it is like, or how the one in its place differs.
    pub what: String,
}

/// Which machines come, go and stay.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct MachinePlan {
    /// What happens, in order.
    pub changes: Vec<Change>,
    /// Those that stay, by name.
    pub kept: Vec<String>,
    /// What is rented: names and what each is to be like.
    #[serde(skip)]
    pub(crate) boots: Vec<(String, Machine)>,
    /// What is given back.
    #[serde(skip)]
    pub(crate) surplus: Vec<Found>,
    /// Floating addresses of machines, by name.
    #[serde(skip)]
    pub(crate) floating: Vec<(String, Floating)>,
}

impl MachinePlan {
    /// What has to be done so that of what is there becomes what is wanted.
    pub fn between(there: &[Found], wanted: &[Machine]) -> MachinePlan {
        let mut left: Vec<&Found> = there.iter().filter(|machine| machine.state.is_alive()).collect();
        // Workers whose masters are gone keep asking those: they are of no use to a new cluster.
        let is_headless = !left.iter().any(|found| found.role == Role::Master);
        let mut plan = MachinePlan::default();
        let mut missing: Vec<&Machine> = Vec::new();
        for machine in wanted {
            let print = fingerprint(machine);
            let same =
                |found: &&Found| !is_headless && found.fingerprint == print && found.role == machine.role;
            match left.iter().position(same) {
                Some(at) => {
                    let found = left.remove(at);
                    plan.kept.push(found.name.clone());
                    plan.floating.push((found.name.clone(), machine.floating.clone()));
                }
                None => missing.push(machine),
            }
        }
        // A name that a machine has which is still going would be two machines' for a while.
        let mut taken: HashSet<String> = there
            .iter()
            .filter(|machine| machine.state != State::Gone)
            .map(|machine| machine.name.clone())
            .collect();
        for machine in missing {
            let name = free_name(machine.role, &taken);
            taken.insert(name.clone());
            let old = left.iter().position(|found| found.role == machine.role).map(|at| left.remove(at));
            plan.changes.push(match &old {
                Some(old) => {
                    let what = match is_headless {
                        true => format!("its cluster is gone, as {name}"),
                        false => format!("{}, as {name}", difference(old, machine)),
                    };
                    Change { verb: Verb::Replace, name: old.name.clone(), what }
                }
                None => Change { verb: Verb::Boot, name: name.clone(), what: described(machine) },
            });
            plan.surplus.extend(old.cloned());
            plan.floating.push((name.clone(), machine.floating.clone()));
            plan.boots.push((name, machine.clone()));
        }
        for found in left {
            let what = format!("{}{}", found.size, if found.is_spot { ", spot" } else { "" });
            plan.changes.push(Change { verb: Verb::Terminate, name: found.name.clone(), what });
            plan.surplus.push(found.clone());
        }
        plan
    }

    /// Whether there is nothing to do.
    pub fn is_empty(&self) -> bool {
        self.changes.is_empty()
    }
}

impl fmt::Display for MachinePlan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for change in &self.changes {
            let sign = match change.verb {
                Verb::Boot => '+',
                Verb::Replace => '~',
                Verb::Terminate => '-',
            };
            writeln!(f, "{sign} machine {} ({})", change.name, change.what)?;
        }
        Ok(())
    }
}

fn free_name(role: Role, taken: &HashSet<String>) -> String {
    let mut number = 1;
    loop {
        let name = format!("{role}-{number}");
        if !taken.contains(&name) {
            return name;
        }
        number += 1;
    }
}

fn described(machine: &Machine) -> String {
    let spot = if machine.is_spot { ", spot" } else { "" };
    format!("{}, {} GiB{spot}, {} {}", machine.size, machine.disk_gib, machine.provider, machine.region)
}

fn difference(old: &Found, new: &Machine) -> String {
    let mut words = Vec::new();
    if old.size != new.size {
        words.push(format!("size {} -> {}", old.size, new.size));
    }
    if old.is_spot != new.is_spot {
        words.push(if new.is_spot { "spot".to_owned() } else { "not spot any more".to_owned() });
    }
    if words.is_empty() {
        words.push(format!("disk -> {} GiB", new.disk_gib));
    }
    words.join(", ")
}

/// What decides whether a machine is the one that is wanted. Keys and floating addresses do not: the first are given at
/// the first start only, the others move.
pub(crate) fn fingerprint(machine: &Machine) -> String {
    let Machine { provider, role, region, size, disk_gib, is_spot, .. } = machine;
    let text = format!("{provider} {role} {region} {size} {disk_gib} {is_spot}");
    short_hash(&[&text], 16)
}

/// The first characters of a hash of texts.
pub(crate) fn short_hash(texts: &[&str], length: usize) -> String {
    let mut hash = Sha256::new();
    for text in texts {
        hash.update((text.len() as u64).to_le_bytes());
        hash.update(text.as_bytes());
    }
    let text: String = hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect();
    text.chars().take(length).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn machine(role: Role, size: &str) -> Machine {
        Machine {
            provider: "Amazon".into(),
            region: "r".into(),
            size: size.into(),
            disk_gib: 32,
            role,
            ..Machine::default()
        }
    }

    fn found(name: &str, like: &Machine, state: State) -> Found {
        Found {
            id: format!("i-{name}"),
            name: name.into(),
            role: like.role,
            size: like.size.clone(),
            is_spot: like.is_spot,
            state,
            node: format!("{name}-x"),
            fingerprint: fingerprint(like),
            private_address: None,
            public_address: None,
        }
    }

    #[test]
    fn machines_come_go_change_and_stay() {
        let (master, small, large) =
            (machine(Role::Master, "a"), machine(Role::Worker, "s"), machine(Role::Worker, "l"));
        let nothing = MachinePlan::between(&[], &[master.clone(), small.clone(), small.clone()]);
        assert_eq!(
            nothing.to_string(),
            "+ machine master-1 (a, 32 GiB, Amazon r)\n+ machine worker-1 (s, 32 GiB, Amazon r)\n\
             + machine worker-2 (s, 32 GiB, Amazon r)\n"
        );
        let there = [
            found("master-1", &master, State::Running),
            found("worker-1", &small, State::Running),
            found("worker-2", &small, State::Booting),
            found("worker-3", &small, State::Stopping),
            found("worker-4", &small, State::Gone),
        ];
        assert!(MachinePlan::between(&there, &[small.clone(), master.clone(), small.clone()]).is_empty());
        let changed = MachinePlan::between(&there, &[master.clone(), large.clone()]);
        assert_eq!(
            changed.to_string(),
            "~ machine worker-1 (size s -> l, as worker-4)\n- machine worker-2 (s)\n"
        );
        assert_eq!(changed.kept, ["master-1"]);
        // The one that is gone from the middle is made anew, and the others stay what they are.
        let gone = MachinePlan::between(&there[..2], &[master, small.clone(), small]);
        assert_eq!(gone.to_string(), "+ machine worker-2 (s, 32 GiB, Amazon r)\n");
    }

    #[test]
    fn workers_without_a_master_are_made_anew() {
        let (master, worker) = (machine(Role::Master, "a"), machine(Role::Worker, "s"));
        let there = [found("worker-1", &worker, State::Running)];
        let plan = MachinePlan::between(&there, &[master, worker]);
        assert_eq!(
            plan.to_string(),
            "+ machine master-1 (a, 32 GiB, Amazon r)\n~ machine worker-1 (its cluster is gone, as worker-2)\n"
        );
    }

    #[test]
    fn keys_and_addresses_do_not_make_another_machine() {
        let plain = machine(Role::Worker, "s");
        let with = Machine { ssh_keys: vec!["k".into()], floating: Floating::New, ..plain.clone() };
        assert_eq!(fingerprint(&plain), fingerprint(&with));
        assert_ne!(fingerprint(&plain), fingerprint(&Machine { is_spot: true, ..plain.clone() }));
        assert_ne!(short_hash(&["ab", "c"], 64), short_hash(&["a", "bc"], 64));
    }
}
