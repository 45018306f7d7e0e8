//! Finds the links between switches.
//!
//! Every port of every switch sends an LLDP frame now and then; where one comes in at another switch, there is a link, one way. A
//! link is gone when no frame has come for a while, when one of its ports goes down, or when one of its switches does. Others
//! listen to its `LinkEvent`s, and ask it for links and edge ports.
//!
//! A link is found as soon as both its switches are there: a frame that tells of one way has the other way asked for at once.
//!
//! | option | meaning |
//! |---|---|
//! | `--link-timeout=SECONDS` | after so long without a frame a link is gone; 10. Each port sends twice in that time |
//! | `--no-flow` | installs no flow that sends LLDP to the controller: somebody else sees to that |
//! | `--eat-early-packets` | other components see no packets of a switch before its links can be known |
//!
//! Launch: `weft pox openflow.discovery forwarding.l2_multi`, `weft pox openflow.discovery --link-timeout=4`

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::time::Duration;

use openflow::matching::Match;
use packet::wire::lldp::{ChassisId, PortId, Repr, Tlv, View};
use packet::wire::{EtherType, MacAddr};

use crate::{
    Component, ConnectionDown, ConnectionUp, Core, Dpid, Event, Flow, Listen, OPENFLOW, Options,
    OptionsError, PacketIn, PortNo, PortReason, PortStatus, Result, Verdict, compose, debug, info, is_live,
    output, warning,
};

/// Where discovery frames go: not to bridges, which would keep them, but through them to the next OpenFlow switch.
pub const DESTINATION: MacAddr = MacAddr([0x01, 0x23, 0x20, 0, 0, 0x01]);
/// Links known at most.
pub const LINKS_MAX: usize = 1 << 20;
/// Priority of the flow that sends LLDP to the controller.
const FLOW_PRIORITY: u16 = 65_000;
/// Listens before the components that forward.
const PRIORITY: i32 = 1 << 16;
/// How often frames are sent, some each time.
const TICK: Duration = Duration::from_millis(100);
/// Frames sent at one tick, at most.
const FRAMES_PER_TICK_MAX: usize = 4_096;
/// For how long a neighbour may believe a frame, in seconds.
const TTL_S: u16 = 120;

/// A link, one way.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Link {
    /// Where it leaves: switch and port.
    pub from: (Dpid, PortNo),
    /// Where it arrives.
    pub to: (Dpid, PortNo),
}

impl Link {
    /// The other way.
    #[must_use]
    pub const fn flipped(self) -> Self {
        Self { from: self.to, to: self.from }
    }
}

impl fmt::Display for Link {
    /// `0000000000000001:2 -> 0000000000000003:1`
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{} -> {}:{}", self.from.0, self.from.1.0, self.to.0, self.to.1.0)
    }
}

/// A link came or went. Raised by `openflow.discovery`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LinkEvent {
    /// Which.
    pub link: Link,
    /// It came; else it went.
    pub added: bool,
}

impl Event for LinkEvent {}

/// The links there are.
#[derive(Debug)]
pub struct Discovery {
    timeout: Duration,
    install_flow: bool,
    eat_early_packets: bool,
    /// When a frame came over each link.
    links: BTreeMap<Link, Duration>,
    /// Ports with a link, and how many ways it has.
    ends: BTreeMap<(Dpid, PortNo), u32>,
    /// Ports that send.
    ports: BTreeSet<(Dpid, PortNo)>,
    /// The port that sent last.
    last: Option<(Dpid, PortNo)>,
    /// Frames that are due, and a fraction.
    due: f64,
}

pub(crate) fn build(options: &mut Options) -> Result<Box<dyn Component>, OptionsError> {
    let timeout = options.seconds("link-timeout", Duration::from_secs(10))?;
    if timeout < 2 * TICK {
        return Err(options.conflict(format!("--link-timeout: at least {} ms", (2 * TICK).as_millis())));
    }
    Ok(Box::new(Discovery {
        timeout,
        install_flow: !options.flag("no-flow")?,
        eat_early_packets: options.flag("eat-early-packets")?,
        links: BTreeMap::new(),
        ends: BTreeMap::new(),
        ports: BTreeSet::new(),
        last: None,
        due: 0.0,
    }))
}

