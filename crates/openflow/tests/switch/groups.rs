//! Groups and meters.

use openflow::action::Action;
use openflow::error::{BadAction, Fault, GroupModFailed, MeterModFailed};
use openflow::flow::{FlowMod, RemovedReason, flags};
use openflow::group::{self, Bucket, GroupCommand, GroupKind, GroupMod};
use openflow::instruction::Instruction;
use openflow::matching::Match;
use openflow::message::{Body, Message};
use openflow::meter::{self, Band, BandKind, MeterCommand, MeterMod};
use openflow::multipart::{MultipartRequest, Reply, Request};
use openflow::port::{PortNo, state};
use openflow::switch::{CHAIN_MAX, Output};

use crate::rig::{NEW, Rig, packet_ins, port, udp4};

fn bucket(to: u32) -> Bucket {
    Bucket {
        weight: 1,
        watch_port: PortNo::ANY,
        watch_group: group::ANY,
        actions: vec![Action::output(PortNo(to))],
    }
}

fn group(group: u32, kind: GroupKind, buckets: &[Bucket]) -> GroupMod {
    GroupMod { command: GroupCommand::Add, kind, group, buckets: buckets.to_vec() }
}

/// An entry that sends everything to a group.
fn to_group(rig: &mut Rig, number: u32) {
    let flags = flags::SEND_FLOW_REM;
    let instructions = vec![Instruction::ApplyActions(vec![Action::Group(number)])];
    rig.flow(NEW, FlowMod { flags, instructions, ..FlowMod::default() });
}

fn statistics(rig: &mut Rig, body: Request) -> Reply {
    match rig.ask(NEW, Body::MultipartRequest(MultipartRequest { flags: 0, body })) {
        Body::MultipartReply(reply) => reply.body,
        other => panic!("{other:?}"),
    }
}

#[test]
fn all_sends_a_copy_by_each_bucket() {
    let mut rig = Rig::new();
    let packet = udp4([10, 0, 0, 2], 53, b"");
    let mut changed = bucket(2);
    // A bucket is a set: its output is last, whatever the order.
    changed.actions.push(Action::PushVlan(0x8100));
    rig.tell(NEW, Body::GroupMod(group(1, GroupKind::All, &[changed, bucket(3)])));
    to_group(&mut rig, 1);
    for _ in 0..2 {
        let sent = rig.packet(1, &packet);
        let lengths = sent.iter().map(|output| match output {
            Output::Packet { port, bytes, .. } => (port.0, bytes.len()),
            Output::Message { .. } => (0, 0),
        });
        let lengths = lengths.collect::<Vec<_>>();
        assert_eq!(
            lengths,
            [(2, packet.len() + 4), (3, packet.len())],
            "the second is a copy of the original"
        );
    }
    let Reply::Group(groups) = statistics(&mut rig, Request::Group(group::ALL)) else { panic!() };
    let whole = packet.len() as u64;
    assert_eq!((groups[0].packets, groups[0].references, groups[0].bytes), (2, 1, 2 * whole));
    assert_eq!(groups[0].buckets, [(2, 2 * whole), (2, 2 * whole)]);
}

#[test]
fn select_gives_each_bucket_its_share_and_keeps_flows() {
    let mut rig = Rig::new();
    let mut buckets = [bucket(2), bucket(3), bucket(4)];
    buckets[1].weight = 3;
    buckets[2].weight = 0;
    rig.tell(NEW, Body::GroupMod(group(1, GroupKind::Select, &buckets)));
    to_group(&mut rig, 1);
    let mut counts = [0; 5];
    for flow in 0..4000_u16 {
        let packet = udp4([10, 0, 0, 2], flow, b"");
        let to = rig.ports(1, &packet);
        assert_eq!(rig.ports(1, &packet), to, "a flow stays");
        counts[to[0] as usize] += 1;
    }
    assert_eq!((counts[2] + counts[3], counts[4]), (4000, 0));
    assert!((900..1100).contains(&counts[2]), "a quarter of 4000: {counts:?}");
}

#[test]
fn fast_failover_follows_the_ports() {
    let mut rig = Rig::new();
    let mut buckets = [bucket(2), bucket(3)];
    buckets[0].watch_port = PortNo(2);
    buckets[1].watch_port = PortNo(3);
    rig.tell(NEW, Body::GroupMod(group(1, GroupKind::FastFailover, &buckets)));
    to_group(&mut rig, 1);
    let packet = udp4([10, 0, 0, 2], 53, b"");
    let carrier = |rig: &mut Rig, number, is_up: bool| {
        let state = if is_up { 0 } else { state::LINK_DOWN };
        rig.switch.port_changed(rig.now, openflow::port::Port { state, ..port(number) }).unwrap();
        rig.drain();
    };
    assert_eq!(rig.ports(1, &packet), [2]);
    carrier(&mut rig, 2, false);
    assert_eq!(rig.ports(1, &packet), [3], "in the very next packet");
    carrier(&mut rig, 3, false);
    assert_eq!(rig.ports(1, &packet), []);
    carrier(&mut rig, 2, true);
    assert_eq!(rig.ports(1, &packet), [2]);
}

