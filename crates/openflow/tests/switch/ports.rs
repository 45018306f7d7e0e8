//! Ports: reserved ones, configuration, fragments, NORMAL.

use openflow::action::Action;
use openflow::error::{PortModFailed, QueueOpFailed, SwitchConfigFailed};
use openflow::flow::FlowMod;
use openflow::instruction::Instruction;
use openflow::matching::Match;
use openflow::message::{Body, Message, PortMod, PortReason, SwitchConfig as Config};
use openflow::multipart::{MultipartRequest, Reply, Request};
use openflow::port::{Port, PortNo, config};
use openflow::queue::Queue;
use openflow::switch::{FailMode, MACS_MAX, Output, SwitchConfig};

use crate::rig::{DESTINATION, NEW, OLD, Rig, SOURCE, arp_request, port, udp4};

fn to(rig: &mut Rig, port: PortNo) {
    let instructions = vec![Instruction::ApplyActions(vec![Action::output(port)])];
    rig.flow(NEW, FlowMod { instructions, ..FlowMod::default() });
}

fn configure(rig: &mut Rig, number: u32, config: u32, mask: u32) -> Vec<Output> {
    let address = port(number).address;
    rig.send(OLD, Body::PortMod(PortMod { port: PortNo(number), address, config, mask, advertise: 0 }))
}

#[test]
fn reserved_ports() {
    let mut rig = Rig::new();
    let packet = udp4([10, 0, 0, 2], 53, b"");
    for (reserved, expected) in
        [(PortNo::ALL, vec![2, 3, 4]), (PortNo::FLOOD, vec![2, 3, 4]), (PortNo::IN_PORT, vec![1])]
    {
        to(&mut rig, reserved);
        assert_eq!(rig.ports(1, &packet), expected, "{reserved:?}");
        assert_eq!(rig.ports(1, &packet), expected, "{reserved:?} from the cache");
    }
    // The switch's own stack is there once it is a port.
    to(&mut rig, PortNo::LOCAL);
    assert_eq!(rig.ports(1, &packet), []);
    rig.switch.add_port(rig.now, Port { number: PortNo::LOCAL, ..port(9) }).unwrap();
    rig.drain();
    assert_eq!(rig.ports(1, &packet), [PortNo::LOCAL.0]);
    assert!(rig.switch.add_port(rig.now, Port { number: PortNo(0), ..port(9) }).is_err());
    assert!(rig.switch.add_port(rig.now, Port { number: PortNo::ALL, ..port(9) }).is_err());
}

#[test]
fn configuration_bits() {
    let mut rig = Rig::new();
    let packet = udp4([10, 0, 0, 2], 53, b"");
    to(&mut rig, PortNo::FLOOD);
    assert_eq!(
        configure(&mut rig, 2, config::NO_FLOOD, config::NO_FLOOD).len(),
        2,
        "both controllers are told"
    );
    assert_eq!(rig.ports(1, &packet), [3, 4]);
    assert!(configure(&mut rig, 2, config::NO_FLOOD, config::NO_FLOOD).is_empty(), "nothing changed");
    configure(&mut rig, 3, config::NO_FWD, config::NO_FWD);
    assert_eq!(rig.ports(1, &packet), [4]);
    configure(&mut rig, 4, config::PORT_DOWN, config::PORT_DOWN);
    assert_eq!(rig.ports(1, &packet), []);
    to(&mut rig, PortNo(2));
    assert_eq!(rig.ports(1, &packet), [2], "NO_FLOOD is about flooding");
    configure(&mut rig, 1, config::NO_RECV, config::NO_RECV);
    assert!(rig.packet(1, &packet).is_empty());
    configure(&mut rig, 1, 0, config::NO_RECV);
    configure(&mut rig, 1, config::NO_PACKET_IN, config::NO_PACKET_IN);
    rig.flow(NEW, FlowMod { command: openflow::flow::FlowCommand::Delete, ..FlowMod::default() });
    assert!(rig.packet(1, &packet).is_empty(), "no packet-in of a miss");
    assert_eq!(rig.packet(3, &packet).len(), 1);
    // A port described anew keeps what the controller configured.
    rig.switch.port_changed(rig.now, port(1)).unwrap();
    rig.drain();
    assert!(rig.packet(1, &packet).is_empty());
}

