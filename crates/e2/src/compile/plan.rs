//! All steps, one after the other.

use super::connect::{Connections, connect};
use super::merge::{PGraph, merge};
use super::offload::{Offload, candidates, loads, offload};
use super::size::{Sizes, size};
use super::split::{IGraph, Node, split};
use crate::place::{Load, Placement, Problem, ProblemError, place};
use crate::policy::{Fault, FaultKind, Faults, Place, Policy};
use crate::rate::Rate;

/// What runs where and how it is connected.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Plan {
    /// All pipelets as one graph.
    pub pgraph: PGraph,
    /// How many instances.
    pub sizes: Sizes,
    /// The instances and what flows between them.
    pub igraph: IGraph,
    /// By instance: its server; none in the switch.
    pub servers: Vec<Option<usize>>,
    /// Traffic between servers, in bit/s.
    pub cut: u64,
    /// No placement of the same instances has less, in bit/s.
    pub bound: u64,
    /// What is in the switch.
    pub offload: Offload,
    /// What servers' links carry.
    pub loads: Vec<Load>,
    /// Vports, classifiers, and rules of the switch.
    pub connections: Connections,
}

/// Plans a policy.
///
/// # Errors
/// What cannot be met, and what is missing for it: cores, capacities of functions, ports and links, entries of the table.
pub fn plan(policy: &Policy) -> Result<Plan, Faults> {
    let pgraph = merge(policy)?;
    let sizes = size(policy, &pgraph)?;
    let igraph = split(policy, &pgraph, &sizes);
    let whole = |kind| Faults(vec![Fault { place: policy.hardware.switch.place, kind }]);

    let mut chosen = Offload::default();
    let mut placed = placed(policy, &igraph, &chosen);
    if let Err(ProblemError::Cores { .. }) = placed {
        // What a switch can do need not have a core; the largest first.
        let mut open: Vec<usize> = candidates(policy, &igraph, &chosen).collect();
        open.sort_by_key(|function| (std::cmp::Reverse(sizes.instances[*function]), *function));
        for function in open {
            let more = Offload { functions: sorted(chosen.functions.iter().copied().chain([function])) };
            if more.entries(policy) > u64::from(policy.hardware.switch.entries) {
                continue;
            }
            chosen = more;
            placed = self::placed(policy, &igraph, &chosen);
            if placed.is_ok() {
                break;
            }
        }
    }
    let (mut servers, mut placement) =
        placed.map_err(|error| whole(missing(policy, &igraph, &chosen, &error)))?;
    let more = offload(policy, &pgraph, &igraph, &servers);
    if !more.functions.is_empty() {
        // Cores that became free may bring the others together.
        let all = Offload { functions: sorted(chosen.functions.iter().chain(&more.functions).copied()) };
        if let Ok(again) = self::placed(policy, &igraph, &all) {
            chosen = all;
            (servers, placement) = again;
        }
    }
    relieve(policy, &igraph, &mut servers, &chosen);
    let connections = connect(policy, &pgraph, &igraph, &servers, &chosen);
    let loads = loads(policy, &igraph, &servers, &chosen);
    let faults = overloads(policy, &loads, connections.entries);
    if !faults.is_empty() {
        return Err(Faults(faults));
    }
    let servers: Vec<Option<usize>> = servers
        .into_iter()
        .zip(&igraph.instances)
        .map(|(server, instance)| (!chosen.has(instance.function)).then_some(server))
        .collect();
    let cut = cut(&igraph, &servers);
    Ok(Plan {
        pgraph,
        sizes,
        bound: placement.bound.min(cut),
        igraph,
        servers,
        cut,
        offload: chosen,
        loads,
        connections,
    })
}

fn sorted(functions: impl Iterator<Item = usize>) -> Vec<usize> {
    functions.collect::<std::collections::BTreeSet<_>>().into_iter().collect()
}

/// Places what is not in the switch. Instances in the switch get a server that means nothing.
fn placed(
    policy: &Policy,
    igraph: &IGraph,
    chosen: &Offload,
) -> Result<(Vec<usize>, Placement), ProblemError> {
    let (problem, of_problem) = problem(policy, igraph, chosen);
    let placement = place(&problem)?;
    let mut servers = vec![0; igraph.instances.len()];
    for (instance, server) in of_problem.iter().zip(&placement.servers) {
        servers[*instance] = *server;
    }
    Ok((servers, placement))
}

/// The placement problem of a graph, and the instance that each of its numbers stands for.
pub fn problem(policy: &Policy, igraph: &IGraph, chosen: &Offload) -> (Problem, Vec<usize>) {
    let all = igraph.instances.iter().enumerate();
    let kept: Vec<usize> =
        all.filter(|(_, instance)| !chosen.has(instance.function)).map(|(place, _)| place).collect();
    let mut numbers = vec![usize::MAX; igraph.instances.len()];
    for (number, instance) in kept.iter().enumerate() {
        numbers[*instance] = number;
    }
    let traffic = igraph.edges.iter().filter_map(|edge| match (edge.from, edge.to) {
        (Node::Instance(from), Node::Instance(to)) => Some((numbers[from], numbers[to], edge.rate.0)),
        _ => None,
    });
    let cores = policy.hardware.servers.iter().map(|server| server.cores).collect();
    (Problem::new(kept.len(), traffic, cores), kept)
}

