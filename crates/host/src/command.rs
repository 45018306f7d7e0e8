//! Turning a process into a container's command: user, capabilities, environment, program.

use std::collections::BTreeMap;
use std::ffi::CString;
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

use rustix::process::{Gid, Uid};
use rustix::thread::{CapabilitySet, CapabilitySets};

use crate::error::{During, Error, Result};
use crate::spec::{Capabilities, ContainerSpec};
use crate::sys;
use crate::user::{self, User};

/// Where programs are looked for unless the environment says otherwise.
pub const DEFAULT_PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// Everything a command needs, made ready so that the forked child only makes system calls.
#[derive(Debug)]
pub(crate) struct Prepared {
    words: Vec<CString>,
    environment: Vec<CString>,
    path: String,
    user: User,
    cwd: PathBuf,
    capabilities: CapabilitySet,
    no_new_privs: bool,
}

impl Prepared {
    /// Looks up the user in the present root, which must be the container's.
    pub(crate) fn new(spec: &ContainerSpec) -> Result<Self> {
        let user = user::find(spec.user.as_deref())?;
        let mut env = BTreeMap::from([
            ("PATH".to_owned(), DEFAULT_PATH.to_owned()),
            ("HOME".to_owned(), user.home.display().to_string()),
            ("HOSTNAME".to_owned(), spec.hostname.clone()),
        ]);
        env.extend(spec.env.clone());
        let path = env.get("PATH").cloned().unwrap_or_default();
        let strings = |texts: Vec<String>| -> Result<Vec<CString>> {
            texts.into_iter().map(|text| c_string(&text)).collect()
        };
        Ok(Self {
            words: strings(spec.command.clone())?,
            environment: strings(env.into_iter().map(|(key, value)| format!("{key}={value}")).collect())?,
            path,
            user,
            cwd: spec.cwd.clone(),
            capabilities: capability_set(spec.capabilities),
            no_new_privs: spec.no_new_privs,
        })
    }

    pub(crate) fn user(&self) -> &User {
        &self.user
    }

    /// `NAME=value`, each.
    pub(crate) fn environment(&self) -> Vec<String> {
        self.environment.iter().map(|entry| entry.to_string_lossy().into_owned()).collect()
    }

    /// Names of the capabilities that it may hold, as in linux/capability.h.
    pub(crate) fn capabilities(&self) -> Vec<String> {
        self.capabilities.iter_names().map(|(name, _)| format!("CAP_{name}")).collect()
    }

    /// Looks for the program where [`Prepared::run`] would, as far as that can be done without running it.
    pub(crate) fn find(&self) -> Result<()> {
        let command = self.words[0].to_string_lossy().into_owned();
        let (found, path) = match command.contains('/') {
            true => (self.cwd.join(&command).exists(), String::new()),
            false => {
                let mut directories = self.path.split(':').filter(|directory| !directory.is_empty());
                (directories.any(|directory| Path::new(directory).join(&command).exists()), self.path.clone())
            }
        };
        if found { Ok(()) } else { Err(Error::MissingCommand { command, path }) }
    }

    /// Becomes the command. Returns only if that failed.
    pub(crate) fn run(&self) -> Error {
        match self.give_up_powers().and_then(|()| self.change_directory()) {
            Ok(()) => self.exec(),
            Err(error) => error,
        }
    }

    /// As [`Prepared::run`]; the command ends when the process that forked it does, which holds the other end of the
    /// pipe `caller`.
    pub(crate) fn run_with_caller(&self, caller: &File) -> Error {
        crate::init::die_with_parent(caller);
        let ready = self.give_up_powers().map(|()| {
            // Taking on a user has cleared the tie (prctl(2), PR_SET_PDEATHSIG).
            crate::init::die_with_parent(caller);
        });
        match ready.and_then(|()| self.change_directory()) {
            Ok(()) => self.exec(),
            Err(error) => error,
        }
    }

    fn change_directory(&self) -> Result<()> {
        rustix::process::chdir(&self.cwd).during("change to working directory", self.cwd.display())
    }

