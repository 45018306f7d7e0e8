//! When a function grows and shrinks: the state machine on a world of hashes with a load of their own.

use std::collections::BTreeMap;

use e2::deploy::{Deployed, Moving, Placed, Shared, joins};
use e2::key::HashRange;
use e2::scale::Step;
use e2::scale::load::{
    Because, Carried, Function, Hindrance, Output, Report, Settings, SettingsError, Watch,
};
use e2::{Rate, Share};
use proptest::prelude::*;

const SECOND: u64 = 1_000_000_000;
/// Parts of the hashes that have a load of their own.
const BUCKETS: u32 = 64;
const WIDTH: u32 = HashRange::SPACE / BUCKETS;
const CAPACITY: u64 = 1_000_000;
const QUEUE: u64 = 4096;
const PACKET: u64 = 100;

const SETTINGS: Settings = Settings {
    high: Share(800_000),
    low: Share(500_000),
    reports: 3,
    calm: 6,
    pause_ns: 5 * SECOND,
    queue: QUEUE,
    remember_ns: 600 * SECOND,
};

const FUNCTION: Function =
    Function { capacity: Some(Rate(CAPACITY)), fixed: None, least: 1, most: usize::MAX };

/// One function, its hashes, who has them, and what each instance has come to.
struct World {
    watch: Watch,
    deployed: Deployed,
    /// Load of each part of the hashes, in bit/s.
    load: Vec<u64>,
    /// What an instance really carries.
    carries: u64,
    /// How long a core works for a byte, if anybody knows.
    byte_ns: Option<u64>,
    cores: usize,
    now_ns: u64,
    counted: BTreeMap<u32, Carried>,
    /// What moves, and how many reports it still takes.
    moving: Vec<(Moving, u32)>,
    takes: u32,
}

fn placed(number: u32) -> Placed {
    Placed { function: 0, number, site: 1, gate: 1, worker: 1, detour: None, back: None }
}

impl World {
    fn new(settings: Settings, function: Function, cores: usize) -> Self {
        let deployed = Deployed {
            epoch: 1,
            seed: 1,
            idle_ns: 1,
            flows: 16,
            functions: vec![Shared { parts: vec![(HashRange::ALL, 0)], exceptions: BTreeMap::new() }],
            instances: [(0, placed(1))].into(),
        };
        Self {
            watch: Watch::new(settings, vec![function]).unwrap(),
            deployed,
            load: vec![0; BUCKETS as usize],
            carries: CAPACITY,
            byte_ns: None,
            cores,
            now_ns: 0,
            counted: BTreeMap::new(),
            moving: Vec::new(),
            takes: 4,
        }
    }

    fn spread(&mut self, total: u64) {
        self.load = vec![total / u64::from(BUCKETS); BUCKETS as usize];
    }

    fn rate(&self, id: u32) -> u64 {
        let hashes = self.deployed.parts_of(id).map(|part| {
            let within = |bucket: u32| {
                let (start, end) = (bucket * WIDTH, (bucket + 1) * WIDTH);
                u64::from(part.end.min(end).saturating_sub(part.start.max(start)))
            };
            (0..BUCKETS).map(|bucket| self.load[bucket as usize] * within(bucket)).sum::<u64>()
        });
        hashes.sum::<u64>() / u64::from(WIDTH)
    }

    fn busy(&self, id: u32) -> bool {
        self.moving.iter().any(|(moving, _)| moving.source == id || moving.target == id)
    }

