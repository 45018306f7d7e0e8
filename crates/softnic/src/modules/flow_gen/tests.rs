use std::collections::{BTreeMap, BTreeSet};

use packet::Packet;
use packet::flow::FlowKey;
use packet::parse::{Layers, Network};
use packet::wire::tcp::{self, Flags};
use packet::wire::{EtherType, ipv4};

use super::super::frames::{datagram, framed, pool, segment, tagged};
use super::*;
use crate::engine::rig::{Own, Rig};

const ENDS: [&str; 2] = ["10.0.0.1:1000", "192.0.2.1:80"];
const SIX: [&str; 2] = ["[fd00::1]:1000", "[2001:db8::1]:80"];

fn config(template: Vec<u8>) -> FlowGenConfig {
    let ranges = Ranges { ip_source: 4, port_source: 100, ..Ranges::default() };
    FlowGenConfig {
        template,
        pps: 1e5,
        flow_rate: 1e3,
        flow_duration: 0.1,
        ranges,
        ..FlowGenConfig::default()
    }
}

fn rig(config: FlowGenConfig) -> Own<FlowGen> {
    Rig::new(FlowGen::new(pool(), config, 7).unwrap())
}

/// Runs the task as its worker would, for so long; `see` gets all packets.
fn run(rig: &mut Own<FlowGen>, until_ns: u64, see: impl FnMut(u64, &Packet)) {
    run_from(rig, 0, until_ns, see);
}

fn run_from(rig: &mut Own<FlowGen>, begin_ns: u64, until_ns: u64, mut see: impl FnMut(u64, &Packet)) {
    let mut now_ns = begin_ns;
    while now_ns <= until_ns {
        let (ran, left) = rig.at(now_ns).run(0);
        assert_eq!(ran.packets as usize, left.len());
        assert_eq!(ran.bytes, left.iter().map(|(_, packet)| packet.len() as u64).sum::<u64>());
        left.iter().for_each(|(_, packet)| see(now_ns, packet));
        if ran.next == Next::Idle {
            now_ns = rig.module.deadline_ns().unwrap();
            rig.at(now_ns).expire();
            assert_eq!((rig.woken(), rig.module.deadline_ns()), (1, None));
        }
    }
}

fn key(packet: &Packet) -> FlowKey {
    let layers = Layers::of(packet.data()).unwrap();
    FlowKey::of(&layers, packet.data()).unwrap()
}

#[test]
fn rates_are_what_was_asked_for() {
    for (arrival, duration) in [
        (FlowArrival::Uniform, FlowDuration::Uniform),
        (FlowArrival::Exponential, FlowDuration::Uniform),
        (FlowArrival::Uniform, FlowDuration::Pareto),
    ] {
        let mut rig =
            rig(FlowGenConfig { arrival, duration, quick_rampup: true, ..config(datagram(ENDS, b"hello")) });
        let mut packets = 0u64;
        run(&mut rig, 2_000_000_000, |_, _| packets += 1);
        let begun = rig.module.begun() as f64;
        // 100 flows are there already, and 2,000 begin in 2 s.
        assert!((1850.0..2350.0).contains(&begun), "{arrival:?} {duration:?}: {begun} flows");
        let packets = packets as f64;
        assert!((150_000.0..250_000.0).contains(&packets), "{arrival:?} {duration:?}: {packets} packets");
    }
}

/// BESS's packets stop after two weeks (NetSys/bess issue 1054).
#[test]
fn weeks_change_nothing() {
    const WEEKS_NS: u64 = 3 * 7 * 24 * 3600 * 1_000_000_000;
    let times = |rig: &mut Own<FlowGen>, begin: u64| {
        let mut times = Vec::new();
        run_from(rig, begin, begin + 500_000_000, |now, _| times.push(now - begin));
        times
    };
    let mut fresh = rig(config(datagram(ENDS, b"hello")));
    let first = times(&mut fresh, 0);
    assert_eq!(times(&mut rig(config(datagram(ENDS, b"hello"))), WEEKS_NS), first);
    // One that has had no turns for weeks goes on where it was.
    let later = times(&mut fresh, WEEKS_NS);
    assert!(later.len() < 2 * first.len() + 10_000, "{} packets after {}", later.len(), first.len());
    assert!(later.iter().any(|time| *time > 400_000_000), "it has stopped");
}

