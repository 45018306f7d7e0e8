//! [`LinkEmulator`].

mod levels;

use packet::{Batch, Packet, Pool};
use ports::finish::{self, Segments};
use sim::{Emulator, EmulatorStats, LinkSpec, NetworkError, Random, Time};

use crate::engine::{Context, Gate, Module, realtime_ns};

pub use levels::{LEVELS_MAX, LevelMap, LevelMapError};

/// Packets that one call lets out at most; the rest is due at once, in the next.
const RELEASE_MAX: usize = 1024;
/// Bytes of a packet, on the average, by which [`LinkEmulatorConfig::packets_for`] counts.
const MEAN_BYTES: u64 = 500;
/// Stamps that are older than that are not of this moment: 100 ms, more than a packet waits in its socket.
const STAMP_AGE_MAX_NS: u64 = 100_000_000;
/// Packets that a link holds unless more are asked for.
const USUAL_MAX: usize = 131_072;

/// One direction of a link: packets leave at its rate, after its delay, and some of them not at all.
///
/// *Input gates*: one. *Output gates*: one. *Deadlines*: one, that of the next packet to leave.
///
/// It is the link of [`sim`], so what was simulated can be tried on real packets: a rate, a delay with jitter that keeps the
/// order, random loss, packets held up so that others overtake them, and before it a buffer that eight levels of strict priority
/// share. When a packet finds the buffer full, the last ones of the lowest occupied level strictly below its own make room; where
/// there are none, it is dropped. Its level follows from its DSCP by a [`LevelMap`]; what is not IP has level 0, the first.
///
/// What a sender has left to the network card is done before: large segments are cut, checksums filled in, so that rate and buffer
/// count the frames of a real wire. The check sequence and what lies between frames are not counted, unless
/// [`overhead_bytes`](LinkEmulatorConfig::overhead_bytes) says so.
///
/// Packets are copied into buffers of the pool that it is given, which hold them until they leave. Where that is another pool than
/// the ports', the longest of links starves no port. What finds no buffer there is dropped and counted
/// ([`LinkEmulatorCounters::no_buffer`]), and so is what goes beyond [`LinkEmulatorConfig::packets`]. What is on the link when the
/// module is removed is lost.
///
/// ```
/// use packet::{Pool, PoolConfig};
/// use sim::{LinkSpec, Rate, Time};
/// use softnic::modules::{LinkEmulator, LinkEmulatorConfig};
///
/// let wan = LinkSpec::new(Rate::from_mbit(50), Time::from_millis(40)).buffer(500_000).loss(0.001);
/// let config = LinkEmulatorConfig::new(wan);
/// let pool = Pool::new(PoolConfig { buffers: config.packets, ..PoolConfig::default() })?;
/// let link = LinkEmulator::new(config, pool)?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct LinkEmulator {
    link: Emulator<Packet>,
    levels: LevelMap,
    overhead_bytes: u32,
    buffer_bytes: u64,
    pool: Pool,
    no_buffer: u64,
    too_long: u64,
    unfinished: u64,
}

/// What a [`LinkEmulator`] is made from.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct LinkEmulatorConfig {
    /// The link.
    pub link: LinkSpec,
    /// The level of a packet.
    pub levels: LevelMap,
    /// Bytes that every frame is longer on the wire than here: 24 for Ethernet with preamble, check sequence and gap.
    pub overhead_bytes: u32,
    /// Packets that it holds at most.
    pub packets: usize,
    /// What its luck is drawn from.
    pub seed: u64,
}

/// Packets that a link holds at most, whatever is asked for.
pub const LINK_PACKETS_MAX: usize = 1 << 20;

impl LinkEmulatorConfig {
    /// That link; levels by DSCP, no overhead, and as many packets as [`packets_for`](Self::packets_for) says.
    pub fn new(link: LinkSpec) -> Self {
        let packets = Self::packets_for(&link);
        Self { link, levels: LevelMap::DSCP, overhead_bytes: 0, packets, seed: 0 }
    }

