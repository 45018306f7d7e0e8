//! What actions do to real packets, and that checksums stay right.

use std::net::Ipv6Addr;

use openflow::action::Action;
use openflow::error::{BadAction, BadInstruction, BadMatch, Fault, FlowModFailed, MeterModFailed};
use openflow::field::Field;
use openflow::flow::{FlowCommand, FlowMod, PacketInReason};
use openflow::instruction::Instruction;
use openflow::matching::Match;
use openflow::message::Body;
use openflow::multipart::{MultipartReply, MultipartRequest, Reply, Request};
use openflow::oxm::Oxm;
use openflow::port::PortNo;
use packet::parse::Layers;
use packet::wire::EtherType;

use crate::rig::{NEW, OLD, Rig, arp_request, frame, is_sound, packet_ins, tcp6, udp4};

fn set(field: Field, value: u128) -> Action {
    Action::SetField(Oxm::exact(field, value))
}

/// An entry that does those actions and sends to port 2.
fn entry(matching: Match, actions: &[Action]) -> FlowMod {
    let mut actions = actions.to_vec();
    actions.push(Action::output(PortNo(2)));
    FlowMod { matching, instructions: vec![Instruction::ApplyActions(actions)], ..FlowMod::default() }
}

/// What a packet becomes by those actions, twice: from the tables and from the cache.
fn done(matching: Match, actions: &[Action], packet: &[u8]) -> Vec<u8> {
    let mut rig = Rig::new();
    rig.flow(NEW, entry(matching, actions));
    let first = rig.becomes(1, packet);
    assert_eq!(rig.becomes(1, packet), first);
    assert!(rig.switch.counters().cache_hits >= 1, "stateless, so cached");
    first
}

#[test]
fn a_known_packet_that_only_passes_is_not_copied() {
    let packet = udp4([10, 0, 0, 1], 53, b"pass");
    let mut rig = Rig::new();
    rig.flow(NEW, entry(Match::new(), &[]));
    assert_eq!(rig.switch.forward(rig.now, PortNo(1), &packet), None, "its way is not known yet");
    assert_eq!(rig.drain().len(), 1);
    assert_eq!(rig.switch.forward(rig.now, PortNo(1), &packet), Some(PortNo(2)));
    assert!(rig.drain().is_empty());
    // Sent all the same, and counted.
    assert_eq!(rig.ports(1, &packet), [2]);
    rig.flow(NEW, entry(Match::new(), &[set(Field::EthDst, 7)]));
    for _ in 0..2 {
        assert_eq!(rig.switch.forward(rig.now, PortNo(1), &packet), None, "it is changed");
        assert_eq!(rig.drain().len(), 1);
    }
    let request = MultipartRequest { flags: 0, body: Request::Port(PortNo(2)) };
    let counted = rig.ask(NEW, Body::MultipartRequest(request));
    let Body::MultipartReply(MultipartReply { body: Reply::Port(ports), .. }) = counted else {
        panic!("{counted:?}")
    };
    assert_eq!((ports[0].tx_packets, ports[0].tx_bytes), (5, 5 * packet.len() as u64));
}

#[test]
fn fields_of_ipv4_are_set_and_checksums_kept() {
    let udp = Match::new().ipv4().udp_dst(53);
    let actions = [
        set(Field::Ipv4Src, 0xc0a8_0101),
        set(Field::Ipv4Dst, 0xc0a8_0102),
        set(Field::UdpSrc, 4000),
        set(Field::UdpDst, 5000),
        set(Field::IpDscp, 46),
        set(Field::IpEcn, 1),
        Action::SetNwTtl(9),
        Action::DecNwTtl,
        set(Field::EthDst, 0x0600_0000_0009),
    ];
    let made = done(udp, &actions, &udp4([10, 0, 0, 2], 53, b"odd"));
    assert!(is_sound(&made));
    let flow = packet::flow::FlowKey::of(&Layers::of(&made).unwrap(), &made).unwrap();
    assert_eq!(flow.to_string(), "udp 192.168.1.1:4000 -> 192.168.1.2:5000");
    assert_eq!((made[15], made[22], &made[..6]), (46 << 2 | 1, 8, &[6, 0, 0, 0, 0, 9][..]));
}

