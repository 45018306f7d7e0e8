//! What an author expects of the network: claims about who can reach whom.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::{Party, Ports, Protocol, Span};

/// A claim, and whether it must hold. [`crate::check::invariant`] decides it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Invariant {
    /// What is claimed.
    pub claim: Claim,
    /// `true`: it must hold for every pair of containers that its parties stand for. `false`: for none.
    pub holds: bool,
    /// Where the script says so.
    pub span: Span,
}

/// Something that may be true of a blueprint's network, whatever the number of replicas.
///
/// A claim about parties is one about every pair of different containers that they stand for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Claim {
    /// `from` may open connections to `to`: a single link says so. Without ports: on some port (what the
    /// original calls a neighbour).
    Connect {
        /// Who connects.
        from: Party,
        /// To whom; of a service also its name, not only its members.
        to: Party,
        /// On these ports.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        ports: Option<Ports>,
        /// Over this protocol; `Any` is both where it must hold on ports, either where it must not.
        protocol: Protocol,
    },
    /// A chain of connections, each allowed by a link, leads from `from` to `to`.
    Reach {
        /// Where the chain starts.
        from: Party,
        /// Where it ends.
        to: Party,
        /// Ports that its last connection is on; any where absent.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        ports: Option<Ports>,
        /// Protocol of the last connection.
        protocol: Protocol,
    },
    /// Every chain of connections from `from` to `to` passes one of `through`.
    Between {
        /// Where the chains start.
        from: Party,
        /// What they pass.
        through: Vec<Party>,
        /// Where they end.
        to: Party,
    },
    /// There are machines enough for every container, with all rules of placement.
    Enough,
}

impl Claim {
    /// Every party it names.
    pub fn parties(&self) -> Vec<&Party> {
        match self {
            Claim::Connect { from, to, .. } | Claim::Reach { from, to, .. } => vec![from, to],
            Claim::Between { from, through, to } => through.iter().chain([from, to]).collect(),
            Claim::Enough => Vec::new(),
        }
    }
}

/// The words `on port 80/tcp`, with a space before them; nothing where every port will do.
struct On(Option<Ports>, Protocol);

impl fmt::Display for On {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.0, self.1) {
            (None, Protocol::Any) => Ok(()),
            (None, protocol) => write!(f, " over {protocol}"),
            (Some(ports), Protocol::Any) => write!(f, " on {ports}"),
            (Some(ports), protocol) => write!(f, " on {ports}/{protocol}"),
        }
    }
}

impl fmt::Display for Invariant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let not = if self.holds { "" } else { "not " };
        match &self.claim {
            Claim::Connect { from, to, ports, protocol } => {
                write!(f, "{from} is {not}to connect to {to}{}", On(*ports, *protocol))
            }
            Claim::Reach { from, to, ports, protocol } => {
                write!(f, "{from} is {not}to reach {to}{}", On(*ports, *protocol))
            }
            Claim::Between { from, through, to } => {
                let through: Vec<_> = through.iter().map(ToString::to_string).collect();
                write!(f, "{} is {not}to be between {from} and {to}", through.join(" or "))
            }
            Claim::Enough => write!(f, "the machines are {not}to be enough"),
        }
    }
}
