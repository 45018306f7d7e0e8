//! All data planes of a policy in memory: packets walk through them, and functions are wires.

use packet::flow::FlowKey;
use packet::wire::{EtherType, IpProtocol, MacAddr, ethernet, ipv4, udp};
use packet::{Pool, PoolConfig};
use softnic::engine::Gate;

use super::drops::Cause;
use super::module::Plane;
use super::proto;
use crate::compile::{Plan, plan};
use crate::deploy::{Deployed, Moving, Scheme, Seen, back, out};
use crate::policy::Policy;
use crate::scale::{Input, Limits, Next, Output, Shift};

const LIVE: &str = include_str!("../../examples/live.yaml");

/// A cluster without wires.
struct World {
    pool: Pool,
    planes: Vec<Plane>,
    deployed: Deployed,
    scheme: Scheme,
    ports: usize,
}

/// What became of a packet: the instances that it passed, and the port where it left.
type Walk = (Vec<u32>, Option<usize>);

impl World {
    fn new(text: &str) -> Self {
        let policy = Policy::read(text).unwrap();
        let plan: Plan = plan(&policy).unwrap();
        let (scheme, deployed) =
            (Scheme::of_plan(&policy, &plan).unwrap(), Deployed::of_plan(&policy, &plan, 7).unwrap());
        let pool = Pool::new(PoolConfig { buffers: 64, ..PoolConfig::default() }).unwrap();
        let planes = deployed.programs(&scheme).iter().map(|_| Plane::new(pool.clone())).collect();
        let mut world = Self { pool, planes, deployed, scheme, ports: policy.hardware.ports.len() };
        world.tell();
        world
    }

    fn tell(&mut self) {
        let programs = self.deployed.programs(&self.scheme);
        for (plane, program) in self.planes.iter_mut().zip(programs) {
            plane.set_program(program).unwrap();
        }
    }

    /// Lets a frame in at a port.
    fn walk(&mut self, port: usize, frame: &[u8]) -> Walk {
        let mut packet = self.pool.packet(frame).unwrap();
        let (mut site, mut gate, mut passed) = (0, port as Gate, Vec::new());
        for _ in 0..64 {
            let Ok((leaves, out)) = self.planes[site].pass(gate, packet) else { return (passed, None) };
            packet = out;
            let at = self
                .deployed
                .instances
                .iter()
                .find(|(_, one)| one.site == site && (one.gate..one.gate + 2).contains(&leaves));
            if let Some((id, one)) = at {
                // A function is a wire: what comes in at one side leaves at the other.
                passed.push(*id);
                gate = one.gate + (1 - (leaves - one.gate));
                continue;
            }
            (site, gate) = match (site, usize::from(leaves)) {
                (0, port) if port < self.ports => {
                    assert_eq!(packet.data(), frame, "as it came in");
                    return (passed, Some(port));
                }
                (0, trunk) => (trunk - self.ports + 1, 0),
                (server, _) => (0, (self.ports + server - 1) as Gate),
            };
        }
        panic!("it goes in a circle: {passed:?}");
    }
}

/// A datagram, or TCP's bytes where that is asked for: data planes look at nothing but addresses and ports.
fn frame(key: &FlowKey) -> Vec<u8> {
    let (std::net::IpAddr::V4(source), std::net::IpAddr::V4(destination)) = (key.source(), key.destination())
    else {
        panic!("IPv4 is enough here");
    };
    let mut bytes = vec![0; ethernet::HEADER_LEN + ipv4::HEADER_LEN + 40];
    let ends =
        ethernet::Repr { source: MacAddr([2; 6]), destination: MacAddr([4; 6]), ethertype: EtherType::IPV4 };
    ends.emit(&mut ethernet::View::new_unchecked(&mut bytes[..]));
    let ip = ipv4::Repr::new(source, destination, key.protocol(), 40);
    ip.emit(&mut ipv4::View::new_unchecked(&mut bytes[ethernet::HEADER_LEN..]));
    let ports = &mut bytes[ethernet::HEADER_LEN + ipv4::HEADER_LEN..];
    let head = udp::Repr {
        source_port: key.source_port(),
        destination_port: key.destination_port(),
        payload_len: 32,
    };
    head.emit(&mut udp::View::new_unchecked(&mut *ports));
    if key.protocol() == IpProtocol::TCP {
        ports[4..20].copy_from_slice(&[0, 0, 0, 1, 0, 0, 0, 1, 0x50, 0x10, 0, 64, 0, 0, 0, 0]);
    }
    bytes
}

fn flow(number: u32, protocol: IpProtocol) -> FlowKey {
    let [_, a, b, c] = number.wrapping_mul(0x9e37_79b1).to_be_bytes();
    let source = std::net::SocketAddr::from(([10, a, b, c], 1024 + number as u16 % 40_000));
    FlowKey::new(protocol, source, ([192, 0, 2, 1], 80).into()).unwrap()
}

const LEFT: usize = 0;
const RIGHT: usize = 1;

