//! The old dialects print what the originals printed, byte for byte, and refuse what they refused.
//!
//! `tests/original/<dialect>/*.js` are blueprints of ours, and beside each is the deployment that the original
//! printed for it, taken from the original itself (see the README). A first line `// argv: …` gives arguments.

use std::path::{Path, PathBuf};

use quilt::eval::{Dialect, Options};
use quilt::fault::Faults;
use quilt::original::{self, Deployment};

fn folder(dialect: Dialect) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/original").join(dialect.name())
}

fn deployment(path: &Path, dialect: Dialect) -> Result<Deployment, Faults> {
    let text = std::fs::read_to_string(path).unwrap();
    let line = text.lines().next().and_then(|line| line.strip_prefix("// argv: "));
    let argv = line.unwrap_or_default().split_whitespace().map(str::to_owned).collect();
    original::deployment(path, dialect, &Options { argv, ..Options::default() })
}

/// Compares every blueprint of a dialect; gives how many there are.
fn all(dialect: Dialect) -> usize {
    let folder = folder(dialect);
    let mut names: Vec<PathBuf> = std::fs::read_dir(&folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|ending| ending == "js"))
        .collect();
    names.sort();
    for path in &names {
        let golden = std::fs::read_to_string(path.with_extension("json")).unwrap();
        let printed = deployment(path, dialect)
            .unwrap_or_else(|faults| panic!("{}: {faults}: {:#?}", path.display(), faults.faults));
        assert_eq!(printed.json, golden, "{}", path.display());
    }
    names.len()
}

#[test]
fn quilt_is_printed_as_the_original_did() {
    assert_eq!(all(Dialect::Quilt), 14);
}

#[test]
fn kelda_08_is_printed_as_the_original_did() {
    assert_eq!(all(Dialect::Kelda08), 13);
}

#[test]
fn kelda_013_is_printed_as_the_original_did() {
    assert_eq!(all(Dialect::Kelda13), 14);
}

#[test]
fn the_examples_are_printed_as_the_originals_did_and_run() {
    let examples = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples/dialects");
    for (name, dialect, argv) in [("quilt", Dialect::Quilt, &[][..]), ("kelda", Dialect::Kelda13, &["3"][..])]
    {
        let path = examples.join(name).with_extension("js");
        let options =
            Options { argv: argv.iter().map(|word| (*word).to_owned()).collect(), ..Options::default() };
        let golden = folder(dialect).with_file_name(format!("example-{name}.json"));
        let printed = original::deployment(&path, dialect, &options).unwrap();
        assert_eq!(printed.json, std::fs::read_to_string(golden).unwrap());
        for dialect in [None, Some(dialect)] {
            let loaded = quilt::load(&path, &Options { dialect, ..options.clone() }).unwrap();
            assert_eq!(loaded.blueprint.name, format!("{name}-shop"));
            assert_eq!((loaded.blueprint.containers.len(), loaded.blueprint.publishes.len()), (4, 1));
        }
    }
}

#[test]
fn a_blueprint_can_be_part_of_a_wider_directory() {
    let options = Options { root: Some(folder(Dialect::Quilt)), ..Options::default() };
    let path = folder(Dialect::Quilt).join("node_modules/../lib/second.js");
    assert_eq!(original::deployment(&path, Dialect::Quilt, &options).unwrap().inputs.len(), 2);
    let fault = original::deployment(Path::new("Cargo.toml"), Dialect::Quilt, &options).unwrap_err();
    assert!(fault.to_string().contains("it is outside the directory it may read from"), "{fault}");
}

#[test]
fn what_is_printed_and_read_is_told() {
    let path = folder(Dialect::Quilt).join("packages.js");
    let printed = deployment(&path, Dialect::Quilt).unwrap();
    assert!(printed.console.starts_with("this is not part of the deployment {\"env\":{\"COLOUR\":\"green\""));
    let read: Vec<String> = printed
        .inputs
        .iter()
        .map(|path| {
            path.strip_prefix(folder(Dialect::Quilt).canonicalize().unwrap()).unwrap().display().to_string()
        })
        .collect();
    for file in [
        "packages.js",
        "lib/settings.json",
        "templates",
        "templates/page.html",
        "node_modules/mapped/package.json",
    ] {
        assert!(read.iter().any(|known| known == file), "{file} in {read:?}");
    }
}

