//! A program that nobody trusts, started where it can do nothing but compute on the descriptors it was passed.
//!
//! ```text
//!  caller ──clone3──▶ user, mount, process, network, IPC, UTS and cgroup namespaces of its own
//!    │ maps users       │ /           a read-only tmpfs: the program, its libraries, nothing else
//!    │                  │ user        nobody, no capabilities, no new privileges
//!    │                  │ limits      no processes, no files that grow, no core, bounded memory
//!    │                  │ 0, 1, 2     /dev/null; then the descriptors that were passed, from 3 on
//!    │                  │ seccomp     first stage, see `filter`
//!    ◀── report ────────┴ exec ──▶ the program ── tighten ──▶ second stage, packets
//! ```
//!
//! The root is built before the exec, and not emptied after, so that a program which is itself hostile is never
//! outside of it. The loader is started by its own name with the directory of libraries as an argument: the environment
//! is empty.
//!
//! Unlike containers ([`crate::launch`]) these are started from processes with many threads, so what happens between
//! the clone and the exec is system calls on values made before, and allocates nothing.

mod child;
mod filter;

use std::ffi::CString;
use std::fs;
use std::io::{PipeReader, Read, Write};
use std::os::fd::{AsRawFd, OwnedFd, RawFd};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec};
use rustix::process::{Pid, PidfdFlags, Signal, WaitOptions};

use crate::error::{During, Error, Result};
use crate::status::Exit;
use crate::sys::{self, Fork};

pub use filter::tighten;

/// The first descriptor that is passed: behind the standard ones.
pub const FIRST_PASSED: i32 = 3;
/// The most descriptors that are passed.
pub const PASSED_MAX: usize = 16;
/// The most libraries of a program.
pub const LIBRARIES_MAX: usize = 31;
/// The user that a confined program is, if the caller has a choice.
const NOBODY: u32 = 65_534;

/// A program, and the libraries that its loader will look for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Program {
    /// The executable. Anyone must be allowed to execute it.
    pub path: PathBuf,
    /// All of its libraries and its loader, whose name begins with `ld-` (or `ld.`); none for a static executable.
    pub libraries: Vec<PathBuf>,
}

impl Program {
    /// The calling program, with the libraries that it has loaded.
    ///
    /// # Errors
    /// `/proc` is not there.
    pub fn this() -> Result<Self> {
        let path = std::env::current_exe().during("find", "the calling program")?;
        let maps = fs::read_to_string("/proc/self/maps").during("read", "/proc/self/maps")?;
        let mut libraries: Vec<PathBuf> = maps
            .lines()
            .filter(|line| line.split(' ').nth(1).is_some_and(|access| access.contains('x')))
            .filter_map(|line| line.find('/').map(|at| PathBuf::from(&line[at..])))
            .filter(|library| *library != path)
            .collect();
        libraries.sort_unstable();
        libraries.dedup();
        Ok(Self { path, libraries })
    }

    fn loader(&self) -> Option<&Path> {
        let is_loader = |path: &&PathBuf| {
            let name = path.file_name().unwrap_or_default().to_string_lossy();
            name.starts_with("ld-") || name.starts_with("ld.")
        };
        self.libraries.iter().find(is_loader).map(PathBuf::as_path)
    }
}

/// How to confine a program.
#[derive(Debug)]
pub struct Confinement {
    /// What to run.
    pub program: Program,
    /// Its arguments, without its name.
    pub arguments: Vec<String>,
    /// Descriptors it is passed, as 3, 4, and so on.
    pub passed: Vec<OwnedFd>,
    /// The most bytes of address space. A limit that is lower already stays.
    pub memory_max: u64,
}

/// A confined program that runs. Dropping this kills it.
#[derive(Debug)]
pub struct Confined {
    pid: Pid,
    handle: OwnedFd,
    exit: Option<Exit>,
}

