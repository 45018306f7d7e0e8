//! Addresses that say where a host is: flows for all of a network before the first packet.
//!
//! The hosts at port P of switch S have addresses 10.S.P.0/24, which a DHCP server at every port where no other switch is gives them.
//! So each switch needs one flow for each other switch, along the shortest path, and they are written when links come or go; for
//! its own hosts it gets a flow each when they get their address. ARP is answered for every address with the gateway's hardware
//! address. Switches are numbered from 1 on as they come; ports above 254 have no hosts.
//!
//! | option | meaning |
//! |---|---|
//! | `--dns=IP,…` | name servers that hosts are told; none |
//! | `--lease-time=SECONDS` | how long an address is lent; 3600 |
//! | `--mac=MAC` | the gateway's hardware address; `02:77:65:66:74:01` |
//!
//! Launch: `weft pox forwarding.topo_proactive openflow.discovery`

use std::collections::{BTreeMap, VecDeque};
use std::net::Ipv4Addr;
use std::time::Duration;

use openflow::action::Action;
use openflow::field::Field;
use openflow::matching::Match;
use openflow::oxm::Oxm;
use openflow::port::PortNo;
use packet::wire::dhcpv4::{self, CLIENT_PORT, SERVER_PORT};
use packet::wire::{MacAddr, arp};

use crate::components::openflow::discovery::{Discovery, LinkEvent};
use crate::components::proto::dhcp_server::{DhcpServer, Done, is_request};
use crate::components::proto::frames::{self, OWN_MAC};
use crate::components::proto::pool::Pool;
use crate::{
    Component, ConnectionUp, Core, Dpid, Flow, Listen, OPENFLOW, Options, OptionsError, PacketIn, Result,
    Subnet, Verdict, info, output, warning,
};

/// Switches: each has a number of eight bits.
pub const SWITCHES_MAX: usize = 254;
/// Priority of flows to the controller, to hosts, and to other switches.
const TO_CONTROLLER: u16 = 0x7000;
const TO_HOST: u16 = 0x6000;
const TO_SWITCH: u16 = 0x5000;
/// All of its addresses.
const ALL: (Ipv4Addr, u32) = (Ipv4Addr::new(10, 0, 0, 0), 8);

/// The network.
#[derive(Debug)]
pub struct TopoProactive {
    mac: MacAddr,
    dns: Vec<Ipv4Addr>,
    lease: Duration,
    numbers: BTreeMap<Dpid, u8>,
    servers: BTreeMap<(Dpid, PortNo), DhcpServer>,
    /// What each switch was told: the port towards each other one.
    routes: BTreeMap<Dpid, BTreeMap<u8, PortNo>>,
    planning: bool,
}

pub(crate) fn build(options: &mut Options) -> std::result::Result<Box<dyn Component>, OptionsError> {
    Ok(Box::new(TopoProactive {
        mac: options.take_or("mac", OWN_MAC)?,
        dns: options.list("dns")?,
        lease: options.seconds("lease-time", Duration::from_secs(3600))?.max(Duration::from_secs(1)),
        numbers: BTreeMap::new(),
        servers: BTreeMap::new(),
        routes: BTreeMap::new(),
        planning: false,
    }))
}

impl Component for TopoProactive {
    fn start(&mut self, core: &mut Core) -> Result {
        core.listen(OPENFLOW, Self::connection_up);
        core.listen_with(OPENFLOW, Listen::priority(100), Self::packet_in);
        core.listen("openflow.discovery", |this: &mut Self, _: &LinkEvent, core: &mut Core| {
            this.plan_soon(core);
        });
        core.every(Duration::from_secs(5), Self::expire);
        Ok(())
    }
}

fn number(mac: MacAddr) -> u128 {
    mac.0.iter().fold(0, |number, byte| number << 8 | u128::from(*byte))
}

fn set(field: Field, mac: MacAddr) -> Action {
    Action::SetField(Oxm::exact(field, number(mac)))
}

/// The addresses at a switch.
fn at_switch(number: u8) -> Match {
    Match::new().ipv4_dst_masked(Ipv4Addr::new(10, number, 0, 0), Ipv4Addr::new(255, 255, 0, 0))
}

