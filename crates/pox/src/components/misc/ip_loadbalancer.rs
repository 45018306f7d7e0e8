//! Balances connections to one address over several servers, on one switch.
//!
//! The balancer answers ARP for the service's address, finds the servers by asking for theirs, and goes on asking: a server that
//! answers no more is left out, its connections are given to others, and it is taken in again when it answers. Each new connection
//! goes to the live server that has fewest. Both directions are rewritten by flows, which end after ten seconds without a packet;
//! which server a connection belongs to is remembered for five minutes.
//!
//! A connection that changes servers is unknown to the new one, which resets it: its client learns at once and can connect again.
//!
//! | option | meaning |
//! |---|---|
//! | `--ip=IP` | the service's address |
//! | `--servers=IP,…` | the servers |
//! | `--mac=MAC` | the service's hardware address; `02:77:65:66:74:01` |
//! | `--switch=DPID` | the switch; the first that connects |
//! | `--probe=SECONDS` | each server is asked so often; 1 |
//! | `--patience=SECONDS` | a server that is silent for so long is dead; 3 |
//!
//! Launch: `weft pox misc.ip_loadbalancer --ip=10.0.1.1 --servers=10.0.0.1,10.0.0.2 forwarding.l2_learning`

use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use std::time::Duration;

use openflow::action::Action;
use openflow::field::Field;
use openflow::matching::Match;
use openflow::oxm::Oxm;
use openflow::port::PortNo;
use packet::wire::{IpProtocol, MacAddr, arp};

use crate::components::proto::frames::{self, OWN_MAC};
use crate::{
    Component, ConnectionDown, ConnectionUp, Core, Dpid, Event, Flow, Listen, OPENFLOW, Options,
    OptionsError, PacketIn, Result, Verdict, compose, debug, info, output, warning,
};

/// Servers of one service.
pub const SERVERS_MAX: usize = 1_024;
/// Connections remembered; the one that has been silent longest makes way for a new one.
pub const CONNECTIONS_MAX: usize = 1 << 16;
/// Priority of the flow that brings the service's packets and the servers' ARP to the controller.
pub const PRIORITY: u16 = 0x7000;
/// Priority of the flows of connections.
const CONNECTION_PRIORITY: u16 = 0x7800;
/// Flows end after so many seconds without a packet.
const FLOW_IDLE: u16 = 10;
/// Connections are remembered for so long without a packet that the controller sees.
const MEMORY: Duration = Duration::from_secs(300);

/// The balancer.
#[derive(Debug)]
pub struct LoadBalancer {
    ip: Ipv4Addr,
    mac: MacAddr,
    wanted: Option<Dpid>,
    switch: Option<Dpid>,
    probe: Duration,
    patience: Duration,
    servers: BTreeMap<Ipv4Addr, Server>,
    connections: BTreeMap<Client, Assigned>,
}

#[derive(Debug, Default)]
struct Server {
    /// Where it is, while it lives.
    place: Option<(MacAddr, PortNo)>,
    heard: Duration,
    connections: usize,
}

/// A connection as its client sees it: protocol, client, both ports.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Client {
    ip: Ipv4Addr,
    protocol: u8,
    port: u16,
    service: u16,
}

#[derive(Debug, Clone, Copy)]
struct Assigned {
    server: Ipv4Addr,
    client: (MacAddr, PortNo),
    seen: Duration,
}

/// A server lives, or lives no longer. Raised by `misc.ip_loadbalancer`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ServerChanged {
    /// The server.
    pub ip: Ipv4Addr,
    /// Whether it lives.
    pub alive: bool,
}

impl Event for ServerChanged {}

pub(crate) fn build(options: &mut Options) -> std::result::Result<Box<dyn Component>, OptionsError> {
    let ip = options.require("ip", "the service's address")?;
    let servers: Vec<Ipv4Addr> = options.list("servers")?;
    if servers.is_empty() || servers.len() > SERVERS_MAX || servers.contains(&ip) {
        return Err(options.conflict(format!(
            "--servers names from 1 to {SERVERS_MAX} addresses, and the service's is none of them"
        )));
    }
    let probe = options.seconds("probe", Duration::from_secs(1))?.max(Duration::from_millis(50));
    Ok(Box::new(LoadBalancer {
        ip,
        mac: options.take_or("mac", OWN_MAC)?,
        wanted: options.take("switch")?,
        switch: None,
        probe,
        patience: options.seconds("patience", Duration::from_secs(3))?.max(probe),
        servers: servers.into_iter().map(|server| (server, Server::default())).collect(),
        connections: BTreeMap::new(),
    }))
}

