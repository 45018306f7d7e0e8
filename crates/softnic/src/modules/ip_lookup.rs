//! [`IpLookup`].

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use lookup::lpm::{Address, Full, Lpm, Prefix, PrefixError};
use packet::{BATCH, Batch};
use thiserror::Error;

use super::gates::{DROP, send};
use crate::engine::{Context, GATES_MAX, Gate, Module};

/// Prefixes of each family when nobody says how many there may be (as BESS).
pub const PREFIXES_DEFAULT: usize = 1024;

/// Where a frame's EtherType is, unless it is tagged.
const ETHERTYPE: usize = 12;
/// Bytes of a tag.
const TAG: usize = 4;
/// Tags that are looked behind.
const TAGS_MAX: usize = 2;

/// Sends packets to gates by the longest prefix that their IP destination address is in.
///
/// *Input gates*: one. *Output gates*: those of the prefixes and the default gates, up to 8191.
///
/// The prefix of length 0 of each family is its default gate, which drops until it is set. IPv4 and IPv6 have a table
/// each; packets that are neither go where IPv4 does by default. Up to two VLAN tags are looked behind.
///
/// ```
/// let mut module = softnic::modules::IpLookup::new(1024);
/// module.add("10.0.0.0".parse()?, 8, 1)?;
/// module.add("2001:db8::".parse()?, 32, 2)?;
/// assert_eq!(module.lookup("10.1.2.3".parse()?), Some(1));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct IpLookup {
    /// Made when they have something to hold: the array alone is two megabytes.
    v4: Option<Box<Lpm<Ipv4Addr, Gate>>>,
    v6: Option<Box<Lpm<Ipv6Addr, Gate>>>,
    limit: usize,
    default_v4: Gate,
    default_v6: Gate,
}

