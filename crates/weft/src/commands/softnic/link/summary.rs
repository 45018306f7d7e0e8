//! What a link has counted, for people and for programs.

use miette::Report;
use ports::PortSpec;
use serde::Serialize;
use sim::LinkSpec;
use softnic::engine::{Engine, Snapshot};
use softnic::modules::{LinkEmulator, LinkEmulatorCounters};

use super::{COME, LEAVE, PORTS, WAYS};
use crate::style::columns;

/// Both directions and both ports.
#[derive(Debug, Serialize)]
pub(super) struct Summary {
    directions: [Direction; 2],
    ports: [PortSummary; 2],
}

/// One direction.
#[derive(Debug, Serialize)]
struct Direction {
    from: String,
    to: String,
    /// Levels that packets came of.
    levels: Vec<Level>,
    /// Packets that were on the link at the end.
    held: usize,
    queued_bytes: u64,
    queued_bytes_most: u64,
    no_buffer: u64,
    too_long: u64,
    unfinished: u64,
    /// Packets that had crossed the link and that the port did not take.
    not_sent: u64,
}

#[derive(Debug, Serialize)]
struct Level {
    level: usize,
    arrived: u64,
    carried: u64,
    carried_bytes: u64,
    dropped: u64,
    evicted: u64,
    lost: u64,
    held_up: u64,
    over_limit: u64,
}

#[derive(Debug, Serialize)]
struct PortSummary {
    port: String,
    rx_packets: u64,
    rx_dropped: u64,
    tx_packets: u64,
    tx_dropped: u64,
    error: Option<String>,
}

impl Summary {
    pub(super) fn of(engine: &Engine, ports: [&PortSpec; 2]) -> miette::Result<Self> {
        let counters = |way: usize| {
            engine.with_module(WAYS[way], |link: &mut LinkEmulator| link.counters()).map_err(Report::msg)
        };
        let (forth, back) = (counters(0)?, counters(1)?);
        let snapshot = engine.snapshot();
        Ok(Self {
            directions: [
                Direction::of(&forth, ports, not_sent(&snapshot, LEAVE[1])),
                Direction::of(&back, [ports[1], ports[0]], not_sent(&snapshot, LEAVE[0])),
            ],
            ports: [0, 1].map(|at| PortSummary::of(&snapshot, ports[at], at)),
        })
    }

    /// What went wrong with the ports.
    pub(super) fn errors(&self) -> Vec<&str> {
        self.ports.iter().filter_map(|port| port.error.as_deref()).collect()
    }

    pub(super) fn print(&self, links: &[LinkSpec; 2]) {
        for (direction, link) in self.directions.iter().zip(links) {
            direction.print(link);
        }
        let head = ["port", "rx packets", "rx dropped", "tx packets", "tx dropped"].map(str::to_owned);
        let mut rows = vec![head.to_vec()];
        rows.extend(self.ports.iter().map(|port| {
            let counts = [port.rx_packets, port.rx_dropped, port.tx_packets, port.tx_dropped];
            [vec![port.port.clone()], counts.map(|count| count.to_string()).to_vec()].concat()
        }));
        print!("{}", columns(&rows));
    }
}

fn not_sent(snapshot: &Snapshot, module: &str) -> u64 {
    snapshot.module(module).map_or(0, |module| module.dropped)
}

impl Direction {
    fn of(counters: &LinkEmulatorCounters, [from, to]: [&PortSpec; 2], not_sent: u64) -> Self {
        let levels = counters.link.levels.iter().enumerate().filter(|(_, stats)| stats.arrived > 0);
        let levels = levels.map(|(level, stats)| Level {
            level,
            arrived: stats.arrived,
            carried: stats.carried,
            carried_bytes: stats.carried_bytes,
            dropped: stats.dropped,
            evicted: stats.evicted,
            lost: stats.lost,
            held_up: stats.held_up,
            over_limit: stats.over_limit,
        });
        Self {
            from: from.to_string(),
            to: to.to_string(),
            levels: levels.collect(),
            held: counters.link.held,
            queued_bytes: counters.link.queued_bytes,
            queued_bytes_most: counters.link.queued_most,
            no_buffer: counters.no_buffer,
            too_long: counters.too_long,
            unfinished: counters.unfinished,
            not_sent,
        }
    }

    fn print(&self, link: &LinkSpec) {
        let (mbit, ms) = (link.rate.bits_per_second() as f64 / 1e6, link.delay.secs_f64() * 1e3);
        println!("{} -> {}: {mbit} Mbit/s, {ms} ms, buffer {} bytes", self.from, self.to, link.buffer_bytes);
        let head =
            ["level", "arrived", "carried", "bytes", "dropped", "evicted", "lost", "held up", "over limit"];
        let mut rows = vec![head.map(str::to_owned).to_vec()];
        rows.extend(self.levels.iter().map(|level| {
            let counts = [
                level.arrived,
                level.carried,
                level.carried_bytes,
                level.dropped,
                level.evicted,
                level.lost,
                level.held_up,
                level.over_limit,
            ];
            [vec![level.level.to_string()], counts.map(|count| count.to_string()).to_vec()].concat()
        }));
        print!("{}", columns(&rows));
        println!("{} packets on the link, {} bytes waited at most", self.held, self.queued_bytes_most);
        let beside = [
            (self.no_buffer, "for want of a buffer"),
            (self.too_long, "too long"),
            (self.unfinished, "with senseless work left on them"),
            (self.not_sent, "not taken by the port"),
        ];
        for (count, why) in beside.into_iter().filter(|(count, _)| *count > 0) {
            println!("{count} more dropped, {why}");
        }
        println!();
    }
}

impl PortSummary {
    fn of(snapshot: &Snapshot, spec: &PortSpec, at: usize) -> Self {
        let port = snapshot.ports.iter().find(|port| port.name == PORTS[at]);
        let count = |count: fn(&softnic::engine::PortSnapshot) -> u64| port.map_or(0, count);
        let told = [COME[at], LEAVE[at]].into_iter().filter_map(|name| snapshot.module(name));
        Self {
            port: spec.to_string(),
            rx_packets: count(|port| port.rx_packets),
            rx_dropped: count(|port| port.rx_dropped),
            tx_packets: count(|port| port.tx_packets),
            tx_dropped: count(|port| port.tx_dropped),
            error: told.map(|module| module.status.clone()).find(|status| !status.is_empty()),
        }
    }
}
