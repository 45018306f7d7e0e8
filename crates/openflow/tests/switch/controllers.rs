//! Packet-ins, buffers, packet-outs, roles, asynchronous messages, statistics.

use openflow::Version;
use openflow::action::Action;
use openflow::error::{BadAction, BadRequest, RoleRequestFailed, TableModFailed};
use openflow::field::Field;
use openflow::flow::{
    ALL_TABLES, FlowCommand, FlowMod, NO_BUFFER, PacketInFormat, PacketInReason, PacketOut,
};
use openflow::instruction::Instruction;
use openflow::matching::Match;
use openflow::message::{
    AsyncConfig, Body, Message, PortMod, Role, RoleMessage, SwitchConfig as Config, TableMod,
};
use openflow::multipart::{FlowRequest, MORE, MultipartRequest, Reply, Request};
use openflow::nicira;
use openflow::oxm::Oxm;
use openflow::port::PortNo;
use openflow::switch::{ConnectionId, Output, SwitchConfig, TABLES};

use crate::rig::{NEW, OLD, Rig, out, packet_ins, port, udp4};

fn multipart(body: Request) -> Body {
    Body::MultipartRequest(MultipartRequest { flags: 0, body })
}

/// The replies to one request, all but the last with more to come.
fn replies(rig: &mut Rig, from: ConnectionId, body: Request) -> Vec<Reply> {
    let outputs = rig.send(from, multipart(body));
    let count = outputs.len();
    let one = |(at, output)| match output {
        Output::Message { message: Message { body: Body::MultipartReply(reply), .. }, .. } => {
            assert_eq!(reply.flags, if at + 1 == count { 0 } else { MORE });
            reply.body
        }
        other => panic!("{other:?}"),
    };
    outputs.into_iter().enumerate().map(one).collect()
}

fn packet_out(buffer: u32, in_port: PortNo, actions: Vec<Action>, data: &[u8]) -> Body {
    Body::PacketOut(PacketOut { buffer, in_port, actions, data: data.to_vec() })
}

#[test]
fn a_miss_goes_to_1_0_and_a_miss_entry_to_both() {
    let mut rig = Rig::new();
    let packet = udp4([10, 0, 0, 2], 53, &[7; 200]);
    let told = packet_ins(rig.packet(1, &packet));
    assert_eq!(told.len(), 1);
    let (from, packet_in) = &told[0];
    assert_eq!(
        (*from, packet_in.reason, packet_in.total_len, packet_in.data.len()),
        (OLD, PacketInReason::NoMatch, 242, 128)
    );
    assert_ne!(packet_in.buffer, NO_BUFFER);
    let miss = Instruction::ApplyActions(vec![Action::controller()]);
    rig.flow(NEW, FlowMod { priority: 0, cookie: 5, instructions: vec![miss], ..FlowMod::default() });
    let told = packet_ins(rig.packet(1, &packet));
    assert_eq!(told.len(), 2);
    for (_, packet_in) in told {
        assert_eq!(
            (packet_in.reason, packet_in.buffer, packet_in.cookie),
            (PacketInReason::NoMatch, NO_BUFFER, 5)
        );
        assert_eq!(packet_in.data, packet);
        assert_eq!(packet_in.metadata.exact(Field::InPort), Some(1));
    }
}

