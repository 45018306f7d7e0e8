//! Prints packets, a line each, as tcpdump does, and passes them on.
//!
//! A line says when, at which gate, and what every header says, outermost first: Ethernet, tags and labels, IP or ARP, and
//! TCP, UDP or ICMP; where a header is malformed, the line says how. What comes in at one gate leaves at the other.
//!
//! | argument | default | |
//! |---|---|---|
//! | `file=dump.txt` | standard output | where the lines go; the file is made anew |
//! | `rate=1000` | 1000 | lines a second, with as many at once; packets beyond pass unprinted and are counted. 0: no limit |
//! | `count=50` | no end | lines in all |
//!
//! Lines are written when the first has waited for 100 ms, or 128 KiB have come together. A full disk or a closed pipe loses
//! lines, which are counted, and never traffic.
//!
//! Example:
//!   weft netbricks run dump rate=0 --in pcap:in.pcap --out pcap:out.pcap

use std::fmt;
use std::io::Write;

use lookup::token_bucket::{Rate, TokenBucket};
use packet::parse::{Layers, Network};
use packet::wire::{IpProtocol, arp, ethernet, icmpv4, icmpv6, ipv4, ipv6, mpls, tcp, udp};
use packet::{Batch, Packet};

use super::Setup;
use super::spool::{Spool, output};
use crate::{Args, ArgsError, Context, Gate, NetworkFunction, Report};

/// The function. `W` is where its lines go.
pub struct PacketDump<W> {
    spool: Spool<W>,
    limit: Option<TokenBucket>,
    /// Lines that may still be printed.
    left: u64,
    printed: u64,
    beyond: u64,
}

impl<W: Write> PacketDump<W> {
    /// Prints up to `rate` lines a second (0: no limit), and `count` in all.
    #[must_use]
    pub fn new(out: W, rate: u64, count: u64) -> Self {
        let limit = (rate > 0).then(|| TokenBucket::new(Rate::per_second(rate), rate, 0));
        Self { spool: Spool::new(out), limit, left: count, printed: 0, beyond: 0 }
    }

    fn print(&mut self, gate: Gate, packet: &Packet, now_ns: u64) {
        if self.left == 0 || self.limit.as_mut().is_some_and(|limit| !limit.take(1, now_ns)) {
            self.beyond += 1;
            return;
        }
        self.left -= 1;
        self.printed += 1;
        let at_ns = if packet.timestamp_ns() > 0 { packet.timestamp_ns() } else { now_ns };
        let (seconds, part_ns) = (at_ns / 1_000_000_000, at_ns % 1_000_000_000);
        let headers = Headers(packet.data());
        self.spool.line(now_ns, format_args!("{seconds}.{part_ns:09} gate {gate}: {headers}"));
    }
}

impl<W: Write + Send + 'static> NetworkFunction for PacketDump<W> {
    fn process(&mut self, gate: Gate, batch: &mut Batch, ctx: &mut Context) {
        batch.iter().for_each(|packet| self.print(gate, packet, ctx.now_ns()));
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
        report.counter("printed", self.printed);
        report.counter("beyond the limit", self.beyond);
        self.spool.report(report);
    }
}

/// A frame's headers as text.
#[derive(Clone, Copy, Debug)]
pub struct Headers<'a>(pub &'a [u8]);

impl fmt::Display for Headers<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(frame) = *self;
        match ethernet::View::new_checked(frame) {
            Ok(view) => write!(f, "{view}")?,
            Err(wrong) => return write!(f, "[{wrong}], length {}", frame.len()),
        }
        let layers = match Layers::of(frame) {
            Ok(layers) => layers,
            Err(wrong) => return write!(f, ": [{wrong}]"),
        };
        layers.vlans.iter().try_for_each(|tag| write!(f, ": {tag}"))?;
        let labels = layers.l3 - usize::from(layers.labels) * mpls::ENTRY_LEN;
        for label in frame[labels..layers.l3].chunks_exact(mpls::ENTRY_LEN) {
            mpls::View::new_checked(label).map_or(Ok(()), |view| write!(f, ": MPLS {view}"))?;
        }
        network(f, &layers, layers.network_packet(frame))?;
        transport(f, &layers, layers.segment(frame))
    }
}

fn network(f: &mut fmt::Formatter<'_>, layers: &Layers, packet: &[u8]) -> fmt::Result {
    // They were read once, so they read again.
    match layers.network {
        Network::V4 => ipv4::View::new_checked(packet).map_or(Ok(()), |view| write!(f, ": {view}")),
        Network::V6 => ipv6::View::new_checked(packet).map_or(Ok(()), |view| write!(f, ": {view}")),
        Network::Arp => arp::View::new_checked(packet).map_or(Ok(()), |view| write!(f, ": {view}")),
        Network::Other => Ok(()),
    }
}

