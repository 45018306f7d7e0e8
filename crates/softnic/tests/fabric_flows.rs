//! The connection table: how flows live and end, what happens when it is full, restarts, and new programs.

mod fabric_kit;

use fabric_kit::*;
use packet::PortId;
use packet::wire::IpProtocol;
use softnic::fabric::Program;
use softnic::fabric::program::Protocol;
use softnic::fabric::report::{DropReason, FlowCounters};

const BOTH: [bool; 2] = [false, true];

fn flows(net: &Net) -> FlowCounters {
    net.fabric.counters().flows
}

/// Opens a TCP connection from web to db.
fn connect(net: &mut Net, port: u16) -> Way {
    let way = Way::new(WEB, DB, (port, 5432), false);
    for (from, frame) in
        [(WEB, way.tcp(SYN, b"")), (DB, way.back().tcp(SYN_ACK, b"")), (WEB, way.tcp(ACK, b""))]
    {
        assert!(net.send(from, &frame).is_some());
    }
    way
}

/// Moves the clock, and lets the fabric expire what is due there.
fn wait(net: &mut Net, seconds: u64) {
    net.now += seconds * SECOND;
    while net.fabric.next_deadline().is_some_and(|due| due <= net.now) {
        net.fabric.expire(net.now);
    }
}

#[test]
fn connections_that_never_open_are_forgotten_and_open_ones_are_kept() {
    let mut net = Net::new(&program());
    let open = connect(&mut net, 1);
    net.send(WEB, &Way::new(WEB, DB, (2, 5432), false).tcp(SYN, b""));
    assert_eq!(flows(&net).active, 2);
    wait(&mut net, 31);
    assert_eq!((flows(&net).active, flows(&net).expired), (1, 1));
    for _ in 0..10 {
        wait(&mut net, 2 * 3600);
        assert!(net.send(WEB, &open.tcp(ACK, b"still here")).is_some());
    }
    wait(&mut net, 3 * 3600 + 1);
    assert_eq!(flows(&net).active, 0);
    assert_eq!(net.fabric.next_deadline(), None);
}

#[test]
fn connections_that_end_are_forgotten_soon() {
    let mut net = Net::new(&program());
    let way = connect(&mut net, 1);
    assert!(net.send(WEB, &way.tcp(FIN_ACK, b"")).is_some());
    wait(&mut net, 100);
    assert!(net.send(DB, &way.back().tcp(ACK, b"half-closed, still answering")).is_some());
    assert!(net.send(DB, &way.back().tcp(FIN_ACK, b"")).is_some());
    assert!(net.send(WEB, &way.tcp(ACK, b"")).is_some());
    wait(&mut net, 31);
    assert_eq!(flows(&net).active, 0);
    let way = connect(&mut net, 2);
    assert!(net.send(DB, &way.back().tcp(RST, b"")).is_some());
    wait(&mut net, 11);
    assert_eq!(flows(&net).active, 0);
}

#[test]
fn a_port_may_be_used_again_at_once() {
    let mut net = Net::new(&program());
    let way = connect(&mut net, 1);
    net.send(WEB, &way.tcp(RST, b""));
    connect(&mut net, 1);
    assert_eq!((flows(&net).active, flows(&net).opened), (1, 2));
    let tier = Way::new(CLIENT, TIER, (9, 80), false);
    let first = net.send(CLIENT, &tier.tcp(SYN, b"")).unwrap().port;
    assert_eq!(net.send(CLIENT, &tier.tcp(SYN, b"")).unwrap().port, first, "sent again, not anew");
    net.send(CLIENT, &tier.tcp(RST, b""));
    assert_ne!(net.send(CLIENT, &tier.tcp(SYN, b"")).unwrap().port, first, "anew, so the next one's turn");
}

#[test]
fn udp_and_echo_are_forgotten_after_silence() {
    for v6 in BOTH {
        let mut net = Net::new(&program());
        let way = Way::new(CLIENT, WEB, (1, 2), v6);
        net.send(CLIENT, &way.udp(b"?"));
        net.send(CLIENT, &Way::new(CLIENT, WEB, (3, 0), v6).echo(false, b""));
        assert!(net.send(WEB, &way.back().udp(b"!")).is_some());
        wait(&mut net, 31);
        assert_eq!(flows(&net).active, 1, "the one that was answered");
        wait(&mut net, 180);
        assert_eq!(flows(&net).active, 0);
        let late = net.send(WEB, &way.back().udp(b"!")).unwrap();
        assert_eq!(icmp_kind(&late.frame), prohibited(v6), "nothing else comes back");
    }
}

