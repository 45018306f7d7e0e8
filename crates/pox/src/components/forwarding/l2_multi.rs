//! Forwards along shortest paths over all switches, as one big learning switch.
//!
//! A packet to a known host gets a flow on every switch of the shortest path (10 s idle, 30 s hard): first behind the switch it
//! came in at, then, when those have confirmed, on that one; until then its packets are handed out where the host is. What is for
//! everybody, or for nobody known, is handed out at every port with no other switch behind it. Nothing is flooded from
//! switch to switch, so loops do no harm, with or without a spanning tree.
//!
//! Hosts are where their packets first come in. A host that moves is found with its first packet; when it does, or when a link or
//! port goes down, the flows that lead the old way are removed at once.
//!
//! | option | meaning |
//! |---|---|
//! | `--hold-down=SECONDS` | how long a port must be without another switch behind it to be a host's; 0.5 |
//! | `--idle-timeout=SECONDS`, `--hard-timeout=SECONDS` | of its flows; 10 and 30 |
//!
//! Launch: `weft pox forwarding.l2_multi openflow.discovery`

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;

use openflow::matching::Match;
use packet::wire::{EtherType, MacAddr};

use super::addresses::is_bridge_filtered;
use crate::components::openflow::discovery::{Discovery, LinkEvent};
use crate::{
    Component, ConnectionDown, ConnectionUp, Core, Dpid, Flow, OPENFLOW, Options, OptionsError, PacketIn,
    PortNo, PortReason, PortStatus, RequestError, Result, debug, is_live, output,
};

/// The component whose links it uses.
const DISCOVERY: &str = "openflow.discovery";
/// Hosts known at most; packets to others go everywhere.
pub const HOSTS_MAX: usize = 1 << 17;
/// Paths that are being set up at one time; packets of others are handed out until there is room.
pub const SETUPS_MAX: usize = 1 << 14;

/// A port of a switch.
type Place = (Dpid, PortNo);
/// Whose path is being set up: from where, from whom, to whom.
type Setup = (Place, MacAddr, MacAddr);
/// For one switch: by which port every other switch gets there, and where it gets by that.
type Routes = BTreeMap<Dpid, (PortNo, Place)>;

/// One switch in the path of a flow: where it comes in, where it goes out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Hop {
    switch: Dpid,
    in_port: PortNo,
    out_port: PortNo,
}

/// The switch of many.
#[derive(Debug)]
pub struct L2Multi {
    hold_down: Duration,
    idle_timeout: u16,
    hard_timeout: u16,
    hosts: BTreeMap<MacAddr, Place>,
    /// Since when each port is live.
    since: BTreeMap<Place, Duration>,
    /// Ways to a switch, as far as they were asked for since the last change.
    routes: BTreeMap<Dpid, Routes>,
    /// On which switches there may be flows to an address.
    flows: BTreeMap<MacAddr, BTreeSet<Dpid>>,
    /// How many switches of it have not confirmed yet.
    setups: BTreeMap<Setup, usize>,
}

pub(crate) fn build(options: &mut Options) -> Result<Box<dyn Component>, OptionsError> {
    Ok(Box::new(L2Multi {
        hold_down: options.seconds("hold-down", Duration::from_millis(500))?,
        idle_timeout: options.take_or("idle-timeout", 10)?,
        hard_timeout: options.take_or("hard-timeout", 30)?,
        hosts: BTreeMap::new(),
        since: BTreeMap::new(),
        routes: BTreeMap::new(),
        flows: BTreeMap::new(),
        setups: BTreeMap::new(),
    }))
}

impl Component for L2Multi {
    fn start(&mut self, core: &mut Core) -> Result {
        core.call_when_ready([DISCOVERY], |_: &mut Self, core: &mut Core| {
            core.listen(OPENFLOW, Self::packet_in);
        });
        core.listen(OPENFLOW, Self::connection_up);
        core.listen(OPENFLOW, Self::connection_down);
        core.listen(OPENFLOW, Self::port_status);
        core.listen(DISCOVERY, Self::link);
        Ok(())
    }
}

impl L2Multi {
    /// Where a host is.
    #[must_use]
    pub fn place_of(&self, host: MacAddr) -> Option<(Dpid, PortNo)> {
        self.hosts.get(&host).copied()
    }

    fn connection_up(&mut self, event: &ConnectionUp, core: &mut Core) {
        let Some(connection) = core.connection(event.connection) else { return };
        let now = core.now();
        self.since.extend(connection.live_ports().map(|port| ((event.datapath, port.number), now)));
        self.routes.clear();
    }

