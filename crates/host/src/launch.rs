//! Starting containers: many at once, from one process with one thread.
//!
//! ```text
//!  launcher ──clone3──▶ first process of the container
//!     │  journal, cgroups       network, root, files, limits
//!     │                         becomes the init ──fork──▶ command
//!     ◀──────── report ─────────┘ (ready, or the step that failed)
//! ```
//!
//! The kernel's work for one container waits on that for another as little as possible: a dozen are
//! being built while the launcher writes the next one's journal. A container that is not ready dies
//! with its launcher, and what it leaves on disk is in its journal.

use std::collections::VecDeque;
use std::fs::{self, File};
use std::io::{PipeReader, Read, Write};
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, PermissionsExt};
use std::os::unix::net::UnixStream;

use rustix::event::{PollFd, PollFlags};
use rustix::fs::{FlockOperation, Mode, OFlags};
use rustix::process::{Pid, WaitOptions};
use serde::{Deserialize, Serialize};

use crate::cgroup::{self, Cgroups, Group};
use crate::error::{During, Error, Result};
use crate::init::{self, Handover, Report};
use crate::layout::{Container, Deployment, Journal};
use crate::network::{self, PeerNamespaces};
use crate::oci::Outside;
use crate::process::{OneThread, ProcessId};
use crate::root::Builder;
use crate::spec::ContainerSpec;
use crate::status::{ReadyMark, Status, StatusFile};
use crate::sys::{self, Fork};
use crate::{sandbox, skeleton};

/// Containers being built at the same time.
const CONCURRENCY_MAX: usize = 12;
/// Longest report of a container.
const REPORT_BYTES_MAX: u64 = 1 << 20;

/// A container that runs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Launched {
    /// Its name.
    pub name: String,
    /// Its init.
    pub init: ProcessId,
    /// What had to be done differently than asked for.
    pub warnings: Vec<String>,
}

/// Launches containers from the calling process, which must have one thread and, for a rootless
/// deployment, be inside its user namespace ([`crate::Sandbox::enter`]).
///
/// `attach` hears of each container that has its interface before its command starts, so that whoever is at the
/// other end can be there for the first packet. Where it fails, the container does. `done` hears about each as
/// soon as it is ready or has failed, with its place in `specs`. A container that failed has left nothing.
///
/// # Errors
/// The process has several threads; failures of single containers go to `done`.
pub fn launch(
    specs: impl IntoIterator<Item = ContainerSpec>,
    mut attach: impl FnMut(&ContainerSpec, ProcessId) -> Result<(), String>,
    mut done: impl FnMut(usize, Result<Launched>),
) -> Result<()> {
    let single = OneThread::check()?;
    sys::ignore_signal(libc::SIGPIPE);
    let mut launcher = Launcher {
        single,
        cgroups: Cgroups::detect(),
        peers: PeerNamespaces::default(),
        rootless: !sandbox::in_first_user_namespace(),
        pending: VecDeque::new(),
    };
    for (index, spec) in specs.into_iter().enumerate() {
        while launcher.pending.len() >= CONCURRENCY_MAX {
            launcher.wait_for_some(&mut attach, &mut done);
        }
        if let Err(error) = launcher.begin(index, spec) {
            done(index, Err(error));
        }
    }
    while !launcher.pending.is_empty() {
        launcher.wait_for_some(&mut attach, &mut done);
    }
    Ok(())
}

struct Launcher {
    single: OneThread,
    cgroups: Cgroups,
    peers: PeerNamespaces,
    rootless: bool,
    pending: VecDeque<Pending>,
}

/// A container being built.
struct Pending {
    index: usize,
    spec: ContainerSpec,
    container: Container,
    pid: Pid,
    init: Option<ProcessId>,
    report: PipeReader,
    /// A byte comes when the container has its interface; a byte back lets it go on, and the gate is gone.
    gate: Option<UnixStream>,
    group: Group,
    kind: Traces,
}

/// What to take away when a launch fails.
struct Traces {
    container: Container,
    cgroups: Vec<std::path::PathBuf>,
}

impl Traces {
    fn remove(&self) {
        let _ = cgroup::remove(&self.cgroups);
        let _ = crate::stop::remove_tree(self.container.directory());
        crate::stop::remove_empty_parents(&self.container);
    }
}

