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

/// Where namespaces with names are, as `ip netns` has them.
pub const NAMED: &str = "/run/netns";

/// Makes a network namespace that has a name, as `ip netns add` does: it lives until [`remove_named`]. Its loopback is up; on
/// its interfaces IPv6 is off unless `ipv6` says otherwise.
///
/// # Errors
/// The name is taken or holds a slash, or the caller may not make or mount namespaces.
pub fn create_named(name: &str, ipv6: bool) -> Result<()> {
    let path = named(name)?;
    std::fs::create_dir_all(NAMED).during("make", NAMED)?;
    File::create_new(&path).during("make", path.display())?;
    let made = std::thread::scope(|scope| {
        let thread = scope.spawn(|| {
            if ipv6 {
                sys::unshare(libc::CLONE_NEWNET).during("make", "a network namespace")?;
                let mut netlink = crate::link::Netlink::open()?;
                let loopback = netlink.index("lo")?;
                netlink.set_up(loopback, true)?;
            } else {
                unshare_here()?;
            }
            rustix::mount::mount_bind("/proc/thread-self/ns/net", &path).during("mount", path.display())
        });
        thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    });
    if made.is_err() {
        // Nothing is mounted on it.
        let _ = std::fs::remove_file(&path);
    }
    made
}

/// Takes the name of a network namespace away, and with it the namespace once no process is in it.
///
/// # Errors
/// There is none, or the caller may not.
pub fn remove_named(name: &str) -> Result<()> {
    let path = named(name)?;
    rustix::mount::unmount(&path, rustix::mount::UnmountFlags::DETACH).during("unmount", path.display())?;
    std::fs::remove_file(&path).during("remove", path.display())
}

/// Where the namespace of a name is.
///
/// # Errors
/// It is no file name.
pub fn named(name: &str) -> Result<std::path::PathBuf> {
    if name.is_empty() || name.starts_with('.') || name.contains('/') {
        return Err(Error::Message(format!("`{name}` is no name of a network namespace")));
    }
    Ok(Path::new(NAMED).join(name))
}

/// Moves the calling thread into a network namespace. Threads that it starts are there too.
///
/// # Errors
/// The namespace may not be entered.
pub fn enter_here(netns: impl AsFd) -> Result<()> {
    sys::setns(netns, libc::CLONE_NEWNET).during("enter", "the network namespace")
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
