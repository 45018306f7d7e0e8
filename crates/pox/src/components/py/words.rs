//! What commands are given: words, switches, and texts that say where they are wrong.

use openflow::text::ParseError;

use crate::{Core, Dpid};

/// The first word, and what is behind it.
pub(super) fn first(text: &str) -> (&str, &str) {
    let text = text.trim();
    let (word, rest) = text.split_once(char::is_whitespace).unwrap_or((text, ""));
    (word, rest.trim())
}

/// The switch that the first word means, and the rest. It is a datapath id, or the end of one that only one has.
pub(super) fn switch<'a>(core: &Core, text: &'a str) -> Result<(Dpid, &'a str), String> {
    let (word, rest) = first(text);
    if word.is_empty() {
        return Err("which switch? `switches` lists them".into());
    }
    let dpid: Dpid = word.parse().map_err(|error: crate::DpidError| error.to_string())?;
    if core.connection(dpid).is_some() {
        return Ok((dpid, rest));
    }
    let is_meant = |other: &Dpid| other.to_string().ends_with(&word.to_ascii_lowercase());
    let mut meant = core.connections().map(crate::Connection::datapath).filter(is_meant);
    match (meant.next(), meant.next()) {
        (Some(dpid), None) => Ok((dpid, rest)),
        (Some(_), Some(_)) => Err(format!("several switches end in {word}: write more of it")),
        (None, _) => Err(format!("switch {dpid} is not connected; `switches` lists those that are")),
    }
}

/// What is wrong with a text in `ovs-ofctl`'s words, the place underlined.
pub(super) fn wrong(text: &str, error: &ParseError) -> String {
    let before = text.get(..error.at.start).unwrap_or(text).chars().count();
    let length = text.get(error.at.clone()).unwrap_or("").chars().count().max(1);
    format!("{error}\n  {text}\n  {}{}\n  {}", " ".repeat(before), "^".repeat(length), error.help)
}