impl Launcher {
    fn begin(&mut self, index: usize, spec: ContainerSpec) -> Result<()> {
        spec.check()?;
        self.peers.prepare(spec.network.as_ref())?;
        let container = Deployment::new(&spec.state).container(&spec.name);
        let lock = prepare_directory(&container)?;
        let mut traces = Traces { container: container.clone(), cgroups: Vec::new() };
        let begun = self.begin_in(index, spec, &container, lock, &mut traces);
        if begun.is_err() {
            traces.remove();
        }
        begun
    }

    fn begin_in(
        &mut self,
        index: usize,
        spec: ContainerSpec,
        container: &Container,
        lock: OwnedFd,
        traces: &mut Traces,
    ) -> Result<()> {
        if self.rootless && spec.root.is_host() {
            skeleton::ensure(&Deployment::new(&spec.state).skeleton())?;
        }
        let above = cgroup::name(&spec.deployment, &spec.state);
        traces.cgroups = self.cgroups.plan(&above, &spec.name, &spec.limits, spec.runtime.is_some());
        let mut noted = spec.clone();
        for file in noted.files.values_mut() {
            file.content = Vec::new().into();
        }
        noted.secrets.clear();
        container.write_journal(&Journal { spec: noted, cgroups: traces.cgroups.clone() })?;
        let group = self.cgroups.create(&above, &spec.name, &spec.limits);
        let directory = open_directory(container.directory())?;
        let log_directory = open_directory(&container.log_directory())?;
        let ready = ready_mark(&spec, container)?;
        let (report, report_writer) = std::io::pipe().during("make", "a pipe")?;
        let (gate, inner_gate) = UnixStream::pair().during("make", "a socket pair")?;
        let (forked, in_unified) = fork_container(self.single, &group)?;
        match forked {
            Fork::Child => {
                drop(gate);
                let first = First {
                    single: self.single,
                    spec: &spec,
                    gate: inner_gate,
                    container,
                    group: &group,
                    in_unified,
                    peer: self.peers.of(spec.network.as_ref()),
                    rootless: self.rootless,
                };
                let report = File::from(OwnedFd::from(report_writer));
                first.run(lock, directory, log_directory, ready, report)
            }
            Fork::Parent(pid) => {
                let init = ProcessId::of(pid.as_raw_pid() as u32).ok();
                let kind =
                    Traces { container: container.clone(), cgroups: std::mem::take(&mut traces.cgroups) };
                let (container, gate) = (container.clone(), Some(gate));
                self.pending.push_back(Pending {
                    index,
                    spec,
                    container,
                    pid,
                    init,
                    report,
                    gate,
                    group,
                    kind,
                });
                Ok(())
            }
        }
    }

    /// Waits until at least one container has reported or is at its gate, and passes on all that have.
    fn wait_for_some(
        &mut self,
        attach: &mut impl FnMut(&ContainerSpec, ProcessId) -> Result<(), String>,
        done: &mut impl FnMut(usize, Result<Launched>),
    ) {
        let fds = self.pending.iter().flat_map(|pending| {
            let gate = pending.gate.as_ref().map_or(pending.report.as_fd(), AsFd::as_fd);
            [
                PollFd::from_borrowed_fd(pending.report.as_fd(), PollFlags::IN),
                PollFd::from_borrowed_fd(gate, PollFlags::IN),
            ]
        });
        let mut polled: Vec<_> = fds.collect();
        let _ = rustix::event::poll(&mut polled, None);
        let ready: Vec<bool> = polled.iter().map(|polled| !polled.revents().is_empty()).collect();
        for at in (0..self.pending.len()).rev() {
            let refused = match (ready[2 * at], ready[2 * at + 1]) {
                (true, _) => None,
                (false, true) => match self.pending[at].pass_gate(attach) {
                    Ok(()) => continue,
                    Err(error) => Some(error),
                },
                (false, false) => continue,
            };
            if let Some(pending) = self.pending.remove(at) {
                let index = pending.index;
                done(index, pending.finish(refused));
            }
        }
    }
}

