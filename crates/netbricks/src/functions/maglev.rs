//! Balances the connections to one address over many servers, by Maglev hashing and a table of connections.
//!
//! Clients are at gate 1, servers at gate 0. A packet to the service's address goes to the back end that its connection is
//! with; a new connection goes where the Maglev table says (Eisenbud et al., NSDI'16, section 3.4). A connection stays with
//! its back end when the set of back ends changes, also with one that was taken out, until it is over; a program changes it
//! while packets flow, by `live::Handle::change` and `Maglev::set_backends`. What is not for the service passes unchanged.
//!
//! | argument | default | |
//! |---|---|---|
//! | `vip=192.0.2.10:80/tcp` | | the service: address, port, `tcp` or `udp` |
//! | `backend=10.0.0.1:8080` | | a server, repeated; the port is the service's if left out; `,weight=2` and `,mac=02:…` may follow; `backend=@FILE` reads a file of them |
//! | `down=10.0.0.1:8080` | none | a back end, repeated, that gets no new connections |
//! | `mode=nat` | `nat` | or `dsr`, `ipip`, `gre` |
//! | `source=10.0.0.254` | | of the tunnels: the address packets are sent from, in the family of the back ends |
//! | `flows=131072` | 131072 | connections remembered; beyond, packets follow the Maglev table, which is nearly as good |
//! | `idle=5m` | 5 min | how long a connection is remembered that is silent; 1 min after a FIN or RST |
//! | `table=65537` | 65537 | entries of the Maglev table, a prime: 1 % even for 655 back ends |
//!
//! `nat` writes the back end's address and port as destination, and the service's as source of what comes back, so both
//! ways must pass here. `dsr` writes the back end's `mac` as Ethernet destination and nothing else: it owns the service's
//! address and answers the client itself. `ipip` and `gre` put the packet into another one to the back end, which takes it
//! out and answers itself, as in the paper; give the network inside an MTU larger by 20 to 44 bytes. In all modes a `mac`
//! becomes the destination; without one, the frame goes on to the router it was sent to.
//!
//! Checksums are mended by the difference, so they may be unfinished or wrong. Segments larger than the wire take no
//! tunnel. ICMP errors follow the connection they quote, and their quotes are translated as it is. Fragments follow the
//! first of them for up to 30 s; those that come before it are dropped: 4,096 packets at a time.
//!
//! Example:
//!   weft netbricks run maglev vip=192.0.2.10:80/tcp backend=10.0.0.1:8080 backend=10.0.0.2:8080 --in veth:servers --out veth:clients

mod balancer;
mod forward;
mod service;

use std::net::IpAddr;

use arrayvec::ArrayVec;
use packet::flow::{FlowHasher, FlowKey};
use packet::parse::Layers;
use packet::wire::{IpProtocol, WireError, icmpv4, icmpv6};
use packet::{BATCH, Batch, Offload, Packet};

use super::Setup;
use crate::rewrite;
use crate::{Args, ArgsError, Cause, Context, Gate, NetworkFunction, Report};
use balancer::{Balancer, Sought, Target};
use forward::forward;

pub use balancer::BalancerConfig;
pub use service::{Backend, BackendsError, Mode, Service, SpecError};

/// Fragments whose first has not been seen.
const EARLY_FRAGMENT: Cause = Cause::new("fragment before its first");
/// No back end takes new connections.
const NO_BACKEND: Cause = Cause::new("no back end");
/// Entries looked at for expiry in one call.
const EXPIRE_WORK: usize = 64;

/// A packet that came: where its layers are, and the connection it may be of.
struct Arrival {
    layers: Layers,
    sought: Option<Sought>,
}

/// The function.
pub struct Maglev {
    balancer: Balancer,
    mode: Mode,
    malformed: u64,
    errors: u64,
}

impl Maglev {
    /// Balances `service` over `backends`; of the tunnels, [`Mode`] holds the address they begin at.
    ///
    /// # Errors
    /// See [`BackendsError`].
    pub fn new(
        service: Service,
        backends: Vec<Backend>,
        mode: Mode,
        config: BalancerConfig,
        hasher: FlowHasher,
    ) -> Result<Self, BackendsError> {
        service::check(&service, &backends, mode)?;
        let balancer = Balancer::new(service, backends, config, hasher)?;
        Ok(Self { balancer, mode, malformed: 0, errors: 0 })
    }

