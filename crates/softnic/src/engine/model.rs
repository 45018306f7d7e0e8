//! The control side's picture of the graph, on which edits are tried out before any worker hears of them.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use super::attribute::{View, assign};
use super::classes::{Changes, Roster};
use super::edge::InboxId;
use super::edit::{EditError, MODULES_MAX, Op};
use super::node::{NodeId, Shape};
use super::traffic::ClassId;
use super::{ATTRIBUTE_SIZE_MAX, ATTRIBUTES_MAX, Attribute, GATES_MAX, Gate, Module, Place, TASKS_MAX};

/// A module, as the control side knows it.
pub(crate) struct Entry {
    pub(crate) name: Arc<str>,
    pub(crate) shape: Shape,
    pub(crate) worker: usize,
    /// The metadata attributes that it uses.
    pub(crate) attributes: Vec<Attribute>,
    /// Where they lie, once the module has been told.
    pub(crate) places: Vec<Place>,
    /// Where its output gates lead.
    pub(crate) links: BTreeMap<Gate, Link>,
    /// The traffic classes of its tasks.
    pub(crate) leaves: Vec<ClassId>,
    /// The output gates that lead here.
    sources: BTreeSet<(NodeId, Gate)>,
}

/// Where an output gate leads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Link {
    pub(crate) to: NodeId,
    pub(crate) input: Gate,
    /// The ring in between, when the ends belong to different workers.
    pub(crate) inbox: Option<InboxId>,
}

/// The graph.
#[derive(Default)]
pub(crate) struct Model {
    ids: HashMap<Arc<str>, NodeId>,
    entries: Vec<Option<Entry>>,
    free: Vec<NodeId>,
    /// The traffic classes, and with them the workers there are.
    pub(crate) roster: Roster,
}

/// An edit on trial: what it changes, and how to take it back.
#[derive(Default)]
pub(crate) struct Trial {
    undo: Vec<Undo>,
    /// New modules.
    pub(crate) added: Vec<(NodeId, Box<dyn Module>)>,
    /// Modules that go, and the worker that has them.
    pub(crate) removed: BTreeMap<NodeId, usize>,
    /// Modules that stay but change hands, and the worker that has them.
    pub(crate) moved: BTreeMap<NodeId, usize>,
    /// Output gates that must be set anew, and where they led before the edit.
    pub(crate) touched: BTreeMap<(NodeId, Gate), Option<Link>>,
    /// What changes of the traffic classes.
    pub(crate) classes: Changes,
}

/// How to take one step back.
enum Undo {
    Insert(NodeId),
    Take(NodeId, Box<Entry>),
    Link(NodeId, Gate, Option<Link>),
    Worker(NodeId, usize),
}

impl Model {
    /// The number of the module of that name.
    pub(crate) fn id(&self, name: &str) -> Option<NodeId> {
        self.ids.get(name).copied()
    }

    pub(crate) fn entry(&self, id: NodeId) -> Option<&Entry> {
        self.entries.get(id as usize)?.as_ref()
    }

    /// All modules.
    pub(crate) fn modules(&self) -> impl Iterator<Item = &Entry> {
        self.entries.iter().flatten()
    }

    /// Notes the ring of a link.
    pub(crate) fn set_inbox(&mut self, id: NodeId, gate: Gate, inbox: Option<InboxId>) {
        if let Some(link) = self.entry_mut(id).links.get_mut(&gate) {
            link.inbox = inbox;
        }
    }

    /// Makes the changes of an edit in the picture. After an error the picture is as before.
    pub(crate) fn attempt(&mut self, ops: Vec<Op>) -> Result<Trial, EditError> {
        self.try_out(|model, trial| ops.into_iter().try_for_each(|op| model.step(op, trial)))
    }

