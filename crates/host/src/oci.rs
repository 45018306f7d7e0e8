//! A container's command, started by an OCI runtime of the host (runc, crun) in place of the init itself.
//!
//! ```text
//!  first process: puts the root together at STATE/containers/NAME/root
//!       ├── a copy of its mounts, and into the root there ─▶ init, health checks, `exec`
//!       └── its mounts as they were: the host's programs, and the root as a directory
//!                                                      ▲
//!  init ──fork──▶ back to the mounts as they were ─────┘ ──exec──▶ runc run ──▶ command
//! ```
//!
//! Network, processes and host name are the container's already, so that the bundle's configuration names none of these
//! namespaces; the runtime makes the command's mounts, control group, user and capabilities. The file systems are the
//! same ones, whoever mounts them: what the command writes, `exec` sees.
//!
//! Format: <https://github.com/opencontainers/runtime-spec/blob/main/config.md>.

use std::ffi::CString;
use std::fs;
use std::io::{self, Write};
use std::os::fd::{IntoRawFd, OwnedFd};
use std::path::{Path, PathBuf};

use rustix::fs::MemfdFlags;
use serde_json::{Value, json};

use crate::command::{DEFAULT_PATH, Prepared, c_string};
use crate::error::{During, Error, Result};
use crate::layout::Container;
use crate::root::{COVERED, READ_ONLY};
use crate::spec::ContainerSpec;
use crate::sys;

/// The version of the specification that the configuration is written for.
const OCI_VERSION: &str = "1.0.2";
/// The control group of the command, in that of its container.
const GROUP: &str = "oci";

/// What the runtime needs of the time before the init moved into the container's root.
#[derive(Debug)]
pub(crate) struct Outside {
    /// The mounts as they were then.
    pub(crate) mounts: OwnedFd,
    /// Directories of the root that are covered by empty ones.
    pub(crate) hidden: Vec<PathBuf>,
    pub(crate) rootless: bool,
}

/// A runtime that is ready to start the command, again and again.
#[derive(Debug)]
pub(crate) struct Oci {
    program: CString,
    words: Vec<CString>,
    environment: Vec<CString>,
    /// Leads to the configuration, and holds the runtime's state of one run.
    bundle: PathBuf,
    config: Vec<u8>,
    outside: OwnedFd,
    /// The container's /proc, as the mounts outside have it.
    proc: PathBuf,
}

impl Oci {
    /// `group` is the container's own control group within its hierarchy, if it has one.
    pub(crate) fn new(
        spec: &ContainerSpec,
        program: &Path,
        command: &Prepared,
        outside: Outside,
        group: Option<&str>,
    ) -> Result<Self> {
        let container = crate::layout::Deployment::new(&spec.state).container(&spec.name);
        let bundle = container.bundle();
        let config = config(spec, &container, command, &outside, group);
        let program = c_string(&program.display().to_string())?;
        let state = bundle.join("state").display().to_string();
        let directory = bundle.display().to_string();
        let words = [
            &program.to_string_lossy(),
            "--root",
            &state,
            "run",
            "--no-new-keyring",
            "--bundle",
            &directory,
            &spec.name,
        ];
        Ok(Self {
            words: words.into_iter().map(c_string).collect::<Result<_>>()?,
            environment: vec![c_string(&format!("PATH={DEFAULT_PATH}"))?],
            program,
            bundle,
            config: serde_json::to_vec(&config).map_err(|error| Error::Message(error.to_string()))?,
            outside: outside.mounts,
            proc: container.root().join("proc"),
        })
    }

    /// Becomes the runtime. Returns only if that failed.
    pub(crate) fn run(&self) -> Error {
        match self.prepare() {
            Ok(()) => match sys::execve(&self.program, &self.words, &self.environment) {
                Err(error) => Error::UnrunnableCommand {
                    command: self.program.to_string_lossy().into_owned(),
                    errno: error.raw_os_error().unwrap_or(libc::EIO),
                },
                Ok(never) => match never {},
            },
            Err(error) => error,
        }
    }

