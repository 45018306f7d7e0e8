//! Blueprints as manifests: every schema holds. What their policies let through is compared in `tests/agreement`.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use quilt::eval::{Options, evaluate};
use quilt::kubernetes::export::{self, Exported, export};
use quilt::model::Blueprint;

use crate::judges;

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
