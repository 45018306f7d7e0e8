//! Where another instance goes, and which one goes first when there are too many.

use super::{Deployed, Moving};
use crate::compile::Plan;
use crate::place::{Problem, ProblemError, place_new};
use crate::policy::{End, Policy};

/// The server on which a new instance of a function adds the least traffic between servers. Live ones stay where they are.
///
/// # Errors
/// No core is free.
pub fn server_for(
    policy: &Policy,
    plan: &Plan,
    deployed: &Deployed,
    function: usize,
) -> Result<usize, ProblemError> {
    // Of each instance its function, the part of its traffic that it gets, and where it is; those at the switch need no core.
    let space = u64::from(crate::key::HashRange::SPACE);
    let mut instances: Vec<(usize, u64, Option<usize>)> = deployed
        .instances
        .iter()
        .filter(|(_, placed)| placed.site > 0)
        .map(|(id, placed)| {
            let hashes = deployed.parts_of(*id).map(|range| u64::from(range.len())).sum();
            (placed.function, hashes, Some(placed.site - 1))
        })
        .collect();
    let largest = instances.iter().filter(|(own, ..)| *own == function).map(|(_, hashes, _)| *hashes).max();
    instances.push((function, largest.unwrap_or(space) / 2, None));
    let mut traffic = Vec::new();
    for edge in &plan.pgraph.edges {
        let (End::Function(from), End::Function(to)) = (edge.from, edge.to) else { continue };
        for (one, (own, sends, _)) in instances.iter().enumerate().filter(|(_, (own, ..))| *own == from) {
            debug_assert_eq!(*own, from);
            for (other, (_, takes, _)) in instances.iter().enumerate().filter(|(_, (own, ..))| *own == to) {
                let share = u128::from(edge.rate.0) * u128::from(*sends) * u128::from(*takes);
                traffic.push((one, other, (share / u128::from(space * space)) as u64));
            }
        }
    }
    let cores = policy.hardware.servers.iter().map(|server| server.cores).collect();
    let live: Vec<Option<usize>> = instances.iter().map(|(.., server)| *server).collect();
    let placement = place_new(&Problem::new(instances.len(), traffic, cores), &live)?;
    Ok(placement.servers[instances.len() - 1])
}

/// What a new instance takes over: the half of what the one with the most hashes has.
pub fn out(deployed: &Deployed, function: usize, new: u32) -> Option<Moving> {
    let own = deployed.instances.iter().filter(|(_, placed)| placed.function == function);
    let hashes = |id: u32| deployed.parts_of(id).map(crate::key::HashRange::len).sum::<u32>();
    let busiest = own
        .map(|(id, _)| *id)
        .filter(|id| *id != new)
        .max_by_key(|id| (hashes(*id), std::cmp::Reverse(*id)))?;
    Moving::half(deployed, function, busiest, new)
}

/// Every instance that could end, the youngest first, each with the neighbours that could get what it has: those that it has one part
/// of the hashes beside.
pub fn joins(deployed: &Deployed, function: usize) -> impl Iterator<Item = Moving> {
    let parts = deployed.functions.get(function).map(|shared| &*shared.parts).unwrap_or_default();
    let own = deployed.instances.iter().rev().filter(move |(_, placed)| placed.function == function);
    own.flat_map(move |(id, _)| {
        let place = parts.iter().position(|(_, owner)| owner == id);
        let before = place.and_then(|place| parts.get(place.checked_sub(1)?));
        let behind = place.and_then(|place| parts.get(place + 1));
        let neighbours = before.into_iter().chain(behind).filter(move |(_, owner)| owner != id);
        neighbours.filter_map(move |(_, neighbour)| Moving::all(deployed, function, *id, *neighbour))
    })
}

/// The instance that ends where nobody says which, and who gets what it has.
pub fn back(deployed: &Deployed, function: usize) -> Option<Moving> {
    joins(deployed, function).next()
}

/// Cores of servers that no instance has.
pub fn free_cores(policy: &Policy, deployed: &Deployed) -> usize {
    let cores = |server: usize| policy.hardware.servers[server].cores as usize;
    let used = |server: usize| deployed.instances.values().filter(|one| one.site == server + 1).count();
    (0..policy.hardware.servers.len()).map(|server| cores(server).saturating_sub(used(server))).sum()
}
