//! The stretch experiment of the paper's section 4, before and after the first packet's walk was bounded: `cargo bench -p ddc
//! --bench stretch -- [DIRECTORY [SVG]]`.
//!
//! The graphs are TopoHub's 707 (`tests/pypi.sh topohub` puts them in place; without DIRECTORY it is asked). The links that
//! fail are, for every destination, the 10 that most shortest paths to it use, left out where their failure would cut
//! something off: what is worst for the destination. Packets of a pair follow each other.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Instant;

use ddc::experiment::{Scheme, Sent, busiest, quantile, send};
use ddc::{FAR, Map, Plan, Priority, Random};
use sim::plot::{Plot, Point, Series};
use topology::{Topology, load, paths};

const SEED: u64 = 1;
const FAILURES: usize = 10;
const SCHEMES: [(&str, Scheme); 3] = [
    ("before", Scheme::Plain(Priority::Nearest)),
    ("detours first", Scheme::Plain(Priority::Detour)),
    ("bounded", Scheme::Bounded(Priority::Nearest)),
];

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).filter(|argument| argument != "--bench").collect();
    let directory = arguments.first().map_or_else(install, PathBuf::from);
    let files = files(&directory);
    println!("{} graphs, up to {FAILURES} failures, seed {SEED}", files.len());
    first_walks(&files);
    let series = by_packet(&directory, &["7018", "3356", "701", "1221"]);
    if let Some(path) = arguments.get(1) {
        let plot = Plot {
            title: format!("99th percentile of stretch, {FAILURES} failures, four autonomous systems"),
            x_label: "packet of a pair".into(),
            y_label: "stretch".into(),
            x_log: false,
            y_log: true,
            series,
        };
        std::fs::write(path, plot.svg()).expect("the plot can be written");
        println!("wrote {path}");
    }
}

fn install() -> PathBuf {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/pypi.sh");
    let output = Command::new(script).arg("topohub").output().expect("tests/pypi.sh runs");
    let place = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    PathBuf::from(place.trim()).join("../lib")
}

/// Every graph below a directory, in order.
fn files(directory: &Path) -> Vec<PathBuf> {
    let (mut found, mut waiting) = (Vec::new(), vec![directory.to_owned()]);
    while let Some(place) = waiting.pop() {
        for entry in std::fs::read_dir(&place).expect("a directory").flatten() {
            let path = entry.path();
            if path.is_dir() {
                waiting.push(path);
            } else if path.extension().is_some_and(|end| end == "json") && is_graph(&path) {
                found.push(path);
            }
        }
    }
    found.sort();
    found
}

/// Other packages bring JSON, too.
fn is_graph(path: &Path) -> bool {
    path.components().any(|part| part.as_os_str() == "topohub")
}

fn read(path: &Path) -> (Topology, Map) {
    let text = std::fs::read_to_string(path).expect("a readable file");
    let topology = load::node_link(&text).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let map =
        Map::new(&topology, paths::by_hops).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    (topology, map)
}

/// What the first packets of a scheme did.
#[derive(Default)]
struct First {
    hops: Vec<u32>,
    ghost_hops: Vec<u32>,
    undelivered: usize,
    header_bytes: u32,
    long: Vec<String>,
}

fn first_walks(files: &[PathBuf]) {
    let start = Instant::now();
    let mut random = Random::new(SEED);
    let mut schemes: Vec<First> = SCHEMES.iter().map(|_| First::default()).collect();
    let mut shortest = First::default();
    for path in files {
        let (topology, map) = read(path);
        let name = path.file_stem().unwrap_or_default().to_string_lossy();
        let destinations = if map.node_count() > 1000 { 6 } else { 16 };
        for _ in 0..destinations {
            let destination = random.below(map.node_count());
            let failed = busiest(&topology, &map, [destination], FAILURES);
            let plans = SCHEMES.map(|(_, scheme)| Plan::towards(&map, destination, scheme.priority()));
            for _ in 0..8 {
                let from = random.below(map.node_count());
                if from == destination || plans[0].distance[from] == FAR {
                    continue;
                }
                for (((_, scheme), plan), first) in SCHEMES.iter().zip(&plans).zip(&mut schemes) {
                    let sent = send(&map, plan, *scheme, &failed, from, 1)[0];
                    first.take(&sent, sent.hops, &name);
                    if first.hops.len() > shortest.hops.len() {
                        shortest.take(&sent, sent.shortest, &name);
                    }
                }
            }
        }
    }
    println!(
        "\nhops of the first packet   undelivered   p50   p90   p99 p99.9   max  graphs ≥ 64  ghost max  header"
    );
    let names = SCHEMES.iter().map(|(name, _)| *name);
    for (name, first) in names.chain(["shortest way left"]).zip(schemes.iter_mut().chain([&mut shortest])) {
        first.print(name);
    }
    println!("{} packets a row, {:.0} s", shortest.hops.len(), start.elapsed().as_secs_f64());
    for (name, first) in [("bounded", &schemes[2]), ("shortest way left", &shortest)] {
        println!("64 hops or more, {name}: {}", first.long.join(" "));
    }
}