/// Why a prefix was not put in, or not taken out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum IpLookupError {
    /// It is none.
    #[error(transparent)]
    V4(#[from] PrefixError<Ipv4Addr>),
    /// It is none.
    #[error(transparent)]
    V6(#[from] PrefixError<Ipv6Addr>),
    /// As many as there may be.
    #[error(transparent)]
    Full(#[from] Full),
    /// It is not there.
    #[error("there is no prefix {address}/{len}")]
    NotFound {
        /// Its address.
        address: IpAddr,
        /// Its length.
        len: u8,
    },
}

impl IpLookup {
    /// Tables of up to `limit` prefixes each.
    pub fn new(limit: usize) -> Self {
        Self { v4: None, v6: None, limit, default_v4: DROP, default_v6: DROP }
    }

    /// Puts a prefix in, or changes its gate.
    ///
    /// # Errors
    /// It is none; there is no room.
    pub fn add(&mut self, address: IpAddr, len: u8, gate: Gate) -> Result<(), IpLookupError> {
        match address {
            IpAddr::V4(address) => match Prefix::new(address, len)? {
                Prefix::<Ipv4Addr>::ALL => self.default_v4 = gate,
                prefix => insert(&mut self.v4, self.limit, prefix, gate)?,
            },
            IpAddr::V6(address) => match Prefix::new(address, len)? {
                Prefix::<Ipv6Addr>::ALL => self.default_v6 = gate,
                prefix => insert(&mut self.v6, self.limit, prefix, gate)?,
            },
        }
        Ok(())
    }

    /// Takes a prefix out.
    ///
    /// # Errors
    /// It is none; it is not there.
    pub fn delete(&mut self, address: IpAddr, len: u8) -> Result<(), IpLookupError> {
        let gone = match address {
            IpAddr::V4(address) => match Prefix::new(address, len)? {
                Prefix::<Ipv4Addr>::ALL => Some(std::mem::replace(&mut self.default_v4, DROP)),
                prefix => self.v4.as_mut().and_then(|table| table.remove(prefix)),
            },
            IpAddr::V6(address) => match Prefix::new(address, len)? {
                Prefix::<Ipv6Addr>::ALL => Some(std::mem::replace(&mut self.default_v6, DROP)),
                prefix => self.v6.as_mut().and_then(|table| table.remove(prefix)),
            },
        };
        gone.map(|_| ()).ok_or(IpLookupError::NotFound { address, len })
    }

    /// Takes all prefixes out but the default gates.
    pub fn clear(&mut self) {
        (self.v4, self.v6) = (None, None);
    }

    /// The gate of an address; `None` where it is dropped.
    pub fn lookup(&self, address: IpAddr) -> Option<Gate> {
        let gate = match address {
            IpAddr::V4(address) => {
                self.v4.as_ref().and_then(|table| table.lookup(address)).unwrap_or(self.default_v4)
            }
            IpAddr::V6(address) => {
                self.v6.as_ref().and_then(|table| table.lookup(address)).unwrap_or(self.default_v6)
            }
        };
        (gate != DROP).then_some(gate)
    }

    /// The prefixes and their gates; those of length 0 where a default gate is set.
    pub fn prefixes(&self) -> impl Iterator<Item = (IpAddr, u8, Gate)> {
        let v4 = self.v4.iter().flat_map(|table| table.iter());
        let v6 = self.v6.iter().flat_map(|table| table.iter());
        let defaults = [
            (IpAddr::V4(Ipv4Addr::UNSPECIFIED), self.default_v4),
            (IpAddr::V6(Ipv6Addr::UNSPECIFIED), self.default_v6),
        ];
        let defaults = defaults.into_iter().filter(|(_, gate)| *gate != DROP);
        let v4 = v4.map(|(prefix, gate)| (IpAddr::V4(prefix.address()), prefix.len(), gate));
        let v6 = v6.map(|(prefix, gate)| (IpAddr::V6(prefix.address()), prefix.len(), gate));
        defaults.map(|(address, gate)| (address, 0, gate)).chain(v4).chain(v6)
    }

    /// Prefixes, default gates not among them.
    pub fn len(&self) -> usize {
        self.v4.as_ref().map_or(0, |table| table.len()) + self.v6.as_ref().map_or(0, |table| table.len())
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

fn insert<A: Address>(
    table: &mut Option<Box<Lpm<A, Gate>>>,
    limit: usize,
    prefix: Prefix<A>,
    gate: Gate,
) -> Result<(), Full> {
    table.get_or_insert_with(|| Box::new(Lpm::with_limit(limit))).insert(prefix, gate).map(|_| ())
}

/// The destination address of a frame.
#[inline]
fn destination(frame: &[u8]) -> Option<IpAddr> {
    let mut at = ETHERTYPE;
    for _ in 0..=TAGS_MAX {
        match frame.get(at..at + 2)? {
            [0x08, 0x00] => return frame.get(at + 18..)?.first_chunk::<4>().map(|octets| (*octets).into()),
            [0x86, 0xdd] => return frame.get(at + 26..)?.first_chunk::<16>().map(|octets| (*octets).into()),
            [0x81, 0x00] | [0x88, 0xa8] => at += TAG,
            _ => return None,
        }
    }
    None
}

/// [`destination`] of IPv4 without tags: what most frames are.
#[inline(always)]
fn plain_destination(frame: &[u8]) -> Option<Ipv4Addr> {
    let head = frame.first_chunk::<{ ETHERTYPE + 22 }>()?;
    (head[ETHERTYPE..ETHERTYPE + 2] == [0x08, 0x00]).then(|| [head[30], head[31], head[32], head[33]].into())
}

/// Addresses of one family, and whose they are.
struct Wanted<A> {
    count: usize,
    addresses: [A; BATCH],
    lanes: [u8; BATCH],
}

impl<A: Address> Wanted<A> {
    #[inline]
    fn new() -> Self {
        Self { count: 0, addresses: [A::ZERO; BATCH], lanes: [0; BATCH] }
    }

    #[inline]
    fn add(&mut self, lane: usize, address: A) {
        self.addresses[self.count] = address;
        self.lanes[self.count] = lane as u8;
        self.count += 1;
    }

    /// Writes the gates to their lanes.
    #[inline]
    fn look_up(&self, table: &Lpm<A, Gate>, gates: &mut [Gate; BATCH]) {
        table.lookup_each(&self.addresses[..self.count], |number, answer| {
            if let Some(gate) = answer {
                gates[usize::from(self.lanes[number])] = gate;
            }
        });
    }
}

impl Module for IpLookup {
    fn class(&self) -> &'static str {
        "IPLookup"
    }

    fn outputs(&self) -> Gate {
        GATES_MAX
    }

    fn keeps_lengths(&self) -> bool {
        true
    }

    fn process(&mut self, ctx: &mut Context<'_>, _gate: Gate, batch: &mut Batch) {
        let (mut gates, count) = ([self.default_v4; BATCH], batch.len());
        let (mut addresses, mut all) = ([Ipv4Addr::UNSPECIFIED; BATCH], true);
        for (address, packet) in addresses.iter_mut().zip(&*batch) {
            match plain_destination(packet.data()) {
                Some(found) => *address = found,
                None => all = false,
            }
        }
        if !all {
            return self.sort_mixed(ctx, batch);
        }
        if let Some(table) = &self.v4 {
            table.lookup_each(&addresses[..count], |lane, answer| {
                if let Some(gate) = answer {
                    gates[lane] = gate;
                }
            });
        }
        send(ctx, batch, &gates[..count]);
    }

    fn status(&self) -> String {
        format!("{} prefixes", self.len())
    }
}

impl IpLookup {
    /// Sends packets to gates of which some are not IPv4, or tagged.
    #[inline(never)]
    fn sort_mixed(&self, ctx: &mut Context<'_>, batch: &mut Batch) {
        let (mut gates, count) = ([self.default_v4; BATCH], batch.len());
        let (mut four, mut six) = (Wanted::new(), Wanted::new());
        for (lane, packet) in batch.iter().enumerate() {
            match destination(packet.data()) {
                Some(IpAddr::V4(address)) => four.add(lane, address),
                Some(IpAddr::V6(address)) => {
                    six.add(lane, address);
                    gates[lane] = self.default_v6;
                }
                None => {}
            }
        }
        if let Some(table) = &self.v4 {
            four.look_up(table, &mut gates);
        }
        if let Some(table) = self.v6.as_ref().filter(|_| six.count > 0) {
            six.look_up(table, &mut gates);
        }
        send(ctx, batch, &gates[..count]);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::rig::{Random, Rig, packet};

    fn frame(tags: usize, destination: IpAddr) -> Vec<u8> {
        let mut frame = vec![0; ETHERTYPE];
        (0..tags).for_each(|_| frame.extend([0x81, 0x00, 0, 7]));
        match destination {
            IpAddr::V4(address) => {
                frame.extend([0x08, 0x00, 0x45]);
                frame.extend([0; 15]);
                frame.extend(address.octets());
            }
            IpAddr::V6(address) => {
                frame.extend([0x86, 0xdd, 0x60]);
                frame.extend([0; 23]);
                frame.extend(address.octets());
            }
        }
        frame
    }

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn the_longest_prefix_decides_in_both_families() {
        let mut random = Random::seeded();
        for _ in 0..20 {
            let mut module = IpLookup::new(1024);
            let mut twin: Vec<(IpAddr, u8, Gate)> = Vec::new();
            let address = |random: &mut Random| -> IpAddr {
                // Few different bytes, so that prefixes contain one another.
                let mut octets = [0; 16];
                octets.fill_with(|| *random.pick(&[0, 1, 128]));
                if random.below(2) == 0 { Ipv6Addr::from(octets).into() } else { ip4(octets) }
            };
            for _ in 0..60 {
                let (address, gate) = (address(&mut random), random.below(500) as Gate);
                let len = random.below(if address.is_ipv4() { 33 } else { 129 }) as u8;
                let (address, at) = (masked(address, len), (address, len));
                twin.retain(|(known, length, _)| (*known, *length) != (address, at.1));
                if random.below(4) == 0 {
                    // It may be there or not.
                    let _ = module.delete(address, len);
                } else {
                    module.add(address, len, gate).unwrap();
                    twin.push((address, len, gate));
                }
            }
            let wanted: Vec<IpAddr> = (0..200).map(|_| address(&mut random)).collect();
            let best = |wanted: IpAddr| {
                let fits = |(address, len, _): &&(IpAddr, u8, Gate)| masked(wanted, *len) == *address;
                twin.iter().filter(fits).max_by_key(|(_, len, _)| *len).map(|(_, _, gate)| *gate)
            };
            for &address in &wanted {
                assert_eq!(module.lookup(address), best(address), "{address} {random:?}");
            }
            // Mixed ones, and none but plain ones.
            for (families, tags) in [(2, 3), (1, 1)] {
                let wanted: Vec<IpAddr> =
                    wanted.iter().copied().filter(|address| families > 1 || address.is_ipv4()).collect();
                let frames = wanted.iter().map(|address| packet(&frame(random.below(tags), *address)));
                let out = Rig::on(&mut module).pass(0, frames.collect::<Vec<_>>());
                for (gate, packet) in &out {
                    let address = destination(packet.data()).unwrap();
                    assert_eq!(Some(*gate), best(address), "{address} {random:?}");
                }
                assert_eq!(out.len(), wanted.iter().filter(|address| best(**address).is_some()).count());
            }
        }
    }

    fn ip4(octets: [u8; 16]) -> IpAddr {
        Ipv4Addr::new(octets[0], octets[1], octets[2], octets[3]).into()
    }

    /// An address of another family stays as it is, and so fits no prefix.
    fn masked(address: IpAddr, len: u8) -> IpAddr {
        match address {
            IpAddr::V4(address) if len <= 32 => {
                let mask = u32::MAX.checked_shl(32 - u32::from(len)).unwrap_or(0);
                Ipv4Addr::from_bits(address.to_bits() & mask).into()
            }
            IpAddr::V4(address) => address.into(),
            IpAddr::V6(address) => {
                let mask = u128::MAX.checked_shl(128 - u32::from(len)).unwrap_or(0);
                Ipv6Addr::from_bits(address.to_bits() & mask).into()
            }
        }
    }

    #[test]
    fn what_is_no_ip_goes_where_ipv4_does_by_default() {
        let mut module = IpLookup::new(8);
        assert_eq!(Rig::on(&mut module).gate(&[0; 60]), None);
        module.add(ip("0.0.0.0"), 0, 5).unwrap();
        assert_eq!(Rig::on(&mut module).gate(&[0; 60]), Some(5));
        assert_eq!(Rig::on(&mut module).gate(&[]), Some(5));
        assert_eq!(Rig::on(&mut module).gate(&frame(3, ip("1.1.1.1"))), Some(5), "too many tags");
        let cut = &frame(0, ip("1.1.1.1"))[..33];
        assert_eq!(Rig::on(&mut module).gate(cut), Some(5));
        module.delete(ip("0.0.0.0"), 0).unwrap();
        assert_eq!(Rig::on(&mut module).gate(&[0; 60]), None);
    }

    #[test]
    fn prefixes_are_checked() {
        let mut module = IpLookup::new(2);
        assert!(matches!(module.add(ip("22.22.22.0"), 16, 0), Err(IpLookupError::V4(_))));
        assert!(matches!(module.add(ip("22.22.22.0"), 33, 0), Err(IpLookupError::V4(_))));
        assert!(matches!(module.add(ip("2001:db8::1"), 64, 0), Err(IpLookupError::V6(_))));
        let gone = module.delete(ip("52.22.22.0"), 24);
        assert_eq!(gone, Err(IpLookupError::NotFound { address: ip("52.22.22.0"), len: 24 }));
        assert!(matches!(module.delete(ip("2001:db8::"), 32), Err(IpLookupError::NotFound { .. })));
        module.add(ip("1.0.0.0"), 8, 1).unwrap();
        module.add(ip("2.0.0.0"), 8, 1).unwrap();
        assert_eq!(module.add(ip("3.0.0.0"), 8, 1), Err(IpLookupError::Full(Full::Prefixes { limit: 2 })));
        module.add(ip("::"), 0, 3).unwrap();
        module.clear();
        assert!(module.is_empty());
        assert_eq!((module.lookup(ip("1.1.1.1")), module.lookup(ip("::1"))), (None, Some(3)));
    }
}
