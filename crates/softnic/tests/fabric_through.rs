//! Packets on their way through network functions: the way there and back, addresses, answers, errors, other programs.

mod fabric_kit;

use std::collections::BTreeMap;

use fabric_kit::*;
use packet::wire::tcp::Flags;
use packet::{Offload, Packet, PortId};
use softnic::fabric::functions::{CHAIN_MAX, INSTANCES_MAX};
use softnic::fabric::program::{FUNCTION_PORTS, Program, Protocol};
use softnic::fabric::report::DropReason;
use softnic::fabric::{Affinity, Function, FunctionCounters, compile};

const BOTH: [bool; 2] = [false, true];
/// Slots of the functions of [`led`].
const WATCH: u16 = 0;
const GUARD: u16 = 1;

fn function(name: &str, instances: u16, affinity: Affinity) -> Function {
    Function { name: name.into(), words: vec!["monitor".into()], affinity, instances }
}

/// The kit's network, where all that is allowed goes through `watch` and then `guard`.
fn led() -> Program {
    let mut program = program();
    program.functions = vec![function("watch", 1, Affinity::Flow), function("guard", 1, Affinity::Flow)];
    program.rules.iter_mut().for_each(|rule| rule.through = vec!["watch".into(), "guard".into()]);
    program
}

/// What a function does with a packet: lets it out at a gate, or keeps it from going on.
type Does<'a> = &'a mut dyn FnMut(u16, u16, &mut Packet) -> Option<u16>;

/// Sends a frame, runs the functions that it comes to, and says where it got.
fn send(net: &mut Net, from: u32, frame: &[u8], does: Does<'_>) -> Option<Out> {
    let mut packet = net.pool.packet(frame).expect("a free buffer");
    packet.set_ingress(PortId(from));
    let mut here = Vec::new();
    net.fabric.handle(net.now, packet, &mut |packet| here.push(packet));
    settle(net, here, does)
}

fn settle(net: &mut Net, mut here: Vec<Packet>, does: Does<'_>) -> Option<Out> {
    while let Some(mut packet) = here.pop() {
        let Some(gate) = packet.egress().0.checked_sub(FUNCTION_PORTS) else {
            assert!(here.is_empty(), "one packet in, one out");
            let out =
                Out { port: packet.egress().0, frame: packet.data().to_vec(), offload: Offload::default() };
            judge(&out);
            assert_checksum(&out);
            return Some(out);
        };
        let (slot, gate) = ((gate / 2) as u16, (gate % 2) as u16);
        if let Some(out) = does(slot, gate, &mut packet) {
            net.fabric.resume(net.now, packet, slot, out, &mut |packet| here.push(packet));
        }
    }
    None
}

/// Sends a frame that every function lets pass, and notes what they saw: slot, gate, source and destination.
fn traced(net: &mut Net, from: u32, frame: &[u8]) -> (Option<Out>, Vec<(u16, u16, String)>) {
    let mut seen = Vec::new();
    let out = send(net, from, frame, &mut |slot, gate, packet| {
        let (source, destination) = addresses(packet.data());
        seen.push((slot, gate, format!("{source} {destination}")));
        Some(1 - gate)
    });
    (out, seen)
}

fn pass(net: &mut Net, from: u32, frame: &[u8]) -> Option<Out> {
    traced(net, from, frame).0
}

fn counters(net: &Net, function: usize) -> FunctionCounters {
    net.fabric.counters().functions[function].clone()
}

/// The member's answer to a packet that it got.
fn answer(out: &Out, way: &Way, flags: Flags) -> (u32, Vec<u8>) {
    let member = out.port;
    (
        member,
        Way { from: member, to: way.from, ports: (way.ports.1, way.ports.0), v6: way.v6 }.tcp(flags, b""),
    )
}

#[test]
fn both_ways_lead_through_all_functions_under_the_address_of_the_service() {
    for v6 in BOTH {
        let mut net = Net::new(&led());
        let way = Way::new(CLIENT, TIER, (5000, 80), v6);
        let (client, tier) = way.ips();
        let (out, seen) = traced(&mut net, CLIENT, &way.tcp(SYN, b""));
        let out = out.expect("it is delivered");
        let there = format!("{client} {tier}");
        assert_eq!(seen, [(WATCH, 0, there.clone()), (GUARD, 0, there)]);
        assert_eq!((out.port, addresses(&out.frame)), (3, (client, ip(3, v6))));
        let ttl = if v6 { out.frame[21] } else { out.frame[22] };
        assert_eq!(ttl, 63, "lowered once");
        let (member, frame) = answer(&out, &way, SYN_ACK);
        let (back, seen) = traced(&mut net, member, &frame);
        let back = back.expect("it comes back");
        let home = format!("{tier} {client}");
        assert_eq!(seen, [(GUARD, 1, home.clone()), (WATCH, 1, home)]);
        assert_eq!((back.port, addresses(&back.frame)), (CLIENT, (tier, client)));
        for function in [0, 1] {
            let [instance] = counters(&net, function).instances.try_into().unwrap();
            assert_eq!((instance.packets, instance.left), ([1, 1], [1, 1]));
        }
    }
}

