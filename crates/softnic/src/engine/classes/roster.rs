//! The control side's picture of the classes of all workers, on which changes are tried out.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use super::{CLASS_DEPTH_MAX, CLASSES_MAX, ClassError, Parent, Rank};
use crate::engine::node::NodeId;
use crate::engine::traffic::{Class, ClassId, Policy, Weight};

/// A class, as the control side knows it.
pub(crate) struct ClassEntry {
    pub(crate) name: Arc<str>,
    pub(crate) nature: Nature,
    pub(crate) worker: usize,
    /// Where it stands; `None` for a worker's root.
    pub(crate) seat: Option<Seat>,
    /// Its children, in order.
    pub(crate) children: BTreeSet<(u64, ClassId)>,
}

/// What a class is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Nature {
    /// The round robin in which all stands that a worker has.
    Root,
    Inner(Policy),
    Leaf {
        node: NodeId,
        task: usize,
    },
}

/// A place under a class.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Seat {
    pub(crate) parent: ClassId,
    pub(crate) rank: Rank,
    /// Where among the children: the priority, else the order of coming.
    order: u64,
}

impl Seat {
    pub(crate) fn weight(&self) -> Weight {
        match self.rank {
            Rank::Equal => Weight::Equal,
            Rank::Priority(priority) => Weight::Priority(priority),
            Rank::Share(share) => Weight::Share(share),
        }
    }
}

impl ClassEntry {
    /// The class itself, for a worker's tree.
    pub(crate) fn class(&self) -> Class {
        match self.nature {
            Nature::Root => Class::inner(Policy::RoundRobin),
            Nature::Inner(policy) => Class::inner(policy),
            Nature::Leaf { .. } => Class::leaf(),
        }
    }

    pub(crate) fn is_leaf(&self) -> bool {
        matches!(self.nature, Nature::Leaf { .. })
    }
}

/// Changes on trial: what workers must be told, and how to take them back.
#[derive(Default)]
pub(crate) struct Changes {
    /// Classes that are new, gone, or stand elsewhere, and the worker that had them before.
    pub(crate) moved: BTreeMap<ClassId, Option<usize>>,
    /// Classes whose policies have other numbers.
    pub(crate) updated: BTreeSet<ClassId>,
    undo: Vec<ClassUndo>,
}

/// How to take one step back.
pub(crate) enum ClassUndo {
    Insert(ClassId),
    Take(ClassId, Box<ClassEntry>),
    Seat(ClassId, usize, Option<Seat>),
    Nature(ClassId, Nature),
}

/// The classes of all workers.
#[derive(Default)]
pub(crate) struct Roster {
    ids: HashMap<Arc<str>, ClassId>,
    entries: Vec<Option<ClassEntry>>,
    free: Vec<ClassId>,
    /// The root of each worker.
    roots: BTreeMap<usize, ClassId>,
    next_order: u64,
    /// Inner classes that somebody has added.
    added: usize,
}

impl Roster {
    /// The workers there are.
    pub(crate) fn workers(&self) -> impl Iterator<Item = usize> {
        self.roots.keys().copied()
    }

    pub(crate) fn root(&self, worker: usize) -> Option<ClassId> {
        self.roots.get(&worker).copied()
    }

    pub(crate) fn id(&self, name: &str) -> Option<ClassId> {
        self.ids.get(name).copied()
    }

    pub(crate) fn entry(&self, id: ClassId) -> Option<&ClassEntry> {
        self.entries.get(id as usize)?.as_ref()
    }

    /// Gives a new worker its root.
    pub(crate) fn add_root(&mut self, worker: usize) -> ClassId {
        let id = self.vacant();
        let name: Arc<str> = format!("!default_rr_{worker}").into();
        self.put(
            id,
            ClassEntry { name, nature: Nature::Root, worker, seat: None, children: BTreeSet::new() },
        );
        self.roots.insert(worker, id);
        id
    }

