//! Links that are emulated.

use sim::quantity::{self, Buffer};
use sim::{Rate, Time};

use super::{At, Lower, shown};
use crate::check::EMULATED_MAX;
use crate::eval::raw::Raw;
use crate::model::{EmulatedLink, LinkShape, Span};

/// Options of an emulated link.
const LINK_OPTIONS: [&str; 5] = ["buffer", "delay", "jitter", "loss", "rate"];

impl Lower<'_> {
    pub(super) fn emulated(&mut self, entry: &Raw) {
        let span = self.span(entry);
        let a = self.party(entry.get("a"), "the link", &span);
        let b = self.party(entry.get("b"), "the link", &span);
        let of = format!("the link {} <-> {}", shown(entry.get("a")), shown(entry.get("b")));
        let options = entry.get("options");
        if !matches!(options, Raw::Map(_)) {
            let what = format!("options of {of}");
            return self.shape(
                &At { span: &span, what: &what },
                "an object such as { rate: '50mbit', delay: '40ms' }",
                options,
            );
        }
        self.unknown_options(&of, options, &LINK_OPTIONS, &span);
        let shape = self.link_shape(&of, options, &span);
        if let (Some(a), Some(b), Some(shape)) = (a, b, shape)
            // One more than there may be is enough to be told.
            && self.blueprint.emulated.len() <= EMULATED_MAX
        {
            self.blueprint.emulated.push(EmulatedLink { a, b, shape, span });
        }
    }

    fn link_shape(&mut self, of: &str, options: &Raw, span: &Span) -> Option<LinkShape> {
        let faults = self.faults.len();
        let mut value = |name: &str, expected: &'static str, read: &dyn Fn(&Raw) -> Option<u64>| {
            let raw = options.get(name);
            let value = read(raw);
            if value.is_none() {
                let what = format!("{name} of {of}");
                self.shape(&At { span, what: &what }, expected, raw);
            }
            value.unwrap_or_default()
        };
        let rate = value("rate", "a rate such as '50mbit' or '1gbit'", &|raw| match raw {
            Raw::Text(text) => text.parse::<Rate>().ok().map(Rate::bits_per_second),
            _ => None,
        });
        let time = |raw: &Raw| match raw {
            Raw::Undefined | Raw::Null => Some(0),
            Raw::Text(text) => text.parse::<Time>().ok().map(Time::nanos),
            _ => None,
        };
        let delay_ns = value("delay", "a time such as '40ms', up to '1000000s'", &time);
        let jitter_ns = value("jitter", "a time such as '1ms', up to '1000000s'", &time);
        let loss_ppb = value("loss", "a share of packets, such as 0.001 or '0.1%'", &|raw| {
            let share = match raw {
                Raw::Undefined | Raw::Null => Some(0.0),
                Raw::Number(share) => Some(*share).filter(|share| (0.0..=1.0).contains(share)),
                Raw::Text(text) => quantity::share(text).ok(),
                _ => None,
            };
            share.map(|share| (share * 1e9).round() as u64)
        });
        let (speed, round_trip) = (Rate::from_bits_per_second(rate), Time::from_nanos(delay_ns).times(2));
        let buffer_bytes = value("buffer", "bytes, '64KB', or '0.5bdp'", &|raw| match raw {
            Raw::Undefined | Raw::Null => Some(Buffer::usual(speed, round_trip)),
            Raw::Number(bytes) => {
                Some(*bytes).filter(|bytes| (0.0..=1e15).contains(bytes)).map(|bytes| bytes as u64)
            }
            Raw::Text(text) => text.parse::<Buffer>().ok().map(|buffer| buffer.bytes(speed, round_trip)),
            _ => None,
        });
        let shape = LinkShape { rate, delay_ns, jitter_ns, loss_ppb: loss_ppb as u32, buffer_bytes };
        (self.faults.len() == faults).then_some(shape)
    }
}
