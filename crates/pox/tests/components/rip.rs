//! A router whose neighbours are played by the test: what it tells and believes, when, and what it makes of everything else.

use std::net::Ipv4Addr;
use std::time::Duration;

use crate::lab::{Lab, both, question};
use openflow::Version;
use openflow::action::Action;
use openflow::flow::FlowMod;
use openflow::instruction::Instruction;
use openflow::matching::Match;
use openflow::message::{Body, PortReason, PortStatus};
use openflow::port::{Port, state};
use packet::wire::rip::{self, Command, Entry};
use packet::wire::{MacAddr, arp, ethernet, icmpv4, ipv4, udp};
use pox::components::proto::rip::neighbours::KEPT_MAX;
use pox::components::proto::rip::prefix::Prefix;
use pox::components::proto::rip::routes::ROUTES_MAX;
use pox::components::proto::rip::{Counters, Rip};
use pox::compose::{self, Ends};
use pox::{Controller, Launcher, PortNo};

const SECOND: Duration = Duration::from_secs(1);
const OWN: MacAddr = MacAddr([0x02, 0x77, 0, 0, 0, 1]);
const PEER: MacAddr = MacAddr([2, 0, 0, 0, 0, 9]);
const HOST: MacAddr = MacAddr([2, 0, 0, 0, 0, 7]);
const LINE: [&str; 3] = ["proto.rip", "--switch=1", "--interfaces=1=10.0.1.1/24,p2=10.0.2.1/24"];

/// A router 10.0.N.9 on the network at port N.
const fn peer(port: u8) -> Ipv4Addr {
    Ipv4Addr::new(10, 0, port, 9)
}

fn lab(version: Version, more: &[&str]) -> Lab {
    Lab::new(version, &[&LINE[..], more].concat())
}

fn rip(lab: &Lab) -> &Rip {
    lab.controller.core().get("proto.rip").unwrap()
}

fn counters(lab: &Lab) -> Counters {
    rip(lab).counters()
}

fn metric(lab: &Lab, network: &str) -> Option<u8> {
    let network: Prefix = network.parse().unwrap();
    rip(lab).routes().find(|(prefix, _)| *prefix == network).map(|(_, route)| route.metric)
}

fn assert_healthy(lab: &Lab) {
    let health = lab.controller.core().health();
    assert!(health.iter().all(|health| health.failures == 0), "{health:#?}");
}

fn route(network: &str, metric: u32) -> Entry {
    let prefix: Prefix = network.parse().unwrap();
    Entry { address: prefix.network(), prefix_len: prefix.len(), metric, ..Entry::DEFAULT }
}

fn payload(command: Command, entries: &[Entry]) -> Vec<u8> {
    let repr = rip::Repr { command, entries: entries.len() };
    let mut bytes = vec![0; repr.buffer_len()];
    let mut view = rip::View::new_unchecked(&mut bytes[..]);
    repr.emit(&mut view);
    entries.iter().enumerate().for_each(|(place, entry)| view.set_entry(place, entry));
    bytes
}

/// A datagram of a neighbour to all routers.
fn said(from: Ipv4Addr, port: u16, payload: &[u8]) -> Vec<u8> {
    let macs = (PEER, MacAddr::multicast_v4(rip::ROUTERS));
    compose::udp(Ends { macs, ips: (from, rip::ROUTERS) }, (port, rip::PORT), payload)
}

/// A neighbour at a port tells these routes.
fn tell(lab: &mut Lab, port: u8, entries: &[Entry]) {
    lab.send(port.into(), &said(peer(port), rip::PORT, &payload(Command::RESPONSE, entries)));
}

/// RIP among messages: the router's address there, whom it is for, what it says.
fn messages(frames: &[Vec<u8>]) -> Vec<(Ipv4Addr, Ipv4Addr, String)> {
    let read = |frame: &Vec<u8>| {
        let header = ethernet::View::new_checked(&frame[..]).ok()?;
        assert_eq!(header.source(), OWN);
        let packet = ipv4::View::new_checked(header.payload()).ok()?;
        let datagram = udp::View::new_checked(packet.payload()).ok()?;
        assert!(packet.verify_checksum() && packet.ttl() == 1);
        assert!(datagram.verify_checksum(packet.source().into(), packet.destination().into()));
        let text = rip::View::new_checked(datagram.payload()).ok()?.to_string();
        Some((packet.source(), packet.destination(), text))
    };
    frames.iter().filter_map(read).collect()
}

