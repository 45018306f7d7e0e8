//! The server's own thread: HTTP and WebSocket outside, jobs for the core inside.

use std::fmt::Write as _;
use std::io;
use std::net::TcpListener;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Bytes;
use axum::extract::ws::{Message, WebSocket, WebSocketUpgrade};
use axum::extract::{DefaultBodyLimit, Request, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use base64::Engine as _;
use tokio::sync::{Semaphore, mpsc, oneshot};

use crate::components::messenger::messenger::{Messenger, SessionId};
use crate::remote::Remote;
use crate::rpc::{self, REQUEST_BYTES_MAX};
use crate::{Connection, Core};

/// Requests and WebSockets at one time.
const CLIENTS_MAX: usize = 512;
/// A request that the core has not answered by then is given up.
const PATIENCE: Duration = Duration::from_secs(30);
/// Messages that wait for a slow WebSocket; beyond that it is closed.
const BACKLOG_MAX: usize = 1_024;

#[derive(Clone)]
struct Site {
    remote: Remote,
    /// The one right `Authorization` header.
    authorization: Option<Arc<str>>,
    clients: Arc<Semaphore>,
}

/// Starts the thread. It ends with the process: what it serves is the core's, which ends first.
pub(super) fn start(listener: TcpListener, remote: Remote, user: Option<&str>) -> io::Result<()> {
    let authorization =
        user.map(|user| format!("Basic {}", base64::engine::general_purpose::STANDARD.encode(user)).into());
    let site = Site { remote, authorization, clients: Arc::new(Semaphore::new(CLIENTS_MAX)) };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    std::thread::Builder::new().name("pox-web".into()).spawn(move || {
        runtime.block_on(async move {
            match tokio::net::TcpListener::from_std(listener) {
                Ok(listener) => drop(axum::serve(listener, routes(site)).await),
                Err(error) => tracing::error!("the web server does not start: {error}"),
            }
        });
    })?;
    Ok(())
}

fn routes(site: Site) -> Router {
    Router::new()
        .route("/", get(index))
        .route("/rpc", post(call))
        .route("/OF/", post(call))
        .route("/ws", get(upgrade_rpc))
        .route("/messenger", get(upgrade_messenger))
        .route("/metrics", get(metrics))
        .layer(DefaultBodyLimit::max(REQUEST_BYTES_MAX))
        .layer(middleware::from_fn_with_state(site.clone(), admit))
        .with_state(site)
}

/// Lets in whoever knows the password, as many as there is room for.
async fn admit(State(site): State<Site>, headers: HeaderMap, request: Request, next: Next) -> Response {
    if let Some(wanted) = &site.authorization {
        let given = headers.get(header::AUTHORIZATION).map(HeaderValue::as_bytes);
        if !given.is_some_and(|given| same(given, wanted.as_bytes())) {
            let ask = [(header::WWW_AUTHENTICATE, "Basic realm=\"weft pox\"")];
            return (StatusCode::UNAUTHORIZED, ask, "name and password, please\n").into_response();
        }
    }
    let Ok(_room) = Arc::clone(&site.clients).try_acquire_owned() else {
        return (StatusCode::SERVICE_UNAVAILABLE, "too many requests at one time\n").into_response();
    };
    next.run(request).await
}

/// Whether two byte strings are the same, in a time that does not tell where they differ.
fn same(a: &[u8], b: &[u8]) -> bool {
    a.len() == b.len() && a.iter().zip(b).fold(0, |different, (a, b)| different | (a ^ b)) == 0
}

async fn ask<R: Send + 'static>(
    remote: &Remote,
    question: impl FnOnce(&mut Core, oneshot::Sender<R>) + Send + 'static,
) -> Result<R, Response> {
    let (sender, answer) = oneshot::channel();
    let busy = |text: &'static str| (StatusCode::SERVICE_UNAVAILABLE, text).into_response();
    remote
        .post(move |core| question(core, sender))
        .map_err(|_| busy("the controller takes no more work\n"))?;
    match tokio::time::timeout(PATIENCE, answer).await {
        Ok(Ok(answer)) => Ok(answer),
        Ok(Err(_)) => Err(busy("the controller gave no answer\n")),
        Err(_) => Err((StatusCode::GATEWAY_TIMEOUT, "the controller took too long\n").into_response()),
    }
}

async fn index(State(site): State<Site>) -> Result<String, Response> {
    ask(&site.remote, |core, answer| {
        let mut text = String::from(
            "weft pox\n\n/rpc\tJSON-RPC 2.0\n/ws\tthe same over WebSocket\n/metrics\tcounters\n\nmethods:\n",
        );
        if let Some(methods) = core.find::<rpc::Methods>() {
            for (name, help) in methods.list() {
                let _ = writeln!(text, "  {name}\t{help}");
            }
        }
        let _ = answer.send(text); // whoever asked has gone
    })
    .await
}

