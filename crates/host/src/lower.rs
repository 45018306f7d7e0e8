//! What a container's root is made of: the host's file system or an image's layers, below a layer of its own.
//!
//! ```text
//!  image        overlay: lower = its layers, upper = STATE/containers/NAME/layers/\/upper
//!  host         overlay: lower = host's /, upper = the same
//!  host, image  overlay: lower = the image's layers over a read-only overlay of host's /, upper = the same
//! ```
//!
//! In a user namespace the kernel refuses an overlay of `/` when something is mounted below it that
//! must not be uncovered. Then the root is a tmpfs holding one overlay per top directory, and a
//! directory that cannot be overlaid either is shown read-only. There, too, files of the host's root
//! belong to nobody; see [`crate::skeleton`] for how `/etc` and `/var` stay writable.

use std::collections::BTreeSet;
use std::ffi::{CString, OsString};
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};

use rustix::mount::{MountFlags, UnmountFlags};

use crate::error::{During, Result};
use crate::layout::{Deployment, PLACE_SEPARATOR};
use crate::root::{Builder, make_dir};
use crate::spec::RootSpec;
use crate::{mounts, skeleton, sys};

/// Most host mounts below the root that are shown.
const SUBMOUNTS_MAX: usize = 64;
/// Most top directories of the host shown.
const TOP_ENTRIES_MAX: usize = 256;
/// Most bytes of options of a mount: a page, less the terminating zero (mount(2)).
const OPTION_BYTES_MAX: usize = 4095;
/// The layer of the root itself: its place is `/`.
const WHOLE: &str = "\\";

/// What the layers of an image have at one place.
#[derive(Debug, Default)]
struct Over {
    /// Directories, the topmost first.
    dirs: Vec<PathBuf>,
    /// A file or link that stands there instead.
    other: Option<PathBuf>,
    /// Whether what lies below the layers is not to be seen.
    hidden: bool,
}

