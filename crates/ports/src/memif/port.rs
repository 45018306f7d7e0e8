//! The port itself.

use std::sync::Arc;

use packet::Pool;

use super::control::Membership;
use super::layout::Layout;
use super::queue::{MemifRx, MemifTx};
use super::session::{BYTES_MAX, LOG2_ENTRIES_MAX};
use super::wire::SECRET;
use crate::counters;
use crate::{Counters, LinkState, Offloads, Port, PortError, PortInfo, RxQueue, TxQueue};

/// The most queues of a port.
pub const QUEUES_MAX: usize = 128;
/// What a buffer may hold, in bytes.
const BUFFER: std::ops::RangeInclusive<u32> = 64..=65_536;
/// The MTU that a port reports: memif has none, but its peers take ordinary frames.
const MTU: usize = 1500;

/// Which side a port is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Role {
    /// Listens, and takes what a client offers. Also called master.
    Server,
    /// Connects, and makes the memory. Also called slave.
    #[default]
    Client,
}

/// How a memif port is opened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MemifConfig {
    /// Which side it is.
    pub role: Role,
    /// The number of the interface on the socket: both sides must name the same.
    pub id: u32,
    /// Queues in each direction, at most [`QUEUES_MAX`].
    pub queues: usize,
    /// Entries of each ring, a power of two from 2 to 16384; the client's word, within what the server takes.
    pub ring: u32,
    /// Bytes of a buffer, 64 to 65536; the client's word.
    pub buffer: u32,
    /// What a client must know, 23 bytes at most; empty for nothing.
    pub secret: String,
}

impl Default for MemifConfig {
    fn default() -> Self {
        Self { role: Role::Client, id: 0, queues: 1, ring: 1024, buffer: 2048, secret: String::new() }
    }
}

/// How a port's connections have fared.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Status {
    /// The name of the other side's interface, while there is one.
    pub peer: Option<String>,
    /// How often it was connected.
    pub connections: u64,
    /// Why the last connection, or the last attempt at one, has ended.
    pub ended: Option<String>,
}

/// A port whose other end is in another process.
pub struct MemifPort {
    info: PortInfo,
    member: Arc<Membership>,
    queues: Vec<Option<(MemifRx, MemifTx)>>,
}

impl MemifPort {
    /// Opens a port on the socket at `path`, or of the abstract name behind `@`.
    ///
    /// # Errors
    /// [`PortError`] when an option is out of bounds, the number is taken, or the socket cannot be made. A server that is
    /// not there yet is no error.
    pub fn open(path: &str, config: &MemifConfig, pool: &Pool) -> Result<Self, PortError> {
        check(path, config)?;
        let member = Arc::new(Membership::new(path, config)?);
        let queue = |index| {
            let rx = MemifRx::new(member.clone(), index, pool)?;
            Ok(Some((rx, MemifTx::new(member.clone(), index))))
        };
        let queues = (0..config.queues).map(queue).collect::<Result<_, rustix::io::Errno>>();
        let queues = queues.map_err(|source| PortError::System {
            port: format!("memif:{path}"),
            action: "making an epoll and a timer",
            source: source.into(),
        })?;
        let info = PortInfo {
            name: path.into(),
            kind: "memif",
            mac: None,
            mtu: MTU,
            queues: config.queues,
            offloads: Offloads::default(),
        };
        Ok(Self { info, member, queues })
    }

    /// How its connections have fared.
    pub fn status(&self) -> Status {
        self.member.interface.status()
    }
}

fn check(path: &str, config: &MemifConfig) -> Result<(), PortError> {
    let error =
        |option: String, problem| Err(PortError::Option { port: format!("memif:{path}"), option, problem });
    let MemifConfig { queues, ring, buffer, .. } = *config;
    if !(1..=QUEUES_MAX).contains(&queues) {
        return error(format!("queues={queues}"), "a memif port has 1 to 128 queues");
    }
    if !ring.is_power_of_two() || !(1..=u32::from(LOG2_ENTRIES_MAX)).contains(&ring.ilog2()) {
        return error(format!("ring={ring}"), "a ring has 2 to 16384 entries, a power of two");
    }
    if !BUFFER.contains(&buffer) {
        return error(format!("buffer={buffer}"), "a buffer has 64 to 65536 bytes");
    }
    if config.secret.len() >= SECRET || config.secret.contains('\0') {
        return error("secret".into(), "a secret has 23 bytes at most");
    }
    let rings = queues as u16;
    let layout = Layout { to_server: rings, to_client: rings, log2_entries: ring.ilog2() as u8, buffer };
    if config.role == Role::Client && !layout.fits(BYTES_MAX) {
        return error(
            format!("queues={queues},ring={ring},buffer={buffer}"),
            "a connection has 1 GiB of memory at most",
        );
    }
    Ok(())
}

impl Port for MemifPort {
    fn info(&self) -> &PortInfo {
        &self.info
    }

    fn link(&self) -> LinkState {
        if self.member.interface.is_up() { LinkState::Up } else { LinkState::Down }
    }

    fn counters(&self) -> Counters {
        counters::total(&self.member.interface.counters)
    }

    fn queue(&mut self, index: usize) -> Option<(Box<dyn RxQueue>, Box<dyn TxQueue>)> {
        let (rx, tx) = self.queues.get_mut(index)?.take()?;
        Some((Box::new(rx), Box::new(tx)))
    }
}
