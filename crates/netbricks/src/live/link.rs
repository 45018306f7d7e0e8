//! A port as a run sees it.

use std::sync::Arc;

use packet::{Batch, Packet};
use ports::{Counters, LinkState, Port, PortError, PortSpec, RxQueue, TxQueue};

use super::summary::PortSummary;
use crate::{Cause, Drops};

/// How often a port that takes nothing is asked again, with a yield between, before packets are dropped.
const SEND_TRIES: usize = 64;

/// The port did not take it.
const PORT_FULL: Cause = Cause::new("port full");
/// The port has failed.
const PORT_GONE: Cause = Cause::new("port gone");
/// Nothing is attached where it left.
const NO_PORT: Cause = Cause::new("no port at this gate");

/// What is attached to a gate.
#[derive(Default)]
pub(super) struct Link {
    name: String,
    /// The control side, if the run has it.
    port: Option<Box<dyn Port>>,
    /// `None` when nothing comes in here, or no more.
    rx: Option<Box<dyn RxQueue>>,
    tx: Option<Box<dyn TxQueue>>,
    /// A capture file with an end.
    finite: bool,
    /// What was read ahead.
    ahead: Batch,
    error: Option<Arc<PortError>>,
}

impl Link {
    /// A gate with nothing attached.
    pub(super) fn none() -> Self {
        Self::default()
    }

    /// Takes the first queue of a port. `spec` is what it was opened by, if that is known.
    pub(super) fn of(mut port: Box<dyn Port>, spec: Option<&PortSpec>) -> Result<Self, PortError> {
        let name =
            spec.map_or_else(|| format!("{}:{}", port.info().kind, port.info().name), ToString::to_string);
        let Some((rx, tx)) = port.queue(0) else {
            let problem = "the queue is in use already";
            return Err(PortError::Option { port: name, option: "queue 0".into(), problem });
        };
        let finite = matches!(spec, Some(PortSpec::Pcap(config)) if !config.repeat);
        let mut link = Self { finite, ..Self::queues(name, rx, tx) };
        link.port = Some(port);
        if link.at_its_end() {
            // A capture file that is only written.
            link.rx = None;
        }
        Ok(link)
    }

    pub(super) fn queues(name: String, rx: Box<dyn RxQueue>, tx: Box<dyn TxQueue>) -> Self {
        Self { name, rx: Some(rx), tx: Some(tx), ..Self::default() }
    }

    /// The end of a capture file is a link that goes down; others' links may come up again.
    fn at_its_end(&self) -> bool {
        self.port.as_ref().is_some_and(|port| port.info().kind == "pcap" && port.link() == LinkState::Down)
    }

    /// Where packets may still come from.
    pub(super) fn input(&self) -> Option<&dyn RxQueue> {
        self.rx.as_deref()
    }

    /// Whether packets come in here without end, as far as is known.
    pub(super) fn is_live_input(&self) -> bool {
        self.rx.is_some() && !self.finite
    }

    /// Whether packets still come in here from a capture file with an end.
    pub(super) fn is_capture_input(&self) -> bool {
        self.rx.is_some() && self.finite
    }

    /// Adds what waits to `batch`, which is empty.
    pub(super) fn receive(&mut self, batch: &mut Batch) {
        let Some(rx) = &mut self.rx else { return };
        match rx.receive(batch) {
            Ok(0) if self.at_its_end() => self.rx = None,
            Ok(_) => {}
            Err(error) => self.fail(error),
        }
    }

    /// The time of the next packet of a capture file; `None` at its end.
    pub(super) fn next_ns(&mut self) -> Option<u64> {
        while self.ahead.is_empty() && self.rx.is_some() {
            let mut ahead = std::mem::take(&mut self.ahead);
            self.receive(&mut ahead);
            self.ahead = ahead;
        }
        self.ahead.iter().next().map(Packet::timestamp_ns)
    }

    /// The next packet of a capture file, after [`Link::next_ns`] has found it.
    pub(super) fn next(&mut self) -> Option<Packet> {
        if self.ahead.is_empty() { None } else { self.ahead.drain(..1).next() }
    }

    /// Sends a batch, and leaves it empty. Returns how many packets the port took.
    pub(super) fn send(&mut self, batch: &mut Batch, lost: &mut Drops) -> u64 {
        let before = batch.len();
        let mut cause = if self.name.is_empty() { NO_PORT } else { PORT_GONE };
        let mut tries = 0;
        while let (Some(tx), false) = (&mut self.tx, batch.is_empty()) {
            match tx.send(batch) {
                Ok(0) if tries == SEND_TRIES => {
                    cause = PORT_FULL;
                    break;
                }
                Ok(0) => {
                    tries += 1;
                    std::thread::yield_now();
                }
                Ok(_) => tries = 0,
                Err(error) => self.fail(error),
            }
        }
        let left = batch.len();
        lost.count(cause, left as u64);
        batch.clear();
        (before - left) as u64
    }

    /// Ends the port, which has failed.
    #[cold]
    fn fail(&mut self, error: PortError) {
        self.error = Some(Arc::new(error));
        (self.rx, self.tx) = (None, None);
    }

    pub(super) fn summary(&self) -> PortSummary {
        let counters = self.port.as_ref().map_or_else(Counters::default, |port| port.counters());
        PortSummary { name: self.name.clone(), counters, error: self.error.clone() }
    }
}
