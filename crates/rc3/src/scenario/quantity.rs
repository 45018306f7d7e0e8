//! Quantities as people write them: `100mbit`, `1.5ms`, `5MB`.

use serde::Deserialize;
use sim::{Rate, Time};

/// A number, with its unit or without.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(untagged)]
pub(super) enum Word {
    Number(f64),
    Text(String),
}

impl Word {
    fn text(&self) -> String {
        match self {
            Self::Number(number) => number.to_string(),
            Self::Text(text) => text.clone(),
        }
    }
}

/// A number above or at 0 and the unit behind it.
fn split(text: &str) -> Option<(f64, &str)> {
    let text = text.trim();
    let unit = text.find(|c: char| c.is_ascii_alphabetic()).unwrap_or(text.len());
    let number: f64 = text[..unit].trim().parse().ok()?;
    (number.is_finite() && number >= 0.0).then_some((number, &text[unit..]))
}

/// A rate: `10mbit`, `1gbit`, `500kbit`, `9600bit`.
pub(super) fn rate(text: &str) -> Result<Rate, String> {
    let bits = split(text).and_then(|(number, unit)| {
        let factor = match unit.to_ascii_lowercase().as_str() {
            "bit" => 1.0,
            "kbit" => 1e3,
            "mbit" => 1e6,
            "gbit" => 1e9,
            "tbit" => 1e12,
            _ => return None,
        };
        Some(number * factor).filter(|bits| (1.0..=1e15).contains(bits))
    });
    let bits =
        bits.ok_or_else(|| format!("`{text}` is no rate: want 1bit to 1000tbit, such as 10mbit or 1gbit"))?;
    Ok(Rate::from_bits_per_second(bits as u64))
}

/// A time: `10ms`, `1.5s`, `20us`, `5ns`.
pub(super) fn time(text: &str) -> Result<Time, String> {
    let seconds = split(text).and_then(|(number, unit)| {
        let factor = match unit {
            "s" => 1.0,
            "ms" => 1e-3,
            "us" | "µs" => 1e-6,
            "ns" => 1e-9,
            _ => return None,
        };
        Some(number * factor).filter(|seconds| *seconds <= 1e6)
    });
    seconds
        .map(Time::from_secs_f64)
        .ok_or_else(|| format!("`{text}` is no time: want at most 1000000s, such as 10ms"))
}

/// Bytes: `5MB`, `64KB`, `1500`, `1500B`.
pub(super) fn bytes(word: &Word) -> Result<u64, String> {
    let text = word.text();
    let bytes = split(&text).and_then(|(number, unit)| {
        let factor = match unit {
            "" | "B" => 1.0,
            "KB" | "kB" => 1e3,
            "MB" => 1e6,
            "GB" => 1e9,
            _ => return None,
        };
        Some(number * factor).filter(|bytes| *bytes <= 1e15)
    });
    bytes
        .map(|bytes| bytes as u64)
        .ok_or_else(|| format!("`{text}` are no bytes: want such as 5MB, 64KB or 1500"))
}

/// A number from `least` to `most`.
pub(super) fn number(word: &Word, what: &str, least: f64, most: f64) -> Result<f64, String> {
    let text = word.text();
    let number = text.parse::<f64>().ok().filter(|number| (least..=most).contains(number));
    number.ok_or_else(|| format!("{what} of {text}: want {least} to {most}"))
}
