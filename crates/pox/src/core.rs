//! The core: components by name, events, timers, and who acts.
//!
//! Everything runs on one thread, one handler after the other. While a component acts it is taken out of its slot, so that it
//! may use all of the core, call others, listen and stop listening; events it raises wait until it is done.

use std::any::{Any, TypeId, type_name};
use std::cell::Cell;
use std::collections::{BTreeMap, VecDeque};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::rc::Rc;
use std::time::Duration;

use foldhash::fast::FixedState;
use hashbrown::HashMap;

use crate::component::{COMPONENTS_MAX, CallError, Component, ComponentId, Health, RegisterError, Slot};
use crate::controller::Output;
use crate::event::{ComponentRegistered, Error, Event, Listen, ListenerId, Outcome, Result, Source, Verdict};
use crate::log::{Level, Log, Record, bounded};
use crate::nexus::Nexus;
use crate::remote::Inbox;
use crate::timer::{DELAY_MIN, Timer, TimerId, Timers};

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

/// Components.
impl Core {
    /// Adds a component under a name of its own and starts it. Who waits for that name is told, once the present event is done.
    ///
    /// # Errors
    /// A name that is taken, too many components, a [`Component::start`] that fails or panics.
    pub fn register(&mut self, name: &str, component: impl Component) -> Result<ComponentId, RegisterError> {
        self.register_boxed(name, Box::new(component))
    }

    /// [`Core::register`] for a component that is boxed already.
    ///
    /// # Errors
    /// As there.
    pub fn register_boxed(
        &mut self,
        name: &str,
        component: Box<dyn Component>,
    ) -> Result<ComponentId, RegisterError> {
        if self.names.contains_key(name) {
            return Err(RegisterError::Taken(name.into()));
        }
        if self.slots.len() > COMPONENTS_MAX {
            return Err(RegisterError::TooMany);
        }
        let name: Rc<str> = name.into();
        let id = ComponentId(self.slots.len() as u32);
        let mut slot = Slot::new(Rc::clone(&name));
        slot.state = Some(component);
        self.slots.push(slot);
        self.names.insert(Rc::clone(&name), id);
        let started = self.act(id, |state, core| state.start(core).map(|()| Verdict::Continue));
        if let Err(problem) = started {
            self.remove(id);
            return Err(RegisterError::Start { name: name.to_string(), problem });
        }
        self.arrived(&name);
        self.raise_from(Source::Core, ComponentRegistered { name });
        Ok(id)
    }

    /// A name for one more of a kind: the kind's own, or with the first free number behind it, as in `openflow.of_01-2`.
    #[must_use]
    pub fn free_name(&self, kind: &str) -> String {
        if !self.has(kind) {
            return kind.into();
        }
        // Ends: there are at most COMPONENTS_MAX names.
        (2..).map(|number: u32| format!("{kind}-{number}")).find(|name| !self.has(name)).unwrap_or_default()
    }

    /// Takes a component out: its listeners, timers and requests go with it.
    pub fn unregister(&mut self, name: &str) -> bool {
        let Some(&id) = self.names.get(name) else { return false };
        self.remove(id);
        true
    }

    fn remove(&mut self, id: ComponentId) {
        let slot = &mut self.slots[id.0 as usize];
        slot.gone = true;
        slot.state = None; // where it acts just now, it is dropped when it is done
        let name = Rc::clone(&slot.name);
        self.names.remove(&name);
        self.timers.cancel_of(id);
        self.waiting.retain(|waiting| waiting.owner != id);
        self.nexus.forget(id);
        let owned = |listener: &&Rc<Listener>| listener.owner == id;
        let theirs: Vec<ListenerId> = self
            .listeners
            .values()
            .flat_map(|list| list.iter().filter(owned))
            .map(|listener| listener.id)
            .collect();
        for listener in theirs {
            self.unlisten(listener);
        }
    }

    /// Whether there is a component of that name.
    #[must_use]
    pub fn has(&self, name: &str) -> bool {
        self.names.contains_key(name)
    }

    /// Who acts.
    pub(crate) fn acting(&self) -> ComponentId {
        self.current
    }

    /// Acts for nobody: what is asked of switches meanwhile is answered to handlers that take `&mut ()`.
    pub(crate) fn as_outside<R>(&mut self, action: impl FnOnce(&mut Self) -> R) -> R {
        let before = std::mem::replace(&mut self.current, ComponentId::OUTSIDE);
        let result = action(self);
        self.current = before;
        result
    }

