//! A router on a switch, which learns its routes from other routers by RIP version 2 (RFC 2453) and tells them its own.
//!
//! Each interface is a port with an address; its network is announced, and so are the routes of `--routes`. The switch
//! forwards by itself: an entry for each route whose next hop is known, and one for each host next to it. The controller sees
//! RIP, ARP, pings to the router's own addresses, and packets whose next hop is still to be asked for. The ports of the
//! router are its own: other components see nothing of what comes in there, but for those that ask first (`proto.dhcpd`).
//! Launched again with another switch, it is another router.
//!
//! All routes are told every 30 s (5 s more or less, as is drawn), those that change at once, and then 1 to 5 s apart. What
//! leaves by a port is told there as out of reach. A route that nobody tells for 180 s, or whose port goes down, is out of reach
//! from then on, is told so for 120 s, then forgotten. Believed is who is on the interface's own network, with whole messages of
//! version 2 without authentication, route by route: unicast networks, metrics of 1 to 16; next hops elsewhere are taken for the
//! sender.
//!
//! No ICMP error is sent: what leads nowhere, or has no TTL left, is dropped. The TTL is decremented by Nicira's action on 1.0,
//! which Open vSwitch has. With `web.jsonrpc`, the method `proto.rip.routes` lists the routes and what was counted.
//!
//! | option | meaning |
//! |---|---|
//! | `--switch=DPID` | the switch |
//! | `--interfaces=PORT=IP/N,…` | ports by number or name, and the router's addresses there; one port may have several |
//! | `--routes=PREFIX=IP,…` | routes by a router on one of these networks; `PREFIX=IP:METRIC` tells them at another metric than 1 |
//! | `--passive=PORT,…` | ports with hosts only: no RIP is told or believed there |
//! | `--mac=MAC` | the router's hardware address at all ports; `02:77` and the lower half of the datapath id |
//! | `--update=SECONDS` | how often all routes are told; 30. The other times between messages are in proportion |
//! | `--timeout=SECONDS` | a route holds for so long; 180, or six updates |
//! | `--garbage=SECONDS` | one that is lost is told for so long; 120, or four updates |
//!
//! Launch: `weft pox proto.rip --switch=1 --interfaces=1=10.0.1.1/24,2=10.0.2.1/24`, with a port of hosts only and the way to
//! the outside: `weft pox proto.rip --switch=1 --interfaces=eth1=10.0.1.1/24,eth2=10.0.2.1/24 --passive=eth1
//! --routes=0.0.0.0/0=10.0.2.254`

mod flows;
mod forward;
mod hear;
mod messages;
pub mod neighbours;
pub mod prefix;
pub mod routes;
mod tell;

use std::net::Ipv4Addr;
use std::time::Duration;

use packet::wire::MacAddr;
use serde_json::{Value, json};

use self::flows::Flows;
use self::neighbours::Neighbours;
use self::prefix::{Interface, Prefix, StaticRoute};
use self::routes::{Origin, Route, Routes};
use self::tell::Trigger;
use crate::random::Random;
use crate::rpc::Methods;
use crate::{
    Component, ConnectionDown, ConnectionId, ConnectionUp, Core, Dpid, Listen, OPENFLOW, Options,
    OptionsError, PortNo, PortStatus, Result, info, is_live,
};

/// Addresses of one router.
pub const INTERFACES_MAX: usize = 256;
/// How often it is looked what is over.
const TICK: Duration = Duration::from_secs(1);
/// Comes behind the components that answer hosts.
const PRIORITY: i32 = 90;

/// A router.
#[derive(Debug)]
pub struct Rip {
    switch: Dpid,
    mac: MacAddr,
    interfaces: Vec<Interface>,
    statics: Vec<StaticRoute>,
    update: Duration,
    /// While the switch is connected.
    connection: Option<ConnectionId>,
    routes: Routes,
    neighbours: Neighbours,
    flows: Flows,
    random: Random,
    trigger: Trigger,
    /// Requests that are answered until the next tick.
    answers: u32,
    counters: Counters,
}

/// What a router has counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Counters {
    /// Messages that were sent.
    pub sent: u64,
    /// Requests and responses that were believed.
    pub heard: u64,
    /// Messages that are none: cut short, of another version or kind, with a wrong checksum, authenticated.
    pub malformed: u64,
    /// Messages of somebody who is not on the interface's network, or that are from another port than RIP's.
    pub strangers: u64,
    /// Routes in messages that cannot be.
    pub refused: u64,
    /// Routes for which there was no room.
    pub left_out: u64,
    /// Requests that came too fast to be answered.
    pub unanswered: u64,
    /// Packets that led nowhere.
    pub dropped: u64,
}