#[test]
fn groups_that_cannot_be_are_refused() {
    let mut rig = Rig::new();
    let mut refused = |request: GroupMod, fault: Fault| rig.refused(NEW, Body::GroupMod(request), fault);
    refused(group(group::MAX + 1, GroupKind::All, &[]), GroupModFailed::InvalidGroup.into());
    refused(group(1, GroupKind::Other(9), &[]), GroupModFailed::BadType.into());
    refused(group(1, GroupKind::Indirect, &[]), GroupModFailed::InvalidGroup.into());
    refused(group(1, GroupKind::FastFailover, &[bucket(2)]), GroupModFailed::InvalidGroup.into());
    refused(group(1, GroupKind::All, &[bucket(9)]), BadAction::BadOutPort.into());
    let watching = Bucket { watch_port: PortNo(9), ..bucket(2) };
    refused(group(1, GroupKind::FastFailover, &[watching]), GroupModFailed::BadWatch.into());
    let command = GroupCommand::Other(7);
    refused(GroupMod { command, ..group(1, GroupKind::All, &[]) }, GroupModFailed::BadCommand.into());
    let command = GroupCommand::Modify;
    refused(GroupMod { command, ..group(1, GroupKind::All, &[]) }, GroupModFailed::UnknownGroup.into());
    let through = |number| Bucket { actions: vec![Action::Group(number)], ..bucket(2) };
    refused(group(1, GroupKind::All, &[through(5)]), BadAction::BadOutGroup.into());
    refused(group(1, GroupKind::All, &[through(1)]), GroupModFailed::Loop.into());
    rig.tell(NEW, Body::GroupMod(group(1, GroupKind::All, &[bucket(2)])));
    rig.refused(NEW, Body::GroupMod(group(1, GroupKind::All, &[])), GroupModFailed::GroupExists);
    for number in 2..=CHAIN_MAX as u32 {
        rig.tell(NEW, Body::GroupMod(group(number, GroupKind::All, &[through(number - 1)])));
    }
    let last = CHAIN_MAX as u32;
    let longer = group(last + 1, GroupKind::All, &[through(last)]);
    rig.refused(NEW, Body::GroupMod(longer), GroupModFailed::ChainingUnsupported);
    let back = GroupMod { command: GroupCommand::Modify, ..group(1, GroupKind::All, &[through(last)]) };
    rig.refused(NEW, Body::GroupMod(back), GroupModFailed::Loop);
    let delete = GroupMod { command: GroupCommand::Delete, ..group(1, GroupKind::All, &[]) };
    rig.refused(NEW, Body::GroupMod(delete), GroupModFailed::ChainedGroup);
    // A chain does carry.
    to_group(&mut rig, last);
    assert_eq!(rig.ports(1, &udp4([10, 0, 0, 2], 53, b"")), [2]);
}

#[test]
fn groups_within_groups_do_not_multiply_without_end() {
    let mut rig = Rig::new();
    rig.tell(NEW, Body::GroupMod(group(0, GroupKind::All, &vec![bucket(2); 16])));
    for number in 1..6 {
        let through = Bucket { actions: vec![Action::Group(number - 1)], ..bucket(2) };
        rig.tell(NEW, Body::GroupMod(group(number, GroupKind::All, &vec![through; 16])));
    }
    to_group(&mut rig, 5);
    let copies = rig.ports(1, &udp4([10, 0, 0, 2], 53, b"")).len();
    assert!((1..=openflow::switch::COPIES_MAX).contains(&copies), "16^6 were asked for, {copies} made");
    assert!(rig.switch.counters().over_limit > 0);
}

#[test]
fn entries_are_deleted_by_the_group_they_lead_to() {
    let mut rig = Rig::new();
    rig.tell(NEW, Body::GroupMod(group(1, GroupKind::Indirect, &[bucket(2)])));
    rig.output(9, Match::new().ipv4(), 3);
    let instructions = vec![Instruction::WriteActions(vec![Action::Group(1)])];
    rig.flow(NEW, FlowMod { instructions, ..FlowMod::default() });
    let delete = |out_group| FlowMod {
        command: openflow::flow::FlowCommand::Delete,
        table: openflow::flow::ALL_TABLES,
        out_group,
        ..FlowMod::default()
    };
    rig.flow(NEW, delete(7));
    assert_eq!(rig.switch.flows(), 2);
    rig.flow(NEW, delete(1));
    assert_eq!(rig.switch.flows(), 1);
}

