//! Blueprints as manifests: every schema holds, and their policies are the blueprint's links for all pairs and ports.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fs;
use std::path::{Path, PathBuf};

use quilt::check::reach::{Index, allowed_outside};
use quilt::eval::{Options, evaluate};
use quilt::kubernetes::export::{self, Exported, Manifest, export};
use quilt::model::{Blueprint, Ports, Protocol};

use crate::judges::{self, Allowed};

/// The corpus: blueprints of two to sixty containers.
fn corpus() -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/corpus");
    let mut files: Vec<PathBuf> = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    assert!(files.len() >= 20);
    files
}

fn blueprint(path: &Path) -> Blueprint {
    let evaluation = evaluate(path, &Options::default()).unwrap_or_else(|faults| panic!("{faults}"));
    let loaded = quilt::checked(evaluation, &|_| true);
    loaded.unwrap_or_else(|faults| panic!("{faults}: {:#?}", faults.faults)).blueprint
}

fn secret(name: &str) -> Option<String> {
    Some(format!("{name}: no: 'such' \"secret\" $(x)\n"))
}

fn exported(blueprint: &Blueprint) -> Exported {
    let options = export::Options { secrets: Some(&secret), ..export::Options::default() };
    export(blueprint, &options).unwrap_or_else(|faults| panic!("{faults:?}"))
}

#[test]
fn every_schema_holds_and_yaml_says_what_the_manifests_say() {
    let judges = judges::place();
    let folder = tempfile::tempdir().unwrap();
    let mut files = Vec::new();
    let mut kinds = BTreeSet::new();
    for path in corpus() {
        let exported = exported(&blueprint(&path));
        let file = folder.path().join(path.file_stem().unwrap()).with_extension("yaml");
        fs::write(&file, exported.yaml().unwrap()).unwrap();
        let text = judges::run(
            &judges.join("python"),
            &[
                "-c",
                "import json, sys, yaml; print(json.dumps(list(yaml.safe_load_all(open(sys.argv[1], newline='')))))",
                file.to_str().unwrap(),
            ],
        );
        let read: serde_json::Value = serde_json::from_str(&text).unwrap();
        assert_eq!(read, serde_json::to_value(&exported.manifests).unwrap(), "{}", path.display());
        for manifest in read.as_array().unwrap() {
            kinds.insert(manifest["kind"].as_str().unwrap().to_owned());
        }
        files.push(file.to_str().unwrap().to_owned());
    }
    let expected = [
        "ConfigMap",
        "Deployment",
        "Job",
        "Namespace",
        "NetworkPolicy",
        "PersistentVolumeClaim",
        "Secret",
        "Service",
    ];
    assert_eq!(kinds, expected.map(str::to_owned).into());
    let arguments: Vec<&str> = ["--strict"].into_iter().chain(files.iter().map(String::as_str)).collect();
    judges::run(&judges.join("kubernetes-validate"), &arguments);
}

#[test]
fn the_judge_of_schemas_refuses_what_is_wrong() {
    let judges = judges::place();
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("wrong.yaml");
    let exported = exported(&blueprint(&corpus()[0]));
    fs::write(&file, exported.yaml().unwrap().replace("policyTypes", "policyTipes")).unwrap();
    let run = std::process::Command::new(judges.join("kubernetes-validate"))
        .args(["--strict", file.to_str().unwrap()])
        .output()
        .unwrap();
    assert!(!run.status.success());
}

/// Which pod of nca's a container is. It makes two pods of a deployment at most.
fn pods(blueprint: &Blueprint, exported: &Exported) -> HashMap<String, String> {
    let replicas: BTreeMap<&str, u32> = exported
        .manifests
        .iter()
        .filter_map(|manifest| match manifest {
            Manifest::Workload(workload) => {
                let count = workload.spec.replicas.or(workload.spec.parallelism);
                Some((workload.metadata.name.as_str(), count.unwrap_or(1)))
            }
            _ => None,
        })
        .collect();
    let mut pods = HashMap::new();
    let mut count = 0;
    for container in &blueprint.containers {
        let alone = replicas.get(container.name.as_str()).filter(|count| **count == 1);
        let (workload, index) = match container.name.rsplit_once('-') {
            _ if alone.is_some() => (container.name.as_str(), 1),
            Some((group, index)) => (group, index.parse().unwrap()),
            None => panic!("no workload of {}", container.name),
        };
        assert!(replicas[workload] >= index, "{workload} has too few pods");
        count += 1;
        if index <= 2 {
            pods.insert(container.name.clone(), format!("{}/{workload}-{index}", blueprint.name));
        }
    }
    assert_eq!(count, replicas.values().sum::<u32>(), "every container is a pod");
    pods
}

/// Every port at which anything can change.
fn ports(blueprint: &Blueprint, found: &BTreeMap<(String, String), Allowed>) -> Vec<u16> {
    let links = blueprint.links.iter().map(|link| link.ports);
    let published = blueprint.publishes.iter().map(|publish| Ports::one(publish.container_port));
    let said = links.chain(published).flat_map(|ports| [ports.min, ports.max]);
    let found = found.values().flat_map(|allowed| allowed.ports.values().flatten());
    let mut ports: BTreeSet<u16> = [1, 22, 65535].into();
    for port in said.chain(found.flat_map(|(min, max)| [*min, *max])) {
        ports.extend([port.saturating_sub(1).max(1), port, port.saturating_add(1)]);
    }
    ports.into_iter().collect()
}

