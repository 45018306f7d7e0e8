//! What a run has done, for people and for programs.

use std::collections::BTreeMap;
use std::time::Duration;

use netbricks::Drops;
use netbricks::live::Summary;
use serde::Serialize;

use crate::commands::print_json;
use crate::style::columns;

/// Prints it; one of `several` is a line of JSON.
pub(super) fn print(summary: &Summary, json: bool, several: bool) -> miette::Result<()> {
    if !json {
        print!("{}", text(summary));
    } else if several {
        println!("{}", serde_json::to_string(&whole(summary)).map_err(|error| miette::miette!("{error}"))?);
    } else {
        print_json(&whole(summary))?;
    }
    Ok(())
}

/// A table of each function's counters and of the ports'.
fn text(summary: &Summary) -> String {
    let mut text = String::new();
    let row = |name: &str, value: u64| vec![format!("  {name}"), value.to_string()];
    let dropped = |drops: &Drops| -> Vec<Vec<String>> {
        drops.iter().map(|(cause, count)| row(&format!("dropped, {cause}"), count)).collect()
    };
    for stage in &summary.stages {
        text += &format!("{}\n", stage.name);
        stage.report.lines().iter().for_each(|line| text += &format!("  {line}\n"));
        let mut rows: Vec<_> =
            stage.report.counters().iter().map(|(name, value)| row(name, *value)).collect();
        rows.extend(dropped(&stage.drops));
        text += &columns(&rows);
    }
    for (gate, port) in summary.ports.iter().enumerate().filter(|(_, port)| !port.name.is_empty()) {
        text += &format!("gate {gate}, {}\n  {}\n", port.name, port.counters);
        if let Some(error) = &port.error {
            text += &format!("  ended: {error}\n");
        }
    }
    if summary.drops.total() > 0 {
        text += &format!("between functions and ports\n{}", columns(&dropped(&summary.drops)));
    }
    let seconds = Duration::from_nanos(summary.elapsed_ns).as_secs_f64();
    let (received, sent, held) = (summary.packets_in, summary.packets_out, summary.held);
    let ended = summary.ended.map_or_else(|| "it goes on".into(), |ended| ended.to_string());
    text + &format!("{received} packets in, {sent} out, {held} kept, {seconds:.3} s: {ended}\n")
}

/// A [`Summary`], for programs.
#[derive(Serialize)]
struct Whole {
    /// `null` while the run goes on.
    ended: Option<String>,
    elapsed_ns: u64,
    packets_in: u64,
    packets_out: u64,
    held: usize,
    functions: Vec<Function>,
    ports: Vec<Port>,
    /// What ended between functions and ports.
    drops: BTreeMap<String, u64>,
}

#[derive(Serialize)]
struct Function {
    name: String,
    counters: BTreeMap<String, u64>,
    lines: Vec<String>,
    drops: BTreeMap<String, u64>,
}

#[derive(Serialize)]
struct Port {
    gate: usize,
    port: String,
    rx_packets: u64,
    rx_bytes: u64,
    rx_dropped: u64,
    tx_packets: u64,
    tx_bytes: u64,
    tx_dropped: u64,
    error: Option<String>,
}

fn whole(summary: &Summary) -> Whole {
    let drops = |drops: &Drops| drops.iter().map(|(cause, count)| (cause.to_string(), count)).collect();
    let functions = summary.stages.iter().map(|stage| Function {
        name: stage.name.clone(),
        counters: stage.report.counters().iter().cloned().collect(),
        lines: stage.report.lines().to_vec(),
        drops: drops(&stage.drops),
    });
    let attached = summary.ports.iter().enumerate().filter(|(_, port)| !port.name.is_empty());
    let ports = attached.map(|(gate, port)| Port {
        gate,
        port: port.name.clone(),
        rx_packets: port.counters.rx_packets,
        rx_bytes: port.counters.rx_bytes,
        rx_dropped: port.counters.rx_dropped,
        tx_packets: port.counters.tx_packets,
        tx_bytes: port.counters.tx_bytes,
        tx_dropped: port.counters.tx_dropped,
        error: port.error.as_ref().map(ToString::to_string),
    });
    Whole {
        ended: summary.ended.map(|ended| ended.to_string()),
        elapsed_ns: summary.elapsed_ns,
        packets_in: summary.packets_in,
        packets_out: summary.packets_out,
        held: summary.held,
        functions: functions.collect(),
        ports: ports.collect(),
        drops: drops(&summary.drops),
    }
}
