//! `weft ddc`, with the real binary.

use std::path::Path;
use std::process::{Command, Stdio};

use serde_json::Value;

fn weft(directory: &Path, args: &[&str]) -> (Option<i32>, String, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_weft"));
    command.arg("ddc").args(args).current_dir(directory).env("NO_COLOR", "1").stdin(Stdio::null());
    let output = command.output().unwrap();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (output.status.code(), text(&output.stdout), text(&output.stderr))
}

/// A ring of six.
fn ring() -> tempfile::TempDir {
    let directory = tempfile::tempdir().unwrap();
    std::fs::write(directory.path().join("ring.txt"), "a b\nb c\nc d\nd e\ne f\nf a\n").unwrap();
    directory
}

#[test]
fn a_packet_goes_the_other_way_round() {
    let directory = ring();
    let args = ["trace", "-t", "ring.txt", "--from", "c", "--to", "a", "--fail", "b-a"];
    let (code, out, err) = weft(directory.path(), &args);
    assert_eq!(code, Some(0), "{err}");
    assert!(out.starts_with("failed: a-b\npacket 1\n"), "{out}");
    // To b, where the failure is met, and back past c.
    assert!(out.contains("delivered, 6 hops"), "{out}");
    let (_, json, _) = weft(directory.path(), &[&args[..], &["--json"]].concat());
    let steps: Vec<Value> = serde_json::from_str(&json).unwrap();
    let scouts: Vec<&str> = steps
        .iter()
        .filter(|step| step["phase"] == "scout")
        .filter_map(|step| step["node"].as_str())
        .collect();
    assert_eq!(scouts, ["c", "d", "e", "f", "a"]);
}

#[test]
fn the_experiment_prints_tables_json_and_a_plot() {
    let directory = tempfile::tempdir().unwrap();
    let args = ["sim", "--trials", "4", "--pairs", "5", "--packets", "6", "--svg", "plot.svg", "--json"];
    let (code, out, err) = weft(directory.path(), &args);
    assert_eq!(code, Some(0), "{err}");
    let rows: Vec<Value> = serde_json::from_str(&out).unwrap();
    assert_eq!(rows.len(), 2);
    for row in &rows {
        assert_eq!(row["undelivered"], 0);
        assert_eq!(row["stretch"].as_array().unwrap().len(), 6);
    }
    assert!(rows[1]["first_hops"]["max"].as_u64() <= rows[0]["first_hops"]["max"].as_u64(), "{out}");
    let svg = std::fs::read_to_string(directory.path().join("plot.svg")).unwrap();
    assert!(svg.starts_with("<svg") && svg.contains("bounded"));
    let (_, again, _) = weft(directory.path(), &args);
    assert_eq!(again, out, "the same seed");
}

#[test]
fn bad_input_is_named() {
    let directory = ring();
    let fails = |args: &[&str], part: &str| {
        let (code, _, err) = weft(directory.path(), args);
        assert_eq!(code, Some(1), "{err}");
        let words = err.split_whitespace().filter(|word| *word != "│").collect::<Vec<_>>().join(" ");
        assert!(words.contains(part), "{words}");
    };
    let trace = ["trace", "-t", "ring.txt", "--from", "a", "--to"];
    fails(&[&trace[..], &["z"]].concat(), "there is no node `z`");
    fails(&[&trace[..], &["c", "--fail", "a-c"]].concat(), "there is no link `a-c`");
    fails(&["sim", "-t", "none.json"], "none.json");
    std::fs::write(directory.path().join("bad.json"), "{\n\n]").unwrap();
    fails(&["sim", "-t", "bad.json"], "bad.json: line 3");
}
