//! [`Dump`].

use std::fmt::Write as _;

use packet::{Batch, Packet};

use crate::engine::{Context, Gate, Module};

/// Shows a packet now and then, with its metadata.
///
/// *Input gates*: one. *Output gates*: one.
///
/// The first packet is shown, then the first one after every interval. It is shown in the log, unless another place is
/// given.
///
/// ```
/// # use softnic::modules::Dump;
/// let each_second = Dump::new(1_000_000_000);
/// let to_standard_error = Dump::new(1_000_000_000).to(|text| eprintln!("{text}"));
/// ```
pub struct Dump {
    interval_ns: u64,
    next_ns: u64,
    show: Box<dyn FnMut(&str) + Send>,
}

/// Bytes in a line.
const LINE: usize = 16;

impl Dump {
    /// Shows a packet every `interval_ns` at most.
    pub fn new(interval_ns: u64) -> Self {
        Self { interval_ns, next_ns: 0, show: Box::new(|text| tracing::info!("{text}")) }
    }

    /// Shows packets there.
    #[must_use]
    pub fn to(mut self, show: impl FnMut(&str) + Send + 'static) -> Self {
        self.show = Box::new(show);
        self
    }

    /// Another interval, from the next packet that is shown on.
    pub fn set_interval_ns(&mut self, interval_ns: u64) {
        self.interval_ns = interval_ns;
    }
}

/// A packet for people.
fn describe(packet: &Packet) -> String {
    let mut text = format!(
        "packet of {} bytes, headroom {}, tailroom {}, {:?}",
        packet.len(),
        packet.headroom(),
        packet.tailroom(),
        packet.offload(),
    );
    hex(&mut text, packet.data());
    text.push_str("\nmetadata");
    hex(&mut text, packet.metadata());
    text
}

fn hex(text: &mut String, bytes: &[u8]) {
    for (number, line) in bytes.chunks(LINE).enumerate() {
        // Writing to a string does not fail.
        let _ = write!(text, "\n{:05x}:", number * LINE);
        for byte in line {
            let _ = write!(text, " {byte:02x}");
        }
    }
}

impl Module for Dump {
    fn class(&self) -> &'static str {
        "Dump"
    }

    fn keeps_lengths(&self) -> bool {
        true
    }

    fn process(&mut self, ctx: &mut Context<'_>, _gate: Gate, batch: &mut Batch) {
        ctx.forward(0);
        let now_ns = ctx.now_ns();
        if let Some(packet) = batch.iter().next().filter(|_| now_ns >= self.next_ns) {
            (self.show)(&describe(packet));
            self.next_ns = now_ns.saturating_add(self.interval_ns);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use super::super::frames::packets;
    use super::*;
    use crate::engine::Rig;

    #[test]
    fn one_packet_an_interval_is_shown() {
        let shown = Arc::new(Mutex::new(Vec::new()));
        let sink = Arc::clone(&shown);
        let mut rig = Rig::new(Dump::new(100).to(move |text| sink.lock().unwrap().push(text.to_owned())));
        let mut count_at = |now_ns| {
            assert_eq!(rig.at(now_ns).process(0, packets(3)).len(), 3);
            if now_ns == 150 {
                rig.module.set_interval_ns(10);
            }
            shown.lock().unwrap().len()
        };
        assert_eq!([50, 149, 150, 249, 250, 259, 260].map(&mut count_at), [1, 1, 2, 2, 3, 3, 4]);
        let text = shown.lock().unwrap()[0].clone();
        assert!(text.starts_with("packet of 60 bytes, headroom 128"), "{text}");
        assert!(text.contains("\n00030: 00 00 00 00 00 00 00 00 00 00 00 00\nmetadata\n00000: "), "{text}");
        assert_eq!(text.lines().count(), 1 + 4 + 1 + 8);
    }
}
