//! Limits the rate of traffic, of all together or of each source, destination or flow.
//!
//! Token buckets meter the frames, by bytes from the Ethernet header on, or by packets. What is within the rate passes to
//! the other gate. What is beyond it is dropped, or marked and passed. With a peak rate it is the two-rate three-colour
//! marker of RFC 2698: up to `rate` passes as it is, up to `peak` is marked, and what is beyond is dropped.
//!
//! Arguments:
//!   rate=RATE          `10mbit`, `64kbit`, `2.5gbit`, or packets a second, `1000pps`
//!   burst=SIZE         `15k`, `1m` bytes, or packets, that may pass at once (default: what the rate gives in 50 ms, and
//!                      3028 bytes or 2 packets at least). A segment of 64 KiB that the kernel hands over whole asks for
//!                      a burst of that size
//!   per=all|source|destination|flow  what has a bucket of its own, in each direction (default: all). IPv6 hosts are told
//!                      apart by the first 64 bits: the others are theirs to choose
//!   from=0|1|both      the gate whose packets are metered; others pass (default: both)
//!   mark=DSCP          marks with this code point, 0 to 63, instead of dropping
//!   peak=RATE          the second rate; asks for `mark`
//!   peak-burst=SIZE    its burst (default: as for burst)
//!   keys=COUNT         sources, destinations or flows with a bucket of their own at a time (default: 65536)
//!
//! A bucket that has filled up again is as good as new and makes room. Those for whom there is no room share one bucket, as
//! do, for each direction, frames that have no such key.
//!
//! Example:
//!   weft netbricks run ratelimit rate=10mbit per=source --in tap:inside --out tap:outside

use std::hash::{Hash, Hasher};
use std::net::{Ipv4Addr, Ipv6Addr};

use lookup::flow_table::{FlowTable, RECLAIM_TURNS};
use lookup::token_bucket::{Colour, MarkerError, Rate, TokenBucket, TwoRateMarker};
use packet::flow::{FlowHasher, FlowKey, Tuple};
use packet::parse::{Layers, Network};
use packet::wire::{IpProtocol, ipv4, ipv6};
use packet::{Batch, Packet, checksum};

use super::Setup;
use crate::{Args, ArgsError, Cause, Context, Gate, NetworkFunction, Report};

const BEYOND: Cause = Cause::new("beyond the rate");
/// Keys one limiter may be asked for.
const KEYS_MAX: u64 = 1 << 22;
/// Two full frames.
const BURST_BYTES_MIN: u64 = 2 * 1514;

/// What has a bucket of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Per {
    /// Each direction.
    All,
    /// Each source address.
    Source,
    /// Each destination address.
    Destination,
    /// Each 5-tuple.
    Flow,
}

/// A rate and its burst, in bytes or in packets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limit {
    /// How much in what time.
    pub rate: Rate,
    /// How much at once.
    pub burst: u64,
}

/// What is metered and how.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// What passes as it is.
    pub committed: Limit,
    /// What passes with a mark, if there is a second rate.
    pub peak: Option<Limit>,
    /// Whether packets count, and not their bytes.
    pub packets: bool,
    /// The code point of what is beyond the committed rate; `None`: it is dropped.
    pub mark: Option<u8>,
    /// After which time without traffic a bucket is full, whatever it was.
    pub full_ns: u64,
}

impl Limits {
    fn meter(&self, now_ns: u64) -> Result<Meter, MarkerError> {
        let Limit { rate, burst } = self.committed;
        Ok(match self.peak {
            None => Meter::One(TokenBucket::new(rate, burst, now_ns)),
            Some(peak) => Meter::Two(TwoRateMarker::new((rate, burst), (peak.rate, peak.burst), now_ns)?),
        })
    }
}

/// A bucket, or two.
#[derive(Clone, Debug)]
enum Meter {
    One(TokenBucket),
    Two(TwoRateMarker),
}

