//! Holds the floors: a room depends only on rooms of lower floors, every crate takes the shared lints, and
//! unsafe code stays in the four rooms that need it. Reads `cargo metadata`; names every fault at once.

use std::collections::BTreeMap;
use std::fs;

use cargo_metadata::{Metadata, MetadataCommand, Package, TargetKind};

/// The rooms, floor by floor: DESIGN.md's table. A room may be listed before it is built.
const FLOORS: [(u8, &[&str]); 6] = [
    (0, &["packet", "lookup", "topology", "sim", "ports", "host"]),
    (1, &["netbricks", "openflow", "ddc", "rc3", "megapipe"]),
    (2, &["softnic", "pox", "sparrow", "candid", "netcalls"]),
    (3, &["e2", "kappa"]),
    (4, &["quilt", "aplomb", "sts"]),
    (5, &["weft"]),
];

/// The only arrows inside one floor: on floor 0 these use `packet`.
const LEVEL_ARROWS: [(&str, &str); 3] = [("ports", "packet"), ("sim", "packet"), ("lookup", "packet")];

/// Rooms that may hold unsafe code: the buffer pool, rings, `io_uring`, system calls.
const UNSAFE_ROOMS: [&str; 4] = ["packet", "ports", "megapipe", "host"];

/// What stands beside the house, these tests and the comparison with peers: may use every room, and no room
/// may use them.
const BESIDE: [&str; 2] = ["house", "interop"];

/// One dependency of a workspace crate on another.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Arrow {
    from: String,
    to: String,
}

/// Why a set of rooms and arrows is not the house of DESIGN.md.
#[derive(Debug, PartialEq, Eq)]
enum Fault {
    /// The crate is in no floor of the table.
    Unlisted(String),
    /// The crate depends on a room that is not below it.
    NotBelow { from: String, from_floor: u8, to: String, to_floor: u8 },
    /// The room depends on something that is no room.
    UsesBeside { from: String, to: String },
}

fn floor_of(room: &str) -> Option<u8> {
    FLOORS.iter().find(|(_, rooms)| rooms.contains(&room)).map(|(floor, _)| *floor)
}

fn is_beside(package: &str) -> bool {
    BESIDE.contains(&package)
}

/// Every fault of the given rooms and the arrows between them.
fn faults(rooms: &[String], arrows: &[Arrow]) -> Vec<Fault> {
    let mut found: Vec<Fault> = rooms
        .iter()
        .filter(|room| !is_beside(room) && floor_of(room).is_none())
        .map(|room| Fault::Unlisted(room.clone()))
        .collect();
    for Arrow { from, to } in arrows.iter().filter(|arrow| !is_beside(&arrow.from)) {
        if is_beside(to) {
            found.push(Fault::UsesBeside { from: from.clone(), to: to.clone() });
            continue;
        }
        let (Some(from_floor), Some(to_floor)) = (floor_of(from), floor_of(to)) else {
            continue; // reported above as unlisted
        };
        let allowed = to_floor < from_floor || LEVEL_ARROWS.contains(&(from.as_str(), to.as_str()));
        if !allowed {
            found.push(Fault::NotBelow { from: from.clone(), from_floor, to: to.clone(), to_floor });
        }
    }
    found
}

fn workspace() -> Metadata {
    MetadataCommand::new()
        .manifest_path(concat!(env!("CARGO_MANIFEST_DIR"), "/../Cargo.toml"))
        .no_deps()
        .exec()
        .expect("cargo metadata describes this workspace")
}

fn names(metadata: &Metadata) -> Vec<String> {
    metadata.workspace_packages().iter().map(|package| package.name.to_string()).collect()
}

/// Normal, build and dev dependencies on other workspace members. A crate that uses itself in a doc or dev
/// dependency crosses no room.
fn arrows(metadata: &Metadata) -> Vec<Arrow> {
    let rooms = names(metadata);
    let mut found = Vec::new();
    for package in metadata.workspace_packages() {
        for dependency in &package.dependencies {
            let to = &dependency.name;
            if dependency.path.is_some() && rooms.contains(to) && *to != package.name.as_str() {
                found.push(Arrow { from: package.name.to_string(), to: to.clone() });
            }
        }
    }
    found
}

/// Does the manifest have `workspace = true` in its `[lints]` table?
fn takes_shared_lints(manifest: &str) -> bool {
    let mut table = "";
    manifest.lines().map(str::trim).any(|line| {
        if line.starts_with('[') {
            table = line;
        }
        let setting: String = line.split_whitespace().collect();
        (table == "[lints]" && setting == "workspace=true")
            || (table.is_empty() && setting == "lints.workspace=true")
    })
}

fn forbids_unsafe(root: &str) -> bool {
    root.lines().any(|line| line.trim() == "#![forbid(unsafe_code)]")
}