    /// Time passes until the next report, and what it says is done.
    fn report(&mut self, after_ns: u64) -> Vec<Output> {
        self.now_ns += after_ns;
        for (moving, left) in &mut self.moving {
            *left -= 1;
            if *left == 1 {
                moving.apply(&mut self.deployed, &Step::Flip);
            }
        }
        let over: Vec<Moving> =
            self.moving.iter().filter(|(_, left)| *left == 0).map(|(moving, _)| *moving).collect();
        self.moving.retain(|(_, left)| *left > 0);
        for moving in over.iter().filter(|moving| !moving.split) {
            self.deployed.instances.remove(&moving.source);
        }
        let mut report = Report::default();
        for id in self.deployed.instances.keys().copied().collect::<Vec<_>>() {
            let bits =
                |rate: u64| u64::try_from(u128::from(rate) * u128::from(after_ns) / 1_000_000_000).unwrap();
            let (bytes, served) = (bits(self.rate(id)) / 8, bits(self.carries) / 8);
            let counted = self.counted.entry(id).or_insert(Carried { id, ..Carried::default() });
            let waiting = (counted.queued + bytes / PACKET).saturating_sub(served / PACKET);
            counted.queued = waiting.min(QUEUE);
            counted.overrun += waiting.saturating_sub(QUEUE);
            (counted.bytes, counted.packets) = (counted.bytes + bytes, counted.packets + bytes / PACKET);
            counted.worked_ns = self.byte_ns.map(|ns| counted.bytes * ns);
        }
        self.counted.retain(|id, _| self.deployed.instances.contains_key(id));
        for one in self.counted.values() {
            report.instances.push(Carried { busy: self.busy(one.id), ..*one });
        }
        report.joins = joins(&self.deployed, 0).map(|moving| (moving.source, moving.target)).collect();
        report.free = self.cores - self.deployed.instances.len();
        self.watch.handle(self.now_ns, &report);
        let outputs: Vec<Output> = std::iter::from_fn(|| self.watch.poll_output()).collect();
        for output in &outputs {
            self.obey(output);
        }
        outputs
    }

    fn obey(&mut self, output: &Output) {
        let next = self.deployed.instances.keys().next_back().map_or(0, |id| id + 1);
        let moving = match *output {
            Output::Grow { source, .. } => Moving::half(&self.deployed, 0, source, next),
            Output::Shrink { source, target, .. } => Moving::all(&self.deployed, 0, source, target),
            Output::Cannot { .. } => return,
        };
        let Some(moving) = moving else { return };
        assert!(
            !self.busy(moving.source) && !self.busy(moving.target),
            "{output:?} of one that moves already"
        );
        if moving.split {
            self.deployed.instances.insert(next, placed(next + 1));
        }
        self.moving.push((moving, self.takes));
    }