pub(crate) fn build(options: &mut Options) -> std::result::Result<Box<dyn Component>, OptionsError> {
    let switch: Dpid = options.require("switch", "the switch's datapath id")?;
    let mut interfaces: Vec<Interface> = options.list("interfaces")?;
    if interfaces.is_empty() || interfaces.len() > INTERFACES_MAX {
        return Err(options.conflict(format!("--interfaces=PORT=IP/N,…: 1 to {INTERFACES_MAX} of them")));
    }
    for (place, interface) in interfaces.iter().enumerate() {
        let other = interfaces[..place].iter().find(|other| other.network.overlaps(interface.network));
        if let Some(other) = other {
            return Err(options.conflict(format!("{} and {} overlap", other.network, interface.network)));
        }
    }
    for port in options.list::<String>("passive")? {
        let mut there = interfaces.iter_mut().filter(|interface| interface.name == port).peekable();
        if there.peek().is_none() {
            return Err(options.wrong("passive", &port, "no interface is at that port"));
        }
        there.for_each(|interface| interface.passive = true);
    }
    let statics: Vec<StaticRoute> = options.list("routes")?;
    for route in &statics {
        let is_near = |interface: &Interface| {
            interface.network.is_host(route.next_hop) && interface.ip != route.next_hop
        };
        if !interfaces.iter().any(is_near) {
            return Err(options.conflict(format!("{} is a router on none of the networks", route.next_hop)));
        }
        if interfaces.iter().any(|interface| interface.network == route.prefix) {
            return Err(options.conflict(format!("{} is attached: no route leads there", route.prefix)));
        }
    }
    let [.., a, b, c, d] = switch.0.to_be_bytes();
    let mac = options.take_or("mac", MacAddr([0x02, 0x77, a, b, c, d]))?;
    if !mac.is_unicast() {
        return Err(options.wrong("mac", &mac.to_string(), "not the address of one station"));
    }
    let update = options.seconds("update", Duration::from_secs(30))?.max(Duration::from_millis(100));
    let timeout = options.seconds("timeout", 6 * update)?;
    let garbage = options.seconds("garbage", 4 * update)?;
    Ok(Box::new(Rip {
        switch,
        mac,
        interfaces,
        statics,
        update,
        connection: None,
        routes: Routes::new(timeout, garbage),
        neighbours: Neighbours::default(),
        flows: Flows::new(mac),
        random: Random::new(switch.0),
        trigger: Trigger::Idle,
        answers: tell::ANSWERS_PER_TICK_MAX,
        counters: Counters::default(),
    }))
}

impl Component for Rip {
    fn start(&mut self, core: &mut Core) -> Result {
        let others: Vec<_> = core.health().into_iter().map(|health| health.name).collect();
        let same =
            |name: &std::rc::Rc<str>| core.get::<Self>(name).is_some_and(|rip| rip.switch == self.switch);
        if let Some(other) = others.iter().find(|name| same(name)) {
            return Err(format!("{other} is a router on {} already", self.switch).into());
        }
        core.listen(OPENFLOW, Self::connection_up);
        core.listen(OPENFLOW, Self::connection_down);
        core.listen(OPENFLOW, Self::port_status);
        core.listen_with(OPENFLOW, Listen::priority(PRIORITY), Self::packet_in);
        core.every(TICK, Self::tick);
        self.plan_update(core);
        core.call_when_ready(["web.jsonrpc"], |_: &mut Self, core: &mut Core| {
            let me = core.me();
            core.call("web.jsonrpc", move |methods: &mut Methods, _: &mut Core| {
                let name = format!("{me}.routes");
                methods.offer(&name, "a router's routes, and what it has counted", move |core, _, reply| {
                    let described = core.get::<Self>(&me).map(Self::describe);
                    reply.send(Ok(described.unwrap_or(Value::Null)));
                });
            })
        });
        Ok(())
    }
}

/// What others ask.
impl Rip {
    /// The routes, by prefix; those that are out of reach among them.
    pub fn routes(&self) -> impl Iterator<Item = (Prefix, &Route)> {
        self.routes.iter()
    }

    /// The hardware address known of a host or router next to it.
    #[must_use]
    pub fn neighbour(&self, ip: Ipv4Addr) -> Option<MacAddr> {
        self.neighbours.get(ip)
    }

    /// What it has counted.
    #[must_use]
    pub fn counters(&self) -> Counters {
        Counters { left_out: self.routes.left_out(), ..self.counters }
    }

    /// Networks and hosts the switch has entries for.
    #[must_use]
    pub fn flows(&self) -> usize {
        self.flows.len()
    }

