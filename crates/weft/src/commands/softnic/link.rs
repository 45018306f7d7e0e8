//! `weft softnic link`.

mod summary;

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use clap::Args;
use miette::{IntoDiagnostic, Report, miette};
use packet::{Pool, PoolConfig, ROOM};
use ports::{Port, PortSpec};
use sim::quantity::{self, Buffer};
use sim::{LinkSpec, Rate, Time};
use softnic::engine::{Edit, Engine, WorkerConfig};
use softnic::modules::{LevelMap, LinkEmulator, LinkEmulatorConfig, PortIn, PortOut};
use tokio::signal::unix::{SignalKind, signal};

use super::duration;
use crate::commands::print_json;
use summary::Summary;

/// How often it is looked whether the ports are still there.
const LOOK_EVERY: Duration = Duration::from_millis(250);
/// Bytes of a frame that are not its payload: Ethernet and two tags.
const FRAME_HEADERS: usize = 22;
/// The longest MTU that a link has buffers for.
const MTU_MAX: usize = 16_384;

/// Join two ports with an emulated link, until Ctrl-C, and print what was counted.
///
/// What comes in at one port leaves at the other at the link's rate and after its delay, in both directions. A value is for
/// both of them; two values with a slash between are for a to b and for b to a: --rate 50mbit/5mbit, --loss 0/1%.
///
/// Before each end is a buffer that eight levels of strict priority share. A packet for which there is no room takes that of
/// the last ones of the lowest level below its own; where there are none it is dropped. Rate and buffer count Ethernet
/// frames without check sequence, one by one: large segments are cut first.
///
/// Ports are opened in the network namespace of the command, or in those of --a-netns and --b-netns: a name of `ip netns`, a
/// path, or the number of a process. So two TAP interfaces in two namespaces make a WAN between these.
#[derive(Debug, Args)]
#[command(
    after_help = "Example:\n  weft softnic link --a veth:left --b veth:right --rate 50mbit --delay 40ms --buffer 1bdp --loss 0.1%\n  \
                        weft softnic link --a tap:wan --a-netns left --b tap:wan --b-netns right --rate 10mbit --delay 20ms\n\n\
                  Ports: tap:NAME, veth:NAME, xdp:NAME, unix:PATH, memif:PATH,role=server.\n\
                  Exit codes: 0 done, 1 a port failed, 2 wrong usage."
)]
pub(crate) struct Link {
    /// The port at one end
    #[arg(long, value_name = "PORT", value_parser = port)]
    a: PortSpec,
    /// The port at the other end
    #[arg(long, value_name = "PORT", value_parser = port)]
    b: PortSpec,
    /// The network namespace of port a
    #[arg(long, value_name = "NETNS", value_parser = netns)]
    a_netns: Option<PathBuf>,
    /// The network namespace of port b
    #[arg(long, value_name = "NETNS", value_parser = netns)]
    b_netns: Option<PathBuf>,
    /// Bits a second: 50mbit, 1gbit
    #[arg(long, value_name = "RATE", value_parser = both::<Rate>)]
    rate: Both<Rate>,
    /// How long a packet is on the link, one way: 40ms
    #[arg(long, value_name = "TIME", value_parser = both::<Time>, default_value = "0ms")]
    delay: Both<Time>,
    /// Added to the delay, uniform from 0 to this; the order stays
    #[arg(long, value_name = "TIME", value_parser = both::<Time>, default_value = "0ms")]
    jitter: Both<Time>,
    /// The share of packets that are lost: 0.1%, 0.001
    #[arg(long, value_name = "SHARE", value_parser = both::<Share>, default_value = "0")]
    loss: Both<Share>,
    /// The share of packets that are held up, so that later ones overtake them
    #[arg(long, value_name = "SHARE", value_parser = both::<Share>, default_value = "0")]
    reorder: Both<Share>,
    /// How long these are held up
    #[arg(long, value_name = "TIME", value_parser = both::<Time>, default_value = "1ms")]
    reorder_by: Both<Time>,
    /// Bytes that may wait before it, 64KB, or bandwidth-delay products of a round trip, 0.25bdp; one such product and at least
    /// 100KB unless it is given
    #[arg(long, value_name = "BUFFER", value_parser = both::<Buffer>)]
    buffer: Option<Both<Buffer>>,
    /// The level of a packet by its DSCP: dscp (n is level n up to 7, others 0), one (all are level 0), or a list such as
    /// 46=0,8=7,*=3
    #[arg(long, value_name = "MAP", default_value_t = LevelMap::DSCP)]
    levels: LevelMap,
    /// Bytes that every frame is longer on the wire: 24 for Ethernet with preamble, check sequence and gap
    #[arg(long, value_name = "BYTES", default_value_t = 0, value_parser = clap::value_parser!(u32).range(0..=1000))]
    overhead: u32,
    /// Packets that each direction holds at most; as many as fit unless it is given
    #[arg(long, value_name = "COUNT")]
    packets: Option<usize>,
    /// What is lost and held up, drawn from this number
    #[arg(long, value_name = "NUMBER")]
    seed: Option<u64>,
    /// The core to run on
    #[arg(short = 'c', long, value_name = "CORE")]
    core: Option<usize>,
    /// Never sleep: more exact, for a core of its own
    #[arg(long)]
    spin: bool,
    /// Stop after that time, such as 10s or 1.5s
    #[arg(long, value_name = "TIME", value_parser = duration)]
    duration: Option<Duration>,
    /// Print the counters as JSON
    #[arg(long)]
    json: bool,
}

