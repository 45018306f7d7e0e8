//! [`Timestamp`].

use packet::{Batch, Packet};

use super::front;
use crate::engine::{Attribute, Context, Gate, Module, Place, monotonic_ns};

/// Notes the time in each packet, for [`Measure`](super::Measure).
///
/// *Input gates*: one. *Output gates*: one. *Attributes*: writes the one it is told, 8 bytes, unless it writes into the
/// packets themselves.
///
/// In a packet it writes 12 bytes at the offset: [`Stamp::MARK`] and the time, both in the machine's byte order, and makes
/// the packet longer where it ends before. One whose buffer is too short for that passes without a stamp. The time is
/// read once a batch.
///
/// ```
/// # use softnic::modules::{Stamp, Timestamp};
/// let timestamp = Timestamp::new(Stamp::Attribute("timestamp".into()));
/// ```
#[derive(Clone, Debug)]
pub struct Timestamp {
    stamp: Stamp,
    place: Place,
    clock: fn() -> u64,
}

/// Where a packet's time is kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Stamp {
    /// In a metadata attribute of that name.
    Attribute(String),
    /// In the packet, so many bytes from its first one.
    Packet(usize),
}

impl Stamp {
    /// What stands in front of a time in a packet.
    pub const MARK: u32 = 0x54c5_be55;
    /// Bytes of the mark and a time.
    const LENGTH: usize = 12;

    /// Notes a time in a packet.
    #[inline]
    fn write(&self, packet: &mut Packet, place: Place, now_ns: u64) {
        match *self {
            Self::Attribute(_) => place.write(packet, now_ns.to_ne_bytes()),
            Self::Packet(offset) => {
                let end = offset.saturating_add(Self::LENGTH);
                let length = packet.len();
                if length < end {
                    if packet.set_len(end).is_err() {
                        return;
                    }
                    // What the buffer's last owner left there is nobody's business.
                    packet.data_mut()[length..].fill(0);
                }
                front::spoil(packet);
                let stamp = &mut packet.data_mut()[offset..end];
                stamp[..4].copy_from_slice(&Self::MARK.to_ne_bytes());
                stamp[4..].copy_from_slice(&now_ns.to_ne_bytes());
            }
        }
    }

    /// The time noted in a packet; `None` where there is none.
    #[inline]
    pub(super) fn read(&self, packet: &Packet, place: Place) -> Option<u64> {
        match *self {
            Self::Attribute(_) => Some(u64::from_ne_bytes(place.read(packet))).filter(|time| *time != 0),
            Self::Packet(offset) => {
                let stamp = packet.data().get(offset..)?.first_chunk::<{ Self::LENGTH }>()?;
                let (mark, time) = stamp.split_first_chunk::<4>()?;
                if u32::from_ne_bytes(*mark) != Self::MARK {
                    return None;
                }
                Some(u64::from_ne_bytes(time.try_into().ok()?))
            }
        }
    }
}

impl Timestamp {
    /// Keeps times there.
    pub fn new(stamp: Stamp) -> Self {
        Self::with_clock(stamp, monotonic_ns)
    }

    /// Takes times from another clock.
    pub fn with_clock(stamp: Stamp, clock: fn() -> u64) -> Self {
        Self { stamp, place: Place::default(), clock }
    }
}

impl Module for Timestamp {
    fn class(&self) -> &'static str {
        "Timestamp"
    }

    fn attributes(&self) -> Vec<Attribute> {
        match &self.stamp {
            Stamp::Attribute(name) => vec![Attribute::write(name, 8)],
            Stamp::Packet(_) => Vec::new(),
        }
    }

    fn place(&mut self, places: &[Place]) {
        self.place = places.first().copied().unwrap_or_default();
    }

    fn process(&mut self, ctx: &mut Context<'_>, _gate: Gate, batch: &mut Batch) {
        ctx.forward(0);
        // The time of the turn will not do: two modules of one turn would see the same.
        let now_ns = (self.clock)();
        for packet in batch {
            self.stamp.write(packet, self.place, now_ns);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::frames::{packet, pool};
    use super::*;
    use crate::engine::Rig;

    #[test]
    fn the_time_is_noted_in_the_attribute() {
        let mut rig = Rig::new(Timestamp::with_clock(Stamp::Attribute("t".into()), || 77));
        let left = rig.process(0, [packet(b"x")]);
        assert_eq!(rig.place("t").read(&left[0].1), 77u64.to_ne_bytes());
        assert_eq!(rig.module.stamp.read(&left[0].1, rig.place("t")), Some(77));
    }

    #[test]
    fn the_time_is_noted_in_the_packet_which_grows_for_it() {
        let stamp = Stamp::Packet(14);
        let mut rig = Rig::new(Timestamp::with_clock(stamp.clone(), || 77));
        assert!(rig.module.attributes().is_empty());
        let left = rig.process(0, [packet(&[1; 60]), packet(&[1; 20]), packet(b"")]);
        let lengths: Vec<usize> = left.iter().map(|(_, packet)| packet.len()).collect();
        assert_eq!(lengths, [60, 26, 26]);
        for (_, packet) in &left {
            assert_eq!(stamp.read(packet, Place::NoRead), Some(77));
        }
        assert_eq!((&left[0].1.data()[..14], left[0].1.data()[26]), (&[1; 14][..], 1));
        assert_eq!(left[2].1.data()[..14], [0; 14]);
    }

    #[test]
    fn where_there_is_no_room_there_is_no_stamp() {
        let far = Stamp::Packet(pool().room() - 11);
        for stamp in [far, Stamp::Packet(usize::MAX)] {
            let left = Rig::new(Timestamp::with_clock(stamp.clone(), || 77)).process(0, [packet(b"x")]);
            assert_eq!((left[0].1.data(), stamp.read(&left[0].1, Place::NoRead)), (&b"x"[..], None));
        }
    }
}
