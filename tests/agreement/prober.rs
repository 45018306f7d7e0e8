//! Packets: a process in the network of a container that listens on every port of interest and, when told to, connects
//! to every other party on each of them.
//!
//! It is this test binary, started once more: [`probes_from_within`] is ignored unless [`MARK`] is set. It reads a
//! [`Setup`], says so once it listens, and answers each [`Job`] with what was reached.

use std::collections::VecDeque;
use std::io::{self, BufRead, Read, Write};
use std::net::{IpAddr, Ipv6Addr, SocketAddr, TcpStream, UdpSocket};
use std::os::fd::{AsFd, OwnedFd};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::net::sockopt::{set_ipv6_v6only, set_socket_linger, socket_error};
use rustix::net::{AddressFamily, SocketFlags, SocketType, bind, connect, listen, socket_with};
use serde::{Deserialize, Serialize};

/// Says that the binary is a prober.
pub(crate) const MARK: &str = "WEFT_TEST_PROBER";
/// The test that is one.
pub(crate) const TEST: &str = "prober::probes_from_within";
/// What lines of the prober's begin with, among those of the test harness.
pub(crate) const SAYS: &str = "prober: ";

/// Packets under way from one prober: less than an interface queues.
const WINDOW: usize = 200;
/// Connections kept open after they were accepted, so that what was written to them arrives.
const KEPT: usize = 64;
/// Connections that wait to be accepted.
const BACKLOG: i32 = 4096;

#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Setup {
    /// Where to listen, over TCP and UDP.
    pub(crate) ports: Vec<u16>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum How {
    /// A connection comes about.
    Tcp,
    /// A datagram comes back.
    Udp,
    /// A connection comes about, and something comes back over it.
    Talk,
}

#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Job {
    /// The gateway's name server, in each family that there is: what it answers to was sent after everything that was
    /// sent before.
    pub(crate) gateways: Vec<SocketAddr>,
    pub(crate) probes: Vec<(SocketAddr, How)>,
    /// How long nothing must have happened before what is open counts as denied, in milliseconds.
    pub(crate) patience_ms: u64,
}

#[test]
#[ignore = "a part of the other tests, which start it in the network of a container"]
fn probes_from_within() {
    if std::env::var_os(MARK).is_none() {
        return;
    }
    let mut lines = io::stdin().lock().lines();
    let setup: Setup = read(lines.next()).expect("what to set up");
    let ports = setup.ports.clone();
    let listeners =
        Listeners::new(&setup.ports).unwrap_or_else(|error| panic!("listen on {ports:?}: {error}"));
    std::thread::spawn(move || listeners.serve());
    say(&"ready");
    while let Some(job) = read::<Job>(lines.next()) {
        say(&probe(&job).expect("to probe"));
    }
}

fn read<T: for<'de> Deserialize<'de>>(line: Option<io::Result<String>>) -> Option<T> {
    let line = line?.expect("a line");
    Some(serde_json::from_str(&line).unwrap_or_else(|error| panic!("{error}: {line}")))
}

fn say(what: &impl Serialize) {
    let mut out = io::stdout().lock();
    writeln!(out, "\n{SAYS}{}", serde_json::to_string(what).expect("JSON")).expect("to be heard");
    out.flush().expect("to be heard");
}

// --- the side that answers

struct Listeners {
    tcp: Vec<OwnedFd>,
    udp: Vec<UdpSocket>,
}

impl Listeners {
    /// Listens where the container's own program does not.
    fn new(ports: &[u16]) -> io::Result<Self> {
        let (mut tcp, mut udp) = (Vec::new(), Vec::new());
        for port in ports {
            let address = SocketAddr::from((Ipv6Addr::UNSPECIFIED, *port));
            // The container's own program may have the port over IPv4 alone.
            for only_v6 in [false, true] {
                let socket = stream(address)?;
                set_ipv6_v6only(&socket, only_v6)?;
                match bind(&socket, &address) {
                    Err(rustix::io::Errno::ADDRINUSE) => continue,
                    bound => bound?,
                }
                listen(&socket, BACKLOG)?;
                tcp.push(socket);
                break;
            }
            let socket = UdpSocket::bind(address)?;
            socket.set_nonblocking(true)?;
            udp.push(socket);
        }
        Ok(Self { tcp, udp })
    }

