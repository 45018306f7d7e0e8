//! A client of a daemon: every call of the interface as a method that waits for its answer.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use prost::{Message, Name};
use prost_types::Any;
use tokio::runtime::Runtime;
use tonic::transport::{Channel, Endpoint};
use tonic::{Response, Status};

use super::control::Bess;
use super::face::proto::softnic_client::SoftnicClient;
use super::face::{TraceReply, TraceRequest};
use super::pb::bess_control_client::BessControlClient;
use super::server::{Answer, interface};
use super::{Failure, pb};

/// How long any answer may take.
const PATIENCE: Duration = Duration::from_secs(30);
/// Bytes of the longest answer: all rules of a large table.
const ANSWER_MAX: usize = 64 << 20;

/// Why a daemon did not do what it was asked.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// Nobody serves the address.
    #[error("no daemon answers on {address}: {source}")]
    Gone {
        /// The address.
        address: SocketAddr,
        /// Why.
        source: tonic::transport::Error,
    },
    /// The daemon says why not.
    #[error("{}", .0.message)]
    Refused(Failure),
    /// The call did not come to an answer.
    #[error("the daemon: {}", .0.message())]
    Call(Box<Status>),
    /// No runtime is to be had.
    #[error("a runtime for calls: {0}")]
    Runtime(#[from] std::io::Error),
}

impl From<Status> for ClientError {
    fn from(status: Status) -> Self {
        Self::Call(Box::new(status))
    }
}

/// A client of a daemon.
///
/// ```no_run
/// use softnic::bess::{Client, pb};
/// let mut client = Client::connect("127.0.0.1:10514".parse()?)?;
/// for module in client.list_modules(pb::EmptyRequest::default())?.modules {
///     println!("{}: {}", module.name, module.mclass);
/// }
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct Client(Way);

#[expect(clippy::large_enum_variant, reason = "there are few clients")]
enum Way {
    Served { runtime: Runtime, control: BessControlClient<Channel>, face: SoftnicClient<Channel> },
    Within(Arc<Bess>),
}

impl Client {
    /// Connects to a daemon that is served.
    ///
    /// # Errors
    /// [`ClientError::Gone`] when nobody answers.
    pub fn connect(address: SocketAddr) -> Result<Self, ClientError> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let gone = |source| ClientError::Gone { address, source };
        let endpoint = Endpoint::from_shared(format!("http://{address}")).map_err(gone)?;
        let endpoint = endpoint.connect_timeout(PATIENCE).timeout(PATIENCE);
        let channel = runtime.block_on(endpoint.connect()).map_err(gone)?;
        let control = BessControlClient::new(channel.clone()).max_decoding_message_size(ANSWER_MAX);
        let face = SoftnicClient::new(channel).max_decoding_message_size(ANSWER_MAX);
        Ok(Self(Way::Served { runtime, control, face }))
    }

    /// A client of a daemon in this process, which need not be served.
    pub fn within(bess: Arc<Bess>) -> Self {
        Self(Way::Within(bess))
    }

    /// Follows one packet through the graph, see [`Engine::trace`](crate::engine::Engine::trace).
    ///
    /// # Errors
    /// When there is no such module or gate, or the packet does not fit a buffer.
    pub fn trace(&mut self, request: TraceRequest) -> Result<TraceReply, ClientError> {
        match &mut self.0 {
            Way::Within(bess) => bess.trace(&request).map_err(ClientError::Refused),
            Way::Served { runtime, face, .. } => Ok(runtime.block_on(face.trace(request))?.into_inner()),
        }
    }
}

/// Puts a message into a request that carries any.
pub fn pack<M: Message + Name>(message: &M) -> Any {
    Any { type_url: format!("type.googleapis.com/{}", M::full_name()), value: message.encode_to_vec() }
}

/// An answer without its error.
fn judge<A: Answer>(answer: Response<A>) -> Result<A, ClientError> {
    let mut answer = answer.into_inner();
    match answer.take_error() {
        Some(error) if error.code != 0 => {
            Err(ClientError::Refused(Failure { code: error.code, message: error.errmsg }))
        }
        _ => Ok(answer),
    }
}

macro_rules! requests {
    ($($name:ident($request:ident) -> $answer:ident;)*) => {
        /// The calls of `bess.pb.BESSControl`. Each fails when the daemon refuses or is gone.
        #[allow(missing_docs, clippy::missing_errors_doc)]
        impl Client {
            $(pub fn $name(&mut self, request: pb::$request) -> Result<pb::$answer, ClientError> {
                match &mut self.0 {
                    Way::Within(bess) => bess.$name(&request).map_err(ClientError::Refused),
                    Way::Served { runtime, control, .. } => judge(runtime.block_on(control.$name(request))?),
                }
            })*
        }
    };
}

interface!(requests);