    /// As many packets of 500 bytes as fit the link and its buffer, and 1,024 more; 131,072 at most, which are 290 MB of buffers.
    pub fn packets_for(link: &LinkSpec) -> usize {
        let held_up = if link.reorder > 0.0 { link.reorder_by } else { Time::ZERO };
        let on_the_wire = link.rate.bytes_in(link.delay + link.jitter + held_up);
        let packets = on_the_wire.saturating_add(link.buffer_bytes) / MEAN_BYTES;
        usize::try_from(packets).unwrap_or(USUAL_MAX).saturating_add(1024).min(USUAL_MAX)
    }
}

/// Why there is no link.
#[derive(Clone, Copy, Debug, PartialEq, thiserror::Error)]
pub enum LinkEmulatorError {
    /// A share of loss or reordering that is none.
    #[error(transparent)]
    Link(#[from] NetworkError),
    /// It is to hold no packets, or too many.
    #[error("a link that holds {0} packets: 1 to {LINK_PACKETS_MAX} are possible")]
    Packets(usize),
}

/// What a [`LinkEmulator`] did, and holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LinkEmulatorCounters {
    /// By level, and the queue.
    pub link: EmulatorStats,
    /// Packets that were dropped because all of its buffers were in use.
    pub no_buffer: u64,
    /// Packets that were dropped because they are longer than its buffers.
    pub too_long: u64,
    /// Packets that were dropped because the work left on them makes no sense.
    pub unfinished: u64,
}

impl LinkEmulator {
    /// A link with no packet on it, whose packets will lie in buffers of `pool`.
    ///
    /// # Errors
    /// [`LinkEmulatorError`].
    pub fn new(config: LinkEmulatorConfig, pool: Pool) -> Result<Self, LinkEmulatorError> {
        let LinkEmulatorConfig { link, levels, overhead_bytes, packets, seed } = config;
        if !(1..=LINK_PACKETS_MAX).contains(&packets) {
            return Err(LinkEmulatorError::Packets(packets));
        }
        let buffer_bytes = link.buffer_bytes;
        let link = Emulator::new(link, packets, Random::new(seed, 0))?;
        let (no_buffer, too_long, unfinished) = (0, 0, 0);
        Ok(Self { link, levels, overhead_bytes, buffer_bytes, pool, no_buffer, too_long, unfinished })
    }

    /// What it did, and holds.
    pub fn counters(&self) -> LinkEmulatorCounters {
        let Self { no_buffer, too_long, unfinished, .. } = *self;
        LinkEmulatorCounters { link: self.link.stats(), no_buffer, too_long, unfinished }
    }

    /// The next packet that is due.
    pub(super) fn due(&mut self, now_ns: u64) -> Option<Packet> {
        self.link.poll_output(now_ns)
    }

    /// Loses what is on it.
    pub(super) fn cut(&mut self) {
        self.link.cut();
    }

    /// Takes a packet onto the link, or all that it is to be cut into.
    pub(super) fn take(&mut self, now_ns: u64, mut packet: Packet) {
        let Some(wanted) = packet.offload().segmentation else {
            if finish::complete(&mut packet).is_err() {
                self.unfinished += 1;
                return;
            }
            if packet.len() > self.pool.room() {
                self.too_long += 1;
                return;
            }
            match self.pool.packet(packet.data()) {
                Some(copy) => self.enter(now_ns, with_marks(copy, &packet)),
                None => self.no_buffer += 1,
            }
            return;
        };
        let Ok(mut segments) = Segments::new(&packet, wanted, false) else {
            self.unfinished += 1;
            return;
        };
        if segments.frame_len_max() > self.pool.room() {
            self.too_long += segments.len() as u64;
            return;
        }
        while !segments.is_empty() {
            let Ok(segment) = segments.next_packet(&self.pool) else {
                self.no_buffer += segments.len() as u64;
                return;
            };
            self.enter(now_ns, with_marks(segment, &packet));
        }
    }