    /// Forgets a worker's classes. It has no leaves.
    pub(crate) fn remove_root(&mut self, worker: usize) {
        let Some(root) = self.roots.remove(&worker) else { return };
        for id in self.subtree(root) {
            let entry = self.entries[id as usize].take().expect("a subtree is of classes that exist");
            self.added -= usize::from(matches!(entry.nature, Nature::Inner(_)));
            self.ids.remove(&entry.name);
            self.free.push(id);
        }
    }

    /// A class and all below it, each before its children.
    pub(crate) fn subtree(&self, top: ClassId) -> Vec<ClassId> {
        let mut all = Vec::new();
        let mut rest = vec![top];
        while let Some(id) = rest.pop() {
            all.push(id);
            let children = self.entry(id).into_iter().flat_map(|entry| entry.children.iter().rev());
            rest.extend(children.map(|&(_, child)| child));
        }
        all
    }

    /// Gives the tasks of a module their leaves, at the top of a worker.
    pub(crate) fn add_leaves(
        &mut self,
        node: NodeId,
        module: &str,
        tasks: usize,
        worker: usize,
        changes: &mut Changes,
    ) -> Vec<ClassId> {
        let add = |task| {
            let name = format!("!leaf_{module}:{task}");
            let id = self.insert(name.into(), Nature::Leaf { node, task }, worker, changes);
            self.seat_at_top(id, worker, changes);
            id
        };
        (0..tasks).map(add).collect()
    }

    /// Puts a class at the top of a worker.
    pub(crate) fn seat_at_top(&mut self, id: ClassId, worker: usize, changes: &mut Changes) {
        let root = self.roots[&worker];
        self.seat(id, worker, root, Rank::Equal, changes);
    }

    /// Puts a class under another of the same worker.
    pub(crate) fn seat(
        &mut self,
        id: ClassId,
        worker: usize,
        parent: ClassId,
        rank: Rank,
        changes: &mut Changes,
    ) {
        self.next_order += 1;
        let order = if let Rank::Priority(priority) = rank { u64::from(priority) } else { self.next_order };
        self.move_to(id, worker, Some(Seat { parent, rank, order }), changes);
    }

    /// Takes a class out that has no children.
    pub(crate) fn remove(&mut self, id: ClassId, changes: &mut Changes) {
        let worker = self.expect(id).worker;
        self.move_to(id, worker, None, changes);
        let entry = self.entries[id as usize].take().expect("it was there a moment ago");
        self.added -= usize::from(matches!(entry.nature, Nature::Inner(_)));
        self.ids.remove(&entry.name);
        changes.undo.push(ClassUndo::Take(id, Box::new(entry)));
    }

    /// Adds an inner class.
    pub(crate) fn add(
        &mut self,
        name: &str,
        policy: Policy,
        parent: &Parent,
        changes: &mut Changes,
    ) -> Result<(), ClassError> {
        if name.is_empty() {
            return Err(ClassError::NoName);
        }
        if name.starts_with('!') {
            return Err(ClassError::Reserved(name.to_owned()));
        }
        if self.ids.contains_key(name) {
            return Err(ClassError::NameTaken(name.to_owned()));
        }
        if self.added >= CLASSES_MAX {
            return Err(ClassError::TooMany(name.to_owned()));
        }
        let (above, rank) = self.resolve(parent)?;
        let rank = self.admit(above, rank, None)?;
        if self.depth(above) + 1 > CLASS_DEPTH_MAX {
            return Err(ClassError::TooDeep(name.to_owned()));
        }
        let worker = self.expect(above).worker;
        let id = self.insert(name.into(), Nature::Inner(policy), worker, changes);
        self.seat(id, worker, above, rank, changes);
        Ok(())
    }

