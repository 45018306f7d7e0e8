//! Meters (OpenFlow 1.3.5, sections 5.7 and 6.8): token buckets in virtual time.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::time::Duration;

use lookup::token_bucket::{Rate, TokenBucket};

use super::ports::{Count, since};
use crate::error::{Fault, MeterModFailed};
use crate::meter::{
    ALL, Band, BandKind, CONTROLLER, MAX, MeterConfig, MeterFeatures, MeterMod, MeterStats, SLOWPATH, flags,
};

/// Most meters.
pub const METERS_MAX: usize = 65_536;
/// Most bands of a meter.
pub const BANDS_MAX: usize = 16;
/// Burst of a band that names none: as much as passes in a second, but at least one full frame.
const FRAME_BYTES: u64 = 1518;

/// A meter. A band is exceeded by a packet that its bucket has no room for; of the exceeded ones that of the highest rate
/// applies.
#[derive(Debug)]
pub(super) struct Meter {
    flags: u16,
    bands: Vec<Band>,
    buckets: RefCell<Vec<TokenBucket>>,
    added: Duration,
    count: Count,
    band_counts: Vec<Count>,
}

/// What a meter says of a packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verdict {
    Pass,
    Drop,
    /// Raise the drop precedence by so much.
    Remark(u8),
}

fn nanoseconds(now: Duration) -> u64 {
    u64::try_from(now.as_nanos()).unwrap_or(u64::MAX)
}

impl Meter {
    fn new(now: Duration, added: Duration, request: &MeterMod) -> Self {
        let by_packets = request.flags & flags::PKTPS != 0;
        let bucket = |band: &Band| {
            let (rate, burst) = (u64::from(band.rate), u64::from(band.burst));
            let named = request.flags & flags::BURST != 0 && burst > 0;
            let (rate, burst) = if by_packets {
                (Rate::per_second(rate), if named { burst } else { rate.max(1) })
            } else {
                let burst = if named { burst * 125 } else { (rate * 125).max(FRAME_BYTES) };
                (Rate::bits_per_second(rate * 1000), burst)
            };
            TokenBucket::new(rate, burst, nanoseconds(now))
        };
        Self {
            flags: request.flags,
            buckets: RefCell::new(request.bands.iter().map(bucket).collect()),
            band_counts: request.bands.iter().map(|_| Count::default()).collect(),
            bands: request.bands.clone(),
            added,
            count: Count::default(),
        }
    }

    /// Whether its verdict can change a packet.
    pub(super) fn remarks(&self) -> bool {
        self.bands.iter().any(|band| matches!(band.kind, BandKind::DscpRemark { .. }))
    }

    /// Counts a packet and decides on it.
    pub(super) fn meter(&self, now: Duration, bytes: usize) -> Verdict {
        self.count.add(bytes);
        let cost = if self.flags & flags::PKTPS != 0 { 1 } else { bytes as u64 };
        let mut buckets = self.buckets.borrow_mut();
        let exceeded =
            |(at, bucket): (usize, &mut TokenBucket)| (!bucket.take(cost, nanoseconds(now))).then_some(at);
        let exceeded = buckets.iter_mut().enumerate().filter_map(exceeded);
        let Some(band) = exceeded.max_by_key(|&at| self.bands[at].rate) else { return Verdict::Pass };
        self.band_counts[band].add(bytes);
        match self.bands[band].kind {
            BandKind::Drop => Verdict::Drop,
            BandKind::DscpRemark { precedence } => Verdict::Remark(precedence),
            _ => Verdict::Pass,
        }
    }

