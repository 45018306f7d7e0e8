//! Requests and their replies, by transaction; statistics that come in parts; changes that a switch makes or refuses.

use std::cell::RefCell;
use std::rc::Rc;
use std::time::Duration;

use openflow::Version;
use openflow::message::{self, Body};
use openflow::multipart::{MultipartRequest, Reply, Request};
use thiserror::Error;

use super::connection::Stage;
use super::{Connection, ConnectionId, IntoBody, Nexus, SendError, To};
use crate::component::ComponentId;
use crate::event::{Error, Outcome, Result, Verdict};
use crate::{Component, Core};

/// Requests of one connection that may wait for an answer.
pub const REQUESTS_MAX: usize = 1 << 15;
/// How long an answer may take.
pub const REQUEST_TIMEOUT: Duration = Duration::from_secs(30);
/// Requests whose time is kept; those that are answered are left out when there are so many.
const DEADLINES_MAX: usize = 1 << 16;

/// Why there is no answer.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum RequestError {
    /// The switch refused.
    #[error("the switch refused it: {0:?}")]
    Refused(message::Error),
    /// The connection ended first.
    #[error("the connection ended before the answer came")]
    Down,
    /// [`REQUEST_TIMEOUT`].
    #[error("no answer within {} s", REQUEST_TIMEOUT.as_secs())]
    Timeout,
    /// It cannot be said in the switch's version.
    #[error("not sent: {0}")]
    Unsaid(String),
}

impl RequestError {
    /// What it says, with the name that an error has in the switch's version.
    #[must_use]
    pub fn text(&self, version: Version) -> String {
        match self {
            Self::Refused(error) => match error.code.fault(version) {
                Some(fault) => format!("the switch refused it: {fault}"),
                None => format!("the switch refused it: type {} code {}", error.code.kind, error.code.code),
            },
            other => other.to_string(),
        }
    }
}

/// What a request led to: the reply's body, all parts of a multipart reply in one.
pub type Answer = std::result::Result<Body, RequestError>;
type Then = Box<dyn FnOnce(&mut dyn Component, Answer, &mut Core) -> Result<Verdict>>;

/// Who waits for an answer.
pub(crate) struct Pending {
    pub(crate) owner: ComponentId,
    then: Then,
}

/// Requests.
impl Core {
    /// Sends a request; the handler is called with the answer, or with why there is none. Exactly once.
    ///
    /// # Errors
    /// A switch that is not connected, more than [`REQUESTS_MAX`] waiting.
    pub fn request<C: Component, O: Outcome>(
        &mut self,
        to: impl Into<To>,
        body: impl IntoBody,
        then: impl FnOnce(&mut C, Answer, &mut Self) -> O + 'static,
    ) -> Result<u32, SendError> {
        let connection = self.resolve(to)?;
        if self.nexus.get(connection).is_some_and(|connection| connection.requests.len() >= REQUESTS_MAX) {
            return Err(SendError::TooManyRequests);
        }
        let owner = self.acting();
        let xid = self.send(connection, body)?;
        let then: Then =
            Box::new(move |state, answer, core| then(crate::core::own(state)?, answer, core).verdict());
        if let Some(connection) = self.nexus.get_mut(connection) {
            connection.requests.insert(xid, Pending { owner, then });
        }
        self.keep_time(connection, xid);
        Ok(xid)
    }

    /// Notes when the time of a request is over.
    pub(crate) fn keep_time(&mut self, connection: ConnectionId, xid: u32) {
        let deadline = self.now.saturating_add(REQUEST_TIMEOUT);
        self.nexus.deadlines.push_back((deadline, connection, xid));
        if self.nexus.deadlines.len() > self.nexus.deadlines_kept.max(DEADLINES_MAX) {
            let Nexus { connections, deadlines, .. } = &mut self.nexus;
            deadlines.retain(|(_, id, xid)| {
                connections.get(id).is_some_and(|connection| connection.waits_for(*xid))
            });
            self.nexus.deadlines_kept = 2 * self.nexus.deadlines.len();
        }
    }

    /// Calls the handler once the switch has done everything sent before.
    ///
    /// # Errors
    /// As [`Core::request`].
    pub fn barrier<C: Component, O: Outcome>(
        &mut self,
        to: impl Into<To>,
        then: impl FnOnce(&mut C, Result<(), RequestError>, &mut Self) -> O + 'static,
    ) -> Result<u32, SendError> {
        self.request(to, Body::BarrierRequest, |this: &mut C, answer, core| {
            then(this, answer.map(|_| ()), core)
        })
    }

