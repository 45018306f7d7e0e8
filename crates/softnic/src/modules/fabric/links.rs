//! The emulated links of a container network.

use std::collections::{BTreeSet, HashMap, HashSet};

use packet::{Packet, Pool, PoolConfig, PoolError, PortId, ROOM};
use sim::{LinkSpec, Rate, Time};

use crate::engine::Module;
use crate::fabric::program::{
    EmulatedLink, Endpoint, LINK_PAIRS_MAX, LINKS_MAX, LinkShape, Program, Selector,
};
use crate::fabric::{LinkCounters, WayCounters};
use crate::modules::{LinkEmulator, LinkEmulatorConfig, LinkEmulatorError};

/// Packets that one direction of a link holds at most: 36 MB of buffers.
const PACKETS_MAX: usize = 16_384;
/// Bytes of a frame that are not its IP packet: Ethernet, and some to spare.
const FRAME_HEADERS: usize = 22;

/// Why there are no such links.
#[derive(Debug, thiserror::Error)]
pub enum FabricLinksError {
    /// Too many.
    #[error("{count} {what}: at most {max} are possible")]
    TooMany {
        /// Of what.
        what: &'static str,
        /// How many.
        count: usize,
        /// The limit.
        max: usize,
    },
    /// An end that is neither an endpoint nor a service.
    #[error("the link at {label} ends at {selector}, which it cannot")]
    UnknownParty {
        /// Where the link comes from.
        label: String,
        /// Whom it names.
        selector: Selector,
    },
    /// A link that cannot be.
    #[error(transparent)]
    Link(#[from] LinkEmulatorError),
    /// The kernel has no memory for packets.
    #[error(transparent)]
    Pool(#[from] PoolError),
}

/// The emulated links of a program, ready to carry.
#[derive(Debug, Default)]
pub struct FabricLinks {
    links: Vec<FabricLink>,
    /// The link and the direction of packets, by the ports that they come from and go to.
    ways: HashMap<(u32, u32), (u32, u8), foldhash::fast::FixedState>,
}

#[derive(Debug)]
struct FabricLink {
    link: EmulatedLink,
    /// The ports at either end.
    ports: [BTreeSet<u32>; 2],
    /// What endpoints and services at either end are called, and their addresses.
    names: [BTreeSet<String>; 2],
    /// From a to b, and back.
    ways: [LinkEmulator; 2],
}

impl FabricLinks {
    /// The links of a program. Each has buffers of its own.
    ///
    /// # Errors
    /// [`FabricLinksError`].
    pub fn of(program: &Program) -> Result<Self, FabricLinksError> {
        let too_many = |what, count, max| FabricLinksError::TooMany { what, count, max };
        if program.links.len() > LINKS_MAX {
            return Err(too_many("emulated links", program.links.len(), LINKS_MAX));
        }
        let endpoints: HashMap<&str, &Endpoint> =
            program.endpoints.iter().map(|endpoint| (endpoint.name.as_str(), endpoint)).collect();
        let (mut links, mut pairs) = (Self::default(), 0_usize);
        for (number, link) in (0..).zip(&program.links) {
            let ends = [end(program, &endpoints, link, &link.a)?, end(program, &endpoints, link, &link.b)?];
            pairs = pairs.saturating_add(ends[0].len().saturating_mul(ends[1].len()));
            if pairs > LINK_PAIRS_MAX {
                return Err(too_many("pairs of endpoints with a link between them", pairs, LINK_PAIRS_MAX));
            }
            links.add(number, program, link, &ends)?;
        }
        Ok(links)
    }

    fn add(
        &mut self,
        number: u32,
        program: &Program,
        link: &EmulatedLink,
        ends: &[Vec<&Endpoint>; 2],
    ) -> Result<(), FabricLinksError> {
        let ports = [0, 1].map(|side| {
            let ports = ends[side].iter().map(|endpoint| endpoint.port);
            ports.filter(|port| *port != PortId::NONE).map(|port| port.0).collect::<BTreeSet<u32>>()
        });
        for a in &ports[0] {
            for b in ports[1].iter().filter(|b| *b != a) {
                // Where two links lead between the same two, as they may for a moment while members change, it is the first.
                self.ways.entry((*a, *b)).or_insert((number, 0));
                self.ways.entry((*b, *a)).or_insert((number, 1));
            }
        }
        let names =
            [(&link.a, &ends[0]), (&link.b, &ends[1])].map(|(selector, end)| names(program, selector, end));
        let ways = [emulator(program, link, 0)?, emulator(program, link, 1)?];
        self.links.push(FabricLink { link: link.clone(), ports, names, ways });
        Ok(())
    }

    /// Takes the place of other links: what is under way on those that stay goes on.
    pub(super) fn replace(&mut self, mut new: Self) {
        let mut old: HashMap<u64, FabricLink> =
            std::mem::take(&mut self.links).into_iter().map(|link| (link.link.id, link)).collect();
        for link in &mut new.links {
            let same = |old: &FabricLink| old.link.shape == link.link.shape;
            if let Some(old) = old.remove(&link.link.id).filter(same) {
                link.ways = old.ways;
            }
        }
        *self = new;
    }

    /// Takes a packet onto the link between its ports, or gives it back where there is none.
    #[inline]
    pub(super) fn take(&mut self, now_ns: u64, packet: Packet) -> Option<Packet> {
        if self.ways.is_empty() {
            return Some(packet);
        }
        let Some(&(link, way)) = self.ways.get(&(packet.ingress().0, packet.egress().0)) else {
            return Some(packet);
        };
        self.links[link as usize].ways[usize::from(way)].take(now_ns, packet);
        None
    }

    /// Gives out what is due, so many packets of a direction at most.
    pub(super) fn release(&mut self, now_ns: u64, most: usize, mut out: impl FnMut(Packet)) {
        for way in self.links.iter_mut().flat_map(|link| &mut link.ways) {
            std::iter::from_fn(|| way.due(now_ns)).take(most).for_each(&mut out);
        }
    }

    pub(super) fn next_deadline(&self) -> Option<u64> {
        self.links.iter().flat_map(|link| &link.ways).filter_map(Module::deadline_ns).min()
    }

    /// Loses what is on the links of these ports, so that it reaches nobody who has one of them next.
    pub(super) fn unplug(&mut self, ports: &[PortId]) {
        let gone: HashSet<u32> = ports.iter().map(|port| port.0).collect();
        for link in &mut self.links {
            if link.ports.iter().flatten().any(|port| gone.contains(port)) {
                link.ways.iter_mut().for_each(LinkEmulator::cut);
            }
        }
    }

    /// Packets on all of them.
    pub(super) fn held(&self) -> usize {
        self.links.iter().flat_map(|link| &link.ways).map(Module::held).sum()
    }

    pub(super) fn counters(&self) -> Vec<LinkCounters> {
        let counters = |FabricLink { link, ways, .. }: &FabricLink| LinkCounters {
            id: link.id,
            label: link.label.clone(),
            a: link.a.to_string(),
            b: link.b.to_string(),
            shape: link.shape,
            ways: [0, 1].map(|way| way_counters(&ways[way])),
        };
        self.links.iter().map(counters).collect()
    }

    /// The link between two parties, by name or address, for people.
    pub(super) fn between(&self, from: &str, to: &str) -> Option<String> {
        let joins = |link: &&FabricLink| {
            let at = |side: usize, name: &str| link.names[side].contains(name);
            (at(0, from) && at(1, to)) || (at(1, from) && at(0, to))
        };
        let EmulatedLink { a, b, shape, label, .. } = &self.links.iter().find(joins)?.link;
        Some(format!("{a} <-> {b} of {label} ({shape})"))
    }
}

/// The endpoints at an end of a link.
fn end<'a>(
    program: &'a Program,
    endpoints: &HashMap<&str, &'a Endpoint>,
    link: &EmulatedLink,
    selector: &Selector,
) -> Result<Vec<&'a Endpoint>, FabricLinksError> {
    let unknown = || FabricLinksError::UnknownParty { label: link.label.clone(), selector: selector.clone() };
    match selector {
        Selector::Endpoint(name) => Ok(vec![*endpoints.get(name.as_str()).ok_or_else(unknown)?]),
        Selector::Service(name) => {
            let service =
                program.services.iter().find(|service| service.name == *name).ok_or_else(unknown)?;
            let members = service.members.iter();
            members.map(|member| endpoints.get(member.as_str()).copied().ok_or_else(unknown)).collect()
        }
        Selector::Edge | Selector::Outside => Err(unknown()),
    }
}

