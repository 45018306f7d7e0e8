//! How time passes in a world.

use std::time::Duration;

use openflow::channel::{Down, Event};
use openflow::port::PortNo;
use topology::{Endpoint, NodeId, PortNumber};

use super::queue::Happening;
use super::{HAPPENINGS_MAX, IN_FLIGHT_MAX, Node, REDIAL, World, WorldError, switch};
use crate::controller::{Input, Output};
use crate::edge;
use crate::nexus::ConnectionId;

/// Time.
impl World {
    /// Lets time pass.
    ///
    /// # Errors
    /// More than [`HAPPENINGS_MAX`] things happen.
    pub fn run_for(&mut self, time: Duration) -> Result<(), WorldError> {
        self.run_until(self.now + time, |_| false).map(|_| ())
    }

    /// Lets time pass until then, or until something is so; tells whether it is.
    ///
    /// # Errors
    /// More than [`HAPPENINGS_MAX`] things happen.
    pub fn run_until(&mut self, end: Duration, is_so: impl Fn(&Self) -> bool) -> Result<bool, WorldError> {
        self.start()?;
        self.drain_controller();
        for _ in 0..HAPPENINGS_MAX {
            if is_so(self) {
                return Ok(true);
            }
            let Some((at, happening)) = self.queue.pop(end) else {
                self.now = end;
                return Ok(is_so(self));
            };
            self.now = at;
            self.happen(happening);
        }
        Err(WorldError::TooMuch)
    }

    /// Ends the controller.
    pub fn stop(&mut self) {
        self.controller.handle(self.now, Input::Stop);
        self.drain_controller();
    }

    fn start(&mut self) -> Result<(), WorldError> {
        if std::mem::replace(&mut self.started, true) {
            return Ok(());
        }
        let spread = u64::try_from(self.config.spread.as_nanos()).unwrap_or(u64::MAX);
        for id in self.nodes.keys().copied().collect::<Vec<_>>() {
            let at = self.now + Duration::from_nanos(self.random.below(spread));
            if let Some(Node::Switch(switch)) = self.nodes.get_mut(&id) {
                switch.power_on(self.now).map_err(|error| WorldError::Port(switch.name.clone(), error))?;
                self.queue.plan(at, Happening::Connect { node: id });
            }
        }
        self.controller.handle(self.now, Input::Start);
        Ok(())
    }

    fn happen(&mut self, happening: Happening) {
        match happening {
            Happening::Frame { at, frame } => self.arrive(at, &frame),
            Happening::ToSwitch { node, channel, bytes } => self.switch_hears(node, channel, &bytes),
            Happening::ToController { node, channel, bytes } => {
                let now = self.now;
                if let Some(line) = self.line(node, channel) {
                    line.at_controller.handle_bytes(now, &bytes);
                    self.serve_controller(node);
                }
            }
            Happening::Connect { node } => self.connect(node),
            Happening::Closed { node, channel, reason } => self.closed(node, channel, &reason),
            Happening::NodeTime { node } => self.node_time(node),
            Happening::ControllerTime => {
                self.controller_timer = None;
                self.controller.handle(self.now, Input::Time);
                self.drain_controller();
            }
        }
    }

    fn line(&mut self, node: NodeId, channel: u64) -> Option<&mut switch::Line> {
        match self.nodes.get_mut(&node) {
            Some(Node::Switch(switch)) => switch.line.as_mut().filter(|line| line.number == channel),
            _ => None,
        }
    }

    /// A frame leaves a node.
    fn transmit(&mut self, from: Endpoint, frame: Vec<u8>) {
        let Some(wire) =
            self.wires.get_mut(&from).filter(|wire| wire.passes && wire.in_flight < IN_FLIGHT_MAX)
        else {
            self.counters.lost += 1;
            return;
        };
        wire.in_flight += 1;
        self.counters.frames += 1;
        self.queue.plan(self.now + wire.delay, Happening::Frame { at: wire.to, frame });
    }

