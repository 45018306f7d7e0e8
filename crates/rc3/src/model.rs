//! How long a flow takes without loss or load, in closed form.

use sim::{Rate, Time};

use crate::segment::HEADER_BYTES;

/// One bottleneck and one flow, from its SYN to its last byte.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Model {
    /// The round trip without what the bottleneck adds.
    pub rtt: Time,
    /// The bottleneck.
    pub rate: Rate,
    /// Bytes of a full segment.
    pub segment: u32,
    /// Segments of the initial window.
    pub initial_window: u64,
}

impl Model {
    /// How long a full segment takes on the bottleneck.
    pub fn segment_time(&self) -> Time {
        self.rate.time_of(u64::from(self.segment + HEADER_BYTES))
    }

    /// TCP's time for that many segments: `1.5R + kR + (n − w(2ᵏ−1))·s`, with k windows before the last, or before the first that
    /// takes a round trip to send.
    pub fn tcp(&self, segments: u64) -> Time {
        let segment = self.segment_time();
        let (mut windows, mut window, mut sent) = (0, self.initial_window.max(1), 0_u64);
        while sent + window < segments && segment.times(window) < self.rtt {
            sent += window;
            window *= 2;
            windows += 1;
        }
        self.handshake() + self.rtt.times(windows) + segment.times(segments - sent)
    }

    /// RC3's: `1.5R + n·s`.
    pub fn rc3(&self, segments: u64) -> Time {
        self.handshake() + self.segment_time().times(segments)
    }

    fn handshake(&self) -> Time {
        self.rtt + self.rtt.divided(2)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_form_is_that_of_the_facts() {
        let model = Model {
            rtt: Time::from_millis(80),
            rate: Rate::from_mbit(1_000),
            segment: 1_460,
            initial_window: 4,
        };
        let s = Time::from_nanos(12_016);
        assert_eq!(model.tcp(4), Time::from_millis(120) + s.times(4));
        assert_eq!(model.tcp(5), Time::from_millis(200) + s);
        assert_eq!(model.tcp(267), Time::from_millis(120 + 6 * 80) + s.times(267 - 4 * 63));
        assert_eq!(model.rc3(267), Time::from_millis(120) + s.times(267));
        let slow = Model { rate: Rate::from_mbit(1), ..model };
        assert_eq!(slow.tcp(1_000), slow.rc3(1_000) + Time::from_millis(80) - slow.segment_time().times(4));
    }
}
