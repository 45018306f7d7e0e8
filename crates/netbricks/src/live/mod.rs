//! The thin edge: a network function on real ports and clocks.
//!
//! ```text
//!        ports ──receive──▶ [ gate 0 ‥ function ‥ gate 1 ] ──send──▶ ports
//!          ▲                     ▲            ▲                        │ what a port does not take is tried again a
//!          └──── poll(2) ────────┴─ deadline  └─ Handle: questions     ▼ few times, then dropped and counted
//! ```
//!
//! One [`Runner`] drives one function on one thread, and packets go through it to completion. For several cores, give
//! each its own runner with its own instance of the function and one queue of every port ([`Runner::add_queue`]); the
//! kernel spreads flows over the queues.
//!
//! **Clocks.** As long as every input is a capture file with an end, time is that of the packets: they are handed in
//! one by one in the order of their timestamps, deadlines before them are met first, and once the files are read the
//! deadlines that are left are met until the function keeps nothing. Packets leave with the timestamp they came with,
//! or, if they were kept for a while or are new, with the time at which they leave. So a run from file to file gives
//! the same bytes each time. Without any input, time goes from deadline to deadline. In every other case it is
//! `CLOCK_MONOTONIC`.
//!
//! **Ends.** A run ends when no input is left: at the end of the files, or when the ports have failed. A port that
//! fails ends alone. An interface has no end; a run that plays captures into one ends when they are through and all that
//! they have led to has left, unless [`Stop`] has a limit of time, which then is how long to wait for answers. It also
//! ends as `Stop` says. At the end [`NetworkFunction::finish`] is called.
//!
//! ```
//! use netbricks::functions::{self, Setup};
//! use netbricks::live::{Runner, Stop, pool};
//! # let directory = std::env::temp_dir().join(format!("netbricks-live-{}", std::process::id()));
//! # std::fs::create_dir_all(&directory)?;
//! # let (a, b) = (directory.join("a.pcap"), directory.join("b.pcap"));
//! # let mut writer = packet::pcap::Writer::new(Vec::new(), packet::pcap::LinkType::ETHERNET)?;
//! # writer.write(5, b"\x02\0\0\0\0\x01\x02\0\0\0\0\x02\x08\0rest")?;
//! # std::fs::write(&a, writer.into_inner()?)?;
//!
//! let inside = format!("pcap:{}", a.display()).parse()?; // or tap:wt0, veth:eth1, xdp:eth1, unix:@name
//! let outside = format!("pcap:,out={}", b.display()).parse()?;
//! let pool = pool([&inside, &outside])?;
//! let line = functions::build(&["macswap"], &Setup { pool: pool.clone(), key: 1, seed: 1 })?;
//! let mut runner = Runner::new(Box::new(line), pool)?;
//! runner.open(&inside)?; // gate 0
//! runner.open(&outside)?; // gate 1
//! let summary = runner.run(&Stop::new())?;
//! assert_eq!((summary.packets_in, summary.packets_out), (1, 1));
//! # std::fs::remove_dir_all(&directory)?;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod capture;
mod core;
mod handle;
mod link;
mod real;
mod stop;
mod summary;

use std::sync::Arc;

use packet::{Pool, PoolConfig, PoolError, ROOM, ROOM_GSO};
use ports::{Port, PortError, PortSpec, RxQueue, TxQueue};

use crate::NetworkFunction;
use crate::state::mailbox::Mailbox;
use core::Core;
use link::Link;

pub use handle::Handle;
pub use stop::Stop;
pub use summary::{Ended, PortSummary, Stage, Summary};

/// Buffers of a [`pool`].
pub const BUFFERS: usize = 4096;

/// A pool whose buffers are large enough for what these ports may receive: 64 KiB where segments come whole.
///
/// # Errors
/// The kernel refuses the memory.
pub fn pool<'a>(ports: impl IntoIterator<Item = &'a PortSpec>) -> Result<Pool, PoolError> {
    let large = |port: &PortSpec| match port {
        PortSpec::Tap(_, config) => config.segmentation != Some(false),
        PortSpec::Packet(_, config) => config.segmentation != Some(false),
        // It may have been written where segments were whole.
        PortSpec::Pcap(config) => config.read.is_some(),
        PortSpec::Xdp(..) | PortSpec::Unix(..) | PortSpec::Memif(..) | PortSpec::Ring(..) => false,
    };
    let room = if ports.into_iter().any(large) { ROOM_GSO } else { ROOM };
    Pool::new(PoolConfig { buffers: BUFFERS, room, ..PoolConfig::default() })
}

