//! The gRPC face: each call is a method of [`Bess`], run on a thread that may wait for workers.

use std::net::SocketAddr;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Duration;

use prost::Message;
use tokio::net::TcpListener;
use tokio_stream::wrappers::TcpListenerStream;
use tonic::transport::Server;
use tonic::{Request, Response, Status};

use super::control::Bess;
use super::face::Face;
use super::pb::bess_control_server::{BessControl, BessControlServer};
use super::{Failure, pb};

/// Bytes of the longest request.
const REQUEST_MAX: usize = 64 << 20;

/// How long clients have to hang up once one of them has called for the end.
const PATIENCE: Duration = Duration::from_secs(1);

/// Why serving ended.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// The address cannot be listened on.
    #[error("listening on {address}: {source}")]
    Listen {
        /// The address.
        address: SocketAddr,
        /// The kernel's answer.
        source: std::io::Error,
    },
    /// The transport failed.
    #[error("serving failed: {0}")]
    Transport(#[from] tonic::transport::Error),
}

/// Serves a daemon on an address until a client calls `KillBess`. Calls `ready` with the address, whose port is a free
/// one if 0 was asked for, once clients can connect.
///
/// # Errors
/// When the address is taken, or the transport fails.
pub async fn serve(
    bess: Arc<Bess>,
    address: SocketAddr,
    ready: impl FnOnce(SocketAddr),
) -> Result<(), ServeError> {
    let listen = |source| ServeError::Listen { address, source };
    serve_on(bess, std::net::TcpListener::bind(address).map_err(listen)?, ready).await
}

/// Serves a daemon on a socket that listens.
pub(super) async fn serve_on(
    bess: Arc<Bess>,
    listener: std::net::TcpListener,
    ready: impl FnOnce(SocketAddr),
) -> Result<(), ServeError> {
    let address = listener.local_addr().unwrap_or(SocketAddr::from(([0; 4], 0)));
    let listen = |source| ServeError::Listen { address, source };
    listener.set_nonblocking(true).map_err(listen)?;
    let listener = TcpListener::from_std(listener).map_err(listen)?;
    ready(address);
    let service = BessControlServer::new(Service(bess.clone()))
        .max_decoding_message_size(REQUEST_MAX)
        .max_encoding_message_size(REQUEST_MAX);
    let (tell, told) = tokio::sync::oneshot::channel::<()>();
    let beside = bess.clone();
    let over = async move {
        bess.over().await;
        let _ = tell.send(());
    };
    let serving = Server::builder()
        .add_service(service)
        .add_service(Face::service(beside))
        .serve_with_incoming_shutdown(TcpListenerStream::new(listener), over);
    let patience = async move {
        let _ = told.await;
        tokio::time::sleep(PATIENCE).await;
    };
    tokio::select! {
        served = serving => served?,
        () = patience => {}
    }
    Ok(())
}

struct Service(Arc<Bess>);

/// An answer that can say that the request failed.
pub(super) trait Answer: Message + Default + Send + 'static {
    fn set_error(&mut self, error: pb::Error);
    fn take_error(&mut self) -> Option<pb::Error>;
}

/// Why a request came to no answer.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CallError {
    /// There is no such method.
    #[error("there is no method '{0}'")]
    Method(String),
    /// The bytes are no request of the method.
    #[error("{method}: {error}")]
    Garbled {
        /// The method.
        method: &'static str,
        /// What is wrong with the bytes.
        error: prost::DecodeError,
    },
}

impl Service {
    /// Runs a method where it may block.
    async fn call<Q: Message + 'static, A: Answer>(
        &self,
        name: &'static str,
        request: Request<Q>,
        method: fn(&Bess, &Q) -> Result<A, Failure>,
    ) -> Result<Response<A>, Status> {
        let (bess, request) = (self.0.clone(), request.into_inner());
        let run = move || bess.request(name, &request, method);
        let outcome = tokio::task::spawn_blocking(run).await;
        Ok(Response::new(outcome.map_err(|error| Status::internal(error.to_string()))?))
    }
}