/// `line: message | help` of what is refused.
fn refused(dialect: Dialect, text: &str) -> String {
    let faults = match original::deployment_of_text("a.js", text, dialect, &Options::default()) {
        Ok(deployment) => panic!("{}: accepted {text}: {}", dialect.name(), deployment.json),
        Err(faults) => faults,
    };
    let line = |fault: &quilt::fault::Fault| {
        let help = fault.kind.help().map(|help| format!(" | {help}")).unwrap_or_default();
        format!("{}: {fault}{help}", fault.span.line)
    };
    faults.faults.iter().map(line).collect::<Vec<_>>().join("\n")
}

#[test]
fn quilt_refuses_what_it_cannot_deploy() {
    let head = "const { Container, Image, LabelRule, MachineRule, Service, createDeployment, publicInternet } = require('@quilt/quilt');
const deployment = createDeployment({});
const web = new Service('web', new Container('nginx').replicate(2));
const idle = new Service('idle', []);
deployment.deploy(web);
";
    let cases = [
        (
            "web.allowFrom(idle, 80);",
            "6: service 'web' allows connections from 'idle', which is never deployed | deploy it: `deployment.deploy(idle)`, or remove this line",
        ),
        (
            "\nweb.place(new LabelRule(true, idle));",
            "7: service 'web' is placed by 'idle', which is never deployed | deploy it: `deployment.deploy(idle)`, or remove this line",
        ),
        (
            "web.place(new MachineRule(false, { floatingIp: '203.0.113.7' })); web.allowFrom(publicInternet, 80);",
            "3: service 'web' has a floating address and several containers | an address leads to one container: give the service one, or let in nothing from outside",
        ),
        (
            "web.containers.forEach((one) => one.setHostname('same'));",
            "3: host name \"same\" is used more than once | give each container its own, and put one that has one into a single service",
        ),
        (
            "deployment.deploy(new Service('a', [new Container(new Image('img', 'FROM a'))]));
deployment.deploy(new Service('b', [new Container(new Image('img', 'FROM b'))]));",
            "7: image \"img\" is used with two different Dockerfiles | give one of the images another name",
        ),
    ];
    for (text, expected) in cases {
        assert_eq!(refused(Dialect::Quilt, &format!("{head}{text}")), expected);
    }
    let both = format!("{head}web.allowFrom(idle, 80);\nweb.allowFrom(idle, 81);");
    assert_eq!(refused(Dialect::Quilt, &both).lines().count(), 2, "every fault is reported at once");
}

#[test]
fn quilt_refuses_arguments_of_the_wrong_kind() {
    let head = "const { Container, Image, Machine, PortRange, Service, createDeployment, publicInternet } = require('@quilt/quilt');
const web = new Service('web', [new Container('nginx')]);
";
    let cases = [
        ("new Service(7, []);", "the name of a Service must be a string, found 7"),
        (
            "new Service('a', 'b');",
            "the containers of Service 'a' must be a Container or a list of them, found \"b\"",
        ),
        ("new Service('a', [web]);", "item 0 of the containers of Service 'a' must be a Container, found {"),
        ("new Container(5);", "the image of a Container must be an Image or a string, found 5"),
        ("new Container('a', 'run');", "command must be a list of strings, found \"run\""),
        ("new Container('a', ['run', 7]);", "item 1 of command must be a string, found 7"),
        (
            "new Container('a').getHostname();",
            "this container has no host name: give it one with setHostname()",
        ),
        ("new Machine({ provider: 1 });", "provider must be a string, found 1"),
        ("new Machine({ diskSize: '32' });", "diskSize must be a number, found \"32\""),
        ("new Machine({ cpu: '2' });", "cpu must be a number, Port or PortRange, found \"2\""),
        ("new Machine({ preemptible: 'yes' });", "preemptible must be true or false, found \"yes\""),
        ("createDeployment({ maxPrice: '5' });", "maxPrice must be a number, found \"5\""),
        ("createDeployment({ adminACL: 'local' });", "adminACL must be a list of strings, found \"local\""),
        (
            "createDeployment({}).deploy({});",
            "what is deployed must be something with a method deploy(deployment), found {}",
        ),
        ("web.allowFrom(10, 10);", "the source must be a Service or publicInternet"),
        ("web.allowFrom(web.containers[0], 10);", "the source must be a Service or publicInternet"),
        ("web.allowFrom(web, true);", "the port must be a number, Port or PortRange, found true"),
        ("web.connect(80, 80);", "the destination must be a Service or publicInternet"),
        ("web.connect(true, web);", "the port must be a number, Port or PortRange, found true"),
        (
            "web.allowFrom(publicInternet, new PortRange(80, 81));",
            "the public internet takes one port at a time, not 80-81",
        ),
        (
            "publicInternet.allowFrom(web, new PortRange(80, 81));",
            "the public internet takes one port at a time, not 80-81",
        ),
        (
            "web.connect(new PortRange(80, 81), publicInternet);",
            "the public internet takes one port at a time, not 80-81",
        ),
    ];
    for (text, expected) in cases {
        let fault = refused(Dialect::Quilt, &format!("{head}{text}"));
        assert!(fault.starts_with(&format!("3: {expected}")), "{text}: {fault}");
    }
}

