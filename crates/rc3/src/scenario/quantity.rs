//! Quantities as people write them: `100mbit`, `1.5ms`, `5MB`.

use serde::Deserialize;
use sim::{QuantityError, Rate, Time};

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

/// A rate: `10mbit`, `1gbit`, `500kbit`, `9600bit`.
pub(super) fn rate(text: &str) -> Result<Rate, String> {
    text.parse().map_err(|error: QuantityError| error.to_string())
}

/// A time: `10ms`, `1.5s`, `20us`, `5ns`.
pub(super) fn time(text: &str) -> Result<Time, String> {
    text.parse().map_err(|error: QuantityError| error.to_string())
}

/// Bytes: `5MB`, `64KB`, `1500`, `1500B`.
pub(super) fn bytes(word: &Word) -> Result<u64, String> {
    sim::quantity::bytes(&word.text()).map_err(|error| error.to_string())
}

/// A number from `least` to `most`.
pub(super) fn number(word: &Word, what: &str, least: f64, most: f64) -> Result<f64, String> {
    let text = word.text();
    let number = text.parse::<f64>().ok().filter(|number| (least..=most).contains(number));
    number.ok_or_else(|| format!("{what} of {text}: want {least} to {most}"))
}