#[test]
fn fields_of_ipv6_are_set_and_checksums_kept() {
    let tcp = Match::new().with(Oxm::exact(Field::EthType, 0x86dd)).with(Oxm::exact(Field::IpProto, 6));
    let to: Ipv6Addr = "2001:db8::9".parse().unwrap();
    let actions = [
        set(Field::Ipv6Src, to.to_bits() + 1),
        set(Field::Ipv6Dst, to.to_bits()),
        set(Field::TcpSrc, 4000),
        set(Field::TcpDst, 5000),
        set(Field::Ipv6Label, 0xf_1234),
        set(Field::IpDscp, 46),
        Action::DecNwTtl,
    ];
    let made = done(tcp, &actions, &tcp6(80, 0x18, b"odd"));
    assert!(is_sound(&made));
    let layers = Layers::of(&made).unwrap();
    let flow = packet::flow::FlowKey::of(&layers, &made).unwrap();
    assert_eq!(flow.to_string(), "tcp [2001:db8::a]:4000 -> [2001:db8::9]:5000");
    assert_eq!((&made[14..18], made[21]), (&[0x6b, 0x8f, 0x12, 0x34][..], 63));
    // A wrong checksum stays wrong.
    let mut damaged = tcp6(80, 0x18, b"odd");
    damaged[70] ^= 0x55;
    let tcp = Match::new().with(Oxm::exact(Field::EthType, 0x86dd));
    let tcp = tcp.with(Oxm::exact(Field::IpProto, 6));
    assert!(!is_sound(&done(tcp, &actions, &damaged)));
}

#[test]
fn neighbour_discovery_is_rewritten() {
    let ask = packet::wire::ndp::Repr::NeighbourSolicitation {
        target: "fd00::2".parse().unwrap(),
        source_mac: Some(crate::rig::SOURCE),
    };
    let (from, to): (Ipv6Addr, Ipv6Addr) = ("fd00::1".parse().unwrap(), "ff02::1:ff00:2".parse().unwrap());
    let mut bytes = vec![0; 40 + ask.buffer_len()];
    let ip = packet::wire::ipv6::Repr::new(from, to, packet::wire::IpProtocol::ICMPV6, ask.buffer_len());
    ip.emit(&mut packet::wire::ipv6::View::new_unchecked(&mut bytes[..]));
    ask.emit(from, to, &mut packet::wire::icmpv6::View::new_unchecked(&mut bytes[40..]));
    let packet = frame(EtherType::IPV6, &bytes);
    let solicitation = || {
        let matching =
            Match::new().with(Oxm::exact(Field::EthType, 0x86dd)).with(Oxm::exact(Field::IpProto, 58));
        matching.with(Oxm::exact(Field::Icmpv6Type, 135))
    };
    let target: Ipv6Addr = "2001:db8::1".parse().unwrap();
    let actions = [
        set(Field::NdTarget, target.to_bits()),
        set(Field::NdSll, 0x0200_0000_0009),
        set(Field::Icmpv6Code, 3),
        set(Field::Ipv6Src, 9),
    ];
    let made = done(solicitation(), &actions, &packet);
    assert!(is_sound(&made));
    assert_eq!((&made[62..78], made[85], made[55]), (&target.octets()[..], 9, 3));
    // One that is cut short has no target, and nothing behind it is touched.
    let mut rig = Rig::new();
    rig.flow(NEW, entry(solicitation(), &actions[..2]));
    for length in 4..ask.buffer_len() {
        let mut cut = packet[..54 + length].to_vec();
        cut[18..20].copy_from_slice(&(length as u16).to_be_bytes());
        let made = rig.becomes(1, &cut);
        assert_eq!(made.len(), cut.len());
        assert_eq!(made == cut, length < 24, "{length}");
    }
}

#[test]
fn arp_is_rewritten() {
    let actions = [
        set(Field::ArpOp, 2),
        set(Field::ArpSpa, 0x0a00_0009),
        set(Field::ArpTpa, 0x0a00_0008),
        set(Field::ArpSha, 0x0200_0000_0009),
        set(Field::ArpTha, 0x0200_0000_0008),
    ];
    let made = done(Match::new().arp(), &actions, &arp_request());
    let view = packet::wire::arp::View::new_checked(&made[14..]).unwrap();
    assert_eq!(view.to_string(), "Reply 10.0.0.9 is-at 02:00:00:00:00:09, length 28");
    assert_eq!((view.target_ip(), view.target_mac().0[5]), ([10, 0, 0, 8].into(), 8));
}