    /// Makes changes in the picture. After an error the picture is as before.
    pub(crate) fn try_out<E>(
        &mut self,
        changes: impl FnOnce(&mut Self, &mut Trial) -> Result<(), E>,
    ) -> Result<Trial, E> {
        let mut trial = Trial::default();
        match changes(self, &mut trial) {
            Ok(()) => Ok(trial),
            Err(error) => {
                self.roll_back(trial.undo);
                self.roster.roll_back(trial.classes);
                Err(error)
            }
        }
    }

    /// Ranks the modules that can be reached from `starts`: each after all that can be reached from it, but for
    /// loops.
    pub(crate) fn downstream_first(&self, starts: &[NodeId]) -> HashMap<NodeId, usize> {
        let mut ranks = HashMap::new();
        let mut seen = BTreeSet::new();
        let mut path = Vec::new();
        for &start in starts {
            path.push((start, false));
            while let Some((id, done)) = path.pop() {
                if done {
                    ranks.insert(id, ranks.len());
                } else if seen.insert(id) {
                    path.push((id, true));
                    let links = self.entry(id).into_iter().flat_map(|entry| entry.links.values());
                    path.extend(links.map(|link| (link.to, false)));
                }
            }
        }
        ranks
    }

    /// Deals out the places of metadata attributes anew; says which modules must be told.
    pub(crate) fn relocate(&mut self) -> Vec<(NodeId, Vec<Place>)> {
        let ids: Vec<NodeId> =
            (0..self.entries.len() as NodeId).filter(|&id| self.entry(id).is_some()).collect();
        if ids.iter().all(|&id| self.entry_mut(id).attributes.is_empty()) {
            return Vec::new();
        }
        let index: HashMap<NodeId, usize> = ids.iter().enumerate().map(|(at, &id)| (id, at)).collect();
        let views: Vec<View<'_>> = ids
            .iter()
            .filter_map(|&id| self.entry(id))
            .map(|entry| View {
                attributes: &entry.attributes,
                places: &entry.places,
                next: entry.links.values().map(|link| index[&link.to]).collect(),
            })
            .collect();
        let places = assign(&views);
        let mut changed = Vec::new();
        for (id, places) in ids.into_iter().zip(places) {
            let entry = self.entry_mut(id);
            if entry.places != places {
                entry.places.clone_from(&places);
                changed.push((id, places));
            }
        }
        changed
    }

    /// Lets the numbers of removed modules be used again, once no worker knows them any more.
    pub(crate) fn settle(&mut self, trial: &Trial) {
        self.free.extend(trial.removed.keys());
        self.roster.settle(&trial.classes);
    }

    fn step(&mut self, op: Op, trial: &mut Trial) -> Result<(), EditError> {
        match op {
            Op::Class(op) => Ok(self.class_step(op, trial)?),
            Op::Add { name, module, worker } => self.add(name, module, worker, trial),
            Op::Remove { name } => self.remove(&name, trial),
            Op::Move { name, worker } => self.move_to(&name, worker, trial),
            Op::Connect { from, output, to, input, replace } => {
                let (from, to) = (self.output(&from, output)?, self.input(&to, input)?);
                if let (Some(link), false) = (self.link(from, output), replace) {
                    let [module, to] = [from, link.to].map(|id| self.name(id));
                    return Err(EditError::Connected { module, gate: output, to });
                }
                self.set_link(from, output, Some(Link { to, input, inbox: None }), trial);
                Ok(())
            }
            Op::Disconnect { from, output } => {
                let id = self.output(&from, output)?;
                if self.link(id, output).is_none() {
                    return Err(EditError::NotConnected { module: from, gate: output });
                }
                self.set_link(id, output, None, trial);
                Ok(())
            }
        }
    }

