//! Generates packets: UDP, TCP or ICMP of any number of flows, at an exact rate; or the frames of a capture, again and again.
//!
//! The packets leave at gate 1 (or `gate=0`). It needs no input; what comes in at one gate leaves at the other. The time of
//! the n-th packet is computed from the first and the rate, so nothing drifts; if the machine falls behind by more than
//! 100 ms, the time that was missed is left out and counted.
//!
//! | argument | default | |
//! |---|---|---|
//! | `rate=1000pps` | 1000pps | packets a second, or bits: `64kbit`, `10mbit`, `1.5gbit`, of frames without preamble and checksum |
//! | `count=1000` | no end | packets in all |
//! | `frame=udp` | `udp` | or `tcp` (ACKs with payload), `syn`, `icmp` (echo requests) |
//! | `size=60` | 60, or what it needs | bytes of a frame; `60-1514` draws each, `imix` sends 60, 590 and 1514 bytes, 7 to 4 to 1 |
//! | `flows=100` | 1 | they take turns |
//! | `source=10.0.0.1` | 10.0.0.1 | or a range: `10.0.0.1-10.0.0.9`, `10.0.0.0/24`, `2001:db8::/120` |
//! | `destination=10.0.0.2` | 10.0.0.2 | as `source`, of the same family |
//! | `sport=1024-65535` | 1024-65535 | source ports; the echo's identifier |
//! | `dport=9` | 9 | destination ports |
//! | `smac=`, `dmac=` | `02:…:01`, `02:…:02` | Ethernet addresses |
//! | `pcap=file.pcap` | | frames to send in place of these; then only `rate`, `count` and `gate` are taken |
//! | `seed=7` | drawn | of drawn sizes |
//!
//! Flows differ first in source port, then in source address, destination address, destination port. The last 16 bytes of
//! a frame are the packet's number and the time it was sent, in nanoseconds, both big-endian; a SYN has no payload. At most 256 packets leave at
//! once; of a capture, 65,536 frames and 256 MiB are kept.
//!
//! Example:
//!   weft netbricks run generate rate=10mbit size=imix flows=1000 count=5000 --out pcap:out.pcap

mod frames;
mod rate;

use packet::{Batch, Packet, Pool};

use super::Setup;
use crate::{Args, ArgsError, Cause, Context, Gate, NetworkFunction, Report};

pub use frames::{Frames, FramesError};
pub use rate::{Pace, PaceError};

/// Packets that leave in one call.
const BURST_MAX: usize = 256;

/// The function.
pub struct Generator {
    frames: Frames,
    pace: Pace,
    pool: Pool,
    gate: Gate,
    /// Packets still to send, and the number of the next.
    left: u64,
    next: u64,
    bytes: u64,
}

impl Generator {
    /// Sends `count` of `frames` at `pace` out of `gate`, in buffers of `pool`.
    #[must_use]
    pub fn new(frames: Frames, pace: Pace, count: u64, gate: Gate, pool: Pool) -> Self {
        Self { frames, pace, pool, gate, left: count, next: 0, bytes: 0 }
    }

    /// The next packet; `None` where the pool has no buffer for it. Either way its turn is over.
    fn packet(&mut self, now_ns: u64) -> Option<Packet> {
        let len = self.frames.next_len(self.next);
        self.pace.sent(len);
        self.left -= 1;
        let number = self.next;
        self.next += 1;
        let mut packet = self.pool.alloc()?;
        packet.set_len(len).ok()?;
        self.frames.write(number, now_ns, packet.data_mut());
        packet.set_timestamp_ns(now_ns);
        self.bytes += len as u64;
        Some(packet)
    }
}

impl NetworkFunction for Generator {
    fn process(&mut self, gate: Gate, batch: &mut Batch, ctx: &mut Context) {
        ctx.send_batch(gate ^ 1, batch);
    }

    fn deadline_ns(&self) -> Option<u64> {
        (self.left > 0).then(|| self.pace.due_ns())
    }

    fn expire(&mut self, ctx: &mut Context) {
        let now_ns = ctx.now_ns();
        self.pace.begin(now_ns);
        for _ in 0..BURST_MAX {
            if self.left == 0 || self.pace.due_ns() > now_ns {
                break;
            }
            match self.packet(now_ns) {
                Some(packet) => ctx.send(self.gate, packet),
                None => ctx.count(Cause::NO_BUFFER, 1),
            }
        }
    }

