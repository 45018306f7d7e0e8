//! Events: who listens to what, and in what order they are asked.

use std::any::{Any, TypeId, type_name};
use std::cell::Cell;
use std::rc::Rc;

use super::{CASCADE_MAX, Core, EVENTS_MAX, Handler, Key, LISTENERS_MAX, Listener, Raised, own};
use crate::component::{Component, ComponentId};
use crate::event::{Event, Listen, ListenerId, Outcome, Source, Verdict};

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
}
