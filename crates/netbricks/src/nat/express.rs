//! The short way: plain packets of flows that have been translated before.
//!
//! ```text
//!  frame ──► Glance: ends, ports ──hash──► Lanes: a group of 8 places ──► the flow's place
//!            (one look at fixed offsets)   (a hint, never trusted)          │ its Express: both tuples, and by how much
//!                                                                           │ each way changes the checksums
//!                                                  the tuples are compared ─┴─► followed as ever, rewritten, out
//! ```
//!
//! Plain is Ethernet, IPv4 without options, neither a fragment nor cut, and in it UDP, or TCP with ACK and neither SYN nor
//! FIN nor RST. Whatever else comes, or is of a flow that the short way does not know, or comes in on the wrong side, goes
//! the long way, which knows everything; the first packet of each direction does. Both say the same of every packet, and
//! keep the same of every flow (`tests/nat_ways.rs`).
//!
//! The hash is a keyed multiplication, much cheaper than that of the tables and weaker. Whoever found out how to aim at one
//! group would fill its eight places, and send the rest of the packets the long way, whose tables stay out of reach.

use std::hash::BuildHasher;
use std::hint::black_box;
use std::net::Ipv4Addr;

use packet::flow::{FlowHasher, Tuple};
use packet::parse::{Layers, Network, VlanStack};
use packet::wire::{EtherType, IpProtocol, ethernet, ipv4, tcp, udp};
use packet::{BATCH, Checksum, Packet, checksum};

use super::{Link, Nat, OUTSIDE, Target, ended};
use crate::conntrack::{Direction, FlowId, State};
use crate::rewrite::mend;
use crate::{Cause, Gate};

/// Where the network layer of a plain packet begins, its addresses, and the transport layer.
const L3: usize = ethernet::HEADER_LEN;
const L4: usize = L3 + ipv4::HEADER_LEN;
const ADDRESSES: usize = L3 + 12;
/// Bytes up to the end of a UDP header.
const HEAD: usize = L4 + udp::HEADER_LEN;
/// So many flows and their lanes lie in a core's second cache anyway (some 400 bytes each), so nothing is fetched ahead of use.
const FLOWS_AT_HAND: usize = 1024;
/// No place.
const NOWHERE: u32 = u32::MAX;

/// A plain packet at a glance.
#[derive(Clone, Copy, Debug)]
pub struct Glance {
    /// Source and destination address.
    ends: u64,
    /// Source and destination port.
    ports: u32,
    tag: u32,
    /// First the group that its place is in, then the place.
    place: u32,
    /// The packet's length from the IP header on.
    length: u16,
    protocol: IpProtocol,
}

impl Glance {
    const NONE: Self =
        Self { ends: 0, ports: 0, tag: 0, place: NOWHERE, length: 0, protocol: IpProtocol::NONE };

    /// A plain packet's; `None` where it is another, or malformed.
    #[inline(always)]
    fn of(frame: &[u8]) -> Option<Self> {
        let head = frame.first_chunk::<HEAD>()?;
        let half = |at: usize| u16::from_be_bytes([head[at], head[at + 1]]);
        let word = |at: usize| u32::from_be_bytes([head[at], head[at + 1], head[at + 2], head[at + 3]]);
        // EtherType, version and header length; neither "more fragments" nor an offset.
        if word(12) >> 8 != 0x0008_0045 || half(L3 + 6) & 0x3fff != 0 {
            return None;
        }
        let (length, protocol) = (half(L3 + 2), IpProtocol(head[L3 + 9]));
        let (end, segment) = (L3 + usize::from(length), usize::from(length).wrapping_sub(ipv4::HEADER_LEN));
        if end > frame.len() || end < HEAD {
            return None;
        }
        let header = match protocol {
            IpProtocol::UDP => usize::from(half(L4 + 4)),
            // PSH, URG and the congestion bits say nothing here.
            IpProtocol::TCP if *frame.get(L4 + 13)? & 0x17 == 0x10 => usize::from(frame[L4 + 12] >> 4) * 4,
            _ => return None,
        };
        let least = if protocol == IpProtocol::UDP { udp::HEADER_LEN } else { tcp::HEADER_LEN };
        let ends = u64::from(word(ADDRESSES)) << 32 | u64::from(word(ADDRESSES + 4));
        let plain = Self { ends, ports: word(L4), length, protocol, ..Self::NONE };
        if header < least || header > segment { None } else { Some(plain) }
    }

