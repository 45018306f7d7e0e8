//! Who may talk to whom, and what a sender learns when it may not.

mod fabric_kit;

use fabric_kit::*;
use packet::PortId;
use packet::wire::{IpProtocol, MacAddr, tcp};
use softnic::fabric::program::{Denied, Program, Protocol, Rule, Selector};
use softnic::fabric::report::DropReason;

const BOTH: [bool; 2] = [false, true];

#[test]
fn a_link_opens_one_way_and_answers_pass() {
    for v6 in BOTH {
        let mut net = Net::new(&program());
        let way = Way::new(WEB, DB, (40_000, 5432), v6);
        let syn = net.send(WEB, &way.tcp(SYN, b"")).expect("allowed");
        assert_eq!(syn.port, DB);
        assert_eq!(syn.frame[..6], mac(DB).0);
        assert_checksum(&syn);
        let answer = net.send(DB, &way.back().tcp(SYN_ACK, b"")).expect("an answer passes");
        assert_eq!(answer.port, WEB);
        assert_checksum(&answer);
        assert!(net.send(WEB, &way.tcp(ACK, b"select 1")).is_some());

        let back = Way::new(DB, WEB, (40_000, 5432), v6);
        let refused = net.send(DB, &back.tcp(SYN, b"")).expect("refused, with a message");
        assert_eq!((refused.port, icmp_kind(&refused.frame)), (DB, prohibited(v6)));
        assert_checksum(&refused);
        let other_port = Way::new(WEB, DB, (40_000, 5433), v6);
        assert_eq!(icmp_kind(&net.send(WEB, &other_port.tcp(SYN, b"")).unwrap().frame), prohibited(v6));
        assert_eq!(icmp_kind(&net.send(WEB, &way.udp(b"")).unwrap().frame), prohibited(v6));
        assert_eq!(net.dropped(DropReason::NotAllowed), 3);
    }
}

#[test]
fn the_time_to_live_goes_down_by_one_and_out_at_one() {
    for v6 in BOTH {
        let mut net = Net::new(&program());
        let mut syn = Way::new(WEB, DB, (40_000, 5432), v6).tcp(SYN, b"");
        let ttl = if v6 { 21 } else { 22 };
        assert_eq!(net.send(WEB, &syn).unwrap().frame[ttl], 63);
        syn[ttl] = 1;
        if !v6 {
            packet::wire::ipv4::View::new_unchecked(&mut syn[14..]).fill_checksum();
        }
        let exceeded = net.send(WEB, &syn).unwrap();
        assert_eq!(icmp_kind(&exceeded.frame), if v6 { (3, 0) } else { (11, 0) });
        assert_checksum(&exceeded);
        assert_eq!(net.dropped(DropReason::TtlExpired), 1);
    }
}

#[test]
fn a_refusal_quotes_the_packet_as_it_was_sent() {
    for v6 in BOTH {
        let mut net = Net::new(&program());
        let syn = Way::new(LONER, DB, (1, 2), v6).tcp(SYN, b"");
        let refused = net.send(LONER, &syn).unwrap();
        let (l4, _) = transport(&refused.frame);
        assert_eq!(refused.frame[l4 + 8..], syn[14..]);
        assert_eq!(addresses(&refused.frame), (ip(GATEWAY, v6), ip(LONER, v6)));
        let long = net.send(LONER, &Way::new(LONER, DB, (1, 2), v6).udp(&[7; 1400])).unwrap();
        assert_eq!(long.frame.len() - 14, if v6 { 1280 } else { 576 });
        assert_checksum(&long);
    }
}

#[test]
fn dropping_networks_say_nothing() {
    let mut net = Net::new(&softnic::fabric::Program { denied: Denied::Drop, ..program() });
    for v6 in BOTH {
        assert!(net.send(LONER, &Way::new(LONER, DB, (1, 2), v6).tcp(SYN, b"")).is_none());
        assert!(net.send(LONER, &Way::new(LONER, NOBODY, (1, 2), v6).udp(b"x")).is_none());
        assert!(net.send(LONER, &Way::new(LONER, DB, (1, 2), v6).tcp(ACK, b"")).is_none());
    }
    assert_eq!(net.dropped(DropReason::NotAllowed), 2);
    assert_eq!(net.dropped(DropReason::UnknownDestination), 2);
    assert_eq!(net.dropped(DropReason::OutOfState), 2);
    let pairs = net.fabric.counters().denied;
    // One row for both families.
    assert!(pairs.iter().any(|pair| pair.source == "loner" && pair.destination == "db" && pair.packets == 2));
}

