//! Connections out of the deployment: accepted here, carried on by a socket in the network of the machine.
//!
//! ```text
//!   fabric          │ edge's own namespace                       │ network of the machine
//!   web ─── TAP ─── eth0 ═ every address is here ═ listener :443 ═ relay ═ socket ── 93.184.216.34:443
//! ```
//!
//! The fabric passes on what links allow, addressed as the container sent it, and nothing else. A local route (AnyIP)
//! makes the kernel take packets for all addresses; a listening socket for each allowed port accepts them, and its
//! own address is the one that was meant. The edge process has a thread that never left the machine's network: sockets
//! made there reach what the machine reaches. No firewall rule, no forwarding, no privilege there.
//!
//! A connection is accepted before it is known whether the other side is there; if it is not, it is reset at once.
//! Datagrams that nobody takes come back as ICMP errors. What must never be reached this way is in [`place`].

mod datagram;
mod icmp;
mod names;
mod place;
mod resolvers;
mod tcp;
mod udp;

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::os::fd::OwnedFd;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, mpsc};

use nix::sys::socket::{setsockopt, sockopt};
use rustix::net::sockopt::{set_ipv6_v6only, set_socket_reuseaddr, set_socket_reuseport};
use rustix::net::{AddressFamily, SocketFlags, SocketType, bind, listen, socket_with};
use tokio::runtime::Handle;
use tokio::task::JoinHandle;

use super::{Counts, OUTSIDE_PORTS_MAX, OutsidePorts, OutsideStatus};
use crate::address::AddressPlan;
use crate::model::Protocol;
use icmp::Icmp;

/// Connections that may wait to be accepted on one port.
const BACKLOG: i32 = 256;

/// A thread that stays in the network it was started in, and runs tasks there.
#[derive(Clone, Debug)]
pub struct Beyond(Handle);

impl Beyond {
    /// Starts it in the network of the calling thread, which may go elsewhere afterwards.
    ///
    /// # Errors
    /// When the thread cannot be made.
    pub fn start() -> io::Result<Self> {
        let (sender, receiver) = mpsc::sync_channel(1);
        std::thread::Builder::new().name("outside".into()).spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            let handle = runtime.as_ref().map(|runtime| runtime.handle().clone());
            let _ = sender.send(handle.map_err(|error| io::Error::from(error.kind())));
            if let Ok(runtime) = runtime {
                // Whatever is spawned runs on this thread.
                runtime.block_on(std::future::pending::<()>());
            }
        })?;
        receiver.recv().map_err(io::Error::other)?.map(Self)
    }
}

/// Numbers of one kind of thing that is carried.
#[derive(Debug, Default)]
struct Tally {
    open: AtomicU64,
    total: AtomicU64,
    failed: AtomicU64,
}

impl Tally {
    /// Counts one more that is open until the guard is dropped, unless there are `max` already: then it failed.
    fn open(self: &Arc<Self>, max: usize) -> Option<Open> {
        self.total.fetch_add(1, Ordering::Relaxed);
        // Only tasks of one thread count up, so nobody comes between.
        if self.open.load(Ordering::Relaxed) >= max as u64 {
            self.fail();
            return None;
        }
        self.open.fetch_add(1, Ordering::Relaxed);
        Some(Open(self.clone()))
    }

    fn fail(&self) {
        self.failed.fetch_add(1, Ordering::Relaxed);
    }

    fn counts(&self) -> Counts {
        let read = |number: &AtomicU64| number.load(Ordering::Relaxed);
        Counts { open: read(&self.open), total: read(&self.total), failed: read(&self.failed) }
    }
}

/// Something that is counted as open.
struct Open(Arc<Tally>);

impl Drop for Open {
    fn drop(&mut self) {
        self.0.open.fetch_sub(1, Ordering::Relaxed);
    }
}

/// What all ports share.
#[derive(Debug)]
struct Shared {
    connections: Arc<Tally>,
    senders: Arc<Tally>,
    names: Arc<Tally>,
    icmp: Icmp,
}

/// The ports through which containers reach the outside.
#[derive(Debug)]
pub(super) struct Outside {
    beyond: Beyond,
    /// From the first port on, when everything that is needed is set up.
    shared: Option<Arc<Shared>>,
    ports: BTreeMap<(Protocol, u16), Vec<JoinHandle<()>>>,
}

impl Outside {
    pub(super) fn new(beyond: Beyond) -> Self {
        Self { beyond, shared: None, ports: BTreeMap::new() }
    }

    /// Listens on these ports and on no others. Connections that are open live on. To be called in the edge's own
    /// network; all is carried by the thread that is in the machine's.
    pub(super) fn listen(&mut self, wanted: &[OutsidePorts]) -> Result<(), String> {
        let wanted = expand(wanted)?;
        if wanted.is_empty() && self.shared.is_none() {
            return Ok(());
        }
        let shared = self.shared().map_err(|error| format!("the way outside: {error}"))?;
        self.ports.retain(|port, tasks| {
            let keep = wanted.contains(port);
            if !keep {
                tasks.iter().for_each(JoinHandle::abort);
            }
            keep
        });
        for port in wanted {
            if !self.ports.contains_key(&port) {
                let tasks = self
                    .open(port, &shared)
                    .map_err(|error| format!("port {}/{} to the outside: {error}", port.1, port.0))?;
                self.ports.insert(port, tasks);
            }
        }
        Ok(())
    }

    pub(super) fn status(&self) -> Option<OutsideStatus> {
        let shared = self.shared.as_ref()?;
        Some(OutsideStatus {
            ports: self.ports.len() as u64,
            connections: shared.connections.counts(),
            senders: shared.senders.counts(),
            names: shared.names.counts(),
        })
    }

