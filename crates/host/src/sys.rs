//! System calls neither std nor rustix has. With the counters of `cycles` the only unsafe code of this crate; every
//! caller is safe.
#![allow(unsafe_code)]

use std::convert::Infallible;
use std::ffi::{CStr, CString, c_char, c_void};
use std::io;
use std::mem::{size_of, zeroed};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};
use std::path::Path;

use rustix::process::Pid;

use crate::process::OneThread;

/// Which side of a fork this is.
#[derive(Debug)]
pub(crate) enum Fork {
    /// The new process.
    Child,
    /// The old one.
    Parent(Pid),
}

/// fork(2) into new namespaces (`CLONE_NEW…`), from a process with any number of threads. The child may hold a copy of
/// a lock that another thread had: until it has executed a program it may only make system calls, and not allocate.
pub(crate) fn fork_threads(flags: i32) -> io::Result<Fork> {
    clone3(flags, None)
}

/// fork(2) into new namespaces (`CLONE_NEW…`), optionally into a version 2 cgroup.
pub(crate) fn fork_into(_: OneThread, flags: i32, cgroup: Option<BorrowedFd<'_>>) -> io::Result<Fork> {
    clone3(flags, cgroup)
}

fn clone3(flags: i32, cgroup: Option<BorrowedFd<'_>>) -> io::Result<Fork> {
    // SAFETY: all-zero is a valid clone_args: no pointers, no extra flags.
    let mut arguments: libc::clone_args = unsafe { zeroed() };
    arguments.flags = flags as u64;
    arguments.exit_signal = libc::SIGCHLD as u64;
    if let Some(cgroup) = cgroup {
        arguments.flags |= CLONE_INTO_CGROUP;
        arguments.cgroup = cgroup.as_raw_fd() as u64;
    }
    // SAFETY: without CLONE_VM this is fork(2): the child has its own copy of the memory and the same stack. Locks held
    // by threads that the child lacks stay taken, which the callers see to; it breaks no memory.
    let pid = unsafe { libc::syscall(libc::SYS_clone3, &raw const arguments, size_of::<libc::clone_args>()) };
    match pid {
        0 => Ok(Fork::Child),
        pid => Pid::from_raw(pid as i32)
            .filter(|_| pid > 0)
            .map(Fork::Parent)
            .ok_or_else(io::Error::last_os_error),
    }
}

/// `CLONE_INTO_CGROUP` of linux/sched.h.
const CLONE_INTO_CGROUP: u64 = 0x2_0000_0000;

/// fork(2).
pub(crate) fn fork(_: OneThread) -> io::Result<Fork> {
    // SAFETY: there is one thread, so the child starts with consistent memory and no lock taken.
    let pid = unsafe { libc::fork() };
    match pid {
        0 => Ok(Fork::Child),
        pid => Pid::from_raw(pid).filter(|_| pid > 0).map(Fork::Parent).ok_or_else(io::Error::last_os_error),
    }
}

/// Leaves the process at once, running no destructors and no exit handlers: what a forked child must do.
pub(crate) fn exit_now(code: i32) -> ! {
    // SAFETY: _exit(2) has no preconditions.
    unsafe { libc::_exit(code) }
}

/// Moves the calling process (or thread, for the network) into new namespaces.
pub(crate) fn unshare(flags: i32) -> io::Result<()> {
    // SAFETY: only namespace flags are passed by this crate, never CLONE_FILES, so no descriptor changes its meaning.
    check(unsafe { libc::unshare(flags) })
}

/// setns(2) with a namespace file or a process handle.
pub(crate) fn setns(file: impl AsFd, flags: i32) -> io::Result<()> {
    // SAFETY: the descriptor is open for the duration of the call.
    check(unsafe { libc::setns(file.as_fd().as_raw_fd(), flags) })
}

/// Makes a mount and all below it read-only, keeping its other flags (mount_setattr(2), Linux 5.12).
pub(crate) fn mount_read_only(target: &CStr) -> io::Result<()> {
    // SAFETY: all-zero is a valid mount_attr that changes nothing.
    let mut attributes: libc::mount_attr = unsafe { zeroed() };
    attributes.attr_set = libc::MOUNT_ATTR_RDONLY;
    // SAFETY: path and attributes live through the call and the size is that of the structure.
    check(unsafe {
        libc::syscall(
            libc::SYS_mount_setattr,
            libc::AT_FDCWD,
            target.as_ptr(),
            libc::AT_RECURSIVE,
            &raw const attributes,
            size_of::<libc::mount_attr>(),
        )
    } as i32)
}

