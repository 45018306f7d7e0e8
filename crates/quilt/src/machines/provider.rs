//! What a cloud must be able to do.
//!
//! One file below `machines` implements [`Provider`] for one cloud. Nothing above it knows more of the cloud than this
//! trait says, so that Google's or Azure's machines are one more implementation and a line in [`super::provider`].

use std::net::IpAddr;

use serde::Serialize;

use super::ProviderError;
use crate::model::{Floating, Protocol, Role};

/// A cloud in which machines are rented. An implementation keeps no state of its own: what exists is asked for.
///
/// Every call may be made again after it failed, or after the process that made it was killed, at whatever point, and
/// then ends as one call would have.
pub trait Provider {
    /// The machines of a deployment, those that are going among them.
    ///
    /// # Errors
    /// When the provider does not say.
    fn machines(&mut self, deployment: &str) -> Result<Vec<Found>, ProviderError>;

    /// Makes what machines stand on: a firewall that lets in what is said and nothing else, and a key.
    ///
    /// # Errors
    /// When the provider refuses.
    fn prepare(
        &mut self,
        deployment: &str,
        firewall: &Firewall,
        ssh_key: Option<&str>,
    ) -> Result<Ground, ProviderError>;

    /// Boots a machine, or finds the one that the same [`Boot`] has booted before.
    ///
    /// # Errors
    /// When the provider refuses, or has none left.
    fn boot(&mut self, deployment: &str, ground: &Ground, boot: &Boot) -> Result<Found, ProviderError>;

    /// Gives a machine its floating address, and says which that is.
    ///
    /// # Errors
    /// When the provider refuses, or the address is somebody else's.
    fn float(
        &mut self,
        deployment: &str,
        machine: &Found,
        floating: &Floating,
    ) -> Result<IpAddr, ProviderError>;

    /// Gives machines back.
    ///
    /// # Errors
    /// When the provider refuses.
    fn terminate(&mut self, ids: &[String]) -> Result<(), ProviderError>;

    /// Gives back the addresses that were rented for machines which are gone. Says which.
    ///
    /// # Errors
    /// When the provider refuses.
    fn release(&mut self, deployment: &str) -> Result<Vec<String>, ProviderError>;

    /// Gives back everything that is left of a deployment without machines: firewall, keys, addresses.
    ///
    /// # Errors
    /// When the provider refuses.
    fn clean(&mut self, deployment: &str) -> Result<Cleaned, ProviderError>;
}

/// How far a machine is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum State {
    /// It starts.
    Booting,
    /// It runs; whether it has joined the cluster is the cluster's to say.
    Running,
    /// It goes.
    Stopping,
    /// It is gone, and the provider still remembers it.
    Gone,
}

impl State {
    /// Whether it is there and is to stay.
    pub fn is_alive(self) -> bool {
        matches!(self, State::Booting | State::Running)
    }
}

/// A machine as the provider has it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Found {
    /// What the provider calls it.
    pub id: String,
    /// What weft calls it: `master-1`.
    pub name: String,
    /// What it does.
    pub role: Role,
    /// How large it is.
    pub size: String,
    /// Whether it is rented at the market's price.
    pub is_spot: bool,
    /// How far it is.
    pub state: State,
    /// What its cluster calls it.
    pub node: String,
    /// What was asked for when it was booted; a machine for which something else is asked is another one.
    #[serde(skip)]
    pub fingerprint: String,
    /// Its address within the region.
    pub private_address: Option<IpAddr>,
    /// Its address on the internet.
    pub public_address: Option<IpAddr>,
}

/// A machine to boot.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Boot {
    /// What weft calls it.
    pub name: String,
    /// What its cluster calls it.
    pub node: String,
    /// What it does.
    pub role: Role,
    /// How large it is, in the provider's words.
    pub size: String,
    /// How large its disk is, in GiB.
    pub disk_gib: u32,
    /// Whether it is rented at the market's price.
    pub is_spot: bool,
    /// The most that its hour may cost at the market, in millionths of a US dollar.
    pub max_price_micros: Option<u64>,
    /// What cloud-init is to do at its first start.
    pub user_data: String,
    /// What was asked for.
    pub fingerprint: String,
    /// The same for the same machine: two requests with one token boot one machine. At most 64 ASCII characters.
    pub token: String,
}

/// Who may connect to machines; they connect to each other as they like.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Firewall {
    /// What is open.
    pub openings: Vec<Opening>,
}

/// A port that is open to a network.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Opening {
    /// `Tcp` or `Udp`.
    pub protocol: Protocol,
    /// The port.
    pub port: u16,
    /// The network, as CIDR.
    pub network: String,
}

/// What machines stand on, in the provider's words.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Ground {
    /// The firewall.
    pub firewall: String,
    /// The key.
    pub key: Option<String>,
    /// The image of their disks.
    pub image: String,
    /// What the image calls its disk.
    pub disk: String,
}

/// What was given back.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Cleaned {
    /// Addresses.
    pub addresses: Vec<String>,
    /// Firewalls.
    pub firewalls: Vec<String>,
    /// Keys.
    pub keys: Vec<String>,
}