#[test]
fn tags_are_pushed_and_popped_at_the_front() {
    let packet = udp4([10, 0, 0, 2], 53, &[7; 40]);
    let tagged = done(
        Match::new().ipv4(),
        &[Action::PushVlan(0x8100), set(Field::VlanVid, 0x1064), set(Field::VlanPcp, 3)],
        &packet,
    );
    assert_eq!(tagged[12..18], [0x81, 0, 0x60, 0x64, 8, 0]);
    assert_eq!((&tagged[..12], &tagged[18..]), (&packet[..12], &packet[14..]));
    let twice = done(Match::new().any_vlan(), &[Action::PushVlan(0x88a8)], &tagged);
    assert_eq!(twice[12..22], [0x88, 0xa8, 0x60, 0x64, 0x81, 0, 0x60, 0x64, 8, 0], "copied");
    assert_eq!(done(Match::new().any_vlan(), &[Action::PopVlan], &twice), tagged);
    assert_eq!(done(Match::new().any_vlan(), &[Action::PopVlan, Action::StripVlan], &twice), packet);
    // An MPLS label: time to live of IP, bottom of stack, and the second one in front of it.
    let label = done(Match::new().ipv4(), &[Action::PushMpls(0x8847), set(Field::MplsLabel, 16)], &packet);
    assert_eq!(label[12..18], [0x88, 0x47, 0, 1, 1, 64]);
    let mpls = || Match::new().with(Oxm::exact(Field::EthType, 0x8847));
    let two = done(mpls(), &[Action::PushMpls(0x8847), set(Field::MplsTc, 5), Action::SetMplsTtl(7)], &label);
    assert_eq!(two[14..22], [0, 1, 0x0a, 7, 0, 1, 1, 64]);
    assert_eq!(done(mpls(), &[Action::PopMpls(0x8847), Action::PopMpls(0x0800)], &two), packet);
    assert_eq!(done(mpls(), &[Action::CopyTtlIn], &two)[21], 7);
    assert_eq!(done(mpls(), &[Action::CopyTtlOut], &two)[17], 64);
    let inner = done(mpls(), &[Action::SetMplsTtl(5), Action::CopyTtlIn], &label);
    assert_eq!(inner[26], 5);
    assert!(is_sound(&done(
        mpls(),
        &[Action::SetMplsTtl(5), Action::CopyTtlIn, Action::PopMpls(0x0800)],
        &label
    )));
    // Provider backbone bridging.
    let pbb = || Match::new().with(Oxm::exact(Field::EthType, 0x88e7));
    let backbone =
        done(Match::new().any_vlan(), &[Action::PushPbb(0x88e7), set(Field::PbbIsid, 0x123)], &tagged);
    assert_eq!((&backbone[..12], &backbone[12..18]), (&packet[..12], &[0x88, 0xe7, 0x60, 0, 1, 0x23][..]));
    assert_eq!(backbone[18..], tagged);
    assert_eq!(done(pbb(), &[Action::PopPbb], &backbone), tagged);
}

#[test]
fn a_frame_stays_long_enough_for_ethernet() {
    let short = udp4([10, 0, 0, 2], 53, &[7; 16]);
    let label = done(Match::new().ipv4(), &[Action::PushMpls(0x8847)], &short);
    assert_eq!((short.len(), label.len()), (58, 62));
    let mpls = Match::new().with(Oxm::exact(Field::EthType, 0x8847));
    let popped = done(mpls, &[Action::PopMpls(0x0800)], &label);
    assert_eq!((&popped[..58], &popped[58..]), (&short[..], &[0, 0][..]), "padded");
}

#[test]
fn actions_of_1_0() {
    let mut rig = Rig::new();
    let actions = [
        Action::SetVlanVid(7),
        Action::SetVlanPcp(5),
        Action::SetNwSrc([1, 1, 1, 1].into()),
        Action::SetNwDst([2, 2, 2, 2].into()),
        Action::SetNwTos(0x20),
        Action::SetTpSrc(9),
        Action::SetTpDst(10),
    ];
    rig.flow(OLD, entry(Match::default(), &actions));
    let made = rig.becomes(1, &udp4([10, 0, 0, 2], 53, b""));
    assert_eq!(made[12..18], [0x81, 0, 0xa0, 7, 8, 0]);
    assert!(is_sound(&made));
    assert_eq!((made[19], &made[30..42]), (0x20, &[1, 1, 1, 1, 2, 2, 2, 2, 0, 9, 0, 10][..]));
    // What a packet has not is left alone.
    let arp = rig.becomes(1, &arp_request());
    assert_eq!(arp[18..], arp_request()[14..]);
    rig.flow(OLD, entry(Match::default(), &[Action::StripVlan]));
    assert_eq!(rig.becomes(1, &made)[12..], made[16..]);
}

