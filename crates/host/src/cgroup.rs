//! Control groups of version 1, version 2, both side by side, or none at all.
//!
//! Each container gets `weft/DEPLOYMENT/NAME`, DEPLOYMENT being what [`name`] makes of it, in the version 2 tree, which finds and kills all of its
//! processes, and in those version 1 trees that hold a controller it has a limit for. What cannot be
//! done is a warning, never a failure: a container without limits is better than none.

use std::fs;
use std::io;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use rustix::fs::{Access, Mode, OFlags};

use crate::spec::Limits;

/// Period of processor limits in microseconds.
const CPU_PERIOD_US: u64 = 100_000;
/// How long a group may take to empty after its processes were killed.
const REMOVE_LIMIT: Duration = Duration::from_secs(2);
/// Most members of a group looked at in one round of killing.
const MEMBERS_MAX: usize = 65_536;

/// The group of a deployment below `weft`: its name and a hash of its state directory. Two state directories may each
/// have a deployment of one name, and stopping one kills all that is in its groups.
#[must_use]
pub fn name(deployment: &str, state: &Path) -> String {
    // FNV-1a: the same from one version of weft to the next, which no hasher of the standard library promises.
    let hash = state.as_os_str().as_encoded_bytes().iter().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(*byte)).wrapping_mul(0x100_0000_01b3)
    });
    format!("{deployment}-{hash:016x}")
}

/// Which groups can be made on this machine.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Cgroups {
    /// Directory below which version 2 groups are made.
    unified: Option<PathBuf>,
    /// Controllers of the version 2 tree.
    controllers: Vec<String>,
    /// Version 1 controllers and the directory below which their groups are made.
    legacy: Vec<(String, PathBuf)>,
    /// The same of other hierarchies, in which only OCI runtimes make groups.
    others: Vec<PathBuf>,
}

/// The groups of one container.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Group {
    /// Directories made, in the version 2 tree first.
    pub directories: Vec<PathBuf>,
    /// What could not be done.
    pub warnings: Vec<String>,
    /// Whether the first directory is in the version 2 tree.
    unified: bool,
}

impl Cgroups {
    /// Looks at what is mounted and writable.
    #[must_use]
    pub fn detect() -> Self {
        let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
        let own = fs::read_to_string("/proc/self/cgroup").unwrap_or_default();
        let mut found = Self::default();
        for (mount, kind, options) in mounts.lines().filter_map(cgroup_mount) {
            if kind == "cgroup2" && found.unified.is_none() {
                found.unified = writable_below(&mount, own_group(&own, ""));
                let controllers = fs::read_to_string(mount.join("cgroup.controllers")).unwrap_or_default();
                found.controllers = controllers.split_whitespace().map(str::to_owned).collect();
            } else if kind == "cgroup" {
                let has = |controller: &&str| options.split(',').any(|option| option == *controller);
                let ours: Vec<&str> = ["memory", "cpu", "pids"].into_iter().filter(has).collect();
                for controller in &ours {
                    if let Some(base) = writable_below(&mount, own_group(&own, controller)) {
                        found.legacy.push(((*controller).into(), base));
                    }
                }
                if ours.is_empty() {
                    found.others.push(mount);
                }
            }
        }
        found
    }

    /// The directories a container with these limits will use, and those where an OCI runtime makes groups if it has one.
    /// Nothing is made yet: the list goes into the journal first.
    #[must_use]
    pub fn plan(&self, deployment: &str, name: &str, limits: &Limits, runtime: bool) -> Vec<PathBuf> {
        let below = |base: &PathBuf| base.join("weft").join(deployment).join(name);
        let wanted = |controller: &str| wishes(limits).iter().any(|(wish, _)| *wish == controller);
        let legacy = self
            .legacy
            .iter()
            .filter(|(controller, _)| runtime || wanted(controller))
            .map(|(_, base)| below(base));
        let others = self.others.iter().filter(|_| runtime).map(below);
        self.unified.iter().map(below).chain(legacy).chain(others).collect()
    }

