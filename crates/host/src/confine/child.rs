//! From the clone to the exec. The process is a copy of one that may have had many threads, any of which may have
//! held a lock: so there are only system calls here, on values that the parent has made.

use std::ffi::CString;
use std::os::fd::{AsRawFd, OwnedFd, RawFd};

use rustix::event::{PollFd, PollFlags, Timespec};
use rustix::fs::{CWD, Mode, OFlags};
use rustix::io::{Errno, Result};
use rustix::mount::{MountFlags, MountPropagationFlags, MoveMountFlags, OpenTreeFlags, UnmountFlags};
use rustix::process::{Resource, Rlimit, Signal};
use rustix::thread::{CapabilitySet, CapabilitySets, Gid, Uid};
use seccompiler::BpfProgram;

use super::{FIRST_PASSED, LIBRARIES_MAX, NOBODY};
use crate::sys;

/// The one user of the new user namespace. Not root, so that the exec leaves it without capabilities.
pub(super) const USER: u32 = 1;
/// What each step does, for an error's text.
pub(super) const STEPS: [&str; 7] = [
    "take hold of the files of",
    "change the user of",
    "build the root of",
    "limit",
    "pass descriptors to",
    "filter",
    "execute",
];
/// Where the new root is put together: a directory that every machine has.
const PLACE: &std::ffi::CStr = c"/proc";
/// Descriptors are moved out of the way to here.
const ASIDE: RawFd = 64;

/// Descriptors that the loader has open at once, and a few to spare.
const LOADER_DESCRIPTORS: u64 = 8;

/// All that the child needs.
pub(super) struct Plan {
    pub(super) files: Vec<(CString, CString)>,
    pub(super) start: sys::Start,
    pub(super) null: OwnedFd,
    pub(super) passed: Vec<OwnedFd>,
    pub(super) memory_max: u64,
    pub(super) filter: BpfProgram,
    /// Readable when the parent has mapped the user.
    pub(super) gate: OwnedFd,
    pub(super) report: OwnedFd,
    pub(super) new_user: bool,
}

impl Plan {
    /// Becomes the program, or says at which step that failed. Its copies of the parent's ends of the two pipes are
    /// closed, so that it notices a parent that dies.
    pub(super) fn run(&mut self, parents: [RawFd; 2]) -> ! {
        parents.into_iter().for_each(sys::close);
        if rustix::io::read(&self.gate, &mut [0]) != Ok(1) {
            sys::exit_now(1);
        }
        let mut step = 0;
        let error = self.steps(&mut step).err().unwrap_or(Errno::NOEXEC);
        let errno = error.raw_os_error().to_ne_bytes();
        let _ = rustix::io::write(&self.report, &[step, errno[0], errno[1], errno[2], errno[3]]);
        sys::exit_now(1)
    }

    fn steps(&mut self, step: &mut u8) -> Result<()> {
        let mut trees = [const { None }; LIBRARIES_MAX + 1];
        self.take_files(&mut trees)?;
        *step = 1;
        if self.new_user {
            become_user(USER)?;
        }
        *step = 2;
        self.build_root(&trees)?;
        if !self.new_user {
            *step = 1;
            become_user(NOBODY)?;
        }
        *step = 3;
        self.limit()?;
        *step = 4;
        self.pass()?;
        *step = 5;
        sys::default_signals();
        rustix::thread::set_capabilities(
            None,
            CapabilitySets {
                effective: CapabilitySet::empty(),
                permitted: CapabilitySet::empty(),
                inheritable: CapabilitySet::empty(),
            },
        )?;
        rustix::process::set_parent_process_death_signal(Some(Signal::KILL))?;
        // The parent may have gone before: then nobody reads the report.
        let mut polled = [PollFd::new(&self.report, PollFlags::OUT)];
        let _ = rustix::event::poll(&mut polled, Some(&Timespec { tv_sec: 0, tv_nsec: 0 }));
        if polled[0].revents().contains(PollFlags::ERR) {
            sys::exit_now(1);
        }
        seccompiler::apply_filter(&self.filter).map_err(|_| Errno::NOSYS)?;
        *step = 6;
        self.start
            .exec()
            .map(|never| match never {})
            .map_err(|error| Errno::from_io_error(&error).unwrap_or(Errno::NOEXEC))
    }

