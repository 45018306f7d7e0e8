//! `weft openflow print`.

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use clap::Args;
use miette::miette;
use netbricks::functions::Headers;
use openflow::capture::{Capture, PORTS};
use openflow::codec;
use openflow::message::{Body, Message};
use openflow::wire::Header;
use packet::flow::FlowKey;
use serde::Serialize;

use super::{hex, number, read};
use crate::FAILED;
use crate::commands::print_json;

/// Print OpenFlow messages in words.
///
/// Messages are hexadecimal digits, or the bytes themselves, one behind the other; or a capture file, of which the TCP
/// streams of OpenFlow's ports are read. Without any, standard input is read. What is printed is what `weft openflow parse
/// --message` takes.
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  weft openflow print 0400000800000001\n  \
                        weft openflow parse actions=drop | weft openflow print")]
pub(crate) struct Print {
    /// Messages in hexadecimal; blanks, colons and `0x` mean nothing
    #[arg(value_name = "HEX", conflicts_with = "file")]
    messages: Vec<String>,
    /// A file of messages: hexadecimal, bytes, or a capture (pcap, pcapng); `-` is standard input
    #[arg(long, value_name = "FILE")]
    file: Option<PathBuf>,
    /// TCP ports of OpenFlow, in captures
    #[arg(long, value_name = "PORT", default_values_t = PORTS)]
    port: Vec<u16>,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// A message, and where it comes from.
struct Found {
    bytes: Vec<u8>,
    /// Nanoseconds since 1970, and from where to where.
    seen: Option<(u64, FlowKey)>,
}

impl Print {
    pub(super) fn run(&self) -> miette::Result<ExitCode> {
        let found = if self.messages.is_empty() {
            self.file(self.file.as_deref().unwrap_or(Path::new("-")))?
        } else {
            split(&digits(&self.messages.concat())?)
        };
        if found.is_empty() {
            return Err(miette!(
                help = "a message begins with its version, type and length, such as 0400000800000001",
                "no OpenFlow message is there"
            ));
        }
        let shown: Vec<Shown> = found.iter().map(Shown::new).collect();
        if self.json {
            print_json(&shown)?;
        } else {
            shown.iter().for_each(Shown::print);
        }
        let failed = shown.iter().any(|shown| shown.error.is_some());
        Ok(if failed { ExitCode::from(FAILED) } else { ExitCode::SUCCESS })
    }

