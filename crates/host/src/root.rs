//! A container's root: an overlay over the host's file system, so that no image is needed.
//!
//! ```text
//!  /            overlay: lower = host's /, upper = STATE/containers/NAME/layers/root/upper
//!  /dev         tmpfs with the harmless devices; /dev/pts and /dev/shm of its own
//!  /proc /sys   of its own process and network namespaces; what reaches the machine is covered
//!  /run /tmp    empty tmpfs
//! ```
//!
//! In a user namespace the kernel refuses an overlay of `/` when something is mounted below it that
//! must not be uncovered. Then the root is a tmpfs holding one overlay per top directory, and a
//! directory that cannot be overlaid either is shown read-only. There, too, files of the host's root
//! belong to nobody; see [`crate::skeleton`] for how `/etc` and `/var` stay writable.

use std::ffi::CString;
use std::fs;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};

use rustix::fs::{Mode, OFlags};
use rustix::mount::{MountFlags, MountPropagationFlags, UnmountFlags};

use crate::error::{During, Error, Result};
use crate::layout::{Container, Deployment};
use crate::spec::{ContainerSpec, RootSpec};
use crate::{devices, mounts, skeleton, sys};

/// Most host mounts below the root that are shown.
const SUBMOUNTS_MAX: usize = 64;
/// Most top directories of the host shown.
const TOP_ENTRIES_MAX: usize = 256;

/// Builds a root in the calling process's mount namespace and moves into it.
pub(crate) struct Builder<'a> {
    spec: &'a ContainerSpec,
    container: Container,
    target: PathBuf,
    /// Whether the overlay's marks go into `user.` attributes: the only ones a user namespace may write.
    rootless: bool,
    /// Whether upper directories lie in memory, because the state directory cannot hold them.
    volatile: bool,
    warnings: Vec<String>,
}

impl<'a> Builder<'a> {
    pub(crate) fn new(spec: &'a ContainerSpec, container: &Container, rootless: bool) -> Self {
        let target = container.root();
        Self { spec, container: container.clone(), target, rootless, volatile: false, warnings: Vec::new() }
    }

    /// Does it all. Returns what had to be done differently than asked for.
    pub(crate) fn build(mut self) -> Result<Vec<String>> {
        let private = MountPropagationFlags::PRIVATE | MountPropagationFlags::REC;
        rustix::mount::mount_change("/", private).during("make private", "the mounts")?;
        make_dir(&self.target)?;
        self.lower_root()?;
        for directory in ["dev", "proc", "sys", "run", "tmp"] {
            make_dir(&self.target.join(directory))?;
        }
        devices::mount_dev(&self.target.join("dev"))?;
        self.mount_proc()?;
        self.mount_sys();
        mounts::tmpfs(&self.target.join("run"), "mode=755,size=64m")?;
        mounts::tmpfs(&self.target.join("tmp"), "mode=1777,size=256m")?;
        // Taken hold of while the host's paths still mean something, put in place when only the container's do.
        let binds = self.open_binds()?;
        pivot(&self.target)?;
        self.hide()?;
        self.write_files()?;
        for (tree, mount) in binds {
            mounts::attach(&tree, &mount.target, mount.writable)?;
        }
        self.cover_proc();
        rustix::process::chdir("/").during("change to", "/")?;
        Ok(self.warnings)
    }

    fn lower_root(&mut self) -> Result<()> {
        let RootSpec::Overlay { lower } = &self.spec.root;
        let lower = lower.clone();
        let whole = if self.rootless && lower == Path::new("/") {
            None
        } else {
            match self.overlay(&lower, "root", &self.target.clone(), None) {
                Ok(()) => Some(()),
                Err(error) if lower == Path::new("/") => {
                    self.warnings.push(format!("{error}; overlaying each top directory instead"));
                    None
                }
                Err(error) => return Err(error),
            }
        };
        if whole.is_none() {
            self.top_directories()?;
        }
        if lower == Path::new("/") { self.submounts(whole.is_none()) } else { Ok(()) }
    }