    /// What it would say now, without counting.
    pub(super) fn peek(&self, now: Duration, bytes: usize) -> Verdict {
        let cost = if self.flags & flags::PKTPS != 0 { 1 } else { bytes as u64 };
        let buckets = self.buckets.borrow();
        let exceeded =
            buckets.iter().enumerate().filter(|(_, bucket)| bucket.available(nanoseconds(now)) < cost);
        let band = exceeded.map(|(at, _)| at).max_by_key(|&at| self.bands[at].rate);
        match band.map(|at| &self.bands[at].kind) {
            Some(BandKind::Drop) => Verdict::Drop,
            Some(&BandKind::DscpRemark { precedence }) => Verdict::Remark(precedence),
            _ => Verdict::Pass,
        }
    }
}

/// The DSCP with its drop precedence raised: within its class of assured forwarding (RFC 2597), others stay.
pub(super) const fn remark(dscp: u8, precedence: u8) -> u8 {
    let (class, drop) = (dscp >> 3, dscp >> 1 & 3);
    if dscp & 1 != 0 || class < 1 || class > 4 || drop == 0 {
        return dscp;
    }
    let raised = drop.saturating_add(precedence);
    class << 3 | (if raised > 3 { 3 } else { raised }) << 1
}

/// All meters, by number.
#[derive(Debug, Default)]
pub(super) struct Meters {
    meters: BTreeMap<u32, Meter>,
}

impl Meters {
    pub(super) fn get(&self, number: u32) -> Option<&Meter> {
        self.meters.get(&number)
    }

    fn check(request: &MeterMod) -> Result<(), Fault> {
        let is_virtual = matches!(request.meter, SLOWPATH | CONTROLLER);
        if request.meter == 0 || (request.meter > MAX && !is_virtual) {
            return Err(MeterModFailed::InvalidMeter.into());
        }
        let known = flags::KBPS | flags::PKTPS | flags::BURST | flags::STATS;
        let both = flags::KBPS | flags::PKTPS;
        if request.flags & !known != 0 || request.flags & both == both {
            return Err(MeterModFailed::BadFlags.into());
        }
        if request.bands.len() > BANDS_MAX {
            return Err(MeterModFailed::OutOfBands.into());
        }
        for band in &request.bands {
            match band.kind {
                BandKind::Drop => {}
                BandKind::DscpRemark { precedence } if (1..=3).contains(&precedence) => {}
                BandKind::DscpRemark { .. } => return Err(MeterModFailed::BadBandValue.into()),
                _ => return Err(MeterModFailed::BadBand.into()),
            }
            if band.rate == 0 {
                return Err(MeterModFailed::BadRate.into());
            }
        }
        Ok(())
    }

    /// `OFPMC_ADD`.
    pub(super) fn add(&mut self, now: Duration, request: &MeterMod) -> Result<(), Fault> {
        Self::check(request)?;
        if self.meters.contains_key(&request.meter) {
            return Err(MeterModFailed::MeterExists.into());
        }
        if self.meters.len() >= METERS_MAX {
            return Err(MeterModFailed::OutOfMeters.into());
        }
        self.meters.insert(request.meter, Meter::new(now, now, request));
        Ok(())
    }

    /// `OFPMC_MODIFY`: other bands, with full buckets; the meter's counters go on.
    pub(super) fn modify(&mut self, now: Duration, request: &MeterMod) -> Result<(), Fault> {
        Self::check(request)?;
        let meter = self.meters.get_mut(&request.meter).ok_or(MeterModFailed::UnknownMeter)?;
        let old = std::mem::replace(meter, Meter::new(now, meter.added, request));
        meter.count = old.count;
        Ok(())
    }

    /// `OFPMC_DELETE`: the numbers that are gone.
    pub(super) fn delete(&mut self, number: u32) -> Result<Vec<u32>, Fault> {
        if number == ALL {
            return Ok(std::mem::take(&mut self.meters).into_keys().collect());
        }
        if number == 0 || (number > MAX && !matches!(number, SLOWPATH | CONTROLLER)) {
            return Err(MeterModFailed::InvalidMeter.into());
        }
        Ok(self.meters.remove(&number).map(|_| number).into_iter().collect())
    }