    /// Whether the packet's flow is probably known.
    #[inline]
    #[must_use]
    pub const fn is_known(&self) -> bool {
        self.place != NOWHERE
    }

    /// Where the layers of a packet are whose flow is known: what [`Layers::of`] would say.
    #[inline]
    #[must_use]
    pub fn layers(&self, frame: &[u8]) -> Layers {
        let header = match self.protocol {
            IpProtocol::TCP => usize::from(frame[L4 + 12] >> 4) * 4,
            _ => udp::HEADER_LEN,
        };
        Layers {
            ethertype: EtherType::IPV4,
            network: Network::V4,
            vlans: VlanStack::default(),
            labels: 0,
            l3: L3,
            l4: Some(L4),
            protocol: self.protocol,
            payload: Some(L4 + header),
            end: L3 + usize::from(self.length),
            fragment: None,
            ip_options: false,
        }
    }
}

/// The packets of a batch at a glance.
#[derive(Debug)]
pub struct Glances {
    each: [Glance; BATCH],
    count: usize,
    known: usize,
}

impl Default for Glances {
    #[inline]
    fn default() -> Self {
        Self { each: [Glance::NONE; BATCH], count: 0, known: 0 }
    }
}

impl Glances {
    /// Whether the flows of all packets are probably known.
    #[inline]
    #[must_use]
    pub const fn all_known(&self) -> bool {
        self.known == self.count
    }
}

impl std::ops::Deref for Glances {
    type Target = [Glance];

    #[inline]
    fn deref(&self) -> &[Glance] {
        &self.each[..self.count]
    }
}

/// What became of a packet on the short way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Hastened {
    /// It is rewritten, leaves at this gate and is for that host.
    Passed(Gate, Ipv4Addr),
    /// It ends here.
    Ended(Cause),
}

/// A tuple, and what sending it on changes.
#[derive(Clone, Copy, Debug)]
struct Lane {
    ends: u64,
    ports: u32,
    /// The difference that its new addresses make to a sum, and that of addresses and ports.
    addresses: u16,
    all: u16,
}

/// What the short way needs to know of a flow.
#[derive(Clone, Copy, Debug)]
pub(super) struct Express {
    lanes: [Lane; 2],
    /// No plain packet's as long as nothing is known.
    protocol: IpProtocol,
    /// Whether a direction's place is noted.
    noted: [bool; 2],
}

impl Express {
    pub(super) const UNKNOWN: Self = Self {
        lanes: [Lane { ends: 0, ports: 0, addresses: 0, all: 0 }; 2],
        protocol: IpProtocol::NONE,
        noted: [false; 2],
    };

    fn of(original: &Tuple<Ipv4Addr>, reply: &Tuple<Ipv4Addr>) -> Self {
        let lane = |from: &Tuple<Ipv4Addr>, to: &Tuple<Ipv4Addr>| {
            // It leaves with the other direction's tuple reversed.
            let (source, destination) = (to.destination.to_bits(), to.source.to_bits());
            let (old, new) = (ports(from), ports(to).rotate_left(16));
            let addresses = checksum::partial_update32(0, from.source.to_bits(), source);
            let addresses = checksum::partial_update32(addresses, from.destination.to_bits(), destination);
            let all = checksum::combine(addresses, checksum::partial_update32(0, old, new));
            let ends = u64::from(from.source.to_bits()) << 32 | u64::from(from.destination.to_bits());
            Lane { ends, ports: old, addresses, all }
        };
        let lanes = [lane(original, reply), lane(reply, original)];
        Self { lanes, protocol: original.protocol, noted: [false; 2] }
    }

    /// Which way a packet travels.
    #[inline(always)]
    fn direction(&self, glance: &Glance) -> Option<Direction> {
        let is = |lane: &Lane| lane.ends == glance.ends && lane.ports == glance.ports;
        if self.protocol != glance.protocol {
            None
        } else if is(&self.lanes[0]) {
            Some(Direction::Original)
        } else {
            is(&self.lanes[1]).then_some(Direction::Reply)
        }
    }

    /// A word of the line that [`direction`](Self::direction) reads last.
    #[inline]
    const fn touch(&self) -> u64 {
        self.lanes[1].ports as u64
    }
}

fn ports(tuple: &Tuple<Ipv4Addr>) -> u32 {
    u32::from(tuple.source_port) << 16 | u32::from(tuple.destination_port)
}

