//! Why a cluster did not do what was asked of it.

use std::path::PathBuf;

/// Why a cluster did not do what was asked of it, and what to do.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ClusterError {
    /// There is nothing that says which cluster is meant.
    #[error("no cluster is known: {reason}; name a kubeconfig with --kubeconfig or KUBECONFIG")]
    NoCluster {
        /// What was looked for.
        reason: String,
    },
    /// The file that says how a cluster is reached cannot be used.
    #[error("{} cannot be used: {reason}", path.display())]
    Kubeconfig {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// The cluster does not answer.
    #[error("the cluster at {url} does not answer: {reason}")]
    Unreachable {
        /// Its API server.
        url: String,
        /// What went wrong.
        reason: String,
    },
    /// The cluster refused a request.
    #[error("the cluster refuses to {action} {object}: {message}")]
    Refused {
        /// `apply`, `delete`, `list`, ….
        action: &'static str,
        /// Kind and name.
        object: String,
        /// What it said.
        message: String,
    },
    /// Fields are owned by somebody else.
    #[error(
        "{object} has fields that another program set: {message}; --force takes them over, or take them out of there"
    )]
    Conflict {
        /// Kind and name.
        object: String,
        /// Which fields, and whose they are.
        message: String,
    },
    /// An object of that name is there and is not this deployment's.
    #[error(
        "{object} is there already and is not of this deployment ({owner}): delete it, or rename one of them"
    )]
    Taken {
        /// Kind and name.
        object: String,
        /// Who has it, as far as its labels say.
        owner: String,
    },
    /// The namespace is the cluster's own.
    #[error("namespace '{0}' is the cluster's own: a deployment denies all other traffic in its namespace")]
    Namespace(String),
    /// The namespace of a deployment is not there.
    #[error("there is no namespace '{0}' in the cluster: make it, or leave --namespace out to have one made")]
    NoNamespace(String),
    /// The namespace is not of weft's making.
    #[error("namespace '{0}' is there already and is not weft's: say --namespace {0} to deploy into it")]
    NamespaceTaken(String),
    /// Containers did not become ready in time.
    #[error("not ready after {seconds} s: {}", stuck.join("; "))]
    NotReady {
        /// How long it was waited.
        seconds: u64,
        /// Which are not, and why.
        stuck: Vec<String>,
    },
    /// The cluster has no such kind of object.
    #[error(
        "the cluster knows no {kind} of {version}: install what brings it (for the Gateway API its definitions), or leave it out"
    )]
    UnknownKind {
        /// The kind.
        kind: &'static str,
        /// Its group and version.
        version: String,
    },
    /// The deployment is not there.
    #[error("nothing of '{name}' is in namespace '{namespace}' of the cluster")]
    NothingThere {
        /// The deployment.
        name: String,
        /// The namespace.
        namespace: String,
    },
    /// The machine itself would not do.
    #[error("cannot {action}: {source}")]
    System {
        /// What was tried.
        action: &'static str,
        /// The kernel's answer.
        source: std::io::Error,
    },
}
