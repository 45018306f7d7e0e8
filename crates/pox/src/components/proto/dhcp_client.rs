//! A DHCP client (RFC 2131): gets an address from the network behind a port of a switch.
//!
//! It speaks with the port's own hardware address, tells other components of its lease by `Leased` and `LeaseLost`, and renews
//! it in time. It starts when the switch connects and the port is up, and again when either comes back.
//!
//! | option | meaning |
//! |---|---|
//! | `--switch=DPID` | the switch |
//! | `--port=N` | its port |
//! | `--mac=MAC` | another hardware address than the port's |
//! | `--name=NAME` | what it calls itself; nothing |
//!
//! Launch: `weft pox proto.dhcp_client --switch=1 --port=3`

use std::net::Ipv4Addr;
use std::time::Duration;

use openflow::matching::Match;
use openflow::port::PortNo;
use packet::wire::MacAddr;
use packet::wire::dhcpv4::{self, CLIENT_PORT, MessageType, Repr, SERVER_PORT};

use crate::compose::{self, Ends};
use crate::{
    Component, ConnectionDown, ConnectionUp, Core, Dpid, Event, Flow, Listen, OPENFLOW, Options,
    OptionsError, PacketIn, PortStatus, Result, TimerId, Verdict, info, is_live, output, warning,
};

/// Priority of the flow that brings answers to the controller.
pub const PRIORITY: u16 = 0x7000;
/// First wait for an answer; it doubles with each try (RFC 2131, section 4.1).
const PATIENCE: Duration = Duration::from_secs(4);
/// Longest wait for an answer.
const PATIENCE_MAX: Duration = Duration::from_secs(64);
/// Requests for an offered address before it looks for servers again.
const REQUESTS: u32 = 4;
/// Shortest time between two tries to renew (RFC 2131, section 4.4.5).
const RENEW_AGAIN_MIN: Duration = Duration::from_secs(60);

/// An address was lent, or its lease was renewed. Raised by `proto.dhcp_client`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Leased {
    /// The switch.
    pub datapath: Dpid,
    /// The port.
    pub port: PortNo,
    /// The address.
    pub ip: Ipv4Addr,
    /// Its subnet's mask.
    pub mask: Ipv4Addr,
    /// Routers, the best first.
    pub routers: Vec<Ipv4Addr>,
    /// Name servers.
    pub name_servers: Vec<Ipv4Addr>,
    /// For so long.
    pub time: Duration,
}

/// The address is not ours any longer. Raised by `proto.dhcp_client`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LeaseLost {
    /// The switch.
    pub datapath: Dpid,
    /// The port.
    pub port: PortNo,
    /// The address.
    pub ip: Ipv4Addr,
}

impl Event for Leased {}
impl Event for LeaseLost {}

/// The client.
#[derive(Debug)]
pub struct DhcpClient {
    datapath: Dpid,
    port: PortNo,
    own: Option<MacAddr>,
    name: Option<String>,
    mac: MacAddr,
    transaction: u32,
    tries: u32,
    timer: Option<TimerId>,
    state: State,
}

/// RFC 2131, figure 5.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// The switch or its port is away.
    Away,
    /// Looks for servers.
    Selecting,
    /// Asks a server for what it offers.
    Requesting { ip: Ipv4Addr, server: Ipv4Addr },
    /// Has an address; asks its server, later any, to keep it.
    Bound { ip: Ipv4Addr, server: Ipv4Addr, renew: Duration, rebind: Duration, expires: Duration },
}

pub(crate) fn build(options: &mut Options) -> std::result::Result<Box<dyn Component>, OptionsError> {
    Ok(Box::new(DhcpClient {
        datapath: options.require("switch", "the switch")?,
        port: PortNo(options.require("port", "its port")?),
        own: options.take("mac")?,
        name: options.text("name")?,
        mac: MacAddr::UNSPECIFIED,
        transaction: 0x7765_6674,
        tries: 0,
        timer: None,
        state: State::Away,
    }))
}

