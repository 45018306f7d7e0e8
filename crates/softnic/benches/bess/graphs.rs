//! The graphs of the table, between a source of blank packets and a sink.

use std::net::{IpAddr, Ipv4Addr};

use lookup::acl::classbench::{self, Flavour, Version};
use lookup::acl::{Networks, Prefix, ProtocolMatch, Rule};
use lookup::lpm::sample::{self, Random};
use openflow::action::Action;
use openflow::flow::FlowMod;
use openflow::instruction::Instruction;
use openflow::live::HubConfig;
use openflow::live::agent::AgentConfig;
use openflow::matching::Match;
use openflow::message::{Body, Message};
use openflow::oxm::Oxm;
use openflow::port::{Port, PortNo};
use openflow::switch::{ConnectionId, SwitchConfig};
use packet::Batch;
use packet::flow::{FlowKey, Tuple};
use packet::wire::IpProtocol;
use packet::{Pool, PoolConfig};
use softnic::engine::{Context, Gate, Module};
use softnic::modules::{
    Acl, Bypass, ExactMatch, ExternalAddress, Field, Fields, IpChecksum, IpLookup, IpSwap, L2Forward,
    L4Checksum, MacSwap, Nat, NatConfig, OpenFlowSwitch, Rewrite, UpdateTtl,
};

use crate::flows::{FRAME, Flows, HOT, STATIONS, hot_set, station};
use crate::peer::BUFFERS;

/// Flows, prefixes and rules of the large tables.
const MILLION: usize = 1_000_000;
const RULES: usize = 10_000;
/// Packets that visit the large rule set.
const TRACE: usize = 1 << 17;
/// The seed of hashes and samples.
const SEED: u64 = 0x5eed;

/// A module on the way, and the gates by which packets come and go.
pub(crate) struct Step {
    pub(crate) module: Box<dyn Module>,
    pub(crate) input: Gate,
    pub(crate) output: Gate,
}

fn step(module: impl Module) -> Step {
    Step { module: Box::new(module), input: 0, output: 0 }
}

/// A graph of the table.
pub(crate) struct Graph {
    /// Its name, as a word for the command line and as text.
    pub(crate) word: &'static str,
    pub(crate) name: &'static str,
    /// Packets until everything is in place.
    pub(crate) warm_up: u64,
    pub(crate) build: fn() -> Vec<Step>,
}

const fn graph(word: &'static str, name: &'static str, build: fn() -> Vec<Step>) -> Graph {
    Graph { word, name, warm_up: 100_000, build }
}

const fn large(word: &'static str, name: &'static str, build: fn() -> Vec<Step>) -> Graph {
    Graph { word, name, warm_up: 2 * MILLION as u64, build }
}

/// The table, row by row.
pub(crate) const TABLE: [Graph; 16] = [
    graph("sink", "source → sink", Vec::new),
    graph("bypass", "plus 8 Bypass", || (0..8).map(|_| step(Bypass::default())).collect()),
    graph("rewrite", "rewrite", || vec![rewrite()]),
    graph("macswap", "rewrite, macswap", || vec![rewrite(), step(MacSwap)]),
    graph("l2", "rewrite, L2Forward (256 entries)", || vec![rewrite(), step(l2())]),
    graph("acl", "rewrite, ACL (10 rules)", || vec![rewrite(), step(acl())]),
    graph("lpm", "rewrite, IPLookup (201 prefixes)", || vec![rewrite(), step(lpm())]),
    graph("ttl", "rewrite, UpdateTTL, IPChecksum", || {
        vec![rewrite(), step(UpdateTtl), step(IpChecksum::new())]
    }),
    graph("five", "rewrite, L2, ACL, LPM, TTL", || {
        vec![rewrite(), step(l2()), step(acl()), step(lpm()), step(UpdateTtl)]
    }),
    graph("nat", "rewrite, NAT (32 flows)", || vec![rewrite(), nat(1, 65_536)]),
    large("flows", "1 M flows made", || vec![step(Flows::new(flows()))]),
    large("exact", "1 M flows, ExactMatch (1 M rules)", || vec![step(Flows::new(flows())), step(exact())]),
    large("nat1m", "1 M flows, NAT (1 M flows)", || vec![step(Flows::new(flows())), nat(20, 1 << 20)]),
    large("lpm1m", "1 M addresses, IPLookup (1 M prefixes)", || {
        let routes = sample::ipv4(MILLION, SEED);
        let mut table = IpLookup::new(MILLION);
        let mut random = Random(SEED);
        let mut keys = Vec::with_capacity(MILLION);
        for (prefix, _) in routes {
            table.add(prefix.address().into(), prefix.len(), 0).expect("room for all");
            keys.push(flow_to(keys.len() as u32, sample::address_in(prefix, &mut random)));
        }
        vec![step(Flows::new(keys)), step(table)]
    }),
    large("acl10k-flows", "the 131,072 packets below made", || vec![step(Flows::new(trace(&rules())))]),
    large("acl10k", "131,072 packets, ACL (10,000 rules)", || {
        let rules = rules();
        let keys = trace(&rules);
        let mut acl = Acl::new();
        let all = rules.into_iter().chain([Rule::ANY]);
        acl.add(all.map(|rule| (rule, false))).expect("few enough");
        vec![step(Flows::new(keys)), step(acl)]
    }),
];

