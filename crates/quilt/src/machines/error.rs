//! Why machines could not be had.

use std::io;
use std::path::PathBuf;

use crate::cluster::ClusterError;

/// Why a provider did not do what was asked of it, and what to do.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ProviderError {
    /// weft cannot use it.
    #[error("machines of {0} cannot be booted yet: name Amazon")]
    NoSuchProvider(String),
    /// Nobody says who is renting.
    #[error(
        "no credentials of Amazon's: set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or have a profile in {file} ({reason})"
    )]
    NoCredentials {
        /// The file that was looked into.
        file: String,
        /// What was not found.
        reason: String,
    },
    /// The provider cannot be reached.
    #[error("{url} does not answer, after {tries} tries: {reason}")]
    Unreachable {
        /// Its address.
        url: String,
        /// How often it was tried.
        tries: u32,
        /// What went wrong.
        reason: String,
    },
    /// The provider said no.
    #[error("{action} is refused: {message} ({code}){}", hint(code))]
    Refused {
        /// What was asked for, in its words.
        action: &'static str,
        /// Its code.
        code: String,
        /// What it said.
        message: String,
    },
    /// What the provider said is not what its documentation says.
    #[error("the answer to {action} makes no sense: {reason}")]
    Answer {
        /// What was asked for, in its words.
        action: &'static str,
        /// What is wrong with it.
        reason: String,
    },
    /// Something that the blueprint names is not there.
    #[error("{0}")]
    Missing(String),
    /// The token of a request is that of a machine which is gone, or which was asked for in other words.
    #[error("the token of a request was used before")]
    TokenSpent,
}

/// What to do about a refusal.
fn hint(code: &str) -> &'static str {
    match code {
        "InsufficientInstanceCapacity" | "InsufficientHostCapacity" | "SpotMaxPriceTooLow" => {
            ": try again later, ask for another size or region, or not for a spot machine"
        }
        "InstanceLimitExceeded"
        | "VcpuLimitExceeded"
        | "MaxSpotInstanceCountExceeded"
        | "AddressLimitExceeded" => {
            ": the account may not have more; ask Amazon for a higher limit, or give something back"
        }
        "AuthFailure"
        | "InvalidClientTokenId"
        | "SignatureDoesNotMatch"
        | "UnauthorizedOperation"
        | "RequestExpired" => ": look at the credentials, what they may do, and this machine's clock",
        "RequestLimitExceeded" | "Throttling" => ": too many requests of this account; try again in a while",
        "OptInRequired" => ": the account is not open for this region",
        _ => "",
    }
}

/// Why machines could not be had, and what to do.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum MachineError {
    /// The provider failed.
    #[error(transparent)]
    Provider(#[from] ProviderError),
    /// The cluster failed.
    #[error(transparent)]
    Cluster(#[from] ClusterError),
    /// Another command is changing the machines.
    #[error("another command is changing the machines of '{0}'; try again when it is done")]
    Busy(String),
    /// There are no machines of that deployment.
    #[error("no machines of '{0}' are known here: `weft up FILE --target machines` boots them")]
    NoMachines(String),
    /// Several deployments have machines and none was named.
    #[error("several deployments have machines: say which with -d ({})", .0.join(", "))]
    Which(Vec<String>),
    /// The blueprint moved elsewhere while machines run.
    #[error(
        "'{name}' has machines of {before} and the blueprint asks for {after}: `weft stop --machines -d {name}` first"
    )]
    Moved {
        /// The deployment.
        name: String,
        /// Provider and region of those that run.
        before: String,
        /// Provider and region that are wanted.
        after: String,
    },
    /// Machines run whose secrets are not here.
    #[error(
        "{count} machines of '{name}' run, and the secrets of their cluster are not in {}: use the state directory they \
         were booted with, or give them back with `weft stop --machines -d {name} --region {region}`",
        path.display()
    )]
    Foreign {
        /// The deployment.
        name: String,
        /// How many.
        count: usize,
        /// Their region.
        region: String,
        /// Where the secrets would be.
        path: PathBuf,
    },
    /// A machine cannot be told what to do at its first start.
    #[error(
        "the user data of {machine} has {bytes} bytes, and at most {bytes_max} are taken: use fewer or shorter SSH keys"
    )]
    UserData {
        /// Which.
        machine: String,
        /// How much.
        bytes: usize,
        /// How much it may be.
        bytes_max: usize,
    },
    /// Machines did not start in time.
    #[error("not running after {seconds} s: {}", machines.join(", "))]
    NotRunning {
        /// How long it was waited.
        seconds: u64,
        /// Which.
        machines: Vec<String>,
    },
    /// Machines run that have not joined the cluster in time.
    #[error(
        "not in the cluster after {seconds} s: {}{}; /var/log/cloud-init-output.log on a machine says how far it got, and \
         `weft up` goes on waiting",
        machines.join(", "),
        reason.as_ref().map(|reason| format!(" ({reason})")).unwrap_or_default()
    )]
    NotJoined {
        /// How long it was waited.
        seconds: u64,
        /// Which.
        machines: Vec<String>,
        /// What the cluster said last, where it did not answer.
        reason: Option<String>,
    },
    /// A file of the state directory is not what weft wrote.
    #[error("{} is damaged ({source}): put back a copy of it, or remove it and give the machines back by hand", path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        source: serde_json::Error,
    },
    /// Certificates could not be made.
    #[error("the cluster's certificates cannot be made: {0}")]
    Certificates(String),
    /// The machine that weft runs on failed.
    #[error("cannot {action}: {source}")]
    System {
        /// What was tried.
        action: &'static str,
        /// The kernel's answer.
        source: io::Error,
    },
}