/// The routes told at a port to all routers, with their metrics.
fn told(frames: &[Vec<u8>], port: u8) -> Vec<String> {
    let here = messages(frames).into_iter().filter(|(from, to, text)| {
        *from == Ipv4Addr::new(10, 0, port, 1) && *to == rip::ROUTERS && text.contains("Response")
    });
    // `RIPv2, Response, length: 24, routes: 1: ` stands before them.
    let routes = here.filter_map(|(.., text)| text.splitn(4, ": ").nth(3).map(str::to_owned));
    routes.flat_map(|text| text.split(", ").map(str::to_owned).collect::<Vec<_>>()).collect()
}

fn flow_mods(lab: &mut Lab) -> Vec<FlowMod> {
    let flow = |body| if let Body::FlowMod(flow) = body { Some(flow) } else { None };
    lab.sent().into_iter().filter_map(|message| flow(message.body)).collect()
}

fn outputs(flow: &FlowMod) -> Vec<u32> {
    let actions = flow.instructions.iter().flat_map(|instruction| match instruction {
        Instruction::ApplyActions(actions) => actions.clone(),
        _ => Vec::new(),
    });
    actions
        .filter_map(|action| if let Action::Output { port, .. } = action { Some(port.0) } else { None })
        .collect()
}

#[test]
fn a_router_asks_at_once_and_tells_every_half_minute() {
    both(|version| {
        let mut lab = lab(version, &[]);
        let frames = lab.frames();
        let asked = messages(&frames);
        let whole = "RIPv2, Request, length: 24, routes: 1: 0.0.0.0/0 metric 16";
        let ask = |port| (Ipv4Addr::new(10, 0, port, 1), rip::ROUTERS, whole.to_owned());
        assert_eq!(asked, [ask(1), ask(2)]);
        let first = lab.pass(SECOND / 10);
        assert_eq!(
            (told(&first, 1), told(&first, 2)),
            (vec!["10.0.2.0/24 metric 1".into()], vec!["10.0.1.0/24 metric 1".into()])
        );
        let mut gaps = Vec::new();
        let mut last = None;
        for _ in 0..3_000 {
            let frames = lab.pass(SECOND / 10);
            if !told(&frames, 1).is_empty() {
                assert_eq!(told(&frames, 1), ["10.0.2.0/24 metric 1"]);
                gaps.extend(last.replace(lab.now).map(|last| (lab.now - last).as_millis()));
            }
        }
        assert!(gaps.len() >= 7 && gaps.iter().all(|gap| (24_900..=35_100).contains(gap)), "{gaps:?}");
        assert!(gaps.iter().max() != gaps.iter().min(), "never the same for long: {gaps:?}");
    });
}

#[test]
fn what_one_neighbour_tells_the_other_is_told_at_once() {
    both(|version| {
        let mut lab = lab(version, &[]);
        lab.pass(10 * SECOND);
        tell(&mut lab, 1, &[Entry { tag: 7, ..route("10.9.0.0/16", 3) }]);
        let frames = lab.pass(SECOND / 100);
        assert_eq!(told(&frames, 1), ["10.9.0.0/16 metric 16"], "poison where it came from");
        assert_eq!(told(&frames, 2), ["10.9.0.0/16 metric 4"]);
        // What comes now waits for 1 to 5 s, and is told together.
        tell(&mut lab, 1, &[route("10.8.0.0/16", 1)]);
        assert!(told(&lab.pass(SECOND * 9 / 10), 2).is_empty());
        tell(&mut lab, 1, &[route("10.7.0.0/16", 1)]);
        assert_eq!(told(&lab.pass(41 * SECOND / 10), 2), ["10.7.0.0/16 metric 2", "10.8.0.0/16 metric 2"]);
        let tags: Vec<u16> = rip(&lab).routes().map(|(_, route)| route.tag).collect();
        assert_eq!(tags, [0, 0, 0, 0, 7], "marks are passed on");
        assert_healthy(&lab);
    });
}

