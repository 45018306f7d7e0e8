//! A load of so many datagrams a second, of flows that come and go, each datagram of which comes back.

use std::net::{SocketAddr, UdpSocket};
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crate::bed::{Bed, PATIENCE, RIGHT};

const PORT: u16 = 9;
/// Bytes of a datagram.
const SIZE: usize = 900;
/// Datagrams of a flow before another takes its place.
const LIFE: u64 = 12;
/// What is made up for after a time without a core.
const BEHIND: Duration = Duration::from_millis(200);

struct Flow {
    socket: UdpSocket,
    sent: u64,
    received: u64,
    /// What it had received when somebody asked whether all are answered.
    mark: u64,
}

#[derive(Default)]
struct State {
    /// Datagrams a second.
    rate: u32,
    flows: Vec<Flow>,
    /// No flow ends.
    held: bool,
    /// Sent and received by flows that have ended.
    ended: (u64, u64),
    stop: bool,
}

/// It ends with the test.
pub(crate) struct Traffic {
    state: Arc<Mutex<State>>,
    thread: Option<JoinHandle<()>>,
}

fn flow() -> Flow {
    let socket = UdpSocket::bind(("0.0.0.0", 0)).unwrap();
    socket.connect(SocketAddr::new(RIGHT.parse().unwrap(), PORT)).unwrap();
    socket.set_nonblocking(true).unwrap();
    Flow { socket, sent: 0, received: 0, mark: 0 }
}

impl State {
    fn receive(&mut self) {
        let mut bytes = [0; SIZE];
        for flow in &mut self.flows {
            while flow.socket.recv(&mut bytes).is_ok() {
                flow.received += 1;
            }
        }
    }

    /// The next datagram, of one flow after the other.
    fn send(&mut self, turn: usize) {
        let place = turn % self.flows.len();
        if self.flows[place].sent >= LIFE && !self.held {
            let old = std::mem::replace(&mut self.flows[place], flow());
            self.ended = (self.ended.0 + old.sent, self.ended.1 + old.received);
        }
        let flow = &mut self.flows[place];
        // A port that nobody listens on while a site is started again is no reason to end.
        flow.sent += u64::from(flow.socket.send(&[7; SIZE]).is_ok());
    }
}

impl Traffic {
    /// Starts to send from the left.
    pub(crate) fn start(bed: &Bed, flows: usize, rate: u32) -> Self {
        let far = bed.right.within(|| UdpSocket::bind(("0.0.0.0", PORT)).unwrap());
        std::thread::spawn(move || {
            let mut bytes = [0; SIZE];
            while let Ok((count, from)) = far.recv_from(&mut bytes) {
                let _ = far.send_to(&bytes[..count], from);
            }
        });
        let state = Arc::new(Mutex::new(State { rate, ..State::default() }));
        let namespace = bed.left.within(|| host::netns::open(Path::new("/proc/thread-self/ns/net")).unwrap());
        let shared = Arc::clone(&state);
        let thread = std::thread::spawn(move || {
            host::netns::enter_here(&namespace).unwrap();
            shared.lock().unwrap().flows = (0..flows).map(|_| flow()).collect();
            let (mut next, mut turn) = (Instant::now(), 0);
            loop {
                std::thread::sleep(Duration::from_millis(2));
                let mut state = shared.lock().unwrap();
                if state.stop {
                    return;
                }
                state.receive();
                let now = Instant::now();
                next = next.max(now - BEHIND);
                while next <= now {
                    state.send(turn);
                    turn += 1;
                    next += Duration::from_secs(1) / state.rate;
                }
            }
        });
        Self { state, thread: Some(thread) }
    }

    /// So many datagrams a second from now on.
    pub(crate) fn rate(&self, rate: u32) {
        self.state.lock().unwrap().rate = rate;
    }

    /// Whether flows that there are stay, from now on.
    pub(crate) fn hold(&self, held: bool) {
        self.state.lock().unwrap().held = held;
    }

    /// Every flow that there is now is answered still.
    pub(crate) fn is_answered(&self) {
        let mark = |state: &mut State, held: bool| {
            state.held = held;
            state.flows.iter_mut().for_each(|flow| flow.mark = flow.received);
        };
        mark(&mut self.state.lock().unwrap(), true);
        let end = Instant::now() + PATIENCE;
        loop {
            std::thread::sleep(Duration::from_millis(20));
            let mut state = self.state.lock().unwrap();
            let silent = state.flows.iter().filter(|flow| flow.received <= flow.mark).count();
            if silent == 0 && !state.flows.is_empty() {
                return mark(&mut state, false);
            }
            assert!(Instant::now() < end, "{silent} of {} flows are dead", state.flows.len());
        }
    }

    /// Datagrams that were sent, and that came back.
    pub(crate) fn counts(&self) -> (u64, u64) {
        let state = self.state.lock().unwrap();
        let sum = |of: fn(&Flow) -> u64| state.flows.iter().map(of).sum::<u64>();
        (state.ended.0 + sum(|flow| flow.sent), state.ended.1 + sum(|flow| flow.received))
    }
}

impl Drop for Traffic {
    fn drop(&mut self) {
        if let Ok(mut state) = self.state.lock() {
            state.stop = true;
        }
        let ended = self.thread.take().map(JoinHandle::join);
        assert!(std::thread::panicking() || !matches!(ended, Some(Err(_))), "what sends has ended");
    }
}
