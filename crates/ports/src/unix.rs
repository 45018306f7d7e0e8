//! Unix socket: one frame per `SOCK_SEQPACKET` message, one client at a time, as BESS's `UnixSocketPort` has it.
//!
//! A port listens by default; with [`UnixConfig::connect`] it is the client. A name that starts with `@` is an
//! abstract one (unix(7)). Either side may come and go: the port takes the next client, or tries again every
//! [`RETRY`]. While nobody is connected, what is sent is dropped and counted.
//!
//! The receiving side owns the connection. Its descriptor is an epoll of the listener (or a retry timer) and the
//! client, so that a sleeping worker wakes for a new client as it does for a frame. The sending side keeps a handle
//! of its own and looks for a newer one only when a counter says so; no lock is taken per packet.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use packet::{Batch, Packet, Pool};
use rustix::event::epoll;
use rustix::io::Errno;
use rustix::net::{RecvFlags, SendFlags, SocketAddrUnix, SocketFlags, accept_with, connect, recv, send};
use rustix::time::{Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, Timespec};

use crate::counters::{self, QueueCounters};
use crate::finish::{self, Segments};
use crate::{Counters, LinkState, Offloads, Port, PortError, PortInfo, RxQueue, TxQueue, seqpacket};

/// How long a client waits between attempts to connect.
pub const RETRY: Duration = Duration::from_millis(100);

/// The MTU that a socket reports: it has none of its own.
const MTU: usize = 1500;
/// Clients that may wait while another one is connected.
const BACKLOG: i32 = 1;
/// What BESS says to a client that asks for it, final zero included.
const CONFIRMATION: &[u8] = b"yes\0";

/// How a Unix socket port is opened.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct UnixConfig {
    /// Whether to connect to a socket instead of listening on one.
    pub connect: bool,
    /// Whether a new client is told `yes`, as BESS's `confirm_connect` does.
    pub confirm: bool,
}

/// A port on a Unix socket.
pub struct UnixPort {
    info: PortInfo,
    queue: Option<(UnixRx, UnixTx)>,
    counters: Arc<QueueCounters>,
    connection: Arc<Connection>,
    listener: Option<Arc<OwnedFd>>,
}

/// The present connection, shared by both directions.
#[derive(Default)]
struct Connection {
    client: Mutex<Option<Arc<OwnedFd>>>,
    /// Counts changes of `client`.
    generation: AtomicU64,
}

impl Connection {
    fn set(&self, client: Option<Arc<OwnedFd>>) {
        *self.client.lock().unwrap_or_else(PoisonError::into_inner) = client;
        self.generation.fetch_add(1, Ordering::Release);
    }

    /// Greets a client and has it from that moment: who would send meanwhile waits, so nothing comes before the greeting, and
    /// nothing is dropped that the client's next word leads to.
    fn greet(&self, client: &Arc<OwnedFd>) -> bool {
        let mut slot = self.client.lock().unwrap_or_else(PoisonError::into_inner);
        self.generation.fetch_add(1, Ordering::Release);
        let greeted = send(client, CONFIRMATION, SendFlags::NOSIGNAL | SendFlags::DONTWAIT).is_ok();
        if greeted {
            *slot = Some(client.clone());
        }
        greeted
    }

