//! Hardware addresses of hosts and routers next to a router, found by ARP, and packets that wait for them.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use std::time::Duration;

use packet::wire::MacAddr;

use super::prefix::Prefix;
use crate::PacketIn;

/// Addresses known at one time; no more are learned.
pub const NEIGHBOURS_MAX: usize = 1 << 14;
/// Addresses that packets wait for; the oldest makes way.
pub const ASKED_MAX: usize = 256;
/// Packets that wait for one address.
pub const KEPT_MAX: usize = 5;
/// Who has not said anything for so long is asked whether he is still there.
const REFRESH: Duration = Duration::from_secs(60);
/// How long an answer is waited for.
const AGAIN: Duration = Duration::from_secs(1);
/// How often one is asked.
const TRIES: u32 = 3;

/// Who is next to a router.
#[derive(Debug, Default)]
pub(crate) struct Neighbours {
    known: BTreeMap<Ipv4Addr, Known>,
    asked: BTreeMap<Ipv4Addr, Asked>,
}

#[derive(Debug)]
struct Known {
    mac: MacAddr,
    /// When he is asked next, unless he says something.
    ask: Duration,
    tries: u32,
}

#[derive(Debug)]
struct Asked {
    since: Duration,
    again: Duration,
    tries: u32,
    packets: Vec<PacketIn>,
}

/// What is to be done as time passes.
#[derive(Debug, Default)]
pub(crate) struct Due {
    /// These addresses are asked for.
    pub(crate) questions: Vec<Ipv4Addr>,
    /// These were known, and do not answer any more.
    pub(crate) silent: Vec<Ipv4Addr>,
    /// These packets are dropped.
    pub(crate) dropped: Vec<PacketIn>,
}

impl Neighbours {
    pub(crate) fn get(&self, ip: Ipv4Addr) -> Option<MacAddr> {
        self.known.get(&ip).map(|known| known.mac)
    }

    /// The addresses known of a network.
    pub(crate) fn within(&self, network: Prefix) -> Vec<Ipv4Addr> {
        self.known.range(network.network()..=network.last()).map(|(ip, _)| *ip).collect()
    }

    /// A packet waits for an address.
    pub(crate) fn ask(&mut self, now: Duration, ip: Ipv4Addr, packet: &PacketIn) -> Due {
        let mut due = Due::default();
        if let Some(asked) = self.asked.get_mut(&ip) {
            if asked.packets.len() < KEPT_MAX {
                asked.packets.push(packet.clone());
            } else {
                due.dropped.push(packet.clone());
            }
            return due;
        }
        if self.asked.len() >= ASKED_MAX {
            let oldest = self.asked.iter().min_by_key(|(_, asked)| asked.since).map(|(ip, _)| *ip);
            due.dropped =
                oldest.and_then(|ip| self.asked.remove(&ip)).map(|asked| asked.packets).unwrap_or_default();
        }
        let packets = vec![packet.clone()];
        self.asked.insert(ip, Asked { since: now, again: now + AGAIN, tries: 1, packets });
        due.questions.push(ip);
        due
    }

    /// An address says whose it is. Those that neither were asked for nor speak to the router (`to_us`) are not learned. Tells
    /// what waited for it, where this is news.
    pub(crate) fn hear(
        &mut self,
        now: Duration,
        ip: Ipv4Addr,
        mac: MacAddr,
        to_us: bool,
    ) -> Option<Vec<PacketIn>> {
        if !mac.is_unicast() {
            return None;
        }
        let known = self.known.get(&ip).map(|known| known.mac);
        let asked = self.asked.contains_key(&ip);
        if known.is_none() && (!(asked || to_us) || self.known.len() >= NEIGHBOURS_MAX) {
            return None;
        }
        self.known.insert(ip, Known { mac, ask: now + REFRESH, tries: 0 });
        let packets = self.asked.remove(&ip).map(|asked| asked.packets);
        (known != Some(mac) || asked).then(|| packets.unwrap_or_default())
    }