impl Component for Discovery {
    fn start(&mut self, core: &mut Core) -> Result {
        core.listen_with(OPENFLOW, Listen::priority(PRIORITY), Self::connection_up);
        core.listen_with(OPENFLOW, Listen::priority(PRIORITY), Self::connection_down);
        core.listen_with(OPENFLOW, Listen::priority(PRIORITY), Self::port_status);
        core.listen_with(OPENFLOW, Listen::priority(PRIORITY), Self::packet_in);
        core.every(TICK, Self::tick);
        Ok(())
    }
}

/// What others ask.
impl Discovery {
    /// Every link, each way by itself.
    pub fn links(&self) -> impl Iterator<Item = Link> {
        self.links.keys().copied()
    }

    /// The links that carry both ways, each once: from the lower end to the higher.
    pub fn two_way_links(&self) -> impl Iterator<Item = Link> {
        let both = |link: &&Link| link.from < link.to && self.links.contains_key(&link.flipped());
        self.links.keys().filter(both).copied()
    }

    /// Whether no other switch is known behind a port.
    #[must_use]
    pub fn is_edge_port(&self, datapath: Dpid, port: PortNo) -> bool {
        !self.ends.contains_key(&(datapath, port))
    }

    /// Within what time every port has sent once.
    #[must_use]
    pub fn cycle(&self) -> Duration {
        self.timeout / 2
    }
}

impl Discovery {
    fn connection_up(&mut self, event: &ConnectionUp, core: &mut Core) -> Result {
        if self.install_flow {
            let matching = Match::new().lldp().eth_dst(DESTINATION);
            core.send(event.connection, Flow::add(matching).priority(FLOW_PRIORITY).to_controller())?;
        }
        let Some(connection) = core.connection(event.connection) else { return Ok(()) };
        let ports: Vec<PortNo> = connection.live_ports().map(|port| port.number).collect();
        for port in ports {
            self.ports.insert((event.datapath, port));
            self.probe((event.datapath, port), core);
        }
        Ok(())
    }

    fn connection_down(&mut self, event: &ConnectionDown, core: &mut Core) {
        self.ports.retain(|(datapath, _)| *datapath != event.datapath);
        self.remove(core, |link| link.from.0 == event.datapath || link.to.0 == event.datapath);
    }

    fn port_status(&mut self, event: &PortStatus, core: &mut Core) {
        let end = (event.datapath, event.port.number);
        if event.port.number >= PortNo::MAX {
            return;
        }
        if event.reason == PortReason::Delete || !is_live(&event.port) {
            self.ports.remove(&end);
            self.remove(core, |link| link.from == end || link.to == end);
        } else if self.ports.insert(end) {
            self.probe(end, core);
        }
    }

    fn packet_in(&mut self, event: &PacketIn, core: &mut Core) -> Result<Verdict> {
        if event.ethertype() != EtherType::LLDP || event.destination() != DESTINATION {
            return Ok(if self.is_early(event, core) { Verdict::Halt } else { Verdict::Continue });
        }
        core.drop_packet(event)?;
        let Some(from) = origin(event) else {
            debug!(core, "a frame at {}:{} tells no port", event.datapath, event.in_port.0);
            return Ok(Verdict::Halt);
        };
        let to = (event.datapath, event.in_port);
        if from == to || !self.ports.contains(&from) {
            debug!(core, "a frame of {}:{} at {}:{} is of no use", from.0, from.1.0, to.0, to.1.0);
            return Ok(Verdict::Halt);
        }
        self.found(Link { from, to }, core);
        Ok(Verdict::Halt)
    }

    /// Whether a packet comes before the links of its switch can be known.
    fn is_early(&self, event: &PacketIn, core: &Core) -> bool {
        let up_since = core.connection(event.connection).map_or(Duration::ZERO, crate::Connection::up_since);
        self.eat_early_packets && core.now() < up_since + self.cycle()
    }

