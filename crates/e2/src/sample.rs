//! Random policies, for tests and measurements: the same for one seed everywhere.

use crate::filter::{Attribute, Filter, Side, Test};
use crate::key::Fields;
use crate::place::Random;
use crate::policy::{
    Delivery, Edge, End, Function, Hardware, Instances, Kind, Pipelet, Place, Policy, Port, Server, Switch,
};
use crate::rate::{Rate, Share};

/// A policy of `count` functions, one instance each, in pipelets of up to eight: random graphs without circles, of random rates,
/// that share some functions. The servers have 4 to 8 cores each and are as few as can be, or one more.
pub fn policy(count: usize, seed: u64) -> Policy {
    make(count, seed, false)
}

/// The same with all that a description may say: capacities that ask for several instances, keys, fields that are changed, legacy
/// functions, attributes by port and by metadata; on servers with cores for all.
pub fn varied(count: usize, seed: u64) -> Policy {
    make(count, seed, true)
}

fn make(count: usize, seed: u64, varied: bool) -> Policy {
    let mut random = Random(seed);
    let functions: Vec<Function> = (0..count).map(|place| function(place, varied, &mut random)).collect();
    let mut pipelets = Vec::new();
    let mut first = 0;
    while first < count {
        let own = (2 + random.below(7)).min(count - first);
        let mut members: Vec<usize> = (first..first + own).collect();
        // Some that other pipelets pass too; only forward, where there is nothing else to try.
        for _ in 0..random.below(if varied { 3 } else { 7 }) {
            let other = random.below(count);
            if !members.contains(&other) {
                members.push(other);
            }
        }
        if varied {
            random.shuffle(&mut members);
        } else {
            members.sort_unstable();
        }
        pipelets.push(pipelet(pipelets.len(), &members, &functions, &mut random));
        first += own;
    }
    let cores = 4 + random.below(5) as u32;
    let wanted = if varied { count as u32 * 6 } else { count as u32 };
    let servers = (wanted.div_ceil(cores) as usize + random.below(2)).max(2);
    let rate = Rate::gbit(100_000);
    let place = Place::default();
    let named = |name: String| Server { name, cores, rate, place };
    let hardware = Hardware {
        switch: Switch { name: "tor".into(), entries: 1 << 20, place },
        servers: (1..=servers).map(|number| named(format!("s{number}"))).collect(),
        ports: ["outside", "inside"].map(|name| Port { name: name.into(), rate, at: None, place }).into(),
    };
    Policy { functions, pipelets, hardware }
}

fn function(place: usize, varied: bool, random: &mut Random) -> Function {
    let keys =
        [Fields::FLOW, Fields::FLOW, Fields::HOST_PAIR, Fields::SOURCE, Fields::DESTINATION, Fields::NONE];
    let plain = Function {
        name: format!("f{place}"),
        kind: Kind::Native,
        attributes: vec![("hit".into(), Delivery::Metadata), ("odd".into(), Delivery::Metadata)],
        affinity: Fields::FLOW,
        capacity: None,
        scalable: true,
        isolated: false,
        instances: Instances::default(),
        rewrites: Fields::NONE,
        switch_entries: None,
        run: Vec::new(),
        inside: Vec::new(),
        place: Place::default(),
    };
    if !varied {
        return plain;
    }
    let kind = if random.below(6) == 0 { Kind::Legacy } else { Kind::Native };
    let by = |random: &mut Random| {
        if kind == Kind::Legacy || random.below(3) == 0 { Delivery::Port } else { Delivery::Metadata }
    };
    Function {
        kind,
        attributes: vec![("hit".into(), by(random)), ("odd".into(), by(random))],
        affinity: keys[random.below(keys.len())],
        capacity: Some(Rate(1_000_000_000 + random.below(4_000_000_000) as u64)),
        rewrites: match random.below(5) {
            0 if kind == Kind::Native => Fields::SOURCE.with(Fields::SOURCE_PORT),
            1 if kind == Kind::Native => Fields::DESTINATION,
            _ => Fields::NONE,
        },
        switch_entries: (random.below(6) == 0).then_some(16),
        run: Vec::new(),
        inside: Vec::new(),
        ..plain
    }
}

fn pipelet(number: usize, members: &[usize], functions: &[Function], random: &mut Random) -> Pipelet {
    let mut edges: Vec<Edge> = Vec::new();
    let mut add = |from: End, to: End, when: Filter, share: u32| {
        edges.push(Edge { from, to, when, share: Share(share), place: Place::default() });
    };
    let (enters, leaves) = (End::Port(number % 2), End::Port(1 - number % 2));
    add(enters, End::Function(members[0]), Filter::ANY, Share::ALL.0);
    let mut next: Vec<Vec<usize>> = vec![Vec::new(); members.len()];
    for to in 1..members.len() {
        // A tree of depth, with some ways round it.
        let from = to - 1 - random.below(3.min(to));
        if next[from].len() < 3 {
            next[from].push(to);
        } else {
            next[to - 1].push(to);
        }
        let extra = random.below(to);
        if random.below(3) == 0 && next[extra].len() < 3 && !next[extra].contains(&to) {
            next[extra].push(to);
        }
    }
    for (place, next) in next.iter().enumerate() {
        let from = End::Function(members[place]);
        let attribute = |name: &str| {
            let function = Some(functions[members[place]].name.clone());
            Filter::Attribute(Attribute { function, name: name.into() })
        };
        let mut left = Share::ALL.0;
        for (number, to) in next.iter().enumerate() {
            let last = number + 1 == next.len();
            let when = match number {
                _ if last => Filter::ANY,
                0 => attribute("hit"),
                _ => Filter::Not(Box::new(attribute("odd"))),
            };
            let share = if last { left } else { random.below(left as usize) as u32 };
            left -= share;
            add(from, End::Function(members[*to]), when, share);
        }
        if next.is_empty() {
            add(from, leaves, Filter::ANY, Share::ALL.0);
        }
    }
    let traffic = Filter::Header(Test::Port(Side::Destination, 1000 + number as u16, 1000 + number as u16));
    let rate = Rate(100_000_000 + random.below(9_900_000_000) as u64);
    Pipelet { name: format!("p{number}"), traffic, rate, edges, place: Place::default() }
}
