//! Step 1: all pipelets become one graph, the pGraph. Functions of one name are one node, ports are nodes, and the predicates of
//! parallel edges are joined by `or`.
//!
//! Which pipelet a packet belongs to is decided where it comes in and travels with it as a tag, because functions may change
//! the headers by which it was told. The tag is asked for only where pipelets part ways. A legacy function loses it; behind one,
//! headers are asked again, and if a function before has changed them, that is a fault.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::filter::Filter;
use crate::key::Fields;
use crate::policy::{Edge, End, Fault, FaultKind, Faults, Kind, Policy};
use crate::rate::Rate;

/// How a rule knows the pipelet of a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Told {
    /// It need not: all pipelets go the same ways from here.
    Nothing,
    /// By the tag.
    Tag,
    /// By headers, which are part of the filter.
    Header,
}

/// One of the predicates that an edge joins.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Alternative {
    /// Of all that match, the lowest is taken: the pipelet's place in the file, then that of the edge in it.
    pub order: (usize, usize),
    /// The pipelets that it stands for, by place; the first is that of `order`.
    pub pipelets: Vec<usize>,
    /// How they are told from others.
    pub told: Told,
    /// Which packets.
    pub filter: Filter,
}

/// An edge of the pGraph.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PEdge {
    /// Where it starts.
    pub from: End,
    /// Where it ends.
    pub to: End,
    /// Its predicates, by order.
    pub alternatives: Vec<Alternative>,
    /// What is thought to go over it.
    pub rate: Rate,
}

/// The graph of all pipelets. May have circles where pipelets go opposite ways; no pipelet has one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PGraph {
    /// The edges, by where they start and end.
    pub edges: Vec<PEdge>,
}

impl PGraph {
    /// The edges that start somewhere.
    pub fn from(&self, end: End) -> impl Iterator<Item = &PEdge> {
        self.edges.iter().filter(move |edge| edge.from == end)
    }

    /// The edges that end somewhere.
    pub fn to(&self, end: End) -> impl Iterator<Item = &PEdge> {
        self.edges.iter().filter(move |edge| edge.to == end)
    }

    /// Where a packet of a pipelet goes next, as rules of the whole graph say.
    pub fn next(&self, end: End, pipelet: usize, matches: &dyn Fn(&Filter) -> bool) -> Option<End> {
        let rules = self.from(end).flat_map(|edge| edge.alternatives.iter().map(move |rule| (rule, edge.to)));
        let fits = rules.filter(|(rule, _)| {
            (rule.told != Told::Tag || rule.pipelets.contains(&pipelet)) && matches(&rule.filter)
        });
        fits.min_by_key(|(rule, _)| rule.order).map(|(_, to)| to)
    }
}

/// Merges all pipelets.
///
/// # Errors
/// Pipelets that cannot be told apart behind a legacy function.
pub fn merge(policy: &Policy) -> Result<PGraph, Faults> {
    let mut edges: BTreeMap<(End, End), PEdge> = BTreeMap::new();
    for pipelet in &policy.pipelets {
        for (edge, rate) in pipelet.edges.iter().zip(rates(policy, pipelet)) {
            let (from, to) = (edge.from, edge.to);
            let entry = edges.entry((from, to));
            let merged = entry.or_insert_with(|| PEdge { from, to, alternatives: Vec::new(), rate: Rate(0) });
            merged.rate = merged.rate.plus(rate);
        }
    }
    let mut faults = Vec::new();
    let starts: std::collections::BTreeSet<End> = edges.keys().map(|(from, _)| *from).collect();
    for from in starts {
        match rules(policy, from) {
            Ok(rules) => {
                for (to, rule) in rules {
                    edges.entry((from, to)).and_modify(|edge| edge.alternatives.push(rule));
                }
            }
            Err(fault) => faults.push(fault),
        }
    }
    if faults.is_empty() { Ok(PGraph { edges: edges.into_values().collect() }) } else { Err(Faults(faults)) }
}

/// What goes over each edge of a pipelet.
fn rates(policy: &Policy, pipelet: &crate::policy::Pipelet) -> Vec<Rate> {
    let mut rates = vec![Rate(0); pipelet.edges.len()];
    let mut through = vec![Rate(0); policy.functions.len()];
    let mut give = |edge: usize, rate: Rate, through: &mut Vec<Rate>| {
        rates[edge] = pipelet.edges[edge].share.of(rate);
        if let End::Function(to) = pipelet.edges[edge].to {
            through[to] = through[to].plus(rates[edge]);
        }
    };
    let of = |from: Option<usize>| {
        let numbered = pipelet.edges.iter().enumerate();
        numbered.filter(move |(_, edge)| match edge.from {
            End::Port(_) => from.is_none(),
            End::Function(place) => from == Some(place),
        })
    };
    of(None).for_each(|(edge, _)| give(edge, pipelet.rate, &mut through));
    for place in pipelet.order().unwrap_or_default() {
        let rate = through[place];
        of(Some(place)).for_each(|(edge, _)| give(edge, rate, &mut through));
    }
    rates
}

