//! Doing something inside the network namespace of another process.

use std::fs::File;
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;

use crate::error::{During, Error, Result};
use crate::process::ProcessId;
use crate::sys;

/// Opens the network namespace of a process. While the handle is open the namespace lives on.
///
/// # Errors
/// The process has ended, or the caller may not look at it.
pub fn of(process: ProcessId) -> Result<OwnedFd> {
    let netns = open(&process.namespace("net"))?;
    // Looked at after opening: if the process lives now, the path was its.
    if process.is_alive() { Ok(netns) } else { Err(Error::NotRunning(format!("process {}", process.pid))) }
}

/// Opens a network namespace by path.
///
/// # Errors
/// The path does not exist or may not be read.
pub fn open(path: &Path) -> Result<OwnedFd> {
    File::open(path).map(OwnedFd::from).during("open network namespace", path.display())
}

/// Runs `work` in a thread of its own inside the network namespace and returns what it returned.
/// Sockets opened there stay there. The calling thread does not move.
///
/// # Errors
/// The namespace may not be entered.
///
/// # Panics
/// When `work` does.
pub fn within<T: Send>(netns: impl AsFd, work: impl FnOnce() -> T + Send) -> Result<T> {
    let netns = netns.as_fd();
    std::thread::scope(|scope| {
        let thread = scope.spawn(move || {
            sys::setns(netns, libc::CLONE_NEWNET).during("enter", "the network namespace").map(|()| work())
        });
        thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    })
}

/// Moves the calling thread into a new, empty network namespace with loopback up, where IPv6 stays
/// silent: the place for the dataplane's ends of veth pairs.
///
/// # Errors
/// The caller may not make network namespaces.
pub fn unshare_here() -> Result<()> {
    sys::unshare(libc::CLONE_NEWNET).during("make", "a network namespace")?;
    let mut netlink = crate::link::Netlink::open()?;
    let loopback = netlink.index("lo")?;
    netlink.set_up(loopback, true)?;
    // No neighbour discovery or listener reports from interfaces that only carry other hosts' frames. A kernel
    // without IPv6 has no such file and needs none.
    let _ = std::fs::write("/proc/sys/net/ipv6/conf/default/disable_ipv6", "1");
    Ok(())
}