fn transport(f: &mut fmt::Formatter<'_>, layers: &Layers, segment: &[u8]) -> fmt::Result {
    if layers.l4.is_none() {
        return layers.fragment.map_or(Ok(()), |fragment| write!(f, ": fragment at {}", fragment.offset));
    }
    match (layers.protocol, layers.network) {
        (IpProtocol::TCP, _) => tcp::View::new_checked(segment).map_or(Ok(()), |view| write!(f, ": {view}")),
        (IpProtocol::UDP, _) => udp::View::new_quoted(segment).map_or(Ok(()), |view| write!(f, ": {view}")),
        (IpProtocol::ICMP, Network::V4) => {
            icmpv4::View::new_checked(segment).map_or(Ok(()), |view| write!(f, ": {view}"))
        }
        (IpProtocol::ICMPV6, Network::V6) => {
            icmpv6::View::new_checked(segment).map_or(Ok(()), |view| write!(f, ": {view}"))
        }
        _ => Ok(()),
    }
}

pub(super) fn build(args: &mut Args, _: &Setup) -> Result<Box<dyn NetworkFunction>, ArgsError> {
    let rate = args.take_or("rate", 1000)?;
    let count = args.take_or("count", u64::MAX)?;
    Ok(Box::new(PacketDump::new(output(args)?, rate, count)))
}

#[cfg(test)]
mod tests {
    use super::super::test_frames::Outlet;
    use super::super::tests::{at, setup};
    use super::*;

    /// A datagram in a padded frame.
    const FRAME: &[u8] = b"\x02\0\0\0\0\x02\x02\0\0\0\0\x01\x08\0\
        \x45\0\0\x1f\0\x07\x40\0\x40\x11\0\0\x0a\0\0\x01\x0a\0\0\x02\x30\x39\0\x35\0\x0b\0\0abc\0\0\0\0\0\0";

    fn dump(rate: u64, count: u64, frames: &[&[u8]]) -> (String, Report) {
        let (out, setup, mut ctx) = (Outlet::default(), setup(), Context::new(2));
        let mut dump = PacketDump::new(out.clone(), rate, count);
        let left = at(&mut dump, &mut ctx, (0, 1_000_000_002), &setup.pool, frames);
        assert_eq!(left, frames.iter().map(|frame| (1, frame.to_vec())).collect::<Vec<_>>());
        dump.finish(&mut ctx);
        let mut report = Report::default();
        dump.report(&mut report);
        let text = String::from_utf8(out.taken()).unwrap();
        (text, report)
    }

    #[test]
    fn a_line_holds_the_whole_stack() {
        let (text, _) = dump(0, 9, &[FRAME, &FRAME[..30], b"runt"]);
        assert_eq!(
            text.lines().collect::<Vec<_>>(),
            [
                "1.000000002 gate 0: 02:00:00:00:00:01 > 02:00:00:00:00:02, ethertype IPv4 (0x0800), length 51: (tos 0x0, \
                 ttl 64, id 7, offset 0, flags [DF], proto UDP (17), length 31) 10.0.0.1 > 10.0.0.2: 12345 > 53: UDP, \
                 length 3",
                "1.000000002 gate 0: 02:00:00:00:00:01 > 02:00:00:00:00:02, ethertype IPv4 (0x0800), length 30: [ipv4 header: \
                 needs 20 bytes, has 16]",
                "1.000000002 gate 0: [ethernet header: needs 14 bytes, has 4], length 4",
            ]
        );
    }

    #[test]
    fn the_limits_bound_lines_and_not_traffic() {
        let (text, report) = dump(2, 9, &[FRAME; 5]);
        assert_eq!((text.lines().count(), report.get("printed"), report.get("beyond the limit")), (2, 2, 3));
        let (text, _) = dump(0, 3, &[FRAME; 5]);
        assert_eq!(text.lines().count(), 3);
    }

    #[test]
    fn a_full_disk_is_counted_and_traffic_passes() {
        let (setup, mut ctx) = (setup(), Context::new(2));
        let mut args = Args::parse("dump", ["file=/dev/full"]).unwrap();
        let mut dump = build(&mut args, &setup).unwrap();
        assert_eq!(at(&mut *dump, &mut ctx, (1, 5), &setup.pool, &[FRAME]).len(), 1);
        ctx.set_now_ns(dump.deadline_ns().unwrap());
        dump.expire(&mut ctx);
        let mut report = Report::default();
        dump.report(&mut report);
        assert_eq!((report.get("write errors"), report.get("bytes written")), (1, 0));
        assert!(report.get("bytes lost, write errors") > 100 && dump.deadline_ns().is_none());
    }

    #[test]
    fn any_bytes_print() {
        let mut random = super::super::random::Random::new(7);
        for _ in 0..20_000 {
            let mut frame = FRAME.to_vec();
            for _ in 0..random.draw() % 6 {
                let at = random.draw() as usize % frame.len();
                frame[at] = random.draw() as u8;
            }
            frame.truncate(random.draw() as usize % (FRAME.len() + 1));
            assert!(!Headers(&frame).to_string().is_empty());
        }
    }
}
