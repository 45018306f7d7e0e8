//! A daemon on a free port of this process, and requests to it as bytes.

#![allow(dead_code)] // Each test needs some of it.

pub(crate) mod bench;
#[path = "../../src/modules/frames/wire.rs"]
pub(crate) mod frames;
pub(crate) mod fuzzer;

use std::net::{Ipv4Addr, SocketAddr};
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use prost::{Message, Name};
use prost_reflect::DescriptorPool;
use prost_types::Any;
use rustix::net::sockopt::{Timeout, set_socket_timeout};
use rustix::net::{
    AddressFamily, RecvFlags, SocketAddrUnix, SocketFlags, SocketType, connect, recv, socket_with,
};
use softnic::bess::{Bess, Config, SCHEMA, pb, serve};
use tokio::runtime::Runtime;
use tonic::client::Grpc;
use tonic::codec::{Codec, DecodeBuf, Decoder, EncodeBuf, Encoder};
use tonic::transport::{Channel, Endpoint};
use tonic::{Request, Status};

/// The interface's messages.
pub(crate) fn schema() -> DescriptorPool {
    DescriptorPool::decode(SCHEMA).unwrap()
}

/// A daemon, the runtime that it serves on, and a client.
pub(crate) struct Daemon {
    pub(crate) runtime: Runtime,
    pub(crate) bess: Arc<Bess>,
    client: Grpc<Channel>,
}

impl Daemon {
    pub(crate) fn start(config: Config) -> Self {
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
    pub(crate) fn call(&mut self, method: &str, request: Vec<u8>) -> Result<Vec<u8>, Status> {
        let path = format!("/bess.pb.BESSControl/{method}").parse().unwrap();
        let client = &mut self.client;
        self.runtime.block_on(async {
            client.ready().await.map_err(|error| Status::unavailable(error.to_string()))?;
            Ok(client.unary(Request::new(request), path, Bytes).await?.into_inner())
        })
    }
}

/// What can be said only of typed messages; not every test needs all of it.
impl Daemon {
    /// Calls a method and takes its answer apart.
    pub(crate) fn ask<R: Message + Default>(&mut self, method: &str, request: &impl Message) -> R {
        let answer = self.call(method, request.encode_to_vec()).unwrap();
        R::decode(&*answer).unwrap()
    }

    /// Calls a method whose answer is worth nothing but its error; 0 is none.
    pub(crate) fn tell(&mut self, method: &str, request: &impl Message) -> (i32, String) {
        // Every answer has its error in the first field.
        let answer: pb::EmptyResponse = self.ask(method, request);
        answer.error.map(|error| (error.code, error.errmsg)).unwrap_or_default()
    }

    /// As [`Daemon::tell`], and must succeed.
    pub(crate) fn must(&mut self, method: &str, request: &impl Message) {
        assert_eq!(self.tell(method, request), (0, String::new()), "{method}");
    }

    /// Creates a module; its name comes back.
    pub(crate) fn module<A: Message + Name>(&mut self, class: &str, name: &str, arg: &A) -> String {
        let arg = Some(packed(arg));
        let request = pb::CreateModuleRequest { name: name.to_owned(), mclass: class.to_owned(), arg };
        let answer: pb::CreateModuleResponse = self.ask("CreateModule", &request);
        assert_eq!(answer.error, None);
        answer.name
    }

    /// Connects modules.
    pub(crate) fn connect(&mut self, m1: &str, ogate: u64, igate: u64, m2: &str) {
        let (m1, m2) = (m1.to_owned(), m2.to_owned());
        self.must(
            "ConnectModules",
            &pb::ConnectModulesRequest { m1, m2, ogate, igate, skip_default_hooks: false },
        );
    }

    /// Tells a module something.
    pub(crate) fn command<A: Message + Name>(
        &mut self,
        module: &str,
        command: &str,
        arg: &A,
    ) -> pb::CommandResponse {
        let (name, cmd) = (module.to_owned(), command.to_owned());
        self.ask("ModuleCommand", &pb::CommandRequest { name, cmd, arg: Some(packed(arg)) })
    }

    /// Opens a Unix socket port and connects to it.
    pub(crate) fn socket(&mut self, name: &str) -> OwnedFd {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        let address = format!("weft-bess-{}-{number}", std::process::id());
        let arg = pb::UnixSocketPortArg {
            path: format!("@{address}"),
            confirm_connect: true,
            ..Default::default()
        };
        let (name, driver, arg) = (name.to_owned(), "UnixSocketPort".to_owned(), Some(packed(&arg)));
        self.must("CreatePort", &pb::CreatePortRequest { name, driver, arg, ..Default::default() });
        client(&SocketAddrUnix::new_abstract_name(address.as_bytes()).unwrap())
    }
}

/// A client of a Unix socket port, once the port has it.
pub(crate) fn client(address: &SocketAddrUnix) -> OwnedFd {
    let socket = socket_with(AddressFamily::UNIX, SocketType::SEQPACKET, SocketFlags::CLOEXEC, None).unwrap();
    set_socket_timeout(&socket, Timeout::Recv, Some(Duration::from_secs(20))).unwrap();
    connect(&socket, address).unwrap();
    assert_eq!(receive(&socket), b"yes\0");
    socket
}

/// A message in an `Any`.
pub(crate) fn packed<A: Message + Name>(message: &A) -> Any {
    Any { type_url: format!("type.googleapis.com/bess.pb.{}", A::NAME), value: message.encode_to_vec() }
}

/// The next frame from a socket.
pub(crate) fn receive(socket: &OwnedFd) -> Vec<u8> {
    let mut frame = vec![0; 65536];
    let (_, len) = recv(socket, &mut frame[..], RecvFlags::empty()).unwrap();
    frame.truncate(len);
    frame
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
