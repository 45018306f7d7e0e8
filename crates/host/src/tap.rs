//! TAP devices: made inside a container, read by another process.
//!
//! The device is persistent, so it lives as long as the container's network namespace, whoever reads it.
//! A dataplane that was restarted attaches again and carries on.

use std::fs::File;
use std::os::fd::{AsFd, OwnedFd};

use rustix::fs::OFlags;

use crate::error::{During, Error, Result};
use crate::process::ProcessId;
use crate::{netns, sys};

/// Length of the virtio_net header before each frame (`struct virtio_net_hdr`, linux/virtio_net.h).
pub const HEADER_BYTES: usize = 10;
/// Most queues of one device (`MAX_TAP_QUEUES`, linux/if_tun.h).
pub const QUEUES_MAX: usize = 256;

const DEVICE: &str = "/dev/net/tun";

/// Flags of a device with this many queues. One that may have several takes 25 MB of the kernel's memory at a queue
/// length of 4096: it has all 256 transmit queues from the start (`tun_set_iff`, drivers/net/tun.c).
fn flags(queues: usize) -> i32 {
    let base = libc::IFF_TAP | libc::IFF_NO_PI | libc::IFF_VNET_HDR;
    if queues > 1 { base | libc::IFF_MULTI_QUEUE } else { base }
}

// linux/if_tun.h; the libc crate has no names for them.
const TUN_F_CSUM: u32 = 0x01;
const TUN_F_TSO4: u32 = 0x02;
const TUN_F_TSO6: u32 = 0x04;
const TUN_F_TSO_ECN: u32 = 0x08;
const TUN_F_USO4: u32 = 0x20;
const TUN_F_USO6: u32 = 0x40;

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
    sys::tun_set_persistent(&tun).during("keep TAP device", name)?;
    sys::tun_set_header_len(&tun, HEADER_BYTES as i32).during("set the header length of TAP device", name)
}

/// Attaches to a persistent TAP device in the network namespace of `process`: one descriptor per
/// queue, non-blocking, every frame prefixed by a [`HEADER_BYTES`] long virtio_net header.
///
/// # Errors
/// The process has ended, there is no such device, it was made for another number of queues (one, or several), or
/// someone else is attached to all of them.
pub fn attach(process: ProcessId, name: &str, queues: usize) -> Result<Vec<OwnedFd>> {
    attach_in(netns::of(process)?, name, queues)
}

/// As [`attach`], by an open network namespace.
///
/// # Errors
/// As [`attach`].
pub fn attach_in(netns: impl AsFd, name: &str, queues: usize) -> Result<Vec<OwnedFd>> {
    if !(1..=QUEUES_MAX).contains(&queues) {
        return Err(Error::invalid("number of queues", queues, "is outside 1 to 256"));
    }
    netns::within(netns, || {
        // TUNSETIFF would quietly make a new device.
        crate::link::Netlink::open()?.index(name)?;
        (0..queues).map(|_| attach_queue(name, flags(queues))).collect()
    })?
}

fn attach_queue(name: &str, flags: i32) -> Result<OwnedFd> {
    let tun = open()?;
    sys::tun_set_interface(&tun, name, flags).during("attach to TAP device", name)?;
    sys::tun_set_header_len(&tun, HEADER_BYTES as i32).during("set the header length of TAP device", name)?;
    let tcp = TUN_F_CSUM | TUN_F_TSO4 | TUN_F_TSO6 | TUN_F_TSO_ECN;
    // UDP segmentation needs Linux 6.2.
    sys::tun_set_offload(&tun, tcp | TUN_F_USO4 | TUN_F_USO6)
        .or_else(|_| sys::tun_set_offload(&tun, tcp))
        .during("switch on the offloads of TAP device", name)?;
    rustix::fs::fcntl_setfl(&tun, OFlags::NONBLOCK).during("configure TAP device", name)?;
    Ok(tun)
}

fn open() -> Result<OwnedFd> {
    File::options().read(true).write(true).open(DEVICE).map(OwnedFd::from).during("open", DEVICE)
}
