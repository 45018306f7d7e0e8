//! The edge process: the published ports, those to the outside, and the tasks that serve them.

use std::collections::BTreeMap;
use std::io;
use std::net::SocketAddr;
use std::os::fd::OwnedFd;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use tokio::runtime::Handle;
use tokio::sync::watch;
use tokio::task::JoinHandle;

use super::control::{answer, listen_at};
use super::outside::{Beyond, Outside};
use super::{PUBLISHES_MAX, PublishedPort, PublishedStatus, Reply, Request, relay};
use crate::model::Protocol;

/// Counts of one published port.
#[derive(Debug, Default)]
pub(super) struct Tally {
    pub(super) open: AtomicU64,
    pub(super) total: AtomicU64,
    pub(super) failed: AtomicU64,
}

/// A published port.
struct Published {
    target: watch::Sender<SocketAddr>,
    tally: Arc<Tally>,
    task: JoinHandle<()>,
}

/// Serves the control socket and the ports that are asked for through it, until the process is ended. Calls `ready`
/// once the control socket is there. `beyond` reaches the outside.
///
/// # Errors
/// When the control socket cannot be made.
pub fn serve(socket: &Path, beyond: Beyond, ready: impl FnOnce() -> io::Result<()>) -> io::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let listener = listen_at(socket)?;
    let handle = runtime.handle().clone();
    let control = std::thread::Builder::new().name("control".into()).spawn(move || {
        let mut ports = Ports { handle, published: BTreeMap::new(), outside: Outside::new(beyond) };
        answer(&listener, |request, fd| ports.handle(request, fd))
    })?;
    ready()?;
    runtime.block_on(async move {
        tokio::task::spawn_blocking(move || control.join())
            .await
            .map_err(io::Error::other)?
            .map_err(|_| io::Error::other("the control thread panicked"))?
    })
}

struct Ports {
    handle: Handle,
    published: BTreeMap<PublishedPort, Published>,
    outside: Outside,
}

impl Ports {
    fn handle(&mut self, request: Request, fd: Option<OwnedFd>) -> Reply {
        match (request, fd) {
            (Request::Publish { port, target }, Some(fd)) => self.publish(port, target, fd),
            (Request::Publish { port, target }, None) => match self.published.get(&port) {
                Some(published) => {
                    published.target.send_replace(target);
                    Reply::Done
                }
                None => Reply::Refused(format!(
                    "{} {} is not published and came without a socket",
                    port.protocol, port.port
                )),
            },
            (Request::Withdraw { port }, _) => {
                if let Some(published) = self.published.remove(&port) {
                    published.task.abort();
                }
                Reply::Done
            }
            (Request::List, _) => Reply::Published(self.list()),
            (Request::Outside { ports }, _) => match self.outside.listen(&ports) {
                Ok(()) => Reply::Done,
                Err(why) => Reply::Refused(why),
            },
            (Request::Carried, _) => Reply::Carried(self.outside.status()),
        }
    }

    fn publish(&mut self, port: PublishedPort, target: SocketAddr, fd: OwnedFd) -> Reply {
        if self.published.len() >= PUBLISHES_MAX && !self.published.contains_key(&port) {
            return Reply::Refused(format!("a deployment publishes {PUBLISHES_MAX} ports at the most"));
        }
        let (sender, targets) = watch::channel(target);
        let tally = Arc::new(Tally::default());
        // Sockets register with the runtime they are made in.
        let _guard = self.handle.enter();
        let task = match port.protocol {
            Protocol::Udp => relay::udp(fd, targets, tally.clone()),
            _ => relay::tcp(fd, targets, tally.clone()),
        };
        match task {
            Ok(task) => {
                if let Some(old) = self.published.insert(port, Published { target: sender, tally, task }) {
                    old.task.abort();
                }
                Reply::Done
            }
            Err(error) => Reply::Refused(format!("the socket of {} {}: {error}", port.protocol, port.port)),
        }
    }

    fn list(&self) -> Vec<PublishedStatus> {
        let status = |(port, published): (&PublishedPort, &Published)| PublishedStatus {
            port: *port,
            target: *published.target.borrow(),
            open: published.tally.open.load(Ordering::Relaxed),
            total: published.tally.total.load(Ordering::Relaxed),
            failed: published.tally.failed.load(Ordering::Relaxed),
        };
        self.published.iter().map(status).collect()
    }
}
