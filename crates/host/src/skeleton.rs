//! What lets a rootless container write to directories of the host's root.
//!
//! In a user namespace with one mapped user, `/etc` and `/var` belong to nobody: not even the
//! container's root may create a file there. A directory of an overlay has the owner it has in the
//! topmost layer, so a thin layer of empty directories that belong to the user, put between the
//! container's own layer and the host, makes the merged directories writable. Small files of
//! `/etc` are copied into it so that they can be edited. It is made once per deployment.

use std::fs;
use std::io;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;

use rustix::fs::{Access, XattrFlags};

use crate::error::{During, Result};

/// Trees whose directories become writable, and how deep.
const TREES: [(&str, usize); 9] = [
    ("etc", 6),
    ("var", 5),
    ("usr/local", 3),
    ("opt", 2),
    ("srv", 3),
    ("home", 1),
    ("root", 1),
    ("mnt", 1),
    ("media", 1),
];
/// Most directories in the layer.
const DIRECTORIES_MAX: usize = 8192;
/// Most bytes copied from `/etc`.
const FILES_BYTES_MAX: u64 = 16 << 20;
/// Largest single file copied.
const FILE_BYTES_MAX: u64 = 256 << 10;

/// Makes the layer at `path` if it is not there. Whole or not at all: it is built aside and renamed.
pub(crate) fn ensure(path: &Path) -> Result<()> {
    if path.exists() {
        return Ok(());
    }
    let draft = path.with_extension(format!("new.{}", std::process::id()));
    let mut builder = Builder { directories: 0, bytes: 0 };
    for (tree, depth) in TREES {
        let host = Path::new("/").join(tree);
        if host.is_dir() && !host.is_symlink() {
            let own = draft.join(tree);
            fs::create_dir_all(&own).during("make", own.display())?;
            builder
                .fill(&host, &own, depth, tree == "etc")
                .during("copy the directories of", host.display())?;
        }
    }
    match fs::rename(&draft, path) {
        // Another launch was faster.
        Err(_) if path.exists() => crate::stop::remove_tree(&draft),
        outcome => outcome.during("make", path.display()),
    }
}

/// Puts the layer of one top directory into an empty directory.
pub(crate) fn fill(top: &Path, own: &Path) -> Result<()> {
    let mut builder = Builder { directories: 0, bytes: 0 };
    for (tree, depth) in TREES {
        if Path::new("/").join(tree) == top {
            builder.fill(top, own, depth, tree == "etc").during("copy the directories of", top.display())?;
        }
    }
    Ok(())
}

struct Builder {
    directories: usize,
    bytes: u64,
}

impl Builder {
    fn fill(&mut self, host: &Path, own: &Path, depth: usize, files: bool) -> io::Result<()> {
        if rustix::fs::access(host, Access::READ_OK | Access::EXEC_OK).is_err() {
            // Not readable for this user: what the host has there is left out, or listing it would fail
            // (Documentation/filesystems/overlayfs.rst, "whiteouts and opaque directories").
            rustix::fs::setxattr(own, "user.overlay.opaque", b"y", XattrFlags::empty())?;
            return Ok(());
        }
        for entry in fs::read_dir(host)?.flatten() {
            let (from, to) = (entry.path(), own.join(entry.file_name()));
            let Ok(meta) = entry.metadata() else { continue };
            if meta.is_dir() && depth > 1 && self.directories < DIRECTORIES_MAX {
                self.directories += 1;
                fs::create_dir(&to)?;
                self.fill(&from, &to, depth - 1, files)?;
                // Read and write for the owner always, or the container's root could not use it.
                fs::set_permissions(
                    &to,
                    fs::Permissions::from_mode(meta.permissions().mode() & 0o1777 | 0o700),
                )?;
            } else if files && meta.is_file() && meta.len() <= FILE_BYTES_MAX && self.bytes < FILES_BYTES_MAX
            {
                if fs::copy(&from, &to).is_ok() {
                    self.bytes += meta.len();
                } else {
                    let _ = fs::remove_file(&to);
                }
            } else if files && meta.is_symlink() {
                let _ = fs::read_link(&from).and_then(|points| symlink(points, &to));
            }
        }
        Ok(())
    }
}