impl Component for LoadBalancer {
    fn start(&mut self, core: &mut Core) -> Result {
        core.listen(OPENFLOW, Self::connection_up);
        core.listen(OPENFLOW, |this: &mut Self, event: &ConnectionDown, core: &mut Core| {
            if this.switch == Some(event.datapath) {
                this.switch = None;
                this.everyone_is_gone(core);
            }
        });
        core.listen_with(OPENFLOW, Listen::priority(200), Self::packet_in);
        core.every(self.probe, Self::look_after);
        Ok(())
    }
}

fn set(field: Field, value: u128) -> Action {
    Action::SetField(Oxm::exact(field, value))
}

fn number(mac: MacAddr) -> u128 {
    mac.0.iter().fold(0, |number, byte| number << 8 | u128::from(*byte))
}

/// Back by the port it came in by takes a name of its own.
fn out(port: PortNo, in_port: PortNo) -> Action {
    output(if port == in_port { PortNo::IN_PORT } else { port })
}

impl LoadBalancer {
    /// The servers that live.
    pub fn live(&self) -> impl Iterator<Item = Ipv4Addr> {
        self.servers.iter().filter(|(_, server)| server.place.is_some()).map(|(ip, _)| *ip)
    }

    /// Connections each server has, of those that are remembered.
    pub fn loads(&self) -> impl Iterator<Item = (Ipv4Addr, usize)> {
        self.servers.iter().map(|(ip, server)| (*ip, server.connections))
    }

    fn connection_up(&mut self, event: &ConnectionUp, core: &mut Core) -> Result {
        let ours = self.wanted.is_none_or(|wanted| wanted == event.datapath)
            && self.switch.is_none_or(|switch| switch == event.datapath);
        if !ours {
            return Ok(());
        }
        self.switch = Some(event.datapath);
        for matching in [
            Match::new().ipv4_dst(self.ip),
            Match::new().arp_op(1).arp_tpa(self.ip),
            Match::new().arp_op(2).arp_tpa(self.ip),
        ] {
            core.send(event.connection, Flow::add(matching).priority(PRIORITY).to_controller())?;
        }
        self.ask_servers(core)
    }

    /// Asks every server for its hardware address, wherever it is.
    fn ask_servers(&self, core: &mut Core) -> Result {
        let Some(switch) = self.switch else { return Ok(()) };
        for server in self.servers.keys() {
            let question = compose::arp(&arp::Repr {
                operation: arp::Operation::REQUEST,
                sender_mac: self.mac,
                sender_ip: self.ip,
                target_mac: MacAddr::UNSPECIFIED,
                target_ip: *server,
            });
            core.flood_packet(switch, PortNo::CONTROLLER, question)?;
        }
        Ok(())
    }

    fn look_after(&mut self, core: &mut Core) -> Result {
        let now = core.now();
        let dead: Vec<Ipv4Addr> = self
            .servers
            .iter()
            .filter(|(_, server)| server.place.is_some() && server.heard + self.patience <= now)
            .map(|(ip, _)| *ip)
            .collect();
        for ip in dead {
            self.died(ip, core)?;
        }
        let mut forgotten = Vec::new();
        self.connections.retain(|_, assigned| {
            let keep = assigned.seen + MEMORY > now;
            if !keep {
                forgotten.push(assigned.server);
            }
            keep
        });
        for server in forgotten {
            self.count(server, |connections| connections.saturating_sub(1));
        }
        self.ask_servers(core)
    }

    fn count(&mut self, server: Ipv4Addr, change: impl Fn(usize) -> usize) {
        if let Some(server) = self.servers.get_mut(&server) {
            server.connections = change(server.connections);
        }
    }