    fn describe(&self) -> Value {
        let routes = self.routes().map(|(prefix, route)| {
            json!({
                "prefix": prefix.to_string(),
                "metric": route.metric,
                "tag": route.tag,
                "interface": self.interfaces.get(route.interface).map(|interface| &interface.name),
                "next_hop": (!route.next_hop.is_unspecified()).then(|| route.next_hop.to_string()),
                "origin": match route.origin {
                    Origin::Attached => "attached",
                    Origin::Static => "static",
                    Origin::Learned { .. } => "learned",
                    Origin::Gone { .. } => "gone",
                },
            })
        });
        let counters = self.counters();
        json!({
            "switch": self.switch.to_string(),
            "routes": routes.collect::<Vec<_>>(),
            "flows": self.flows(),
            "sent": counters.sent,
            "heard": counters.heard,
            "malformed": counters.malformed,
            "strangers": counters.strangers,
            "refused": counters.refused,
            "left_out": counters.left_out,
            "unanswered": counters.unanswered,
            "dropped": counters.dropped,
        })
    }
}

/// The switch and its ports.
impl Rip {
    fn connection_up(&mut self, event: &ConnectionUp, core: &mut Core) -> Result {
        if event.datapath != self.switch {
            return Ok(());
        }
        self.forget_all();
        self.connection = Some(event.connection);
        self.flows.remove_all(event.connection, core)?;
        self.refresh_ports(core)
    }

    fn connection_down(&mut self, event: &ConnectionDown, _: &mut Core) {
        if Some(event.connection) == self.connection {
            self.forget_all();
        }
    }

    fn forget_all(&mut self) {
        self.connection = None;
        self.interfaces.iter_mut().for_each(|interface| interface.port = None);
        self.routes.clear();
        self.routes.take_turned();
        self.neighbours = Neighbours::default();
        self.flows.clear();
    }

    fn port_status(&mut self, event: &PortStatus, core: &mut Core) -> Result {
        if Some(event.connection) == self.connection { self.refresh_ports(core) } else { Ok(()) }
    }

    /// Looks which interfaces are there: those whose port is live.
    fn refresh_ports(&mut self, core: &mut Core) -> Result {
        let Some(connection) = self.connection else { return Ok(()) };
        let Some(switch) = core.connection(connection) else { return Ok(()) };
        let port = |name: &str| match name.parse() {
            Ok(number) => switch.ports().get(&PortNo(number)),
            Err(_) => switch.physical_ports().find(|port| port.name == name),
        };
        let live = |interface: &Interface| port(&interface.name).filter(|port| is_live(port));
        let ports: Vec<Option<PortNo>> =
            self.interfaces.iter().map(|interface| live(interface).map(|port| port.number)).collect();
        for (place, port) in ports.into_iter().enumerate() {
            let before = self.interfaces[place].port;
            if before == port {
                continue;
            }
            if let Some(before) = before {
                self.interface_down(place, before, connection, core)?;
            }
            if let Some(port) = port {
                self.interface_up(place, port, connection, core)?;
            }
        }
        self.settle(core)
    }

    fn interface_up(
        &mut self,
        place: usize,
        port: PortNo,
        connection: ConnectionId,
        core: &mut Core,
    ) -> Result {
        self.interfaces[place].port = Some(port);
        let interface = self.interfaces[place].clone();
        info!(core, "{} is at port {}", interface.ip, port.0);
        self.flows.port(connection, port, &interface, true, core)?;
        let route = |metric, next_hop, origin| Route {
            metric,
            tag: 0,
            interface: place,
            next_hop,
            origin,
            changed: true,
        };
        self.routes.attach(interface.network, route(1, Ipv4Addr::UNSPECIFIED, Origin::Attached));
        for fixed in self.statics.iter().filter(|fixed| interface.network.contains(fixed.next_hop)) {
            self.routes.attach(fixed.prefix, route(fixed.metric, fixed.next_hop, Origin::Static));
        }
        self.ask_for_routes(&interface, core)
    }

    fn interface_down(
        &mut self,
        place: usize,
        port: PortNo,
        connection: ConnectionId,
        core: &mut Core,
    ) -> Result {
        self.interfaces[place].port = None;
        let interface = self.interfaces[place].clone();
        info!(core, "{} is down", interface.ip);
        self.flows.port(connection, port, &interface, false, core)?;
        self.routes.detach(place, core.now());
        let due = self.neighbours.forget(interface.network);
        self.attend(due, core)
    }

    /// The interface that is at a port and on whose network an address is.
    fn interface_at(&self, port: PortNo, ip: Ipv4Addr) -> Option<usize> {
        self.interfaces
            .iter()
            .position(|interface| interface.port == Some(port) && interface.network.is_host(ip))
    }

    fn is_own(&self, ip: Ipv4Addr) -> bool {
        self.interfaces.iter().any(|interface| interface.ip == ip)
    }

    fn tick(&mut self, core: &mut Core) -> Result {
        self.answers = tell::ANSWERS_PER_TICK_MAX;
        self.routes.expire(core.now());
        let due = self.neighbours.tick(core.now());
        self.attend(due, core)?;
        self.settle(core)
    }
}