impl Builder<'_> {
    /// Puts the root together at its target.
    pub(crate) fn lower_root(&mut self) -> Result<()> {
        let RootSpec::Overlay { lower, layers, .. } = &self.spec.root;
        if !self.spec.root.is_host() {
            let lowers: Vec<&Path> = layers.iter().chain([lower]).map(PathBuf::as_path).collect();
            return self.overlay(&lowers, WHOLE, &self.target.clone());
        }
        let whole = !self.rootless && self.whole_host();
        if !whole {
            self.top_directories()?;
        }
        self.submounts(!whole)
    }

    /// One overlay of everything, if the kernel lets us.
    fn whole_host(&mut self) -> bool {
        let RootSpec::Overlay { layers, .. } = &self.spec.root;
        match self.over_host(layers, &[Path::new("/")], WHOLE, &self.target.clone()) {
            Ok(()) => true,
            Err(error) => {
                self.warnings.push(format!("{error}; overlaying each top directory instead"));
                false
            }
        }
    }

    /// An overlay of the image's layers over directories of the host.
    fn over_host(&mut self, layers: &[PathBuf], host: &[&Path], layer: &str, target: &Path) -> Result<()> {
        if layers.is_empty() {
            return self.overlay(host, layer, target);
        }
        let base = self.base(host, layer)?;
        let lowers: Vec<&Path> = layers.iter().chain([&base]).map(PathBuf::as_path).collect();
        self.overlay(&lowers, layer, target)
    }

    /// A read-only overlay of directories of the host. An overlay takes no layer that lies inside another, and the
    /// image's lie somewhere in the host's: but not in this mount of it.
    fn base(&mut self, lowers: &[&Path], layer: &str) -> Result<PathBuf> {
        // Two layers at least are wanted where none is to be written to.
        let empty = self.empty(layer, 0o755)?;
        let place = self.bases()?.join(format!("{layer}.base"));
        fs::create_dir_all(&place).during("make", place.display())?;
        let lowers: Vec<&Path> = lowers.iter().copied().chain([empty.as_path()]).collect();
        mount_overlay(&self.options(&lowers, None), &place, MountFlags::NODEV | MountFlags::RDONLY)
            .during("mount an overlay of", lowers[0].display())?;
        Ok(place)
    }

    /// An empty directory.
    fn empty(&mut self, layer: &str, mode: u32) -> Result<PathBuf> {
        let path = self.bases()?.join(format!("{layer}.empty"));
        fs::create_dir_all(&path).during("make", path.display())?;
        fs::set_permissions(&path, fs::Permissions::from_mode(mode))
            .during("set the mode of", path.display())?;
        Ok(path)
    }

    /// Where directories of the host's part are put together: on a file system of its own, since the state directory is
    /// itself a part of the host.
    fn bases(&mut self) -> Result<PathBuf> {
        let place = self.container.bases();
        if !self.has_bases {
            fs::create_dir_all(&place).during("make", place.display())?;
            mounts::tmpfs(&place, "mode=700,size=64k")?;
            self.has_bases = true;
        }
        Ok(place)
    }

    /// A directory for what does not last: a tmpfs. What an image has there is shown, and what is written while one is
    /// built becomes a part of it.
    pub(crate) fn scratch(&mut self, name: &str, mode: u32, options: &str) -> Result<()> {
        let target = self.target.join(name);
        if !self.spec.root.is_host() {
            return match fs::symlink_metadata(&target) {
                Ok(_) => Ok(()),
                Err(_) => make_dir(&target).and_then(|()| {
                    fs::set_permissions(&target, fs::Permissions::from_mode(mode))
                        .during("set the mode of", target.display())
                }),
            };
        }
        make_dir(&target)?;
        let over = self.layers_at(Path::new(name));
        if over.dirs.is_empty() && !self.kept() {
            return mounts::tmpfs(&target, options);
        }
        let empty = self.empty(name, mode)?;
        let lowers: Vec<&Path> = over.dirs.iter().chain([&empty]).map(PathBuf::as_path).collect();
        self.overlay(&lowers, name, &target)
    }

    fn kept(&self) -> bool {
        let RootSpec::Overlay { kept, .. } = self.spec.root;
        kept
    }

    /// What the layers have at a place below the root.
    fn layers_at(&self, place: &Path) -> Over {
        let RootSpec::Overlay { layers, .. } = &self.spec.root;
        let mut over = Over::default();
        'layers: for layer in layers {
            let mut path = layer.clone();
            let mut opaque = false;
            for part in place.components() {
                path.push(part);
                let Ok(meta) = fs::symlink_metadata(&path) else {
                    over.hidden |= opaque;
                    if opaque {
                        break 'layers;
                    }
                    continue 'layers;
                };
                if !meta.is_dir() {
                    over.hidden = true;
                    let last = path.ends_with(place) && over.dirs.is_empty();
                    over.other = Some(path).filter(|_| last && !is_whiteout(&meta));
                    break 'layers;
                }
                opaque |= is_opaque(&path);
            }
            over.dirs.push(path);
            over.hidden |= opaque;
            if over.hidden {
                break;
            }
        }
        over
    }

    /// Mounts an overlay of directories, the topmost first. The state directory may lie on a file system that cannot
    /// hold an upper directory (an overlay itself, say, when weft runs inside a container): then it is kept in memory.
    fn overlay(&mut self, lowers: &[&Path], layer: &str, target: &Path) -> Result<()> {
        let error = match self.overlay_once(lowers, layer, target) {
            Err(error) if !self.volatile && !self.kept() && error.errno() == Some(libc::EINVAL) => error,
            outcome => return outcome,
        };
        let layers = self.container.layers();
        mounts::tmpfs(&layers, "mode=700")?;
        self.volatile = true;
        match self.overlay_once(lowers, layer, target) {
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
        // The root's owner and mode are those of the upper directory. A skeleton's are the user's own.
        let RootSpec::Overlay { layers, .. } = &self.spec.root;
        let like = if layers.is_empty() { lowers[lowers.len() - 1] } else { lowers[0] };
        copy_mode(like, &upper);
        let options = self.options(lowers, Some((&upper, &work)));
        mount_overlay(&options, target, MountFlags::NODEV)
            .during("mount an overlay of", lowers[lowers.len() - 1].display())
    }

    /// The options of an overlay. Layers of an image are named relative to the directory that they all lie in, which
    /// becomes the working directory: many long paths are more than a mount takes.
    fn options(&self, lowers: &[&Path], upper: Option<(&Path, &Path)>) -> Vec<u8> {
        let RootSpec::Overlay { layers, .. } = &self.spec.root;
        let common = layers.first().and_then(|layer| layer.parent());
        let common = common.filter(|common| rustix::process::chdir(*common).is_ok());
        let mut options = b"lowerdir=".to_vec();
        for (number, lower) in lowers.iter().enumerate() {
            if number > 0 {
                options.push(b':');
            }
            let short = common.and_then(|common| lower.strip_prefix(common).ok());
            escape_into(&mut options, short.unwrap_or(lower));
        }
        if let Some((upper, work)) = upper {
            for (name, path) in [(&b",upperdir="[..], upper), (b",workdir=", work)] {
                options.extend_from_slice(name);
                escape_into(&mut options, path);
            }
        }
        if self.rootless {
            options.extend_from_slice(b",userxattr");
        }
        options
    }

    /// A tmpfs with the top of the host's tree in it, and of the image's. What is written at the top while an image is
    /// built is kept on disk instead.
    fn top_directories(&mut self) -> Result<()> {
        if self.kept() {
            let upper = self.container.layers().join(WHOLE).join("upper");
            fs::create_dir_all(&upper).during("make", upper.display())?;
            copy_mode(Path::new("/"), &upper);
            rustix::mount::mount_bind(&upper, &self.target).during("bind at", self.target.display())?;
        } else {
            mounts::tmpfs(&self.target, "mode=755,size=1m")?;
        }
        let layer = Deployment::new(&self.spec.state).skeleton();
        for name in self.top_names()? {
            let (path, target) = (Path::new("/").join(&name), self.target.join(&name));
            if is_virtual(&path) {
                if path.is_dir() {
                    make_dir(&target)?;
                }
                continue;
            }
            let over = self.layers_at(Path::new(&name));
            match &over.other {
                Some(other) => show_entry(other, &target)?,
                None => self.top_entry(&path, &target, &layer, &over)?,
            }
        }
        Ok(())
    }

    /// Names at the top of the host's tree and of the image's.
    fn top_names(&self) -> Result<BTreeSet<OsString>> {
        let RootSpec::Overlay { layers, .. } = &self.spec.root;
        let mut names = BTreeSet::new();
        for directory in std::iter::once(Path::new("/")).chain(layers.iter().map(PathBuf::as_path)) {
            let entries = fs::read_dir(directory).during("list", directory.display())?;
            names.extend(entries.flatten().take(TOP_ENTRIES_MAX).map(|entry| entry.file_name()));
        }
        Ok(names)
    }

    fn top_entry(&mut self, path: &Path, target: &Path, skeleton: &Path, over: &Over) -> Result<()> {
        let host = fs::symlink_metadata(path).ok().filter(|_| !over.hidden).map(|meta| meta.file_type());
        if host.is_some_and(|kind| kind.is_symlink()) && over.dirs.is_empty() {
            return show_entry(path, target);
        }
        if host.is_some_and(|kind| kind.is_dir()) {
            make_dir(target)?;
            copy_mode(over.dirs.first().map_or(path, PathBuf::as_path), target);
            return self.top_directory(path, target, skeleton, &over.dirs);
        }
        if over.dirs.is_empty() {
            return Ok(());
        }
        make_dir(target)?;
        copy_mode(&over.dirs[0], target);
        let layer = path.file_name().unwrap_or_default().to_string_lossy();
        let lowers: Vec<&Path> = over.dirs.iter().map(PathBuf::as_path).collect();
        self.overlay(&lowers, &layer, target)
    }

    fn top_directory(
        &mut self,
        path: &Path,
        target: &Path,
        skeleton: &Path,
        layers: &[PathBuf],
    ) -> Result<()> {
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
            _ if layers.is_empty() => return Ok(()),
            _ => (self.empty(&layer, 0o755)?, None),
        };
        let host: Vec<&Path> = own.iter().chain([&lower]).map(PathBuf::as_path).collect();
        match self.over_host(layers, &host, &layer, target) {
            Err(error) if layers.is_empty() => {
                self.show_read_only(path, target, &error);
                Ok(())
            }
            outcome => outcome,
        }
    }

    /// Overlay takes no layer that lies inside another. When the deployment's state is in the very directory to be
    /// overlaid, its part of the skeleton is made once more, elsewhere.
    fn skeleton_in_memory(&mut self, top: &Path) -> Option<PathBuf> {
        let name = top.file_name()?.to_string_lossy();
        let place = self.bases().ok()?.join(format!("{name}.skeleton"));
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
            let place = path.strip_prefix("/").unwrap_or(&path).to_owned();
            let inside = self.target.join(&place);
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
            let there = |path: &Path| fs::metadata(path).map(|meta| (meta.dev(), meta.ino())).ok();
            let over = self.layers_at(&place);
            if there(&path) == there(&inside) || over.hidden {
                continue;
            }
            let layer = path.to_string_lossy().replace('/', &PLACE_SEPARATOR.to_string());
            if let Err(error) = self.over_host(&over.dirs, &[&path], &layer, &inside) {
                self.show_read_only(&path, &inside, &error);
            }
        }
        Ok(())
    }
}

