//! The tables as a listing: everything that may pass, read back from what packets are looked up in.

use serde::{Deserialize, Serialize};

use super::program::{Denied, Protocol, Selector};
use super::tables::{NONE, Pair, Tables};

/// Everything that may pass.
///
/// An endpoint may open a flow when one of the parties that it is a source as has an [`Opening`] to the destination.
/// A destination is its own name only: members of a service are reached through its address by openings to the
/// service, and under their own by openings to themselves.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Policy {
    /// What the sender of anything else learns.
    pub denied: Denied,
    /// Who may send, in the program's order.
    pub sources: Vec<Source>,
    /// What is open, by rule and then by port.
    pub openings: Vec<Opening>,
}

/// An endpoint, in the eyes of rules.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Source {
    /// Its name.
    pub name: String,
    /// Itself, the services that it is a member of, and the edge if it is one.
    pub parties: Vec<String>,
}

/// Ports on which one party may open flows to another.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Opening {
    /// The party that opens flows.
    pub from: String,
    /// The party that they go to.
    pub to: String,
    /// TCP or UDP; [`Protocol::Any`] is every protocol but these two.
    pub protocol: Protocol,
    /// First port.
    pub min: u16,
    /// Last port.
    pub max: u16,
    /// The first rule that opens them.
    pub rule: u64,
    /// Where the rule comes from.
    pub label: String,
    /// The network functions that its flows pass.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub through: Vec<String>,
}

impl Tables {
    /// Everything that may pass.
    pub fn policy(&self) -> Policy {
        let names = self.party_names();
        let name = |party: u32| names[party as usize].clone();
        let sources = self.endpoints.iter().map(|endpoint| Source {
            name: endpoint.name.to_string(),
            parties: endpoint.parties.iter().map(|party| name(*party)).collect(),
        });
        let mut openings = Vec::new();
        for (key, pair) in &self.pairs {
            let (from, to) = ((key >> 32) as u32, *key as u32);
            for (protocol, min, max, rule) in self.open_ports(pair) {
                openings.push((rule, protocol as u8, min, max, from, to, protocol));
            }
        }
        openings.sort_unstable_by_key(|(rule, order, min, max, from, to, _)| {
            (*rule, *order, *min, *max, *from, *to)
        });
        let opening = |(rule, _, min, max, from, to, protocol): (u32, u8, u16, u16, u32, u32, Protocol)| {
            let rule = &self.rules[rule as usize];
            Opening {
                from: name(from),
                to: name(to),
                protocol,
                min,
                max,
                rule: rule.id,
                label: rule.label.to_string(),
                through: self.functions.names(rule.chain),
            }
        };
        Policy {
            denied: self.denied,
            sources: sources.collect(),
            openings: openings.into_iter().map(opening).collect(),
        }
    }

    /// Endpoints, then services, the edge, and everybody outside: as parties are numbered.
    fn party_names(&self) -> Vec<String> {
        let endpoints = self.endpoints.iter().map(|endpoint| endpoint.name.to_string());
        let services = self.services.iter().map(|service| service.name.to_string());
        let others = [Selector::Edge.to_string(), Selector::Outside.to_string()];
        endpoints.chain(services).chain(others).collect()
    }

    /// The pieces of a pair, with the rule of each.
    fn open_ports(&self, pair: &Pair) -> Vec<(Protocol, u16, u16, u32)> {
        let pieces = |(start, end): (u32, u32), protocol| {
            let pieces = &self.pieces[start as usize..end as usize];
            pieces.iter().map(move |piece| (protocol, piece.min, piece.max, piece.rule))
        };
        let mut open: Vec<_> =
            pieces(pair.tcp, Protocol::Tcp).chain(pieces(pair.udp, Protocol::Udp)).collect();
        if pair.other != NONE {
            open.push((Protocol::Any, 0, u16::MAX, pair.other));
        }
        open
    }
}
