//! Placement beside its peers, on random policies: `cargo bench -p e2 --bench placement`.
//!
//! Prints one table. Costs are traffic between servers over the optimum's, on average over the policies; above 20 functions, where
//! the optimum takes too long to prove, over ours, and the plan's own lower bound says how far that may be from it. Times are of a
//! processor, for search and bound together. Seeds are the numbers from `E2_SEED` (1) on, `E2_POLICIES` (100) for each size.

use std::hint::black_box;

use e2::compile::{Offload, merge::merge, problem, size::size, split::split};
use e2::place::{Problem, Servers, baseline, exact, place};
use e2::sample;
use rustix::time::{ClockId, clock_gettime};

/// Steps after which an optimum is given up; none of the table needs so many.
const STEPS: u64 = 400_000_000;
/// Up to here the optimum is proven.
const PROVEN_MAX: usize = 20;

fn problem_of(functions: usize, seed: u64) -> Problem {
    let policy = sample::policy(functions, seed);
    let graph = merge(&policy).expect("told apart");
    let sizes = size(&policy, &graph).expect("carried");
    problem(&policy, &split(&policy, &graph, &sizes), &Offload::default()).0
}

fn number(variable: &str, otherwise: u64) -> u64 {
    std::env::var(variable).ok().map_or(otherwise, |text| text.parse().expect("a number"))
}

/// What this thread has had of a processor, in nanoseconds: others that run beside it do not count.
fn processor_ns() -> u128 {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    time.tv_sec as u128 * 1_000_000_000 + time.tv_nsec as u128
}

#[derive(Default)]
struct Sums {
    /// Random, packing, paper, ours, bound; each over the optimum (or over ours).
    over: [f64; 5],
    worst: [f64; 5],
    compared: u32,
    optimal: u32,
    proven: u32,
    unproven: u32,
    nanos: u128,
    nanos_worst: u128,
    paper_nanos: u128,
}

fn main() {
    let (policies, first) = (number("E2_POLICIES", 100), number("E2_SEED", 1));
    println!("{policies} random policies for each n, seeds {first} to {}", first + policies - 1);
    println!(
        "mean (worst) cut over the optimum's for n up to {PROVEN_MAX}, over ours above; bound: over the same\n"
    );
    println!(
        "{:>4} {:>14} {:>14} {:>15} {:>19} {:>8} {:>9} {:>9} {:>10} {:>10} {:>10}",
        "n", "random", "packing", "paper", "ours", "optimal", "bound", "proven", "mean", "slowest", "paper"
    );
    let mut all = (0.0, 0.0f64, 0u32);
    for functions in [10, 12, 14, 16, 18, 20, 30, 40, 60, 80, 100] {
        let mut sums = Sums::default();
        for seed in first..first + policies {
            one(functions, seed, &mut sums);
        }
        let mean = |at: usize| sums.over[at] / f64::from(sums.compared.max(1));
        let cell = |at: usize, digits: usize| format!("{:.digits$} ({:.digits$})", mean(at), sums.worst[at]);
        let micros = |nanos: u128| format!("{:.0} µs", nanos as f64 / 1000.0);
        let count = u128::from(policies);
        println!(
            "{functions:>4} {:>14} {:>14} {:>15} {:>19} {:>8} {:>9.3} {:>9} {:>10} {:>10} {:>10}",
            cell(0, 2),
            cell(1, 2),
            cell(2, 3),
            cell(3, 5),
            if functions <= PROVEN_MAX { format!("{}/{policies}", sums.optimal) } else { "-".into() },
            mean(4),
            format!("{}/{policies}", sums.proven),
            micros(sums.nanos / count),
            micros(sums.nanos_worst),
            micros(sums.paper_nanos / count),
        );
        assert_eq!(sums.unproven, 0, "optima that took more than {STEPS} steps");
        if functions <= PROVEN_MAX {
            all = (
                all.0 + sums.over[3] - f64::from(sums.compared),
                all.1.max(sums.worst[3] - 1.0),
                all.2 + sums.compared,
            );
        }
    }
    let percent = |part: f64| part * 100.0;
    println!(
        "\nn up to {PROVEN_MAX}: {} policies with a certified optimum above 0; gap of ours: mean {:.5} %, largest {:.3} %",
        all.2,
        percent(all.0 / f64::from(all.2)),
        percent(all.1)
    );
}

fn one(functions: usize, seed: u64, sums: &mut Sums) {
    let problem = problem_of(functions, seed);
    let start = processor_ns();
    let ours = place(black_box(&problem)).expect("there are cores");
    let nanos = processor_ns() - start;
    let start = processor_ns();
    let paper = baseline::paper(black_box(&problem));
    sums.paper_nanos += processor_ns() - start;
    sums.nanos += nanos;
    sums.nanos_worst = sums.nanos_worst.max(nanos);
    sums.proven += u32::from(ours.is_optimal());
    assert!(problem.holds(&ours.servers) && problem.cut(&ours.servers) == ours.cut && ours.bound <= ours.cut);
    let reference = if functions <= PROVEN_MAX {
        let found = Servers { servers: ours.servers.clone(), cut: ours.cut };
        let exact = exact::improve(&problem, &found, STEPS);
        sums.unproven += u32::from(!exact.finished);
        assert!(ours.bound <= exact.bound, "seed {seed}: the bound {} is above the optimum", ours.bound);
        exact.bound
    } else {
        ours.cut
    };
    sums.optimal += u32::from(ours.cut == reference);
    if reference == 0 {
        assert_eq!(ours.cut, 0, "seed {seed}: n {functions}");
        return; // nothing to divide by
    }
    let cuts = [
        problem.cut(&baseline::random(&problem, seed)),
        problem.cut(&baseline::packing(&problem)),
        problem.cut(&paper),
        ours.cut,
        ours.bound,
    ];
    for (at, cut) in cuts.into_iter().enumerate() {
        let over = cut as f64 / reference as f64;
        sums.over[at] += over;
        sums.worst[at] = sums.worst[at].max(over);
    }
    sums.compared += 1;
}
