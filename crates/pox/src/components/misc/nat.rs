//! Network address translation on one switch: hosts behind its other ports share one address at its outside port.
//!
//! TCP and UDP are rewritten by flows in both directions; pings go through the controller. A host keeps its outside port
//! whomever it speaks to. The component answers ARP for the inside gateway and for the outside address, and asks for the next
//! hop. Traffic between inside hosts is left to the other components, and so are DHCP and names: `proto.dhcpd`, `proto.dnsd`.
//! ICMP errors from outside are not translated, later fragments neither.
//!
//! | option | meaning |
//! |---|---|
//! | `--switch=DPID` | the switch |
//! | `--outside-port=N` | its port to the outside |
//! | `--outside-ip=A.B.C.D/N`, `--gateway=IP` | its address there, and the next hop; without, those that `proto.dhcp_client` gets |
//! | `--inside=A.B.C.D/N` | the hosts; 192.168.0.0/24 |
//! | `--inside-ip=IP` | their gateway; the subnet's last |
//! | `--inside-mac=MAC` | its hardware address; `02:77:65:66:74:01` |
//!
//! Launch: `weft pox misc.nat --switch=1 --outside-port=3 proto.dhcp_client --switch=1 --port=3 proto.dhcpd forwarding.l2_learning`

use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use std::time::Duration;

use openflow::action::Action;
use openflow::field::Field;
use openflow::matching::Match;
use openflow::oxm::Oxm;
use openflow::port::PortNo;
use packet::wire::{IpProtocol, MacAddr, arp, icmpv4};

use super::mappings::{Inside, Mappings};
use crate::components::proto::dhcp_client::{LeaseLost, Leased};
use crate::components::proto::frames::{self, OWN_MAC};
use crate::compose::{self, Ends};
use crate::{
    Component, ConnectionDown, ConnectionUp, Core, Dpid, Flow, FlowRemoved, Listen, OPENFLOW, Options,
    OptionsError, PacketIn, Result, Subnet, Verdict, debug, info, output, warning,
};

/// Inside hosts remembered.
pub const HOSTS_MAX: usize = 1 << 14;
/// Packets that wait for the next hop's hardware address.
pub const WAITING_MAX: usize = 64;
/// Priority of the flows that bring packets to the controller.
pub const PRIORITY: u16 = 0x7000;
/// Priority of the flows of connections.
const CONNECTION_PRIORITY: u16 = 0x7800;
/// Flows end after so many seconds without a packet; whoever speaks again gets a new one with the same port.
const FLOW_IDLE: u16 = 60;
/// Cookies of its flows: this, protocol and outside port.
const COOKIE: u64 = 0x006e_6174 << 32;

/// The translator.
#[derive(Debug)]
pub struct Nat {
    switch: Dpid,
    port: PortNo,
    inside: Subnet,
    inside_ip: Ipv4Addr,
    inside_mac: MacAddr,
    outside: Option<Outside>,
    mac: MacAddr,
    up: bool,
    mappings: Mappings,
    hosts: BTreeMap<Ipv4Addr, (MacAddr, PortNo)>,
    waiting: Vec<PacketIn>,
}

#[derive(Debug, Clone, Copy)]
struct Outside {
    ip: Ipv4Addr,
    subnet: Subnet,
    gateway: Ipv4Addr,
    /// The next hop's hardware address, once it has answered.
    next: Option<MacAddr>,
}

