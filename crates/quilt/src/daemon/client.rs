//! A client of the daemon, for programs that need not be asynchronous.

use std::time::Duration;

use hyper_util::rt::TokioIo;
use serde::de::DeserializeOwned;
use tokio::net::UnixStream;
use tokio::runtime::Runtime;
use tonic::Request;
use tonic::transport::{Channel, Endpoint, Uri};

use super::proto::api_client::ApiClient;
use super::proto::{Counter, CountersRequest, DbQuery, DeployRequest, MinionCountersRequest, VersionRequest};
use super::socket_path;

/// How long any answer may take, as it was; starting a thousand containers takes less.
const PATIENCE: Duration = Duration::from_secs(60);

/// Why the daemon did not do what it was asked.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// The address is none.
    #[error("{0}")]
    Address(String),
    /// Nobody serves it.
    #[error(
        "Unable to connect to the Quilt daemon at {address}: {why}. Is the quilt daemon running? If not, you can start \
         it with `quilt daemon`."
    )]
    Gone {
        /// The address.
        address: String,
        /// Why.
        why: String,
    },
    /// It answered with an error.
    #[error("{0}")]
    Refused(String),
    /// It answered what cannot be read.
    #[error("the daemon's answer cannot be read: {0}")]
    Answer(#[from] serde_json::Error),
}

/// A connection to a daemon. Calls wait for their answer.
#[derive(Debug)]
pub struct Client {
    runtime: Runtime,
    inner: ApiClient<Channel>,
}

impl Client {
    /// Connects to the daemon at an address such as `unix:///tmp/quilt.sock`.
    ///
    /// # Errors
    /// When the address is none of a Unix socket, or nobody serves it.
    pub fn connect(address: &str) -> Result<Self, ClientError> {
        let path = socket_path(address).map_err(ClientError::Address)?.to_owned();
        let gone = |why: String| ClientError::Gone { address: address.to_owned(), why };
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(|error| gone(error.to_string()))?;
        // Tried out first: the channel's own error does not say why.
        std::os::unix::net::UnixStream::connect(&path).map_err(|error| gone(error.to_string()))?;
        let connector = tower::service_fn(move |_: Uri| {
            let path = path.clone();
            async move { UnixStream::connect(path).await.map(TokioIo::new) }
        });
        // The address is never looked at: the connector goes to the socket.
        let endpoint = Endpoint::from_static("http://quilt").timeout(PATIENCE);
        let channel = runtime
            .block_on(endpoint.connect_with_connector(connector))
            .map_err(|error| gone(error.to_string()))?;
        let inner = ApiClient::new(channel).max_decoding_message_size(usize::MAX);
        Ok(Self { runtime, inner })
    }

    /// The rows of a table, such as `db.Container`.
    ///
    /// # Errors
    /// When there is no such table, or the daemon is gone.
    pub fn query<T: DeserializeOwned>(&mut self, table: &str) -> Result<Vec<T>, ClientError> {
        let request = Request::new(DbQuery { table: table.to_owned() });
        let reply = self.runtime.block_on(self.inner.query(request)).map_err(|status| refused(&status))?;
        Ok(serde_json::from_str(&reply.into_inner().table_contents)?)
    }

    /// Runs a deployment.
    ///
    /// # Errors
    /// What is wrong with it, or what it could not do.
    pub fn deploy(&mut self, deployment: &str) -> Result<(), ClientError> {
        let request = Request::new(DeployRequest { deployment: deployment.to_owned() });
        self.runtime.block_on(self.inner.deploy(request)).map_err(|status| refused(&status)).map(drop)
    }

    /// Which version of the interface the daemon speaks.
    ///
    /// # Errors
    /// When the daemon is gone.
    pub fn version(&mut self) -> Result<String, ClientError> {
        let request = Request::new(VersionRequest {});
        let reply = self.runtime.block_on(self.inner.version(request)).map_err(|status| refused(&status))?;
        Ok(reply.into_inner().version)
    }

    /// What the daemon has counted, or the machine at an address.
    ///
    /// # Errors
    /// When there is no such machine, or the daemon is gone.
    pub fn counters(&mut self, host: Option<&str>) -> Result<Vec<Counter>, ClientError> {
        let reply = match host {
            None => self.runtime.block_on(self.inner.query_counters(Request::new(CountersRequest {}))),
            Some(host) => {
                let request = Request::new(MinionCountersRequest { host: host.to_owned() });
                self.runtime.block_on(self.inner.query_minion_counters(request))
            }
        };
        Ok(reply.map_err(|status| refused(&status))?.into_inner().counters)
    }
}

fn refused(status: &tonic::Status) -> ClientError {
    ClientError::Refused(status.message().to_owned())
}
