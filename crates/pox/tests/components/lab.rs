//! A controller and one switch, whose ports the test is behind.

use std::net::Ipv4Addr;
use std::time::Duration;

use openflow::Version;
use openflow::field::Field;
use openflow::flow::{self, NO_BUFFER, PacketInFormat, PacketInReason};
use openflow::matching::Match;
use openflow::message::{Body, Features, Message};
use openflow::oxm::Oxm;
use openflow::port::Port;
use packet::wire::{MacAddr, arp};
use pox::{ConnectionId, Controller, Core, Event, Input, Launcher, Output, PortNo, compose};

/// What events said.
pub(crate) type Diary = std::rc::Rc<std::cell::RefCell<Vec<String>>>;

/// The controller, its time, and its switch with ports 1 and 2.
pub(crate) struct Lab {
    pub(crate) controller: Controller,
    pub(crate) now: Duration,
    pub(crate) switch: ConnectionId,
}

impl Lab {
    /// Launches a line and connects the switch.
    pub(crate) fn new(version: Version, line: &[&str]) -> Self {
        let mut controller = Controller::new();
        let lines = pox::launch::read_words(line).unwrap();
        Launcher::stock().launch(controller.core_mut(), &lines).unwrap();
        let now = Duration::from_secs(1);
        controller.handle(now, Input::Start);
        let port = |n: u8| Port {
            number: PortNo(n.into()),
            address: MacAddr([2, 0, 0, 0, 1, n]),
            name: format!("p{n}"),
            ..Port::default()
        };
        let features =
            Features { datapath: 1, tables: 1, ports: vec![port(1), port(2)], ..Features::default() };
        let switch = ConnectionId(1);
        controller.connected(now, switch, version, features, "test:1");
        let mut lab = Self { controller, now, switch };
        let barrier = lab.sent().pop().unwrap();
        lab.tell(barrier.xid, Body::BarrierReply);
        lab
    }

    /// Messages to the switch.
    pub(crate) fn sent(&mut self) -> Vec<Message> {
        let mut messages = Vec::new();
        while let Some(output) = self.controller.poll_output() {
            if let Output::Message { message, .. } = output {
                messages.push(message);
            }
        }
        messages
    }

    /// A message from the switch.
    pub(crate) fn tell(&mut self, xid: u32, body: Body) {
        let message = Message::new(xid, body);
        self.controller.handle(self.now, Input::Message { connection: self.switch, message });
    }

    /// Matches of the flows that bring packets to the controller.
    pub(crate) fn flows(&mut self) -> Vec<Match> {
        let flow = |message: Message| match message.body {
            Body::FlowMod(flow) => Some(flow.matching),
            _ => None,
        };
        self.sent().into_iter().filter_map(flow).collect()
    }

    /// A host sends a frame.
    pub(crate) fn send(&mut self, port: u32, frame: &[u8]) {
        self.tell(
            0,
            Body::PacketIn(flow::PacketIn {
                format: PacketInFormat::Standard,
                buffer: NO_BUFFER,
                total_len: frame.len() as u16,
                reason: PacketInReason::Action,
                table: 0,
                cookie: 0,
                metadata: Match::Fields(vec![Oxm::exact(Field::InPort, port.into())]),
                data: frame.to_vec(),
            }),
        );
    }

    /// A host sends a frame; what comes back.
    pub(crate) fn host(&mut self, port: u32, frame: &[u8]) -> Vec<Vec<u8>> {
        self.send(port, frame);
        self.frames()
    }

    /// Packets the switch was told to send.
    pub(crate) fn frames(&mut self) -> Vec<Vec<u8>> {
        let frame = |message: Message| match message.body {
            Body::PacketOut(out) if !out.data.is_empty() => Some(out.data),
            _ => None,
        };
        self.sent().into_iter().filter_map(frame).collect()
    }

    /// Lets time pass, deadline by deadline.
    pub(crate) fn pass(&mut self, time: Duration) -> Vec<Vec<u8>> {
        let end = self.now + time;
        while let Some(deadline) = self.controller.next_deadline().filter(|deadline| *deadline <= end) {
            self.now = deadline;
            self.controller.handle(self.now, Input::Time);
        }
        self.now = end;
        self.controller.handle(self.now, Input::Time);
        self.frames()
    }

    /// Keeps the events of a kind.
    pub(crate) fn diary<E: Event>(&mut self, of: &'static str, text: fn(&E) -> String) -> Diary {
        let diary = Diary::default();
        let kept = diary.clone();
        let note = move |(): &mut (), event: &E, _: &mut Core| kept.borrow_mut().push(text(event));
        self.controller.core_mut().listen(of, note);
        diary
    }
}

/// On a switch of each version.
pub(crate) fn both(test: impl Fn(Version)) {
    Version::ALL.into_iter().for_each(test);
}

/// Who has that address?
pub(crate) fn question(sender: (MacAddr, Ipv4Addr), target: Ipv4Addr) -> Vec<u8> {
    compose::arp(&arp::Repr {
        operation: arp::Operation::REQUEST,
        sender_mac: sender.0,
        sender_ip: sender.1,
        target_mac: MacAddr::UNSPECIFIED,
        target_ip: target,
    })
}