    fn connection_down(&mut self, event: &ConnectionDown, core: &mut Core) {
        self.since.retain(|(datapath, _), _| *datapath != event.datapath);
        self.setups.retain(|((datapath, _), ..), _| *datapath != event.datapath);
        self.forget_hosts(core, |place| place.0 == event.datapath);
    }

    fn port_status(&mut self, event: &PortStatus, core: &mut Core) {
        let place = (event.datapath, event.port.number);
        if event.reason == PortReason::Delete || !is_live(&event.port) {
            self.since.remove(&place);
            self.forget_hosts(core, |other| other == place);
        } else if event.port.number < PortNo::MAX {
            self.since.entry(place).or_insert(core.now());
        }
    }

    /// Another way may be the shortest now, and the present one may be none any more.
    fn link(&mut self, event: &LinkEvent, core: &mut Core) {
        self.routes.clear();
        self.forget_hosts(core, |place| place == event.link.from || place == event.link.to);
        if !event.added {
            let addresses: Vec<MacAddr> = self.flows.keys().copied().collect();
            addresses.into_iter().for_each(|address| self.remove_flows(core, address));
        }
    }

    fn forget_hosts(&mut self, core: &mut Core, which: impl Fn(Place) -> bool) {
        let gone: Vec<MacAddr> =
            self.hosts.iter().filter(|(_, place)| which(**place)).map(|(address, _)| *address).collect();
        for address in gone {
            self.hosts.remove(&address);
            self.remove_flows(core, address);
        }
    }

    /// Removes the flows that lead to an address.
    fn remove_flows(&mut self, core: &mut Core, address: MacAddr) {
        for switch in self.flows.remove(&address).unwrap_or_default() {
            // A switch that is gone has no flows.
            let _ = core.send(switch, Flow::delete(Match::new().eth_dst(address)));
        }
    }

    fn packet_in(&mut self, event: &PacketIn, core: &mut Core) -> Result {
        let Some(frame) = event.ethernet() else { return Ok(()) };
        let (source, destination) = (frame.source(), frame.destination());
        let here = (event.datapath, event.in_port);
        if frame.ethertype() == EtherType::LLDP || is_bridge_filtered(destination) || !event.is_whole() {
            core.drop_packet(event)?;
            return Ok(());
        }
        let Some(discovery) = core.get::<Discovery>(DISCOVERY) else { return Ok(()) };
        if discovery.is_edge_port(here.0, here.1) {
            if !self.is_settled(here, core.now()) {
                // There may be a switch behind it yet.
                core.drop_packet(event)?;
                return Ok(());
            }
            self.learn(source, here, core);
        }
        match self.hosts.get(&destination).filter(|_| !destination.is_multicast()).copied() {
            Some(there) if there == here => core.drop_packet(event)?,
            Some(there) => self.forward(event, (source, destination), there, core)?,
            None => self.hand_out_everywhere(event, core)?,
        }
        Ok(())
    }

    fn is_settled(&self, place: Place, now: Duration) -> bool {
        self.since.get(&place).is_some_and(|since| now >= *since + self.hold_down)
    }

    fn learn(&mut self, address: MacAddr, place: Place, core: &mut Core) {
        let known = self.hosts.get(&address).copied();
        if known == Some(place) || !address.is_unicast() || (known.is_none() && self.hosts.len() >= HOSTS_MAX)
        {
            return;
        }
        debug!(core, "{address} is at {}:{}", place.0, place.1.0);
        self.hosts.insert(address, place);
        if known.is_some() {
            self.remove_flows(core, address);
        }
    }

    /// Hands a packet out at every port with no switch behind it, but the one it came in by.
    fn hand_out_everywhere(&mut self, event: &PacketIn, core: &mut Core) -> Result {
        let here = (event.datapath, event.in_port);
        let Some(discovery) = core.get::<Discovery>(DISCOVERY) else { return Ok(()) };
        if !discovery.is_edge_port(here.0, here.1) {
            // It was on its way to a host that nobody knows any more; the next one is sent out from where it comes in.
            core.drop_packet(event)?;
            return Ok(());
        }
        let mut outputs: BTreeMap<Dpid, Vec<openflow::action::Action>> = BTreeMap::new();
        for place in self.since.keys().filter(|place| **place != here && self.is_settled(**place, core.now()))
        {
            if discovery.is_edge_port(place.0, place.1) {
                outputs.entry(place.0).or_default().push(output(place.1));
            }
        }
        core.drop_packet(event)?;
        for (switch, actions) in outputs {
            // A switch that is gone has no hosts.
            let _ = core.inject(switch, PortNo::CONTROLLER, actions, event.data());
        }
        Ok(())
    }

