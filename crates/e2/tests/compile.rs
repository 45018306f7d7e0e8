//! Each step beside a slow, obvious twin, on random policies.

use std::collections::BTreeMap;

use e2::compile::{
    connect::{At, Site, connect, destination},
    merge::merge,
    offload::Offload,
    plan,
    size::size,
    split::{IGraph, Node, split},
};
use e2::filter::{Attribute, Filter};
use e2::key::HashRange;
use e2::policy::{Delivery, End, Policy};
use e2::{Rate, sample};
use packet::flow::{FlowHasher, FlowKey};
use packet::fuzzing::bounded::Random;
use packet::wire::IpProtocol;

const SEEDS: std::ops::Range<u64> = 0..60;

/// A random policy; if its pipelets cannot be told apart behind a legacy function, the next.
fn varied(seed: u64) -> Policy {
    (0..)
        .map(|more| sample::varied(6 + seed as usize % 20, seed + 1000 * more))
        .find(|policy| merge(policy).is_ok())
        .unwrap()
}

fn key(random: &mut Random) -> FlowKey {
    let address = |random: &mut Random| {
        format!("10.0.0.{}:{}", random.below(4), 999 + random.below(6)).parse().unwrap()
    };
    FlowKey::new(IpProtocol::TCP, address(random), address(random)).unwrap()
}

/// The edge that a pipelet's own text says is taken: the first that matches.
fn own_next(policy: &Policy, pipelet: usize, from: End, matches: &dyn Fn(&Filter) -> bool) -> Option<End> {
    policy.pipelets[pipelet]
        .edges
        .iter()
        .find(|edge| edge.from == from && matches(&edge.when))
        .map(|edge| edge.to)
}

#[test]
fn the_merged_graph_sends_packets_as_each_pipelet_does() {
    for seed in SEEDS {
        let (policy, mut random) = (varied(seed), Random(seed));
        let graph = merge(&policy).unwrap();
        for (number, pipelet) in policy.pipelets.iter().enumerate() {
            for _ in 0..20 {
                let mut packet = key(&mut random);
                if let FlowKey::V4(tuple) = &mut packet {
                    tuple.destination_port = 1000 + number as u16;
                }
                let bits = random.next();
                let given = |attribute: &Attribute| bits >> attribute.name.len() & 1 == 1;
                let matches = |filter: &Filter| filter.matches(&packet, &given);
                for from in pipelet.edges.iter().map(|edge| edge.from) {
                    let own = own_next(&policy, number, from, &matches);
                    assert_eq!(
                        graph.next(from, number, &matches),
                        own,
                        "seed {seed}, {} from {}",
                        pipelet.name,
                        policy.name(from)
                    );
                }
            }
        }
    }
}

#[test]
fn rates_are_those_of_all_ways_walked_one_by_one() {
    fn walk(policy: &Policy, pipelet: usize, from: End, rate: f64, sums: &mut BTreeMap<(End, End), f64>) {
        for edge in policy.pipelets[pipelet].edges.iter().filter(|edge| edge.from == from) {
            let part = rate * f64::from(edge.share.0) / 1e6;
            *sums.entry((edge.from, edge.to)).or_default() += part;
            if matches!(edge.to, End::Function(_)) {
                walk(policy, pipelet, edge.to, part, sums);
            }
        }
    }
    for seed in SEEDS {
        let policy = varied(seed);
        let graph = merge(&policy).unwrap();
        let sizes = size(&policy, &graph).unwrap();
        let mut sums = BTreeMap::new();
        for (number, pipelet) in policy.pipelets.iter().enumerate() {
            walk(&policy, number, pipelet.edges[0].from, pipelet.rate.0 as f64, &mut sums);
        }
        assert_eq!(sums.len(), graph.edges.len());
        for edge in &graph.edges {
            assert!((sums[&(edge.from, edge.to)] - edge.rate.0 as f64).abs() < 100.0, "seed {seed}");
        }
        for (place, function) in policy.functions.iter().enumerate() {
            let (rate, count) = (sizes.rates[place].0, u64::from(sizes.instances[place]));
            let capacity = function.capacity.unwrap().0;
            assert!(count == 0 && rate == 0 || count * capacity >= rate, "enough");
            assert!(count <= 1 || (count - 1) * capacity < rate, "and no more");
        }
    }
}

/// The instance that a packet reaches from an instance (or port), by the edges of the iGraph.
fn reached(
    igraph: &IGraph,
    graph: &e2::compile::PGraph,
    from: Node,
    to: usize,
    hasher: &FlowHasher,
    packet: &FlowKey,
) -> Vec<usize> {
    let edges =
        igraph.edges.iter().filter(|edge| edge.from == from && graph.edges[edge.of].to == End::Function(to));
    let asked = edges
        .filter(|edge| edge.range.is_none_or(|range| range.contains(igraph.keys[to].hash(hasher, packet))));
    asked.map(|edge| if let Node::Instance(place) = edge.to { place } else { unreachable!() }).collect()
}