const KELDA_08: &str = "const { Container, Image, Infrastructure, LoadBalancer, Machine, PortRange, Range, Secret, allow, allowTraffic, baseInfrastructure, publicInternet } = require('kelda');
const machine = new Machine({ provider: 'Amazon' });
const infrastructure = new Infrastructure(machine, machine);
const web = new Container('web', 'nginx');
web.deploy(infrastructure);
";
const KELDA_13: &str = "const { Container, Image, Infrastructure, LoadBalancer, Machine, PortRange, Range, Secret, Volume, VolumeMount, allowTraffic, baseInfrastructure, publicInternet } = require('kelda');
const machine = new Machine({ provider: 'Amazon' });
const infrastructure = new Infrastructure({ masters: machine, workers: machine });
const web = new Container({ name: 'web', image: 'nginx' });
web.deploy(infrastructure);
";

fn kelda(dialect: Dialect, head: &str, cases: &[(&str, &str)]) {
    for (text, expected) in cases {
        let fault = refused(dialect, &format!("{head}{text}"));
        assert!(fault.starts_with(&format!("6: {expected}")), "{}: {text}: {fault}", dialect.name());
    }
}

/// What both versions refuse alike, but for how things are made.
#[test]
fn kelda_refuses_what_it_cannot_deploy() {
    let both = [
        ("allowTraffic(web, web);", "a port or a PortRange is missing"),
        ("allowTraffic(web, web, '80');", "the port must be a number, Port or PortRange, found \"80\""),
        (
            "allowTraffic(10, web, 80);",
            "the source must be something to connect to, or a list of that, found 10",
        ),
        (
            "allowTraffic(web, [web, 10], 80);",
            "item 1 of the destination must be something to connect to, found 10",
        ),
        (
            "allowTraffic(publicInternet, web, new PortRange(80, 81));",
            "the public internet takes one port at a time, not 80-81",
        ),
        (
            "allowTraffic(web, publicInternet, new PortRange(80, 81));",
            "the public internet takes one port at a time, not 80-81",
        ),
        (
            "allowTraffic(web, { getConnectableName: () => 'wed' }, 80);",
            "traffic is allowed for 'wed', which is never deployed | deploy it with `.deploy(infrastructure)`, or did you mean 'web'?",
        ),
        ("web.placeOn({ size: 5 });", "size must be a string, found 5"),
        (
            "web.deploy({});",
            "the argument of deploy() of container 'web' must be an Infrastructure, found {}",
        ),
        ("new Machine({});", "a Machine needs a provider: Amazon, DigitalOcean, Google or Vagrant"),
        ("new Machine({ provider: 'Azure' });", "no provider is called 'Azure'"),
        ("new Machine({ provider: 'Google', size: 'large' });", "Google has no machines of size 'large'"),
        (
            "new Machine({ provider: 'Amazon', size: 'm4.large', cpu: new Range(3) });",
            "size 'm4.large' has 2 cores and 8 GiB of memory, not 3 or more cores and 0 or more GiB",
        ),
        (
            "new Machine({ provider: 'Google', ram: 999 });",
            "Google has no machine with 0 or more cores and 999 GiB of memory",
        ),
        (
            "new Machine({ provider: 'Amazon', tag: 'x', other: 1 });",
            "Machine has no option 'tag', 'other': remove it",
        ),
        ("baseInfrastructure();", "there is no base infrastructure: copy ~/.kelda/infra/default.js"),
    ];
    kelda(Dialect::Kelda08, KELDA_08, &both);
    kelda(Dialect::Kelda13, KELDA_13, &both);
}

