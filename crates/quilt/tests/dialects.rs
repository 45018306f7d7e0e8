//! The dialects mean the same model.

use quilt::eval::{Dialect, Options, evaluate_text};
use quilt::model::{Blueprint, Denied, Limits, MountSource, Party, Protocol, Restart, Text};

fn blueprint(text: &str) -> Blueprint {
    let evaluation = evaluate_text("blueprint.js", text, &Options::default()).unwrap();
    quilt::checked(evaluation, &|_| true).unwrap_or_else(|faults| panic!("{:#?}", faults.faults)).blueprint
}

fn links(blueprint: &Blueprint) -> Vec<String> {
    blueprint.links.iter().map(ToString::to_string).collect()
}

#[test]
fn weft_says_everything_a_container_has() {
    let text = "
        import { Container, Secret, Volume, deployment, hostPath } from 'weft';
        deployment({ name: 'all', denied: 'drop' });
        const c = new Container('c', {
          command: ['run', 7], user: 1000, workdir: '/srv', memory: '1.5G', cpu: 0.25, pids: 9, restart: 'on-failure',
          env: { A: 'a', N: 1, B: true, S: new Secret('s') },
          mounts: { '/data': new Volume('data'), '/logs': hostPath('/var/log', { readOnly: true }) },
        });
        c.files['/etc/c.conf'] = 'late';
        c.env.LATE = 'too';";
    let blueprint = blueprint(text);
    assert_eq!((blueprint.name.as_str(), blueprint.denied), ("all", Denied::Drop));
    let c = &blueprint.containers[0];
    assert_eq!(c.command, ["run", "7"]);
    assert_eq!((c.user.as_deref(), c.workdir.as_deref()), (Some("1000"), Some("/srv")));
    assert_eq!(c.limits, Limits { memory_bytes: Some(3 << 29), cpu_milli: Some(250), pids: Some(9) });
    assert_eq!(c.restart, Restart::OnFailure);
    assert_eq!(c.env["S"], Text::Secret { secret: "s".into() });
    assert_eq!([&c.env["N"], &c.env["B"], &c.env["LATE"]].map(ToString::to_string), ["1", "true", "too"]);
    assert_eq!(c.files["/etc/c.conf"], Text::from("late"));
    assert_eq!(c.mounts[0].source, MountSource::Named("data".into()));
    assert!(c.mounts[1].read_only);
    assert_eq!((c.span.line, c.span.column), (4, 9));
}

#[test]
fn weft_links_name_their_own_lines() {
    let text =
        "import { Container, Service, allow, publish, publicInternet, udp, tcp, PortRange } from 'weft';
const a = new Container('a', { command: 'a' });
const b = new Container('b', { command: 'b', replicas: 2 });
const s = new Service('s', [a, b]);
allow([a, 'b'], s, 80);
s.allowFrom(a, udp(53));
allow(a, 'a', new PortRange(1, 9), 'tcp');
allow(a, publicInternet, tcp(443));
s.publish(8080, 80).publish(5353, 53, 'udp');
allow(publicInternet, a, 90);
";
    let blueprint = blueprint(text);
    assert_eq!(blueprint.services[1].members, ["a", "b-1", "b-2"]);
    let expected =
        ["a -> s:80", "b -> s:80", "a -> s:53/udp", "a -> a:1-9/tcp", "a -> public internet:443/tcp"];
    assert_eq!(links(&blueprint), expected);
    assert_eq!(blueprint.links.iter().map(|link| link.span.line).collect::<Vec<_>>(), [5, 5, 6, 7, 8]);
    let publishes: Vec<String> = blueprint.publishes.iter().map(ToString::to_string).collect();
    assert_eq!(publishes, ["8080 -> s:80/tcp", "5353 -> s:53/udp", "90 -> a:90/tcp"]);
    assert_eq!(blueprint.publishes[2].span.line, 10);
    assert_eq!(blueprint.links[1].from, Party::Service("b".into()));
}

