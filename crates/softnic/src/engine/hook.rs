//! Gate hooks: what looks at the packets that pass a gate, without touching them.

use std::any::Any;

use packet::Batch;

use super::control::{Engine, wait};
use super::{Attribute, Gate, Place};

/// The most hooks on one gate.
pub const HOOKS_MAX: usize = 16;

/// Looks at packets that pass a gate.
///
/// Hooks run in the order in which they were put there, on the worker of the module whose gate it is: on an output
/// gate before the packets go on, on an input gate before the module has them. A gate without hooks pays one branch
/// per batch.
pub trait GateHook: std::any::Any + Send {
    /// The name of its class, as in `show` (`TcpDump`).
    fn class(&self) -> &'static str;

    /// Packets pass. `now_ns` is the time in nanoseconds of `CLOCK_MONOTONIC`.
    fn pass(&mut self, batch: &Batch, now_ns: u64);

    /// Learns which metadata attributes the module of its gate uses, and where each lies: when it is put there, and whenever a
    /// change of the graph moves one of them.
    fn place(&mut self, _attributes: &[Attribute], _places: &[Place]) {}
}

/// Which of a module's gates.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Side {
    /// An input gate.
    Input(Gate),
    /// An output gate.
    Output(Gate),
}

/// A hook on its gate.
pub(crate) struct Hook {
    pub(crate) name: String,
    pub(crate) hook: Box<dyn GateHook>,
    /// Those of the module, in whose order places come.
    pub(crate) attributes: Vec<Attribute>,
}

/// Why a hook is not to be had.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum HookError {
    /// No module has the name.
    #[error("there is no module `{0}`")]
    NoModule(String),
    /// The module has no such gate.
    #[error("module `{module}` has no {side:?} gate")]
    NoGate {
        /// The module.
        module: String,
        /// The gate.
        side: Side,
    },
    /// Two hooks of one name on one gate.
    #[error("there is a hook `{hook}` on {side:?} of `{module}` already")]
    NameTaken {
        /// The module.
        module: String,
        /// The gate.
        side: Side,
        /// The hook.
        hook: String,
    },
    /// The gate has [`HOOKS_MAX`].
    #[error("{side:?} of `{module}` has {HOOKS_MAX} hooks already")]
    TooMany {
        /// The module.
        module: String,
        /// The gate.
        side: Side,
    },
    /// The gate has no such hook, or it is of another class.
    #[error("there is no hook `{hook}` of that class on {side:?} of `{module}`")]
    NoHook {
        /// The module.
        module: String,
        /// The gate.
        side: Side,
        /// The hook.
        hook: String,
    },
}

impl Engine {
    /// Puts a hook on a gate, under a name.
    ///
    /// # Errors
    /// When there is no such module or gate, or the gate has a hook of that name or [`HOOKS_MAX`].
    pub fn add_hook(
        &self,
        module: &str,
        side: Side,
        name: &str,
        mut hook: Box<dyn GateHook>,
    ) -> Result<(), HookError> {
        let (module_name, hook_name) = (module.to_owned(), name.to_owned());
        self.on_hooks(module, side, move |hooks, attributes, places| {
            if hooks.iter().any(|other| other.name == hook_name) {
                return Err(HookError::NameTaken { module: module_name, side, hook: hook_name });
            }
            if hooks.len() >= HOOKS_MAX {
                return Err(HookError::TooMany { module: module_name, side });
            }
            hook.place(&attributes, &places);
            hooks.push(Hook { name: hook_name, hook, attributes });
            Ok(())
        })
    }

    /// Takes hooks off a gate: the one of that name, or every one of which `which` says so by name and class. Returns
    /// how many.
    ///
    /// # Errors
    /// When there is no such module or gate.
    pub fn remove_hooks(
        &self,
        module: &str,
        side: Side,
        which: impl Fn(&str, &str) -> bool + Send + 'static,
    ) -> Result<usize, HookError> {
        self.on_hooks(module, side, move |hooks, _, _| {
            let before = hooks.len();
            hooks.retain(|Hook { name, hook, .. }| !which(name, hook.class()));
            Ok(before - hooks.len())
        })
    }

    /// Runs a command on a hook, between two batches.
    ///
    /// # Errors
    /// When there is no such module, gate or hook, or it is not an `H`.
    pub fn with_hook<H: GateHook, R: Send + 'static>(
        &self,
        module: &str,
        side: Side,
        name: &str,
        command: impl FnOnce(&mut H) -> R + Send + 'static,
    ) -> Result<R, HookError> {
        let missing = HookError::NoHook { module: module.to_owned(), side, hook: name.to_owned() };
        let name = name.to_owned();
        self.on_hooks(module, side, move |hooks, _, _| {
            let hook = hooks.iter_mut().find(|hook| hook.name == name);
            let hook: Option<&mut dyn Any> = hook.map(|hook| &mut *hook.hook as &mut dyn Any);
            hook.and_then(|hook| hook.downcast_mut::<H>()).map(command).ok_or(missing)
        })
    }

    /// Has the worker change the hooks of a gate; the module's attributes and where they lie are handed over.
    fn on_hooks<R: Send + 'static>(
        &self,
        module: &str,
        side: Side,
        change: impl FnOnce(&mut Vec<Hook>, Vec<Attribute>, Vec<Place>) -> Result<R, HookError> + Send + 'static,
    ) -> Result<R, HookError> {
        let answer = {
            let state = self.lock();
            let id = state.model.id(module).ok_or_else(|| HookError::NoModule(module.to_owned()))?;
            let entry = state.model.entry(id).expect("names lead to entries");
            let missing = HookError::NoGate { module: module.to_owned(), side };
            let (attributes, places) = (entry.attributes.clone(), entry.places.clone());
            state.workers[&entry.worker].ask(move |worker| {
                let node = worker.executor.node_mut(id).expect("workers have what the model knows");
                let hooks = node.hooks(side);
                let result = hooks.map_or(Err(missing), |hooks| change(hooks, attributes, places));
                node.tidy_hooks();
                result
            })
        };
        wait(&answer)
    }
}