    /// Sets a path up, and hands the packet out at its end.
    fn forward(
        &mut self,
        event: &PacketIn,
        ends: (MacAddr, MacAddr),
        there: Place,
        core: &mut Core,
    ) -> Result {
        let here = (event.datapath, event.in_port);
        let Some(path) = self.path(here, there, core) else {
            debug!(core, "there is no way from {} to {}", here.0, there.0);
            core.drop_packet(event)?;
            return Ok(());
        };
        core.drop_packet(event)?;
        core.inject(there.0, PortNo::CONTROLLER, [output(there.1)], event.data())?;
        let setup = (here, ends.0, ends.1);
        if !self.setups.contains_key(&setup) && self.setups.len() < SETUPS_MAX {
            self.set_up(event, setup, &path, core);
        }
        Ok(())
    }

    /// Flows from the far end on; the first switch's when all others have confirmed.
    fn set_up(&mut self, event: &PacketIn, setup: Setup, path: &[Hop], core: &mut Core) {
        let Some((first, rest)) = path.split_first() else { return };
        self.flows.entry(setup.2).or_default().extend(path.iter().map(|hop| hop.switch));
        let first = (first.switch, self.flow(event, *first));
        let mut waiting = 0;
        for hop in rest.iter().rev() {
            if core.send(hop.switch, self.flow(event, *hop)).is_err() {
                return; // it has just gone down, and the path with it
            }
            let last = first.clone();
            let confirmed =
                move |this: &mut Self, done: std::result::Result<(), RequestError>, core: &mut Core| {
                    this.confirmed(setup, done.is_ok(), last, core);
                };
            waiting += usize::from(core.barrier(hop.switch, confirmed).is_ok());
        }
        if waiting == 0 {
            let _ = core.send(first.0, first.1); // as above
        } else {
            self.setups.insert(setup, waiting);
        }
    }

    fn confirmed(&mut self, setup: Setup, done: bool, first: (Dpid, Flow), core: &mut Core) {
        let Some(waiting) = self.setups.get_mut(&setup) else { return };
        *waiting -= 1;
        if !done {
            self.setups.remove(&setup);
        } else if *waiting == 0 {
            self.setups.remove(&setup);
            // Unless it has been taken back meanwhile.
            if self.flows.get(&setup.2).is_some_and(|switches| switches.contains(&first.0)) {
                let _ = core.send(first.0, first.1);
            }
        }
    }

    fn flow(&self, event: &PacketIn, hop: Hop) -> Flow {
        let out_port = if hop.out_port == hop.in_port { PortNo::IN_PORT } else { hop.out_port };
        let matching = event
            .exact_match_anywhere()
            .with(openflow::oxm::Oxm::exact(openflow::field::Field::InPort, hop.in_port.0.into()));
        Flow::add(matching).idle_timeout(self.idle_timeout).hard_timeout(self.hard_timeout).output(out_port)
    }

    /// The switches from one place to another, with the ports between them.
    fn path(&mut self, here: Place, there: Place, core: &Core) -> Option<Vec<Hop>> {
        let discovery = core.get::<Discovery>(DISCOVERY)?;
        let routes = self.routes.entry(there.0).or_insert_with(|| routes_to(there.0, discovery));
        let (mut path, mut at) = (Vec::new(), here);
        // Ends: every step is one nearer.
        while at.0 != there.0 {
            let &(out_port, next) = routes.get(&at.0)?;
            path.push(Hop { switch: at.0, in_port: at.1, out_port });
            at = next;
        }
        path.push(Hop { switch: there.0, in_port: at.1, out_port: there.1 });
        Some(path)
    }
}

/// By which port every switch gets to that one in the fewest hops; among equals the lowest id, then the lowest port.
fn routes_to(switch: Dpid, discovery: &Discovery) -> Routes {
    // Of each switch: the links that lead to it.
    let mut links: BTreeMap<Dpid, BTreeSet<(Place, Place)>> = BTreeMap::new();
    for link in discovery.two_way_links().flat_map(|link| [link, link.flipped()]) {
        links.entry(link.to.0).or_default().insert((link.from, link.to));
    }
    let mut routes = Routes::new();
    let mut waiting = VecDeque::from([switch]);
    while let Some(at) = waiting.pop_front() {
        for &((other, port), next) in links.get(&at).into_iter().flatten() {
            if other != switch && !routes.contains_key(&other) {
                routes.insert(other, (port, next));
                waiting.push_back(other);
            }
        }
    }
    routes
}
