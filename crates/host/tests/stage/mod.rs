//! A place to run containers in, as root or as an ordinary user, that leaves nothing behind and can tell.
#![allow(dead_code, unreachable_pub, reason = "each test binary uses its own part")]

pub mod request;

use std::collections::BTreeSet;
use std::fs;
use std::io::{BufRead, BufReader};
use std::os::unix::fs::{PermissionsExt, chown};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use host::helper::call;
use host::{Container, ContainerSpec, Deployment, Launched, ProcessId, Status, StopOptions};
use request::{LaunchRequest, StopRequest};

/// A user no machine has: rootless operation must not depend on an entry in /etc/passwd.
const USER: u32 = 61234;

/// Who runs the containers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Who {
    Root,
    User,
}

pub struct Stage {
    pub who: Who,
    pub deployment: String,
    pub directory: PathBuf,
    binary: PathBuf,
    holder: Option<(Child, ProcessId)>,
}

static NUMBER: AtomicU32 = AtomicU32::new(0);

impl Stage {
    pub fn new(who: Who) -> Self {
        assert!(rustix::process::geteuid().is_root(), "these tests must be started as root");
        let deployment = format!("wt{}x{}", std::process::id(), NUMBER.fetch_add(1, Ordering::Relaxed));
        let directory = Path::new("/var/tmp").join(&deployment);
        fs::create_dir(&directory).unwrap();
        fs::set_permissions(&directory, fs::Permissions::from_mode(0o755)).unwrap();
        let binary = directory.join("launch");
        // By a process of its own: one that another test forks just now would hold a copy of ours open for writing,
        // and the kernel executes no such file (ETXTBSY).
        let copied = Command::new("cp").arg(example("launch")).arg(&binary).status().unwrap();
        assert!(copied.success());
        if who == Who::User {
            chown(&directory, Some(USER), Some(USER)).unwrap();
        }
        Self { who, deployment, directory, binary, holder: None }
    }

    pub fn state(&self) -> PathBuf {
        self.directory.join("state")
    }

    /// A new directory that everyone may write to, to be mounted into containers.
    pub fn shared(&self) -> PathBuf {
        let shared = self.directory.join("shared");
        fs::create_dir(&shared).unwrap();
        fs::set_permissions(&shared, fs::Permissions::from_mode(0o777)).unwrap();
        shared
    }

    pub fn command(&self) -> Command {
        self.command_of(&self.binary)
    }

    /// The example that confines itself.
    pub fn confined(&self) -> Command {
        let binary = self.directory.join("confined");
        if !binary.exists() {
            let copied = Command::new("cp").arg(example("confined")).arg(&binary).status().unwrap();
            assert!(copied.success());
        }
        self.command_of(&binary)
    }

    fn command_of(&self, binary: &Path) -> Command {
        let mut command = Command::new(binary);
        command.env_clear().env("HOME", &self.directory).env("PATH", "/usr/bin:/bin").current_dir("/");
        if self.who == Who::User {
            command.uid(USER).gid(USER);
        }
        command
    }

    pub fn spec(&self, name: &str, command: &[&str]) -> ContainerSpec {
        ContainerSpec::new(&self.deployment, &self.state(), name, command)
    }

    pub fn shell(&self, name: &str, script: &str) -> ContainerSpec {
        self.spec(name, &["sh", "-c", script])
    }

    /// A process that keeps the deployment's user namespace and a network namespace, as a dataplane would.
    pub fn hold(&mut self) -> ProcessId {
        let mut child =
            self.command().arg("hold").stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let process = serde_json::from_str(&line).unwrap();
        self.holder = Some((child, process));
        process
    }

    pub fn launch(&self, specs: Vec<ContainerSpec>) -> Vec<host::Result<Launched>> {
        self.launch_but(specs, None)
    }

    /// Launches containers, one of which finds nobody at the other end of its interface.
    pub fn launch_but(
        &self,
        specs: Vec<ContainerSpec>,
        unattached: Option<&str>,
    ) -> Vec<host::Result<Launched>> {
        let mut results: Vec<_> = specs.iter().map(|_| None).collect();
        let member = self.holder.as_ref().map(|(_, process)| *process);
        let request = LaunchRequest { member, specs, unattached: unattached.map(Into::into) };
        let each = |(place, outcome): (usize, _)| results[place] = Some(outcome);
        call(self.command().arg("launch"), &request, each).unwrap();
        results.into_iter().map(|result| result.expect("an answer for each container")).collect()
    }