#[test]
fn a_group_that_goes_takes_its_entries() {
    let mut rig = Rig::new();
    rig.tell(NEW, Body::GroupMod(group(1, GroupKind::Indirect, &[bucket(2)])));
    to_group(&mut rig, 1);
    let delete = GroupMod { command: GroupCommand::Delete, ..group(group::ALL, GroupKind::All, &[]) };
    let told = rig.send(NEW, Body::GroupMod(delete));
    let reasons = told.iter().filter_map(|output| match output {
        Output::Message { message: Message { body: Body::FlowRemoved(removed), .. }, .. } => {
            Some(removed.reason)
        }
        _ => None,
    });
    assert!(reasons.into_iter().all(|reason| reason == RemovedReason::GroupDelete));
    assert_eq!((told.len(), rig.switch.flows()), (2, 0));
}

fn meter(flags: u16, bands: &[Band]) -> MeterMod {
    MeterMod { command: MeterCommand::Add, flags, meter: 1, bands: bands.to_vec() }
}

#[test]
fn a_meter_drops_and_remarks_and_counts() {
    let mut rig = Rig::new();
    let bands = [
        Band { rate: 10, burst: 10, kind: BandKind::DscpRemark { precedence: 1 } },
        Band { rate: 20, burst: 20, kind: BandKind::Drop },
    ];
    rig.tell(
        NEW,
        Body::MeterMod(meter(meter::flags::PKTPS | meter::flags::BURST | meter::flags::STATS, &bands)),
    );
    let output = Instruction::ApplyActions(vec![Action::output(PortNo(2))]);
    rig.flow(NEW, FlowMod { instructions: vec![Instruction::Meter(1), output], ..FlowMod::default() });
    let mut packet = udp4([10, 0, 0, 2], 53, b"");
    packet[15] = 18 << 2;
    let mut marks = std::collections::BTreeMap::new();
    for _ in 0..100 {
        for output in rig.packet(1, &packet) {
            let Output::Packet { bytes, .. } = output else { panic!() };
            *marks.entry(bytes[15] >> 2).or_insert(0) += 1;
        }
    }
    assert_eq!(
        marks.into_iter().collect::<Vec<_>>(),
        [(18, 10), (20, 10)],
        "ten as they were, ten marked, the rest dropped"
    );
    let Reply::Meter(meters) = statistics(&mut rig, Request::Meter(1)) else { panic!() };
    let bands: Vec<_> = meters[0].bands.iter().map(|band| band.0).collect();
    assert_eq!((meters[0].flows, meters[0].packets, bands), (1, 100, vec![10, 80]));
}

#[test]
fn meters_that_cannot_be_are_refused() {
    let mut rig = Rig::new();
    let drop = |rate| Band { rate, burst: 0, kind: BandKind::Drop };
    let mut refused =
        |request: MeterMod, fault: MeterModFailed| rig.refused(NEW, Body::MeterMod(request), fault);
    let kbps = meter::flags::KBPS;
    refused(MeterMod { meter: 0, ..meter(kbps, &[drop(1)]) }, MeterModFailed::InvalidMeter);
    refused(MeterMod { meter: meter::MAX + 1, ..meter(kbps, &[drop(1)]) }, MeterModFailed::InvalidMeter);
    refused(meter(kbps | meter::flags::PKTPS, &[drop(1)]), MeterModFailed::BadFlags);
    refused(meter(1 << 9, &[drop(1)]), MeterModFailed::BadFlags);
    refused(meter(kbps, &[drop(0)]), MeterModFailed::BadRate);
    let kind = BandKind::DscpRemark { precedence: 0 };
    refused(meter(kbps, &[Band { kind, ..drop(1) }]), MeterModFailed::BadBandValue);
    let kind = BandKind::Experimenter { experimenter: 1, data: vec![] };
    refused(meter(kbps, &[Band { kind, ..drop(1) }]), MeterModFailed::BadBand);
    refused(meter(kbps, &vec![drop(1); 17]), MeterModFailed::OutOfBands);
    let modify = MeterMod { command: MeterCommand::Modify, ..meter(kbps, &[drop(1)]) };
    refused(modify, MeterModFailed::UnknownMeter);
    let other = MeterMod { command: MeterCommand::Other(9), ..meter(kbps, &[drop(1)]) };
    refused(other, MeterModFailed::BadCommand);
    rig.tell(NEW, Body::MeterMod(meter(kbps, &[drop(1)])));
    rig.refused(NEW, Body::MeterMod(meter(kbps, &[drop(1)])), MeterModFailed::MeterExists);
    let config = Body::MultipartRequest(MultipartRequest { flags: 0, body: Request::MeterConfig(7) });
    rig.refused(NEW, config, MeterModFailed::UnknownMeter);
    // One that goes takes its entries.
    let instructions = vec![Instruction::Meter(1)];
    rig.flow(NEW, FlowMod { instructions, matching: Match::new().ipv4(), ..FlowMod::default() });
    rig.tell(NEW, Body::MeterMod(MeterMod { command: MeterCommand::Delete, ..meter(0, &[]) }));
    assert_eq!(rig.switch.flows(), 0);
    assert_eq!(packet_ins(rig.packet(1, &udp4([10, 0, 0, 2], 53, b""))).len(), 1, "1.0 hears of the miss");
}
