//! Where a deployment lives: among the host's users as root, or in one user namespace of its own.
//!
//! Without root everything of a deployment (dataplane, containers, edge) lives in **one** user
//! namespace, made by the first of its processes and entered by later ones. It ends with the last.

use std::fs;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::Command;

use rustix::process::{Signal, WaitOptions};
use serde::{Deserialize, Serialize};

use crate::error::{During, Error, Result};
use crate::process::{OneThread, ProcessId};
use crate::sys::{self, Fork};

/// Where a deployment lives.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Sandbox {
    /// In the host's user namespace, with root's powers.
    Root,
    /// In a user namespace where the calling user is root.
    Rootless,
}

/// Which namespaces of a running process to enter.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Enter {
    /// Only the user namespace.
    User,
    /// The user and the network namespace.
    UserAndNetwork,
}

impl Sandbox {
    /// `Root` when the process may make namespaces as it is, `Rootless` otherwise.
    #[must_use]
    pub fn detect() -> Self {
        let admin = rustix::thread::capabilities(None)
            .is_ok_and(|sets| sets.effective.contains(rustix::thread::CapabilitySet::SYS_ADMIN));
        if rustix::process::geteuid().is_root() && admin { Self::Root } else { Self::Rootless }
    }

    /// Makes the calling process the first of a deployment: `Rootless` puts it into a new user
    /// namespace in which it is root; `Root` does nothing. The process must have one thread.
    ///
    /// # Errors
    /// The kernel or its configuration forbids user namespaces; the error says what to change.
    pub fn create_here(self) -> Result<()> {
        match self {
            Self::Root => Ok(()),
            Self::Rootless => become_root(),
        }
    }

    /// Makes the calling process part of the deployment that `member` belongs to.
    /// The process must have one thread.
    ///
    /// # Errors
    /// `member` has ended or belongs to another user.
    pub fn enter(self, member: ProcessId, what: Enter) -> Result<()> {
        OneThread::check()?;
        let user = fs::File::open(member.namespace("user"))
            .during("open the user namespace of process", member.pid)?;
        let netns = match what {
            Enter::User => None,
            Enter::UserAndNetwork => Some(crate::netns::of(member)?),
        };
        if !member.is_alive() {
            return Err(Error::NotRunning(format!("process {}", member.pid)));
        }
        if self == Self::Rootless && !same_namespace(member, "user") {
            sys::setns(user, libc::CLONE_NEWUSER)
                .during("enter the user namespace of process", member.pid)?;
            // Entering gives all capabilities there but keeps the user; be its root.
            set_ids(0, 0).during("become root in the user namespace of process", member.pid)?;
        }
        if let Some(netns) = netns {
            sys::setns(netns, libc::CLONE_NEWNET)
                .during("enter the network namespace of process", member.pid)?;
        }
        Ok(())
    }

    /// Starts a process that does nothing but keep a new sandbox alive, with a network namespace of
    /// its own if asked for. The calling process must have one thread and stays where it is.
    ///
    /// # Errors
    /// As [`Sandbox::create_here`].
    pub fn hold(self, network: bool) -> Result<Holder> {
        let single = OneThread::check()?;
        let (reader, writer) = std::io::pipe().during("make", "a pipe")?;
        match sys::fork(single).during("fork", "a holder")? {
            Fork::Child => {
                // It must not keep the caller's pipes and files open.
                let made =
                    crate::init::keep_only(&[&writer]).and_then(|()| self.create_here()).and_then(|()| {
                        let _ = rustix::thread::set_name(c"weft:holder");
                        if network { crate::netns::unshare_here() } else { Ok(()) }
                    });
                let _ = rustix::process::setsid();
                let _ = serde_json::to_writer(&writer, &made);
                drop(writer);
                if made.is_err() {
                    sys::exit_now(1);
                }
                loop {
                    let _ =
                        rustix::thread::nanosleep(&rustix::time::Timespec { tv_sec: 1 << 30, tv_nsec: 0 });
                }
            }
            Fork::Parent(pid) => {
                drop(writer);
                let mut text = String::new();
                let mut reader = reader;
                reader.read_to_string(&mut text).during("hear from", "a holder")?;
                let made: Result<()> =
                    serde_json::from_str(&text).map_err(|_| Error::Died("holder".into(), "start".into()))?;
                made?;
                Ok(Holder { process: ProcessId::of(pid.as_raw_pid() as u32)? })
            }
        }
    }
}

