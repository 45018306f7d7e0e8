//! The core: components by name, events, timers, and who acts.
//!
//! Everything runs on one thread, one handler after the other. While a component acts it is taken out of its slot, so that it
//! may use all of the core, call others, listen and stop listening; events it raises wait until it is done.

mod components;
mod events;
mod time;

use std::any::{Any, TypeId, type_name};
use std::cell::Cell;
use std::collections::{BTreeMap, VecDeque};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::rc::Rc;
use std::time::Duration;

use foldhash::fast::FixedState;
use hashbrown::HashMap;

use crate::component::{Component, ComponentId, Slot};
use crate::controller::Output;
use crate::event::{Error, Listen, ListenerId, Result, Source, Verdict};
use crate::log::{Level, Log, Record, bounded};
use crate::nexus::Nexus;
use crate::remote::Inbox;
use crate::timer::Timers;

/// Events that may wait behind the one that is handled.
pub const EVENTS_MAX: usize = 1 << 16;
/// Events handled in one go before the world outside gets its turn.
pub const CASCADE_MAX: usize = 1 << 17;
/// Listeners of one source for one kind of event.
pub const LISTENERS_MAX: usize = 1 << 12;

/// Who listens to what.
pub(crate) type Key = (Source, TypeId);
type Handler = Box<dyn Fn(&mut dyn Component, &dyn Any, &mut Core) -> Result<Verdict>>;
type Ready = Box<dyn FnOnce(&mut dyn Component, &mut Core) -> Result<Verdict>>;

struct Listener {
    id: ListenerId,
    owner: ComponentId,
    how: Listen,
    alive: Cell<bool>,
    handler: Handler,
}

/// What waits behind the present event.
enum Raised {
    /// An event, and where.
    Event(Source, Box<dyn Any>),
    /// Components are there that somebody waited for.
    Ready(ComponentId, Ready),
}

/// Who waits for which components.
struct Waiting {
    owner: ComponentId,
    missing: Vec<Rc<str>>,
    ready: Ready,
}

/// How far the controller has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Phase {
    /// Components are registered.
    Starting,
    /// It runs.
    Up,
    /// It ends.
    GoingDown,
    /// It has ended.
    Down,
}

/// What has happened to handlers and their events.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Counters {
    /// Events raised by components.
    pub raised: u64,
    /// Events lost because [`EVENTS_MAX`] waited already.
    pub lost: u64,
    /// Handlers that failed or panicked.
    pub failures: u64,
    /// Times a listener was left out because it was what led to the event.
    pub busy: u64,
}

/// The heart of the controller, as its components see it.
pub struct Core {
    pub(crate) now: Duration,
    pub(crate) phase: Phase,
    pub(crate) nexus: Nexus,
    pub(crate) outputs: VecDeque<Output>,
    pub(crate) inbox: Inbox,
    slots: Vec<Slot>,
    names: BTreeMap<Rc<str>, ComponentId>,
    current: ComponentId,
    listeners: HashMap<Key, Rc<Vec<Rc<Listener>>>, FixedState>,
    sources: HashMap<ListenerId, Key, FixedState>,
    next_listener: u64,
    raised: VecDeque<Raised>,
    waiting: Vec<Waiting>,
    timers: Timers,
    log: Log,
    counters: Counters,
}

impl Default for Core {
    fn default() -> Self {
        let mut outside = Slot::new("core".into());
        outside.state = Some(Box::new(()));
        Self {
            now: Duration::ZERO,
            phase: Phase::Starting,
            nexus: Nexus::default(),
            outputs: VecDeque::new(),
            inbox: Inbox::default(),
            slots: vec![outside],
            names: BTreeMap::new(),
            current: ComponentId::OUTSIDE,
            listeners: HashMap::default(),
            sources: HashMap::default(),
            next_listener: 0,
            raised: VecDeque::new(),
            waiting: Vec::new(),
            timers: Timers::default(),
            log: Log::default(),
            counters: Counters::default(),
        }
    }
}

/// Who acts.
impl Core {
    /// Lets a component act. Whatever it does, the core stays whole: a failure is counted, logged and told.
    pub(crate) fn act(
        &mut self,
        who: ComponentId,
        action: impl FnOnce(&mut dyn Component, &mut Self) -> Result<Verdict>,
    ) -> Result<Verdict, String> {
        let place = who.0 as usize;
        let Some(mut state) = self.slots[place].state.take() else { return Ok(Verdict::Continue) };
        let before = std::mem::replace(&mut self.current, who);
        let result = catch_unwind(AssertUnwindSafe(|| action(&mut *state, self)));
        self.current = before;
        let slot = &mut self.slots[place];
        slot.handled += 1;
        if !slot.gone {
            slot.state = Some(state);
        }
        match result {
            Ok(Ok(verdict)) => Ok(verdict),
            Ok(Err(error)) => Err(self.failed(who, error.to_string())),
            Err(panic) => Err(self.failed(who, format!("panicked: {}", panic_text(&*panic)))),
        }
    }

    #[cold]
    fn failed(&mut self, who: ComponentId, failure: String) -> String {
        let failure = bounded(failure);
        self.counters.failures += 1;
        let slot = &mut self.slots[who.0 as usize];
        slot.failures += 1;
        slot.last_failure = Some(failure.clone());
        let component = Rc::clone(&slot.name);
        self.record(Level::Error, component, failure.clone());
        failure
    }
}

/// What is said.
impl Core {
    /// Says something in the name of whoever acts; the macros [`info!`](crate::info) and its like are shorter.
    pub fn log(&mut self, level: Level, text: impl Into<String>) {
        let component = self.me();
        self.record(level, component, text.into());
    }

    /// Whether anything of that level is recorded.
    #[must_use]
    pub fn logs(&self, level: Level) -> bool {
        level >= self.log.level
    }

    /// What is recorded: this level and louder. [`Level::Info`] at first.
    pub fn set_log_level(&mut self, level: Level) {
        self.log.level = level;
    }

    /// The last records, oldest first.
    pub fn records(&self) -> impl Iterator<Item = &Record> {
        self.log.records.iter()
    }

    fn record(&mut self, level: Level, component: Rc<str>, text: String) {
        let record = Record { at: self.now, level, component, text: bounded(text) };
        self.log.keep(&record);
        if self.is_heard::<Record>(&Source::Core) {
            self.raise_from(Source::Core, record);
        }
    }
}

/// The component that acts, as the type its handler is of.
pub(crate) fn own<C: Component>(state: &mut dyn Component) -> Result<&mut C> {
    let state: &mut dyn Any = state;
    state.downcast_mut().ok_or_else(|| {
        Error::from(format!("a handler of {} was given to another component", type_name::<C>()))
    })
}

fn panic_text(panic: &(dyn Any + Send)) -> &str {
    let text = panic.downcast_ref::<&str>().copied();
    text.or_else(|| panic.downcast_ref::<String>().map(String::as_str))
        .unwrap_or("with something that is no text")
}
