//! `weft softnic trace`.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::Args;
use miette::miette;
use netbricks::functions::Headers;
use serde::Serialize;
use softnic::bess::{TraceEnd, TraceExit, TraceReply, TraceRequest, TraceStep};

use super::{At, GateOf, report};
use crate::commands::print_json;

/// Bytes shown on each side of a change.
const SHOWN_MAX: usize = 16;

/// Follow one packet through the graph of a running daemon.
///
/// The packet goes into an input gate of a module; from a module that brings packets in, it comes out by an output gate.
/// It crosses every module as traffic does, between two batches, and is not counted. The walk ends before modules that
/// would send or queue it, unless --send lets it. Modules on the way may learn from it, as from any packet.
#[derive(Debug, Args)]
#[command(
    after_help = "Example:\n  weft softnic trace rules --packet hex:020000000001020000000002080045\n  \
                        weft softnic trace from_inside --pcap in.pcap --number 3"
)]
pub(crate) struct Trace {
    /// The module, and which of its gates (0 if none is given)
    #[arg(value_name = "MODULE[:GATE]")]
    gate: GateOf,
    /// The packet, from its Ethernet header on
    #[arg(long, value_name = "hex:BYTES", value_parser = packet, required_unless_present = "pcap")]
    packet: Option<Packet>,
    /// A capture file that has the packet
    #[arg(long, value_name = "FILE", conflicts_with = "packet")]
    pcap: Option<PathBuf>,
    /// Which packet of the capture file, from 1
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u64).range(1..))]
    number: u64,
    /// Let ports send it and queues take it
    #[arg(long)]
    send: bool,
    /// Print JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    at: At,
}

#[derive(Clone, Debug)]
struct Packet(Vec<u8>);

/// `hex:` and pairs of digits; white space, colons and dashes between them mean nothing.
fn packet(text: &str) -> Result<Packet, String> {
    let digits = text.strip_prefix("hex:").ok_or("a packet is written hex:0200…")?;
    let digits: Vec<u8> =
        digits.bytes().filter(|byte| !byte.is_ascii_whitespace() && !b":-".contains(byte)).collect();
    let pair = |pair: &[u8]| {
        let text = std::str::from_utf8(pair).ok().filter(|text| text.len() == 2 && !text.contains('+'))?;
        u8::from_str_radix(text, 16).ok()
    };
    let bytes: Option<Vec<u8>> = digits.chunks(2).map(pair).collect();
    match bytes {
        Some(bytes) if !bytes.is_empty() => Ok(Packet(bytes)),
        _ => Err("pairs of hexadecimal digits are wanted".to_owned()),
    }
}

impl Trace {
    pub(super) fn run(&self) -> miette::Result<ExitCode> {
        let packet = match (&self.packet, &self.pcap) {
            (Some(packet), _) => packet.0.clone(),
            (None, Some(path)) => self.captured(path)?,
            (None, None) => return Err(miette!("a packet is wanted")),
        };
        let request = TraceRequest {
            module: self.gate.module.clone(),
            gate: self.gate.gate.into(),
            packet,
            send: self.send,
        };
        let reply = self.at.connect()?.trace(request).map_err(report)?;
        if self.json {
            print_json(&whole(&reply))?;
        } else {
            print!("{}", text(&reply));
        }
        Ok(ExitCode::SUCCESS)
    }

    /// The packet of a capture file.
    fn captured(&self, path: &Path) -> miette::Result<Vec<u8>> {
        let failed = |error: packet::pcap::PcapError| miette!("{}: {error}", path.display());
        let mut capture = packet::pcap::open(path).map_err(failed)?;
        let mut number = 0;
        while let Some(record) = capture.next().map_err(failed)? {
            number += 1;
            if number == self.number {
                return Ok(record.data.to_vec());
            }
        }
        Err(miette!("{}: has {number} packets, not {}", path.display(), self.number))
    }
}

/// A walk, for people.
fn text(reply: &TraceReply) -> String {
    let mut text = String::new();
    let mut worker = None;
    for (number, step) in reply.steps.iter().enumerate() {
        let of = if step.description.is_empty() { String::new() } else { format!("  {}", step.description) };
        text += &format!("{number}: {}  {}{of}\n", step.module, step.class);
        if number == 0 || step.worker != worker {
            text += &match step.worker {
                Some(worker) => format!("   on worker {worker}\n"),
                None => "   no worker runs it yet\n".to_owned(),
            };
            worker = step.worker;
        }
        if number == 0 {
            text += &format!("   {}\n", summary(&step.packet));
        }
        for exit in &step.exits {
            if !exit.packet.is_empty() && exit.packet != step.packet {
                text +=
                    &format!("   {}\n   {}\n", changes(&step.packet, &exit.packet), summary(&exit.packet));
            }
            text += &format!("   {}\n", end(reply, step, exit));
        }
    }
    if reply.cut {
        text += &format!("cut short after {} modules: it goes in circles\n", reply.steps.len());
    }
    text
}

