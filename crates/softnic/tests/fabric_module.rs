//! The fabric as a module of the engine: ports appear, programs come, packets cross.

mod fabric_kit;

use std::time::{Duration, Instant};

use fabric_kit::*;
use packet::{Batch, Pool, PoolConfig, PortId, ROOM_GSO};
use softnic::engine::{Context, Edit, Engine, Gate, Module, Next, Ran, Readiness, WorkerConfig};
use softnic::fabric::compile;
use softnic::modules::FabricModule;

/// A container's interface: sends what it is told, keeps what comes.
struct Interface {
    number: u32,
    to_send: Vec<packet::Packet>,
    received: Vec<Vec<u8>>,
}

impl Module for Interface {
    fn class(&self) -> &'static str {
        "Interface"
    }

    fn tasks(&self) -> usize {
        1
    }

    fn readiness(&self, _task: usize) -> Readiness<'_> {
        Readiness::Poll
    }

    fn run(&mut self, ctx: &mut Context<'_>, _task: usize, _batch: &mut Batch) -> Ran {
        let Some(mut packet) = self.to_send.pop() else {
            return Ran { packets: 0, bytes: 0, next: Next::Idle };
        };
        packet.set_ingress(PortId(self.number));
        ctx.emit(0, packet);
        Ran::more(1, 0)
    }

    fn process(&mut self, _ctx: &mut Context<'_>, _gate: Gate, batch: &mut Batch) {
        self.received.extend(batch.drain(..).map(|packet| packet.data().to_vec()));
    }
}

fn wait_for(engine: &Engine, name: &str, count: usize) -> Vec<Vec<u8>> {
    let end = Instant::now() + Duration::from_secs(10);
    loop {
        let received = engine
            .with_module(name, |interface: &mut Interface| interface.received.clone())
            .expect("a module");
        if received.len() >= count {
            return received;
        }
        assert!(Instant::now() < end, "{name} received {} of {count}", received.len());
        std::thread::sleep(Duration::from_millis(1));
    }
}

#[test]
fn packets_cross_the_engine_and_links_follow_attachment() {
    let engine = Engine::new();
    let worker = engine.add_worker(WorkerConfig::default()).unwrap();
    let pool = Pool::new(PoolConfig { buffers: 64, room: ROOM_GSO, ..PoolConfig::default() }).unwrap();
    let interface = |number| Interface { number, to_send: Vec::new(), received: Vec::new() };
    let mut edit = Edit::new().add("fabric", FabricModule::new(7), worker);
    for (name, number) in [("client", CLIENT), ("web", WEB)] {
        edit = edit.add(name, interface(number), worker).connect(name, 0, "fabric", 0).connect(
            "fabric",
            number as Gate,
            name,
            0,
        );
    }
    engine.apply(edit).unwrap();
    let send = |name: &str, frame: Vec<u8>| {
        let packet = pool.packet(&frame).unwrap();
        engine.with_module(name, move |interface: &mut Interface| interface.to_send.push(packet)).unwrap();
    };
    let way = Way::new(CLIENT, WEB, (9, 80), false);
    // The web's port appears before the program, the client's never.
    let fabric = |change: fn(&mut FabricModule)| engine.with_module("fabric", change).unwrap();
    fabric(|fabric| fabric.set_link(PortId(WEB), true));
    fabric(|fabric| assert_eq!(fabric.apply(compile(&program()).unwrap(), true), 0));
    send("client", way.tcp(SYN, b""));
    assert_eq!(tcp_flags(&wait_for(&engine, "web", 1)[0]), SYN);
    send("web", way.back().tcp(SYN_ACK, b""));
    assert_eq!(icmp_kind(&wait_for(&engine, "web", 2)[1]), (3, 1), "the client is not attached");
    fabric(|fabric| fabric.set_link(PortId(CLIENT), true));
    send("web", way.back().tcp(SYN_ACK, b""));
    assert_eq!(tcp_flags(&wait_for(&engine, "client", 1)[0]), SYN_ACK);
    fabric(|fabric| fabric.set_link(PortId(WEB), false));
    send("client", way.tcp(ACK, b""));
    assert_eq!(icmp_kind(&wait_for(&engine, "client", 2)[1]), (3, 1), "the web is gone");
    let flows = engine.with_module("fabric", |fabric: &mut FabricModule| fabric.counters().flows).unwrap();
    assert_eq!((flows.active, flows.opened), (1, 1));
}
