//! Which end inside has which end outside: endpoint-independent mappings (RFC 4787 §4.1), and the limits on them.

use std::hash::{BuildHasher, Hash, Hasher};
use std::net::{IpAddr, SocketAddr};
use std::ops::{Range, RangeInclusive};

use lookup::flow_table::{FlowTable, Tag};
use packet::flow::FlowHasher;
use packet::wire::IpProtocol;

use super::ports::PortSpace;
use crate::conntrack::MoveError;

/// The most external addresses that one function translates to: 24 KiB of port sets each.
pub const EXTERNALS_MAX: usize = 256;
/// The most mappings.
pub const MAPPINGS_MAX: usize = 1 << 22;

/// An end inside: protocol (ICMP for either family), address, and port or ICMP identifier.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Inside {
    /// TCP, UDP or ICMP.
    pub protocol: IpProtocol,
    /// Its address.
    pub address: IpAddr,
    /// Its port or identifier.
    pub port: u16,
}

impl Hash for Inside {
    #[inline]
    fn hash<H: Hasher>(&self, state: &mut H) {
        let rest = u64::from(self.protocol.0) << 16 | u64::from(self.port);
        match self.address {
            IpAddr::V4(address) => state.write_u64(u64::from(address.to_bits()) << 32 | rest),
            IpAddr::V6(address) => {
                state.write_u64((address.to_bits() >> 64) as u64);
                state.write_u64(address.to_bits() as u64);
                state.write_u64(rest);
            }
        }
    }
}

/// An end outside: the number of the external address, and a port of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct End {
    address: u16,
    port: u16,
}

/// What an end outside is looked for by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct External {
    protocol: IpProtocol,
    end: End,
}

impl Hash for External {
    #[inline]
    fn hash<H: Hasher>(&self, state: &mut H) {
        let End { address, port } = self.end;
        state.write_u64(u64::from(address) << 32 | u64::from(self.protocol.0) << 16 | u64::from(port));
    }
}

/// Why there is no mapping for an end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// All ports of the address that the host has are taken.
    #[error("no external port is left")]
    Ports,
    /// The host has as many mappings as one may have.
    #[error("the host has too many mappings")]
    Host,
    /// There are as many mappings as there may be.
    #[error("the table of mappings is full")]
    Table,
}

#[derive(Clone, Copy, Debug)]
struct Mapping {
    external: End,
    /// Flows that use it. With the last one it goes, unless it was configured.
    flows: u32,
    is_static: bool,
}

/// What an external end leads to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Target {
    pub(super) inside: Inside,
    /// It was configured: whoever outside may begin.
    pub(super) is_static: bool,
}

/// Limits on mappings.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Ports that are given out.
    pub ports: RangeInclusive<u16>,
    /// Mappings at a time.
    pub mappings: usize,
    /// Mappings of one inside host at a time.
    pub per_host: u32,
}

/// The mappings of one NAT.
pub(super) struct Mappings {
    /// In order: those of IPv4 come first.
    externals: Vec<(IpAddr, [PortSpace; 3])>,
    by_inside: FlowTable<Inside, Mapping>,
    by_external: FlowTable<External, Target>,
    hosts: FlowTable<Inside, u32>,
    per_host: u32,
    hasher: FlowHasher,
    drawn: u64,
}

/// Entries that no time ends: they go with their flows.
const FOR_EVER: u64 = u64::MAX;

fn space(protocol: IpProtocol) -> usize {
    match protocol {
        IpProtocol::TCP => 0,
        IpProtocol::UDP => 1,
        _ => 2,
    }
}

/// A host as a key.
fn host(address: IpAddr) -> Inside {
    Inside { protocol: IpProtocol::NONE, address, port: 0 }
}

impl Mappings {
    pub(super) fn new(externals: &[IpAddr], limits: &Limits, hasher: FlowHasher) -> Self {
        let capacity = limits.mappings.clamp(1, MAPPINGS_MAX);
        // An ICMP identifier may be anything (RFC 5508 §3.1).
        let spaces = [limits.ports.clone(), limits.ports.clone(), 0..=u16::MAX].map(PortSpace::new);
        let mut externals: Vec<IpAddr> = externals.iter().take(EXTERNALS_MAX).copied().collect();
        externals.sort_unstable();
        externals.dedup();
        Self {
            externals: externals.into_iter().map(|own| (own, spaces.clone())).collect(),
            by_inside: FlowTable::with_hasher(capacity, hasher),
            by_external: FlowTable::with_hasher(capacity, hasher),
            hosts: FlowTable::with_hasher(capacity, hasher),
            per_host: limits.per_host,
            hasher,
            drawn: 0,
        }
    }

