//! One random schedule, for networks whose states are too many.

use super::world::{Event, World};
use super::{Limits, Report, Violation};
use crate::guide::Guide;
use crate::map::Map;
use crate::plan::{Plan, Priority};
use crate::random::Random;

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
    Ok(run(map, plan, limits, events, hops_max, seed)?.1)
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
    let (mut world, report) = run(map, plan, limits, events, hops_max, seed)?;
    let mut guide = Guide::new(map, plan.destination);
    let mut random = Random::new(!seed);
    let new = Plan::over(map, plan.destination, Priority::Nearest, |link| !world.is_cut(link.into()));
    for node in &mut world.nodes {
        node.replan(map, &new);
    }
    world.nodes[plan.destination].beat();
    world.say(plan.destination, map);
    arrive(&mut world, map, limits, &mut guide, u32::MAX, &mut random)?;
    world.check(map, limits)?;
    for from in (0..map.node_count()).filter(|node| *node != plan.destination) {
        world.happen(Event::Start(from), map, limits, &mut guide)?;
        let hops = 1 + arrive(&mut world, map, limits, &mut guide, hops_max, &mut random)?;
        let shortest = new.distance[from];
        if hops != shortest {
            return Err(Violation::NotShortest { from, hops, shortest, state: world.show(map) });
        }
    }
    Ok(report)
}

/// Lets everything that is on a link arrive, in a random order. Says how many hops packets made.
fn arrive(
    world: &mut World,
    map: &Map,
    limits: &Limits,
    guide: &mut Guide<'_>,
    hops_max: u32,
    random: &mut Random,
) -> Result<u32, Violation> {
    let mut hops = 0;
    loop {
        let busy: Vec<usize> = world.busy().collect();
        if busy.is_empty() {
            return Ok(hops);
        }
        let channel = busy[random.below(busy.len())];
        hops += u32::from(world.happen(Event::Arrive(channel), map, limits, guide)?);
        if hops > hops_max {
            return Err(Violation::Endless(world.show(map)));
        }
    }
}

fn run(
    map: &Map,
    plan: &Plan,
    limits: &Limits,
    events: u32,
    hops_max: u32,
    seed: u64,
) -> Result<(World, Report), Violation> {
    let mut random = Random::new(seed);
    let mut guide = Guide::new(map, plan.destination);
    let mut world = World::new(map, plan);
    let mut report = Report::default();
    for _ in 0..events {
        let Some(event) = choose(&world, map, limits, &mut random) else { continue };
        world.happen(event, map, limits, &mut guide)?;
        world.check(map, limits)?;
        report.steps += 1;
    }
    let unnoticed: Vec<usize> = world.unnoticed().collect();
    for end in unnoticed {
        world.happen(Event::Notice(end), map, limits, &mut guide)?;
    }
    report.hops = arrive(&mut world, map, limits, &mut guide, hops_max, &mut random)?;
    world.check(map, limits)?;
    report.reversals = world.reversals;
    Ok((world, report))
}

/// What happens next: cuts are rare, losses less so, and packets mostly move.
fn choose(world: &World, map: &Map, limits: &Limits, random: &mut Random) -> Option<Event> {
    let busy: Vec<usize> = world.busy().collect();
    match random.below(64) {
        0 => {
            let link = random.below(map.link_count());
            world.may_cut(link, map, limits).then_some(Event::Cut(link))
        }
        1..=4 => {
            let losable: Vec<usize> = world.losable().collect();
            losable.get(random.below(losable.len())).copied().map(Event::Lose)
        }
        5..=12 => world.unnoticed().next().map(Event::Notice),
        13 => {
            let node = random.below(map.node_count());
            world.may_aeo(node, limits).then_some(Event::Aeo(node))
        }
        14 => (0..map.link_count()).find(|link| world.may_restore(*link, limits)).map(Event::Restore),
        15..=22 if world.in_flight() < limits.in_flight_max => {
            Some(Event::Start(random.below(map.node_count())))
        }
        _ => busy.get(random.below(busy.len())).copied().map(Event::Arrive),
    }
}
