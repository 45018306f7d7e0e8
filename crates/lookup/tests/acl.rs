//! The classifier beside its twin, which tries the rules one by one.

use std::net::{IpAddr, SocketAddr};

use lookup::acl::classbench::{self, Flavour, Version};
use lookup::acl::{
    Acl, AclError, BYTES_PER_RULE, Networks, Prefix, ProtocolMatch, RULES_MAX, Rule, from_classbench,
};
use packet::flow::FlowKey;
use packet::wire::IpProtocol;
use proptest::prelude::*;

fn build(rules: &[Rule]) -> Acl<usize> {
    Acl::build(rules.iter().cloned().enumerate().map(|(place, rule)| (rule, place))).unwrap()
}

/// Batches of uneven sizes, and single lookups, give what the twin gives; returns how many packets matched.
fn agrees(rules: &[Rule], acl: &Acl<usize>, packets: &[FlowKey]) -> usize {
    let expected: Vec<Option<u32>> = packets
        .iter()
        .map(|key| rules.iter().position(|rule| rule.matches(key)).map(|place| place as u32))
        .collect();
    let mut found = vec![Some(u32::MAX); packets.len()];
    let (mut at, mut size) = (0, 1);
    while at < packets.len() {
        let end = (at + size).min(packets.len());
        acl.lookup_batch(&packets[at..end], &mut found[at..end]);
        (at, size) = (end, size % 41 + 3);
    }
    for ((key, found), expected) in packets.iter().zip(&found).zip(&expected) {
        assert_eq!(found, expected, "{key}");
        assert_eq!(
            acl.lookup(key).map(|(place, &action)| (place, action)),
            expected.map(|place| (place as usize, place as usize))
        );
    }
    expected.iter().flatten().count()
}

fn on_ports(
    source_ports: std::ops::RangeInclusive<u16>,
    destination_ports: std::ops::RangeInclusive<u16>,
) -> Rule {
    Rule { source_ports, destination_ports, ..Rule::ANY }
}

fn v4(source: &str, destination: &str) -> Networks {
    let prefix = |text: &str| {
        let (address, length) = text.split_once('/').unwrap();
        Prefix::<std::net::Ipv4Addr>::new(address.parse().unwrap(), length.parse().unwrap()).unwrap()
    };
    Networks::V4 { source: prefix(source), destination: prefix(destination) }
}

fn v6(source: &str, destination: &str) -> Networks {
    let prefix = |text: &str| {
        let (address, length) = text.split_once('/').unwrap();
        Prefix::<std::net::Ipv6Addr>::new(address.parse().unwrap(), length.parse().unwrap()).unwrap()
    };
    Networks::V6 { source: prefix(source), destination: prefix(destination) }
}

fn key(protocol: u8, source: &str, destination: &str) -> FlowKey {
    FlowKey::new(IpProtocol(protocol), source.parse().unwrap(), destination.parse().unwrap()).unwrap()
}

#[test]
fn generated_rules_of_every_flavour_and_family() {
    for flavour in Flavour::ALL {
        for version in [Version::V4, Version::V6] {
            for (count, seed) in [(1, 1), (9, 2), (300, 3), (3000, 4)] {
                let rules = classbench::rules(flavour, version, count, seed);
                let acl = build(&rules);
                let matched = agrees(&rules, &acl, &classbench::trace(&rules, 3000, 0.1, seed));
                assert!(matched > 2000, "{flavour:?} {version:?} {count}: only {matched} matched");
            }
        }
    }
}

#[test]
fn both_families_in_one_list_and_in_one_batch() {
    let four = classbench::rules(Flavour::Fw, Version::V4, 500, 5);
    let six = classbench::rules(Flavour::Fw, Version::V6, 500, 6);
    let mut rules: Vec<Rule> = four.iter().zip(&six).flat_map(|(a, b)| [a.clone(), b.clone()]).collect();
    rules.insert(
        700,
        Rule { protocol: ProtocolMatch::exactly(IpProtocol::TCP), ..on_ports(0..=65535, 80..=80) },
    );
    let packets: Vec<FlowKey> = classbench::trace(&four, 3000, 0.1, 7)
        .into_iter()
        .zip(classbench::trace(&six, 3000, 0.1, 8))
        .flat_map(|(a, b)| [a, b, b, a, a])
        .collect();
    assert!(agrees(&rules, &build(&rules), &packets) > 10_000);
}

#[test]
fn no_rules_match_nothing() {
    let acl = build(&[]);
    assert!(acl.is_empty());
    assert_eq!(acl.lookup(&key(6, "1.2.3.4:5", "6.7.8.9:10")), None);
    assert_eq!(acl.lookup(&key(6, "[::1]:5", "[::2]:10")), None);
    assert_eq!(acl.shape().bytes, [0, 0]);
}