    pub(super) fn len(&self) -> usize {
        self.by_inside.len()
    }

    /// The number of an external address.
    #[inline]
    fn number(&self, address: IpAddr) -> Option<u16> {
        self.externals.binary_search_by(|(own, _)| own.cmp(&address)).ok().map(|at| at as u16)
    }

    pub(super) fn is_external(&self, address: IpAddr) -> bool {
        self.number(address).is_some()
    }

    /// The numbers of the external addresses of this one's version of IP.
    fn of_family(&self, address: IpAddr) -> Range<usize> {
        let fours = self.externals.partition_point(|(own, _)| own.is_ipv4());
        if address.is_ipv4() { 0..fours } else { fours..self.externals.len() }
    }

    /// Whether hosts can be reached from an external address.
    pub(super) fn reaches(&self, host: IpAddr) -> bool {
        !self.of_family(host).is_empty()
    }

    fn address(&self, end: End) -> Option<SocketAddr> {
        Some(SocketAddr::new(self.externals.get(usize::from(end.address))?.0, end.port))
    }

    fn spaces(&mut self, end: End, protocol: IpProtocol) -> Option<&mut PortSpace> {
        let (_, spaces) = self.externals.get_mut(usize::from(end.address))?;
        Some(&mut spaces[space(protocol)])
    }

    /// What an end is looked for by; `None` where the address is not external.
    #[inline]
    pub(super) fn external_of(&self, protocol: IpProtocol, address: IpAddr, port: u16) -> Option<External> {
        Some(External { protocol, end: End { address: self.number(address)?, port } })
    }

    /// Takes all ports of an external address away but these.
    pub(super) fn restrict(&mut self, address: IpAddr, ports: &[RangeInclusive<u16>]) {
        let spaces = self.externals.iter_mut().filter(|(own, _)| *own == address);
        spaces.flat_map(|(_, spaces)| spaces).for_each(|space| space.restrict(ports));
    }

    /// Leads an external end to an inside one for good. `false` where the port is taken or the table full.
    pub(super) fn forward(&mut self, protocol: IpProtocol, end: SocketAddr, inside: Inside) -> bool {
        let Some(external) = self.external_of(protocol, end.ip(), end.port()) else { return false };
        let end = external.end;
        if !self.spaces(end, protocol).is_some_and(|space| space.reserve(end.port)) {
            return false;
        }
        let target = Target { inside, is_static: true };
        let is_led = self.by_external.insert(external, target, FOR_EVER, 0).is_ok();
        // What the host begins itself from there looks the same from outside. Of several forwards to it the first counts.
        if is_led && self.by_inside.find(&inside, 0).is_none() {
            let mapping = Mapping { external: end, flows: 0, is_static: true };
            return self.by_inside.insert(inside, mapping, FOR_EVER, 0).is_ok();
        }
        is_led
    }

    /// What an external end leads to.
    pub(super) fn find(&self, protocol: IpProtocol, end: SocketAddr) -> Option<Target> {
        let external = self.external_of(protocol, end.ip(), end.port())?;
        self.target(external, self.tag(&external))
    }

    /// What an external end is looked for by.
    #[inline]
    pub(super) fn tag(&self, external: &External) -> Tag {
        self.by_external.tag(external)
    }

    /// [`find`](Self::find) for an end with its tag.
    #[inline]
    pub(super) fn target(&self, external: External, tag: Tag) -> Option<Target> {
        let id = self.by_external.find_tagged(tag, &external, 0)?;
        self.by_external.get(id).copied()
    }

    /// Has in the cache what [`target`](Self::target) will read.
    #[inline]
    pub(super) fn fetch(&self, tags: &[Tag]) {
        self.by_external.fetch(tags, |_, target| target.inside.port.into());
    }