/// Places of one cache line.
const GROUP: usize = 8;
/// Of a flow two places are noted, and half of all stay free, so that of a hundred flows in a full table less than one finds
/// no room in its group.
const FLOWS_PER_GROUP: usize = 2;

/// A place is 0 where it is free, else a tag (odd) above the place of a flow.
#[derive(Clone, Copy)]
#[repr(align(64))]
struct Group([u64; GROUP]);

/// Where the flows of tuples lie, as far as it is noted.
pub(super) struct Lanes {
    groups: Box<[Group]>,
    key: [u64; 2],
}

impl Lanes {
    pub(super) fn new(flows: usize, hasher: FlowHasher) -> Self {
        let groups = flows.div_ceil(FLOWS_PER_GROUP).max(1);
        let key = [1u64, 2].map(|number| hasher.hash_one(("lanes", number)));
        Self { groups: vec![Group([0; GROUP]); groups].into(), key }
    }

    /// The tag of a tuple, and the number of its group.
    #[inline(always)]
    fn tag(&self, ends: u64, ports: u32, protocol: IpProtocol) -> (u32, u32) {
        let rest = u64::from(ports) << 8 | u64::from(protocol.0);
        let product = u128::from(ends ^ self.key[0]) * u128::from(rest ^ self.key[1]);
        let hash = (product >> 64) as u64 ^ product as u64;
        let group = ((hash >> 32) * self.groups.len() as u64) >> 32;
        (hash as u32 | 1, group as u32)
    }

    #[inline(always)]
    fn group(&self, number: u32) -> &[u64; GROUP] {
        self.groups.get(number as usize).map_or(&[0; GROUP], |group| &group.0)
    }

    /// What is noted under a tag.
    #[inline(always)]
    fn find(&self, tag: u32, group: u32) -> u32 {
        let group = self.group(group);
        for step in 0..GROUP {
            let held = group[(tag as usize / 2 + step) % GROUP];
            if (held >> 32) as u32 == tag {
                return held as u32;
            }
        }
        NOWHERE
    }

    /// Notes a flow's place under a tuple; whether there was room.
    fn note(&mut self, lane: &Lane, protocol: IpProtocol, place: u32) -> bool {
        let (tag, group) = self.tag(lane.ends, lane.ports, protocol);
        let Some(Group(group)) = self.groups.get_mut(group as usize) else { return false };
        let order = (0..GROUP).map(|step| (tag as usize / 2 + step) % GROUP);
        let free = order.into_iter().find(|at| group[*at] == 0);
        if let Some(at) = free {
            group[at] = u64::from(tag) << 32 | u64::from(place);
        }
        free.is_some()
    }

    /// Forgets what is noted of a flow.
    pub(super) fn forget(&mut self, express: &Express) {
        for (lane, _) in express.lanes.iter().zip(express.noted).filter(|(_, noted)| *noted) {
            let (tag, group) = self.tag(lane.ends, lane.ports, express.protocol);
            let Some(Group(group)) = self.groups.get_mut(group as usize) else { continue };
            // Another's of the same tag is as good: it goes the long way then.
            if let Some(held) = group.iter_mut().find(|held| (**held >> 32) as u32 == tag) {
                *held = 0;
            }
        }
    }
}