    fn give_up_powers(&self) -> Result<()> {
        let name = || format!("{}:{}", self.user.uid, self.user.gid);
        for number in 0..64 {
            let capability = CapabilitySet::from_bits_retain(1 << number);
            if self.capabilities.contains(capability) {
                continue;
            }
            match rustix::thread::remove_capability_from_bounding_set(capability) {
                Ok(()) => {}
                // Beyond the last capability this kernel knows.
                Err(rustix::io::Errno::INVAL) => break,
                Err(error) => return Err(error).during("drop capabilities of", name()),
            }
        }
        let groups: Vec<Gid> = self.user.groups.iter().map(|&gid| Gid::from_raw(gid)).collect();
        match rustix::thread::set_thread_groups(&groups) {
            // Given up for good in a user namespace with a single group (user_namespaces(7)).
            Err(rustix::io::Errno::PERM) => {}
            outcome => outcome.during("set the groups of", name())?,
        }
        self.take_on_user().during("take on the user", name())?;
        if self.user.uid == 0 {
            let held = rustix::thread::capabilities(None).during("read", "capabilities")?;
            let kept = held.permitted & self.capabilities;
            let sets =
                CapabilitySets { effective: kept, permitted: kept, inheritable: CapabilitySet::empty() };
            rustix::thread::set_capabilities(None, sets).during("drop capabilities of", name())?;
        }
        if self.no_new_privs {
            rustix::thread::set_no_new_privs(true).during("set", "no_new_privs")?;
        }
        Ok(())
    }

    fn take_on_user(&self) -> io::Result<()> {
        let (uid, gid) = (Uid::from_raw(self.user.uid), Gid::from_raw(self.user.gid));
        let taken = rustix::thread::set_thread_res_gid(gid, gid, gid)
            .and_then(|()| rustix::thread::set_thread_res_uid(uid, uid, uid));
        match taken {
            // The user does not exist in a user namespace with a single one. Then the only user there is takes its
            // number in a namespace nested in that: servers that refuse to run as root are content.
            Err(rustix::io::Errno::INVAL) => self.nest_user(),
            outcome => outcome.map_err(io::Error::from),
        }
    }

    fn nest_user(&self) -> io::Result<()> {
        let (own_uid, own_gid) = (rustix::process::geteuid().as_raw(), rustix::process::getegid().as_raw());
        sys::unshare(libc::CLONE_NEWUSER)?;
        // user_namespaces(7): a process may map its own user and, without setgroups(2), its own group.
        fs::write("/proc/self/setgroups", "deny")?;
        fs::write("/proc/self/uid_map", format!("{} {own_uid} 1", self.user.uid))?;
        fs::write("/proc/self/gid_map", format!("{} {own_gid} 1", self.user.gid))
    }

    /// As execvp(3), in the container's `PATH`.
    fn exec(&self) -> Error {
        let command = self.words[0].to_string_lossy().into_owned();
        let unrunnable = |error: &io::Error| Error::UnrunnableCommand {
            command: command.clone(),
            errno: error.raw_os_error().unwrap_or(libc::EIO),
        };
        if command.contains('/') {
            let error = self.exec_at(&self.words[0]);
            return match error.raw_os_error() {
                Some(libc::ENOENT) if !Path::new(&command).exists() => {
                    Error::MissingCommand { command, path: String::new() }
                }
                _ => unrunnable(&error),
            };
        }
        let mut refused = None;
        for directory in self.path.split(':').filter(|directory| !directory.is_empty()) {
            let Ok(program) = c_string(&format!("{directory}/{command}")) else { continue };
            let error = self.exec_at(&program);
            if !matches!(error.raw_os_error(), Some(libc::ENOENT | libc::ENOTDIR)) {
                refused.get_or_insert(error);
            }
        }
        match refused {
            Some(error) => unrunnable(&error),
            None => Error::MissingCommand { command, path: self.path.clone() },
        }
    }

    fn exec_at(&self, program: &CString) -> io::Error {
        match sys::execve(program, &self.words, &self.environment) {
            Err(error) => error,
            Ok(never) => match never {},
        }
    }
}

pub(crate) fn c_string(text: &str) -> Result<CString> {
    CString::new(text)
        .map_err(|_| Error::invalid("command or environment", text.escape_debug(), "holds a zero byte"))
}

fn capability_set(capabilities: Capabilities) -> CapabilitySet {
    let server = CapabilitySet::CHOWN
        | CapabilitySet::DAC_OVERRIDE
        | CapabilitySet::FOWNER
        | CapabilitySet::FSETID
        | CapabilitySet::KILL
        | CapabilitySet::SETGID
        | CapabilitySet::SETUID
        | CapabilitySet::SETPCAP
        | CapabilitySet::SETFCAP
        | CapabilitySet::NET_BIND_SERVICE
        | CapabilitySet::NET_RAW
        | CapabilitySet::SYS_CHROOT
        | CapabilitySet::AUDIT_WRITE;
    match capabilities {
        Capabilities::Server => server,
        Capabilities::Network => server | CapabilitySet::NET_ADMIN,
        Capabilities::All => CapabilitySet::all(),
    }
}
