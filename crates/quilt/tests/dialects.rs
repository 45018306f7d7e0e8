//! The two dialects mean the same model, and files beside the blueprint can be used from both.

use std::fs;
use std::path::PathBuf;

use quilt::eval::{Evaluation, Options, evaluate, evaluate_text};
use quilt::model::{Blueprint, Denied, Limits, MountSource, Party, Protocol, Restart, Text};

fn blueprint(text: &str) -> Blueprint {
    let evaluation = evaluate_text("blueprint.js", text, &Options::default()).unwrap();
    quilt::checked(evaluation, &|_| true).unwrap_or_else(|faults| panic!("{:#?}", faults.faults)).blueprint
}

struct Folder(tempfile::TempDir);

impl Folder {
    fn new(files: &[(&str, &str)]) -> Folder {
        let folder = Folder(tempfile::tempdir().unwrap());
        for (name, text) in files {
            let path = folder.path(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
        folder
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn evaluate(&self, name: &str) -> Evaluation {
        evaluate(&self.path(name), &Options::default())
            .unwrap_or_else(|faults| panic!("{faults}: {:#?}", faults.faults))
    }

    fn refused(&self, name: &str) -> String {
        let faults = evaluate(&self.path(name), &Options::default()).unwrap_err();
        faults.to_string().replace(&format!("{}/", self.0.path().display()), "")
    }
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
            "machines are accepted and ignored: everything runs on this one",
            "'privileged' of container 'a' is ignored",
            "image 'alpine' is not pulled: its containers run on this host's own files",
        ]
    );
    let blueprint = evaluation.blueprint;
    let a = &blueprint.containers[0];
    assert_eq!(a.env["P"], Text::Secret { secret: "pass".into() });
    assert_eq!(a.mounts[0].source, MountSource::Host("/var/run/docker.sock".into()));
    assert_eq!(a.mounts[0].target, "/var/run/docker.sock");
    assert_eq!(links(&blueprint), ["a -> lb:80", "a -> a:81"]);
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
        "blueprint.js:2:1: LoadBalancers can not make outgoing connections"
    );
    assert_eq!(
        refused("c.deploy({});"),
        "blueprint.js:2:1: TypeError: deploy() of container 'c' needs an Infrastructure"
    );
    assert_eq!(
        refused("new k.Container('x', 'nginx', { hostname: 'y' });"),
        "blueprint.js:2:1: Unrecognized keys passed to Container constructor: hostname"
    );
    assert_eq!(
        refused("new k.Infrastructure([], []);"),
        "blueprint.js:2:1: masters must include 1 or more Machines"
    );
}

#[test]
fn files_beside_the_blueprint_are_read_and_recorded() {
    let folder = Folder::new(&[
        ("main.js", "import { Container } from 'weft'; import { name } from './lib/name.js'; import old, { word } from './old';
            import data from './data.json';
            new Container(name, { command: [word, old.word, data.words[0]] });"),
        ("lib/name.js", "export { name } from '../name.mjs';"),
        ("name.mjs", "export const name = 'deep';"),
        ("old.js", "const fs = require('fs'); const path = require('path');
            exports.word = fs.readFileSync(path.join(__dirname, 'words.txt'), 'utf8').trim();"),
        ("words.txt", "hello\n"),
        ("data.json", "{\"words\": [\"json\"]}"),
    ]);
    let evaluation = folder.evaluate("main.js");
    assert_eq!(evaluation.blueprint.containers[0].name, "deep");
    assert_eq!(evaluation.blueprint.containers[0].command, ["hello", "hello", "json"]);
    let mut inputs: Vec<String> = evaluation
        .inputs
        .iter()
        .map(|path| path.file_name().unwrap().to_string_lossy().into_owned())
        .collect();
    inputs.sort();
    assert_eq!(inputs, ["data.json", "main.js", "name.js", "name.mjs", "old.js", "words.txt"]);
}

#[test]
fn errors_in_imported_files_name_them() {
    let folder = Folder::new(&[
        ("main.js", "import './lib/part.js';"),
        ("lib/part.js", "import { Container } from 'weft';\n\nnew Container('web');\n"),
        ("broken.js", "import './lib/broken.js';"),
        ("lib/broken.js", "\nlet x = ;\n"),
        ("json.js", "import './bad.json';"),
        ("bad.json", "{\n  \"a\": 1,\n}"),
        ("missing.js", "\nimport './nowhere.js';"),
        ("common.js", "const x = require('./thrower');"),
        ("thrower.js", "exports.x = 1;\n  throw new Error('no');"),
    ]);
    let evaluation = folder.evaluate("main.js");
    let faults = quilt::checked(evaluation, &|_| true).unwrap_err();
    assert!(faults.to_string().ends_with("lib/part.js:3:1: container 'web' has no command"), "{faults}");
    assert_eq!(
        folder.refused("broken.js"),
        "lib/broken.js:2:1: syntax error: unexpected token in expression: ';'"
    );
    assert_eq!(
        folder.refused("json.js"),
        "bad.json:3:1: syntax error: key must be a string at line 3 column 1"
    );
    assert_eq!(
        folder.refused("missing.js"),
        "missing.js:2:8: cannot import './nowhere.js': there is no such file"
    );
    assert_eq!(folder.refused("common.js"), "thrower.js:2:3: no");
}

#[test]
fn requires_may_go_in_circles() {
    let folder = Folder::new(&[
        (
            "a.js",
            "exports.a = 1; const b = require('./b'); const { Container } = require('weft');
            new Container('c', { command: [String(b.seen), String(b.b)] });",
        ),
        ("b.js", "exports.seen = require('./a').a; exports.b = 2;"),
    ]);
    assert_eq!(folder.evaluate("a.js").blueprint.containers[0].command, ["1", "2"]);
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