impl Meter {
    /// Green passes, yellow is marked or else dropped, red is dropped.
    fn colour(&mut self, amount: u64, now_ns: u64) -> Colour {
        match self {
            Self::One(bucket) => match bucket.take(amount, now_ns) {
                true => Colour::Green,
                false => Colour::Yellow,
            },
            Self::Two(marker) => marker.mark(amount, Colour::Green, now_ns),
        }
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
struct Key {
    gate: Gate,
    of: FlowKey,
}

impl Hash for Key {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.of.hash(state);
        state.write_u64(self.gate.into());
    }
}

/// A rate limiter.
pub struct RateLimit {
    limits: Limits,
    per: Per,
    /// The gate whose packets are metered, if not both are.
    from: Option<Gate>,
    buckets: FlowTable<Key, Meter>,
    /// For each direction, of those that have no bucket of their own.
    shared: [Meter; 2],
    fresh: Meter,
    colours: [u64; 3],
    crowded: u64,
}

impl std::fmt::Debug for RateLimit {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("RateLimit")
            .field("limits", &self.limits)
            .field("per", &self.per)
            .finish_non_exhaustive()
    }
}

impl RateLimit {
    /// Meters what comes in at the gate `from`, or at both, with `keys` buckets at a time.
    ///
    /// # Errors
    /// A peak rate below the committed one, or a burst of nothing.
    pub fn new(
        limits: Limits,
        (per, keys): (Per, usize),
        from: Option<Gate>,
        hasher: FlowHasher,
    ) -> Result<Self, MarkerError> {
        let fresh = limits.meter(0)?;
        let keys = if per == Per::All { 1 } else { keys.max(1) };
        Ok(Self {
            limits,
            per,
            from,
            buckets: FlowTable::with_hasher(keys, hasher),
            shared: [fresh.clone(), fresh.clone()],
            fresh,
            colours: [0; 3],
            crowded: 0,
        })
    }

    /// What is to be done with a packet, which is marked if need be.
    fn meter(&mut self, gate: Gate, packet: &mut Packet, now_ns: u64) -> Result<(), Cause> {
        if self.from.is_some_and(|from| from != gate) {
            return Ok(());
        }
        // What is not parsed cannot be malformed.
        let parses = self.per != Per::All || self.limits.mark.is_some();
        let layers = if parses { Some(Layers::of(packet.data())?) } else { None };
        let key = layers.as_ref().and_then(|layers| key(self.per, layers, packet.data()));
        let amount = if self.limits.packets { 1 } else { packet.len() as u64 };
        let colour = self.bucket(gate, key, now_ns).colour(amount, now_ns);
        self.colours[colour as usize] += 1;
        match (colour, self.limits.mark, layers) {
            (Colour::Green, ..) => Ok(()),
            (Colour::Yellow, Some(code), Some(layers)) => {
                mark(packet.data_mut(), &layers, code);
                Ok(())
            }
            _ => Err(BEYOND),
        }
    }

    fn bucket(&mut self, gate: Gate, key: Option<FlowKey>, now_ns: u64) -> &mut Meter {
        let shared = usize::from(gate & 1);
        let Some(of) = key else { return &mut self.shared[shared] };
        let (key, deadline_ns) = (Key { gate, of }, now_ns.saturating_add(self.limits.full_ns));
        let found = match self.buckets.find(&key, now_ns) {
            Some(id) => Some(id),
            None => {
                self.buckets.expire(now_ns, RECLAIM_TURNS, |_, _| ());
                self.buckets.insert(key, self.fresh.clone(), deadline_ns, now_ns).ok()
            }
        };
        let Some(id) = found else {
            self.crowded += 1;
            return &mut self.shared[shared];
        };
        self.buckets.set_deadline(id, deadline_ns);
        match self.buckets.get_mut(id) {
            Some(bucket) => bucket,
            None => &mut self.shared[shared],
        }
    }
}

/// The key of a packet's bucket, as a 5-tuple of which only what counts is there.
fn key(per: Per, layers: &Layers, frame: &[u8]) -> Option<FlowKey> {
    let hosts = FlowKey::hosts(layers, frame)?;
    let alone = |source: bool| match hosts {
        FlowKey::V4(tuple) => FlowKey::V4(Tuple {
            source: if source { tuple.source } else { tuple.destination },
            destination: Ipv4Addr::UNSPECIFIED,
            source_port: 0,
            destination_port: 0,
            protocol: IpProtocol::NONE,
        }),
        FlowKey::V6(tuple) => {
            let host = if source { tuple.source } else { tuple.destination };
            FlowKey::V6(Tuple {
                source: Ipv6Addr::from_bits(host.to_bits() >> 64 << 64),
                destination: Ipv6Addr::UNSPECIFIED,
                source_port: 0,
                destination_port: 0,
                protocol: IpProtocol::NONE,
            })
        }
    };
    match per {
        Per::All => None,
        Per::Source => Some(alone(true)),
        Per::Destination => Some(alone(false)),
        Per::Flow => Some(FlowKey::of(layers, frame).unwrap_or(hosts)),
    }
}