/// What became of a packet at a module.
fn end(reply: &TraceReply, step: &TraceStep, exit: &TraceExit) -> String {
    let name = &step.module;
    match exit.end() {
        TraceEnd::Passed => {
            let next = exit.step.and_then(|next| Some((next, reply.steps.get(next as usize)?)));
            match next {
                Some((number, next)) => {
                    let over = if next.worker == step.worker { "" } else { ", over a ring" };
                    format!("-> gate {} to {number}: {}:{}{over}", exit.gate, next.gate, next.module)
                }
                None => format!("-> gate {}", exit.gate),
            }
        }
        TraceEnd::Unconnected => format!("dropped: nothing is connected to gate {} of {name}", exit.gate),
        TraceEnd::Dropped => format!("dropped by {name}"),
        TraceEnd::Kept => format!("kept by {name}: it goes on with the traffic"),
        TraceEnd::Taken => match step.class.as_str() {
            "PortOut" | "QueueOut" => format!("left by {name} ({})", step.description),
            _ => format!("taken by {name}"),
        },
        TraceEnd::Spared => match step.class.as_str() {
            "PortOut" | "QueueOut" => format!("would leave by {name} ({}); --send lets it", step.description),
            "Queue" | "DRR" => format!("would wait in {name}; --send queues it"),
            _ => format!("would end in {name}; --send lets it"),
        },
        TraceEnd::OutOfOrder => format!("lost in {name}, which is out of order"),
        TraceEnd::Unspecified => "unknown to this version of weft".to_owned(),
    }
}

fn summary(packet: &[u8]) -> String {
    format!("{} bytes: {}", packet.len(), Headers(packet))
}

/// Which bytes differ: of packets of one length each run, of others what stands between their common ends.
fn changes(before: &[u8], after: &[u8]) -> String {
    if before.len() != after.len() {
        let front = before.iter().zip(after).take_while(|(a, b)| a == b).count();
        let shorter = before.len().min(after.len()) - front;
        let back =
            before.iter().rev().zip(after.iter().rev()).take(shorter).take_while(|(a, b)| a == b).count();
        let (old, new) = (&before[front..before.len() - back], &after[front..after.len() - back]);
        return format!("byte {front}: {} -> {}", hex(old), hex(new));
    }
    let mut runs = Vec::new();
    let mut at = 0;
    while at < before.len() {
        let len = before[at..].iter().zip(&after[at..]).take_while(|(a, b)| a != b).count();
        if len > 0 {
            runs.push(format!("byte {at}: {} -> {}", hex(&before[at..at + len]), hex(&after[at..at + len])));
        }
        at += len + 1;
    }
    runs.join(", ")
}

/// Bytes, so many at most.
fn hex(bytes: &[u8]) -> String {
    if bytes.is_empty() {
        return "nothing".to_owned();
    }
    let digits: Vec<String> = bytes.iter().take(SHOWN_MAX).map(|byte| format!("{byte:02x}")).collect();
    let more = bytes.len().saturating_sub(SHOWN_MAX);
    digits.join(" ") + &if more > 0 { format!(" and {more} more") } else { String::new() }
}

/// A walk, for programs.
#[derive(Serialize)]
struct Whole {
    steps: Vec<Step>,
    cut: bool,
}

#[derive(Serialize)]
struct Step {
    module: String,
    class: String,
    description: String,
    worker: Option<u32>,
    gate: u32,
    packet: String,
    exits: Vec<Exit>,
}

#[derive(Serialize)]
struct Exit {
    /// `passed`, `unconnected`, `dropped`, `kept`, `taken`, `spared`, `out_of_order`.
    end: String,
    gate: u32,
    step: Option<u32>,
    packet: Option<String>,
}

fn whole(reply: &TraceReply) -> Whole {
    let digits = |bytes: &[u8]| bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
    let exit = |exit: &TraceExit| Exit {
        end: exit.end().as_str_name().trim_start_matches("END_").to_lowercase(),
        gate: exit.gate,
        step: exit.step,
        packet: Some(digits(&exit.packet)).filter(|packet| !packet.is_empty()),
    };
    let step = |step: &TraceStep| Step {
        module: step.module.clone(),
        class: step.class.clone(),
        description: step.description.clone(),
        worker: step.worker,
        gate: step.gate,
        packet: digits(&step.packet),
        exits: step.exits.iter().map(exit).collect(),
    };
    Whole { steps: reply.steps.iter().map(step).collect(), cut: reply.cut }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn packets_are_hexadecimal() {
        assert_eq!(packet("hex:02:0a-ff 00").unwrap().0, [2, 10, 255, 0]);
        for wrong in ["", "0200", "hex:", "hex:0", "hex:0g", "hex:+1", "hex:020"] {
            assert!(packet(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn changes_are_runs_or_what_stands_between_common_ends() {
        assert_eq!(changes(&[1, 2, 3, 4, 5], &[1, 9, 9, 4, 8]), "byte 1: 02 03 -> 09 09, byte 4: 05 -> 08");
        assert_eq!(changes(&[1, 2, 3], &[1, 7, 8, 2, 3]), "byte 1: nothing -> 07 08");
        assert_eq!(changes(&[1, 2, 3, 4], &[1, 4]), "byte 1: 02 03 -> nothing");
        assert_eq!(changes(&[1, 1, 1], &[1, 1]), "byte 2: 01 -> nothing");
    }
}