#[test]
fn routes_are_entries_of_the_switch() {
    both(|version| {
        let mut lab = lab(version, &[]);
        flow_mods(&mut lab);
        tell(&mut lab, 1, &[route("10.9.0.0/16", 1)]);
        let flows = flow_mods(&mut lab);
        let ours = || {
            Match::new()
                .eth_dst(OWN)
                .untagged()
                .ipv4_dst_masked([10, 9, 0, 0].into(), [255, 255, 0, 0].into())
        };
        let forward = flows.iter().find(|flow| flow.matching == ours()).unwrap();
        assert_eq!(outputs(forward), [1]);
        let back = flows.iter().find(|flow| flow.matching == ours().in_port(PortNo(1))).unwrap();
        assert_eq!((outputs(back), back.priority), (vec![PortNo::IN_PORT.0], forward.priority + 1));
        // By another, nearer one at the other port.
        tell(&mut lab, 2, &[route("10.9.0.0/16", 16), route("10.9.1.0/24", 1)]);
        let longer = flow_mods(&mut lab);
        assert!(longer.iter().any(|flow| flow.priority > back.priority && outputs(flow) == [2]));
        // Nobody tells of it any more.
        tell(&mut lab, 1, &[route("10.9.0.0/16", 16)]);
        let gone = flow_mods(&mut lab);
        assert!(gone.len() == 2 && gone.iter().all(|flow| outputs(flow).is_empty()), "{gone:?}");
        // Two networks, two neighbours, and the longer route.
        assert_eq!(rip(&lab).flows(), 2 + 2 + 1);
        assert_healthy(&lab);
    });
}

#[test]
fn packets_wait_until_their_next_hop_has_answered() {
    both(|version| {
        let mut lab = lab(version, &[]);
        lab.frames();
        let ends = Ends { macs: (PEER, OWN), ips: (peer(1), [10, 0, 2, 7].into()) };
        let packet = compose::udp(ends, (1, 2), b"x");
        let asked = lab.host(1, &packet);
        assert_eq!(asked, [question((OWN, [10, 0, 2, 1].into()), [10, 0, 2, 7].into())]);
        for _ in 0..9 {
            assert!(lab.host(1, &packet).is_empty(), "asked already");
        }
        let answer = arp::Repr {
            operation: arp::Operation::REPLY,
            sender_mac: HOST,
            sender_ip: [10, 0, 2, 7].into(),
            target_mac: OWN,
            target_ip: [10, 0, 2, 1].into(),
        };
        assert!(lab.host(1, &compose::arp(&answer)).is_empty(), "it cannot be there");
        assert_eq!(lab.host(2, &compose::arp(&answer)).len(), KEPT_MAX);
        assert_eq!(lab.host(1, &packet), [&packet[..]], "the switch is told what to do with it");
        assert_eq!(rip(&lab).neighbour([10, 0, 2, 7].into()), Some(HOST));
        // Who does not answer is asked three times.
        let lost = compose::udp(Ends { ips: (peer(1), [10, 0, 2, 8].into()), ..ends }, (1, 2), b"x");
        assert_eq!(lab.host(1, &lost).len(), 1);
        let questions = lab.pass(10 * SECOND).into_iter().filter(|frame| frame[13] == 6).count();
        assert_eq!((questions, counters(&lab).dropped), (2, 9 + 1 - KEPT_MAX as u64 + 1));
        assert_healthy(&lab);
    });
}

#[test]
fn pings_and_questions_are_answered_at_the_router_s_own_addresses() {
    both(|version| {
        let mut lab = lab(version, &[]);
        lab.frames();
        let answers = lab.host(1, &question((PEER, peer(1)), [10, 0, 1, 1].into()));
        assert_eq!((answers.len(), &answers[0][6..12]), (1, &OWN.0[..]));
        assert!(
            lab.host(1, &question((PEER, peer(1)), [10, 0, 2, 1].into())).is_empty(),
            "that one is elsewhere"
        );
        let ends = Ends { macs: (PEER, OWN), ips: (peer(1), [10, 0, 2, 1].into()) };
        let ping = icmpv4::Repr::EchoRequest { ident: 7, sequence: 9, data: b"abcdefgh" };
        let pong = icmpv4::Repr::EchoReply { ident: 7, sequence: 9, data: b"abcdefgh" };
        assert_eq!(lab.host(1, &compose::icmpv4(ends, &ping)), [compose::icmpv4(ends.back(), &pong)]);
        assert_healthy(&lab);
    });
}