    fn add(
        &mut self,
        name: String,
        module: Box<dyn Module>,
        worker: usize,
        trial: &mut Trial,
    ) -> Result<(), EditError> {
        if self.ids.contains_key(name.as_str()) {
            return Err(EditError::NameTaken(name));
        }
        self.check_worker(&name, worker)?;
        let shape = shape(&name, &*module)?;
        let attributes = attributes(&name, &*module)?;
        let id = match self.free.pop() {
            Some(id) => id,
            None if self.entries.len() < MODULES_MAX => {
                self.entries.push(None);
                self.entries.len() as NodeId - 1
            }
            None => return Err(EditError::TooManyModules(name)),
        };
        let name: Arc<str> = name.into();
        self.ids.insert(Arc::clone(&name), id);
        let leaves = self.roster.add_leaves(id, &name, shape.tasks, worker, &mut trial.classes);
        self.entries[id as usize] = Some(Entry {
            name,
            shape,
            worker,
            attributes,
            places: Vec::new(),
            links: BTreeMap::new(),
            leaves,
            sources: BTreeSet::new(),
        });
        trial.undo.push(Undo::Insert(id));
        trial.added.push((id, module));
        Ok(())
    }

    fn remove(&mut self, name: &str, trial: &mut Trial) -> Result<(), EditError> {
        let id = self.find(name)?;
        if trial.added.iter().any(|&(added, _)| added == id) {
            return Err(EditError::Fleeting(name.to_owned()));
        }
        let entry = self.entry_mut(id);
        let mut edges: BTreeSet<(NodeId, Gate)> = entry.sources.clone();
        edges.extend(entry.links.keys().map(|&gate| (id, gate)));
        for (from, gate) in edges {
            self.set_link(from, gate, None, trial);
        }
        let entry = self.entries[id as usize].take().expect("it was found");
        self.ids.remove(&entry.name);
        for &leaf in &entry.leaves {
            self.roster.remove(leaf, &mut trial.classes);
        }
        let worker = trial.moved.remove(&id).unwrap_or(entry.worker);
        trial.removed.insert(id, worker);
        trial.undo.push(Undo::Take(id, Box::new(entry)));
        Ok(())
    }

    fn move_to(&mut self, name: &str, worker: usize, trial: &mut Trial) -> Result<(), EditError> {
        let id = self.find(name)?;
        self.check_worker(name, worker)?;
        self.move_node(id, worker, trial);
        Ok(())
    }

    /// Gives a module to another worker, at whose top its tasks stand then.
    pub(crate) fn move_node(&mut self, id: NodeId, worker: usize, trial: &mut Trial) {
        let entry = self.entry_mut(id);
        if entry.worker != worker {
            for leaf in entry.leaves.clone() {
                self.roster.seat_at_top(leaf, worker, &mut trial.classes);
            }
        }
        let entry = self.entry_mut(id);
        let before = std::mem::replace(&mut entry.worker, worker);
        let mut edges: Vec<(NodeId, Gate)> = entry.sources.iter().copied().collect();
        edges.extend(entry.links.keys().map(|&gate| (id, gate)));
        for (from, gate) in edges {
            let link = self.link(from, gate);
            trial.touched.entry((from, gate)).or_insert(link);
        }
        trial.undo.push(Undo::Worker(id, before));
        if trial.added.iter().all(|&(added, _)| added != id) {
            trial.moved.entry(id).or_insert(before);
        }
    }

    fn set_link(&mut self, from: NodeId, gate: Gate, link: Option<Link>, trial: &mut Trial) {
        let before = self.put_link(from, gate, link);
        trial.touched.entry((from, gate)).or_insert(before);
        trial.undo.push(Undo::Link(from, gate, before));
    }

    fn put_link(&mut self, from: NodeId, gate: Gate, link: Option<Link>) -> Option<Link> {
        let links = &mut self.entry_mut(from).links;
        let before = match link {
            Some(link) => links.insert(gate, link),
            None => links.remove(&gate),
        };
        if let Some(before) = before {
            self.entry_mut(before.to).sources.remove(&(from, gate));
        }
        if let Some(link) = link {
            self.entry_mut(link.to).sources.insert((from, gate));
        }
        before
    }

