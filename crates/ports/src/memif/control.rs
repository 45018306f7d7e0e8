//! The thread that minds a control socket: it listens or connects, exchanges the messages of [`Session`]s, makes and
//! checks shared memory, and hands rings to the queues. No packet passes here, and no queue ever waits for it.
//!
//! The ports of a process that are servers on one socket share its thread, since it is the client who says which of them
//! it wants; a client has a thread of its own.

use std::collections::BTreeMap;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::MetadataExt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, mpsc};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::net::{SocketAddrUnix, SocketFlags, accept_with, connect};

use super::interface::Interface;
use super::live::Live;
use super::session::{Reason, Session};
use super::{MemifConfig, Role};
use crate::wake::Wake;
use crate::{PortError, seqpacket};

/// How long a client waits between attempts to connect.
pub const RETRY: Duration = Duration::from_millis(100);
/// The most clients that have connected and are not up yet; more wait in the backlog.
const PENDING_MAX: usize = 16;
/// Clients that may wait to be taken.
const BACKLOG: i32 = 16;
/// The most ports on one socket.
const INTERFACES_MAX: usize = 256;
/// How long a port that is closed waits for its thread to say goodbye.
const GOODBYE_MAX: Duration = Duration::from_secs(1);

/// The sockets that this process listens on. A path or name means something in a network namespace.
static SERVERS: Mutex<BTreeMap<Key, Arc<Control>>> = Mutex::new(BTreeMap::new());

type Key = (u64, String);

fn servers() -> MutexGuard<'static, BTreeMap<Key, Arc<Control>>> {
    SERVERS.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A control thread, from outside.
struct Control {
    shared: Arc<Shared>,
    ended: Mutex<mpsc::Receiver<()>>,
}

/// What a control thread and its ports share.
struct Shared {
    wake: Arc<Wake>,
    interfaces: Mutex<BTreeMap<u32, Arc<Interface>>>,
    stop: AtomicBool,
}

impl Shared {
    fn interfaces(&self) -> MutexGuard<'_, BTreeMap<u32, Arc<Interface>>> {
        self.interfaces.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A port's being known on a socket; ends when the port and its queues are gone.
pub(super) struct Membership {
    pub(super) interface: Arc<Interface>,
    control: Arc<Control>,
    key: Option<Key>,
}

impl Membership {
    /// Makes a port known: from now on it may get a peer.
    pub(super) fn new(path: &str, config: &MemifConfig) -> Result<Self, PortError> {
        let port = || format!("memif:{path}");
        let system = |action| {
            move |source: rustix::io::Errno| PortError::System { port: port(), action, source: source.into() }
        };
        let address = seqpacket::address(path).map_err(system("the socket's name"))?;
        let interface = |control: &Control| {
            let wake = control.shared.wake.clone();
            let interface =
                Interface::new(path, config, wake).map_err(system("making eventfds and a bell"))?;
            Ok::<_, PortError>(Arc::new(interface))
        };
        if config.role == Role::Client {
            let control = Arc::new(Control::start(path, Place::Connector(address))?);
            let interface = interface(&control)?;
            control.admit(interface.clone());
            return Ok(Self { interface, control, key: None });
        }
        let key = (namespace(), path.to_owned());
        let mut servers = servers();
        let control = match servers.get(&key) {
            Some(control) => control.clone(),
            None => {
                let listener = seqpacket::listener(&port(), path, &address, BACKLOG)?;
                Arc::new(Control::start(path, Place::Listener(listener))?)
            }
        };
        let id = config.id;
        let taken = {
            let interfaces = control.shared.interfaces();
            interfaces.contains_key(&id) || interfaces.len() >= INTERFACES_MAX
        };
        if taken {
            let problem = "another port of this process has that number on this socket, or there are 256";
            return Err(PortError::Option { port: port(), option: format!("id={id}"), problem });
        }
        let interface = match interface(&control) {
            Ok(interface) => interface,
            Err(error) => {
                close_if_last(&control, path);
                return Err(error);
            }
        };
        control.admit(interface.clone());
        servers.insert(key.clone(), control.clone());
        Ok(Self { interface, control, key: Some(key) })
    }
}

/// The network namespace of the calling thread; abstract names are one's own there.
fn namespace() -> u64 {
    std::fs::metadata("/proc/thread-self/ns/net").map_or(0, |namespace| namespace.ino())
}

/// Ends a thread that has no ports.
fn close_if_last(control: &Control, path: &str) -> bool {
    let last = control.shared.interfaces().is_empty();
    if last {
        control.stop();
        if !path.starts_with('@') {
            let _ = rustix::fs::unlink(path);
        }
    }
    last
}

impl Drop for Membership {
    fn drop(&mut self) {
        let Some(key) = &self.key else {
            self.control.stop();
            return;
        };
        // Held to the end, so that nobody opens the socket while it is closed.
        let mut servers = servers();
        self.control.shared.interfaces().remove(&self.interface.id);
        if close_if_last(&self.control, &key.1) {
            servers.remove(key);
        } else {
            self.control.shared.wake.signal();
        }
    }
}

impl Control {
    fn start(path: &str, place: Place) -> Result<Self, PortError> {
        let error = |action, source| PortError::System { port: format!("memif:{path}"), action, source };
        let wake = Arc::new(Wake::new().map_err(|source| error("making an eventfd", source))?);
        let shared = Arc::new(Shared { wake, interfaces: Mutex::default(), stop: AtomicBool::new(false) });
        let (end, ended) = mpsc::channel();
        let thread = Thread { shared: shared.clone(), place, sessions: Vec::new(), retry: Instant::now() };
        std::thread::Builder::new()
            .name("memif".into())
            .spawn(move || {
                thread.run();
                let _ = end.send(());
            })
            .map_err(|source| error("starting a thread", source))?;
        Ok(Self { shared, ended: Mutex::new(ended) })
    }