/// A value for each direction, a to b first.
#[derive(Clone, Copy, Debug)]
struct Both<T>([T; 2]);

fn both<T: std::str::FromStr<Err: std::fmt::Display> + Copy>(text: &str) -> Result<Both<T>, String> {
    let read = |text: &str| text.parse::<T>().map_err(|error| error.to_string());
    match text.split_once('/') {
        Some((forth, back)) => Ok(Both([read(forth)?, read(back)?])),
        None => read(text).map(|value| Both([value; 2])),
    }
}

/// A share of packets.
#[derive(Clone, Copy, Debug)]
struct Share(f64);

impl std::str::FromStr for Share {
    type Err = sim::QuantityError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        quantity::share(text).map(Self)
    }
}

/// A port that packets come in at without an end.
fn port(text: &str) -> Result<PortSpec, String> {
    match text.parse::<PortSpec>().map_err(|error| error.to_string())? {
        PortSpec::Pcap(_) => {
            Err("a link is on the clock, a capture file is not; `weft netbricks run delay` plays one".into())
        }
        port => Ok(port),
    }
}

/// Where a network namespace is found.
fn netns(text: &str) -> Result<PathBuf, String> {
    let path = match text {
        number if number.parse::<u32>().is_ok() => format!("/proc/{number}/ns/net"),
        path if path.contains('/') => path.to_owned(),
        "" => return Err("the name of a network namespace is wanted".into()),
        name => format!("/run/netns/{name}"),
    };
    Ok(path.into())
}