/// Sets the differentiated services code point (RFC 2474), and leaves the congestion bits as they are.
fn mark(frame: &mut [u8], layers: &Layers, code: u8) {
    let header = &mut frame[layers.l3..];
    match layers.network {
        Network::V4 => {
            let mut ip = ipv4::View::new_unchecked(header);
            let (old, new) = (ip.tos(), code << 2 | ip.tos() & 3);
            let check = checksum::update16(ip.checksum(), old.into(), new.into());
            ip.set_tos(new);
            ip.set_checksum(check);
        }
        Network::V6 => {
            let mut ip = ipv6::View::new_unchecked(header);
            let (class, label) = (ip.traffic_class(), ip.flow_label());
            ip.set_first(code << 2 | class & 3, label);
        }
        Network::Arp | Network::Other => {}
    }
}

impl NetworkFunction for RateLimit {
    fn process(&mut self, gate: Gate, batch: &mut Batch, ctx: &mut Context) {
        for mut packet in batch.drain(..) {
            match self.meter(gate, &mut packet, ctx.now_ns()) {
                Ok(()) => ctx.send(gate ^ 1, packet),
                Err(cause) => ctx.drop(packet, cause),
            }
        }
    }

    fn report(&self, report: &mut Report) {
        report.counter("within the rate", self.colours[Colour::Green as usize]);
        report.counter("beyond the rate", self.colours[Colour::Yellow as usize]);
        report.counter("beyond the peak rate", self.colours[Colour::Red as usize]);
        report.counter("buckets", self.buckets.len() as u64);
        report.counter("metered together for want of room", self.crowded);
    }
}

/// A number with a unit, in thousandths of the unit: `2.5gbit`.
fn quantity(text: &str, units: &[(&str, u64)]) -> Option<u64> {
    let (number, scale) = units.iter().find_map(|(unit, scale)| Some((text.strip_suffix(unit)?, scale)))?;
    let (whole, fraction) = number.split_once('.').unwrap_or((number, "0"));
    let digits = |text: &str| {
        (!text.is_empty() && text.bytes().all(|b| b.is_ascii_digit())).then(|| text.parse::<u64>().ok())?
    };
    if fraction.len() > 3 {
        return None;
    }
    let thousandths = digits(fraction)? * 10u64.pow(3 - fraction.len() as u32);
    digits(whole)?.checked_mul(1000)?.checked_add(thousandths)?.checked_mul(*scale).map(|value| value / 1000)
}

/// Bits or packets a second, and which.
fn read_rate(text: &str) -> Result<(u64, bool), String> {
    let bits = [("gbit", 1_000_000_000), ("mbit", 1_000_000), ("kbit", 1000), ("bit", 1)];
    let packets = quantity(text, &[("pps", 1)]).map(|rate| (rate, true));
    let rate = packets.or_else(|| quantity(text, &bits).map(|rate| (rate, false)));
    // Up to a terabit a second, nothing overflows.
    rate.filter(|(rate, _)| (1..=1_000_000_000_000).contains(rate))
        .ok_or_else(|| "a rate is wanted: 10mbit, 64kbit, 2.5gbit, 1000pps".into())
}

fn read_size(text: &str) -> Result<u64, String> {
    quantity(text, &[("k", 1000), ("m", 1_000_000), ("", 1)])
        .filter(|size| (1..=1 << 40).contains(size))
        .ok_or_else(|| "a size is wanted: 1500, 15k, 1m".into())
}

fn take_limit(
    args: &mut Args,
    rate: &'static str,
    burst: &'static str,
) -> Result<Option<(Limit, bool, u64)>, ArgsError> {
    let read = args.take_with(rate, read_rate)?;
    let size = args.take_with(burst, read_size)?;
    let Some((amount, packets)) = read else { return Ok(None) };
    let (per_second, least) = if packets { (amount, 2) } else { (amount / 8, BURST_BYTES_MIN) };
    let burst = size.unwrap_or((per_second / 20).max(least));
    let limit = match packets {
        true => Limit { rate: Rate::per_second(amount), burst },
        false => Limit { rate: Rate::bits_per_second(amount), burst },
    };
    let units = u128::from(burst) * if packets { 1 } else { 8 };
    let full_ns = (units * 1_000_000_000).div_ceil(u128::from(amount));
    Ok(Some((limit, packets, u64::try_from(full_ns).unwrap_or(u64::MAX))))
}