    fn roll_back(&mut self, undo: Vec<Undo>) {
        for step in undo.into_iter().rev() {
            match step {
                Undo::Insert(id) => {
                    let entry = self.entries[id as usize].take().expect("it was inserted");
                    self.ids.remove(&entry.name);
                    self.free.push(id);
                }
                Undo::Take(id, entry) => {
                    self.ids.insert(Arc::clone(&entry.name), id);
                    self.entries[id as usize] = Some(*entry);
                }
                Undo::Link(from, gate, before) => {
                    self.put_link(from, gate, before);
                }
                Undo::Worker(id, worker) => self.entry_mut(id).worker = worker,
            }
        }
    }

    fn find(&self, name: &str) -> Result<NodeId, EditError> {
        self.id(name).ok_or_else(|| EditError::NoModule(name.to_owned()))
    }

    fn output(&self, name: &str, gate: Gate) -> Result<NodeId, EditError> {
        let id = self.find(name)?;
        let Shape { class, outputs: gates, .. } =
            self.entries[id as usize].as_ref().expect("it was found").shape;
        if gate < gates {
            Ok(id)
        } else {
            Err(EditError::NoOutput { module: name.to_owned(), class, gate, gates })
        }
    }

    fn input(&self, name: &str, gate: Gate) -> Result<NodeId, EditError> {
        let id = self.find(name)?;
        let Shape { class, inputs: gates, .. } =
            self.entries[id as usize].as_ref().expect("it was found").shape;
        if gate < gates {
            Ok(id)
        } else {
            Err(EditError::NoInput { module: name.to_owned(), class, gate, gates })
        }
    }

    fn check_worker(&self, module: &str, worker: usize) -> Result<(), EditError> {
        if self.roster.root(worker).is_some() {
            return Ok(());
        }
        let workers = self.roster.workers().count();
        Err(EditError::NoWorker { module: module.to_owned(), worker, workers })
    }

    fn link(&self, id: NodeId, gate: Gate) -> Option<Link> {
        self.entry(id)?.links.get(&gate).copied()
    }

    fn name(&self, id: NodeId) -> String {
        self.entry(id).map(|entry| entry.name.to_string()).unwrap_or_default()
    }

    fn entry_mut(&mut self, id: NodeId) -> &mut Entry {
        self.entries[id as usize].as_mut().expect("links lead between modules that exist")
    }
}

/// Asks a module what it is, once and for all.
fn shape(name: &str, module: &dyn Module) -> Result<Shape, EditError> {
    let shape = Shape {
        class: module.class(),
        inputs: module.inputs(),
        outputs: module.outputs(),
        tasks: module.tasks(),
        keeps_lengths: module.keeps_lengths(),
    };
    let gates = shape.inputs.max(shape.outputs);
    if gates > GATES_MAX {
        return Err(EditError::TooManyGates { module: name.to_owned(), gates });
    }
    if shape.tasks > TASKS_MAX {
        return Err(EditError::TooManyTasks { module: name.to_owned(), tasks: shape.tasks });
    }
    Ok(shape)
}

/// Asks a module which attributes it uses.
fn attributes(name: &str, module: &dyn Module) -> Result<Vec<Attribute>, EditError> {
    let attributes = module.attributes();
    if attributes.len() > ATTRIBUTES_MAX {
        return Err(EditError::TooManyAttributes { module: name.to_owned(), attributes: attributes.len() });
    }
    for (at, Attribute { name: attribute, size, .. }) in attributes.iter().enumerate() {
        let twice = attributes[..at].iter().any(|other| other.name == *attribute);
        if attribute.is_empty() || twice || !(1..=ATTRIBUTE_SIZE_MAX).contains(size) {
            let (module, attribute) = (name.to_owned(), attribute.clone());
            return Err(EditError::Attribute { module, attribute, size: *size });
        }
    }
    Ok(attributes)
}