    fn report(&self, report: &mut Report) {
        report.counter("packets generated", self.next);
        report.counter("bytes generated", self.bytes);
        report.counter("nanoseconds left out", self.pace.left_out_ns());
    }
}

pub(super) fn build(args: &mut Args, setup: &Setup) -> Result<Box<dyn NetworkFunction>, ArgsError> {
    let pace = args.take_with("rate", |text| text.parse().map_err(|error: PaceError| error.to_string()))?;
    let count = args.take_or("count", u64::MAX)?;
    let gate = args.number("gate", 1, 0..=1)? as Gate;
    let frames = frames::from_args(args, setup)?;
    if frames.longest() > setup.pool.room() {
        let (longest, room) = (frames.longest(), setup.pool.room());
        return Err(args.conflict(format!("a frame of {longest} bytes; buffers hold {room}")));
    }
    let pace = pace.unwrap_or_else(|| Pace::packets(1000));
    Ok(Box::new(Generator::new(frames, pace, count, gate, setup.pool.clone())))
}

#[cfg(test)]
mod tests {
    use super::super::tests::{at, function, left, setup};
    use super::*;
    use packet::flow::FlowKey;
    use packet::parse::Layers;
    use packet::wire::{icmpv4, ipv4, tcp, udp};

    /// Runs from deadline to deadline; what left, with its time.
    fn run(words: &[&str], most: usize) -> Vec<(u64, Vec<u8>)> {
        let setup = setup();
        let (mut generator, mut ctx) = (function("generate", words, &setup), Context::new(2));
        let mut out = Vec::new();
        while let Some(due_ns) = generator.deadline_ns().filter(|_| out.len() < most) {
            ctx.set_now_ns(due_ns);
            generator.expire(&mut ctx);
            out.extend(left(&mut ctx).into_iter().map(|(gate, frame)| {
                assert_eq!(gate, 1);
                (ctx.now_ns(), frame)
            }));
        }
        assert_eq!((setup.pool.available(), ctx.drops().total()), (setup.pool.capacity(), 0));
        out
    }

    fn number(bytes: &[u8]) -> u64 {
        u64::from_be_bytes(bytes.try_into().unwrap())
    }

    /// The slow twin of the counting: the exact time of each packet.
    #[test]
    fn rates_are_exact_to_the_nanosecond() {
        let out = run(&["rate=7pps", "count=50"], 99);
        let times: Vec<_> = (0..50u64).map(|n| n * 1_000_000_000 / 7).collect();
        assert_eq!(out.iter().map(|(time_ns, _)| *time_ns).collect::<Vec<_>>(), times);
        let out = run(&["rate=1.5mbit", "size=60-1514", "count=300"], 999);
        let mut bits = 0u64;
        for (time_ns, frame) in &out {
            assert_eq!(*time_ns, bits * 1_000_000_000 / 1_500_000);
            bits += frame.len() as u64 * 8;
        }
        assert_eq!(out.len(), 300);
    }

    #[test]
    fn frames_are_whole_their_checksums_right_and_numbered() {
        let six = ["source=2001:db8::1", "destination=2001:db8::2"];
        for (kind, version) in
            [("udp", 4), ("tcp", 4), ("syn", 4), ("icmp", 4), ("udp", 6), ("tcp", 6), ("icmp", 6)]
        {
            let kind = format!("frame={kind}");
            let mut words = vec![&*kind, "flows=3", "size=90-1514", "count=40"];
            words.extend(if version == 6 { &six[..] } else { &[] });
            for (n, (time_ns, frame)) in run(&words, 99).into_iter().enumerate() {
                let layers = Layers::of(&frame).unwrap();
                let (segment, addresses) = (layers.segment(&frame), layers.addresses(&frame).unwrap());
                let right = match (&words[0][6..], version) {
                    ("udp", _) => {
                        udp::View::new_checked(segment).unwrap().verify_checksum(addresses.0, addresses.1)
                    }
                    ("icmp", 4) => icmpv4::View::new_checked(segment).unwrap().verify_checksum(),
                    ("icmp", _) => packet::wire::icmpv6::View::new_checked(segment).is_ok_and(|view| {
                        let (std::net::IpAddr::V6(s), std::net::IpAddr::V6(d)) = addresses else {
                            return false;
                        };
                        view.verify_checksum(s, d)
                    }),
                    _ => tcp::View::new_checked(segment).unwrap().verify_checksum(addresses.0, addresses.1),
                };
                assert!(right, "{words:?} {n}");
                assert!(version == 6 || ipv4::View::new_checked(&frame[14..]).unwrap().verify_checksum());
                if kind == "frame=syn" {
                    assert_eq!((segment.len(), layers.end), (tcp::HEADER_LEN, 54));
                    continue;
                }
                assert_eq!(layers.end, frame.len());
                let tail = &frame[frame.len() - 16..];
                assert_eq!((number(&tail[..8]), number(&tail[8..])), (n as u64, time_ns));
            }
        }
    }