impl Nat {
    /// Looks at packets that came together, [`BATCH`] at most, and has in the cache what [`hasten`](Self::hasten) will read of
    /// their flows.
    #[inline]
    pub fn glance<'a>(&self, frames: impl IntoIterator<Item = &'a [u8]>, glances: &mut Glances) {
        (glances.count, glances.known) = (0, 0);
        let hastens = self.tracker.believes_checksums();
        let fetches = self.tracker.len() > FLOWS_AT_HAND;
        let mut read = 0;
        for (glance, frame) in glances.each.iter_mut().zip(frames) {
            glances.count += 1;
            match Glance::of(frame).filter(|_| hastens) {
                Some(plain) => {
                    *glance = plain;
                    (glance.tag, glance.place) = self.lanes.tag(plain.ends, plain.ports, plain.protocol);
                    if fetches {
                        read ^= self.lanes.group(glance.place)[0];
                    }
                }
                None => *glance = Glance::NONE,
            }
        }
        black_box(read);
        for glance in &mut glances.each[..glances.count] {
            // The others have no tag.
            if glance.tag != 0 {
                glance.place = self.lanes.find(glance.tag, glance.place);
                glances.known += usize::from(glance.place != NOWHERE);
            }
        }
        if fetches {
            let places = glances.each[..glances.count].iter().map(|glance| glance.place);
            self.tracker.fetch_at(places, |link| link.as_ref().map_or(0, |link| link.express.touch()));
        }
    }

    /// Translates a packet that came in at `gate` on the short way: what [`translate`](Self::translate) says of it is done.
    /// `None`, and nothing changed, where that has to be asked. `glance` is of this packet, whose addresses, ports and
    /// lengths have not changed since.
    #[inline(always)]
    pub fn hasten(
        &mut self,
        now_ns: u64,
        gate: Gate,
        glance: &Glance,
        packet: &mut Packet,
    ) -> Option<Hastened> {
        if !glance.is_known() {
            return None;
        }
        let (offload, bytes) = (packet.offload(), usize::from(glance.length));
        let frame = packet.data_mut();
        let is = |link: &Option<Link>| {
            let link = link.as_ref()?;
            let direction = link.express.direction(glance)?;
            let (from, to) = (direction as usize, direction.opposite() as usize);
            let [this, other] = [link.express.lanes[from], link.express.lanes[to]];
            (link.gates[from] == gate).then_some((direction, (link.gates[to], this, other)))
        };
        let is_tcp = glance.protocol == IpProtocol::TCP;
        let (state, (out, this, other)) = if is_tcp {
            let segment = frame.get(L4..L3 + bytes)?;
            self.tracker.follow_at(now_ns, glance.place, Some(segment), bytes, is)?
        } else {
            self.tracker.follow_at(now_ns, glance.place, None, bytes, is)?
        };
        if !matches!(state, State::New | State::Established) {
            return Some(Hastened::Ended(ended(state)));
        }
        let ends = other.ends.rotate_left(32);
        if let Some(head) = frame.first_chunk_mut::<HEAD>() {
            head[ADDRESSES..L4].copy_from_slice(&ends.to_be_bytes());
            head[L4..L4 + 4].copy_from_slice(&other.ports.rotate_left(16).to_be_bytes());
            let check = u16::from_be_bytes([head[L3 + 10], head[L3 + 11]]);
            head[L3 + 10..L3 + 12].copy_from_slice(&mend(check, this.addresses).to_be_bytes());
        }
        let at = L4 + if is_tcp { tcp::CHECKSUM_OFFSET } else { udp::CHECKSUM_OFFSET };
        if let Some(field) = frame.get_mut(at..at + 2) {
            let held = u16::from_be_bytes([field[0], field[1]]);
            // As `rewrite::transport`.
            let mended = match offload.checksum {
                Checksum::Partial { start, .. } if usize::from(start) == L4 => {
                    checksum::combine(held, this.addresses)
                }
                _ if is_tcp => mend(held, this.all),
                _ if held == 0 => 0,
                _ => checksum::udp_on_wire(mend(held, this.all)),
            };
            field.copy_from_slice(&mended.to_be_bytes());
        }
        Some(Hastened::Passed(out, Ipv4Addr::from_bits(ends as u32)))
    }

    /// Lets further packets of a flow take the short way in a direction in which one has gone the long way. From outside it
    /// came to `target`.
    pub(super) fn note(&mut self, id: FlowId, gate: Gate, direction: Direction, target: Option<Target>) {
        use packet::flow::FlowKey::V4;
        let Some(flow) = self.tracker.flow_mut(id) else { return };
        let (V4(original), V4(reply)) = (*flow.original(), *flow.reply()) else { return };
        let Some(link) = &mut flow.data else { return };
        let has_ports = matches!(original.protocol, IpProtocol::TCP | IpProtocol::UDP);
        // What it came to must be there as long as the flow is.
        let stays = gate != OUTSIDE
            || target.is_some_and(|target| target.is_static || link.holds.contains(&Some(target.inside)));
        let (Express { protocol, noted, .. }, at) = (&link.express, direction as usize);
        if !has_ports || !stays || noted[at] {
            return;
        }
        if *protocol != original.protocol {
            link.express = Express::of(&original, &reply);
        }
        link.express.noted[at] = self.lanes.note(&link.express.lanes[at], original.protocol, id.place());
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// A lane of few ends, so that groups are full and tags are shared.
    fn express(number: u32) -> Express {
        let end = |number: u32| Ipv4Addr::from_bits(number);
        let tuple = |source, destination| Tuple {
            source: end(source),
            destination: end(destination),
            source_port: number as u16,
            destination_port: 53,
            protocol: IpProtocol::UDP,
        };
        Express::of(&tuple(number, 1), &tuple(1, !number))
    }

    proptest! {
        /// What is noted is found until it is forgotten, in groups of eight.
        #[test]
        fn it_keeps_what_it_has_room_for(steps in proptest::collection::vec((any::<bool>(), 0..40u32, 0..2usize), 0..200)) {
            let mut lanes = Lanes::new(6, FlowHasher::new(1));
            let mut all: Vec<Express> = (0..40).map(express).collect();
            for (notes, number, way) in steps {
                let express = &mut all[number as usize];
                if !notes {
                    lanes.forget(express);
                    express.noted = [false; 2];
                } else if !express.noted[way] {
                    let (tag, group) = lanes.tag(express.lanes[way].ends, express.lanes[way].ports, express.protocol);
                    let is_full = lanes.group(group).iter().all(|held| *held != 0);
                    prop_assert_eq!(lanes.find(tag, group), NOWHERE);
                    express.noted[way] = lanes.note(&express.lanes[way], express.protocol, number);
                    prop_assert_eq!(express.noted[way], !is_full);
                }
                for (number, express) in all.iter().enumerate() {
                    for (lane, noted) in express.lanes.iter().zip(express.noted) {
                        let (tag, group) = lanes.tag(lane.ends, lane.ports, express.protocol);
                        let expected = if noted { number as u32 } else { NOWHERE };
                        prop_assert_eq!(lanes.find(tag, group), expected);
                    }
                }
                let held = lanes.groups.iter().flat_map(|group| group.0).filter(|held| *held != 0).count();
                prop_assert_eq!(held, all.iter().flat_map(|express| express.noted).filter(|noted| *noted).count());
            }
        }

        /// A packet is plain only if its layers are where a plain one's are.
        #[test]
        fn a_glance_says_what_layers_say(
            tcp in any::<bool>(),
            flags in prop_oneof![3 => Just(0x10u8), 1 => any::<u8>()],
            length in 0..30usize,
            cut in prop_oneof![3 => Just(usize::MAX), 1 => 0..80usize],
            changes in proptest::collection::vec((0..60usize, any::<u8>()), 0..3),
        ) {
            let mut frame = plain(tcp, flags, length);
            for (at, to) in &changes {
                if let Some(byte) = frame.get_mut(*at) {
                    *byte = *to;
                }
            }
            let is_cut = cut < frame.len();
            frame.truncate(cut);
            let layers = Layers::of(&frame);
            match Glance::of(&frame) {
                Some(glance) => {
                    let layers = layers.expect("a plain packet is well-formed");
                    prop_assert_eq!(glance.layers(&frame), layers);
                    let key = packet::flow::FlowKey::of(&layers, &frame).expect("it is whole");
                    let packet::flow::FlowKey::V4(key) = key else { panic!("{key}") };
                    prop_assert_eq!(glance.ends, u64::from(key.source.to_bits()) << 32 | u64::from(key.destination.to_bits()));
                    prop_assert_eq!((glance.ports, glance.protocol), (ports(&key), key.protocol));
                }
                // What was not touched is plain.
                None => prop_assert!(!changes.is_empty() || is_cut || tcp && flags & 0x17 != 0x10),
            }
        }
    }

    fn plain(is_tcp: bool, flags: u8, length: usize) -> Vec<u8> {
        let (protocol, header) =
            if is_tcp { (IpProtocol::TCP, tcp::HEADER_LEN) } else { (IpProtocol::UDP, udp::HEADER_LEN) };
        let mut frame = vec![0; L4 + header + length];
        frame[12] = 8;
        ipv4::Repr::new([10, 0, 0, 1].into(), [192, 0, 2, 1].into(), protocol, header + length)
            .emit(&mut ipv4::View::new_unchecked(&mut frame[L3..]));
        if is_tcp {
            frame[L4 + 12..L4 + 14].copy_from_slice(&[0x50, flags]);
        } else {
            udp::Repr { source_port: 1, destination_port: 2, payload_len: length }
                .emit(&mut udp::View::new_unchecked(&mut frame[L4..]));
        }
        frame
    }
}
