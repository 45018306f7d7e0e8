//! The graph of a container network, and the operations that control calls ask for.

use std::collections::BTreeMap;

use host::{ProcessId, netns};
use packet::{HEADROOM, HugePages, Pool, PoolConfig, PoolError, PortId, ROOM_GSO};
use ports::packet_socket::{PacketConfig, PacketPort};
use ports::tap::{Tap, attach_queue};
use ports::{Port, PortError};

use super::Snapshot;
use super::functions::{self, FunctionsError, Running};
use super::proto::attach_request::Device;
use crate::engine::{
    CommandError, Edit, EditError, Engine, Gate, PortsError, WorkerConfig, WorkerError, monotonic_ns,
};
use crate::fabric::program::Protocol;
use crate::fabric::{ExplainError, Explanation, Policy, Program, ProgramError, compile};
use crate::modules::{FabricLinks, FabricLinksError, FabricModule, PortIn, PortOut};

/// Buffers of the process: all that is under way at a time, and what waits in AF_PACKET receive calls.
const BUFFERS: usize = 2048;
/// Name of the fabric's module.
const FABRIC: &str = "fabric";

/// Why a control call could not be done.
#[derive(Debug, thiserror::Error)]
pub(super) enum DataplaneError {
    #[error("no memory for packets: {0}")]
    Pool(#[from] PoolError),
    #[error(transparent)]
    Worker(#[from] WorkerError),
    #[error(transparent)]
    Edit(#[from] EditError),
    #[error(transparent)]
    Command(#[from] CommandError),
    #[error(transparent)]
    Ports(#[from] PortsError),
    #[error(transparent)]
    Port(#[from] PortError),
    #[error(transparent)]
    Host(#[from] host::Error),
    #[error("{0} cannot be ready: more are than there are ports")]
    TooManyReady(String),
    #[error("port {0}: numbers go from 0 to {max}", max = FabricModule::PORTS_MAX - 1)]
    PortNumber(u32),
    #[error("the network program: {0}")]
    Program(#[from] ProgramError),
    #[error("the network program: {0}")]
    Links(#[from] FabricLinksError),
    #[error("the network program: {0}")]
    Functions(#[from] FunctionsError),
    #[error("the network program cannot be read: {0}")]
    ProgramText(serde_json::Error),
    #[error("{0}")]
    Explain(#[from] ExplainError),
}

/// The running network.
pub(super) struct Dataplane {
    engine: Engine,
    worker: usize,
    pool: Pool,
    /// What is attached, by port number.
    attached: BTreeMap<u32, Attached>,
    attachments: u64,
    /// Who has said that it is ready, by name, whether it is attached or not.
    ready: BTreeMap<String, ProcessId>,
    generation: u64,
    functions: Running,
}

/// What is behind a port number.
struct Attached {
    label: String,
    name: String,
    /// Tells this one from others that have had the number.
    attachment: u64,
    /// Services give it nothing until this process has said that it is ready.
    gate: Option<ProcessId>,
}

impl Dataplane {
    /// Starts the worker, with a fabric to which nothing is attached.
    pub(super) fn start(seed: u64) -> Result<Self, DataplaneError> {
        let pool = Pool::new(PoolConfig {
            buffers: BUFFERS,
            room: ROOM_GSO,
            headroom: HEADROOM,
            huge_pages: HugePages::Never,
            cache: None,
        })?;
        let engine = Engine::new();
        let worker = engine.add_worker(WorkerConfig::default())?;
        engine.apply(Edit::new().add(FABRIC, FabricModule::new(seed), worker))?;
        Ok(Self {
            engine,
            worker,
            pool,
            attached: BTreeMap::new(),
            attachments: 0,
            ready: BTreeMap::new(),
            generation: 0,
            functions: Running::new(seed),
        })
    }

    pub(super) fn generation(&self) -> u64 {
        self.generation
    }

    pub(super) fn attached(&self) -> Vec<u32> {
        self.attached.keys().copied().collect()
    }

    /// Opens a device and joins it to the fabric, in place of what had its number. Returns what [`Self::lost`] wants
    /// to be told when the other end is gone. Behind a gate, services give it nothing until [`Self::ready`] is told so of
    /// that process.
    pub(super) fn attach(
        &mut self,
        port: u32,
        name: &str,
        device: &Device,
        gate: Option<ProcessId>,
    ) -> Result<u64, DataplaneError> {
        let at = Gate::try_from(port).ok().filter(|at| *at < FabricModule::PORTS_MAX);
        let at = at.ok_or(DataplaneError::PortNumber(port))?;
        // The old one goes first: a TAP that we have open ourselves would be busy.
        self.detach(&[port])?;
        let opened = self.open(device)?;
        let label = format!("{port}:{name}");
        self.engine.add_port(&label, opened)?;
        let ready = gate.is_none_or(|process| self.ready.get(name) == Some(&process));
        let joined = self.set_ready(port, ready).and_then(|()| self.join(&label, port, at));
        if joined.is_err() {
            let _ = self.engine.remove_port(&label);
        }
        joined?;
        self.attachments += 1;
        let attachment = self.attachments;
        self.attached.insert(port, Attached { label, name: name.to_owned(), attachment, gate });
        tracing::info!(port, name, "attached");
        Ok(attachment)
    }

    fn open(&self, device: &Device) -> Result<Box<dyn Port>, DataplaneError> {
        Ok(match device {
            Device::Tap(tap) => {
                let process = ProcessId { pid: tap.netns_pid, start_time: tap.netns_start_time };
                let netns = netns::of(process)?;
                let queue = netns::within(netns, || attach_queue(&tap.interface))??;
                Box::new(Tap::from_fds(&tap.interface, vec![queue], None, Some(true), &self.pool)?)
            }
            Device::Packet(packet) => {
                Box::new(PacketPort::open(&packet.interface, &PacketConfig::default(), &self.pool)?)
            }
        })
    }

    fn join(&self, label: &str, port: u32, gate: Gate) -> Result<(), DataplaneError> {
        let (rx, tx) = self.engine.queue(label, 0)?;
        let (inward, outward) = names(port);
        let edit = Edit::new()
            .add(&inward, PortIn::new(rx).numbered(PortId(port)), self.worker)
            .add(&outward, PortOut::new(tx), self.worker)
            .connect(&inward, 0, FABRIC, 0)
            .connect(FABRIC, gate, &outward, 0);
        self.engine.apply(edit)?;
        let attached = move |module: &mut FabricModule| module.set_link(PortId(port), true);
        Ok(self.engine.with_module(FABRIC, attached)?)
    }

    fn set_ready(&self, port: u32, ready: bool) -> Result<(), DataplaneError> {
        Ok(self
            .engine
            .with_module(FABRIC, move |module: &mut FabricModule| module.set_ready(PortId(port), ready))?)
    }

    /// Notes whether a process is ready, and lets services know if it is attached behind a gate.
    pub(super) fn ready(
        &mut self,
        name: &str,
        process: ProcessId,
        ready: bool,
    ) -> Result<(), DataplaneError> {
        if !ready {
            self.ready.remove(name);
        } else if self.ready.contains_key(name) || self.ready.len() < usize::from(FabricModule::PORTS_MAX) {
            self.ready.insert(name.to_owned(), process);
        } else {
            return Err(DataplaneError::TooManyReady(name.to_owned()));
        }
        let behind = |attached: &Attached| {
            attached.name == name && attached.gate.is_some_and(|gate| !ready || gate == process)
        };
        let ports: Vec<u32> =
            self.attached.iter().filter(|(_, attached)| behind(attached)).map(|(port, _)| *port).collect();
        for port in ports {
            self.set_ready(port, ready)?;
            tracing::info!(port, name, ready, "rotation");
        }
        Ok(())
    }

    /// Connections to each of these endpoints, and whether services give it new ones.
    pub(super) fn rotation(&self, names: Vec<String>) -> Result<Vec<(u64, bool)>, DataplaneError> {
        Ok(self.engine.with_module(FABRIC, move |module: &mut FabricModule| module.rotation(&names))?)
    }

    /// Closes a port whose other end is gone, so that nothing is sent or balanced there any more.
    pub(super) fn lost(&mut self, attachment: u64) -> Result<(), DataplaneError> {
        let port = self.attached.iter().find(|(_, attached)| attached.attachment == attachment);
        let Some(port) = port.map(|(port, _)| *port) else { return Ok(()) };
        self.detach(&[port])
    }

    /// Closes ports; numbers that are not in use are passed over.
    pub(super) fn detach(&mut self, ports: &[u32]) -> Result<(), DataplaneError> {
        let used: Vec<PortId> =
            ports.iter().filter(|port| self.attached.contains_key(port)).map(|port| PortId(*port)).collect();
        if used.is_empty() {
            return Ok(());
        }
        self.engine.with_module(FABRIC, move |module: &mut FabricModule| module.unplug(&used))?;
        for port in ports {
            let Some(Attached { label, .. }) = self.attached.remove(port) else { continue };
            let (inward, outward) = names(*port);
            self.engine.apply(Edit::new().remove(inward).remove(outward))?;
            drop(self.engine.remove_port(&label)?);
            tracing::info!(port, "detached");
        }
        Ok(())
    }

    /// Puts a network program in force; returns how many open flows it cut.
    pub(super) fn apply(&mut self, program: &str) -> Result<u64, DataplaneError> {
        let program: Program = serde_json::from_str(program).map_err(DataplaneError::ProgramText)?;
        // Compiled here, so that packets wait for no more than the exchange of tables.
        let (mut tables, links) = (compile(&program)?, FabricLinks::of(&program)?);
        let first = self.generation == 0;
        // New functions are there before packets are led to them, and old ones until none are any more.
        let change = self.functions.change(&program)?;
        tables.place(change.slots());
        self.engine.apply(self.functions.additions(&change, FABRIC, self.worker)?)?;
        let cut = self.engine.with_module(FABRIC, move |module: &mut FabricModule| {
            module.set_links(links);
            module.apply(tables, first)
        })?;
        let gone = self.engine.apply(self.functions.commit(change))?.removed;
        let held = gone.iter().map(|gone| gone.module.held() as u64).sum::<u64>();
        if held > 0 {
            self.engine.with_module(FABRIC, move |module: &mut FabricModule| module.count_lost(held))?;
        }
        self.generation += 1;
        tracing::info!(generation = self.generation, cut, "network program in force");
        Ok(cut)
    }

    pub(super) fn snapshot(&self) -> Result<Snapshot, DataplaneError> {
        let mut fabric = self.engine.with_module(FABRIC, |module: &mut FabricModule| module.counters())?;
        functions::fill(&self.engine, &mut fabric.functions);
        let crate::engine::Snapshot { workers, ports, .. } = self.engine.snapshot();
        Ok(Snapshot { at_ns: monotonic_ns(), fabric, ports, workers })
    }

    pub(super) fn policy(&self) -> Result<Policy, DataplaneError> {
        Ok(self.engine.with_module(FABRIC, |module: &mut FabricModule| module.policy())?)
    }

    pub(super) fn explain(
        &self,
        from: &str,
        to: &str,
        protocol: Protocol,
        port: u16,
    ) -> Result<Explanation, DataplaneError> {
        let (from, to) = (from.to_owned(), to.to_owned());
        let explained = self.engine.with_module(FABRIC, move |module: &mut FabricModule| {
            module.explain(&from, &to, protocol, port)
        })?;
        let mut explained = explained?;
        functions::fill(&self.engine, &mut explained.functions);
        Ok(explained)
    }
}

/// The modules of a port.
fn names(port: u32) -> (String, String) {
    (format!("in{port}"), format!("out{port}"))
}
