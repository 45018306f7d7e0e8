//! Whether every container finds a machine, held against trying every way there is.

use quilt::check::placement::{Node, Obstacle, place};
use quilt::eval::{Dialect, Options, evaluate_text};
use quilt::model::{
    Blueprint, Claim, Container, Invariant, Limits, MachineKind, Party, Placement, PlacementRule, Service,
    Span,
};

/// Random blueprints; `WEFT_PLACEMENT_CASES` asks for more.
const CASES: usize = 10_000;

/// SplitMix64: <https://prng.di.unimi.it/splitmix64.c>
struct Random(u64);

impl Random {
    fn below(&mut self, end: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((mixed ^ (mixed >> 31)) % end as u64) as usize
    }

    fn maybe<T>(&mut self, value: T) -> Option<T> {
        (self.below(2) == 0).then_some(value)
    }
}

/// Up to five containers in up to two services, up to four machines, and rules of every kind.
fn blueprint(random: &mut Random) -> (Blueprint, Vec<Node>) {
    let count = 1 + random.below(5);
    let containers: Vec<Container> = (0..count)
        .map(|at| {
            let (cpu, memory) = (500 * (1 + random.below(3)) as u32, (1 + random.below(3) as u64) << 30);
            Container {
                name: format!("c{at}"),
                limits: Limits {
                    cpu_milli: random.maybe(cpu),
                    memory_bytes: random.maybe(memory),
                    pids: None,
                },
                ..Container::default()
            }
        })
        .collect();
    let services: Vec<Service> = (0..random.below(3))
        .map(|at| {
            let members = (0..count).filter(|_| random.below(2) == 0).map(|at| format!("c{at}")).collect();
            Service { name: format!("s{at}"), members, ..Service::default() }
        })
        .collect();
    let nodes: Vec<Node> = (0..1 + random.below(4))
        .map(|at| {
            let (cpu, memory) = (1000 * (1 + random.below(2)) as u64, (1 + random.below(4) as u64) << 30);
            Node {
                name: format!("m{at}"),
                kind: MachineKind {
                    size: ["small", "large"][random.below(2)].into(),
                    region: ["here", "there"][random.below(2)].into(),
                    ..MachineKind::default()
                },
                cpu_milli: random.maybe(cpu),
                memory_bytes: random.maybe(memory),
            }
        })
        .collect();
    let placements = (0..random.below(4))
        .map(|_| {
            let mut party = || match random.below(count + services.len()) {
                at if at < count => Party::Container(format!("c{at}")),
                at => Party::Service(format!("s{}", at - count)),
            };
            let (target, other) = (party(), party());
            let kind = MachineKind {
                size: random.maybe("small".to_owned()).unwrap_or_default(),
                region: random.maybe("here".to_owned()).unwrap_or_default(),
                ..MachineKind::default()
            };
            let rule = match random.below(6) {
                0 => PlacementRule::On(kind),
                1 => PlacementRule::NotOn(kind),
                2 | 3 => PlacementRule::Apart(other),
                _ => PlacementRule::Beside(other),
            };
            Placement { target, rule, span: Span::default() }
        })
        .collect();
    (Blueprint { name: "test".into(), containers, services, placements, ..Blueprint::default() }, nodes)
}

/// The rules as they are written, for one assignment.
fn keeps_every_rule(blueprint: &Blueprint, nodes: &[Node], on: &[&Node]) -> bool {
    let is_of =
        |at: usize, party: &Party| blueprint.members(party).contains(&blueprint.containers[at].name.as_str());
    let all = || 0..on.len();
    let together = |a: usize, b: usize| a != b && on[a].name == on[b].name;
    let kept = |Placement { target, rule, .. }: &Placement| {
        all().filter(|at| is_of(*at, target)).all(|at| match rule {
            PlacementRule::On(kind) => kind.is_all_of(&on[at].kind),
            PlacementRule::NotOn(kind) => !kind.is_any_of(&on[at].kind),
            PlacementRule::Apart(other) => all().all(|peer| !(is_of(peer, other) && together(at, peer))),
            PlacementRule::Beside(other) => all().any(|peer| is_of(peer, other) && together(at, peer)),
        })
    };
    let fits = |node: &Node| {
        let here = || all().filter(|at| on[*at].name == node.name).map(|at| blueprint.containers[at].limits);
        let cpu: u64 = here().filter_map(|limits| limits.cpu_milli).map(u64::from).sum();
        let memory: u64 = here().filter_map(|limits| limits.memory_bytes).sum();
        node.cpu_milli.is_none_or(|has| cpu <= has) && node.memory_bytes.is_none_or(|has| memory <= has)
    };
    blueprint.placements.iter().all(kept) && nodes.iter().all(fits)
}

