//! The scaling protocol in every interleaving of a small cluster, and broken ones that must be caught.

mod explore;
mod world;

use e2::scale::{Input, Limits, Next, Observed, Output, Shift, Side, Step};
use explore::explore;
use world::{Broken, Cluster};

/// Two flows of the moved range, a table of one entry.
fn cluster() -> Cluster {
    Cluster {
        flows: 2,
        moved: vec![true, true],
        translates: false,
        splits: true,
        entries: 1,
        immortal: false,
        deaths: 0,
        managers: 1,
        broken: Broken::Nothing,
    }
}

fn holds(name: &str, cluster: &Cluster) {
    let explored = explore(cluster, cluster.start()).unwrap_or_else(|wrong| panic!("{name}: {wrong}"));
    println!("{name}: {} states, {} transitions", explored.states, explored.transitions);
    assert!(explored.states > 100, "{name}: too few states to mean something");
}

#[test]
fn a_range_is_split_and_no_flow_notices() {
    holds("two flows, one entry", &cluster());
    holds("a flow that never ends", &Cluster { immortal: true, ..cluster() });
    holds("a flow of the kept range", &Cluster { moved: vec![true, false], ..cluster() });
    holds("three flows", &Cluster { flows: 3, moved: vec![true; 3], managers: 0, ..cluster() });
}

#[test]
fn two_ranges_are_joined_and_no_flow_notices() {
    holds("two ranges joined", &Cluster { splits: false, moved: vec![true, false], ..cluster() });
    holds("with flows of one", &Cluster { splits: false, ..cluster() });
}

#[test]
fn functions_that_change_the_key_keep_their_flows() {
    holds(
        "translated, split",
        &Cluster { translates: true, moved: vec![true, false], managers: 0, ..cluster() },
    );
    holds("translated, joined", &Cluster { translates: true, splits: false, managers: 0, ..cluster() });
}

#[test]
fn whoever_dies_in_whatever_phase_nothing_is_left_half_done() {
    holds("one dies", &Cluster { deaths: 1, ..cluster() });
    holds("both die", &Cluster { deaths: 2, managers: 0, ..cluster() });
    holds(
        "one dies while two are joined",
        &Cluster { deaths: 1, splits: false, moved: vec![true, false], ..cluster() },
    );
    holds(
        "one that translates dies",
        &Cluster { deaths: 1, translates: true, flows: 1, moved: vec![true], ..cluster() },
    );
}

#[test]
fn what_is_broken_is_caught() {
    for (broken, wanted) in [
        (Broken::ForgetsEarly, "would go to 1"),
        (Broken::BreaksBeforeMake, "would go to 1"),
        (Broken::EndsDetourAtFlip, "flow"),
        (Broken::AllocatesAnywhere, "flow"),
        (Broken::ObeysTheDead, "flow"),
        (Broken::DrainsNothing, "which does not know it"),
        (Broken::FillsTheTable, "2 entries in a table of 1"),
    ] {
        let translates = broken == Broken::AllocatesAnywhere;
        let moved = vec![!translates; 2];
        let cluster = Cluster { broken, translates, moved, ..cluster() };
        let wrong = explore(&cluster, cluster.start())
            .map(|explored| explored.states)
            .expect_err(&format!("{broken:?}"));
        println!("{broken:?}: {wrong}\n");
        assert!(wrong.contains(wanted), "{broken:?}: {wrong}");
    }
}

fn observed() -> Observed {
    Observed {
        source_alive: true,
        target_alive: true,
        narrowed: None,
        detour: false,
        old: Default::default(),
        returned: Default::default(),
        excepted: Default::default(),
        kept_to: Side::Source,
        moved_to: Side::Source,
        source_drained: true,
        target_drained: true,
    }
}

/// Does what a shift asks for, until it waits.
fn obey(shift: &mut Shift, now_ns: u64, world: &mut Observed) -> Vec<Output> {
    let mut said = Vec::new();
    shift.handle(now_ns, Input::Observed(Box::new(world.clone())));
    while let Some(output) = shift.poll_output() {
        if let Output::Do { step, .. } = &output {
            match step {
                Step::StartDetour => world.detour = true,
                Step::EndDetour => world.detour = false,
                Step::Return(keys) => world.returned = keys.clone(),
                Step::Except(keys) => world.excepted = keys.clone(),
                Step::Flip => world.moved_to = Side::Target,
                Step::Cut(keys) => world.old.retain(|key| !keys.contains(key)),
                Step::Narrow | Step::Widen | Step::RouteAll(_) => {}
            }
            shift.handle(now_ns, Input::Observed(Box::new(world.clone())));
        }
        said.push(output);
    }
    said
}

/// The paper's load: 5,000 of 10,000 flows to shift. Some never end; the table has 1,000 entries.
#[test]
fn immortal_flows_do_not_hold_it_up() {
    const SECOND: u64 = 1_000_000_000;
    let limits = Limits { entries: 1000, wait_ns: 2 * SECOND, cut_ns: Some(60 * SECOND) };
    let mut world = Observed { old: (0..5000).collect(), ..observed() };
    let mut shift = Shift::new(1, limits, 0);
    obey(&mut shift, 0, &mut world);
    assert!(world.detour && world.moved_to == Side::Source, "phase 1");
    assert_eq!(shift.next_deadline(), Some(2 * SECOND));
    world.old.retain(|key| key % 2 == 0);
    let said = obey(&mut shift, 2 * SECOND, &mut world);
    let converged = Output::Converged { after_ns: 2 * SECOND, old: 2500 };
    assert!(said.contains(&converged), "{said:?}");
    assert_eq!((world.excepted.len(), world.returned.len()), (1000, 1500));
    // As flows end, others get their entries; a new manager goes on.
    world.old.retain(|key| key % 4 == 0);
    let mut shift = Shift::new(2, limits, 3 * SECOND);
    obey(&mut shift, 3 * SECOND, &mut world);
    assert_eq!((world.excepted.len(), world.returned.len()), (1000, 250));
    assert_eq!(shift.next_deadline(), Some(63 * SECOND));
    let said = obey(&mut shift, 63 * SECOND, &mut world);
    assert_eq!(said.last(), Some(&Output::Ended(Next::Moved)), "cut");
    assert!(world.old.is_empty() && world.excepted.is_empty() && world.returned.is_empty() && !world.detour);
    assert_eq!(shift.next_deadline(), None);
}
