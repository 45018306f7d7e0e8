//! Addresses that are lent: which are free, and whose the others are.

use std::collections::{BTreeMap, BTreeSet};
use std::net::Ipv4Addr;
use std::time::Duration;

use packet::wire::MacAddr;

use crate::Subnet;

/// Addresses of the largest pool.
pub const ADDRESSES_MAX: u32 = 1 << 16;

/// Who has an address, and until when.
#[derive(Debug, Clone, Copy)]
struct Holding {
    ip: Ipv4Addr,
    until: Duration,
    /// More than an offer.
    lent: bool,
}

/// The addresses of a server. Every one is free, held by a client, or left alone for a while.
#[derive(Debug)]
pub struct Pool {
    free: BTreeSet<Ipv4Addr>,
    clients: BTreeMap<MacAddr, Holding>,
    owners: BTreeMap<Ipv4Addr, MacAddr>,
    declined: BTreeMap<Ipv4Addr, Duration>,
    /// What a client had, to have it again.
    remembered: BTreeMap<MacAddr, Ipv4Addr>,
}

impl Pool {
    /// `count` addresses of a subnet from its `first` host on, but for the server's own. `None` where they do not fit, or are more
    /// than [`ADDRESSES_MAX`].
    #[must_use]
    pub fn new(subnet: Subnet, first: u32, count: u32, own: Ipv4Addr) -> Option<Self> {
        let fits = first >= 1 && count >= 1 && count <= subnet.hosts().checked_sub(first - 1)?;
        if !fits {
            return None;
        }
        let host = |n| Ipv4Addr::from_bits(subnet.network().to_bits() + n);
        let free =
            (first..).take(count.min(ADDRESSES_MAX) as usize).map(host).filter(|ip| *ip != own).collect();
        Some(Self {
            free,
            clients: BTreeMap::new(),
            owners: BTreeMap::new(),
            declined: BTreeMap::new(),
            remembered: BTreeMap::new(),
        })
    }

    /// The address a client holds, lent or offered.
    #[must_use]
    pub fn address_of(&self, client: MacAddr, now: Duration) -> Option<Ipv4Addr> {
        self.clients.get(&client).filter(|holding| holding.until > now).map(|holding| holding.ip)
    }

    /// The client an address is lent to.
    #[must_use]
    pub fn client_of(&self, ip: Ipv4Addr, now: Duration) -> Option<MacAddr> {
        let client = *self.owners.get(&ip)?;
        self.clients.get(&client).filter(|holding| holding.lent && holding.until > now).map(|_| client)
    }

    /// Addresses that are lent, and to whom.
    pub fn lent(&self, now: Duration) -> impl Iterator<Item = (Ipv4Addr, MacAddr)> {
        let lent = self.clients.iter().filter(move |(_, holding)| holding.lent && holding.until > now);
        lent.map(|(client, holding)| (holding.ip, *client))
    }

    /// Reserves an address for a client: the one it has, the one it had, the one it wants, the lowest. `None` with none left.
    pub fn offer(
        &mut self,
        client: MacAddr,
        wanted: Option<Ipv4Addr>,
        now: Duration,
        time: Duration,
    ) -> Option<Ipv4Addr> {
        self.expire(now);
        if let Some(holding) = self.clients.get_mut(&client) {
            holding.until = holding.until.max(now + time);
            return Some(holding.ip);
        }
        let remembered = self.remembered.get(&client).copied();
        let ip = [remembered, wanted].into_iter().flatten().find(|ip| self.free.contains(ip));
        let ip = ip.or_else(|| self.free.first().copied())?;
        self.hold(client, ip, now + time);
        Some(ip)
    }

    /// Reserves that address for a client that has none. `false` where it is not free.
    pub fn take(&mut self, client: MacAddr, ip: Ipv4Addr, now: Duration) -> bool {
        self.expire(now);
        let free = self.free.contains(&ip) && !self.clients.contains_key(&client);
        if free {
            self.hold(client, ip, now + Duration::from_secs(1));
        }
        free
    }

    fn hold(&mut self, client: MacAddr, ip: Ipv4Addr, until: Duration) {
        self.free.remove(&ip);
        self.owners.insert(ip, client);
        self.clients.insert(client, Holding { ip, until, lent: false });
    }

    /// Lends a client the address it holds.
    pub fn lease(&mut self, client: MacAddr, until: Duration) {
        if let Some(holding) = self.clients.get_mut(&client) {
            (holding.until, holding.lent) = (until, true);
            if self.remembered.len() < ADDRESSES_MAX as usize {
                self.remembered.insert(client, holding.ip);
            }
        }
    }

    /// Takes an offer back.
    pub fn withdraw(&mut self, client: MacAddr) {
        if self.clients.get(&client).is_some_and(|holding| !holding.lent) {
            self.free_of(client);
        }
    }