    fn enter(&mut self, now_ns: u64, packet: Packet) {
        let bytes = (packet.len() as u32).saturating_add(self.overhead_bytes);
        let level = self.levels.of(packet.data());
        self.link.handle(now_ns, level, bytes, packet);
    }

    /// Lets out what is due.
    fn release(&mut self, ctx: &mut Context<'_>) {
        let now_ns = ctx.now_ns();
        for _ in 0..RELEASE_MAX {
            match self.link.poll_output(now_ns) {
                Some(packet) => ctx.emit(0, packet),
                None => return,
            }
        }
    }
}

/// When packets came: what the kernel has stamped on them, where their port asks it to, or now. A worker that was asleep has them
/// later than they came, and a link's delay begins when they came.
struct Arrivals {
    now_ns: u64,
    /// The clock of the stamps, once one was seen.
    today_ns: Option<u64>,
}

impl Arrivals {
    fn new(now_ns: u64) -> Self {
        Self { now_ns, today_ns: None }
    }

    fn of(&mut self, packet: &Packet) -> u64 {
        let stamp_ns = packet.timestamp_ns();
        if stamp_ns == 0 {
            return self.now_ns;
        }
        let ago_ns = self.today_ns.get_or_insert_with(realtime_ns).saturating_sub(stamp_ns);
        // What a capture or another machine has stamped, or a clock that was set, says nothing.
        if ago_ns > STAMP_AGE_MAX_NS { self.now_ns } else { self.now_ns.saturating_sub(ago_ns) }
    }
}

/// A copy with what travels along with a packet.
fn with_marks(mut copy: Packet, packet: &Packet) -> Packet {
    copy.set_ingress(packet.ingress());
    copy.set_egress(packet.egress());
    copy.set_timestamp_ns(packet.timestamp_ns());
    copy.set_flow_hash(packet.flow_hash());
    *copy.metadata_mut() = *packet.metadata();
    copy
}

impl Module for LinkEmulator {
    fn class(&self) -> &'static str {
        "LinkEmulator"
    }

    fn process(&mut self, ctx: &mut Context<'_>, _gate: Gate, batch: &mut Batch) {
        let mut arrivals = Arrivals::new(ctx.now_ns());
        for packet in batch.drain(..) {
            self.take(arrivals.of(&packet), packet);
        }
        self.release(ctx);
    }

    fn timed(&self) -> bool {
        true
    }

    fn deadline_ns(&self) -> Option<u64> {
        self.link.next_deadline()
    }

    fn exact(&self) -> bool {
        true
    }

    fn expire(&mut self, ctx: &mut Context<'_>) {
        self.release(ctx);
    }

    fn held(&self) -> usize {
        self.link.held()
    }

    fn status(&self) -> String {
        let stats = self.link.stats();
        format!("{} packets, {}/{} bytes queued", stats.held, stats.queued_bytes, self.buffer_bytes)
    }
}

#[cfg(test)]
mod tests {
    use packet::wire::{EtherType, udp};
    use packet::{Checksum, Offload, PoolConfig, SegmentKind, Segmentation};
    use sim::Rate;

    use super::super::frames::{datagram, framed, packet, pool};
    use super::*;
    use crate::engine::{Left, Rig};

    const MS: u64 = 1_000_000;
    const ENDS: [&str; 2] = ["10.0.0.1:1000", "10.0.0.2:2000"];
    const ENDS6: [&str; 2] = ["[fd00::1]:1000", "[fd00::2]:2000"];

    /// 8 Mbit/s (1,000 bytes take 1 ms), 5 ms, and room for three such frames.
    fn spec() -> LinkSpec {
        LinkSpec::new(Rate::from_mbit(8), Time::from_millis(5)).buffer(3_000)
    }