    /// Sends changes, and calls the handler once the switch has made them all, or with what it said of the first that it did not
    /// make.
    ///
    /// # Errors
    /// As [`Core::request`]. What was sent before is changed.
    pub fn apply<C: Component, O: Outcome>(
        &mut self,
        to: impl Into<To>,
        changes: impl IntoIterator<Item = impl IntoBody>,
        then: impl FnOnce(&mut C, Result<(), RequestError>, &mut Self) -> O + 'static,
    ) -> Result<(), SendError> {
        let connection = self.resolve(to)?;
        let refusal: Rc<RefCell<Option<RequestError>>> = Rc::default();
        let mut sent = Vec::new();
        let mut outcome = Ok(());
        for change in changes {
            let refusal = Rc::clone(&refusal);
            let note = move |_: &mut C, answer: Answer, _: &mut Self| {
                if let Err(error) = answer {
                    refusal.borrow_mut().get_or_insert(error);
                }
            };
            match self.request(connection, change, note) {
                Ok(xid) => sent.push(xid),
                Err(error) => outcome = Err(error),
            }
            if outcome.is_err() {
                break;
            }
        }
        let sent: Rc<[u32]> = sent.into();
        if outcome.is_ok() {
            let sent = Rc::clone(&sent);
            let done = move |this: &mut C, done, core: &mut Self| {
                core.withdraw(connection, &sent);
                let refusal = refusal.borrow_mut().take();
                then(this, refusal.map_or(done, Err), core)
            };
            outcome = self.barrier(connection, done).map(|_| ());
        }
        if outcome.is_err() {
            self.withdraw(connection, &sent);
        }
        outcome
    }

    /// Waits no longer for answers to those requests.
    fn withdraw(&mut self, connection: ConnectionId, requests: &[u32]) {
        if let Some(connection) = self.nexus.get_mut(connection) {
            for xid in requests {
                connection.requests.remove(xid);
            }
        }
    }

    /// Asks for statistics or a description; the handler gets all parts in one.
    ///
    /// # Errors
    /// As [`Core::request`].
    pub fn statistics<C: Component, O: Outcome>(
        &mut self,
        to: impl Into<To>,
        request: Request,
        then: impl FnOnce(&mut C, Result<Reply, RequestError>, &mut Self) -> O + 'static,
    ) -> Result<u32, SendError> {
        let body = Body::MultipartRequest(MultipartRequest { flags: 0, body: request });
        self.request(to, body, |this: &mut C, answer, core| match answer {
            Ok(Body::MultipartReply(reply)) => then(this, Ok(reply.body), core).verdict(),
            Ok(other) => Err(Error::from(format!("statistics were answered by {other:?}"))),
            Err(error) => then(this, Err(error), core).verdict(),
        })
    }

    /// Gives an answer to whoever waits for it; hands it back where nobody does.
    pub(crate) fn answer(&mut self, connection: ConnectionId, xid: u32, answer: Answer) -> Option<Answer> {
        let pending = self.nexus.get_mut(connection).and_then(|connection| connection.requests.remove(&xid));
        let Some(Pending { owner, then }) = pending else { return Some(answer) };
        // A failure of it is counted and logged.
        let _ = self.act(owner, |state, core| then(state, answer, core));
        None
    }

    /// Tells everybody who still waits on a connection that it is down.
    pub(crate) fn answer_all_down(&mut self, mut connection: Connection) {
        let mut pending: Vec<(u32, Pending)> = connection.requests.drain().collect();
        pending.sort_unstable_by_key(|(xid, _)| *xid);
        for (_, Pending { owner, then }) in pending {
            let _ = self.act(owner, |state, core| then(state, Err(RequestError::Down), core));
        }
    }

    /// Ends requests whose time is over.
    pub(crate) fn expire_requests(&mut self) {
        while let Some(&(deadline, id, xid)) = self.nexus.deadlines.front() {
            let stage = self
                .nexus
                .get(id)
                .filter(|connection| connection.waits_for(xid))
                .map(|connection| connection.stage);
            if stage.is_some() && deadline > self.now {
                return;
            }
            self.nexus.deadlines.pop_front();
            match stage {
                None => {}
                Some(Stage::Ordering(barrier)) if barrier == xid => {
                    self.disconnect(
                        id,
                        format!("no answer to its first barrier within {} s", REQUEST_TIMEOUT.as_secs()),
                    );
                }
                Some(_) => {
                    self.answer(id, xid, Err(RequestError::Timeout));
                }
            }
        }
    }
}