#[test]
fn what_no_rule_allows_comes_to_no_function() {
    let mut net = Net::new(&led());
    let (out, seen) = traced(&mut net, LONER, &Way::new(LONER, WEB, (5000, 80), false).tcp(SYN, b""));
    assert_eq!((icmp_kind(&out.unwrap().frame), seen.len()), (prohibited(false), 0));
    // The gateway's own answers neither.
    let (out, seen) = traced(&mut net, CLIENT, &Way::new(CLIENT, GATEWAY, (7, 0), false).echo(false, b"x"));
    assert!(out.is_some() && seen.is_empty());
}

#[test]
fn an_answer_of_a_function_goes_back_through_those_before_it() {
    for v6 in BOTH {
        let mut net = Net::new(&led());
        let way = Way::new(CLIENT, TIER, (5000, 80), v6);
        let (client, tier) = way.ips();
        let mut seen = Vec::new();
        // The guard answers the SYN itself, in the name of the service.
        let refusal = Way { from: TIER, ..way.back() };
        let out = send(&mut net, CLIENT, &way.tcp(SYN, b""), &mut |slot, gate, packet| {
            seen.push((slot, gate));
            if slot != GUARD {
                return Some(1 - gate);
            }
            let frame = refusal.tcp(Flags(0x14), b"");
            packet.truncate(frame.len());
            packet.data_mut().copy_from_slice(&frame);
            Some(gate)
        });
        let out = out.expect("the client is told");
        assert_eq!(seen, [(WATCH, 0), (GUARD, 0), (WATCH, 1)]);
        assert_eq!((out.port, addresses(&out.frame)), (CLIENT, (tier, client)));
        let [guard] = counters(&net, 1).instances.try_into().unwrap();
        assert_eq!((guard.packets, guard.left), ([1, 0], [1, 0]));
    }
}

#[test]
fn errors_about_a_flow_pass_its_functions() {
    for v6 in BOTH {
        let mut net = Net::new(&led());
        let way = Way::new(CLIENT, TIER, (5000, 80), v6);
        let (client, tier) = way.ips();
        let got = pass(&mut net, CLIENT, &way.udp(b"hi")).expect("a datagram");
        let member = Way { from: got.port, to: CLIENT, ports: (80, 5000), v6 };
        let (out, seen) = traced(&mut net, got.port, &member.unreachable(&got.frame[14..]));
        let out = out.expect("the error");
        assert_eq!(
            seen.iter().map(|(slot, gate, _)| (*slot, *gate)).collect::<Vec<_>>(),
            [(GUARD, 1), (WATCH, 1)]
        );
        assert_eq!((out.port, addresses(&out.frame).1), (CLIENT, client));
        let quoted = if v6 { &out.frame[14 + 40 + 8 - 14..] } else { &out.frame[14 + 20 + 8 - 14..] };
        assert_eq!(addresses(quoted), (client, tier), "what the client sent");
        // And the client's own about the answer.
        let back = pass(&mut net, got.port, &member.udp(b"ho")).expect("an answer");
        let (out, seen) = traced(&mut net, CLIENT, &way.unreachable(&back.frame[14..]));
        let out = out.expect("the error");
        assert_eq!(
            seen.iter().map(|(slot, gate, _)| (*slot, *gate)).collect::<Vec<_>>(),
            [(WATCH, 0), (GUARD, 0)]
        );
        assert_eq!((out.port, addresses(&out.frame).1), (got.port, ip(got.port, v6)));
    }
}