    /// Gives a class's policy other numbers.
    pub(crate) fn update(
        &mut self,
        name: &str,
        policy: Policy,
        changes: &mut Changes,
    ) -> Result<(), ClassError> {
        let id = self.find(name)?;
        let nature = self.expect(id).nature;
        let other =
            |is| ClassError::OtherPolicy { class: name.to_owned(), policy: is, wanted: policy.name() };
        let before = match nature {
            Nature::Root => return Err(other(Policy::RoundRobin.name())),
            Nature::Leaf { .. } => return Err(other("leaf")),
            Nature::Inner(before) if before.name() != policy.name() => return Err(other(before.name())),
            Nature::Inner(before) => before,
        };
        changes.undo.push(ClassUndo::Nature(id, nature));
        self.expect_mut(id).nature = Nature::Inner(policy);
        changes.updated.insert(id);
        if before != policy && matches!(policy, Policy::WeightedFair { .. }) {
            // What the children have used of one resource says nothing about another: they start anew.
            for (_, child) in self.expect(id).children.clone() {
                let entry = self.expect(child);
                let (worker, seat) = (entry.worker, entry.seat);
                self.move_to(child, worker, seat, changes);
            }
        }
        Ok(())
    }

    /// The class that `parent` names, and the rank that is asked for there.
    pub(crate) fn resolve(&self, parent: &Parent) -> Result<(ClassId, Rank), ClassError> {
        match parent {
            Parent::Worker(worker) => {
                let root = self.root(*worker).ok_or(ClassError::NoWorker(*worker))?;
                Ok((root, Rank::Equal))
            }
            Parent::Class { name, rank } => {
                let id = self.id(name).ok_or_else(|| ClassError::NoParent(name.clone()))?;
                Ok((id, *rank))
            }
        }
    }

    /// Whether a class may have (another) child of that rank; `child` is who wants to be it, if it exists already.
    /// Returns the rank as it counts there.
    pub(crate) fn admit(
        &self,
        parent: ClassId,
        rank: Rank,
        child: Option<ClassId>,
    ) -> Result<Rank, ClassError> {
        let entry = self.expect(parent);
        let name = || entry.name.to_string();
        let other = |&&(_, other): &&(u64, ClassId)| Some(other) != child;
        let named = |&(_, other): &(u64, ClassId)| self.expect(other).name.to_string();
        match (entry.nature, rank) {
            (Nature::Leaf { .. }, _) => Err(ClassError::UnderLeaf(name())),
            (Nature::Root | Nature::Inner(Policy::RoundRobin), _) => Ok(Rank::Equal),
            (Nature::Inner(Policy::RateLimit { .. }), _) => match entry.children.iter().find(other) {
                Some(taken) => Err(ClassError::OneChild { parent: name(), child: named(taken) }),
                None => Ok(Rank::Equal),
            },
            (Nature::Inner(Policy::Priority), Rank::Priority(priority)) => {
                let order = u64::from(priority);
                let mut same = entry.children.range((order, 0)..=(order, ClassId::MAX));
                match same.find(other) {
                    Some(taken) => {
                        Err(ClassError::PriorityTaken { parent: name(), priority, child: named(taken) })
                    }
                    None => Ok(rank),
                }
            }
            (Nature::Inner(Policy::Priority), _) => Err(ClassError::WantsPriority(name())),
            (Nature::Inner(Policy::WeightedFair { .. }), Rank::Share(share)) if share > 0 => Ok(rank),
            (Nature::Inner(Policy::WeightedFair { .. }), _) => Err(ClassError::WantsShare(name())),
        }
    }

    /// Whether `id` may go under `parent`: not under itself, and not too deep.
    pub(crate) fn check_way(&self, id: ClassId, parent: ClassId) -> Result<(), ClassError> {
        let name = |id| self.expect(id).name.to_string();
        let mut above = Some(parent);
        while let Some(at) = above {
            if at == id {
                return Err(ClassError::Circle { class: name(id), parent: name(parent) });
            }
            above = self.expect(at).seat.map(|seat| seat.parent);
        }
        let base = self.depth(id);
        let below =
            self.subtree(id).into_iter().map(|member| self.depth(member) - base + 1).max().unwrap_or(1);
        if self.depth(parent) + below > CLASS_DEPTH_MAX {
            return Err(ClassError::TooDeep(name(id)));
        }
        Ok(())
    }

