//! Machines: rented from a cloud, made into one Kubernetes cluster, and given back.
//!
//! ```text
//!  blueprint ──plan──▶ + - ~ ──boot──▶ provider: firewall, key, machines, addresses
//!                                         │ user data: cloud-init installs k3s, which joins by a shared token
//!                                         ▼
//!                       kubeconfig ◀── cluster ──wait──▶ every machine is a node that is ready ──▶ manifests
//! ```
//!
//! What exists is asked of the provider every time: everything that is made carries the deployment's name as a tag, in
//! the request that makes it. A command that was killed anywhere leaves nothing that the next one does not find. Only
//! the cluster's secrets (its token, its certificate authorities) lie in the state directory; they are made once and
//! go to the machines in their user data, so that nothing has to be fetched from a machine to reach its cluster.

pub mod amazon;
mod boot;
mod error;
mod fleet;
mod identity;
mod plan;
mod provider;
pub mod sizes;
mod store;
mod vet;

pub use boot::{USER_DATA_BYTES_MAX, user_data};
pub use error::{MachineError, ProviderError};
pub use fleet::{Fleet, Progress};
pub use identity::Identity;
pub use plan::{Change, MachinePlan, Verb};
pub use provider::{Boot, Cleaned, Firewall, Found, Ground, Opening, Provider, State};
pub use store::{Kept, MachineStore};
pub use vet::{MACHINES_MAX, vet};

/// The provider of this name, in a region.
///
/// # Errors
/// When it cannot be used, or is not one that weft can use.
pub fn provider(name: &str, region: &str) -> Result<Box<dyn Provider>, ProviderError> {
    match name {
        "Amazon" => Ok(Box::new(amazon::Amazon::from_env(region)?)),
        _ => Err(ProviderError::NoSuchProvider(name.to_owned())),
    }
}
