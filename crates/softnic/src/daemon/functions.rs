//! The network functions of the dataplane's graph: modules beside the fabric, each in a slot of it.
//!
//! An instance whose words stay the same stays what it is, with its state, through every program. One of other words is a new
//! module in another slot, and the old one goes once nothing is led to it.

use netbricks::functions::{Kind, Setup};
use netbricks::{Args, ArgsError};
use packet::{Pool, PoolConfig, PoolError};

use crate::engine::{Edit, Engine};
use crate::fabric::functions::SLOTS_MAX;
use crate::fabric::{FunctionCounters, Program};
use crate::modules::{FabricModule, FunctionModule};

/// Buffers for packets that functions make themselves.
const BUFFERS: usize = 512;

/// Why there are no such functions.
#[derive(Debug, thiserror::Error)]
pub(super) enum FunctionsError {
    #[error("network function {name}: {error}")]
    Args { name: String, error: ArgsError },
    #[error("network function {0} has other gates than an inside and an outside")]
    Gates(String),
    #[error("network functions have no memory for packets: {0}")]
    Pool(#[from] PoolError),
}

/// An instance of a function.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Instance {
    function: String,
    at: u16,
    words: Vec<String>,
}

/// What runs, by slot.
pub(super) struct Running {
    seed: u64,
    pool: Option<Pool>,
    slots: Vec<Option<Instance>>,
}

/// From what runs to what a program asks for.
pub(super) struct Change {
    /// What is in each slot afterwards.
    after: Vec<Option<Instance>>,
    /// The slots of each function's instances.
    slots: Vec<Vec<u16>>,
}

impl Change {
    pub(super) fn slots(&self) -> Vec<Vec<u16>> {
        self.slots.clone()
    }
}

impl Running {
    /// Nothing yet.
    pub(super) fn new(seed: u64) -> Self {
        Self { seed, pool: None, slots: vec![None; usize::from(SLOTS_MAX)] }
    }

    /// Finds a slot for each instance of a program that was compiled: its own if it runs, else one where nothing runs.
    pub(super) fn change(&mut self, program: &Program) -> Result<Change, FunctionsError> {
        if self.pool.is_none() && !program.functions.is_empty() {
            self.pool = Some(Pool::new(PoolConfig { buffers: BUFFERS, ..PoolConfig::default() })?);
        }
        let mut after = vec![None; self.slots.len()];
        // A program has half as many instances as there are slots, and so had the last one.
        let mut free = (0_u16..).zip(&self.slots).filter(|(_, slot)| slot.is_none()).map(|(at, _)| at);
        let place = |wanted: &Instance| self.slots.iter().position(|slot| slot.as_ref() == Some(wanted));
        let mut slots = Vec::with_capacity(program.functions.len());
        for function in &program.functions {
            let mut own = Vec::with_capacity(usize::from(function.instances));
            for at in 0..function.instances {
                let (name, words) = (function.name.clone(), function.words.clone());
                let wanted = Instance { function: name, at, words };
                let same = place(&wanted).map(|slot| slot as u16);
                let Some(slot) = same.or_else(|| free.next()) else { continue };
                after[usize::from(slot)] = Some(wanted);
                own.push(slot);
            }
            slots.push(own);
        }
        Ok(Change { after, slots })
    }

    /// The edit that adds what is new, and joins it to the fabric.
    pub(super) fn additions(
        &self,
        change: &Change,
        fabric: &str,
        worker: usize,
    ) -> Result<Edit, FunctionsError> {
        let mut edit = Edit::new();
        for (slot, instance) in (0_u16..).zip(&change.after) {
            let Some(instance) = instance.as_ref().filter(|_| self.slots[usize::from(slot)].is_none()) else {
                continue;
            };
            let name = module(slot);
            edit = edit.add(&name, self.build(instance)?, worker);
            for (gate, (to, from)) in (0..).zip(FabricModule::function_gates(slot)) {
                edit = edit.connect(fabric, to, &name, gate).connect(&name, gate, fabric, from);
            }
        }
        Ok(edit)
    }

    /// Notes what runs from now on. The edit takes out what does not.
    pub(super) fn commit(&mut self, change: Change) -> Edit {
        let gone = (0_u16..).zip(self.slots.iter().zip(&change.after));
        let gone = gone.filter(|(_, (before, after))| before.is_some() && after.is_none());
        let edit = gone.fold(Edit::new(), |edit, (slot, _)| edit.remove(module(slot)));
        self.slots = change.after;
        edit
    }