#[test]
fn each_packet_reaches_one_instance_and_packets_of_one_key_the_same() {
    let hasher = FlowHasher::new(0xe2);
    let (mut diagonal, mut square) = (0, 0);
    for seed in SEEDS {
        let (policy, mut random) = (varied(seed), Random(seed));
        let graph = merge(&policy).unwrap();
        let igraph = split(&policy, &graph, &size(&policy, &graph).unwrap());
        let whole: Rate = graph.edges.iter().map(|edge| edge.rate).sum();
        assert_eq!(
            igraph.edges.iter().map(|edge| edge.rate).sum::<Rate>(),
            whole,
            "nothing is lost by splitting"
        );
        for (of, edge) in graph.edges.iter().enumerate() {
            if let (true, End::Function(from), End::Function(to)) = (igraph.diagonal[of], edge.from, edge.to)
            {
                let joined = igraph.edges.iter().filter(|one| one.of == of).count();
                assert!(joined < igraph.of(from).count() + igraph.of(to).count());
                diagonal += joined;
                square += igraph.of(from).count() * igraph.of(to).count();
            }
        }
        // By function and affinity: which instance had it, whatever way it came.
        let mut owners: BTreeMap<(usize, Vec<String>), usize> = BTreeMap::new();
        for packet in (0..60).flat_map(|_| {
            let one = key(&mut random);
            [one, one.reversed()]
        }) {
            for edge in &graph.edges {
                let End::Function(to) = edge.to else { continue };
                let sources: Vec<Node> = match edge.from {
                    End::Port(port) => vec![Node::Port(port)],
                    // Those instances that a packet which looks so on its way out can come from.
                    End::Function(from) => igraph
                        .of(from)
                        .filter(|place| {
                            let changed = policy.functions[from].rewrites.has_any(igraph.keys[from]);
                            changed
                                || igraph.instances[*place]
                                    .range
                                    .contains(igraph.keys[from].hash(&hasher, &packet))
                        })
                        .map(Node::Instance)
                        .collect(),
                };
                for from in sources {
                    let there = reached(&igraph, &graph, from, to, &hasher, &packet);
                    assert_eq!(
                        there.len(),
                        1,
                        "seed {seed}: {packet} from {from:?} to {}",
                        policy.functions[to].name
                    );
                    let affinity = policy.functions[to].affinity;
                    if affinity.is_empty() {
                        continue;
                    }
                    let owner = *owners.entry((to, affinity_of(affinity, &packet))).or_insert(there[0]);
                    assert_eq!(
                        owner, there[0],
                        "seed {seed}: {packet} by {affinity} at {}",
                        policy.functions[to].name
                    );
                }
            }
        }
    }
    assert!(diagonal > 0 && diagonal < square, "{diagonal} of {square} edges are left by diagonalisation");
}

/// What a packet has in the fields of a key, the same for both directions if the key is.
fn affinity_of(fields: e2::key::Fields, packet: &FlowKey) -> Vec<String> {
    use e2::key::Fields;
    let of = |packet: &FlowKey| {
        let all = [
            (Fields::SOURCE, packet.source().to_string()),
            (Fields::SOURCE_PORT, packet.source_port().to_string()),
            (Fields::DESTINATION, packet.destination().to_string()),
            (Fields::DESTINATION_PORT, packet.destination_port().to_string()),
        ];
        all.into_iter().filter(|(field, _)| fields.has_any(*field)).map(|(_, text)| text).collect::<Vec<_>>()
    };
    if fields.is_symmetric() { of(packet).min(of(&packet.reversed())) } else { of(packet) }
}

/// What "B's key is determined by A's" would do, where A is split by flow and B keeps state by host pair.
#[test]
fn a_coarser_key_downstream_is_not_diagonalised() {
    let text = include_str!("../examples/shop.yaml");
    let policy = Policy::read(text).unwrap();
    let graph = merge(&policy).unwrap();
    let igraph = split(&policy, &graph, &size(&policy, &graph).unwrap());
    let edge = |from: usize, to: usize| {
        graph
            .edges
            .iter()
            .position(|edge| (edge.from, edge.to) == (End::Function(from), End::Function(to)))
            .unwrap()
    };
    assert!(!igraph.diagonal[edge(0, 1)], "firewall by flow, ids by host pair");
    assert!(igraph.diagonal[edge(0, 2)], "firewall and cache by flow");
    // The other way round it holds: behind the ids, which is split by host pair, a function by flow may be split so too.
    let text = text.replace("affinity: host pair", "affinity: none");
    let policy = Policy::read(&text).unwrap();
    let igraph = split(&policy, &graph, &size(&policy, &graph).unwrap());
    assert!(igraph.diagonal[edge(0, 1)], "without affinity it is split as what is before it");
}