#[test]
fn port_mods_that_cannot_be_are_refused() {
    let mut rig = Rig::new();
    let request = PortMod { port: PortNo(1), address: port(1).address, config: 0, mask: 0, advertise: 0 };
    rig.refused(NEW, Body::PortMod(PortMod { port: PortNo(9), ..request.clone() }), PortModFailed::BadPort);
    rig.refused(
        OLD,
        Body::PortMod(PortMod { address: port(2).address, ..request.clone() }),
        PortModFailed::BadHwAddr,
    );
    rig.refused(NEW, Body::PortMod(PortMod { mask: 1 << 9, ..request }), PortModFailed::BadConfig);
}

#[test]
fn ports_come_and_go_and_controllers_hear_of_it() {
    let mut rig = Rig::new();
    let told = |rig: &mut Rig| -> Vec<PortReason> {
        let one = |output| match output {
            Output::Message { message: Message { body: Body::PortStatus(status), .. }, .. } => status.reason,
            other => panic!("{other:?}"),
        };
        rig.drain().into_iter().map(one).collect()
    };
    rig.switch.add_port(rig.now, port(5)).unwrap();
    assert_eq!(told(&mut rig), [PortReason::Add; 2]);
    to(&mut rig, PortNo(5));
    let packet = udp4([10, 0, 0, 2], 53, b"");
    assert_eq!(rig.ports(1, &packet), [5]);
    rig.switch.remove_port(rig.now, PortNo(5));
    assert_eq!(told(&mut rig), [PortReason::Delete; 2]);
    assert_eq!(rig.ports(1, &packet), []);
    assert!(rig.switch.port_changed(rig.now, port(5)).is_err());
}

#[test]
fn normal_learns_moves_and_forgets() {
    let mut rig = Rig::new();
    to(&mut rig, PortNo::NORMAL);
    let there = udp4([10, 0, 0, 2], 53, b"");
    let mut back = there.clone();
    back[..6].copy_from_slice(&SOURCE.0);
    back[6..12].copy_from_slice(&DESTINATION.0);
    assert_eq!(rig.ports(1, &there), [2, 3, 4], "not known yet");
    assert_eq!(rig.ports(3, &back), [1]);
    assert_eq!(rig.ports(1, &there), [3]);
    // It moves with its first packet.
    assert_eq!(rig.ports(4, &back), [1]);
    assert_eq!(rig.ports(1, &there), [4]);
    assert_eq!(rig.ports(4, &there), [], "both behind one port");
    rig.wait(299);
    assert_eq!(rig.ports(1, &there), [4]);
    rig.wait(2);
    assert_eq!(rig.ports(1, &there), [2, 3, 4], "forgotten");
    let mut reserved = there.clone();
    reserved[..6].copy_from_slice(&[1, 0x80, 0xc2, 0, 0, 0]);
    assert_eq!(rig.ports(1, &reserved), []);
    let mut broadcast = there;
    broadcast[..6].copy_from_slice(&[0xff; 6]);
    assert_eq!(rig.ports(1, &broadcast), [2, 3, 4]);
    // More stations than there is room for.
    for station in 0..MACS_MAX as u32 + 10 {
        back[8..12].copy_from_slice(&station.to_be_bytes());
        rig.packet(2, &back);
    }
    assert_eq!(rig.ports(1, &broadcast), [2, 3, 4]);
}

#[test]
fn without_a_controller_a_switch_stands_alone_or_not() {
    let packet = arp_request();
    let mut secure = Rig::with(SwitchConfig::default());
    assert_eq!(secure.ports(1, &packet), []);
    let mut alone = Rig::with(SwitchConfig { fail_mode: FailMode::Standalone, ..SwitchConfig::default() });
    assert_eq!(alone.ports(1, &packet), [2, 3, 4]);
    alone.switch.connect(alone.now, NEW, openflow::Version::V13);
    assert_eq!(alone.ports(1, &packet), []);
    alone.switch.disconnect(alone.now, NEW);
    assert_eq!(alone.ports(1, &packet), [2, 3, 4]);
}