#[test]
fn what_nobody_tells_again_is_poison_after_three_minutes_and_nothing_after_five() {
    let mut lab = lab(Version::V13, &[]);
    lab.pass(10 * SECOND);
    tell(&mut lab, 1, &[route("10.9.0.0/16", 1)]);
    let start = lab.now;
    let mut told_of = Vec::new();
    while lab.now < start + 320 * SECOND {
        let frames = lab.pass(SECOND);
        let elapsed = (lab.now - start).as_secs();
        told_of.extend(
            told(&frames, 2).into_iter().filter(|text| text.starts_with("10.9")).map(|text| (elapsed, text)),
        );
    }
    let (alive, dead): (Vec<_>, Vec<_>) =
        told_of.into_iter().partition(|(_, text)| text.ends_with("metric 2"));
    assert!(alive.len() >= 5 && alive.last().unwrap().0 <= 181, "{alive:?}");
    assert!((180..=182).contains(&dead[0].0), "at once: {dead:?}");
    assert!(
        dead.len() >= 3 && dead.iter().all(|(at, text)| *at <= 302 && text.ends_with("metric 16")),
        "{dead:?}"
    );
    assert_eq!(metric(&lab, "10.9.0.0/16"), None);
    assert_healthy(&lab);
}

#[test]
fn a_port_that_goes_down_takes_its_routes_along() {
    both(|version| {
        let mut lab = lab(version, &["--routes=10.5.0.0/16=10.0.1.9:2"]);
        tell(&mut lab, 1, &[route("10.9.0.0/16", 1)]);
        lab.pass(10 * SECOND);
        assert_eq!(metric(&lab, "10.5.0.0/16"), Some(2));
        let status = |down| {
            let state = if down { state::LINK_DOWN } else { 0 };
            let port = Port { number: PortNo(1), name: "p1".into(), state, ..Port::default() };
            Body::PortStatus(PortStatus { reason: PortReason::Modify, port })
        };
        lab.tell(0, status(true));
        let frames = lab.pass(SECOND / 100);
        let mut lost = told(&frames, 2);
        lost.sort();
        assert_eq!(lost, ["10.0.1.0/24 metric 16", "10.5.0.0/16 metric 16", "10.9.0.0/16 metric 16"]);
        assert_eq!(rip(&lab).flows(), 1, "the network at the other port");
        // Another way to it all.
        tell(&mut lab, 2, &[route("10.0.1.0/24", 1), route("10.9.0.0/16", 4)]);
        assert_eq!((metric(&lab, "10.0.1.0/24"), metric(&lab, "10.9.0.0/16")), (Some(2), Some(5)));
        lab.tell(0, status(false));
        assert_eq!((metric(&lab, "10.0.1.0/24"), metric(&lab, "10.5.0.0/16")), (Some(1), Some(2)));
        let asked = messages(&lab.pass(SECOND / 100));
        assert!(
            asked.iter().any(|(from, _, text)| from.octets()[2] == 1 && text.contains("Request")),
            "{asked:?}"
        );
        assert_healthy(&lab);
    });
}

