//! Changes of the classes, tried out on the picture of the graph: a class that goes to another worker takes modules along.

use std::collections::BTreeSet;

use super::{ClassError, Parent};
use crate::engine::model::{Model, Trial};
use crate::engine::traffic::{ClassId, Policy};

use super::roster::Nature;

/// One change of the classes.
pub(crate) enum ClassOp {
    Add { name: String, policy: Policy, parent: Parent },
    Update { name: String, policy: Policy },
    Move { name: String, parent: Parent },
    Remove { name: String },
    RemoveAll,
    Attach { module: String, task: usize, parent: Parent },
}

impl Model {
    /// Makes a change of the classes in the picture.
    pub(crate) fn class_step(&mut self, op: ClassOp, trial: &mut Trial) -> Result<(), ClassError> {
        match op {
            ClassOp::Add { name, policy, parent } => {
                self.roster.add(&name, policy, &parent, &mut trial.classes)
            }
            ClassOp::Update { name, policy } => self.roster.update(&name, policy, &mut trial.classes),
            ClassOp::Move { name, parent } => {
                let id = self.roster.find(&name)?;
                if self.roster.expect(id).nature == Nature::Root {
                    return Err(ClassError::Reserved(name));
                }
                self.move_class(id, &parent, trial)
            }
            ClassOp::Remove { name } => {
                let id = self.roster.find(&name)?;
                if !matches!(self.roster.expect(id).nature, Nature::Inner(_)) {
                    return Err(ClassError::Reserved(name));
                }
                self.remove_class(id, trial);
                Ok(())
            }
            ClassOp::RemoveAll => {
                let roots = self.roster.workers().filter_map(|worker| self.roster.root(worker));
                let tops = roots.flat_map(|root| self.roster.expect(root).children.iter());
                let inner = tops.map(|&(_, top)| top).filter(|&top| !self.roster.expect(top).is_leaf());
                for top in inner.collect::<Vec<_>>() {
                    self.remove_class(top, trial);
                }
                Ok(())
            }
            ClassOp::Attach { module, task, parent } => {
                let node = self.id(&module).ok_or_else(|| ClassError::NoModule(module.clone()))?;
                let leaves = &self.entry(node).expect("names lead to entries").leaves;
                let Some(&leaf) = leaves.get(task) else {
                    return Err(ClassError::NoTask { module, task, tasks: leaves.len() });
                };
                self.move_class(leaf, &parent, trial)
            }
        }
    }

    /// Puts a class with all below it elsewhere, and the modules of its leaves on the worker that it is on then.
    fn move_class(&mut self, id: ClassId, parent: &Parent, trial: &mut Trial) -> Result<(), ClassError> {
        let (above, rank) = self.roster.resolve(parent)?;
        let rank = self.roster.admit(above, rank, Some(id))?;
        self.roster.check_way(id, above)?;
        let worker = self.roster.expect(above).worker;
        if worker != self.roster.expect(id).worker {
            self.take_along(id, worker, trial);
        }
        self.roster.seat(id, worker, above, rank, &mut trial.classes);
        Ok(())
    }

    /// Gives the modules of a class's leaves to another worker, and all below the class.
    fn take_along(&mut self, top: ClassId, worker: usize, trial: &mut Trial) {
        let below: Vec<_> = self
            .roster
            .subtree(top)
            .into_iter()
            .filter(|&id| id != top)
            .map(|id| (id, self.roster.expect(id).seat.expect("only roots have none")))
            .collect();
        let nodes: BTreeSet<_> = self
            .roster
            .subtree(top)
            .into_iter()
            .filter_map(|id| match self.roster.expect(id).nature {
                Nature::Leaf { node, .. } => Some(node),
                Nature::Root | Nature::Inner(_) => None,
            })
            .collect();
        for node in nodes {
            // All its tasks go to the top of the other worker; those of this class leave it again in a moment.
            self.move_node(node, worker, trial);
        }
        for (id, seat) in below {
            self.roster.seat(id, worker, seat.parent, seat.rank, &mut trial.classes);
        }
    }

    /// Takes a class out with all below it. The tasks go to the top of their worker.
    fn remove_class(&mut self, top: ClassId, trial: &mut Trial) {
        let members = self.roster.subtree(top);
        for &id in members.iter().rev() {
            let entry = self.roster.expect(id);
            if entry.is_leaf() {
                let worker = entry.worker;
                self.roster.seat_at_top(id, worker, &mut trial.classes);
            } else {
                self.roster.remove(id, &mut trial.classes);
            }
        }
    }
}