    fn admit(&self, interface: Arc<Interface>) {
        self.shared.interfaces().insert(interface.id, interface);
        self.shared.wake.signal();
    }

    /// Ends the thread and waits until it has closed everything; not for ever, since a peer may have handed it a
    /// descriptor that hangs when it is closed.
    fn stop(&self) {
        self.shared.stop.store(true, Ordering::Release);
        self.shared.wake.signal();
        let ended = self.ended.lock().unwrap_or_else(PoisonError::into_inner);
        let _ = ended.recv_timeout(GOODBYE_MAX);
    }
}

/// Where peers come from.
enum Place {
    Listener(OwnedFd),
    Connector(SocketAddrUnix),
}

struct Thread {
    shared: Arc<Shared>,
    place: Place,
    sessions: Vec<Live>,
    /// When a client tries again.
    retry: Instant,
}

impl Thread {
    fn run(mut self) {
        while !self.shared.stop.load(Ordering::Acquire) {
            let (ready, newcomer) = self.wait();
            self.shared.wake.clear();
            let now = Instant::now();
            self.see_to_interfaces(now);
            for (at, ready) in ready.into_iter().enumerate() {
                let others: Vec<_> = self.taken(at);
                let live = &mut self.sessions[at];
                if ready {
                    live.read(now);
                }
                live.advance(now, |init| find(&self.shared, init.id, &others));
            }
            let before = self.sessions.len();
            self.sessions.retain(|live| !live.is_over());
            if self.sessions.len() < before {
                // Whoever has just left may be closing its socket, and is not to find a client there.
                self.retry = now + RETRY;
            }
            // After those that have gone, since one of them may be its predecessor.
            match &self.place {
                Place::Listener(listener) if newcomer => {
                    let accepted = accept_with(listener, SocketFlags::CLOEXEC | SocketFlags::NONBLOCK);
                    if let Ok(socket) = accepted {
                        self.greet(now, socket);
                    }
                }
                Place::Listener(_) => {}
                Place::Connector(address) => {
                    // Not before there is a port: a server must not find the other end closed.
                    let due = self.sessions.is_empty() && self.retry <= now;
                    let interface = due.then(|| self.shared.interfaces().values().next().cloned()).flatten();
                    if let Some(interface) = interface {
                        self.retry = now + RETRY;
                        let socket = seqpacket::socket().ok();
                        if let Some(socket) = socket.filter(|socket| connect(socket, address).is_ok()) {
                            let session = Session::client(now, interface.wish());
                            self.sessions.push(Live::new(socket, session, Some(interface)));
                        }
                    }
                }
            }
        }
        let now = Instant::now();
        for mut live in self.sessions.drain(..) {
            live.close(now, Reason::Closed);
        }
    }