#[test]
fn fragments_pass_the_functions_of_their_first() {
    let mut net = Net::new(&led());
    let way = Way::new(CLIENT, TIER, (5000, 80), false);
    let got = pass(&mut net, CLIENT, &way.udp(b"hi")).expect("a datagram");
    let back = Way { from: got.port, to: CLIENT, ports: (80, 5000), v6: false };
    for (from, way, to) in [(CLIENT, way, got.port), (got.port, back, CLIENT)] {
        let whole = way.udp(&[7; 64]);
        for (offset, more) in [(0, true), (40, false)] {
            let part = &whole[34 + offset..if more { 34 + 40 } else { whole.len() }];
            let mut frame = whole[..34].to_vec();
            frame.extend_from_slice(part);
            let mut view = packet::wire::ipv4::View::new_unchecked(&mut frame[14..]);
            view.set_total_len(20 + part.len());
            view.set_ident(9);
            view.set_fragment(false, more, offset as u16);
            view.fill_checksum();
            let mut packet = net.pool.packet(&frame).unwrap();
            packet.set_ingress(PortId(from));
            let mut here = Vec::new();
            net.fabric.handle(net.now, packet, &mut |packet| here.push(packet));
            let mut calls = 0;
            while let Some(packet) = here.pop() {
                let Some(gate) = packet.egress().0.checked_sub(FUNCTION_PORTS) else {
                    assert_eq!((packet.egress().0, calls), (to, 2), "{from} {offset}");
                    break;
                };
                calls += 1;
                let (slot, gate) = ((gate / 2) as u16, 1 - (gate % 2) as u16);
                net.fabric.resume(net.now, packet, slot, gate, &mut |packet| here.push(packet));
            }
            assert_eq!(calls, 2, "{from} {offset}: {:?}", net.fabric.counters().drops);
        }
    }
}

#[test]
fn instances_share_flows_and_keep_them() {
    for (affinity, most) in [(Affinity::Flow, 4), (Affinity::HostPair, 1), (Affinity::None, 4)] {
        let mut program = led();
        program.functions[0] = function("watch", 4, affinity);
        let mut net = Net::with_flows(&program, 1000);
        let mut slots: BTreeMap<u16, u64> = BTreeMap::new();
        for port in 5000..5200 {
            let way = Way::new(CLIENT, WEB, (port, 80), false);
            let (out, there) = traced(&mut net, CLIENT, &way.tcp(SYN, b""));
            let (member, frame) = answer(&out.unwrap(), &way, SYN_ACK);
            let (_, back) = traced(&mut net, member, &frame);
            [there[0].0, back[1].0].into_iter().for_each(|slot| *slots.entry(slot).or_default() += 1);
            if affinity != Affinity::None {
                assert_eq!(there[0].0, back[1].0, "both ways at one instance");
            }
        }
        assert_eq!(slots.len(), most, "{affinity}: {slots:?}");
        let watch = counters(&net, 0);
        let packets: u64 = watch.instances.iter().flat_map(|instance| instance.packets).sum();
        assert_eq!((packets, watch.slots.len()), (400, 4));
    }
}

#[test]
fn another_chain_is_in_force_at_once_and_flows_live_on() {
    let mut net = Net::new(&led());
    let way = Way::new(CLIENT, WEB, (5000, 80), false);
    pass(&mut net, CLIENT, &way.tcp(SYN, b""));
    let mut shorter = led();
    shorter.functions.remove(1);
    shorter.rules.iter_mut().for_each(|rule| rule.through = vec!["watch".into()]);
    // A packet is under way in the guard meanwhile.
    let mut held = Vec::new();
    let mut packet = net.pool.packet(&way.tcp(ACK, b"x")).unwrap();
    packet.set_ingress(PortId(CLIENT));
    net.fabric.handle(net.now, packet, &mut |packet| held.push(packet));
    let first = held.pop().unwrap();
    net.fabric.resume(net.now, first, WATCH, 1, &mut |packet| held.push(packet));
    assert_eq!(held[0].egress().0, FUNCTION_PORTS + 2 * u32::from(GUARD));
    assert_eq!(net.fabric.apply(&shorter).unwrap(), 0, "no flow is cut");
    net.fabric.resume(net.now, held.pop().unwrap(), GUARD, 1, &mut |_| panic!("the guard is gone"));
    assert_eq!(net.dropped(DropReason::ChainChanged), 1);
    let (out, seen) = traced(&mut net, WEB, &way.back().tcp(SYN_ACK, b""));
    assert_eq!((out.unwrap().port, seen.len()), (CLIENT, 1));
    assert_eq!(counters(&net, 0).instances[0].packets, [2, 1], "counters stay with a function");
    net.fabric.apply(&program()).unwrap();
    let (out, seen) = traced(&mut net, CLIENT, &way.tcp(ACK, b""));
    assert_eq!((out.unwrap().port, seen.len()), (WEB, 0));
}

