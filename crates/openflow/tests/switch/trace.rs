//! What `explain` says.

use openflow::action::Action;
use openflow::field::Field;
use openflow::flow::FlowMod;
use openflow::instruction::Instruction;
use openflow::matching::Match;
use openflow::oxm::Oxm;
use openflow::port::PortNo;

use crate::rig::{NEW, Rig, udp4};

#[test]
fn a_trace_tells_table_by_table_and_does_nothing() {
    let mut rig = Rig::new();
    let actions = vec![Action::DecNwTtl, Action::SetField(Oxm::exact(Field::EthDst, 9))];
    let instructions = vec![Instruction::ApplyActions(actions), Instruction::GotoTable(3)];
    let matching = Match::new().ipv4();
    rig.flow(NEW, FlowMod { priority: 7, cookie: 0xab, matching, instructions, ..FlowMod::default() });
    let write = Instruction::WriteActions(vec![Action::output(PortNo::NORMAL)]);
    rig.flow(NEW, FlowMod { table: 3, priority: 1, instructions: vec![write], ..FlowMod::default() });
    let packet = udp4([10, 0, 0, 2], 53, b"");
    let trace = rig.switch.explain(rig.now, PortNo(1), &packet);
    let text = trace.to_string();
    println!("{text}");
    let lines: Vec<&str> = text.lines().collect();
    assert!(
        lines[0]
            .starts_with("Flow: in_port=1,dl_dst=02:00:00:00:00:02,dl_src=02:00:00:00:00:01,dl_type=0x800")
    );
    assert!(
        lines[0].ends_with("nw_src=10.0.0.1,nw_dst=10.0.0.2,udp_src=1000,udp_dst=53,nw_ttl=64"),
        "{}",
        lines[0]
    );
    let steps = [
        " 0. ip, priority 7, cookie 0xab",
        "    dec_ttl",
        "    set_field:00:00:00:00:00:09->eth_dst",
        "    goto_table:3",
        " 3. any packet, priority 1",
        "    write_actions(NORMAL)",
        "    action set:",
        "    NORMAL",
        "    flooded",
    ];
    assert_eq!(trace.steps, steps);
    assert!(text.contains("Final flow: in_port=1,dl_dst=00:00:00:00:00:09") && text.contains("nw_ttl=63"));
    assert_eq!(trace.outputs.iter().map(|(port, _)| port.0).collect::<Vec<_>>(), [2, 3, 4]);
    assert!(rig.drain().is_empty());
    // It counted nothing, and learned nothing.
    let again = rig.switch.explain(rig.now, PortNo(1), &packet);
    assert_eq!(again, trace);
    assert_eq!(rig.packet(1, &packet).len(), 3);
}

#[test]
fn misses_and_runts_are_explained() {
    let mut rig = Rig::new();
    let trace = rig.switch.explain(rig.now, PortNo(1), &udp4([10, 0, 0, 2], 53, b""));
    assert_eq!((trace.steps.join("\n").trim(), trace.packet_ins.len()), ("0. no match", 1));
    assert!(
        rig.switch.explain(rig.now, PortNo(1), &[0; 5]).to_string().contains("5 bytes are no Ethernet frame")
    );
    rig.output(1, Match::default(), 1);
    assert!(rig.switch.explain(rig.now, PortNo(1), &[0; 60]).to_string().ends_with("Dropped\n"));
}