    /// What all ports share, set up for the first of them.
    fn shared(&mut self) -> io::Result<Arc<Shared>> {
        if let Some(shared) = &self.shared {
            return Ok(shared.clone());
        }
        host::network::take_everything().map_err(io::Error::other)?;
        let shared = Arc::new(Shared {
            connections: Arc::default(),
            senders: Arc::default(),
            names: Arc::default(),
            icmp: Icmp::open(),
        });
        let own = AddressPlan::edge();
        let _guard = self.beyond.0.enter();
        for address in [own.ipv4.into(), own.ipv6.into()] {
            let at = SocketAddr::new(address, names::PORT);
            let sockets = socket(SocketType::DGRAM, at, false)
                .and_then(|udp| Ok((udp, socket(SocketType::STREAM, at, false)?)));
            match sockets {
                Ok((udp, tcp)) => names::serve(udp, tcp, &shared)?,
                // A kernel without IPv6.
                Err(_) if at.is_ipv6() => {}
                Err(error) => return Err(error),
            }
        }
        self.shared = Some(shared.clone());
        Ok(shared)
    }

    fn open(
        &self,
        (protocol, port): (Protocol, u16),
        shared: &Arc<Shared>,
    ) -> io::Result<Vec<JoinHandle<()>>> {
        let kind = if protocol == Protocol::Udp { SocketType::DGRAM } else { SocketType::STREAM };
        // Sockets are of the network in which they are made, and their tasks of the runtime that is entered.
        let _guard = self.beyond.0.enter();
        let mut tasks = Vec::new();
        for any in [Ipv4Addr::UNSPECIFIED.into(), Ipv6Addr::UNSPECIFIED.into()] {
            let at = SocketAddr::new(any, port);
            let socket = match socket(kind, at, true) {
                Err(_) if at.is_ipv6() => continue,
                socket => socket?,
            };
            tasks.push(match protocol {
                Protocol::Udp => udp::serve(socket, port, shared.clone())?,
                _ => tcp::serve(socket, shared.clone())?,
            });
        }
        Ok(tasks)
    }
}

/// Each port by itself.
fn expand(wanted: &[OutsidePorts]) -> Result<BTreeSet<(Protocol, u16)>, String> {
    let mut ports = BTreeSet::new();
    for OutsidePorts { protocol, ports: range } in wanted {
        for one in [Protocol::Tcp, Protocol::Udp] {
            if protocol.covers(one) {
                ports.extend((range.min..=range.max).map(|port| (one, port)));
            }
        }
        let count = |one| ports.iter().filter(|(protocol, _)| *protocol == one).count();
        if count(Protocol::Tcp).max(count(Protocol::Udp)) > OUTSIDE_PORTS_MAX {
            return Err(format!("links lead outside on more than {OUTSIDE_PORTS_MAX} ports of one protocol"));
        }
    }
    Ok(ports)
}

/// A socket in the network of the calling thread: one that `takes_all` is for packets to whatever address, and may
/// answer from it.
fn socket(kind: SocketType, at: SocketAddr, takes_all: bool) -> io::Result<OwnedFd> {
    let family = if at.is_ipv4() { AddressFamily::INET } else { AddressFamily::INET6 };
    let socket = socket_with(family, kind, SocketFlags::CLOEXEC | SocketFlags::NONBLOCK, None)?;
    if family == AddressFamily::INET6 {
        set_ipv6_v6only(&socket, true)?;
    }
    // The name server's sockets stand beside those for port 53 of the world.
    set_socket_reuseaddr(&socket, true)?;
    set_socket_reuseport(&socket, true)?;
    if takes_all {
        // IPv6 sockets take this option of IPv4, too: it is one and the same bit (net/ipv6/ipv6_sockglue.c).
        setsockopt(&socket, sockopt::IpTransparent, &true)?;
        if kind == SocketType::DGRAM && at.is_ipv4() {
            setsockopt(&socket, sockopt::Ipv4PacketInfo, &true)?;
        } else if kind == SocketType::DGRAM {
            setsockopt(&socket, sockopt::Ipv6RecvPacketInfo, &true)?;
        }
    }
    bind(&socket, &at)?;
    if kind == SocketType::STREAM {
        listen(&socket, BACKLOG)?;
    }
    Ok(socket)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Ports;

    #[test]
    fn ranges_are_written_out_and_have_a_limit() {
        let range = |protocol, min, max| OutsidePorts { protocol, ports: Ports { min, max } };
        let ports = expand(&[range(Protocol::Any, 80, 81), range(Protocol::Tcp, 81, 82)]).unwrap();
        assert_eq!(ports.iter().filter(|(protocol, _)| *protocol == Protocol::Tcp).count(), 3);
        assert_eq!(ports.iter().filter(|(protocol, _)| *protocol == Protocol::Udp).count(), 2);
        assert!(expand(&[range(Protocol::Tcp, 1, OUTSIDE_PORTS_MAX as u16)]).is_ok());
        assert!(expand(&[range(Protocol::Tcp, 1, u16::MAX)]).unwrap_err().contains("1024 ports"));
    }

    #[test]
    fn what_is_open_is_counted_and_bounded() {
        let tally = Arc::new(Tally::default());
        let first = tally.open(1);
        assert!(first.is_some() && tally.open(1).is_none());
        assert_eq!(tally.counts(), Counts { open: 1, total: 2, failed: 1 });
        drop(first);
        assert_eq!(tally.counts().open, 0);
        assert!(tally.open(1).is_some());
    }
}
