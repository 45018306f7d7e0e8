//! A slice of TopoHub's 707 graphs (`tests/pypi.sh topohub`): every 20th by size. All of them: `cargo bench -p ddc --bench stretch`.

use std::path::{Path, PathBuf};
use std::process::Command;

use ddc::experiment::{Scheme, Trials, compare};
use ddc::{Map, Priority};
use topology::{load, paths};

fn files() -> Vec<PathBuf> {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/pypi.sh");
    let output = Command::new(script).arg("topohub").output().expect("tests/pypi.sh runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let place = PathBuf::from(String::from_utf8_lossy(&output.stdout).trim()).join("../lib");
    let (mut found, mut waiting) = (Vec::new(), vec![place]);
    while let Some(place) = waiting.pop() {
        for entry in std::fs::read_dir(&place).unwrap().flatten() {
            let path = entry.path();
            if path.is_dir() {
                waiting.push(path);
            } else if path.extension().is_some_and(|end| end == "json")
                && path.components().any(|part| part.as_os_str() == "topohub")
            {
                found.push(path);
            }
        }
    }
    found.sort_by_key(|path| (path.metadata().unwrap().len(), path.clone()));
    found
}

#[test]
fn nothing_is_undelivered_and_walks_are_bounded() {
    let files = files();
    assert_eq!(files.len(), 707);
    let schemes = [Scheme::Plain(Priority::Nearest), Scheme::Bounded(Priority::Nearest)];
    let (mut before, mut after) = (0, 0);
    for path in files.iter().step_by(20) {
        let topology = load::node_link(&std::fs::read_to_string(path).unwrap()).unwrap();
        let map = Map::new(&topology, paths::by_hops).unwrap();
        if map.node_count() >= 300 {
            continue;
        }
        let trials = Trials { trials: 4, pairs: 4, packets: 3, failures: 10, seed: 7 };
        let results = compare(&topology, &map, &schemes, trials);
        assert!(results.iter().all(|results| results.undelivered == 0), "{}", path.display());
        let longest = |place: usize| results[place].first_hops.last().copied().unwrap_or(0);
        assert!(longest(1) < 64, "{}: {} hops", path.display(), longest(1));
        (before, after) = (before.max(longest(0)), after.max(longest(1)));
    }
    println!("the longest first walk: {before} hops before, {after} bounded");
    assert!(before > 64 && after < before);
}
