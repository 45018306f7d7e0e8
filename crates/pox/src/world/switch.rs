//! A simulated switch, and its control channel: both ends of it, with real bytes in between.

use std::time::Duration;

use openflow::Version;
use openflow::channel::{Channel, Config, Event, Versions};
use openflow::port::{Port, PortNo, state};
use openflow::switch::{ConnectionId, Output, PortError, Switch, SwitchConfig};
use packet::wire::MacAddr;

use crate::nexus::Dpid;

/// The number of the controller's connection at every switch.
pub(super) const CONTROLLER: ConnectionId = ConnectionId(1);

/// A switch of the world.
#[derive(Debug)]
pub(super) struct SimSwitch {
    pub(super) name: String,
    pub(super) datapath: Dpid,
    version: Version,
    buffers: u32,
    ports: Vec<Port>,
    /// Not there while it is dead.
    pub(super) switch: Option<Switch>,
    /// Whether it leaves undone what the controller says.
    pub(super) hangs: bool,
    pub(super) line: Option<Line>,
    /// When its next deadline is planned.
    pub(super) timer: Option<Duration>,
}

/// A control channel.
#[derive(Debug)]
pub(super) struct Line {
    /// Its number, at the controller too.
    pub(super) number: u64,
    pub(super) at_switch: Channel,
    pub(super) at_controller: Channel,
    /// Whether the controller knows it.
    pub(super) up: bool,
}

impl SimSwitch {
    pub(super) fn new(name: &str, datapath: Dpid, version: Version, buffers: u32) -> Self {
        let (name, ports) = (name.into(), Vec::new());
        Self { name, datapath, version, buffers, ports, switch: None, hangs: false, line: None, timer: None }
    }

    /// Its port of that number, with carrier or without. A new one is added.
    pub(super) fn set_port(&mut self, now: Duration, number: u32, carrier: bool) -> Result<(), PortError> {
        let [.., a, b, c] = self.datapath.0.to_be_bytes();
        let [.., high, low] = number.to_be_bytes();
        let port = Port {
            number: PortNo(number),
            address: MacAddr([0x0e, a, b, c, high, low]),
            name: format!("{}-eth{number}", self.name).chars().take(15).collect(),
            state: if carrier { 0 } else { state::LINK_DOWN },
            ..Port::default()
        };
        match self.ports.iter_mut().find(|known| known.number == port.number) {
            Some(known) => *known = port.clone(),
            None => self.ports.push(port.clone()),
        }
        match &mut self.switch {
            Some(switch) => switch.add_port(now, port),
            None => Ok(()),
        }
    }

    /// Powers it on, with empty tables.
    pub(super) fn power_on(&mut self, now: Duration) -> Result<(), PortError> {
        let config =
            SwitchConfig { datapath: self.datapath.0, buffers: self.buffers, ..SwitchConfig::default() };
        let mut switch = Switch::new(config);
        for port in &self.ports {
            switch.add_port(now, port.clone())?;
        }
        self.switch = Some(switch);
        Ok(())
    }

    /// Calls the controller.
    pub(super) fn dial(&mut self, now: Duration, number: u64) {
        let config = |versions| Config { versions, ..Config::default() };
        self.line = Some(Line {
            number,
            at_switch: Channel::switch(config(Versions::only(self.version)), now),
            at_controller: Channel::controller(config(Versions::ALL), now),
            up: false,
        });
    }

    /// Hears bytes of its control channel, does what they say.
    pub(super) fn hear(&mut self, now: Duration, bytes: &[u8]) {
        if let Some(line) = &mut self.line {
            line.at_switch.handle_bytes(now, bytes);
        }
        self.serve(now);
    }

    /// Deals with what its end of the control channel tells.
    pub(super) fn serve(&mut self, now: Duration) {
        let (Some(line), Some(switch)) = (&mut self.line, &mut self.switch) else { return };
        while let Some(event) = line.at_switch.poll_event() {
            match event {
                Event::Up(up) => {
                    switch.connect(now, CONTROLLER, up.version);
                }
                Event::Message(_) if self.hangs => {}
                Event::Message(message) => switch.handle_message(now, CONTROLLER, &message),
                Event::Down(_) => switch.disconnect(now, CONTROLLER),
                Event::PacketIn(_) | Event::Raw(_) | Event::Answer { .. } | Event::Unreadable { .. } => {}
            }
        }
    }

    /// What it wants to send: the frames come back, the messages go into its channel.
    pub(super) fn outputs(&mut self) -> Vec<(PortNo, Vec<u8>)> {
        let Some(switch) = &mut self.switch else { return Vec::new() };
        let mut frames = Vec::new();
        while let Some(output) = switch.poll_output() {
            match output {
                Output::Packet { port, bytes, .. } => frames.push((port, bytes)),
                Output::Message { message, .. } => {
                    if let Some(line) = &mut self.line {
                        // What a channel does not take (its peer does not read) it counts.
                        let _ = line.at_switch.send(&message);
                    }
                }
            }
        }
        frames
    }

    /// When it has something to do though nothing comes in.
    pub(super) fn next_deadline(&self) -> Option<Duration> {
        let switch = self.switch.as_ref().and_then(Switch::next_deadline);
        let line = self.line.as_ref();
        let at_switch =
            line.filter(|_| self.switch.is_some()).and_then(|line| line.at_switch.next_deadline());
        let at_controller = line.and_then(|line| line.at_controller.next_deadline());
        [switch, at_switch, at_controller].into_iter().flatten().min()
    }

    /// Does what is due.
    pub(super) fn expire(&mut self, now: Duration) {
        if let Some(switch) = &mut self.switch {
            switch.expire(now);
            if let Some(line) = &mut self.line {
                line.at_switch.expire(now);
            }
        }
        if let Some(line) = &mut self.line {
            line.at_controller.expire(now);
        }
        self.serve(now);
    }
}