    fn found(&mut self, link: Link, core: &mut Core) {
        let now = core.now();
        if let Some(seen) = self.links.get_mut(&link) {
            *seen = now;
            return;
        }
        if self.links.len() >= LINKS_MAX {
            warning!(core, "more than {LINKS_MAX} links: {link} is left out");
            return;
        }
        self.links.insert(link, now);
        for end in [link.from, link.to] {
            *self.ends.entry(end).or_default() += 1;
        }
        info!(core, "link {link} is there");
        core.raise(LinkEvent { link, added: true });
        if !self.links.contains_key(&link.flipped()) {
            self.probe(link.to, core);
        }
    }

    fn remove(&mut self, core: &mut Core, which: impl Fn(&Link) -> bool) {
        let gone: Vec<Link> = self.links.keys().filter(|link| which(link)).copied().collect();
        for link in gone {
            self.links.remove(&link);
            for end in [link.from, link.to] {
                if let Some(ways) = self.ends.get_mut(&end) {
                    *ways -= 1;
                    if *ways == 0 {
                        self.ends.remove(&end);
                    }
                }
            }
            info!(core, "link {link} is gone");
            core.raise(LinkEvent { link, added: false });
        }
    }

    fn tick(&mut self, core: &mut Core) {
        let (now, timeout) = (core.now(), self.timeout);
        let late: BTreeSet<Link> =
            self.links.iter().filter(|(_, seen)| **seen + timeout < now).map(|(link, _)| *link).collect();
        if !late.is_empty() {
            self.remove(core, |link| late.contains(link));
        }
        // Every port in one cycle, a few at each tick.
        self.due += self.ports.len() as f64 * TICK.as_secs_f64() / self.cycle().as_secs_f64();
        for _ in 0..(self.due as usize).min(FRAMES_PER_TICK_MAX) {
            let after = self.last.and_then(|last| {
                self.ports.range((std::ops::Bound::Excluded(last), std::ops::Bound::Unbounded)).next()
            });
            let Some(&next) = after.or_else(|| self.ports.first()) else { break };
            self.last = Some(next);
            self.probe(next, core);
        }
        self.due = self.due.fract();
    }

    /// Has a port send a frame.
    fn probe(&self, (datapath, port): (Dpid, PortNo), core: &mut Core) {
        let address = core
            .connection(datapath)
            .and_then(|connection| connection.ports().get(&port))
            .map(|port| port.address);
        let Some(address) = address else { return };
        match frame(datapath, port, address) {
            // A switch that is gone says so itself.
            Ok(frame) => drop(core.inject(datapath, PortNo::CONTROLLER, [output(port)], frame)),
            Err(error) => warning!(core, "no frame for {datapath}:{}: {error}", port.0),
        }
    }
}

/// The frame a port sends: its switch and number, as POX writes them.
fn frame(datapath: Dpid, port: PortNo, address: MacAddr) -> Result<Vec<u8>> {
    let (chassis, number) = (format!("dpid:{:x}", datapath.0), port.0.to_string());
    let description = Tlv::SystemDescription(chassis.as_bytes());
    let repr = Repr {
        chassis: ChassisId::Local(chassis.as_bytes()),
        port: PortId::Component(number.as_bytes()),
        ttl_s: TTL_S,
        optional_len: description.buffer_len(),
    };
    let mut bytes = vec![0; repr.buffer_len()];
    let mut view = View::new_unchecked(&mut bytes[..]);
    repr.emit(&mut view)?;
    description.emit(view.optional_mut())?;
    Ok(compose::ethernet(address, DESTINATION, EtherType::LLDP, &bytes))
}

/// The port a frame tells of.
fn origin(event: &PacketIn) -> Option<(Dpid, PortNo)> {
    let layers = event.layers()?;
    let view = View::new_checked(layers.network_packet(event.data())).ok()?;
    let repr = Repr::parse(&view).ok()?;
    let (ChassisId::Local(chassis), PortId::Component(port)) = (repr.chassis, repr.port) else { return None };
    let datapath = std::str::from_utf8(chassis).ok()?.strip_prefix("dpid:")?;
    let datapath = u64::from_str_radix(datapath, 16).ok()?;
    let port = std::str::from_utf8(port).ok()?.parse().ok()?;
    Some((Dpid(datapath), PortNo(port)))
}
