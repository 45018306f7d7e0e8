//! Work of our own inside a container's root: copying into an image that is being built, say.

use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::OwnedFd;

use rustix::fs::Mode;
use rustix::process::WaitOptions;
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::error::{During, Error, Result};
use crate::launch::prepare_directory;
use crate::layout::{Deployment, Journal};
use crate::process::OneThread;
use crate::root::Builder;
use crate::spec::ContainerSpec;
use crate::sys::{self, Fork};
use crate::{init, sandbox, skeleton};

/// Longest answer.
const ANSWER_BYTES_MAX: u64 = 1 << 20;

/// Builds the root of a container that does not run, and calls `work` there, in a process of its own. That has the
/// caller's open files but sees no other: whatever links the root holds, they lead to places in it. The calling process
/// must have one thread and, without root, be in a user namespace of its own ([`crate::Sandbox::create_here`]).
/// What the container wrote is there afterwards ([`crate::Container::written`]) until it is stopped.
///
/// # Errors
/// The root could not be built, or what `work` says.
pub fn inside<R: Serialize + DeserializeOwned>(
    spec: &ContainerSpec,
    work: impl FnOnce() -> Result<R, String>,
) -> Result<R> {
    let single = OneThread::check()?;
    spec.check()?;
    let container = Deployment::new(&spec.state).container(&spec.name);
    let lock = prepare_directory(&container)?;
    let rootless = !sandbox::in_first_user_namespace();
    if rootless && spec.root.is_host() {
        skeleton::ensure(&Deployment::new(&spec.state).skeleton())?;
    }
    container.write_journal(&Journal { spec: spec.clone(), cgroups: Vec::new() })?;
    let (mut answer, writer) = std::io::pipe().during("make", "a pipe")?;
    let flags =
        libc::CLONE_NEWNS | libc::CLONE_NEWPID | libc::CLONE_NEWNET | libc::CLONE_NEWUTS | libc::CLONE_NEWIPC;
    match sys::fork_into(single, flags, None).during("make", "namespaces")? {
        Fork::Child => {
            drop(answer);
            let mut writer = File::from(OwnedFd::from(writer));
            init::die_with_parent(&writer);
            let _ = rustix::process::setsid();
            rustix::process::umask(Mode::from_raw_mode(0o022));
            let built = Builder::new(spec, &container, rootless).build();
            let outcome = built.and_then(|_| work().map_err(Error::Helper));
            let _ = writer.write_all(&serde_json::to_vec(&outcome).unwrap_or_default());
            drop(lock);
            sys::exit_now(0)
        }
        Fork::Parent(pid) => {
            drop(writer);
            let mut text = Vec::new();
            let heard = (&mut answer).take(ANSWER_BYTES_MAX).read_to_end(&mut text);
            let _ = rustix::process::waitpid(Some(pid), WaitOptions::empty());
            heard.during("hear from", "the process inside the container")?;
            serde_json::from_slice::<Result<R>>(&text)
                .unwrap_or_else(|_| Err(Error::Died(spec.name.clone(), "its work inside".into())))
        }
    }
}