#[test]
fn kelda_08_is_positional_and_commonjs() {
    let text = "const kelda = require('kelda');
const { Container, LoadBalancer, Image, allow, publicInternet, Port, PortRange } = kelda;
const machine = new kelda.Machine({ provider: 'Amazon', size: 't2.micro' });
const infrastructure = new kelda.Infrastructure(machine, machine.replicate(3), { namespace: 'spark' });

class Kibana extends Container {
  constructor(url) {
    super('kibana', 'kibana:4', { command: ['kibana', '-e', url], env: { URL: url } });
    allow(publicInternet, this, new Port(5601));
  }
}
const kibana = new Kibana('http://es:9200');
const webs = [new Container('web', new Image('nginx')), new Container('web', 'nginx')];
webs[0].setEnv('A', 'b');
webs[1].placeOn({ size: 'm4' });
const balancer = new LoadBalancer('front', webs);
allow(kibana, balancer, 80);
kibana.allowFrom(webs, new PortRange(9000, 9001));
publicInternet.allowFrom(kibana, 443);
[kibana, balancer, ...webs].forEach((x) => x.deploy(infrastructure));
";
    let blueprint = blueprint(text);
    assert_eq!(blueprint.name, "spark");
    let names: Vec<&str> = blueprint.containers.iter().map(|container| container.name.as_str()).collect();
    assert_eq!(names, ["kibana", "web", "web2"]);
    assert_eq!(blueprint.containers[1].command[0], "nginx");
    assert_eq!(blueprint.services[0].members, ["web", "web2"]);
    let expected = [
        "kibana -> front:80",
        "web -> kibana:9000-9001",
        "web2 -> kibana:9000-9001",
        "kibana -> public internet:443",
    ];
    assert_eq!(links(&blueprint), expected);
    assert_eq!(blueprint.publishes[0].to_string(), "5601 -> kibana:5601/tcp");
    assert_eq!(blueprint.publishes[0].span.line, 9);
    assert_eq!(blueprint.containers[0].span.line, 8);
}

#[test]
fn kelda_013_takes_objects() {
    let text = "const { Container, Infrastructure, LoadBalancer, Machine, Secret, Volume, VolumeMount, allowTraffic, baseInfrastructure } = require('kelda');
const inf = new Infrastructure({ masters: new Machine({ provider: 'Amazon' }), workers: [new Machine({ provider: 'Amazon' })], namespace: 'x' });
const volume = new Volume({ name: 'docker', type: 'hostPath', path: '/var/run/docker.sock' });
const a = new Container({
  name: 'a', image: 'alpine', command: ['sleep', '9'], privileged: true,
  env: { P: new Secret('pass') }, filepathToContent: { '/etc/a': 'text' },
  volumeMounts: [new VolumeMount({ volume, mountPath: volume.path })],
});
const lb = new LoadBalancer({ name: 'lb', containers: [a] });
a.deploy(inf);
lb.deploy(inf);
const custom = { allowFrom(src, port) { a.allowFrom(src, port + 1); } };
allowTraffic(a, [lb, custom], 80);
";
    let evaluation = evaluate_text("blueprint.js", text, &Options::default()).unwrap();
    let notes: Vec<&str> = evaluation.notes.iter().map(|note| note.text.as_str()).collect();
    assert_eq!(
        notes,
        [
            "'privileged' of container 'a' is ignored",
            "image 'alpine' is not pulled: its containers run on this host's own files",
        ]
    );
    let blueprint = evaluation.blueprint;
    let a = &blueprint.containers[0];
    assert_eq!(a.env["P"], Text::Secret { secret: "pass".into() });
    assert_eq!(a.mounts[0].source, MountSource::Host("/var/run/docker.sock".into()));
    assert_eq!(a.mounts[0].target, "/var/run/docker.sock");
    assert_eq!(links(&blueprint), ["a -> a:81", "a -> lb:80"]);
    assert_eq!(blueprint.links[0].protocol, Protocol::Any);
}

