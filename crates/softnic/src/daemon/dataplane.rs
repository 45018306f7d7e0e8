//! The graph of a container network, and the operations that control calls ask for.

use std::collections::BTreeMap;

use host::{ProcessId, netns};
use packet::{HEADROOM, HugePages, Pool, PoolConfig, PoolError, PortId, ROOM_GSO};
use ports::packet_socket::{PacketConfig, PacketPort};
use ports::tap::{Tap, attach_queue};
use ports::{Port, PortError};

use super::Snapshot;
use super::proto::attach_request::Device;
use crate::engine::{
    CommandError, Edit, EditError, Engine, Gate, PortsError, WorkerConfig, WorkerError, monotonic_ns,
};
use crate::fabric::program::Protocol;
use crate::fabric::{ExplainError, Explanation, Policy, Program, ProgramError, compile};
use crate::modules::{FabricModule, PortIn, PortOut};

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
    #[error("port {0}: numbers go from 0 to {max}", max = FabricModule::PORTS_MAX - 1)]
    PortNumber(u32),
    #[error("the network program: {0}")]
    Program(#[from] ProgramError),
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
    generation: u64,
}

/// What is behind a port number.
struct Attached {
    label: String,
    /// Tells this one from others that have had the number.
    attachment: u64,
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
        Ok(Self { engine, worker, pool, attached: BTreeMap::new(), attachments: 0, generation: 0 })
    }

    pub(super) fn generation(&self) -> u64 {
        self.generation
    }

    pub(super) fn attached(&self) -> Vec<u32> {
        self.attached.keys().copied().collect()
    }

    /// Opens a device and joins it to the fabric, in place of what had its number. Returns what [`Self::lost`] wants
    /// to be told when the other end is gone.
    pub(super) fn attach(&mut self, port: u32, name: &str, device: &Device) -> Result<u64, DataplaneError> {
        let gate = Gate::try_from(port).ok().filter(|gate| *gate < FabricModule::PORTS_MAX);
        let gate = gate.ok_or(DataplaneError::PortNumber(port))?;
        // The old one goes first: a TAP that we have open ourselves would be busy.
        self.detach(&[port])?;
        let opened = self.open(device)?;
        let label = format!("{port}:{name}");
        self.engine.add_port(&label, opened)?;
        let joined = self.join(&label, port, gate);
        if joined.is_err() {
            let _ = self.engine.remove_port(&label);
        }
        joined?;
        self.attachments += 1;
        let attachment = self.attachments;
        self.attached.insert(port, Attached { label, attachment });
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
        self.set_attached(port, true)
    }

    fn set_attached(&self, port: u32, attached: bool) -> Result<(), DataplaneError> {
        Ok(self
            .engine
            .with_module(FABRIC, move |module: &mut FabricModule| module.set_link(PortId(port), attached))?)
    }

    /// Closes a port whose other end is gone, so that nothing is sent or balanced there any more.
    pub(super) fn lost(&mut self, attachment: u64) -> Result<(), DataplaneError> {
        let port = self.attached.iter().find(|(_, attached)| attached.attachment == attachment);
        let Some(port) = port.map(|(port, _)| *port) else { return Ok(()) };
        self.detach(&[port])
    }

    /// Closes ports; numbers that are not in use are passed over.
    pub(super) fn detach(&mut self, ports: &[u32]) -> Result<(), DataplaneError> {
        for port in ports {
            let Some(Attached { label, .. }) = self.attached.remove(port) else { continue };
            self.set_attached(*port, false)?;
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
        let tables = compile(&program)?;
        let first = self.generation == 0;
        let cut =
            self.engine.with_module(FABRIC, move |module: &mut FabricModule| module.apply(tables, first))?;
        self.generation += 1;
        tracing::info!(generation = self.generation, cut, "network program in force");
        Ok(cut)
    }

    pub(super) fn snapshot(&self) -> Result<Snapshot, DataplaneError> {
        let fabric = self.engine.with_module(FABRIC, |module: &mut FabricModule| module.counters())?;
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
        Ok(explained?)
    }
}

/// The modules of a port.
fn names(port: u32) -> (String, String) {
    (format!("in{port}"), format!("out{port}"))
}
