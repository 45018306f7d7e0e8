//! Connections to the outside.

use std::io;
use std::net::SocketAddr;
use std::net::TcpListener as StdTcpListener;
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::time::Duration;

use rustix::net::sockopt::{set_socket_keepalive, set_tcp_keepidle};
use tokio::io::copy_bidirectional_with_sizes;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;
use tokio::time::{sleep, timeout};

use super::super::{COPY_BYTES, OUTSIDE_CONNECTIONS_MAX};
use super::{Shared, place};

/// How long the other side may take to accept.
const CONNECT_PATIENCE: Duration = Duration::from_secs(20);
/// Pause after an accept failed for want of descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);
/// How long a container may say nothing before it is asked whether it is still there: a connection that the fabric
/// has cut is answered with a reset then.
const KEEPALIVE: Duration = Duration::from_secs(60);

/// Carries what connects to a listening socket to the address that was meant.
pub(super) fn serve(socket: OwnedFd, shared: Arc<Shared>) -> io::Result<JoinHandle<()>> {
    let listener = TcpListener::from_std(StdTcpListener::from(socket))?;
    Ok(tokio::spawn(async move {
        loop {
            let Ok((inside, _)) = listener.accept().await else {
                sleep(ACCEPT_PAUSE).await;
                continue;
            };
            let Some(open) = shared.connections.open(OUTSIDE_CONNECTIONS_MAX) else {
                reset(&inside);
                continue;
            };
            let shared = shared.clone();
            tokio::spawn(async move {
                let _open = open;
                let carried = match inside.local_addr() {
                    Ok(to) => carry(inside, to, false).await,
                    Err(error) => Err(error),
                };
                if carried.is_err() {
                    shared.connections.fail();
                }
            });
        }
    }))
}

/// Joins a connection to one of its own to `to`; an error when that could not be made, and then the container sees a
/// reset. A `trusted` address may be one of this machine: nobody but weft chose it.
pub(super) async fn carry(mut inside: TcpStream, to: SocketAddr, trusted: bool) -> io::Result<()> {
    let outside = match timeout(CONNECT_PATIENCE, connect(to, trusted)).await {
        Ok(connected) => connected,
        Err(_) => Err(io::ErrorKind::TimedOut.into()),
    };
    let mut outside = outside.inspect_err(|_| reset(&inside))?;
    let _ = (inside.set_nodelay(true), outside.set_nodelay(true));
    let _ = set_socket_keepalive(&inside, true).and_then(|()| set_tcp_keepidle(&inside, KEEPALIVE));
    if copy_bidirectional_with_sizes(&mut inside, &mut outside, COPY_BYTES, COPY_BYTES).await.is_err() {
        reset(&inside);
        reset(&outside);
    }
    Ok(())
}

async fn connect(to: SocketAddr, trusted: bool) -> io::Result<TcpStream> {
    if !trusted {
        place::check(to.ip())?;
    }
    TcpStream::connect(to).await
}

/// Lets the peer see a reset rather than an orderly end.
pub(super) fn reset(stream: &TcpStream) {
    let _ = stream.set_zero_linger();
}