#[test]
fn kelda_08_refuses_what_it_did_not_have() {
    let cases = [
        ("new Container('a', 5);", "the image of a Container must be an Image or a string, found 5"),
        ("new Container(5, 'a');", "the name of a Container must be a string, found 5"),
        ("new Container('a', 'a', { command: 'run' });", "command must be a list of strings, found \"run\""),
        ("new Container('a', 'a', { env: { A: 5 } });", "'A' in env must be a string or a Secret, found 5"),
        (
            "new Container('a', 'a', { privileged: true, name: 'b' });",
            "Container has no option 'name': it is an argument by itself",
        ),
        ("new Container('a', 'a', { privileged: true });", "Container has no option 'privileged': remove it"),
        (
            "new Container({ name: 'a', image: 'a' });",
            "the image of a Container must be an Image or a string, found nothing",
        ),
        ("new Infrastructure(machine, machine);", "there is an Infrastructure already"),
        ("new Infrastructure([], machine);", "masters must have one Machine at least"),
        ("new Infrastructure(machine, [web]);", "item 0 of workers must be a Machine, found {"),
        (
            "new Infrastructure(machine, machine, { maxPrice: 5 });",
            "Infrastructure has no option 'maxPrice': remove it",
        ),
        ("new LoadBalancer(5, []);", "the name of a LoadBalancer must be a string, found 5"),
        (
            "new LoadBalancer('a', [machine]);",
            "item 0 of the containers of LoadBalancer 'a' must be a Container, found {",
        ),
        ("allowTraffic(new LoadBalancer('lb', [web]), web, 80);", "load balancer 'lb' opens no connections"),
        ("web.allowFrom(web);", "a port or a PortRange is missing"),
    ];
    kelda(Dialect::Kelda08, KELDA_08, &cases);
    assert_eq!(
        refused(Dialect::Kelda08, &format!("{KELDA_08}new (require('kelda').Volume)({{}});")),
        "6: TypeError: not a function"
    );
}

#[test]
fn kelda_013_refuses_what_it_had_no_more() {
    let cases = [
        (
            "new Container('a', 'nginx');",
            "the argument of new Container() must be an object of options, found \"a\"",
        ),
        ("new Container({ name: 'a' });", "Container needs the option 'image'"),
        (
            "new Container({ name: 'a_b', image: 'a' });",
            "'a_b' is no host name: write a-z, 0-9 and '-', and no '-' at either end",
        ),
        (
            "new Container({ name: 'a', image: 'a', env: [5] });",
            "'0' in env must be a string or a Secret, found 5",
        ),
        (
            "new Container({ name: 'a', image: 'a', hostnamePrefix: 'b' });",
            "Container has no option 'hostnamePrefix': remove it",
        ),
        (
            "new Container({ name: 'a', image: 'a', volumeMounts: [5] });",
            "item 0 of volumeMounts must be a VolumeMount, found 5",
        ),
        (
            "new Container({ name: 'a', image: 'a', privileged: 1 });",
            "privileged must be true or false, found 1",
        ),
        ("new Image('a');", "the argument of new Image() must be an object of options, found \"a\""),
        ("new Image({ name: 'a', dockerfile: 5 });", "the Dockerfile of an Image must be a string, found 5"),
        ("new Infrastructure(machine, machine);", "Infrastructure needs the option 'masters'"),
        ("new Infrastructure({ masters: machine });", "Infrastructure needs the option 'workers'"),
        ("new Infrastructure({ masters: machine, workers: [] });", "workers must have one Machine at least"),
        (
            "new Infrastructure({ masters: machine, workers: machine, maxPrice: 1 });",
            "Infrastructure has no option 'maxPrice': remove it",
        ),
        (
            "new LoadBalancer('a', [web]);",
            "the argument of new LoadBalancer() must be an object of options, found \"a\"",
        ),
        ("new LoadBalancer({ name: 'A', containers: [web] });", "'A' is no host name"),
        (
            "allowTraffic(new LoadBalancer({ name: 'lb', containers: [web] }), web, 80);",
            "load balancer 'lb' opens no connections",
        ),
        ("new Volume({ name: 'a' });", "Volume needs the option 'type'"),
        (
            "new Volume({ name: 'a', type: 'nfs' });",
            "the type of volume 'a' must be 'hostPath', found \"nfs\"",
        ),
        ("new Volume({ name: 'a', type: 'hostPath' });", "Volume needs the option 'path'"),
        (
            "new VolumeMount({ volume: {}, mountPath: '/a' });",
            "the volume of a VolumeMount must be a Volume, found {}",
        ),
        ("web.setEnv('A', 'b');", "TypeError: not a function"),
    ];
    kelda(Dialect::Kelda13, KELDA_13, &cases);
}