    /// Makes the groups of a container and sets its limits.
    #[must_use]
    pub fn create(&self, deployment: &str, name: &str, limits: &Limits) -> Group {
        let mut group = Group::default();
        let mut unified = None;
        for directory in self.plan(deployment, name, limits, false) {
            let is_unified = self.unified.as_ref().is_some_and(|base| directory.starts_with(base));
            if is_unified {
                self.enable_controllers(&directory, limits);
            }
            match make(&directory) {
                Ok(()) => {
                    if is_unified {
                        unified = Some(directory.clone());
                    }
                    group.directories.push(directory);
                }
                Err(error) => group.warnings.push(format!("no cgroup {}: {error}", directory.display())),
            }
        }
        group.unified = unified.is_some();
        for (controller, what) in wishes(limits) {
            let legacy = self.legacy.iter().find(|(legacy, _)| legacy == controller);
            let outcome = match (legacy, &unified) {
                (Some((_, base)), _) => {
                    limit_legacy(&base.join("weft").join(deployment).join(name), controller, limits)
                }
                (None, Some(directory)) => limit_unified(directory, controller, limits),
                (None, None) => Err(io::Error::other("no writable cgroup here")),
            };
            if let Err(error) = outcome {
                group.warnings.push(format!("{what} not applied: {error}"));
            }
        }
        group
    }

    /// Version 2 controllers reach a group only if every group above passes them on.
    fn enable_controllers(&self, directory: &Path, limits: &Limits) {
        let Some(base) = &self.unified else { return };
        for (controller, _) in wishes(limits) {
            if !self.controllers.iter().any(|known| known == controller) {
                continue;
            }
            let deployment = directory.parent().unwrap_or(base);
            let weft = deployment.parent().unwrap_or(base);
            for above in [base.as_path(), weft, deployment] {
                let _ = fs::create_dir_all(above);
                // Refused where processes sit in the group itself; setting the limit then fails and is reported.
                let _ = fs::write(above.join("cgroup.subtree_control"), format!("+{controller}"));
            }
        }
    }
}

impl Group {
    /// A handle of the version 2 group for clone3(2), so that no process need be moved.
    #[must_use]
    pub fn open_unified(&self) -> Option<OwnedFd> {
        let directory = self.directories.first().filter(|_| self.unified)?;
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        rustix::fs::open(directory, flags, Mode::empty()).ok()
    }

    /// Moves the calling process into the groups; `unified` says whether into that of version 2, too.
    pub fn join(&self, unified: bool) {
        let skipped = usize::from(self.unified && !unified);
        join(self.directories.iter().skip(skipped));
    }
}

/// The calling process's own group within its hierarchy, of version 2 or where memory is limited.
pub(crate) fn own() -> Option<String> {
    let own = fs::read_to_string("/proc/self/cgroup").ok()?;
    let group = |controller| own_group(&own, controller).filter(|group| group.contains("/weft/"));
    group("").or_else(|| group("memory")).map(str::to_owned)
}

/// Moves the calling process into groups, those that let it.
pub(crate) fn join<'a>(directories: impl Iterator<Item = &'a PathBuf>) {
    for directory in directories {
        let _ = fs::write(directory.join("cgroup.procs"), "0");
    }
}

/// Kills what is left in a container's groups and removes them, and the groups above when they are
/// empty. Says which could not be removed. Only directories below a `weft` group are touched.
#[must_use]
pub fn remove(directories: &[PathBuf]) -> Vec<String> {
    let mut failures = Vec::new();
    for directory in directories {
        let above: Vec<_> = directory.ancestors().skip(1).take(2).collect();
        if above.last().and_then(|weft| weft.file_name()) != Some("weft".as_ref()) {
            failures.push(format!("{} is no cgroup of weft", directory.display()));
            continue;
        }
        if let Err(error) = remove_one(directory) {
            failures.push(format!("cannot remove cgroup {}: {error}", directory.display()));
        }
        for parent in above {
            let _ = fs::remove_dir(parent);
        }
    }
    failures
}

