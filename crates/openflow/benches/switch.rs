//! What a packet costs the switch: the thread's CPU time, the best of some runs.
//!
//! `cargo bench -p openflow --bench switch`. Packets are UDP over IPv4 of 60 bytes; each run sends as many, of 1,000 flows in
//! turn, and takes what comes out, but for packets that leave as they came: these are the caller's to send. `tables`: the
//! cache is emptied before each packet, so that it goes through the tables.

use std::hint::black_box;
use std::time::Duration;

use openflow::Version;
use openflow::action::Action;
use openflow::field::Field;
use openflow::flow::FlowMod;
use openflow::instruction::Instruction;
use openflow::matching::Match;
use openflow::message::{Body, Message};
use openflow::oxm::Oxm;
use openflow::port::{Port, PortNo};
use openflow::switch::{ConnectionId, Switch, SwitchConfig};
use rustix::time::{ClockId, clock_gettime};

const PACKETS: u64 = 200_000;
const RUNS: usize = 5;
const FLOWS: u32 = 1000;
const CONTROLLER: ConnectionId = ConnectionId(1);

fn switch(version: Version) -> Switch {
    let mut switch = Switch::new(SwitchConfig::default());
    for number in 1..=4 {
        switch.add_port(Duration::ZERO, Port { number: PortNo(number), ..Port::default() }).expect("a port");
    }
    switch.connect(Duration::ZERO, CONTROLLER, version);
    switch
}

fn add(switch: &mut Switch, flow: FlowMod) {
    switch.handle_message(Duration::ZERO, CONTROLLER, &Message::new(1, Body::FlowMod(flow)));
    assert!(switch.poll_output().is_none(), "refused");
}

fn apply(actions: &[Action]) -> Instruction {
    Instruction::ApplyActions(actions.to_vec())
}

/// A table of one mask and an entry for each flow.
fn one_table(switch: &mut Switch, actions: &[Action]) {
    for flow in 0..FLOWS {
        let matching = Match::new().ipv4().ipv4_dst(std::net::Ipv4Addr::from_bits(0x0a00_0000 + flow));
        add(switch, FlowMod { matching, instructions: vec![apply(actions)], ..FlowMod::default() });
    }
}

/// Three tables, the first two of which pass everything on, and 32 masks in the third.
fn three_tables(switch: &mut Switch) {
    for table in 0..2 {
        let instructions = vec![Instruction::GotoTable(table + 1)];
        add(switch, FlowMod { table, priority: 1, instructions, ..FlowMod::default() });
    }
    for bits in 1..=32_u32 {
        let mask = u32::MAX << (32 - bits);
        let address = 0x0a00_0000 & mask;
        let matching = Match::new().ipv4().with(Oxm::masked(Field::Ipv4Dst, address.into(), mask.into()));
        let priority = 100 - bits as u16;
        let instructions = vec![apply(&[Action::output(PortNo(2))])];
        add(switch, FlowMod { table: 2, priority, matching, instructions, ..FlowMod::default() });
    }
}

/// Frames of the flows.
fn frames() -> Vec<Vec<u8>> {
    let frame = |flow: u32| {
        let mut bytes = vec![0; 60];
        bytes[..14].copy_from_slice(&[2, 0, 0, 0, 0, 2, 2, 0, 0, 0, 0, 1, 8, 0]);
        bytes[14..34].copy_from_slice(&[0x45, 0, 0, 46, 0, 0, 0, 0, 64, 17, 0, 0, 10, 0, 0, 9, 10, 0, 0, 0]);
        bytes[32..34].copy_from_slice(&(flow as u16).to_be_bytes());
        bytes[34..42].copy_from_slice(&[3, 0xe8, 0, 53, 0, 26, 0, 0]);
        bytes
    };
    (0..FLOWS).map(frame).collect()
}

fn cpu_time() -> Duration {
    let now = clock_gettime(ClockId::ThreadCPUTime);
    Duration::new(now.tv_sec as u64, now.tv_nsec as u32)
}

fn measure(name: &str, mut switch: Switch, empties_cache: bool) {
    let frames = frames();
    let mut best = Duration::MAX;
    for _ in 0..RUNS {
        let start = cpu_time();
        for packet in 0..PACKETS {
            if empties_cache {
                // Any change of a port does.
                let port = Port { number: PortNo(4), ..Port::default() };
                switch.port_changed(Duration::ZERO, port).expect("a port");
            }
            let frame = &frames[(packet % u64::from(FLOWS)) as usize];
            black_box(switch.forward(Duration::from_micros(packet), PortNo(1), frame));
            while let Some(output) = switch.poll_output() {
                black_box(output);
            }
        }
        best = best.min(cpu_time() - start);
    }
    println!("{name:34} {:7.0} ns", best.as_nanos() as f64 / PACKETS as f64);
}

fn main() {
    let output = [Action::output(PortNo(2))];
    let mut rewritten =
        vec![Action::SetField(Oxm::exact(Field::EthDst, 7)), Action::SetField(Oxm::exact(Field::Ipv4Src, 7))];
    rewritten.extend([Action::DecNwTtl, Action::output(PortNo(2))]);
    let mut one = switch(Version::V13);
    one_table(&mut one, &output);
    measure("cached: output", one, false);
    let mut one = switch(Version::V13);
    one_table(&mut one, &rewritten);
    measure("cached: two fields set, TTL, output", one, false);
    let mut three = switch(Version::V13);
    three_tables(&mut three);
    measure("cached: three tables, 32 masks", three, false);
    let mut one = switch(Version::V13);
    one_table(&mut one, &output);
    one.disconnect(Duration::ZERO, CONTROLLER);
    measure("tables: one table, one mask", one, true);
    let mut three = switch(Version::V13);
    three_tables(&mut three);
    three.disconnect(Duration::ZERO, CONTROLLER);
    measure("tables: three tables, 32 masks", three, true);
    measure("a miss: packet-in of 1.0", switch(Version::V10), false);
}
