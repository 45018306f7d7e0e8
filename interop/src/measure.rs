//! One measurement of one path.

use std::process::Command;
use std::time::Duration;

use serde::Serialize;
use serde_json::Value;

use crate::cpu::{self, Spent, Split};
use crate::error::{Error, Result};
use crate::peer::{Peer, Side};
use crate::process::{Running, run, start};
use crate::udp::{self, Received, Sent};

/// How much longer than planned a program may take.
const SLACK: Duration = Duration::from_secs(20);

/// What was spent while something was measured.
#[derive(Clone, Copy, Debug, Default, Serialize)]
pub(crate) struct Cost {
    /// The whole machine.
    pub(crate) machine: Split,
    /// The processes that move packets, where it is not the kernel.
    pub(crate) dataplane: Spent,
}

/// A clock of CPU time, started.
struct Meter {
    pids: Vec<u32>,
    machine: Split,
    dataplane: Spent,
}

impl Meter {
    fn start(peer: &dyn Peer) -> Result<Self> {
        let pids = peer.dataplane();
        Ok(Self { dataplane: cpu::processes(&pids), machine: cpu::machine()?, pids })
    }

    fn stop(self) -> Result<Cost> {
        let machine = cpu::machine()? - self.machine;
        Ok(Cost { machine, dataplane: cpu::processes(&self.pids) - self.dataplane })
    }
}

/// One TCP connection, one direction.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Tcp {
    pub(crate) gigabits_per_second: f64,
    pub(crate) gigabytes: f64,
    pub(crate) retransmits: u64,
    pub(crate) cost: Cost,
}

/// Runs iperf3 from the client to the server.
pub(crate) fn tcp(peer: &dyn Peer, seconds: u32) -> Result<Tcp> {
    let mut command = peer.command(Side::Client, "iperf3");
    command.args(["-4", "-J", "-c", peer.server(), "-t", &seconds.to_string()]);
    command.args(["--connect-timeout", "3000"]);
    let meter = Meter::start(peer)?;
    let output = run(&mut command, Duration::from_secs(seconds.into()) + SLACK)?;
    let cost = meter.stop()?;
    let report: Value = parse("iperf3's report", &output.text)?;
    let number = |path: &str| report.pointer(path).and_then(Value::as_f64);
    let unexpected = || Error::Malformed { place: "iperf3's report".into(), text: start_of(&output.text) };
    Ok(Tcp {
        gigabits_per_second: number("/end/sum_received/bits_per_second").ok_or_else(unexpected)? / 1e9,
        gigabytes: number("/end/sum_received/bytes").ok_or_else(unexpected)? / 1e9,
        retransmits: report.pointer("/end/sum_sent/retransmits").and_then(Value::as_u64).unwrap_or(0),
        cost,
    })
}

/// A stream of 64-byte frames.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Udp {
    pub(crate) sent: u64,
    pub(crate) delivered: u64,
    pub(crate) seconds: f64,
    pub(crate) cost: Cost,
}

#[expect(clippy::cast_precision_loss, reason = "far fewer than 2^52 packets")]
impl Udp {
    pub(crate) fn sent_per_second(&self) -> f64 {
        self.sent as f64 / self.seconds
    }

    pub(crate) fn delivered_per_second(&self) -> f64 {
        self.delivered as f64 / self.seconds
    }

    /// Share of what was sent that did not arrive.
    pub(crate) fn loss(&self) -> f64 {
        1.0 - self.delivered as f64 / self.sent as f64
    }

    /// Delivered packets for each second any CPU of the machine worked.
    pub(crate) fn per_cpu_second(&self) -> f64 {
        self.delivered as f64 / self.cost.machine.busy()
    }

    /// Delivered packets for each CPU second of the processes that move packets.
    pub(crate) fn per_dataplane_second(&self) -> f64 {
        self.delivered as f64 / self.cost.dataplane.total()
    }
}

/// Sends from the client for a while, at `rate` packets a second or, with 0, as fast as it goes.
pub(crate) fn udp(peer: &dyn Peer, seconds: u32, rate: u32) -> Result<Udp> {
    let receiver = receiver(peer)?;
    let mut command = interop(peer, Side::Client, "udp-send");
    command.arg(format!("{}:{}", peer.server(), udp::PORT));
    command.args(["--seconds", &seconds.to_string(), "--rate", &rate.to_string()]);
    let meter = Meter::start(peer)?;
    let output = run(&mut command, Duration::from_secs(seconds.into()) + SLACK)?;
    let cost = meter.stop()?;
    let sent: Sent = parse("the sender's report", &output.text)?;
    let output = receiver.finish(SLACK)?;
    let text = output.text.trim_start_matches(udp::READY);
    let received: Received = parse("the receiver's report", text)?;
    if received.foreign > 0 {
        let what = format!("{} packets arrived that nobody sent", received.foreign);
        return Err(Error::Peer { peer: peer.kind().name().into(), what });
    }
    Ok(Udp { sent: sent.packets, delivered: received.packets, seconds: sent.seconds, cost })
}

/// Starts the receiver at the server's end.
pub(crate) fn receiver(peer: &dyn Peer) -> Result<Running> {
    let mut receiver = start(&mut interop(peer, Side::Server, "udp-receive"))?;
    receiver.await_text(udp::READY, SLACK)?;
    Ok(receiver)
}

fn interop(peer: &dyn Peer, side: Side, verb: &str) -> Command {
    let mut command = peer.command(side, &peer.interop().to_string_lossy());
    command.arg(verb);
    command
}

fn parse<T: serde::de::DeserializeOwned>(place: &str, text: &str) -> Result<T> {
    serde_json::from_str(text.trim())
        .map_err(|_| Error::Malformed { place: place.into(), text: start_of(text) })
}

fn start_of(text: &str) -> String {
    text.chars().take(300).collect()
}