/// Removes every group of a deployment, those that no journal names, too. Says which could not be removed.
#[must_use]
pub fn remove_all(deployment: &str, state: &Path) -> Vec<String> {
    let Cgroups { unified, legacy, others, .. } = Cgroups::detect();
    let mut failures = Vec::new();
    for base in unified.into_iter().chain(legacy.into_iter().map(|(_, base)| base)).chain(others) {
        let above = base.join("weft").join(name(deployment, state));
        let Ok(entries) = fs::read_dir(&above) else { continue };
        let groups = entries.flatten().filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir()));
        failures.extend(remove(&groups.map(|entry| entry.path()).collect::<Vec<_>>()));
        // Those above go with the last one; when there was none, they are empty already.
        let _ = fs::remove_dir(&above);
    }
    failures
}

fn remove_one(directory: &Path) -> io::Result<()> {
    let deadline = Instant::now() + REMOVE_LIMIT;
    let mut pause = Duration::from_micros(200);
    loop {
        match fs::remove_dir(directory) {
            Ok(()) => return Ok(()),
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            Err(error) if Instant::now() > deadline => return Err(error),
            Err(_) => {}
        }
        kill_members(directory);
        remove_children(directory);
        std::thread::sleep(pause);
        pause = (pause * 2).min(Duration::from_millis(20));
    }
}

/// A container with a cgroup namespace may have made groups of its own.
fn remove_children(directory: &Path) {
    let Ok(entries) = fs::read_dir(directory) else { return };
    for entry in entries.flatten().filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir())) {
        kill_members(&entry.path());
        remove_children(&entry.path());
        let _ = fs::remove_dir(entry.path());
    }
}

fn kill_members(directory: &Path) {
    if fs::write(directory.join("cgroup.kill"), "1").is_ok() {
        return;
    }
    let members = fs::read_to_string(directory.join("cgroup.procs")).unwrap_or_default();
    for pid in members.lines().take(MEMBERS_MAX).filter_map(|line| line.parse::<i32>().ok()) {
        // 0 stands for processes of another process namespace and must not reach kill(2).
        if pid > 1 {
            let _ = crate::sys::kill_raw(pid, libc::SIGKILL);
        }
    }
}

/// Controllers that the limits need, and the limits' names for messages.
fn wishes(limits: &Limits) -> Vec<(&'static str, &'static str)> {
    let memory = limits.memory_bytes.map(|_| ("memory", "memory limit"));
    let cpu = limits.cpu_millis.map(|_| ("cpu", "processor limit"));
    let pids = limits.pids.map(|_| ("pids", "limit of processes"));
    [memory, cpu, pids].into_iter().flatten().collect()
}

fn limit_legacy(directory: &Path, controller: &str, limits: &Limits) -> io::Result<()> {
    let write = |file: &str, value: String| fs::write(directory.join(file), value);
    match controller {
        "memory" => {
            let bytes = limits.memory_bytes.unwrap_or(0);
            write("memory.limit_in_bytes", bytes.to_string())?;
            // Absent where the kernel does not count swap.
            let _ = write("memory.memsw.limit_in_bytes", bytes.to_string());
            Ok(())
        }
        "cpu" => {
            write("cpu.cfs_period_us", CPU_PERIOD_US.to_string())?;
            write("cpu.cfs_quota_us", quota_us(limits).to_string())
        }
        _ => write("pids.max", limits.pids.unwrap_or(0).to_string()),
    }
}

fn limit_unified(directory: &Path, controller: &str, limits: &Limits) -> io::Result<()> {
    let write = |file: &str, value: String| fs::write(directory.join(file), value);
    match controller {
        "memory" => {
            write("memory.max", limits.memory_bytes.unwrap_or(0).to_string())?;
            let _ = write("memory.swap.max", "0".into());
            Ok(())
        }
        "cpu" => write("cpu.max", format!("{} {CPU_PERIOD_US}", quota_us(limits))),
        _ => write("pids.max", limits.pids.unwrap_or(0).to_string()),
    }
}