    /// The class of that name.
    pub(crate) fn find(&self, name: &str) -> Result<ClassId, ClassError> {
        self.id(name).ok_or_else(|| ClassError::NoClass(name.to_owned()))
    }

    /// Takes changes back.
    pub(crate) fn roll_back(&mut self, changes: Changes) {
        for step in changes.undo.into_iter().rev() {
            match step {
                ClassUndo::Insert(id) => {
                    let entry = self.entries[id as usize].take().expect("it was inserted");
                    self.added -= usize::from(matches!(entry.nature, Nature::Inner(_)));
                    self.ids.remove(&entry.name);
                    self.free.push(id);
                }
                ClassUndo::Take(id, entry) => self.put(id, *entry),
                ClassUndo::Seat(id, worker, seat) => {
                    self.put_seat(id, worker, seat);
                }
                ClassUndo::Nature(id, nature) => self.expect_mut(id).nature = nature,
            }
        }
    }

    /// Lets the numbers of classes that are gone be used again, once no worker knows them any more.
    pub(crate) fn settle(&mut self, changes: &Changes) {
        let gone = changes.moved.keys().filter(|&&id| self.entries[id as usize].is_none());
        self.free.extend(gone);
    }

    /// Classes on the way from the root to this one, both included.
    fn depth(&self, id: ClassId) -> usize {
        let parent = |&id: &ClassId| self.expect(id).seat.map(|seat| seat.parent);
        std::iter::successors(Some(id), parent).count()
    }

    fn insert(&mut self, name: Arc<str>, nature: Nature, worker: usize, changes: &mut Changes) -> ClassId {
        let id = self.vacant();
        self.put(id, ClassEntry { name, nature, worker, seat: None, children: BTreeSet::new() });
        changes.moved.insert(id, None);
        changes.undo.push(ClassUndo::Insert(id));
        id
    }

    fn vacant(&mut self) -> ClassId {
        self.free.pop().unwrap_or_else(|| {
            self.entries.push(None);
            self.entries.len() as ClassId - 1
        })
    }

    fn put(&mut self, id: ClassId, entry: ClassEntry) {
        self.added += usize::from(matches!(entry.nature, Nature::Inner(_)));
        self.ids.insert(Arc::clone(&entry.name), id);
        self.entries[id as usize] = Some(entry);
    }

    fn move_to(&mut self, id: ClassId, worker: usize, seat: Option<Seat>, changes: &mut Changes) {
        let (was, before) = self.put_seat(id, worker, seat);
        changes.moved.entry(id).or_insert(Some(was));
        changes.undo.push(ClassUndo::Seat(id, was, before));
    }

    fn put_seat(&mut self, id: ClassId, worker: usize, seat: Option<Seat>) -> (usize, Option<Seat>) {
        let entry = self.expect_mut(id);
        let was = std::mem::replace(&mut entry.worker, worker);
        let before = std::mem::replace(&mut entry.seat, seat);
        if let Some(Seat { parent, order, .. }) = before {
            self.expect_mut(parent).children.remove(&(order, id));
        }
        if let Some(Seat { parent, order, .. }) = seat {
            self.expect_mut(parent).children.insert((order, id));
        }
        (was, before)
    }

    pub(crate) fn expect(&self, id: ClassId) -> &ClassEntry {
        self.entry(id).expect("numbers lead to classes")
    }

    fn expect_mut(&mut self, id: ClassId) -> &mut ClassEntry {
        self.entries[id as usize].as_mut().expect("numbers lead to classes")
    }
}
