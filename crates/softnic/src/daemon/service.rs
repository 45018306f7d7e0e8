//! The gRPC face of the dataplane process.

use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use host::ProcessId;
use tokio::net::UnixListener;
use tokio::sync::Notify;
use tokio_stream::wrappers::UnixListenerStream;
use tonic::transport::Server;
use tonic::{Request, Response, Status};

use super::client::DaemonError;
use super::dataplane::{Dataplane, DataplaneError};
use super::proto::Readiness;
use super::proto::attach_request::Device;
use super::proto::dataplane_server::{self, DataplaneServer};
use super::proto::{
    ApplyReply, ApplyRequest, AttachReply, AttachRequest, DetachReply, DetachRequest, ExplainReply,
    ExplainRequest, HelloReply, HelloRequest, PolicyReply, PolicyRequest, ReadyReply, ReadyRequest,
    RotationReply, RotationRequest, RotationState, ShutdownReply, ShutdownRequest, SnapshotReply,
    SnapshotRequest,
};
use super::watch::Watch;
use crate::fabric::program::Protocol;

/// Bytes of the longest request: the program of the largest network.
const REQUEST_MAX: usize = 256 << 20;

/// Serves control calls on `socket` until one of them is Shutdown. Calls `ready` once the socket is there.
///
/// # Errors
/// When memory, a thread or the socket is not to be had.
pub fn serve(socket: &Path, ready: impl FnOnce() -> io::Result<()>) -> Result<(), DaemonError> {
    let start = |error: DataplaneError| DaemonError::Start(error.to_string());
    let dataplane = Dataplane::start(seed()?).map_err(start)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let _ = std::fs::remove_file(socket);
        let listener = UnixListener::bind(socket)?;
        std::fs::set_permissions(socket, std::fs::Permissions::from_mode(0o600))?;
        let over = Arc::new(Notify::new());
        let dataplane = Arc::new(Mutex::new(dataplane));
        let loser = dataplane.clone();
        let watch = Watch::start(move |attachment| lost(&loser, attachment))?;
        let service = Service { dataplane, watch, over: over.clone() };
        let service = DataplaneServer::new(service)
            .max_decoding_message_size(REQUEST_MAX)
            .max_encoding_message_size(REQUEST_MAX);
        ready()?;
        Server::builder()
            .add_service(service)
            .serve_with_incoming_shutdown(UnixListenerStream::new(listener), over.notified())
            .await
            .map_err(|error| DaemonError::Start(error.to_string()))
    })
}

/// What hashes are keyed with, so that nobody outside can aim for collisions.
fn seed() -> io::Result<u64> {
    let mut seed = [0; 8];
    io::Read::read_exact(&mut std::fs::File::open("/dev/urandom")?, &mut seed)?;
    Ok(u64::from_ne_bytes(seed))
}

struct Service {
    dataplane: Arc<Mutex<Dataplane>>,
    watch: Watch,
    over: Arc<Notify>,
}

impl Service {
    fn dataplane(&self) -> MutexGuard<'_, Dataplane> {
        locked(&self.dataplane)
    }

    /// Closes the port when the process at its other end has ended: a TAP outlives it for as long as we have it open,
    /// and connections would be led there.
    fn watch(&self, attachment: u64, device: &Device) -> io::Result<()> {
        let Some(process) = owner(device) else { return Ok(()) };
        match process.open() {
            Some(handle) => self.watch.add(attachment, handle),
            None => {
                lost(&self.dataplane, attachment);
                Ok(())
            }
        }
    }
}

fn lost(dataplane: &Mutex<Dataplane>, attachment: u64) {
    if let Err(error) = locked(dataplane).lost(attachment) {
        tracing::warn!("a port whose other end is gone cannot be closed: {error}");
    }
}

fn locked(dataplane: &Mutex<Dataplane>) -> MutexGuard<'_, Dataplane> {
    dataplane.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The process whose network namespace has the other end of a device.
fn owner(device: &Device) -> Option<ProcessId> {
    let (pid, start_time) = match device {
        Device::Tap(tap) => (tap.netns_pid, tap.netns_start_time),
        Device::Packet(packet) => (packet.peer_pid, packet.peer_start_time),
    };
    (pid != 0).then_some(ProcessId { pid, start_time })
}

