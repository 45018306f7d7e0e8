//! How many instances a function has, at least and at most.

use serde::{Deserialize, Serialize};
use serde_saphyr::Spanned;

use super::fault::FaultKind;

/// The most instances of one function.
pub const INSTANCES_EACH_MAX: u32 = 1024;

/// The fewest and the most instances of a function.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Instances {
    /// The fewest, at least one.
    pub least: u32,
    /// The most.
    pub most: u32,
}

impl Default for Instances {
    fn default() -> Self {
        Self { least: 1, most: INSTANCES_EACH_MAX }
    }
}

/// As the file has it.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawInstances {
    #[serde(default)]
    least: Option<u64>,
    #[serde(default)]
    most: Option<u64>,
}

/// What is said of a function, or not.
pub(super) fn read(raw: Option<&Spanned<RawInstances>>, scalable: bool) -> Result<Instances, FaultKind> {
    let plain = Instances::default();
    let Some(raw) = raw.map(|raw| &raw.value) else { return Ok(plain) };
    let least = raw.least.unwrap_or(plain.least.into());
    let most = raw.most.unwrap_or(plain.most.into());
    let wrong = || FaultKind::Instances { least, most };
    if !(1..=most).contains(&least) || (least > 1 && !scalable) {
        return Err(wrong());
    }
    let [Ok(least), Ok(most)] = [least, most].map(u32::try_from) else { return Err(wrong()) };
    if most > INSTANCES_EACH_MAX { Err(wrong()) } else { Ok(Instances { least, most }) }
}
