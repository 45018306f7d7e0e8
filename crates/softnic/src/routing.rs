//! One live router of Data-Driven Connectivity: ports, [`DdcRouter`] and its local side, on a worker of their own.
//!
//! ```text
//!             ┌ function `router`: ARP, ND, pings, fragments
//!   hosts ═ 0 │ 1 ── 0 ┌───────────┐ 1 ═ link to R2
//!             └        │ DdcRouter │ 2 ═ link to R5
//!                      └───────────┘
//! ```

use std::hash::{BuildHasher, RandomState};
use std::time::{Duration, SystemTime};

use ddc::live::{NodeReport, Site};
use host::link::{Netlink, Watch};
use netbricks::functions::{Kind, Setup};
use netbricks::{Args, ArgsError};
use packet::{Pool, PoolConfig, PoolError, ROOM_GSO};
use ports::{PortError, PortSpec};

use crate::engine::{CommandError, Context, Edit, EditError, Engine, PortsError, WorkerConfig, WorkerError};
use crate::modules::{DdcRouter, FunctionModule, PortIn, PortOut, local_side};

/// Packet buffers of a router.
const BUFFERS: usize = 2048;
/// When the counting of starts begins: 2023-11-14, in seconds after 1970.
const EPOCH: Duration = Duration::from_secs(1_700_000_000);
/// The longest that news of interfaces may be missed where the kernel has lost them.
const LOOK_AGAIN: Duration = Duration::from_secs(1);
/// The name of the router's module.
const MODULE: &str = "ddc";

/// Why a router does not run.
#[derive(Debug, thiserror::Error)]
pub enum RoutingError {
    /// A port could not be opened.
    #[error(transparent)]
    Port(#[from] PortError),
    /// No memory for packets.
    #[error(transparent)]
    Pool(#[from] PoolError),
    /// The local side's arguments are wrong.
    #[error(transparent)]
    Local(#[from] ArgsError),
    /// No worker.
    #[error(transparent)]
    Worker(#[from] WorkerError),
    /// The engine has no such port.
    #[error(transparent)]
    Ports(#[from] PortsError),
    /// The graph cannot be.
    #[error(transparent)]
    Edit(#[from] EditError),
    /// The router's module does not answer.
    #[error(transparent)]
    Command(#[from] CommandError),
    /// Interfaces cannot be watched.
    #[error(transparent)]
    Host(#[from] host::Error),
}

/// A router that runs.
pub struct LiveRouter {
    engine: Engine,
    /// By port of the map: the interface it is on, where it is on one.
    interfaces: Vec<Option<String>>,
}

impl LiveRouter {
    /// Starts router `me` of a network on these ports, one for each link in the order of the map, and one for its hosts.
    ///
    /// # Errors
    /// [`RoutingError`]: a port that is not there, most often.
    pub fn start(
        site: &Site,
        me: usize,
        links: &[PortSpec],
        local: Option<&PortSpec>,
    ) -> Result<Self, RoutingError> {
        let pool = Pool::new(PoolConfig { buffers: BUFFERS, room: ROOM_GSO, ..PoolConfig::default() })?;
        let engine = Engine::new();
        let worker = engine.add_worker(WorkerConfig::default())?;
        let router = DdcRouter::new(site, me, start_number(), crate::engine::monotonic_ns(), &pool);
        let mut edit = Edit::new().add(MODULE, router, worker);
        for (port, spec) in links.iter().enumerate() {
            let (name, gate) = (format!("link{port}"), 1 + port as u16);
            engine.add_port(&name, ports::open(spec, &pool)?)?;
            let (rx, tx) = engine.queue(&name, 0)?;
            let (from, to) = (format!("from {name}"), format!("to {name}"));
            edit = edit.add(&from, PortIn::new(rx), worker).add(&to, PortOut::new(tx), worker);
            edit = edit.connect(&from, 0, MODULE, gate).connect(MODULE, gate, &to, 0);
        }
        if let (Some(words), Some(kind)) = (local_side(site, me), Kind::find("router")) {
            // From the operating system: hosts must not know how tables are hashed.
            let random = RandomState::new();
            let [seed, low, high] = [0, 1, 2].map(|number: u64| random.hash_one(number));
            let key = u128::from(high) << 64 | u128::from(low);
            let setup = Setup { pool: pool.clone(), key, seed };
            let function = FunctionModule::build(kind, &Args::parse("router", &words)?, &setup)?;
            edit = edit.add("local", function, worker);
            edit = edit.connect("local", 1, MODULE, 0).connect(MODULE, 0, "local", 1);
            if let Some(spec) = local {
                engine.add_port("hosts", ports::open(spec, &pool)?)?;
                let (rx, tx) = engine.queue("hosts", 0)?;
                edit = edit.add("from hosts", PortIn::new(rx), worker);
                edit = edit.add("to hosts", PortOut::new(tx), worker);
                edit = edit.connect("from hosts", 0, "local", 0).connect("local", 0, "to hosts", 0);
            }
        }
        engine.apply(edit)?;
        let interface = |spec: &PortSpec| match spec {
            PortSpec::Packet(name, _) | PortSpec::Tap(name, _) | PortSpec::Xdp(name, _) => Some(name.clone()),
            _ => None,
        };
        Ok(Self { engine, interfaces: links.iter().map(interface).collect() })
    }

    /// Follows the carriers of its interfaces until the kernel or the module fails: call it from a thread of its own, in the
    /// network namespace where the ports were opened. Ports that are no interfaces always have one.
    ///
    /// # Errors
    /// What failed.
    pub fn watch(&self) -> Result<std::convert::Infallible, RoutingError> {
        let (mut watch, mut netlink) = (Watch::open()?, Netlink::open()?);
        loop {
            let links = netlink.links()?;
            let carrier = |interface: &Option<String>| {
                let Some(name) = interface else { return true };
                links.iter().any(|link| link.name == *name && link.up && link.carrier)
            };
            let carriers: Vec<bool> = self.interfaces.iter().map(carrier).collect();
            self.engine.command(MODULE, move |router: &mut DdcRouter, ctx: &mut Context<'_>| {
                (0..).zip(carriers).for_each(|(port, carrier)| router.set_carrier(port, carrier));
                router.speak(ctx);
            })?;
            watch.wait(LOOK_AGAIN)?;
        }
    }

    /// Links, destinations and counters.
    ///
    /// # Errors
    /// The module is out of order.
    pub fn report(&self) -> Result<NodeReport, RoutingError> {
        Ok(self.engine.with_module(MODULE, |router: &mut DdcRouter| router.report())?)
    }
}

/// Tenths of seconds since [`EPOCH`]: higher whenever a router starts again, and by more than the heartbeats in between, which
/// are at most one in a millisecond for as long as the clock is right.
fn start_number() -> u32 {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH + EPOCH).unwrap_or_default();
    (since.as_millis() / 100) as u32
}