impl Component for DhcpClient {
    fn start(&mut self, core: &mut Core) -> Result {
        core.listen(OPENFLOW, |this: &mut Self, event: &ConnectionUp, core: &mut Core| {
            match event.datapath {
                datapath if datapath == this.datapath => this.connected(core),
                _ => Ok(()),
            }
        });
        core.listen(OPENFLOW, |this: &mut Self, event: &ConnectionDown, core: &mut Core| {
            if event.datapath == this.datapath {
                this.leave(core);
            }
        });
        core.listen(OPENFLOW, |this: &mut Self, event: &PortStatus, core: &mut Core| {
            if event.datapath != this.datapath || event.port.number != this.port {
                return Ok(());
            }
            match (this.state, is_live(&event.port)) {
                (State::Away, true) => this.connected(core),
                (State::Away, false) | (_, true) => Ok(()),
                (_, false) => {
                    this.leave(core);
                    Ok(())
                }
            }
        });
        core.listen_with(OPENFLOW, Listen::priority(100), Self::packet_in);
        Ok(())
    }
}

impl DhcpClient {
    /// The address it has.
    #[must_use]
    pub fn address(&self) -> Option<Ipv4Addr> {
        match self.state {
            State::Bound { ip, .. } => Some(ip),
            _ => None,
        }
    }

    fn connected(&mut self, core: &mut Core) -> Result {
        let Some(connection) = core.connection(self.datapath) else { return Ok(()) };
        let Some(port) = connection.ports().get(&self.port) else {
            warning!(core, "switch {} has no port {}", self.datapath, self.port.0);
            return Ok(());
        };
        if !is_live(port) {
            return Ok(());
        }
        self.mac = self.own.unwrap_or(port.address);
        let answers = Match::new().in_port(self.port).udp_src(SERVER_PORT).udp_dst(CLIENT_PORT);
        core.send(self.datapath, Flow::add(answers).priority(PRIORITY).to_controller())?;
        self.select(core)
    }

    fn leave(&mut self, core: &mut Core) {
        self.lose(core);
        self.state = State::Away;
        if let Some(timer) = self.timer.take() {
            core.cancel(timer);
        }
    }

    fn lose(&mut self, core: &mut Core) {
        if let State::Bound { ip, .. } = self.state {
            warning!(core, "{ip} is lost");
            core.raise(LeaseLost { datapath: self.datapath, port: self.port, ip });
        }
    }

    fn select(&mut self, core: &mut Core) -> Result {
        self.lose(core);
        self.state = State::Selecting;
        self.tries = 0;
        self.transaction = self.transaction.wrapping_add(1);
        self.ask(core)
    }

    /// Says again what it is waiting for an answer to.
    fn ask(&mut self, core: &mut Core) -> Result {
        let now = core.now();
        let wait = match self.state {
            State::Away => return Ok(()),
            State::Requesting { .. } if self.tries >= REQUESTS => return self.select(core),
            State::Selecting | State::Requesting { .. } => {
                (PATIENCE * (1 << self.tries.min(8))).min(PATIENCE_MAX)
            }
            State::Bound { expires, .. } if now >= expires => return self.select(core),
            State::Bound { renew, .. } if now < renew => {
                self.wait(renew - now, core);
                return Ok(());
            }
            // Half of what is left, but not too often.
            State::Bound { rebind, expires, .. } => {
                let end = if now < rebind { rebind } else { expires };
                ((end - now) / 2).max(RENEW_AGAIN_MIN).min(expires - now).max(Duration::from_millis(10))
            }
        };
        self.tries += 1;
        self.say(core)?;
        self.wait(wait, core);
        Ok(())
    }

    fn wait(&mut self, time: Duration, core: &mut Core) {
        if let Some(timer) = self.timer.take() {
            core.cancel(timer);
        }
        self.timer = Some(core.after(time, |this: &mut Self, core: &mut Core| {
            this.timer = None;
            this.ask(core)
        }));
    }