    fn wanted(&self, number: u32) -> Result<impl Iterator<Item = (&u32, &Meter)>, Fault> {
        if number != ALL && !self.meters.contains_key(&number) {
            return Err(MeterModFailed::UnknownMeter.into());
        }
        Ok(self.meters.iter().filter(move |(meter, _)| number == ALL || **meter == number))
    }

    pub(super) fn configs(&self, number: u32) -> Result<Vec<MeterConfig>, Fault> {
        let one = |(&meter, state): (&u32, &Meter)| MeterConfig {
            flags: state.flags,
            meter,
            bands: state.bands.clone(),
        };
        Ok(self.wanted(number)?.map(one).collect())
    }

    /// Counters of one, or of all; `flows` counts the flow entries of each.
    pub(super) fn stats(
        &self,
        now: Duration,
        number: u32,
        flows: &BTreeMap<u32, u32>,
    ) -> Result<Vec<MeterStats>, Fault> {
        let one = |(&meter, state): (&u32, &Meter)| MeterStats {
            meter,
            flows: flows.get(&meter).copied().unwrap_or(0),
            packets: state.count.get().0,
            bytes: state.count.get().1,
            duration: since(now, state.added),
            bands: state.band_counts.iter().map(Count::get).collect(),
        };
        Ok(self.wanted(number)?.map(one).collect())
    }

    pub(super) const fn features() -> MeterFeatures {
        MeterFeatures {
            max_meters: METERS_MAX as u32,
            band_types: 1 << 1 | 1 << 2,
            capabilities: (flags::KBPS | flags::PKTPS | flags::BURST | flags::STATS) as u32,
            max_bands: BANDS_MAX as u8,
            max_color: 8,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::meter::MeterCommand;

    fn request(flags: u16, bands: &[(u32, u32, BandKind)]) -> MeterMod {
        let bands =
            bands.iter().map(|(rate, burst, kind)| Band { rate: *rate, burst: *burst, kind: kind.clone() });
        MeterMod { command: MeterCommand::Add, flags, meter: 1, bands: bands.collect() }
    }

    #[test]
    fn a_rate_is_exact() {
        let zero = Duration::ZERO;
        let meter =
            Meter::new(zero, zero, &request(flags::PKTPS | flags::BURST, &[(100, 1, BandKind::Drop)]));
        let passed =
            (0..100_000_u64).filter(|at| meter.meter(Duration::from_micros(at * 100), 64) == Verdict::Pass);
        assert_eq!(passed.count(), 1000, "ten seconds of 100 packets");
        let meter =
            Meter::new(zero, zero, &request(flags::KBPS | flags::BURST, &[(1000, 8, BandKind::Drop)]));
        let passed =
            (0..10_000_u64).filter(|at| meter.meter(Duration::from_millis(*at), 1000) == Verdict::Pass);
        assert_eq!(passed.count(), 1250, "ten seconds of 125 packets of 8 kbit");
    }

    #[test]
    fn the_band_of_the_highest_exceeded_rate_applies() {
        let zero = Duration::ZERO;
        let bands = [(1, 1, BandKind::DscpRemark { precedence: 1 }), (2, 2, BandKind::Drop)];
        let meter = Meter::new(zero, zero, &request(flags::PKTPS | flags::BURST, &bands));
        assert_eq!(meter.meter(zero, 64), Verdict::Pass);
        assert_eq!(meter.peek(zero, 64), Verdict::Remark(1));
        assert_eq!(meter.meter(zero, 64), Verdict::Remark(1));
        assert_eq!(meter.meter(zero, 64), Verdict::Drop);
    }

    #[test]
    fn only_assured_forwarding_is_remarked() {
        assert_eq!([18, 20, 22, 46, 0, 8, 10].map(|dscp| remark(dscp, 1)), [20, 22, 22, 46, 0, 8, 12]);
        assert_eq!(remark(10, 3), 14);
    }
}
