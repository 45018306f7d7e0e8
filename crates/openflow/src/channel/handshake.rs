//! What a controller asks before a switch can be used: features, then ports (1.3), then that all before is done.

use std::collections::VecDeque;

use super::{Config, Down, EARLY_MAX, Outbox};
use crate::Version;
use crate::message::{Body, Features, Message};
use crate::multipart::{MORE, MultipartReply, MultipartRequest, Reply, Request};
use crate::port::Port;

/// Ports of a switch that a handshake keeps.
const PORTS_MAX: usize = 65_536;

/// Where the handshake stands.
#[derive(Debug)]
pub(super) struct Handshake {
    version: Version,
    waits: Waits,
    /// The transaction that is waited for.
    xid: u32,
    features: Box<Features>,
    /// What came meanwhile.
    early: VecDeque<Message>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Waits {
    Features,
    Ports,
    Barrier,
}

/// What a message has done to a handshake.
pub(super) enum Progress {
    /// It goes on.
    More,
    /// A packet-in: nobody is there yet to take it.
    PacketInDropped,
    /// Too many messages that do not belong to it.
    Dropped,
    /// It will not succeed.
    Failed(Down),
    /// It is over; what came meanwhile.
    Up { features: Box<Features>, early: VecDeque<Message> },
}

impl Handshake {
    pub(super) fn begin(version: Version, config: &Config, outbox: &mut Outbox) -> Self {
        let xid = ask(outbox, Body::FeaturesRequest);
        if let Some(config) = config.set_config {
            ask(outbox, Body::SetConfig(config));
        }
        Self { version, waits: Waits::Features, xid, features: Box::default(), early: VecDeque::new() }
    }

    /// What it waits for.
    pub(super) fn step(&self) -> &'static str {
        match self.waits {
            Waits::Features => "features",
            Waits::Ports => "ports",
            Waits::Barrier => "barrier",
        }
    }

    pub(super) fn handle(&mut self, message: Message, outbox: &mut Outbox) -> Progress {
        if message.xid != self.xid {
            return self.keep(message);
        }
        match (self.waits, message.body) {
            (Waits::Features, Body::FeaturesReply(features)) => {
                *self.features = features;
                (self.waits, self.xid) = match self.version {
                    Version::V10 => (Waits::Barrier, ask(outbox, Body::BarrierRequest)),
                    Version::V13 => {
                        let request = MultipartRequest { flags: 0, body: Request::PortDescription };
                        (Waits::Ports, ask(outbox, Body::MultipartRequest(request)))
                    }
                };
                Progress::More
            }
            (
                Waits::Ports,
                Body::MultipartReply(MultipartReply { flags, body: Reply::PortDescription(ports) }),
            ) => {
                if flags & MORE == 0 {
                    (self.waits, self.xid) = (Waits::Barrier, ask(outbox, Body::BarrierRequest));
                }
                self.add(ports)
            }
            (Waits::Features, Body::Error(error)) => {
                Progress::Failed(Down::HandshakeError { step: self.step(), code: error.code })
            }
            // It does not say what ports it has.
            (Waits::Ports, Body::Error(_)) => {
                (self.waits, self.xid) = (Waits::Barrier, ask(outbox, Body::BarrierRequest));
                Progress::More
            }
            // One that knows no barriers has seen ours, and so all before it.
            (Waits::Barrier, Body::BarrierReply | Body::Error(_)) => Progress::Up {
                features: std::mem::take(&mut self.features),
                early: std::mem::take(&mut self.early),
            },
            (_, body) => self.keep(Message { xid: message.xid, body }),
        }
    }

    fn add(&mut self, ports: Vec<Port>) -> Progress {
        let room = PORTS_MAX.saturating_sub(self.features.ports.len());
        let fits = ports.len() <= room;
        self.features.ports.extend(ports.into_iter().take(room));
        if fits { Progress::More } else { Progress::Dropped }
    }

    fn keep(&mut self, message: Message) -> Progress {
        if matches!(message.body, Body::PacketIn(_)) {
            return Progress::PacketInDropped;
        }
        if self.early.len() >= EARLY_MAX {
            return Progress::Dropped;
        }
        self.early.push_back(message);
        Progress::More
    }
}

/// Asks, and says under which transaction. An outbox with no room ends the channel by itself.
fn ask(outbox: &mut Outbox, body: Body) -> u32 {
    let message = Message::new(outbox.next_xid(), body);
    let _ = outbox.send(&message);
    message.xid
}