    /// Mounts an overlay. The state directory may lie on a file system that cannot hold an upper directory (an
    /// overlay itself, say, when weft runs inside a container): then it is kept in memory.
    fn overlay(&mut self, lower: &Path, layer: &str, target: &Path, skeleton: Option<&Path>) -> Result<()> {
        let lowers: Vec<&Path> = skeleton.into_iter().chain([lower]).collect();
        let error = match self.overlay_once(&lowers, layer, target) {
            Err(error) if !self.volatile && error.errno() == Some(libc::EINVAL) => error,
            outcome => return outcome,
        };
        let layers = self.container.layers();
        mounts::tmpfs(&layers, "mode=700")?;
        self.volatile = true;
        match self.overlay_once(&lowers, layer, target) {
            Ok(()) => {
                self.warnings.push(
                    "the state directory cannot hold an overlay, so what is written inside stays in memory"
                        .into(),
                );
                Ok(())
            }
            Err(_) => {
                let _ = rustix::mount::unmount(&layers, UnmountFlags::DETACH);
                self.volatile = false;
                Err(error)
            }
        }
    }

    fn overlay_once(&self, lowers: &[&Path], layer: &str, target: &Path) -> Result<()> {
        let directory = self.container.layers().join(layer);
        let (upper, work) = (directory.join("upper"), directory.join("work"));
        fs::create_dir_all(&upper).during("make", upper.display())?;
        fs::create_dir_all(&work).during("make", work.display())?;
        let mut options = b"lowerdir=".to_vec();
        for (number, lower) in lowers.iter().enumerate() {
            if number > 0 {
                options.push(b':');
            }
            escape_into(&mut options, lower);
        }
        for (name, path) in [(&b",upperdir="[..], &upper), (b",workdir=", &work)] {
            options.extend_from_slice(name);
            escape_into(&mut options, path);
        }
        if self.rootless {
            options.extend_from_slice(b",userxattr");
        }
        let options = CString::new(options)
            .map_err(|_| Error::invalid("path", target.display(), "holds a zero byte"))?;
        // The root's owner and mode are those of the upper directory.
        copy_mode(lowers[lowers.len() - 1], &upper);
        rustix::mount::mount("overlay", target, "overlay", MountFlags::NODEV, options.as_c_str())
            .during("mount an overlay of", lowers[lowers.len() - 1].display())
    }

    /// A tmpfs with the top of the host's tree in it.
    fn top_directories(&mut self) -> Result<()> {
        mounts::tmpfs(&self.target, "mode=755,size=1m")?;
        let layer = Deployment::new(&self.spec.state).skeleton();
        let entries = fs::read_dir("/").during("list", "/")?;
        for entry in entries.flatten().take(TOP_ENTRIES_MAX) {
            let (path, target) = (entry.path(), self.target.join(entry.file_name()));
            let Ok(kind) = entry.file_type() else { continue };
            if kind.is_symlink() {
                let points = fs::read_link(&path).during("read link", path.display())?;
                symlink(points, &target).during("make link", target.display())?;
            } else if kind.is_dir() {
                make_dir(&target)?;
                if !is_virtual(&path) {
                    self.top_directory(&path, &target, &layer);
                }
            }
        }
        Ok(())
    }

    fn top_directory(&mut self, path: &Path, target: &Path, skeleton: &Path) {
        let name = path.file_name().unwrap_or_default();
        let layer = name.to_string_lossy().into_owned();
        let own = Some(skeleton.join(name)).filter(|own| own.is_dir());
        let readable =
            rustix::fs::access(path, rustix::fs::Access::READ_OK | rustix::fs::Access::EXEC_OK).is_ok();
        let (lower, own) = match own {
            // A directory this user may not read (/root) is empty inside instead of an error.
            Some(own) if !readable => (own, None),
            Some(_) if self.spec.state.starts_with(path) => {
                (path.to_path_buf(), self.skeleton_in_memory(path))
            }
            own if readable => (path.to_path_buf(), own),
            _ => return,
        };
        if let Err(error) = self.overlay(&lower, &layer, target, own.as_deref()) {
            self.show_read_only(path, target, &error);
        }
    }

    /// Overlay takes no layer that lies inside another. When the deployment's state is in the very directory to be
    /// overlaid, its part of the skeleton is made once more, elsewhere.
    fn skeleton_in_memory(&mut self, top: &Path) -> Option<PathBuf> {
        let place = self.target.join("run").join(top.file_name()?);
        let made = fs::create_dir_all(&place)
            .during("make", place.display())
            .and_then(|()| mounts::tmpfs(&place, "mode=755,size=32m"))
            .and_then(|()| skeleton::fill(top, &place));
        match made {
            Ok(()) => Some(place),
            Err(error) => {
                self.warnings.push(error.to_string());
                None
            }
        }
    }