    /// The messages of a file, whatever its form.
    fn file(&self, path: &Path) -> miette::Result<Vec<Found>> {
        let bytes = read(path)?;
        if let Ok(mut capture) = packet::pcap::Capture::new(&bytes[..]) {
            let failed = |error: packet::pcap::PcapError| miette!("{}: {error}", path.display());
            let mut streams = Capture::new(&self.port);
            let mut found = Vec::new();
            while let Some(record) = capture.next().map_err(failed)? {
                for seen in streams.frame(record.data) {
                    found.push(Found { bytes: seen.bytes, seen: Some((record.timestamp_ns, seen.flow)) });
                }
            }
            return Ok(found);
        }
        // A message begins with its version, a byte that is no digit.
        match std::str::from_utf8(&bytes) {
            Ok(text) if bytes.first().is_none_or(|first| *first >= 8) => Ok(split(&digits(text)?)),
            _ => Ok(split(&bytes)),
        }
    }
}

/// Pairs of digits; what stands between them means nothing.
fn digits(text: &str) -> miette::Result<Vec<u8>> {
    let words = text.split(|c: char| c.is_ascii_whitespace() || matches!(c, ':' | ',' | '-'));
    let digits: String = words.map(|word| word.strip_prefix("0x").unwrap_or(word)).collect();
    let pair = |pair: &[u8]| match pair {
        [high, low] => {
            let nibble = |digit: &u8| char::from(*digit).to_digit(16).map(|digit| digit as u8);
            Some(nibble(high)? << 4 | nibble(low)?)
        }
        _ => None,
    };
    let bytes: Option<Vec<u8>> = digits.as_bytes().chunks(2).map(pair).collect();
    bytes.ok_or_else(|| {
        let help = "messages are written in hexadecimal, such as 0400000800000001";
        miette!(help = help, "pairs of hexadecimal digits are wanted")
    })
}

/// Messages one behind the other; the last may be cut off.
fn split(bytes: &[u8]) -> Vec<Found> {
    let mut found = Vec::new();
    let mut rest = bytes;
    while !rest.is_empty() {
        let length = match Header::peek(rest) {
            Ok(Some(header)) => usize::from(header.length).min(rest.len()),
            _ => rest.len(),
        };
        let (message, behind) = rest.split_at(length);
        found.push(Found { bytes: message.to_vec(), seen: None });
        rest = behind;
    }
    found
}

/// A message, for people and programs.
#[derive(Serialize)]
struct Shown {
    /// Seconds since 1970, of a capture.
    #[serde(skip_serializing_if = "Option::is_none")]
    time: Option<String>,
    /// From where to where, of a capture.
    #[serde(skip_serializing_if = "Option::is_none")]
    flow: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    version: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    xid: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    text: Option<String>,
    /// The headers of the packet in it.
    #[serde(skip_serializing_if = "Option::is_none")]
    packet: Option<String>,
    /// Why it is none.
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<String>,
    hex: String,
}

impl Shown {
    fn new(found: &Found) -> Self {
        let time = found.seen.map(|(time_ns, _)| {
            let time = Duration::from_nanos(time_ns);
            format!("{}.{:09}", time.as_secs(), time.subsec_nanos())
        });
        let flow = found.seen.map(|(_, flow)| flow.to_string());
        let hex = hex(&found.bytes);
        let empty = Self { time, flow, version: None, xid: None, text: None, packet: None, error: None, hex };
        match codec::decode(&found.bytes) {
            Ok((version, message)) => Self {
                version: Some(number(version)),
                xid: Some(message.xid),
                text: Some(message.text(version).to_string()),
                packet: packet_of(&message),
                ..empty
            },
            Err(error) => Self { error: Some(error.to_string()), ..empty },
        }
    }

    /// The message, and behind `#` what is not part of it.
    fn print(&self) {
        if let (Some(time), Some(flow)) = (&self.time, &self.flow) {
            println!("# {time} {flow}");
        }
        match (&self.text, &self.error) {
            (Some(text), _) => println!("{text}"),
            (_, error) => println!("# no message: {}: {}", error.as_deref().unwrap_or_default(), self.hex),
        }
        if let Some(packet) = &self.packet {
            println!("# {packet}");
        }
    }
}

/// The headers of the packet that a message carries.
fn packet_of(message: &Message) -> Option<String> {
    let data = match &message.body {
        Body::PacketIn(packet) => &packet.data,
        Body::PacketOut(packet) => &packet.data,
        _ => return None,
    };
    (!data.is_empty()).then(|| format!("{} bytes: {}", data.len(), Headers(data)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digits_are_pairs_whatever_stands_between() {
        assert_eq!(digits("0x04:00 00-08\n0001").unwrap(), [4, 0, 0, 8, 0, 1]);
        for wrong in ["0", "0g", "04 0", "é"] {
            assert!(digits(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn messages_are_split_by_their_lengths() {
        let lengths =
            |bytes: &[u8]| -> Vec<usize> { split(bytes).iter().map(|found| found.bytes.len()).collect() };
        let hello = [4, 0, 0, 8, 0, 0, 0, 1];
        assert_eq!(lengths(&hello.repeat(2)), [8, 8]);
        assert_eq!(lengths(&[&hello[..], &[4, 0, 0, 9, 0, 0, 0, 1]].concat()), [8, 8]);
        assert_eq!(lengths(&[4, 0, 0, 7, 0, 0, 0, 1, 2]), [9]);
        assert_eq!(lengths(&[]), [0; 0]);
    }
}
