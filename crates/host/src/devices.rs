//! A container's /dev: the devices every program expects, and none that reaches hardware.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;

use rustix::fs::{CWD, FileType, Mode};
use rustix::mount::MountFlags;

use crate::error::{During, Result};
use crate::mounts;

/// Name, major and minor number (Documentation/admin-guide/devices.txt in the kernel's source).
const NODES: [(&str, u32, u32); 6] =
    [("null", 1, 3), ("zero", 1, 5), ("full", 1, 7), ("random", 1, 8), ("urandom", 1, 9), ("tty", 5, 0)];
const LINKS: [(&str, &str); 5] = [
    ("fd", "/proc/self/fd"),
    ("stdin", "/proc/self/fd/0"),
    ("stdout", "/proc/self/fd/1"),
    ("stderr", "/proc/self/fd/2"),
    ("ptmx", "pts/ptmx"),
];

/// Fills an empty directory with devices.
pub(crate) fn mount_dev(dev: &Path) -> Result<()> {
    rustix::mount::mount("tmpfs", dev, "tmpfs", MountFlags::NOSUID, Some(c"mode=755,size=64k"))
        .during("mount a tmpfs at", dev.display())?;
    for (name, major, minor) in NODES {
        node(&dev.join(name), Path::new("/dev").join(name).as_path(), major, minor)?;
    }
    for (name, points) in LINKS {
        symlink(points, dev.join(name)).during("make link", dev.join(name).display())?;
    }
    let shm = dev.join("shm");
    fs::create_dir(&shm).during("make", shm.display())?;
    mounts::tmpfs(&shm, "mode=1777,size=64m")?;
    mount_pts(&dev.join("pts"))
}

/// A node of its own where that is allowed, else the host's, bound.
fn node(path: &Path, host: &Path, major: u32, minor: u32) -> Result<()> {
    let device = rustix::fs::makedev(major, minor);
    let mode = Mode::from_raw_mode(0o666);
    if rustix::fs::mknodat(CWD, path, FileType::CharacterDevice, mode, device).is_ok() {
        // The mode above went through the umask.
        return fs::set_permissions(path, fs::Permissions::from_mode(0o666))
            .during("set the mode of", path.display());
    }
    fs::write(path, "").during("make", path.display())?;
    rustix::mount::mount_bind(host, path).during("bind at", path.display())
}

fn mount_pts(pts: &Path) -> Result<()> {
    fs::create_dir(pts).during("make", pts.display())?;
    let flags = MountFlags::NOSUID | MountFlags::NOEXEC;
    // Group 5 is `tty`; in a user namespace it is usually not mapped.
    rustix::mount::mount("devpts", pts, "devpts", flags, Some(c"newinstance,ptmxmode=0666,mode=0620,gid=5"))
        .or_else(|_| {
            rustix::mount::mount("devpts", pts, "devpts", flags, Some(c"newinstance,ptmxmode=0666,mode=0620"))
        })
        .or_else(|_| rustix::mount::mount_bind_recursive("/dev/pts", pts))
        .during("mount terminals at", pts.display())
}