impl TopoProactive {
    /// The number of a switch, which is the second byte of its hosts' addresses.
    #[must_use]
    pub fn number_of(&self, switch: Dpid) -> Option<u8> {
        self.numbers.get(&switch).copied()
    }

    fn connection_up(&mut self, event: &ConnectionUp, core: &mut Core) -> Result {
        if !self.numbers.contains_key(&event.datapath) {
            if self.numbers.len() >= SWITCHES_MAX {
                warning!(core, "{} is one switch too many: {SWITCHES_MAX} have numbers", event.datapath);
                return Ok(());
            }
            let taken = self.numbers.len() as u8;
            self.numbers.insert(event.datapath, taken + 1);
        }
        // A switch that comes back has lost its flows.
        self.routes.remove(&event.datapath);
        let matches = [Match::new().arp(), Match::new().udp_src(CLIENT_PORT).udp_dst(SERVER_PORT)];
        for matching in matches {
            core.send(event.connection, Flow::add(matching).priority(TO_CONTROLLER).to_controller())?;
        }
        // What is for no host and no switch goes nowhere.
        let (all, bits) = ALL;
        let mask = Subnet::new(all, bits).mask();
        core.send(event.connection, Flow::add(Match::new().ipv4_dst_masked(all, mask)).priority(1))?;
        let now = core.now();
        let hosts: Vec<Flow> = self
            .servers
            .iter()
            .filter(|((switch, _), _)| *switch == event.datapath)
            .flat_map(|((_, port), server)| {
                server.pool.lent(now).map(|(ip, mac)| self.host_flow(*port, ip, mac))
            })
            .collect();
        for flow in hosts {
            core.send(event.connection, flow)?;
        }
        self.plan_soon(core);
        Ok(())
    }

    fn host_flow(&self, port: PortNo, ip: Ipv4Addr, mac: MacAddr) -> Flow {
        Flow::add(Match::new().ipv4_dst(ip))
            .priority(TO_HOST)
            .action(set(Field::EthSrc, self.mac))
            .action(set(Field::EthDst, mac))
            .output(port)
    }

    fn expire(&mut self, core: &mut Core) {
        let now = core.now();
        for ((switch, _), server) in &mut self.servers {
            for ip in server.pool.expire(now) {
                // A switch that is gone has no flows.
                let _ = core.send(*switch, Flow::delete_strict(Match::new().ipv4_dst(ip)).priority(TO_HOST));
            }
        }
    }

    /// One plan for all that happens at one time.
    fn plan_soon(&mut self, core: &mut Core) {
        if !std::mem::replace(&mut self.planning, true) {
            core.after(Duration::ZERO, Self::plan);
        }
    }

    /// Writes what has changed of the shortest paths.
    fn plan(&mut self, core: &mut Core) {
        self.planning = false;
        let mut links: BTreeMap<Dpid, Vec<(PortNo, Dpid)>> = BTreeMap::new();
        for link in core.find::<Discovery>().into_iter().flat_map(Discovery::two_way_links) {
            for link in [link, link.flipped()] {
                links.entry(link.from.0).or_default().push((link.from.1, link.to.0));
            }
        }
        let mut wanted: BTreeMap<Dpid, BTreeMap<u8, PortNo>> = BTreeMap::new();
        for (target, number) in &self.numbers {
            for (switch, port) in towards(*target, &links) {
                wanted.entry(switch).or_default().insert(*number, port);
            }
        }
        let switches: Vec<Dpid> = core.connections().map(crate::Connection::datapath).collect();
        for switch in switches {
            let wanted = wanted.remove(&switch).unwrap_or_default();
            let told = self.routes.entry(switch).or_default();
            let gone = told.keys().filter(|number| !wanted.contains_key(number));
            let gone = gone.map(|number| Flow::delete_strict(at_switch(*number)).priority(TO_SWITCH));
            let new = wanted.iter().filter(|(number, port)| told.get(number) != Some(port));
            let new =
                new.map(|(number, port)| Flow::add(at_switch(*number)).priority(TO_SWITCH).output(*port));
            for flow in gone.chain(new).collect::<Vec<_>>() {
                let _ = core.send(switch, flow); // a switch that goes now is told when it comes back
            }
            *told = wanted;
        }
    }

