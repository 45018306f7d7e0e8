//! `weft openflow switch`.

use std::hash::{BuildHasher, RandomState};
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use clap::{Args, ValueEnum};
use miette::{IntoDiagnostic, Report, miette};
use openflow::live::agent::AgentConfig;
use openflow::live::{HubConfig, Target, TlsFiles, TlsIdentity};
use openflow::port::Port;
use openflow::switch::{FailMode, SwitchConfig};
use packet::wire::MacAddr;
use ports::PortSpec;
use serde::Serialize;
use softnic::engine::{Edit, Engine, Gate, WorkerConfig};
use softnic::modules::{OpenFlowSwitch, PortIn, PortOut};
use tokio::signal::unix::{SignalKind, signal};

use super::duration;
use crate::commands::print_json;
use crate::style::columns;

/// How often the links of ports are looked at.
const LINKS_EVERY: Duration = Duration::from_millis(250);
/// The module's name in the engine.
const SWITCH: &str = "switch";

/// Run an OpenFlow switch until Ctrl-C, and print what was counted.
///
/// Its ports are any of weft's, numbered from 1 in the order given. Controllers are dialled (tcp:ADDRESS[:PORT], ssl:…,
/// unix:PATH) and listened for (ptcp:[PORT][:ADDRESS], pssl:…, punix:PATH), several at a time, in OpenFlow 1.0 and 1.3.
#[derive(Debug, Args)]
#[command(
    after_help = "Example:\n  weft openflow switch --port veth:eth1 --port tap:wt0 --controller tcp:127.0.0.1:6653\n  \
                        weft openflow switch --port tap:wt0 --listen ptcp:6654:127.0.0.1 --fail standalone\n\n\
                  Ports: tap:NAME, veth:NAME, xdp:NAME, unix:PATH, pcap:FILE."
)]
pub(crate) struct Switch {
    /// A port
    #[arg(long = "port", value_name = "PORT", required = true)]
    ports: Vec<PortSpec>,
    /// A controller to connect to
    #[arg(long = "controller", value_name = "TARGET", value_parser = dialled)]
    controllers: Vec<Target>,
    /// Where controllers connect to
    #[arg(long = "listen", value_name = "TARGET", value_parser = listened)]
    listen: Vec<Target>,
    /// What becomes of packets that no flow matches while there is no controller
    #[arg(long, value_enum, default_value = "secure")]
    fail: Fail,
    /// How long a switch that fails standalone waits for its controllers before it does
    #[arg(long, value_name = "TIME", value_parser = duration, default_value = "15s")]
    grace: Duration,
    /// The datapath id, 16 hexadecimal digits; that of the first port's address unless it is given
    #[arg(long, value_name = "HEX", value_parser = datapath)]
    datapath_id: Option<u64>,
    /// Flows that each table holds
    #[arg(long, value_name = "COUNT", default_value_t = openflow::switch::FLOWS_MAX)]
    flows: usize,
    /// For ssl: and pssl:, the private key, PEM
    #[arg(long, value_name = "FILE", requires = "certificate")]
    private_key: Option<PathBuf>,
    /// For ssl: and pssl:, its certificate, PEM
    #[arg(long, value_name = "FILE", requires = "ca_cert")]
    certificate: Option<PathBuf>,
    /// For ssl: and pssl:, the authority that signs controllers' certificates, PEM
    #[arg(long, value_name = "FILE", requires = "private_key")]
    ca_cert: Option<PathBuf>,
    /// The core to run on
    #[arg(short = 'c', long, value_name = "CORE")]
    core: Option<usize>,
    /// Stop after that time, such as 10s or 1.5s
    #[arg(long, value_name = "TIME", value_parser = duration)]
    duration: Option<Duration>,
    /// Print the counters as JSON
    #[arg(long)]
    json: bool,
}

/// What becomes of packets that no flow matches while there is no controller.
#[derive(Clone, Copy, Debug, ValueEnum)]
enum Fail {
    /// They are dropped
    Secure,
    /// They are forwarded as by an ordinary switch
    Standalone,
}

fn dialled(text: &str) -> Result<Target, String> {
    let target: Target = text.parse().map_err(|error| format!("{error}"))?;
    if target.listens() { Err("to wait for controllers, say --listen".into()) } else { Ok(target) }
}

fn listened(text: &str) -> Result<Target, String> {
    let target: Target = text.parse().map_err(|error| format!("{error}"))?;
    if target.listens() { Ok(target) } else { Err("to connect to a controller, say --controller".into()) }
}

fn datapath(text: &str) -> Result<u64, String> {
    u64::from_str_radix(text.trim_start_matches("0x"), 16)
        .map_err(|_| format!("`{text}` is no number of up to 16 hexadecimal digits"))
}