#[test]
fn classifiers_send_packets_as_the_merged_graph_does() {
    let hasher = FlowHasher::new(0xe2);
    for seed in SEEDS {
        let (policy, mut random) = (varied(seed), Random(seed));
        let graph = merge(&policy).unwrap();
        let igraph = split(&policy, &graph, &size(&policy, &graph).unwrap());
        let servers: Vec<usize> =
            (0..igraph.instances.len()).map(|_| random.below(policy.hardware.servers.len())).collect();
        let connections = connect(&policy, &graph, &igraph, &servers, &Offload::default());
        let tags: Vec<u32> = connections.tags.iter().map(|rule| rule.tag).collect();
        assert!(tags.iter().copied().eq(1..=tags.len() as u32), "one rule for each tag");
        for classifier in &connections.classifiers {
            let (from, leaves_by) = match &classifier.at {
                At::Port(port) => (Node::Port(*port), None),
                At::Vport(instance, attribute) => (Node::Instance(*instance), attribute.clone()),
            };
            let of = match from {
                Node::Port(port) => End::Port(port),
                Node::Instance(place) => End::Function(igraph.instances[place].function),
            };
            for _ in 0..10 {
                let (packet, pipelet, bits) =
                    (key(&mut random), random.below(policy.pipelets.len()), random.next());
                if let Node::Instance(place) = from {
                    let own = &igraph.instances[place];
                    if !own.range.contains(igraph.keys[own.function].hash(&hasher, &packet)) {
                        continue; // never there
                    }
                }
                // Attributes by port are those of the vport that the packet leaves by.
                let given = |attribute: &Attribute| {
                    let giver = policy
                        .functions
                        .iter()
                        .position(|one| Some(&one.name) == attribute.function.as_ref());
                    let delivery = giver.and_then(|giver| {
                        policy.functions[giver].attributes.iter().find(|(name, _)| *name == attribute.name)
                    });
                    match (delivery, of) {
                        (Some((name, Delivery::Port)), End::Function(here)) if Some(here) == giver => {
                            leaves_by.as_ref() == Some(name)
                        }
                        _ => bits >> (attribute.name.len() + giver.unwrap_or(0)) & 1 == 1,
                    }
                };
                let matches = |filter: &Filter| filter.matches(&packet, &given);
                let wanted = graph.next(of, pipelet, &matches);
                let taken = classifier.rules.iter().find(|rule| {
                    rule.pipelets.as_ref().is_none_or(|pipelets| pipelets.contains(&pipelet))
                        && matches(&rule.filter)
                        && rule.range.is_none_or(|(key, range)| range.contains(key.hash(&hasher, &packet)))
                });
                assert_eq!(taken.map(|rule| destination(rule.action, &igraph)), wanted, "seed {seed}");
            }
        }
        let ports = connections
            .classifiers
            .iter()
            .filter(|one| one.site == Site::Switch)
            .map(|one| one.rules.len() as u64);
        assert_eq!(connections.entries, ports.sum::<u64>() + tags.len() as u64);
    }
}

#[test]
fn plans_hold_what_they_promise() {
    for seed in SEEDS {
        let policy = varied(seed);
        let plan = plan(&policy).unwrap_or_else(|faults| panic!("seed {seed}: {faults}"));
        let mut used = vec![0; policy.hardware.servers.len()];
        for (instance, server) in plan.igraph.instances.iter().zip(&plan.servers) {
            assert_eq!(server.is_none(), plan.offload.has(instance.function));
            server.iter().for_each(|server| used[*server] += 1);
        }
        assert!(used.iter().zip(&policy.hardware.servers).all(|(used, server)| *used <= server.cores));
        let between = plan.igraph.edges.iter().filter(|edge| match (edge.from, edge.to) {
            (Node::Instance(a), Node::Instance(b)) => {
                plan.servers[a] != plan.servers[b] && plan.servers[a].is_some() && plan.servers[b].is_some()
            }
            _ => false,
        });
        assert_eq!(between.map(|edge| edge.rate.0).sum::<u64>(), plan.cut, "seed {seed}");
        assert!(plan.bound <= plan.cut);
        for (place, key, range) in &plan.connections.reverse {
            let function = &policy.functions[plan.igraph.instances[*place].function];
            assert!(function.rewrites.has_any(*key) && *range != HashRange::ALL);
        }
    }
}