#[test]
fn buffers_are_used_once_and_in_time() {
    let mut rig = Rig::new();
    let packet = udp4([10, 0, 0, 2], 53, &[7; 200]);
    let buffered = |rig: &mut Rig| packet_ins(rig.packet(1, &packet))[0].1.buffer;
    let buffer = buffered(&mut rig);
    let sent = rig.send(OLD, packet_out(buffer, PortNo(1), vec![Action::output(PortNo(3))], &[]));
    assert!(matches!(&sent[..], [Output::Packet { port: PortNo(3), bytes, .. }] if *bytes == packet));
    let again = || packet_out(buffer, PortNo(1), vec![Action::output(PortNo(3))], &[]);
    rig.refused(OLD, again(), BadRequest::BufferEmpty);
    rig.refused(OLD, packet_out(77, PortNo(1), vec![], &[]), BadRequest::BufferUnknown);
    rig.refused(NEW, again(), BadRequest::BufferUnknown);
    let buffer = buffered(&mut rig);
    rig.wait(5);
    rig.refused(OLD, packet_out(buffer, PortNo(1), vec![], &[]), BadRequest::BufferEmpty);
    // An entry is applied to the packet that asked for it.
    let buffer = buffered(&mut rig);
    let entry = FlowMod {
        buffer,
        matching: Match::new().in_port(PortNo(1)),
        instructions: vec![out(&[2])],
        ..FlowMod::default()
    };
    let sent = rig.send(OLD, Body::FlowMod(entry.clone()));
    assert!(
        matches!(&sent[..], [Output::Packet { port: PortNo(2), bytes, .. }] if *bytes == packet),
        "{sent:?}"
    );
    rig.refused(OLD, Body::FlowMod(entry), BadRequest::BufferEmpty);
    // In 1.3 through the tables.
    let to_controller =
        Instruction::ApplyActions(vec![Action::Output { port: PortNo::CONTROLLER, max_len: 10 }]);
    rig.flow(NEW, FlowMod { priority: 40_000, instructions: vec![to_controller], ..FlowMod::default() });
    let told = packet_ins(rig.packet(1, &packet));
    let (_, packet_in) = told.into_iter().find(|(from, _)| *from == NEW).unwrap();
    assert_eq!(packet_in.data.len(), 10);
    let better = FlowMod {
        priority: 50_000,
        buffer: packet_in.buffer,
        instructions: vec![out(&[4])],
        ..FlowMod::default()
    };
    let sent = rig.send(NEW, Body::FlowMod(better));
    assert!(matches!(&sent[..], [Output::Packet { port: PortNo(4), .. }]));
}

#[test]
fn without_buffers_packets_come_whole() {
    let mut rig = Rig::with(SwitchConfig { buffers: 0, ..SwitchConfig::default() });
    rig.switch.connect(rig.now, OLD, Version::V10);
    let packet = udp4([10, 0, 0, 2], 53, &[7; 200]);
    let told = packet_ins(rig.packet(1, &packet));
    assert_eq!((told[0].1.buffer, &told[0].1.data), (NO_BUFFER, &packet));
    let mut rig = Rig::new();
    rig.tell(OLD, Body::SetConfig(Config { flags: 0, miss_send_len: 0xffff }));
    let told = packet_ins(rig.packet(1, &packet));
    assert_eq!((told[0].1.buffer, told[0].1.data.len()), (NO_BUFFER, packet.len()));
}

#[test]
fn packet_outs() {
    let mut rig = Rig::new();
    let packet = udp4([10, 0, 0, 2], 53, b"");
    let to = |port| vec![Action::output(port)];
    let ports = |outputs: &[Output]| -> Vec<u32> {
        let one = |output: &Output| match output {
            Output::Packet { port, .. } => port.0,
            other => panic!("{other:?}"),
        };
        outputs.iter().map(one).collect()
    };
    for (from, none) in [(OLD, PortNo::ANY), (NEW, PortNo::CONTROLLER)] {
        assert_eq!(
            ports(&rig.send(from, packet_out(NO_BUFFER, none, to(PortNo::FLOOD), &packet))),
            [1, 2, 3, 4]
        );
        assert_eq!(
            ports(&rig.send(from, packet_out(NO_BUFFER, PortNo(2), to(PortNo::ALL), &packet))),
            [1, 3, 4]
        );
        rig.refused(from, packet_out(NO_BUFFER, none, to(PortNo(9)), &packet), BadAction::BadOutPort);
        assert!(rig.send(from, packet_out(NO_BUFFER, none, vec![], &packet)).is_empty());
    }
    rig.refused(NEW, packet_out(NO_BUFFER, PortNo(9), vec![], &packet), BadRequest::BadPort);
    rig.refused(NEW, packet_out(NO_BUFFER, PortNo::CONTROLLER, vec![], &packet[..9]), BadRequest::BadPacket);
    // Through the tables, with what was changed before; then on with the list.
    rig.output(5, Match::new().vlan_vid(7), 3);
    let actions = vec![
        Action::PushVlan(0x8100),
        Action::SetField(Oxm::exact(Field::VlanVid, 0x1007)),
        Action::output(PortNo::TABLE),
        Action::PopVlan,
        Action::output(PortNo(4)),
    ];
    let sent = rig.send(NEW, packet_out(NO_BUFFER, PortNo(1), actions, &packet));
    assert_eq!(ports(&sent), [3, 4]);
    assert!(matches!(&sent[1], Output::Packet { bytes, .. } if *bytes == packet));
}