/// Replaces the program. Returns only if it could not.
pub(crate) fn execve(
    program: &CStr,
    arguments: &[CString],
    environment: &[CString],
) -> io::Result<Infallible> {
    let pointers = |strings: &[CString]| -> Vec<*const c_char> {
        strings.iter().map(|string| string.as_ptr()).chain([std::ptr::null()]).collect()
    };
    let (arguments, environment) = (pointers(arguments), pointers(environment));
    // SAFETY: both arrays end in a null pointer and point to strings that outlive the call.
    unsafe { libc::execve(program.as_ptr(), arguments.as_ptr(), environment.as_ptr()) };
    Err(io::Error::last_os_error())
}

/// A program's arguments, laid out as execve(2) wants them, so that executing it allocates nothing. The environment is
/// empty.
#[derive(Debug)]
pub(crate) struct Start {
    words: Vec<CString>,
    pointers: Vec<*const c_char>,
}

impl Start {
    /// Of a program by its path and its arguments; without any words it cannot be executed.
    pub(crate) fn new(words: Vec<CString>) -> Self {
        let pointers = words.iter().map(|word| word.as_ptr()).chain([std::ptr::null()]).collect();
        Self { words, pointers }
    }

    /// Replaces the program. Returns only if it could not.
    pub(crate) fn exec(&self) -> io::Result<Infallible> {
        let program = self.words.first().map_or(c"", CString::as_c_str);
        // SAFETY: the array ends in a null pointer, and its strings live as long as `self`, where they are not moved:
        // a CString's bytes are on the heap. A null environment is Linux's empty one (execve(2)).
        unsafe { libc::execve(program.as_ptr(), self.pointers.as_ptr(), std::ptr::null()) };
        Err(io::Error::last_os_error())
    }
}

/// Closes a descriptor that no owner in this process will use. Only for a process just forked.
pub(crate) fn close(descriptor: RawFd) {
    close_range(descriptor, descriptor);
}

/// Takes over descriptors that the program was started with; fails without taking any if one of them is not open. The
/// caller sees to it that nobody else owns them.
pub(crate) fn take_descriptors<const N: usize>(numbers: [RawFd; N]) -> io::Result<[OwnedFd; N]> {
    for number in numbers {
        // SAFETY: asking for a descriptor's flags touches no memory.
        check(unsafe { libc::fcntl(number, libc::F_GETFD) })?;
    }
    // SAFETY: open, and by this function's contract owned by nobody.
    Ok(numbers.map(|number| unsafe { OwnedFd::from_raw_fd(number) }))
}

/// Makes `to` another name of `from`, which an exec keeps. Only for a process just forked.
pub(crate) fn duplicate_to(from: RawFd, to: RawFd) -> rustix::io::Result<()> {
    // SAFETY: descriptors are only numbers to memory; owners in this process are never dropped after a fork.
    match unsafe { libc::dup2(from, to) } {
        0.. => Ok(()),
        _ => Err(last_errno()),
    }
}

/// Has an exec close every descriptor from `first` on (close_range(2), Linux 5.11).
pub(crate) fn close_on_exec_from(first: RawFd) -> rustix::io::Result<()> {
    // SAFETY: setting a flag of descriptors touches no memory.
    match unsafe { libc::syscall(libc::SYS_close_range, first, RawFd::MAX, libc::CLOSE_RANGE_CLOEXEC) } {
        0 => Ok(()),
        _ => Err(last_errno()),
    }
}

fn last_errno() -> rustix::io::Errno {
    rustix::io::Errno::from_io_error(&io::Error::last_os_error()).unwrap_or(rustix::io::Errno::IO)
}

/// Blocks every signal and returns a descriptor they are read from.
pub(crate) fn signals_to_descriptor() -> io::Result<OwnedFd> {
    // SAFETY: the set is initialised by sigfillset before use; the returned descriptor is new and ours.
    unsafe {
        let mut set: libc::sigset_t = zeroed();
        libc::sigfillset(&raw mut set);
        check(libc::sigprocmask(libc::SIG_SETMASK, &raw const set, std::ptr::null_mut()))?;
        owned(libc::signalfd(-1, &raw const set, libc::SFD_CLOEXEC | libc::SFD_NONBLOCK))
    }
}