    #[test]
    fn flows_take_turns_and_are_as_many_as_were_asked_for() {
        let words =
            ["flows=12", "source=10.0.0.1-10.0.0.2", "destination=10.1.0.0/31", "sport=5-7", "count=36"];
        let keys: Vec<_> = run(&words, 99)
            .iter()
            .map(|(_, frame)| FlowKey::of(&Layers::of(frame).unwrap(), frame).unwrap().to_string())
            .collect();
        assert_eq!(keys[..12], keys[12..24]);
        assert_eq!(keys.iter().collect::<std::collections::BTreeSet<_>>().len(), 12);
        assert_eq!((&*keys[0], &*keys[11]), ("udp 10.0.0.1:5 -> 10.1.0.0:9", "udp 10.0.0.2:7 -> 10.1.0.1:9"));
        let mut args = Args::parse("generate", ["flows=2", "sport=5"]).unwrap();
        assert!(build(&mut args, &setup()).err().unwrap().to_string().contains("1 flow"));
    }

    #[test]
    fn sizes_follow_the_mixture_and_seeds_repeat() {
        let sizes =
            |words: &[&str]| run(words, 9999).iter().map(|(_, frame)| frame.len()).collect::<Vec<_>>();
        let imix = sizes(&["size=imix", "count=1200"]);
        let of = |size| imix.iter().filter(|len| **len == size).count();
        assert_eq!((of(60), of(590), of(1514)), (700, 400, 100));
        let (one, two) = (["size=60-80", "seed=1", "count=50"], ["size=60-80", "seed=2", "count=50"]);
        assert!(sizes(&one) == sizes(&one) && sizes(&one) != sizes(&two));
    }

    #[test]
    fn a_capture_is_sent_again_and_again() {
        let path = std::env::temp_dir().join(format!("netbricks-generate-{}.pcap", std::process::id()));
        let file = std::fs::File::create(&path).unwrap();
        let mut writer = packet::pcap::Writer::new(file, packet::pcap::LinkType::ETHERNET).unwrap();
        [&b"frame one"[..], b"two"].iter().for_each(|frame| writer.write(0, frame).unwrap());
        writer.into_inner().unwrap();
        let word = format!("pcap={}", path.display());
        let out = run(&[&word, "count=5"], 9);
        std::fs::remove_file(&path).unwrap();
        assert_eq!(out.iter().map(|(_, f)| f.len()).collect::<Vec<_>>(), [9, 3, 9, 3, 9]);
        assert_eq!((&*out[0].1, &*out[1].1), (&b"frame one"[..], &b"two"[..]));
    }

    #[test]
    fn falling_behind_leaves_time_out_and_an_empty_pool_is_counted() {
        let setup = setup();
        let (mut generator, mut ctx) = (function("generate", &["rate=1000pps"], &setup), Context::new(2));
        ctx.set_now_ns(1_000);
        generator.expire(&mut ctx);
        assert_eq!((left(&mut ctx).len(), generator.deadline_ns()), (1, Some(1_001_000)));
        ctx.set_now_ns(10_000_000_000);
        generator.expire(&mut ctx);
        assert_eq!(left(&mut ctx).len(), 101, "100 ms of packets, and the one that is due");
        let mut report = Report::default();
        generator.report(&mut report);
        assert_eq!(report.get("nanoseconds left out"), 10_000_000_000 - 1_001_000 - 100_000_000);
        let _taken: Vec<_> = std::iter::from_fn(|| setup.pool.alloc()).collect();
        ctx.set_now_ns(10_010_000_000);
        generator.expire(&mut ctx);
        assert_eq!((ctx.drops().of(Cause::NO_BUFFER), left(&mut ctx).len()), (10, 0));
        assert_eq!(at(&mut *generator, &mut ctx, (1, 0), &setup.pool, &[]).len(), 0);
    }
}