    /// The name of whoever acts: a component's, or `core`.
    #[must_use]
    pub fn me(&self) -> Rc<str> {
        Rc::clone(&self.slots[self.current.0 as usize].name)
    }

    /// Reads a component: `None` where there is none of that name and type, or where it is what led here.
    #[must_use]
    pub fn get<C: Component>(&self, name: &str) -> Option<&C> {
        let id = self.names.get(name)?;
        let state: &dyn Any = self.slots[id.0 as usize].state.as_deref()?;
        state.downcast_ref()
    }

    /// Reads the first component of a type, whatever its name.
    #[must_use]
    pub fn find<C: Component>(&self) -> Option<&C> {
        self.slots.iter().find_map(|slot| {
            let state: &dyn Any = slot.state.as_deref()?;
            state.downcast_ref()
        })
    }

    /// Calls a component: it acts, so that what it listens to and sets in there is its own.
    ///
    /// # Errors
    /// No such component, another type, one that is in the chain of calls already, one that panics.
    pub fn call<C: Component, R>(
        &mut self,
        name: &str,
        call: impl FnOnce(&mut C, &mut Self) -> R,
    ) -> Result<R, CallError> {
        let id = *self.names.get(name).ok_or_else(|| CallError::Missing(name.into()))?;
        if self.slots[id.0 as usize].state.is_none() {
            return Err(CallError::Busy(name.into()));
        }
        let mut answer = None;
        let done = self.act(id, |state, core| {
            let state: &mut dyn Any = state;
            if let Some(this) = state.downcast_mut::<C>() {
                answer = Some(call(this, core));
            }
            Ok(Verdict::Continue)
        });
        match (done, answer) {
            (_, Some(answer)) => Ok(answer),
            (Err(failure), None) => Err(CallError::Failed(name.into(), failure)),
            (Ok(_), None) => Err(CallError::Type(name.into(), type_name::<C>())),
        }
    }

    /// Calls the handler once all these components are there: at once (behind the present event) where they are. Those that
    /// never come are named in a warning when the controller is up, and by [`Core::missing`].
    pub fn call_when_ready<C: Component, O: Outcome>(
        &mut self,
        names: impl IntoIterator<Item = impl AsRef<str>>,
        ready: impl FnOnce(&mut C, &mut Self) -> O + 'static,
    ) {
        let missing =
            names.into_iter().map(|name| Rc::from(name.as_ref())).filter(|name: &Rc<str>| !self.has(name));
        let missing: Vec<Rc<str>> = missing.collect();
        let ready: Ready = Box::new(move |state, core| ready(own(state)?, core).verdict());
        let owner = self.current;
        if missing.is_empty() {
            self.raised.push_back(Raised::Ready(owner, ready));
        } else {
            self.waiting.push(Waiting { owner, missing, ready });
        }
    }

    /// Tells those who waited for nothing but this name.
    fn arrived(&mut self, name: &str) {
        for waiting in &mut self.waiting {
            waiting.missing.retain(|missing| &**missing != name);
        }
        let (ready, waiting) = std::mem::take(&mut self.waiting)
            .into_iter()
            .partition(|waiting: &Waiting| waiting.missing.is_empty());
        self.waiting = waiting;
        let ready: Vec<Waiting> = ready;
        self.raised.extend(ready.into_iter().map(|waiting| Raised::Ready(waiting.owner, waiting.ready)));
    }

    /// Who waits for components that are not there: its name, and theirs.
    #[must_use]
    pub fn missing(&self) -> Vec<(Rc<str>, Vec<Rc<str>>)> {
        let name = |owner: ComponentId| Rc::clone(&self.slots[owner.0 as usize].name);
        self.waiting.iter().map(|waiting| (name(waiting.owner), waiting.missing.clone())).collect()
    }

    /// How every component fares, in the order they were registered.
    #[must_use]
    pub fn health(&self) -> Vec<Health> {
        let present = self.slots.iter().filter(|slot| !slot.gone);
        present
            .map(|slot| Health {
                name: Rc::clone(&slot.name),
                handled: slot.handled,
                failures: slot.failures,
                last_failure: slot.last_failure.clone(),
            })
            .collect()
    }

    /// What has happened to handlers and events.
    #[must_use]
    pub fn counters(&self) -> Counters {
        self.counters
    }
}

