//! What a running switch has: asked for as a controller, and built again here, to be asked what it would do.

use std::time::Duration;

use thiserror::Error;

use super::{Handler, Hub, HubConfig, LinkError, Links, Side, Target};
use crate::Version;
use crate::channel::{Answer, Config, ConnectionId, Down, Event, Up};
use crate::flow::{ALL_TABLES, FlowCommand, FlowMod};
use crate::group::{self, GroupCommand, GroupDescription, GroupMod};
use crate::matching::Match;
use crate::message::{Body, Features, Message};
use crate::meter::{self, MeterCommand, MeterConfig, MeterMod};
use crate::multipart::{FlowRequest, FlowStats, MultipartRequest, Reply, Request};
use crate::port::PortNo;
use crate::switch::{ConnectionId as Controller, Output, Switch, SwitchConfig};

/// Times that groups are gone through: each may lead to others, which have to be there first.
const GROUP_ROUNDS_MAX: usize = 8;

/// A switch's ports, flows, groups and meters.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Snapshot {
    /// What was spoken.
    pub version: Version,
    /// The switch, and its ports.
    pub features: Features,
    /// Its flows.
    pub flows: Vec<FlowStats>,
    /// Its groups (1.3).
    pub groups: Vec<GroupDescription>,
    /// Its meters (1.3).
    pub meters: Vec<MeterConfig>,
}

/// Why there is none.
#[derive(Debug, Error)]
pub enum SnapshotError {
    /// It cannot be reached.
    #[error("{target}: {reason}")]
    Unreachable {
        /// Where.
        target: Target,
        /// Why.
        reason: String,
    },
    /// It does not answer in time.
    #[error("{0} does not answer")]
    Silent(Target),
    /// It refuses to say.
    #[error("{target} refuses to say: error type {kind} code {code}")]
    Refused {
        /// Where.
        target: Target,
        /// The error's type.
        kind: u16,
        /// The error's code.
        code: u16,
    },
    /// It cannot be dialled.
    #[error(transparent)]
    Link(#[from] LinkError),
}

impl Snapshot {
    /// Asks a switch that listens, for at most so long.
    ///
    /// # Errors
    /// [`SnapshotError`].
    pub fn take(
        target: &Target,
        timeout: Duration,
        config: Config,
        limits: HubConfig,
    ) -> Result<Self, SnapshotError> {
        let asker = Asker { timeout, ..Asker::default() };
        let mut hub = Hub::new(asker, limits).map_err(LinkError::Poll)?;
        hub.links().dial(target, Side::Controller(config))?;
        let end = hub.links().now() + timeout;
        loop {
            let left = end.saturating_sub(hub.links().now());
            if left.is_zero() {
                return Err(SnapshotError::Silent(target.clone()));
            }
            hub.turn(Some(left)).map_err(LinkError::Poll)?;
            let asker = hub.handler();
            if let Some(reason) = asker.failed.take() {
                return Err(SnapshotError::Unreachable { target: target.clone(), reason });
            }
            if let Some((kind, code)) = asker.refused {
                return Err(SnapshotError::Refused { target: target.clone(), kind, code });
            }
            if asker.waits == 0
                && let Some(snapshot) = asker.snapshot.take()
            {
                return Ok(snapshot);
            }
        }
    }

    /// A switch of the same state, without counters; and what of it could not be built.
    #[must_use]
    pub fn build(&self) -> (Switch, Vec<String>) {
        let mut builder = Builder {
            switch: Switch::new(SwitchConfig { datapath: self.features.datapath, ..SwitchConfig::default() }),
            missing: Vec::new(),
        };
        for port in &self.features.ports {
            if let Err(error) = builder.switch.add_port(Duration::ZERO, port.clone()) {
                builder.missing.push(error.to_string());
            }
        }
        builder.switch.connect(Duration::ZERO, Builder::CONTROLLER, Version::V13);
        for config in &self.meters {
            let MeterConfig { flags, meter, bands } = config.clone();
            builder.tell(Body::MeterMod(MeterMod { command: MeterCommand::Add, flags, meter, bands }));
        }
        builder.groups(&self.groups);
        for flow in &self.flows {
            builder.tell(Body::FlowMod(FlowMod {
                cookie: flow.cookie,
                table: flow.table,
                command: FlowCommand::Add,
                idle_timeout: flow.idle_timeout,
                hard_timeout: flow.hard_timeout,
                priority: flow.priority,
                flags: flow.flags,
                matching: flow.matching.clone(),
                instructions: flow.instructions.clone(),
                ..FlowMod::default()
            }));
        }
        builder.switch.disconnect(Duration::ZERO, Builder::CONTROLLER);
        (builder.switch, builder.missing)
    }
}

struct Builder {
    switch: Switch,
    missing: Vec<String>,
}

impl Builder {
    const CONTROLLER: Controller = ConnectionId(0);

