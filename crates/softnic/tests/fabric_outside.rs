//! Connections to those who are not of this network: out through the edge, and nothing in but answers.

mod fabric_kit;

use std::net::IpAddr;

use fabric_kit::*;
use packet::wire::tcp::Flags;
use packet::wire::{IpProtocol, tcp, udp};
use softnic::fabric::Program;
use softnic::fabric::program::{Network, ProgramError, Protocol, Selector};
use softnic::fabric::report::DropReason;

const BOTH: [bool; 2] = [false, true];
const EDGE: u32 = 7;

/// The world: some address, and another.
fn world(v6: bool) -> (IpAddr, IpAddr) {
    match v6 {
        false => ([93, 184, 216, 34].into(), [8, 8, 8, 8].into()),
        true => ("2606:2800::1".parse().unwrap(), "2001:4860::8".parse().unwrap()),
    }
}

/// The usual network, of which web may reach the outside on TCP 443 and UDP 53.
fn with_outside() -> Program {
    let mut program = program();
    program.endpoints.push(softnic::fabric::program::Endpoint { edge: true, ..endpoint("edge", EDGE) });
    program.inside = vec![
        Network { address: [10, 181, 0, 0].into(), bits: 16 },
        Network { address: "fd57::".parse().unwrap(), bits: 16 },
    ];
    program.rules.push(rule(10, "web", Selector::Outside, Protocol::Tcp, 443..=443));
    program.rules.push(rule(11, "web", Selector::Outside, Protocol::Udp, 53..=53));
    program
}

fn tcp(from: u32, source: IpAddr, to: IpAddr, ports: (u16, u16), flags: Flags) -> Vec<u8> {
    let mut l4 = vec![0; 20];
    let mut view = tcp::View::new_unchecked(&mut l4[..]);
    view.set_source_port(ports.0);
    view.set_destination_port(ports.1);
    view.set_header_len_flags(20, flags);
    view.fill_checksum(source, to);
    frame(from, source, to, IpProtocol::TCP, &l4)
}

fn udp(from: u32, source: IpAddr, to: IpAddr, ports: (u16, u16), payload: &[u8]) -> Vec<u8> {
    let mut l4 = vec![0; 8];
    l4.extend_from_slice(payload);
    let mut view = udp::View::new_unchecked(&mut l4[..]);
    udp::Repr { source_port: ports.0, destination_port: ports.1, payload_len: payload.len() }.emit(&mut view);
    view.fill_checksum(source, to);
    frame(from, source, to, IpProtocol::UDP, &l4)
}

fn question(name: &str) -> Vec<u8> {
    let mut message = vec![0xab, 0xcd, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0];
    for label in name.split('.') {
        message.push(label.len() as u8);
        message.extend(label.bytes());
    }
    message.extend([0, 0, 1, 0, 1]);
    message
}

#[test]
fn the_listing_names_the_outside() {
    let policy = Net::new(&with_outside()).fabric.policy();
    let outside: Vec<_> =
        policy.openings.iter().filter(|open| open.to == Selector::Outside.to_string()).collect();
    assert_eq!(outside.iter().map(|open| (open.rule, open.min)).collect::<Vec<_>>(), [(10, 443), (11, 53)]);
}

#[test]
fn what_a_rule_lets_out_goes_to_the_edge_as_it_is_and_its_answers_come_back() {
    for v6 in BOTH {
        let mut net = Net::new(&with_outside());
        let (web, (there, _)) = (ip(WEB, v6), world(v6));
        let out = net.send(WEB, &tcp(WEB, web, there, (40_000, 443), SYN)).unwrap();
        assert_eq!((out.port, addresses(&out.frame)), (EDGE, (web, there)));
        assert_eq!(out.frame[..6], mac(EDGE).0);
        let back = net.send(EDGE, &tcp(EDGE, there, web, (443, 40_000), SYN_ACK)).unwrap();
        assert_eq!((back.port, addresses(&back.frame)), (WEB, (there, web)));
        assert_eq!(net.send(WEB, &tcp(WEB, web, there, (40_000, 443), ACK)).unwrap().port, EDGE);
        let rule = net.fabric.counters().rules.into_iter().find(|rule| rule.id == 10).unwrap();
        assert_eq!((rule.to.as_str(), rule.flows, rule.packets), ("public internet", 1, 3));
    }
}