#[test]
fn a_time_to_live_at_its_end_comes_to_the_controller() {
    let mut rig = Rig::new();
    rig.flow(NEW, entry(Match::new().ipv4(), &[Action::DecNwTtl]));
    let mut packet = udp4([10, 0, 0, 2], 53, b"");
    packet[22] = 1;
    for _ in 0..2 {
        let told = packet_ins(rig.packet(1, &packet));
        assert_eq!(told.len(), 1, "1.0 has no such reason");
        assert_eq!(
            (told[0].0, told[0].1.reason, &told[0].1.data),
            (NEW, PacketInReason::InvalidTtl, &packet)
        );
    }
}

#[test]
fn an_action_set_has_an_order_of_its_own() {
    let mut rig = Rig::new();
    let write = |actions: &[Action]| Instruction::WriteActions(actions.to_vec());
    let first = write(&[Action::output(PortNo(3)), set(Field::EthDst, 1), Action::PushVlan(0x8100)]);
    rig.flow(NEW, FlowMod { instructions: vec![first, Instruction::GotoTable(5)], ..FlowMod::default() });
    let second = write(&[Action::output(PortNo(2)), set(Field::EthDst, 2)]);
    rig.flow(NEW, FlowMod { table: 5, instructions: vec![second], ..FlowMod::default() });
    let packet = udp4([10, 0, 0, 2], 53, b"");
    let made = rig.becomes(1, &packet);
    assert_eq!((&made[..6], &made[12..16]), (&[0, 0, 0, 0, 0, 2][..], &[0x81, 0, 0, 0][..]));
    // Cleared, there is no output.
    let clear = vec![Instruction::ClearActions];
    rig.flow(NEW, FlowMod { table: 5, instructions: clear, ..FlowMod::default() });
    assert!(rig.packet(1, &packet).is_empty());
    // Metadata is written and matched.
    let write = Instruction::WriteMetadata { value: 0xab, mask: 0xff };
    rig.flow(NEW, FlowMod { instructions: vec![write, Instruction::GotoTable(5)], ..FlowMod::default() });
    let matching = Match::new().with(Oxm::masked(Field::Metadata, 0xa0, 0xf0));
    rig.flow(NEW, FlowMod { table: 5, priority: 40_000, ..entry(matching, &[]) });
    assert_eq!(rig.ports(1, &packet), [2]);
}