    /// Accepts and greets; sends datagrams back.
    fn serve(self) {
        let mut kept = VecDeque::new();
        let mut bytes = [0; 64];
        loop {
            let sockets = self.tcp.iter().map(AsFd::as_fd).chain(self.udp.iter().map(AsFd::as_fd));
            let mut waiting: Vec<_> =
                sockets.map(|socket| PollFd::from_borrowed_fd(socket, PollFlags::IN)).collect();
            let _ = poll(&mut waiting, None);
            for listener in &self.tcp {
                while let Ok(accepted) = rustix::net::accept(listener) {
                    let mut accepted = TcpStream::from(accepted);
                    let _ = accepted.write_all(b"here\n");
                    kept.push_back(accepted);
                    if kept.len() > KEPT {
                        kept.pop_front();
                    }
                }
            }
            for socket in &self.udp {
                while let Ok((length, from)) = socket.recv_from(&mut bytes) {
                    let _ = socket.send_to(&bytes[..length], from);
                }
            }
        }
    }
}

/// A TCP socket on which nothing waits, and which is gone at once when it is closed.
fn stream(address: SocketAddr) -> io::Result<OwnedFd> {
    let family = if address.is_ipv4() { AddressFamily::INET } else { AddressFamily::INET6 };
    let flags = SocketFlags::NONBLOCK | SocketFlags::CLOEXEC;
    let socket = socket_with(family, SocketType::STREAM, flags, None)?;
    set_socket_linger(&socket, Some(Duration::ZERO))?;
    Ok(socket)
}

// --- the side that asks

/// Which of the probes came through, by their place in the list.
fn probe(job: &Job) -> io::Result<Vec<usize>> {
    let patience = Duration::from_millis(job.patience_ms);
    let mut fence = Fence::new(&job.gateways)?;
    // Neighbours are known from here on.
    fence.pass()?;
    let of = |how: How| {
        let probes = job.probes.iter().enumerate().filter(move |(_, (_, kind))| *kind == how);
        probes.map(|(at, (address, _))| (at, *address)).collect::<Vec<_>>()
    };
    let mut reached = datagrams(&of(How::Udp), &mut fence, patience)?;
    for window in of(How::Tcp).chunks(WINDOW) {
        reached.extend(connections(window, &mut fence, patience)?);
    }
    reached.extend(of(How::Talk).into_iter().filter(|(_, address)| talks(*address)).map(|(at, _)| at));
    reached.sort_unstable();
    Ok(reached)
}

/// The name server behind the gateway. Packets of one container are handled in the order in which they were sent, so
/// that an answer says that all before the question were.
struct Fence {
    sockets: Vec<UdpSocket>,
    number: u16,
}

impl Fence {
    fn new(gateways: &[SocketAddr]) -> io::Result<Self> {
        let open = |gateway: &SocketAddr| -> io::Result<UdpSocket> {
            let any: IpAddr = if gateway.is_ipv4() { [0; 4].into() } else { Ipv6Addr::UNSPECIFIED.into() };
            let socket = UdpSocket::bind((any, 0))?;
            socket.connect(gateway)?;
            socket.set_read_timeout(Some(Duration::from_millis(500)))?;
            Ok(socket)
        };
        Ok(Self { sockets: gateways.iter().map(open).collect::<io::Result<_>>()?, number: 0 })
    }

    fn pass(&mut self) -> io::Result<()> {
        for socket in &self.sockets {
            let passed = (0..40).any(|_| {
                self.number = self.number.wrapping_add(1);
                let [high, low] = self.number.to_be_bytes();
                // RFC 1035 §4.1: a question for the address of "fence".
                let mut question = vec![high, low, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0];
                question.extend(b"\x05fence\x00\x00\x01\x00\x01");
                socket.send(&question).is_ok() && answered(socket, self.number)
            });
            if !passed {
                return Err(io::Error::other(format!(
                    "the gateway {:?} does not answer",
                    socket.peer_addr()
                )));
            }
        }
        Ok(())
    }
}

