//! The daemon: the interface on its socket, and what it does to the deployment that it tracks.

use std::collections::HashMap;
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::net::UnixListener;
use tokio::signal::unix::{SignalKind, signal};
use tokio_stream::wrappers::UnixListenerStream;
use tonic::transport::Server;
use tonic::{Request, Response, Status};

use super::lower::{Lowered, lower};
use super::proto::api_server::{Api, ApiServer};
use super::proto::{
    Counter, CountersReply, CountersRequest, DbQuery, DeployReply, DeployRequest, MinionCountersRequest,
    QueryReply, VersionReply, VersionRequest,
};
use super::tables::{self, View};
use super::{DEPLOYMENT_BYTES_MAX, Deployment, VERSION};
use crate::check;
use crate::runtime::{self, During, Progress, RuntimeError, Start, Store};

/// The file in the state directory that holds what is tracked.
const FILE: &str = "quilt.json";
/// Bytes of a request beside the deployment in it.
const FRAME_BYTES: usize = 4096;
/// Faults of a deployment that are told.
const FAULTS_SHOWN_MAX: usize = 10;

/// Why the daemon does not serve.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// Another one does.
    #[error("a daemon serves {} already", .0.display())]
    Serves(std::path::PathBuf),
    /// The socket cannot be made.
    #[error("cannot listen on {}: {source}", path.display())]
    Listen {
        /// Where.
        path: std::path::PathBuf,
        /// What the kernel says.
        source: io::Error,
    },
    /// What was deployed before cannot be read.
    #[error(transparent)]
    Runtime(#[from] RuntimeError),
    /// The server failed.
    #[error("the daemon failed: {0}")]
    Server(String),
}

/// Serves the interface on a Unix socket until the process is asked to end (SIGINT, SIGTERM, SIGHUP). Calls `ready` once
/// the socket is there. What runs goes on.
///
/// # Errors
/// When another daemon serves the socket, or it cannot be made.
pub fn serve(socket: &Path, store: Store, ready: impl FnOnce()) -> Result<(), ServeError> {
    let daemon = Daemon::new(store)?;
    let failed = |error: io::Error| ServeError::Server(error.to_string());
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(failed)?;
    runtime.block_on(async {
        let listener = listen(socket)?;
        let service = ApiServer::new(Service(Arc::new(daemon)))
            .max_decoding_message_size(DEPLOYMENT_BYTES_MAX + FRAME_BYTES)
            .max_encoding_message_size(usize::MAX);
        let mut ends = Vec::new();
        for kind in [SignalKind::interrupt(), SignalKind::terminate(), SignalKind::hangup()] {
            ends.push(signal(kind).map_err(failed)?);
        }
        let [mut interrupt, mut terminate, mut hangup] =
            <[_; 3]>::try_from(ends).map_err(|_| ServeError::Server("signals".into()))?;
        let end = async move {
            tokio::select! {
                _ = interrupt.recv() => {}
                _ = terminate.recv() => {}
                _ = hangup.recv() => {}
            }
        };
        ready();
        let served = Server::builder()
            .add_service(service)
            .serve_with_incoming_shutdown(UnixListenerStream::new(listener), end)
            .await;
        let _ = std::fs::remove_file(socket);
        served.map_err(|error| ServeError::Server(error.to_string()))
    })
}

/// The socket, in the place of one that a daemon has left behind which is gone.
fn listen(path: &Path) -> Result<UnixListener, ServeError> {
    if std::os::unix::net::UnixStream::connect(path).is_ok() {
        return Err(ServeError::Serves(path.to_owned()));
    }
    let failed = |source| ServeError::Listen { path: path.to_owned(), source };
    let stale = std::fs::symlink_metadata(path)
        .is_ok_and(|found| std::os::unix::fs::FileTypeExt::is_socket(&found.file_type()));
    if stale {
        std::fs::remove_file(path).map_err(failed)?;
    }
    let listener = UnixListener::bind(path).map_err(failed)?;
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600)).map_err(failed)?;
    Ok(listener)
}

