//! What is on the machine: processes, namespaces, interfaces, mounts, cgroups, read from /proc and /sys.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use serde::Serialize;

use crate::error::{During, Result};

/// Deepest cgroup that is looked at.
const CGROUP_DEPTH_MAX: usize = 8;

/// The processes that run the given program file, in whatever namespace.
pub(crate) fn running(program: &Path) -> Result<BTreeSet<u32>> {
    let wanted = fs::metadata(program).during(format!("look at {}", program.display()))?;
    let same = |pid: &u32| {
        let found = fs::metadata(format!("/proc/{pid}/exe"));
        found.is_ok_and(|found| (found.dev(), found.ino()) == (wanted.dev(), wanted.ino()))
    };
    Ok(processes().into_iter().filter(same).collect())
}

/// The given processes and everything they started, directly or not.
pub(crate) fn with_descendants(roots: &BTreeSet<u32>) -> BTreeSet<u32> {
    let parents: BTreeMap<u32, u32> =
        processes().into_iter().filter_map(|pid| Some((pid, parent(pid)?))).collect();
    let descends = |pid: &u32| {
        let chain = std::iter::successors(Some(*pid), |pid| parents.get(pid).copied());
        chain.take(parents.len()).any(|pid| roots.contains(&pid))
    };
    parents.keys().copied().filter(descends).collect()
}

fn processes() -> Vec<u32> {
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok()).collect()
}

fn parent(pid: u32) -> Option<u32> {
    let text = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    text.rsplit_once(')')?.1.split_whitespace().nth(1)?.parse().ok()
}

/// Memory of some processes, in bytes.
#[derive(Clone, Copy, Debug, Default, Serialize)]
pub(crate) struct Memory {
    pub(crate) processes: usize,
    /// Resident pages, shared ones counted in every process.
    pub(crate) rss_bytes: u64,
    /// Resident pages, shared ones divided among those that share them.
    pub(crate) pss_bytes: u64,
}

/// Sums `smaps_rollup` (proc_pid_smaps(5)).
pub(crate) fn memory(pids: &BTreeSet<u32>) -> Memory {
    let mut sum = Memory { processes: pids.len(), ..Memory::default() };
    for pid in pids {
        let text = fs::read_to_string(format!("/proc/{pid}/smaps_rollup")).unwrap_or_default();
        sum.rss_bytes += kibibytes(&text, "Rss:");
        sum.pss_bytes += kibibytes(&text, "Pss:");
    }
    sum
}

fn kibibytes(text: &str, field: &str) -> u64 {
    let line = text.lines().find_map(|line| line.strip_prefix(field));
    line.and_then(|line| line.split_whitespace().next()?.parse::<u64>().ok()).unwrap_or(0) * 1024
}

/// Everything that could be left behind, by name.
#[derive(Clone, Debug, Default)]
pub(crate) struct Inventory {
    found: BTreeSet<(&'static str, String)>,
}

impl Inventory {
    /// Looks at the machine; processes count if they run `program`, now or in an ancestor.
    pub(crate) fn take(program: &Path) -> Result<Self> {
        let mut found = BTreeSet::new();
        for pid in with_descendants(&running(program)?) {
            let name = fs::read_to_string(format!("/proc/{pid}/comm")).unwrap_or_default();
            found.insert(("process", format!("{pid} {}", name.trim())));
        }
        let mounts = fs::read_to_string("/proc/self/mountinfo").during("read the mounts")?;
        found.extend(mounts.lines().filter_map(|line| Some(("mount", line.split(' ').nth(4)?.to_owned()))));
        found.extend(names(Path::new("/sys/class/net")).map(|name| ("interface", name)));
        found.extend(names(Path::new("/run/netns")).map(|name| ("namespace", name)));
        let links =
            processes().into_iter().filter_map(|pid| fs::read_link(format!("/proc/{pid}/ns/net")).ok());
        found.extend(links.map(|link| ("namespace", link.to_string_lossy().into_owned())));
        let mut cgroups = Vec::new();
        directories(Path::new("/sys/fs/cgroup"), CGROUP_DEPTH_MAX, &mut cgroups);
        found.extend(cgroups.into_iter().map(|path| ("cgroup", path.to_string_lossy().into_owned())));
        Ok(Self { found })
    }

    /// What is here and was not there before.
    pub(crate) fn since(&self, before: &Self) -> Vec<String> {
        self.found.difference(&before.found).map(|(kind, name)| format!("{kind} {name}")).collect()
    }
}

fn names(directory: &Path) -> impl Iterator<Item = String> {
    let entries = fs::read_dir(directory).into_iter().flatten().flatten();
    entries.filter_map(|entry| entry.file_name().into_string().ok())
}

fn directories(path: &Path, depth: usize, found: &mut Vec<PathBuf>) {
    if depth == 0 {
        return;
    }
    for entry in fs::read_dir(path).into_iter().flatten().flatten() {
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            directories(&entry.path(), depth - 1, found);
            found.push(entry.path());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_is_found_by_its_file() {
        let us = std::env::current_exe().unwrap();
        assert!(running(&us).unwrap().contains(&std::process::id()));
        assert!(!running(Path::new("/bin/sh")).unwrap().contains(&std::process::id()));
    }

    #[test]
    fn children_are_found_through_their_parents() {
        let child = crate::process::start(std::process::Command::new("sleep").arg("60")).unwrap();
        let found = with_descendants(&BTreeSet::from([std::process::id()]));
        assert!(found.contains(&child.id()) && found.contains(&std::process::id()));
        assert!(!found.contains(&1));
    }

    #[test]
    fn what_is_new_is_named() {
        let us = std::env::current_exe().unwrap();
        let before = Inventory::take(&us).unwrap();
        let child = crate::process::start(std::process::Command::new("sleep").arg("60")).unwrap();
        let new = Inventory::take(&us).unwrap().since(&before);
        assert!(new.iter().any(|line| line.starts_with(&format!("process {} ", child.id()))), "{new:?}");
    }

    #[test]
    fn memory_is_read() {
        let memory = memory(&BTreeSet::from([std::process::id()]));
        assert!(memory.pss_bytes > 0 && memory.pss_bytes <= memory.rss_bytes, "{memory:?}");
        assert_eq!(kibibytes("Rss:    12 kB\nPss:  3 kB\n", "Pss:"), 3072);
    }
}