impl First {
    fn take(&mut self, sent: &Sent, hops: u32, name: &str) {
        self.hops.push(hops);
        self.ghost_hops.push(sent.ghost_hops);
        self.undelivered += usize::from(!sent.delivered);
        self.header_bytes = self.header_bytes.max(sent.header_bytes);
        if hops >= 64 && self.long.last().is_none_or(|last| last != name) {
            self.long.push(name.to_owned());
        }
    }

    fn print(&mut self, name: &str) {
        self.hops.sort_unstable();
        let [p50, p90, p99, p999, max] =
            [0.5, 0.9, 0.99, 0.999, 1.0].map(|share| quantile(&self.hops, share).unwrap_or(0));
        let ghost = self.ghost_hops.iter().max().copied().unwrap_or(0);
        println!(
            "{name:26} {:11} {p50:5} {p90:5} {p99:5} {p999:5} {max:5} {:13} {ghost:10} {:7}",
            self.undelivered,
            self.long.len(),
            self.header_bytes
        );
    }
}

/// The stretch of the first 30 packets of a pair, over 50 destinations and 33 pairs each.
fn by_packet(directory: &Path, systems: &[&str]) -> Vec<Series> {
    const PACKETS: u32 = 30;
    let all = files(directory);
    let mut found = Vec::new();
    println!("\nstretch by packet (AS {}), 33 pairs × {PACKETS} packets × 50 trials", systems.join(", "));
    for (name, scheme) in SCHEMES {
        let mut stretch: Vec<Vec<f64>> = vec![Vec::new(); PACKETS as usize];
        let mut undelivered = 0;
        for system in systems {
            let Some(path) = all.iter().find(|path| path.file_stem().is_some_and(|stem| stem == *system))
            else {
                continue;
            };
            let (topology, map) = read(path);
            let mut random = Random::new(SEED);
            for trial in 0..50 {
                let destination = random.below(map.node_count());
                // One to ten failures, and no more than 15 % of the links.
                let most = (1 + trial % FAILURES).min(map.link_count() * 15 / 100);
                let failed = busiest(&topology, &map, [destination], most);
                let plan = Plan::towards(&map, destination, scheme.priority());
                for _ in 0..33 {
                    let from = random.below(map.node_count());
                    if from == destination {
                        continue;
                    }
                    let sent = send(&map, &plan, scheme, &failed, from, PACKETS);
                    undelivered += sent.iter().filter(|sent| !sent.delivered).count();
                    for (by_packet, sent) in stretch.iter_mut().zip(&sent) {
                        by_packet.push(sent.stretch());
                    }
                }
            }
        }
        for by_packet in &mut stretch {
            by_packet.sort_by(f64::total_cmp);
        }
        let row = |share| stretch.iter().map(move |sorted| quantile(sorted, share).unwrap_or(0.0));
        for (label, share) in [("median", 0.5), ("p99", 0.99), ("max", 1.0)] {
            let values: Vec<String> = row(share).take(12).map(|value| format!("{value:5.2}")).collect();
            println!("{name:14} {label:6} {} …", values.join(" "));
        }
        println!("{name:14} undelivered {undelivered}");
        let points = (1_u32..).zip(row(0.99)).map(|(x, y)| Point { x: x.into(), y, half_width: 0.0 });
        found.push(Series { name: name.to_owned(), points: points.collect() });
    }
    found
}