    /// Takes back what a client gives back. `false` where it is not its own.
    pub fn release(&mut self, client: MacAddr, ip: Ipv4Addr) -> bool {
        let own = self.clients.get(&client).is_some_and(|holding| holding.ip == ip);
        if own {
            self.free_of(client);
        }
        own
    }

    /// Leaves an address alone that its client has found in use. `false` where it is not its own.
    pub fn decline(&mut self, client: MacAddr, ip: Ipv4Addr, until: Duration) -> bool {
        let own = self.release(client, ip);
        if own {
            self.remembered.remove(&client);
            self.free.remove(&ip);
            self.declined.insert(ip, until);
        }
        own
    }

    fn free_of(&mut self, client: MacAddr) -> Option<Holding> {
        let holding = self.clients.remove(&client)?;
        self.owners.remove(&holding.ip);
        self.free.insert(holding.ip);
        Some(holding)
    }

    /// Takes back what time is over; gives the addresses that were lent.
    pub fn expire(&mut self, now: Duration) -> Vec<Ipv4Addr> {
        let over = |until: &Duration| *until <= now;
        let freed: Vec<Ipv4Addr> =
            self.declined.extract_if(.., |_, until| over(until)).map(|(ip, _)| ip).collect();
        self.free.extend(freed);
        let clients: Vec<MacAddr> = self
            .clients
            .iter()
            .filter(|(_, holding)| over(&holding.until))
            .map(|(client, _)| *client)
            .collect();
        let mut lent: Vec<Ipv4Addr> = clients
            .into_iter()
            .filter_map(|client| self.free_of(client))
            .filter(|holding| holding.lent)
            .map(|holding| holding.ip)
            .collect();
        lent.sort_unstable();
        lent
    }

    /// Addresses that are free.
    #[must_use]
    pub fn free(&self) -> usize {
        self.free.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const OWN: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 6);
    const fn mac(n: u8) -> MacAddr {
        MacAddr([2, 0, 0, 0, 0, n])
    }
    const fn ip(n: u8) -> Ipv4Addr {
        Ipv4Addr::new(10, 0, 0, n)
    }
    const fn at(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    fn pool() -> Pool {
        Pool::new("10.0.0.0/29".parse().unwrap(), 1, 6, OWN).unwrap()
    }

    #[test]
    fn a_pool_lies_within_its_subnet() {
        let subnet = "10.0.0.0/29".parse().unwrap();
        assert!(Pool::new(subnet, 1, 7, OWN).is_none());
        assert!(Pool::new(subnet, 0, 1, OWN).is_none());
        assert!(Pool::new(subnet, 9, 1, OWN).is_none());
        assert_eq!(Pool::new(subnet, 1, 6, OWN).unwrap().free(), 5, "the server's own is not lent");
    }

    #[test]
    fn a_client_gets_what_it_had_then_what_it_wants_then_the_lowest() {
        let mut pool = pool();
        assert_eq!(pool.offer(mac(1), Some(ip(4)), at(0), at(60)), Some(ip(4)));
        pool.lease(mac(1), at(100));
        assert_eq!(pool.offer(mac(2), Some(ip(4)), at(0), at(60)), Some(ip(1)), "it is another's");
        assert_eq!(pool.expire(at(101)), [ip(4)], "an offer that was not taken is no lease");
        assert_eq!(pool.offer(mac(1), Some(ip(5)), at(102), at(60)), Some(ip(4)), "what it had");
    }

    #[test]
    fn an_offer_ends_and_a_full_pool_says_so() {
        let mut pool = pool();
        for n in 1..=5 {
            assert_eq!(pool.offer(mac(n), None, at(0), at(60)), Some(ip(n)));
        }
        assert_eq!(pool.offer(mac(9), None, at(59), at(60)), None);
        assert_eq!(pool.offer(mac(9), None, at(60), at(60)), Some(ip(1)));
        assert_eq!(pool.free(), 4);
    }

    #[test]
    fn what_was_declined_is_left_alone_for_a_while() {
        let mut pool = pool();
        pool.offer(mac(1), None, at(0), at(60));
        assert!(!pool.decline(mac(2), ip(1), at(10)), "not its own");
        assert!(pool.decline(mac(1), ip(1), at(10)));
        assert_eq!(pool.offer(mac(1), Some(ip(1)), at(1), at(60)), Some(ip(2)));
        assert_eq!(pool.offer(mac(2), Some(ip(1)), at(11), at(60)), Some(ip(1)));
    }

    #[test]
    fn nobody_gives_back_what_is_anothers() {
        let mut pool = pool();
        pool.offer(mac(1), None, at(0), at(60));
        pool.lease(mac(1), at(100));
        assert!(!pool.release(mac(2), ip(1)));
        assert_eq!(pool.client_of(ip(1), at(1)), Some(mac(1)));
        assert!(pool.release(mac(1), ip(1)));
        assert_eq!((pool.client_of(ip(1), at(1)), pool.free()), (None, 5));
    }
}
