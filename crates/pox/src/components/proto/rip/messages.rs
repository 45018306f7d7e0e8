//! What a router says: announcements with split horizon and poisoned reverse (RFC 2453, §3.4.3), and answers.

use std::net::Ipv4Addr;

use packet::wire::rip::{self, Command, ENTRIES_MAX, Entry};
use packet::wire::{ethernet, ipv4};

use super::prefix::{Interface, Prefix};
use super::routes::{INFINITY, Origin, Route, Routes};
use crate::compose::{self, Ends};

/// Which routes are announced.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Which {
    All,
    /// Those that are other than was last announced.
    Changed,
}

/// What is announced at an interface. What leaves by the same port is out of reach, as far as those behind it are concerned.
pub(crate) fn announcement(routes: &Routes, interfaces: &[Interface], at: usize, which: Which) -> Vec<Entry> {
    let port_of = |interface: usize| interfaces.get(interface).and_then(|interface| interface.port);
    let own = |route: &Route| route.origin == Origin::Attached && route.interface == at;
    let said = routes.iter().filter(|(_, route)| (which == Which::All || route.changed) && !own(route));
    said.map(|(prefix, route)| {
        let back = route.origin != Origin::Attached
            && port_of(route.interface).is_some_and(|port| port_of(at) == Some(port));
        entry(prefix, route, if back { INFINITY } else { route.metric })
    })
    .collect()
}

fn entry(prefix: Prefix, route: &Route, metric: u8) -> Entry {
    Entry {
        tag: route.tag,
        address: prefix.network(),
        prefix_len: prefix.len(),
        metric: metric.into(),
        ..Entry::DEFAULT
    }
}

/// What is answered to a request for certain networks: their metrics as they are (§3.9.1).
pub(crate) fn answer(routes: &Routes, asked: impl Iterator<Item = Entry>) -> Vec<Entry> {
    asked
        .map(|asked| {
            let known = routes.get(Prefix::of(asked.address, asked.prefix_len));
            let metric = known.map_or(INFINITY, |route| route.metric);
            Entry { metric: metric.into(), tag: known.map_or(asked.tag, |route| route.tag), ..asked }
        })
        .collect()
}

/// A request for all routes.
pub(crate) fn whole_table() -> Vec<u8> {
    payload(Command::REQUEST, &[Entry::WHOLE_TABLE])
}

/// Responses of these routes, as many as a message holds in each.
pub(crate) fn responses(entries: &[Entry]) -> impl Iterator<Item = Vec<u8>> {
    entries.chunks(ENTRIES_MAX).map(|entries| payload(Command::RESPONSE, entries))
}

fn payload(command: Command, entries: &[Entry]) -> Vec<u8> {
    let repr = rip::Repr { command, entries: entries.len() };
    let mut bytes = vec![0; repr.buffer_len()];
    let mut view = rip::View::new_unchecked(&mut bytes[..]);
    repr.emit(&mut view);
    entries.iter().enumerate().for_each(|(place, entry)| view.set_entry(place, entry));
    bytes
}

/// A message's frame. None leaves the network it is sent on.
pub(crate) fn frame(ends: Ends, to_port: u16, payload: &[u8]) -> Vec<u8> {
    let mut frame = compose::udp(ends, (rip::PORT, to_port), payload);
    let mut header = ipv4::View::new_unchecked(&mut frame[ethernet::HEADER_LEN..]);
    header.set_ttl(1);
    header.fill_checksum();
    frame
}

/// Both ends of a message to all routers of a network.
pub(crate) fn to_routers(mac: packet::wire::MacAddr, ip: Ipv4Addr) -> Ends {
    let routers = packet::wire::MacAddr::multicast_v4(rip::ROUTERS);
    Ends { macs: (mac, routers), ips: (ip, rip::ROUTERS) }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::PortNo;
    use crate::components::proto::rip::routes::{Teller, Told};

    fn interfaces() -> Vec<Interface> {
        let at = |text: &str, port| Interface { port: Some(PortNo(port)), ..text.parse().unwrap() };
        vec![at("1=10.0.0.1/24", 1), at("2=10.0.1.1/24", 2), at("2=10.0.2.1/24", 2)]
    }

    fn routes() -> Routes {
        let mut routes = Routes::new(Duration::from_secs(180), Duration::from_secs(120));
        for (place, interface) in interfaces().iter().enumerate() {
            let next_hop = Ipv4Addr::UNSPECIFIED;
            let route = Route {
                metric: 1,
                tag: 0,
                interface: place,
                next_hop,
                origin: Origin::Attached,
                changed: true,
            };
            routes.attach(interface.network, route);
        }
        routes.announced();
        let teller = Teller { ip: [10, 0, 1, 9].into(), interface: 1 };
        let told = Told {
            prefix: "10.9.0.0/16".parse().unwrap(),
            tag: 5,
            next_hop: Ipv4Addr::UNSPECIFIED,
            metric: 3,
        };
        routes.hear(Duration::ZERO, teller, &told);
        routes
    }

    fn said(at: usize, which: Which) -> Vec<String> {
        let entries = announcement(&routes(), &interfaces(), at, which);
        entries.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn what_was_learned_at_a_port_is_poison_there() {
        assert_eq!(
            said(0, Which::All),
            ["10.0.1.0/24 metric 1", "10.0.2.0/24 metric 1", "10.9.0.0/16 metric 4"]
        );
        assert_eq!(
            said(1, Which::All),
            ["10.0.0.0/24 metric 1", "10.0.2.0/24 metric 1", "10.9.0.0/16 metric 16"]
        );
        assert_eq!(
            said(2, Which::All),
            ["10.0.0.0/24 metric 1", "10.0.1.0/24 metric 1", "10.9.0.0/16 metric 16"],
            "the same port"
        );
        assert_eq!(said(0, Which::Changed), ["10.9.0.0/16 metric 4"]);
    }

    #[test]
    fn certain_networks_are_answered_for_as_they_are() {
        let asked = |address: [u8; 4], prefix_len| Entry {
            address: address.into(),
            prefix_len,
            metric: 0,
            ..Entry::DEFAULT
        };
        let asked = [asked([10, 9, 0, 0], 16), asked([10, 8, 0, 0], 16)];
        let answers = answer(&routes(), asked.into_iter());
        assert_eq!((answers[0].metric, answers[0].tag, answers[1].metric), (4, 5, 16));
    }

    #[test]
    fn many_routes_are_many_messages() {
        let lengths: Vec<usize> = responses(&[Entry::DEFAULT; 60]).map(|bytes| bytes.len()).collect();
        assert_eq!(lengths, [504, 504, 204]);
        let frame = frame(to_routers(packet::wire::MacAddr([2; 6]), [10, 0, 0, 1].into()), 520, &[0; 4]);
        let header = ipv4::View::new_checked(&frame[14..]).unwrap();
        assert!(header.verify_checksum() && header.ttl() == 1);
    }
}
