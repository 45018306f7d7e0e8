//! Whoever has a part in a shift is killed, in each phase of it: the manager, the servers of both instances, the switch, and both
//! instances. Each time service resumes, the manager that follows finds out from what runs what is to be done, and nothing stays half
//! done.
//!
//! An isolated instance is a process. A native one is none; what is left when it has died is a site that does not have it any more, so
//! that is what is made.

use std::fs;
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use e2::compile::plan;
use e2::deploy::Scheme;
use e2::live::{Record, Site, SiteRecord, Store};
use e2::policy::Policy;
use host::ProcessId;
use rustix::process::Signal;

use crate::bed::{Bed, PATIENCE, must};
use crate::scale::{policy, shares};
use crate::traffic::Traffic;
use crate::watch::Watch;

/// Who is killed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Victim {
    Manager,
    Switch,
    /// The server of the instance that gives, or of the one that gets.
    SourceServer,
    TargetServer,
    Source,
    Target,
    /// The confined process of one of them, where they are isolated.
    SourceProcess,
    TargetProcess,
}

/// Phases of the protocol, as `e2::scale` numbers them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    /// 0: the target is being made.
    Before,
    /// 1: new flows take the detour.
    Detour,
    /// 2: what stays is told to some sites and not to others yet.
    Flip,
    /// 3: the range has moved, and old flows have not ended.
    Draining,
}

const PHASES: [Phase; 4] = [Phase::Before, Phase::Detour, Phase::Flip, Phase::Draining];
/// Attempts to stop a manager between two of its steps.
const ATTEMPTS: usize = 8;

#[test]
fn whoever_dies_in_whatever_phase_nothing_stays_half_done() {
    use Victim::{Manager, Source, SourceProcess, SourceServer, Switch, Target, TargetProcess, TargetServer};
    let victims = [Manager, Switch, SourceServer, TargetServer, Source, Target, SourceProcess, TargetProcess];
    std::thread::scope(|scope| {
        for victim in victims {
            scope.spawn(move || Row::new(victim).run());
        }
    });
}

/// One victim, on a cluster of its own.
struct Row {
    victim: Victim,
    bed: Bed,
    traffic: Traffic,
}

/// A manager of a shift that comes to a phase and no further.
struct Held {
    manager: Child,
    process: ProcessId,
}

impl Drop for Held {
    fn drop(&mut self) {
        let _ = self.manager.kill();
        let _ = self.manager.wait();
    }
}

fn signal(process: ProcessId, signal: Signal) {
    assert!(process.kill(signal).unwrap(), "{process:?} lives");
}

impl Row {
    fn new(victim: Victim) -> Self {
        let bed = Bed::new();
        let confined = matches!(victim, Victim::SourceProcess | Victim::TargetProcess);
        let text = match confined {
            true => policy().replace("    run: [firewall,", "    isolated: true\n    run: [firewall,"),
            false => policy(),
        };
        assert_eq!(text.contains("isolated"), confined);
        bed.up(&text, &["--idle", "2"]);
        let traffic = Traffic::start(&bed, 40, 100);
        traffic.is_answered();
        Self { victim, bed, traffic }
    }

    fn run(self) {
        for phase in PHASES {
            if phase == Phase::Before && matches!(self.victim, Victim::Target | Victim::TargetProcess) {
                continue; // it is not there yet
            }
            let began = Instant::now();
            let record = self.kill_in(phase);
            self.recover(&record);
            self.is_settled(phase);
            println!("{:?} in {phase:?}: {:.2} s", self.victim, began.elapsed().as_secs_f64());
            // One firewall again.
            if self.record().deployed.instances.values().filter(|one| one.function == 0).count() > 1 {
                must(&mut self.bed.weft(&["scale", "firewall", "in", "--wait", "0", "--cut", "0"]));
            }
        }
        let record = self.record();
        drop(self.traffic);
        must(&mut self.bed.weft(&["stop"]));
        assert_eq!(self.bed.wires(), [] as [String; 0], "{:?}", self.victim);
        assert!(fs::read_dir(self.bed.state.path().join("e2")).unwrap().next().is_none());
        assert!(record.sites.iter().all(|site| !site.process.is_alive()));
        let state = self.bed.state.path().to_str().unwrap().to_owned();
        assert_eq!(started_by(&state), [] as [u32; 0], "{:?}", self.victim);
    }

