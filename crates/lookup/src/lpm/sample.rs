//! Seeded tables like those of the Internet's default-free zone, for tests and measurements.
//!
//! Not a copy of a real table: lengths follow the shares that route collectors publish, rounded ([`IPV4`], [`IPV6`]);
//! half of the prefixes lie in a block that was drawn before, as announcements of parts of an allocation do; the others
//! start anywhere in unicast space. Next hops are drawn evenly from [`NEXT_HOPS`].

use std::collections::HashSet;
use std::net::{Ipv4Addr, Ipv6Addr};

use super::{Address, Prefix};

/// Next hops of a sample: those of a router with many neighbours.
pub const NEXT_HOPS: u32 = 64;

/// Prefix lengths of IPv4 tables and the share of each in 10,000. Networks hear nothing longer than 24 from others; the
/// 80 above it are a router's own.
pub const IPV4: [(u8, u32); 21] = [
    (8, 1),
    (10, 1),
    (11, 1),
    (12, 3),
    (13, 6),
    (14, 12),
    (15, 20),
    (16, 140),
    (17, 85),
    (18, 140),
    (19, 250),
    (20, 450),
    (21, 530),
    (22, 1150),
    (23, 1030),
    (24, 6101),
    (25, 10),
    (26, 10),
    (28, 10),
    (30, 20),
    (32, 30),
];

/// Prefix lengths of IPv6 tables and the share of each in 10,000.
pub const IPV6: [(u8, u32); 21] = [
    (20, 5),
    (24, 15),
    (28, 50),
    (29, 330),
    (30, 60),
    (32, 1250),
    (33, 200),
    (34, 170),
    (35, 100),
    (36, 550),
    (38, 150),
    (40, 1050),
    (42, 250),
    (44, 1050),
    (45, 150),
    (46, 370),
    (47, 250),
    (48, 3900),
    (56, 40),
    (64, 40),
    (128, 20),
];

/// Random numbers that are the same everywhere for one seed: `SplitMix64` (Steele, Lea and Flood, 2014).
#[derive(Debug, Clone)]
pub struct Random(pub u64);

impl Random {
    /// The next 64 bits.
    pub fn next_u64(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number below `bound`, which is not 0.
    pub fn below(&mut self, bound: u64) -> u64 {
        ((u128::from(self.next_u64()) * u128::from(bound)) >> 64) as u64
    }

    fn next_u128(&mut self) -> u128 {
        u128::from(self.next_u64()) << 64 | u128::from(self.next_u64())
    }
}

/// `count` different IPv4 prefixes and their next hops, in no order; at most a million is sensible.
#[must_use]
pub fn ipv4(count: usize, seed: u64) -> Vec<(Prefix<Ipv4Addr>, u32)> {
    prefixes(&IPV4, count, seed, |random| {
        // 1.0.0.0 to 223.255.255.255 without 127.0.0.0/8.
        let (mut octet, rest) = (1 + random.below(222) as u32, random.next_u64() as u32);
        octet += u32::from(octet >= 127);
        Ipv4Addr::from_bits(octet << 24 | rest >> 8)
    })
}

/// `count` different IPv6 prefixes and their next hops, in no order.
#[must_use]
pub fn ipv6(count: usize, seed: u64) -> Vec<(Prefix<Ipv6Addr>, u32)> {
    // What the registries give out from, in 2000::/3 (IANA, IPv6 Global Unicast Address Assignments).
    const BLOCKS: [(u128, u8); 8] = [
        (0x2001 << 112, 16),
        (0x2400 << 112, 12),
        (0x2600 << 112, 12),
        (0x2800 << 112, 12),
        (0x2a00 << 112, 12),
        (0x2a10 << 112, 12),
        (0x2c00 << 112, 12),
        (0x2003 << 112, 18),
    ];
    prefixes(&IPV6, count, seed, |random| {
        let (block, len) = BLOCKS[random.below(BLOCKS.len() as u64) as usize];
        Ipv6Addr::from_bits(block | random.next_u128() >> len)
    })
}

/// An address inside a prefix, its free bits random.
pub fn address_in<A: Address>(prefix: Prefix<A>, random: &mut Random) -> A {
    prefix.address().joined(A::truncated(random.next_u128()), prefix.len())
}

fn prefixes<A: Address>(
    shares: &[(u8, u32)],
    count: usize,
    seed: u64,
    mut anywhere: impl FnMut(&mut Random) -> A,
) -> Vec<(Prefix<A>, u32)> {
    let mut random = Random(seed);
    let total: u32 = shares.iter().map(|share| share.1).sum();
    let (mut seen, mut table) = (HashSet::new(), Vec::<(Prefix<A>, u32)>::with_capacity(count));
    while table.len() < count {
        let mut at = random.below(total.into()) as u32;
        let len = shares
            .iter()
            .find(|share| at.checked_sub(share.1).map(|rest| at = rest).is_none())
            .expect("in total")
            .0;
        let mut address = anywhere(&mut random);
        if !table.is_empty() && random.below(2) == 0 {
            let block = table[random.below(table.len() as u64) as usize].0;
            if block.len() < len {
                address = block.address().joined(address, block.len());
            }
        }
        let Ok(prefix) = Prefix::containing(address, len) else { continue };
        if seen.insert(prefix) {
            table.push((prefix, random.below(NEXT_HOPS.into()) as u32));
        }
    }
    table
}
