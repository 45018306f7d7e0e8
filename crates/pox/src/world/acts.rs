//! What a test has happen in a world: pings, datagrams, failures, moves.

use std::net::Ipv4Addr;
use std::time::Duration;

use openflow::channel::Down;
use topology::{Endpoint, NodeId, PortNumber};

use super::queue::Happening;
use super::{Host, Node, World, WorldError};

/// What happens to it.
impl World {
    /// A host pings another; the ping is the last of its [`Host::pings`].
    ///
    /// # Errors
    /// No such hosts.
    pub fn ping(&mut self, from: &str, to: &str) -> Result<(), WorldError> {
        let to = self.host(to)?.ip;
        self.ping_address(from, to).map(|_| ())
    }

    /// A host pings an address; the place among its [`Host::pings`].
    ///
    /// # Errors
    /// No such host.
    pub fn ping_address(&mut self, from: &str, to: Ipv4Addr) -> Result<usize, WorldError> {
        let now = self.now;
        let (id, host) = self.find_host(from)?;
        let place = host.ping(now, to);
        self.drain_host(id);
        Ok(place)
    }

    /// A host pings another, and time passes until it is answered or over; how long that took, or `None`.
    ///
    /// # Errors
    /// No such hosts; too much happens.
    pub fn ping_within(
        &mut self,
        from: &str,
        to: &str,
        within: Duration,
    ) -> Result<Option<Duration>, WorldError> {
        let address = self.host(to)?.ip;
        let place = self.ping_address(from, address)?;
        let end = self.now + within;
        let answered =
            |world: &Self| world.host(from).is_ok_and(|host| host.pings()[place].answered.is_some());
        self.run_until(end, answered)?;
        let ping = self.host(from)?.pings()[place];
        Ok(ping.answered.map(|answered| answered - ping.sent))
    }

    /// A host pings another every so often until one ping is answered; how long that took from the first, or `None`.
    ///
    /// # Errors
    /// No such hosts; too much happens.
    pub fn ping_until_answered(
        &mut self,
        from: &str,
        to: &str,
        every: Duration,
        within: Duration,
    ) -> Result<Option<Duration>, WorldError> {
        let (address, start) = (self.host(to)?.ip, self.now);
        let first = self.host(from)?.pings().len();
        let answer = |world: &Self| {
            let pings = world.host(from).ok()?.pings().get(first..)?;
            pings.iter().find_map(|ping| ping.answered)
        };
        while self.now < start + within {
            self.ping_address(from, address)?;
            let end = (self.now + every).min(start + within);
            if self.run_until(end, |world| answer(world).is_some())? {
                return Ok(answer(self).map(|answered| answered - start));
            }
        }
        Ok(None)
    }

    /// How many of all pairs of hosts, both ways, can ping one another within that time each.
    ///
    /// # Errors
    /// Too much happens.
    pub fn ping_all(&mut self, within: Duration) -> Result<(usize, usize), WorldError> {
        let hosts: Vec<String> = self.hosts().map(|host| host.name.clone()).collect();
        let (mut answered, mut all) = (0, 0);
        for from in &hosts {
            for to in hosts.iter().filter(|to| *to != from) {
                all += 1;
                answered += usize::from(self.ping_within(from, to, within)?.is_some());
            }
        }
        Ok((answered, all))
    }

    /// The hosts.
    pub fn hosts(&self) -> impl Iterator<Item = &Host> {
        self.nodes.values().filter_map(|node| match node {
            Node::Host(host) => Some(&**host),
            Node::Switch(_) => None,
        })
    }

    /// A host sends a datagram from one of its ports.
    ///
    /// # Errors
    /// No such host.
    pub fn send_udp(
        &mut self,
        from: &str,
        from_port: u16,
        to: (Ipv4Addr, u16),
        payload: &[u8],
    ) -> Result<(), WorldError> {
        let now = self.now;
        let (id, host) = self.find_host(from)?;
        host.send_udp(now, to, from_port, payload);
        self.drain_host(id);
        Ok(())
    }

    /// A host sends a frame as it is.
    ///
    /// # Errors
    /// No such host.
    pub fn send_frame(&mut self, from: &str, frame: impl Into<Vec<u8>>) -> Result<(), WorldError> {
        let (id, host) = self.find_host(from)?;
        host.send_frame(frame.into());
        self.drain_host(id);
        Ok(())
    }