#[test]
fn a_full_table_gives_up_what_was_never_answered_and_nothing_else() {
    let mut net = Net::with_flows(&program(), 64);
    let open: Vec<Way> = (1..=32).map(|port| connect(&mut net, port)).collect();
    for port in 100..10_100 {
        net.now += 1000;
        assert!(net.send(CLIENT, &Way::new(CLIENT, WEB, (port, 9), false).udp(b"flood")).is_some());
    }
    let counters = flows(&net);
    assert_eq!((counters.active, counters.max, counters.evicted), (64, 64, 10_000 - 32));
    for way in &open {
        assert!(net.send(DB, &way.back().tcp(ACK, b"alive")).is_some());
    }
    for port in 101..=132 {
        connect(&mut net, port);
    }
    net.send(CLIENT, &Way::new(CLIENT, WEB, (1, 9), false).udp(b"no room"));
    assert_eq!(net.dropped(DropReason::FlowTableFull), 1);
    assert_eq!(flows(&net).refused, 1);
}

#[test]
fn connections_survive_a_restart_of_the_dataplane() {
    for v6 in BOTH {
        let open = Way::new(WEB, DB, (40_000, 5432), v6);
        let mut net = Net::new(&program());
        net.fabric.adopt_existing(net.now + 10 * SECOND);
        let answer =
            net.send(DB, &open.back().tcp(ACK, b"row")).expect("an answer of a connection from before");
        assert_eq!(answer.port, WEB);
        assert!(net.send(WEB, &open.tcp(ACK, b"next")).is_some());
        let other = Way::new(WEB, DB, (40_001, 5432), v6);
        assert_eq!(net.send(WEB, &other.tcp(ACK, b"query")).unwrap().port, DB);
        let udp = Way::new(WEB, CLIENT, (9, 1000), v6);
        assert_eq!(net.send(WEB, &udp.udp(b"answer")).unwrap().port, CLIENT);
        assert_eq!((flows(&net).active, flows(&net).adopted), (3, 3));

        let forbidden = Way::new(DB, WEB, (40_000, 80), v6);
        assert_eq!(tcp_flags(&net.send(DB, &forbidden.tcp(ACK, b"")).unwrap().frame), RST);
        assert_eq!(icmp_kind(&net.send(DB, &forbidden.tcp(SYN, b"")).unwrap().frame), prohibited(v6));
        let service = Way::new(CLIENT, TIER, (40_000, 80), v6);
        assert_eq!(tcp_flags(&net.send(CLIENT, &service.tcp(ACK, b"")).unwrap().frame), RST);
        net.now += 10 * SECOND;
        let late = Way::new(WEB, DB, (40_002, 5432), v6);
        assert_eq!(tcp_flags(&net.send(WEB, &late.tcp(ACK, b"")).unwrap().frame), RST);
        assert!(net.send(WEB, &open.tcp(ACK, b"on and on")).is_some());
    }
}

#[test]
fn what_is_attached_after_the_start_has_no_connections_to_take_over() {
    for v6 in BOTH {
        let mut net = Net::new(&program());
        net.fabric.set_link(PortId(WEB), false);
        net.fabric.adopt_existing(net.now + 10 * SECOND);
        net.fabric.set_link(PortId(WEB), true);
        // The client may send to each port of web: this is no answer.
        let back = Way::new(WEB, CLIENT, (9, 1000), v6);
        assert_eq!(icmp_kind(&net.send(WEB, &back.udp(b"no answer")).unwrap().frame), prohibited(v6));
        let open = Way::new(WEB, DB, (40_000, 5432), v6);
        assert_eq!(tcp_flags(&net.send(DB, &open.back().tcp(ACK, b"row")).unwrap().frame), RST);
        assert_eq!(tcp_flags(&net.send(WEB, &open.tcp(ACK, b"query")).unwrap().frame), RST);
        assert_eq!(flows(&net).adopted, 0);
    }
}

#[test]
fn a_new_program_cuts_what_it_forbids_and_nothing_else() {
    let mut net = Net::new(&program());
    let database = connect(&mut net, 40_000);
    let tier = Way::new(CLIENT, TIER, (40_000, 80), false);
    let replica = net.send(CLIENT, &tier.tcp(SYN, b"")).unwrap().port;
    let second = Way::new(CLIENT, TIER, (40_001, 80), false);
    assert_ne!(net.send(CLIENT, &second.tcp(SYN, b"")).unwrap().port, replica);

    let mut changed = program();
    changed.rules.remove(1);
    changed.endpoints.rotate_left(3);
    changed.endpoints[5].port = PortId(77);
    assert_eq!(changed.endpoints[5].name, "web");
    changed.services[0].members.remove(1);
    net.fabric.apply(&changed).unwrap();
    assert_eq!((flows(&net).active, flows(&net).cut), (1, 2));
    assert_eq!(net.send(CLIENT, &tier.tcp(ACK, b"")).unwrap().port, replica, "its replica still exists");
    assert_eq!(
        tcp_flags(&net.send(CLIENT, &second.tcp(ACK, b"")).unwrap().frame),
        RST,
        "its replica is gone"
    );
    assert_eq!(tcp_flags(&net.send(DB, &database.back().tcp(ACK, b"")).unwrap().frame), RST);
    assert_eq!(icmp_kind(&net.send(77, &database.tcp(SYN, b"")).unwrap().frame), prohibited(false));
    assert!(net.send(WEB, &database.tcp(SYN, b"")).is_none(), "its old port is nobody's");

    let counters = net.fabric.counters();
    let web = counters.endpoints.iter().find(|endpoint| endpoint.name == "web").unwrap();
    assert_eq!((web.sent_packets, web.port), (3, Some(77)), "counters stay with names");
    let rule = counters.rules.iter().find(|rule| rule.id == 3).unwrap();
    assert_eq!(rule.packets, 3, "and with numbers");
}

