//! Writes the TCP payload of every packet to a file, packet by packet, and passes the packets on.
//!
//! Payload is what the headers say it is: never the padding of a short frame, never bytes beyond the IP packet. Nothing is
//! put in order, and what is sent twice is written twice; `streams` does that. Fragments are counted and not read: only the
//! first has a TCP header, and none is a whole segment. What comes in at one gate leaves at the other.
//!
//! | argument | default | |
//! |---|---|---|
//! | `file=payload.bin` | standard output | where it goes; the file is made anew |
//! | `as=raw` | `raw` | bytes and nothing else, or `lines`: flow, sequence number, length, and the bytes as escaped text |
//! | `port=80` | all | of either end |
//!
//! Payloads are written when the first has waited for 100 ms, or 128 KiB have come together. A full disk or a closed pipe
//! loses payload, which is counted, and never traffic.
//!
//! Example:
//!   weft netbricks run payload port=80 file=/tmp/payload.bin --in pcap:in.pcap --out pcap:out.pcap

use std::io::Write;

use packet::Batch;
use packet::flow::FlowKey;
use packet::parse::Layers;
use packet::wire::{IpProtocol, tcp};

use super::Setup;
use super::spool::{Spool, output};
use crate::{Args, ArgsError, Context, Gate, NetworkFunction, Report};

/// The function. `W` is where payload goes.
pub struct TcpPayload<W> {
    spool: Spool<W>,
    lines: bool,
    port: Option<u16>,
    segments: u64,
    payload_bytes: u64,
    malformed: u64,
    fragments: u64,
}

impl<W: Write> TcpPayload<W> {
    /// Writes payloads to `out`, as lines of text or as they are, of all ports or one.
    #[must_use]
    pub fn new(out: W, lines: bool, port: Option<u16>) -> Self {
        let (segments, payload_bytes, malformed, fragments) = (0, 0, 0, 0);
        Self { spool: Spool::new(out), lines, port, segments, payload_bytes, malformed, fragments }
    }

    fn extract(&mut self, frame: &[u8], now_ns: u64) {
        let Ok(layers) = Layers::of(frame) else {
            self.malformed += 1;
            return;
        };
        if layers.protocol != IpProtocol::TCP {
            return;
        }
        if layers.fragment.is_some() {
            self.fragments += 1;
            return;
        }
        let (Some(key), Ok(segment)) =
            (FlowKey::of(&layers, frame), tcp::View::new_checked(layers.segment(frame)))
        else {
            return;
        };
        if self.port.is_some_and(|port| port != key.source_port() && port != key.destination_port()) {
            return;
        }
        let payload = segment.payload();
        self.segments += 1;
        self.payload_bytes += payload.len() as u64;
        if payload.is_empty() {
            return;
        }
        if self.lines {
            let (sequence, length, text) = (segment.sequence(), payload.len(), payload.escape_ascii());
            self.spool.line(now_ns, format_args!("{key} seq {sequence} length {length} {text}"));
        } else {
            self.spool.bytes(now_ns, payload);
        }
    }
}

impl<W: Write + Send + 'static> NetworkFunction for TcpPayload<W> {
    fn process(&mut self, gate: Gate, batch: &mut Batch, ctx: &mut Context) {
        batch.iter().for_each(|packet| self.extract(packet.data(), ctx.now_ns()));
        ctx.send_batch(gate ^ 1, batch);
    }

    fn deadline_ns(&self) -> Option<u64> {
        self.spool.deadline_ns()
    }

    fn expire(&mut self, ctx: &mut Context) {
        self.spool.expire(ctx.now_ns());
    }

    fn finish(&mut self, ctx: &mut Context) {
        self.spool.write(ctx.now_ns());
    }

    fn report(&self, report: &mut Report) {
        report.counter("segments", self.segments);
        report.counter("payload bytes", self.payload_bytes);
        report.counter("malformed packets", self.malformed);
        report.counter("fragments, not read", self.fragments);
        self.spool.report(report);
    }
}