/// Shows a file or a link of the top of a tree: a link as one like it, a file itself, read-only.
fn show_entry(entry: &Path, target: &Path) -> Result<()> {
    let meta = fs::symlink_metadata(entry).during("look at", entry.display())?;
    if meta.file_type().is_symlink() {
        let points = fs::read_link(entry).during("read link", entry.display())?;
        return symlink(points, target).during("make link", target.display());
    }
    if !meta.is_file() {
        return Ok(());
    }
    fs::write(target, "").during("make", target.display())?;
    rustix::mount::mount_bind(entry, target).during("bind at", target.display())?;
    sys::c_path(target)
        .and_then(|path| sys::mount_read_only(&path))
        .during("make read-only", target.display())
}

fn mount_overlay(options: &[u8], target: &Path, flags: MountFlags) -> rustix::io::Result<()> {
    if options.len() > OPTION_BYTES_MAX {
        return Err(rustix::io::Errno::NAMETOOLONG);
    }
    let options = CString::new(options).map_err(|_| rustix::io::Errno::INVAL)?;
    rustix::mount::mount("overlay", target, "overlay", flags, options.as_c_str())
}

/// A name that a layer takes away (Documentation/filesystems/overlayfs.rst, "whiteouts and opaque directories").
fn is_whiteout(meta: &fs::Metadata) -> bool {
    meta.file_type().is_char_device() && meta.rdev() == 0
}

fn is_opaque(directory: &Path) -> bool {
    ["trusted.overlay.opaque", "user.overlay.opaque"].iter().any(|name| {
        let mut value = [0; 1];
        rustix::fs::lgetxattr(directory, *name, &mut value[..]).is_ok() && value == *b"y"
    })
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
