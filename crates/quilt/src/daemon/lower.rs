//! From the original's deployment to the model, as the module `@quilt/quilt` does it for a script.

use std::collections::{BTreeMap, HashMap, HashSet};

use super::deployment::{Connection, Container, Deployment, Invariant, Placement};
use crate::images::{self, resolve::Resolver};
use crate::model::{
    self, Blueprint, Claim, Image, MachineKind, Party, PlacementRule, Ports, Protocol, Recipe, Text,
};

/// What a label is called that means everything outside.
pub(super) const PUBLIC: &str = "public";
/// The namespace of deployments that name none.
const DEFAULT_NAMESPACE: &str = "default-namespace";

/// A deployment in the words of the model.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Lowered {
    /// The blueprint, not checked yet.
    pub blueprint: Blueprint,
    /// The name in the network of each container, by its identifier.
    pub containers: BTreeMap<String, String>,
    /// The name in the network of each label.
    pub labels: BTreeMap<String, String>,
}

/// Lowers a deployment.
///
/// # Errors
/// Everything in it that means nothing, in words.
pub fn lower(deployment: &Deployment) -> Result<Lowered, Vec<String>> {
    let (resolver, lowered) = (Resolver::default(), Lowered::default());
    let mut lower = Lower { deployment, resolver, errors: Vec::new(), lowered };
    let name = if deployment.namespace.is_empty() { DEFAULT_NAMESPACE } else { &deployment.namespace };
    lower.lowered.blueprint.name = label(name);
    lower.names();
    deployment.containers.iter().for_each(|container| lower.container(container));
    lower.services();
    deployment.connections.iter().for_each(|connection| lower.connection(connection));
    deployment.placements.iter().for_each(|placement| lower.placement(placement));
    deployment.invariants.iter().for_each(|invariant| lower.invariant(invariant));
    if lower.errors.is_empty() { Ok(lower.lowered) } else { Err(lower.errors) }
}

struct Lower<'a> {
    deployment: &'a Deployment,
    resolver: Resolver,
    errors: Vec<String>,
    lowered: Lowered,
}

