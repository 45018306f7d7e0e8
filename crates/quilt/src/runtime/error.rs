//! Why a deployment could not be run.

use std::fmt;
use std::io;
use std::path::PathBuf;

use super::ready::NotReady;
use crate::model::{Protocol, Span, Text};

/// Why a deployment could not be run, and what to do.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RuntimeError {
    /// The environment names no place for state.
    #[error("no place for state: set WEFT_STATE to a directory, or HOME")]
    NoStateDirectory,
    /// No deployment runs.
    #[error("nothing runs: `weft up FILE` starts a blueprint")]
    NothingRuns,
    /// There is no such deployment.
    #[error("no deployment is called '{name}'; {}", list(.known, "there is"))]
    NoDeployment {
        /// What was asked for.
        name: String,
        /// What there is.
        known: Vec<String>,
    },
    /// Several deployments run and none was named.
    #[error("several deployments run: say which with -d ({})", .0.join(", "))]
    Which(Vec<String>),
    /// The deployment has no such container.
    #[error("no container is called '{name}'; {}", list(.known, "there is"))]
    NoContainer {
        /// What was asked for.
        name: String,
        /// What there is.
        known: Vec<String>,
    },
    /// A container is there but does not run.
    #[error("container '{name}' does not run (it is {state}): `weft logs {name}` shows its last words")]
    NotRunning {
        /// Its name.
        name: String,
        /// What it is instead.
        state: String,
    },
    /// Another command is changing the deployment.
    #[error("another command is changing '{0}'; try again when it is done")]
    Busy(String),
    /// The state directory's name is too long for a socket.
    #[error("{} is longer than the {bytes_max} bytes a socket's path may have: set WEFT_STATE to a shorter directory", path.display())]
    SocketPath {
        /// The path.
        path: PathBuf,
        /// What fits.
        bytes_max: usize,
    },
    /// A file of the state directory is not what weft wrote.
    #[error("{} is damaged ({source}): `weft stop` clears the deployment away", path.display())]
    State {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        source: serde_json::Error,
    },
    /// A port of the host is in use.
    #[error("port {port}/{protocol} of the host {}", port_taken(source))]
    PortTaken {
        /// The port.
        port: u16,
        /// TCP or UDP.
        protocol: Protocol,
        /// Where the blueprint publishes it.
        span: Span,
        /// The kernel's answer.
        source: io::Error,
    },
    /// A secret that the blueprint uses was not given.
    #[error(
        "container '{container}' needs the secret '{secret}': set the environment variable {}",
        Text::secret_variable(secret)
    )]
    Secret {
        /// Who needs it.
        container: String,
        /// Its name.
        secret: String,
        /// Where the blueprint makes the container.
        span: Span,
    },
    /// An image could not be made.
    #[error("cannot make the image {image}: {reason}")]
    Image {
        /// What it is called.
        image: String,
        /// Why.
        reason: String,
        /// The line of its Dockerfile, if one is at fault.
        span: Option<Span>,
    },
    /// There is no such image.
    #[error("no image is called '{name}'; {}", list(.known, "there is"))]
    NoImage {
        /// What was asked for.
        name: String,
        /// What there is.
        known: Vec<String>,
    },
    /// Containers run on an image that was to be removed.
    #[error("containers of {} run on image '{name}': `weft stop` them first", used_by.join(", "))]
    ImageInUse {
        /// The image.
        name: String,
        /// Deployments with such containers.
        used_by: Vec<String>,
    },
    /// Links lead outside on more ports than can be listened on.
    #[error(
        "with the ports of '{from}' there are more than {} of one protocol to the public internet: name those that are \
         needed, each takes a listening socket",
        super::edge::OUTSIDE_PORTS_MAX
    )]
    OutsidePorts {
        /// Who would connect.
        from: String,
        /// Where the blueprint allows it.
        span: Span,
    },
    /// Containers did not start.
    #[error("{}", failures(.0))]
    Containers(Vec<ContainerFailure>),
    /// What others depend on does not get ready.
    #[error("{}{}: what runs goes on, and `weft up` with the same blueprint continues", not_ready, waiting_for(.waiting))]
    NotReady {
        /// It, and why.
        not_ready: Box<NotReady>,
        /// Who waits for it, and where the blueprint makes them.
        waiting: Vec<(String, Span)>,
        /// Where the blueprint makes it.
        span: Span,
    },
    /// An update in batches does not go on.
    #[error("the update of '{service}' stopped with {} of {} done: {not_ready}{}; `weft up` goes on from there", .done.0, .done.1, still_old(.left))]
    UpdateStopped {
        /// The service.
        service: String,
        /// Members that were replaced, and all that are to be.
        done: (usize, usize),
        /// Those that still run as they were.
        left: Box<[String]>,
        /// Why.
        not_ready: Box<NotReady>,
        /// Where the blueprint makes the one that is not ready.
        span: Span,
    },
    /// One of our own processes did not start.
    #[error("the {role} process did not start: {reason}")]
    Process {
        /// Which.
        role: &'static str,
        /// What it said.
        reason: String,
    },
    /// The dataplane is gone.
    #[error("the dataplane of '{0}' does not run: `weft up` with the same blueprint brings it back")]
    NoDataplane(String),
    /// The process that holds the namespaces is gone.
    #[error("the deployment's namespaces are gone: `weft stop` clears it away, `weft up` starts it anew")]
    NoSandbox,
    /// A hidden subcommand was called by hand.
    #[error("this subcommand is not for users: `weft up` calls it")]
    NotAUser,
    /// A process ignored SIGKILL.
    #[error("process {pid} does not end, even killed; it may hang in the kernel")]
    WouldNotEnd {
        /// Its number.
        pid: u32,
    },
    /// A system call failed.
    #[error("cannot {action}: {source}")]
    System {
        /// What was tried.
        action: &'static str,
        /// The kernel's answer.
        source: io::Error,
    },
    /// The plumbing failed.
    #[error(transparent)]
    Host(#[from] host::Error),
    /// The dataplane failed.
    #[error(transparent)]
    Dataplane(#[from] softnic::daemon::DaemonError),
    /// The edge failed.
    #[error(transparent)]
    Edge(#[from] super::edge::EdgeError),
    /// The network is larger than its addresses.
    #[error(transparent)]
    Addresses(#[from] crate::address::Exhausted),
}

/// A container that did not start.
#[derive(Clone, Debug)]
pub struct ContainerFailure {
    /// Its name.
    pub name: String,
    /// Why.
    pub reason: String,
    /// Where the blueprint makes it.
    pub span: Span,
}

impl RuntimeError {
    /// Whether what was started is to stay, for the next `up` to go on with.
    pub fn is_to_be_continued(&self) -> bool {
        matches!(self, Self::NotReady { .. } | Self::UpdateStopped { .. })
    }

    /// The places in the blueprint that the error is about, each with what is wrong there.
    pub fn places(&self) -> Vec<(&Span, String)> {
        match self {
            Self::PortTaken { span, .. } => vec![(span, "published here".into())],
            Self::OutsidePorts { span, .. } => vec![(span, "allowed here".into())],
            Self::Secret { span, .. } => vec![(span, "used here".into())],
            Self::Image { span: Some(span), .. } => vec![(span, "this failed".into())],
            Self::NotReady { not_ready, waiting, span } => {
                let waits = waiting.iter().map(|(name, span)| (span, format!("{name} waits for it")));
                std::iter::once((span, not_ready.state.clone())).chain(waits).collect()
            }
            Self::UpdateStopped { not_ready, span, .. } => vec![(span, not_ready.state.clone())],
            Self::Containers(all) => all.iter().map(|one| (&one.span, one.reason.clone())).collect(),
            _ => Vec::new(),
        }
    }
}

impl fmt::Display for NotReady {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let NotReady { name, waited, state, last_line } = self;
        write!(f, "container '{name}' is not ready after {:.1} s: {state}", waited.as_secs_f64())?;
        match last_line {
            Some(line) => write!(f, "; its last line is '{line}'"),
            None => f.write_str("; it wrote nothing"),
        }
    }
}

fn waiting_for(waiting: &[(String, Span)]) -> String {
    let names: Vec<String> = waiting.iter().map(|(name, _)| name.clone()).collect();
    if names.is_empty() { String::new() } else { format!(" ({})", list(&names, "it keeps waiting")) }
}

fn still_old(left: &[String]) -> String {
    if left.is_empty() { String::new() } else { format!("; {} as before", list(left, "there still run")) }
}

/// What stands in the way of opening a port.
fn port_taken(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::AddrInUse => "is taken: another program listens on it".into(),
        io::ErrorKind::PermissionDenied => {
            "is not open to users: publish one from 1024 on, lower net.ipv4.ip_unprivileged_port_start, or run as root"
                .into()
        }
        _ => format!("cannot be opened: {error}"),
    }
}

fn failures(all: &[ContainerFailure]) -> String {
    match all {
        [one] => format!("container '{}' did not start: {}", one.name, one.reason),
        _ => {
            let lines: Vec<_> = all.iter().map(|one| format!("  {}: {}", one.name, one.reason)).collect();
            format!("{} containers did not start:\n{}", all.len(), lines.join("\n"))
        }
    }
}

/// Names of a list in an error message; long lists are cut.
fn list(names: &[String], there_is: &str) -> String {
    const SHOWN_MAX: usize = 12;
    match names.len() {
        0 => "there is none".into(),
        count if count <= SHOWN_MAX => format!("{there_is} {}", names.join(", ")),
        count => format!("{there_is} {} and {} more", names[..SHOWN_MAX].join(", "), count - SHOWN_MAX),
    }
}

/// Says what was being done when the kernel refused.
pub(crate) trait During<T> {
    fn during(self, action: &'static str) -> Result<T, RuntimeError>;
}

impl<T, E: Into<io::Error>> During<T> for Result<T, E> {
    fn during(self, action: &'static str) -> Result<T, RuntimeError> {
        self.map_err(|source| RuntimeError::System { action, source: source.into() })
    }
}
