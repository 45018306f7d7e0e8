//! Components by name: registered, found, called, waited for.

use std::any::{Any, type_name};
use std::rc::Rc;

use super::{Core, Counters, Listener, Raised, Ready, Waiting, own};
use crate::component::{COMPONENTS_MAX, CallError, Component, ComponentId, Health, RegisterError, Slot};
use crate::event::{ComponentRegistered, ListenerId, Outcome, Result, Source, Verdict};

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