/// Every container on every machine.
fn can_be_placed(blueprint: &Blueprint, nodes: &[Node]) -> bool {
    let count = blueprint.containers.len();
    (0..nodes.len().pow(count as u32)).any(|mut way| {
        let on: Vec<&Node> = (0..count)
            .map(|_| {
                let node = &nodes[way % nodes.len()];
                way /= nodes.len();
                node
            })
            .collect();
        keeps_every_rule(blueprint, nodes, &on)
    })
}

#[test]
fn placing_agrees_with_trying_every_way() {
    let cases =
        std::env::var("WEFT_PLACEMENT_CASES").ok().and_then(|text| text.parse().ok()).unwrap_or(CASES);
    let seed = std::env::var("WEFT_PLACEMENT_SEED").ok().and_then(|text| text.parse().ok()).unwrap_or(1);
    println!("{cases} blueprints, WEFT_PLACEMENT_SEED={seed}");
    let mut random = Random(seed);
    let (mut placed, mut not) = (0, 0);
    for case in 0..cases {
        let (blueprint, nodes) = blueprint(&mut random);
        match place(&blueprint, &nodes) {
            Ok(on) => {
                assert!(keeps_every_rule(&blueprint, &nodes, &on), "case {case}: {on:?} of {blueprint:#?}");
                placed += 1;
            }
            Err(obstacle) => {
                assert_ne!(obstacle, Obstacle::TooCostly, "case {case}");
                assert!(!can_be_placed(&blueprint, &nodes), "case {case}: {obstacle} of {blueprint:#?}");
                assert!(!obstacle.to_string().is_empty());
                not += 1;
            }
        }
    }
    println!("{placed} can be placed, {not} cannot");
    assert!(placed > cases / 5 && not > cases / 5, "both answers are asked for");
}

fn evaluated(text: &str) -> Blueprint {
    evaluate_text("shop.js", text, &Options::default()).expect("a script that runs").blueprint
}

/// Two machines with two cores and 8 GiB each.
fn nodes() -> [Node; 2] {
    ["one", "two"].map(|name| Node {
        name: name.into(),
        kind: MachineKind {
            provider: "Amazon".into(),
            size: "m6i.large".into(),
            region: "us-west-1".into(),
            floating_ip: String::new(),
        },
        cpu_milli: Some(2000),
        memory_bytes: Some(8 << 30),
    })
}

const HEAD: &str = "import {Container, publicInternet} from 'weft';
const web = new Container('web', {command: ['x'], replicas: 2, cpu: 1});
const db = new Container('db', {command: ['x'], memory: '2G'});
";

#[test]
fn what_cannot_be_placed_is_told_with_container_rule_and_line() {
    assert!(place(&evaluated(HEAD), &nodes()).is_ok());
    for (line, told) in [
        ("web.apartFrom(web).apartFrom(db).placeOn({region: 'us-west-1'});", "web-2 finds no machine: "),
        (
            "db.placeOn({size: 'm6i.xlarge'});",
            "db finds no machine: one is ruled out: db runs only on machines of size m6i.xlarge (shop.js:4:1); and 1 more will not do",
        ),
        (
            "db.notOn({provider: 'Amazon'});",
            "db finds no machine: one is ruled out: db runs never on machines of provider Amazon (shop.js:4:1); and 1 more will not do",
        ),
        (
            "new Container('big', {command: ['x'], memory: '9G'});",
            "big finds no machine: one has 8 GiB of memory, and it needs 9 GiB; and 1 more will not do",
        ),
        (
            "new Container('many', {command: ['x'], replicas: 8, memory: '2G', cpu: 0.1});",
            "11 containers (web-1 among them) need 18 GiB of memory, and there are 2 machines for them with 16 GiB",
        ),
        (
            "new Container('three', {command: ['x'], replicas: 3}).apartFrom('three');",
            "3 containers of three are kept apart (shop.js:4:1), and there are 2 machines for them",
        ),
        ("db.beside(db);", "db finds no machine: one has nobody of db on it (shop.js:4:1)"),
    ] {
        let obstacle = place(&evaluated(&format!("{HEAD}{line}")), &nodes()).expect_err(line).to_string();
        assert!(obstacle.starts_with(told), "{line}: {obstacle}");
    }
}