pub(super) fn build(args: &mut Args, setup: &Setup) -> Result<Box<dyn NetworkFunction>, ArgsError> {
    let Some((committed, packets, full_ns)) = take_limit(args, "rate", "burst")? else {
        return Err(args.conflict("rate=… is missing: how much may pass, such as 10mbit or 1000pps"));
    };
    let peak = take_limit(args, "peak", "peak-burst")?;
    let mark = args.take_with("mark", |text| match text.parse() {
        Ok(code @ 0..=63) => Ok(code),
        _ => Err("a code point from 0 to 63 is wanted".into()),
    })?;
    if peak.is_some_and(|(_, peak_packets, _)| peak_packets != packets) {
        return Err(args.conflict("rate and peak must both be in bits or both in packets"));
    }
    if peak.is_some() && mark.is_none() {
        return Err(args.conflict("peak=… asks for mark=…, for what is between the two rates"));
    }
    let per = args.take_with("per", |text| match text {
        "all" => Ok(Per::All),
        "source" => Ok(Per::Source),
        "destination" => Ok(Per::Destination),
        "flow" => Ok(Per::Flow),
        _ => Err("all, source, destination or flow is wanted".into()),
    })?;
    let from = args.take_with("from", |text| match text {
        "both" => Ok(None),
        "0" => Ok(Some(0)),
        "1" => Ok(Some(1)),
        _ => Err("0, 1 or both is wanted".into()),
    })?;
    let keys = args.number("keys", 65_536, 1..=KEYS_MAX)? as usize;
    let full_ns = peak.map_or(full_ns, |(_, _, peak_ns)| full_ns.max(peak_ns));
    let limits = Limits { committed, peak: peak.map(|(limit, ..)| limit), packets, mark, full_ns };
    let per = (per.unwrap_or(Per::All), keys);
    let limiter = RateLimit::new(limits, per, from.flatten(), FlowHasher::new(setup.key));
    Ok(Box::new(limiter.map_err(|error| args.conflict(error))?))
}

#[cfg(test)]
mod tests {
    use super::super::sample::{udp, who_has, words};
    use super::super::tests::{at, function, setup};
    use super::*;

    const SECOND: u64 = 1_000_000_000;

    /// Frames that pass of those that come in at a gate, each at its time.
    fn passing(words: &[&str], gate: Gate, frames: impl IntoIterator<Item = (u64, Vec<u8>)>) -> Vec<Vec<u8>> {
        let setup = setup();
        let (mut limiter, mut ctx) = (function("ratelimit", words, &setup), Context::new(2));
        let mut out = Vec::new();
        for (now_ns, frame) in frames {
            let left = at(&mut *limiter, &mut ctx, (gate, now_ns), &setup.pool, &[&frame]);
            out.extend(left.into_iter().map(|(_, frame)| frame));
        }
        out
    }

    fn frame(source: &str) -> Vec<u8> {
        udp(source, "192.0.2.1:9", &[0; 958]) // 1000 bytes
    }

    #[test]
    fn as_many_bytes_pass_as_the_rate_says() {
        // Twice the rate for ten seconds: 8 Mbit/s are 1000 frames of 1000 bytes a second.
        let frames = (0..20_000u64).map(|n| (n * SECOND / 2000, frame("10.0.0.1:1")));
        let passed = passing(&["rate=8mbit", "burst=10k"], 0, frames).len();
        assert!((10_008..=10_010).contains(&passed), "{passed}");
        let frames = (0..20_000u64).map(|n| (n * SECOND / 2000, frame("10.0.0.1:1")));
        assert!((1009..=1010).contains(&passing(&["rate=100pps", "burst=10"], 0, frames).len()));
    }

    #[test]
    fn each_source_has_its_own_bucket_and_no_more_than_there_is_room_for() {
        let words = ["rate=8kbit", "burst=1k", "per=source", "keys=4"];
        let twice = |n: u8| [(1, frame(&format!("10.0.0.{n}:1"))), (2, frame(&format!("10.0.0.{n}:2")))];
        assert_eq!(passing(&words, 0, (1..=4).flat_map(twice)).len(), 4);
        assert_eq!(passing(&words, 0, (1..=9).flat_map(twice)).len(), 5, "the fifth and later share one");
        let later = |n: u8| [(SECOND * 2 * u64::from(n), frame(&format!("10.0.0.{n}:1")))];
        assert_eq!(passing(&words, 0, (1..=100).flat_map(later)).len(), 100, "full buckets make room");
        let words = ["rate=8kbit", "burst=1k", "per=flow"];
        assert_eq!(passing(&words, 0, (1..=4).flat_map(twice)).len(), 8);
        let words = ["rate=8kbit", "burst=1k", "per=destination"];
        assert_eq!(passing(&words, 0, (1..=4).flat_map(twice)).len(), 1);
    }