    /// Asks those again that have not answered, and gives up in the end.
    pub(crate) fn tick(&mut self, now: Duration) -> Due {
        let mut due = Due::default();
        self.known.retain(|ip, known| {
            if known.ask > now {
                return true;
            }
            if known.tries >= TRIES {
                due.silent.push(*ip);
                return false;
            }
            (known.tries, known.ask) = (known.tries + 1, now + AGAIN);
            due.questions.push(*ip);
            true
        });
        self.asked.retain(|ip, asked| {
            if asked.again > now {
                return true;
            }
            if asked.tries >= TRIES {
                due.dropped.append(&mut asked.packets);
                return false;
            }
            (asked.tries, asked.again) = (asked.tries + 1, now + AGAIN);
            due.questions.push(*ip);
            true
        });
        due
    }

    /// A network is not there any more.
    pub(crate) fn forget(&mut self, network: Prefix) -> Due {
        let mut due = Due { silent: self.within(network), ..Due::default() };
        self.known.retain(|ip, _| !network.contains(*ip));
        for (_, asked) in self.asked.extract_if(.., |ip, _| network.contains(*ip)) {
            due.dropped.extend(asked.packets);
        }
        due
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);
    const MAC: MacAddr = MacAddr([2, 0, 0, 0, 0, 9]);

    fn ip(n: u8) -> Ipv4Addr {
        Ipv4Addr::new(10, 0, 0, n)
    }

    #[test]
    fn packets_wait_for_an_answer() {
        let (mut neighbours, packet) = (Neighbours::default(), PacketIn::default());
        assert_eq!(neighbours.ask(SECOND, ip(9), &packet).questions, [ip(9)]);
        for n in 1..10 {
            let due = neighbours.ask(SECOND, ip(9), &packet);
            assert_eq!((due.questions.len(), due.dropped.len()), (0, usize::from(n >= KEPT_MAX)));
        }
        assert!(neighbours.hear(SECOND, ip(8), MAC, false).is_none(), "nobody has asked for that one");
        assert_eq!(neighbours.hear(SECOND, ip(9), MAC, false).unwrap().len(), KEPT_MAX);
        assert!(neighbours.hear(SECOND, ip(9), MAC, false).is_none(), "no news");
        assert_eq!(neighbours.hear(SECOND, ip(9), MacAddr([4; 6]), false).unwrap().len(), 0);
    }

    #[test]
    fn who_does_not_answer_is_given_up() {
        let mut neighbours = Neighbours::default();
        neighbours.ask(Duration::ZERO, ip(9), &PacketIn::default());
        let due: Vec<Due> = (1..=3).map(|n| neighbours.tick(n * SECOND)).collect();
        assert_eq!(due.iter().map(|due| due.questions.len()).collect::<Vec<_>>(), [1, 1, 0]);
        assert_eq!(due[2].dropped.len(), 1);
        neighbours.hear(Duration::ZERO, ip(8), MAC, true);
        assert!(neighbours.tick(59 * SECOND).questions.is_empty());
        let due: Vec<Due> = (60..=63).map(|n| neighbours.tick(n * SECOND)).collect();
        assert_eq!(due.iter().map(|due| due.questions.len()).collect::<Vec<_>>(), [1, 1, 1, 0]);
        assert_eq!((due[3].silent.as_slice(), neighbours.get(ip(8))), (&[ip(8)][..], None));
    }

    #[test]
    fn there_is_room_for_so_many() {
        let (mut neighbours, packet) = (Neighbours::default(), PacketIn::default());
        let many = |n: usize| Ipv4Addr::from_bits(0x0a00_0000 + n as u32);
        let dropped: usize = (0..ASKED_MAX + 7)
            .map(|n| neighbours.ask(n as u32 * SECOND, many(n), &packet).dropped.len())
            .sum();
        assert_eq!((dropped, neighbours.asked.len()), (7, ASKED_MAX));
        (0..NEIGHBOURS_MAX + 7).for_each(|n| drop(neighbours.hear(SECOND, many(n), MAC, true)));
        assert_eq!(neighbours.known.len(), NEIGHBOURS_MAX);
        let due = neighbours.forget("10.0.0.0/8".parse().unwrap());
        assert_eq!((due.silent.len(), neighbours.known.len()), (NEIGHBOURS_MAX, 0));
    }
}
