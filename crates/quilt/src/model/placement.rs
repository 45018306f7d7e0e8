//! Rules about which containers run on which machines.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::{Party, Span};

/// A rule about where the containers of a party may run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Placement {
    /// Whose containers: a container or a service.
    pub target: Party,
    /// Where.
    pub rule: PlacementRule,
    /// Where the script says so.
    pub span: Span,
}

/// Where the containers of a party may run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum PlacementRule {
    /// Only on machines that are all of this.
    On(MachineKind),
    /// Never on a machine that is any of this.
    NotOn(MachineKind),
    /// Never on a machine that another container of this party is on. Of a party and itself: each on its own.
    Apart(Party),
    /// Only on a machine that another container of this party is on.
    Beside(Party),
}

/// What machines of a kind have in common; what is empty says nothing.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct MachineKind {
    /// Their provider.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub provider: String,
    /// Their size.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub size: String,
    /// Their region.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub region: String,
    /// Their lasting address.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub floating_ip: String,
}

impl MachineKind {
    /// Each thing it says, and what `other` has there.
    fn said<'a>(&'a self, other: &'a MachineKind) -> impl Iterator<Item = (&'a str, &'a str)> {
        [
            (&self.provider, &other.provider),
            (&self.size, &other.size),
            (&self.region, &other.region),
            (&self.floating_ip, &other.floating_ip),
        ]
        .into_iter()
        .filter(|(said, _)| !said.is_empty())
        .map(|(said, has)| (said.as_str(), has.as_str()))
    }

    /// Whether a machine that is `other` is all that is said.
    pub fn is_all_of(&self, other: &MachineKind) -> bool {
        self.said(other).all(|(said, has)| said == has)
    }

    /// Whether a machine that is `other` is anything that is said.
    pub fn is_any_of(&self, other: &MachineKind) -> bool {
        self.said(other).any(|(said, has)| said == has)
    }
}

/// In words: `provider Amazon, size m4.large`.
impl fmt::Display for MachineKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let parts = [
            ("provider", &self.provider),
            ("size", &self.size),
            ("region", &self.region),
            ("floating address", &self.floating_ip),
        ];
        let said: Vec<_> = parts
            .into_iter()
            .filter(|(_, said)| !said.is_empty())
            .map(|(what, said)| format!("{what} {said}"))
            .collect();
        f.write_str(if said.is_empty() { "any kind" } else { "" })?;
        f.write_str(&said.join(", "))
    }
}

/// The rule in words, to follow the name of its target.
impl fmt::Display for PlacementRule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            PlacementRule::On(kind) => write!(f, "only on machines of {kind}"),
            PlacementRule::NotOn(kind) => write!(f, "never on machines of {kind}"),
            PlacementRule::Apart(other) => write!(f, "never on a machine with {other}"),
            PlacementRule::Beside(other) => write!(f, "only on a machine with {other}"),
        }
    }
}
