//! Names become addresses on threads of their own, since the system's resolver waits.

use std::net::{SocketAddr, ToSocketAddrs};
use std::sync::mpsc::{Receiver, SyncSender, channel, sync_channel};
use std::sync::{Arc, Mutex};

use mio::Waker;

/// Threads.
const THREADS: usize = 8;
/// Names that wait; one more is refused.
const WAITING_MAX: usize = 256;
/// Addresses of a name that are tried.
const ADDRESSES_MAX: usize = 4;

/// A name with its port, and whose it is.
type Question = (u64, String, u16);

#[derive(Debug)]
pub(super) struct Resolver {
    questions: SyncSender<Question>,
    answers: Receiver<(u64, Vec<SocketAddr>)>,
}

impl Resolver {
    /// Wakes up who waits for answers.
    pub(super) fn new(waker: &Arc<Waker>) -> Self {
        let (questions, asked) = sync_channel::<Question>(WAITING_MAX);
        let (answer, answers) = channel();
        let asked = Arc::new(Mutex::new(asked));
        for _ in 0..THREADS {
            let (asked, answer, waker) = (asked.clone(), answer.clone(), waker.clone());
            // They end with the questions: when the resolver is dropped.
            std::thread::spawn(move || {
                loop {
                    let next = asked.lock().ok().and_then(|asked| asked.recv().ok());
                    let Some((whose, name, port)) = next else { return };
                    let found = (name.as_str(), port)
                        .to_socket_addrs()
                        .map(|found| found.take(ADDRESSES_MAX).collect());
                    if answer.send((whose, found.unwrap_or_default())).is_err() || waker.wake().is_err() {
                        return;
                    }
                }
            });
        }
        Self { questions, answers }
    }

    /// Asks; false where too many wait.
    pub(super) fn ask(&self, whose: u64, name: &str, port: u16) -> bool {
        self.questions.try_send((whose, name.to_owned(), port)).is_ok()
    }

    /// An answer that is there: nothing in it where the name has no address.
    pub(super) fn answer(&self) -> Option<(u64, Vec<SocketAddr>)> {
        self.answers.try_recv().ok()
    }
}
