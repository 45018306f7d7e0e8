//! Gate hooks: what looks at the packets that pass a gate, without touching them.

use packet::Batch;

use super::Gate;

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
