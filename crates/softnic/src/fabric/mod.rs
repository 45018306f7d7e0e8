//! The container network: the core that carries, checks, balances and answers packets.
//!
//! ```text
//!            ┌ Fabric ─────────────────────────────────────────────────────────────────┐
//!            │ answer: ARP, ND, echo, ICMP errors · dns                                │
//!  Packet ──▶│    ▲ for the gateway                                                    │──▶ Packet
//!  (ingress) │ header ──▶ conntrack ──────── known flow ─────────▶ rewrite ────────────│    (egress)
//!            │               └─ first packet ─▶ tables: rules, services ─▶ opening     │
//!            └─────────────────────────────────────────────────────────────────────────┘
//! ```
//!
//! A [`Fabric`] holds no socket, thread, clock or randomness: packets and the time go in, packets come out. It runs a
//! [`Program`], whole or not at all, and replaces it while flows live.
//!
//! # What passes
//!
//! * **A rule `a → b` lets `a` open flows to `b`** on its protocol and ports, and ping `b`. Answers pass, ICMP errors about
//!   the flow pass, and nothing else comes back. A rule to a service lets its virtual address be reached; its
//!   members only through that address.
//! * **The gateway** answers every endpoint's ARP, neighbour discovery, ping and DNS, whatever the rules. It answers
//!   ARP and neighbour solicitations for every address but the asker's own, and never duplicate address detection.
//! * **A rule to the outside** ([`program::Selector::Outside`]) lets TCP and UDP pass to every address that is not of this
//!   network and can be one of another machine, as far as the edge, which carries on from there; answers come back
//!   from there with the outside's own source addresses. Only then are names that the gateway does not know passed on to
//!   the edge, on its port 53.
//! * **What is not allowed** is refused with ICMP type 3 code 13 (ICMPv6 type 1 code 1), at most 200 times a second
//!   and endpoint, or dropped in silence; either way it is counted by reason and by pair. Linux turns that message
//!   into an immediate `EHOSTUNREACH` (`EACCES` for IPv6) of `connect`. A TCP packet of no known connection is
//!   answered with a reset, so that a connection that was cut ends on both sides.
//! * **Spoofed packets**, with an Ethernet or IP source other than the port's, are dropped and counted. Multicast
//!   is not routed; IPv6's own chatter (DAD, MLD, router solicitations) is dropped without an answer.
//! * **Fragments** follow the first of their datagram, which carries the ports; one that overtakes it is dropped. The
//!   gateway does not answer fragmented pings.
//! * **Network functions** ([`program::Rule::through`]): packets of a rule's flows go to each of them in turn, and come back
//!   by [`Fabric::resume`]; what leaves the last is delivered. ICMP errors and fragments of the flow go the same way.
//! * **Offload state** travels with a packet: large segments stay whole and partial checksums partial, and address
//!   translation keeps them right.
//!
//! # Limits
//!
//! Every table is bounded: endpoints, services, rules and names by the constants in [`program`]; flows by
//! [`FLOWS_MAX`] (when full, flows that are over or never saw an answer make room, oldest first; then new ones are
//! refused and counted); fragmented datagrams 2,048; denied pairs 16,384, and 256 of one source.
//!
//! # Example
//!
//! ```
//! use packet::wire::{EtherType, MacAddr, arp, ethernet};
//! use packet::{Pool, PoolConfig, PortId};
//! use softnic::fabric::program::{Endpoint, Program};
//! use softnic::fabric::Fabric;
//!
//! let mut program = Program::new([10, 181, 0, 1].into(), "fd57::1".parse()?);
//! program.endpoints.push(Endpoint::new("web", PortId(0), [10, 181, 0, 2].into(), "fd57::2".parse()?));
//! let web = program.endpoints[0].mac;
//! let mut fabric = Fabric::new(&program, 42)?;
//!
//! // "web" asks for the gateway's Ethernet address ...
//! let mut frame = [0; 42];
//! ethernet::Repr { source: web, destination: MacAddr::BROADCAST, ethertype: EtherType::ARP }
//!     .emit(&mut ethernet::View::new_unchecked(&mut frame[..]));
//! arp::Repr {
//!     operation: arp::Operation::REQUEST,
//!     sender_mac: web,
//!     sender_ip: [10, 181, 0, 2].into(),
//!     target_mac: MacAddr::UNSPECIFIED,
//!     target_ip: [10, 181, 0, 1].into(),
//! }
//! .emit(&mut arp::View::new_unchecked(&mut frame[14..]));
//! let pool = Pool::new(PoolConfig { buffers: 64, ..PoolConfig::default() })?;
//! let mut packet = pool.packet(&frame).expect("a free buffer");
//! packet.set_ingress(PortId(0));
//!
//! // ... and gets it.
//! let mut answers = Vec::new();
//! fabric.handle(0, packet, &mut |packet| answers.push(packet));
//! assert_eq!(answers[0].egress(), PortId(0));
//! let reply = arp::View::new_checked(&answers[0].data()[14..])?;
//! assert_eq!(reply.sender_mac(), Program::GATEWAY_MAC);
//! assert_eq!(fabric.counters().answers.arp, 1);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod answer;
mod applying;
mod conntrack;
mod datapath;
mod denied;
mod dns;
mod fragments;
pub mod functions;
mod header;
mod inspecting;
mod opening;
mod policy;
pub mod program;
pub mod report;
mod rewrite;
mod state;
pub mod tables;
mod through;

pub use datapath::{FLOWS_MAX, Fabric};
pub use functions::{Affinity, Function, FunctionCounters, InstanceCounters};
pub use policy::{Opening, Policy, Source};
pub use program::{Program, ProgramError, Protocol};
pub use report::{Counters, ExplainError, Explanation, LinkCounters, WayCounters};
pub use tables::{Tables, compile};
