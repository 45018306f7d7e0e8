//! The engine's methods for traffic classes.

use std::time::SystemTime;

use super::{ClassError, ClassKind, ClassOp, ClassSnapshot, ClassStats, Nature, Parent, Rank};
use crate::engine::Engine;
use crate::engine::control::wait;
use crate::engine::model::Model;
use crate::engine::traffic::{ClassId, Policy, Usage};

/// All of this works while packets flow, and takes effect between two batches: no task sees a tree half changed.
///
/// Every worker has a tree. What stands at its top has turns in turn, below a class of the engine's own, `!default_rr_N`
/// on worker N, which is shown once there is more than one (as in BESS). The task T of module M has a leaf `!leaf_M:T`,
/// made with the module, which stands at the top of the module's worker until [`Engine::attach_task`] gives it a place.
///
/// A module has one owner, so its tasks are all on one worker. Where a task or a class goes to another worker, the
/// modules concerned go along, with the packets that they hold and what their classes have used; their other tasks go to
/// the top there. [`Edit::move_to`](crate::engine::Edit::move_to) puts all of a module's tasks at the top of the new worker.
impl Engine {
    /// Adds a class without children.
    ///
    /// # Errors
    /// When the name is taken or no name, or the parent does not exist or takes no child of that kind.
    pub fn add_class(&self, name: &str, policy: Policy, parent: Parent) -> Result<(), ClassError> {
        self.change(ClassOp::Add { name: name.to_owned(), policy, parent })
    }

    /// Gives a class's policy other numbers: a rate limit's, or what a weighted-fair class shares, whose children then
    /// start anew. A rate limit keeps its debts, unless it limits another resource.
    ///
    /// # Errors
    /// When there is no such class, or its policy is another one.
    pub fn update_class(&self, name: &str, policy: Policy) -> Result<(), ClassError> {
        self.change(ClassOp::Update { name: name.to_owned(), policy })
    }

    /// Puts a class, with all below it, elsewhere; or gives it another priority or share where it stands.
    ///
    /// # Errors
    /// When there is no such class, or the parent does not exist, takes no child of that kind, or is part of the class.
    pub fn move_class(&self, name: &str, parent: Parent) -> Result<(), ClassError> {
        self.change(ClassOp::Move { name: name.to_owned(), parent })
    }

    /// Removes a class with all classes below it. Their tasks go to the top of the worker.
    ///
    /// # Errors
    /// When there is no such class, or it is one of the engine's own.
    pub fn remove_class(&self, name: &str) -> Result<(), ClassError> {
        self.change(ClassOp::Remove { name: name.to_owned() })
    }

    /// Removes every class but the engine's own. All tasks go to the top of their workers.
    pub fn remove_classes(&self) {
        self.change(ClassOp::RemoveAll).expect("what is there can be removed");
    }

    /// Gives a task its place.
    ///
    /// # Errors
    /// When there is no such module or task, or the parent does not exist or takes no child of that kind.
    pub fn attach_task(&self, module: &str, task: usize, parent: Parent) -> Result<(), ClassError> {
        self.change(ClassOp::Attach { module: module.to_owned(), task, parent })
    }

    fn change(&self, op: ClassOp) -> Result<(), ClassError> {
        let mut state = self.lock();
        let trial = state.model.try_out(|model, trial| model.class_step(op, trial))?;
        state.carry_out(trial, Vec::new());
        Ok(())
    }

    /// All classes, worker by worker, each before its children and these in order.
    pub fn classes(&self) -> Vec<ClassSnapshot> {
        let state = self.lock();
        let mut asked = Vec::new();
        for (&worker, handle) in &state.workers {
            let Some(root) = state.model.roster.root(worker) else { continue };
            let mut ids = state.model.roster.subtree(root);
            let hidden = (state.model.roster.expect(root).children.len() < 2).then(|| ids.remove(0));
            let wanted = ids.clone();
            asked.push((ids, hidden, handle.ask(move |worker| worker.look(&wanted))));
        }
        let mut all = Vec::new();
        for (ids, hidden, answer) in asked {
            for (id, look) in ids.into_iter().zip(wait(&answer)) {
                let (usage, blocked) = look.expect("workers have what the roster knows");
                all.push(state.model.describe(id, hidden, usage, blocked));
            }
        }
        all
    }

    /// What a class has used so far. Works for every name that [`Engine::classes`] lists, and for `!default_rr_N` of every
    /// worker.
    ///
    /// # Errors
    /// When there is no such class.
    pub fn class_stats(&self, name: &str) -> Result<ClassStats, ClassError> {
        let answer = {
            let state = self.lock();
            let id = state.model.roster.find(name)?;
            let worker = state.model.roster.expect(id).worker;
            state.workers[&worker].ask(move |worker| (worker.look(&[id]), SystemTime::now()))
        };
        let (looks, at) = wait(&answer);
        let usage = looks.into_iter().flatten().next().map(|(usage, _)| usage);
        Ok(ClassStats { usage: usage.ok_or_else(|| ClassError::NoClass(name.to_owned()))?, at })
    }
}

impl Model {
    /// A class; a root that is hidden is not named as a parent.
    fn describe(&self, id: ClassId, hidden: Option<ClassId>, usage: Usage, blocked: bool) -> ClassSnapshot {
        let entry = self.roster.expect(id);
        let seat = entry.seat.filter(|seat| Some(seat.parent) != hidden);
        let kind = match entry.nature {
            Nature::Root => ClassKind::Inner(Policy::RoundRobin),
            Nature::Inner(policy) => ClassKind::Inner(policy),
            Nature::Leaf { node, task } => {
                let module = self.entry(node).map(|entry| entry.name.to_string()).unwrap_or_default();
                ClassKind::Leaf { module, task }
            }
        };
        ClassSnapshot {
            name: entry.name.to_string(),
            parent: seat.map(|seat| self.roster.expect(seat.parent).name.to_string()),
            rank: seat.map_or(Rank::Equal, |seat| seat.rank),
            worker: entry.worker,
            kind,
            blocked,
            usage,
        }
    }
}