#[test]
fn roles_and_generations() {
    let mut rig = Rig::new();
    let other = ConnectionId(14);
    rig.switch.connect(rig.now, other, Version::V13);
    let role = |role, generation| Body::RoleRequest(RoleMessage { role, generation });
    let reply = |role, generation| Body::RoleReply(RoleMessage { role, generation });
    assert_eq!(rig.ask(NEW, role(Role::NoChange, 0)), reply(Role::Equal, u64::MAX));
    assert_eq!(rig.ask(NEW, role(Role::Master, 5)), reply(Role::Master, 5));
    assert_eq!(rig.ask(other, role(Role::Master, 6)), reply(Role::Master, 6));
    assert_eq!(rig.ask(NEW, role(Role::NoChange, 0)), reply(Role::Slave, 6), "there is one master");
    rig.refused(NEW, role(Role::Master, 5), RoleRequestFailed::Stale);
    rig.refused(NEW, role(Role::Other(9), 7), RoleRequestFailed::BadRole);
    // A slave changes nothing, but may ask.
    rig.refused(NEW, Body::FlowMod(FlowMod::default()), BadRequest::IsSlave);
    rig.refused(NEW, packet_out(NO_BUFFER, PortNo::CONTROLLER, vec![], &[0; 60]), BadRequest::IsSlave);
    let port_mod = PortMod { port: PortNo(1), address: port(1).address, config: 0, mask: 0, advertise: 0 };
    rig.refused(NEW, Body::PortMod(port_mod), BadRequest::IsSlave);
    assert!(!replies(&mut rig, NEW, Request::Description).is_empty());
    rig.flow(
        other,
        FlowMod {
            instructions: vec![Instruction::ApplyActions(vec![Action::controller()])],
            ..FlowMod::default()
        },
    );
    let told = packet_ins(rig.packet(1, &udp4([10, 0, 0, 2], 53, b"")));
    assert_eq!(
        told.iter().map(|(from, _)| *from).collect::<Vec<_>>(),
        [OLD, other],
        "a slave hears of ports alone"
    );
    rig.switch.add_port(rig.now, port(5)).unwrap();
    assert_eq!(rig.drain().len(), 3);
    assert_eq!(rig.ask(NEW, role(Role::Equal, 0)), reply(Role::Equal, 6));
    // 1.0's by Nicira.
    let nicira = |role| Body::Nicira(nicira::Message::RoleRequest(role));
    assert_eq!(rig.ask(OLD, nicira(Role::Master)), Body::Nicira(nicira::Message::RoleReply(Role::Master)));
    assert_eq!(rig.ask(other, role(Role::NoChange, 0)), reply(Role::Slave, 6));
    assert_eq!(rig.ask(OLD, nicira(Role::Slave)), Body::Nicira(nicira::Message::RoleReply(Role::Slave)));
    rig.refused(OLD, Body::FlowMod(FlowMod::default()), BadRequest::IsSlave);
}

