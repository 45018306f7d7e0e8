//! Tasks go from worker to worker and from class to class, and so do classes; classes and workers come and go.

use std::collections::HashMap;

use softnic::bess::pb;

use crate::{WORKERS, Work, worker};

/// Traffic classes at a time.
const CLASSES_MAX: usize = 8;
/// The worker that comes and goes.
const FLEETING: i64 = WORKERS;
/// The tasks that go from worker to worker, the stream's own first.
const TASKS: [&str; 6] = [
    "!leaf_source:0",
    "!leaf_queue:0",
    "!leaf_drr:0",
    "!leaf_flows:0",
    "!leaf_ring_in:0",
    "!leaf_queue_in:0",
];

/// A traffic class that the test has made.
pub(crate) struct Class {
    name: String,
    policy: &'static str,
}

impl Work {
    /// The top of some worker.
    pub(crate) fn any_worker(&mut self) -> pb::TrafficClass {
        let workers = WORKERS + i64::from(self.fleeting);
        pb::TrafficClass { wid: self.dice.roll(workers as u64) as i64, ..Default::default() }
    }

    /// Puts a task, or a class, elsewhere.
    fn move_class(&mut self, name: &str, to: pb::TrafficClass) {
        let class = Some(pb::TrafficClass { name: name.to_owned(), ..to });
        self.request("UpdateTcParent", &pb::UpdateTcParentRequest { class });
    }

    pub(crate) fn move_task(&mut self) {
        let task = TASKS[self.dice.roll(TASKS.len() as u64) as usize];
        let class = self.dice.roll(2 * CLASSES_MAX as u64) as usize;
        let to = match self.classes.get(class) {
            // A rate limit takes one task, and that is the source's.
            Some(Class { policy: "rate_limit", .. }) if task != TASKS[0] => self.any_worker(),
            Some(Class { name, policy }) => pb::TrafficClass {
                parent: name.clone(),
                wid: -1,
                arg: (*policy == "weighted_fair").then_some(pb::traffic_class::Arg::Share(3)),
                ..Default::default()
            },
            None => self.any_worker(),
        };
        self.move_class(task, to);
    }

    pub(crate) fn edit_classes(&mut self) {
        let count = self.classes.len();
        let chosen = self.dice.roll(count.max(1) as u64) as usize;
        match self.dice.roll(4) {
            0 if count < CLASSES_MAX => {
                let name = self.name("class");
                let policy = ["round_robin", "weighted_fair", "rate_limit"][self.dice.roll(3) as usize];
                let class = self.class(&name, policy);
                self.request("AddTc", &pb::AddTcRequest { class: Some(class) });
                self.classes.push(Class { name, policy });
            }
            1 if count > 0 && self.classes[chosen].policy != "round_robin" => {
                let Class { name, policy } = &self.classes[chosen];
                let (name, policy) = (name.clone(), *policy);
                let class = pb::TrafficClass { wid: 0, ..self.class(&name, policy) };
                self.request("UpdateTcParams", &pb::UpdateTcParamsRequest { class: Some(class) });
            }
            2 if count > 0 => {
                let (name, to) = (self.classes[chosen].name.clone(), self.any_worker());
                self.move_class(&name, to);
            }
            3 if count == CLASSES_MAX => {
                // BESS has no request for this.
                self.requests += 1;
                *self.kinds.entry("Engine::remove_class").or_default() += 1;
                let Class { name, .. } = self.classes.swap_remove(chosen);
                self.daemon.bess.engine().remove_class(&name).unwrap();
            }
            _ => self.move_task(),
        }
    }

    /// A class, with a limit that is never reached.
    fn class(&mut self, name: &str, policy: &str) -> pb::TrafficClass {
        let limit = 10_000_000 + self.dice.roll(1_000_000) as i64;
        let map = |amount| HashMap::from([("packet".to_owned(), amount)]);
        pb::TrafficClass {
            name: name.to_owned(),
            policy: policy.to_owned(),
            resource: "packet".to_owned(),
            limit: map(limit),
            max_burst: map(1000),
            ..self.any_worker()
        }
    }

    pub(crate) fn edit_workers(&mut self) {
        if !self.fleeting {
            self.request("AddWorker", &worker(FLEETING));
            self.request("ResumeWorker", &pb::ResumeWorkerRequest { wid: FLEETING });
            self.fleeting = true;
            return;
        }
        // A worker with tasks does not go; its classes go with it.
        self.fleeting = false;
        let graph = self.daemon.bess.engine().graph();
        for module in graph.iter().filter(|module| module.tasks > 0 && module.worker as i64 == FLEETING) {
            let to = self.any_worker();
            self.move_class(&format!("!leaf_{}:0", module.name), to);
        }
        // Nothing is left there that could stand still.
        self.request("PauseWorker", &pb::PauseWorkerRequest { wid: FLEETING });
        if self.dice.roll(2) == 0 {
            self.request("ResumeWorker", &pb::ResumeWorkerRequest { wid: FLEETING });
        }
        let there = self.daemon.bess.engine().classes();
        let there = there.iter().filter(|class| class.worker as i64 == FLEETING);
        let there: Vec<&str> = there.map(|class| class.name.as_str()).collect();
        self.classes.retain(|class| !there.contains(&class.name.as_str()));
        self.request("DestroyWorker", &pb::DestroyWorkerRequest { wid: FLEETING });
    }
}