    /// Puts other back ends in the place of those it has. Connections stay where they are, also with back ends that are no
    /// more; with a weight of 0 a back end gets no new ones. In a run this is
    /// [`Handle::change`](crate::live::Handle::change).
    ///
    /// # Errors
    /// See [`BackendsError`]; then nothing has changed.
    pub fn set_backends(&mut self, backends: Vec<Backend>) -> Result<(), BackendsError> {
        service::check(self.balancer.service(), &backends, self.mode)?;
        Ok(self.balancer.set_backends(backends)?)
    }

    fn arrival(&self, gate: Gate, frame: &[u8]) -> Result<Arrival, WireError> {
        let layers = Layers::of(frame)?;
        let service = self.balancer.service();
        let flow = FlowKey::of(&layers, frame).and_then(|key| match gate {
            1 => Some(key).filter(|key| service.is_of(key)),
            _ if self.mode == Mode::Nat => service.flow_from(&key.reversed()),
            _ => None,
        });
        Ok(Arrival { layers, sought: flow.map(|flow| self.balancer.sought(flow)) })
    }

    /// From a client.
    fn inbound(&mut self, packet: Packet, Arrival { layers, sought }: &Arrival, ctx: &mut Context) {
        let (service, now_ns) = (*self.balancer.service(), ctx.now_ns());
        let to_service =
            layers.addresses(packet.data()).is_some_and(|(_, destination)| destination == service.address);
        if !to_service {
            return ctx.send(0, packet);
        }
        if let Some(quoted) = quoted(layers, packet.data()) {
            return self.inbound_error(packet, layers, &quoted, ctx);
        }
        let target = match self.balancer.later_fragment(layers, packet.data(), now_ns) {
            Some(Some(target)) => Some(target),
            Some(None) => return ctx.drop(packet, EARLY_FRAGMENT),
            None => match sought {
                Some(sought) => self.balancer.assign(sought, layers, packet.data(), now_ns),
                None => return ctx.send(0, packet),
            },
        };
        match target {
            Some(target) => self.on(packet, layers, target, ctx),
            None => ctx.drop(packet, NO_BACKEND),
        }
    }

    /// An ICMP error about what the service sent to a client, as the client saw it.
    fn inbound_error(&mut self, mut packet: Packet, layers: &Layers, quoted: &FlowKey, ctx: &mut Context) {
        let flow = quoted.reversed();
        let of_service = self.balancer.service().is_of(&flow);
        let Some(target) = self.balancer.target_of(&flow, ctx.now_ns()).filter(|_| of_service) else {
            return ctx.send(0, packet);
        };
        self.errors += 1;
        if self.mode == Mode::Nat {
            translate_quote(&mut packet, layers, target.to(&flow).map(FlowKey::reversed));
        }
        self.on(packet, layers, target, ctx);
    }

    /// An ICMP error about what a client sent, as the back end got it.
    fn outbound_error(&mut self, mut packet: Packet, layers: &Layers, quoted: &FlowKey, ctx: &mut Context) {
        let service = *self.balancer.service();
        let Some(flow) = service.flow_from(quoted) else { return ctx.send(1, packet) };
        let target = self.balancer.target_of(&flow, ctx.now_ns());
        let Some(target) = target.filter(|target| target.to(&flow) == Some(*quoted)) else {
            return ctx.send(1, packet);
        };
        self.errors += 1;
        translate_quote(&mut packet, layers, Some(flow));
        if let Some(key) = FlowKey::of(layers, packet.data()).filter(|key| key.source() == target.address) {
            set_source(&mut packet, layers, &key, (service.address, 0));
        }
        ctx.send(1, packet);
    }

    /// On to a back end.
    fn on(&self, mut packet: Packet, layers: &Layers, target: Target, ctx: &mut Context) {
        match forward(&mut packet, layers, target, self.mode) {
            Ok(()) => ctx.send(0, packet),
            Err(cause) => ctx.drop(packet, cause),
        }
    }

