//! Garbage: messages made of random bytes and of messages with flipped bits, and packets alike. Nothing panics, hangs or
//! grows without bound.

use std::time::Duration;

use openflow::Version;
use openflow::codec;
use openflow::flow::FlowMod;
use openflow::message::{Body, Message};
use openflow::multipart::{FlowRequest, MultipartRequest, Request};
use openflow::port::PortNo;
use openflow::switch::{COPIES_MAX, Output, PUNTS_MAX};

use crate::random::Random;
use crate::rig::{NEW, OLD, Rig, arp_request, tcp6, udp4};

fn multipart(body: Request) -> Body {
    Body::MultipartRequest(MultipartRequest { flags: 0, body })
}

fn all_flows() -> FlowRequest {
    FlowRequest {
        table: openflow::flow::ALL_TABLES,
        out_port: PortNo::ANY,
        out_group: openflow::group::ANY,
        cookie: 0,
        cookie_mask: 0,
        matching: openflow::matching::Match::default(),
    }
}

/// Messages to be spoilt: of every kind that the other tests send.
fn seeds() -> Vec<(Version, Vec<u8>)> {
    use openflow::action::Action;
    use openflow::instruction::Instruction;
    use openflow::matching::Match;
    use openflow::nicira::Action as Nicira;
    let resubmit = || Action::Nicira(Nicira::ResubmitTable { port: 0xfff8, table: 0 });
    let flow = |actions| {
        let instructions = vec![Instruction::ApplyActions(actions)];
        Body::FlowMod(FlowMod { matching: Match::new().udp_dst(53), instructions, ..FlowMod::default() })
    };
    let bucket = openflow::group::Bucket {
        weight: 1,
        watch_port: PortNo(2),
        watch_group: openflow::group::ANY,
        actions: vec![Action::output(PortNo(2))],
    };
    let group = openflow::group::GroupMod {
        command: openflow::group::GroupCommand::Add,
        kind: openflow::group::GroupKind::Select,
        group: 1,
        buckets: vec![bucket; 3],
    };
    let band = openflow::meter::Band { rate: 1, burst: 1, kind: openflow::meter::BandKind::Drop };
    let meter = openflow::meter::MeterMod {
        command: openflow::meter::MeterCommand::Add,
        flags: 1,
        meter: 1,
        bands: vec![band],
    };
    let packet_out = openflow::flow::PacketOut {
        buffer: openflow::flow::NO_BUFFER,
        in_port: PortNo(1),
        actions: vec![Action::output(PortNo::TABLE), Action::PushVlan(0x8100), Action::output(PortNo::FLOOD)],
        data: udp4([10, 0, 0, 2], 53, b"out"),
    };
    let set = |field, value| Action::SetField(openflow::oxm::Oxm::exact(field, value));
    let bodies = [
        flow(vec![
            Action::output(PortNo(2)),
            Action::DecNwTtl,
            Action::PushMpls(0x8847),
            Action::output(PortNo(3)),
        ]),
        flow(vec![resubmit(), resubmit(), Action::output(PortNo::NORMAL)]),
        flow(vec![set(openflow::field::Field::UdpSrc, 9), Action::PushPbb(0x88e7), Action::Group(1)]),
        flow(vec![
            Action::SetVlanVid(4),
            Action::SetNwTos(4),
            Action::SetTpDst(4),
            Action::output(PortNo::ALL),
        ]),
        Body::GroupMod(group),
        Body::MeterMod(meter),
        Body::PacketOut(packet_out),
        Body::SetConfig(openflow::message::SwitchConfig { flags: 0, miss_send_len: 64 }),
        Body::FlowMod(FlowMod {
            matching: Match::new().with(openflow::oxm::Oxm::masked(openflow::field::Field::Metadata, 0, 1)),
            flags: openflow::flow::flags::SEND_FLOW_REM,
            idle_timeout: 1,
            ..FlowMod::default()
        }),
        Body::FlowMod(FlowMod {
            command: openflow::flow::FlowCommand::Delete,
            table: openflow::flow::ALL_TABLES,
            ..FlowMod::default()
        }),
        Body::FeaturesRequest,
        multipart(Request::Flow(all_flows())),
        multipart(Request::Aggregate(all_flows())),
        multipart(Request::Table),
        multipart(Request::Port(PortNo::ANY)),
        multipart(Request::Queue { port: PortNo::ANY, queue: openflow::queue::ALL }),
        multipart(Request::Group(openflow::group::ALL)),
        multipart(Request::GroupDescription),
        multipart(Request::GroupFeatures),
        multipart(Request::Meter(openflow::meter::ALL)),
        multipart(Request::MeterConfig(openflow::meter::ALL)),
        multipart(Request::MeterFeatures),
        multipart(Request::PortDescription),
        multipart(Request::Description),
        Body::Nicira(openflow::nicira::Message::SetFlowFormat(2)),
        Body::Nicira(openflow::nicira::Message::SetPacketInFormat(openflow::flow::PacketInFormat::Nxm)),
    ];
    let mut seeds = Vec::new();
    for version in Version::ALL {
        for body in &bodies {
            let mut bytes = Vec::new();
            if codec::encode(version, &Message::new(1, body.clone()), &mut bytes).is_ok() {
                seeds.push((version, bytes));
            }
        }
    }
    assert!(seeds.len() > 10);
    seeds
}

/// What the switch says to a controller, the controller's version can say.
fn sayable(output: &Output) {
    if let Output::Message { connection, message } = output {
        let version = if *connection == OLD { Version::V10 } else { Version::V13 };
        let mut bytes = Vec::new();
        if let Err(error) = codec::encode(version, message, &mut bytes) {
            panic!("{error}: {message:?}");
        }
    }
}