/// The kernel takes no quota below a millisecond.
fn quota_us(limits: &Limits) -> u64 {
    (u64::from(limits.cpu_millis.unwrap_or(0)) * CPU_PERIOD_US / 1000).max(1000)
}

/// Makes a group and those above it. Another launch's clean-up may remove an empty one in between.
fn make(directory: &Path) -> io::Result<()> {
    let mut outcome = Ok(());
    for _ in 0..8 {
        outcome = fs::create_dir_all(directory);
        if !matches!(&outcome, Err(error) if error.kind() == io::ErrorKind::NotFound) {
            break;
        }
    }
    outcome
}

/// Where groups can be made: at the top of the tree, else below the group this process is in.
fn writable_below(mount: &Path, own: Option<&str>) -> Option<PathBuf> {
    let own = own.map(|own| mount.join(own.trim_start_matches('/')));
    let writable = |path: &PathBuf| {
        let existing = path.join("weft");
        let tested = if existing.exists() { &existing } else { path };
        rustix::fs::access(tested, Access::WRITE_OK).is_ok()
    };
    [Some(mount.to_path_buf()), own].into_iter().flatten().find(writable)
}

/// The group of this process for a version 1 controller, or of version 2 for "" (cgroups(7), /proc/PID/cgroup).
fn own_group<'a>(own: &'a str, controller: &str) -> Option<&'a str> {
    own.lines().find_map(|line| {
        let mut fields = line.splitn(3, ':').skip(1);
        let mut controllers = fields.next()?.split(',');
        controllers.any(|known| known == controller).then(|| fields.next())?
    })
}

/// Mount point, type and super block options of a line of mountinfo, if it is a cgroup mount.
fn cgroup_mount(line: &str) -> Option<(PathBuf, &str, &str)> {
    let (before, after) = line.split_once(" - ")?;
    let mut after = after.split(' ');
    let kind = after.next().filter(|kind| kind.starts_with("cgroup"))?;
    Some((before.split(' ').nth(4)?.into(), kind, after.nth(1)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mounts_and_own_groups_are_read() {
        let line = "35 31 0:32 / /sys/fs/cgroup/memory rw,relatime shared:5 - cgroup cgroup rw,memory";
        assert_eq!(cgroup_mount(line), Some(("/sys/fs/cgroup/memory".into(), "cgroup", "rw,memory")));
        assert_eq!(cgroup_mount("27 1 254:0 / / rw - ext4 /dev/vda rw"), None);
        let own = "4:memory:/a/b\n3:cpu,cpuacct:/c\n0::/user.slice\n";
        assert_eq!(own_group(own, "cpu"), Some("/c"));
        assert_eq!(own_group(own, ""), Some("/user.slice"));
        assert_eq!(own_group(own, "pids"), None);
    }

    #[test]
    fn without_cgroups_limits_become_warnings() {
        let limits = Limits { memory_bytes: Some(1 << 20), cpu_millis: Some(500), pids: None };
        let group = Cgroups::default().create("d", "n", &limits);
        assert!(group.directories.is_empty());
        assert_eq!(group.warnings.len(), 2, "{:?}", group.warnings);
        assert!(Cgroups::default().create("d", "n", &Limits::default()).warnings.is_empty());
    }

    #[test]
    fn only_groups_of_weft_are_removed() {
        let directory = tempfile::tempdir().unwrap();
        let strange = directory.path().join("other/deployment/name");
        fs::create_dir_all(&strange).unwrap();
        assert_eq!(remove(std::slice::from_ref(&strange)).len(), 1);
        assert!(strange.exists());
        let mine = directory.path().join("weft/deployment/name");
        fs::create_dir_all(&mine).unwrap();
        assert_eq!(remove(&[mine]), Vec::<String>::new());
        assert!(!directory.path().join("weft").exists());
    }
}