    fn record(&self) -> Record {
        Store::new(self.bed.state.path()).known("test").unwrap()
    }

    fn until(&self, what: &str, there: impl Fn(&Record) -> bool) -> Record {
        let end = Instant::now() + PATIENCE;
        loop {
            let record = self.record();
            if there(&record) {
                return record;
            }
            assert!(Instant::now() < end, "{:?}: it does not come to `{what}`", self.victim);
            std::thread::sleep(Duration::from_micros(300));
        }
    }

    fn start(&self, wait: &str) -> Held {
        let mut command = self.bed.weft(&["scale", "firewall", "out", "--entries", "5", "--wait", wait]);
        let manager = command.stdout(Stdio::null()).spawn().unwrap();
        let process = ProcessId::of(manager.id()).unwrap();
        Held { manager, process }
    }

    /// Brings a shift to a phase, kills, and lets go on what is left.
    fn kill_in(&self, phase: Phase) -> Record {
        self.traffic.hold(true);
        let (held, record) = self.held_in(phase);
        let moving = record.moving[0].moving;
        let target = &record.sites[record.deployed.instances[&moving.target].site];
        // Nothing goes on meanwhile.
        signal(held.process, Signal::STOP);
        let site_of = |id: u32| &record.sites[record.deployed.instances[&id].site];
        match self.victim {
            Victim::Manager => signal(held.process, Signal::KILL),
            Victim::Switch => signal(record.sites[0].process, Signal::KILL),
            Victim::SourceServer => signal(site_of(moving.source).process, Signal::KILL),
            Victim::TargetServer => signal(target.process, Signal::KILL),
            Victim::SourceProcess => end_confined(site_of(moving.source)),
            Victim::TargetProcess => end_confined(target),
            Victim::Source | Victim::Target => {}
        }
        let instance = match self.victim {
            Victim::Source => Some(moving.source),
            Victim::Target => Some(moving.target),
            _ => None,
        };
        if let Some(id) = instance {
            let mut site = Site::connect(site_of(id)).unwrap();
            site.remove_function(id, &record.deployed.instances[&id]).unwrap();
            assert!(!site.has_function(id).unwrap());
        }
        self.traffic.hold(false);
        self.go_on(held);
        record
    }

    /// A manager that lives brings the shift to its end, unless that has to wait for flows.
    fn go_on(&self, mut held: Held) {
        match self.victim {
            Victim::Manager | Victim::Switch | Victim::SourceProcess | Victim::TargetProcess => return,
            _ => signal(held.process, Signal::CONT),
        }
        let end = Instant::now() + PATIENCE;
        while held.manager.try_wait().unwrap().is_none() {
            assert!(Instant::now() < end, "{:?}: the manager does not come to an end", self.victim);
            std::thread::sleep(Duration::from_millis(5));
        }
        assert!(self.record().moving.is_empty(), "{:?}", self.victim);
    }

    fn held_in(&self, phase: Phase) -> (Held, Record) {
        let source = |record: &Record| {
            let moving = record.moving.first()?.moving;
            record.deployed.instances.get(&moving.source).cloned()
        };
        let detour = |record: &Record| source(record).is_some_and(|source| source.detour.is_some());
        let moved = |record: &Record| record.deployed.functions[0].parts.len() > 1;
        match phase {
            Phase::Before => self.caught("60", "a shift", &|record| !record.moving.is_empty(), &detour),
            Phase::Detour => (self.start("60"), self.until("detour", detour)),
            Phase::Flip => {
                let told = |record: &Record| {
                    let target = record
                        .moving
                        .first()
                        .and_then(|one| record.deployed.instances.get(&one.moving.target));
                    !record.deployed.functions[0].exceptions.is_empty()
                        || target.is_some_and(|target| target.back.is_some())
                };
                self.caught("1", "exceptions", &told, &moved)
            }
            Phase::Draining => {
                let held = self.start("0");
                let record = self.until("moved", moved);
                assert!(!record.moving.is_empty());
                (held, record)
            }
        }
    }