    /// Sleeps until something is to be done: which sessions have something to read, and whether a client waits.
    fn wait(&self) -> (Vec<bool>, bool) {
        let pending = self.sessions.iter().filter(|live| !live.is_up()).count();
        let has_port = !self.shared.interfaces().is_empty();
        // Not before there is a port: the first thing a client hears is how many queues it may have.
        let listener = match &self.place {
            Place::Listener(listener) if has_port && pending < PENDING_MAX => Some(listener),
            _ => None,
        };
        let connects = matches!(self.place, Place::Connector(_)) && self.sessions.is_empty() && has_port;
        let retry = connects.then_some(self.retry);
        let due = self.sessions.iter().filter_map(Live::next_deadline).chain(retry).min();
        let timeout = due.map(|due| {
            let left = due.saturating_duration_since(Instant::now());
            Timespec { tv_sec: left.as_secs() as i64, tv_nsec: left.subsec_nanos().into() }
        });
        let mut polled: Vec<_> =
            self.sessions.iter().map(|live| PollFd::new(live.socket(), PollFlags::IN)).collect();
        polled.extend(self.shared.wake.fd().map(|wake| PollFd::from_borrowed_fd(wake, PollFlags::IN)));
        let first_listener = polled.len();
        polled.extend(listener.map(|listener| PollFd::from_borrowed_fd(listener.as_fd(), PollFlags::IN)));
        // An interrupted sleep is a short one.
        let _ = poll(&mut polled, timeout.as_ref());
        let ready = polled.iter().map(|polled| !polled.revents().is_empty());
        let newcomer = polled.get(first_listener).is_some_and(|listener| !listener.revents().is_empty());
        (ready.take(self.sessions.len()).collect(), newcomer)
    }

    /// Ends connections whose port has gone or whose queues have found a fault.
    fn see_to_interfaces(&mut self, now: Instant) {
        let interfaces = self.shared.interfaces().clone();
        for live in &mut self.sessions {
            let Some(interface) = live.interface() else { continue };
            let known = interfaces.get(&interface.id).is_some_and(|known| Arc::ptr_eq(known, interface));
            let fault = if live.is_up() { interface.take_fault() } else { None };
            if !known {
                live.close(now, Reason::Closed);
            } else if let Some(fault) = fault {
                live.close(now, fault.into());
            }
        }
    }

    /// The interfaces that sessions other than this one have.
    fn taken(&self, own: usize) -> Vec<Arc<Interface>> {
        let others = self.sessions.iter().enumerate().filter(|&(at, live)| at != own && !live.is_over());
        others.filter_map(|(_, live)| live.interface().cloned()).collect()
    }

    fn greet(&mut self, now: Instant, socket: OwnedFd) {
        let queues = self.shared.interfaces().values().map(|interface| interface.config.queues as u16).max();
        let session = Session::server(now, queues.unwrap_or(0));
        let mut live = Live::new(socket, session, None);
        live.advance(now, |init| Err(Reason::Id(init.id)));
        self.sessions.push(live);
    }
}

/// The interface that a client asks for.
fn find(shared: &Shared, id: u32, taken: &[Arc<Interface>]) -> Result<Arc<Interface>, Reason> {
    let interface = shared.interfaces().get(&id).cloned().ok_or(Reason::Id(id))?;
    if taken.iter().any(|other| Arc::ptr_eq(other, &interface)) {
        return Err(Reason::Busy(id));
    }
    Ok(interface)
}

#[cfg(test)]
mod tests {
    use super::super::wire::{MESSAGE, Message};
    use super::*;

    #[test]
    fn nobody_is_greeted_before_it_is_known_how_many_queues_there_are() {
        let path = format!("@weft-memif-greeting-{}", std::process::id());
        let address = seqpacket::address(&path).unwrap();
        let listener = seqpacket::listener("memif", &path, &address, BACKLOG).unwrap();
        let control = Control::start(&path, Place::Listener(listener)).unwrap();
        let client = seqpacket::socket().unwrap();
        connect(&client, &address).unwrap();
        let greeted = |millis: i64| {
            let timeout = Timespec { tv_sec: millis / 1000, tv_nsec: millis % 1000 * 1_000_000 };
            poll(&mut [PollFd::new(&client, PollFlags::IN)], Some(&timeout)).unwrap() > 0
        };
        assert!(!greeted(100), "there is no port yet");
        let config = MemifConfig { role: Role::Server, queues: 3, ..MemifConfig::default() };
        let interface = Interface::new(&path, &config, control.shared.wake.clone()).unwrap();
        control.admit(Arc::new(interface));
        assert!(greeted(20_000));
        let mut bytes = [0; MESSAGE];
        let (len, _) = rustix::net::recv(&client, &mut bytes, rustix::net::RecvFlags::empty()).unwrap();
        let Ok(Message::Hello(hello)) = Message::decode(&bytes[..len]) else { panic!("{bytes:?}") };
        assert_eq!((hello.to_server_max, hello.to_client_max), (2, 2));
        control.stop();
    }
}