/// What is tracked, and where it runs.
struct Daemon {
    store: Store,
    tracked: Mutex<Option<Tracked>>,
    /// Held while something is deployed: one after the other.
    deploying: Mutex<()>,
    /// What counters were when they were last asked for.
    counted: Mutex<HashMap<String, u64>>,
}

#[derive(Clone, Debug)]
struct Tracked {
    deployment: Deployment,
    lowered: Lowered,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Daemon {
    /// One that tracks what was tracked before.
    fn new(store: Store) -> Result<Self, RuntimeError> {
        let path = store.file(FILE)?;
        let text = match std::fs::read_to_string(&path) {
            Ok(text) => Some(text),
            Err(error) if error.kind() == io::ErrorKind::NotFound => None,
            Err(error) => return Err(error).during("read what was deployed"),
        };
        // A file that is damaged is of no use: what runs is in the deployment's own state.
        let deployment = text.and_then(|text| Deployment::parse(&text).ok());
        let tracked = deployment.and_then(|deployment| {
            let lowered = lower(&deployment).ok()?;
            Some(Tracked { deployment, lowered })
        });
        Ok(Self { store, tracked: Mutex::new(tracked), deploying: Mutex::new(()), counted: Mutex::default() })
    }

    fn query(&self, table: &str) -> Result<String, Status> {
        let tracked = lock(&self.tracked).clone();
        let listing = tracked.as_ref().and_then(|tracked| {
            let deployment = self.store.deployment(&tracked.lowered.blueprint.name);
            deployment.exists().then(|| runtime::list(&deployment).ok()).flatten()
        });
        let view = tracked.as_ref().map(|Tracked { deployment, lowered }| View {
            deployment,
            lowered,
            listing: listing.as_ref(),
        });
        let rows = tables::rows(table, view.as_ref())
            .ok_or_else(|| Status::unknown(format!("unrecognized table: {table}")))?;
        rows.map(|rows| rows.to_string()).map_err(|error| Status::internal(error.to_string()))
    }

    fn deploy(&self, text: &str) -> Result<(), Status> {
        let wrong = |what: String| Status::invalid_argument(what);
        let deployment = Deployment::parse(text).map_err(|error| wrong(error.to_string()))?;
        let lowered = lower(&deployment).map_err(|errors| wrong(told(errors)))?;
        let failed = |error: &RuntimeError| Status::failed_precondition(error.to_string());
        let _one = lock(&self.deploying);
        if deployment.is_empty() {
            let running = self.store.deployment(&lowered.blueprint.name);
            if running.exists() {
                runtime::stop(&running, runtime::GRACE).map_err(|error| failed(&error))?;
            }
        } else {
            let faults = check::check(&lowered.blueprint, &|name| crate::secret(name).is_some());
            if !faults.is_empty() {
                let faults = faults.iter().map(|fault| match fault.kind.help() {
                    Some(help) => format!("{fault} ({help})"),
                    None => fault.to_string(),
                });
                return Err(wrong(told(faults.collect())));
            }
            let start = Start { source: Path::new("quilt daemon"), runtime: None };
            let progress = &mut |progress| {
                if let Progress::Warning(text) = progress {
                    eprintln!("warning: {text}");
                }
            };
            let up = runtime::up(&self.store, &lowered.blueprint, start, progress);
            if let Err(error) = up {
                return Err(failed(&error));
            }
        }
        self.track(Tracked { deployment, lowered }).map_err(|error| failed(&error))
    }

    /// Notes what is tracked from now on, also for a daemon that comes after this one.
    fn track(&self, tracked: Tracked) -> Result<(), RuntimeError> {
        let path = self.store.file(FILE)?;
        if tracked.deployment.is_empty() {
            match std::fs::remove_file(&path) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => {
                    return Err(error).during("forget what was deployed");
                }
                _ => {}
            }
        } else {
            let draft = path.with_extension("json.new");
            let options = |path: &Path| {
                use std::os::unix::fs::OpenOptionsExt;
                std::fs::File::options().write(true).create(true).truncate(true).mode(0o600).open(path)
            };
            let written = options(&draft)
                .and_then(|mut file| {
                    io::Write::write_all(&mut file, tracked.deployment.to_string().as_bytes())
                })
                .and_then(|()| std::fs::rename(&draft, &path));
            written.during("write down what was deployed")?;
        }
        *lock(&self.tracked) = Some(tracked);
        Ok(())
    }