fn answered(socket: &UdpSocket, number: u16) -> bool {
    let mut bytes = [0; 512];
    while let Ok(length) = socket.recv(&mut bytes) {
        if length >= 2 && bytes[..2] == number.to_be_bytes() {
            return true;
        }
    }
    false
}

/// Datagrams that carry their number, of which those that arrive come back.
fn datagrams(
    probes: &[(usize, SocketAddr)],
    fence: &mut Fence,
    patience: Duration,
) -> io::Result<Vec<usize>> {
    let socket = UdpSocket::bind((Ipv6Addr::UNSPECIFIED, 0))?;
    socket.set_nonblocking(true)?;
    let mut reached = Vec::new();
    for window in probes.chunks(WINDOW) {
        for (at, address) in window {
            let _ = socket.send_to(&(*at as u64).to_be_bytes(), mapped(*address));
        }
        fence.pass()?;
        collect(&socket, &mut reached);
    }
    let mut quiet = Instant::now();
    while quiet.elapsed() < patience {
        wait(&mut [PollFd::new(&socket, PollFlags::IN)], Duration::from_millis(20));
        if collect(&socket, &mut reached) {
            quiet = Instant::now();
        }
    }
    reached.sort_unstable();
    reached.dedup();
    Ok(reached)
}

/// One socket serves both families.
fn mapped(address: SocketAddr) -> SocketAddr {
    match address.ip() {
        IpAddr::V4(ip) => (ip.to_ipv6_mapped(), address.port()).into(),
        IpAddr::V6(_) => address,
    }
}

fn collect(socket: &UdpSocket, reached: &mut Vec<usize>) -> bool {
    let (mut bytes, before) = ([0; 8], reached.len());
    loop {
        match socket.recv(&mut bytes) {
            Ok(8) => reached.push(u64::from_be_bytes(bytes) as usize),
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return reached.len() > before,
            // What an earlier datagram met.
            Err(_) => {}
        }
    }
}

/// Connects all at once, and gives those that came about.
fn connections(
    probes: &[(usize, SocketAddr)],
    fence: &mut Fence,
    patience: Duration,
) -> io::Result<Vec<usize>> {
    let (mut open, mut reached) = (Vec::new(), Vec::new());
    for (at, address) in probes {
        let socket = stream(*address)?;
        match connect(&socket, address) {
            Ok(()) => reached.push(*at),
            Err(rustix::io::Errno::INPROGRESS) => open.push((*at, socket)),
            // Denied before the call was over.
            Err(_) => {}
        }
    }
    fence.pass()?;
    let mut quiet = Instant::now();
    while !open.is_empty() && quiet.elapsed() < patience {
        let mut waiting: Vec<_> =
            open.iter().map(|(_, socket)| PollFd::new(socket, PollFlags::OUT)).collect();
        wait(&mut waiting, Duration::from_millis(20));
        let over: Vec<bool> = waiting.iter().map(|one| !one.revents().is_empty()).collect();
        let mut over = over.into_iter();
        open.retain(|(at, socket)| {
            if !over.next().unwrap_or(false) {
                return true;
            }
            quiet = Instant::now();
            if socket_error(socket).is_ok_and(|error| error.is_ok()) {
                reached.push(*at);
            }
            false
        });
    }
    Ok(reached)
}

fn wait(sockets: &mut [PollFd<'_>], most: Duration) {
    let most = Timespec { tv_sec: 0, tv_nsec: most.subsec_nanos().into() };
    let _ = poll(sockets, Some(&most));
}

/// Whether something comes back over a connection.
fn talks(address: SocketAddr) -> bool {
    let long = Duration::from_secs(5);
    let Ok(mut stream) = TcpStream::connect_timeout(&address, long) else { return false };
    let asked =
        stream.set_read_timeout(Some(long)).and_then(|()| stream.write_all(b"GET / HTTP/1.0\r\n\r\n"));
    asked.is_ok() && stream.read(&mut [0; 16]).is_ok_and(|length| length > 0)
}