    /// A frame arrives at a node, if its link still is.
    fn arrive(&mut self, at: Endpoint, frame: &[u8]) {
        let now = self.now;
        let back = self.wires.get(&at).map(|wire| wire.to);
        let wire = back.and_then(|from| self.wires.get_mut(&from)).filter(|wire| wire.to == at);
        let passes = wire.is_some_and(|wire| {
            wire.in_flight = wire.in_flight.saturating_sub(1);
            wire.passes
        });
        if !passes {
            self.counters.lost += 1;
            return;
        }
        match self.nodes.get_mut(&at.node) {
            Some(Node::Switch(switch)) => {
                if let Some(switch) = &mut switch.switch {
                    switch.receive(now, PortNo(at.port.0), frame);
                }
                self.drain_switch(at.node);
            }
            Some(Node::Host(host)) => {
                host.receive(now, frame);
                self.drain_host(at.node);
            }
            None => {}
        }
    }

    pub(super) fn drain_host(&mut self, id: NodeId) {
        let port = self.wires.keys().find(|end| end.node == id).map(|end| end.port);
        let Some(Node::Host(host)) = self.nodes.get_mut(&id) else { return };
        let frames: Vec<Vec<u8>> = std::iter::from_fn(|| host.poll_output()).collect();
        let deadline = host.next_deadline();
        match port {
            Some(port) => {
                frames.into_iter().for_each(|frame| self.transmit(Endpoint { node: id, port }, frame));
            }
            None => self.counters.lost += frames.len() as u64,
        }
        if let Some(at) = deadline {
            self.queue.plan(at.max(self.now), Happening::NodeTime { node: id });
        }
    }

    /// Sends what a switch wants sent.
    pub(super) fn drain_switch(&mut self, id: NodeId) {
        let now = self.now;
        let Some(Node::Switch(switch)) = self.nodes.get_mut(&id) else { return };
        let frames = switch.outputs();
        if let Some(line) = switch.line.as_mut().filter(|_| switch.switch.is_some()) {
            let bytes = line.at_switch.output().to_vec();
            if !bytes.is_empty() {
                line.at_switch.consume_output(bytes.len());
                self.counters.control_bytes += bytes.len() as u64;
                let to = Happening::ToController { node: id, channel: line.number, bytes };
                self.queue.plan(now + self.config.control_delay, to);
            }
        }
        self.plan_node(id);
        for (port, frame) in frames {
            self.transmit(Endpoint { node: id, port: PortNumber(port.0) }, frame);
        }
    }

    /// Plans a switch's next deadline, where it is earlier than what is planned.
    fn plan_node(&mut self, id: NodeId) {
        let Some(Node::Switch(switch)) = self.nodes.get_mut(&id) else { return };
        if let Some(deadline) = switch.next_deadline().map(|deadline| deadline.max(self.now))
            && switch.timer.is_none_or(|planned| deadline < planned)
        {
            switch.timer = Some(deadline);
            self.queue.plan(deadline, Happening::NodeTime { node: id });
        }
    }

    fn node_time(&mut self, id: NodeId) {
        let now = self.now;
        match self.nodes.get_mut(&id) {
            Some(Node::Host(host)) => {
                host.expire(now);
                self.drain_host(id);
            }
            Some(Node::Switch(switch)) => {
                if switch.timer.is_some_and(|planned| planned <= now) {
                    switch.timer = None;
                }
                switch.expire(now);
                self.drain_switch(id);
                self.serve_controller(id);
            }
            None => {}
        }
    }

    fn connect(&mut self, node: NodeId) {
        let (now, number) = (self.now, self.lines);
        let Some(Node::Switch(switch)) = self.nodes.get_mut(&node) else { return };
        if switch.switch.is_none() || switch.line.is_some() {
            return;
        }
        self.lines += 1;
        switch.dial(now, number);
        self.owners.insert(ConnectionId(number), node);
        self.drain_switch(node);
        self.serve_controller(node);
    }

    fn switch_hears(&mut self, node: NodeId, channel: u64, bytes: &[u8]) {
        if self.line(node, channel).is_none() {
            return;
        }
        let now = self.now;
        if let Some(Node::Switch(switch)) = self.nodes.get_mut(&node) {
            switch.hear(now, bytes);
        }
        self.drain_switch(node);
    }