/// The rules by which packets leave a node, and where to.
fn rules(policy: &Policy, from: End) -> Result<Vec<(End, Alternative)>, Fault> {
    let leaving = |pipelet: usize| {
        let numbered = policy.pipelets[pipelet].edges.iter().enumerate();
        numbered.filter(move |(_, edge)| edge.from == from)
    };
    // Those that get there, also where they end there.
    let here: Vec<usize> = (0..policy.pipelets.len())
        .filter(|pipelet| {
            policy.pipelets[*pipelet]
                .edges
                .iter()
                .any(|edge| edge.from == from || edge.to == from && matches!(from, End::Function(_)))
        })
        .collect();
    let ways = |pipelet: usize| leaving(pipelet).map(|(_, edge)| (edge.to, &edge.when)).collect::<Vec<_>>();
    let alike = here.windows(2).all(|pair| ways(pair[0]) == ways(pair[1]));
    let rule = |pipelets: Vec<usize>, place: usize, told, filter| Alternative {
        order: (pipelets[0], place),
        pipelets,
        told,
        filter,
    };
    let by_header = |pipelet: usize, place: usize, edge: &Edge| {
        // What an earlier pipelet has is not this one's, whatever becomes of it there.
        let own = &policy.pipelets[pipelet].traffic;
        let earlier =
            here.iter().filter(|other| **other < pipelet).map(|other| &policy.pipelets[*other].traffic);
        let others =
            earlier.filter(|other| !own.is_disjoint(other)).map(|other| Filter::Not(Box::new(other.clone())));
        let parts = std::iter::once(own.clone()).chain(others).chain([edge.when.clone()]);
        let filter = Filter::All(parts.collect()).simplified();
        (edge.to, rule(vec![pipelet], place, Told::Header, filter))
    };
    let End::Function(function) = from else {
        let all = here
            .iter()
            .flat_map(|pipelet| leaving(*pipelet).map(|(place, edge)| by_header(*pipelet, place, edge)));
        return Ok(all.collect());
    };
    if alike {
        let Some(first) = here.first() else { return Ok(Vec::new()) };
        let all = leaving(*first);
        return Ok(all
            .map(|(place, edge)| (edge.to, rule(here.clone(), place, Told::Nothing, edge.when.clone())))
            .collect());
    }
    let function = &policy.functions[function];
    if function.kind == Kind::Native {
        let all =
            here.iter().flat_map(|pipelet| leaving(*pipelet).map(|(place, edge)| (*pipelet, place, edge)));
        return Ok(all
            .map(|(pipelet, place, edge)| (edge.to, rule(vec![pipelet], place, Told::Tag, edge.when.clone())))
            .collect());
    }
    for pipelet in &here {
        let changed = changed_upto(policy, *pipelet, from);
        if policy.pipelets[*pipelet].traffic.fields().has_any(changed) {
            let other = here.iter().find(|other| ways(**other) != ways(*pipelet)).unwrap_or(pipelet);
            let kind = FaultKind::Indistinguishable {
                function: function.name.clone(),
                one: policy.pipelets[*pipelet].name.clone(),
                other: policy.pipelets[*other].name.clone(),
                fields: changed.to_string(),
            };
            return Err(Fault { place: policy.pipelets[*pipelet].place, kind });
        }
    }
    let all = here
        .iter()
        .flat_map(|pipelet| leaving(*pipelet).map(|(place, edge)| by_header(*pipelet, place, edge)));
    Ok(all.collect())
}

/// The fields that functions of a pipelet change up to and with a node.
fn changed_upto(policy: &Policy, pipelet: usize, node: End) -> Fields {
    let edges = &policy.pipelets[pipelet].edges;
    let (mut before, mut waiting) = (vec![node], vec![node]);
    while let Some(here) = waiting.pop() {
        for edge in edges.iter().filter(|edge| edge.to == here) {
            if matches!(edge.from, End::Function(_)) && !before.contains(&edge.from) {
                before.push(edge.from);
                waiting.push(edge.from);
            }
        }
    }
    before.into_iter().fold(Fields::NONE, |fields, end| match end {
        End::Function(place) => fields.with(policy.functions[place].rewrites),
        End::Port(_) => fields,
    })
}