#[test]
fn refusals_have_a_limit_per_sender() {
    let mut net = Net::new(&program());
    let sent = |net: &mut Net, from| {
        let syn = Way::new(from, DB, (1, 2), false).tcp(SYN, b"");
        (0..1000).filter(|_| net.send(from, &syn).is_some()).count()
    };
    assert_eq!(sent(&mut net, LONER), 200);
    assert_eq!(sent(&mut net, CLIENT), 200, "one sender's flood is not another's silence");
    net.now += SECOND / 2;
    assert_eq!(sent(&mut net, LONER), 100);
    net.now += 100 * SECOND;
    assert_eq!(sent(&mut net, LONER), 200);
    let counters = net.fabric.counters();
    assert_eq!((counters.answers.icmp_errors, counters.answers.icmp_suppressed), (700, 3300));
    assert_eq!(net.dropped(DropReason::NotAllowed), 4000);
}

#[test]
fn denied_pairs_are_bounded_per_source() {
    let mut net = Net::new(&program());
    for host in 0..1000u16 {
        let to = [10, 200, (host >> 8) as u8, host as u8].into();
        let l4 = [0, 9, 0, 9, 0, 8, 0, 0];
        net.send(LONER, &frame(LONER, ip(LONER, false), to, IpProtocol::UDP, &l4));
    }
    net.send(CLIENT, &Way::new(CLIENT, DB, (5, 6), false).udp(b""));
    let counters = net.fabric.counters();
    assert_eq!((counters.denied.len(), counters.denied_unlisted), (257, 744));
    let client = counters.denied.iter().find(|pair| pair.source == "client").unwrap();
    assert_eq!((client.destination.as_str(), client.port, client.protocol), ("db", 6, 17));
}

#[test]
fn spoofed_sources_go_nowhere() {
    for v6 in BOTH {
        let mut net = Net::new(&program());
        let good = Way::new(WEB, DB, (40_000, 5432), v6).tcp(SYN, b"");
        assert!(net.send(CLIENT, &good).is_none(), "another's addresses");
        let mut mine = good.clone();
        mine[6..12].copy_from_slice(&mac(CLIENT).0);
        assert!(net.send(CLIENT, &mine).is_none(), "another's IP address");
        let mut other = good.clone();
        other[6..12].copy_from_slice(&MacAddr([2, 9, 9, 9, 9, 9]).0);
        assert!(net.send(WEB, &other).is_none(), "a strange Ethernet address");
        let mut aside = good.clone();
        aside[..6].copy_from_slice(&mac(DB).0);
        assert!(net.send(WEB, &aside).is_none(), "past the gateway");
        assert!(net.send(99, &good).is_none(), "a port of nobody");
        assert_eq!(net.dropped(DropReason::SpoofedSource), 3);
        assert_eq!(net.dropped(DropReason::NotForGateway), 1);
        assert_eq!(net.dropped(DropReason::UnknownPort), 1);
        assert!(net.send(WEB, &good).is_some());
    }
}

#[test]
fn ping_passes_where_a_link_does_and_only_that_way() {
    for v6 in BOTH {
        let mut net = Net::new(&program());
        let way = Way::new(WEB, DB, (77, 0), v6);
        let request = net.send(WEB, &way.echo(false, b"data")).expect("a link allows ping");
        assert_eq!(request.port, DB);
        assert_checksum(&request);
        let reply = net.send(DB, &Way { ports: (77, 0), ..way.back() }.echo(true, b"data")).unwrap();
        assert_eq!(reply.port, WEB);
        let request = Way::new(DB, WEB, (77, 0), v6).echo(false, b"data");
        assert_eq!(icmp_kind(&net.send(DB, &request).unwrap().frame), prohibited(v6));
        assert!(net.send(DB, &Way::new(DB, WEB, (78, 0), v6).echo(true, b"")).is_none(), "nobody asked");
        assert_eq!(net.dropped(DropReason::Unrelated), 1);
    }
}

#[test]
fn unknown_tcp_is_reset_and_other_protocols_need_an_open_link() {
    for v6 in BOTH {
        let mut net = Net::new(&program());
        let stray = net.send(WEB, &Way::new(WEB, DB, (40_000, 5432), v6).tcp(ACK, b"late")).unwrap();
        assert_eq!((stray.port, tcp_flags(&stray.frame)), (WEB, RST));
        assert_checksum(&stray);
        let (l4, _) = transport(&stray.frame);
        let view = tcp::View::new_checked(&stray.frame[l4..]).unwrap();
        assert_eq!((view.sequence(), view.source_port()), (2000, 5432));
        assert!(
            net.send(WEB, &Way::new(WEB, DB, (1, 5432), v6).tcp(RST, b"")).is_none(),
            "no reset of a reset"
        );

        let sctp = |from, to| frame(from, ip(from, v6), ip(to, v6), IpProtocol::SCTP, &[0; 12]);
        assert_eq!(net.send(CLIENT, &sctp(CLIENT, WEB)).unwrap().port, WEB);
        assert_eq!(net.send(WEB, &sctp(WEB, CLIENT)).unwrap().port, CLIENT, "the answer");
        assert_eq!(icmp_kind(&net.send(WEB, &sctp(WEB, DB)).unwrap().frame), prohibited(v6));
    }
}