    /// The manager is stopped between two of its steps.
    fn caught(
        &self,
        wait: &str,
        what: &str,
        there: &dyn Fn(&Record) -> bool,
        late: &dyn Fn(&Record) -> bool,
    ) -> (Held, Record) {
        for _ in 0..ATTEMPTS {
            let held = self.start(wait);
            self.until(what, |record| there(record) || late(record));
            signal(held.process, Signal::STOP);
            let record = self.record();
            if !late(&record) {
                return (held, record);
            }
            // Too late. It is brought back, and tried again.
            drop(held);
            let mut out = self.bed.weft(&["scale", "--continue", "--wait", "0", "--cut", "0"]);
            self.traffic.hold(false);
            must(&mut out);
            must(&mut self.bed.weft(&["scale", "firewall", "in", "--wait", "0", "--cut", "0"]));
            self.traffic.hold(true);
        }
        panic!("{:?}: no manager is slow enough", self.victim);
    }

    /// Another manager ends what was begun, and starts again what has died.
    fn recover(&self, before: &Record) {
        let watch = Watch::with(
            &self.bed,
            &["watch", "--every", "0.25", "--calm", "1000", "--wait", "0", "--cut", "0", "--entries", "5"],
        );
        let whole = |record: &Record| {
            record.moving.is_empty()
                && record.sites.iter().all(SiteRecord::is_alive)
                && record.deployed.epoch > before.deployed.epoch
        };
        self.until("an end", whole);
        self.traffic.is_answered();
        // Nobody manages it any more, so that what is seen stays so.
        watch.kill();
    }

    /// All sites say and have what is written, and nothing else.
    fn is_settled(&self, phase: Phase) {
        let record = self.record();
        let of = format!("{:?} in {phase:?}", self.victim);
        assert!(record.moving.is_empty(), "{of}");
        let policy = Policy::read(&record.policy).unwrap();
        let scheme = Scheme::of_plan(&policy, &plan(&policy).unwrap()).unwrap();
        let deployed = &record.deployed;
        for shared in &deployed.functions {
            assert!(shared.exceptions.is_empty(), "{of}: {shared:?}");
            for (_, owner) in &shared.parts {
                assert!(deployed.instances.contains_key(owner), "{of}: {shared:?}");
            }
        }
        let clean = |one: &e2::deploy::Placed| one.detour.is_none() && one.back.is_none();
        assert!(deployed.instances.values().all(clean), "{of}: {deployed:#?}");
        let programs = deployed.programs(&scheme);
        for (place, site) in record.sites.iter().enumerate() {
            let mut client = self.bed.switch.within(|| Site::connect(site).unwrap());
            assert_eq!(client.program().unwrap(), programs[place], "{of}: {}", site.name);
            // Numbers go up; there were no more than these.
            for id in 0..64 {
                let wanted = deployed.instances.get(&id).is_some_and(|one| one.site == place);
                assert_eq!(client.has_function(id).unwrap(), wanted, "{of}: instance {id} at {}", site.name);
            }
        }
        let status = self.bed.json(&["ps"]);
        assert!(status["sites"].as_array().unwrap().iter().all(|site| site["error"].is_null()), "{status:#}");
        assert!(status["moving"].as_array().unwrap().is_empty() && status["manager"].is_null(), "{status:#}");
        assert_eq!(
            status["instances"].as_array().unwrap().len(),
            deployed.instances.len(),
            "{of}: {status:#}"
        );
        shares(&self.bed);
    }
}

/// Kills the confined process of a site. The site starts another by itself.
fn end_confined(site: &SiteRecord) {
    let tasks = fs::read_dir(format!("/proc/{}/task", site.process.pid)).unwrap().flatten();
    let children = tasks.map(|task| fs::read_to_string(task.path().join("children")).unwrap_or_default());
    let children = children.collect::<String>();
    let children: Vec<u32> = children.split_whitespace().map(|pid| pid.parse().unwrap()).collect();
    let [confined] = children[..] else { panic!("{}: {children:?}", site.name) };
    signal(ProcessId::of(confined).unwrap(), Signal::KILL);
}

/// Processes whose environment names a directory: that is how weft marks what a cluster has started.
fn started_by(state: &str) -> Vec<u32> {
    let mark = format!("WEFT_E2_LOG={state}");
    let processes = fs::read_dir("/proc").unwrap().flatten();
    let pids = processes.filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok());
    pids.filter(|pid| {
        let environment = fs::read(format!("/proc/{pid}/environ")).unwrap_or_default();
        environment.split(|byte| *byte == 0).any(|variable| variable.starts_with(mark.as_bytes()))
    })
    .collect()
}