    /// The external end of an inside one, for one more flow, which is with this peer.
    pub(super) fn acquire(&mut self, inside: Inside, peer: IpAddr) -> Result<SocketAddr, Refused> {
        if let Some(mapping) = self.by_inside.find(&inside, 0).and_then(|id| self.by_inside.get_mut(id)) {
            mapping.flows += 1;
            let external = mapping.external;
            return self.address(external).ok_or(Refused::Ports);
        }
        if self.by_inside.len() == self.by_inside.capacity()
            || self.by_external.len() == self.by_external.capacity()
        {
            return Err(Refused::Table);
        }
        let of_host = self.hosts.find(&host(inside.address), 0);
        let count = of_host.and_then(|id| self.hosts.get(id)).copied().unwrap_or(0);
        if count >= self.per_host {
            return Err(Refused::Host);
        }
        let end = self.allocate(inside, peer).ok_or(Refused::Ports)?;
        // There is room, as was seen above.
        self.map(inside, end);
        self.address(end).ok_or(Refused::Ports)
    }

    /// The external end of an inside one.
    pub(super) fn external(&self, inside: Inside) -> Option<SocketAddr> {
        let id = self.by_inside.find(&inside, 0)?;
        self.address(self.by_inside.get(id)?.external)
    }

    /// [`acquire`](Self::acquire) where the external end is known already: it is that one, or none.
    pub(super) fn acquire_as(&mut self, inside: Inside, end: SocketAddr) -> Result<(), MoveError> {
        let external = self.external_of(inside.protocol, end.ip(), end.port());
        let end = external.ok_or(MoveError::Collision)?.end;
        if let Some(mapping) = self.by_inside.find(&inside, 0).and_then(|id| self.by_inside.get_mut(id)) {
            if mapping.external != end {
                return Err(MoveError::Collision);
            }
            mapping.flows += 1;
            return Ok(());
        }
        if self.by_inside.len() == self.by_inside.capacity()
            || self.by_external.len() == self.by_external.capacity()
        {
            return Err(MoveError::Full);
        }
        if !self.spaces(end, inside.protocol).is_some_and(|space| space.take(end.port)) {
            return Err(MoveError::Collision);
        }
        self.map(inside, end);
        Ok(())
    }

    /// Notes who has which end, for a first flow. There is room.
    fn map(&mut self, inside: Inside, end: End) {
        match self.hosts.find(&host(inside.address), 0).and_then(|id| self.hosts.get_mut(id)) {
            Some(count) => *count += 1,
            // There are no more hosts than mappings.
            None => drop(self.hosts.insert(host(inside.address), 1, FOR_EVER, 0)),
        }
        let external = External { protocol: inside.protocol, end };
        let target = Target { inside, is_static: false };
        let mapping = Mapping { external: end, flows: 1, is_static: false };
        let _ = self.by_external.insert(external, target, FOR_EVER, 0);
        let _ = self.by_inside.insert(inside, mapping, FOR_EVER, 0);
    }

    /// A port: the inside one if it is free, else any. A host has one external address for all its mappings (RFC 4787 §4.1,
    /// "paired" pooling), of its peers' version of IP.
    fn allocate(&mut self, inside: Inside, peer: IpAddr) -> Option<End> {
        let usable = self.of_family(peer);
        let of_host = self.hasher.hash_one(host(inside.address)) % (usable.len().max(1) as u64);
        let address = usable.start + of_host as usize;
        if !usable.contains(&address) {
            return None;
        }
        self.drawn = self.drawn.wrapping_add(1);
        let random = self.hasher.hash_one((self.drawn, u64::from(inside.port)));
        let mut end = End { address: address as u16, port: inside.port };
        let space = self.spaces(end, inside.protocol)?;
        end.port = if space.take(inside.port) { inside.port } else { space.take_any(random)? };
        Some(end)
    }