impl Lower<'_> {
    fn error(&mut self, what: String) {
        self.errors.push(what);
    }

    /// Decides what everything is called in the network: containers by their host names, services by their labels, and
    /// other containers by the first label that they have.
    fn names(&mut self) {
        let Deployment { containers, labels, .. } = self.deployment;
        let mut taken = HashSet::new();
        let mut known = HashSet::new();
        for container in containers {
            if container.id.is_empty() {
                self.error("a container has no ID".into());
            } else if !known.insert(container.id.as_str()) {
                self.error(format!("two containers have the ID {}", container.id));
            }
            if !container.hostname.is_empty() {
                let name = label(&container.hostname);
                if !taken.insert(name.clone()) {
                    self.error(format!("two containers are called {}", container.hostname));
                }
                self.lowered.containers.insert(container.id.clone(), name);
            }
        }
        for label_of in labels {
            let name = free(&mut taken, &label(&label_of.name));
            if label_of.name == PUBLIC {
                self.error(format!("no label may be called {PUBLIC}: that is everything outside"));
            }
            if self.lowered.labels.insert(label_of.name.clone(), name).is_some() {
                self.error(format!("two labels are called {}", label_of.name));
            }
        }
        for label_of in labels {
            for (at, id) in label_of.ids.iter().enumerate() {
                if !known.contains(id.as_str()) {
                    self.error(format!(
                        "label {} has a container {id}, which is not deployed",
                        label_of.name
                    ));
                } else if !self.lowered.containers.contains_key(id) {
                    let name = format!("{}-{}", self.lowered.labels[&label_of.name], at + 1);
                    self.lowered.containers.insert(id.clone(), free(&mut taken, &name));
                }
            }
        }
        for container in containers {
            if !self.lowered.containers.contains_key(&container.id) {
                let name = free(&mut taken, "container");
                self.lowered.containers.insert(container.id.clone(), name);
            }
        }
    }

    fn container(&mut self, container: &Container) {
        let Container { id, image, command, env, filepathtocontent, hostname } = container;
        let name = self.lowered.containers[id].clone();
        if !is_image(&image.name) {
            let what = format!("could not parse container image {}: invalid reference format", image.name);
            self.error(what);
        }
        let plain = |texts: &BTreeMap<String, String>| {
            texts.iter().map(|(key, value)| (key.clone(), Text::Plain(value.clone()))).collect()
        };
        let (image, config) = self.image(image);
        let command = match &image {
            Image::Alias(image) => images::command(image, command.clone()),
            _ => command.clone(),
        };
        let mut container = model::Container {
            name: name.clone(),
            command,
            image,
            env: plain(env),
            files: plain(filepathtocontent),
            ..model::Container::default()
        };
        config.apply(&mut container, None);
        let blueprint = &mut self.lowered.blueprint;
        blueprint.containers.push(container);
        if !hostname.is_empty() {
            blueprint.aliases.insert(format!("{hostname}.q"), name);
        }
    }

    /// An image by its name, or from its Dockerfile. That comes alone: there is no directory to copy from, nor was there.
    fn image(&mut self, image: &super::deployment::Image) -> (Image, images::Config) {
        let name = &image.name;
        if image.dockerfile.is_empty() {
            let user = images::alias(name).and_then(|alias| alias.user).map(str::to_owned);
            return match name.as_str() {
                "host" => (Image::Host, images::Config::default()),
                _ => (Image::Alias(name.clone()), images::Config { user, ..images::Config::default() }),
            };
        }
        let recipe = Recipe {
            name: name.clone(),
            dockerfile: image.dockerfile.clone(),
            file: format!("Dockerfile of '{name}'"),
            ..Recipe::default()
        };
        match self.resolver.build(None, &recipe) {
            Ok(found) => {
                if let (Some(digest), Some(recipe)) = (found.image.digest(), found.recipe) {
                    self.lowered.blueprint.recipes.insert(digest.to_owned(), recipe);
                }
                (found.image, found.config)
            }
            Err(faults) => {
                for fault in faults {
                    let error = format!("{}: {fault}", fault.span);
                    if !self.errors.contains(&error) {
                        self.error(error);
                    }
                }
                (Image::Host, images::Config::default())
            }
        }
    }

    fn services(&mut self) {
        for label_of in &self.deployment.labels {
            let name = self.lowered.labels[&label_of.name].clone();
            let members: Vec<String> =
                label_of.ids.iter().filter_map(|id| self.lowered.containers.get(id).cloned()).collect();
            let aliases = &mut self.lowered.blueprint.aliases;
            aliases.insert(format!("{}.q", label_of.name), name.clone());
            for (at, member) in members.iter().enumerate() {
                aliases.insert(format!("{}.{}.q", at + 1, label_of.name), member.clone());
            }
            let service = model::Service { name, members, ..model::Service::default() };
            self.lowered.blueprint.services.push(service);
        }
    }

    /// What a label means.
    fn party(&mut self, name: &str, what: &str) -> Option<Party> {
        if name == PUBLIC {
            return Some(Party::PublicInternet);
        }
        let party = self.lowered.labels.get(name).map(|name| Party::Service(name.clone()));
        if party.is_none() {
            self.error(format!("{what} names the label {name:?}, which is not deployed"));
        }
        party
    }

    fn connection(&mut self, connection: &Connection) {
        let what = format!("the connection {} -> {}", connection.from, connection.to);
        let port = |port: i64| u16::try_from(port).ok().filter(|port| *port > 0);
        let (from, to) = (self.party(&connection.from, &what), self.party(&connection.to, &what));
        let (Some(min), Some(max)) = (port(connection.minport), port(connection.maxport)) else {
            let (min, max) = (connection.minport, connection.maxport);
            return self
                .error(format!("{what} is on ports {min} to {max}: they are numbers from 1 to 65535"));
        };
        let (Some(from), Some(to)) = (from, to) else { return };
        let span = model::Span::default();
        if from != Party::PublicInternet {
            let (ports, protocol) = (Ports { min, max }, Protocol::Any);
            self.lowered.blueprint.links.push(model::Link {
                from,
                to,
                ports,
                protocol,
                through: Vec::new(),
                span,
            });
        } else if min == max {
            let protocol = Protocol::Tcp;
            let through = Vec::new();
            let publish = model::Publish { to, host_port: min, container_port: min, protocol, through, span };
            self.lowered.blueprint.publishes.push(publish);
        } else {
            self.error(format!(
                "{what} is on ports {min} to {max}: the public internet takes one port at a time"
            ));
        }
    }

    fn placement(&mut self, placement: &Placement) {
        let what = "a placement";
        let Some(target) = self.party(&placement.targetlabel, what) else { return };
        let rule = if placement.otherlabel.is_empty() {
            let kind = MachineKind {
                provider: placement.provider.clone(),
                size: placement.size.clone(),
                region: placement.region.clone(),
                floating_ip: placement.floatingip.clone(),
            };
            if placement.exclusive { PlacementRule::NotOn(kind) } else { PlacementRule::On(kind) }
        } else {
            let Some(other) = self.party(&placement.otherlabel, what) else { return };
            if placement.exclusive { PlacementRule::Apart(other) } else { PlacementRule::Beside(other) }
        };
        let span = model::Span::default();
        self.lowered.blueprint.placements.push(model::Placement { target, rule, span });
    }

    /// What Quilt meant by an invariant, not what its checker made of it.
    fn invariant(&mut self, invariant: &Invariant) {
        let Invariant { form, target, nodes } = invariant;
        let (count, known) = match form.as_str() {
            "enough" => (0, true),
            "reach" | "reachDirect" | "reachACL" => (2, true),
            "between" => (3, true),
            _ => (0, false),
        };
        if !known || nodes.len() < count {
            return self.error(format!("the invariant {form} {target} {nodes:?} makes no sense"));
        }
        let what = format!("the invariant {form} {target}");
        let parties: Option<Vec<Party>> = nodes[..count]
            .iter()
            .map(|node| self.party(node, &what))
            .collect::<Vec<_>>()
            .into_iter()
            .collect();
        let Some(parties) = parties else { return };
        let guards: Vec<Party> = self
            .deployment
            .labels
            .iter()
            .filter(|label| label.annotations.iter().any(|word| word == "ACL"))
            .filter_map(|label| self.lowered.labels.get(&label.name).cloned().map(Party::Service))
            .collect();
        let (ports, protocol) = (None, Protocol::Any);
        let mut holds = *target;
        let claim = match (form.as_str(), parties.as_slice()) {
            ("reachDirect", [from, to]) => {
                Claim::Connect { from: from.clone(), to: to.clone(), ports, protocol }
            }
            ("reachACL", [from, to]) if !guards.is_empty() => {
                // Reached round every guard: not all chains pass one.
                holds = !holds;
                Claim::Between { from: from.clone(), through: guards, to: to.clone() }
            }
            ("reach" | "reachACL", [from, to]) => {
                Claim::Reach { from: from.clone(), to: to.clone(), ports, protocol }
            }
            ("between", [from, through, to]) => {
                Claim::Between { from: from.clone(), through: vec![through.clone()], to: to.clone() }
            }
            _ => Claim::Enough,
        };
        let span = model::Span::default();
        self.lowered.blueprint.invariants.push(model::Invariant { claim, holds, span });
    }
}