#[test]
fn first_match_wins_and_bounds_are_inside() {
    let rules = [
        Rule { networks: v4("10.0.0.0/8", "0.0.0.0/0"), ..on_ports(10..=20, 0..=65535) },
        Rule {
            networks: v4("10.0.0.0/8", "192.0.2.1/32"),
            protocol: ProtocolMatch::masked(0x06, 0x0f),
            ..Rule::ANY
        },
        Rule { networks: v6("2001:db8::/32", "::/0"), ..Rule::ANY },
        on_ports(65535..=65535, 0..=0),
    ];
    let acl = build(&rules);
    let place = |key: FlowKey| acl.lookup(&key).map(|(place, _)| place);
    assert_eq!(place(key(6, "10.0.0.0:10", "192.0.2.1:1")), Some(0));
    assert_eq!(place(key(6, "10.255.255.255:20", "192.0.2.1:1")), Some(0));
    assert_eq!(place(key(6, "10.0.0.0:9", "192.0.2.1:1")), Some(1));
    assert_eq!(place(key(0x16, "10.0.0.0:21", "192.0.2.1:1")), Some(1));
    assert_eq!(place(key(17, "10.0.0.0:21", "192.0.2.1:1")), None);
    assert_eq!(place(key(6, "11.0.0.0:10", "192.0.2.1:1")), None);
    assert_eq!(place(key(6, "[2001:db8:ffff::]:10", "[::1]:1")), Some(2));
    assert_eq!(place(key(6, "[2001:db9::]:10", "[::1]:1")), None);
    assert_eq!(place(key(6, "[2001:db9::]:65535", "[::1]:0")), Some(3));
    assert_eq!(place(key(1, "0.0.0.0:65535", "255.255.255.255:0")), Some(3));
}

/// Rule sets that no tree separates stay within the budget and the twin's answers.
#[test]
fn adversarial_rules_stay_within_the_budget() {
    const COUNT: u16 = 4000;
    let nested = |i: u16| on_ports(i..=65535 - i, 32768 - i..=32768 + i);
    let crossed = |i: u16| match i % 2 {
        0 => on_ports(i * 16..=i * 16 + 7, 0..=65535),
        _ => on_ports(0..=65535, i * 16..=i * 16 + 7),
    };
    let address = |i: u32| std::net::Ipv4Addr::from_bits(i.wrapping_mul(0x9e37_79b9)).to_string();
    // Half of the rules are hosts, which cut the addresses finely; the others are as wide as can be on both sides.
    let wide = |i: u16| match i % 2 {
        0 => Rule {
            networks: v4(&format!("{}/32", address(i.into())), &format!("{}/32", address(!u32::from(i)))),
            ..Rule::ANY
        },
        _ => Rule {
            networks: v4(
                &format!("{}/{}", address(i.into()), i % 7),
                &format!("{}/{}", address((i / 7).into()), i % 5),
            ),
            ..on_ports(i..=i + 100, i / 2..=i)
        },
    };
    let masks = |i: u16| Rule {
        protocol: ProtocolMatch::masked(i as u8, (i / 3) as u8),
        ..on_ports(0..=65535, i..=i + 9)
    };
    let same = |_| on_ports(5..=5, 6..=6);
    let everything = |_| Rule::ANY;
    let sets: [(&str, &dyn Fn(u16) -> Rule); 6] = [
        ("nested", &nested),
        ("crossed", &crossed),
        ("wide", &wide),
        ("masks", &masks),
        ("same", &same),
        ("everything", &everything),
    ];
    for (name, rule) in sets {
        let rules: Vec<Rule> = (0..COUNT).rev().map(rule).collect();
        let acl = build(&rules);
        let packets: Vec<FlowKey> = classbench::trace(&rules, 400, 0.0, 9)
            .into_iter()
            .chain([key(6, "1.1.1.1:5", "2.2.2.2:6"), key(6, "[::1]:32768", "[::1]:32768")])
            .collect();
        agrees(&rules, &acl, &packets);
        for bytes in acl.shape().bytes {
            let addresses = 2 * (1 << 18) + rules.len() * 2 * 2 * 3 * 1024; // roots, and cells below each bound
            let roots = rules.len() * 2 * 2 * 4 + 8;
            let trees = rules.len() * BYTES_PER_RULE + 1024;
            assert!(bytes <= addresses + roots + trees, "{name}: {bytes} bytes");
        }
    }
}