    /// One flow less. With the last one the mapping ends and its port is free.
    pub(super) fn release(&mut self, inside: Inside) {
        let Some(id) = self.by_inside.find(&inside, 0) else { return };
        let Some(mapping) = self.by_inside.get_mut(id) else { return };
        mapping.flows = mapping.flows.saturating_sub(1);
        let Mapping { external: end, flows, is_static } = *mapping;
        if flows > 0 || is_static {
            return;
        }
        self.by_inside.remove(id);
        let external = External { protocol: inside.protocol, end };
        if let Some(id) = self.by_external.find(&external, 0) {
            self.by_external.remove(id);
        }
        if let Some(space) = self.spaces(end, inside.protocol) {
            space.give_back(end.port);
        }
        let Some(id) = self.hosts.find(&host(inside.address), 0) else { return };
        match self.hosts.get_mut(id) {
            Some(count @ 2..) => *count -= 1,
            _ => drop(self.hosts.remove(id)),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use proptest::prelude::*;

    use super::*;

    fn mappings(per_host: u32, externals: &[IpAddr]) -> Mappings {
        let limits = Limits { ports: 1024..=1033, mappings: 100, per_host };
        Mappings::new(externals, &limits, FlowHasher::new(1))
    }

    fn inside(host: u8, port: u16, protocol: IpProtocol) -> Inside {
        Inside { protocol, address: [10, 0, 0, host].into(), port }
    }

    const EXTERNAL: [IpAddr; 1] = [IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1))];
    const PEER: IpAddr = IpAddr::V4(Ipv4Addr::new(198, 51, 100, 1));

    #[test]
    fn the_port_is_kept_where_it_is_free_and_each_protocol_has_its_own() {
        let mut table = mappings(100, &EXTERNAL);
        let tcp = inside(2, 1030, IpProtocol::TCP);
        assert_eq!(table.acquire(tcp, PEER).unwrap().port(), 1030);
        assert_eq!(table.acquire(inside(3, 1030, IpProtocol::UDP), PEER).unwrap().port(), 1030);
        let other = table.acquire(inside(3, 1030, IpProtocol::TCP), PEER).unwrap();
        assert!(other.port() != 1030 && (1024..=1033).contains(&other.port()));
        assert!((1024..=1033).contains(&table.acquire(inside(3, 80, IpProtocol::TCP), PEER).unwrap().port()));
        assert_eq!(table.acquire(inside(3, 0, IpProtocol::ICMP), PEER).unwrap().port(), 0);
        assert_eq!(table.find(IpProtocol::TCP, other).unwrap().inside, inside(3, 1030, IpProtocol::TCP));
    }

    #[test]
    fn a_mapping_lasts_as_long_as_its_last_flow() {
        let mut table = mappings(100, &EXTERNAL);
        let end = inside(2, 5000, IpProtocol::UDP);
        let external = table.acquire(end, PEER).unwrap();
        assert_eq!(table.acquire(end, PEER), Ok(external), "the same for every destination");
        table.release(end);
        assert!(table.find(IpProtocol::UDP, external).is_some());
        table.release(end);
        assert_eq!((table.find(IpProtocol::UDP, external), table.len(), table.hosts.len()), (None, 0, 0));
        table.release(end);
    }

    #[test]
    fn nat64_ports_run_out_are_refused_and_come_back() {
        // Capsule's port counter wraps to 0, and its mappings never expire.
        let mut table = mappings(100, &EXTERNAL);
        let mut ports: Vec<_> = (0..10)
            .map(|host| table.acquire(inside(host, 7, IpProtocol::TCP), PEER).unwrap().port())
            .collect();
        ports.sort_unstable();
        assert_eq!(ports, (1024..=1033).collect::<Vec<_>>());
        assert_eq!(table.acquire(inside(10, 7, IpProtocol::TCP), PEER), Err(Refused::Ports));
        table.release(inside(3, 7, IpProtocol::TCP));
        assert!(table.acquire(inside(10, 7, IpProtocol::TCP), PEER).is_ok());
    }

    #[test]
    fn limits_hold_for_a_host_and_for_all() {
        let mut table = mappings(3, &EXTERNAL);
        (0..3).for_each(|id| assert!(table.acquire(inside(2, id, IpProtocol::ICMP), PEER).is_ok()));
        assert_eq!(table.acquire(inside(2, 9, IpProtocol::ICMP), PEER), Err(Refused::Host));
        (3..100).for_each(|id| assert!(table.acquire(inside(id as u8, id, IpProtocol::ICMP), PEER).is_ok()));
        assert_eq!(table.acquire(inside(200, 500, IpProtocol::ICMP), PEER), Err(Refused::Table));
        (0..100)
            .for_each(|id| table.release(inside(if id < 3 { 2 } else { id as u8 }, id, IpProtocol::ICMP)));
        assert_eq!((table.by_inside.len(), table.by_external.len(), table.hosts.len()), (0, 0, 0));
    }

