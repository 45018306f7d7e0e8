//! Where a scout goes: the shortest way on the map without the failed links that it met.

use std::ops::Deref;
use std::sync::Arc;

use hashbrown::HashMap;

use crate::header::Scout;
use crate::map::{FAR, Map};

/// The most sets of failed links whose distances a guide keeps; then it starts anew.
pub const MEMO_MAX: usize = 64;

/// Whose the map is.
#[derive(Debug, Clone)]
enum Held<'m> {
    Lent(&'m Map),
    Shared(Arc<Map>),
}

impl Deref for Held<'_> {
    type Target = Map;

    fn deref(&self) -> &Map {
        match self {
            Self::Lent(map) => map,
            Self::Shared(map) => map,
        }
    }
}

/// Leads scouts to one destination. A function of the map alone: the memory only saves time, so that routers which hold the
/// same map agree, and a simulation may use one guide for all of them.
#[derive(Debug, Clone)]
pub struct Guide<'m> {
    map: Held<'m>,
    destination: usize,
    memo: HashMap<Box<[u16]>, Box<[u32]>, foldhash::fast::FixedState>,
    /// How often distances were computed: what a router pays, once for a set of failures.
    pub computed: u64,
}

impl<'m> Guide<'m> {
    /// A guide to a destination.
    pub fn new(map: &'m Map, destination: usize) -> Self {
        Self::over(Held::Lent(map), destination)
    }

    /// A guide that has its share of the map.
    pub fn shared(map: Arc<Map>, destination: usize) -> Guide<'static> {
        Guide::over(Held::Shared(map), destination)
    }

    fn over(map: Held<'m>, destination: usize) -> Self {
        Self { map, destination, memo: HashMap::default(), computed: 0 }
    }

    /// The port by which a scout leaves a node. Failed links in its way are added to what it carries. None where the map has
    /// no way left, or the scout no room or no hops.
    pub fn next(&mut self, node: usize, scout: &mut Scout, live: impl Fn(u16) -> bool) -> Option<u16> {
        scout.hops_left = scout.hops_left.checked_sub(1)?;
        // Ends: every turn adds a link to what the scout carries, which has a bound.
        loop {
            let (map, distances) = self.distances(scout.met());
            if distances[node] == FAR {
                return None;
            }
            let usable = |link: u16| !scout.met().contains(&link);
            let ports = map.ports(node).iter().enumerate().filter(|(_, port)| usable(port.link));
            let (number, best) = ports
                .filter(|(_, port)| distances[port.node as usize] != FAR)
                .min_by_key(|(_, port)| (distances[port.node as usize] + port.cost, port.node, port.link))?;
            if live(number as u16) {
                return Some(number as u16);
            }
            if !scout.meet(best.link) {
                return None;
            }
        }
    }

    fn distances(&mut self, met: &[u16]) -> (&Map, &[u32]) {
        let mut key: Box<[u16]> = met.into();
        key.sort_unstable();
        if self.memo.len() >= MEMO_MAX && !self.memo.contains_key(&key) {
            self.memo.clear();
        }
        let (map, destination, computed) = (&*self.map, self.destination, &mut self.computed);
        let distances = self.memo.entry(key).or_insert_with_key(|met| {
            *computed += 1;
            map.distances(destination, |link| met.binary_search(&link).is_err()).into()
        });
        (map, distances)
    }
}
