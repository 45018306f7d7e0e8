//! Many runs on several threads.

use std::num::NonZeroUsize;
use std::sync::Mutex;
use std::sync::PoisonError;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Runs every job and gives the results in the order of the jobs, however many threads there are: none for as many as the
/// machine has cores. `done` hears how many are done after each.
///
/// Each job must draw what is random from a seed of its own; then the results do not depend on the threads either.
///
/// ```
/// let squares = sim::sweep(&[1, 2, 3, 4], None, |n| n * n, |_| {});
/// assert_eq!(squares, [1, 4, 9, 16]);
/// ```
pub fn sweep<J: Sync, R: Send>(
    jobs: &[J],
    threads: Option<NonZeroUsize>,
    run: impl Fn(&J) -> R + Sync,
    done: impl Fn(usize) + Sync,
) -> Vec<R> {
    let cores = || std::thread::available_parallelism().unwrap_or(NonZeroUsize::MIN);
    let threads = threads.unwrap_or_else(cores).get().min(jobs.len());
    let (next, finished) = (AtomicUsize::new(0), AtomicUsize::new(0));
    let results: Vec<Mutex<Option<R>>> = jobs.iter().map(|_| Mutex::new(None)).collect();
    let work = || {
        loop {
            let at = next.fetch_add(1, Ordering::Relaxed);
            let (Some(job), Some(place)) = (jobs.get(at), results.get(at)) else { break };
            let result = run(job);
            *place.lock().unwrap_or_else(PoisonError::into_inner) = Some(result);
            done(finished.fetch_add(1, Ordering::Relaxed) + 1);
        }
    };
    std::thread::scope(|scope| {
        for _ in 1..threads {
            scope.spawn(work);
        }
        work();
    });
    // The scope is over: every job has its result, or its panic has been passed on.
    results
        .into_iter()
        .filter_map(|result| result.into_inner().unwrap_or_else(PoisonError::into_inner))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn results_do_not_depend_on_threads() {
        let jobs: Vec<u64> = (0..100).collect();
        let run = |seed: &u64| crate::Random::new(*seed, 0).bits();
        let alone = sweep(&jobs, NonZeroUsize::new(1), run, |_| {});
        assert_eq!(alone.len(), 100);
        for threads in [2, 3, 200] {
            assert_eq!(sweep(&jobs, NonZeroUsize::new(threads), run, |_| {}), alone);
        }
        assert!(sweep(&[], None, run, |_| {}).is_empty());
    }
}
