//! How matches relate, on random ones of few values, so that they often do. The seed of a failure is in its message.

use openflow::Version;
use openflow::field::Field;
use openflow::matching::{self, Match};
use openflow::oxm::Oxm;
use packet::fuzzing::bounded::{Random, seed};

/// Pairs tried.
const PAIRS: u64 = 20_000;

/// Fields whose bits differ, with values that they share.
const FIELDS: [(Field, &[u128]); 9] = [
    (Field::InPort, &[1, 2]),
    (Field::EthDst, &[0x0200_0000_0001, 0x0100_0000_0000]),
    (Field::VlanVid, &[0, 0x1005, 0x1006]),
    (Field::VlanPcp, &[0, 3]),
    (Field::EthType, &[0x0800]),
    (Field::IpDscp, &[0, 10]),
    (Field::IpProto, &[6, 17]),
    (Field::Ipv4Dst, &[0x0a00_0001, 0x0a00_0002, 0x0b00_0001]),
    (Field::TcpDst, &[80, 443]),
];

/// A match that can be, of some of the fields; with `all` of every one that can be, exactly: what a packet is.
fn random(random: &mut Random, all: bool) -> Match {
    let mut fields: Vec<Oxm> = Vec::new();
    for (field, values) in FIELDS {
        if !all && random.one_in(2) {
            continue;
        }
        let value = random.one_of(values);
        let mask = match field {
            _ if all || random.one_in(2) => None,
            Field::EthDst => Some(0x0100_0000_0000),
            Field::VlanVid => Some(0x1000),
            Field::Ipv4Dst => Some(0xffff_ffff << random.below(32) & 0xffff_ffff),
            Field::TcpDst => Some(0xfff0),
            _ => None,
        };
        let oxm = mask.map_or(Oxm::exact(field, value), |mask| Oxm::masked(field, value, mask));
        let mut more = fields.clone();
        more.push(oxm);
        if matching::check(&Match::Fields(more.clone())).is_ok() {
            fields = more;
        }
    }
    Match::Fields(fields)
}

/// The same match in one of its forms.
fn formed(of: &Match, random: &mut Random) -> Match {
    match random.below(3) {
        0 => of.for_version(Version::V10),
        1 => of.normalise(),
        _ => of.clone(),
    }
}

#[test]
fn covering_overlapping_and_matching_agree() {
    let seed = seed(None);
    let mut found = [0_u32; 4];
    for pair in 0..PAIRS {
        let mut source = Random(seed ^ pair);
        let (one, two, packet) =
            (random(&mut source, false), random(&mut source, false), random(&mut source, true));
        let context = format!("WEFT_FUZZ_SEED={seed} pair {pair}: {one:?} {two:?} {packet:?}");
        for matching in [&one, &two, &packet] {
            assert_eq!(matching::check(matching), Ok(()), "{context}");
            assert!(matching.is_same(&formed(matching, &mut source)), "{context}");
        }
        let (first, second) = (formed(&one, &mut source), formed(&two, &mut source));
        let (covers, overlaps) = (first.covers(&second), first.overlaps(&second));
        assert_eq!((covers, overlaps), (one.covers(&two), one.overlaps(&two)), "{context}");
        assert_eq!(overlaps, second.overlaps(&first), "{context}");
        let (in_one, in_two) = (first.covers(&packet), second.covers(&packet));
        // A packet of the covered match is one of the covering match; of two matches' packets there is one in both.
        assert!(!(covers && in_two) || in_one, "{context}");
        assert!(!(in_one && in_two) || overlaps, "{context}");
        assert!(!covers || overlaps, "{context}");
        assert_eq!(covers && second.covers(&first), first.is_same(&second), "{context}");
        // What lies in both is covered by both.
        for (count, true_now) in
            found.iter_mut().zip([covers, overlaps, in_one && in_two, first.is_same(&second)])
        {
            *count += u32::from(true_now);
        }
    }
    assert!(found.iter().all(|count| *count > 10), "too few of some relation: {found:?}");
}

#[test]
fn builders_add_what_a_field_needs() {
    for (matching, fields) in [
        (Match::new().tcp_dst(80), vec![Field::EthType, Field::IpProto, Field::TcpDst]),
        (Match::new().eth_type(0x86dd).tcp_dst(80), vec![Field::EthType, Field::IpProto, Field::TcpDst]),
        (Match::new().arp_op(1), vec![Field::EthType, Field::ArpOp]),
        (Match::new().vlan_pcp(3), vec![Field::VlanVid, Field::VlanPcp]),
        (Match::new().mpls_label(3), vec![Field::EthType, Field::MplsLabel]),
        (
            Match::new().with(Oxm::exact(Field::NdSll, 1)),
            vec![Field::EthType, Field::IpProto, Field::Icmpv6Type, Field::NdSll],
        ),
        (
            Match::new().in_port(openflow::port::PortNo(1)).in_port(openflow::port::PortNo(2)),
            vec![Field::InPort],
        ),
    ] {
        let have: Vec<_> = matching.fields().iter().filter_map(Oxm::field).collect();
        assert_eq!(have, fields, "{matching:?}");
    }
    // What contradicts itself can be made, and is refused.
    let both = matching::check(&Match::new().udp_dst(53).tcp_dst(80));
    assert_eq!(both, Err(openflow::error::BadMatch::BadPrereq.into()));
    // IPv6 stays where it was said.
    assert_eq!(Match::new().eth_type(0x86dd).tcp_dst(80).exact(Field::EthType), Some(0x86dd));
    assert_eq!(Match::new().tcp_dst(80).exact(Field::EthType), Some(0x0800));
}
