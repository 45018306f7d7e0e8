//! The controller on sockets: one thread, real time.
//!
//! ```no_run
//! use pox::{Controller, Launcher, launch, live::Live};
//!
//! let mut controller = Controller::new();
//! let lines = launch::with_listener(launch::read_words(["forwarding.l2_learning"])?);
//! Launcher::stock().launch(controller.core_mut(), &lines)?;
//! Live::new(controller)?.run()?; // until a component says quit
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use openflow::channel::{self, Config, Down, Event, Up};
use openflow::live::{
    Handler, Hub, HubConfig, LinkError, Links, Side, Target, Tls, TlsError, TlsFiles, TlsIdentity,
};
use thiserror::Error;

use crate::controller::{Controller, Input, Output};
use crate::edge;
use crate::endpoint::Endpoint;
use crate::nexus::{CONNECTIONS_MAX, ConnectionId};
use crate::remote::Remote;

/// Why the controller does not run.
#[derive(Debug, Error)]
pub enum LiveError {
    /// The system gives no poll, or it fails.
    #[error("no sockets can be waited for: {0}")]
    Poll(#[from] io::Error),
    /// It cannot wait for switches where it should.
    #[error("switches cannot be waited for at {endpoint}: {error}")]
    Listen {
        /// Where.
        endpoint: String,
        /// Why.
        error: Box<LinkError>,
    },
    /// The files that prove who we are are no good.
    #[error(transparent)]
    Tls(#[from] TlsError),
    /// One process shows one certificate.
    #[error("two endpoints have different keys and certificates: one process shows one")]
    TwoIdentities,
}

/// A controller that runs.
pub struct Live {
    hub: Hub<Edge>,
}

/// Between the hub and the controller.
struct Edge {
    controller: Controller,
    listening: Vec<SocketAddr>,
    failure: Option<LiveError>,
    ended: bool,
}

impl Live {
    /// Goes up: components are told so, and switches are waited for wherever they say.
    ///
    /// # Errors
    /// An address that is taken, files that are no good, no descriptors.
    pub fn new(mut controller: Controller) -> Result<Self, LiveError> {
        controller.handle(Duration::ZERO, Input::Start);
        let outputs: Vec<Output> = std::iter::from_fn(|| controller.poll_output()).collect();
        let mut files: Vec<_> = outputs
            .iter()
            .filter_map(|output| match output {
                Output::Listen(endpoint) | Output::Dial(endpoint) => endpoint.tls.clone(),
                _ => None,
            })
            .collect();
        files.dedup();
        let tls = match &files[..] {
            [] => None,
            [files] => Some(TlsIdentity::read(&TlsFiles {
                private_key: files.private_key.clone(),
                certificate: files.certificate.clone(),
                ca: files.ca_certificate.clone(),
            })?),
            _ => return Err(LiveError::TwoIdentities),
        };
        let edge = Edge { controller, listening: Vec::new(), failure: None, ended: false };
        let mut hub = Hub::new(edge, HubConfig { connections_max: CONNECTIONS_MAX, tls })?;
        let waker = hub.waker();
        hub.handler().controller.on_job(move || waker.wake());
        hub.with(|edge, links| {
            outputs.into_iter().for_each(|output| edge.put_out(links, output));
            edge.drain(links);
        });
        let mut live = Self { hub };
        live.fail()?;
        Ok(live)
    }

    fn fail(&mut self) -> Result<(), LiveError> {
        self.hub.handler().failure.take().map_or(Ok(()), Err)
    }

    /// Where switches are waited for.
    pub fn listening(&mut self) -> &[SocketAddr] {
        &self.hub.handler().listening
    }

    /// A hand into the core for other threads: `remote.post(|core| core.quit())` ends it.
    pub fn remote(&mut self) -> Remote {
        self.hub.handler().controller.core().remote()
    }

    /// The controller, between turns.
    pub fn controller(&mut self) -> &mut Controller {
        &mut self.hub.handler().controller
    }

    /// Runs until a component, or a [`Remote`], says quit.
    ///
    /// # Errors
    /// The poll fails; it is told to wait for switches where it cannot.
    pub fn run(&mut self) -> Result<(), LiveError> {
        while !self.hub.handler().ended {
            self.turn(None)?;
        }
        // What was said last still goes out.
        self.turn(Some(Duration::ZERO))
    }

    /// Waits until there is something to do, `wait` at most, and does it.
    ///
    /// # Errors
    /// As [`Live::run`].
    pub fn turn(&mut self, wait: Option<Duration>) -> Result<(), LiveError> {
        self.hub.turn(wait)?;
        self.fail()
    }
}

impl Edge {
    /// Does what the controller wants done.
    fn drain(&mut self, links: &mut Links<'_>) {
        while let Some(output) = self.controller.poll_output() {
            self.put_out(links, output);
        }
    }

    fn put_out(&mut self, links: &mut Links<'_>, output: Output) {
        match output {
            Output::Message { connection, message } => {
                if let Err(error) = links.send(channel::ConnectionId(connection.0), &message) {
                    let (xid, problem) = (message.xid, error.to_string());
                    self.controller.handle(links.now(), Input::Unsaid { connection, xid, problem });
                }
            }
            Output::Close { connection, reason } => links.close(channel::ConnectionId(connection.0), &reason),
            Output::Listen(endpoint) => self.listen(links, &endpoint),
            Output::Dial(endpoint) => {
                let target = Target::Dial(endpoint.address, tls(&endpoint));
                if let Err(error) = links.dial(&target, Side::Controller(Config::default())) {
                    crate::error!(self.controller.core_mut(), "{endpoint} cannot be called: {error}");
                }
            }
            Output::Quit => {
                self.controller.handle(links.now(), Input::Stop);
                self.ended = true;
                links.stop();
            }
        }
    }

    fn listen(&mut self, links: &mut Links<'_>, endpoint: &Endpoint) {
        let target = Target::Listen(endpoint.address, tls(endpoint));
        match links.listen(&target, Side::Controller(Config::default())) {
            Ok(Target::Listen(address, _)) => {
                let bound = Endpoint { address, ..endpoint.clone() };
                crate::info!(self.controller.core_mut(), "listens at {bound}");
                self.listening.push(address);
            }
            Ok(_) => {}
            Err(error) if endpoint.optional => {
                crate::warning!(
                    self.controller.core_mut(),
                    "does not wait for switches at {endpoint}: {error}"
                );
            }
            Err(error) => {
                self.failure.get_or_insert(LiveError::Listen {
                    endpoint: endpoint.to_string(),
                    error: Box::new(error),
                });
            }
        }
    }
}

fn tls(endpoint: &Endpoint) -> Tls {
    if endpoint.tls.is_some() { Tls::Yes } else { Tls::No }
}

impl Handler for Edge {
    fn connected(&mut self, links: &mut Links<'_>, id: channel::ConnectionId, up: Up) {
        let peer = links.peer(id).unwrap_or_default().to_owned();
        let features = up.features.map(|features| *features).unwrap_or_default();
        self.controller.connected(links.now(), ConnectionId(id.0), up.version, features, &peer);
        self.drain(links);
    }

    fn event(&mut self, links: &mut Links<'_>, id: channel::ConnectionId, event: Event<'_>) {
        edge::hand_in(&mut self.controller, links.now(), ConnectionId(id.0), event);
        self.drain(links);
    }

    fn disconnected(&mut self, links: &mut Links<'_>, id: channel::ConnectionId, reason: &Down) {
        let reason = reason.to_string();
        self.controller.handle(links.now(), Input::Disconnected { connection: ConnectionId(id.0), reason });
        self.drain(links);
    }

    fn refused(&mut self, _: &mut Links<'_>, peer: &str, reason: &Down) {
        crate::info!(self.controller.core_mut(), "{peer} did not become a switch: {reason}");
    }

    fn next_deadline(&self) -> Option<Duration> {
        self.controller.next_deadline()
    }

    fn deadline(&mut self, links: &mut Links<'_>) {
        self.controller.handle(links.now(), Input::Time);
        self.drain(links);
    }

    fn woken(&mut self, links: &mut Links<'_>) {
        self.deadline(links);
    }
}
