//! Carrying one published port's connections to their target.

use std::collections::HashMap;
use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener as StdTcpListener, UdpSocket as StdUdpSocket};
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::io::copy_bidirectional_with_sizes;
use tokio::net::{TcpListener, TcpStream, UdpSocket};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep, timeout};

use super::proxy::Tally;
use super::{CONNECTIONS_MAX, COPY_BYTES, UDP_SENDERS_MAX};

/// How long a target may take to accept.
const CONNECT_PATIENCE: Duration = Duration::from_secs(10);
/// How often a target that refuses, or has nobody just now, is asked.
const CONNECT_ATTEMPTS: u32 = 6;
/// Pause after the first refusal; it doubles with each one.
const CONNECT_PAUSE: Duration = Duration::from_millis(10);
/// How long a UDP sender is remembered after its last datagram either way.
const UDP_MEMORY: Duration = Duration::from_secs(60);
/// Pause after an accept failed for want of descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// Accepts on a listening socket and joins each connection to one of its own to the target of the moment.
pub(super) fn tcp(
    fd: OwnedFd,
    targets: watch::Receiver<SocketAddr>,
    tally: Arc<Tally>,
) -> io::Result<JoinHandle<()>> {
    let listener = StdTcpListener::from(fd);
    listener.set_nonblocking(true)?;
    let listener = TcpListener::from_std(listener)?;
    Ok(tokio::spawn(async move {
        loop {
            let Ok((outside, _)) = listener.accept().await else {
                sleep(ACCEPT_PAUSE).await;
                continue;
            };
            tally.total.fetch_add(1, Ordering::Relaxed);
            if tally.open.load(Ordering::Relaxed) >= CONNECTIONS_MAX as u64 {
                tally.failed.fetch_add(1, Ordering::Relaxed);
                reset(&outside);
                continue;
            }
            tally.open.fetch_add(1, Ordering::Relaxed);
            let (target, tally) = (*targets.borrow(), tally.clone());
            tokio::spawn(async move {
                if carry(outside, target).await.is_err() {
                    tally.failed.fetch_add(1, Ordering::Relaxed);
                }
                tally.open.fetch_sub(1, Ordering::Relaxed);
            });
        }
    }))
}

/// Joins one connection to the target; an error when the target could not be reached. A connection that breaks
/// later has been carried as far as it went.
async fn carry(mut outside: TcpStream, target: SocketAddr) -> io::Result<()> {
    let inside = match timeout(CONNECT_PATIENCE, connect(target)).await {
        Ok(connected) => connected,
        Err(_) => Err(io::ErrorKind::TimedOut.into()),
    };
    let mut inside = inside.inspect_err(|_| reset(&outside))?;
    let _ = (outside.set_nodelay(true), inside.set_nodelay(true));
    if copy_bidirectional_with_sizes(&mut outside, &mut inside, COPY_BYTES, COPY_BYTES).await.is_err() {
        reset(&outside);
        reset(&inside);
    }
    Ok(())
}

/// Connects to the target. A service gives each attempt to its next member, so one that has only just started and
/// does not listen yet costs a moment and no connection; nor does a moment in which no member is in rotation.
async fn connect(target: SocketAddr) -> io::Result<TcpStream> {
    use io::ErrorKind::{ConnectionRefused, HostUnreachable};
    let mut pause = CONNECT_PAUSE;
    for _ in 1..CONNECT_ATTEMPTS {
        match TcpStream::connect(target).await {
            Err(error) if matches!(error.kind(), ConnectionRefused | HostUnreachable) => sleep(pause).await,
            outcome => return outcome,
        }
        pause *= 2;
    }
    TcpStream::connect(target).await
}

/// Lets the peer see a reset rather than an orderly end.
fn reset(stream: &TcpStream) {
    let _ = stream.set_zero_linger();
}

/// Relays datagrams: each sender gets a socket of its own towards the target, so that answers find back.
pub(super) fn udp(
    fd: OwnedFd,
    targets: watch::Receiver<SocketAddr>,
    tally: Arc<Tally>,
) -> io::Result<JoinHandle<()>> {
    let outside = StdUdpSocket::from(fd);
    outside.set_nonblocking(true)?;
    let outside = Arc::new(UdpSocket::from_std(outside)?);
    Ok(tokio::spawn(async move {
        let mut senders: HashMap<SocketAddr, Sender> = HashMap::new();
        let mut datagram = vec![0; 65_536];
        loop {
            let Ok((length, from)) = outside.recv_from(&mut datagram).await else { continue };
            let target = *targets.borrow();
            let now = Instant::now();
            senders.retain(|_, sender| !sender.task.is_finished());
            let known = senders.get(&from).is_some_and(|sender| sender.target == target);
            if !known {
                forget_one(&mut senders);
                tally.total.fetch_add(1, Ordering::Relaxed);
                match Sender::open(from, target, &outside, &tally).await {
                    Ok(sender) => {
                        senders.insert(from, sender);
                    }
                    Err(_) => {
                        tally.failed.fetch_add(1, Ordering::Relaxed);
                        continue;
                    }
                }
            }
            if let Some(sender) = senders.get_mut(&from) {
                sender.seen = now;
                // The target may be down just now; its refusal is the sender's business, as on any network.
                let _ = sender.inside.send(&datagram[..length]).await;
            }
        }
    }))
}

/// One sender of datagrams.
struct Sender {
    target: SocketAddr,
    inside: Arc<UdpSocket>,
    seen: Instant,
    task: JoinHandle<()>,
}

impl Sender {
    async fn open(
        from: SocketAddr,
        target: SocketAddr,
        outside: &Arc<UdpSocket>,
        tally: &Arc<Tally>,
    ) -> io::Result<Self> {
        let any: SocketAddr = if target.is_ipv4() {
            (Ipv4Addr::UNSPECIFIED, 0).into()
        } else {
            (Ipv6Addr::UNSPECIFIED, 0).into()
        };
        let inside = Arc::new(UdpSocket::bind(any).await?);
        inside.connect(target).await?;
        let (outside, answers, open) = (outside.clone(), inside.clone(), Open::new(tally));
        let task = tokio::spawn(async move {
            let _open = open;
            let mut datagram = vec![0; 65_536];
            while let Ok(answer) = timeout(UDP_MEMORY, answers.recv(&mut datagram)).await {
                if let Ok(length) = answer {
                    let _ = outside.send_to(&datagram[..length], from).await;
                }
            }
        });
        Ok(Self { target, inside, seen: Instant::now(), task })
    }
}

impl Drop for Sender {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Counts a sender as open while it lives, however its task ends.
struct Open(Arc<Tally>);

impl Open {
    fn new(tally: &Arc<Tally>) -> Self {
        tally.open.fetch_add(1, Ordering::Relaxed);
        Self(tally.clone())
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        self.0.open.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Makes room for a new sender by forgetting the one silent longest.
fn forget_one(senders: &mut HashMap<SocketAddr, Sender>) {
    if senders.len() < UDP_SENDERS_MAX {
        return;
    }
    if let Some(oldest) = senders.iter().min_by_key(|(_, sender)| sender.seen).map(|(from, _)| *from) {
        senders.remove(&oldest);
    }
}