pub(crate) fn build(options: &mut Options) -> std::result::Result<Box<dyn Component>, OptionsError> {
    let inside: Subnet = options.take_or("inside", Subnet::new([192, 168, 0, 0].into(), 24))?;
    let outside = match (options.text("outside-ip")?, options.take("gateway")?) {
        (None, None) => None,
        (Some(text), Some(gateway)) => {
            let wrong = |options: &Options, problem: String| options.wrong("outside-ip", &text, problem);
            let (ip, _) = text.split_once('/').ok_or_else(|| wrong(options, "no /prefix".into()))?;
            let ip = ip
                .parse()
                .map_err(|problem: std::net::AddrParseError| wrong(options, problem.to_string()))?;
            let subnet: Subnet = text.parse().map_err(|problem| wrong(options, problem))?;
            Some(Outside { ip, subnet, gateway, next: None })
        }
        _ => return Err(options.conflict("--outside-ip and --gateway go together")),
    };
    Ok(Box::new(Nat {
        switch: options.require("switch", "the switch")?,
        port: PortNo(options.require("outside-port", "its port to the outside")?),
        inside_ip: options.take_or("inside-ip", inside.last())?,
        inside_mac: options.take_or("inside-mac", OWN_MAC)?,
        inside,
        outside,
        mac: MacAddr::UNSPECIFIED,
        up: false,
        mappings: Mappings::default(),
        hosts: BTreeMap::new(),
        waiting: Vec::new(),
    }))
}

impl Component for Nat {
    fn start(&mut self, core: &mut Core) -> Result {
        core.listen(OPENFLOW, Self::connection_up);
        core.listen(OPENFLOW, |this: &mut Self, event: &ConnectionDown, _: &mut Core| {
            if event.datapath == this.switch {
                this.up = false;
                this.forget();
            }
        });
        core.listen(OPENFLOW, Self::flow_removed);
        core.listen_with(OPENFLOW, Listen::priority(150), Self::packet_in);
        core.listen("proto.dhcp_client", |this: &mut Self, event: &Leased, core: &mut Core| {
            if (event.datapath, event.port) != (this.switch, this.port) {
                return Ok(());
            }
            let Some(gateway) = event.routers.first().copied() else {
                warning!(core, "the lease of {} names no router", event.ip);
                return Ok(());
            };
            let subnet = Subnet::new(event.ip, u32::from(event.mask).leading_ones());
            match this.outside {
                Some(outside) if (outside.ip, outside.gateway) == (event.ip, gateway) => Ok(()), // renewed
                _ => this.outside_is(Outside { ip: event.ip, subnet, gateway, next: None }, core),
            }
        });
        core.listen("proto.dhcp_client", |this: &mut Self, event: &LeaseLost, core: &mut Core| {
            if (event.datapath, event.port) == (this.switch, this.port) {
                this.withdraw(core);
            }
        });
        core.every(Duration::from_secs(1), Self::ask_next_hop);
        core.every(Duration::from_secs(10), |this: &mut Self, core: &mut Core| {
            this.mappings.expire(core.now());
        });
        Ok(())
    }
}

fn set(field: Field, value: u128) -> Action {
    Action::SetField(Oxm::exact(field, value))
}

fn number(mac: MacAddr) -> u128 {
    mac.0.iter().fold(0, |number, byte| number << 8 | u128::from(*byte))
}

/// The fields of a protocol's ports.
const fn ports_of(protocol: IpProtocol) -> Option<(Field, Field)> {
    match protocol {
        IpProtocol::TCP => Some((Field::TcpSrc, Field::TcpDst)),
        IpProtocol::UDP => Some((Field::UdpSrc, Field::UdpDst)),
        _ => None,
    }
}

/// One direction of a connection.
fn direction(ips: (Ipv4Addr, Ipv4Addr), protocol: IpProtocol, ports: (u16, u16)) -> Match {
    let matching = Match::new().ipv4_src(ips.0).ipv4_dst(ips.1).ip_proto(protocol.0);
    match ports_of(protocol) {
        Some((source, destination)) => {
            matching.with(Oxm::exact(source, ports.0.into())).with(Oxm::exact(destination, ports.1.into()))
        }
        None => matching,
    }
}

impl Nat {
    /// Mappings in use.
    #[must_use]
    pub fn mappings(&self) -> usize {
        self.mappings.len()
    }

    fn forget(&mut self) {
        self.mappings.clear();
        self.waiting.clear();
        if let Some(outside) = &mut self.outside {
            outside.next = None;
        }
    }