    /// Its connections go to others with their next packet: nothing of theirs may be left behind.
    fn died(&mut self, ip: Ipv4Addr, core: &mut Core) -> Result {
        let Some(server) = self.servers.get_mut(&ip) else { return Ok(()) };
        (server.place, server.connections) = (None, 0);
        warning!(core, "server {ip} answers no more");
        let gone: Vec<Client> = self
            .connections
            .extract_if(.., |_, assigned| assigned.server == ip)
            .map(|(client, _)| client)
            .collect();
        if let Some(switch) = self.switch {
            core.send(switch, Flow::delete(Match::new().ipv4_src(ip)))?;
            for client in gone {
                core.send(switch, Flow::delete(self.there(client)))?;
            }
        }
        core.raise(ServerChanged { ip, alive: false });
        Ok(())
    }

    fn everyone_is_gone(&mut self, core: &mut Core) {
        self.connections.clear();
        let mut gone = Vec::new();
        for (ip, server) in &mut self.servers {
            server.connections = 0;
            if server.place.take().is_some() {
                gone.push(*ip);
            }
        }
        for ip in gone {
            core.raise(ServerChanged { ip, alive: false });
        }
    }

    fn packet_in(&mut self, event: &PacketIn, core: &mut Core) -> Result<Verdict> {
        if self.switch != Some(event.datapath) {
            return Ok(Verdict::Continue);
        }
        if let Some(packet) = event.arp() {
            return self.arp(event, &packet, core);
        }
        let Some(ip) = event.ipv4() else { return Ok(Verdict::Continue) };
        let (source, destination, protocol) = (ip.source(), ip.destination(), ip.protocol().0);
        let (from, to) = match ip.protocol() {
            IpProtocol::TCP => event.tcp().map(|tcp| (tcp.source_port(), tcp.destination_port())),
            IpProtocol::UDP => event.udp().map(|udp| (udp.source_port(), udp.destination_port())),
            _ => None,
        }
        .unwrap_or((0, 0));
        if destination == self.ip {
            let client = Client { ip: source, protocol, port: from, service: to };
            self.client_packet(event, client, core)?;
            return Ok(Verdict::Halt);
        }
        if self.servers.contains_key(&source) {
            let client = Client { ip: destination, protocol, port: to, service: from };
            if self.connections.get(&client).is_some_and(|assigned| assigned.server == source) {
                self.server_packet(event, client, core)?;
                return Ok(Verdict::Halt);
            }
        }
        Ok(Verdict::Continue)
    }

    fn arp(&mut self, event: &PacketIn, packet: &arp::Repr, core: &mut Core) -> Result<Verdict> {
        if packet.operation == arp::Operation::REPLY
            && let Some(server) = self.servers.get_mut(&packet.sender_ip)
        {
            server.heard = core.now();
            let place = (packet.sender_mac, event.in_port);
            let before = server.place;
            if before.is_some_and(|before| before != place) {
                self.died(packet.sender_ip, core)?; // its flows lead to where it was
            }
            if before != Some(place) {
                if let Some(server) = self.servers.get_mut(&packet.sender_ip) {
                    server.place = Some(place);
                }
                info!(core, "server {} is at port {}", packet.sender_ip, event.in_port.0);
                core.raise(ServerChanged { ip: packet.sender_ip, alive: true });
            }
        }
        if packet.target_ip != self.ip {
            return Ok(Verdict::Continue);
        }
        if packet.operation == arp::Operation::REQUEST {
            let reply = frames::arp_reply(event, packet, self.mac);
            core.inject(event.connection, event.in_port, [output(PortNo::IN_PORT)], reply)?;
        }
        core.drop_packet(event)?;
        Ok(Verdict::Halt)
    }

