//! One end of a wire in the test's own hands.

use std::time::Instant;

use packet::{Batch, Pool};
use ports::packet_socket::{PacketConfig, PacketPort};
use ports::{LinkState, Port, RxQueue, TxQueue};

use super::{Netns, PATIENCE};

/// An interface in our hands.
pub struct Wire {
    _port: PacketPort,
    rx: Box<dyn RxQueue>,
    tx: Box<dyn TxQueue>,
}

impl Wire {
    /// An interface of a namespace, once it is up.
    pub fn open(ns: &Netns, name: &str, pool: &Pool) -> Self {
        let (interface, pool) = (name.to_owned(), pool.clone());
        let open = move || PacketPort::open(&interface, &PacketConfig::default(), &pool);
        let mut port = ns.enter(open).join().unwrap().unwrap();
        let start = Instant::now();
        while port.link() != LinkState::Up {
            assert!(start.elapsed() < PATIENCE, "{name} stays down");
            std::thread::yield_now();
        }
        let (rx, tx) = port.queue(0).unwrap();
        Self { _port: port, rx, tx }
    }

    pub fn send(&mut self, pool: &Pool, frame: &[u8]) {
        let mut batch = Batch::new();
        batch.push(pool.packet(frame).expect("a buffer")).unwrap();
        let start = Instant::now();
        while self.tx.send(&mut batch).unwrap() == 0 {
            assert!(start.elapsed() < PATIENCE, "the wire takes nothing");
        }
    }

    /// What has come in, once something has.
    pub fn receive(&mut self) -> Vec<Vec<u8>> {
        let start = Instant::now();
        loop {
            let mut batch = Batch::new();
            self.rx.receive(&mut batch).unwrap();
            if !batch.is_empty() {
                return batch.iter().map(|packet| packet.data().to_vec()).collect();
            }
            assert!(start.elapsed() < PATIENCE, "nothing comes");
            let ready = self.rx.poll_fd().unwrap();
            let a_second = rustix::event::Timespec { tv_sec: 1, tv_nsec: 0 };
            let mut ready = [rustix::event::PollFd::new(&ready, rustix::event::PollFlags::IN)];
            rustix::event::poll(&mut ready, Some(&a_second)).unwrap();
        }
    }
}