pub(super) fn build(args: &mut Args, _: &Setup) -> Result<Box<dyn NetworkFunction>, ArgsError> {
    let lines = args.take_with("as", |text| match text {
        "raw" => Ok(false),
        "lines" => Ok(true),
        _ => Err("raw or lines is wanted".into()),
    })?;
    let port = args.take("port")?;
    Ok(Box::new(TcpPayload::new(output(args)?, lines.unwrap_or(false), port)))
}

#[cfg(test)]
mod tests {
    use super::super::test_frames::{Outlet, segment};
    use super::super::tests::{at, setup};
    use super::*;
    use packet::wire::tcp::Flags;

    const ENDS: [&str; 2] = ["10.0.0.1:40000", "10.0.0.2:80"];

    fn extract(lines: bool, port: Option<u16>, frames: &[&[u8]]) -> (Vec<u8>, Report) {
        let (out, setup, mut ctx) = (Outlet::default(), setup(), Context::new(2));
        let mut payload = TcpPayload::new(out.clone(), lines, port);
        let left = at(&mut payload, &mut ctx, (0, 1), &setup.pool, frames);
        assert_eq!(left, frames.iter().map(|frame| (1, frame.to_vec())).collect::<Vec<_>>());
        payload.finish(&mut ctx);
        let mut report = Report::default();
        payload.report(&mut report);
        (out.taken(), report)
    }

    /// "Ethernet padding counted as TCP payload" (NetBricks).
    #[test]
    fn padding_is_never_payload() {
        let mut short = segment(ENDS, 7, Flags::ACK, b"abc");
        let mut empty = segment(ENDS, 10, Flags::ACK, b"");
        assert!(short.len() < 60 && empty.len() < 60);
        short.resize(60, b'P');
        empty.resize(60, b'P');
        let (out, report) = extract(false, None, &[&short, &empty]);
        assert_eq!(out, b"abc");
        assert_eq!((report.get("segments"), report.get("payload bytes")), (2, 3));
    }

    /// "`payload_size = data_len − offset − payload_offset` wraps when IHL or the TCP data offset lies" (NetBricks).
    #[test]
    fn lengths_that_lie_give_no_payload() {
        let honest = segment(ENDS, 7, Flags::ACK, b"abc");
        let (ihl, data_offset) = (14, 14 + 20 + 12);
        for lie in 0..=15 {
            let mut frames = [honest.clone(), honest.clone()];
            frames[0][ihl] = 0x40 | lie;
            frames[1][data_offset] = lie << 4;
            for (frame, field) in frames.iter().zip(["ihl", "data offset"]) {
                let (out, report) = extract(false, None, &[frame]);
                let malformed = u64::from(lie != 5);
                assert_eq!(report.get("malformed packets"), malformed, "{field} {lie}");
                assert_eq!(out, if lie == 5 { &b"abc"[..] } else { b"" }, "{field} {lie}");
            }
        }
        let mut long = honest;
        long[16..18].copy_from_slice(&u16::MAX.to_be_bytes());
        assert_eq!(extract(false, None, &[&long]).1.get("malformed packets"), 1);
    }

    #[test]
    fn lines_name_the_flow_and_ports_are_chosen() {
        let six = ["[2001:db8::1]:443", "[2001:db8::2]:50000"];
        let frames = [segment(ENDS, 7, Flags::ACK, b"GET /\r\n\xff"), segment(six, 9, Flags::ACK, b"six")];
        let frames: Vec<_> = frames.iter().map(|frame| &frame[..]).collect();
        assert_eq!(
            extract(true, None, &frames).0.escape_ascii().to_string(),
            "tcp 10.0.0.1:40000 -> 10.0.0.2:80 seq 7 length 8 GET /\\\\r\\\\n\\\\xff\\n\
             tcp [2001:db8::1]:443 -> [2001:db8::2]:50000 seq 9 length 3 six\\n"
        );
        assert_eq!(extract(false, Some(443), &frames).0, b"six");
    }

    #[test]
    fn a_fragment_is_no_segment() {
        let mut first = segment(ENDS, 7, Flags::ACK, b"abc");
        first[20] = 0x20; // more fragments
        let (out, report) = extract(false, None, &[&first]);
        assert_eq!((&*out, report.get("fragments, not read")), (&b""[..], 1));
    }
}
