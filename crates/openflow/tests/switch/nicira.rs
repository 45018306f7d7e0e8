//! Nicira's actions.

use openflow::action::Action;
use openflow::error::{BadAction, Fault};
use openflow::field::Field;
use openflow::flow::{FlowMod, PacketInReason};
use openflow::instruction::Instruction;
use openflow::matching::Match;
use openflow::message::Body;
use openflow::nicira::{Action as Nicira, Bundle, Learn, LearnDestination, LearnSource, LearnSpec, Subfield};
use openflow::oxm::Oxm;
use openflow::port::{PortNo, config};
use openflow::switch::Output;

use crate::rig::{DESTINATION, NEW, OLD, Rig, SOURCE, is_sound, packet_ins, port, tcp6, udp4};

/// A field's bits, by its Nicira header.
fn part(field: Field, offset: u16, bits: u16) -> Subfield {
    Subfield { header: header(field), offset, bits }
}

fn header(field: Field) -> u32 {
    let (class, number, _) = *field.headers().iter().find(|(class, ..)| *class <= 1).unwrap();
    u32::from(class) << 16 | u32::from(number) << 9 | field.width(class) as u32
}

fn apply(actions: Vec<Nicira>) -> Vec<Instruction> {
    vec![Instruction::ApplyActions(actions.into_iter().map(Action::Nicira).collect())]
}

fn entry(table: u8, matching: Match, actions: Vec<Nicira>) -> FlowMod {
    FlowMod { nxm: true, table, matching, instructions: apply(actions), ..FlowMod::default() }
}

fn then_output(mut flow: FlowMod, to: u32) -> FlowMod {
    if let Instruction::ApplyActions(actions) = &mut flow.instructions[0] {
        actions.push(Action::output(PortNo(to)));
    }
    flow
}

#[test]
fn registers_are_loaded_moved_and_output_to() {
    let mut rig = Rig::new();
    let actions = vec![
        Nicira::RegLoad { destination: part(Field::Reg3, 8, 16), value: 3 },
        Nicira::RegMove { source: part(Field::Reg3, 8, 16), destination: part(Field::Reg0, 0, 16) },
        Nicira::StackPush(part(Field::Reg0, 0, 16)),
        Nicira::RegLoad { destination: part(Field::Reg0, 0, 16), value: 4 },
        Nicira::OutputReg { source: part(Field::Reg0, 0, 16), max_len: 0 },
        Nicira::StackPop(part(Field::Reg0, 0, 16)),
        Nicira::OutputReg { source: part(Field::Reg0, 0, 16), max_len: 0 },
        Nicira::Note(vec![1, 2, 3]),
    ];
    rig.flow(NEW, entry(0, Match::default(), actions));
    for _ in 0..2 {
        assert_eq!(rig.ports(1, &udp4([10, 0, 0, 2], 53, b"")), [4, 3]);
    }
    // A field of the packet moves into another, and its checksum follows.
    let swap = vec![
        Nicira::RegMove { source: part(Field::UdpSrc, 0, 16), destination: part(Field::Reg1, 0, 16) },
        Nicira::RegMove { source: part(Field::UdpDst, 0, 16), destination: part(Field::UdpSrc, 0, 16) },
        Nicira::RegMove { source: part(Field::Reg1, 0, 16), destination: part(Field::UdpDst, 0, 16) },
    ];
    let udp = Match::new().ipv4().with(Oxm::exact(Field::IpProto, 17));
    rig.flow(NEW, FlowMod { priority: 40_000, ..then_output(entry(0, udp, swap), 2) });
    let made = rig.becomes(1, &udp4([10, 0, 0, 2], 53, b""));
    assert!(is_sound(&made) && made[34..38] == [0, 53, 3, 232]);
}

#[test]
fn resubmission_nests_and_is_bounded() {
    let mut rig = Rig::new();
    let again = |port, table| Nicira::ResubmitTable { port, table };
    let first = entry(0, Match::default(), vec![again(0xfff8, 1), again(3, 1), again(0xfff8, 9)]);
    rig.flow(NEW, then_output(first, 4));
    rig.output(1, Match::default(), 2);
    // Table 1 by the port it is looked up with.
    let one = |port: u32, to| FlowMod {
        table: 1,
        ..then_output(entry(1, Match::new().in_port(PortNo(port)), vec![]), to)
    };
    rig.flow(NEW, one(1, 2));
    rig.flow(NEW, one(3, 3));
    assert_eq!(rig.ports(1, &udp4([10, 0, 0, 2], 53, b"")), [2, 3, 4], "and a miss there is none");
    // What is done there sees the real port.
    let back = entry(
        1,
        Match::new().in_port(PortNo(3)),
        vec![Nicira::Controller { max_len: 0xffff, controller: 0, reason: 1 }],
    );
    rig.flow(NEW, then_output(back, PortNo::IN_PORT.0));
    for _ in 0..2 {
        let outputs = rig.packet(1, &udp4([10, 0, 0, 2], 53, b""));
        assert!(outputs.iter().any(|output| matches!(output, Output::Packet { port: PortNo(1), .. })));
        let told = packet_ins(outputs);
        assert!(told.iter().all(|(_, packet_in)| packet_in.metadata.exact(Field::InPort) == Some(1)));
    }
    // Without end: 2^depth.
    let twice = entry(5, Match::default(), vec![Nicira::Resubmit(1), Nicira::Resubmit(1)]);
    rig.flow(NEW, then_output(twice, 2));
    rig.flow(NEW, FlowMod { priority: 50_000, ..entry(0, Match::default(), vec![again(0xfff8, 5)]) });
    assert_eq!(rig.ports(1, &udp4([10, 0, 0, 2], 53, b"")), []);
    assert_eq!(rig.switch.counters().over_limit, 1);
}