#[test]
fn kelda_vets_the_whole_deployment() {
    let inf = "new Infrastructure({ masters: machine, workers: machine, namespace: 'Loom' });";
    let capitals = KELDA_13.replace("new Infrastructure({ masters: machine, workers: machine });", inf);
    assert_eq!(refused(Dialect::Kelda13, &capitals), "3: namespace 'Loom' has capitals | write 'loom'");
    let mixed = KELDA_13.replace("workers: machine }", "workers: new Machine({ provider: 'Google' }) }");
    assert_eq!(
        refused(Dialect::Kelda13, &mixed),
        "3: machines are of 'Amazon' in region 'us-west-1' and of 'Google' in region 'us-east1-b' | all machines of a deployment have one provider and one region"
    );
    let cases = [
        (
            "const lb = new LoadBalancer({ name: 'lb', containers: [web] }); lb.deploy(infrastructure); lb.deploy(infrastructure);",
            "host name 'lb' is used more than once | deploy each thing once, and leave `hostname` as it was given",
        ),
        (
            "new Container({ name: 'public', image: 'a' }).deploy(infrastructure);",
            "host name 'public' is used more than once",
        ),
        (
            "new Container({ name: 'a', image: new Image({ name: 'nginx', dockerfile: 'FROM a' }) }).deploy(infrastructure);",
            "image \"nginx\" is used with two different Dockerfiles",
        ),
        (
            "allowTraffic(new Container({ name: 'idle', image: 'a' }), web, 80);",
            "traffic is allowed for 'idle', which is never deployed",
        ),
    ];
    kelda(Dialect::Kelda13, KELDA_13, &cases);
}

#[test]
fn one_dialect_has_not_the_modules_of_another() {
    assert_eq!(
        refused(Dialect::Kelda08, "\nrequire('@quilt/quilt');"),
        "2: the dialect is kelda-0.8, which has no '@quilt/quilt': evaluate with --dialect quilt"
    );
    assert_eq!(
        refused(Dialect::Quilt, "require('kelda');"),
        "1: the dialect is quilt, which has no 'kelda': evaluate with --dialect kelda-0.13"
    );
    assert_eq!(
        refused(Dialect::Quilt, "require('@quilt/quilt').githubKeys('nobody');"),
        "1: the SSH keys of 'nobody' are not fetched: save https://github.com/nobody.keys beside the blueprint"
    );
    assert_eq!(
        "kelda".parse::<Dialect>().unwrap_err(),
        "there is no dialect 'kelda': there are quilt, kelda-0.8, kelda-0.13"
    );
}

#[test]
fn a_cycle_in_what_is_deployed_is_an_error() {
    let text = "const { Container, Service, createDeployment } = require('@quilt/quilt');
const container = new Container('a');
const service = new Service('a', [container]);
container.service = service;
createDeployment().deploy(service);";
    assert_eq!(
        refused(Dialect::Quilt, text).split(" | ").next().unwrap(),
        "0: the blueprint is too large: values nest too deeply"
    );
}