#[test]
fn nothing_else_leaves_and_nothing_else_comes_in() {
    for v6 in BOTH {
        let mut net = Net::new(&with_outside());
        let (web, loner, (there, other)) = (ip(WEB, v6), ip(LONER, v6), world(v6));
        // Another port, another protocol, another container: refused, to the sender itself.
        for (from, source, frame) in [
            (WEB, web, tcp(WEB, web, there, (40_000, 80), SYN)),
            (WEB, web, udp(WEB, web, there, (40_000, 443), b"x")),
            (LONER, loner, tcp(LONER, loner, there, (40_000, 443), SYN)),
        ] {
            let refused = net.send(from, &frame).unwrap();
            assert_eq!((refused.port, addresses(&refused.frame).1), (from, source));
        }
        assert_eq!(net.dropped(DropReason::NotAllowed), 3);
        // Ping does not go outside, though a rule leads there.
        let ping = Way::new(WEB, NOBODY, (7, 7), v6).echo(false, b"x");
        let header = if v6 { 38..54 } else { 30..34 };
        let mut outside = ping.clone();
        match there {
            IpAddr::V4(v4) => outside[header].copy_from_slice(&v4.octets()),
            IpAddr::V6(v6) => outside[header].copy_from_slice(&v6.octets()),
        }
        if !v6 {
            outside[24..26].fill(0);
            let sum = packet::checksum::checksum(&outside[14..34]);
            outside[24..26].copy_from_slice(&sum.to_be_bytes());
        }
        assert_eq!(net.send(WEB, &outside).unwrap().port, WEB);
        assert_eq!(net.dropped(DropReason::OutsideProtocol), 1);
        // Whoever is outside opens nothing, whatever rules the edge has, and answers only those who asked.
        net.send(WEB, &tcp(WEB, web, there, (40_000, 443), SYN)).unwrap();
        for (source, ports) in [(other, (443, 40_000)), (there, (443, 40_001)), (there, (80, 40_000))] {
            let reset = net.send(EDGE, &tcp(EDGE, source, web, ports, SYN_ACK)).unwrap();
            assert_eq!((reset.port, addresses(&reset.frame)), (EDGE, (web, source)));
        }
        assert!(net.send(EDGE, &udp(EDGE, there, web, (9, 9), b"x")).is_none());
        // Nobody but the edge speaks for the outside, and the edge for nobody inside.
        assert!(net.send(LONER, &tcp(LONER, there, web, (443, 40_000), SYN_ACK)).is_none());
        assert!(net.send(EDGE, &tcp(EDGE, loner, web, (443, 40_000), SYN_ACK)).is_none());
        assert_eq!(net.dropped(DropReason::SpoofedSource), 2);
    }
}

#[test]
fn addresses_of_this_network_and_of_one_machine_are_never_outside() {
    let mut net = Net::new(&with_outside());
    let web = ip(WEB, false);
    for inside in [[10, 181, 9, 9], [127, 0, 0, 1], [169, 254, 169, 254], [0, 0, 0, 1], [240, 0, 0, 1]] {
        let refused = net.send(WEB, &tcp(WEB, web, inside.into(), (40_000, 443), SYN)).unwrap();
        assert_eq!(refused.port, WEB, "{inside:?}");
    }
    let web = ip(WEB, true);
    for inside in ["fd57:9::9", "::1", "::7f00:1"] {
        let refused = net.send(WEB, &tcp(WEB, web, inside.parse().unwrap(), (40_000, 443), SYN)).unwrap();
        assert_eq!(refused.port, WEB, "{inside}");
    }
    assert_eq!(net.dropped(DropReason::UnknownDestination), 8);
    assert!(
        net.send(WEB, &tcp(WEB, web, "fe80::9".parse().unwrap(), (40_000, 443), SYN))
            .is_none_or(|out| out.port == WEB)
    );
}