#[test]
fn what_cannot_be_is_refused() {
    let mut rig = Rig::new();
    let mut refused = |from, matching: Match, actions: &[Action], fault: Fault| {
        rig.refused(from, Body::FlowMod(entry(matching, actions)), fault);
    };
    let any = Match::default;
    let out = |port| Action::output(PortNo(port));
    for from in [NEW, OLD] {
        refused(from, any(), &[out(9)], BadAction::BadOutPort.into());
        refused(from, any(), &[out(0)], BadAction::BadOutPort.into());
        refused(from, any(), &[Action::output(PortNo::TABLE)], BadAction::BadOutPort.into());
        refused(from, any(), &[Action::output(PortNo::ANY)], BadAction::BadOutPort.into());
    }
    refused(OLD, any(), &[Action::SetVlanVid(4096)], BadAction::BadArgument.into());
    refused(OLD, any(), &[Action::SetVlanPcp(8)], BadAction::BadArgument.into());
    refused(OLD, any(), &[Action::SetNwTos(3)], BadAction::BadArgument.into());
    refused(OLD, any(), &[Action::Enqueue { port: PortNo(1), queue: 1 }], BadAction::BadQueue.into());
    refused(OLD, any(), &[Action::Enqueue { port: PortNo(9), queue: 1 }], BadAction::BadOutPort.into());
    refused(NEW, any(), &[set(Field::InPort, 1)], BadAction::BadSetType.into());
    refused(NEW, any(), &[set(Field::Metadata, 1)], BadAction::BadSetType.into());
    refused(NEW, any(), &[set(Field::VlanPcp, 1)], BadAction::MatchInconsistent.into());
    refused(NEW, any(), &[set(Field::Ipv4Dst, 1)], BadAction::MatchInconsistent.into());
    refused(NEW, Match::new().ipv4(), &[set(Field::TcpDst, 1)], BadAction::MatchInconsistent.into());
    refused(NEW, Match::new().any_vlan(), &[set(Field::VlanVid, 5)], BadAction::BadSetArgument.into());
    refused(NEW, any(), &[Action::PushVlan(0x0800)], BadAction::BadArgument.into());
    refused(NEW, any(), &[Action::PushMpls(0x0800)], BadAction::BadArgument.into());
    refused(NEW, any(), &[Action::PushPbb(0x0800)], BadAction::BadArgument.into());
    refused(NEW, any(), &[Action::PopVlan], BadAction::MatchInconsistent.into());
    refused(NEW, Match::new().ipv4(), &[Action::PopMpls(0x0800)], BadAction::MatchInconsistent.into());
    refused(NEW, any(), &[Action::DecNwTtl], BadAction::MatchInconsistent.into());
    refused(NEW, any(), &[Action::Group(3)], BadAction::BadOutGroup.into());
    let unknown = Action::Experimenter { experimenter: 0x1234, data: vec![0; 4] };
    refused(NEW, any(), &[unknown], BadAction::BadExperimenter.into());
    refused(NEW, Match::Fields(vec![Oxm::exact(Field::TcpDst, 1)]), &[], BadMatch::BadPrereq.into());
    let instruction = |instructions| FlowMod { table: 4, instructions, ..FlowMod::default() };
    let mut refused = |flow, fault: Fault| rig.refused(NEW, Body::FlowMod(flow), fault);
    for table in [0, 4, 254, 255] {
        refused(instruction(vec![Instruction::GotoTable(table)]), BadInstruction::BadTableId.into());
    }
    refused(instruction(vec![Instruction::Meter(1)]), MeterModFailed::InvalidMeter.into());
    let maker = Instruction::Experimenter { experimenter: 1, data: vec![0; 4] };
    refused(instruction(vec![maker]), BadInstruction::BadExperimenter.into());
    refused(
        instruction(vec![Instruction::GotoTable(5), Instruction::GotoTable(6)]),
        BadInstruction::DupInst.into(),
    );
    refused(FlowMod { table: 254, ..FlowMod::default() }, FlowModFailed::BadTableId.into());
    refused(FlowMod { table: 255, ..FlowMod::default() }, FlowModFailed::BadTableId.into());
    refused(FlowMod { flags: 1 << 9, ..FlowMod::default() }, FlowModFailed::BadFlags.into());
    refused(
        FlowMod { command: FlowCommand::Other(9), ..FlowMod::default() },
        FlowModFailed::BadCommand.into(),
    );
    assert_eq!(rig.switch.flows(), 0);
}

#[test]
fn frames_that_are_cut_keep_the_fields_in_front() {
    let mut rig = Rig::new();
    rig.flow(NEW, entry(Match::new().ipv4(), &[set(Field::Ipv4Dst, 1), Action::DecNwTtl]));
    let whole = udp4([10, 0, 0, 2], 53, b"hello");
    for length in 14..whole.len() {
        // An IP header that claims more than there is is none: nothing is set.
        assert_eq!(rig.becomes(1, &whole[..length]), whole[..length]);
    }
    assert!(rig.packet(1, &whole[..13]).is_empty());
    let fragment = |at: u8| {
        let mut bytes = whole.clone();
        bytes[21] = at;
        bytes
    };
    // A later fragment has no ports, and its bytes are not touched as if it had.
    let made = rig.becomes(1, &fragment(3));
    assert_eq!(made[34..], whole[34..]);
    rig.output(50_000, Match::new().ipv4().udp_dst(53), 3);
    assert_eq!((rig.ports(1, &whole), rig.packet(1, &fragment(3)).len()), (vec![3], 1));
    assert_ne!(rig.becomes(1, &fragment(3))[30..34], whole[30..34]);
    assert_eq!(rig.ports(1, &frame(EtherType(0x0100), b"llc")), []);
}