#[test]
fn even_flows_have_even_packets() {
    let mut rig = rig(config(datagram(ENDS, b"hello")));
    let mut times: BTreeMap<FlowKey, Vec<u64>> = BTreeMap::new();
    run(&mut rig, 200_000_000, |now_ns, packet| times.entry(key(packet)).or_default().push(now_ns));
    // A packet every millisecond, each flow 100 of them; some ends are drawn twice.
    let regular =
        times.values().filter(|times| times.windows(2).all(|pair| pair[1] - pair[0] == 1_000_000)).count();
    assert!(regular > 100, "{regular} of {}", times.len());
}

#[test]
fn ends_are_drawn_from_their_ranges() {
    let mut rig = rig(config(datagram(ENDS, b"hello")));
    let (mut addresses, mut ports) = (BTreeSet::new(), BTreeSet::new());
    run(&mut rig, 1_000_000_000, |_, packet| {
        let key = key(packet);
        addresses.insert(key.source());
        ports.insert(key.source_port());
        assert_eq!((key.destination(), key.destination_port()), ("192.0.2.1".parse().unwrap(), 80));
    });
    let expected: BTreeSet<std::net::IpAddr> = (1..=4u8).map(|host| [10, 0, 0, host].into()).collect();
    assert_eq!(addresses, expected);
    assert_eq!(ports, (1000..1100).collect::<BTreeSet<u16>>());
}

/// Whether all lengths and checksums of a frame are right.
fn is_sound(packet: &Packet) -> bool {
    let frame = packet.data();
    let layers = Layers::of(frame).unwrap();
    let (source, destination) = layers.addresses(frame).unwrap();
    let ip = layers.network_packet(frame);
    let link = layers.network == Network::V6 || ipv4::View::new_checked(ip).unwrap().verify_checksum();
    let segment = layers.segment(frame);
    link && match layers.protocol {
        packet::wire::IpProtocol::TCP => {
            tcp::View::new_checked(segment).unwrap().verify_checksum(source, destination)
        }
        _ => packet::wire::udp::View::new_checked(segment).unwrap().verify_checksum(source, destination),
    }
}

#[test]
fn every_packet_is_sound() {
    for frame in [
        datagram(ENDS, b"hello"),
        datagram(SIX, b"hello"),
        segment(ENDS, Flags::ACK, &[7; 500]),
        segment(SIX, Flags::ACK, &[7; 500]),
        tagged(&segment(ENDS, Flags::ACK, b"x"), EtherType::VLAN, 5),
    ] {
        let mut spoilt = frame.clone();
        spoilt[frame.len() - 1] ^= 1; // the template's checksum need not be right
        let mut rig = rig(FlowGenConfig { quick_rampup: true, ..config(spoilt) });
        let mut count = 0;
        run(&mut rig, 100_000_000, |_, packet| {
            count += 1;
            assert!(is_sound(packet), "{:02x?}", packet.data());
        });
        assert!(count > 1000);
    }
}

#[test]
fn tcp_begins_and_ends() {
    let mut rig = rig(FlowGenConfig {
        flow_duration: 0.005,
        pps: 5000.0,
        ..config(segment(ENDS, Flags::ACK, &[7; 100]))
    });
    let mut flows: BTreeMap<FlowKey, Vec<(u32, Flags, usize)>> = BTreeMap::new();
    run(&mut rig, 50_000_000, |_, packet| {
        let layers = Layers::of(packet.data()).unwrap();
        let view = tcp::View::new_checked(layers.segment(packet.data())).unwrap();
        let length = view.payload().len();
        assert!(packet.len() >= 60);
        flows.entry(key(packet)).or_default().push((view.sequence(), view.flags(), length));
    });
    let whole = flows.values().find(|packets| packets.len() == 5).expect("a whole flow");
    let ends =
        [(SEQUENCE, Flags::SYN, 0), (SEQUENCE + 1, Flags::ACK, 100), (SEQUENCE + 101, Flags::ACK, 100)];
    assert_eq!(whole[..3], ends);
    assert_eq!(whole[4], (SEQUENCE + 301, Flags::ACK | Flags::FIN, 0));
}

