//! The processor's own clock: what a turn of a task, or any stretch of code, has cost.
//!
//! | where | what [`now`] reads | what [`per_second`] says |
//! |---|---|---|
//! | `x86_64` | the time-stamp counter (`RDTSC`), at the processor's nominal frequency on whatever core | measured once, see there |
//! | `aarch64` | the virtual counter `CNTVCT_EL0`, slower than the core | `CNTFRQ_EL0` |
//! | elsewhere | nanoseconds of `CLOCK_MONOTONIC` | 1,000,000,000 |
//!
//! Neither reading is a barrier: the processor may read the counter a few instructions early or late. A counter
//! does not stand still while a thread waits for a core: what is measured is time, in a fine unit.
//!
//! ```
//! let before = host::cycles::now();
//! let sum: u64 = (0..1000).sum();
//! let cost = host::cycles::now() - before;
//! assert!(sum == 499_500 && cost < host::cycles::per_second());
//! ```

use std::sync::OnceLock;
use std::time::{Duration, Instant};

/// How long [`per_second`] measures, where it has to.
const MEASURE: Duration = Duration::from_millis(10);
/// Readings of both clocks of which the closest pair is taken.
const PAIRS: usize = 16;

/// The counter's value.
#[cfg(target_arch = "x86_64")]
#[inline]
#[must_use]
#[allow(unsafe_code)]
pub fn now() -> u64 {
    // SAFETY: RDTSC is an instruction of every x86_64 processor and touches no memory; Linux lets user space run it unless
    // a process has asked not to (`PR_SET_TSC`), which ends that process with a signal.
    unsafe { std::arch::x86_64::_rdtsc() }
}

/// The counter's value.
#[cfg(target_arch = "aarch64")]
#[inline]
#[must_use]
#[allow(unsafe_code)]
pub fn now() -> u64 {
    let value: u64;
    // SAFETY: reads a register that Linux opens to user space; it touches neither memory nor the stack.
    unsafe { std::arch::asm!("mrs {}, cntvct_el0", out(reg) value, options(nomem, nostack)) };
    value
}

/// The counter's value.
#[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
#[inline]
#[must_use]
pub fn now() -> u64 {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::Monotonic);
    time.tv_sec as u64 * 1_000_000_000 + time.tv_nsec as u64
}

/// How far the counter goes in a second.
///
/// On `x86_64` no register says so everywhere, so the first call measures it for 10 ms against the system's clock,
/// to about one part in 10⁵; later calls return the same.
#[must_use]
pub fn per_second() -> u64 {
    static PER_SECOND: OnceLock<u64> = OnceLock::new();
    *PER_SECOND.get_or_init(frequency)
}

#[cfg(target_arch = "aarch64")]
#[allow(unsafe_code)]
fn frequency() -> u64 {
    let value: u64;
    // SAFETY: as for the counter itself.
    unsafe { std::arch::asm!("mrs {}, cntfrq_el0", out(reg) value, options(nomem, nostack)) };
    value
}

#[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
fn frequency() -> u64 {
    1_000_000_000
}

#[cfg(target_arch = "x86_64")]
fn frequency() -> u64 {
    measure(MEASURE)
}

/// Counts for a while, by both clocks.
#[cfg_attr(not(target_arch = "x86_64"), allow(dead_code))]
fn measure(span: Duration) -> u64 {
    let (begin, first) = pair();
    while begin.elapsed() < span {
        std::hint::spin_loop();
    }
    let (end, last) = pair();
    let elapsed_ns = (end - begin).as_nanos().max(1);
    (u128::from(last - first) * 1_000_000_000 / elapsed_ns) as u64
}

/// The same moment on both clocks. The counter is read before and after the clock, and the readings that lie closest
/// are taken, so that losing the core in between does no harm.
fn pair() -> (Instant, u64) {
    let read = |_| {
        let before = now();
        let time = Instant::now();
        let after = now();
        (after - before, time, before + (after - before) / 2)
    };
    let (_, time, count) = (0..PAIRS).map(read).min_by_key(|&(gap, ..)| gap).expect("several readings");
    (time, count)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_counter_runs_as_fast_as_it_says() {
        let long = measure(Duration::from_millis(100));
        let said = per_second();
        let apart = (said as f64 / long as f64 - 1.0).abs();
        assert!(apart < 1e-3, "{said} a second, and {long} when measured for longer");
        assert!(said >= 1_000_000, "{said}: no counter is that slow");
    }

    #[test]
    fn the_counter_does_not_go_back() {
        let mut last = now();
        for _ in 0..100_000 {
            let next = now();
            assert!(next >= last, "{last}, then {next}");
            last = next;
        }
    }
}
