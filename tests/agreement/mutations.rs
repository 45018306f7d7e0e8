//! The comparison can fail: one link less on any one side is told, with the pair, the port and the line.

use std::fs;

use crate::blueprint;
use crate::manifests::{exported, judged};
use crate::question;
use crate::running::Running;
use crate::sides::{Graph, Manifests, Side, Tables, compare};

const WHOLE: &str = "import {Container, allow, deployment} from 'weft';
deployment({name: 'mutant'});
const web = new Container('web', {command: ['sleep', '1000'], replicas: 2});
const db = new Container('db', {command: ['sleep', '1000']});
const cache = new Container('cache', {command: ['sleep', '1000']});
allow(web, db, 5432, 'tcp');
allow(web, cache, 11211);
";
/// The link that goes, and what each side has to be told of without it.
const GONE: &str = "allow(web, db, 5432, 'tcp');\n";
const TOLD: [(&str, &str); 4] = [
    (
        "the graph",
        "web-1 -> db:5432/tcp: the graph no, packets yes, the dataplane's tables yes by whole.js:6:1, network-config-analyzer yes",
    ),
    (
        "packets",
        "web-1 -> db:5432/tcp: the graph yes by whole.js:6:1, packets no, the dataplane's tables yes by whole.js:6:1, network-config-analyzer yes",
    ),
    (
        "the dataplane's tables",
        "web-1 -> db:5432/tcp: the graph yes by whole.js:6:1, packets yes, the dataplane's tables no, network-config-analyzer yes",
    ),
    (
        "network-config-analyzer",
        "web-1 -> db:5432/tcp: the graph yes by whole.js:6:1, packets yes, the dataplane's tables yes by whole.js:6:1, network-config-analyzer no",
    ),
];

#[test]
fn a_link_that_one_side_misses_is_told() {
    let folder = tempfile::tempdir().expect("a directory");
    let file = |name: &str, text: &str| {
        let path = folder.path().join(name);
        fs::write(&path, text).expect("to write it");
        path
    };
    assert!(WHOLE.contains(GONE));
    let (path, lesser) = (file("whole.js", WHOLE), file("lesser.js", &WHOLE.replace(GONE, "\n")));
    let (whole, less) = (blueprint(&path), blueprint(&lesser));
    let questions = question::all(&whole);

    // Both of everything: of the blueprint, and of the one without the link, which really runs and is really judged.
    let (all, some) = (judged(&exported(&whole)), judged(&exported(&less)));
    let manifests = [(&whole, &all), (&less, &some)]
        .map(|(blueprint, found)| Manifests::of(blueprint, &exported(blueprint), found));
    let graphs = [Graph::of(&whole), Graph::of(&less)];
    let live = [(&path, &whole), (&lesser, &less)].map(|(path, blueprint)| {
        let mut running = Running::up(path, blueprint);
        let tables = Tables::of(running.policy());
        let packets = running.ask(&questions);
        running.stop();
        (packets, tables)
    });
    let sides: [[&dyn Side; 2]; 4] = [
        [&graphs[0], &graphs[1]],
        [&live[0].0, &live[1].0],
        [&live[0].1, &live[1].1],
        [&manifests[0], &manifests[1]],
    ];

    let (agreed, _) = compare(&questions, &sides.map(|[whole, _]| whole));
    assert!(agreed.is_empty(), "{agreed:?}");
    let (agreed, _) = compare(&questions, &sides.map(|[_, less]| less));
    assert!(agreed.is_empty(), "{agreed:?}");
    for (at, (name, told)) in TOLD.into_iter().enumerate() {
        let mut mixed = sides.map(|[whole, _]| whole);
        mixed[at] = sides[at][1];
        assert_eq!(mixed[at].name(), name);
        let (found, _) = compare(&questions, &mixed);
        let here = format!("{}/", folder.path().display());
        let found: Vec<String> = found.iter().map(|one| one.to_string().replace(&here, "")).collect();
        assert_eq!(found.len(), 2, "both replicas have lost it: {found:?}");
        assert_eq!(found[0], told);
    }
}