#[test]
fn both_directions_of_a_flow_pass_the_same_instances() {
    let mut world = World::new(LIVE);
    let mut seen = std::collections::BTreeMap::<Vec<u32>, u32>::new();
    for number in 0..600 {
        for protocol in [IpProtocol::TCP, IpProtocol::UDP] {
            let key = flow(number, protocol);
            let (mut there, out) = world.walk(LEFT, &frame(&key));
            let (back, home) = world.walk(RIGHT, &frame(&key.reversed()));
            assert_eq!((out, home), (Some(RIGHT), Some(LEFT)), "{key}");
            let tcp = protocol == IpProtocol::TCP;
            assert_eq!(there.len(), if tcp { 2 } else { 1 }, "a monitor for TCP, a firewall for all");
            *seen.entry(there.clone()).or_default() += 1;
            there.reverse();
            assert_eq!(there, back, "{key}");
        }
    }
    assert_eq!(seen.len(), 4, "both firewalls, with and without the monitor: {seen:?}");
    assert!(seen.values().all(|count| (200..400).contains(count)), "in equal parts: {seen:?}");
    // What is not IP goes as well, to whoever has the first hashes.
    let arp = [&[0xff; 6][..], &[2; 6], &[0x08, 0x06], &[0; 46]].concat();
    assert_eq!(world.walk(LEFT, &arp).1, Some(RIGHT));
}

#[test]
fn an_answer_goes_back_to_where_the_question_came_from() {
    let mut world = World::new(LIVE);
    let key = flow(1, IpProtocol::UDP);
    let (passed, _) = world.walk(LEFT, &frame(&key));
    let one = world.deployed.instances[&passed[0]].clone();
    // Made anew by the function, and let out where the question came in.
    let packet = world.pool.packet(&frame(&key.reversed())).unwrap();
    let (gate, packet) = world.planes[one.site].pass(one.gate, packet).unwrap();
    let (site, gate) = if one.site == 0 { (0, gate) } else { (0, (world.ports + one.site - 1) as Gate) };
    let (left, _) = world.planes[site].pass(gate, packet).unwrap();
    assert_eq!(usize::from(left), LEFT);
}

#[test]
fn what_is_not_known_ends_and_is_counted() {
    let mut world = World::new(LIVE);
    let packet = |world: &World| world.pool.packet(&frame(&flow(1, IpProtocol::UDP))).unwrap();
    let foreign = packet(&world);
    assert_eq!(world.planes[1].pass(0, foreign).err(), Some(Cause::NotOurs));
    let nowhere = packet(&world);
    assert_eq!(world.planes[0].pass(900, nowhere).err(), Some(Cause::NoProgram));
}

#[test]
fn a_program_that_is_wrong_or_late_changes_nothing() {
    let mut world = World::new(LIVE);
    let good = world.planes[0].said().clone();
    let with = |change: &dyn Fn(&mut proto::Program)| {
        let mut program = good.clone();
        change(&mut program);
        program
    };
    for (program, told) in [
        (with(&|it| it.epoch = 0), "has spoken already"),
        (with(&|it| it.groups[0].parts[0].end -= 1), "do not cover all hashes once"),
        (with(&|it| it.groups[0].parts[0].instance = 99), "there is no instance 99"),
        (with(&|it| it.ports[0].rules[0].filter = "tcp prot 1".into()), "the filter"),
        (with(&|it| it.ports[0].at = it.ports[1].at), "is said twice"),
        (with(&|it| it.trunks.clear()), "there is no trunk"),
        (with(&|it| it.instances[0].at = None), "an instance is nowhere"),
        (with(&|it| it.flows = u32::MAX), "flows of an instance"),
        (with(&|it| it.trunks[0].gate = 70_000), "there is no gate 70000"),
    ] {
        let error = world.planes[0].set_program(program).unwrap_err().to_string();
        assert!(error.contains(told), "{told}: {error}");
        assert_eq!(world.planes[0].said(), &good);
    }
    world.planes[0].set_program(with(&|it| it.epoch += 1)).unwrap();
}

/// Flows of a world, and the instance of the first function that each was born at.
struct Flowing {
    world: World,
    born: Vec<(FlowKey, u32)>,
    next: u32,
    late: u32,
}

impl Flowing {
    fn begin(&mut self, count: u32) {
        for _ in 0..count {
            let key = flow(self.next, IpProtocol::UDP);
            self.next += 1;
            let (passed, out) = self.world.walk(LEFT, &frame(&key));
            assert_eq!((passed.len(), out), (1, Some(RIGHT)));
            self.born.push((key, passed[0]));
        }
    }

    /// A packet of each, both ways, and new ones.
    fn all_send(&mut self) {
        for (key, instance) in self.born.clone() {
            assert_eq!(self.world.walk(LEFT, &frame(&key)), (vec![instance], Some(RIGHT)), "{key}");
            assert_eq!(
                self.world.walk(RIGHT, &frame(&key.reversed())),
                (vec![instance], Some(LEFT)),
                "{key}"
            );
        }
        self.begin(3);
        self.late += 3;
    }

