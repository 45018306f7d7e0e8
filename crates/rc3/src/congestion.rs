//! How much the primary loop may have in flight: NewReno (RFC 5681, 6582) and Cubic (RFC 9438).

use sim::{Time, math};

/// Which of them.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Algorithm {
    /// RFC 5681: one segment for each ack in slow start, one for each round trip after.
    #[default]
    NewReno,
    /// RFC 9438.
    Cubic,
}

/// Cubic's C, in segments over s³.
const CUBIC_C: f64 = 0.4;
/// Cubic's share of the window that is left after a loss.
const CUBIC_BETA: f64 = 0.7;

/// Cubic's memory of its last loss.
#[derive(Debug, Clone, Copy, Default)]
struct Cubic {
    /// The window before it, in segments.
    most: f64,
    /// When growth began again.
    since: Option<Time>,
    /// The window then, in segments.
    from: f64,
    /// What Reno's would be, in segments.
    reno: f64,
}

/// A congestion window.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Window {
    algorithm: Algorithm,
    segment: u64,
    initial: u64,
    pub(crate) bytes: u64,
    threshold: u64,
    /// Whether something was ever lost.
    lost: bool,
    cubic: Cubic,
}

impl Window {
    pub(crate) fn new(algorithm: Algorithm, segment: u32, initial: u32) -> Self {
        let segment = u64::from(segment.max(1));
        let bytes = segment * u64::from(initial.max(1));
        Self {
            algorithm,
            segment,
            initial: bytes,
            bytes,
            threshold: u64::MAX,
            lost: false,
            cubic: Cubic::default(),
        }
    }

    /// A new ack has come.
    pub(crate) fn grow(&mut self, now: Time, rtt: Option<Time>) {
        if self.bytes < self.threshold {
            self.bytes += self.segment;
            return;
        }
        match self.algorithm {
            Algorithm::NewReno => self.bytes += (self.segment * self.segment / self.bytes).max(1),
            Algorithm::Cubic => self.grow_cubic(now, rtt.unwrap_or(Time::ZERO).secs_f64()),
        }
    }

    fn grow_cubic(&mut self, now: Time, rtt: f64) {
        let segment = self.segment as f64;
        let window = self.bytes as f64 / segment;
        let Cubic { most, since, from, reno } = &mut self.cubic;
        let since = *since.get_or_insert_with(|| {
            (*from, *reno) = (window, window);
            *most = most.max(window);
            now
        });
        let turn = math::cbrt((*most - *from) / CUBIC_C);
        let after = (now - since).secs_f64() + rtt - turn;
        let target = (CUBIC_C * after * after * after + *most).clamp(window, 1.5 * window);
        *reno += 3.0 * (1.0 - CUBIC_BETA) / (1.0 + CUBIC_BETA) / window;
        let next = (window + (target - window) / window).max(*reno);
        self.bytes = ((next * segment) as u64).max(self.bytes);
    }

    /// Slow start ends at that many bytes, or where it began; unless something was lost before.
    pub(crate) fn expect(&mut self, bytes: u64) {
        if !self.lost {
            self.threshold = bytes.max(self.initial);
        }
    }

    /// Three duplicate acks: something of what was in flight is lost.
    pub(crate) fn lose(&mut self, in_flight: u64) {
        self.threshold = self.after_loss(in_flight);
        self.bytes = self.threshold;
    }

    /// The timeout has gone off.
    pub(crate) fn collapse(&mut self, in_flight: u64) {
        self.threshold = self.after_loss(in_flight);
        self.bytes = self.segment;
    }

    fn after_loss(&mut self, in_flight: u64) -> u64 {
        self.lost = true;
        let left = match self.algorithm {
            Algorithm::NewReno => in_flight / 2,
            Algorithm::Cubic => {
                let window = self.bytes as f64 / self.segment as f64;
                // Fast convergence: who has to give way twice in a row makes room.
                let shrunk = window < self.cubic.most;
                self.cubic.most = if shrunk { window * (1.0 + CUBIC_BETA) / 2.0 } else { window };
                self.cubic.since = None;
                (in_flight as f64 * CUBIC_BETA) as u64
            }
        };
        left.max(2 * self.segment)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn after(algorithm: Algorithm, acks: u64) -> Window {
        let mut window = Window::new(algorithm, 1_000, 100);
        window.lose(100_000);
        for ack in 0..acks {
            window.grow(Time::from_millis(ack), Some(Time::from_millis(50)));
        }
        window
    }

    #[test]
    fn slow_start_doubles_and_losses_halve() {
        let mut window = Window::new(Algorithm::NewReno, 1_460, 4);
        (0..4).for_each(|_| window.grow(Time::ZERO, None));
        assert_eq!(window.bytes, 8 * 1_460);
        window.lose(8 * 1_460);
        assert_eq!(window.bytes, 4 * 1_460);
        (0..4).for_each(|_| window.grow(Time::ZERO, None));
        assert!((5 * 1_460 - 200..=5 * 1_460).contains(&window.bytes), "{} after a window", window.bytes);
        window.collapse(1_460);
        assert_eq!((window.bytes, window.threshold), (1_460, 2 * 1_460));
    }

    #[test]
    fn slow_start_ends_where_it_is_expected_to_until_something_is_lost() {
        let mut window = Window::new(Algorithm::NewReno, 1_000, 10);
        window.expect(20_000);
        (0..10).for_each(|_| window.grow(Time::ZERO, None));
        assert_eq!(window.bytes, 20_000);
        window.grow(Time::ZERO, None);
        assert_eq!(window.bytes, 20_050);
        window.lose(20_000);
        window.expect(40_000);
        assert_eq!(window.threshold, 10_000);
        let mut window = Window::new(Algorithm::NewReno, 1_000, 10);
        window.expect(1);
        assert_eq!(window.threshold, 10_000);
    }

    #[test]
    fn cubic_keeps_more_and_never_shrinks_by_acks() {
        assert_eq!(after(Algorithm::Cubic, 0).bytes, 70_000);
        let windows: Vec<u64> =
            (0..8_000).step_by(250).map(|acks| after(Algorithm::Cubic, acks).bytes).collect();
        assert!(windows.is_sorted(), "{windows:?}");
        assert!(windows.last() > Some(&100_000), "past the window of the loss in 8 s: {windows:?}");
    }
}