    /// A host tells everybody who and where it is.
    ///
    /// # Errors
    /// No such host.
    pub fn announce(&mut self, host: &str) -> Result<(), WorldError> {
        let (id, host) = self.find_host(host)?;
        host.announce();
        self.drain_host(id);
        Ok(())
    }

    /// A link fails or heals, and both its ends see that.
    ///
    /// # Errors
    /// No link between these two.
    pub fn set_link(&mut self, one: &str, other: &str, up: bool) -> Result<(), WorldError> {
        for end in [self.end(one, other)?, self.end(other, one)?] {
            if let Some(wire) = self.wires.get_mut(&end) {
                (wire.carrier, wire.passes) = (up, up);
            }
            self.set_port(end, up)?;
        }
        Ok(())
    }

    /// A link lets nothing through, or does again, and neither end sees that: something between them has failed.
    ///
    /// # Errors
    /// No link between these two.
    pub fn set_link_silently(&mut self, one: &str, other: &str, passes: bool) -> Result<(), WorldError> {
        for end in [self.end(one, other)?, self.end(other, one)?] {
            if let Some(wire) = self.wires.get_mut(&end) {
                wire.passes = passes;
            }
        }
        Ok(())
    }

    /// A host moves to another switch, to a new port of it. Where it was, the carrier goes, unless that is not to be seen: then it
    /// was behind something that stays.
    ///
    /// # Errors
    /// No such host or switch.
    pub fn move_host(&mut self, host: &str, to: &str, seen: bool) -> Result<(), WorldError> {
        let (id, _) = self.find_host(host)?;
        let (switch, _) = self.find_switch(to)?;
        let plugged =
            self.wires.iter().find(|(end, _)| end.node == id).map(|(end, wire)| (*end, wire.to, wire.delay));
        let (here, there, delay) = plugged.ok_or_else(|| WorldError::Unplugged(host.into()))?;
        self.wires.remove(&here);
        self.wires.remove(&there);
        if seen {
            self.set_port(there, false)?;
        }
        let ports = self.wires.keys().filter(|end| end.node == switch).map(|end| end.port.0);
        let taken = if there.node == switch { there.port.0 } else { 0 };
        let port = PortNumber(ports.max().unwrap_or(0).max(taken) + 1);
        self.plug(here, Endpoint { node: switch, port }, delay)
    }

    /// A switch does nothing that it is told any more, or does again. Its channel still answers echo requests, and packets are
    /// still forwarded by the flows there are.
    ///
    /// # Errors
    /// No such switch.
    pub fn hang_switch(&mut self, name: &str, hangs: bool) -> Result<(), WorldError> {
        let (_, switch) = self.find_switch(name)?;
        switch.hangs = hangs;
        Ok(())
    }

    /// A switch dies: its links lose their carrier, the controller its connection.
    ///
    /// # Errors
    /// No such switch.
    pub fn kill_switch(&mut self, name: &str) -> Result<(), WorldError> {
        let (id, switch) = self.find_switch(name)?;
        switch.switch = None;
        if let Some(number) = switch.line.as_ref().map(|line| line.number) {
            let (at, reason) = (self.now + self.config.control_delay, Down::Closed.to_string());
            self.queue.plan(at, Happening::Closed { node: id, channel: number, reason });
        }
        self.set_links_of(id, false)
    }

    /// A switch that was dead is powered on again, with empty tables.
    ///
    /// # Errors
    /// No such switch.
    pub fn revive_switch(&mut self, name: &str) -> Result<(), WorldError> {
        let now = self.now;
        let (id, switch) = self.find_switch(name)?;
        switch.power_on(now).map_err(|error| WorldError::Port(name.into(), error))?;
        self.queue.plan(now, Happening::Connect { node: id });
        self.set_links_of(id, true)
    }

    fn set_links_of(&mut self, node: NodeId, up: bool) -> Result<(), WorldError> {
        let ends = self.wires.iter().filter(|(end, _)| end.node == node).map(|(end, wire)| (*end, wire.to));
        for (here, there) in ends.collect::<Vec<_>>() {
            for end in [here, there] {
                if let Some(wire) = self.wires.get_mut(&end) {
                    (wire.carrier, wire.passes) = (up, up);
                }
                self.set_port(end, up)?;
            }
        }
        Ok(())
    }
}