#[test]
fn kelda_refuses_what_the_original_refuses() {
    let refused = |text: &str| {
        let text = format!(
            "const k = require('kelda'); const c = new k.Container('c', 'nginx'); const lb = new k.LoadBalancer('lb', [c]);\n{text}"
        );
        evaluate_text("blueprint.js", &text, &Options::default()).unwrap_err().to_string()
    };
    assert_eq!(
        refused("k.allowTraffic(lb, c, 80);"),
        "blueprint.js:2:1: load balancer 'lb' opens no connections: allow its containers instead"
    );
    assert_eq!(
        refused("c.deploy({});"),
        "blueprint.js:2:1: the argument of deploy() of container 'c' must be an Infrastructure, found {}"
    );
    assert_eq!(
        refused("new k.Container('x', 'nginx', { owner: 'y' });"),
        "blueprint.js:2:1: Container has no option 'owner': remove it"
    );
    assert_eq!(
        refused("new k.Infrastructure([], []);"),
        "blueprint.js:2:1: masters must have one Machine at least"
    );
}

#[test]
fn arguments_and_console_reach_the_script_and_back() {
    let options = Options { args: [("n".to_owned(), "3".to_owned())].into(), ..Options::default() };
    let text = "import { Container, args } from 'weft'; console.log('n is', args.n, { args });
        new Container('web', { command: 'x', replicas: Number(args.n) });";
    let evaluation = evaluate_text("a.js", text, &options).unwrap();
    assert_eq!(evaluation.blueprint.containers.len(), 3);
    assert_eq!(evaluation.console, "n is 3 {\"args\":{\"n\":\"3\"}}\n");
}

#[test]
fn evaluation_is_deterministic() {
    let text = "import { Container } from 'weft';
        const now = [Date.now(), new Date().getTime(), Date(), Math.random(), Math.random(), typeof performance];
        new Container('c', { command: now.map(String) });";
    let first = blueprint(text);
    assert_eq!(first, blueprint(text));
    assert_eq!(first.containers[0].command[..2], ["0", "0"]);
    assert_ne!(first.containers[0].command[3], first.containers[0].command[4]);
}

#[test]
fn types_cover_every_export() {
    let types = include_str!("../src/js/weft.d.ts");
    let module = include_str!("../src/js/weft.js");
    let mut names = Vec::new();
    for line in module.lines().filter_map(|line| line.strip_prefix("export ")) {
        match line.strip_prefix('{') {
            Some(list) => names.extend(list.split(['}', ',']).map(str::trim).filter(|name| name.len() > 1)),
            None => names.push(line.split([' ', '(']).nth(1).unwrap()),
        }
    }
    assert!(names.len() > 12, "{names:?}");
    for name in names {
        let declared = ["class", "function", "const"].iter().any(|kind| {
            types.lines().any(|line| {
                let rest = line.strip_prefix(&format!("export {kind} {name}"));
                rest.is_some_and(|rest| !rest.starts_with(|c: char| c.is_alphanumeric()))
            })
        });
        assert!(declared, "weft.d.ts does not declare {name}");
    }
}

#[test]
fn a_thousand_containers_and_a_hundred_thousand_links_are_quick() {
    let text = "import { Container, allow } from 'weft';
        const all = [];
        for (let i = 0; i < 1000; i += 1) all.push(new Container(`c${i}`, { command: ['x'] }));
        for (let p = 1; p <= 100; p += 1) allow(all, all[0], p);";
    let began = std::time::Instant::now();
    let blueprint = blueprint(text);
    assert_eq!((blueprint.containers.len(), blueprint.links.len()), (1000, 100_000));
    assert!(began.elapsed().as_secs() < 20, "{:?}", began.elapsed());
}

/// `line: text` of every note.
fn notes(evaluation: &quilt::eval::Evaluation) -> Vec<String> {
    evaluation.notes.iter().map(|note| format!("{}: {}", note.span.line, note.text)).collect()
}

