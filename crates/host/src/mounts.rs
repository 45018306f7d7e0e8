//! Small mounting steps shared by the parts of a root.

use std::ffi::{CString, OsString};
use std::fs;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::OsStringExt;
use std::path::{Path, PathBuf};

use rustix::fs::CWD;
use rustix::mount::{MountFlags, MoveMountFlags, OpenTreeFlags};

use crate::error::{During, Result};
use crate::sys;

/// Mounts an empty tmpfs; `options` as in tmpfs(5).
pub(crate) fn tmpfs(target: &Path, options: &str) -> Result<()> {
    let options = CString::new(options).unwrap_or_default();
    rustix::mount::mount("tmpfs", target, "tmpfs", MountFlags::NOSUID | MountFlags::NODEV, options.as_c_str())
        .during("mount a tmpfs at", target.display())
}

/// A piece of the file tree, taken hold of but not yet put anywhere (open_tree(2), Linux 5.2).
#[derive(Debug)]
pub(crate) struct Tree {
    handle: OwnedFd,
    is_dir: bool,
}

impl Tree {
    pub(crate) fn open(source: &Path) -> Result<Self> {
        let is_dir = fs::metadata(source).during("bind", source.display())?.is_dir();
        let flags =
            OpenTreeFlags::OPEN_TREE_CLONE | OpenTreeFlags::OPEN_TREE_CLOEXEC | OpenTreeFlags::AT_RECURSIVE;
        let handle = rustix::mount::open_tree(CWD, source, flags).during("bind", source.display())?;
        Ok(Self { handle, is_dir })
    }
}

/// Puts a tree at `target`, which is made when it does not exist.
pub(crate) fn attach(tree: &Tree, target: &Path, writable: bool) -> Result<()> {
    if !target.exists() {
        if let Some(parent) = target.parent() {
            fs::create_dir_all(parent).during("make", parent.display())?;
        }
        if tree.is_dir {
            fs::create_dir(target).during("make", target.display())?;
        } else {
            fs::write(target, "").during("make", target.display())?;
        }
    }
    rustix::mount::move_mount(tree.handle.as_fd(), "", CWD, target, MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH)
        .during("bind at", target.display())?;
    if !writable {
        sys::c_path(target)
            .and_then(|path| sys::mount_read_only(&path))
            .during("make read-only", target.display())?;
    }
    Ok(())
}

/// Mount points in a text of /proc/PID/mountinfo, without doubles, parents before children.
pub(crate) fn points(mountinfo: &str) -> Vec<PathBuf> {
    let mut points: Vec<_> = mountinfo
        .lines()
        .filter_map(|line| line.split(' ').nth(4))
        .map(|point| PathBuf::from(unescape(point)))
        .collect();
    points.sort_unstable();
    points.dedup();
    points
}

/// Blanks, tabs, line ends and backslashes are written as three octal digits (proc_pid_mountinfo(5)).
fn unescape(text: &str) -> OsString {
    let bytes = text.as_bytes();
    let mut plain = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while at < bytes.len() {
        let octal = (bytes[at] == b'\\')
            .then(|| text.get(at + 1..at + 4))
            .flatten()
            .and_then(|digits| u8::from_str_radix(digits, 8).ok());
        plain.push(octal.unwrap_or(bytes[at]));
        at += if octal.is_some() { 4 } else { 1 };
    }
    OsString::from_vec(plain)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mount_points_are_unescaped_sorted_and_single() {
        let text = "1 2 0:1 / /b/c rw - x x x\n1 2 0:1 / /b rw - x x x\n1 2 0:1 / /a\\040b\\134 rw - x x x\n3 2 0:1 / /b rw - x x x\n";
        assert_eq!(points(text), ["/a b\\", "/b", "/b/c"].map(PathBuf::from));
        assert_eq!(unescape("\\9é\\04"), OsString::from("\\9é\\04"));
    }
}