/// Whether a run on these ports, and no others, has the time of packets: whether nothing comes in but from capture files
/// with an end.
pub fn on_the_clock_of_captures<'a>(ports: impl IntoIterator<Item = &'a PortSpec>) -> bool {
    ports.into_iter().all(|port| matches!(port, PortSpec::Pcap(config) if !config.repeat))
}

/// Drives one network function.
pub struct Runner {
    core: Core,
    mailbox: Arc<Mailbox<Core>>,
    pool: Pool,
}

impl std::fmt::Debug for Runner {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Runner").field("ports", &self.core.links.len()).finish_non_exhaustive()
    }
}

impl Runner {
    /// For a function, usually a [`Line`](crate::Line). Received packets will live in buffers of `pool`.
    ///
    /// # Errors
    /// The process has no descriptor left.
    pub fn new(function: Box<dyn NetworkFunction>, pool: Pool) -> Result<Self, PortError> {
        let mailbox = Mailbox::new().map_err(|source| PortError::System {
            port: "the ports of a run".into(),
            action: "making an eventfd",
            source,
        })?;
        Ok(Self { core: Core::new(function), mailbox: Arc::new(mailbox), pool })
    }

    /// Opens a port, in the calling thread's network namespace, for the next gate, both to receive and to send.
    ///
    /// # Errors
    /// It cannot be opened, or the function has no gate left.
    pub fn open(&mut self, spec: &PortSpec) -> Result<(), PortError> {
        self.gate_left(|| spec.to_string())?;
        self.core.links.push(Link::of(ports::open(spec, &self.pool)?, Some(spec))?);
        Ok(())
    }

    /// Attaches the first queue of a port to the next gate. A capture file attached so does not set the clock.
    ///
    /// # Errors
    /// The queue is in use, or the function has no gate left.
    pub fn add(&mut self, port: Box<dyn Port>) -> Result<(), PortError> {
        self.gate_left(|| port.info().name.clone())?;
        self.core.links.push(Link::of(port, None)?);
        Ok(())
    }

    /// Attaches a queue of a port that stays with the caller to the next gate.
    ///
    /// # Errors
    /// The function has no gate left.
    pub fn add_queue(
        &mut self,
        name: &str,
        rx: Box<dyn RxQueue>,
        tx: Box<dyn TxQueue>,
    ) -> Result<(), PortError> {
        self.gate_left(|| name.into())?;
        self.core.links.push(Link::queues(name.into(), rx, tx));
        Ok(())
    }

    /// Attaches nothing to the next gate: what leaves there is dropped and counted.
    pub fn leave_open(&mut self) {
        self.core.links.push(Link::none());
    }

    fn gate_left(&self, port: impl FnOnce() -> String) -> Result<(), PortError> {
        let gate = self.core.links.len();
        if gate < usize::from(self.core.ctx.gates()) {
            return Ok(());
        }
        let problem = "the function has no such gate";
        Err(PortError::Option { port: port(), option: format!("gate {gate}"), problem })
    }

    /// A word with the function while the run goes on.
    #[must_use]
    pub fn handle(&self) -> Handle {
        Handle { mailbox: self.mailbox.clone() }
    }

    /// Runs the function until no input is left, or `stop` says so.
    ///
    /// # Errors
    /// poll(2) fails. A port that fails is no error of the run; the summary tells of it.
    pub fn run(mut self, stop: &Stop) -> Result<Summary, PortError> {
        stop.watch(self.mailbox.waker());
        self.core.begin(stop);
        let ended = if self.core.links.iter().any(Link::is_live_input) {
            real::run(&mut self.core, &self.mailbox, stop)?
        } else {
            capture::run(&mut self.core, &self.mailbox, stop)
        };
        self.core.finish();
        Ok(self.core.summary(Some(ended)))
    }
}

impl Drop for Runner {
    fn drop(&mut self) {
        self.mailbox.close();
    }
}
