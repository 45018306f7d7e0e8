//! `weft softnic monitor`.

use std::collections::HashMap;
use std::io::IsTerminal;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use clap::Args;
use serde::Serialize;
use softnic::bess::Client;

use super::picture::Picture;
use super::{At, pause, report};
use crate::commands::live::{self, Live, Section};
use crate::style::count;

/// Watch the rates of gates, ports and traffic classes, live.
///
/// Without a terminal it prints a line each time: what has moved, as packets per second.
#[derive(Debug, Args)]
#[command(
    after_help = "Example:\n  weft softnic monitor\n  weft softnic monitor --interval 500ms --count 3 --json\n\n\
                        Keys: q or Ctrl-C ends."
)]
pub(crate) struct Monitor {
    #[command(flatten)]
    at: At,
    /// Pause between two looks, such as 1s or 500ms
    #[arg(long, value_name = "TIME", default_value = "1s", value_parser = pause)]
    interval: Duration,
    /// Stop after that many lines
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    count: Option<u64>,
    /// Print a line of JSON each time
    #[arg(long)]
    json: bool,
}

impl Monitor {
    pub(super) fn run(&self) -> miette::Result<ExitCode> {
        let mut view = View::new(self.at.connect()?)?;
        if std::io::stdout().is_terminal() && !self.json && self.count.is_none() {
            live::watch(&mut view, self.interval)?;
            return Ok(ExitCode::SUCCESS);
        }
        let mut lines = 0;
        while self.count.is_none_or(|count| lines < count) {
            std::thread::sleep((view.taken + self.interval).saturating_duration_since(Instant::now()));
            view.refresh()?;
            if self.json {
                let line =
                    serde_json::to_string(&view.rates()).map_err(|error| miette::miette!("{error}"))?;
                println!("{line}");
            } else {
                println!("{}", view.line());
            }
            lines += 1;
        }
        Ok(ExitCode::SUCCESS)
    }
}

/// Two pictures, and what happened between them.
struct View {
    client: Client,
    before: Picture,
    now: Picture,
    taken: Instant,
    seconds: f64,
}

/// What happened in an interval, per second.
#[derive(Serialize)]
struct Rates {
    seconds: f64,
    gates: Vec<GateRate>,
    ports: Vec<PortRate>,
    classes: Vec<ClassRate>,
}

#[derive(Serialize)]
struct GateRate {
    module: String,
    gate: u64,
    to: String,
    packets: f64,
    batches: f64,
    total: u64,
}

#[derive(Serialize)]
struct PortRate {
    port: String,
    received_packets: f64,
    received_bits: f64,
    sent_packets: f64,
    sent_bits: f64,
    dropped: f64,
}

#[derive(Serialize)]
struct ClassRate {
    class: String,
    turns: f64,
    packets: f64,
    bits: f64,
    cycles: f64,
    /// Cycles that a packet took; `null` without packets.
    cycles_per_packet: Option<f64>,
}

impl View {
    fn new(mut client: Client) -> miette::Result<Self> {
        let now = Picture::take(&mut client).map_err(report)?;
        Ok(Self { client, before: now.clone(), now, taken: Instant::now(), seconds: 1.0 })
    }

    /// How much a count has grown in a second; what has begun anew has no rate.
    fn rate(&self, now: u64, before: Option<u64>) -> f64 {
        now.saturating_sub(before.unwrap_or(now)) as f64 / self.seconds
    }

    fn rates(&self) -> Rates {
        Rates { seconds: self.seconds, gates: self.gates(), ports: self.ports(), classes: self.classes() }
    }

    fn gates(&self) -> Vec<GateRate> {
        let gates = |picture: &Picture| -> HashMap<(String, u64), [u64; 2]> {
            let outputs = picture.modules.iter().flat_map(|module| {
                module
                    .outputs
                    .iter()
                    .map(|output| ((module.name.clone(), output.gate), [output.packets, output.batches]))
            });
            outputs.collect()
        };
        let before = gates(&self.before);
        let mut rates = Vec::new();
        for module in &self.now.modules {
            for output in &module.outputs {
                let old = before.get(&(module.name.clone(), output.gate));
                rates.push(GateRate {
                    module: module.name.clone(),
                    gate: output.gate,
                    to: format!("{}:{}", output.to_gate, output.to),
                    packets: self.rate(output.packets, old.map(|old| old[0])),
                    batches: self.rate(output.batches, old.map(|old| old[1])),
                    total: output.packets,
                });
            }
        }
        rates
    }

