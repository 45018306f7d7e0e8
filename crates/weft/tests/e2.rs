//! `weft e2`: a policy is checked, planned and drawn, and told what is wrong with it.

use std::process::{Command, Output};

const SHOP: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../e2/examples/shop.yaml");

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
