//! One random schedule, for networks whose states are too many.

use super::state::{Event, State, World};
use super::{Limits, Report, Violation};
use crate::map::Map;
use crate::plan::{Plan, Priority};
use crate::random::Random;
use crate::router::Router;

/// Lets so many random events happen, holds every state to I1, I2, I4 and I5, and then lets all packets arrive: nothing is
/// lost any more, and every cut is noticed.
///
/// # Errors
/// With the first property that does not hold; I3 where the packets that are left take more than `hops_max` hops.
pub fn wander(
    map: &Map,
    plan: &Plan,
    limits: &Limits,
    events: u32,
    hops_max: u32,
    seed: u64,
) -> Result<Report, Violation> {
    Ok(run(&mut World::new(map, plan, limits), events, hops_max, seed)?.1)
}

/// The same, and then one heartbeat with a map that knows of the failures, among the messages that are left of AEOs; once it
/// has come everywhere, a packet of every node must take a shortest way (I6).
///
/// # Errors
/// With the first property that does not hold.
pub fn sweep(
    map: &Map,
    plan: &Plan,
    limits: &Limits,
    events: u32,
    hops_max: u32,
    seed: u64,
) -> Result<Report, Violation> {
    let mut world = World::new(map, plan, limits);
    let (mut state, report) = run(&mut world, events, hops_max, seed)?;
    let mut random = Random::new(!seed);
    let new = Plan::over(map, plan.destination, Priority::Nearest, |link| !state.cut[usize::from(link)]);
    for node in 0..map.node_count() {
        world.edit(&mut state, node, |router| router.replan(map, &new));
    }
    world.edit(&mut state, plan.destination, Router::beat);
    arrive(&mut world, &mut state, u32::MAX, &mut random)?;
    world.check(&state)?;
    for from in (0..map.node_count()).filter(|node| *node != plan.destination) {
        world.happen(&mut state, Event::Start(from), 0)?;
        let hops = 1 + arrive(&mut world, &mut state, hops_max, &mut random)?;
        let shortest = new.distance[from];
        if hops != shortest {
            return Err(Violation::NotShortest { from, hops, shortest, state: world.show(&state) });
        }
    }
    Ok(report)
}

/// Lets everything that is on a link arrive, in a random order. Says how many hops packets made.
fn arrive(
    world: &mut World<'_>,
    state: &mut State,
    hops_max: u32,
    random: &mut Random,
) -> Result<u32, Violation> {
    let mut hops = 0;
    loop {
        let busy: Vec<u16> = state.busy().collect();
        if busy.is_empty() {
            return Ok(hops);
        }
        let channel = busy[random.below(busy.len())];
        hops += u32::from(world.happen(state, Event::Arrive(channel), 0)?.hop);
        if hops > hops_max {
            return Err(Violation::Endless(world.show(state)));
        }
    }
}

fn run(world: &mut World<'_>, events: u32, hops_max: u32, seed: u64) -> Result<(State, Report), Violation> {
    let mut random = Random::new(seed);
    let mut state = world.start.clone();
    let mut report = Report::default();
    for _ in 0..events {
        let Some(event) = choose(world, &state, &mut random) else { continue };
        world.happen(&mut state, event, 0)?;
        world.check(&state)?;
        report.steps += 1;
    }
    let unnoticed: Vec<usize> = state.unnoticed().collect();
    for end in unnoticed {
        world.happen(&mut state, Event::Notice(end), 0)?;
    }
    report.hops = arrive(world, &mut state, hops_max, &mut random)?;
    world.check(&state)?;
    report.reversals = state.reversals;
    Ok((state, report))
}

/// What happens next: cuts are rare, losses less so, and packets mostly move.
fn choose(world: &World<'_>, state: &State, random: &mut Random) -> Option<Event> {
    let (nodes, links) = (world.map.node_count(), world.map.link_count());
    let busy: Vec<u16> = state.busy().collect();
    match random.below(64) {
        0 => {
            let link = random.below(links);
            world.may_cut(state, link).then_some(Event::Cut(link))
        }
        1..=4 => {
            let losable: Vec<usize> = world.losable(state).collect();
            losable.get(random.below(losable.len())).copied().map(Event::Lose)
        }
        5..=12 => state.unnoticed().next().map(Event::Notice),
        13 => {
            let node = random.below(nodes);
            world.may_aeo(state, node).then_some(Event::Aeo(node))
        }
        14 => (0..links).find(|link| world.may_restore(state, *link)).map(Event::Restore),
        15..=22 if world.in_flight(state) < world.limits.in_flight_max => {
            Some(Event::Start(random.below(nodes)))
        }
        _ => busy.get(random.below(busy.len())).copied().map(Event::Arrive),
    }
}