    fn get(&self) -> Option<Arc<OwnedFd>> {
        self.client.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl UnixPort {
    /// Opens a port on the socket at `path`, or of the abstract name behind `@`.
    ///
    /// # Errors
    /// [`PortError`] when the path is in use, or its directory is missing or closed. A server that is not there yet
    /// is no error.
    pub fn open(path: &str, config: &UnixConfig, pool: &Pool) -> Result<Self, PortError> {
        Self::over(path, config, (None, None), pool)
    }

    /// A port over the descriptors that another process has duplicated.
    pub(crate) fn adopt(
        path: &str,
        config: &UnixConfig,
        fds: Vec<OwnedFd>,
        pool: &Pool,
    ) -> Result<Self, PortError> {
        let mut fds = fds.into_iter();
        let listener = if config.connect { None } else { fds.next() };
        Self::over(path, config, (listener, fds.next()), pool)
    }

    /// A port that has a listener already, or a client, or makes its own.
    fn over(
        path: &str,
        config: &UnixConfig,
        (there, client): (Option<OwnedFd>, Option<OwnedFd>),
        pool: &Pool,
    ) -> Result<Self, PortError> {
        let system = |action| {
            move |source: Errno| PortError::System {
                port: format!("unix:{path}"),
                action,
                source: source.into(),
            }
        };
        let address = seqpacket::address(path).map_err(system("the socket's name"))?;
        let epoll = epoll::create(epoll::CreateFlags::CLOEXEC).map_err(system("making an epoll"))?;
        let waiting = if config.connect {
            Waiting::Timer(timer().map_err(system("making a timer"))?)
        } else {
            let listener = match there {
                Some(listener) => listener,
                None => seqpacket::listener(&format!("unix:{path}"), path, &address, BACKLOG)?,
            };
            Waiting::Listener(Arc::new(listener))
        };
        let listener = match &waiting {
            Waiting::Listener(listener) => Some(listener.clone()),
            Waiting::Timer(_) => None,
        };
        let connection = Arc::<Connection>::default();
        let counters = Arc::<QueueCounters>::default();
        let mut rx = UnixRx {
            epoll,
            waiting,
            address,
            path: path.into(),
            confirm: config.confirm,
            client: None,
            connection: connection.clone(),
            counters: counters.clone(),
            pool: pool.clone(),
        };
        rx.watch(rx.waiting.as_fd()).map_err(system("watching the socket"))?;
        match client {
            Some(client) => rx.take(client, false),
            None => rx.attach(),
        }
        let tx = UnixTx {
            client: None,
            generation: 0,
            connection: connection.clone(),
            counters: counters.clone(),
            scratch: Vec::new(),
        };
        let info = PortInfo {
            name: path.into(),
            kind: "unix",
            mac: None,
            mtu: MTU,
            queues: 1,
            offloads: Offloads::default(),
        };
        Ok(Self { info, queue: Some((rx, tx)), counters, connection, listener })
    }
}

/// A timer that rings every [`RETRY`].
fn timer() -> Result<OwnedFd, Errno> {
    let timer = rustix::time::timerfd_create(
        TimerfdClockId::Monotonic,
        TimerfdFlags::CLOEXEC | TimerfdFlags::NONBLOCK,
    )?;
    let retry = Timespec { tv_sec: RETRY.as_secs() as _, tv_nsec: RETRY.subsec_nanos().into() };
    let every = Itimerspec { it_interval: retry, it_value: retry };
    rustix::time::timerfd_settime(&timer, TimerfdTimerFlags::empty(), &every)?;
    Ok(timer)
}

impl Port for UnixPort {
    fn info(&self) -> &PortInfo {
        &self.info
    }

    fn link(&self) -> LinkState {
        if self.connection.get().is_some() { LinkState::Up } else { LinkState::Down }
    }

    fn counters(&self) -> Counters {
        counters::total([&*self.counters])
    }

    fn queue(&mut self, index: usize) -> Option<(Box<dyn RxQueue>, Box<dyn TxQueue>)> {
        let (rx, tx) = (index == 0).then(|| self.queue.take())??;
        Some((Box::new(rx), Box::new(tx)))
    }

    /// The listener's, if it listens, and the client's, if there is one.
    fn duplicate(&self) -> io::Result<Option<Vec<OwnedFd>>> {
        let client = self.connection.get();
        let fds = self.listener.iter().chain(&client);
        fds.map(|fd| fd.try_clone()).collect::<io::Result<_>>().map(Some)
    }
}

/// What is watched while nobody is connected.
enum Waiting {
    Listener(Arc<OwnedFd>),
    Timer(OwnedFd),
}

impl AsFd for Waiting {
    fn as_fd(&self) -> BorrowedFd<'_> {
        match self {
            Self::Listener(fd) => fd.as_fd(),
            Self::Timer(fd) => fd.as_fd(),
        }
    }
}

struct UnixRx {
    epoll: OwnedFd,
    waiting: Waiting,
    address: SocketAddrUnix,
    path: String,
    confirm: bool,
    client: Option<Arc<OwnedFd>>,
    connection: Arc<Connection>,
    counters: Arc<QueueCounters>,
    pool: Pool,
}

impl UnixRx {
    fn watch(&self, fd: BorrowedFd<'_>) -> Result<(), Errno> {
        epoll::add(&self.epoll, fd, epoll::EventData::new_u64(0), epoll::EventFlags::IN)
    }