#[test]
fn exit_ends_lists_of_outer_tables_too() {
    let mut rig = Rig::new();
    rig.flow(
        NEW,
        then_output(entry(0, Match::default(), vec![Nicira::ResubmitTable { port: 0xfff8, table: 1 }]), 3),
    );
    let mut inner = then_output(entry(1, Match::default(), vec![]), 2);
    if let Instruction::ApplyActions(actions) = &mut inner.instructions[0] {
        actions.push(Action::Nicira(Nicira::Exit));
    }
    rig.flow(NEW, inner);
    assert_eq!(rig.ports(1, &udp4([10, 0, 0, 2], 53, b"")), [2]);
}

fn learn_spec(source: LearnSource, destination: LearnDestination, bits: u16) -> LearnSpec {
    LearnSpec { source, destination, bits }
}

/// What Open vSwitch's manual learns: the address's port.
fn learn_mac() -> Learn {
    Learn {
        idle_timeout: 0,
        hard_timeout: 10,
        priority: 7,
        cookie: 99,
        flags: 0,
        table: 1,
        fin_idle_timeout: 0,
        fin_hard_timeout: 0,
        specs: vec![
            learn_spec(
                LearnSource::Field(header(Field::EthSrc), 0),
                LearnDestination::Match(header(Field::EthDst), 0),
                48,
            ),
            learn_spec(LearnSource::Field(header(Field::InPort), 0), LearnDestination::Output, 16),
        ],
    }
}

#[test]
fn a_switch_that_learns_by_itself() {
    let mut rig = Rig::new();
    let learn = vec![Nicira::Learn(learn_mac()), Nicira::ResubmitTable { port: 0xfff8, table: 1 }];
    rig.flow(NEW, entry(0, Match::default(), learn));
    rig.flow(
        NEW,
        FlowMod { table: 1, priority: 0, ..then_output(entry(1, Match::default(), vec![]), PortNo::FLOOD.0) },
    );
    let there = udp4([10, 0, 0, 2], 53, b"");
    let mut back = there.clone();
    back[..6].copy_from_slice(&SOURCE.0);
    back[6..12].copy_from_slice(&DESTINATION.0);
    assert_eq!(rig.ports(1, &there), [2, 3, 4]);
    assert_eq!(rig.ports(2, &back), [1]);
    assert_eq!(rig.ports(1, &there), [2]);
    assert_eq!(rig.ports(3, &back), [1]);
    assert_eq!((rig.ports(1, &there), rig.switch.flows()), (vec![3], 4), "moved, in place of the old");
    rig.wait(10);
    assert_eq!(rig.switch.flows(), 2);
    assert_eq!(rig.ports(1, &there), [2, 3, 4]);
}

#[test]
fn bundles_and_multipath_choose_live_ports() {
    let mut rig = Rig::new();
    let bundle = |algorithm| Bundle {
        algorithm,
        fields: 1,
        basis: 0,
        port_type: header(Field::InPort),
        destination: None,
        ports: vec![2, 3],
    };
    let packet = |flow| udp4([10, 0, 0, 2], flow, b"");
    rig.flow(NEW, entry(0, Match::default(), vec![Nicira::Bundle(bundle(0))]));
    assert_eq!(rig.ports(1, &packet(1)), [2]);
    let down = Body::PortMod(openflow::message::PortMod {
        port: PortNo(2),
        address: port(2).address,
        config: config::PORT_DOWN,
        mask: config::PORT_DOWN,
        advertise: 0,
    });
    rig.send(NEW, down);
    assert_eq!(rig.ports(1, &packet(1)), [3]);
    rig.flow(NEW, entry(0, Match::default(), vec![Nicira::Bundle(bundle(1))]));
    assert!((0..50).all(|flow| rig.ports(1, &packet(flow)) == [3]));
    let load = Bundle { destination: Some(part(Field::Reg0, 0, 16)), ports: vec![2], ..bundle(0) };
    let output = Nicira::OutputReg { source: part(Field::Reg0, 0, 16), max_len: 0 };
    rig.flow(NEW, entry(0, Match::default(), vec![Nicira::BundleLoad(load), output.clone()]));
    assert_eq!(rig.ports(1, &packet(1)), [], "no port is up");
    for algorithm in 0..4 {
        let path = Nicira::Multipath {
            fields: 1,
            basis: 7,
            algorithm,
            max_link: 1,
            argument: 5,
            destination: part(Field::Reg0, 0, 8),
        };
        let three = Nicira::RegLoad { destination: part(Field::Reg0, 1, 8), value: 1 };
        rig.flow(NEW, entry(0, Match::default(), vec![path, three, output.clone()]));
        // Bit 1 is set, bit 0 is the link: port 2 is down, port 3 is not.
        let chosen = (0..400).filter(|flow| rig.ports(1, &packet(*flow)) == [3]).count();
        assert!((120..280).contains(&chosen), "algorithm {algorithm}: {chosen} of 400");
    }
}