    fn say(&self, core: &mut Core) -> Result {
        let mut message = Repr::discover(self.transaction, self.mac);
        message.host_name = self.name.as_deref().map(str::as_bytes);
        let mut ips = (Ipv4Addr::UNSPECIFIED, Ipv4Addr::BROADCAST);
        match self.state {
            State::Away | State::Selecting => {}
            State::Requesting { ip, server } => {
                message.kind = MessageType::REQUEST;
                message.requested_ip = Some(ip);
                message.server = Some(server);
            }
            State::Bound { ip, .. } => {
                message.kind = MessageType::REQUEST;
                message.client_ip = ip;
                // By broadcast, whichever: the server's hardware address is not known here.
                ips.0 = ip;
            }
        }
        let mut payload = vec![0; message.buffer_len()];
        message.emit(&mut dhcpv4::View::new_unchecked(&mut payload[..]));
        let ends = Ends { macs: (self.mac, MacAddr::BROADCAST), ips };
        let frame = compose::udp(ends, (CLIENT_PORT, SERVER_PORT), &payload);
        core.inject(self.datapath, PortNo::CONTROLLER, [output(self.port)], frame)?;
        Ok(())
    }

    fn packet_in(&mut self, event: &PacketIn, core: &mut Core) -> Result<Verdict> {
        if event.datapath != self.datapath || event.in_port != self.port || self.state == State::Away {
            return Ok(Verdict::Continue);
        }
        let Some(udp) = event
            .udp()
            .filter(|udp| (udp.source_port(), udp.destination_port()) == (SERVER_PORT, CLIENT_PORT))
        else {
            return Ok(Verdict::Continue);
        };
        let Ok(view) = dhcpv4::View::new_checked(udp.payload()) else { return Ok(Verdict::Continue) };
        let Ok(answer) = Repr::parse(&view) else { return Ok(Verdict::Continue) };
        let ours = answer.operation == dhcpv4::Operation::Reply
            && answer.client_mac == self.mac
            && answer.transaction == self.transaction;
        if !ours {
            return Ok(Verdict::Continue);
        }
        self.answered(&answer, core)?;
        core.drop_packet(event)?;
        Ok(Verdict::Halt)
    }

    fn answered(&mut self, answer: &Repr<'_>, core: &mut Core) -> Result {
        match (answer.kind, self.state) {
            (MessageType::OFFER, State::Selecting) => {
                let Some(server) = answer.server.filter(|_| !answer.your_ip.is_unspecified()) else {
                    return Ok(());
                };
                self.state = State::Requesting { ip: answer.your_ip, server };
                self.tries = 0;
                self.ask(core)
            }
            (MessageType::ACK, State::Requesting { ip, server } | State::Bound { ip, server, .. })
                if answer.your_ip == ip =>
            {
                let now = core.now();
                let seconds = |value: Option<u32>| value.map(|seconds| Duration::from_secs(seconds.into()));
                let Some(time) = seconds(answer.lease_s).filter(|time| !time.is_zero()) else {
                    return Ok(());
                };
                let renew = seconds(answer.renewal_s).filter(|renew| *renew < time).unwrap_or(time / 2);
                let rebind = seconds(answer.rebinding_s).filter(|rebind| (renew..time).contains(rebind));
                let rebind = rebind.unwrap_or((time / 8 * 7).max(renew));
                let server = answer.server.unwrap_or(server);
                self.state = State::Bound {
                    ip,
                    server,
                    renew: now + renew,
                    rebind: now + rebind,
                    expires: now + time,
                };
                self.tries = 0;
                info!(core, "{ip} is ours for {} s", time.as_secs());
                self.wait(renew, core);
                core.raise(Leased {
                    datapath: self.datapath,
                    port: self.port,
                    ip,
                    mask: answer.subnet_mask.unwrap_or(Ipv4Addr::BROADCAST),
                    routers: answer.routers.to_vec(),
                    name_servers: answer.name_servers.to_vec(),
                    time,
                });
                Ok(())
            }
            (MessageType::NAK, State::Requesting { .. } | State::Bound { .. }) => self.select(core),
            _ => Ok(()),
        }
    }
}