impl Bess {
    /// Carries out a request, writes it down if it has changed something, and puts what went wrong into the answer. A panic
    /// is an answer: nobody else's traffic ends with it.
    fn request<Q: Message + 'static, A: Answer>(
        &self,
        name: &'static str,
        request: &Q,
        method: fn(&Self, &Q) -> Result<A, Failure>,
    ) -> A {
        // Unwind safety: the daemon's state is behind a lock whose users expect that it was left by a panic.
        let run = || {
            catch_unwind(AssertUnwindSafe(|| method(self, request))).unwrap_or_else(|_| {
                Err(Failure::internal("the request has hit an error of the daemon's own"))
            })
        };
        self.written_down(name, request, run).unwrap_or_else(|failure| {
            let mut answer = A::default();
            answer.set_error(failure.into());
            answer
        })
    }
}

/// Whether a method, `CreateModule`, is that of a function, `create_module`.
fn is_named(method: &str, function: &str) -> bool {
    let mut letters = method.bytes();
    let mut upper = true;
    let same = function.bytes().all(|letter| match letter {
        b'_' => {
            upper = true;
            true
        }
        letter if std::mem::take(&mut upper) => letters.next() == Some(letter.to_ascii_uppercase()),
        letter => letters.next() == Some(letter),
    });
    same && letters.next().is_none()
}

macro_rules! calls {
    ($($name:ident($request:ident) -> $answer:ident;)*) => {
        #[tonic::async_trait]
        impl BessControl for Service {
            $(async fn $name(
                &self,
                request: Request<pb::$request>,
            ) -> Result<Response<pb::$answer>, Status> {
                self.call(stringify!($name), request, Bess::$name).await
            })*
        }
    };
}

/// Gives every call of the interface to a macro: the server and the client have the same list.
macro_rules! interface {
    ($each:ident) => {
        $each! {
            get_version(EmptyRequest) -> VersionResponse;
            reset_all(EmptyRequest) -> EmptyResponse;
            kill_bess(EmptyRequest) -> EmptyResponse;
            import_plugin(ImportPluginRequest) -> EmptyResponse;
            unload_plugin(UnloadPluginRequest) -> EmptyResponse;
            list_plugins(EmptyRequest) -> ListPluginsResponse;
            pause_all(EmptyRequest) -> EmptyResponse;
            pause_worker(PauseWorkerRequest) -> EmptyResponse;
            resume_worker(ResumeWorkerRequest) -> EmptyResponse;
            resume_all(EmptyRequest) -> EmptyResponse;
            reset_workers(EmptyRequest) -> EmptyResponse;
            list_workers(EmptyRequest) -> ListWorkersResponse;
            add_worker(AddWorkerRequest) -> EmptyResponse;
            destroy_worker(DestroyWorkerRequest) -> EmptyResponse;
            reset_tcs(EmptyRequest) -> EmptyResponse;
            list_tcs(ListTcsRequest) -> ListTcsResponse;
            check_scheduling_constraints(EmptyRequest) -> CheckSchedulingConstraintsResponse;
            add_tc(AddTcRequest) -> EmptyResponse;
            update_tc_params(UpdateTcParamsRequest) -> EmptyResponse;
            update_tc_parent(UpdateTcParentRequest) -> EmptyResponse;
            get_tc_stats(GetTcStatsRequest) -> GetTcStatsResponse;
            list_drivers(EmptyRequest) -> ListDriversResponse;
            get_driver_info(GetDriverInfoRequest) -> GetDriverInfoResponse;
            reset_ports(EmptyRequest) -> EmptyResponse;
            list_ports(EmptyRequest) -> ListPortsResponse;
            create_port(CreatePortRequest) -> CreatePortResponse;
            destroy_port(DestroyPortRequest) -> EmptyResponse;
            set_port_conf(SetPortConfRequest) -> CommandResponse;
            get_port_conf(GetPortConfRequest) -> GetPortConfResponse;
            get_port_stats(GetPortStatsRequest) -> GetPortStatsResponse;
            get_link_status(GetLinkStatusRequest) -> GetLinkStatusResponse;
            list_mclass(EmptyRequest) -> ListMclassResponse;
            get_mclass_info(GetMclassInfoRequest) -> GetMclassInfoResponse;
            reset_modules(EmptyRequest) -> EmptyResponse;
            list_modules(EmptyRequest) -> ListModulesResponse;
            create_module(CreateModuleRequest) -> CreateModuleResponse;
            destroy_module(DestroyModuleRequest) -> EmptyResponse;
            get_module_info(GetModuleInfoRequest) -> GetModuleInfoResponse;
            connect_modules(ConnectModulesRequest) -> EmptyResponse;
            disconnect_modules(DisconnectModulesRequest) -> EmptyResponse;
            dump_mempool(DumpMempoolRequest) -> DumpMempoolResponse;
            module_command(CommandRequest) -> CommandResponse;
            list_gate_hook_class(EmptyRequest) -> ListGateHookClassResponse;
            get_gate_hook_class_info(GetGateHookClassInfoRequest) -> GetGateHookClassInfoResponse;
            configure_gate_hook(ConfigureGateHookRequest) -> ConfigureGateHookResponse;
            list_gate_hooks(EmptyRequest) -> ListGateHooksResponse;
            gate_hook_command(GateHookCommandRequest) -> CommandResponse;
            configure_resume_hook(ConfigureResumeHookRequest) -> CommandResponse;
        }
    };
}
pub(super) use interface;