    /// The address outside is ours no longer: nor are its flows.
    fn withdraw(&mut self, core: &mut Core) {
        self.forget();
        if let Some(outside) = self.outside.take() {
            let there = Match::new().ipv4_src_masked(self.inside.network(), self.inside.mask());
            let back = Match::new().in_port(self.port).ipv4_dst(outside.ip);
            for flow in [Flow::delete(there).out_port(self.port), Flow::delete(back)] {
                let _ = core.send(self.switch, flow); // a switch that is gone has no flows
            }
        }
    }

    fn connection_up(&mut self, event: &ConnectionUp, core: &mut Core) -> Result {
        if event.datapath != self.switch {
            return Ok(());
        }
        let port =
            core.connection(event.connection).and_then(|connection| connection.ports().get(&self.port));
        let Some(port) = port else {
            warning!(core, "switch {} has no port {}: nothing is translated", self.switch, self.port.0);
            return Ok(());
        };
        self.mac = port.address;
        self.up = true;
        for matching in
            [Match::new().eth_dst(self.inside_mac), Match::new().arp_op(1).arp_tpa(self.inside_ip)]
        {
            core.send(event.connection, Flow::add(matching).priority(PRIORITY).to_controller())?;
        }
        // Nothing of the outside is forwarded by others.
        let outside = Match::new().in_port(self.port);
        core.send(event.connection, Flow::add(outside).priority(PRIORITY + 1).to_controller())?;
        self.ask_next_hop(core)
    }

    fn outside_is(&mut self, outside: Outside, core: &mut Core) -> Result {
        info!(
            core,
            "{} at port {} is the address outside, {} the next hop", outside.ip, self.port.0, outside.gateway
        );
        self.withdraw(core);
        self.outside = Some(outside);
        self.ask_next_hop(core)
    }

    fn ask_next_hop(&mut self, core: &mut Core) -> Result {
        let Some(outside) = self.outside.filter(|outside| self.up && outside.next.is_none()) else {
            return Ok(());
        };
        let question = compose::arp(&arp::Repr {
            operation: arp::Operation::REQUEST,
            sender_mac: self.mac,
            sender_ip: outside.ip,
            target_mac: MacAddr::UNSPECIFIED,
            target_ip: outside.gateway,
        });
        core.inject(self.switch, PortNo::CONTROLLER, [output(self.port)], question)?;
        Ok(())
    }

    fn flow_removed(&mut self, event: &FlowRemoved, core: &mut Core) {
        let cookie = event.flow.cookie;
        if event.datapath == self.switch && cookie >> 32 == COOKIE >> 32 {
            self.mappings.flow_removed((cookie >> 16) as u8, cookie as u16, core.now());
        }
    }

    fn packet_in(&mut self, event: &PacketIn, core: &mut Core) -> Result<Verdict> {
        if event.datapath != self.switch || !self.up {
            return Ok(Verdict::Continue);
        }
        if event.in_port == self.port {
            self.outside_packet(event, core)?;
            core.drop_packet(event)?;
            return Ok(Verdict::Halt);
        }
        if let Some(packet) = event.arp() {
            self.learn(packet.sender_ip, packet.sender_mac, event.in_port);
            if packet.operation != arp::Operation::REQUEST || packet.target_ip != self.inside_ip {
                return Ok(Verdict::Continue);
            }
            let reply = frames::arp_reply(event, &packet, self.inside_mac);
            core.inject(event.connection, event.in_port, [output(PortNo::IN_PORT)], reply)?;
            core.drop_packet(event)?;
            return Ok(Verdict::Halt);
        }
        let Some(ip) = event.ipv4().filter(|_| event.destination() == self.inside_mac) else {
            return Ok(Verdict::Continue);
        };
        if !self.inside.is_host(ip.source()) || self.inside.contains(ip.destination()) {
            return Ok(Verdict::Continue); // for the gateway itself, or not one of ours
        }
        self.learn(ip.source(), event.source(), event.in_port);
        match self.outside {
            Some(Outside { next: Some(_), .. }) => self.inside_packet(event, core)?,
            Some(_) if self.waiting.len() < WAITING_MAX => self.waiting.push(event.clone()),
            _ => {
                debug!(core, "{}: there is no way out", ip.source());
                core.drop_packet(event)?;
            }
        }
        Ok(Verdict::Halt)
    }

