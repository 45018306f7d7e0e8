//! What would change: the difference between what runs and what a blueprint wants.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::fmt;

use serde::{Deserialize, Serialize};

use crate::model::{
    Blueprint, Container, Denied, EmulatedLink, Limits, Link, LinkShape, NetworkFunction, Party, Ports,
    Protocol, Publish, Service, Text,
};

/// What runs: the blueprint last applied, and what each container was started from.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Deployed {
    /// The blueprint last applied.
    pub blueprint: Blueprint,
    /// [`Container::fingerprint`] of each container that was started, by name. A container missing here does
    /// not run, whatever the blueprint says.
    pub fingerprints: BTreeMap<String, String>,
}

impl Deployed {
    /// The state after `blueprint` has been applied completely.
    pub fn of(blueprint: &Blueprint) -> Deployed {
        let fingerprints = blueprint.containers.iter().map(|c| (c.name.clone(), c.fingerprint())).collect();
        Deployed { blueprint: blueprint.clone(), fingerprints }
    }
}

/// A container that is stopped and started anew.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Replace {
    /// Its name.
    pub name: String,
    /// What changed: `command`, `env PORT`, `file /etc/app.conf`, …; never a value, which could be secret.
    pub changed: Vec<String>,
}

/// A service whose members changed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ServiceChange {
    /// Its name.
    pub name: String,
    /// New members.
    pub added: Vec<String>,
    /// Members that leave.
    pub removed: Vec<String>,
}

/// A link, or a published port, that goes through other network functions.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ChainChange {
    /// The link, without what it goes through.
    pub link: String,
    /// What it went through.
    pub before: Vec<String>,
    /// What it will.
    pub after: Vec<String>,
}

/// A network function that is another one, with no state, or has more or fewer instances.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FunctionChange {
    /// Its name.
    pub name: String,
    /// What changed: `run`, `affinity`, `instances`.
    pub changed: Vec<String>,
}

/// Changes of the network.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct NetworkChange {
    /// New services.
    pub services_added: Vec<Service>,
    /// Services that go.
    pub services_removed: Vec<String>,
    /// Services with other members.
    pub services_changed: Vec<ServiceChange>,
    /// New links.
    pub links_added: Vec<Link>,
    /// Links that go.
    pub links_removed: Vec<Link>,
    /// New emulated links; one of another shape is a new one.
    #[serde(default)]
    pub emulated_added: Vec<EmulatedLink>,
    /// Emulated links that go.
    #[serde(default)]
    pub emulated_removed: Vec<EmulatedLink>,
    /// New network functions.
    #[serde(default)]
    pub functions_added: Vec<NetworkFunction>,
    /// Network functions that go.
    #[serde(default)]
    pub functions_removed: Vec<String>,
    /// Network functions that change.
    #[serde(default)]
    pub functions_changed: Vec<FunctionChange>,
    /// What stays, but goes through other network functions.
    #[serde(default)]
    pub chains_changed: Vec<ChainChange>,
    /// New published ports.
    pub publishes_added: Vec<Publish>,
    /// Published ports that go.
    pub publishes_removed: Vec<Publish>,
    /// Further names that come, each with what it is a name of.
    #[serde(default)]
    pub aliases_added: BTreeMap<String, String>,
    /// Further names that go.
    #[serde(default)]
    pub aliases_removed: Vec<String>,
    /// How denied packets are turned away, before and after, if that changes.
    pub denied: Option<(Denied, Denied)>,
}

impl NetworkChange {
    /// Whether the network stays as it is.
    pub fn is_empty(&self) -> bool {
        *self == NetworkChange::default()
    }
}

/// What has to be done to get from one state to the next.
///
/// ```
/// use quilt::eval::{evaluate_text, Options};
/// use quilt::plan::{Deployed, Plan};
///
/// let blueprint = |text: &str| evaluate_text("a.js", text, &Options::default()).unwrap().blueprint;
/// let old = blueprint("import {Container} from 'weft'; new Container('db', {command: ['db']});");
/// let new = blueprint("import {Container} from 'weft';
///     const db = new Container('db', {command: ['db', '-v']});
///     const web = new Container('web', {command: ['web']});
///     db.allowFrom(web, 5432);");
/// let plan = Plan::between(Some(&Deployed::of(&old)), &new);
/// assert_eq!(plan.to_string(), "+ container web\n~ container db (command changed)\n+ link web -> db:5432\n");
/// assert_eq!(Plan::between(Some(&Deployed::of(&new)), &new).to_string(), "nothing to change\n");
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Plan {
    /// Containers to start.
    pub create: Vec<String>,
    /// Containers to stop.
    pub remove: Vec<String>,
    /// Containers to stop and start anew.
    pub replace: Vec<Replace>,
    /// Containers left alone.
    pub keep: Vec<String>,
    /// What changes between them.
    pub network: NetworkChange,
}