#[test]
fn errors_about_what_went_out_come_back_from_the_edge() {
    let mut net = Net::new(&with_outside());
    let (web, (there, _)) = (ip(WEB, false), world(false));
    let out = net.send(WEB, &udp(WEB, web, there, (40_000, 53), b"x")).unwrap();
    let error = Way::new(EDGE, WEB, (0, 0), false).unreachable(&out.frame[14..]);
    let told = net.send(EDGE, &error).unwrap();
    assert_eq!((told.port, addresses(&told.frame)), (WEB, (ip(EDGE, false), web)));
    // Nobody else may say so.
    assert!(net.send(LONER, &Way::new(LONER, WEB, (0, 0), false).unreachable(&out.frame[14..])).is_none());
}

#[test]
fn only_those_who_may_leave_have_strange_names_looked_up() {
    for v6 in BOTH {
        let mut net = Net::new(&with_outside());
        let ask = |net: &mut Net, from: u32, name: &str, ports| {
            net.send(from, &udp(from, ip(from, v6), ip(GATEWAY, v6), ports, &question(name))).unwrap()
        };
        let asked = ask(&mut net, WEB, "example.org", (40_000, 53));
        assert_eq!((asked.port, addresses(&asked.frame)), (EDGE, (ip(WEB, v6), ip(EDGE, v6))));
        // The same socket asks for a name of this network: the gateway answers that itself.
        let own = ask(&mut net, WEB, "web", (40_000, 53));
        assert_eq!((own.port, addresses(&own.frame).0), (WEB, ip(GATEWAY, v6)));
        // What the edge answers comes from the gateway.
        let answer = net.send(EDGE, &udp(EDGE, ip(EDGE, v6), ip(WEB, v6), (53, 40_000), b"answer")).unwrap();
        assert_eq!((answer.port, addresses(&answer.frame)), (WEB, (ip(GATEWAY, v6), ip(WEB, v6))));
        // A single label is a name of no other network, and the names of our addresses are ours.
        for name in ["wbe", "9.9.181.10.in-addr.arpa"] {
            let unknown = ask(&mut net, WEB, name, (40_001, 53));
            let (l4, _) = transport(&unknown.frame);
            assert_eq!((unknown.port, unknown.frame[l4 + 11] & 0xf), (WEB, 3), "{name}");
        }
        assert_eq!(ask(&mut net, WEB, "34.216.184.93.in-addr.arpa", (40_002, 53)).port, EDGE);
        // Who may not leave learns nothing from outside.
        let unknown = ask(&mut net, LONER, "example.org", (40_000, 53));
        let (l4, _) = transport(&unknown.frame);
        assert_eq!((unknown.port, unknown.frame[l4 + 11] & 0xf), (LONER, 3));
        // Long answers are asked for over TCP: by those who may, and nobody else.
        let gateway = ip(GATEWAY, v6);
        let long = net.send(WEB, &tcp(WEB, ip(WEB, v6), gateway, (40_000, 53), SYN)).unwrap();
        assert_eq!((long.port, addresses(&long.frame).1), (EDGE, ip(EDGE, v6)));
        let back = net.send(EDGE, &tcp(EDGE, ip(EDGE, v6), ip(WEB, v6), (53, 40_000), SYN_ACK)).unwrap();
        assert_eq!(addresses(&back.frame).0, gateway);
        let reset = net.send(LONER, &tcp(LONER, ip(LONER, v6), gateway, (40_000, 53), SYN)).unwrap();
        assert_eq!(reset.port, LONER);
        assert_eq!(net.fabric.counters().answers.dns_forwarded, 2);
    }
}