    /// Takes the next client, or tries to become one.
    fn attach(&mut self) {
        let client = match &self.waiting {
            Waiting::Listener(listener) => {
                accept_with(listener, SocketFlags::CLOEXEC | SocketFlags::NONBLOCK).ok()
            }
            Waiting::Timer(timer) => {
                let _ = rustix::io::read(timer, &mut [0u8; 8]);
                seqpacket::socket().ok().filter(|socket| connect(socket, &self.address).is_ok())
            }
        };
        if let Some(client) = client {
            self.take(client, self.confirm);
        }
    }

    /// Has a client, and greets it where that is wanted. One at a time: others wait in the backlog, unwatched.
    fn take(&mut self, client: OwnedFd, greet: bool) {
        if self.watch(client.as_fd()).is_err() {
            return;
        }
        let client = Arc::new(client);
        if greet && !self.connection.greet(&client) {
            let _ = epoll::delete(&self.epoll, &*client);
            return;
        }
        let _ = epoll::delete(&self.epoll, self.waiting.as_fd());
        self.client = Some(client.clone());
        if !greet {
            self.connection.set(Some(client));
        }
    }

    /// Lets a lost client go and waits for the next.
    fn detach(&mut self) {
        if let Some(client) = self.client.take() {
            let _ = epoll::delete(&self.epoll, &*client);
            self.connection.set(None);
            let _ = self.watch(self.waiting.as_fd());
        }
    }

    /// Reads one message into an empty packet: `None` when it had to be dropped.
    fn read(client: &OwnedFd, mut packet: Packet) -> Result<Option<Packet>, Errno> {
        let (_, len) = recv(client, packet.room_mut(), RecvFlags::DONTWAIT | RecvFlags::TRUNC)?;
        match len {
            0 => Err(Errno::CONNRESET),
            _ => Ok(packet.set_len(len).is_ok().then_some(packet)),
        }
    }

    /// Takes a message out of the socket when there is no buffer for it.
    fn discard(client: &OwnedFd) -> Result<Option<Packet>, Errno> {
        match recv(client, &mut [0u8; 1], RecvFlags::DONTWAIT | RecvFlags::TRUNC)? {
            (_, 0) => Err(Errno::CONNRESET),
            _ => Ok(None),
        }
    }
}

impl RxQueue for UnixRx {
    fn receive(&mut self, batch: &mut Batch) -> Result<usize, PortError> {
        if self.client.is_none() {
            self.attach();
        }
        let Some(client) = self.client.clone() else { return Ok(0) };
        let (mut packets, mut bytes, mut dropped) = (0, 0, 0);
        for _ in 0..batch.room() {
            let read = match self.pool.alloc() {
                Some(packet) => Self::read(&client, packet),
                None => Self::discard(&client),
            };
            match read {
                Ok(Some(packet)) => {
                    packets += 1;
                    bytes += packet.len() as u64;
                    // The loop runs no longer than there is room.
                    let _ = batch.push(packet);
                }
                Ok(None) => dropped += 1,
                Err(Errno::AGAIN | Errno::INTR) => break,
                Err(_) => {
                    self.detach();
                    break;
                }
            }
        }
        self.counters.received(packets, bytes, dropped);
        Ok(packets as usize)
    }