/// Events.
impl Core {
    /// Listens to one kind of event of a source, with a method of the component that acts, or a closure of that shape:
    /// `core.listen(OPENFLOW, Self::packet_in)`.
    pub fn listen<C: Component, E: Event, O: Outcome>(
        &mut self,
        source: impl Into<Source>,
        handler: impl Fn(&mut C, &E, &mut Self) -> O + 'static,
    ) -> ListenerId {
        self.listen_with(source, Listen::default(), handler)
    }

    /// [`Core::listen`] with a priority, or once.
    pub fn listen_with<C: Component, E: Event, O: Outcome>(
        &mut self,
        source: impl Into<Source>,
        how: Listen,
        handler: impl Fn(&mut C, &E, &mut Self) -> O + 'static,
    ) -> ListenerId {
        let id = ListenerId(self.next_listener);
        self.next_listener += 1;
        let handler: Handler = Box::new(move |state, event, core| {
            let Some(event) = event.downcast_ref::<E>() else { return Ok(Verdict::Continue) };
            handler(own(state)?, event, core).verdict()
        });
        let owner = self.current;
        let source = source.into();
        let key = (source, TypeId::of::<E>());
        let list = Rc::make_mut(self.listeners.entry(key.clone()).or_default());
        if list.len() >= LISTENERS_MAX {
            crate::error!(self, "more than {LISTENERS_MAX} listeners for {} of {}", type_name::<E>(), key.0);
            return id;
        }
        let place = list.partition_point(|other| other.how.priority >= how.priority);
        list.insert(place, Rc::new(Listener { id, owner, how, alive: Cell::new(true), handler }));
        self.sources.insert(id, key);
        id
    }

    /// Stops listening; `false` where that was so already.
    pub fn unlisten(&mut self, id: ListenerId) -> bool {
        let Some(key) = self.sources.remove(&id) else { return false };
        let Some(list) = self.listeners.get_mut(&key) else { return false };
        let Some(place) = list.iter().position(|listener| listener.id == id) else { return false };
        let listener = Rc::make_mut(list).remove(place);
        listener.alive.set(false);
        if list.is_empty() {
            self.listeners.remove(&key);
        }
        true
    }

    /// Forgets who listened to a source that is gone.
    pub(crate) fn unlisten_all(&mut self, source: &Source) {
        self.listeners.retain(|(other, _), _| other != source);
        self.sources.retain(|_, (other, _)| other != source);
    }

    /// Whether anybody listens to that kind of event there.
    #[must_use]
    pub fn is_heard<E: Event>(&self, source: &Source) -> bool {
        self.listeners.contains_key(&(source.clone(), TypeId::of::<E>()))
    }

    /// Raises an event of the component that acts; its listeners see it once the present event is done.
    pub fn raise<E: Event>(&mut self, event: E) {
        let source = match self.current {
            ComponentId::OUTSIDE => Source::Core,
            _ => Source::Component(self.me()),
        };
        self.raise_from(source, event);
    }

    /// Raises an event somewhere else: of all switches ([`OPENFLOW`](crate::OPENFLOW)), of one connection.
    pub fn raise_from<E: Event>(&mut self, source: impl Into<Source>, event: E) {
        self.counters.raised += 1;
        if self.raised.len() >= EVENTS_MAX {
            self.counters.lost += 1;
            return;
        }
        self.raised.push_back(Raised::Event(source.into(), Box::new(event)));
    }

    /// Raises an event of the component that acts, now, and gives it back: for questions, whose listeners answer into a
    /// [`Cell`] of it. The one that asks is not asked.
    pub fn ask<E: Event>(&mut self, event: E) -> E {
        let source = match self.current {
            ComponentId::OUTSIDE => Source::Core,
            _ => Source::Component(self.me()),
        };
        self.dispatch(source, &event);
        event
    }

    /// Shows an event to the listeners of a source; tells whether one halted it.
    pub(crate) fn dispatch<E: Event>(&mut self, source: Source, event: &E) -> bool {
        self.dispatch_any(&(source, TypeId::of::<E>()), event)
    }