    /// Has the switch do something; the error it answers with.
    fn ask(&mut self, body: Body) -> Option<String> {
        self.switch.handle_message(Duration::ZERO, Self::CONTROLLER, &Message::new(1, body));
        let mut wrong = None;
        while let Some(output) = self.switch.poll_output() {
            if let Output::Message { message: Message { body: Body::Error(error), .. }, .. } = output {
                wrong = Some(match error.code.fault(Version::V13) {
                    Some(fault) => fault.to_string(),
                    None => format!("error type {} code {}", error.code.kind, error.code.code),
                });
            }
        }
        wrong
    }

    fn tell(&mut self, body: Body) {
        let what = match &body {
            Body::FlowMod(flow) => format!("a flow of table {} with priority {}", flow.table, flow.priority),
            Body::MeterMod(meter) => format!("meter {}", meter.meter),
            _ => "a message".to_owned(),
        };
        if let Some(wrong) = self.ask(body) {
            self.missing.push(format!("{what}: {wrong}"));
        }
    }

    fn groups(&mut self, groups: &[GroupDescription]) {
        let mut left: Vec<_> = groups.iter().map(|group| (group, String::new())).collect();
        for _ in 0..GROUP_ROUNDS_MAX {
            let before = left.len();
            left.retain_mut(|(described, wrong)| {
                let GroupDescription { kind, group, buckets } = (*described).clone();
                let add = GroupMod { command: GroupCommand::Add, kind, group, buckets };
                match self.ask(Body::GroupMod(add)) {
                    Some(text) => {
                        *wrong = text;
                        true
                    }
                    None => false,
                }
            });
            if left.len() == before {
                break;
            }
        }
        self.missing.extend(left.into_iter().map(|(group, wrong)| format!("group {}: {wrong}", group.group)));
    }
}

/// Asks for everything.
#[derive(Debug, Default)]
struct Asker {
    timeout: Duration,
    snapshot: Option<Snapshot>,
    waits: usize,
    failed: Option<String>,
    refused: Option<(u16, u16)>,
}

impl Handler for Asker {
    fn connected(&mut self, links: &mut Links<'_>, id: ConnectionId, up: Up) {
        let all = FlowRequest {
            table: ALL_TABLES,
            out_port: PortNo::ANY,
            out_group: group::ANY,
            cookie: 0,
            cookie_mask: 0,
            matching: Match::default(),
        };
        let mut wanted = vec![Request::Flow(all)];
        if up.version == Version::V13 {
            wanted.extend([Request::GroupDescription, Request::MeterConfig(meter::ALL)]);
        }
        for body in wanted {
            let request = Body::MultipartRequest(MultipartRequest { flags: 0, body });
            match links.request(id, self.timeout, &request) {
                Ok(_) => self.waits += 1,
                Err(error) => self.failed = Some(error.to_string()),
            }
        }
        self.snapshot = Some(Snapshot {
            version: up.version,
            features: up.features.map(|features| *features).unwrap_or_default(),
            flows: Vec::new(),
            groups: Vec::new(),
            meters: Vec::new(),
        });
    }

    fn event(&mut self, _links: &mut Links<'_>, _id: ConnectionId, event: Event<'_>) {
        let (Event::Answer { answer, .. }, Some(snapshot)) = (event, &mut self.snapshot) else { return };
        self.waits = self.waits.saturating_sub(1);
        match answer {
            Answer::Reply(Body::MultipartReply(reply)) => match reply.body {
                Reply::Flow(flows) => snapshot.flows = flows,
                Reply::GroupDescription(groups) => snapshot.groups = groups,
                Reply::MeterConfig(meters) => snapshot.meters = meters,
                _ => {}
            },
            // One without groups or meters may say so; a switch has flows.
            Answer::Failed(error) if snapshot.version == Version::V10 => {
                self.refused = Some((error.code.kind, error.code.code));
            }
            Answer::Failed(_) | Answer::Reply(_) => {}
            Answer::TooLong => self.failed = Some("it has more flows than are read".into()),
            Answer::TimedOut => self.failed = Some("it does not answer".into()),
        }
    }

    fn disconnected(&mut self, _links: &mut Links<'_>, _id: ConnectionId, reason: &Down) {
        self.failed = Some(reason.to_string());
    }

    fn refused(&mut self, _links: &mut Links<'_>, _peer: &str, reason: &Down) {
        self.failed = Some(reason.to_string());
    }
}