#[test]
fn only_neighbours_are_believed_and_only_what_can_be() {
    let good = || payload(Command::RESPONSE, &[route("10.9.0.0/16", 1)]);
    let mut lab = lab(Version::V13, &[]);
    let from = |ip: [u8; 4], port, payload: &[u8]| said(ip.into(), port, payload);
    // Elsewhere, at the wrong port, the router itself, the network, another program.
    for (port, frame) in [
        (1, from([10, 0, 3, 9], 520, &good())),
        (2, from([10, 0, 1, 9], 520, &good())),
        (1, from([10, 0, 1, 1], 520, &good())),
        (1, from([10, 0, 1, 255], 520, &good())),
        (1, from([10, 0, 1, 9], 521, &good())),
    ] {
        lab.send(port, &frame);
    }
    assert_eq!(counters(&lab).strangers, 5);
    // Version 1, a command nobody knows, cut short, one byte too many, too many entries, authenticated, a spoiled checksum.
    let spoiled = |at: usize, byte: u8| {
        let mut bytes = good();
        bytes[at] = byte;
        bytes
    };
    let secret = Entry { family: 0xffff, tag: 2, ..Entry::DEFAULT };
    let mut messages = vec![
        spoiled(1, 1),
        spoiled(1, 0),
        spoiled(0, 9),
        good()[..23].to_vec(),
        [good(), vec![0]].concat(),
        Vec::new(),
        [good(), vec![0; 20 * 25]].concat(),
        payload(Command::RESPONSE, &[secret, route("10.9.0.0/16", 1)]),
    ];
    for message in messages.drain(..) {
        lab.send(1, &from([10, 0, 1, 9], 520, &message));
    }
    let mut frame = from([10, 0, 1, 9], 520, &good());
    *frame.last_mut().unwrap() ^= 1;
    lab.send(1, &frame);
    assert_eq!(counters(&lab).malformed, 9);
    // Routes that cannot be, one that can among them.
    tell(
        &mut lab,
        1,
        &[
            route("127.0.0.0/8", 1),
            route("224.0.0.0/4", 1),
            route("240.0.0.0/4", 1),
            route("10.9.0.0/16", 0),
            route("10.9.0.0/16", 17),
            Entry { address: [10, 9, 0, 1].into(), ..route("10.9.0.0/16", 1) },
            Entry { next_hop: [10, 0, 1, 1].into(), ..route("10.9.0.0/16", 1) },
            Entry { family: 10, ..route("10.9.0.0/16", 1) },
            route("10.4.0.0/16", 1),
        ],
    );
    assert_eq!((counters(&lab).refused, metric(&lab, "10.4.0.0/16")), (8, Some(2)));
    // Next hops: another router on that network is one; one elsewhere is not.
    let next_hop = |lab: &Lab, network: &str| {
        let network: Prefix = network.parse().unwrap();
        rip(lab).routes().find(|(prefix, _)| *prefix == network).unwrap().1.next_hop
    };
    tell(
        &mut lab,
        1,
        &[
            Entry { next_hop: [10, 0, 1, 8].into(), ..route("10.3.0.0/16", 1) },
            Entry { next_hop: [10, 0, 2, 8].into(), ..route("10.2.0.0/16", 1) },
        ],
    );
    assert_eq!(next_hop(&lab, "10.3.0.0/16"), Ipv4Addr::new(10, 0, 1, 8));
    assert_eq!(next_hop(&lab, "10.2.0.0/16"), peer(1));
    // What is attached is nobody else's to tell.
    tell(&mut lab, 1, &[route("10.0.2.0/24", 1)]);
    assert_eq!(metric(&lab, "10.0.2.0/24"), Some(1));
    assert_eq!(metric(&lab, "10.9.0.0/16"), None);
    assert_healthy(&lab);
}

#[test]
fn hosts_are_told_nothing_and_not_believed() {
    let mut lab = lab(Version::V13, &["--passive=p2"]);
    let mut frames = lab.frames();
    tell(&mut lab, 2, &[route("10.9.0.0/16", 1)]);
    tell(&mut lab, 1, &[route("10.8.0.0/16", 1)]);
    frames.extend(lab.pass(60 * SECOND));
    assert!(messages(&frames).iter().all(|(from, ..)| from.octets()[2] == 1));
    assert!(told(&frames, 1).contains(&"10.0.2.0/24 metric 1".into()));
    assert_eq!((metric(&lab, "10.9.0.0/16"), counters(&lab).strangers), (None, 1));
}

#[test]
fn requests_are_answered_to_who_asks() {
    both(|version| {
        let mut lab = lab(version, &[]);
        tell(&mut lab, 1, &[route("10.9.0.0/16", 1)]);
        lab.pass(10 * SECOND);
        let ask = |lab: &mut Lab, port: u16, entries: &[Entry]| {
            let frames = lab.host(1, &said(peer(1), port, &payload(Command::REQUEST, entries)));
            messages(&frames)
        };
        let whole = ask(&mut lab, 520, &[Entry::WHOLE_TABLE]);
        assert_eq!(whole.len(), 1);
        assert_eq!(
            (whole[0].1, whole[0].2.contains("10.9.0.0/16 metric 16")),
            (peer(1), true),
            "with poison"
        );
        let some = ask(&mut lab, 4000, &[route("10.9.0.0/16", 0), route("10.6.0.0/16", 0)]);
        assert!(some[0].2.ends_with("10.9.0.0/16 metric 2, 10.6.0.0/16 metric 16"), "{some:?}");
        assert!(ask(&mut lab, 520, &[]).is_empty(), "who asks for nothing gets nothing");
        let answered = (0..100).filter(|_| !ask(&mut lab, 520, &[Entry::WHOLE_TABLE]).is_empty()).count();
        assert!(answered <= 8 && counters(&lab).unanswered >= 92, "{answered}");
        lab.pass(2 * SECOND);
        assert_eq!(ask(&mut lab, 520, &[Entry::WHOLE_TABLE]).len(), 1);
        assert_healthy(&lab);
    });
}

