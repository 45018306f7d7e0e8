//! The controller as a machine without sockets and clocks: inputs and the time go in, messages and the next deadline come out.

use std::time::Duration;

use openflow::Version;
use openflow::message::{Features, Message};

use crate::core::Phase;
use crate::event::{Down, GoingDown, GoingUp, Source, Up};
use crate::nexus::{Connection, ConnectionId, PacketIn};
use crate::{Core, Endpoint};

/// What comes from outside.
#[derive(Debug)]
pub enum Input {
    /// Everything is registered: go up.
    Start,
    /// A message came; a reply in parts is put together already.
    Message {
        /// Where from.
        connection: ConnectionId,
        /// What it is.
        message: Message,
    },
    /// A packet-in came, read from its bytes: the short way for what comes most often. [`Controller::spare_packet_in`] gives an
    /// event to fill.
    PacketIn {
        /// Where from.
        connection: ConnectionId,
        /// What it is; connection and datapath are filled in.
        packet_in: PacketIn,
    },
    /// A message that came out could not be encoded.
    Unsaid {
        /// Where it was for.
        connection: ConnectionId,
        /// Its transaction.
        xid: u32,
        /// Why.
        problem: String,
    },
    /// A channel is closed.
    Disconnected {
        /// Which.
        connection: ConnectionId,
        /// Why.
        reason: String,
    },
    /// Time has passed, or other threads have handed in work.
    Time,
    /// Go down.
    Stop,
}

/// What is to be done outside.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Output {
    /// Send a message.
    Message {
        /// Where.
        connection: ConnectionId,
        /// What.
        message: Message,
    },
    /// Close a channel. Its [`Input::Disconnected`] follows where it was open.
    Close {
        /// Which.
        connection: ConnectionId,
        /// Why.
        reason: String,
    },
    /// Wait for switches there.
    Listen(Endpoint),
    /// Call a switch that waits there, again and again.
    Dial(Endpoint),
    /// End.
    Quit,
}

/// The controller: a [`Core`] and its turns.
#[derive(Default)]
pub struct Controller {
    core: Core,
}

impl Controller {
    /// A controller without components.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// What its components see.
    #[must_use]
    pub fn core(&self) -> &Core {
        &self.core
    }

    /// What its components see, to register some.
    pub fn core_mut(&mut self) -> &mut Core {
        &mut self.core
    }

    /// A channel is up: both sides have said hello, the switch has told its features and ports. Whoever calls numbers it.
    pub fn connected(
        &mut self,
        now: Duration,
        connection: ConnectionId,
        version: Version,
        features: Features,
        peer: &str,
    ) {
        self.pass(now);
        self.core.connected(connection, version, features, peer);
        self.core.settle();
    }

    /// An event for [`Input::PacketIn`], with the buffer of the last one.
    pub fn spare_packet_in(&mut self) -> PacketIn {
        self.core.spare_packet_in()
    }

    /// Takes in what has happened.
    pub fn handle(&mut self, now: Duration, input: Input) {
        self.pass(now);
        match input {
            Input::Message { connection, message } => self.core.received(connection, message),
            Input::PacketIn { connection, packet_in } => self.core.packet_in(connection, packet_in),
            Input::Start => self.start(),
            Input::Unsaid { connection, xid, problem } => self.core.unsaid(connection, xid, &problem),
            Input::Disconnected { connection, reason } => self.core.disconnected(connection, &reason),
            Input::Time => {
                self.core.do_jobs();
                self.core.fire();
                self.core.expire_requests();
            }
            Input::Stop => self.stop(),
        }
        self.core.settle();
    }

    /// Time does not go back.
    fn pass(&mut self, now: Duration) {
        self.core.now = self.core.now.max(now);
    }

    fn start(&mut self) {
        if self.core.phase != Phase::Starting {
            return;
        }
        self.core.settle();
        self.core.dispatch(Source::Core, &GoingUp);
        self.core.settle();
        self.core.phase = Phase::Up;
        for (who, names) in self.core.missing() {
            let names: Vec<&str> = names.iter().map(|name| &**name).collect();
            crate::warning!(self.core, "{who} waits for {}, which nobody has launched", names.join(", "));
        }
        self.core.dispatch(Source::Core, &Up);
    }

    fn stop(&mut self) {
        if self.core.phase >= Phase::GoingDown {
            return;
        }
        self.core.phase = Phase::GoingDown;
        self.core.dispatch(Source::Core, &GoingDown);
        self.core.settle();
        let connections: Vec<ConnectionId> = self.core.connections().map(Connection::id).collect();
        for connection in connections {
            self.core.disconnect(connection, "the controller goes down");
            self.core.disconnected(connection, "the controller goes down");
        }
        self.core.phase = Phase::Down;
        self.core.dispatch(Source::Core, &Down);
    }

    /// What is to be done outside, in order.
    pub fn poll_output(&mut self) -> Option<Output> {
        self.core.outputs.pop_front()
    }

    /// When [`Input::Time`] is due.
    #[must_use]
    pub fn next_deadline(&self) -> Option<Duration> {
        if self.core.is_unsettled() {
            return Some(self.core.now);
        }
        let timer = self.core.next_timer();
        let request = self.core.nexus.deadlines.front().map(|(deadline, ..)| *deadline);
        [timer, request].into_iter().flatten().min()
    }

    /// What to call when another thread has handed in work; [`Input::Time`] does it. Only the first counts.
    pub fn on_job(&self, wake: impl Fn() + Send + Sync + 'static) {
        self.core.inbox.on_job(wake);
    }
}