    /// Other file systems mounted below `/` do not show through an overlay of it.
    fn submounts(&mut self, top_done: bool) -> Result<()> {
        let text = fs::read_to_string("/proc/self/mountinfo").during("read", "/proc/self/mountinfo")?;
        let mut seen = 0;
        for path in mounts::points(&text) {
            let is_top = path.parent() == Some(Path::new("/"));
            if path == Path::new("/")
                || is_virtual(&path)
                || path.starts_with(&self.spec.state)
                || (top_done && is_top)
            {
                continue;
            }
            let inside = self.target.join(path.strip_prefix("/").unwrap_or(&path));
            if !path.is_dir() || !inside.is_dir() {
                continue;
            }
            seen += 1;
            if seen > SUBMOUNTS_MAX {
                self.warnings.push(format!(
                    "more than {SUBMOUNTS_MAX} mounts below /; {} and later ones are not shown",
                    path.display()
                ));
                break;
            }
            // A directory shown read-only with everything below already has it.
            let there =
                |path: &Path| fs::metadata(path).map(|meta| (meta_device(&meta), meta_inode(&meta))).ok();
            if there(&path) == there(&inside) {
                continue;
            }
            let layer = format!("{}", path.display()).replace('/', "\\");
            if let Err(error) = self.overlay(&path, &layer, &inside, None) {
                self.show_read_only(&path, &inside, &error);
            }
        }
        Ok(())
    }

    fn show_read_only(&mut self, path: &Path, target: &Path, reason: &Error) {
        let shown = rustix::mount::mount_bind_recursive(path, target)
            .map_err(io::Error::from)
            .and_then(|()| sys::mount_read_only(&sys::c_path(target)?));
        self.warnings.push(match shown {
            Ok(()) => format!("{reason}; {} is read-only", path.display()),
            Err(error) => format!("{} is missing: {error}", path.display()),
        });
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

    /// Parts of /proc that reach the whole machine are covered or made read-only. Without the capability to unmount
    /// the command cannot undo it. In a user namespace the kernel guards them itself.
    fn cover_proc(&self) {
        if self.rootless {
            return;
        }
        for path in ["/proc/sys", "/proc/sysrq-trigger", "/proc/irq", "/proc/bus", "/proc/fs"] {
            let path = Path::new(path);
            if rustix::mount::mount_bind(path, path).is_ok() {
                let _ = sys::c_path(path).and_then(|path| sys::mount_read_only(&path));
            }
        }
        for path in
            ["/proc/kcore", "/proc/keys", "/proc/timer_list", "/proc/latency_stats", "/proc/sched_debug"]
        {
            let _ = rustix::mount::mount_bind("/dev/null", path);
        }
    }

    fn open_binds(&self) -> Result<Vec<(mounts::Tree, &'a crate::spec::MountSpec)>> {
        let spec = self.spec;
        spec.mounts.iter().map(|mount| Ok((mounts::Tree::open(&mount.source)?, mount))).collect()
    }

    /// Covers the state of weft and what else shall not be seen.
    fn hide(&self) -> Result<()> {
        for path in self.spec.hide.iter().chain([&self.spec.state]) {
            if path.is_dir() {
                let flags = MountFlags::RDONLY | MountFlags::NOSUID | MountFlags::NODEV | MountFlags::NOEXEC;
                rustix::mount::mount("tmpfs", path, "tmpfs", flags, Some(c"size=4k,mode=555"))
                    .during("hide", path.display())?;
            }
        }
        Ok(())
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

fn make_dir(path: &Path) -> Result<()> {
    match fs::create_dir(path) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => {
            Err(error).during("make", path.display())
        }
        _ => Ok(()),
    }
}

fn copy_mode(from: &Path, to: &Path) {
    if let Ok(meta) = fs::metadata(from) {
        let _ = fs::set_permissions(to, meta.permissions());
    }
}

/// Directories that are made anew and never shown.
fn is_virtual(path: &Path) -> bool {
    ["/proc", "/sys", "/dev", "/run", "/tmp", "/lost+found"].iter().any(|top| path.starts_with(top))
}

/// Commas, colons and backslashes separate overlay's options and layers.
fn escape_into(options: &mut Vec<u8>, path: &Path) {
    for &byte in path.as_os_str().as_bytes() {
        if b",:\\".contains(&byte) {
            options.push(b'\\');
        }
        options.push(byte);
    }
}

fn meta_device(meta: &fs::Metadata) -> u64 {
    std::os::unix::fs::MetadataExt::dev(meta)
}

fn meta_inode(meta: &fs::Metadata) -> u64 {
    std::os::unix::fs::MetadataExt::ino(meta)
}