impl Plan {
    /// The way from what runs (nothing, if `None`) to `wanted`.
    pub fn between(deployed: Option<&Deployed>, wanted: &Blueprint) -> Plan {
        let nothing = Deployed {
            blueprint: Blueprint { denied: wanted.denied, ..Blueprint::default() },
            ..Deployed::default()
        };
        let deployed = deployed.unwrap_or(&nothing);
        let mut plan = Plan { network: network(&deployed.blueprint, wanted), ..Plan::default() };
        let old: BTreeMap<&str, &Container> = deployed
            .blueprint
            .containers
            .iter()
            .map(|container| (container.name.as_str(), container))
            .collect();
        for container in &wanted.containers {
            let name = container.name.clone();
            match deployed.fingerprints.get(&name) {
                None => plan.create.push(name),
                Some(running) if *running == container.fingerprint() => plan.keep.push(name),
                Some(_) => {
                    let changed =
                        old.get(name.as_str()).map(|old| changed(old, container)).unwrap_or_default();
                    plan.replace.push(Replace { name, changed });
                }
            }
        }
        let wanted: HashSet<&str> =
            wanted.containers.iter().map(|container| container.name.as_str()).collect();
        let gone = deployed.fingerprints.keys().filter(|name| !wanted.contains(name.as_str()));
        plan.remove = gone.cloned().collect();
        plan
    }

    /// Whether there is nothing to do.
    pub fn is_empty(&self) -> bool {
        self.create.is_empty() && self.remove.is_empty() && self.replace.is_empty() && self.network.is_empty()
    }
}

/// Which fields differ.
fn changed(old: &Container, new: &Container) -> Vec<String> {
    let mut changed = Vec::new();
    let mut field = |name: &str, differs: bool| {
        if differs {
            changed.push(name.to_owned());
        }
    };
    field("image", old.image != new.image);
    field("command", old.command != new.command);
    field("mounts", old.mounts != new.mounts);
    field("workdir", old.workdir != new.workdir);
    field("user", old.user != new.user);
    let Limits { memory_bytes, cpu_milli, pids } = old.limits;
    field("memory", memory_bytes != new.limits.memory_bytes);
    field("cpu", cpu_milli != new.limits.cpu_milli);
    field("pids", pids != new.limits.pids);
    field("restart", old.restart != new.restart);
    field("health", old.health != new.health);
    changed.extend(differing(&old.env, &new.env).map(|name| format!("env {name}")));
    changed.extend(differing(&old.files, &new.files).map(|path| format!("file {path}")));
    changed
}

fn differing<'a>(
    old: &'a BTreeMap<String, Text>,
    new: &'a BTreeMap<String, Text>,
) -> impl Iterator<Item = &'a String> {
    let keys: BTreeSet<&String> = old.keys().chain(new.keys()).collect();
    keys.into_iter().filter(|key| old.get(*key) != new.get(*key))
}

fn network(old: &Blueprint, new: &Blueprint) -> NetworkChange {
    let mut change = NetworkChange {
        denied: (old.denied != new.denied).then_some((old.denied, new.denied)),
        ..NetworkChange::default()
    };
    let by_name = |blueprint: &Blueprint| -> BTreeMap<String, Service> {
        blueprint.services.iter().map(|service| (service.name.clone(), service.clone())).collect()
    };
    let (old_services, new_services) = (by_name(old), by_name(new));
    change.services_removed =
        old_services.keys().filter(|name| !new_services.contains_key(*name)).cloned().collect();
    for service in new_services.into_values() {
        match old_services.get(&service.name) {
            None => change.services_added.push(service),
            Some(before) if before.members != service.members => {
                let lacks = |members: &[String], other: &[String]| -> Vec<String> {
                    members.iter().filter(|member| !other.contains(member)).cloned().collect()
                };
                change.services_changed.push(ServiceChange {
                    added: lacks(&service.members, &before.members),
                    removed: lacks(&before.members, &service.members),
                    name: service.name,
                });
            }
            Some(_) => {}
        }
    }
    change.links_added = without(&new.links, &old.links, link_key);
    change.links_removed = without(&old.links, &new.links, link_key);
    change.emulated_added = without(&new.emulated, &old.emulated, emulated_key);
    change.emulated_removed = without(&old.emulated, &new.emulated, emulated_key);
    change.publishes_added = without(&new.publishes, &old.publishes, publish_key);
    change.publishes_removed = without(&old.publishes, &new.publishes, publish_key);
    functions(old, new, &mut change);
    change.chains_changed = chains(old, new);
    let other = |(alias, name): &(&String, &String)| old.aliases.get(*alias) != Some(*name);
    let added = new.aliases.iter().filter(other);
    change.aliases_added = added.map(|(alias, name)| (alias.clone(), name.clone())).collect();
    change.aliases_removed =
        old.aliases.keys().filter(|alias| !new.aliases.contains_key(*alias)).cloned().collect();
    change
}

fn functions(old: &Blueprint, new: &Blueprint, change: &mut NetworkChange) {
    let find = |functions: &[NetworkFunction], name: &str| {
        functions.iter().find(|function| function.name == name).cloned()
    };
    for function in &new.functions {
        match find(&old.functions, &function.name) {
            None => change.functions_added.push(function.clone()),
            Some(before) => {
                let changed: Vec<String> = before.changed(function).into_iter().map(str::to_owned).collect();
                if !changed.is_empty() {
                    change.functions_changed.push(FunctionChange { name: function.name.clone(), changed });
                }
            }
        }
    }
    let gone = old.functions.iter().filter(|function| find(&new.functions, &function.name).is_none());
    change.functions_removed = gone.map(|function| function.name.clone()).collect();
}