/// Whether a text could be the name of an image, with registry, tag and digest.
fn is_image(name: &str) -> bool {
    let may = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || "._-/:@".contains(c);
    // Tags may have capitals, names may not.
    let (path, tag) = name.split_once([':', '@']).unwrap_or((name, ""));
    !path.is_empty() && path.chars().all(may) && tag.chars().all(|c| may(c.to_ascii_lowercase()))
}

/// A host name that is like `name`.
pub(super) fn label(name: &str) -> String {
    let mut label = String::new();
    for c in name.to_lowercase().chars() {
        let plain = c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
        if plain {
            label.push(c);
        } else if !label.ends_with('-') {
            label.push('-');
        }
    }
    label.trim_matches('-').to_owned()
}

/// `name`, or if that is taken one with a number behind it.
fn free(taken: &mut HashSet<String>, name: &str) -> String {
    let mut unique = name.to_owned();
    let mut count = 2;
    while !taken.insert(unique.clone()) {
        unique = format!("{name}-{count}");
        count += 1;
    }
    unique
}

/// Containers by name, the other way round.
pub(super) fn ids(lowered: &Lowered) -> HashMap<&str, &str> {
    lowered.containers.iter().map(|(id, name)| (name.as_str(), id.as_str())).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::eval::{Dialect, Options, evaluate_text};
    use crate::original;

    /// What a script becomes by way of the deployment that it prints is what it becomes directly, but for places.
    #[test]
    fn both_ways_from_a_script_to_the_model_agree() {
        let text = "
const { Container, Image, LabelRule, Machine, MachineRule, Service, createDeployment, enough, publicInternet } = require('@quilt/quilt');
const deployment = createDeployment({ namespace: 'Both_Ways', adminACL: ['local'], maxPrice: 2 });
const machine = new Machine({ provider: 'Amazon', cpu: 2, ram: 4, region: 'us-west-1' });
deployment.deploy([machine.asMaster(), machine.asWorker(), machine.asWorker()]);
const web = new Service('Web Tier', new Container('nginx', ['-x']).withEnv({ A: 'b' }).replicate(2));
const named = new Container('host', ['x']);
named.setHostname('Named');
const built = new Image('built', 'FROM scratch\\nENV A=b\\nENTRYPOINT [\"/x\"]\\nCMD [\"y\"]\\n');
const db = new Service('db', [named, new Container('redis'), new Container(built), new Container(built, ['z'])]);
db.annotate('ACL');
web.place(new LabelRule(true, db));
db.place(new MachineRule(false, { provider: 'Amazon' }));
db.allowFrom(web, 6379);
web.allowFrom(publicInternet, 80);
publicInternet.allowFrom(db, 443);
deployment.deploy([web, db]);
deployment.assert(publicInternet.canReach(web), true);
deployment.assert(web.canReachACL(db), true);
deployment.assert(db.neighborOf(web), false);
deployment.assert(web.between(db, db), true);
deployment.assert(enough, true);
";
        let options = Options { dialect: Some(Dialect::Quilt), ..Options::default() };
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("both.js");
        std::fs::write(&path, text).unwrap();
        let printed = original::deployment(&path, Dialect::Quilt, &Options::default()).unwrap().json;
        let mut lowered = lower(&Deployment::parse(&printed).unwrap()).unwrap().blueprint;
        let mut direct = evaluate_text("both.js", text, &options).unwrap().blueprint;
        let span = model::Span::default();
        direct.containers.iter_mut().for_each(|one| one.span = span.clone());
        direct.services.iter_mut().for_each(|one| one.span = span.clone());
        direct.links.iter_mut().for_each(|one| one.span = span.clone());
        direct.publishes.iter_mut().for_each(|one| one.span = span.clone());
        direct.placements.iter_mut().for_each(|one| one.span = span.clone());
        direct.invariants.iter_mut().for_each(|one| one.span = span.clone());
        // Whoever deploys has booted the machines: the daemon takes them as given.
        direct.machines = model::Machines::default();
        direct.containers.sort_by(|a, b| a.name.cmp(&b.name));
        lowered.containers.sort_by(|a, b| a.name.cmp(&b.name));
        for links in [&mut direct.links, &mut lowered.links] {
            links.sort_by_key(ToString::to_string);
        }
        assert_eq!(lowered, direct);
    }

    #[test]
    fn what_means_nothing_is_told_at_once() {
        let text = r#"{"containers": [{"id": "a", "image": {"name": "Bad Name"}}, {"id": "a"}, {}],
            "labels": [{"name": "x", "ids": ["a", "nobody"]}, {"name": "x"}, {"name": "public"}],
            "connections": [{"from": "x", "to": "y", "minPort": 80, "maxPort": 80},
                {"from": "public", "to": "x", "minPort": 1, "maxPort": 2}, {"from": "x", "to": "x", "minPort": 0, "maxPort": 70000}],
            "placements": [{"targetLabel": "z"}], "invariants": [{"form": "reach", "nodes": ["x"]}, {"form": "?"}]}"#;
        let errors = lower(&Deployment::parse(text).unwrap()).unwrap_err();
        for told in [
            "two containers have the ID a",
            "a container has no ID",
            "label x has a container nobody, which is not deployed",
            "two labels are called x",
            "no label may be called public",
            "could not parse container image Bad Name",
            "the connection x -> y names the label \"y\", which is not deployed",
            "the public internet takes one port at a time",
            "is on ports 0 to 70000",
            "a placement names the label \"z\"",
            "the invariant reach false [\"x\"] makes no sense",
            "the invariant ? false [] makes no sense",
        ] {
            assert!(errors.iter().any(|error| error.contains(told)), "{told}: {errors:#?}");
        }
    }
}