impl From<DataplaneError> for Status {
    fn from(error: DataplaneError) -> Self {
        Self::failed_precondition(error.to_string())
    }
}

fn json(value: &impl serde::Serialize) -> Result<String, Status> {
    serde_json::to_string(value).map_err(|error| Status::internal(error.to_string()))
}

/// Every call holds the lock for as long as it works: control calls are few, and none waits for a peer.
#[tonic::async_trait]
impl dataplane_server::Dataplane for Service {
    async fn hello(&self, _: Request<HelloRequest>) -> Result<Response<HelloReply>, Status> {
        let dataplane = self.dataplane();
        Ok(Response::new(HelloReply {
            version: env!("CARGO_PKG_VERSION").into(),
            pid: std::process::id(),
            generation: dataplane.generation(),
            ports: dataplane.attached(),
        }))
    }

    async fn attach(&self, request: Request<AttachRequest>) -> Result<Response<AttachReply>, Status> {
        let AttachRequest { port, name, device, gated } = request.into_inner();
        let device = device.ok_or_else(|| Status::invalid_argument("no device to attach"))?;
        let gate = gated.then(|| owner(&device)).flatten();
        let attachment = self.dataplane().attach(port, &name, &device, gate)?;
        self.watch(attachment, &device).map_err(|error| Status::internal(error.to_string()))?;
        Ok(Response::new(AttachReply {}))
    }

    async fn ready(&self, request: Request<ReadyRequest>) -> Result<Response<ReadyReply>, Status> {
        let mut dataplane = self.dataplane();
        for Readiness { name, pid, start_time, ready } in request.into_inner().containers {
            dataplane.ready(&name, ProcessId { pid, start_time }, ready)?;
        }
        Ok(Response::new(ReadyReply {}))
    }

    async fn rotation(&self, request: Request<RotationRequest>) -> Result<Response<RotationReply>, Status> {
        let states = self.dataplane().rotation(request.into_inner().names)?.into_iter();
        let states = states.map(|(connections, in_rotation)| RotationState { connections, in_rotation });
        Ok(Response::new(RotationReply { states: states.collect() }))
    }

    async fn detach(&self, request: Request<DetachRequest>) -> Result<Response<DetachReply>, Status> {
        self.dataplane().detach(&request.into_inner().ports)?;
        Ok(Response::new(DetachReply {}))
    }

    async fn apply(&self, request: Request<ApplyRequest>) -> Result<Response<ApplyReply>, Status> {
        let mut dataplane = self.dataplane();
        let flows_cut = dataplane.apply(&request.into_inner().program_json)?;
        Ok(Response::new(ApplyReply { generation: dataplane.generation(), flows_cut }))
    }

    async fn snapshot(&self, _: Request<SnapshotRequest>) -> Result<Response<SnapshotReply>, Status> {
        let snapshot = self.dataplane().snapshot()?;
        Ok(Response::new(SnapshotReply { snapshot_json: json(&snapshot)? }))
    }

    async fn explain(&self, request: Request<ExplainRequest>) -> Result<Response<ExplainReply>, Status> {
        let ExplainRequest { from, to, protocol, port } = request.into_inner();
        let protocol = match protocol.as_str() {
            "tcp" => Protocol::Tcp,
            "udp" => Protocol::Udp,
            other => return Err(Status::invalid_argument(format!("`{other}` is neither tcp nor udp"))),
        };
        let port = u16::try_from(port).map_err(|_| Status::invalid_argument(format!("{port} is no port")))?;
        let explanation = self.dataplane().explain(&from, &to, protocol, port)?;
        Ok(Response::new(ExplainReply { explanation_json: json(&explanation)? }))
    }

    async fn policy(&self, _: Request<PolicyRequest>) -> Result<Response<PolicyReply>, Status> {
        let policy = self.dataplane().policy()?;
        Ok(Response::new(PolicyReply { policy_json: json(&policy)? }))
    }

    async fn shutdown(&self, _: Request<ShutdownRequest>) -> Result<Response<ShutdownReply>, Status> {
        self.over.notify_one();
        Ok(Response::new(ShutdownReply {}))
    }
}