#[test]
fn quilt_means_services_of_named_containers() {
    let text = "const { Container, Machine, MachineRule, PortRange, Service, createDeployment, publicInternet } = require('@quilt/quilt');
const deployment = createDeployment({ namespace: 'Old_Times' });
const registry = new Container('redis');
registry.setHostname('registry');
const web = new Service('web_tier', new Container('nginx', ['nginx']).withEnv({ DB: 'db.q', N: 5 }).replicate(2));
const db = new Service('db', [registry, web.containers[1]]);
db.place(new MachineRule(false, { size: 'm4.large' }));
db.allowFrom(web, new PortRange(5000, 5001));
web.allowFrom(publicInternet, 80);
publicInternet.allowFrom(db, 443);
deployment.deploy([new Machine({ provider: 'Amazon' }), web, db]);
web.connect(9, db);
";
    let evaluation = evaluate_text("blueprint.js", text, &Options::default()).unwrap();
    let expected = [
        "12: a.connect(port, b) is deprecated: write b.allowFrom(a, port)",
        "7: placement of service 'db' is for clusters: here everything runs on this machine",
        "3: image 'redis' is not pulled: its containers run on this host's own files",
        "5: image 'nginx' is not pulled: its containers run on this host's own files",
    ];
    let mut found = notes(&evaluation);
    found.sort();
    let mut expected = expected.map(str::to_owned);
    expected.sort();
    assert_eq!(found, expected);
    let blueprint = quilt::checked(evaluation, &|_| true).unwrap().blueprint;
    assert_eq!(blueprint.name, "old-times");
    let mut names: Vec<&str> = blueprint.containers.iter().map(|container| container.name.as_str()).collect();
    names.sort_unstable();
    assert_eq!(names, ["registry", "web-tier-1", "web-tier-2"]);
    assert_eq!(blueprint.service("web-tier").unwrap().members, ["web-tier-1", "web-tier-2"]);
    assert_eq!(blueprint.service("db").unwrap().members, ["registry", "web-tier-2"]);
    assert_eq!(
        links(&blueprint),
        ["web-tier -> db:5000-5001", "web-tier -> db:9", "db -> public internet:443"]
    );
    assert_eq!(blueprint.publishes[0].to_string(), "80 -> web-tier:80/tcp");
    assert_eq!((blueprint.links[0].span.line, blueprint.publishes[0].span.line), (8, 9));
    assert_eq!(blueprint.container("web-tier-1").unwrap().env["N"], Text::from("5"));
    let aliases: Vec<String> =
        blueprint.aliases.iter().map(|(alias, name)| format!("{alias} {name}")).collect();
    let expected = [
        "1.db.q registry",
        "1.web_tier.q web-tier-1",
        "2.db.q web-tier-2",
        "2.web_tier.q web-tier-2",
        "db.q db",
        "registry.q registry",
        "web_tier.q web-tier",
    ];
    assert_eq!(aliases, expected);
    // The dataplane answers for them with the addresses of what they are names of.
    let addresses = quilt::address::AddressPlan::default().next(&blueprint).unwrap();
    let program = quilt::compile::compile(&blueprint, &addresses, |_| None);
    let found = |name: &str| program.names.iter().find(|known| known.name == name).unwrap().ipv4s.clone();
    assert_eq!(found("web_tier.q"), [addresses.get("web-tier").unwrap().ipv4]);
    assert_eq!(found("2.db.q"), found("web-tier-2"));
}

#[test]
fn quilt_names_what_is_missing_or_twice() {
    let faults = |text: &str| {
        let head = "const { Container, Service, createDeployment } = require('@quilt/quilt');\nconst deployment = createDeployment();\nconst a = new Service('a', [new Container('nginx')]);\n";
        let evaluation = evaluate_text("a.js", &format!("{head}{text}"), &Options::default()).unwrap();
        let faults = quilt::checked(evaluation, &|_| true).unwrap_err();
        faults.faults.iter().map(|fault| format!("{}: {fault}", fault.span.line)).collect::<Vec<_>>()
    };
    assert_eq!(faults("deployment.deploy([a, new Service('b', [])]);"), ["4: service 'b' has no containers"]);
    let text = "a.allowFrom(new Service('b', []), 80);\ndeployment.deploy(a);";
    assert_eq!(faults(text), ["4: the link names 'b', which is never deployed"]);
    let text = "a.containers.push(new Container('nginx'));\na.containers.forEach((one) => one.setHostname('x'));\ndeployment.deploy(a);";
    assert_eq!(faults(text), ["3: service 'a' has container 'x' twice", "4: two containers are called 'x'"]);
}

