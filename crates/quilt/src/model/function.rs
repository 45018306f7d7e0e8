//! Network functions that links go through.

use std::fmt;

use serde::{Deserialize, Serialize};
/// What packets have in common that go to the same instance: as the dataplane has it.
pub use softnic::fabric::Affinity;

use super::Span;

/// A network function. It runs in the dataplane, for the links that go through it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NetworkFunction {
    /// Its name, a DNS label, unique among functions, containers and services.
    pub name: String,
    /// What it is: a function of [`netbricks`] and its arguments.
    pub run: Vec<String>,
    /// What packets have in common that go to the same instance.
    pub affinity: Affinity,
    /// How many run.
    pub instances: u16,
    /// Where the script made it.
    pub span: Span,
}

impl NetworkFunction {
    /// Which of its fields differ from another's, for people.
    pub(crate) fn changed(&self, other: &Self) -> Vec<&'static str> {
        let fields = [
            ("run", self.run != other.run),
            ("affinity", self.affinity != other.affinity),
            ("instances", self.instances != other.instances),
        ];
        fields.into_iter().filter(|(_, differs)| *differs).map(|(name, _)| name).collect()
    }
}

/// `guard (firewall rule=permit out any any)`, and how it is shared out where there are several instances.
impl fmt::Display for NetworkFunction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({}", self.name, self.run.join(" "))?;
        if self.instances > 1 {
            write!(f, "; {} instances, affinity {}", self.instances, self.affinity)?;
        }
        f.write_str(")")
    }
}