    /// Goes back to where the host's programs are, and makes the bundle there.
    fn prepare(&self) -> Result<()> {
        sys::setns(&self.outside, libc::CLONE_NEWNS).during("return to", "the host's mounts")?;
        // The runtime looks its child up where this has the container's number, which in the host's /proc is another's.
        sys::unshare(libc::CLONE_NEWNS).during("copy", "the host's mounts")?;
        rustix::mount::mount_bind_recursive(&self.proc, "/proc").during("show", "the container's /proc")?;
        // What an earlier run has left, which had no time to tidy up, would be taken for a container that still runs.
        crate::stop::remove_tree(&self.bundle)?;
        let state = self.bundle.join("state");
        fs::create_dir_all(&state).during("make", state.display())?;
        self.show_config().during("show", self.bundle.join("config.json").display())
    }

    /// The configuration has the environment and so secrets: it is on no disk but in memory, in a file that goes with the
    /// runtime, and that the bundle leads to under the runtime's own number for it.
    fn show_config(&self) -> io::Result<()> {
        let mut file = fs::File::from(rustix::fs::memfd_create("config.json", MemfdFlags::empty())?);
        file.write_all(&self.config)?;
        // The runtime inherits it.
        let number = file.into_raw_fd();
        std::os::unix::fs::symlink(format!("/proc/self/fd/{number}"), self.bundle.join("config.json"))
    }
}

/// The configuration of the bundle.
fn config(
    spec: &ContainerSpec,
    container: &Container,
    command: &Prepared,
    outside: &Outside,
    group: Option<&str>,
) -> Value {
    let root = container.root();
    let bind = |target: &Path, source: &Path, writable: bool| {
        let options = if writable { ["rbind", "rw"] } else { ["rbind", "ro"] };
        json!({"destination": target, "type": "bind", "source": source, "options": options})
    };
    // The devices are there, and the runtime is not to make any.
    let mut mounts = vec![bind(Path::new("/dev"), &root.join("dev"), true)];
    let empty = ["nosuid", "nodev", "noexec", "ro", "mode=555", "size=4k"];
    mounts.extend(
        outside
            .hidden
            .iter()
            .map(|path| json!({"destination": path, "type": "tmpfs", "source": "tmpfs", "options": empty})),
    );
    mounts.extend(spec.mounts.iter().map(|mount| bind(&mount.target, &mount.source, mount.writable)));
    // In a user namespace the kernel guards them itself.
    let (covered, read_only): (&[&str], &[&str]) =
        if outside.rootless { (&[], &[]) } else { (&COVERED, &READ_ONLY) };
    let user = command.user();
    json!({
        "ociVersion": OCI_VERSION,
        "process": {
            "terminal": false,
            "user": {"uid": user.uid, "gid": user.gid, "additionalGids": additional(user, outside.rootless)},
            "args": spec.command,
            "env": command.environment(),
            "cwd": spec.cwd,
            "capabilities": {
                "bounding": command.capabilities(),
                "effective": command.capabilities(),
                "permitted": command.capabilities(),
            },
            "noNewPrivileges": spec.no_new_privs,
        },
        "root": {"path": root},
        "mounts": mounts,
        "linux": {
            "namespaces": [{"type": "mount"}],
            "cgroupsPath": group.map(|group| format!("{}/{GROUP}", group.trim_end_matches('/'))),
            "maskedPaths": covered,
            "readonlyPaths": read_only,
        },
    })
}

/// Groups that a user has besides its own. In a user namespace they cannot be set.
fn additional(user: &crate::user::User, rootless: bool) -> Vec<u32> {
    let all = user.groups.iter().copied().filter(|gid| *gid != user.gid);
    if rootless { Vec::new() } else { all.collect() }
}