#[test]
fn names_of_old_are_found_by_kelda_08_too() {
    let text = "const { Container, Infrastructure, LoadBalancer, Machine } = require('kelda');
        const machine = new Machine({ provider: 'Amazon' });
        const infrastructure = new Infrastructure(machine, machine);
        const web = new Container('web', 'nginx');
        const front = new LoadBalancer('front', [web]);
        web.setEnv('NAMES', `${web.getHostname()} ${front.hostname()}`);
        [web, front].forEach((one) => one.deploy(infrastructure));";
    let names = |dialect| {
        let options = Options { dialect, ..Options::default() };
        let blueprint = evaluate_text("a.js", text, &options).unwrap().blueprint;
        (
            blueprint.containers[0].env["NAMES"].to_string(),
            blueprint.aliases.keys().cloned().collect::<Vec<_>>(),
        )
    };
    let aliases = vec!["front.q".to_owned(), "web.q".to_owned()];
    assert_eq!(names(Some(Dialect::Kelda08)), ("web.q front.q".to_owned(), aliases.clone()));
    assert_eq!(names(None), ("web front".to_owned(), aliases));
}

/// What is wrong with a network of old in which front (2) may connect to filter (3) and lone, and filter to back (2), when
/// it claims something.
fn claimed(more: &str, claim: &str, desired: bool) -> Option<String> {
    let text = format!(
        "const {{ Container, Service, createDeployment, publicInternet }} = require('@quilt/quilt');
const deployment = createDeployment({{ namespace: 'claims' }});
const tier = (name, count) => new Service(name, new Container('host', ['sleep', '9']).replicate(count));
const [front, filter, back, lone] = [tier('front', 2), tier('filter', 3), tier('back', 2), tier('lone', 1)];
front.allowFrom(publicInternet, 80);
filter.allowFrom(front, 81);
back.allowFrom(filter, 82);
lone.allowFrom(front, 83);
{more}
deployment.deploy([front, filter, back, lone]);
deployment.assert({claim}, {desired});
"
    );
    let options = Options { dialect: Some(Dialect::Quilt), ..Options::default() };
    let evaluation = evaluate_text("old.js", &text, &options).unwrap_or_else(|faults| panic!("{faults}"));
    assert_eq!(evaluation.blueprint.invariants.len(), 1);
    quilt::checked(evaluation, &|_| true).err().map(|faults| faults.to_string())
}

#[test]
fn assertions_of_quilt_are_decided_with_replicas_on_all_sides() {
    // The claim, whether it is true, and what is said where the opposite is asserted.
    let claims = [
        (
            "front.canReach(back)",
            true,
            "front is not to reach back, but front-1 -> filter-1 on 81 (old.js:6:1) -> back-1 on 82 (old.js:7:1)",
        ),
        (
            "back.canReach(front)",
            false,
            "back is to reach front, but nothing leads from back-1 to front-1: back-1 reaches nothing",
        ),
        (
            "publicInternet.canReach(back)",
            true,
            "public internet is not to reach back, but public internet -> front-1 on 80/tcp (old.js:5:1) -> filter-1 on \
             81 (old.js:6:1) -> back-1 on 82 (old.js:7:1)",
        ),
        (
            "back.canReach(publicInternet)",
            false,
            "back is to reach public internet, but nothing leads from back-1 to public internet: back-1 reaches nothing",
        ),
        (
            "front.neighborOf(filter)",
            true,
            "front is not to connect to filter, but front-1 -> filter-1 on 81 (old.js:6:1)",
        ),
        (
            "front.neighborOf(back)",
            false,
            "front is to connect to back, but that does not lead from front-1 to back-1: front-1 reaches filter-1, lone-1",
        ),
        (
            "filter.between(front, back)",
            true,
            "filter is not to be between front and back, but that does not lead from front-1 to back-1: front-1 reaches \
             filter-1, lone-1",
        ),
        (
            "lone.between(front, back)",
            false,
            "lone is to be between front and back, but front-1 -> filter-1 on 81 (old.js:6:1) -> back-1 on 82 (old.js:7:1)",
        ),
        // Nobody keeps an ACL: reached is reached.
        (
            "front.canReachACL(back)",
            true,
            "front is not to reach back, but front-1 -> filter-1 on 81 (old.js:6:1) -> back-1 on 82 (old.js:7:1)",
        ),
        (
            "back.canReachACL(front)",
            false,
            "back is to reach front, but nothing leads from back-1 to front-1: back-1 reaches nothing",
        ),
    ];
    for (claim, is_true, told) in claims {
        assert_eq!(claimed("", claim, is_true), None, "{claim}");
        let told = format!("old.js:11:1: {told}");
        assert_eq!(claimed("", claim, !is_true).as_deref(), Some(told.as_str()), "{claim}");
    }
}

