//! What a longest-prefix match costs: `cargo bench -p lookup --bench lpm [-- ipv4|ipv6 COUNT alone]`. Prints the tables of
//! the README. To take a million routes, `rte_lpm` needs a minute of a quiet machine; `alone` leaves it out.
//!
//! Lookups are CPU nanoseconds of this thread, the least of several passes that take turns with the other structures'. The
//! others are DPDK's `rte_lpm`, on the same routes and addresses and with the same answers, and, built once and never
//! changed, DIR-24-8 and poptrie.

use std::hint::black_box;
use std::net::Ipv4Addr;
use std::time::Instant;

use lookup::lpm::sample::{self, Random};
use lookup::lpm::{Address, Lpm, Prefix};
use rustix::time::{ClockId, clock_gettime};

#[path = "lpm_peers/mod.rs"]
mod peers;

use peers::rte_lpm::{self, RteLpm};
use peers::static_tables::{Dir24, Poptrie};

const COUNTS: [usize; 2] = [100_000, 1_000_000];
/// Addresses of a pass: more than branch predictors remember the way to.
const ADDRESSES: usize = 1 << 17;
/// Addresses of a hot set.
const HOT: usize = 256;
/// Packets of a batch.
const BATCH: usize = 32;
/// Passes.
const ROUNDS: usize = 15;
/// Changes that are timed one by one.
const UPDATES: usize = 100_000;
/// Changes that `rte_lpm`, which takes long, is timed by.
const PEER_UPDATES: usize = 1_000;

type Routes<A> = [(Prefix<A>, u32)];

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let wanted = |family: &str| {
        !arguments.iter().any(|argument| argument.starts_with("ipv")) || arguments.iter().any(|a| a == family)
    };
    let counts = match arguments.iter().find_map(|argument| argument.parse().ok()) {
        Some(count) => vec![count],
        None => COUNTS.to_vec(),
    };
    println!("| ns a lookup | {} |", DRAWS.map(Draw::name).join(" | "));
    println!("|---|{}", "---|".repeat(DRAWS.len()));
    let mut updates = Vec::new();
    for &count in &counts {
        if wanted("ipv4") {
            updates.extend(ipv4(&sample::ipv4(count, 1), arguments.iter().any(|a| a == "alone")));
        }
    }
    for &count in &counts {
        if wanted("ipv6") {
            updates.push(ipv6(&sample::ipv6(count, 1)));
        }
    }
    println!(
        "\n| a change, ns | take out: median, 99.9 %, most | put in: median, 99.9 %, most |\n|---|---|---|"
    );
    updates.iter().for_each(|row| println!("{row}"));
    if wanted("ipv4") {
        println!();
        wide_changes(&sample::ipv4(1_000_000, 1));
    }
}

/// How addresses are drawn.
#[derive(Clone, Copy)]
enum Draw {
    /// Inside a route that is drawn evenly.
    Routed,
    /// Inside a route drawn by Zipf's law: the second is half as frequent as the first, the third a third.
    Skewed,
    /// Any bits at all.
    Uniform,
    /// A few of the first kind, over and over.
    Hot,
}

const DRAWS: [Draw; 4] = [Draw::Routed, Draw::Skewed, Draw::Uniform, Draw::Hot];

impl Draw {
    const fn name(self) -> &'static str {
        match self {
            Self::Routed => "in any route",
            Self::Skewed => "in routes by Zipf's law",
            Self::Uniform => "any bits",
            Self::Hot => "256 in turn",
        }
    }

    fn addresses<A: Address>(self, routes: &Routes<A>) -> Vec<A> {
        let mut random = Random(2);
        let even = |random: &mut Random| random.below(routes.len() as u64) as usize;
        // The inverse of the distribution, which is nearly logarithmic. Routes are in no order.
        let zipf = |random: &mut Random| {
            let unit = random.next_u64() as f64 / u64::MAX as f64;
            ((routes.len() as f64).powf(unit) as usize).min(routes.len()) - 1
        };
        let inside = |at: usize, random: &mut Random| sample::address_in(routes[at].0, random);
        let hot: Vec<A> = (0..HOT).map(|_| inside(even(&mut random), &mut random)).collect();
        let draw = |random: &mut Random| match self {
            Self::Routed => inside(even(random), random),
            Self::Skewed => inside(zipf(random), random),
            Self::Uniform => sample::address_in(Prefix::ALL, random),
            Self::Hot => hot[random.below(HOT as u64) as usize],
        };
        (0..ADDRESSES).map(|_| draw(&mut random)).collect()
    }
}