impl Pending {
    /// Has the container's interface attached and lets it go on.
    fn pass_gate(
        &mut self,
        attach: &mut impl FnMut(&ContainerSpec, ProcessId) -> Result<(), String>,
    ) -> Result<()> {
        let Some(mut gate) = self.gate.take() else { return Ok(()) };
        // One that died at its gate says so in its report, which is read next.
        if gate.read(&mut [0]).is_ok_and(|count| count == 1) {
            let init = self.init.ok_or_else(|| Error::Died(self.spec.name.clone(), "its start".into()))?;
            attach(&self.spec, init).map_err(Error::Attach)?;
            let _ = gate.write_all(&[1]);
        }
        Ok(())
    }

    fn finish(mut self, refused: Option<Error>) -> Result<Launched> {
        let name = self.container.name().to_owned();
        let outcome = match refused {
            Some(error) => Err(error),
            None => self.outcome(),
        };
        match (outcome, self.init) {
            (Ok(warnings), Some(init)) => {
                let warnings = self.group.warnings.into_iter().chain(warnings).collect();
                Ok(Launched { name, init, warnings })
            }
            (outcome, _) => {
                let _ = sys::kill_raw(self.pid.as_raw_pid(), libc::SIGKILL);
                let _ = rustix::process::waitpid(Some(self.pid), WaitOptions::empty());
                self.kind.remove();
                Err(outcome.err().unwrap_or_else(|| Error::Died(name, "its start".into())))
            }
        }
    }

    /// What the container said of itself.
    fn outcome(&mut self) -> Result<Vec<String>> {
        let mut text = Vec::new();
        let _ = (&mut self.report).take(REPORT_BYTES_MAX).read_to_end(&mut text);
        match serde_json::from_slice(&text) {
            Ok(Report::Ready { warnings }) => Ok(warnings),
            Ok(Report::Failed(error)) => Err(error),
            Err(_) => Err(Error::Died(self.container.name().to_owned(), "its start".into())),
        }
    }
}

/// Into the version 2 group by birth where the kernel can: moving a process later waits for every CPU.
fn fork_container(single: OneThread, group: &Group) -> Result<(Fork, bool)> {
    let flags =
        libc::CLONE_NEWNS | libc::CLONE_NEWPID | libc::CLONE_NEWNET | libc::CLONE_NEWUTS | libc::CLONE_NEWIPC;
    if let Some(cgroup) = group.open_unified() {
        let cgroup = std::os::fd::AsFd::as_fd(&cgroup);
        if let Ok(forked) = sys::fork_into(single, flags, Some(cgroup)) {
            return Ok((forked, true));
        }
    }
    Ok((sys::fork_into(single, flags, None).during("make", "namespaces")?, false))
}

/// The first process of a container, before it is its init.
struct First<'a> {
    single: OneThread,
    spec: &'a ContainerSpec,
    gate: UnixStream,
    container: &'a Container,
    group: &'a Group,
    in_unified: bool,
    peer: Option<&'a OwnedFd>,
    rootless: bool,
}

/// What comes of building a container.
type Built = (Status, StatusFile, Vec<String>, Option<(Outside, Option<String>)>);