#[test]
fn what_keeps_an_acl_is_no_way_for_can_reach_acl() {
    let kept = "filter.annotate('ACL');";
    for (claim, is_true, told) in [
        (
            "front.canReachACL(lone)",
            true,
            "filter is to be between front and lone, but front-1 -> lone-1 on 83 (old.js:8:1)",
        ),
        (
            "front.canReachACL(back)",
            false,
            "filter is not to be between front and back, but that does not lead from front-1 to back-1: front-1 reaches \
             filter-1, lone-1",
        ),
    ] {
        assert_eq!(claimed(kept, claim, is_true), None, "{claim}");
        let told = format!("old.js:11:1: {told}");
        assert_eq!(claimed(kept, claim, !is_true).as_deref(), Some(told.as_str()), "{claim}");
    }
}

#[test]
fn every_dialect_leads_links_through_functions() {
    let weft = "import { Container, Service, allow, publicInternet } from 'weft';
import { NF } from 'weft/nf';
const [a, b] = ['a', 'b'].map((name) => new Container(name, { command: ['x'] }));
const watch = new NF('watch', { run: 'monitor top=3', instances: 2, affinity: 'host pair' });
const guard = new NF('guard', { run: ['acl', 'rule=permit any any'] });
b.allowTraffic(a, 80).through(watch, guard).allowFrom(a, 81).publish(8080, 80);
publicInternet.allowFrom(a, 443).through([guard]);
allow(publicInternet, b, 90).through('watch');
";
    let blueprint = blueprint(weft);
    let expected = ["a -> b:80 through watch, guard", "a -> b:81", "a -> public internet:443 through guard"];
    assert_eq!(links(&blueprint), expected);
    let publishes: Vec<String> = blueprint.publishes.iter().map(ToString::to_string).collect();
    assert_eq!(publishes, ["8080 -> b:80/tcp", "90 -> b:90/tcp through watch"]);
    let functions: Vec<String> = blueprint.functions.iter().map(ToString::to_string).collect();
    assert_eq!(
        functions,
        ["watch (monitor top=3; 2 instances, affinity host pair)", "guard (acl rule=permit any any)"]
    );
    assert_eq!(blueprint.functions[0].span.line, 4);
    let quilt = "const { createDeployment, Container, Service } = require('@quilt/quilt');
const { NF } = require('weft/nf');
const deployment = createDeployment({ namespace: 'led' });
const [a, b] = ['a', 'b'].map((name) => new Service(name, [new Container('nginx', ['x'])]));
b.allowFrom(a, 80).through(new NF('watch', { run: 'monitor' }));
a.connect(81, b);
deployment.deploy([a, b]);";
    let kelda = "const { Container, Infrastructure, Machine, allowTraffic } = require('kelda');
const { NF } = require('weft/nf');
const machine = new Machine({ provider: 'Amazon' });
const infrastructure = new Infrastructure({ masters: machine, workers: machine, namespace: 'led' });
const [a, b] = ['a', 'b'].map((name) => new Container({ name, image: 'nginx', command: ['x'] }));
allowTraffic(a, b, 80).through(new NF('watch', { run: 'monitor' }));
allowTraffic(a, b, 81);
a.deploy(infrastructure);
b.deploy(infrastructure);";
    for text in [quilt, kelda] {
        let evaluation = evaluate_text("led.js", text, &Options::default()).unwrap();
        assert!(evaluation.faults.is_empty(), "{:?}", evaluation.faults);
        let links = links(&evaluation.blueprint);
        assert!(links[0].contains(":80 through watch") && !links[1].contains("through"), "{links:?}");
    }
}
