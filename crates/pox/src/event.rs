//! Events: what is raised, where, and what a listener says to it.

use std::any::Any;
use std::fmt;
use std::rc::Rc;

use crate::nexus::ConnectionId;

/// Why a handler failed. `?` makes one of any error, `.into()` of any text.
pub type Error = Box<dyn std::error::Error>;
/// What a handler that may fail returns.
pub type Result<T = (), E = Error> = std::result::Result<T, E>;

/// Something that happened, of its own type. A component raises its own kinds with [`Core::raise`](crate::Core::raise).
///
/// Listeners share it. What they are to answer goes into a [`Cell`](std::cell::Cell) of it, and the one who wants to know uses
/// [`Core::ask`](crate::Core::ask).
pub trait Event: Any {}

/// Where an event is raised, and where one listens to it.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Source {
    /// The core: [`Up`], [`ComponentRegistered`] and the like.
    Core,
    /// All switches: every OpenFlow event.
    OpenFlow,
    /// One connection of a switch: the same events, of that switch.
    Connection(ConnectionId),
    /// A component, by its name. It need not be there yet.
    Component(Rc<str>),
}

/// The core.
pub const CORE: Source = Source::Core;
/// All switches.
pub const OPENFLOW: Source = Source::OpenFlow;

impl From<ConnectionId> for Source {
    fn from(connection: ConnectionId) -> Self {
        Self::Connection(connection)
    }
}

impl From<&str> for Source {
    fn from(component: &str) -> Self {
        Self::Component(component.into())
    }
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Core => f.write_str("core"),
            Self::OpenFlow => f.write_str("openflow"),
            Self::Connection(connection) => write!(f, "{connection}"),
            Self::Component(name) => f.write_str(name),
        }
    }
}

/// What becomes of an event and its listener once the listener has seen it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Verdict {
    /// The next listener sees it.
    #[default]
    Continue,
    /// No further listener of this source sees it. A connection's listeners come before [`OPENFLOW`]'s: halted there, it does
    /// not reach those either.
    Halt,
    /// The next listener sees it; this one sees no more.
    Remove,
    /// Both.
    HaltAndRemove,
}

impl Verdict {
    /// Whether the event goes no further.
    #[must_use]
    pub const fn halts(self) -> bool {
        matches!(self, Self::Halt | Self::HaltAndRemove)
    }

    /// Whether the listener is done.
    #[must_use]
    pub const fn removes(self) -> bool {
        matches!(self, Self::Remove | Self::HaltAndRemove)
    }
}

/// What handlers may return: nothing, a [`Verdict`], or a `Result` of either.
pub trait Outcome {
    /// The verdict, or why there is none.
    ///
    /// # Errors
    /// The handler's own.
    fn verdict(self) -> Result<Verdict>;
}

impl Outcome for () {
    fn verdict(self) -> Result<Verdict> {
        Ok(Verdict::Continue)
    }
}

impl Outcome for Verdict {
    fn verdict(self) -> Result<Verdict> {
        Ok(self)
    }
}

impl<T: Outcome, E: Into<Error>> Outcome for Result<T, E> {
    fn verdict(self) -> Result<Verdict> {
        self.map_err(Into::into)?.verdict()
    }
}

/// How one listens. Plain `listen` is priority 0, again and again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Listen {
    /// Higher is asked first; among equals the one who listened first.
    pub priority: i32,
    /// Only the next event.
    pub once: bool,
}

impl Listen {
    /// Before (above 0) or behind the others.
    #[must_use]
    pub const fn priority(priority: i32) -> Self {
        Self { priority, once: false }
    }

    /// Only the next event.
    #[must_use]
    pub const fn once(mut self) -> Self {
        self.once = true;
        self
    }
}

/// Which listener, to stop listening.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ListenerId(pub(crate) u64);

/// Raised by the core: everything the launch line names is registered, nothing is connected yet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct GoingUp;
/// Raised by the core: it runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Up;
/// Raised by the core: it ends; switches are still connected.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct GoingDown;
/// Raised by the core: it has ended, connections are closed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Down;
/// Raised by the core: there is a new component.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ComponentRegistered {
    /// Its name.
    pub name: Rc<str>,
}

impl Event for GoingUp {}
impl Event for Up {}
impl Event for GoingDown {}
impl Event for Down {}
impl Event for ComponentRegistered {}
