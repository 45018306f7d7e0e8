//! Which system calls a confined program may make (seccomp(2)). Any other ends the process.
//!
//! | stage | from | on top of the stage below it allows |
//! |---|---|---|
//! | serving | [`tighten`] | sleeping, its descriptors, private memory that is not executable, the time, its end |
//! | loading | before exec | the dynamic loader's and the runtime's start: one exec, files of its (empty) root, signals' set-up |
//!
//! Neither has a call that makes a socket, a process, a thread or a signal for another, nor ptrace(2).
//! A program that never tightens stays in the first stage, which is therefore already a boundary.

use std::collections::BTreeMap;
use std::fmt::Display;

use seccompiler::{
    BpfProgram, SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition, SeccompFilter, SeccompRule,
};

use crate::error::{Error, Result};

/// Calls with any arguments in both stages.
const SERVING: &[i64] = &[
    libc::SYS_brk,
    libc::SYS_clock_gettime,
    libc::SYS_clock_nanosleep,
    libc::SYS_close,
    libc::SYS_exit,
    libc::SYS_exit_group,
    libc::SYS_futex,
    libc::SYS_getpid,
    libc::SYS_getrandom,
    libc::SYS_gettid,
    libc::SYS_madvise,
    libc::SYS_mremap,
    libc::SYS_munmap,
    libc::SYS_nanosleep,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_poll,
    libc::SYS_ppoll,
    libc::SYS_restart_syscall,
    libc::SYS_rt_sigprocmask,
    libc::SYS_rt_sigreturn,
    libc::SYS_sched_yield,
    libc::SYS_sigaltstack,
];

/// Calls on a descriptor: any in the first stage, the ones passed in the second.
const ON_DESCRIPTORS: &[i64] = &[
    libc::SYS_read,
    libc::SYS_readv,
    libc::SYS_recvfrom,
    libc::SYS_sendto,
    libc::SYS_write,
    libc::SYS_writev,
];

/// What else the loader and the runtime need to start.
const LOADING: &[i64] = &[
    #[cfg(target_arch = "x86_64")]
    libc::SYS_access,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_arch_prctl,
    libc::SYS_execve,
    libc::SYS_faccessat,
    libc::SYS_fcntl,
    libc::SYS_fstat,
    libc::SYS_mmap,
    libc::SYS_mprotect,
    libc::SYS_newfstatat,
    libc::SYS_openat,
    libc::SYS_pread64,
    libc::SYS_prlimit64,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_readlink,
    libc::SYS_readlinkat,
    libc::SYS_rseq,
    libc::SYS_rt_sigaction,
    libc::SYS_sched_getaffinity,
    libc::SYS_set_robust_list,
    libc::SYS_set_tid_address,
];

type Rules = BTreeMap<i64, Vec<SeccompRule>>;

/// The filter that is in force from before the exec on.
pub(super) fn loading() -> Result<BpfProgram> {
    let mut rules: Rules =
        SERVING.iter().chain(ON_DESCRIPTORS).chain(LOADING).map(|&call| (call, Vec::new())).collect();
    // What `tighten` does.
    rules.insert(libc::SYS_prctl, vec![rule([equal(0, libc::PR_SET_NO_NEW_PRIVS as u64)?])?]);
    rules.insert(libc::SYS_seccomp, vec![rule([equal(0, libc::SECCOMP_SET_MODE_FILTER.into())?])?]);
    compile(rules)
}

/// The filter of a program that serves packets over its first `descriptors` descriptors, standard ones included.
fn serving(descriptors: u64) -> Result<BpfProgram> {
    let mut rules: Rules = SERVING.iter().map(|&call| (call, Vec::new())).collect();
    let ours = || condition(0, SeccompCmpArgLen::Dword, SeccompCmpOp::Lt, descriptors);
    for &call in ON_DESCRIPTORS {
        rules.insert(call, vec![rule([ours()?])?]);
    }
    let not_executable = || masked(2, libc::PROT_EXEC as u64, 0);
    let anonymous = masked(3, libc::MAP_ANONYMOUS as u64, libc::MAP_ANONYMOUS as u64)?;
    rules.insert(libc::SYS_mmap, vec![rule([not_executable()?, anonymous])?]);
    rules.insert(libc::SYS_mprotect, vec![rule([not_executable()?])?]);
    compile(rules)
}

/// Allows the calling process, which must have one thread, from now on only what serving packets over shared memory
/// takes, on its standard descriptors and the `passed` ones behind them. To be called before the first packet is
/// touched; it cannot be undone.
///
/// # Errors
/// The kernel has no seccomp filters.
pub fn tighten(passed: usize) -> Result<()> {
    seccompiler::apply_filter(&serving(super::FIRST_PASSED as u64 + passed as u64)?).map_err(failed)
}

fn compile(rules: Rules) -> Result<BpfProgram> {
    let architecture = std::env::consts::ARCH.try_into().map_err(failed)?;
    SeccompFilter::new(rules, SeccompAction::KillProcess, SeccompAction::Allow, architecture)
        .and_then(TryInto::try_into)
        .map_err(failed)
}

fn rule<const N: usize>(conditions: [SeccompCondition; N]) -> Result<SeccompRule> {
    SeccompRule::new(conditions.into()).map_err(failed)
}

fn condition(
    argument: u8,
    len: SeccompCmpArgLen,
    operator: SeccompCmpOp,
    value: u64,
) -> Result<SeccompCondition> {
    SeccompCondition::new(argument, len, operator, value).map_err(failed)
}

fn equal(argument: u8, value: u64) -> Result<SeccompCondition> {
    condition(argument, SeccompCmpArgLen::Dword, SeccompCmpOp::Eq, value)
}

fn masked(argument: u8, mask: u64, value: u64) -> Result<SeccompCondition> {
    condition(argument, SeccompCmpArgLen::Dword, SeccompCmpOp::MaskedEq(mask), value)
}

fn failed(error: impl Display) -> Error {
    Error::Seccomp(error.to_string())
}
