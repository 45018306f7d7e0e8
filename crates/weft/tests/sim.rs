//! `weft sim` and `weft rc3`, with the real binary.

use std::path::Path;
use std::process::{Command, Output};

const SCENARIO: &str = "\
name: small
topology: { file: net.txt }
workload: { flows: 30, load: 0.3, sizes: paper }
protocols: [tcp, rc3]
sweep: { buffer: [50KB, 5MB] }
seeds: 2
";
const TOPOLOGY: &str = "a r 1000 1\nb r 1000 1\nr s 1000 20\nc s 1000 1\n";

fn run(directory: &Path, args: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_weft"))
        .args(args)
        .current_dir(directory)
        .env("NO_COLOR", "1")
        .output()
        .unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

#[test]
fn a_scenario_gives_a_table_json_columns_and_a_plot() {
    let directory = tempfile::tempdir().unwrap();
    std::fs::write(directory.path().join("small.yaml"), SCENARIO).unwrap();
    std::fs::write(directory.path().join("net.txt"), TOPOLOGY).unwrap();
    let args = ["sim", "run", "small.yaml", "--csv", "out.csv", "--svg", "out.svg", "--png", "out.png"];
    let output = run(directory.path(), &args);
    assert!(output.status.success(), "{}", text(&output.stderr));
    let table = text(&output.stdout);
    let lines: Vec<&str> = table.lines().collect();
    assert_eq!(lines[0], "small: 2 seeds, times in ms, 95 % intervals");
    assert!(lines[2].starts_with("BUFFER (BYTES)  PROTOCOL  MEAN FCT"), "{table}");
    assert_eq!(lines.len(), 7, "{table}");
    assert!(lines[3].starts_with("50000           tcp       "), "{table}");
    let csv = std::fs::read_to_string(directory.path().join("out.csv")).unwrap();
    assert_eq!(csv.lines().count(), 5);
    assert!(std::fs::read_to_string(directory.path().join("out.svg")).unwrap().ends_with("</svg>\n"));
    let png = std::fs::read(directory.path().join("out.png")).unwrap();
    assert_eq!((&png[..8], &png[16..24]), (&b"\x89PNG\r\n\x1a\n"[..], &[0, 0, 5, 0, 0, 0, 3, 32][..]));

    let json = |threads| {
        let output = run(directory.path(), &["sim", "run", "small.yaml", "--json", "--threads", threads]);
        assert!(output.status.success(), "{}", text(&output.stderr));
        text(&output.stdout)
    };
    assert_eq!(json("1"), json("2"));
    let value: serde_json::Value = serde_json::from_str(&json("1")).unwrap();
    assert_eq!(value["parameter"], "buffer");
    assert_eq!(value["rows"][1]["protocol"], "rc3");
    assert_eq!(value["rows"][1]["unfinished"], 0);

    // One seed says nothing of how sure it is.
    let one = text(&run(directory.path(), &["sim", "run", "small.yaml", "--seeds", "1"]).stdout);
    assert!(one.starts_with("small: 1 seed, times in ms\n") && !one.contains('±'), "{one}");
}

#[test]
fn what_is_wrong_is_shown_with_its_line() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("small.yaml");
    std::fs::write(&file, SCENARIO.replace("[50KB, 5MB]", "[]")).unwrap();
    std::fs::write(directory.path().join("net.txt"), TOPOLOGY).unwrap();
    let output = run(directory.path(), &["sim", "run", "small.yaml"]);
    let told = text(&output.stderr);
    assert_eq!((output.status.code(), output.stdout.len()), (Some(1), 0));
    assert!(
        told.contains("small.yaml:5:8: an empty sweep") && told.contains("sweep: { buffer: [] }"),
        "{told}"
    );
    std::fs::write(directory.path().join("net.txt"), "a r 1000 1\nb s 1000 1\n").unwrap();
    std::fs::write(&file, SCENARIO).unwrap();
    let told = text(&run(directory.path(), &["sim", "run", "small.yaml"]).stderr);
    assert!(told.contains("small.yaml:2:11") && told.contains("there is no way from"), "{told}");
}

#[test]
fn the_baseline_needs_no_file() {
    let output = run(Path::new("."), &["rc3", "sim", "--seeds", "1", "--json"]);
    assert!(output.status.success(), "{}", text(&output.stderr));
    let value: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    let rows = value["rows"].as_array().unwrap();
    assert_eq!((rows.len(), &rows[0]["protocol"], &rows[1]["protocol"]), (2, &"tcp".into(), &"rc3".into()));
    let less = rows[1]["reduction_over_flows"]["mean"].as_f64().unwrap();
    assert!(less > 0.4, "{less}");
}