    pub fn launch_one(&self, spec: ContainerSpec) -> Launched {
        self.launch(vec![spec]).pop().unwrap().unwrap()
    }

    pub fn stop(&self, names: Option<Vec<String>>, options: StopOptions) -> Vec<host::Result<()>> {
        let mut results = Vec::new();
        let request = StopRequest { state: self.state(), names, options };
        call(self.command().arg("stop"), &request, |outcome| results.push(outcome)).unwrap();
        results
    }

    pub fn container(&self, name: &str) -> Container {
        Deployment::new(&self.state()).container(name)
    }

    pub fn status(&self, name: &str) -> Status {
        Status::observe(&self.container(name)).unwrap().expect("a status")
    }

    /// Waits until the container's status is as wished, or fails the test.
    pub fn wait(&self, name: &str, wish: impl Fn(&Status) -> bool) -> Status {
        let begin = Instant::now();
        loop {
            let status = self.status(name);
            if wish(&status) {
                return status;
            }
            assert!(
                begin.elapsed() < Duration::from_secs(20),
                "waited too long: {status:?} {:?}",
                self.output(name)
            );
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    /// Runs a script in a container to its end and returns its output.
    pub fn run(&self, spec: ContainerSpec) -> (Status, String) {
        let name = spec.name.clone();
        self.launch_one(spec);
        let status = self.wait(&name, |status| !status.is_live());
        (status, self.output(&name))
    }

    pub fn output(&self, name: &str) -> String {
        let lines = host::log::read(&self.container(name)).unwrap();
        lines.iter().map(|line| format!("{}\n", String::from_utf8_lossy(&line.text))).collect()
    }

    /// Everything of this stage that exists outside its directory, and below it the state.
    pub fn traces(&self) -> BTreeSet<String> {
        let mut traces = BTreeSet::new();
        for entry in fs::read_dir("/proc").unwrap().flatten() {
            let mounts = fs::read_to_string(entry.path().join("mountinfo")).unwrap_or_default();
            if mounts.contains(&format!("/{}/", self.deployment)) {
                let name = fs::read_to_string(entry.path().join("comm")).unwrap_or_default();
                traces.insert(format!("process {} {} sees mounts", entry.file_name().display(), name.trim()));
            }
        }
        collect_cgroups(Path::new("/sys/fs/cgroup"), &self.deployment, 0, &mut traces);
        for entry in fs::read_dir("/sys/class/net").unwrap().flatten() {
            if entry.file_name().to_string_lossy().starts_with(&interface_prefix(&self.deployment)) {
                traces.insert(format!("interface {}", entry.file_name().display()));
            }
        }
        if let Ok(containers) = fs::read_dir(self.state().join("containers")) {
            traces.extend(containers.flatten().map(|entry| format!("state {}", entry.file_name().display())));
        }
        if self.state().join("skeleton").exists() {
            traces.insert("skeleton".into());
        }
        traces
    }
}

/// Start of the names of interfaces a stage makes outside its containers.
pub fn interface_prefix(deployment: &str) -> String {
    let short: String = deployment.chars().filter(char::is_ascii_alphanumeric).collect();
    short[..short.len().min(13)].to_owned()
}

fn collect_cgroups(directory: &Path, name: &str, depth: usize, traces: &mut BTreeSet<String>) {
    if depth > 4 {
        return;
    }
    for entry in fs::read_dir(directory).into_iter().flatten().flatten() {
        if entry.file_name() == name {
            traces.insert(format!("cgroup {}", entry.path().display()));
        } else if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            collect_cgroups(&entry.path(), name, depth + 1, traces);
        }
    }
}

impl Drop for Stage {
    fn drop(&mut self) {
        if let Ok(containers) = Deployment::new(&self.state()).containers() {
            for result in
                host::stop_many(&containers, StopOptions { grace: Duration::ZERO, keep_logs: false })
            {
                if let Err(error) = result {
                    eprintln!("{}: {error}", self.deployment);
                }
            }
        }
        if let Some((child, process)) = &mut self.holder {
            let _ = process.kill(rustix::process::Signal::KILL);
            drop(child.stdin.take());
            let _ = child.wait();
        }
        let _ = fs::remove_dir_all(&self.directory);
    }
}

/// An example next to this test binary. `cargo test -p host` builds them.
fn example(name: &str) -> PathBuf {
    let binary = std::env::current_exe().unwrap();
    let path = binary.ancestors().nth(2).unwrap().join("examples").join(name);
    assert!(path.exists(), "{} is missing: run `cargo build -p host --example {name}`", path.display());
    path
}