    fn packet_in(&mut self, event: &PacketIn, core: &mut Core) -> Result<Verdict> {
        let Some(number) = self.number_of(event.datapath) else { return Ok(Verdict::Continue) };
        if let Some(packet) = event.arp() {
            let (all, bits) = ALL;
            let ours = Subnet::new(all, bits).contains(packet.target_ip);
            let probe = packet.sender_ip.is_unspecified() || packet.sender_ip == packet.target_ip;
            if ours && !probe && packet.operation == arp::Operation::REQUEST {
                let reply = frames::arp_reply(event, &packet, self.mac);
                core.inject(event.connection, event.in_port, [output(PortNo::IN_PORT)], reply)?;
            }
            core.drop_packet(event)?;
            return Ok(Verdict::Halt);
        }
        let edge = core
            .find::<Discovery>()
            .is_none_or(|discovery| discovery.is_edge_port(event.datapath, event.in_port));
        let Some(udp) = event.udp().filter(|_| edge && is_request(event)) else {
            return Ok(Verdict::Continue);
        };
        let Ok(port) = u8::try_from(event.in_port.0) else { return Ok(Verdict::Continue) };
        let Ok(view) = dhcpv4::View::new_checked(udp.payload()) else { return Ok(Verdict::Continue) };
        if let Ok(request) = dhcpv4::Repr::parse(&view)
            && request.operation == dhcpv4::Operation::Request
            && request.relay_ip.is_unspecified()
            && let Some(done) = self.serve(event, number, port, &request, core)?
        {
            let flow = match done {
                Done::Lent { ip, .. } => {
                    info!(core, "{ip} is at port {port} of {}", event.datapath);
                    self.host_flow(event.in_port, ip, request.client_mac)
                }
                Done::Freed(ip) => Flow::delete_strict(Match::new().ipv4_dst(ip)).priority(TO_HOST),
                Done::Nothing => return Ok(Verdict::Halt),
            };
            core.send(event.connection, flow)?;
        }
        core.drop_packet(event)?;
        Ok(Verdict::Halt)
    }

    /// The server of a port answers; `None` for a port that has none.
    fn serve(
        &mut self,
        event: &PacketIn,
        number: u8,
        port: u8,
        request: &dhcpv4::Repr<'_>,
        core: &mut Core,
    ) -> Result<Option<Done>> {
        let place = (event.datapath, event.in_port);
        if !self.servers.contains_key(&place) {
            let own = Ipv4Addr::new(10, number, port, 254);
            let Some(pool) = Pool::new(Subnet::new(own, 24), 1, 253, own).filter(|_| port < 255) else {
                return Ok(None);
            };
            let (all, bits) = ALL;
            let server = DhcpServer {
                // Every host is on one link, as it sees it: ARP is answered for all.
                subnet: Subnet::new(all, bits),
                ip: own,
                mac: self.mac,
                router: Some(own),
                dns: self.dns.clone(),
                domain: None,
                lease: self.lease,
                pool,
            };
            self.servers.insert(place, server);
        }
        let Some(server) = self.servers.get_mut(&place) else { return Ok(None) };
        server.answer(event, request, core).map(Some)
    }
}

/// The port by which each switch is nearest to one: by hops, the lowest number among equals.
fn towards(target: Dpid, links: &BTreeMap<Dpid, Vec<(PortNo, Dpid)>>) -> BTreeMap<Dpid, PortNo> {
    let mut distances = BTreeMap::from([(target, 0_u32)]);
    let mut queue = VecDeque::from([target]);
    while let Some(switch) = queue.pop_front() {
        let next = distances[&switch] + 1;
        for (_, neighbour) in links.get(&switch).into_iter().flatten() {
            if !distances.contains_key(neighbour) {
                distances.insert(*neighbour, next);
                queue.push_back(*neighbour);
            }
        }
    }
    let mut ports = BTreeMap::new();
    for (switch, distance) in distances.iter().filter(|(switch, _)| **switch != target) {
        let near = links.get(switch).into_iter().flatten();
        let near = near
            .filter(|(_, neighbour)| distances.get(neighbour).is_some_and(|other| other + 1 == *distance));
        if let Some((port, _)) = near.min() {
            ports.insert(*switch, *port);
        }
    }
    ports
}