async fn call(State(site): State<Site>, body: Bytes) -> Result<Response, Response> {
    let Ok(text) = String::from_utf8(body.to_vec()) else {
        return Err((StatusCode::BAD_REQUEST, "not UTF-8\n").into_response());
    };
    let answer = ask(&site.remote, move |core, answer| {
        rpc::handle(core, &text, move |text| {
            let _ = answer.send(text);
        });
    })
    .await?;
    Ok(match answer {
        Some(text) => ([(header::CONTENT_TYPE, "application/json")], text).into_response(),
        None => StatusCode::NO_CONTENT.into_response(),
    })
}

async fn metrics(State(site): State<Site>) -> Result<Response, Response> {
    let text = ask(&site.remote, |core, answer| {
        let _ = answer.send(prometheus(core));
    })
    .await?;
    Ok(([(header::CONTENT_TYPE, "text/plain; version=0.0.4")], text).into_response())
}

/// Counters of components and switches, in Prometheus' text format.
fn prometheus(core: &Core) -> String {
    let mut text = String::new();
    let mut metric = |name: &str, help: &str, rows: &[(String, u64)]| {
        let _ = writeln!(text, "# HELP pox_{name} {help}\n# TYPE pox_{name} counter");
        for (labels, value) in rows {
            let _ = writeln!(text, "pox_{name}{{{labels}}} {value}");
        }
    };
    let health = core.health();
    let component = |name: &str| format!("component=\"{}\"", name.replace(['"', '\\', '\n'], "_"));
    let rows = |of: fn(&crate::Health) -> u64| -> Vec<_> {
        health.iter().map(|health| (component(&health.name), of(health))).collect()
    };
    metric("handled_total", "Events, timers and replies handled.", &rows(|health| health.handled));
    metric("failures_total", "Handlers that failed.", &rows(|health| health.failures));
    let switches: Vec<&Connection> = core.connections().collect();
    let rows = |of: fn(crate::ConnectionCounters) -> u64| -> Vec<_> {
        switches
            .iter()
            .map(|switch| (format!("switch=\"{}\"", switch.datapath()), of(switch.counters())))
            .collect()
    };
    metric("packet_ins_total", "Packet-ins received.", &rows(|counters| counters.packet_ins));
    metric("received_total", "Other messages received.", &rows(|counters| counters.received));
    metric("sent_total", "Messages sent.", &rows(|counters| counters.sent));
    metric("errors_total", "Errors that switches reported.", &rows(|counters| counters.errors));
    text
}

async fn upgrade_rpc(State(site): State<Site>, upgrade: WebSocketUpgrade) -> Response {
    upgrade.max_message_size(REQUEST_BYTES_MAX).on_upgrade(move |socket| rpc_socket(socket, site))
}

async fn rpc_socket(mut socket: WebSocket, site: Site) {
    let Ok(_room) = Arc::clone(&site.clients).try_acquire_owned() else { return };
    while let Some(Ok(message)) = socket.recv().await {
        let Message::Text(text) = message else { continue };
        let text = text.to_string();
        let answer = ask(&site.remote, move |core, answer| {
            rpc::handle(core, &text, move |text| {
                let _ = answer.send(text);
            });
        });
        let Ok(answer) = answer.await else { return };
        if let Some(answer) = answer
            && socket.send(Message::Text(answer.into())).await.is_err()
        {
            return;
        }
    }
}

async fn upgrade_messenger(State(site): State<Site>, upgrade: WebSocketUpgrade) -> Response {
    upgrade.max_message_size(REQUEST_BYTES_MAX).on_upgrade(move |socket| messenger_socket(socket, site))
}

async fn messenger_socket(mut socket: WebSocket, site: Site) {
    let Ok(_room) = Arc::clone(&site.clients).try_acquire_owned() else { return };
    let (outbox, mut inbox) = mpsc::channel::<String>(BACKLOG_MAX);
    let opened = ask(&site.remote, move |core, answer| {
        let session = Messenger::with(core, |messenger, core| {
            messenger.open(move |text| outbox.try_send(text.to_owned()).is_ok(), core)
        });
        let _ = answer.send(session.flatten());
    });
    let Ok(Some(session)) = opened.await else { return };
    loop {
        tokio::select! {
            message = socket.recv() => match message {
                Some(Ok(Message::Text(text))) => {
                    if !deliver(&site.remote, session, text.to_string()) {
                        break;
                    }
                }
                Some(Ok(_)) => {}
                Some(Err(_)) | None => break,
            },
            text = inbox.recv() => {
                let Some(text) = text else { break };
                if socket.send(Message::Text(text.into())).await.is_err() {
                    break;
                }
            }
        }
    }
    let _ = site.remote.post(move |core| {
        Messenger::with(core, |messenger, core| messenger.close(session, core));
    });
}

/// Hands a client's message in.
fn deliver(remote: &Remote, session: SessionId, text: String) -> bool {
    let job = move |core: &mut Core| {
        Messenger::with(core, |messenger, core| messenger.receive(session, &text, core));
    };
    remote.post(job).is_ok()
}