/// The root files (lib.rs, main.rs, …) of a package's libraries and programs.
fn roots(package: &Package) -> impl Iterator<Item = &str> {
    package
        .targets
        .iter()
        .filter(|target| {
            target
                .kind
                .iter()
                .any(|kind| matches!(kind, TargetKind::Lib | TargetKind::ProcMacro | TargetKind::Bin))
        })
        .map(|target| target.src_path.as_str())
}

fn read(path: &str) -> String {
    fs::read_to_string(path).unwrap_or_else(|error| panic!("{path}: {error}"))
}

#[test]
fn rooms_depend_only_on_lower_floors() {
    let metadata = workspace();
    let found = faults(&names(&metadata), &arrows(&metadata));
    assert!(found.is_empty(), "these break DESIGN.md's floors:\n{found:#?}");
}

#[test]
fn every_crate_takes_the_shared_lints() {
    let metadata = workspace();
    let without: Vec<&str> = metadata
        .workspace_packages()
        .iter()
        .map(|package| package.manifest_path.as_str())
        .filter(|manifest| !takes_shared_lints(&read(manifest)))
        .collect();
    assert!(without.is_empty(), "`[lints] workspace = true` is missing in {without:#?}");
}

#[test]
fn unsafe_code_is_forbidden_outside_four_rooms() {
    let metadata = workspace();
    let mut without = Vec::new();
    for package in metadata.workspace_packages() {
        if !UNSAFE_ROOMS.contains(&package.name.as_str()) {
            without.extend(roots(package).filter(|root| !forbids_unsafe(&read(root))));
        }
    }
    assert!(without.is_empty(), "`#![forbid(unsafe_code)]` is missing in {without:#?}");
}

#[test]
fn the_rooms_of_this_issue_are_seen() {
    // Guards the tests above against a workspace they read as empty.
    let metadata = workspace();
    let seen = names(&metadata);
    for room in ["packet", "ports", "host", "topology", "softnic", "quilt", "weft", "house"] {
        assert!(seen.iter().any(|name| name == room), "{room} is not among {seen:?}");
    }
    let arrows = arrows(&metadata);
    let expected = Arrow { from: "ports".into(), to: "packet".into() };
    assert!(arrows.contains(&expected), "ports → packet is not among {arrows:?}");
}

#[test]
fn no_room_stands_on_two_floors() {
    let mut floors: BTreeMap<&str, u8> = BTreeMap::new();
    for (floor, rooms) in FLOORS {
        for room in rooms {
            assert_eq!(floors.insert(room, floor), None, "{room} is listed twice");
        }
    }
    assert_eq!(floors.len(), 22, "fourteen systems and eight rooms below them");
}

#[test]
fn bad_arrows_are_caught() {
    let house = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>();
    let arrow = |from: &str, to: &str| Arrow { from: from.into(), to: to.into() };
    let rooms = house(&["packet", "ports", "topology", "softnic", "quilt", "weft", "pox", "house"]);

    let good = [
        arrow("weft", "packet"),
        arrow("ports", "packet"),
        arrow("quilt", "softnic"),
        arrow("interop", "weft"),
    ];
    assert_eq!(faults(&rooms, &good), []);

    let not_below = |from: &str, from_floor, to: &str, to_floor| {
        vec![Fault::NotBelow { from: from.into(), from_floor, to: to.into(), to_floor }]
    };
    // Up, across, and the exception of floor 0 the wrong way round or by a room that has none.
    assert_eq!(faults(&rooms, &[arrow("softnic", "quilt")]), not_below("softnic", 2, "quilt", 4));
    assert_eq!(faults(&rooms, &[arrow("softnic", "pox")]), not_below("softnic", 2, "pox", 2));
    assert_eq!(faults(&rooms, &[arrow("packet", "ports")]), not_below("packet", 0, "ports", 0));
    assert_eq!(faults(&rooms, &[arrow("topology", "packet")]), not_below("topology", 0, "packet", 0));
    let beside = Fault::UsesBeside { from: "weft".into(), to: "house".into() };
    assert_eq!(faults(&rooms, &[arrow("weft", "house")]), vec![beside]);
    assert_eq!(faults(&house(&["helpers"]), &[]), vec![Fault::Unlisted("helpers".into())]);
}

#[test]
fn the_readers_of_source_text_tell_yes_from_no() {
    assert!(takes_shared_lints("[package]\nname = \"x\"\n\n[lints]\nworkspace = true\n"));
    assert!(!takes_shared_lints("[lints.rust]\nworkspace = true\n"));
    assert!(!takes_shared_lints("[package]\nversion.workspace = true\n[lints]\n# workspace = true\n"));
    assert!(forbids_unsafe("//! A room.\n#![forbid(unsafe_code)]\n"));
    assert!(!forbids_unsafe("//! #![forbid(unsafe_code)]\n"));
}