    /// The server of a connection: the one it has, or the live one that has fewest.
    fn assign(
        &mut self,
        client: Client,
        place: (MacAddr, PortNo),
        now: Duration,
    ) -> Option<(Ipv4Addr, MacAddr, PortNo)> {
        let known = self.connections.get(&client).map(|assigned| assigned.server);
        let ip = match known.filter(|ip| self.servers.get(ip).is_some_and(|server| server.place.is_some())) {
            Some(ip) => ip,
            None => {
                let live = self.servers.iter().filter(|(_, server)| server.place.is_some());
                *live.min_by_key(|(_, server)| server.connections)?.0
            }
        };
        if known != Some(ip) {
            if let Some(before) = known {
                self.count(before, |connections| connections.saturating_sub(1));
            } else if self.connections.len() >= CONNECTIONS_MAX {
                self.make_room();
            }
            self.count(ip, |connections| connections + 1);
        }
        self.connections.insert(client, Assigned { server: ip, client: place, seen: now });
        let (mac, port) = self.servers.get(&ip)?.place?;
        Some((ip, mac, port))
    }

    fn make_room(&mut self) {
        let oldest =
            self.connections.iter().min_by_key(|(_, assigned)| assigned.seen).map(|(client, _)| *client);
        if let Some(assigned) = oldest.and_then(|client| self.connections.remove(&client)) {
            self.count(assigned.server, |connections| connections.saturating_sub(1));
        }
    }

    /// What a client sends to the service.
    fn there(&self, client: Client) -> Match {
        let matching = Match::new().ipv4_src(client.ip).ipv4_dst(self.ip).ip_proto(client.protocol);
        match IpProtocol(client.protocol) {
            IpProtocol::TCP => matching.tcp_src(client.port).tcp_dst(client.service),
            IpProtocol::UDP => matching.udp_src(client.port).udp_dst(client.service),
            _ => matching,
        }
    }

    /// What a server sends to a client.
    fn back(server: Ipv4Addr, client: Client) -> Match {
        let matching = Match::new().ipv4_src(server).ipv4_dst(client.ip).ip_proto(client.protocol);
        match IpProtocol(client.protocol) {
            IpProtocol::TCP => matching.tcp_src(client.service).tcp_dst(client.port),
            IpProtocol::UDP => matching.udp_src(client.service).udp_dst(client.port),
            _ => matching,
        }
    }

    fn client_packet(&mut self, event: &PacketIn, client: Client, core: &mut Core) -> Result {
        let place = (event.source(), event.in_port);
        let Some((ip, mac, port)) = self.assign(client, place, core.now()) else {
            debug!(core, "no server for {}", client.ip);
            core.drop_packet(event)?;
            return Ok(());
        };
        self.install_back(ip, port, client, place, core)?;
        let actions = [
            set(Field::EthSrc, number(self.mac)),
            set(Field::EthDst, number(mac)),
            set(Field::Ipv4Dst, ip.to_bits().into()),
            out(port, event.in_port),
        ];
        let flow = Flow::add(self.there(client).in_port(event.in_port))
            .priority(CONNECTION_PRIORITY)
            .idle_timeout(FLOW_IDLE)
            .actions(actions);
        core.install_for(event, flow)?;
        Ok(())
    }

    fn back_flow(&self, server: Ipv4Addr, port: PortNo, client: Client, place: (MacAddr, PortNo)) -> Flow {
        Flow::add(Self::back(server, client).in_port(port))
            .priority(CONNECTION_PRIORITY)
            .idle_timeout(FLOW_IDLE)
            .actions([
                set(Field::EthSrc, number(self.mac)),
                set(Field::EthDst, number(place.0)),
                set(Field::Ipv4Src, self.ip.to_bits().into()),
                out(place.1, port),
            ])
    }

    /// Before the packet leaves for the server: its answer finds the flow.
    fn install_back(
        &self,
        server: Ipv4Addr,
        port: PortNo,
        client: Client,
        place: (MacAddr, PortNo),
        core: &mut Core,
    ) -> Result {
        if let Some(switch) = self.switch {
            core.send(switch, self.back_flow(server, port, client, place))?;
        }
        Ok(())
    }

    fn server_packet(&mut self, event: &PacketIn, client: Client, core: &mut Core) -> Result {
        let now = core.now();
        let Some(assigned) = self.connections.get_mut(&client) else { return Ok(()) };
        assigned.seen = now;
        let (server, place) = (assigned.server, assigned.client);
        let flow = self.back_flow(server, event.in_port, client, place);
        core.install_for(event, flow)?;
        Ok(())
    }
}