/// Ours and the others; a row of the table of changes for those that have them.
fn ipv4(routes: &Routes<Ipv4Addr>, alone: bool) -> Vec<String> {
    let (mut table, memory) = table(routes);
    let (dir, poptrie) = (Dir24::new(routes), Poptrie::new(routes));
    let mut rows: Vec<Row> =
        ["one by one", "batches of 32", "rte_lpm, one by one", "rte_lpm, bulk of 32", "rte_lpm, x4"]
            .into_iter()
            .chain(["DIR-24-8 that never changes, one by one", "poptrie that never changes, one by one"])
            .map(Row::new)
            .collect();
    let addresses = DRAWS.map(|draw| draw.addresses(routes));
    let mut peer = (!alone).then(|| RteLpm::start(routes, &addresses.concat(), BATCH));
    for (column, addresses) in addresses.iter().enumerate() {
        let same = column * ADDRESSES..(column + 1) * ADDRESSES;
        if let Some(peer) = &mut peer {
            let ours = addresses.iter().map(|&address| table.lookup(address));
            assert_eq!(rte_lpm::hash(ours), peer.results(same.clone()), "the answers differ");
        }
        for _ in 0..ROUNDS {
            rows[0].least(column, single(addresses, |address| table.lookup(address)));
            rows[1].least(column, batch(&table, addresses));
            let theirs = peer.iter_mut().flat_map(|peer| peer.lookups(same.clone()));
            rows[2..].iter_mut().zip(theirs).for_each(|(row, ns)| row.least(column, ns));
            rows[5].least(column, single(addresses, |address| dir.lookup(address)));
            rows[6].least(column, single(addresses, |address| poptrie.lookup(address)));
        }
    }
    rows.iter().for_each(|row| row.print(&format!("IPv4, {}: ", routes.len())));
    println!("{memory}");
    let mut updates = vec![format!("| IPv4, {} {}", routes.len(), changes(&mut table, routes))];
    updates.extend(peer.map(|mut peer| {
        let [out, back] = peer.updates(PEER_UPDATES);
        format!("| rte_lpm, {} | {out:.0} on average | {back:.0} on average |", routes.len())
    }));
    updates
}

fn ipv6(routes: &Routes<std::net::Ipv6Addr>) -> String {
    let (mut table, memory) = table(routes);
    let mut rows = ["one by one", "batches of 32"].map(Row::new);
    for (column, draw) in DRAWS.into_iter().enumerate() {
        let addresses = draw.addresses(routes);
        for _ in 0..ROUNDS {
            rows[0].least(column, single(&addresses, |address| table.lookup(address)));
            rows[1].least(column, batch(&table, &addresses));
        }
    }
    rows.iter().for_each(|row| row.print(&format!("IPv6, {}: ", routes.len())));
    println!("{memory}");
    format!("| IPv6, {} {}", routes.len(), changes(&mut table, routes))
}

/// Nanoseconds of one way to look up, by how addresses are drawn.
struct Row {
    name: &'static str,
    ns: [f64; DRAWS.len()],
}

impl Row {
    const fn new(name: &'static str) -> Self {
        Self { name, ns: [f64::MAX; DRAWS.len()] }
    }

    fn least(&mut self, column: usize, ns: f64) {
        self.ns[column] = self.ns[column].min(ns);
    }