impl Link {
    pub(super) fn run(&self) -> miette::Result<ExitCode> {
        let links = [0, 1].map(|way| self.link(way));
        let engine = self.start(&links)?;
        self.watch(&engine)?;
        let summary = Summary::of(&engine, [&self.a, &self.b])?;
        if self.json {
            print_json(&summary)?;
        } else {
            summary.print(&links);
        }
        let errors = summary.errors();
        errors.iter().for_each(|error| eprintln!("warning: {error}"));
        Ok(if errors.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
    }

    /// One direction, as it was asked for.
    fn link(&self, way: usize) -> LinkSpec {
        let (rate, delays) = (self.rate.0[way], self.delay.0);
        let round_trip = delays[0] + delays[1];
        let buffer = match self.buffer {
            Some(Both(buffers)) => buffers[way].bytes(rate, round_trip),
            None => Buffer::usual(rate, round_trip),
        };
        LinkSpec::new(rate, delays[way])
            .buffer(buffer)
            .loss(self.loss.0[way].0)
            .jitter(self.jitter.0[way])
            .reorder(self.reorder.0[way].0, self.reorder_by.0[way])
    }

    fn start(&self, links: &[LinkSpec; 2]) -> miette::Result<Engine> {
        let pool = netbricks::live::pool([&self.a, &self.b]).map_err(Report::msg)?;
        let ports =
            [open(&self.a, self.a_netns.as_ref(), &pool)?, open(&self.b, self.b_netns.as_ref(), &pool)?];
        let mtu = ports.iter().map(|port| port.info().mtu.min(MTU_MAX)).max().unwrap_or_default();
        let room = (mtu + FRAME_HEADERS).max(ROOM);
        let seed = self.seed.map_or_else(super::seed, Ok)?;

        let engine = Engine::new();
        let config = WorkerConfig { core: self.core, spin: self.spin };
        let worker = engine.add_worker(config).map_err(Report::msg)?;
        let mut edit = Edit::new();
        for (at, port) in ports.into_iter().enumerate() {
            let [name, come, leave] = [PORTS[at], COME[at], LEAVE[at]];
            engine.add_port(name, port).map_err(Report::msg)?;
            let (rx, tx) = engine.queue(name, 0).map_err(Report::msg)?;
            edit = edit.add(come, PortIn::new(rx), worker).add(leave, PortOut::new(tx), worker);
        }
        for (way, link) in links.iter().enumerate() {
            let fit = LinkEmulatorConfig::new(*link);
            let config = LinkEmulatorConfig {
                levels: self.levels,
                overhead_bytes: self.overhead,
                packets: self.packets.unwrap_or(fit.packets),
                seed: seed.wrapping_add(way as u64),
                ..fit
            };
            let buffers = PoolConfig { buffers: config.packets, room, ..PoolConfig::default() };
            let buffers = Pool::new(buffers).map_err(Report::msg)?;
            let module = LinkEmulator::new(config, buffers).map_err(Report::msg)?;
            edit = edit.add(WAYS[way], module, worker).connect(COME[way], 0, WAYS[way], 0).connect(
                WAYS[way],
                0,
                LEAVE[1 - way],
                0,
            );
        }
        engine.apply(edit).map_err(Report::msg)?;
        eprintln!("the link between {} and {} is up; Ctrl-C ends", self.a, self.b);
        Ok(engine)
    }

    /// Waits until it is told to end, or a port has failed.
    fn watch(&self, engine: &Engine) -> miette::Result<()> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().into_diagnostic()?;
        runtime.block_on(async {
            let mut interrupt = signal(SignalKind::interrupt()).into_diagnostic()?;
            let mut terminate = signal(SignalKind::terminate()).into_diagnostic()?;
            let end = self.duration.map(|duration| Instant::now() + duration);
            loop {
                let snapshot = engine.snapshot();
                let failed =
                    COME.iter().filter_map(|name| snapshot.module(name)).any(|port| !port.status.is_empty());
                let left = end.map_or(LOOK_EVERY, |end| end.saturating_duration_since(Instant::now()));
                if failed || left.is_zero() {
                    return Ok(());
                }
                tokio::select! {
                    _ = interrupt.recv() => return Ok(()),
                    _ = terminate.recv() => return Ok(()),
                    () = tokio::time::sleep(left.min(LOOK_EVERY)) => {}
                }
            }
        })
    }
}

/// Names in the engine, by port.
const PORTS: [&str; 2] = ["a", "b"];
const COME: [&str; 2] = ["from_a", "from_b"];
const LEAVE: [&str; 2] = ["to_a", "to_b"];
/// Names in the engine, by direction.
const WAYS: [&str; 2] = ["a_to_b", "b_to_a"];

fn open(spec: &PortSpec, netns: Option<&PathBuf>, pool: &Pool) -> miette::Result<Box<dyn Port>> {
    let mut spec = spec.clone();
    if let PortSpec::Packet(_, config) = &mut spec {
        // A packet's delay begins when the kernel has it, not when the worker has woken up.
        config.stamps = config.ring == 0;
    }
    let spec = &spec;
    let Some(path) = netns else { return ports::open(spec, pool).map_err(Report::msg) };
    let there = host::netns::open(path)
        .map_err(|error| miette!(help = "`ip netns` lists those that have names", "{error}"))?;
    host::netns::within(&there, || ports::open(spec, pool)).map_err(Report::msg)?.map_err(Report::msg)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_is_for_both_directions_or_for_each() {
        assert_eq!(both::<Rate>("50mbit").unwrap().0, [Rate::from_mbit(50); 2]);
        assert_eq!(both::<Rate>("50mbit/5mbit").unwrap().0, [50, 5].map(Rate::from_mbit));
        assert!(both::<Rate>("50mbit/").is_err() && both::<Time>("1ms/2ms/3ms").is_err());
        assert!(both::<Share>("1%/101%").unwrap_err().contains("`101%` is no share"));
    }

    #[test]
    fn namespaces_by_name_path_and_process() {
        assert_eq!(netns("left"), Ok("/run/netns/left".into()));
        assert_eq!(netns("/proc/self/ns/net"), Ok("/proc/self/ns/net".into()));
        assert_eq!(netns("12"), Ok("/proc/12/ns/net".into()));
        assert!(netns("").is_err());
        assert!(port("pcap:x.pcap").unwrap_err().contains("netbricks run delay") && port("tap:x").is_ok());
    }
}
