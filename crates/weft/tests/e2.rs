//! `weft e2`: a policy is checked, planned and drawn, and told what is wrong with it.

use std::process::{Command, Output};

const SHOP: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../e2/examples/shop.yaml");
/// The same as a blueprint.
const SHOP_JS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../e2/examples/shop.js");

fn weft(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_weft")).args(arguments).env("NO_COLOR", "1").output().expect("weft")
}

fn out(arguments: &[&str]) -> String {
    let run = weft(arguments);
    assert!(run.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&run.stderr));
    String::from_utf8(run.stdout).expect("text")
}

#[test]
fn a_policy_is_checked_planned_and_drawn() {
    let checked = out(&["e2", "check", SHOP]);
    assert!(checked.ends_with("4 functions, 2 pipelets, 3 servers with 12 cores: no errors\n"), "{checked}");
    let plan = out(&["e2", "plan", SHOP]);
    assert!(plan.contains("between servers: 0 bit/s, the least there is\n"), "{plan}");
    let json: serde_json::Value = serde_json::from_str(&out(&["e2", "plan", SHOP, "--json"])).expect("JSON");
    assert_eq!(json["instances"].as_array().map(Vec::len), Some(7));
    for (stage, name) in [("pgraph", "firewall"), ("igraph", "firewall.2"), ("placement", "s1")] {
        let drawing = out(&["e2", "graph", SHOP, "--stage", stage]);
        assert!(drawing.starts_with("digraph") && drawing.contains(name), "{stage}: {drawing}");
    }
}

#[test]
fn what_is_wrong_is_told_at_its_line() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("shop.yaml");
    let text = std::fs::read_to_string(SHOP).expect("the shop").replace("when: safe,", "when: save,");
    std::fs::write(&path, text).expect("a file");
    let run = weft(&["e2", "plan", path.to_str().expect("a plain path")]);
    let error = String::from_utf8_lossy(&run.stderr).into_owned();
    assert_eq!(run.status.code(), Some(1));
    assert!(
        error.contains("`firewall` gives no attribute `save`") && error.contains("when: save"),
        "{error}"
    );
    let run = weft(&["e2", "check", "/no/such/file"]);
    assert_eq!(run.status.code(), Some(1));
    std::fs::write(&path, [0xff, 0xfe]).expect("a file");
    assert_eq!(weft(&["e2", "check", path.to_str().expect("a plain path")]).status.code(), Some(1));
}

#[test]
fn a_blueprint_is_the_same_policy() {
    assert_eq!(out(&["e2", "plan", SHOP_JS, "--json"]), out(&["e2", "plan", SHOP, "--json"]));
    for stage in ["pgraph", "igraph", "placement"] {
        let [drawn, wanted] = [SHOP_JS, SHOP].map(|file| out(&["e2", "graph", file, "--stage", stage]));
        assert_eq!(drawn, wanted, "{stage}");
    }
    assert!(
        out(&["e2", "check", SHOP_JS])
            .ends_with("4 functions, 2 pipelets, 3 servers with 12 cores: no errors\n")
    );
    let types = out(&["quilt", "types", "weft/nf"]);
    assert_eq!(types, quilt::eval::NF_TYPES);
}

/// Every fault is told at the line of the blueprint that says it, wherever the call began.
#[test]
fn what_is_wrong_with_a_blueprint_is_told_at_its_line() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("shop.js");
    let shop = std::fs::read_to_string(SHOP_JS).expect("the shop");
    for (good, bad, told, at) in [
        // A circle.
        (
            "{ from: nat, to: 'internet' },",
            "{ from: nat, to: firewall },",
            "`updates` goes in a circle: ",
            "{ from: firewall, to: nat }",
        ),
        // An attribute that nobody gives.
        (
            "when: 'safe', share",
            "when: 'save', share",
            "`firewall` gives no attribute `save`; it gives safe",
            "",
        ),
        ("{ alarm: 'metadata' }", "{ alarm: 'metadate' }", "`metadate` is no way to give an attribute", ""),
        // What cannot be carried.
        (
            "rewrites: ['ip.src', 'port.src'] }",
            "rewrites: ['ip.src'], scalable: false, instances: 2 }",
            "what is not scalable has 1",
            "",
        ),
        ("capacity: '1 Gbit/s'", "capacity: '1 Mbit/s'", "would need 2000 instances", "const ids = "),
        (
            "capacity: '1 Gbit/s'",
            "capacity: '80 Mbit/s'",
            "instances need a core each, and the servers have 12",
            "switch: {",
        ),
        ("rate: '8 Gbit/s'", "rate: '80 Gbit/s'", "are missing", "ports: ["),
        ("rate: '8 Gbit/s'", "rate: '8 Gbit'", "8 Gbit", ""),
        // A server description that lies.
        ("name, cores: 4", "name, cores: 0", "has no cores: nothing can run on it", ""),
        (
            "between: [name, 'tor']",
            "between: [name, 'tour']",
            "there is no server or switch `tour` (`tor`?)",
            "",
        ),
        // What is named twice, or not at all.
        (
            "new Pipelet('updates'",
            "new Pipelet('web'",
            "`web` is already the name of a pipelet, in line 23",
            "new Pipelet('web', {\n  traffic: 'src net",
        ),
        (
            "{ from: 'shop', to: firewall }",
            "{ from: 'shop', to: 'firewal' }",
            "there is no network function or port `firewal`",
            "",
        ),
        (
            "{ from: firewall, to: nat },",
            "{ from: firewall, to: nat }, { from: firewall, to: nat },",
            "in line 40",
            "",
        ),
        ("traffic: 'tcp dst port 80'", "traffic: 'tcp dst prt 80'", "prt", ""),
        ("capacity: '3 Gbit/s'", "capacty: '3 Gbit/s'", "capacty", ""),
        ("traffic: 'tcp dst port 80'", "traffic: () => 1", "a function is nothing that a policy can say", ""),
    ] {
        assert_eq!(shop.matches(good).count(), 1, "{good}");
        let text = shop.replace(good, bad);
        std::fs::write(&path, &text).expect("a file");
        let run = weft(&["e2", "plan", path.to_str().expect("a plain path")]);
        let error = String::from_utf8_lossy(&run.stderr).into_owned();
        assert_eq!(run.status.code(), Some(1), "{bad}: {error}");
        let joined = error.split_whitespace().filter(|word| *word != "│").collect::<Vec<_>>().join(" ");
        assert!(joined.contains(told), "{bad}: {joined}");
        println!("{error}");
        let at = if at.is_empty() { bad } else { at };
        let line = text[..text.find(at).expect("it is there")].matches('\n').count() + 1;
        assert!(error.contains(&format!("shop.js:{line}:")), "{bad}: not line {line}: {error}");
    }
    for (text, told) in [
        ("import { NF } from 'weft/nf';\nnew NF('a', { run: 'monitor' });", "has no pipelets"),
        (
            "import { Pipelet } from 'weft/nf';\nnew Pipelet('a', { rate: '1 Gbit/s', edges: [] });",
            "there are pipelets and no hardware",
        ),
        ("import { Hardware } from 'weft/nf';\nnew Hardware({});", "there is hardware and no pipelet"),
        ("throw new Error('no');", "no"),
    ] {
        std::fs::write(&path, text).expect("a file");
        let run = weft(&["e2", "check", path.to_str().expect("a plain path")]);
        let error = String::from_utf8_lossy(&run.stderr).into_owned();
        assert!(run.status.code() == Some(1) && error.contains(told), "{text}: {error}");
    }
}