/// What an end is called.
fn names(program: &Program, selector: &Selector, end: &[&Endpoint]) -> BTreeSet<String> {
    let own = end
        .iter()
        .flat_map(|endpoint| [endpoint.name.clone(), endpoint.ipv4.to_string(), endpoint.ipv6.to_string()]);
    let service =
        program.services.iter().filter(|service| *selector == Selector::Service(service.name.clone()));
    let service = service
        .flat_map(|service| [service.name.clone(), service.vip_v4.to_string(), service.vip_v6.to_string()]);
    own.chain(service).collect()
}

fn emulator(program: &Program, link: &EmulatedLink, way: u64) -> Result<LinkEmulator, FabricLinksError> {
    let LinkShape { rate, delay_ns, jitter_ns, loss_ppb, buffer_bytes } = link.shape;
    let spec = LinkSpec::new(Rate::from_bits_per_second(rate), Time::from_nanos(delay_ns))
        .buffer(buffer_bytes)
        .jitter(Time::from_nanos(jitter_ns))
        .loss(f64::from(loss_ppb) / 1e9);
    let config = LinkEmulatorConfig::new(spec);
    let packets = config.packets.min(PACKETS_MAX);
    let room = (usize::from(program.mtu) + FRAME_HEADERS).max(ROOM);
    let pool = Pool::new(PoolConfig { buffers: packets, room, ..PoolConfig::default() })?;
    Ok(LinkEmulator::new(LinkEmulatorConfig { packets, seed: link.id ^ way, ..config }, pool)?)
}