    fn build(&self, instance: &Instance) -> Result<FunctionModule, FunctionsError> {
        let wrong = |error| FunctionsError::Args { name: instance.function.clone(), error };
        let (kind, arguments) =
            instance.words.split_first().map_or(("", &[][..]), |(kind, rest)| (kind, rest));
        let found = Kind::find(kind).ok_or_else(|| wrong(ArgsError::Function(kind.to_owned())))?;
        let args = Args::parse(kind, arguments).map_err(wrong)?;
        let pool = match &self.pool {
            Some(pool) => pool.clone(),
            None => Pool::new(PoolConfig { buffers: BUFFERS, ..PoolConfig::default() })?,
        };
        let key = u128::from(self.seed) << 64 | u128::from(self.seed.rotate_left(29));
        let setup = Setup { pool, key, seed: self.seed ^ u64::from(instance.at) };
        let module = FunctionModule::build(found, &args, &setup).map_err(wrong)?;
        match module.has_two_gates() {
            true => Ok(module),
            false => Err(FunctionsError::Gates(instance.function.clone())),
        }
    }
}

/// Adds to the counters of functions what their modules say.
pub(super) fn fill(engine: &Engine, functions: &mut [FunctionCounters]) {
    for function in functions {
        for (slot, instance) in function.slots.iter().zip(&mut function.instances) {
            let told = engine.with_module(&module(*slot), |module: &mut FunctionModule| {
                let drops = module.drops().iter().map(|(cause, count)| (cause.to_string(), count));
                (drops.collect(), module.kept(), module.report().counters().to_vec())
            });
            // One that is out of order says nothing.
            if let Ok((drops, held, report)) = told {
                (instance.drops, instance.held, instance.report) = (drops, held, report);
            }
        }
    }
}

/// The name of the module in a slot.
fn module(slot: u16) -> String {
    format!("function{slot}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::WorkerConfig;
    use crate::fabric::{Affinity, Function};

    fn program(functions: &[(&str, &str, u16)]) -> Program {
        let mut program = Program::new([10, 181, 0, 1].into(), "fd57::1".parse().unwrap());
        let function = |(name, word, instances): &(&str, &str, u16)| Function {
            name: (*name).into(),
            words: vec!["monitor".into(), (*word).into()],
            affinity: Affinity::Flow,
            instances: *instances,
        };
        program.functions = functions.iter().map(function).collect();
        program
    }

    /// Puts a program in force; the slots of its functions, and how many modules came and went.
    fn apply(
        engine: &Engine,
        running: &mut Running,
        functions: &[(&str, &str, u16)],
    ) -> (Vec<Vec<u16>>, usize, usize) {
        let modules = || engine.snapshot().workers.len() + engine.snapshot().modules.len();
        let change = running.change(&program(functions)).unwrap();
        let (slots, before) = (change.slots(), modules());
        engine.apply(running.additions(&change, "fabric", 0).unwrap()).unwrap();
        let between = modules();
        let gone = engine.apply(running.commit(change)).unwrap().removed.len();
        (slots, between - before, gone)
    }

    #[test]
    fn instances_of_the_same_words_stay() {
        let engine = Engine::new();
        let worker = engine.add_worker(WorkerConfig::default()).unwrap();
        engine.apply(Edit::new().add("fabric", FabricModule::new(1), worker)).unwrap();
        let mut running = Running::new(7);
        let mut apply = |functions: &[_]| apply(&engine, &mut running, functions);
        assert_eq!(apply(&[("a", "top=1", 2), ("b", "top=1", 1)]), (vec![vec![0, 1], vec![2]], 3, 0));
        // One more of a, another b, a new one.
        let more = [("c", "top=1", 1), ("a", "top=1", 3), ("b", "top=2", 1)];
        assert_eq!(apply(&more), (vec![vec![3], vec![0, 1, 4], vec![5]], 3, 1));
        assert_eq!(apply(&more), (vec![vec![3], vec![0, 1, 4], vec![5]], 0, 0));
        assert_eq!(apply(&[("b", "top=2", 1)]), (vec![vec![5]], 0, 4));
        assert_eq!(apply(&[]), (vec![], 0, 1));
        // As many as there may be, all others in their place.
        let most = crate::fabric::functions::INSTANCES_MAX as u16;
        assert_eq!(apply(&[("a", "top=1", most)]).1, usize::from(most));
        let (slots, added, gone) = apply(&[("a", "top=2", most)]);
        assert_eq!((slots[0].len(), added, gone), (usize::from(most), usize::from(most), usize::from(most)));
    }

    #[test]
    fn what_is_no_function_changes_nothing() {
        let mut running = Running::new(7);
        let mut refused = |words: &[&str]| {
            let mut program = program(&[("a", "top=1", 1)]);
            program.functions[0].words = words.iter().map(|word| (*word).to_owned()).collect();
            let change = running.change(&program).unwrap();
            running.additions(&change, "fabric", 0).err().unwrap().to_string()
        };
        assert_eq!(refused(&["nothing"]), "network function a: there is no network function 'nothing'");
        assert_eq!(refused(&[]), "network function a: there is no network function ''");
        assert!(refused(&["monitor", "tops=1"]).starts_with("network function a: monitor: it takes no tops"));
        assert!(running.slots.iter().all(Option::is_none));
    }
}