#[test]
fn flows_to_the_outside_outlive_a_program_that_allows_them_and_no_other() {
    let mut net = Net::new(&with_outside());
    let (web, (there, _)) = (ip(WEB, false), world(false));
    net.send(WEB, &tcp(WEB, web, there, (40_000, 443), SYN)).unwrap();
    net.send(EDGE, &tcp(EDGE, there, web, (443, 40_000), SYN_ACK)).unwrap();
    net.send(WEB, &udp(WEB, web, ip(GATEWAY, false), (40_000, 53), &question("a.b"))).unwrap();
    assert_eq!(net.fabric.apply(&with_outside()).unwrap(), 0);
    assert_eq!(net.send(WEB, &tcp(WEB, web, there, (40_000, 443), ACK)).unwrap().port, EDGE);
    let mut fewer = with_outside();
    fewer.rules.retain(|rule| rule.id != 10);
    assert_eq!(net.fabric.apply(&fewer).unwrap(), 1, "the question may still be answered");
    assert_eq!(net.send(WEB, &tcp(WEB, web, there, (40_000, 443), ACK)).unwrap().port, WEB, "a reset");
    fewer.rules.retain(|rule| rule.id != 11);
    assert_eq!(net.fabric.apply(&fewer).unwrap(), 1);
}

#[test]
fn after_a_restart_connections_to_the_outside_are_picked_up() {
    let mut net = Net::new(&with_outside());
    net.fabric.adopt_existing(net.now + SECOND);
    let (web, (there, other)) = (ip(WEB, false), world(false));
    assert_eq!(net.send(WEB, &tcp(WEB, web, there, (40_000, 443), ACK)).unwrap().port, EDGE);
    assert_eq!(net.send(EDGE, &tcp(EDGE, other, web, (443, 40_001), ACK)).unwrap().port, WEB);
    assert_eq!(net.send(EDGE, &tcp(EDGE, other, web, (80, 40_002), ACK)).unwrap().port, EDGE, "a reset");
    assert_eq!(net.fabric.counters().flows.adopted, 2);
}

#[test]
fn the_way_outside_is_explained() {
    let mut net = Net::new(&with_outside());
    net.send(WEB, &tcp(WEB, ip(WEB, false), world(false).0, (1, 80), SYN));
    let explain = |to: &str, port| net.fabric.explain("web", to, Protocol::Tcp, port).unwrap().to_string();
    let allowed = "allowed: web -> publicInternet:443/tcp by shop.js:10:1 \
                   (link web -> public internet; 0 connections, 0 packets, 0 B)";
    assert_eq!(explain("publicInternet", 443), allowed);
    assert_eq!(explain("8.8.8.8", 443), allowed.replace("publicInternet", "8.8.8.8"));
    let denied = "denied: web -> publicInternet:80/tcp is refused: no link allows it (1 packet so far)";
    assert_eq!(explain("publicInternet", 80), denied);
    assert_eq!(explain("93.184.216.34", 80), denied.replace("publicInternet", "93.184.216.34"));
    assert!(explain("127.0.0.1", 443).contains("the destination is not in this network"));
    let loner = net.fabric.explain("loner", "publicInternet", Protocol::Tcp, 443).unwrap();
    assert_eq!(loner.reason, Some(DropReason::NotAllowed));
}

#[test]
fn programs_that_lead_nowhere_are_refused() {
    let wrong = |program: &Program| softnic::fabric::compile(program).unwrap_err().to_string();
    let mut nowhere = with_outside();
    nowhere.endpoints.retain(|endpoint| !endpoint.edge);
    assert_eq!(
        wrong(&nowhere),
        "rule 10 (shop.js:10:1): it leads outside, and there is no edge to go through"
    );
    let mut inwards = with_outside();
    inwards.rules[0].from = Selector::Outside;
    assert!(wrong(&inwards).starts_with("rule 1 (shop.js:1:1): nobody outside opens flows"));
    let mut many = with_outside();
    many.inside = vec![many.inside[0]; 17];
    assert_eq!(
        softnic::fabric::compile(&many).unwrap_err(),
        ProgramError::TooMany { what: "networks", count: 17, max: 16 }
    );
}