fn cut(igraph: &IGraph, servers: &[Option<usize>]) -> u64 {
    let between = igraph.edges.iter().filter(|edge| match (edge.from, edge.to) {
        (Node::Instance(from), Node::Instance(to)) => {
            servers[from].is_some() && servers[to].is_some() && servers[from] != servers[to]
        }
        _ => false,
    });
    between.map(|edge| edge.rate.0).sum()
}

fn missing(policy: &Policy, igraph: &IGraph, chosen: &Offload, error: &ProblemError) -> FaultKind {
    let mut counts: Vec<(usize, &str)> = policy
        .functions
        .iter()
        .enumerate()
        .filter(|(place, _)| !chosen.has(*place))
        .map(|(place, function)| (igraph.of(place).count(), function.name.as_str()))
        .filter(|(count, _)| *count > 0)
        .collect();
    counts.sort_by_key(|(count, name)| (std::cmp::Reverse(*count), *name));
    let largest: Vec<String> =
        counts.iter().take(5).map(|(count, name)| format!("{count} of {name}")).collect();
    let by_function =
        if counts.len() > 5 { format!("most are {}", largest.join(", ")) } else { largest.join(", ") };
    match error {
        ProblemError::Cores { instances, cores } => {
            FaultKind::TooFewCores { instances: *instances, cores: *cores, by_function }
        }
        other => FaultKind::TooMany {
            what: "instances",
            count: if let ProblemError::TooMany(count) = other { *count } else { igraph.instances.len() },
            most: crate::place::INSTANCES_MAX,
        },
    }
}

fn overloads(policy: &Policy, loads: &[Load], entries: u64) -> Vec<Fault> {
    let mut faults = Vec::new();
    for (server, load) in policy.hardware.servers.iter().zip(loads) {
        for (needed, way) in [(Rate(load.inward), "go to"), (Rate(load.outward), "leave")] {
            if needed > server.rate {
                let kind =
                    FaultKind::LinkOverloaded { server: server.name.clone(), way, needed, has: server.rate };
                faults.push(Fault { place: server.place, kind });
            }
        }
    }
    let switch = &policy.hardware.switch;
    if entries > u64::from(switch.entries) {
        let kind =
            FaultKind::Table { switch: switch.name.clone(), needed: entries, has: switch.entries.into() };
        faults.push(Fault { place: switch.place, kind });
    }
    faults.sort_by_key(|fault: &Fault| -> Place { fault.place });
    faults
}

/// The most changes that [`relieve`] makes, and the most instances for which it tries.
const RELIEF_STEPS: usize = 32;
const RELIEF_INSTANCES_MAX: usize = 128;

/// Where links are overloaded: the move or swap that relieves them most, while there is one.
fn relieve(policy: &Policy, igraph: &IGraph, servers: &mut [usize], chosen: &Offload) {
    let movable: Vec<usize> =
        (0..servers.len()).filter(|place| !chosen.has(igraph.instances[*place].function)).collect();
    let over = |servers: &[usize]| -> (u64, u64) {
        let loads = loads(policy, igraph, servers, chosen);
        let over = loads.iter().zip(&policy.hardware.servers).map(|(load, server)| load.over(server.rate.0));
        let carried = loads.iter().map(|load| load.inward.saturating_add(load.outward));
        (over.fold(0, u64::saturating_add), carried.fold(0, u64::saturating_add))
    };
    let mut now = over(servers);
    if movable.len() > RELIEF_INSTANCES_MAX {
        return;
    }
    for _ in 0..RELIEF_STEPS {
        if now.0 == 0 {
            return;
        }
        let mut best = (now, None);
        let mut offer = |state: (u64, u64), change: (usize, usize, Option<usize>)| {
            if state < best.0 {
                best = (state, Some(change));
            }
        };
        for (number, one) in movable.iter().copied().enumerate() {
            let own = servers[one];
            for (server, hardware) in policy.hardware.servers.iter().enumerate() {
                let used = movable.iter().filter(|place| servers[**place] == server).count();
                if server != own && used < hardware.cores as usize {
                    servers[one] = server;
                    offer(over(servers), (one, server, None));
                    servers[one] = own;
                }
            }
            for other in movable[number + 1..]
                .iter()
                .copied()
                .filter(|other| servers[*other] != own)
                .collect::<Vec<_>>()
            {
                servers.swap(one, other);
                offer(over(servers), (one, servers[one], Some(other)));
                servers.swap(one, other);
            }
        }
        match best {
            (_, None) => return,
            (state, Some((one, server, None))) => (servers[one], now) = (server, state),
            (state, Some((one, _, Some(other)))) => {
                servers.swap(one, other);
                now = state;
            }
        }
    }
}