    /// What the dataplane has counted, with what it was when it was last asked for.
    fn counters(&self) -> Vec<Counter> {
        let Some(tracked) = lock(&self.tracked).clone() else { return Vec::new() };
        let deployment = self.store.deployment(&tracked.lowered.blueprint.name);
        let Ok(snapshot) = runtime::snapshot(&deployment) else { return Vec::new() };
        let fabric = snapshot.fabric;
        let mut counted = vec![
            ("Connections", "Open".to_owned(), fabric.flows.active),
            ("Connections", "Opened".into(), fabric.flows.opened),
            ("Connections", "Refused".into(), fabric.flows.refused),
            ("Connections", "Cut".into(), fabric.flows.cut),
            ("Names", "Answered".into(), fabric.answers.dns),
            ("Names", "Passed on".into(), fabric.answers.dns_forwarded),
        ];
        counted.extend(fabric.drops.iter().map(|(reason, count)| ("Dropped", reason.to_string(), *count)));
        let mut before = lock(&self.counted);
        let counter = |(pkg, name, value): (&str, String, u64)| {
            let prev_value = before.insert(format!("{pkg} {name}"), value).unwrap_or(0);
            Counter { pkg: pkg.to_owned(), name, value, prev_value }
        };
        counted.into_iter().map(counter).collect()
    }
}

/// Some of what is wrong, and how much more there is.
fn told(errors: Vec<String>) -> String {
    let more = errors.len().saturating_sub(FAULTS_SHOWN_MAX);
    let mut shown: Vec<String> = errors.into_iter().take(FAULTS_SHOWN_MAX).collect();
    if more > 0 {
        shown.push(format!("and {more} more"));
    }
    shown.join("; ")
}

struct Service(Arc<Daemon>);

impl Service {
    /// Does something that may take a while. Whatever becomes of it, the daemon lives on.
    async fn work<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Daemon) -> Result<T, Status> + Send + 'static,
    ) -> Result<Response<T>, Status> {
        let daemon = self.0.clone();
        let done = tokio::task::spawn_blocking(move || work(&daemon)).await;
        done.map_err(|error| Status::internal(format!("the daemon failed: {error}")))?.map(Response::new)
    }
}

#[tonic::async_trait]
impl Api for Service {
    async fn query(&self, request: Request<DbQuery>) -> Result<Response<QueryReply>, Status> {
        let table = request.into_inner().table;
        self.work(move |daemon| Ok(QueryReply { table_contents: daemon.query(&table)? })).await
    }

    async fn deploy(&self, request: Request<DeployRequest>) -> Result<Response<DeployReply>, Status> {
        let deployment = request.into_inner().deployment;
        self.work(move |daemon| daemon.deploy(&deployment).map(|()| DeployReply {})).await
    }

    async fn version(&self, _: Request<VersionRequest>) -> Result<Response<VersionReply>, Status> {
        Ok(Response::new(VersionReply { version: VERSION.into() }))
    }

    async fn query_counters(&self, _: Request<CountersRequest>) -> Result<Response<CountersReply>, Status> {
        self.work(|daemon| Ok(CountersReply { counters: daemon.counters() })).await
    }

    async fn query_minion_counters(
        &self,
        request: Request<MinionCountersRequest>,
    ) -> Result<Response<CountersReply>, Status> {
        let host = request.into_inner().host;
        if host != "127.0.0.1" && host != "localhost" {
            return Err(Status::unknown(format!("no machine at {host}: everything runs on 127.0.0.1")));
        }
        self.work(|daemon| Ok(CountersReply { counters: daemon.counters() })).await
    }
}