#[test]
fn what_a_function_makes_of_no_flow_is_counted() {
    let mut net = Net::new(&led());
    let way = Way::new(CLIENT, WEB, (5000, 80), false);
    let other = Way { ports: (5001, 80), ..way }.tcp(SYN, b"");
    let does = &mut |_: u16, gate: u16, packet: &mut Packet| {
        packet.data_mut().copy_from_slice(&other);
        Some(1 - gate)
    };
    assert!(send(&mut net, CLIENT, &way.tcp(SYN, b""), does).is_none());
    assert_eq!(net.dropped(DropReason::Strayed), 1);
    let garbage = &mut |_: u16, gate: u16, packet: &mut Packet| {
        packet.truncate(5);
        Some(1 - gate)
    };
    assert!(send(&mut net, CLIENT, &way.tcp(SYN, b""), garbage).is_none());
    assert_eq!(net.dropped(DropReason::Malformed), 1);
}

#[test]
fn functions_that_make_no_sense_are_refused() {
    let refused = |change: &dyn Fn(&mut Program)| {
        let mut program = led();
        change(&mut program);
        compile(&program).unwrap_err().to_string()
    };
    let many = INSTANCES_MAX as u16;
    for (said, found) in [
        ("two network functions are called \"watch\"", refused(&|p| p.functions[1].name = "watch".into())),
        ("has 0 instances", refused(&|p| p.functions[1].instances = 0)),
        ("\"guard\" has 64 instances", refused(&|p| p.functions[1].instances = many)),
        (
            "the rule of shop.js:1:1 leads through \"x\", which",
            refused(&|p| p.rules[0].through.push("x".into())),
        ),
        ("through \"watch\" twice", refused(&|p| p.rules[0].through.push("watch".into()))),
        ("at most 16", refused(&|p| p.rules[0].through = vec!["watch".into(); CHAIN_MAX + 1])),
    ] {
        assert!(found.contains(said), "{found}");
    }
}

#[test]
fn explanations_name_functions_in_order() {
    let net = Net::new(&led());
    let explained = net.fabric.explain("client", "web", Protocol::Tcp, 80).unwrap();
    let names: Vec<_> = explained.functions.iter().map(|function| function.name.as_str()).collect();
    assert_eq!(names, ["watch", "guard"]);
    let shown = explained.to_string();
    assert!(
        shown.contains(", through watch, guard\n  watch-1 (monitor): 0 there, 0 back, 0 packets dropped"),
        "{shown}"
    );
    assert_eq!(net.fabric.explain("loner", "web", Protocol::Tcp, 80).unwrap().functions.len(), 0);
    assert_eq!(net.fabric.policy().openings[0].through, ["watch", "guard"]);
}

#[test]
fn whatever_functions_let_out_is_well_formed_where_it_is_delivered() {
    let seed: u64 = 0x9e37_79b9_7f4a_7c15;
    println!("seed {seed:#x}");
    let mut state = seed;
    let mut random = move |below: usize| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state % below as u64) as usize
    };
    let (mut delivered, mut dropped) = (0_u64, 0);
    for v6 in BOTH {
        let mut net = Net::new(&led());
        let way = Way::new(CLIENT, TIER, (5000, 80), v6);
        let got = pass(&mut net, CLIENT, &way.udp(b"hello")).expect("a datagram");
        let member = Way { from: got.port, to: CLIENT, ports: (80, 5000), v6 };
        let frames =
            [way.udp(b"hello"), member.udp(b"hello"), way.unreachable(&got.frame[14..]), way.tcp(SYN, b"x")];
        for _ in 0..20_000 {
            let mut frame = frames[random(frames.len())].clone();
            for _ in 0..random(4) {
                let at = random(frame.len());
                frame[at] = random(256) as u8;
            }
            frame.truncate(if random(8) == 0 { random(frame.len()) } else { frame.len() });
            let packet = net.pool.packet(&frame).expect("a free buffer");
            let (slot, gate) = (random(3) as u16, random(2) as u16);
            let mut outs = Vec::new();
            net.fabric.resume(net.now, packet, slot, gate, &mut |packet| outs.push(packet));
            assert!(outs.len() <= 1);
            match outs.pop().filter(|packet| packet.egress().0 < FUNCTION_PORTS) {
                Some(packet) => {
                    let (frame, offload) = (packet.data().to_vec(), packet.offload());
                    judge(&Out { port: packet.egress().0, frame, offload });
                    delivered += 1;
                }
                None => dropped += 1,
            }
        }
    }
    assert!(delivered > 200 && dropped > 1000, "{delivered} {dropped}");
}
