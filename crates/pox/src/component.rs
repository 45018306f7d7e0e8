//! Components: what the controller is made of.

use std::any::Any;
use std::rc::Rc;

use thiserror::Error;

use crate::Core;
use crate::event::Result;

/// Components that may be registered.
pub const COMPONENTS_MAX: usize = 4_096;

/// A part of the controller, with a name by which others find it.
pub trait Component: Any {
    /// Called once it is registered, to listen, set timers and announce what it waits for. Switches connect later, and other
    /// components may come before or after it: see [`Core::call_when_ready`].
    ///
    /// # Errors
    /// Whatever keeps it from starting. It is then not registered.
    fn start(&mut self, core: &mut Core) -> Result {
        let _ = core;
        Ok(())
    }
}

/// Whoever acts from outside any component: a test, a program around the core. Its handlers take `&mut ()`.
impl Component for () {}

/// Which component.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ComponentId(pub(crate) u32);

impl ComponentId {
    /// The one that acts from outside.
    pub(crate) const OUTSIDE: Self = Self(0);
}

/// Why a component was not registered.
#[derive(Debug, Error)]
pub enum RegisterError {
    /// Names are unique.
    #[error("there is a component '{0}' already")]
    Taken(String),
    /// [`COMPONENTS_MAX`].
    #[error("more than {COMPONENTS_MAX} components")]
    TooMany,
    /// Its [`Component::start`] failed.
    #[error("{name}: {problem}")]
    Start {
        /// Its name.
        name: String,
        /// Why.
        problem: String,
    },
}

/// Why a component was not called.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum CallError {
    /// No component of that name.
    #[error("there is no component '{0}'")]
    Missing(String),
    /// It is another type than the caller takes it for.
    #[error("'{0}' is not a {1}")]
    Type(String, &'static str),
    /// It is what is calling, directly or through others.
    #[error("'{0}' is in the midst of something that led to this call")]
    Busy(String),
    /// It failed.
    #[error("'{0}' failed: {1}")]
    Failed(String, String),
}

/// How a component fares.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Health {
    /// Its name.
    pub name: Rc<str>,
    /// Events, timers and replies it has handled.
    pub handled: u64,
    /// How many of them failed.
    pub failures: u64,
    /// The last failure.
    pub last_failure: Option<String>,
}

/// Where a component lives.
pub(crate) struct Slot {
    pub(crate) name: Rc<str>,
    /// Not there while it acts, or once it is gone.
    pub(crate) state: Option<Box<dyn Component>>,
    pub(crate) gone: bool,
    pub(crate) handled: u64,
    pub(crate) failures: u64,
    pub(crate) last_failure: Option<String>,
}

impl Slot {
    pub(crate) fn new(name: Rc<str>) -> Self {
        Self { name, state: None, gone: false, handled: 0, failures: 0, last_failure: None }
    }
}