#[test]
fn time_to_live_fin_and_controllers() {
    let mut rig = Rig::new();
    let mut packet = udp4([10, 0, 0, 2], 53, b"");
    packet[22] = 1;
    rig.tell(NEW, Body::Nicira(openflow::nicira::Message::SetControllerId(5)));
    rig.flow(NEW, entry(0, Match::new().ipv4(), vec![Nicira::DecTtlControllers(vec![5])]));
    let told = packet_ins(rig.packet(1, &packet));
    assert_eq!((told.len(), told[0].0, told[0].1.reason), (1, NEW, PacketInReason::InvalidTtl));
    let controller = Nicira::Controller { max_len: 20, controller: 5, reason: 1 };
    rig.flow(NEW, entry(0, Match::new().ipv4(), vec![controller]));
    let told = packet_ins(rig.packet(1, &packet));
    assert_eq!((told.len(), told[0].1.data.len(), told[0].1.total_len), (1, 20, 42));
    // A FIN shortens its entry's time.
    let tcp = Match::new().with(Oxm::exact(Field::EthType, 0x86dd)).with(Oxm::exact(Field::IpProto, 6));
    let fin = then_output(entry(0, tcp, vec![Nicira::FinTimeout { idle: 2, hard: 3 }]), 2);
    rig.flow(NEW, FlowMod { idle_timeout: 60, ..fin });
    rig.packet(1, &tcp6(80, 0x10, b""));
    rig.wait(30);
    assert_eq!(rig.switch.flows(), 2);
    rig.packet(1, &tcp6(80, 0x11, b""));
    rig.wait(2);
    assert_eq!(rig.switch.flows(), 1);
}

#[test]
fn mpls_by_nicira_s_actions_in_1_0() {
    let mut rig = Rig::new();
    let packet = udp4([10, 0, 0, 2], 53, b"");
    let push =
        vec![Nicira::PushMpls(0x8847), Nicira::SetMplsLabel(16), Nicira::SetMplsTc(5), Nicira::SetMplsTtl(9)];
    rig.flow(OLD, then_output(entry(0, Match::new().ipv4(), push), 2));
    let label = rig.becomes(1, &packet);
    assert_eq!(label[12..18], [0x88, 0x47, 0, 1, 0x0b, 9]);
    let mpls = Match::new().with(Oxm::exact(Field::EthType, 0x8847));
    rig.flow(OLD, then_output(entry(0, mpls, vec![Nicira::DecMplsTtl, Nicira::PopMpls(0x0800)]), 2));
    assert_eq!(rig.becomes(1, &label), packet);
}

#[test]
fn what_cannot_be_is_refused() {
    let mut rig = Rig::new();
    let mut refused = |action: Nicira, fault: Fault| {
        rig.refused(NEW, Body::FlowMod(entry(0, Match::default(), vec![action])), fault);
    };
    let load = |field, offset, bits, value| Nicira::RegLoad { destination: part(field, offset, bits), value };
    refused(load(Field::Reg0, 20, 20, 0), BadAction::BadSetLen.into());
    refused(load(Field::Reg0, 0, 4, 16), BadAction::BadSetArgument.into());
    refused(load(Field::IpFrag, 0, 2, 0), BadAction::BadSetType.into());
    refused(load(Field::Ipv4Src, 0, 32, 0), BadAction::MatchInconsistent.into());
    let unknown = Subfield { header: 0x0001_fe04, offset: 0, bits: 4 };
    refused(Nicira::OutputReg { source: unknown, max_len: 0 }, BadAction::BadSetType.into());
    let moved = Nicira::RegMove { source: part(Field::Reg0, 0, 8), destination: part(Field::Reg1, 0, 9) };
    refused(moved, BadAction::BadSetLen.into());
    refused(Nicira::ResubmitTable { port: 1, table: 254 }, BadAction::BadArgument.into());
    refused(Nicira::Learn(Learn { table: 254, ..learn_mac() }), BadAction::BadArgument.into());
    let tcp = learn_spec(
        LearnSource::Immediate(vec![0, 80]),
        LearnDestination::Match(header(Field::TcpDst), 0),
        16,
    );
    refused(Nicira::Learn(Learn { specs: vec![tcp], ..learn_mac() }), BadAction::MatchInconsistent.into());
    refused(Nicira::Other { subtype: 999, data: vec![0; 6] }, BadAction::BadExpType.into());
    // Not in a set.
    let write = Instruction::WriteActions(vec![Action::Nicira(Nicira::Exit)]);
    rig.refused(
        NEW,
        Body::FlowMod(FlowMod { instructions: vec![write], ..FlowMod::default() }),
        BadAction::BadType,
    );
}