/// What is in both, and goes through other functions.
fn chains(old: &Blueprint, new: &Blueprint) -> Vec<ChainChange> {
    let mut changes = Vec::new();
    let mut compare = |link: String, before: Option<&&Vec<String>>, after: &Vec<String>| {
        if let Some(before) = before.filter(|before| **before != after) {
            changes.push(ChainChange { link, before: (*before).clone(), after: after.clone() });
        }
    };
    let before: HashMap<_, _> = old.links.iter().rev().map(|link| (link_key(link), &link.through)).collect();
    for link in &new.links {
        let shown = Link { through: Vec::new(), ..link.clone() }.to_string();
        compare(shown, before.get(&link_key(link)), &link.through);
    }
    let before: HashMap<_, _> =
        old.publishes.iter().rev().map(|publish| (publish_key(publish), &publish.through)).collect();
    for publish in &new.publishes {
        let shown = Publish { through: Vec::new(), ..publish.clone() }.to_string();
        compare(shown, before.get(&publish_key(publish)), &publish.through);
    }
    changes.dedup();
    changes
}

/// What makes two links the same: everything but their place in the source, and what they go through.
fn link_key(link: &Link) -> (&Party, &Party, Ports, Protocol) {
    (&link.from, &link.to, link.ports, link.protocol)
}

fn emulated_key(link: &EmulatedLink) -> (&Party, &Party, LinkShape) {
    (&link.a, &link.b, link.shape)
}

fn publish_key(publish: &Publish) -> (&Party, u16, u16, Protocol) {
    (&publish.to, publish.host_port, publish.container_port, publish.protocol)
}

/// The items that `other` lacks, each once.
fn without<'a, T: Clone, K: std::hash::Hash + Eq>(
    items: &'a [T],
    other: &'a [T],
    key: impl Fn(&'a T) -> K,
) -> Vec<T> {
    let mut known: HashSet<K> = other.iter().map(&key).collect();
    items.iter().filter(|item| known.insert(key(item))).cloned().collect()
}

impl fmt::Display for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.is_empty() {
            return writeln!(f, "nothing to change");
        }
        for name in &self.create {
            writeln!(f, "+ container {name}")?;
        }
        for Replace { name, changed } in &self.replace {
            let what = if changed.is_empty() { "it".to_owned() } else { changed.join(", ") };
            writeln!(f, "~ container {name} ({what} changed)")?;
        }
        for name in &self.remove {
            writeln!(f, "- container {name}")?;
        }
        self.network.fmt(f)
    }
}

impl fmt::Display for NetworkChange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for Service { name, members, .. } in &self.services_added {
            writeln!(f, "+ service {name} ({})", members.join(", "))?;
        }
        for ServiceChange { name, added, removed } in &self.services_changed {
            let added = added.iter().map(|member| format!("+{member}"));
            let moves: Vec<String> = added.chain(removed.iter().map(|member| format!("-{member}"))).collect();
            let moves = if moves.is_empty() { "order changed".into() } else { moves.join(", ") };
            writeln!(f, "~ service {name} ({moves})")?;
        }
        for name in &self.services_removed {
            writeln!(f, "- service {name}")?;
        }
        for function in &self.functions_added {
            writeln!(f, "+ function {function}")?;
        }
        for FunctionChange { name, changed } in &self.functions_changed {
            writeln!(f, "~ function {name} ({} changed)", changed.join(", "))?;
        }
        let links = self.links_added.iter().map(|link| ('+', link));
        for (sign, link) in links.chain(self.links_removed.iter().map(|link| ('-', link))) {
            writeln!(f, "{sign} link {link}")?;
        }
        let emulated = self.emulated_added.iter().map(|link| ('+', link));
        for (sign, link) in emulated.chain(self.emulated_removed.iter().map(|link| ('-', link))) {
            writeln!(f, "{sign} emulated link {link}")?;
        }
        let publishes = self.publishes_added.iter().map(|publish| ('+', publish));
        for (sign, publish) in publishes.chain(self.publishes_removed.iter().map(|publish| ('-', publish))) {
            writeln!(f, "{sign} publish {publish}")?;
        }
        for ChainChange { link, before, after } in &self.chains_changed {
            let shown = |chain: &[String]| {
                if chain.is_empty() { "none".to_owned() } else { chain.join(", ") }
            };
            writeln!(f, "~ chain {link} ({} -> {})", shown(before), shown(after))?;
        }
        for name in &self.functions_removed {
            writeln!(f, "- function {name}")?;
        }
        for (alias, name) in &self.aliases_added {
            writeln!(f, "+ name {alias} ({name})")?;
        }
        for alias in &self.aliases_removed {
            writeln!(f, "- name {alias}")?;
        }
        if let Some((before, after)) = self.denied {
            writeln!(f, "~ denied packets ({before} -> {after})")?;
        }
        Ok(())
    }
}
