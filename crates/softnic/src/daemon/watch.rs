//! Hearing of the end of processes, as it happens.

use std::collections::HashMap;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use rustix::event::epoll;
use rustix::io::Errno;

/// A thread that sleeps until one of the processes it was given has ended.
pub(super) struct Watch {
    epoll: Arc<OwnedFd>,
    watched: Arc<Mutex<HashMap<u64, OwnedFd>>>,
}

impl Watch {
    /// Calls `ended` with the number under which a process was watched, once for each that ends.
    pub(super) fn start(mut ended: impl FnMut(u64) + Send + 'static) -> io::Result<Self> {
        let watch =
            Self { epoll: Arc::new(epoll::create(epoll::CreateFlags::CLOEXEC)?), watched: Arc::default() };
        let (epoll, watched) = (watch.epoll.clone(), watch.watched.clone());
        std::thread::Builder::new().name("watch".into()).spawn(move || {
            let mut events = Vec::with_capacity(64);
            loop {
                events.clear();
                match epoll::wait(&*epoll, rustix::buffer::spare_capacity(&mut events), None) {
                    Ok(_) | Err(Errno::INTR) => {}
                    Err(error) => {
                        return tracing::error!("ends of processes are no longer heard of: {error}");
                    }
                }
                for event in &events {
                    let number = event.data.u64();
                    // Closing the descriptor takes it out of the set.
                    if locked(&watched).remove(&number).is_some() {
                        ended(number);
                    }
                }
            }
        })?;
        Ok(watch)
    }

    /// Watches the process of a pidfd, which is readable once it has ended (pidfd_open(2)), under a number of its own.
    pub(super) fn add(&self, number: u64, process: OwnedFd) -> io::Result<()> {
        let mut watched = locked(&self.watched);
        epoll::add(&*self.epoll, process.as_fd(), epoll::EventData::new_u64(number), epoll::EventFlags::IN)?;
        watched.insert(number, process);
        Ok(())
    }
}

fn locked(watched: &Mutex<HashMap<u64, OwnedFd>>) -> MutexGuard<'_, HashMap<u64, OwnedFd>> {
    watched.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use std::process::{Command, Stdio};
    use std::sync::mpsc;
    use std::time::Duration;

    use host::ProcessId;

    use super::*;

    #[test]
    fn each_end_is_heard_of_once() {
        let (sender, receiver) = mpsc::channel();
        let watch = Watch::start(move |number| sender.send(number).unwrap()).unwrap();
        let mut children: Vec<_> =
            (0..3).map(|_| Command::new("cat").stdin(Stdio::piped()).spawn().unwrap()).collect();
        for (number, child) in children.iter().enumerate() {
            watch.add(number as u64, ProcessId::of(child.id()).unwrap().open().unwrap()).unwrap();
        }
        for at in [1, 2, 0] {
            drop(children[at].stdin.take());
            children[at].wait().unwrap();
        }
        let mut heard = [0; 3].map(|_| receiver.recv_timeout(Duration::from_secs(20)).unwrap());
        heard.sort_unstable();
        assert_eq!(heard, [0, 1, 2]);
        assert!(receiver.recv_timeout(Duration::from_millis(50)).is_err());
    }
}