/// Starts a program. It is killed when the calling *thread* ends (prctl(2), `PR_SET_PDEATHSIG`), or this value is dropped.
///
/// # Errors
/// A step of it failed, and which; user namespaces are forbidden to an ordinary user; too many descriptors or libraries.
pub fn spawn(confinement: Confinement) -> Result<Confined> {
    let Confinement { program, arguments, passed, memory_max } = confinement;
    if passed.len() > PASSED_MAX {
        return Err(Error::invalid("descriptors", passed.len(), "are more than a program is passed"));
    }
    if program.libraries.len() > LIBRARIES_MAX {
        return Err(Error::invalid("libraries", program.libraries.len(), "are more than a program may have"));
    }
    let (report, report_writer) = std::io::pipe().during("make", "a pipe")?;
    let (gate_reader, gate) = std::io::pipe().during("make", "a pipe")?;
    let mut plan = child::Plan {
        files: files(&program)?,
        start: sys::Start::new(start(&program, &arguments)?),
        null: fs::File::options()
            .read(true)
            .write(true)
            .open("/dev/null")
            .during("open", "/dev/null")?
            .into(),
        passed,
        memory_max,
        filter: filter::loading()?,
        gate: gate_reader.into(),
        report: report_writer.into(),
        new_user: true,
    };
    let pid = clone(&mut plan, [gate.as_raw_fd(), report.as_raw_fd()])?;
    let handle = rustix::process::pidfd_open(pid, PidfdFlags::empty()).during("open process", pid);
    // From here on dropping it kills.
    let mut confined = Confined { pid, handle: handle?, exit: None };
    if plan.new_user {
        map_user(pid)?;
    }
    let new_user = plan.new_user;
    drop(plan);
    let mut gate = gate;
    gate.write_all(&[1]).during("start", "a confined process")?;
    hear(report, new_user).inspect_err(|_| confined.kill())?;
    Ok(confined)
}

/// Clones the first process; without a user namespace if they are not to be had and the caller is root.
fn clone(plan: &mut child::Plan, parents: [RawFd; 2]) -> Result<Pid> {
    let flags = libc::CLONE_NEWNS
        | libc::CLONE_NEWPID
        | libc::CLONE_NEWNET
        | libc::CLONE_NEWUTS
        | libc::CLONE_NEWIPC
        | libc::CLONE_NEWCGROUP;
    let root = rustix::process::geteuid().is_root();
    let forked = match sys::fork_threads(flags | libc::CLONE_NEWUSER) {
        Err(_) if root => {
            plan.new_user = false;
            sys::fork_threads(flags).during("make namespaces for", "a confined process")?
        }
        Err(error) => return Err(crate::sandbox::refused(&error)),
        Ok(forked) => forked,
    };
    match forked {
        Fork::Child => plan.run(parents),
        Fork::Parent(pid) => Ok(pid),
    }
}

/// Waits until the program has started: the report closes with the exec.
fn hear(mut report: PipeReader, new_user: bool) -> Result<()> {
    let mut text = Vec::new();
    report.read_to_end(&mut text).during("hear from", "a confined process")?;
    match text[..] {
        [] => Ok(()),
        [step, ref errno @ ..] if errno.len() == 4 => Err(Error::System {
            action: child::STEPS.get(usize::from(step)).copied().unwrap_or("start").into(),
            subject: if new_user {
                "a confined process"
            } else {
                "a confined process without a user namespace"
            }
            .into(),
            errno: i32::from_ne_bytes([errno[0], errno[1], errno[2], errno[3]]),
        }),
        _ => Err(Error::Message("a confined process reports nonsense".into())),
    }
}

/// What the root holds: where from, and where to relative to its directory.
fn files(program: &Program) -> Result<Vec<(CString, CString)>> {
    let entry = |from: &Path, to: String| {
        let from = sys::c_path(from).during("name", from.display())?;
        Ok((from, CString::new(to).map_err(|_| Error::invalid("library", "", "holds a zero byte"))?))
    };
    let libraries = program.libraries.iter().map(|library| {
        let name = library.file_name().unwrap_or_default().to_string_lossy();
        entry(library, format!("lib/{name}"))
    });
    std::iter::once(entry(&program.path, "program".into())).chain(libraries).collect()
}