    #[test]
    fn a_million_random_sources_take_no_more_memory() {
        let setup = setup();
        let words = ["rate=80kbit", "burst=1k", "per=source", "keys=1000"];
        let (mut limiter, mut ctx) = (function("ratelimit", &words, &setup), Context::new(2));
        let mut flood = udp("10.0.0.1:1", "192.0.2.1:9", b"");
        for n in 0..1_000_000u32 {
            flood[26..30].copy_from_slice(&n.wrapping_mul(2_654_435_761).to_be_bytes());
            let mut batch = Batch::new();
            batch.push(setup.pool.packet(&flood).unwrap()).unwrap();
            ctx.set_now_ns(u64::from(n) * 1000);
            limiter.process(0, &mut batch, &mut ctx);
            ctx.drain(1, Batch::clear);
        }
        let mut report = Report::default();
        limiter.report(&mut report);
        assert_eq!(report.get("buckets"), 1000);
        assert!(report.get("metered together for want of room") > 900_000);
    }

    #[test]
    fn what_is_beyond_is_marked_where_that_is_asked_for() {
        let words_of = |frames: Vec<Vec<u8>>| {
            frames.iter().map(|f| (f[15], words(f))).map(|(tos, _)| tos).collect::<Vec<_>>()
        };
        let three = || (0..3).map(|n| (n, frame("10.0.0.1:1")));
        assert_eq!(words_of(passing(&["rate=8kbit", "burst=1k", "mark=10"], 0, three())), [0, 40, 40]);
        let two_rates = ["rate=8kbit", "burst=1k", "peak=16kbit", "peak-burst=2k", "mark=10"];
        assert_eq!(words_of(passing(&two_rates, 0, three())), [0, 40]);
        let six = udp("[fd00::1]:1", "[fd00::2]:2", &[0; 938]);
        let passed = passing(&["rate=8kbit", "burst=1k", "mark=46"], 0, [(0, six.clone()), (1, six.clone())]);
        assert_eq!(passed[1][14..18], [0x6b, 0x80, 0, 0]);
        assert_eq!((&passed[0], &passed[1][18..]), (&six, &six[18..]));
    }

    #[test]
    fn one_direction_may_be_metered_alone() {
        let three = || (0..3).map(|n| (n, frame("10.0.0.1:1")));
        let words = ["rate=8kbit", "burst=1k", "from=1"];
        assert_eq!((passing(&words, 0, three()).len(), passing(&words, 1, three()).len()), (3, 1));
        let words = ["rate=8kbit", "burst=1k", "per=source"];
        assert_eq!(passing(&words, 0, [(0, who_has("10.0.0.1", "10.0.0.2"))]).len(), 1);
    }

    #[test]
    fn rates_and_sizes_are_read_or_refused() {
        assert_eq!(read_rate("2.5gbit"), Ok((2_500_000_000, false)));
        assert_eq!(read_rate("64kbit"), Ok((64_000, false)));
        assert_eq!(read_rate("1000pps"), Ok((1000, true)));
        assert_eq!(read_size("1.5k"), Ok(1500));
        for wrong in [
            "",
            "10",
            "mbit",
            "-1mbit",
            "1.2345mbit",
            "0bit",
            "2000gbit",
            "1e3bit",
            "99999999999999999999bit",
        ] {
            assert!(read_rate(wrong).is_err(), "{wrong}");
        }
        let wrong = |words: &[&str]| {
            let mut args = Args::parse("ratelimit", words).unwrap();
            build(&mut args, &setup()).err().unwrap().to_string()
        };
        assert!(wrong(&[]).contains("rate=… is missing"));
        assert!(wrong(&["rate=1mbit", "peak=2mbit"]).contains("asks for mark"));
        assert!(wrong(&["rate=2mbit", "peak=1mbit", "mark=1"]).contains("is below the committed rate"));
        assert!(wrong(&["rate=2mbit", "peak=1pps", "mark=1"]).contains("both"));
    }
}
