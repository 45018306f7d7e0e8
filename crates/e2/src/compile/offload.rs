//! Step 5: functions that a switch can do go into its table, those that relieve the servers' links most first, while the table has
//! room for them and for the rules that connect everything.

use super::connect::connect;
use super::merge::PGraph;
use super::split::{IGraph, Node};
use crate::place::Load;
use crate::policy::Policy;

/// The functions that are in the switch.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Offload {
    /// By place, ascending.
    pub functions: Vec<usize>,
}

impl Offload {
    /// Whether a function is in the switch.
    pub fn has(&self, function: usize) -> bool {
        self.functions.binary_search(&function).is_ok()
    }

    /// The entries that they take.
    pub fn entries(&self, policy: &Policy) -> u64 {
        let each = self.functions.iter().filter_map(|function| policy.functions[*function].switch_entries);
        each.map(u64::from).sum()
    }

    fn with(&self, function: usize) -> Self {
        let mut functions = self.functions.clone();
        functions.push(function);
        functions.sort_unstable();
        Self { functions }
    }
}

/// What servers' links carry.
pub fn loads(policy: &Policy, igraph: &IGraph, servers: &[usize], offload: &Offload) -> Vec<Load> {
    let site = |node: Node| match node {
        Node::Port(_) => None,
        Node::Instance(place) if offload.has(igraph.instances[place].function) => None,
        Node::Instance(place) => servers.get(place).copied(),
    };
    let traffic = igraph.edges.iter().map(|edge| (site(edge.from), site(edge.to), edge.rate.0));
    Load::of(traffic, policy.hardware.servers.len())
}

fn total(loads: &[Load]) -> u64 {
    loads.iter().map(|load| load.inward.saturating_add(load.outward)).fold(0, u64::saturating_add)
}

/// Chooses what goes into the switch, given where instances are. A function goes there with all its instances, if servers' links
/// then carry less.
pub fn offload(policy: &Policy, pgraph: &PGraph, igraph: &IGraph, servers: &[usize]) -> Offload {
    let room = u64::from(policy.hardware.switch.entries);
    let mut chosen = Offload::default();
    let mut carried = total(&loads(policy, igraph, servers, &chosen));
    loop {
        let open = candidates(policy, igraph, &chosen);
        let mut gains: Vec<(u64, usize)> = open
            .map(|function| {
                (
                    carried.saturating_sub(total(&loads(policy, igraph, servers, &chosen.with(function)))),
                    function,
                )
            })
            .filter(|(gain, _)| *gain > 0)
            .collect();
        gains.sort_by_key(|(gain, function)| (std::cmp::Reverse(*gain), *function));
        let fits = |function: &usize| {
            connect(policy, pgraph, igraph, servers, &chosen.with(*function)).entries <= room
        };
        let Some(function) = gains.into_iter().map(|(_, function)| function).find(fits) else {
            return chosen;
        };
        chosen = chosen.with(function);
        carried = total(&loads(policy, igraph, servers, &chosen));
    }
}

/// Functions that a switch can do and that are not there yet.
pub(super) fn candidates<'a>(
    policy: &'a Policy,
    igraph: &'a IGraph,
    chosen: &'a Offload,
) -> impl Iterator<Item = usize> + 'a {
    let all = policy.functions.iter().enumerate().filter(|(_, function)| function.switch_entries.is_some());
    all.map(|(place, _)| place).filter(|place| !chosen.has(*place) && igraph.of(*place).next().is_some())
}