    fn learn(&mut self, ip: Ipv4Addr, mac: MacAddr, port: PortNo) {
        if self.inside.is_host(ip) && (self.hosts.len() < HOSTS_MAX || self.hosts.contains_key(&ip)) {
            self.hosts.insert(ip, (mac, port));
        }
    }

    /// A host speaks to the outside.
    fn inside_packet(&mut self, event: &PacketIn, core: &mut Core) -> Result {
        let Some(Outside { ip: own, next: Some(next), .. }) = self.outside else { return Ok(()) };
        let Some(ip) = event.ipv4() else { return Ok(()) };
        let (source, remote, protocol) = (ip.source(), ip.destination(), ip.protocol());
        if protocol == IpProtocol::ICMP {
            return self.ping_out(event, core);
        }
        let ports = match protocol {
            IpProtocol::TCP => event.tcp().map(|tcp| (tcp.source_port(), tcp.destination_port())),
            IpProtocol::UDP => event.udp().map(|udp| (udp.source_port(), udp.destination_port())),
            _ => None,
        };
        let Some(ports) = ports else { return Ok(core.drop_packet(event)?) };
        let Some((source_field, _)) = ports_of(protocol) else { return Ok(()) };
        let inside = Inside { protocol: protocol.0, ip: source, port: ports.0 };
        let Some(mapped) = self.mappings.map(inside, core.now()) else {
            warning!(core, "no port is left for {source}");
            return Ok(core.drop_packet(event)?);
        };
        self.flow_back(inside, mapped, (remote, ports.1), core)?;
        let actions = [
            set(Field::EthSrc, number(self.mac)),
            set(Field::EthDst, number(next)),
            set(Field::Ipv4Src, own.to_bits().into()),
            set(source_field, mapped.into()),
            output(self.port),
        ];
        let flow = Flow::add(direction((source, remote), protocol, ports).in_port(event.in_port))
            .priority(CONNECTION_PRIORITY)
            .idle_timeout(FLOW_IDLE)
            .cookie(COOKIE | u64::from(protocol.0) << 16 | u64::from(mapped))
            .tell_removal()
            .actions(actions);
        self.mappings.flow_added(protocol.0, mapped);
        core.install_for(event, flow)?;
        Ok(())
    }

    /// The flow of what a remote end sends to an inside one.
    fn flow_back(&mut self, inside: Inside, mapped: u16, remote: (Ipv4Addr, u16), core: &mut Core) -> Result {
        let Some(flow) = self.back(inside, mapped, remote) else { return Ok(()) };
        self.mappings.flow_added(inside.protocol, mapped);
        core.send(self.switch, flow)?;
        Ok(())
    }

    fn back(&self, inside: Inside, mapped: u16, remote: (Ipv4Addr, u16)) -> Option<Flow> {
        let own = self.outside?.ip;
        let (mac, port) = *self.hosts.get(&inside.ip)?;
        let protocol = IpProtocol(inside.protocol);
        let (_, destination_field) = ports_of(protocol)?;
        let matching = direction((remote.0, own), protocol, (remote.1, mapped)).in_port(self.port);
        let actions = [
            set(Field::EthSrc, number(self.inside_mac)),
            set(Field::EthDst, number(mac)),
            set(Field::Ipv4Dst, inside.ip.to_bits().into()),
            set(destination_field, inside.port.into()),
            output(port),
        ];
        let cookie = COOKIE | u64::from(protocol.0) << 16 | u64::from(mapped);
        Some(
            Flow::add(matching)
                .priority(CONNECTION_PRIORITY)
                .idle_timeout(FLOW_IDLE)
                .cookie(cookie)
                .tell_removal()
                .actions(actions),
        )
    }