    fn ports(&self) -> Vec<PortRate> {
        let before: HashMap<_, _> = self.before.ports.iter().map(|port| (port.name.as_str(), port)).collect();
        let rates = self.now.ports.iter().map(|port| {
            let (old, now) = (before.get(port.name.as_str()), port);
            PortRate {
                port: port.name.clone(),
                received_packets: self.rate(now.received.packets, old.map(|old| old.received.packets)),
                received_bits: self.rate(now.received.bytes, old.map(|old| old.received.bytes)) * 8.0,
                sent_packets: self.rate(now.sent.packets, old.map(|old| old.sent.packets)),
                sent_bits: self.rate(now.sent.bytes, old.map(|old| old.sent.bytes)) * 8.0,
                dropped: self.rate(
                    now.received.dropped + now.sent.dropped,
                    old.map(|old| old.received.dropped + old.sent.dropped),
                ),
            }
        });
        rates.collect()
    }

    fn classes(&self) -> Vec<ClassRate> {
        let before: HashMap<_, _> =
            self.before.classes.iter().map(|class| (class.name.as_str(), class)).collect();
        let rates = self.now.classes.iter().map(|class| {
            let old = before.get(class.name.as_str());
            let packets = self.rate(class.packets, old.map(|old| old.packets));
            let cycles = self.rate(class.cycles, old.map(|old| old.cycles));
            ClassRate {
                class: class.name.clone(),
                turns: self.rate(class.turns, old.map(|old| old.turns)),
                packets,
                bits: self.rate(class.bits, old.map(|old| old.bits)),
                cycles,
                cycles_per_packet: (packets > 0.0).then(|| cycles / packets),
            }
        });
        rates.collect()
    }

    /// What has moved, in one line.
    fn line(&self) -> String {
        let mut parts = Vec::new();
        for gate in self.gates().iter().filter(|gate| gate.packets > 0.0) {
            parts.push(format!("{}:{} {}", gate.module, gate.gate, per_second(gate.packets)));
        }
        for port in self.ports().iter().filter(|port| port.received_packets + port.sent_packets > 0.0) {
            let (received, sent) = (per_second(port.received_packets), per_second(port.sent_packets));
            parts.push(format!("port {} in {received} out {sent}", port.port));
        }
        for class in self.classes().iter().filter(|class| class.packets > 0.0) {
            parts.push(format!("tc {} {}", class.class, per_second(class.packets)));
        }
        if parts.is_empty() { "nothing moves".to_owned() } else { parts.join(", ") }
    }
}

fn per_second(rate: f64) -> String {
    format!("{}/s", count(rate))
}

fn bits(rate: f64) -> String {
    let number = count(rate);
    let space = if number.ends_with(|last: char| last.is_ascii_digit()) { " " } else { "" };
    format!("{number}{space}bit/s")
}

impl Live for View {
    fn refresh(&mut self) -> miette::Result<()> {
        let now = Picture::take(&mut self.client).map_err(report)?;
        self.before = std::mem::replace(&mut self.now, now);
        self.seconds = self.taken.elapsed().as_secs_f64().max(1e-3);
        self.taken = Instant::now();
        Ok(())
    }

    fn taken(&self) -> Instant {
        self.taken
    }

    fn summary(&self) -> String {
        let running = self.now.workers.iter().filter(|worker| worker.running).count();
        let workers = self.now.workers.len();
        let (modules, ports) = (self.now.modules.len(), self.now.ports.len());
        format!("{modules} modules, {ports} ports, {running} of {workers} workers running")
    }

    fn sections(&self) -> Vec<Section> {
        let gates = self.gates().into_iter().map(|gate| {
            let batch = if gate.batches > 0.0 {
                format!("{:.1}", gate.packets / gate.batches)
            } else {
                String::new()
            };
            let cells = vec![
                format!("{}:{}", gate.module, gate.gate),
                gate.to,
                per_second(gate.packets),
                batch,
                gate.total.to_string(),
            ];
            (gate.packets, cells)
        });
        let ports = self.ports().into_iter().map(|port| {
            let cells = vec![
                port.port,
                per_second(port.received_packets),
                bits(port.received_bits),
                per_second(port.sent_packets),
                bits(port.sent_bits),
                per_second(port.dropped),
            ];
            (port.received_packets + port.sent_packets, cells)
        });
        let classes = self.classes().into_iter().map(|class| {
            let each = class.cycles_per_packet.map(|cycles| format!("{cycles:.0}")).unwrap_or_default();
            let cells =
                vec![class.class, per_second(class.packets), bits(class.bits), per_second(class.turns), each];
            (class.packets, cells)
        });
        vec![
            Section::sorted("GATE,TO,PACKETS,IN A BATCH,TOTAL", 3, gates.collect()),
            Section::sorted("PORT,RECEIVED,BITS,SENT,BITS,DROPPED", 2, ports.collect()),
            Section::sorted("CLASS,PACKETS,BITS,TURNS,CYCLES A PACKET", 2, classes.collect()),
        ]
    }
}