#[test]
fn a_wrong_program_changes_nothing() {
    let mut net = Net::new(&program());
    let open = connect(&mut net, 1);
    let mut wrong = program();
    wrong.rules[0].to = to("nobody");
    let error = net.fabric.apply(&wrong).unwrap_err();
    assert_eq!(error.to_string(), "rule 1 (shop.js:1:1) speaks of nobody, which does not exist");
    assert!(net.send(WEB, &open.tcp(ACK, b"")).is_some());
}

/// What is done to a program, and what is then said of it.
type Case<'a> = (&'a dyn Fn(&mut Program), &'a str);

#[test]
fn programs_that_make_no_sense_are_refused() {
    let refusal = |change: &dyn Fn(&mut Program)| {
        let mut wrong = program();
        change(&mut wrong);
        softnic::fabric::tables::compile(&wrong).unwrap_err().to_string()
    };
    let cases: [Case<'_>; 12] = [
        (&|p| p.endpoints[1].name = "db".into(), "two parties are called \"db\""),
        (&|p| p.endpoints[1].ipv4 = p.endpoints[2].ipv4, "10.181.0.4 belongs to both \"web\" and \"db\""),
        (&|p| p.services[0].vip_v6 = p.gateway_v6, "fd57::1 belongs to both \"the gateway\" and \"tier\""),
        (&|p| p.endpoints[1].port = PortId(2), "port 2 belongs to both \"web\" and \"db\""),
        (&|p| p.endpoints[1].port = PortId(9_999_999), "port 9999999 of \"web\" is above 1048575"),
        (&|p| p.endpoints[1].ipv4 = [224, 0, 0, 1].into(), "224.0.0.1 of \"web\" is not a unicast address"),
        (
            &|p| p.services[0].members.push("tier".into()),
            "service \"tier\" has a member \"tier\", which is not an endpoint",
        ),
        (&|p| p.services[0].members.push("r1".into()), "service \"tier\" has the member \"r1\" twice"),
        (&|p| p.rules[1].id = 1, "two rules have the number 1"),
        (&|p| p.mtu = 1000, "an MTU of 1000 is below IPv6's minimum of 1280"),
        (&|p| p.endpoints[0].name = String::new(), "\"\" is not a name: 1 to 253 bytes in labels of 1 to 63"),
        (
            &|p| p.rules[1].ports = std::ops::RangeInclusive::new(9, 8),
            "rule 2 (shop.js:2:1) has the empty range of ports 9-8",
        ),
    ];
    for (change, message) in cases {
        assert_eq!(refusal(change), message);
    }
}

#[test]
fn ten_thousand_endpoints_and_a_thousand_rules_compile_within_a_second() {
    let mut large = program();
    for number in 0..10_000u32 {
        let v4 = (0x0a64_0000 + number).into();
        let v6 = (0xfd58_u128 << 112 | u128::from(number)).into();
        let endpoint =
            softnic::fabric::program::Endpoint::new(format!("e{number}"), PortId(100 + number), v4, v6);
        large.endpoints.push(endpoint);
    }
    large.services[0].members.extend((0..1000).map(|number| format!("e{number}")));
    for id in 0..1000 {
        let mut rule = rule(100 + id, "", to(&format!("e{id}")), Protocol::Tcp, 1..=1000);
        rule.from = softnic::fabric::program::Selector::Service("tier".into());
        large.rules.push(rule);
    }
    let start = std::time::Instant::now();
    softnic::fabric::tables::compile(&large).unwrap();
    assert!(start.elapsed().as_secs_f64() < 1.0, "took {:?}", start.elapsed());
}

#[test]
fn a_program_survives_json() {
    let mut whole = program();
    whole.endpoints[2].port = PortId::NONE;
    let json = serde_json::to_string(&whole).unwrap();
    assert_eq!(serde_json::from_str::<Program>(&json).unwrap(), whole);
}

#[test]
fn an_endpoint_without_a_port_is_not_attached() {
    let mut program = program();
    program.endpoints[DB as usize].port = PortId::NONE;
    let mut net = Net::new(&program);
    let answer = net.send(WEB, &Way::new(WEB, DB, (1, 5432), false).tcp(SYN, b"")).unwrap();
    assert_eq!((answer.port, transport(&answer.frame).1), (WEB, IpProtocol::ICMP));
    assert_eq!(net.dropped(DropReason::PortDown), 1);
}