    /// Tells all sites, one after the other in any order, with packets in between.
    fn tell(&mut self, random: &mut u64) {
        let programs = self.world.deployed.programs(&self.world.scheme);
        let mut open: Vec<usize> = (0..programs.len()).collect();
        while !open.is_empty() {
            *random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            let site = open.swap_remove((*random >> 33) as usize % open.len());
            self.world.planes[site].set_program(programs[site].clone()).unwrap();
            self.all_send();
        }
    }

    /// Flows end, the instances' data planes forget them.
    fn end(&mut self, which: impl Fn(usize) -> bool) {
        let hasher = packet::flow::FlowHasher::new(self.world.deployed.seed.into());
        let ended: Vec<_> =
            self.born.iter().enumerate().filter(|(place, _)| which(*place)).map(|(_, one)| *one).collect();
        for (key, instance) in &ended {
            let site = self.world.deployed.instances[instance].site;
            let keys = vec![crate::key::Fields::FLOW.digest(&hasher, key)];
            self.world.planes[site].forget(&proto::Forget { instance: *instance, keys });
        }
        self.born.retain(|one| !ended.contains(one));
    }

    fn old(&mut self, moving: &Moving) -> std::collections::BTreeSet<u64> {
        let site = self.world.deployed.instances[&moving.source].site;
        let of = proto::FlowsOf { instance: moving.source, start: moving.range.start, end: moving.range.end };
        self.world.planes[site].flows(of).flows.iter().map(|flow| flow.key).collect()
    }

    /// Carries a shift out until it waits or is over.
    fn run(&mut self, moving: &Moving, shift: &mut Shift, now_ns: u64, random: &mut u64) -> Vec<Output> {
        let mut outputs = Vec::new();
        loop {
            let old = self.old(moving);
            let seen = Seen { source_alive: true, target_alive: true, old, drained: true };
            let observed = moving.observed(&self.world.deployed, seen);
            shift.handle(now_ns, Input::Observed(Box::new(observed)));
            let Some(output) = shift.poll_output() else { return outputs };
            if let Output::Do { step, .. } = &output {
                moving.apply(&mut self.world.deployed, step);
                self.tell(random);
            }
            let over = matches!(output, Output::Ended(_));
            outputs.push(output);
            if over {
                return outputs;
            }
        }
    }
}

/// One instance, then two and one again; sites are told one after the other, in any order, and packets pass in between.
#[test]
fn no_flow_changes_its_instance_while_a_range_moves() {
    let text = LIVE.replace("capacity: 600 Mbit/s", "capacity: 6 Gbit/s");
    let policy = Policy::read(&text).unwrap();
    for seed in 1..=8u64 {
        println!("seed {seed}");
        let mut random = seed;
        let mut flowing = Flowing { world: World::new(&text), born: Vec::new(), next: 0, late: 0 };
        let new = *flowing.world.deployed.instances.keys().next_back().unwrap() + 1;
        flowing.begin(60);
        let site = 1 + seed as usize % 2;
        flowing.world.deployed.add(&policy, new, 0, 2, site).unwrap();
        flowing.tell(&mut random);
        let limits = Limits { entries: 5, wait_ns: 10, cut_ns: None };
        let moving = out(&flowing.world.deployed, 0, new).unwrap();
        let mut shift = Shift::new(1, limits, 0);
        flowing.run(&moving, &mut shift, 0, &mut random);
        let outputs = flowing.run(&moving, &mut shift, 10, &mut random);
        assert!(
            outputs.iter().any(|output| matches!(output, Output::Converged { old: 10.., .. })),
            "{outputs:?}"
        );
        flowing.all_send();
        let born_there = flowing.born.iter().filter(|(_, instance)| *instance == new).count();
        assert!(born_there > 10 && flowing.late > 30, "{born_there} of {} late ones", flowing.late);
        // Some old flows end; the others move up into the table.
        flowing.end(|place| place % 2 == 0);
        flowing.run(&moving, &mut shift, 20, &mut random);
        flowing.all_send();
        flowing.end(|place| place < 60);
        let old = flowing.old(&moving);
        flowing.end(|_| true);
        let outputs = flowing.run(&moving, &mut shift, 30, &mut random);
        assert_eq!(outputs.last(), Some(&Output::Ended(Next::Moved)), "{old:?} {outputs:?}");
        // And one of them goes.
        flowing.begin(60);
        let moving = back(&flowing.world.deployed, 0).unwrap();
        assert_eq!(moving.source, new);
        let mut shift = Shift::new(2, limits, 0);
        flowing.run(&moving, &mut shift, 0, &mut random);
        flowing.run(&moving, &mut shift, 10, &mut random);
        flowing.all_send();
        flowing.end(|_| true);
        let outputs = flowing.run(&moving, &mut shift, 20, &mut random);
        assert_eq!(outputs.last(), Some(&Output::Ended(Next::Moved)), "{outputs:?}");
        assert_eq!(flowing.world.deployed.functions[0].parts.len(), 1);
    }
}
