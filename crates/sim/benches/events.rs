//! What the event loop costs: `cargo bench -p sim`.
//!
//! Packet-hops per CPU-second on a dumbbell of constant load, then a million flows of three packets each, with the memory that they took
//! (`VmHWM`) and whether any was allocated after the first tenth.

use sim::{Hosts, LinkSpec, Network, NodeId, Packet, Random, Rate, Time};

/// Hosts on either side of the dumbbell.
const SIDE: u32 = 16;
const FLOWS: u64 = 1_000_000;
const PACKETS: u64 = 3;

fn main() {
    println!(
        "| run | packet-hops | CPU seconds | packet-hops a CPU-second | memory |\n|---|---|---|---|---|"
    );
    for load in [0.3, 0.95] {
        let mut net = dumbbell();
        let mut open =
            Open { random: Random::new(1, 1 << 32), pause: pause(load), until: Time::from_secs(4) };
        (0..u64::from(SIDE)).for_each(|host| net.timer_at(Time::ZERO, host));
        row(&format!("dumbbell, {} % load, levels drawn from 5", load * 100.0), &mut net, &mut open);
    }
    let mut net = dumbbell();
    let mut flows =
        Flows { random: Random::new(2, 1 << 32), started: 0, left: vec![PACKETS as u8; FLOWS as usize] };
    net.timer_at(Time::ZERO, 0);
    row("a million flows of 3 packets and answers", &mut net, &mut flows);
    assert!(flows.left.iter().all(|left| *left == 0), "every flow came to its end");
}

fn row<B: Copy>(name: &str, net: &mut Network<B>, hosts: &mut impl Hosts<B>) {
    let start = cpu_seconds();
    net.run(hosts, Time::from_millis(400));
    let before = net.capacities();
    net.run(hosts, Time::MAX);
    let (seconds, hops) = (cpu_seconds() - start, net.stats().hops);
    let grown = if before == net.capacities() { "nothing allocated after 0.4 s of its time" } else { "grew" };
    let memory = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let memory = memory.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap_or("?").trim();
    println!("| {name} | {hops} | {seconds:.2} | {:.1} M | {memory}; {grown} |", hops as f64 / seconds / 1e6);
}

/// CPU time of this thread so far.
fn cpu_seconds() -> f64 {
    let text = std::fs::read_to_string("/proc/thread-self/schedstat").expect("Linux");
    text.split(' ').next().and_then(|nanos| nanos.parse::<f64>().ok()).expect("nanoseconds") / 1e9
}

/// Hosts 0 to 15 at node 32, hosts 16 to 31 at node 33, 10 Gbit/s between those.
fn dumbbell<B: Copy>() -> Network<B> {
    let mut net = Network::new(1);
    let nodes: Vec<NodeId> = (0..2 * SIDE + 2).map(|_| net.add_node().expect("few nodes")).collect();
    let edge = LinkSpec::new(Rate::from_mbit(1_000), Time::from_millis(1));
    let core = LinkSpec::new(Rate::from_mbit(10_000), Time::from_millis(10));
    let switches = [nodes[2 * SIDE as usize], nodes[2 * SIDE as usize + 1]];
    let mut join = |from: NodeId, to: NodeId, spec, behind: &[NodeId]| {
        let link = net.add_link(from, to, spec).expect("few links");
        behind.iter().for_each(|host| net.set_route(from, *host, link).expect("a link from there"));
    };
    let (left, right) = nodes[..2 * SIDE as usize].split_at(SIDE as usize);
    join(switches[0], switches[1], core, right);
    join(switches[1], switches[0], core, left);
    for (hosts, switch) in [(left, switches[0]), (right, switches[1])] {
        for host in hosts {
            join(*host, switch, edge, &nodes[..2 * SIDE as usize]);
            join(switch, *host, edge, &[*host]);
        }
    }
    net
}

/// The mean pause between packets of 1500 bytes of one host, at a load of the 10 Gbit/s.
fn pause(load: f64) -> f64 {
    1_500.0 * 8.0 * f64::from(SIDE) / (load * 1e10)
}

/// Every host on the left sends without end.
struct Open {
    random: Random,
    pause: f64,
    until: Time,
}

impl Hosts<[u64; 8]> for Open {
    fn packet(&mut self, _net: &mut Network<[u64; 8]>, _at: NodeId, _packet: Packet<[u64; 8]>) {}

    fn timer(&mut self, net: &mut Network<[u64; 8]>, host: u64) {
        let to = NodeId(SIDE + self.random.below(SIDE.into()) as u32);
        let level = self.random.below(5) as u8;
        net.send(NodeId(host as u32), Packet { level, ..Packet::new(to, 1_500, host, [0; 8]) });
        let next = net.now() + Time::from_secs_f64(self.random.exponential(self.pause));
        if next < self.until {
            net.timer_at(next, host);
        }
    }
}

/// Flows start one after the other; each packet is answered, and the answer brings the next.
struct Flows {
    random: Random,
    started: u64,
    left: Vec<u8>,
}

impl Hosts<u32> for Flows {
    fn packet(&mut self, net: &mut Network<u32>, at: NodeId, packet: Packet<u32>) {
        if at.0 >= SIDE {
            return net.send(at, Packet::new(NodeId(packet.body), 42, packet.flow, at.0));
        }
        let left = &mut self.left[packet.flow as usize];
        *left -= 1;
        if *left > 0 {
            net.send(at, Packet::new(NodeId(packet.body), 1_500, packet.flow, at.0));
        }
    }

    fn timer(&mut self, net: &mut Network<u32>, _token: u64) {
        let (from, to) =
            (self.random.below(SIDE.into()) as u32, SIDE + self.random.below(SIDE.into()) as u32);
        net.send(NodeId(from), Packet::new(NodeId(to), 1_500, self.started, from));
        self.started += 1;
        if self.started < FLOWS {
            net.timer_at(net.now() + Time::from_secs_f64(self.random.exponential(5e-6)), 0);
        }
    }
}