interface!(calls);

macro_rules! by_name {
    ($($name:ident($request:ident) -> $answer:ident;)*) => {
        impl Bess {
            /// Carries out a request, encoded, by the name of its method, as the server does: what went wrong is in the
            /// answer.
            ///
            /// # Errors
            /// When there is no such method, or the bytes are no request of it.
            pub fn call(&self, method: &str, request: &[u8]) -> Result<Vec<u8>, CallError> {
                $(if is_named(method, stringify!($name)) {
                    let request = pb::$request::decode(request)
                        .map_err(|error| CallError::Garbled { method: stringify!($name), error })?;
                    return Ok(self.request(stringify!($name), &request, Bess::$name).encode_to_vec());
                })*
                Err(CallError::Method(method.to_owned()))
            }

            /// Carries out a request that was saved.
            pub(super) fn carry_out(&self, method: &str, request: &[u8]) -> Result<(), Failure> {
                $(if is_named(method, stringify!($name)) {
                    let request = pb::$request::decode(request)
                        .map_err(|error| Failure::invalid(error.to_string()))?;
                    return self.$name(&request).map(drop);
                })*
                Err(Failure::unsupported(format!("there is no method '{method}'")))
            }
        }
    };
}

interface!(by_name);

macro_rules! answers {
    ($($answer:ident)*) => {
        $(impl Answer for pb::$answer {
            fn set_error(&mut self, error: pb::Error) {
                self.error = Some(error);
            }

            fn take_error(&mut self) -> Option<pb::Error> {
                self.error.take()
            }
        })*
    };
}

answers! {
    CheckSchedulingConstraintsResponse
    CommandResponse
    ConfigureGateHookResponse
    CreateModuleResponse
    CreatePortResponse
    DumpMempoolResponse
    EmptyResponse
    GetDriverInfoResponse
    GetGateHookClassInfoResponse
    GetLinkStatusResponse
    GetMclassInfoResponse
    GetModuleInfoResponse
    GetPortConfResponse
    GetPortStatsResponse
    GetTcStatsResponse
    ListDriversResponse
    ListGateHookClassResponse
    ListGateHooksResponse
    ListMclassResponse
    ListModulesResponse
    ListPluginsResponse
    ListPortsResponse
    ListTcsResponse
    ListWorkersResponse
    VersionResponse
}