/// The five modules in other ways, to see what fusing them could win.
pub(crate) const OTHER_WAYS: [Graph; 3] = [
    graph("five", "five modules, by the engine", TABLE[8].build),
    graph("fused", "the same in one module, each called straight", || {
        vec![step(Fused(rewrite_module(), l2(), acl(), lpm(), UpdateTtl))]
    }),
    graph("packet-by-packet", "the same, each packet through all five", || {
        vec![step(ByPacket(Fused(rewrite_module(), l2(), acl(), lpm(), UpdateTtl)))]
    }),
];

/// What testpmd does in each mode, of our modules.
pub(crate) fn testpmd(mode: &str) -> Vec<Step> {
    match mode {
        "io" => Vec::new(),
        "macswap" => vec![step(MacSwap)],
        "5tswap" => vec![step(MacSwap), step(IpSwap)],
        "csum" => vec![step(MacSwap), step(IpChecksum::new()), step(L4Checksum::new())],
        other => panic!("no mode {other}"),
    }
}

/// Two ports and, as there, a flow each way.
pub(crate) fn open_flow_switch() -> Step {
    let pool = Pool::new(PoolConfig { buffers: BUFFERS, ..PoolConfig::default() }).expect("a pool");
    let config = AgentConfig::new(SwitchConfig::default(), Vec::new());
    let (mut switch, _) =
        OpenFlowSwitch::new(config, vec![Port::default(); 2], pool, HubConfig::default()).expect("a switch");
    switch.change(|switch, now| {
        let controller = ConnectionId(u64::MAX);
        switch.connect(now, controller, openflow::Version::V13);
        for (from, to) in [(1, 2), (2, 1)] {
            let matching = Match::new().with(Oxm::exact(openflow::field::Field::InPort, from));
            let instructions = vec![Instruction::ApplyActions(vec![Action::output(PortNo(to))])];
            let flow = FlowMod { matching, instructions, ..FlowMod::default() };
            switch.handle_message(now, controller, &Message::new(1, Body::FlowMod(flow)));
        }
        switch.disconnect(now, controller);
    });
    Step { module: Box::new(switch), input: 0, output: 1 }
}

fn rewrite_module() -> Rewrite {
    Rewrite::new(usize::from(HOT), &hot_set()).expect("short templates")
}

fn rewrite() -> Step {
    step(rewrite_module())
}

fn l2() -> L2Forward {
    let mut table = L2Forward::new(STATIONS as usize, SEED);
    table.populate(station(0), STATIONS, 1);
    table
}

/// Nine rules that are no packet's, and one that is every packet's.
fn acl() -> Acl {
    let network = |a, b, len| Prefix::<Ipv4Addr>::new(Ipv4Addr::new(a, b, 0, 0), len).expect("a prefix");
    let networks = |source, destination| Networks::V4 { source, destination };
    let others = (0..9).map(|number| Rule {
        networks: networks(network(10, 0, 8), network(192, number, 16)),
        destination_ports: 80..=80,
        protocol: ProtocolMatch::exactly(IpProtocol::TCP),
        ..Rule::ANY
    });
    let last = Rule { networks: networks(network(10, 0, 8), network(198, 18, 15)), ..Rule::ANY };
    let mut acl = Acl::new();
    acl.add(others.map(|rule| (rule, true)).chain([(last, false)])).expect("ten");
    acl
}