#[test]
fn rules_that_can_be_kept_are_kept() {
    for line in [
        "web.apartFrom(web); db.beside(web);",
        "web.beside(web); db.apartFrom(web);",
        "db.placeOn({provider: 'Amazon', size: 'm6i.large', region: 'us-west-1'}).notOn({region: 'us-east-1'});",
    ] {
        assert_eq!(place(&evaluated(&format!("{HEAD}{line}")), &nodes()).err(), None, "{line}");
    }
}

#[test]
fn rules_that_mean_nothing_are_faults_at_their_lines() {
    for (line, told) in [
        ("web.placeOn({colour: 'red'});", "4: a kind of machine has no option 'colour'"),
        (
            "web.placeOn('here');",
            "4: the kind of machine must be an object with provider, size, region or floatingIp, found 'here'",
        ),
        ("web.apartFrom('wbe');", "4: the placement names 'wbe', which does not exist"),
        ("web.beside(publicInternet);", "4: the public internet runs on no machine"),
        ("web.placeOn({size: 5});", "4: size of a kind of machine must be a string, found 5"),
    ] {
        let evaluation = evaluate_text("shop.js", &format!("{HEAD}{line}"), &Options::default());
        let faults = evaluation.and_then(|evaluation| quilt::checked(evaluation, &|_| true)).expect_err(line);
        let first = &faults.faults[0];
        assert!(format!("{}: {first}", first.span.line).starts_with(told), "{line}: {first}");
    }
}

#[test]
fn the_original_asks_for_enough_machines() {
    let of = |replicas: usize, desired: bool| {
        let text = format!(
            "const {{ Container, LabelRule, Service, createDeployment, enough }} = require('@quilt/quilt');
const deployment = createDeployment({{}});
const web = new Service('web', new Container('host', ['x']).replicate({replicas}));
web.place(new LabelRule(true, web));
deployment.deploy(web);
deployment.assert(enough, {desired});
"
        );
        let options = Options { dialect: Some(Dialect::Quilt), ..Options::default() };
        let evaluation = evaluate_text("old.js", &text, &options).expect("a script that runs");
        quilt::checked(evaluation, &|_| true).err().map(|faults| faults.to_string())
    };
    assert_eq!(of(1, true), None);
    let told = "old.js:6:1: the machines are not to be enough, but every container finds a machine";
    assert_eq!(of(1, false).as_deref(), Some(told));
    // Everything runs on one: the two cannot both be there.
    let short = of(2, true).expect("a fault");
    let told = "old.js:6:1: the machines are to be enough, but 2 containers of web are kept apart (old.js:4:1), and there is 1 \
                machine for them";
    assert_eq!(short, told);
    assert_eq!(of(2, false), None);
}

#[test]
fn ten_thousand_containers_are_placed_in_no_time() {
    let container = |at: usize| Container {
        name: format!("c{at}"),
        limits: Limits { cpu_milli: Some(100), memory_bytes: Some(64 << 20), pids: None },
        ..Container::default()
    };
    let node = |at: usize| Node {
        name: format!("m{at}"),
        cpu_milli: Some(2000),
        memory_bytes: Some(2 << 30),
        ..Node::default()
    };
    let blueprint = Blueprint {
        containers: (0..10_000).map(container).collect(),
        invariants: vec![Invariant { claim: Claim::Enough, holds: true, span: Span::default() }],
        ..Blueprint::default()
    };
    let nodes: Vec<Node> = (0..500).map(node).collect();
    let cpu = || {
        let now = rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
        now.tv_sec as f64 + now.tv_nsec as f64 * 1e-9
    };
    let before = cpu();
    assert_eq!(place(&blueprint, &nodes).map(|on| on.len()), Ok(10_000));
    assert!(matches!(place(&blueprint, &nodes[1..]), Err(Obstacle::TooMuch { .. })));
    let took = cpu() - before;
    println!("10,000 containers placed on 500 machines, and refused by 499: {took:.3} s of CPU time");
    assert!(took < 1.0, "{took:.3} s of CPU time");
}