/// A process that keeps a sandbox alive. It is not ended by dropping this.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Holder {
    /// The process.
    pub process: ProcessId,
}

impl Holder {
    /// Ends it, and with it the sandbox, if nothing else lives there.
    ///
    /// # Errors
    /// It belongs to another user.
    pub fn stop(self) -> Result<()> {
        self.process.kill(Signal::KILL).map(drop)
    }
}

/// Whether the calling process is in the user namespace the machine started with.
#[must_use]
pub fn in_first_user_namespace() -> bool {
    fs::read_to_string("/proc/self/uid_map")
        .is_ok_and(|map| map.split_whitespace().eq(["0", "0", "4294967295"]))
}

pub(crate) fn same_namespace(process: ProcessId, kind: &str) -> bool {
    let own = fs::read_link(Path::new("/proc/self/ns").join(kind));
    let other = fs::read_link(process.namespace(kind));
    matches!((own, other), (Ok(own), Ok(other)) if own == other)
}

/// Takes on user and group; without CAP_SETGID over the namespace (one mapped id) that they are so already is enough.
fn set_ids(uid: u32, gid: u32) -> rustix::io::Result<()> {
    let (uid, gid) = (rustix::process::Uid::from_raw(uid), rustix::process::Gid::from_raw(gid));
    rustix::thread::set_thread_res_gid(gid, gid, gid)?;
    rustix::thread::set_thread_res_uid(uid, uid, uid)
}

/// Enters a new user namespace and becomes its root. A forked helper stays outside to write the maps.
fn become_root() -> Result<()> {
    let single = OneThread::check()?;
    let maps = Maps::plan()?;
    let target = std::process::id();
    let (gate_reader, gate) = std::io::pipe().during("make", "a pipe")?;
    let (answer, answer_writer) = std::io::pipe().during("make", "a pipe")?;
    let helper = match sys::fork(single).during("fork", "a helper")? {
        Fork::Child => {
            drop((gate, answer));
            let mut byte = [0];
            let mut gate_reader = gate_reader;
            let written = match gate_reader.read_exact(&mut byte) {
                Ok(()) => maps.write(target),
                Err(_) => sys::exit_now(1),
            };
            let _ = serde_json::to_writer(&answer_writer, &written);
            sys::exit_now(0)
        }
        Fork::Parent(pid) => pid,
    };
    drop((gate_reader, answer_writer));
    let made = sys::unshare(libc::CLONE_NEWUSER).map_err(|error| refused(&error));
    if made.is_ok() {
        use std::io::Write;
        let mut gate = gate;
        gate.write_all(&[1]).during("start", "the helper that maps users")?;
    } else {
        drop(gate);
    }
    let mut text = String::new();
    let mut answer = answer;
    let heard = answer.read_to_string(&mut text);
    let _ = rustix::process::waitpid(Some(helper), WaitOptions::empty());
    made?;
    heard.during("hear from", "the helper that maps users")?;
    let written: Result<()> =
        serde_json::from_str(&text).map_err(|_| Error::Died("user map helper".into(), "writing".into()))?;
    written?;
    set_ids(0, 0).during("become root in", "the new user namespace")
}

pub(crate) fn refused(error: &std::io::Error) -> Error {
    let read = |path: &str| fs::read_to_string(path).map(|text| text.trim().to_owned()).unwrap_or_default();
    let advice = if read("/proc/sys/kernel/apparmor_restrict_unprivileged_userns") == "1" {
        "AppArmor forbids it: run `sudo sysctl kernel.apparmor_restrict_unprivileged_userns=0`, or run as root"
    } else if read("/proc/sys/kernel/unprivileged_userns_clone") == "0" {
        "Run `sudo sysctl kernel.unprivileged_userns_clone=1`, or run as root"
    } else if read("/proc/sys/user/max_user_namespaces") == "0" {
        "Run `sudo sysctl user.max_user_namespaces=10000`, or run as root"
    } else {
        "Inside another container, allow it nested user namespaces; otherwise run as root"
    };
    Error::NoUserNamespace { reason: error.to_string(), advice: advice.into() }
}