/// 200 networks and a default.
fn lpm() -> IpLookup {
    let mut table = IpLookup::new(1024);
    for number in 0..200 {
        table.add(Ipv4Addr::new(198, 18, number, 0).into(), 24, 0).expect("room");
    }
    table.add(IpAddr::V4(Ipv4Addr::UNSPECIFIED), 0, 0).expect("the default");
    table
}

fn nat(addresses: u8, flows: usize) -> Step {
    let external = |number| ExternalAddress {
        address: Ipv4Addr::new(192, 0, 2, number).into(),
        ports: vec![1024..=u16::MAX],
    };
    let externals = (1..=addresses).map(external).collect();
    let nat = Nat::new(&NatConfig { externals, flows, mappings: flows }, SEED.into()).expect("addresses");
    Step { module: Box::new(nat), input: 0, output: 1 }
}

/// A million flows of 62,500 hosts, each unlike the one before.
fn flows() -> impl Iterator<Item = FlowKey> {
    let server = Ipv4Addr::new(203, 0, 113, 9);
    // Coprime to a million, so that every number comes once.
    let spread = |number: usize| (number * 617_713 % MILLION) as u32;
    (0..MILLION).map(move |number| flow_to(spread(number), server))
}

fn flow_to(number: u32, destination: Ipv4Addr) -> FlowKey {
    FlowKey::V4(Tuple {
        source: Ipv4Addr::from_bits(0x0a00_0000 + (number >> 4)),
        destination,
        source_port: 1024 + (number & 15) as u16,
        destination_port: 53,
        protocol: IpProtocol::UDP,
    })
}

/// Both addresses and both ports.
fn exact() -> ExactMatch {
    let fields = Fields::new(vec![Field::at(26, 4), Field::at(30, 4), Field::at(34, 4)]).expect("fields");
    let mut table = ExactMatch::new(fields, Fields::default(), Some(MILLION), SEED);
    for key in flows() {
        let FlowKey::V4(key) = key else { continue };
        let (source, destination) = (key.source.octets().to_vec(), key.destination.octets().to_vec());
        let ports = [key.source_port.to_be_bytes(), key.destination_port.to_be_bytes()].concat();
        table.add(&[source, destination, ports], &[], 0).expect("room");
    }
    table
}

fn rules() -> Vec<Rule> {
    classbench::rules(Flavour::Acl, Version::V4, RULES, SEED)
}

fn trace(rules: &[Rule]) -> Vec<FlowKey> {
    classbench::trace(rules, TRACE, 0.1, SEED)
}

/// Five modules in one: what a compiler that knows the whole chain makes of it. It is right only where all packets stay
/// together and leave at gate 0, as they do here.
struct Fused<A, B, C, D, E>(A, B, C, D, E);

impl<A: Module, B: Module, C: Module, D: Module, E: Module> Fused<A, B, C, D, E> {
    #[inline]
    fn all(&mut self, ctx: &mut Context<'_>, batch: &mut Batch) {
        self.0.process(ctx, 0, batch);
        self.1.process(ctx, 0, batch);
        self.2.process(ctx, 0, batch);
        self.3.process(ctx, 0, batch);
        self.4.process(ctx, 0, batch);
    }
}

impl<A: Module, B: Module, C: Module, D: Module, E: Module> Module for Fused<A, B, C, D, E> {
    fn class(&self) -> &'static str {
        "Fused"
    }

    fn process(&mut self, ctx: &mut Context<'_>, _gate: Gate, batch: &mut Batch) {
        self.all(ctx, batch);
    }
}

/// The five for one packet after the other, so that a packet's lines are visited once.
struct ByPacket<A, B, C, D, E>(Fused<A, B, C, D, E>);

impl<A: Module, B: Module, C: Module, D: Module, E: Module> Module for ByPacket<A, B, C, D, E> {
    fn class(&self) -> &'static str {
        "ByPacket"
    }

    fn process(&mut self, ctx: &mut Context<'_>, _gate: Gate, batch: &mut Batch) {
        let mut one = Batch::new();
        for packet in std::mem::take(batch) {
            // One goes in, one comes out.
            let _ = one.push(packet);
            self.0.all(ctx, &mut one);
            batch.append(&mut one);
        }
    }
}

/// A frame of the hot set.
pub(crate) fn one_frame() -> [u8; FRAME] {
    let mut frame = [0; FRAME];
    frame.copy_from_slice(&hot_set()[0]);
    frame
}