    /// From a back end, or whoever else is inside. Only of NAT anything is to be undone.
    fn outbound(&mut self, mut packet: Packet, Arrival { layers, sought }: &Arrival, ctx: &mut Context) {
        if self.mode != Mode::Nat {
            return ctx.send(1, packet);
        }
        if let Some(quoted) = quoted(layers, packet.data()) {
            return self.outbound_error(packet, layers, &quoted, ctx);
        }
        let Some(key) = key_or_hosts(layers, packet.data()) else { return ctx.send(1, packet) };
        if self.balancer.answers(&key, sought.as_ref(), layers, packet.data(), ctx.now_ns()) {
            let service = self.balancer.service();
            set_source(&mut packet, layers, &key, (service.address, service.port));
        }
        ctx.send(1, packet);
    }
}

impl NetworkFunction for Maglev {
    fn process(&mut self, gate: Gate, batch: &mut Batch, ctx: &mut Context) {
        let arrivals: ArrayVec<_, BATCH> =
            batch.iter().map(|packet| self.arrival(gate, packet.data())).collect();
        self.balancer.fetch(arrivals.iter().flatten().filter_map(|arrival| arrival.sought.as_ref()));
        for (packet, arrival) in batch.drain(..).zip(&arrivals) {
            match arrival {
                Ok(arrival) if gate == 1 => self.inbound(packet, arrival, ctx),
                Ok(arrival) => self.outbound(packet, arrival, ctx),
                Err(_) => {
                    self.malformed += 1;
                    ctx.send(if gate == 1 { 0 } else { 1 }, packet);
                }
            }
        }
    }

    fn deadline_ns(&self) -> Option<u64> {
        self.balancer.deadline_ns()
    }

    fn expire(&mut self, ctx: &mut Context) {
        self.balancer.expire(ctx.now_ns(), EXPIRE_WORK);
    }

    fn report(&self, report: &mut Report) {
        self.balancer.report(report);
        report.counter("icmp errors forwarded", self.errors);
        report.counter("malformed packets", self.malformed);
    }
}

/// The key; of a later fragment the one without ports.
fn key_or_hosts(layers: &Layers, frame: &[u8]) -> Option<FlowKey> {
    FlowKey::of(layers, frame).or_else(|| FlowKey::hosts(layers, frame))
}

fn set_source(packet: &mut Packet, layers: &Layers, key: &FlowKey, end: (IpAddr, u16)) {
    let destination = (key.destination(), key.destination_port()).into();
    let offload = packet.offload();
    if let Some(new) = FlowKey::new(key.protocol(), end.into(), destination) {
        rewrite::tuple(packet.data_mut(), layers, &offload, &new);
    }
}

/// What an ICMP error quotes, if it is one: a packet that its receiver sent (RFC 1122 section 3.2.2).
fn quoted(layers: &Layers, frame: &[u8]) -> Option<FlowKey> {
    let segment = layers.segment(frame);
    let kind = *segment.first()?;
    let is_error = match layers.protocol {
        IpProtocol::ICMP => icmpv4::Type(kind).is_error(),
        IpProtocol::ICMPV6 => icmpv6::Type(kind).is_error(),
        _ => false,
    };
    let quote = segment.get(icmpv4::HEADER_LEN..).filter(|_| is_error)?;
    let key = FlowKey::of(&Layers::of_quoted(quote).ok()?, quote)?;
    let (_, receiver) = layers.addresses(frame)?;
    (receiver == key.source()).then_some(key)
}

fn translate_quote(packet: &mut Packet, layers: &Layers, new: Option<FlowKey>) {
    let Some(new) = new else { return };
    rewrite::quote(packet.data_mut(), layers, |quote, inner| {
        rewrite::tuple(quote, inner, &Offload::default(), &new);
    });
}

pub(super) fn build(args: &mut Args, setup: &Setup) -> Result<Box<dyn NetworkFunction>, ArgsError> {
    service::build(args, setup)
}

#[cfg(test)]
mod tests;
