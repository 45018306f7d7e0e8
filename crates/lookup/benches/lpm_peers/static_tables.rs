//! Structures that were weighed against the one taken: built once from a whole table, IPv4 only.

use std::net::Ipv4Addr;

use lookup::lpm::Prefix;

/// No route, in arrays that hold a next hop or the number of what is below.
const NONE: u32 = 0x7fff_ffff;
/// The number is that of what is below.
const BELOW: u32 = 1 << 31;

fn by_length(routes: &[(Prefix<Ipv4Addr>, u32)]) -> Vec<(Prefix<Ipv4Addr>, u32)> {
    let mut routes = routes.to_vec();
    routes.sort_by_key(|route| route.0.len());
    routes
}

fn value(entry: u32) -> Option<u32> {
    if entry == NONE { None } else { Some(entry) }
}

/// Gupta, Lin and McKeown, "Routing lookups in hardware at memory access speeds", 1998: 2^24 places, and 256 for each of
/// those with longer routes.
pub(crate) struct Dir24 {
    first: Vec<u32>,
    second: Vec<u32>,
}

impl Dir24 {
    pub(crate) fn new(routes: &[(Prefix<Ipv4Addr>, u32)]) -> Self {
        let (mut first, mut second) = (vec![NONE; 1 << 24], Vec::new());
        for (prefix, hop) in by_length(routes) {
            let (bits, len) = (prefix.address().to_bits() as usize, prefix.len());
            if len <= 24 {
                first[bits >> 8..][..1 << (24 - len)].fill(hop);
                continue;
            }
            let entry = &mut first[bits >> 8];
            if *entry & BELOW == 0 {
                second.resize(second.len() + 256, *entry);
                *entry = BELOW | (second.len() / 256 - 1) as u32;
            }
            second[(*entry & !BELOW) as usize * 256 + (bits & 0xff)..][..1 << (32 - len)].fill(hop);
        }
        Self { first, second }
    }

    pub(crate) fn lookup(&self, address: Ipv4Addr) -> Option<u32> {
        let bits = address.to_bits();
        let mut entry = self.first[(bits >> 8) as usize];
        if entry & BELOW != 0 {
            entry = self.second[(entry & !BELOW) as usize * 256 + (bits & 0xff) as usize];
        }
        value(entry)
    }
}

/// Asai and Ohara, "Poptrie", SIGCOMM 2015: 18 bits of direct pointing, six-bit nodes, values pushed down to the ends.
pub(crate) struct Poptrie {
    direct: Vec<u32>,
    nodes: Vec<PopNode>,
    leaves: Vec<u32>,
}

#[derive(Clone, Copy, Default)]
struct PopNode {
    children: u64,
    runs: u64,
    child: u32,
    leaf: u32,
}

impl Poptrie {
    pub(crate) fn new(routes: &[(Prefix<Ipv4Addr>, u32)]) -> Self {
        let mut table = Self { direct: vec![NONE; 1 << 18], nodes: Vec::new(), leaves: Vec::new() };
        let (short, long): (Vec<_>, Vec<_>) =
            by_length(routes).into_iter().partition(|(prefix, _)| prefix.len() <= 18);
        for (prefix, hop) in short {
            let start = (prefix.address().to_bits() >> 14) as usize;
            table.direct[start..start + (1 << (18 - prefix.len()))].fill(hop);
        }
        let mut below = std::collections::BTreeMap::<usize, Vec<_>>::new();
        for route in long {
            below.entry((route.0.address().to_bits() >> 14) as usize).or_default().push(route);
        }
        for (at, routes) in below {
            let node = table.nodes.len();
            table.nodes.push(PopNode::default());
            table.build(node, 18, &routes, table.direct[at]);
            table.direct[at] = BELOW | node as u32;
        }
        table
    }

    fn build(&mut self, at: usize, depth: u8, routes: &[(Prefix<Ipv4Addr>, u32)], above: u32) {
        let place = |prefix: Prefix<Ipv4Addr>| (prefix.address().to_bits() << depth >> 26) as usize;
        let (mut ends, mut below) = ([above; 64], vec![Vec::new(); 64]);
        for &(prefix, hop) in routes {
            match (depth + 6).checked_sub(prefix.len()) {
                Some(free) => ends[place(prefix)..][..1 << free].fill(hop),
                None => below[place(prefix)].push((prefix, hop)),
            }
        }
        let mut node =
            PopNode { child: self.nodes.len() as u32, leaf: self.leaves.len() as u32, ..PopNode::default() };
        let mut last = None;
        for (place, &end) in ends.iter().enumerate() {
            if !below[place].is_empty() {
                node.children |= 1 << place;
                self.nodes.push(PopNode::default());
            } else if last != Some(end) {
                node.runs |= 1 << place;
                self.leaves.push(end);
                last = Some(end);
            }
        }
        self.nodes[at] = node;
        for (index, place) in (0..64).filter(|&place| !below[place].is_empty()).enumerate() {
            self.build(node.child as usize + index, depth + 6, &below[place], ends[place]);
        }
    }

    pub(crate) fn lookup(&self, address: Ipv4Addr) -> Option<u32> {
        let bits = address.to_bits();
        let entry = self.direct[(bits >> 14) as usize];
        if entry & BELOW == 0 {
            return value(entry);
        }
        let mut rest = bits << 18;
        let mut node = &self.nodes[(entry & !BELOW) as usize];
        loop {
            let bit = 1u64 << (rest >> 26);
            if node.children & bit == 0 {
                let leaf = node.leaf + (node.runs & (bit | (bit - 1))).count_ones() - 1;
                return value(self.leaves[leaf as usize]);
            }
            node = &self.nodes[(node.child + (node.children & (bit - 1)).count_ones()) as usize];
            rest <<= 6;
        }
    }
}