#[test]
fn what_cannot_be_built_is_refused() {
    #[expect(clippy::reversed_empty_ranges)]
    let empty = on_ports(0..=1, 9..=8);
    let error = Acl::build([(Rule::ANY, ()), (empty, ())]).err().unwrap();
    assert_eq!(error, AclError::EmptyRange { rule: 1, first: 9, last: 8 });
    assert_eq!(error.to_string(), "rule 1: the ports 9 : 8 are no range");
    let endless = std::iter::repeat((Rule::ANY, ()));
    assert_eq!(Acl::build(endless).err(), Some(AclError::TooManyRules));
}

/// The largest set there may be, with more classes than 16 bits count.
#[test]
fn the_limit_can_be_reached() {
    let hosts = (0..RULES_MAX as u32).map(|i| {
        let host = |bits: u32| Prefix::<std::net::Ipv4Addr>::new(bits.into(), 32).unwrap();
        let networks = Networks::V4 { source: host(i.wrapping_mul(0x9e37_79b1)), destination: host(i << 7) };
        (Rule { networks, ..Rule::ANY }, ())
    });
    let rules: Vec<(Rule, ())> = hosts.collect();
    let acl = Acl::build(rules.iter().cloned()).unwrap();
    let plain: Vec<Rule> = rules.into_iter().map(|(rule, ())| rule).collect();
    for (place, rule) in plain.iter().enumerate().step_by(1001) {
        let packet = classbench::trace(std::slice::from_ref(rule), 16, 0.0, 3);
        let inside = packet.iter().find(|key| rule.matches(key)).unwrap();
        assert_eq!(acl.lookup(inside).map(|(found, ())| found), Some(place));
    }
    assert_eq!(acl.lookup(&key(6, "0.0.0.1:1", "0.0.0.1:1")), None);
}

#[test]
fn text_and_rules_agree() {
    let rules = classbench::rules(Flavour::Acl, Version::V4, 1000, 11);
    let text: String = rules.iter().map(|rule| format!("{rule}\n")).collect();
    assert_eq!(from_classbench(&text), Ok(rules));
}

/// Few distinct values, so that rules meet each other and the packets.
fn networks() -> impl Strategy<Value = Networks> {
    let four = (0u32..8, 0u8..=32, 0u32..8, 0u8..=32).prop_map(|(s, sl, d, dl)| {
        let prefix = |bits: u32, length| {
            Prefix::<std::net::Ipv4Addr>::new((bits * 0x2000_0001).into(), length).unwrap()
        };
        Networks::V4 { source: prefix(s, sl), destination: prefix(d, dl) }
    });
    let six = (0u128..8, 0u8..=128, 0u128..8, 0u8..=128).prop_map(|(s, sl, d, dl)| {
        let prefix = |bits: u128, length| {
            Prefix::<std::net::Ipv6Addr>::new((bits << 125 | bits).into(), length).unwrap()
        };
        Networks::V6 { source: prefix(s, sl), destination: prefix(d, dl) }
    });
    prop_oneof![Just(Networks::Any), four, six]
}

prop_compose! {
    fn rule()(
        networks in networks(),
        ports in prop::array::uniform4(prop_oneof![0u16..6, 65530u16..=65535, Just(0), Just(65535)]),
        protocol in prop_oneof![
            Just(ProtocolMatch::ANY),
            (0u8..4).prop_map(|p| ProtocolMatch::exactly(IpProtocol(p))),
            (any::<u8>(), any::<u8>()).prop_map(|(value, mask)| ProtocolMatch::masked(value, mask)),
        ],
    ) -> Rule {
        let range = |a: u16, b: u16| a.min(b)..=a.max(b);
        Rule { networks, source_ports: range(ports[0], ports[1]), destination_ports: range(ports[2], ports[3]), protocol }
    }
}

prop_compose! {
    fn packet()(
        four in any::<bool>(),
        hosts in (0u8..8, 0u8..8),
        near in (-1i64..=1, -1i64..=1),
        ports in prop::array::uniform2(prop_oneof![0u16..7, 65529u16..=65535]),
        protocol in prop_oneof![0u8..4, any::<u8>()],
    ) -> FlowKey {
        let address = |host: u8, near: i64| -> IpAddr {
            if four {
                IpAddr::V4((u32::from(host) * 0x2000_0001).wrapping_add(near as u32).into())
            } else {
                let host = u128::from(host);
                IpAddr::V6((host << 125 | host).wrapping_add(i128::from(near) as u128).into())
            }
        };
        let source = SocketAddr::new(address(hosts.0, near.0), ports[0]);
        FlowKey::new(IpProtocol(protocol), source, SocketAddr::new(address(hosts.1, near.1), ports[1])).unwrap()
    }
}

proptest! {
    #[test]
    fn any_rules_and_packets(
        rules in prop::collection::vec(rule(), 0..60),
        packets in prop::collection::vec(packet(), 1..120),
    ) {
        agrees(&rules, &build(&rules), &packets);
    }
}