fn way_counters(way: &LinkEmulator) -> WayCounters {
    let counters = way.counters();
    let sum = |count: fn(&sim::LevelStats) -> u64| counters.link.levels.iter().map(count).sum::<u64>();
    let without_buffer = counters.no_buffer + counters.too_long + counters.unfinished;
    WayCounters {
        packets: sum(|level| level.carried),
        bytes: sum(|level| level.carried_bytes),
        dropped: sum(|level| level.dropped + level.evicted + level.over_limit) + without_buffer,
        lost: sum(|level| level.lost),
        held: counters.link.held as u64,
        queued_bytes: counters.link.queued_bytes,
        queued_most: counters.link.queued_most,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::{Left, Rig};
    use crate::fabric::Protocol;
    use crate::fabric::program::{Rule, Service};
    use crate::modules::FabricModule;
    use crate::modules::frames::{datagram, packet};

    const MS: u64 = 1_000_000;
    /// A frame of 1,000 bytes takes a millisecond.
    const SHAPE: LinkShape =
        LinkShape { rate: 8_000_000, delay_ns: 30 * MS, jitter_ns: 0, loss_ppb: 0, buffer_bytes: 2_000 };

    fn to(name: &str) -> Selector {
        Selector::Endpoint(name.into())
    }

    fn link(id: u64, a: Selector, b: Selector) -> EmulatedLink {
        EmulatedLink { id, a, b, shape: SHAPE, label: format!("shop.js:{id}:1") }
    }

    /// Four endpoints at ports 0 to 3, the last two behind a service; the first may talk to all.
    fn program(links: &[EmulatedLink]) -> Program {
        let mut program = Program::new([10, 181, 0, 1].into(), "fd57::1".parse().unwrap());
        for (port, name) in (0..).zip(["client", "web", "r1", "r2"]) {
            let (v4, v6) = ([10, 181, 0, port as u8 + 2], format!("fd57::{}", port + 2));
            program.endpoints.push(Endpoint::new(name, PortId(port), v4.into(), v6.parse().unwrap()));
        }
        let members = vec!["r1".to_owned(), "r2".to_owned()];
        let (vip_v4, vip_v6) = ([10, 181, 1, 1].into(), "fd57:1::1".parse().unwrap());
        program.services.push(Service { name: "tier".into(), vip_v4, vip_v6, members });
        for (id, name) in (1..).zip(["web", "r1", "r2"]) {
            let (from, protocol, label) = (to("client"), Protocol::Udp, format!("shop.js:{id}:9"));
            let (to, through) = (to(name), Vec::new());
            program.rules.push(Rule { id, from, to, protocol, ports: 80..=80, label, through });
        }
        program.links = links.to_vec();
        program
    }

    fn fabric(program: &Program) -> Rig<Box<FabricModule>> {
        let mut module = FabricModule::new(7);
        (0..4).for_each(|port| module.set_link(PortId(port), true));
        module.set_links(FabricLinks::of(program).unwrap());
        module.apply_program(program, false).unwrap();
        Rig::new(module)
    }

    /// A datagram of 1,000 bytes in all between two of the endpoints.
    fn frame(from: u8, to: u8) -> Packet {
        let port = |at: u8| if at == 0 { 1_000 } else { 80 };
        let ends = [from, to].map(|at| format!("10.181.0.{}:{}", at + 2, port(at)));
        let mut frame = datagram([&ends[0], &ends[1]], &[7; 1_000 - 42]);
        frame[..6].copy_from_slice(&Program::GATEWAY_MAC.0);
        frame[6..12].copy_from_slice(&Endpoint::mac_of([10, 181, 0, from + 2].into()).0);
        let mut packet = packet(&frame);
        packet.set_ingress(PortId(u32::from(from)));
        packet
    }

    fn gates(left: &Left) -> Vec<u16> {
        left.iter().map(|(gate, _)| *gate).collect()
    }

    #[test]
    fn packets_between_linked_endpoints_take_their_time() {
        let mut rig = fabric(&program(&[link(1, to("client"), to("web"))]));
        // One is sent, two wait, one is too many; those to another leave at once.
        let left = rig.process(0, [frame(0, 1), frame(0, 2), frame(0, 1), frame(0, 1), frame(0, 1)]);
        assert_eq!((gates(&left), rig.module.held()), (vec![2], 3));
        assert_eq!(rig.module.deadline_ns(), Some(31 * MS));
        assert_eq!(gates(&rig.at(31 * MS).expire()), [1]);
        // Answers go over the other direction.
        assert!(rig.process(0, [frame(1, 0)]).is_empty());
        assert_eq!(gates(&rig.at(33 * MS).expire()), [1, 1]);
        assert_eq!(gates(&rig.at(62 * MS).expire()), [0]);
        let [there, back] = rig.module.counters().links[0].ways;
        assert_eq!((there.packets, there.bytes, there.dropped, there.queued_most), (3, 3_000, 1, 2_000));
        assert_eq!((back.packets, back.dropped, back.held), (1, 0, 0));
    }

    #[test]
    fn members_of_a_service_share_its_link() {
        let mut rig = fabric(&program(&[link(1, Selector::Service("tier".into()), to("client"))]));
        assert!(rig.process(0, [frame(0, 2), frame(0, 3)]).is_empty());
        assert_eq!(gates(&rig.at(31 * MS).expire()), [2]);
        assert_eq!(gates(&rig.at(32 * MS).expire()), [3]);
        let explained = |to: &str| rig.module.explain("client", to, Protocol::Udp, 80).unwrap().to_string();
        let over = ", over the link tier <-> client of shop.js:1:1 (8 Mbit/s, 30 ms, buffer 2000 bytes)";
        assert!(explained("r1").ends_with(over), "{}", explained("r1"));
        assert!(explained("10.181.0.5").ends_with(over), "{}", explained("10.181.0.5"));
        assert!(!explained("web").contains("over the link"));
        let denied = rig.module.explain("r1", "client", Protocol::Udp, 80).unwrap();
        assert_eq!(denied.link, None);
    }

    #[test]
    fn of_two_links_the_first_carries() {
        let tier = Selector::Service("tier".into());
        let mut rig =
            fabric(&program(&[link(1, tier.clone(), to("client")), link(2, to("r2"), to("client"))]));
        assert!(rig.process(0, [frame(0, 3)]).is_empty());
        let held =
            rig.module.counters().links.iter().map(|link| link.ways.map(|way| way.held)).collect::<Vec<_>>();
        assert_eq!(held, [[0, 1], [0, 0]]);
        // An endpoint at both ends has no link to itself.
        let links = FabricLinks::of(&program(&[link(1, tier, to("r1"))])).unwrap();
        assert_eq!(links.ways.len(), 2);
    }

    #[test]
    fn what_is_under_way_outlives_a_program_but_not_its_ends() {
        let mut rig = fabric(&program(&[link(1, to("client"), to("web"))]));
        rig.process(0, [frame(0, 1)]);
        let replace = |rig: &mut Rig<Box<FabricModule>>, link: EmulatedLink| {
            let program = program(&[link]);
            rig.module.set_links(FabricLinks::of(&program).unwrap());
            rig.module.apply_program(&program, false).unwrap();
        };
        replace(&mut rig, EmulatedLink { label: "shop.js:7:7".into(), ..link(1, to("client"), to("web")) });
        assert_eq!((rig.module.held(), rig.module.counters().links[0].label.as_str()), (1, "shop.js:7:7"));
        rig.module.unplug(&[PortId(1)]);
        assert_eq!((rig.module.held(), rig.module.counters().links[0].ways[0].lost), (0, 1));
        rig.module.set_link(PortId(1), true);
        rig.process(0, [frame(0, 1)]);
        let slower = LinkShape { rate: 1_000_000, ..SHAPE };
        replace(&mut rig, EmulatedLink { shape: slower, ..link(1, to("client"), to("web")) });
        assert_eq!((rig.module.held(), rig.module.deadline_ns().is_some_and(|at| at < 40 * MS)), (0, false));
    }

    #[test]
    fn links_that_cannot_be() {
        let refused = |links: &[EmulatedLink]| FabricLinks::of(&program(links)).unwrap_err().to_string();
        assert_eq!(
            refused(&[link(1, to("client"), to("db"))]),
            "the link at shop.js:1:1 ends at db, which it cannot"
        );
        assert!(refused(&[link(1, Selector::Edge, to("web"))]).contains("ends at the edge"));
        assert!(refused(&[link(1, to("web"), Selector::Service("web".into()))]).contains("ends at web"));
        let loss = LinkShape { loss_ppb: u32::MAX, ..SHAPE };
        assert!(refused(&[EmulatedLink { shape: loss, ..link(1, to("web"), to("r1")) }]).contains("loss"));
        let many: Vec<_> = (0..65).map(|id| link(id, to("web"), to("r1"))).collect();
        assert_eq!(refused(&many), "65 emulated links: at most 64 are possible");
    }
}
