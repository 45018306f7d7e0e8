//! The routes of a router, and what becomes of them as time passes and others tell theirs (RFC 2453, §3.6 to §3.9).

use std::collections::{BTreeMap, BTreeSet};
use std::net::Ipv4Addr;
use std::time::Duration;

use packet::wire::rip::Entry;

use super::prefix::Prefix;

/// The metric of what cannot be reached (§3.6).
pub const INFINITY: u8 = 16;
/// Routes known at most. Others that are told are left out, and counted.
pub const ROUTES_MAX: usize = 1 << 14;
/// The family of IPv4 routes (§4).
const FAMILY_IP: u16 = 2;

/// Where a route is from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Origin {
    /// The network of an interface.
    Attached,
    /// It was configured.
    Static,
    /// A neighbour told it.
    Learned {
        /// Who.
        from: Ipv4Addr,
        /// Until when it holds, unless it is told again.
        until: Duration,
    },
    /// Nothing leads there any more; it is kept to tell the neighbours so.
    Gone {
        /// For so long.
        until: Duration,
    },
}

/// A route.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Route {
    /// Hops, 1 to 15, or [`INFINITY`].
    pub metric: u8,
    /// A mark that is passed on (§4.2).
    pub tag: u16,
    /// The interface it leaves by, by its place among the router's.
    pub interface: usize,
    /// The router to send to; unspecified where hosts are on the network itself.
    pub next_hop: Ipv4Addr,
    /// Where it is from.
    pub origin: Origin,
    /// It is other than was last announced.
    pub(crate) changed: bool,
}

impl Route {
    /// Whether anything leads there.
    #[must_use]
    pub const fn is_reachable(&self) -> bool {
        self.metric < INFINITY
    }

    /// As it is once nothing leads there.
    const fn lost(&self, until: Duration) -> Self {
        Self { metric: INFINITY, origin: Origin::Gone { until }, changed: true, ..*self }
    }
}

/// What a neighbour tells of one network.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Told {
    pub(crate) prefix: Prefix,
    pub(crate) tag: u16,
    /// Unspecified: the neighbour itself.
    pub(crate) next_hop: Ipv4Addr,
    /// The neighbour's, 1 to 16.
    pub(crate) metric: u8,
}

impl Told {
    /// An entry of a message, if it is one to be believed (§3.9.2): a network of unicast addresses, not 0 or 127, without bits
    /// beyond its mask, at a metric of 1 to 16.
    pub(crate) fn read(entry: &Entry) -> Option<Self> {
        let prefix = Prefix::of(entry.address, entry.prefix_len);
        let first = entry.address.octets()[0];
        let is_unicast = match first {
            0 => entry.address.is_unspecified() && entry.prefix_len < 8,
            127 => false,
            _ => first < 224,
        };
        let metric = u8::try_from(entry.metric).ok().filter(|metric| (1..=INFINITY).contains(metric))?;
        let believed = entry.family == FAMILY_IP && is_unicast && prefix.network() == entry.address;
        believed.then_some(Self { prefix, tag: entry.tag, next_hop: entry.next_hop, metric })
    }
}

/// Who tells something.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Teller {
    pub(crate) ip: Ipv4Addr,
    pub(crate) interface: usize,
}

/// All routes.
#[derive(Debug)]
pub(crate) struct Routes {
    timeout: Duration,
    garbage: Duration,
    routes: BTreeMap<Prefix, Route>,
    /// Those that lead elsewhere than the last time somebody asked.
    turned: BTreeSet<Prefix>,
    /// Some are other than was last announced.
    changed: bool,
    /// Routes that were left out for want of room.
    left_out: u64,
}

