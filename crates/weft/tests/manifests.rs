//! Files of other systems through the binary, as anybody: `export`, `check` and `import`, and back again.

#![forbid(unsafe_code)]

use std::collections::BTreeSet;
use std::path::Path;
use std::process::{Command, Output};

use serde_json::Value;

const SHOP: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../examples/shop.js");

const COMPOSE: &str = r#"services:
  web:
    image: nginx
    ports: ["8080:80"]
    environment: {DB_URL: "postgres://db:5432/app"}
    networks: [front, back]
  db:
    image: postgres
    networks: [back]
  watcher:
    image: busybox
    command: ["sleep", "1000"]
    networks: [front]
networks: {front: {}, back: {}}
"#;

fn weft(folder: &Path, words: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_weft"));
    command.args(words).current_dir(folder).env("WEFT_STATE", folder.join("state")).env("NO_COLOR", "1");
    command.output().expect("to run weft")
}

/// What a command prints that must do its job.
fn ok(folder: &Path, words: &[&str]) -> String {
    let output = weft(folder, words);
    assert!(output.status.success(), "weft {words:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).expect("UTF-8")
}

fn json(folder: &Path, words: &[&str]) -> Value {
    serde_json::from_str(&ok(folder, words)).expect("JSON")
}

/// The links of a blueprint, as `weft check --json` has it: from, to, ports, protocol.
fn links(blueprint: &Value) -> BTreeSet<String> {
    let links = blueprint["links"].as_array().expect("links");
    assert!(!links.is_empty());
    let link = |link: &Value| {
        let of = |what: &str| link[what].to_string();
        format!("{} -> {} {} {}", of("from"), of("to"), of("ports"), of("protocol"))
    };
    links.iter().map(link).collect()
}

#[test]
fn the_shop_goes_to_manifests_and_comes_back_with_the_same_links() {
    let folder = tempfile::tempdir().expect("a directory");
    let folder = folder.path();
    ok(folder, &["export", "kubernetes", SHOP, "--output", "shop.yaml"]);
    let report = "shop/client (Deployment)\nshop/db (Deployment)\n  from shop/web: 5432/tcp\nshop/web (Deployment)\n  \
                  from shop/client: 80/tcp\n  from all addresses outside: 80/tcp\n3 workloads, 5 network policies\n";
    assert_eq!(ok(folder, &["check", "shop.yaml"]), report);
    // A folder stands for the files in it, and several files for one.
    std::fs::create_dir(folder.join("all")).expect("a folder");
    let text = std::fs::read_to_string(folder.join("shop.yaml")).expect("the manifests");
    let (policies, others): (Vec<&str>, Vec<&str>) =
        text.split("---\n").partition(|one| one.contains("kind: NetworkPolicy"));
    assert_eq!(policies.len(), 5, "{text}");
    for (name, documents) in [("a.yaml", others), ("b.yml", policies)] {
        std::fs::write(folder.join("all").join(name), documents.join("---\n")).expect("to write it");
    }
    assert_eq!(ok(folder, &["check", "all"]), report);
    assert_eq!(ok(folder, &["check", "all/b.yml", "all/a.yaml"]), report);
    let open = ok(folder, &["check", "all/a.yaml"]);
    assert!(open.contains("3 workloads, 0 network policies") && open != report, "{open}");

    let back = ok(folder, &["import", "kubernetes", "all"]);
    std::fs::write(folder.join("back.js"), &back).expect("to write it");
    assert!(
        ok(folder, &["check", "back.js"])
            .ends_with("back.js: 5 containers, 2 services, 2 links, 1 published ports: no errors\n")
    );
    let (shop, back) =
        (json(folder, &["check", "--json", SHOP]), json(folder, &["check", "--json", "back.js"]));
    assert_eq!(links(&shop), links(&back));
    for of in ["host_port", "container_port", "protocol"] {
        assert_eq!(shop["publishes"][0][of], back["publishes"][0][of], "{of}");
    }
}

#[test]
fn a_compose_file_is_checked_and_imported_with_the_links_it_needs() {
    let folder = tempfile::tempdir().expect("a directory");
    let folder = folder.path();
    std::fs::write(folder.join("compose.yaml"), COMPOSE).expect("to write it");
    let report = ok(folder, &["check", "compose.yaml"]);
    assert!(report.contains("db\n  from web: everything\n") && report.ends_with("3 services\n"), "{report}");
    ok(folder, &["import", "compose", "compose.yaml", "--output", "compose.js"]);
    let draft = std::fs::read_to_string(folder.join("compose.js")).expect("a blueprint");
    assert!(draft.contains("allow(web, db, 5432, 'tcp'); // DB_URL\n\npublish(web, 8080, 80);\n"), "{draft}");
    assert_eq!(
        ok(folder, &["check", "compose.js"]),
        "compose.js: 3 containers, 0 services, 1 links, 1 published ports: no errors\n"
    );
}

#[test]
fn files_that_are_neither_are_an_error_with_their_name() {
    let folder = tempfile::tempdir().expect("a directory");
    let folder = folder.path();
    std::fs::write(folder.join("broken.yaml"), "kind: [Pod\n").expect("to write it");
    for words in [
        ["check", "broken.yaml", "broken.yaml"],
        ["import", "compose", "broken.yaml"],
        ["import", "kubernetes", "broken.yaml"],
    ] {
        let output = weft(folder, &words);
        let told = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.code() == Some(1) && told.contains("broken.yaml"), "{words:?}: {told}");
    }
}

#[test]
fn types_are_printed_for_editors() {
    let folder = tempfile::tempdir().expect("a directory");
    let types = ok(folder.path(), &["quilt", "types"]);
    assert_eq!(types, quilt::eval::TYPES);
    assert!(types.contains("export class Container") && types.contains("export function allow("), "{types}");
}
