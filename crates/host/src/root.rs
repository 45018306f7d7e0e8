//! A container's root: an overlay over the host's file system, so that no image is needed, or over an image's.
//!
//! ```text
//!  /            overlay: see `lower`
//!  /dev         tmpfs with the harmless devices; /dev/pts and /dev/shm of its own
//!  /proc /sys   of its own process and network namespaces; what reaches the machine is covered
//!  /run /tmp    empty tmpfs; of an image, its own
//! ```

use std::fs;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use rustix::fs::{Mode, OFlags};
use rustix::mount::{MountFlags, MountPropagationFlags, UnmountFlags};

use crate::error::{During, Error, Result};
use crate::layout::Container;
use crate::oci::Outside;
use crate::spec::ContainerSpec;
use crate::{devices, mounts, sys};

/// Parts of /proc that reach the whole machine: shown read-only.
pub(crate) const READ_ONLY: [&str; 5] =
    ["/proc/sys", "/proc/sysrq-trigger", "/proc/irq", "/proc/bus", "/proc/fs"];
/// And those that are covered.
pub(crate) const COVERED: [&str; 5] =
    ["/proc/kcore", "/proc/keys", "/proc/timer_list", "/proc/latency_stats", "/proc/sched_debug"];

/// Builds a root in the calling process's mount namespace and moves into it.
pub(crate) struct Builder<'a> {
    pub(crate) spec: &'a ContainerSpec,
    pub(crate) container: Container,
    pub(crate) target: PathBuf,
    /// Whether the overlay's marks go into `user.` attributes: the only ones a user namespace may write.
    pub(crate) rootless: bool,
    /// Whether upper directories lie in memory, because the state directory cannot hold them.
    pub(crate) volatile: bool,
    /// Whether there is a place for parts of the host's tree.
    pub(crate) has_bases: bool,
    pub(crate) warnings: Vec<String>,
}

impl<'a> Builder<'a> {
    pub(crate) fn new(spec: &'a ContainerSpec, container: &Container, rootless: bool) -> Self {
        let target = container.root();
        Self {
            spec,
            container: container.clone(),
            target,
            rootless,
            volatile: false,
            has_bases: false,
            warnings: Vec::new(),
        }
    }

    /// Does it all. Returns what had to be done differently than asked for, and what an OCI runtime needs if there is one.
    pub(crate) fn build(mut self) -> Result<(Vec<String>, Option<Outside>)> {
        let private = MountPropagationFlags::PRIVATE | MountPropagationFlags::REC;
        rustix::mount::mount_change("/", private).during("make private", "the mounts")?;
        make_dir(&self.target)?;
        self.lower_root()?;
        for directory in ["dev", "proc", "sys"] {
            self.mount_point(directory)?;
        }
        devices::mount_dev(&self.target.join("dev"))?;
        self.mount_proc()?;
        self.mount_sys();
        self.scratch("run", 0o755, "mode=755,size=64m")?;
        self.scratch("tmp", 0o1777, "mode=1777,size=256m")?;
        // Taken hold of while the host's paths still mean something, put in place when only the container's do.
        let binds = self.open_binds()?;
        let before = self.spec.runtime.as_ref().map(|_| leave_mounts()).transpose()?;
        pivot(&self.target)?;
        let hidden = self.hide()?;
        self.write_files()?;
        for (tree, mount) in binds {
            mounts::attach(&tree, &mount.target, mount.writable)?;
        }
        self.cover_proc();
        rustix::process::chdir("/").during("change to", "/")?;
        let rootless = self.rootless;
        Ok((self.warnings, before.map(|mounts| Outside { mounts, hidden, rootless })))
    }

    /// Makes a directory of the root that something is mounted on. In an image it may be a link to anywhere.
    fn mount_point(&self, name: &str) -> Result<()> {
        let path = self.target.join(name);
        make_dir(&path)?;
        let meta = fs::symlink_metadata(&path).during("look at", path.display())?;
        if meta.is_dir() {
            return Ok(());
        }
        Err(Error::invalid("root", format!("/{name}"), "must be a directory in the image"))
    }

    fn mount_proc(&mut self) -> Result<()> {
        let target = self.target.join("proc");
        let flags = MountFlags::NOSUID | MountFlags::NODEV | MountFlags::NOEXEC;
        match rustix::mount::mount("proc", &target, "proc", flags, None) {
            Ok(()) => Ok(()),
            // A /proc with covered parts may not be mounted afresh (mount_too_revealing() in fs/namespace.c).
            Err(rustix::io::Errno::PERM) => {
                self.warnings.push("/proc is the host's: a new one may not be mounted here".into());
                rustix::mount::mount_bind_recursive("/proc", &target)
                    .during("bind /proc at", target.display())
            }
            Err(error) => Err(error).during("mount /proc at", target.display()),
        }
    }

