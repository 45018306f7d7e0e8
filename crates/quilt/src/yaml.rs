//! YAML in, with bounds; errors as a message and a place.

use serde::de::DeserializeOwned;

/// Why a document could not be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct YamlError {
    /// What is wrong.
    pub(crate) message: String,
    /// Line and column, from 1, and the byte.
    pub(crate) place: Option<(u32, u32, usize)>,
}

/// Reads one document. What it may cost is bounded by the crate's own budget: a million events, and aliases that
/// make a document large.
pub(crate) fn decode<T: DeserializeOwned>(text: &str) -> Result<T, YamlError> {
    // YAML 1.1, which most readers of these files speak, has 0644 as octal and yes as true; strings that are
    // written so in places where only text can stand are read as text either way.
    serde_saphyr::from_str(text).map_err(|error| {
        let place = error.location().filter(|place| place.line() > 0).map(|place| {
            let (line, column) = (place.line() as u32, place.column() as u32);
            (line, column, offset(text, line, column))
        });
        YamlError { message: error.without_snippet().to_string(), place }
    })
}

/// The byte at a line and column, both from 1.
fn offset(text: &str, line: u32, column: u32) -> usize {
    let before: usize = text.split_inclusive('\n').take(line as usize - 1).map(str::len).sum();
    let rest = text.get(before..).unwrap_or_default();
    let within = rest.char_indices().nth(column.saturating_sub(1) as usize).map_or(rest.len(), |(at, _)| at);
    before + within
}
