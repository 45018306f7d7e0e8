//! Requests that wait for their replies.

use std::collections::{BTreeSet, HashMap};
use std::time::Duration;

use crate::message::{Body, Error};
use crate::multipart::{Reply, Request};
use crate::nicira;

/// Requests of a connection that wait at the same time.
pub const REQUESTS_MAX: usize = 4096;

/// What has become of a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer {
    /// The reply; a multipart one is whole.
    Reply(Body),
    /// The peer refuses it.
    Failed(Error),
    /// A reply in more parts than are put together (see [`ASSEMBLY_BYTES_MAX`](super::ASSEMBLY_BYTES_MAX)), or whose parts do
    /// not fit together.
    TooLong,
    /// No reply came in time.
    TimedOut,
}

/// The requests of a connection.
#[derive(Debug, Default)]
pub(super) struct Requests {
    waiting: HashMap<u32, Waiting>,
    due: BTreeSet<(Duration, u32)>,
}

#[derive(Debug)]
struct Waiting {
    due: Duration,
    wants: Wants,
}

/// What kind of message answers a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Wants {
    Echo,
    Features,
    Config,
    Barrier,
    QueueConfig,
    Role,
    Async,
    NiciraRole,
    Multipart(u8),
    Experimenter(u32),
}

impl Requests {
    /// Waits for the answer to `body` until `due`. `false` if there are too many already, or nothing answers it.
    pub(super) fn add(&mut self, xid: u32, body: &Body, due: Duration) -> bool {
        let Some(wants) = wants(body) else { return false };
        if self.is_full() || self.waiting.contains_key(&xid) {
            return false;
        }
        self.waiting.insert(xid, Waiting { due, wants });
        self.due.insert((due, xid));
        true
    }

    pub(super) fn is_full(&self) -> bool {
        self.waiting.len() >= REQUESTS_MAX
    }

    pub(super) fn has(&self, xid: u32) -> bool {
        !self.waiting.is_empty() && self.waiting.contains_key(&xid)
    }

    /// Whether that message answers a request, which then waits no more.
    pub(super) fn answered(&mut self, xid: u32, body: &Body) -> bool {
        if self.waiting.is_empty() {
            return false;
        }
        let fits = match self.waiting.get(&xid) {
            Some(waiting) => matches!(body, Body::Error(_)) || gives(body) == Some(waiting.wants),
            None => false,
        };
        fits && self.forget(xid)
    }

    pub(super) fn forget(&mut self, xid: u32) -> bool {
        let gone = self.waiting.remove(&xid);
        if let Some(waiting) = &gone {
            self.due.remove(&(waiting.due, xid));
        }
        gone.is_some()
    }

    /// One that has waited too long, which then waits no more.
    pub(super) fn expired(&mut self, now: Duration) -> Option<u32> {
        let &(due, xid) = self.due.first()?;
        (due <= now && self.forget(xid)).then_some(xid)
    }

    /// When the first has waited too long.
    pub(super) fn next_deadline(&self) -> Option<Duration> {
        self.due.first().map(|&(due, _)| due)
    }
}

/// What answers a request; `None` for what nothing answers.
fn wants(body: &Body) -> Option<Wants> {
    Some(match body {
        Body::EchoRequest(_) => Wants::Echo,
        Body::FeaturesRequest => Wants::Features,
        Body::GetConfigRequest => Wants::Config,
        Body::BarrierRequest => Wants::Barrier,
        Body::QueueGetConfigRequest(_) => Wants::QueueConfig,
        Body::RoleRequest(_) => Wants::Role,
        Body::GetAsyncRequest => Wants::Async,
        Body::Nicira(nicira::Message::RoleRequest(_)) => Wants::NiciraRole,
        Body::MultipartRequest(request) => Wants::Multipart(match &request.body {
            Request::Description => 0,
            Request::Flow(_) => 1,
            Request::Aggregate(_) => 2,
            Request::Table => 3,
            Request::Port(_) => 4,
            Request::Queue { .. } => 5,
            Request::Group(_) => 6,
            Request::GroupDescription => 7,
            Request::GroupFeatures => 8,
            Request::Meter(_) => 9,
            Request::MeterConfig(_) => 10,
            Request::MeterFeatures => 11,
            Request::TableFeatures(_) => 12,
            Request::PortDescription => 13,
            Request::FlowMonitor(_) | Request::Nicira(_) | Request::Experimenter { .. } => u8::MAX,
        }),
        Body::Experimenter { experimenter, .. } => Wants::Experimenter(*experimenter),
        _ => return None,
    })
}

/// What a message may be an answer to.
fn gives(body: &Body) -> Option<Wants> {
    Some(match body {
        Body::EchoReply(_) => Wants::Echo,
        Body::FeaturesReply(_) => Wants::Features,
        Body::GetConfigReply(_) => Wants::Config,
        Body::BarrierReply => Wants::Barrier,
        Body::QueueGetConfigReply { .. } => Wants::QueueConfig,
        Body::RoleReply(_) => Wants::Role,
        Body::GetAsyncReply(_) => Wants::Async,
        Body::Nicira(nicira::Message::RoleReply(_)) => Wants::NiciraRole,
        Body::MultipartReply(reply) => Wants::Multipart(match &reply.body {
            Reply::Description(_) => 0,
            Reply::Flow(_) => 1,
            Reply::Aggregate(_) => 2,
            Reply::Table(_) => 3,
            Reply::Port(_) => 4,
            Reply::Queue(_) => 5,
            Reply::Group(_) => 6,
            Reply::GroupDescription(_) => 7,
            Reply::GroupFeatures(_) => 8,
            Reply::Meter(_) => 9,
            Reply::MeterConfig(_) => 10,
            Reply::MeterFeatures(_) => 11,
            Reply::TableFeatures(_) => 12,
            Reply::PortDescription(_) => 13,
            Reply::FlowMonitor(_) | Reply::Nicira(_) | Reply::Experimenter { .. } => u8::MAX,
        }),
        Body::Experimenter { experimenter, .. } => Wants::Experimenter(*experimenter),
        _ => return None,
    })
}