/// The next signal number waiting in a descriptor of [`signals_to_descriptor`].
pub(crate) fn next_signal(descriptor: &OwnedFd) -> Option<i32> {
    let mut buffer = [0_u8; size_of::<libc::signalfd_siginfo>()];
    let read = rustix::io::read(descriptor, &mut buffer).ok()?;
    // ssi_signo is the first field of struct signalfd_siginfo.
    (read == buffer.len()).then(|| i32::from_ne_bytes([buffer[0], buffer[1], buffer[2], buffer[3]]))
}

/// Gives every signal its default meaning and blocks none: what a program expects when it starts.
pub(crate) fn default_signals() {
    // SAFETY: SIG_DFL is a valid disposition for every signal; those that cannot be changed return an error that
    // does no harm. The set is initialised by sigemptyset before use.
    unsafe {
        for signal in 1..=libc::SIGRTMAX() {
            libc::signal(signal, libc::SIG_DFL);
        }
        let mut set: libc::sigset_t = zeroed();
        libc::sigemptyset(&raw mut set);
        libc::sigprocmask(libc::SIG_SETMASK, &raw const set, std::ptr::null_mut());
    }
}

/// Ignores a signal.
pub(crate) fn ignore_signal(signal: i32) {
    // SAFETY: SIG_IGN is a valid disposition and no handler runs.
    unsafe {
        libc::signal(signal, libc::SIG_IGN);
    }
}

/// kill(2) with the special targets rustix has no name for: `-1` is everything but the caller.
pub(crate) fn kill_raw(pid: i32, signal: i32) -> io::Result<()> {
    // SAFETY: kill(2) touches no memory of the caller.
    check(unsafe { libc::kill(pid, signal) })
}

/// Closes every descriptor but these (close_range(2), Linux 5.9). Only for a process just forked or just started,
/// which will not use what it inherited.
pub(crate) fn close_all_but(kept: &mut [RawFd]) {
    kept.sort_unstable();
    let mut first = 0;
    for &mut descriptor in kept {
        close_range(first, descriptor - 1);
        first = descriptor + 1;
    }
    close_range(first, RawFd::MAX);
}

fn close_range(first: RawFd, last: RawFd) {
    if first <= last {
        // SAFETY: closing descriptors is safe for memory; owners in this process are never dropped after a fork.
        unsafe {
            libc::syscall(libc::SYS_close_range, first, last, 0);
        }
    }
}

/// Name and flags of a TAP device: `struct ifreq` of linux/if.h with the flags of linux/if_tun.h.
#[repr(C)]
struct InterfaceRequest {
    name: [u8; libc::IFNAMSIZ],
    flags: i16,
    padding: [u8; 22],
}

/// Attaches a descriptor of /dev/net/tun to an interface, making it if it does not exist (`TUNSETIFF`).
pub(crate) fn tun_set_interface(tun: &OwnedFd, name: &str, flags: i32) -> io::Result<()> {
    let mut request = InterfaceRequest { name: [0; libc::IFNAMSIZ], flags: flags as i16, padding: [0; 22] };
    let bytes = name.as_bytes();
    if bytes.len() >= libc::IFNAMSIZ {
        return Err(io::Error::from_raw_os_error(libc::ENAMETOOLONG));
    }
    request.name[..bytes.len()].copy_from_slice(bytes);
    // SAFETY: TUNSETIFF reads and writes one struct ifreq, which has this layout and size (40 bytes).
    check(unsafe { libc::ioctl(tun.as_raw_fd(), libc::TUNSETIFF as _, &raw mut request) })
}

/// Keeps the interface when the last descriptor is closed (`TUNSETPERSIST`).
pub(crate) fn tun_set_persistent(tun: &OwnedFd) -> io::Result<()> {
    // SAFETY: the argument is a plain integer.
    check(unsafe { libc::ioctl(tun.as_raw_fd(), libc::TUNSETPERSIST as _, 1_u64) })
}

pub(crate) fn c_path(path: &Path) -> io::Result<CString> {
    use std::os::unix::ffi::OsStrExt;
    CString::new(path.as_os_str().as_bytes()).map_err(|_| io::Error::from_raw_os_error(libc::EINVAL))
}

fn check(result: i32) -> io::Result<()> {
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

/// # Safety
/// `descriptor` is negative or newly opened and owned by nobody.
unsafe fn owned(descriptor: RawFd) -> io::Result<OwnedFd> {
    check(descriptor)?;
    // SAFETY: not negative, and by this function's contract ours alone.
    Ok(unsafe { OwnedFd::from_raw_fd(descriptor) })
}

/// Size of `struct ifreq` on 64-bit Linux.
const _: () = assert!(size_of::<InterfaceRequest>() == 40);
const _: () = assert!(size_of::<*const c_void>() == 8);
