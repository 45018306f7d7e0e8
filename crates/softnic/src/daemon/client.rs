//! The other side of the socket: a client for control programs, which need not be asynchronous.

use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use hyper_util::rt::TokioIo;
use tokio::net::UnixStream;
use tokio::runtime::Runtime;
use tonic::transport::{Channel, Endpoint, Uri};
use tonic::{Request, Status};

use super::Snapshot;
use super::proto::dataplane_client::DataplaneClient;
use super::proto::{
    ApplyRequest, AttachRequest, DetachRequest, ExplainRequest, HelloReply, HelloRequest, PolicyRequest,
    ReadyRequest, RotationRequest, ShutdownRequest, SnapshotRequest,
};
use crate::fabric::{Explanation, Policy, Program};

pub use super::proto::attach_request::Device;
pub use super::proto::{Packet as PacketDevice, Readiness, RotationState, Tap as TapDevice};

/// How long any answer may take.
const PATIENCE: Duration = Duration::from_secs(30);
/// Bytes of the longest answer: a snapshot of the largest network.
const ANSWER_MAX: usize = 256 << 20;

/// Why a dataplane did not do what it was asked.
#[derive(Debug, thiserror::Error)]
pub enum DaemonError {
    /// Nobody serves the socket.
    #[error("no dataplane answers at {}: {source}", path.display())]
    Gone {
        /// The socket.
        path: PathBuf,
        /// Why.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// It answered with an error.
    #[error("the dataplane: {}", .0.message())]
    Refused(Box<Status>),
    /// It answered what cannot be read.
    #[error("the dataplane's answer cannot be read: {0}")]
    Answer(#[from] serde_json::Error),
    /// The process could not start.
    #[error("the dataplane cannot start: {0}")]
    Start(String),
    /// The socket, or what serves it, failed.
    #[error("the dataplane's socket: {0}")]
    Io(#[from] io::Error),
}

impl From<Status> for DaemonError {
    fn from(status: Status) -> Self {
        Self::Refused(Box::new(status))
    }
}

/// A connection to a dataplane process. Calls wait for their answer.
#[derive(Debug)]
pub struct Client {
    runtime: Runtime,
    inner: DataplaneClient<Channel>,
}

impl Client {
    /// Connects to the process that serves `socket`.
    ///
    /// # Errors
    /// [`DaemonError::Gone`] when nobody does.
    pub fn connect(socket: &Path) -> Result<Self, DaemonError> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let path = socket.to_owned();
        let connector = tower::service_fn(move |_: Uri| {
            let path = path.clone();
            async move { UnixStream::connect(path).await.map(TokioIo::new) }
        });
        // The address is never looked at: the connector goes to the socket.
        let endpoint = Endpoint::from_static("http://dataplane").timeout(PATIENCE);
        let channel = runtime
            .block_on(endpoint.connect_with_connector(connector))
            .map_err(|source| DaemonError::Gone { path: socket.to_owned(), source: source.into() })?;
        let inner = DataplaneClient::new(channel)
            .max_decoding_message_size(ANSWER_MAX)
            .max_encoding_message_size(ANSWER_MAX);
        Ok(Self { runtime, inner })
    }

    /// Who answers.
    ///
    /// # Errors
    /// When the process is gone.
    pub fn hello(&mut self) -> Result<HelloReply, DaemonError> {
        Ok(self.runtime.block_on(self.inner.hello(HelloRequest {}))?.into_inner())
    }

    /// Opens a device as port `port`.
    ///
    /// # Errors
    /// When the device cannot be opened.
    pub fn attach(&mut self, port: u32, name: &str, device: Device) -> Result<(), DaemonError> {
        self.attach_as(port, name, device, false)
    }

    /// [`Client::attach`] for one that services give nothing until [`Client::ready`] says so.
    ///
    /// # Errors
    /// When the device cannot be opened.
    pub fn attach_gated(&mut self, port: u32, name: &str, device: Device) -> Result<(), DaemonError> {
        self.attach_as(port, name, device, true)
    }

    fn attach_as(&mut self, port: u32, name: &str, device: Device, gated: bool) -> Result<(), DaemonError> {
        let request = AttachRequest { port, name: name.to_owned(), device: Some(device), gated };
        self.runtime.block_on(self.inner.attach(Request::new(request)))?;
        Ok(())
    }

    /// Tells which of those that were or will be attached with [`Client::attach_gated`] are ready.
    ///
    /// # Errors
    /// When the process is gone.
    pub fn ready(&mut self, containers: Vec<Readiness>) -> Result<(), DaemonError> {
        self.runtime.block_on(self.inner.ready(ReadyRequest { containers }))?;
        Ok(())
    }

    /// How services treat each of these, and how many connections it has.
    ///
    /// # Errors
    /// When the process is gone.
    pub fn rotation(&mut self, names: Vec<String>) -> Result<Vec<RotationState>, DaemonError> {
        Ok(self.runtime.block_on(self.inner.rotation(RotationRequest { names }))?.into_inner().states)
    }

    /// Closes ports; numbers that are not in use are passed over.
    ///
    /// # Errors
    /// When the process is gone.
    pub fn detach(&mut self, ports: Vec<u32>) -> Result<(), DaemonError> {
        self.runtime.block_on(self.inner.detach(DetachRequest { ports }))?;
        Ok(())
    }

    /// Puts a network program in force; returns how many open flows it cut.
    ///
    /// # Errors
    /// When the program contradicts itself; the old one then stays in force.
    pub fn apply(&mut self, program: &Program) -> Result<u64, DaemonError> {
        let program_json = serde_json::to_string(program)?;
        Ok(self.runtime.block_on(self.inner.apply(ApplyRequest { program_json }))?.into_inner().flows_cut)
    }

    /// Counts of everything.
    ///
    /// # Errors
    /// When the process is gone.
    pub fn snapshot(&mut self) -> Result<Snapshot, DaemonError> {
        let reply = self.runtime.block_on(self.inner.snapshot(SnapshotRequest {}))?.into_inner();
        Ok(serde_json::from_str(&reply.snapshot_json)?)
    }

    /// What would happen to a packet.
    ///
    /// # Errors
    /// When a name is unknown.
    pub fn explain(
        &mut self,
        from: &str,
        to: &str,
        protocol: &str,
        port: u16,
    ) -> Result<Explanation, DaemonError> {
        let request =
            ExplainRequest { from: from.into(), to: to.into(), protocol: protocol.into(), port: port.into() };
        let reply = self.runtime.block_on(self.inner.explain(request))?.into_inner();
        Ok(serde_json::from_str(&reply.explanation_json)?)
    }

    /// Everything that may pass, from the tables that packets are looked up in.
    ///
    /// # Errors
    /// When the process is gone.
    pub fn policy(&mut self) -> Result<Policy, DaemonError> {
        let reply = self.runtime.block_on(self.inner.policy(PolicyRequest {}))?.into_inner();
        Ok(serde_json::from_str(&reply.policy_json)?)
    }

    /// Ends the process.
    ///
    /// # Errors
    /// When it is gone already.
    pub fn shutdown(&mut self) -> Result<(), DaemonError> {
        self.runtime.block_on(self.inner.shutdown(ShutdownRequest {}))?;
        Ok(())
    }
}
