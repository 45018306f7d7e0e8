//! The service beside BESS's own, `weft.softnic.v1.Softnic`: what that one has no call for.

use std::sync::Arc;

use tonic::{Request, Response, Status};

use self::proto::softnic_server::{Softnic, SoftnicServer};
use super::Failure;
use super::control::Bess;

#[allow(missing_docs, clippy::all, clippy::pedantic, unreachable_pub)]
pub mod proto {
    tonic::include_proto!("weft.softnic.v1");
}

pub use proto::{End, Exit, Step, TraceReply, TraceRequest};

/// Bytes of the longest request: a packet.
const REQUEST_MAX: usize = 1 << 20;

/// The service.
pub(super) struct Face(Arc<Bess>);

impl Face {
    pub(super) fn service(bess: Arc<Bess>) -> SoftnicServer<Self> {
        SoftnicServer::new(Self(bess)).max_decoding_message_size(REQUEST_MAX)
    }
}

#[tonic::async_trait]
impl Softnic for Face {
    async fn trace(&self, request: Request<TraceRequest>) -> Result<Response<TraceReply>, Status> {
        let (bess, request) = (self.0.clone(), request.into_inner());
        let outcome = tokio::task::spawn_blocking(move || bess.trace(&request)).await;
        let outcome = outcome.map_err(|error| Status::internal(error.to_string()))?;
        outcome.map(Response::new).map_err(status)
    }
}

fn status(failure: Failure) -> Status {
    use rustix::io::Errno;
    match Errno::from_raw_os_error(failure.code) {
        Errno::NOENT => Status::not_found(failure.message),
        Errno::NOMEM => Status::resource_exhausted(failure.message),
        _ => Status::invalid_argument(failure.message),
    }
}
