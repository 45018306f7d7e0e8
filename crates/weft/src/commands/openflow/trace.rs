//! `weft openflow trace`.

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::Args;
use miette::{Report, miette};
use openflow::Version;
use openflow::channel::Config;
use openflow::field::Field;
use openflow::live::snapshot::Snapshot;
use openflow::live::{HubConfig, Target};
use openflow::matching::Match;
use openflow::message::{Body, Message};
use openflow::port::{Port, PortNo};
use openflow::switch::{ConnectionId, Output, Switch, SwitchConfig, Trace};
use openflow::text::{self, ParseError};
use serde::Serialize;

use super::{duration, hex, read, report};
use crate::commands::print_json;

/// Ports of a switch that is made up from a file of flows.
const PORTS: u32 = 64;

/// Explain what a switch would do with a packet, table by table.
///
/// The switch is one that listens, and is asked for its ports, flows, groups and meters; or one made up from a file of flows,
/// one a line, as `ovs-ofctl add-flows` takes them. The packet is in hexadecimal digits, or one that a match describes. Nothing
/// is sent and nothing is changed.
#[derive(Debug, Args)]
#[command(
    after_help = "Example:\n  weft openflow trace --flows flows.txt 'in_port=1,tcp,nw_dst=10.0.0.2,tp_dst=80'\n  \
                        weft openflow trace --switch tcp:127.0.0.1:6654 in_port=1,dl_dst=02:00:00:00:00:02"
)]
pub(crate) struct Packet {
    /// A match, or the packet's bytes
    #[arg(value_name = "MATCH|HEX")]
    packet: String,
    /// A file of flows; `-` is standard input
    #[arg(long, value_name = "FILE", required_unless_present = "switch", conflicts_with = "switch")]
    flows: Option<PathBuf>,
    /// A switch that listens, such as tcp:127.0.0.1:6654
    #[arg(long, value_name = "TARGET")]
    switch: Option<Target>,
    /// The port it comes in by, where the match does not say
    #[arg(long, value_name = "NUMBER", default_value_t = 1)]
    in_port: u32,
    /// How long a switch may take to answer
    #[arg(long, value_name = "TIME", value_parser = duration, default_value = "10s")]
    timeout: Duration,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// An explanation, for programs.
#[derive(Serialize)]
struct Explained {
    flow: String,
    steps: Vec<String>,
    final_flow: String,
    outputs: Vec<Sent>,
    packet_ins: Vec<String>,
}

#[derive(Serialize)]
struct Sent {
    port: u32,
    bytes: String,
}

impl Packet {
    pub(super) fn run(&self) -> miette::Result<ExitCode> {
        let (port, bytes) = self.packet()?;
        let switch = match (&self.switch, &self.flows) {
            (Some(target), _) => self.ask(target)?,
            (None, flows) => made_up(&read(flows.as_deref().unwrap_or("-".as_ref()))?, port)?,
        };
        let trace = switch.explain(Duration::ZERO, port, &bytes);
        if self.json {
            print_json(&explained(&trace))?;
        } else {
            print!("{trace}");
        }
        Ok(ExitCode::SUCCESS)
    }

    /// The packet, and the port it comes in by.
    fn packet(&self) -> miette::Result<(PortNo, Vec<u8>)> {
        let digits: String = self.packet.chars().filter(|c| !matches!(c, ' ' | ':')).collect();
        let is_hex = digits.len() >= 28
            && digits.len().is_multiple_of(2)
            && digits.bytes().all(|c| c.is_ascii_hexdigit());
        if is_hex {
            let byte = |at: usize| u8::from_str_radix(&digits[at..at + 2], 16).unwrap_or(0);
            let bytes = (0..digits.len()).step_by(2).map(byte).collect();
            return Ok((PortNo(self.in_port), bytes));
        }
        let matching: Match =
            text::parse_match(&self.packet).map_err(|wrong| report(&self.packet, &wrong))?;
        let port = matching.exact(Field::InPort).map_or(self.in_port, |port| port as u32);
        Ok((PortNo(port), matching.example()))
    }

    fn ask(&self, target: &Target) -> miette::Result<Switch> {
        if target.listens() {
            return Err(miette!(help = "such as tcp:127.0.0.1:6654", "{target} is no switch to connect to"));
        }
        let taken = Snapshot::take(target, self.timeout, Config::default(), HubConfig::default());
        let (switch, missing) = taken.map_err(Report::msg)?.build();
        for missing in missing {
            eprintln!("warning: left out: {missing}");
        }
        Ok(switch)
    }
}

/// A switch of these flows.
fn made_up(bytes: &[u8], in_port: PortNo) -> miette::Result<Switch> {
    const NOBODY: ConnectionId = ConnectionId(0);
    let now = Duration::ZERO;
    let mut switch = Switch::new(SwitchConfig::default());
    for number in (1..=PORTS).chain((in_port.0 > PORTS).then_some(in_port.0)) {
        let port = Port { number: PortNo(number), name: format!("port{number}"), ..Port::default() };
        switch.add_port(now, port).map_err(Report::msg)?;
    }
    switch.connect(now, NOBODY, Version::V13);
    let lines = String::from_utf8_lossy(bytes);
    for (line, number) in lines.lines().zip(1..) {
        let flow = line.trim();
        if flow.is_empty() || flow.starts_with('#') {
            continue;
        }
        let flow_mod = text::parse_flow(flow).map_err(|wrong| {
            // Its place in the line is one in the file.
            let start = flow.as_ptr() as usize - lines.as_ptr() as usize;
            let at = wrong.at.start + start..wrong.at.end + start;
            report(&lines, &ParseError { at, ..wrong })
        })?;
        switch.handle_message(now, NOBODY, &Message::new(number, Body::FlowMod(flow_mod)));
        while let Some(output) = switch.poll_output() {
            if let Output::Message { message: Message { body: Body::Error(error), .. }, .. } = output {
                let why =
                    error.code.fault(Version::V13).map_or("refused".to_owned(), |fault| fault.to_string());
                return Err(miette!("line {number}: {flow}: {why}"));
            }
        }
    }
    switch.disconnect(now, NOBODY);
    Ok(switch)
}

fn explained(trace: &Trace) -> Explained {
    let outputs = trace.outputs.iter().map(|(port, bytes)| Sent { port: port.0, bytes: hex(bytes) });
    Explained {
        flow: trace.flow.clone(),
        steps: trace.steps.clone(),
        final_flow: trace.final_flow.clone(),
        outputs: outputs.collect(),
        packet_ins: trace.packet_ins.iter().map(|bytes| hex(bytes)).collect(),
    }
}