impl Routes {
    pub(crate) fn new(timeout: Duration, garbage: Duration) -> Self {
        let (routes, turned) = (BTreeMap::new(), BTreeSet::new());
        Self { timeout, garbage, routes, turned, changed: false, left_out: 0 }
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (Prefix, &Route)> {
        self.routes.iter().map(|(prefix, route)| (*prefix, route))
    }

    pub(crate) fn get(&self, prefix: Prefix) -> Option<&Route> {
        self.routes.get(&prefix)
    }

    pub(crate) fn left_out(&self) -> u64 {
        self.left_out
    }

    /// The route of the longest prefix that leads to an address.
    pub(crate) fn lookup(&self, ip: Ipv4Addr) -> Option<&Route> {
        let prefixes = (0..=32).rev().map(|len| Prefix::of(ip, len));
        prefixes.filter_map(|prefix| self.routes.get(&prefix)).find(|route| route.is_reachable())
    }

    /// Whether any route is other than was last announced.
    pub(crate) fn have_changed(&self) -> bool {
        self.changed
    }

    /// All have been announced as they are.
    pub(crate) fn announced(&mut self) {
        self.changed = false;
        self.routes.values_mut().for_each(|route| route.changed = false);
    }

    /// Those that lead elsewhere than when this was last asked.
    pub(crate) fn take_turned(&mut self) -> BTreeSet<Prefix> {
        std::mem::take(&mut self.turned)
    }

    /// Starts anew, knowing nothing.
    pub(crate) fn clear(&mut self) {
        self.turned.extend(self.routes.keys());
        self.routes.clear();
    }

    fn set(&mut self, prefix: Prefix, route: Route) {
        self.turned.insert(prefix);
        self.changed |= route.changed;
        self.routes.insert(prefix, route);
    }

    /// A network is attached, or leads where it was configured to.
    pub(crate) fn attach(&mut self, prefix: Prefix, route: Route) {
        self.set(prefix, Route { changed: true, ..route });
    }

    /// Nothing leaves by an interface any more.
    pub(crate) fn detach(&mut self, interface: usize, now: Duration) {
        self.lose(now, |route| route.interface == interface);
    }

    /// Times that are over: routes nobody has told again are lost, those that were lost are forgotten (§3.8).
    pub(crate) fn expire(&mut self, now: Duration) {
        self.lose(now, |route| matches!(route.origin, Origin::Learned { until, .. } if until <= now));
        self.routes.retain(|_, route| !matches!(route.origin, Origin::Gone { until } if until <= now));
    }

    /// Begins to delete reachable routes.
    fn lose(&mut self, now: Duration, which: impl Fn(&Route) -> bool) {
        let until = now + self.garbage;
        for (prefix, route) in &mut self.routes {
            if route.is_reachable() && which(route) {
                *route = route.lost(until);
                self.turned.insert(*prefix);
                self.changed = true;
            }
        }
    }

    /// A neighbour tells of a network (§3.9.2).
    pub(crate) fn hear(&mut self, now: Duration, teller: Teller, told: &Told) {
        let metric = (told.metric + 1).min(INFINITY);
        let origin = Origin::Learned { from: teller.ip, until: now + self.timeout };
        let next_hop = if told.next_hop.is_unspecified() { teller.ip } else { told.next_hop };
        let heard =
            Route { metric, tag: told.tag, interface: teller.interface, next_hop, origin, changed: true };
        let Some(known) = self.routes.get(&told.prefix).copied() else {
            if heard.is_reachable() && self.routes.len() >= ROUTES_MAX {
                self.left_out += 1;
            } else if heard.is_reachable() {
                self.set(told.prefix, heard);
            }
            return;
        };
        match known.origin {
            // What is here, or was told by whoever runs this, holds.
            Origin::Attached | Origin::Static => {}
            Origin::Gone { .. } if heard.is_reachable() => self.set(told.prefix, heard),
            Origin::Gone { .. } => {}
            Origin::Learned { from, .. } if from == teller.ip && known.interface == teller.interface => {
                if !heard.is_reachable() {
                    self.lose_one(told.prefix, now);
                } else if (known.metric, known.tag, known.next_hop) != (metric, heard.tag, next_hop) {
                    self.set(told.prefix, heard);
                } else {
                    self.routes.insert(told.prefix, Route { changed: known.changed, ..heard });
                }
            }
            Origin::Learned { until, .. } => {
                // One as good takes the place of one that has not been told for half its time (§3.9.2).
                let is_old = until < now + self.timeout / 2;
                if metric < known.metric || (metric == known.metric && heard.is_reachable() && is_old) {
                    self.set(told.prefix, heard);
                }
            }
        }
    }

    fn lose_one(&mut self, prefix: Prefix, now: Duration) {
        let until = now + self.garbage;
        if let Some(route) = self.routes.get_mut(&prefix) {
            *route = route.lost(until);
            self.turned.insert(prefix);
            self.changed = true;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);
    const ONE: Teller = Teller { ip: Ipv4Addr::new(10, 0, 0, 1), interface: 0 };
    const OTHER: Teller = Teller { ip: Ipv4Addr::new(10, 0, 1, 1), interface: 1 };

    fn routes() -> Routes {
        Routes::new(180 * SECOND, 120 * SECOND)
    }

    fn net() -> Prefix {
        "10.9.0.0/16".parse().unwrap()
    }

    fn told(metric: u8) -> Told {
        Told { prefix: net(), tag: 7, next_hop: Ipv4Addr::UNSPECIFIED, metric }
    }

    /// Metric and next hop of what is known, and whether it is to be announced.
    fn known(routes: &mut Routes) -> (u8, Ipv4Addr, bool) {
        let route = *routes.get(net()).unwrap();
        routes.announced();
        (route.metric, route.next_hop, route.changed)
    }

    #[test]
    fn the_nearest_is_taken_and_who_told_it_is_believed() {
        let mut routes = routes();
        routes.hear(SECOND, ONE, &told(16));
        assert!(routes.get(net()).is_none(), "nothing is learned of what nobody reaches");
        routes.hear(SECOND, ONE, &told(3));
        assert_eq!(known(&mut routes), (4, ONE.ip, true));
        routes.hear(SECOND, OTHER, &told(3));
        assert_eq!(known(&mut routes), (4, ONE.ip, false), "as good, and no better");
        routes.hear(SECOND, OTHER, &told(2));
        assert_eq!(known(&mut routes), (3, OTHER.ip, true));
        routes.hear(SECOND, OTHER, &told(9));
        assert_eq!(known(&mut routes), (10, OTHER.ip, true), "worse, but it must know");
        routes.hear(SECOND, OTHER, &told(15));
        assert_eq!(known(&mut routes), (16, OTHER.ip, true), "fifteen and one is out of reach");
        routes.hear(SECOND, ONE, &told(16));
        assert_eq!(known(&mut routes), (16, OTHER.ip, false));
        routes.hear(SECOND, ONE, &told(14));
        assert_eq!(known(&mut routes), (15, ONE.ip, true));
        assert_eq!(routes.get(net()).unwrap().tag, 7);
    }

    #[test]
    fn what_is_not_told_again_is_lost_then_forgotten() {
        let mut routes = routes();
        routes.hear(SECOND, ONE, &told(1));
        routes.hear(100 * SECOND, ONE, &told(1));
        routes.announced();
        routes.expire(279 * SECOND);
        assert_eq!(known(&mut routes), (2, ONE.ip, false), "told again at 100");
        assert!(routes.lookup([10, 9, 8, 7].into()).is_some());
        routes.expire(280 * SECOND);
        assert_eq!(known(&mut routes), (16, ONE.ip, true));
        assert!(routes.lookup([10, 9, 8, 7].into()).is_none());
        routes.expire(399 * SECOND);
        assert!(routes.get(net()).is_some());
        routes.expire(400 * SECOND);
        assert!(routes.get(net()).is_none());
    }

    #[test]
    fn one_as_good_takes_over_from_one_that_is_silent() {
        let mut routes = routes();
        routes.hear(SECOND, ONE, &told(1));
        routes.hear(80 * SECOND, OTHER, &told(1));
        assert_eq!(known(&mut routes).1, ONE.ip);
        routes.hear(92 * SECOND, OTHER, &told(1));
        assert_eq!(known(&mut routes).1, OTHER.ip);
    }

    #[test]
    fn what_is_attached_holds_until_it_is_not() {
        let mut routes = routes();
        let route = Route {
            metric: 1,
            tag: 0,
            interface: 2,
            next_hop: Ipv4Addr::UNSPECIFIED,
            origin: Origin::Attached,
            changed: false,
        };
        routes.attach(net(), route);
        routes.hear(SECOND, ONE, &told(1));
        assert_eq!(routes.get(net()).unwrap().interface, 2);
        routes.detach(2, SECOND);
        assert_eq!(known(&mut routes), (16, Ipv4Addr::UNSPECIFIED, true));
        routes.hear(SECOND, ONE, &told(1));
        assert_eq!(known(&mut routes), (2, ONE.ip, true), "there is another way");
        routes.attach(net(), route);
        assert_eq!(routes.get(net()).unwrap().origin, Origin::Attached);
    }

    #[test]
    fn the_longest_prefix_leads() {
        let mut routes = routes();
        let tell = |routes: &mut Routes, prefix: &str, teller| {
            routes.hear(SECOND, teller, &Told { prefix: prefix.parse().unwrap(), ..told(1) });
        };
        tell(&mut routes, "0.0.0.0/0", ONE);
        tell(&mut routes, "10.9.0.0/16", OTHER);
        let way = |routes: &Routes, ip: [u8; 4]| routes.lookup(ip.into()).unwrap().next_hop;
        assert_eq!((way(&routes, [10, 9, 1, 1]), way(&routes, [10, 8, 1, 1])), (OTHER.ip, ONE.ip));
        routes.hear(SECOND, OTHER, &told(16));
        assert_eq!(way(&routes, [10, 9, 1, 1]), ONE.ip, "one that leads nowhere leads no longer");
    }

    #[test]
    fn there_is_room_for_so_many() {
        let mut routes = routes();
        for n in 0..ROUTES_MAX as u32 + 10 {
            let prefix = Prefix::of(Ipv4Addr::from_bits(0x1400_0000 + (n << 8)), 24);
            routes.hear(SECOND, ONE, &Told { prefix, ..told(1) });
        }
        assert_eq!((routes.iter().count(), routes.left_out()), (ROUTES_MAX, 10));
        routes.hear(SECOND, OTHER, &Told { prefix: Prefix::of([20, 0, 0, 0].into(), 24), ..told(16) });
        assert_eq!(routes.iter().count(), ROUTES_MAX, "those that are known change all the same");
    }

    #[test]
    fn what_cannot_be_is_not_believed() {
        let entry = |address: [u8; 4], prefix_len, metric| Entry {
            address: address.into(),
            prefix_len,
            metric,
            ..Entry::DEFAULT
        };
        for good in [entry([10, 9, 0, 0], 16, 1), entry([0; 4], 0, 16), entry([223, 255, 255, 255], 32, 15)] {
            assert!(Told::read(&good).is_some(), "{good}");
        }
        for bad in [
            entry([10, 9, 0, 0], 16, 0),
            entry([10, 9, 0, 0], 16, 17),
            entry([10, 9, 0, 0], 16, 1 << 20),
            entry([10, 9, 0, 1], 16, 1),
            entry([10, 9, 0, 0], 0, 1),
            entry([127, 0, 0, 0], 8, 1),
            entry([0, 1, 0, 0], 16, 1),
            entry([0; 4], 8, 1),
            entry([224, 0, 0, 0], 4, 1),
            entry([255; 4], 32, 1),
            Entry { family: 0, ..entry([10, 9, 0, 0], 16, 1) },
        ] {
            assert!(Told::read(&bad).is_none(), "{bad}");
        }
    }
}