#[test]
fn fragments_are_treated_as_configured() {
    let mut rig = Rig::new();
    let whole = udp4([10, 0, 0, 2], 53, b"");
    let mut first = whole.clone();
    first[20] |= 0x20;
    rig.output(9, Match::new().ipv4().udp_dst(53), 3);
    rig.output(1, Match::new().ipv4(), 2);
    let config = |flags| Body::SetConfig(Config { flags, miss_send_len: 128 });
    assert_eq!((rig.ports(1, &whole), rig.ports(1, &first)), (vec![3], vec![2]), "no ports in fragments");
    rig.tell(OLD, config(3));
    assert_eq!(rig.ports(1, &first), [3], "Nicira's: the first has them");
    rig.tell(NEW, config(1));
    assert_eq!((rig.ports(1, &whole), rig.ports(1, &first)), (vec![3], vec![]), "dropped");
    rig.refused(NEW, config(2), SwitchConfigFailed::BadFlags);
    let Body::GetConfigReply(now) = rig.ask(NEW, Body::GetConfigRequest) else { panic!() };
    assert_eq!(now, Config { flags: 1, miss_send_len: 128 });
}

#[test]
fn queues_are_chosen_and_counted() {
    let mut rig = Rig::new();
    let queue = |queue| Queue { queue, port: PortNo(2), properties: vec![] };
    rig.switch.set_queues(PortNo(2), vec![queue(1), queue(7)]).unwrap();
    let enqueue = Action::Enqueue { port: PortNo(2), queue: 7 };
    let instructions = vec![Instruction::ApplyActions(vec![enqueue, Action::output(PortNo(3))])];
    rig.flow(OLD, FlowMod { instructions, ..FlowMod::default() });
    let queues = |outputs: Vec<Output>| -> Vec<(u32, Option<u32>)> {
        let one = |output| match output {
            Output::Packet { port, queue, .. } => (port.0, queue),
            Output::Message { .. } => panic!(),
        };
        outputs.into_iter().map(one).collect()
    };
    let packet = udp4([10, 0, 0, 2], 53, b"");
    assert_eq!(queues(rig.packet(1, &packet)), [(2, Some(7)), (3, None)]);
    let actions = vec![Action::SetQueue(1), Action::output(PortNo(2))];
    rig.flow(
        NEW,
        FlowMod {
            priority: 50_000,
            instructions: vec![Instruction::ApplyActions(actions)],
            ..FlowMod::default()
        },
    );
    assert_eq!(queues(rig.packet(1, &packet)), [(2, Some(1))]);
    for from in [NEW, OLD] {
        let Body::QueueGetConfigReply { queues, .. } = rig.ask(from, Body::QueueGetConfigRequest(PortNo(2)))
        else {
            panic!()
        };
        assert_eq!(queues.len(), 2);
        rig.refused(from, Body::QueueGetConfigRequest(PortNo(9)), QueueOpFailed::BadPort);
    }
    let request = |port, queue| {
        Body::MultipartRequest(MultipartRequest { flags: 0, body: Request::Queue { port, queue } })
    };
    let Body::MultipartReply(reply) = rig.ask(NEW, request(PortNo::ANY, openflow::queue::ALL)) else {
        panic!()
    };
    let Reply::Queue(counts) = reply.body else { panic!() };
    assert_eq!(
        counts.iter().map(|count| (count.queue, count.tx_packets)).collect::<Vec<_>>(),
        [(1, 1), (7, 1)]
    );
    rig.refused(NEW, request(PortNo(2), 3), QueueOpFailed::BadQueue);
    rig.refused(NEW, request(PortNo(9), 3), QueueOpFailed::BadPort);
}