#[test]
fn unasked_messages_as_wanted() {
    let mut rig = Rig::new();
    let wants = AsyncConfig { packet_in: [1 << 1, 0], port_status: [0, 0], flow_removed: [0, 0] };
    rig.tell(NEW, Body::SetAsync(wants));
    assert_eq!(rig.ask(NEW, Body::GetAsyncRequest), Body::GetAsyncReply(wants));
    rig.tell(OLD, Body::Nicira(nicira::Message::SetAsyncConfig(AsyncConfig::default())));
    rig.switch.add_port(rig.now, port(5)).unwrap();
    assert!(rig.drain().is_empty());
    rig.flow(
        NEW,
        FlowMod {
            instructions: vec![Instruction::ApplyActions(vec![Action::controller()])],
            ..FlowMod::default()
        },
    );
    assert_eq!(packet_ins(rig.packet(1, &udp4([10, 0, 0, 2], 53, b""))).len(), 1);
    rig.flow(
        NEW,
        FlowMod { priority: 0, command: FlowCommand::Delete, table: ALL_TABLES, ..FlowMod::default() },
    );
    assert!(rig.packet(1, &udp4([10, 0, 0, 2], 53, b"")).is_empty());
}

#[test]
fn nicira_s_forms_in_1_0() {
    let mut rig = Rig::new();
    let tell = |rig: &mut Rig, message| rig.tell(OLD, Body::Nicira(message));
    // Tables by the command's upper byte.
    let in_one = FlowMod { table: 1, instructions: vec![out(&[2])], ..FlowMod::default() };
    rig.refused(OLD, Body::FlowMod(in_one.clone()), openflow::error::FlowModFailed::BadCommand);
    tell(&mut rig, nicira::Message::FlowModTableId(true));
    rig.flow(OLD, in_one);
    let resubmit = Action::Nicira(nicira::Action::ResubmitTable { port: 0xfff8, table: 1 });
    rig.flow(
        OLD,
        FlowMod { instructions: vec![Instruction::ApplyActions(vec![resubmit])], ..FlowMod::default() },
    );
    assert_eq!(rig.ports(1, &udp4([10, 0, 0, 2], 53, b"")), [2]);
    // Packet-ins with what registers hold.
    tell(&mut rig, nicira::Message::SetPacketInFormat(PacketInFormat::Nxm));
    let load = Action::Nicira(nicira::Action::RegLoad {
        destination: nicira::Subfield { header: 0x0001_0004, offset: 0, bits: 32 },
        value: 0xbeef,
    });
    let actions = vec![load, Action::controller()];
    let entry = FlowMod {
        cookie: 3,
        priority: 40_000,
        instructions: vec![Instruction::ApplyActions(actions)],
        ..FlowMod::default()
    };
    rig.flow(OLD, entry);
    let told = packet_ins(rig.packet(1, &udp4([10, 0, 0, 2], 53, b"")));
    let (_, packet_in) = told.into_iter().find(|(from, _)| *from == OLD).unwrap();
    assert_eq!(
        (packet_in.format, packet_in.cookie, packet_in.metadata.exact(Field::Reg0)),
        (PacketInFormat::Nxm, 3, Some(0xbeef))
    );
    // Statistics by a match of fields, cookie included.
    let matching = Match::Fields(vec![Oxm::exact(Field::Cookie, 3)]);
    let request = nicira::StatsRequest::Flow { out_port: PortNo::ANY, table: ALL_TABLES, matching };
    let found = replies(&mut rig, OLD, Request::Nicira(request));
    assert!(
        matches!(&found[..], [Reply::Nicira(nicira::StatsReply::Flow(flows))] if flows.len() == 1),
        "{found:?}"
    );
    rig.refused(OLD, Body::Nicira(nicira::Message::SetFlowFormat(7)), BadRequest::Eperm);
}