/// Which users and groups the new namespace gets.
#[derive(Debug)]
enum Maps {
    /// Only the caller, as root.
    Single { uid: u32, gid: u32 },
    /// The caller as root and a range given to them in /etc/subuid and /etc/subgid, so that servers can drop to
    /// users of their own. Writing such a map takes the set-uid programs newuidmap and newgidmap.
    Range { uid: u32, gid: u32, uids: SubRange, gids: SubRange, newuidmap: PathBuf, newgidmap: PathBuf },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct SubRange {
    first: u32,
    count: u32,
}

impl Maps {
    fn plan() -> Result<Self> {
        let (uid, gid) = (rustix::process::geteuid().as_raw(), rustix::process::getegid().as_raw());
        let name = crate::user::name_of(uid);
        let range = |path: &str| {
            let text = fs::read_to_string(path).ok()?;
            sub_range(&text, uid, name.as_deref())
        };
        let tool = |name: &str| {
            ["/usr/bin", "/bin", "/usr/sbin", "/usr/local/bin"]
                .map(|directory| Path::new(directory).join(name))
                .into_iter()
                .find(|path| path.exists())
        };
        let tools = tool("newuidmap").zip(tool("newgidmap"));
        Ok(match (tools, range("/etc/subuid"), range("/etc/subgid")) {
            (Some((newuidmap, newgidmap)), Some(uids), Some(gids)) => {
                Self::Range { uid, gid, uids, gids, newuidmap, newgidmap }
            }
            _ => Self::Single { uid, gid },
        })
    }

    fn write(&self, target: u32) -> Result<()> {
        match self {
            Self::Single { uid, gid } => write_single(target, *uid, *gid),
            Self::Range { uid, gid, uids, gids, newuidmap, newgidmap } => {
                let run = |tool: &Path, own: u32, range: &SubRange| {
                    let words = [target, 0, own, 1, 1, range.first, range.count].map(|word| word.to_string());
                    Command::new(tool).args(words).output().is_ok_and(|output| output.status.success())
                };
                // A half-written map cannot be taken back: the group map goes first, since its failure leaves the
                // user map open for the single entry.
                if run(newgidmap, *gid, gids) {
                    if run(newuidmap, *uid, uids) {
                        return Ok(());
                    }
                    return write_map(target, "uid_map", *uid);
                }
                write_single(target, *uid, *gid)
            }
        }
    }
}

fn write_single(target: u32, uid: u32, gid: u32) -> Result<()> {
    // user_namespaces(7): an ordinary user may map a group only after setgroups(2) was given up.
    let path = format!("/proc/{target}/setgroups");
    fs::write(&path, "deny").during("write", &path)?;
    write_map(target, "uid_map", uid)?;
    write_map(target, "gid_map", gid)
}

fn write_map(target: u32, file: &str, id: u32) -> Result<()> {
    let path = format!("/proc/{target}/{file}");
    fs::write(&path, format!("0 {id} 1")).during("write", &path)
}

/// First range of a user in /etc/subuid or /etc/subgid (subuid(5)), at most 65,535 ids of it.
fn sub_range(text: &str, uid: u32, name: Option<&str>) -> Option<SubRange> {
    text.lines().find_map(|line| {
        let mut fields = line.split(':');
        let owner = fields.next()?;
        let mine = Some(owner) == name || owner.parse() == Ok(uid);
        let range =
            SubRange { first: fields.next()?.parse().ok()?, count: fields.next()?.trim().parse().ok()? };
        (mine && range.count > 0).then_some(SubRange { count: range.count.min(65_535), ..range })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_are_found_by_name_and_number() {
        let text = "alice:100000:65536\n1002:200000:10\nbad\ncarol:x:1\n";
        assert_eq!(sub_range(text, 5, Some("alice")), Some(SubRange { first: 100_000, count: 65_535 }));
        assert_eq!(sub_range(text, 1002, None), Some(SubRange { first: 200_000, count: 10 }));
        assert_eq!(sub_range(text, 7, Some("carol")), None);
        assert_eq!(sub_range(text, 7, Some("dave")), None);
    }
}