/// What is executed, in the new root.
fn start(program: &Program, arguments: &[String]) -> Result<Vec<CString>> {
    let mut words = Vec::new();
    if let Some(loader) = program.loader() {
        let name = loader.file_name().unwrap_or_default().to_string_lossy();
        words.extend([format!("/lib/{name}"), "--library-path".into(), "/lib".into()]);
    }
    words.push("/program".into());
    words.extend_from_slice(arguments);
    words
        .into_iter()
        .map(|word| {
            let error = Error::invalid("argument", &word, "holds a zero byte");
            CString::new(word).map_err(|_| error)
        })
        .collect()
}

/// Makes the process's one user, [`child::USER`], nobody of the machine, or the caller where the caller is not root.
fn map_user(pid: Pid) -> Result<()> {
    let directory = PathBuf::from(format!("/proc/{}", pid.as_raw_pid()));
    let (uid, gid) = (rustix::process::geteuid().as_raw(), rustix::process::getegid().as_raw());
    let write = |file: &str, text: &str| {
        let path = directory.join(file);
        fs::write(&path, text).during("write", path.display())
    };
    let map = |file: &str, id: u32| write(file, &format!("{} {id} 1", child::USER));
    if uid == 0 {
        // Inside a container root's namespace may have no nobody.
        map("gid_map", NOBODY).or_else(|_| map("gid_map", gid))?;
        return map("uid_map", NOBODY).or_else(|_| map("uid_map", uid));
    }
    // user_namespaces(7): an ordinary user may map a group only after setgroups(2) was given up.
    write("setgroups", "deny")?;
    map("gid_map", gid)?;
    map("uid_map", uid)
}

/// Inside a confined program: the first `N` descriptors that it was passed. To be asked for once, before anything else
/// is opened.
///
/// # Errors
/// One of them is not there, or they were asked for before.
pub fn passed<const N: usize>() -> Result<[OwnedFd; N]> {
    static ASKED: AtomicBool = AtomicBool::new(false);
    if N > PASSED_MAX || ASKED.swap(true, Ordering::Relaxed) {
        return Err(Error::invalid("descriptors", N, "are too many, or were taken before"));
    }
    let mut number = FIRST_PASSED;
    sys::take_descriptors(std::array::from_fn(|_| {
        number += 1;
        number - 1
    }))
    .during("take", "the descriptors that were passed")
}

impl Confined {
    /// Its number.
    #[must_use]
    pub fn id(&self) -> u32 {
        self.pid.as_raw_pid() as u32
    }

    /// Ends it at once. It need not have run; what it was passed is closed when [`Confined::wait`] says so.
    pub fn kill(&mut self) {
        if self.exit.is_none() {
            let _ = rustix::process::pidfd_send_signal(&self.handle, Signal::KILL);
        }
    }

    /// Waits for its end; how it ended, or `None` if it still runs after `limit`.
    ///
    /// # Errors
    /// Somebody else has waited for it.
    pub fn wait(&mut self, limit: Duration) -> Result<Option<Exit>> {
        if self.exit.is_some() {
            return Ok(self.exit);
        }
        let limit = Timespec { tv_sec: limit.as_secs() as i64, tv_nsec: limit.subsec_nanos().into() };
        let _ = rustix::event::poll(&mut [PollFd::new(&self.handle, PollFlags::IN)], Some(&limit));
        let status = rustix::process::waitpid(Some(self.pid), WaitOptions::NOHANG)
            .during("wait for process", self.pid)?;
        self.exit = status.and_then(|(_, status)| crate::init::exit_of(status));
        Ok(self.exit)
    }
}

impl Drop for Confined {
    fn drop(&mut self) {
        if self.exit.is_none() {
            self.kill();
            let _ = rustix::process::waitpid(Some(self.pid), WaitOptions::empty());
        }
    }
}