    fn tend(&mut self) {
        let gone = |client: &Arc<OwnedFd>| {
            matches!(recv(client, &mut [0u8; 1], RecvFlags::DONTWAIT | RecvFlags::PEEK), Ok((_, 0)))
        };
        if self.client.as_ref().is_some_and(gone) {
            self.detach();
        }
        if self.client.is_none() {
            self.attach();
        }
    }

    fn tends(&self) -> bool {
        true
    }

    fn poll_fd(&self) -> Option<BorrowedFd<'_>> {
        Some(self.epoll.as_fd())
    }
}

impl Drop for UnixRx {
    fn drop(&mut self) {
        self.connection.set(None);
        if matches!(self.waiting, Waiting::Listener(_)) && !self.path.starts_with('@') {
            let _ = rustix::fs::unlink(&*self.path);
        }
    }
}

struct UnixTx {
    client: Option<Arc<OwnedFd>>,
    generation: u64,
    connection: Arc<Connection>,
    counters: Arc<QueueCounters>,
    /// Where large packets are cut; stays empty until there is one.
    scratch: Vec<u8>,
}

/// What became of a frame.
enum Sent {
    Whole(u64),
    Cut { packets: u64, bytes: u64, dropped: u64 },
    Dropped,
    Full,
}

impl UnixTx {
    fn write(client: &OwnedFd, frame: &[u8]) -> Sent {
        match send(client, frame, SendFlags::NOSIGNAL | SendFlags::DONTWAIT) {
            Ok(_) => Sent::Whole(frame.len() as u64),
            Err(Errno::AGAIN | Errno::NOBUFS | Errno::INTR) => Sent::Full,
            // The peer is gone, which the receiving side will see, or the frame is too long for the socket.
            Err(_) => Sent::Dropped,
        }
    }

    fn send_one(&mut self, client: &OwnedFd, packet: &mut Packet) -> Sent {
        let Some(wanted) = packet.offload().segmentation else {
            return match finish::complete(packet) {
                Ok(()) => Self::write(client, packet.data()),
                Err(_) => Sent::Dropped,
            };
        };
        match Segments::new(packet, wanted, false) {
            Ok(segments) => self.send_segments(client, segments),
            Err(_) => Sent::Dropped,
        }
    }

    /// Sends the segments of a packet. When the socket is full on the way, the rest is lost, as in any queue.
    fn send_segments(&mut self, client: &OwnedFd, mut segments: Segments<'_>) -> Sent {
        self.scratch.resize(segments.frame_len_max(), 0);
        let (mut packets, mut bytes) = (0, 0);
        while let Some(len) = segments.write_next(&mut self.scratch) {
            match Self::write(client, &self.scratch[..len]) {
                Sent::Whole(len) => {
                    packets += 1;
                    bytes += len;
                }
                Sent::Full if packets == 0 => return Sent::Full,
                _ => return Sent::Cut { packets, bytes, dropped: segments.len() as u64 + 1 },
            }
        }
        Sent::Cut { packets, bytes, dropped: 0 }
    }
}

impl TxQueue for UnixTx {
    fn send(&mut self, batch: &mut Batch) -> Result<usize, PortError> {
        let generation = self.connection.generation.load(Ordering::Acquire);
        if generation != self.generation {
            self.client = self.connection.get();
            self.generation = generation;
        }
        let (mut taken, mut packets, mut bytes, mut dropped) = (0, 0, 0, 0);
        let client = self.client.clone();
        for packet in batch.iter_mut() {
            let Some(client) = &client else {
                dropped += 1;
                taken += 1;
                continue;
            };
            match self.send_one(client, packet) {
                Sent::Whole(len) => {
                    packets += 1;
                    bytes += len;
                }
                Sent::Cut { packets: cut, bytes: len, dropped: lost } => {
                    packets += cut;
                    bytes += len;
                    dropped += lost;
                }
                Sent::Dropped => dropped += 1,
                Sent::Full => break,
            }
            taken += 1;
        }
        self.counters.sent(packets, bytes, dropped);
        batch.drop_front(taken);
        Ok(taken)
    }
}