/// Garbage again, to two switches, one of which forgets its cache before each packet: they do the same.
#[test]
fn the_cache_changes_nothing() {
    let seeds = seeds();
    let frames = [udp4([10, 0, 0, 2], 53, b"frame"), tcp6(80, 0x11, b"frame"), arp_request()];
    let mut hits = 0;
    for seed in 1..=40 {
        println!("seed {seed}");
        let mut random = Random::new(seed);
        let (mut cached, mut plain) = (Rig::new(), Rig::new());
        for _ in 0..60 {
            let (version, mut bytes) = random.one_of(&seeds.iter().collect::<Vec<_>>()).clone();
            if bytes.len() > 8 {
                let at = 8 + random.below(bytes.len() as u64 - 8) as usize;
                bytes[at] = random.one_of(&[0, 1, bytes[at]]);
            }
            if let Ok((_, message)) = codec::decode(&bytes) {
                let from = if version == Version::V10 { OLD } else { NEW };
                for rig in [&mut cached, &mut plain] {
                    rig.switch.handle_message(rig.now, from, &message);
                }
                assert_eq!(cached.drain(), plain.drain());
            }
            let mut some: Vec<Vec<u8>> = Vec::new();
            for frame in &frames {
                let mut frame = frame.clone();
                let at = random.below(54.min(frame.len() as u64)) as usize;
                frame[at] = random.one_of(&[0, 1, frame[at]]);
                // Pushed and pushed again, so that what is under a label or a tag decides.
                if random.below(3) == 0 {
                    let tag: [u8; 4] = random.one_of(&[[0x81, 0, 0, 7], [0x88, 0x47, 0, 1]]);
                    frame.splice(12..12, tag);
                }
                some.push(frame);
            }
            for _ in 0..12 {
                let (port, frame) = (1 + random.below(3) as u32, random.one_of(&[0, 1, 2]));
                let anew = crate::rig::port(4);
                plain.switch.port_changed(plain.now, anew).unwrap();
                plain.drain();
                assert_eq!(
                    cached.packet(port, &some[frame]),
                    plain.packet(port, &some[frame]),
                    "seed {seed}"
                );
            }
            for rig in [&mut cached, &mut plain] {
                rig.now += Duration::from_millis(100);
                rig.switch.expire(rig.now);
            }
            assert_eq!(cached.drain(), plain.drain());
        }
        hits += cached.switch.counters().cache_hits;
        assert_eq!(plain.switch.counters().cache_hits, 0);
    }
    assert!(hits > 5000, "{hits}");
}

#[test]
fn garbage_is_survived() {
    let seeds = seeds();
    let frames = [udp4([10, 0, 0, 2], 53, b"frame"), tcp6(80, 0x11, b"frame"), arp_request()];
    for seed in 1..=30 {
        println!("seed {seed}");
        let mut random = Random::new(seed);
        let mut rig = Rig::new();
        let mut read = 0;
        for _ in 0..400 {
            let (version, mut bytes) = random.one_of(&seeds.iter().collect::<Vec<_>>()).clone();
            let flips = if bytes.len() > 8 { random.below(4) } else { 0 };
            for _ in 0..flips {
                let at = 8 + random.below(bytes.len() as u64 - 8) as usize;
                let (bit, any) = (random.below(8), random.below(256) as u8);
                bytes[at] = random.one_of(&[0, 1, 0xff, bytes[at] ^ 1 << bit, any]);
            }
            if let Ok((_, message)) = codec::decode(&bytes) {
                read += 1;
                let from = if version == Version::V10 { OLD } else { NEW };
                rig.switch.handle_message(rig.now, from, &message);
            }
            let mut frame = random.one_of(&frames.iter().collect::<Vec<_>>()).clone();
            for _ in 0..random.below(5) {
                let at = random.below(frame.len() as u64) as usize;
                let any = random.below(256) as u8;
                frame[at] = random.one_of(&[0, 0xff, any, 0x81, 0x88, 0x47, 0xe7]);
            }
            frame.truncate(random.below(frame.len() as u64 + 30) as usize);
            let in_port = PortNo(random.below(6) as u32);
            let trace = rig.switch.explain(rig.now, in_port, &frame);
            assert!(trace.outputs.len() <= COPIES_MAX && trace.packet_ins.len() <= PUNTS_MAX);
            rig.switch.receive(rig.now, in_port, &frame);
            rig.now += Duration::from_millis(random.below(300));
            rig.switch.expire(rig.now);
            for output in rig.drain() {
                sayable(&output);
            }
        }
        assert!(read > 100, "most spoilt messages are still messages: {read}");
    }
}

#[test]
fn random_frames_are_read_to_their_end_and_no_further() {
    let mut random = Random::new(9);
    let mut rig = Rig::new();
    rig.output(1, openflow::matching::Match::default(), 2);
    for _ in 0..20_000 {
        let length = random.below(90) as usize;
        let mut frame = random.bytes(length);
        if length > 14 {
            frame[12..14].copy_from_slice(
                &random.one_of(&[0x0800_u16, 0x86dd, 0x0806, 0x8100, 0x8847, 0x88e7, 0x002a]).to_be_bytes(),
            );
            frame[14] = random.one_of(&[0x45, 0x46, 0x60, 0x4f, 0xaa]);
        }
        if length > 24 {
            frame[20] = random.one_of(&[0, 6, 17, 43, 44, 51, 58, 60]);
            frame[23] = random.one_of(&[1, 6, 17, 132]);
            (frame[16], frame[17], frame[18]) = (0, (length - 14) as u8, 0);
        }
        let sent = rig.ports(1, &frame);
        assert_eq!(sent.len(), usize::from(length >= 14));
    }
}
