//! The file as it is written, before anything in it is believed.

use serde::Deserialize;
use serde_saphyr::Spanned;

use super::check::Checker;
use super::fault::{Fault, FaultKind, Faults, Place};
use super::instances::RawInstances;
use super::{Delivery, FILE_BYTES_MAX, Kind, Policy};

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct File {
    #[serde(default)]
    pub(super) nfs: Vec<Spanned<RawFunction>>,
    #[serde(default)]
    pub(super) pipelets: Vec<Spanned<RawPipelet>>,
    pub(super) hardware: Spanned<RawHardware>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawFunction {
    pub(super) name: Spanned<String>,
    #[serde(default = "native")]
    pub(super) kind: Kind,
    #[serde(default)]
    pub(super) attributes: Vec<Spanned<RawAttribute>>,
    #[serde(default)]
    pub(super) affinity: Option<Spanned<Names>>,
    #[serde(default)]
    pub(super) capacity: Option<Spanned<String>>,
    #[serde(default = "yes")]
    pub(super) scalable: bool,
    #[serde(default)]
    pub(super) isolated: Option<Spanned<bool>>,
    #[serde(default)]
    pub(super) instances: Option<Spanned<RawInstances>>,
    #[serde(default)]
    pub(super) rewrites: Option<Spanned<Names>>,
    #[serde(default)]
    pub(super) switch_entries: Option<Spanned<u64>>,
    #[serde(default)]
    pub(super) run: Vec<String>,
    #[serde(default)]
    pub(super) inside: Vec<Spanned<String>>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawAttribute {
    pub(super) name: Spanned<String>,
    pub(super) by: Delivery,
}

/// One name or a list of them.
#[derive(Debug, Deserialize)]
#[serde(untagged)]
pub(super) enum Names {
    One(String),
    Several(Vec<String>),
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawPipelet {
    pub(super) name: Spanned<String>,
    #[serde(default)]
    pub(super) traffic: Option<Spanned<String>>,
    pub(super) rate: Spanned<String>,
    pub(super) edges: Vec<Spanned<RawEdge>>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawEdge {
    pub(super) from: Spanned<String>,
    pub(super) to: Spanned<String>,
    #[serde(default)]
    pub(super) when: Option<Spanned<String>>,
    #[serde(default)]
    pub(super) share: Option<Spanned<String>>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawHardware {
    pub(super) switch: Spanned<RawSwitch>,
    pub(super) servers: Vec<Spanned<RawServer>>,
    pub(super) links: Vec<Spanned<RawLink>>,
    pub(super) ports: Vec<Spanned<RawPort>>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawSwitch {
    pub(super) name: Spanned<String>,
    pub(super) entries: Spanned<u64>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawServer {
    pub(super) name: Spanned<String>,
    pub(super) cores: Spanned<i64>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawLink {
    pub(super) between: (Spanned<String>, Spanned<String>),
    pub(super) rate: Spanned<String>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawPort {
    pub(super) name: Spanned<String>,
    pub(super) rate: Spanned<String>,
    #[serde(default)]
    pub(super) at: Option<Spanned<String>>,
}

impl<'de> Deserialize<'de> for Kind {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        match String::deserialize(deserializer)?.as_str() {
            "native" => Ok(Self::Native),
            "legacy" => Ok(Self::Legacy),
            other => Err(serde::de::Error::custom(format_args!(
                "`{}` is no kind of network function: native or legacy",
                crate::rate::shown(other)
            ))),
        }
    }
}

impl<'de> Deserialize<'de> for Delivery {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        match String::deserialize(deserializer)?.as_str() {
            "port" => Ok(Self::Port),
            "metadata" => Ok(Self::Metadata),
            other => Err(serde::de::Error::custom(format_args!(
                "`{}` is no way to give an attribute: port or metadata",
                crate::rate::shown(other)
            ))),
        }
    }
}

const fn native() -> Kind {
    Kind::Native
}

const fn yes() -> bool {
    true
}

/// Where a value stands.
pub(super) fn place<T>(value: &Spanned<T>) -> Place {
    location(&value.referenced)
}

fn location(location: &serde_saphyr::Location) -> Place {
    let number = |number: u64| u32::try_from(number).unwrap_or(u32::MAX);
    Place { line: number(location.line()), column: number(location.column()) }
}

pub(super) fn read(text: &str) -> Result<Policy, Faults> {
    if text.len() > FILE_BYTES_MAX {
        let place = Place { line: 1, column: 1 };
        return Err(Faults(vec![Fault { place, kind: FaultKind::FileTooLong(text.len()) }]));
    }
    let file: File = serde_saphyr::from_str(text).map_err(|error| {
        let place = error.location().map(|place| location(&place)).unwrap_or_default();
        let message = error.without_snippet().to_string();
        Faults(vec![Fault { place, kind: FaultKind::Yaml(message) }])
    })?;
    Checker::new(&file).policy()
}