    /// The outside speaks.
    fn outside_packet(&mut self, event: &PacketIn, core: &mut Core) -> Result {
        let Some(outside) = self.outside else { return Ok(()) };
        if let Some(packet) = event.arp() {
            return self.outside_arp(event, &packet, outside, core);
        }
        let Some(ip) = event.ipv4().filter(|ip| ip.destination() == outside.ip) else { return Ok(()) };
        let (remote, protocol) = (ip.source(), ip.protocol());
        if protocol == IpProtocol::ICMP {
            return self.ping_in(event, core);
        }
        let ports = match protocol {
            IpProtocol::TCP => event.tcp().map(|tcp| (tcp.source_port(), tcp.destination_port())),
            IpProtocol::UDP => event.udp().map(|udp| (udp.source_port(), udp.destination_port())),
            _ => None,
        };
        let Some((from, to)) = ports else { return Ok(()) };
        let Some(inside) = self.mappings.find(protocol.0, to, core.now()) else { return Ok(()) };
        let Some(flow) = self.back(inside, to, (remote, from)) else { return Ok(()) };
        self.mappings.flow_added(protocol.0, to);
        core.install_for(event, flow)?;
        Ok(())
    }

    fn outside_arp(
        &mut self,
        event: &PacketIn,
        packet: &arp::Repr,
        outside: Outside,
        core: &mut Core,
    ) -> Result {
        if packet.operation == arp::Operation::REQUEST && packet.target_ip == outside.ip {
            let reply = frames::arp_reply(event, packet, self.mac);
            core.inject(event.connection, event.in_port, [output(PortNo::IN_PORT)], reply)?;
        }
        if packet.sender_ip == outside.gateway
            && outside.subnet.contains(packet.sender_ip)
            && outside.next != Some(packet.sender_mac)
        {
            self.outside = Some(Outside { next: Some(packet.sender_mac), ..outside });
            for waiting in std::mem::take(&mut self.waiting) {
                self.inside_packet(&waiting, core)?;
            }
        }
        Ok(())
    }

    /// Pings have no port that a switch could rewrite.
    fn ping_out(&mut self, event: &PacketIn, core: &mut Core) -> Result {
        let Some(Outside { ip: own, next: Some(next), .. }) = self.outside else { return Ok(()) };
        if let (Some(ip), Some(icmp)) = (event.ipv4(), event.icmpv4())
            && icmp.kind() == icmpv4::Type::ECHO_REQUEST
            && event.is_whole()
        {
            let inside = Inside { protocol: IpProtocol::ICMP.0, ip: ip.source(), port: icmp.ident() };
            if let Some(ident) = self.mappings.map(inside, core.now()) {
                let ends = Ends { macs: (self.mac, next), ips: (own, ip.destination()) };
                let message =
                    icmpv4::Repr::EchoRequest { ident, sequence: icmp.sequence(), data: icmp.payload() };
                let frame = compose::icmpv4(ends, &message);
                core.inject(self.switch, PortNo::CONTROLLER, [output(self.port)], frame)?;
            }
        }
        core.drop_packet(event)?;
        Ok(())
    }

    fn ping_in(&mut self, event: &PacketIn, core: &mut Core) -> Result {
        let (Some(ip), Some(icmp)) = (event.ipv4(), event.icmpv4()) else { return Ok(()) };
        let (ident, sequence, data) = (icmp.ident(), icmp.sequence(), icmp.payload());
        let (ends, message, out) = match icmp.kind() {
            icmpv4::Type::ECHO_REPLY => {
                let inside = self.mappings.find(IpProtocol::ICMP.0, ident, core.now());
                let Some(inside) = inside else { return Ok(()) };
                let Some((mac, port)) = self.hosts.get(&inside.ip).copied() else { return Ok(()) };
                let ends = Ends { macs: (self.inside_mac, mac), ips: (ip.source(), inside.ip) };
                (ends, icmpv4::Repr::EchoReply { ident: inside.port, sequence, data }, port)
            }
            icmpv4::Type::ECHO_REQUEST => {
                let ends = Ends { macs: (self.mac, event.source()), ips: (ip.destination(), ip.source()) };
                (ends, icmpv4::Repr::EchoReply { ident, sequence, data }, self.port)
            }
            _ => return Ok(()),
        };
        if event.is_whole() {
            core.inject(self.switch, PortNo::CONTROLLER, [output(out)], compose::icmpv4(ends, &message))?;
        }
        Ok(())
    }
}