    /// Hands in what the controller's end of a switch's channel tells.
    fn serve_controller(&mut self, node: NodeId) {
        loop {
            let now = self.now;
            let Some(Node::Switch(switch)) = self.nodes.get_mut(&node) else { return };
            let Some(line) = &mut switch.line else { return };
            let id = ConnectionId(line.number);
            match line.at_controller.poll_event() {
                None => break,
                Some(Event::Up(up)) => {
                    line.up = true;
                    let features = up.features.map(|features| *features).unwrap_or_default();
                    let peer = format!("world:{}", switch.name);
                    self.controller.connected(now, id, up.version, features, &peer);
                }
                Some(Event::Down(reason)) => {
                    let reason = reason.to_string();
                    self.hang_up(node, &reason);
                }
                Some(event) => edge::hand_in(&mut self.controller, now, id, event),
            }
            self.drain_controller();
        }
        self.drain_controller();
        self.flush_controller(node);
        self.plan_node(node);
    }

    /// The controller's end of a channel is over.
    fn hang_up(&mut self, node: NodeId, reason: &str) {
        let now = self.now;
        let Some(Node::Switch(switch)) = self.nodes.get_mut(&node) else { return };
        let Some(line) = switch.line.take() else { return };
        self.owners.remove(&ConnectionId(line.number));
        if let Some(switch) = &mut switch.switch {
            switch.disconnect(now, switch::CONTROLLER);
            self.queue.plan(now + REDIAL, Happening::Connect { node });
        }
        if line.up {
            let input = Input::Disconnected { connection: ConnectionId(line.number), reason: reason.into() };
            self.controller.handle(now, input);
        }
    }

    fn closed(&mut self, node: NodeId, channel: u64, reason: &str) {
        if self.line(node, channel).is_some() {
            self.hang_up(node, reason);
            self.drain_controller();
        }
    }

    /// Does what the controller wants done.
    fn drain_controller(&mut self) {
        let now = self.now;
        let mut touched = Vec::new();
        while let Some(output) = self.controller.poll_output() {
            match output {
                Output::Message { connection, message } => {
                    let Some(&node) = self.owners.get(&connection) else { continue };
                    let Some(line) = self.line(node, connection.0) else { continue };
                    let xid = message.xid;
                    if let Err(error) = line.at_controller.send(&message) {
                        let problem = error.to_string();
                        self.controller.handle(now, Input::Unsaid { connection, xid, problem });
                    }
                    touched.push(node);
                }
                Output::Close { connection, reason } => {
                    if let Some(&node) = self.owners.get(&connection) {
                        let at = now + self.config.control_delay;
                        let reason = Down::Here(reason).to_string();
                        self.queue.plan(at, Happening::Closed { node, channel: connection.0, reason });
                    }
                }
                // Every switch of the world calls the controller, wherever it waits.
                Output::Listen(_) | Output::Dial(_) => {}
                Output::Quit => self.controller.handle(now, Input::Stop),
            }
        }
        touched.sort_unstable();
        touched.dedup();
        for node in touched {
            self.flush_controller(node);
        }
        if let Some(deadline) = self.controller.next_deadline().map(|deadline| deadline.max(now))
            && self.controller_timer.is_none_or(|planned| deadline < planned)
        {
            self.controller_timer = Some(deadline);
            self.queue.plan(deadline, Happening::ControllerTime);
        }
    }

    fn flush_controller(&mut self, node: NodeId) {
        let now = self.now;
        let Some(Node::Switch(switch)) = self.nodes.get_mut(&node) else { return };
        let Some(line) = &mut switch.line else { return };
        let bytes = line.at_controller.output().to_vec();
        if !bytes.is_empty() {
            line.at_controller.consume_output(bytes.len());
            self.counters.control_bytes += bytes.len() as u64;
            let to = Happening::ToSwitch { node, channel: line.number, bytes };
            self.queue.plan(now + self.config.control_delay, to);
        }
    }
}
