//! A plan by names, for people and programs.

use std::fmt;

use serde::Serialize;

use super::connect::{Action, At, Destination, Rule};
use super::plan::Plan;
use crate::policy::Policy;
use crate::rate::Rate;

/// Everything that a plan says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Listing {
    /// Instances and where they run.
    pub instances: Vec<ListedInstance>,
    /// Servers and what they carry.
    pub servers: Vec<ListedServer>,
    /// Traffic between servers, in bit/s.
    pub cut: Rate,
    /// No placement of these instances has less, in bit/s.
    pub bound: Rate,
    /// Functions in the switch.
    pub offloaded: Vec<String>,
    /// What packets meet where they leave.
    pub rules: Vec<ListedRule>,
    /// Tunnel tags and what each leads to.
    pub tags: Vec<(u32, String)>,
    /// Entries of the switch's table that are taken, of how many.
    pub entries: (u64, u32),
}

/// An instance.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ListedInstance {
    /// `ids.2`.
    pub name: String,
    /// Its server, or the switch.
    pub site: String,
    /// What it is thought to get, in bit/s.
    pub rate: Rate,
    /// Its hashes, and over what; none where it is alone.
    pub range: Option<String>,
    /// Whether it must take new keys whose packets on their way back fall into its range.
    pub reverse: bool,
}

/// A server.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ListedServer {
    /// Its name.
    pub name: String,
    /// Cores that instances have.
    pub used: u32,
    /// Cores that there are.
    pub cores: u32,
    /// What goes to it, in bit/s.
    pub inward: Rate,
    /// What leaves it, in bit/s.
    pub outward: Rate,
    /// What its links carry each way, in bit/s.
    pub link: Rate,
}

/// A rule.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ListedRule {
    /// Where: a port, or a vport as `ids.2:out`.
    pub at: String,
    /// Which packets.
    pub matches: String,
    /// What becomes of them.
    pub action: String,
}

impl Plan {
    /// The plan by names.
    pub fn listing(&self, policy: &Policy) -> Listing {
        let hardware = &policy.hardware;
        let name = |instance: usize| self.igraph.name(policy, instance);
        let instances = self.igraph.instances.iter().enumerate().map(|(place, instance)| {
            let key = self.igraph.keys[instance.function];
            let site =
                self.servers[place].map_or(&hardware.switch.name, |server| &hardware.servers[server].name);
            ListedInstance {
                name: name(place),
                site: site.clone(),
                rate: instance.rate,
                range: (instance.range != crate::key::HashRange::ALL)
                    .then(|| format!("{} of {key}", instance.range)),
                reverse: self.connections.reverse.iter().any(|(other, ..)| *other == place),
            }
        });
        let servers = hardware.servers.iter().enumerate().map(|(place, server)| ListedServer {
            name: server.name.clone(),
            used: self.servers.iter().filter(|other| **other == Some(place)).count() as u32,
            cores: server.cores,
            inward: Rate(self.loads[place].inward),
            outward: Rate(self.loads[place].outward),
            link: server.rate,
        });
        let rules = self.connections.classifiers.iter().flat_map(|classifier| {
            let at = match &classifier.at {
                At::Port(port) => hardware.ports[*port].name.clone(),
                At::Vport(instance, attribute) => {
                    format!("{}:{}", name(*instance), attribute.as_deref().unwrap_or("out"))
                }
            };
            classifier.rules.iter().map(move |rule| ListedRule {
                at: at.clone(),
                matches: matches(policy, rule),
                action: self.action(policy, rule),
            })
        });
        let tags = self.connections.tags.iter().map(|rule| {
            let to = match rule.to {
                Destination::Instance(instance) => name(instance),
                Destination::Port(port) => hardware.ports[port].name.clone(),
            };
            (rule.tag, to)
        });
        Listing {
            instances: instances.collect(),
            servers: servers.collect(),
            cut: Rate(self.cut),
            bound: Rate(self.bound),
            offloaded: self
                .offload
                .functions
                .iter()
                .map(|place| policy.functions[*place].name.clone())
                .collect(),
            rules: rules.collect(),
            tags: tags.collect(),
            entries: (self.connections.entries, hardware.switch.entries),
        }
    }

    fn action(&self, policy: &Policy, rule: &Rule) -> String {
        let name = |instance: usize| self.igraph.name(policy, instance);
        let action = match rule.action {
            Action::Deliver(instance) => name(instance),
            Action::Tunnel { instance, tag } => format!("tunnel {tag} to {}", name(instance)),
            Action::Port { port, tag: None } => policy.hardware.ports[port].name.clone(),
            Action::Port { port, tag: Some(tag) } => {
                format!("tunnel {tag} to {}", policy.hardware.ports[port].name)
            }
        };
        match rule.sets {
            Some(pipelet) => format!("tag {}, {action}", policy.pipelets[pipelet].name),
            None => action,
        }
    }
}

fn matches(policy: &Policy, rule: &Rule) -> String {
    let mut parts = Vec::new();
    if let Some(pipelets) = &rule.pipelets {
        let names: Vec<&str> = pipelets.iter().map(|place| policy.pipelets[*place].name.as_str()).collect();
        parts.push(format!("tagged {}", names.join("|")));
    }
    if !rule.filter.is_any() {
        parts.push(rule.filter.to_string());
    }
    if let Some((key, range)) = rule.range {
        parts.push(format!("{key} in {range}"));
    }
    if parts.is_empty() { "any".into() } else { parts.join("; ") }
}

impl fmt::Display for Listing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for server in &self.servers {
            let ListedServer { name, used, cores, inward, outward, link } = server;
            writeln!(f, "{name}: {used} of {cores} cores, {inward} in, {outward} out of {link}")?;
            for instance in self.instances.iter().filter(|instance| instance.site == *name) {
                write_instance(f, instance)?;
            }
        }
        if !self.offloaded.is_empty() {
            writeln!(f, "in the switch: {}", self.offloaded.join(", "))?;
        }
        let (cut, bound) = (self.cut, self.bound);
        let proven =
            if cut == bound { ", the least there is".to_owned() } else { format!(", at least {bound}") };
        writeln!(f, "between servers: {cut}{proven}")?;
        writeln!(
            f,
            "switch: {} of {} entries, {} tunnel tags",
            self.entries.0,
            self.entries.1,
            self.tags.len()
        )?;
        for rule in &self.rules {
            writeln!(f, "{}: {} -> {}", rule.at, rule.matches, rule.action)?;
        }
        Ok(())
    }
}

fn write_instance(f: &mut fmt::Formatter<'_>, instance: &ListedInstance) -> fmt::Result {
    let range = instance.range.as_ref().map_or_else(String::new, |range| format!(", {range}"));
    let reverse = if instance.reverse { ", new keys within it" } else { "" };
    writeln!(f, "  {}: {}{range}{reverse}", instance.name, instance.rate)
}
