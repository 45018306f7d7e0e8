//! A daemon on a free port of this process, and requests to it as bytes.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;

use prost_reflect::DescriptorPool;
use softnic::bess::{Bess, Config, SCHEMA, serve};
use tokio::runtime::Runtime;
use tonic::client::Grpc;
use tonic::codec::{Codec, DecodeBuf, Decoder, EncodeBuf, Encoder};
use tonic::transport::{Channel, Endpoint};
use tonic::{Request, Status};

/// The interface's messages.
pub fn schema() -> DescriptorPool {
    DescriptorPool::decode(SCHEMA).unwrap()
}

/// A daemon, the runtime that it serves on, and a client.
pub struct Daemon {
    pub runtime: Runtime,
    pub bess: Arc<Bess>,
    client: Grpc<Channel>,
}

impl Daemon {
    pub fn start(config: Config) -> Self {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let bess = Bess::start(config).unwrap();
        let (ready, address) = tokio::sync::oneshot::channel();
        let served = bess.clone();
        runtime.spawn(async move {
            let any = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
            serve(served, any, |address| ready.send(address).unwrap()).await.unwrap();
        });
        let address = runtime.block_on(address).unwrap();
        let endpoint = Endpoint::from_shared(format!("http://{address}")).unwrap();
        let channel = runtime.block_on(endpoint.connect()).unwrap();
        Self { runtime, bess, client: Grpc::new(channel) }
    }

    /// Calls a method with a request of any bytes; the answer's bytes come back.
    pub fn call(&mut self, method: &str, request: Vec<u8>) -> Result<Vec<u8>, Status> {
        let path = format!("/bess.pb.BESSControl/{method}").parse().unwrap();
        let client = &mut self.client;
        self.runtime.block_on(async {
            client.ready().await.map_err(|error| Status::unavailable(error.to_string()))?;
            Ok(client.unary(Request::new(request), path, Bytes).await?.into_inner())
        })
    }
}

/// Messages as they are.
#[derive(Clone, Copy, Default)]
struct Bytes;

impl Codec for Bytes {
    type Encode = Vec<u8>;
    type Decode = Vec<u8>;
    type Encoder = Self;
    type Decoder = Self;

    fn encoder(&mut self) -> Self {
        Self
    }

    fn decoder(&mut self) -> Self {
        Self
    }
}

impl Encoder for Bytes {
    type Item = Vec<u8>;
    type Error = Status;

    fn encode(&mut self, item: Vec<u8>, to: &mut EncodeBuf<'_>) -> Result<(), Status> {
        use prost::bytes::BufMut;
        to.put_slice(&item);
        Ok(())
    }
}

impl Decoder for Bytes {
    type Item = Vec<u8>;
    type Error = Status;

    fn decode(&mut self, from: &mut DecodeBuf<'_>) -> Result<Option<Vec<u8>>, Status> {
        use prost::bytes::Buf;
        let bytes = from.copy_to_bytes(from.remaining());
        Ok(Some(bytes.to_vec()))
    }
}
