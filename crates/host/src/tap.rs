//! TAP devices: made inside a container, read by another process.
//!
//! The device is persistent, so it lives as long as the container's network namespace, whoever reads it
//! (`ports::tap::attach_queue`). A dataplane that was restarted attaches again and carries on.

use std::fs::File;
use std::os::fd::OwnedFd;

use crate::error::{During, Result};
use crate::sys;

const DEVICE: &str = "/dev/net/tun";

/// Flags of a device with this many queues. One that may have several takes 25 MB of the kernel's memory at a queue
/// length of 4096: it has all 256 transmit queues from the start (`tun_set_iff`, drivers/net/tun.c).
fn flags(queues: usize) -> i32 {
    let base = libc::IFF_TAP | libc::IFF_NO_PI | libc::IFF_VNET_HDR;
    if queues > 1 { base | libc::IFF_MULTI_QUEUE } else { base }
}

/// Whether this process may open /dev/net/tun. Where not, containers get a veth.
#[must_use]
pub fn available() -> bool {
    open().is_ok()
}

/// Makes a persistent TAP device for this many queues in the network namespace of the calling thread.
///
/// # Errors
/// /dev/net/tun may not be opened, or the name is taken.
pub fn create(name: &str, queues: usize) -> Result<()> {
    crate::spec::check_interface(name)?;
    let tun = open()?;
    sys::tun_set_interface(&tun, name, flags(queues)).during("make TAP device", name)?;
    sys::tun_set_persistent(&tun).during("keep TAP device", name)
}

fn open() -> Result<OwnedFd> {
    File::options().read(true).write(true).open(DEVICE).map(OwnedFd::from).during("open", DEVICE)
}