    fn link(config: LinkEmulatorConfig) -> Rig<Box<LinkEmulator>> {
        Rig::new(LinkEmulator::new(config, pool()).unwrap())
    }

    /// A frame of 1,000 bytes in all, numbered in its last byte.
    fn frame(dscp: u8, number: u8) -> Packet {
        let mut payload = vec![0; 1_000 - 42];
        *payload.last_mut().unwrap() = number;
        let mut frame = datagram(ENDS, &payload);
        frame[15] = dscp << 2 | 1; // and a bit of ECN
        packet(&frame)
    }

    fn numbers(left: &Left) -> Vec<u8> {
        left.iter()
            .map(|(gate, packet)| (*gate == 0).then(|| *packet.data().last().unwrap()).unwrap())
            .collect()
    }

    #[test]
    fn packets_leave_at_the_rate_after_the_delay() {
        let mut rig = link(LinkEmulatorConfig::new(spec()));
        assert!(rig.at(MS).process(0, (0..4).map(|number| frame(0, number))).is_empty());
        assert_eq!((rig.module.deadline_ns(), rig.module.held()), (Some(7 * MS), 4));
        assert_eq!(rig.module.status(), "4 packets, 3000/3000 bytes queued");
        assert!(rig.at(7 * MS - 1).expire().is_empty());
        assert_eq!(numbers(&rig.at(8 * MS).expire()), [0, 1]);
        assert_eq!(numbers(&rig.at(10 * MS).expire()), [2, 3]);
        assert_eq!((rig.module.deadline_ns(), rig.module.held()), (None, 0));
        // With 125 bytes more, a ninth longer: from the start of the next packet.
        let mut rig = link(LinkEmulatorConfig { overhead_bytes: 125, ..LinkEmulatorConfig::new(spec()) });
        rig.process(0, [frame(0, 0)]);
        assert_eq!(rig.module.deadline_ns(), Some(6 * MS + 125_000));
    }

    #[test]
    fn levels_come_from_the_dscp() {
        let mut rig = link(LinkEmulatorConfig::new(spec()));
        // The first is on its way; 2 and 1 wait; the others evict, or are dropped.
        let frames = [(0, 0), (3, 1), (1, 2), (3, 3), (46, 4), (0, 5), (5, 6)];
        rig.process(0, frames.map(|(dscp, number)| frame(dscp, number)));
        assert_eq!(numbers(&rig.at(20 * MS).expire()), [0, 4, 5, 2]);
        let levels = rig.module.counters().link.levels;
        assert_eq!(levels.map(|level| level.carried), [3, 1, 0, 0, 0, 0, 0, 0]);
        assert_eq!(levels.map(|level| level.evicted), [0, 0, 0, 2, 0, 0, 0, 0]);
        assert_eq!(levels.map(|level| level.dropped), [0, 0, 0, 0, 0, 1, 0, 0]);
        let mut rig = link(LinkEmulatorConfig { levels: LevelMap::ONE, ..LinkEmulatorConfig::new(spec()) });
        rig.process(0, [(0, 0), (3, 1), (0, 2)].map(|(dscp, number)| frame(dscp, number)));
        assert_eq!(numbers(&rig.at(20 * MS).expire()), [0, 1, 2]);
    }

    #[test]
    fn large_segments_are_cut_before_they_are_counted() {
        for (ends, kind, headers) in [(ENDS, SegmentKind::Udp, 42), (ENDS6, SegmentKind::Udp, 62)] {
            let mut rig = link(LinkEmulatorConfig::new(spec().buffer(100_000)));
            let mut large = packet(&datagram(ends, &[7; 1_800]));
            let size = 1_000 - headers as u16;
            let segmentation = Some(Segmentation { kind, ecn: false, size, header_len: headers as u16 });
            let checksum = Checksum::Partial { start: headers as u16 - udp::HEADER_LEN as u16, offset: 6 };
            large.set_offload(Offload { checksum, segmentation });
            rig.process(0, [large]);
            // 1,000 bytes, and the rest of them.
            let rest = headers + 1_800 - usize::from(size);
            assert_eq!((rig.module.deadline_ns(), rig.module.held()), (Some(6 * MS), 2));
            let left = rig.at(20 * MS).expire();
            assert_eq!(left.iter().map(|(_, packet)| packet.len()).collect::<Vec<_>>(), [1_000, rest]);
            assert!(left.iter().all(|(_, packet)| packet.offload() == Offload::default()));
        }
    }