#[test]
fn twenty_thousand_routes_are_too_many_and_do_no_harm() {
    let mut lab = lab(Version::V13, &[]);
    lab.pass(10 * SECOND);
    let network = |n: u32| Entry {
        address: Ipv4Addr::from_bits(0x1400_0000 + (n << 8)),
        prefix_len: 24,
        metric: 1,
        ..Entry::DEFAULT
    };
    let all: Vec<Entry> = (0..20_000).map(network).collect();
    for message in all.chunks(25) {
        tell(&mut lab, 1, message);
    }
    // Two are attached.
    assert_eq!(rip(&lab).routes().count(), ROUTES_MAX);
    assert_eq!(counters(&lab).left_out, 20_000 + 2 - ROUTES_MAX as u64);
    let frames = lab.pass(6 * SECOND);
    let told_of = told(&frames, 2);
    assert_eq!(told_of.len(), ROUTES_MAX - 2, "all of them, within seconds");
    assert_eq!(
        messages(&frames).iter().filter(|(from, ..)| from.octets()[2] == 2).count(),
        (ROUTES_MAX - 2).div_ceil(25)
    );
    // All are lost at once, and forgotten.
    lab.pass(190 * SECOND);
    assert!(rip(&lab).routes().filter(|(_, route)| route.is_reachable()).count() == 2);
    lab.pass(130 * SECOND);
    assert_eq!((rip(&lab).routes().count(), rip(&lab).flows()), (2, 2));
    assert_healthy(&lab);
}

#[test]
fn noise_is_no_news() {
    let seed = 0x5eed;
    println!("seed {seed:#x}");
    let mut random: u64 = seed;
    let mut draw = || {
        random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (random >> 33) as u32
    };
    both(|version| {
        let mut lab = lab(version, &[]);
        let good = said(peer(1), 520, &payload(Command::RESPONSE, &[route("10.9.0.0/16", 1); 3]));
        for length in 0..good.len() {
            lab.send(1, &good[..length]);
        }
        assert_eq!(metric(&lab, "10.9.0.0/16"), None, "cut short");
        assert_healthy(&lab);
    });
    let mut lab = lab(Version::V13, &[]);
    for _ in 0..20_000 {
        let entries = draw() % 27;
        let mut bytes: Vec<u8> = (0..4 + 20 * entries).map(|_| draw() as u8).collect();
        (bytes[0], bytes[1]) = ((draw() % 3) as u8, 2);
        let from = Ipv4Addr::new(10, 0, (draw() % 3) as u8, (draw() % 256) as u8);
        lab.send(1 + draw() % 2, &said(from, 520, &bytes));
        if draw() % 64 == 0 {
            lab.pass(SECOND);
        }
    }
    assert_healthy(&lab);
    let sound = rip(&lab)
        .routes()
        .all(|(prefix, route)| (1..=16).contains(&route.metric) && prefix.network().octets()[0] < 224);
    assert!(sound && rip(&lab).routes().count() <= ROUTES_MAX);
}

#[test]
fn what_cannot_be_a_router_is_refused_before_anything_starts() {
    let refused = |line: &[&str], why: &str| {
        let mut controller = Controller::new();
        let lines = pox::launch::read_words(line).unwrap();
        let error = Launcher::stock().launch(controller.core_mut(), &lines).unwrap_err().to_string();
        assert!(error.contains(why), "{line:?}: {error}");
    };
    let with = |options: &[&'static str]| [&["proto.rip", "--switch=1"][..], options].concat();
    refused(&["proto.rip", "--interfaces=1=10.0.1.1/24"], "--switch=… is missing");
    refused(&with(&[]), "--interfaces=PORT=IP/N");
    refused(&with(&["--interfaces=1=10.0.1.0/24"]), "no address of a host");
    refused(&with(&["--interfaces=1=10.0.1.1/24,2=10.0.0.1/16"]), "overlap");
    refused(&with(&["--interfaces=1=10.0.1.1/24", "--passive=2"]), "no interface is at that port");
    refused(&with(&["--interfaces=1=10.0.1.1/24", "--routes=10.5.0.0/16=10.0.2.9"]), "a router on none of");
    refused(&with(&["--interfaces=1=10.0.1.1/24", "--routes=10.0.1.0/24=10.0.1.9"]), "is attached");
    refused(
        &with(&["--interfaces=1=10.0.1.1/24", "--mac=ff:ff:ff:ff:ff:ff"]),
        "not the address of one station",
    );
    let twice = [&LINE[..], &LINE[..]].concat();
    refused(&twice, "proto.rip is a router on 0000000000000001 already");
}
