//! A switch on a plain socket, which says what a test wants it to say.
#![allow(dead_code, reason = "not every test uses all of it")]

use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use openflow::Version;
use openflow::codec;
use openflow::flow::{NO_BUFFER, PacketIn, PacketInFormat, PacketInReason};
use openflow::matching::Match;
use openflow::message::{Body, Features, Message};
use openflow::multipart::{MultipartReply, Reply};
use openflow::port::PortNo;

/// Longer than anything takes on a busy machine.
const PATIENCE: Duration = Duration::from_secs(20);

pub(crate) struct Peer {
    pub(crate) socket: TcpStream,
    pub(crate) datapath: u64,
    pub(crate) auxiliary: u8,
    read: Vec<u8>,
}

impl Peer {
    /// Connects and says hello.
    pub(crate) fn connect(at: SocketAddr, datapath: u64) -> Self {
        let mut socket = TcpStream::connect(at).unwrap();
        socket.set_nodelay(true).unwrap();
        socket.write_all(&[4, 0, 0, 8, 0, 0, 0, 1]).unwrap();
        Self { socket, datapath, auxiliary: 0, read: Vec::new() }
    }

    /// Answers the controller until it has asked for a barrier.
    pub(crate) fn come_up(&mut self, turn: impl FnMut()) {
        self.until(turn, |message| matches!(message.body, Body::BarrierRequest));
    }

    /// Has an echo request answered.
    pub(crate) fn barrier(&mut self, turn: impl FnMut()) {
        self.socket.write_all(&encoded(Version::V13, 4711, Body::EchoRequest(vec![]))).unwrap();
        self.until(turn, |message| message.xid == 4711);
    }

    /// Reads and answers, while `turn` has the other side run, until such a message has come and been answered.
    pub(crate) fn until(&mut self, mut turn: impl FnMut(), what: impl Fn(&Message) -> bool) {
        let begin = Instant::now();
        self.socket.set_nonblocking(true).unwrap();
        loop {
            assert!(begin.elapsed() < PATIENCE);
            turn();
            let mut bytes = [0; 65_536];
            match self.socket.read(&mut bytes) {
                Ok(0) => panic!("closed"),
                Ok(count) => self.read.extend(&bytes[..count]),
                Err(error) if error.kind() == ErrorKind::WouldBlock => continue,
                Err(error) => panic!("{error}"),
            }
            while let Some(message) = self.next() {
                if let Some(reply) = answer(self.datapath, self.auxiliary, &message) {
                    self.socket.write_all(&encoded(Version::V13, reply.xid, reply.body)).unwrap();
                }
                if what(&message) {
                    // So that the other side has the answer.
                    turn();
                    return;
                }
            }
        }
    }

    fn next(&mut self) -> Option<Message> {
        let length = usize::from(u16::from_be_bytes([*self.read.get(2)?, *self.read.get(3)?]));
        if self.read.len() < length {
            return None;
        }
        let bytes: Vec<u8> = self.read.drain(..length).collect();
        Some(codec::decode(&bytes).unwrap().1)
    }
}

/// What a switch without flows or ports answers.
pub(crate) fn answer(datapath: u64, auxiliary: u8, message: &Message) -> Option<Message> {
    let body = match &message.body {
        Body::FeaturesRequest => Body::FeaturesReply(Features { datapath, auxiliary, ..Features::default() }),
        Body::MultipartRequest(_) => {
            Body::MultipartReply(MultipartReply { flags: 0, body: Reply::PortDescription(vec![]) })
        }
        Body::BarrierRequest => Body::BarrierReply,
        Body::EchoRequest(data) => Body::EchoReply(data.clone()),
        _ => return None,
    };
    Some(Message::new(message.xid, body))
}

pub(crate) fn encoded(version: Version, xid: u32, body: Body) -> Vec<u8> {
    let mut bytes = Vec::new();
    codec::encode(version, &Message::new(xid, body), &mut bytes).unwrap();
    bytes
}

pub(crate) fn packet_in(data: &[u8]) -> Body {
    Body::PacketIn(PacketIn {
        format: PacketInFormat::Standard,
        buffer: NO_BUFFER,
        total_len: data.len() as u16,
        reason: PacketInReason::NoMatch,
        table: 0,
        cookie: 0,
        metadata: Match::new().in_port(PortNo(1)),
        data: data.to_vec(),
    })
}

/// Descriptors that this process has open.
pub(crate) fn descriptors() -> usize {
    std::fs::read_dir("/proc/self/fd").unwrap().count()
}