    #[test]
    fn what_cannot_be_taken_is_counted() {
        let few = Pool::new(PoolConfig { buffers: 2, room: 1_000, ..PoolConfig::default() }).unwrap();
        let mut rig = Rig::new(LinkEmulator::new(LinkEmulatorConfig::new(spec()), few).unwrap());
        let mut senseless = frame(0, 9);
        let checksum = Checksum::Partial { start: 999, offset: 6 };
        senseless.set_offload(Offload { checksum, segmentation: None });
        let mut no_such = frame(0, 9);
        let segmentation = Segmentation { kind: SegmentKind::TcpV6, ecn: false, size: 100, header_len: 54 };
        no_such.set_offload(Offload { checksum: Checksum::Unknown, segmentation: Some(segmentation) });
        let frames = [senseless, no_such, packet(&[0; 1_001]), frame(0, 0), frame(0, 1), frame(0, 2)];
        rig.process(0, frames);
        let counters = rig.module.counters();
        assert_eq!((counters.unfinished, counters.too_long, counters.no_buffer), (2, 1, 1));
        assert_eq!(numbers(&rig.at(20 * MS).expire()), [0, 1]);
        // Not IP, or not even Ethernet: level 0.
        rig.process(0, [packet(&framed(EtherType::ARP, &[0; 28])), packet(&[1; 3])]);
        assert_eq!((rig.module.counters().link.levels[0].arrived, rig.dropped), (4, 0));
        let mut rig = link(LinkEmulatorConfig { packets: 2, ..LinkEmulatorConfig::new(spec()) });
        rig.process(0, (0..3).map(|number| frame(0, number)));
        assert_eq!((rig.module.counters().link.levels[0].over_limit, rig.module.held()), (1, 2));
    }

    #[test]
    fn the_delay_begins_when_the_kernel_had_the_packet() {
        let mut rig = link(LinkEmulatorConfig::new(spec()));
        let mut stamped = frame(0, 0);
        stamped.set_timestamp_ns(realtime_ns() - 3 * MS);
        rig.at(150 * MS).process(0, [stamped]);
        // 6 ms after it came, 3 ms ago, or a little more by the time at which the link looks.
        let due = rig.module.deadline_ns().unwrap();
        assert!((60 * MS..=153 * MS).contains(&due), "{due}");
        let mut rig = link(LinkEmulatorConfig::new(spec()));
        let mut old = frame(0, 1);
        old.set_timestamp_ns(1_000_000_000 * MS);
        rig.at(50 * MS).process(0, [old]);
        assert_eq!(rig.module.deadline_ns(), Some(56 * MS), "a stamp of 2001 is no time of arrival");
    }

    #[test]
    fn links_that_cannot_be() {
        let new = |change: fn(&mut LinkEmulatorConfig)| {
            let mut config = LinkEmulatorConfig::new(spec());
            change(&mut config);
            LinkEmulator::new(config, pool()).unwrap_err().to_string()
        };
        assert_eq!(new(|config| config.link.loss = f64::NAN), "loss of NaN: want 0 to 1");
        assert!(new(|config| config.packets = 0).contains("1 to 1048576"));
        let long = LinkSpec::new(Rate::from_mbit(1_000_000), Time::MAX).buffer(u64::MAX);
        assert_eq!(LinkEmulatorConfig::packets_for(&long), 131_072);
        assert_eq!(LinkEmulatorConfig::packets_for(&spec()), 1024 + 16);
    }
}
