//! Modules between sockets.

use std::os::fd::OwnedFd;
use std::time::{Duration, Instant};

use prost::{Message, Name};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::retry_on_intr;
use rustix::net::{SendFlags, send};
use softnic::bess::{Config, pb};

use super::{Daemon, packed, receive};

/// A daemon, with a module between as many sockets as it has gates: what goes into socket N comes in at gate N, what
/// leaves at gate N comes out of socket N.
pub(crate) struct Bench {
    pub(crate) daemon: Daemon,
    pub(crate) sockets: Vec<OwnedFd>,
}

impl Bench {
    pub(crate) fn new<A: Message + Name>(class: &str, arg: &A, gates: usize) -> Self {
        Self::of(&[(class, packed(arg))], gates)
    }

    /// Modules one behind the other, named `m0`, `m1` and so on.
    pub(crate) fn of(modules: &[(&str, prost_types::Any)], gates: usize) -> Self {
        let mut daemon = Daemon::start(Config { buffers: 4096, ..Config::default() });
        for (number, (class, arg)) in modules.iter().enumerate() {
            let request = pb::CreateModuleRequest {
                name: format!("m{number}"),
                mclass: (*class).to_owned(),
                arg: Some(arg.clone()),
            };
            daemon.must("CreateModule", &request);
            if number > 0 {
                daemon.connect(&format!("m{}", number - 1), 0, 0, &format!("m{number}"));
            }
        }
        let last = format!("m{}", modules.len() - 1);
        let sockets = (0..gates).map(|gate| Self::attach(&mut daemon, gate, &last)).collect();
        daemon.must("ResumeAll", &pb::EmptyRequest {});
        Self { daemon, sockets }
    }

    pub(crate) fn attach(daemon: &mut Daemon, gate: usize, last: &str) -> OwnedFd {
        let [port, inwards, outwards] = ["p", "in", "out"].map(|name| format!("{name}{gate}"));
        let socket = daemon.socket(&port);
        daemon.module("PortInc", &inwards, &pb::PortIncArg { port: port.clone(), prefetch: false });
        daemon.module("PortOut", &outwards, &pb::PortOutArg { port });
        // A module without a second input gate has it all at the first.
        let request = |igate| pb::ConnectModulesRequest {
            m1: inwards.clone(),
            m2: "m0".to_owned(),
            ogate: 0,
            igate,
            skip_default_hooks: false,
        };
        if daemon.tell("ConnectModules", &request(gate as u64)).0 != 0 {
            daemon.must("ConnectModules", &request(0));
        }
        daemon.connect(last, gate as u64, 0, &outwards);
        socket
    }

    pub(crate) fn send(&self, gate: usize, frame: &[u8]) {
        send(&self.sockets[gate], frame, SendFlags::empty()).unwrap();
    }

    pub(crate) fn receive(&self, gate: usize) -> Vec<u8> {
        receive(&self.sockets[gate])
    }

    /// The next frame from any socket, and which one that is; the first of those that have one.
    pub(crate) fn next(&self) -> (usize, Vec<u8>) {
        self.polled(20).expect("no frame comes out")
    }

    /// A frame that has come out already, if there is one.
    pub(crate) fn at_once(&self) -> Option<(usize, Vec<u8>)> {
        self.polled(0)
    }

    fn polled(&self, seconds: i64) -> Option<(usize, Vec<u8>)> {
        let patience = Timespec { tv_sec: seconds, tv_nsec: 0 };
        let mut polled: Vec<PollFd<'_>> =
            self.sockets.iter().map(|socket| PollFd::new(socket, PollFlags::IN)).collect();
        retry_on_intr(|| poll(&mut polled, Some(&patience))).unwrap();
        let gate = polled.iter().position(|socket| socket.revents().contains(PollFlags::IN))?;
        Some((gate, self.receive(gate)))
    }

    /// Sends a frame in at a gate, and gets the one that comes out at another.
    pub(crate) fn through(&self, from: usize, frame: &[u8], to: usize) -> Vec<u8> {
        self.send(from, frame);
        self.receive(to)
    }

    /// Waits until so many packets that came in at gate 0 have been taken through the graph.
    pub(crate) fn wait_for(&mut self, packets: u64) {
        let request = pb::GetTcStatsRequest { name: "!leaf_in0:0".to_owned() };
        let start = Instant::now();
        while self.daemon.ask::<pb::GetTcStatsResponse>("GetTcStats", &request).packets < packets {
            assert!(start.elapsed() < Duration::from_secs(20), "never {packets} packets");
        }
    }

    pub(crate) fn command<A: Message + Name>(&mut self, command: &str, arg: &A) -> pb::CommandResponse {
        self.daemon.command("m0", command, arg)
    }

    /// A command that must succeed, and its answer.
    pub(crate) fn ask<A: Message + Name, R: Message + Default>(&mut self, command: &str, arg: &A) -> R {
        let answer = self.command(command, arg);
        assert_eq!(answer.error, None, "{command}");
        R::decode(&*answer.data.unwrap_or_default().value).unwrap()
    }
}
