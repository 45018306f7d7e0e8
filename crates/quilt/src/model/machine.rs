//! Machines that a blueprint asks a cloud for.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::Span;

/// The machines that a blueprint asks for, and what holds for all of them.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Machines {
    /// The machines, in the order in which the script made them.
    pub all: Vec<Machine>,
    /// Networks that may reach the cluster's API server and the machines by SSH, as CIDR.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub admins: Vec<String>,
    /// The most that an hour of one machine may cost, in millionths of a US dollar.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_price_micros: Option<u64>,
}

impl Machines {
    /// Whether none is asked for.
    pub fn is_empty(&self) -> bool {
        self.all.is_empty()
    }
}

/// One machine.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Machine {
    /// Whose it is to be: `Amazon`, `Google`, ….
    pub provider: String,
    /// What it does in the cluster.
    pub role: Role,
    /// Where the provider has it, in the provider's words.
    pub region: String,
    /// How large it is, in the provider's words.
    pub size: String,
    /// How large its disk is, in GiB.
    pub disk_gib: u32,
    /// Whether it is rented at the market's price, and may be taken away again at any time.
    pub is_spot: bool,
    /// An address of its own that outlives it.
    #[serde(default, skip_serializing_if = "Floating::is_none")]
    pub floating: Floating,
    /// Public keys that may log in.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub ssh_keys: Vec<String>,
    /// Where the script made it.
    pub span: Span,
}

/// What a machine does in the cluster.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// It decides: the API server, the scheduler and their store. It runs containers too.
    Master,
    /// It runs containers.
    #[default]
    Worker,
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Role::Master => "master",
            Role::Worker => "worker",
        })
    }
}

/// An address that outlives a machine.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Floating {
    /// None.
    #[default]
    None,
    /// One that is rented for it, and given back when the machine goes.
    New,
    /// One that is rented already, and kept.
    Of(String),
}

impl Floating {
    /// Whether there is none.
    pub fn is_none(&self) -> bool {
        *self == Floating::None
    }
}