/// What a switch has done, for programs.
#[derive(Serialize)]
struct Summary {
    datapath_id: String,
    flows: usize,
    packets: u64,
    packets_by_cache: u64,
    dropped: u64,
    ports: Vec<PortSummary>,
    controllers: Vec<ControllerSummary>,
    /// Connections that were made to it and are over, and the last of them.
    connections_ended: u64,
    last_ended: Option<String>,
}

#[derive(Serialize)]
struct PortSummary {
    number: usize,
    port: String,
    up: Option<bool>,
    rx_packets: u64,
    rx_dropped: u64,
    tx_packets: u64,
    tx_dropped: u64,
}

#[derive(Serialize)]
struct ControllerSummary {
    peer: String,
    version: Option<String>,
    problem: Option<String>,
}

impl Switch {
    pub(super) fn run(&self) -> miette::Result<ExitCode> {
        let (engine, datapath) = self.start()?;
        self.watch(&engine)?;
        let summary = self.summary(&engine, datapath)?;
        if self.json {
            print_json(&summary)?;
        } else {
            print_summary(&summary);
        }
        Ok(ExitCode::SUCCESS)
    }

    fn start(&self) -> miette::Result<(Engine, u64)> {
        let pool = netbricks::live::pool(&self.ports).map_err(Report::msg)?;
        let mut opened = Vec::new();
        for spec in &self.ports {
            opened.push(ports::open(spec, &pool).map_err(Report::msg)?);
        }
        let described: Vec<Port> = opened
            .iter()
            .map(|port| Port {
                name: port.info().name.clone(),
                address: MacAddr(port.info().mac.unwrap_or_default()),
                ..Port::default()
            })
            .collect();
        let [a, b, c, d, e, f] = described[0].address.0;
        let datapath = self.datapath_id.unwrap_or(u64::from_be_bytes([0, 0, a, b, c, d, e, f]).max(1));
        let (config, limits) = (self.config(datapath), self.limits()?);
        let (switch, listening) =
            OpenFlowSwitch::new(config, described, pool, limits).map_err(|error| miette!("{error}"))?;
        listening.iter().for_each(|target| eprintln!("waiting for controllers at {target}"));

        let engine = Engine::new();
        let worker = engine.add_worker(WorkerConfig { core: self.core, spin: false }).map_err(Report::msg)?;
        let mut edit = Edit::new().add(SWITCH, switch, worker);
        for (gate, port) in (0..).zip(opened) {
            let (name, come, leave) = (number(gate), format!("in{}", gate + 1), format!("out{}", gate + 1));
            engine.add_port(&name, port).map_err(Report::msg)?;
            let (rx, tx) = engine.queue(&name, 0).map_err(Report::msg)?;
            edit = edit
                .add(&come, PortIn::new(rx), worker)
                .add(&leave, PortOut::new(tx), worker)
                .connect(&come, 0, SWITCH, gate)
                .connect(SWITCH, gate, &leave, 0);
        }
        engine.apply(edit).map_err(Report::msg)?;
        eprintln!("switch {datapath:016x} with {} ports is running; Ctrl-C ends", self.ports.len());
        Ok((engine, datapath))
    }

    fn config(&self, datapath: u64) -> AgentConfig {
        let random = RandomState::new();
        let drawn = |n: u8| u128::from(random.hash_one(n));
        let fail_mode = match self.fail {
            Fail::Secure => FailMode::Secure,
            Fail::Standalone => FailMode::Standalone,
        };
        let switch = SwitchConfig {
            datapath,
            fail_mode,
            flows_per_table: self.flows,
            hash_key: drawn(0) << 64 | drawn(1),
            ..SwitchConfig::default()
        };
        let controllers = self.controllers.iter().chain(&self.listen).cloned().collect();
        AgentConfig { grace: self.grace, ..AgentConfig::new(switch, controllers) }
    }

    fn limits(&self) -> miette::Result<HubConfig> {
        let (Some(private_key), Some(certificate), Some(ca)) =
            (self.private_key.clone(), self.certificate.clone(), self.ca_cert.clone())
        else {
            return Ok(HubConfig::default());
        };
        let tls = TlsIdentity::read(&TlsFiles { private_key, certificate, ca })
            .map_err(|error| miette!("{error}"))?;
        Ok(HubConfig { tls: Some(tls), ..HubConfig::default() })
    }

