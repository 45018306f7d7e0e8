//! Names that the dataplane does not know: questions of containers that may reach the outside, passed on to the
//! machine's resolvers. Messages go through as they are; nothing is kept.

use std::io;
use std::net::{
    IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener as StdTcpListener, UdpSocket as StdUdpSocket,
};
use std::os::fd::OwnedFd;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::net::{TcpListener, UdpSocket};
use tokio::time::{sleep, timeout};

use super::super::NAMES_PENDING_MAX;
use super::resolvers::Resolvers;
use super::{Shared, tcp};

/// The port of name servers.
pub(super) const PORT: u16 = 53;
/// How long one resolver may take; then the next is asked.
const PATIENCE: Duration = Duration::from_secs(3);
/// How long a connection with questions may stay open.
const CONNECTION_MAX: Duration = Duration::from_secs(30);
/// Pause after a failure of the socket itself.
const PAUSE: Duration = Duration::from_millis(50);
/// Bytes of a message's header, the fewest that one has (RFC 1035 §4.1.1).
const HEADER: usize = 12;
/// Bytes of the longest message over UDP.
const MESSAGE_MAX: usize = 65_535;

/// Answers on the edge's own address, over UDP and TCP, with what resolvers say.
pub(super) fn serve(udp: OwnedFd, tcp: OwnedFd, shared: &Arc<Shared>) -> io::Result<()> {
    let resolvers = Arc::new(Mutex::new(Resolvers::default()));
    let socket = Arc::new(UdpSocket::from_std(StdUdpSocket::from(udp))?);
    tokio::spawn(datagrams(socket, resolvers.clone(), shared.clone()));
    let listener = TcpListener::from_std(StdTcpListener::from(tcp))?;
    tokio::spawn(connections(listener, resolvers, shared.clone()));
    Ok(())
}

fn now(resolvers: &Mutex<Resolvers>) -> Vec<SocketAddr> {
    resolvers.lock().unwrap_or_else(PoisonError::into_inner).now()
}

async fn datagrams(socket: Arc<UdpSocket>, resolvers: Arc<Mutex<Resolvers>>, shared: Arc<Shared>) {
    let mut buffer = vec![0; MESSAGE_MAX];
    loop {
        let Ok((length, from)) = socket.recv_from(&mut buffer).await else {
            sleep(PAUSE).await;
            continue;
        };
        if length < HEADER {
            continue;
        }
        let question = buffer[..length].to_vec();
        let Some(open) = shared.names.open(NAMES_PENDING_MAX) else {
            let _ = socket.try_send_to(&failure(&question), from);
            continue;
        };
        let (socket, servers, shared) = (socket.clone(), now(&resolvers), shared.clone());
        tokio::spawn(async move {
            let _open = open;
            let answer = ask(&question, &servers).await.unwrap_or_else(|| {
                shared.names.fail();
                failure(&question)
            });
            let _ = socket.send_to(&answer, from).await;
        });
    }
}

/// The first answer that a resolver gives.
async fn ask(question: &[u8], servers: &[SocketAddr]) -> Option<Vec<u8>> {
    for server in servers {
        if let Ok(Ok(answer)) = timeout(PATIENCE, ask_one(question, *server)).await {
            return Some(answer);
        }
    }
    None
}

async fn ask_one(question: &[u8], server: SocketAddr) -> io::Result<Vec<u8>> {
    let any: IpAddr =
        if server.is_ipv4() { Ipv4Addr::UNSPECIFIED.into() } else { Ipv6Addr::UNSPECIFIED.into() };
    // A port of its own for each question, so that nobody who cannot see it can forge an answer (RFC 5452).
    let socket = UdpSocket::bind((any, 0)).await?;
    socket.connect(server).await?;
    socket.send(question).await?;
    let mut answer = vec![0; MESSAGE_MAX];
    loop {
        let length = socket.recv(&mut answer).await?;
        if length >= HEADER && answer[..2] == question[..2] && answer[2] & 0x80 != 0 {
            answer.truncate(length);
            return Ok(answer);
        }
    }
}

/// "Server failure", with the question's header and nothing else.
fn failure(question: &[u8]) -> Vec<u8> {
    let mut answer = vec![0; HEADER];
    answer[..2].copy_from_slice(&question[..2]);
    answer[2] = 0x80 | question[2] & 0x79;
    answer[3] = 0x82;
    answer
}

async fn connections(listener: TcpListener, resolvers: Arc<Mutex<Resolvers>>, shared: Arc<Shared>) {
    loop {
        let Ok((inside, _)) = listener.accept().await else {
            sleep(PAUSE).await;
            continue;
        };
        let (open, server) = (shared.names.open(NAMES_PENDING_MAX), now(&resolvers).first().copied());
        let (Some(open), Some(server)) = (open, server) else {
            tcp::reset(&inside);
            continue;
        };
        let shared = shared.clone();
        tokio::spawn(async move {
            let _open = open;
            if !matches!(timeout(CONNECTION_MAX, tcp::carry(inside, server, true)).await, Ok(Ok(()))) {
                shared.names.fail();
            }
        });
    }
}

#[cfg(test)]
mod tests {
    use super::failure;

    #[test]
    fn a_failure_answers_the_question_that_was_asked() {
        let question = [0xab, 0xcd, 0x01, 0x20, 0, 1, 0, 0, 0, 0, 0, 0, 3];
        assert_eq!(failure(&question), [0xab, 0xcd, 0x81, 0x82, 0, 0, 0, 0, 0, 0, 0, 0]);
    }
}