#[test]
fn long_answers_come_in_parts() {
    let mut rig = Rig::new();
    for number in 0..2000_u32 {
        let matching = Match::new().ipv4().ipv4_dst(std::net::Ipv4Addr::from_bits(number));
        rig.output(5, matching, 2);
    }
    let wanted = FlowRequest {
        table: ALL_TABLES,
        out_port: PortNo(2),
        out_group: openflow::group::ANY,
        cookie: 0,
        cookie_mask: 0,
        matching: Match::default(),
    };
    for (from, version) in [(NEW, Version::V13), (OLD, Version::V10)] {
        let parts = replies(&mut rig, from, Request::Flow(wanted.clone()));
        assert!(parts.len() > 2);
        let mut count = 0;
        for part in parts {
            let Reply::Flow(flows) = &part else { panic!() };
            count += flows.len();
            let reply = openflow::multipart::MultipartReply { flags: 0, body: part };
            let mut bytes = Vec::new();
            openflow::codec::encode_body(version, 1, &Body::MultipartReply(reply), &mut bytes).unwrap();
        }
        assert_eq!(count, 2000);
        let sum = replies(&mut rig, from, Request::Aggregate(wanted.clone()));
        assert!(matches!(&sum[..], [Reply::Aggregate(sum)] if sum.flows == 2000));
    }
    let tables = replies(&mut rig, NEW, Request::TableFeatures(vec![]));
    let count = tables.iter().map(|reply| match reply {
        Reply::TableFeatures(tables) => tables.len(),
        _ => 0,
    });
    assert_eq!(count.sum::<usize>(), usize::from(TABLES));
}

#[test]
fn every_question_has_an_answer() {
    let mut rig = Rig::new();
    let packet = udp4([10, 0, 0, 2], 53, b"");
    rig.output(5, Match::default(), 2);
    rig.ports(1, &packet);
    for from in [NEW, OLD] {
        assert_eq!(rig.ask(from, Body::BarrierRequest), Body::BarrierReply);
        assert_eq!(rig.ask(from, Body::EchoRequest(vec![1, 2])), Body::EchoReply(vec![1, 2]));
        let Body::FeaturesReply(features) = rig.ask(from, Body::FeaturesRequest) else { panic!() };
        assert_eq!(
            (features.datapath, features.tables, features.ports.len()),
            (1, TABLES, if from == OLD { 4 } else { 0 })
        );
        let found = replies(&mut rig, from, Request::Port(PortNo(2)));
        assert!(matches!(&found[..], [Reply::Port(ports)] if ports.len() == 1 && ports[0].tx_packets == 1));
        let found = replies(&mut rig, from, Request::Port(PortNo::ANY));
        assert!(matches!(&found[..], [Reply::Port(ports)] if ports.len() == 4));
        rig.refused(from, multipart(Request::Port(PortNo(9))), BadRequest::BadPort);
        let found = replies(&mut rig, from, Request::Table);
        assert!(
            matches!(&found[..], [Reply::Table(tables)] if (tables[0].lookups, tables[0].matched, tables[0].active) == (1, 1, 1))
        );
        let found = replies(&mut rig, from, Request::Description);
        assert!(
            matches!(&found[..], [Reply::Description(description)] if description.manufacturer == "weft")
        );
        rig.refused(
            from,
            multipart(Request::Experimenter { experimenter: 1, data: vec![0; 4] }),
            BadRequest::BadExperimenter,
        );
        rig.refused(
            from,
            Body::Experimenter { experimenter: 1, data: vec![0; 4] },
            BadRequest::BadExperimenter,
        );
        rig.refused(from, Body::BarrierReply, BadRequest::BadType);
    }
    for request in
        [Request::GroupFeatures, Request::MeterFeatures, Request::PortDescription, Request::GroupDescription]
    {
        assert_eq!(replies(&mut rig, NEW, request).len(), 1);
    }
    rig.tell(NEW, Body::TableMod(TableMod { table: ALL_TABLES, config: 3 }));
    rig.refused(NEW, Body::TableMod(TableMod { table: 254, config: 0 }), TableModFailed::BadTable);
    rig.refused(NEW, Body::TableMod(TableMod { table: 0, config: 4 }), TableModFailed::BadConfig);
    let more = Body::MultipartRequest(MultipartRequest { flags: MORE, body: Request::Table });
    rig.refused(NEW, more, BadRequest::MultipartBufferOverflow);
}