    fn print(&self, what: &str) {
        if self.ns[0] == f64::MAX {
            return; // left out
        }
        println!("| {what}{} | {} |", self.name, self.ns.map(|ns| format!("{ns:.1}")).join(" | "));
    }
}

/// The table, and what it takes, in words.
fn table<A: Address>(routes: &Routes<A>) -> (Lpm<A, u32>, String) {
    let before = resident();
    let mut table = Lpm::new();
    for &(prefix, value) in routes {
        table.insert(prefix, value).expect("below the limit");
    }
    let (walked, all) = (table.lookup_bytes() as f64 / 1e6, (resident() - before) as f64 / 1e6);
    let start = cpu_ns();
    black_box(table.clone());
    let clone_ms = (cpu_ns() - start) / 1e6;
    let memory = format!(
        "| its memory | lookups read {walked:.1} MB; in all {all:.1} MB; a clone: {clone_ms:.0} ms |"
    );
    (table, memory)
}

/// One after the other.
fn single<A: Address>(addresses: &[A], lookup: impl Fn(A) -> Option<u32>) -> f64 {
    let start = cpu_ns();
    for &address in addresses {
        black_box(lookup(black_box(address)));
    }
    (cpu_ns() - start) / addresses.len() as f64
}

/// 32 at a time.
fn batch<A: Address>(table: &Lpm<A, u32>, addresses: &[A]) -> f64 {
    let mut answers = [None; BATCH];
    let start = cpu_ns();
    for addresses in addresses.chunks(BATCH) {
        table.lookup_batch(black_box(addresses), &mut answers);
        black_box(&answers);
    }
    (cpu_ns() - start) / addresses.len() as f64
}

/// Routes taken out and put back, as routers hear it all day; each change timed alone, by the wall clock.
fn changes<A: Address>(table: &mut Lpm<A, u32>, routes: &Routes<A>) -> String {
    let mut random = Random(3);
    let (mut out, mut back) = (Vec::new(), Vec::new());
    for _ in 0..UPDATES {
        let (prefix, value) = routes[random.below(routes.len() as u64) as usize];
        let start = Instant::now();
        table.remove(prefix);
        out.push(start.elapsed().as_nanos());
        let start = Instant::now();
        table.insert(prefix, value).expect("room");
        back.push(start.elapsed().as_nanos());
    }
    format!("| {} | {} |", spread(out), spread(back))
}

fn spread(mut times: Vec<u128>) -> String {
    times.sort_unstable();
    let at = |share: f64| times[((times.len() - 1) as f64 * share) as usize];
    format!("{}, {}, {}", at(0.5), at(0.999), at(1.0))
}

/// Changes that have the most places to write.
fn wide_changes(routes: &Routes<Ipv4Addr>) {
    let mut table = table(routes).0;
    for (len, what) in [(1, "2^15 places of the small array"), (17, "128 places of the large one")] {
        let prefix = Prefix::containing(Ipv4Addr::new(100, 64, 0, 0), len).expect("a length");
        let before = table.get(prefix);
        let (mut best, value) = (f64::MAX, 1_000);
        for _ in 0..ROUNDS {
            let start = cpu_ns();
            table.insert(prefix, value).expect("room");
            best = best.min(cpu_ns() - start);
            table.remove(prefix);
        }
        before.map(|value| table.insert(prefix, value));
        println!("A prefix of {len} bits, {what}: {:.1} µs to put in.", best / 1e3);
    }
}

/// Bytes this process holds in memory (proc(5), `statm`).
fn resident() -> usize {
    let text = std::fs::read_to_string("/proc/self/statm").expect("Linux");
    text.split(' ').nth(1).and_then(|pages| pages.parse::<usize>().ok()).expect("pages") * 4096
}

/// Nanoseconds that this thread has used.
fn cpu_ns() -> f64 {
    let now = clock_gettime(ClockId::ThreadCPUTime);
    now.tv_sec as f64 * 1e9 + now.tv_nsec as f64
}