    /// Clones the files' mounts while the caller's paths, and rights to them, still hold.
    fn take_files(&self, trees: &mut [Option<OwnedFd>; LIBRARIES_MAX + 1]) -> Result<()> {
        let private = MountPropagationFlags::PRIVATE | MountPropagationFlags::REC;
        rustix::mount::mount_change(c"/", private)?;
        let flags = OpenTreeFlags::OPEN_TREE_CLONE | OpenTreeFlags::OPEN_TREE_CLOEXEC;
        for ((from, _), tree) in self.files.iter().zip(trees) {
            *tree = Some(rustix::mount::open_tree(CWD, from.as_c_str(), flags)?);
        }
        Ok(())
    }

    fn build_root(&self, trees: &[Option<OwnedFd>]) -> Result<()> {
        rustix::mount::mount(
            c"tmpfs",
            PLACE,
            c"tmpfs",
            MountFlags::NOSUID | MountFlags::NODEV,
            c"mode=555,size=64k",
        )?;
        rustix::process::chdir(PLACE)?;
        rustix::fs::mkdir(c"lib", Mode::from_raw_mode(0o755))?;
        for ((_, to), tree) in self.files.iter().zip(trees.iter().flatten()) {
            let flags = OFlags::CREATE | OFlags::EXCL | OFlags::WRONLY | OFlags::CLOEXEC;
            drop(rustix::fs::open(to.as_c_str(), flags, Mode::from_raw_mode(0o444))?);
            let flags = MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH;
            rustix::mount::move_mount(tree, c"", CWD, to.as_c_str(), flags)?;
        }
        rustix::process::pivot_root(c".", c".")?;
        rustix::mount::unmount(c".", UnmountFlags::DETACH)?;
        rustix::process::chdir(c"/")?;
        sys::mount_read_only(c"/").map_err(|error| Errno::from_io_error(&error).unwrap_or(Errno::IO))?;
        rustix::system::sethostname(b"confined")
    }

    fn limit(&self) -> Result<()> {
        for (resource, most) in [
            (Resource::As, self.memory_max),
            (Resource::Core, 0),
            (Resource::Fsize, 0),
            (Resource::Memlock, 0),
            (Resource::Msgqueue, 0),
            (Resource::Nproc, 0),
        ] {
            lower(resource, most)?;
        }
        Ok(())
    }

    /// Puts the passed descriptors where they belong, and sees to it that the exec closes all others.
    fn pass(&mut self) -> Result<()> {
        let aside = |descriptor: &OwnedFd| rustix::io::fcntl_dupfd_cloexec(descriptor, ASIDE);
        self.report = aside(&self.report)?;
        self.null = aside(&self.null)?;
        for passed in &mut self.passed {
            *passed = aside(passed)?;
        }
        for (passed, to) in [&self.null; FIRST_PASSED as usize].into_iter().chain(&self.passed).zip(0..) {
            sys::duplicate_to(passed.as_raw_fd(), to)?;
        }
        let first_other = FIRST_PASSED + self.passed.len() as RawFd;
        sys::close_on_exec_from(first_other)?;
        lower(Resource::Nofile, first_other as u64 + LOADER_DESCRIPTORS)
    }
}

fn lower(resource: Resource, most: u64) -> Result<()> {
    let now = rustix::process::getrlimit(resource);
    let least = |limit: Option<u64>| Some(limit.map_or(most, |limit| limit.min(most)));
    rustix::process::setrlimit(resource, Rlimit { current: least(now.current), maximum: least(now.maximum) })
}

fn become_user(id: u32) -> Result<()> {
    let (uid, gid) = (Uid::from_raw(id), Gid::from_raw(id));
    // Forbidden to what an ordinary user has started, whose groups reach no file in there.
    let _ = rustix::thread::set_thread_groups(&[]);
    rustix::thread::set_thread_res_gid(gid, gid, gid)?;
    rustix::thread::set_thread_res_uid(uid, uid, uid)
}