#[test]
fn a_link_that_is_down_is_said_to_be() {
    for v6 in BOTH {
        let mut net = Net::new(&program());
        net.fabric.set_link(PortId(DB), false);
        let syn = Way::new(WEB, DB, (40_000, 5432), v6).tcp(SYN, b"");
        let answer = net.send(WEB, &syn).unwrap();
        assert_eq!(icmp_kind(&answer.frame), if v6 { (1, 3) } else { (3, 1) });
        assert_eq!(
            net.fabric.explain("web", "db", Protocol::Tcp, 5432).unwrap().reason,
            Some(DropReason::PortDown)
        );
        net.fabric.set_link(PortId(DB), true);
        assert_eq!(net.send(WEB, &syn).unwrap().port, DB);
    }
}

#[test]
fn packets_above_the_mtu_are_too_big() {
    for v6 in BOTH {
        let mut net = Net::new(&program());
        let answer = net.send(CLIENT, &Way::new(CLIENT, WEB, (1, 2), v6).udp(&[0; 1500])).unwrap();
        assert_eq!((answer.port, icmp_kind(&answer.frame)), (CLIENT, if v6 { (2, 0) } else { (3, 4) }));
        let (l4, _) = transport(&answer.frame);
        assert_eq!(answer.frame[l4 + 6..l4 + 8], 1500u16.to_be_bytes());
    }
}

#[test]
fn explanations_agree_with_packets() {
    let mut net = Net::new(&program());
    let way = Way::new(WEB, DB, (40_000, 5432), false);
    net.send(WEB, &way.tcp(SYN, b""));
    net.send(WEB, &Way::new(WEB, DB, (40_000, 1), true).tcp(SYN, b""));
    let allowed = net.fabric.explain("web", "db", Protocol::Tcp, 5432).unwrap();
    assert!(allowed.allowed);
    assert_eq!((allowed.rule, allowed.label.as_deref()), (Some(2), Some("shop.js:2:1")));
    let counter = allowed.counter.as_ref().unwrap();
    assert_eq!((counter.flows, counter.packets, counter.bytes), (1, 1, 54));
    assert_eq!(
        allowed.to_string(),
        "allowed: web -> db:5432/tcp by shop.js:2:1 (link web -> db; 1 connection, 1 packet, 54 B)"
    );
    let denied = net.fabric.explain("web", "db", Protocol::Tcp, 1).unwrap();
    assert_eq!((denied.reason, denied.denied_packets), (Some(DropReason::NotAllowed), 1));
    assert_eq!(denied.to_string(), "denied: web -> db:1/tcp is refused: no link allows it (1 packet so far)");
    let tier = net.fabric.explain("client", "10.181.1.1", Protocol::Tcp, 80).unwrap();
    assert_eq!((tier.service.as_deref(), tier.members.len()), (Some("tier"), 3));
    let nowhere = net.fabric.explain("client", "10.9.9.9", Protocol::Tcp, 80).unwrap();
    assert_eq!(nowhere.reason, Some(DropReason::UnknownDestination));
    assert!(net.fabric.explain("client", "10.181.0.1", Protocol::Udp, 53).unwrap().allowed);
    assert!(net.fabric.explain("nobody", "db", Protocol::Tcp, 1).is_err());
    assert!(net.fabric.explain("web", "nobody", Protocol::Tcp, 1).is_err());
}

#[test]
fn a_service_that_connects_is_explained_by_the_member_that_may_least() {
    let mut wanted = program();
    let names: Vec<String> = REPLICAS.iter().map(|at| wanted.endpoints[*at as usize].name.clone()).collect();
    let explained = |wanted: &Program| {
        let answer = Net::new(wanted).fabric.explain("tier", "db", Protocol::Tcp, 5432).unwrap();
        (answer.source, answer.allowed)
    };
    assert_eq!(explained(&wanted), (names[0].clone(), false));
    wanted.rules.push(rule(90, &names[0], to("db"), Protocol::Tcp, 5432..=5432));
    assert_eq!(explained(&wanted), (names[1].clone(), false));
    let from = Selector::Service("tier".into());
    wanted.rules.push(Rule { from, ..rule(91, "client", to("db"), Protocol::Tcp, 5432..=5432) });
    assert_eq!(explained(&wanted), (names[0].clone(), true));
    let by_address = Net::new(&wanted).fabric.explain("10.181.0.3", "db", Protocol::Tcp, 5432).unwrap();
    assert_eq!((by_address.source.as_str(), by_address.allowed), ("web", true));
}
