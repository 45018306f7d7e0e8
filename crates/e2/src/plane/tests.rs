//! All data planes of a policy in memory: packets walk through them, and functions are wires.

use packet::flow::FlowKey;
use packet::wire::{EtherType, IpProtocol, MacAddr, ethernet, ipv4, udp};
use packet::{Pool, PoolConfig};
use softnic::engine::Gate;

use super::drops::Cause;
use super::module::Plane;
use super::proto;
use crate::compile::{Plan, plan};
use crate::deploy::{Deployed, Scheme};
use crate::policy::Policy;

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