impl First<'_> {
    fn run(
        &self,
        lock: OwnedFd,
        directory: OwnedFd,
        log_directory: OwnedFd,
        ready: Option<ReadyMark>,
        mut report: File,
    ) -> ! {
        let built = self.build(&lock, directory, &log_directory, ready.as_ref(), &report);
        match built {
            Ok((status, status_file, warnings, outside)) => init::run(
                self.single,
                self.spec,
                Handover { status, status_file, ready, log_directory, lock, report, warnings, outside },
            ),
            Err(error) => init::fail(&mut report, error),
        }
    }

    fn build(
        &self,
        lock: &OwnedFd,
        directory: OwnedFd,
        log_directory: &OwnedFd,
        ready: Option<&ReadyMark>,
        report: &File,
    ) -> Result<Built> {
        let mut kept: Vec<&dyn AsRawFd> = vec![lock, &directory, log_directory, report, &self.gate];
        if let Some(peer) = self.peer {
            kept.push(peer);
        }
        kept.extend(ready.map(|ready| ready.directory() as &dyn AsRawFd));
        init::keep_only(&kept)?;
        init::die_with_parent(report);
        let _ = rustix::process::setsid();
        rustix::process::umask(Mode::from_raw_mode(0o022));
        self.name_process();
        let status_file = StatusFile::new(directory);
        let status = Status::starting(ProcessId::current()?);
        status_file.write(&status);
        self.group.join(!self.in_unified);
        let group = self.spec.runtime.as_ref().and_then(|_| cgroup::own());
        // Kernels without cgroup namespaces show the host's paths instead.
        let _ = sys::unshare(libc::CLONE_NEWCGROUP);
        let mut warnings = network::set_up(self.spec.network.as_ref(), self.peer)?;
        rustix::system::sethostname(self.spec.hostname.as_bytes())
            .during("set the hostname", &self.spec.hostname)?;
        let (more, outside) = Builder::new(self.spec, self.container, self.rootless).build()?;
        warnings.extend(more);
        self.wait_at_gate()?;
        Ok((status, status_file, warnings, outside.map(|outside| (outside, group))))
    }

    /// Waits until the other end of the interface is there.
    fn wait_at_gate(&self) -> Result<()> {
        let mut gate = &self.gate;
        let passed = gate.write_all(&[1]).and_then(|()| gate.read_exact(&mut [0]));
        passed.during("hear from", "the launcher")?;
        Ok(())
    }

    /// What `ps` and `top` show: `weft:NAME`, cut to 15 bytes by the kernel.
    fn name_process(&self) {
        if let Ok(name) = std::ffi::CString::new(format!("weft:{}", self.spec.name)) {
            let _ = rustix::thread::set_name(&name);
        }
    }
}

/// Makes a container's directory, empty but for its lock, and takes the lock: the proof that no init of this name lives.
pub(crate) fn prepare_directory(container: &Container) -> Result<OwnedFd> {
    let directory = container.directory();
    let mut builder = fs::DirBuilder::new();
    builder.recursive(true).mode(0o700).create(directory).during("make", directory.display())?;
    let lock = take_lock(container)?;
    if let Ok(Some(journal)) = container.journal() {
        let _ = cgroup::remove(&journal.cgroups);
    }
    for entry in fs::read_dir(directory).during("list", directory.display())?.flatten() {
        if entry.file_name() != "lock" {
            crate::stop::remove_tree(&entry.path())?;
        }
    }
    for path in [container.log_directory(), container.layers()] {
        fs::create_dir(&path).during("make", path.display())?;
    }
    // The container's root can look into neither; others on the host shall not, either.
    let private = fs::Permissions::from_mode(0o700);
    fs::set_permissions(directory, private).during("set the mode of", directory.display())?;
    Ok(lock)
}

fn take_lock(container: &Container) -> Result<OwnedFd> {
    let path = container.lock();
    for _ in 0..16 {
        let flags = OFlags::RDWR | OFlags::CREATE | OFlags::CLOEXEC;
        let lock =
            rustix::fs::open(&path, flags, Mode::from_raw_mode(0o600)).during("make", path.display())?;
        if rustix::fs::flock(&lock, FlockOperation::NonBlockingLockExclusive).is_err() {
            return Err(Error::AlreadyRunning(container.name().into()));
        }
        // A stop may have removed the file between the two steps; then the lock is on a file nobody else finds.
        let same = rustix::fs::fstat(&lock).ok().zip(fs::metadata(&path).ok());
        if same.is_some_and(|(held, named)| held.st_ino == named.ino()) {
            return Ok(lock);
        }
    }
    Err(Error::AlreadyRunning(container.name().into()))
}

/// Where a container that has health checks shows that they succeed. What one of its name has left there goes first.
fn ready_mark(spec: &ContainerSpec, container: &Container) -> Result<Option<ReadyMark>> {
    crate::stop::remove_tree(&container.ready_mark())?;
    if spec.health.is_none() {
        return Ok(None);
    }
    let path = Deployment::new(&spec.state).ready();
    let mut builder = fs::DirBuilder::new();
    builder.recursive(true).mode(0o700).create(&path).during("make", path.display())?;
    Ok(Some(ReadyMark::new(open_directory(&path)?, &spec.name)))
}

fn open_directory(path: &std::path::Path) -> Result<OwnedFd> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    rustix::fs::open(path, flags, Mode::empty()).during("open", path.display())
}