    /// Decisions, with the report that led to them.
    fn run(&mut self, reports: usize, mut after_ns: impl FnMut(usize) -> u64) -> Vec<(usize, Output)> {
        let mut decided = Vec::new();
        for number in 0..reports {
            let outputs = self.report(after_ns(number));
            let used = self.deployed.instances.len();
            assert!((1..=self.cores).contains(&used), "{used} of {} cores", self.cores);
            let real = outputs.into_iter().filter(|output| !matches!(output, Output::Cannot { .. }));
            decided.extend(real.map(|output| (number, output)));
        }
        decided
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    /// Whatever the load of each hash, and however irregular the reports: under a load that is steady it comes to rest.
    #[test]
    fn it_comes_to_rest_under_a_steady_load(
        load in prop::collection::vec(0u64..120_000, BUCKETS as usize),
        cores in 1usize..12,
        takes in 2u32..9,
        jitter in prop::collection::vec(200_000_000u64..2_000_000_000, 16),
        high in 500_000u32..1_000_000,
        gap in 1u32..400_000,
        by_cores in any::<bool>(),
    ) {
        let settings = Settings { high: Share(high), low: Share(high - gap), ..SETTINGS };
        let mut world = World::new(settings, FUNCTION, cores);
        if by_cores {
            // Nobody says what one carries, and a core has all to do with that.
            world = World::new(settings, Function { capacity: None, ..FUNCTION }, cores);
            world.byte_ns = Some(8 * SECOND / CAPACITY);
        }
        (world.load, world.takes) = (load, takes);
        // Queues are another matter: here all carry what comes.
        world.carries = u64::MAX / (16 * SECOND);
        let decided = world.run(1000, |number| jitter[number % jitter.len()]);
        let late = decided.iter().filter(|(number, _)| *number > 700).count();
        prop_assert_eq!(late, 0, "{:?}", decided);
        // And then none has too much that could be helped.
        let free = cores - world.deployed.instances.len();
        for id in world.deployed.instances.keys().filter(|_| free > 0) {
            let part = world.deployed.parts_of(*id).next().unwrap();
            let most = settings.high.of(Rate(CAPACITY)).0;
            prop_assert!(world.rate(*id) <= most + 100 || part.len() == 1, "{} has {}", id, world.rate(*id));
        }
    }

    /// What the policy says of capacity may be a lie: packets wait, it grows, and does not swing.
    #[test]
    fn a_capacity_that_is_a_lie_is_seen_by_queues(
        carries in 200_000u64..700_000,
        part in 105u64..300,
        jitter in prop::collection::vec(500_000_000u64..1_500_000_000, 16),
    ) {
        let mut world = World::new(SETTINGS, Function { capacity: Some(Rate(u64::MAX / 2_000_000)), ..FUNCTION }, 16);
        world.carries = carries;
        world.spread(carries * part / 100);
        let decided = world.run(400, |number| jitter[number % jitter.len()]);
        prop_assert!(matches!(decided[0].1, Output::Grow { because: Because::Queue { .. }, .. }), "{decided:?}");
        prop_assert!(decided.iter().all(|(_, output)| matches!(output, Output::Grow { .. })), "{decided:?}");
        prop_assert!(decided.len() < 8, "{decided:?}");
        for id in world.deployed.instances.keys() {
            // A little more than it carries takes longer to be seen than this.
            prop_assert!(world.rate(*id) <= carries * 110 / 100, "{} of {carries}", world.rate(*id));
        }
    }

    /// A load that is too much is seen after as many reports as are asked for, and one that is too little, too.
    #[test]
    fn it_reacts_within_the_reports_it_measures(
        reports in 1usize..12,
        calm in 1usize..30,
        before in 500_000u64..790_000,
        above in 1u64..5_000_000,
        period in 100_000_000u64..3_000_000_000,
    ) {
        let settings = Settings { reports, calm, pause_ns: 0, ..SETTINGS };
        let mut world = World::new(settings, FUNCTION, 8);
        world.carries = u64::MAX / (16 * SECOND);
        world.spread(before);
        prop_assert_eq!(world.run(60, |_| period), []);
        // So that the mean is above even where the first of its reports is of the old load: no later than the last.
        world.spread(800_000 + 64 * 8 + above.max(reports as u64 * 64));
        let decided = world.run(reports, |_| period);
        prop_assert!(matches!(decided[..], [(_, Output::Grow { source: 0, .. })]), "{decided:?}");
        world.run(200, |_| period);
        let two = world.deployed.instances.len();
        prop_assert!(two >= 2);
        world.spread(64_000);
        let decided = world.run(calm, |_| period);
        prop_assert!(matches!(decided.last(), Some((_, Output::Shrink { .. }))), "{decided:?}");
    }

    /// Whatever the load does, there are no fewer instances than the least, and no more than the most or than there are cores.
    #[test]
    fn it_stays_within_its_bounds(
        loads in prop::collection::vec((0u64..4_000_000, 1usize..40), 1..12),
        cores in 3usize..10,
        least in 1usize..3,
        most in 3usize..9,
    ) {
        let mut world = World::new(SETTINGS, Function { least, most, ..FUNCTION }, cores);
        let mut grown = false;
        for (load, reports) in loads {
            world.spread(load);
            for _ in 0..reports {
                world.report(SECOND);
                let count = world.deployed.instances.len();
                grown |= count >= least;
                prop_assert!(count <= most.min(cores));
                prop_assert!(!grown || count >= least);
            }
        }
    }

    /// Any reports at all: nothing panics, and what is asked for is of instances that were told of.
    #[test]
    fn any_reports_do(
        reports in prop::collection::vec(
            (0u64..10, prop::collection::vec((0u32..4, 0usize..3, any::<[u64; 4]>(), any::<bool>()), 0..5), 0usize..3),
            0..60,
        ),
    ) {
        let mut watch = Watch::new(SETTINGS, vec![FUNCTION; 2]).unwrap();
        let mut now_ns = 0;
        for (after, instances, free) in reports {
            now_ns += after * SECOND;
            let mut report = Report { free, ..Report::default() };
            for (id, function, [packets, bytes, queued, overrun], busy) in instances {
                if report.instances.iter().all(|one| one.id != id) {
                    let worked_ns = (id % 3 > 0).then_some(packets.wrapping_mul(u64::from(id)));
                    report.instances.push(Carried {
                        id,
                        function,
                        packets,
                        bytes,
                        queued,
                        overrun,
                        worked_ns,
                        busy,
                    });
                    report.joins.push((id, id ^ 1));
                }
            }
            watch.handle(now_ns, &report);
            let known = |id: u32| report.instances.iter().any(|one| one.id == id);
            let mut grown = 0;
            while let Some(output) = watch.poll_output() {
                match output {
                    Output::Grow { source, .. } => {
                        grown += 1;
                        prop_assert!(known(source));
                    }
                    Output::Shrink { source, target, .. } => prop_assert!(known(source) && known(target)),
                    Output::Cannot { instance, .. } => prop_assert!(known(instance)),
                }
            }
            prop_assert!(grown <= free);
        }
    }
}

#[test]
fn one_burst_is_no_load() {
    let mut world = World::new(SETTINGS, FUNCTION, 4);
    world.carries = u64::MAX / (16 * SECOND);
    for _ in 0..50 {
        for load in [500_000, 500_000, 500_000, 1_300_000] {
            world.spread(load);
            assert_eq!(world.report(SECOND), []);
        }
    }
}

#[test]
fn what_cannot_be_done_is_said_once() {
    let fixed = Function { fixed: Some("it is not scalable"), ..FUNCTION };
    for (function, cores, expected) in [
        (fixed, 4, Hindrance::Fixed("it is not scalable")),
        (Function { most: 1, ..FUNCTION }, 4, Hindrance::Most(1)),
        (FUNCTION, 1, Hindrance::NoCore),
    ] {
        let mut world = World::new(SETTINGS, function, cores);
        let mut said = Vec::new();
        for load in [950_000, 100_000, 950_000] {
            world.spread(load);
            (0..20).for_each(|_| said.extend(world.report(SECOND)));
        }
        assert_eq!(said.len(), 2, "once each time: {said:?}");
        for output in said {
            assert!(
                matches!(output, Output::Cannot { instance: 0, hindrance, .. } if hindrance == expected),
                "{output:?}"
            );
        }
    }
}

#[test]
fn one_that_moves_is_left_alone_and_it_is_said() {
    let mut world = World::new(SETTINGS, FUNCTION, 8);
    (world.carries, world.takes) = (u64::MAX / (16 * SECOND), 1000);
    world.spread(3_000_000);
    let mut said = Vec::new();
    for _ in 0..100 {
        said.extend(world.report(SECOND));
    }
    assert!(
        matches!(
            said[..],
            [Output::Grow { source: 0, .. }, Output::Cannot { instance: 0, hindrance: Hindrance::Busy, .. }]
        ),
        "{said:?}"
    );
}

#[test]
fn settings_that_would_swing_are_refused() {
    let swings = Settings { low: SETTINGS.high, ..SETTINGS };
    assert!(matches!(Watch::new(swings, vec![]), Err(SettingsError::Order { .. })));
    assert!(matches!(
        Watch::new(Settings { reports: 0, ..SETTINGS }, vec![]),
        Err(SettingsError::Reports(0))
    ));
    assert!(matches!(
        Watch::new(Settings { calm: 2000, ..SETTINGS }, vec![]),
        Err(SettingsError::Reports(2000))
    ));
}
