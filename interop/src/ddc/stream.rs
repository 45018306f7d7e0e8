//! Numbered packets from one host to another, and when each came.

use std::net::UdpSocket;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use serde::Serialize;

use super::lab::Lab;
use crate::error::{During, Error, Result};

const PORT: u16 = 9001;
/// 10 Mbit/s at a packet a millisecond.
const PACKET_BYTES: usize = 1250;
const PAUSE: Duration = Duration::from_millis(1);
/// Packets that may be under way when a window begins or ends; those before and after it are none of its.
const UNDER_WAY: Duration = Duration::from_millis(200);

/// A number and when it came.
type Arrivals = Vec<(u64, Instant)>;

/// A stream that flows.
pub(super) struct Stream {
    stop: Arc<AtomicBool>,
    sent: Arc<AtomicU64>,
    arrivals: Arc<Mutex<Arrivals>>,
    sender: JoinHandle<()>,
    receiver: JoinHandle<()>,
}

/// A moment: the next number, and the time.
#[derive(Debug, Clone, Copy)]
pub(super) struct Mark {
    number: u64,
    at: Instant,
}

/// What is missing of the packets that were sent between two moments.
#[derive(Debug, Serialize)]
pub(super) struct Window {
    pub(super) sent: u64,
    pub(super) lost: u64,
    /// The longest time between two arrivals in which packets are missing, in milliseconds; 0 where none is.
    pub(super) dark_ms: f64,
}

impl Stream {
    pub(super) fn start(lab: &Lab) -> Result<Self> {
        let to = (lab.receiver_address(), PORT);
        let receiving = lab.within_receiver(|| UdpSocket::bind(to))?.during("open a UDP socket")?;
        let sending = lab.within_sender(|| UdpSocket::bind(("0.0.0.0", 0)))?.during("open a UDP socket")?;
        receiving.set_read_timeout(Some(Duration::from_millis(100))).during("set a timeout")?;
        let stop = Arc::new(AtomicBool::new(false));
        let sent = Arc::new(AtomicU64::new(0));
        let arrivals = Arc::new(Mutex::new(Vec::new()));
        let (stopped, came) = (stop.clone(), arrivals.clone());
        let receiver = thread::spawn(move || {
            let mut buffer = [0; 2048];
            while !stopped.load(Ordering::Relaxed) {
                if let Ok(PACKET_BYTES) = receiving.recv(&mut buffer) {
                    let number = u64::from_be_bytes(*buffer.first_chunk().unwrap_or(&[0; 8]));
                    came.lock().unwrap_or_else(PoisonError::into_inner).push((number, Instant::now()));
                }
            }
        });
        let (stopped, counted) = (stop.clone(), sent.clone());
        let sender = thread::spawn(move || {
            let (begin, mut packet, mut number) = (Instant::now(), [0; PACKET_BYTES], 0_u64);
            while !stopped.load(Ordering::Relaxed) {
                packet[..8].copy_from_slice(&number.to_be_bytes());
                // What the kernel does not take (a queue is full, an error about an earlier packet) is sent again.
                if sending.send_to(&packet, to).is_ok() {
                    number += 1;
                    counted.store(number, Ordering::Relaxed);
                }
                let due = PAUSE * u32::try_from(number).unwrap_or(u32::MAX);
                thread::sleep(due.saturating_sub(begin.elapsed()));
            }
        });
        Ok(Self { stop, sent, arrivals, sender, receiver })
    }

    pub(super) fn mark(&self) -> Mark {
        Mark { number: self.sent.load(Ordering::Relaxed), at: Instant::now() }
    }

    /// Waits until packets have come one after the other for a while; whether that came to be.
    pub(super) fn await_steady(&self, steady: Duration, limit: Duration) -> bool {
        let begin = Instant::now();
        while begin.elapsed() < limit {
            thread::sleep(steady / 10);
            let arrivals = self.arrivals.lock().unwrap_or_else(PoisonError::into_inner);
            let recent: Vec<u64> = arrivals
                .iter()
                .rev()
                .take_while(|(_, at)| at.elapsed() < steady)
                .map(|(number, _)| *number)
                .collect();
            let wanted = steady.as_millis() as usize * 9 / 10;
            let whole = recent.windows(2).all(|pair| pair[0] == pair[1] + 1);
            if begin.elapsed() > steady && recent.len() >= wanted && whole {
                return true;
            }
        }
        false
    }

    pub(super) fn end(self) -> Result<Arrivals> {
        thread::sleep(UNDER_WAY);
        self.stop.store(true, Ordering::Relaxed);
        let panicked = |_| Error::Peer { peer: "the stream".into(), what: "a thread panicked".into() };
        self.sender.join().map_err(panicked)?;
        self.receiver.join().map_err(panicked)?;
        Ok(std::mem::take(&mut *self.arrivals.lock().unwrap_or_else(PoisonError::into_inner)))
    }
}

impl Window {
    pub(super) fn of(arrivals: &[(u64, Instant)], from: Mark, to: Mark) -> Self {
        let within = |number: u64| (from.number..to.number).contains(&number);
        let mut numbers: Vec<u64> =
            arrivals.iter().map(|(number, _)| *number).filter(|number| within(*number)).collect();
        numbers.sort_unstable();
        numbers.dedup();
        let (sent, came) = (to.number - from.number, numbers.len() as u64);
        let times = arrivals.iter().map(|(number, at)| (*number, *at));
        let bounds = times.filter(|(_, at)| *at + UNDER_WAY >= from.at && *at <= to.at + UNDER_WAY);
        let bounds: Vec<(u64, Instant)> = bounds.collect();
        let gaps = bounds.windows(2).filter(|pair| pair[1].0 > pair[0].0 + 1);
        let dark = gaps.map(|pair| pair[1].1 - pair[0].1).max().unwrap_or_default();
        Self { sent, lost: sent - came, dark_ms: dark.as_secs_f64() * 1000.0 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_missing_is_found() {
        let begin = Instant::now();
        let at = |ms: u64| begin + Duration::from_millis(ms);
        let numbers = (0..1000).filter(|number| !(400..500).contains(number) && *number != 700);
        let arrivals: Arrivals = numbers.map(|number| (number, at(number))).collect();
        let mark = |number| Mark { number, at: at(number) };
        let window = Window::of(&arrivals, mark(300), mark(600));
        assert_eq!((window.sent, window.lost, window.dark_ms), (300, 100, 101.0));
        let window = Window::of(&arrivals, mark(900), mark(990));
        assert_eq!((window.sent, window.lost, window.dark_ms), (90, 0, 0.0));
    }
}