    fn dispatch_any(&mut self, key: &Key, event: &dyn Any) -> bool {
        let Some(list) = self.listeners.get(key) else { return false };
        let list = Rc::clone(list); // a listener may change it; those who came later wait for the next event
        for listener in list.iter().filter(|listener| listener.alive.get()) {
            if self.slots[listener.owner.0 as usize].state.is_none() {
                self.counters.busy += 1;
                continue;
            }
            if listener.how.once {
                listener.alive.set(false);
            }
            let verdict = self
                .act(listener.owner, |state, core| (listener.handler)(state, event, core))
                .unwrap_or_default();
            if listener.how.once || verdict.removes() {
                self.unlisten(listener.id);
            }
            if verdict.halts() {
                return true;
            }
        }
        false
    }

    /// Handles what was raised, in order; what that raises too, within [`CASCADE_MAX`].
    pub(crate) fn settle(&mut self) {
        for _ in 0..CASCADE_MAX {
            match self.raised.pop_front() {
                Some(Raised::Event(source, event)) => {
                    let kind = (*event).type_id();
                    self.dispatch_any(&(source, kind), &*event);
                }
                Some(Raised::Ready(owner, ready)) => {
                    // What it failed of is counted and logged.
                    let _ = self.act(owner, ready);
                }
                None => return,
            }
        }
    }

    /// Whether events wait that one turn did not get to.
    pub(crate) fn is_unsettled(&self) -> bool {
        !self.raised.is_empty()
    }

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

/// Time.
impl Core {
    /// The time, since the start that all of it is counted from.
    #[must_use]
    pub fn now(&self) -> Duration {
        self.now
    }

    /// Acts after a while: `core.after(Duration::from_secs(1), |this: &mut Self, core: &mut Core| …)`.
    pub fn after<C: Component, O: Outcome>(
        &mut self,
        delay: Duration,
        action: impl FnOnce(&mut C, &mut Self) -> O + 'static,
    ) -> TimerId {
        let mut action = Some(action);
        self.set_timer(
            self.current,
            delay,
            None,
            Box::new(move |state, core| match action.take() {
                Some(action) => action(own(state)?, core).verdict(),
                None => Ok(Verdict::Continue),
            }),
        )
    }

    /// Acts again and again, first after one period, until it says [`Verdict::Remove`] or is cancelled. Turns that were missed
    /// are not made up for.
    pub fn every<C: Component, O: Outcome>(
        &mut self,
        period: Duration,
        mut action: impl FnMut(&mut C, &mut Self) -> O + 'static,
    ) -> TimerId {
        let period = period.max(DELAY_MIN);
        let action =
            Box::new(move |state: &mut dyn Component, core: &mut Self| action(own(state)?, core).verdict());
        self.set_timer(self.current, period, Some(period), action)
    }

    /// Stops a timer; `false` where it has fired, was cancelled, or is what acts.
    pub fn cancel(&mut self, timer: TimerId) -> bool {
        self.timers.cancel(timer)
    }

    fn set_timer(
        &mut self,
        owner: ComponentId,
        delay: Duration,
        period: Option<Duration>,
        action: crate::timer::Action,
    ) -> TimerId {
        let deadline = self.now.saturating_add(delay.max(DELAY_MIN));
        if let Some(id) = self.timers.add(Timer { owner, deadline, period, action }) {
            return id;
        }
        crate::error!(self, "more than {} timers: one is lost", crate::timer::TIMERS_MAX);
        TimerId::NONE
    }

    /// Fires what is due.
    pub(crate) fn fire(&mut self) {
        // Ends: whatever a timer sets is due later than now.
        while let Some((id, mut timer)) = self.timers.pop(self.now) {
            let verdict =
                self.act(timer.owner, |state, core| (timer.action)(state, core)).unwrap_or_default();
            if let Some(period) = timer.period
                && !verdict.removes()
                && !self.slots[timer.owner.0 as usize].gone
            {
                let next = timer.deadline + period;
                timer.deadline = if next > self.now { next } else { self.now + period };
                self.timers.put(id, timer);
            }
            self.settle();
        }
    }

    pub(crate) fn next_timer(&self) -> Option<Duration> {
        self.timers.next_deadline()
    }

    /// Timers that wait.
    #[must_use]
    pub fn timers(&self) -> usize {
        self.timers.len()
    }

    /// How far the controller has come.
    #[must_use]
    pub fn phase(&self) -> Phase {
        self.phase
    }

    /// Ends the controller, once the present event is done.
    pub fn quit(&mut self) {
        self.outputs.push_back(Output::Quit);
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