    #[test]
    fn a_host_keeps_to_one_address() {
        let many: Vec<IpAddr> = (1..=8).map(|host| [192, 0, 2, host].into()).collect();
        let mut table = mappings(100, &many);
        let mut seen = std::collections::HashSet::new();
        for host in 0..30 {
            let own = table.acquire(inside(host, 1, IpProtocol::ICMP), PEER).unwrap().ip();
            assert_eq!(table.acquire(inside(host, 2, IpProtocol::ICMP), PEER).unwrap().ip(), own);
            seen.insert(own);
        }
        assert!(seen.len() > 4, "and all addresses are used: {seen:?}");
    }

    proptest! {
        /// The twin: a list of who has what, searched from one end to the other.
        #[test]
        fn nobody_shares_an_end_and_what_is_given_back_is_free(
            steps in proptest::collection::vec((any::<bool>(), 0..6u8, 1020..1030u16, any::<bool>()), 0..300),
        ) {
            let mut table = mappings(4, &EXTERNAL);
            let mut twin: Vec<(Inside, SocketAddr, u32)> = Vec::new();
            for (acquires, host, port, is_tcp) in steps {
                let end = inside(host, port, if is_tcp { IpProtocol::TCP } else { IpProtocol::UDP });
                let at = twin.iter().position(|(known, ..)| *known == end);
                if !acquires {
                    table.release(end);
                    if let Some(at) = at {
                        twin[at].2 -= 1;
                        twin.retain(|(.., flows)| *flows > 0);
                    }
                    continue;
                }
                let of_host = twin.iter().filter(|(known, ..)| known.address == end.address).count();
                let same = twin.iter().filter(|(known, ..)| known.protocol == end.protocol);
                let taken: Vec<u16> = same.map(|(_, external, _)| external.port()).collect();
                match (table.acquire(end, PEER), at) {
                    (Ok(external), Some(at)) => {
                        prop_assert_eq!(external, twin[at].1);
                        twin[at].2 += 1;
                    }
                    (Ok(external), None) => {
                        prop_assert!(of_host < 4 && !taken.contains(&external.port()));
                        let keeps = (1024..=1033).contains(&port) && !taken.contains(&port);
                        prop_assert!(!keeps || external.port() == port);
                        twin.push((end, external, 1));
                    }
                    (Err(Refused::Host), None) => prop_assert_eq!(of_host, 4),
                    (Err(Refused::Ports), None) => prop_assert_eq!(taken.len(), 10),
                    (refused, at) => prop_assert!(false, "{refused:?} {at:?}"),
                }
                prop_assert_eq!(table.len(), twin.len());
                for (known, external, _) in &twin {
                    let target = table.find(known.protocol, *external).map(|target| target.inside);
                    prop_assert_eq!(target, Some(*known));
                }
            }
        }
    }

    #[test]
    fn forwards_stay() {
        let mut table = mappings(100, &EXTERNAL);
        let web = inside(5, 80, IpProtocol::TCP);
        let [first, second] = [8080, 1025].map(|port| SocketAddr::new(EXTERNAL[0], port));
        assert!(table.forward(IpProtocol::TCP, first, web) && table.forward(IpProtocol::TCP, second, web));
        assert!(!table.forward(IpProtocol::TCP, first, web), "taken");
        assert_eq!(table.acquire(web, PEER), Ok(first));
        table.release(web);
        assert_eq!(table.find(IpProtocol::TCP, second), Some(Target { inside: web, is_static: true }));
        assert_eq!(table.acquire(web, PEER), Ok(first));
        assert!(table.acquire(inside(6, 1025, IpProtocol::TCP), PEER).unwrap().port() != 1025);
    }

    #[test]
    fn hosts_have_an_address_of_their_peers_version() {
        let six: IpAddr = "2001:db8::1".parse().unwrap();
        let mut both = mappings(100, &[six, EXTERNAL[0]]);
        for host in 0..10 {
            let own = inside(host, 1025, IpProtocol::ICMP);
            assert_eq!(both.acquire(own, PEER).unwrap().ip(), EXTERNAL[0]);
            let own = Inside { address: format!("fd00::{host}").parse().unwrap(), ..own };
            assert_eq!(both.acquire(own, six).unwrap().ip(), six);
        }
        let mut four = mappings(100, &EXTERNAL);
        assert!(four.reaches(PEER) && !four.reaches(six) && both.reaches(six));
        assert_eq!(four.acquire(inside(1, 1025, IpProtocol::UDP), six), Err(Refused::Ports));
    }
}