    fn mount_sys(&mut self) {
        let target = self.target.join("sys");
        let flags = MountFlags::NOSUID | MountFlags::NODEV | MountFlags::NOEXEC | MountFlags::RDONLY;
        if let Err(error) = rustix::mount::mount("sysfs", &target, "sysfs", flags, None)
            .during("mount /sys at", target.display())
        {
            self.show_read_only(Path::new("/sys"), &target, &error);
        }
    }

    pub(crate) fn show_read_only(&mut self, path: &Path, target: &Path, reason: &Error) {
        let shown = rustix::mount::mount_bind_recursive(path, target)
            .map_err(io::Error::from)
            .and_then(|()| sys::mount_read_only(&sys::c_path(target)?));
        self.warnings.push(match shown {
            Ok(()) => format!("{reason}; {} is read-only", path.display()),
            Err(error) => format!("{} is missing: {error}", path.display()),
        });
    }

    /// Parts of /proc that reach the whole machine are covered or made read-only. Without the capability to unmount
    /// the command cannot undo it. In a user namespace the kernel guards them itself.
    fn cover_proc(&self) {
        if self.rootless {
            return;
        }
        for path in READ_ONLY {
            let path = Path::new(path);
            if rustix::mount::mount_bind(path, path).is_ok() {
                let _ = sys::c_path(path).and_then(|path| sys::mount_read_only(&path));
            }
        }
        for path in COVERED {
            let _ = rustix::mount::mount_bind("/dev/null", path);
        }
    }

    fn open_binds(&self) -> Result<Vec<(mounts::Tree, &'a crate::spec::MountSpec)>> {
        let spec = self.spec;
        spec.mounts.iter().map(|mount| Ok((mounts::Tree::open(&mount.source)?, mount))).collect()
    }

    /// Covers the state of weft and what else shall not be seen. Says what is there to be covered.
    fn hide(&self) -> Result<Vec<PathBuf>> {
        let mut hidden = Vec::new();
        for path in self.spec.hide.iter().chain([&self.spec.state]) {
            if path.is_dir() {
                let flags = MountFlags::RDONLY | MountFlags::NOSUID | MountFlags::NODEV | MountFlags::NOEXEC;
                rustix::mount::mount("tmpfs", path, "tmpfs", flags, Some(c"size=4k,mode=555"))
                    .during("hide", path.display())?;
                hidden.push(path.clone());
            }
        }
        Ok(hidden)
    }

    fn write_files(&self) -> Result<()> {
        let hostname = format!("{}\n", self.spec.hostname);
        let named = [
            ("/etc/hostname", Some(hostname.as_str())),
            ("/etc/hosts", self.spec.hosts.as_deref()),
            ("/etc/resolv.conf", self.spec.resolv_conf.as_deref()),
        ];
        for (path, content) in named {
            if let Some(content) = content {
                write_file(Path::new(path), content.as_bytes(), 0o644)?;
            }
        }
        self.spec
            .files
            .iter()
            .try_for_each(|(path, file)| write_file(path, file.content.as_bytes(), file.mode & 0o7777))
    }
}

/// Goes on in a copy of the mounts; those that were stay as they are, for whoever has the descriptor.
fn leave_mounts() -> Result<OwnedFd> {
    let own = fs::File::open("/proc/self/ns/mnt").during("open", "the mount namespace")?;
    sys::unshare(libc::CLONE_NEWNS).during("copy", "the mounts")?;
    Ok(own.into())
}

/// Makes `target` the root and lets go of the old one (pivot_root(2), "pivot_root(".", ".")").
fn pivot(target: &Path) -> Result<()> {
    rustix::process::chdir(target).during("change to", target.display())?;
    rustix::process::pivot_root(".", ".").during("make the root", target.display())?;
    rustix::mount::unmount(".", UnmountFlags::DETACH).during("unmount", "the old root")?;
    rustix::process::chdir("/").during("change to", "/")
}

/// Puts a file into the container's root, in place of whatever had its name: /etc/resolv.conf is often a link.
fn write_file(path: &Path, bytes: &[u8], mode: u32) -> Result<()> {
    if let Some(parent) = path.parent() {
        fs::create_dir_all(parent).during("make", parent.display())?;
    }
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            return Err(error).during("replace", path.display());
        }
        _ => {}
    }
    let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let file = rustix::fs::open(path, flags, Mode::from_raw_mode(0o600)).during("make", path.display())?;
    let mut file = fs::File::from(file);
    io::Write::write_all(&mut file, bytes).during("write", path.display())?;
    file.set_permissions(fs::Permissions::from_mode(mode)).during("set the mode of", path.display())
}

pub(crate) fn make_dir(path: &Path) -> Result<()> {
    match fs::create_dir(path) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => {
            Err(error).during("make", path.display())
        }
        _ => Ok(()),
    }
}