    /// Keeps the ports' links in view until it is told to end.
    fn watch(&self, engine: &Engine) -> miette::Result<()> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().into_diagnostic()?;
        runtime.block_on(async {
            let mut interrupt = signal(SignalKind::interrupt()).into_diagnostic()?;
            let mut terminate = signal(SignalKind::terminate()).into_diagnostic()?;
            let end = self.duration.map(|duration| Instant::now() + duration);
            loop {
                self.look_at_links(engine)?;
                let left = end.map_or(LINKS_EVERY, |end| end.saturating_duration_since(Instant::now()));
                if left.is_zero() {
                    return Ok(());
                }
                tokio::select! {
                    _ = interrupt.recv() => return Ok(()),
                    _ = terminate.recv() => return Ok(()),
                    () = tokio::time::sleep(left.min(LINKS_EVERY)) => {}
                }
            }
        })
    }

    fn look_at_links(&self, engine: &Engine) -> miette::Result<()> {
        let snapshot = engine.snapshot();
        let links: Vec<(Gate, bool)> = (0..)
            .zip(&self.ports)
            .filter_map(|(gate, _)| {
                let name = number(gate);
                let port = snapshot.ports.iter().find(|port| port.name == name)?;
                port.up.map(|up| (gate, up))
            })
            .collect();
        let set = move |switch: &mut OpenFlowSwitch| {
            links.into_iter().for_each(|(gate, up)| switch.set_link(gate, up));
        };
        engine.with_module(SWITCH, set).map_err(Report::msg)
    }

    fn summary(&self, engine: &Engine, datapath: u64) -> miette::Result<Summary> {
        let told = |switch: &mut OpenFlowSwitch| {
            let counters = switch.counters();
            let dropped = counters.no_buffer + counters.no_gate + counters.unfinished;
            let (flows, counters) = (switch.switch().flows(), switch.switch().counters());
            (flows, counters, dropped, switch.controllers(), switch.ended())
        };
        let (flows, counters, dropped, controllers, ended) =
            engine.with_module(SWITCH, told).map_err(Report::msg)?;
        let snapshot = engine.snapshot();
        let ports = self.ports.iter().zip(0..).filter_map(|(spec, gate)| {
            let name = number(gate);
            let port = snapshot.ports.iter().find(|port| port.name == name)?;
            Some(PortSummary {
                number: usize::from(gate) + 1,
                port: spec.to_string(),
                up: port.up,
                rx_packets: port.rx_packets,
                rx_dropped: port.rx_dropped,
                tx_packets: port.tx_packets,
                tx_dropped: port.tx_dropped,
            })
        });
        let controllers = controllers.into_iter().map(|status| ControllerSummary {
            peer: status.peer,
            version: status.version.map(|version| version.to_string()),
            problem: status.problem,
        });
        Ok(Summary {
            datapath_id: format!("{datapath:016x}"),
            flows,
            packets: counters.cache_hits + counters.cache_misses,
            packets_by_cache: counters.cache_hits,
            dropped: dropped + counters.over_limit + counters.outputs_dropped,
            ports: ports.collect(),
            controllers: controllers.collect(),
            connections_ended: ended.count,
            last_ended: ended.last.map(|(peer, reason)| format!("{peer}: {reason}")),
        })
    }
}

/// A port's name in the engine.
fn number(gate: Gate) -> String {
    format!("{}", gate + 1)
}

fn print_summary(summary: &Summary) {
    let head =
        ["port", "", "link", "rx packets", "rx dropped", "tx packets", "tx dropped"].map(str::to_owned);
    let mut rows = vec![head.to_vec()];
    for port in &summary.ports {
        let link = match port.up {
            Some(true) => "up",
            Some(false) => "down",
            None => "",
        };
        let counts = [port.rx_packets, port.rx_dropped, port.tx_packets, port.tx_dropped]
            .map(|count| count.to_string());
        rows.push(
            [vec![port.number.to_string(), port.port.clone(), link.to_owned()], counts.to_vec()].concat(),
        );
    }
    print!("{}", columns(&rows));
    for controller in &summary.controllers {
        let state =
            controller.version.as_deref().or(controller.problem.as_deref()).unwrap_or("not connected");
        println!("controller {}: {state}", controller.peer);
    }
    if let Some(last) = &summary.last_ended {
        println!("{} connections are over, the last {last}", summary.connections_ended);
    }
    println!(
        "{} flows; {} packets looked up, {} of them in the cache; {} dropped",
        summary.flows, summary.packets, summary.packets_by_cache, summary.dropped
    );
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_that_make_no_sense() {
        assert_eq!(datapath("0xabc"), Ok(0xabc));
        assert_eq!(datapath("00000000000000ff"), Ok(255));
        assert!(datapath("xyz").is_err() && datapath("12345678123456781").is_err());
        assert!(dialled("tcp:127.0.0.1").is_ok() && dialled("ptcp:6653").unwrap_err().contains("--listen"));
        assert!(listened("ptcp:").is_ok() && listened("unix:x").unwrap_err().contains("--controller"));
    }
}