/// What an address outside may do, or be done to: nca speaks of ranges.
fn outside<'f>(
    found: &'f BTreeMap<(String, String), Allowed>,
    pod: &str,
    address: std::net::IpAddr,
    inwards: bool,
) -> Vec<&'f Allowed> {
    let covers = |range: &str| {
        let (Some((min, max)), false) = (range.split_once('-'), range.contains('/')) else { return false };
        match (min.parse::<std::net::IpAddr>(), max.parse::<std::net::IpAddr>()) {
            (Ok(min), Ok(max)) => min.is_ipv4() == address.is_ipv4() && min <= address && address <= max,
            _ => false,
        }
    };
    found
        .iter()
        .filter(|((from, to), _)| if inwards { to == pod && covers(from) } else { from == pod && covers(to) })
        .map(|(_, allowed)| allowed)
        .collect()
}

#[test]
fn the_policies_are_the_links_for_all_pairs_and_ports() {
    let judges = judges::place();
    let folder = tempfile::tempdir().unwrap();
    let (mut compared, mut may) = (0, 0);
    for path in corpus() {
        let blueprint = blueprint(&path);
        let exported = exported(&blueprint);
        let file = folder.path().join("all.yaml");
        fs::write(&file, exported.yaml().unwrap()).unwrap();
        let found = judges::connectivity(&judges, &file);
        let pods = pods(&blueprint, &exported);
        let index = Index::new(&blueprint);
        let ports = ports(&blueprint, &found);
        let nothing = Allowed::default();
        for (from, source) in &pods {
            for (to, destination) in pods.iter().filter(|(to, _)| *to != from) {
                let pair = (source.clone(), destination.clone());
                let found = found.get(&pair).unwrap_or(&nothing);
                assert!(!found.everything && !found.ports.contains_key("SCTP"), "{path:?}: {from} -> {to}");
                for port in &ports {
                    for (protocol, word) in [(Protocol::Tcp, "TCP"), (Protocol::Udp, "UDP")] {
                        let expected = index.allowed(from, to, *port, protocol).is_some();
                        let what = || format!("{}: {from} -> {to} {port}/{word}", path.display());
                        assert_eq!(found.allows(word, *port), expected, "{}", what());
                        compared += 1;
                        may += usize::from(expected);
                    }
                }
            }
            for address in ["8.8.8.8", "2600::1", "10.1.2.3", "fd00::1"] {
                let address: std::net::IpAddr = address.parse().unwrap();
                let public = address.to_string().starts_with(['8', '2']);
                let inwards = outside(&found, source, address, true);
                let outwards = outside(&found, source, address, false);
                for port in &ports {
                    for (protocol, word) in [(Protocol::Tcp, "TCP"), (Protocol::Udp, "UDP")] {
                        let published = blueprint.publishes.iter().any(|publish| {
                            publish.container_port == *port
                                && publish.protocol == protocol
                                && blueprint.members(&publish.to).contains(&from.as_str())
                        });
                        let what = || format!("{}: {address}, {from} {port}/{word}", path.display());
                        assert_eq!(
                            inwards.iter().any(|one| one.allows(word, *port)),
                            published,
                            "{}",
                            what()
                        );
                        let out = public && allowed_outside(&blueprint, from, *port, protocol).is_some();
                        assert_eq!(outwards.iter().any(|one| one.allows(word, *port)), out, "{}", what());
                        compared += 2;
                    }
                }
            }
        }
    }
    println!("{compared} questions, {may} of them between pods answered with yes");
    assert!(may > 500 && compared > 10 * may);
}

#[test]
fn names_that_kubernetes_does_not_take_are_faults() {
    let text = "import {Container} from 'weft'; new Container('1a', {command: 'x'});";
    let evaluation = quilt::eval::evaluate_text("a.js", text, &Options::default()).unwrap();
    let faults = export(&evaluation.blueprint, &export::Options::default()).unwrap_err();
    assert_eq!(
        faults[0].to_string(),
        "'1a' is not a valid name for a container: on Kubernetes it has to start with a letter"
    );
    assert_eq!(faults[0].span.to_string(), "a.js:1:1");
}

#[test]
fn no_secret_is_written_unless_asked() {
    let text = "import {Container, Secret} from 'weft';
        new Container('a', {command: 'x', env: {P: new Secret('DB_Pass')}, files: {'/p': new Secret('db-pass')}});";
    let evaluation = quilt::eval::evaluate_text("a.js", text, &Options::default()).unwrap();
    let plain = export(&evaluation.blueprint, &export::Options::default()).unwrap();
    let yaml = plain.yaml().unwrap();
    assert!(!yaml.contains("kind: Secret"), "{yaml}");
    assert!(
        plain.notes.iter().any(|note| note.contains("generic db-pass --from-literal=value=")),
        "{:?}",
        plain.notes
    );
    let asked =
        export::Options { secrets: Some(&|name| Some(format!("the {name}"))), ..export::Options::default() };
    let yaml = export(&evaluation.blueprint, &asked).unwrap().yaml().unwrap();
    assert!(yaml.contains("value: the DB_Pass") && yaml.contains("value: the db-pass"), "{yaml}");
    // Two secrets whose names differ only in what an object's name cannot say.
    assert_eq!(yaml.matches("kind: Secret").count(), 2);
}

#[test]
fn pods_can_be_left_out_of_what_is_open_to_everyone() {
    let text = "import {Container, publish} from 'weft'; publish(new Container('a', {command: 'x'}), 80);";
    let evaluation = quilt::eval::evaluate_text("a.js", text, &Options::default()).unwrap();
    let networks = ["10.244.0.0/16".to_owned(), "fd00:1::/64".to_owned()];
    let options = export::Options { pod_networks: &networks, ..export::Options::default() };
    let yaml = export(&evaluation.blueprint, &options).unwrap().yaml().unwrap();
    assert!(yaml.contains("cidr: 0.0.0.0/0\n        except:\n        - 10.244.0.0/16\n"), "{yaml}");
}