#[test]
fn bursts_have_a_limit_and_0_pauses() {
    let mut rig = rig(config(datagram(ENDS, b"hello")));
    run(&mut rig, 100_000_000, |_, _| ());
    assert_eq!(rig.module.set_burst(33), Err(FlowGenError::Burst(33)));
    rig.module.set_burst(3).unwrap();
    assert_eq!(rig.at(200_000_000).run(0).1.len(), 3);
    rig.module.set_burst(0).unwrap();
    let (ran, left) = rig.at(200_000_000).run(0);
    assert_eq!((ran, left.len()), (Ran::idle(), 0));
    assert_eq!(rig.module.deadline_ns(), Some(201_000_000));
}

#[test]
fn an_update_changes_what_comes() {
    let mut rig = rig(config(datagram(ENDS, b"hello")));
    run(&mut rig, 10_000_000, |_, packet| assert_eq!(packet.len(), 47));
    let longer = FlowGenConfig { pps: 2e5, ..config(datagram(ENDS, b"longer than before")) };
    rig.module.update(longer.clone()).unwrap();
    assert_eq!(rig.module.config(), &longer);
    assert!(rig.at(20_000_000).run(0).1.iter().all(|(_, packet)| packet.len() == 60));
    let other = config(segment(ENDS, Flags::ACK, b""));
    assert_eq!(rig.module.update(other), Err(FlowGenError::Protocol));
    assert_eq!(rig.module.config(), &longer);
}

#[test]
fn what_cannot_be_made_is_refused() {
    let wrong = |config| FlowGen::new(pool(), config, 1).err().unwrap();
    let good = config(datagram(ENDS, b"hello"));
    let template = |template| wrong(FlowGenConfig { template, ..good.clone() });
    assert_eq!(template(Vec::new()), TemplateError::Missing.into());
    assert_eq!(template(framed(EtherType::ARP, &[0; 4])).to_string(), {
        let error = Layers::of(&framed(EtherType::ARP, &[0; 4])).unwrap_err();
        TemplateError::Malformed(error).to_string()
    });
    assert_eq!(template(framed(EtherType::LLDP, &[0; 40])), TemplateError::NotIp.into());
    let too_big = TemplateError::TooBig { length: 1537, most: 1536 };
    assert_eq!(template(vec![0; 1537]), too_big.into());
    let number = |config| matches!(wrong(config), FlowGenError::Number { .. });
    assert!(number(FlowGenConfig { pps: f64::NAN, ..good.clone() }));
    assert!(number(FlowGenConfig { flow_rate: 0.0, ..good.clone() }));
    assert!(number(FlowGenConfig { flow_duration: -1.0, ..good.clone() }));
    assert!(number(FlowGenConfig { pps: f64::INFINITY, ..good.clone() }));
    assert!(matches!(wrong(FlowGenConfig { pps: 999.0, ..good.clone() }), FlowGenError::FlowRate { .. }));
}

#[test]
fn too_many_flows_are_left_out() {
    let many = FlowGenConfig {
        pps: 1e9,
        flow_rate: 1e9,
        flow_duration: 1e9,
        quick_rampup: true,
        ..config(datagram(ENDS, b""))
    };
    let mut rig = rig(many);
    assert!(rig.module.flows() <= FlowGen::FLOWS_MAX);
    rig.at(0).run(0);
    rig.at(u64::MAX / 2).run(0);
    assert!(rig.module.flows() <= FlowGen::FLOWS_MAX);
}

#[test]
fn the_mean_of_the_distribution_is_its_integral() {
    let steps = 100_000;
    let sum: f64 = (0..steps).map(|step| pareto((f64::from(step) + 0.5) / f64::from(steps))).sum();
    assert!((sum / f64::from(steps) - pareto_mean()).abs() < 1e-4);
}
