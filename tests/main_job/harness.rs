//! Running the real binary in a state directory of its own, as root or as an ordinary user, and seeing that it
//! leaves nothing behind.

use std::collections::BTreeSet;
use std::fs;
use std::net::{TcpListener, UdpSocket};
use std::os::unix::fs::{PermissionsExt, chown};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use tempfile::TempDir;

/// A user that exists on no machine, so that nothing of a real one's is in reach.
const ORDINARY: u32 = 61_234;
/// How long anything may take to come about.
const PATIENCE: Duration = Duration::from_secs(40);

/// Who runs the command.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Who {
    Root,
    User,
}

/// One state directory and the binary that works on it. Dropping it stops whatever still runs.
pub(crate) struct Weft {
    who: Who,
    home: TempDir,
    before: Traces,
    /// What is in front of every command line.
    prefix: Vec<String>,
}

impl Weft {
    pub(crate) fn new(who: Who) -> Self {
        let root = rustix::process::geteuid().is_root();
        assert!(root || who == Who::User, "this test makes namespaces as root: run it as root");
        let home = tempfile::Builder::new().prefix("weft-test-").tempdir_in("/var/tmp").expect("a directory");
        fs::set_permissions(home.path(), fs::Permissions::from_mode(0o755)).expect("its mode");
        // The build directory may be closed to others; the binary itself is all they need.
        // Copied by a process of its own: one that another test starts just now would hold a copy of ours open for
        // writing, and the kernel executes no such file.
        let copy =
            || Command::new("cp").arg(env!("CARGO_BIN_EXE_weft")).arg(home.path().join("weft")).status();
        // Again when it is being built anew just now.
        assert!(eventually(|| copy().is_ok_and(|status| status.success())), "a copy of the binary");
        let state = home.path().join("s");
        fs::create_dir(&state).expect("a state directory");
        if who == Who::User && root {
            chown(&state, Some(ORDINARY), Some(ORDINARY)).expect("to give it away");
        }
        Self { who, before: Traces::of(&state), home, prefix: Vec::new() }
    }

    /// The same where every command is run by another one, such as `nsenter`.
    pub(crate) fn run_by(who: Who, prefix: &[&str]) -> Self {
        let mut weft = Self::new(who);
        weft.prefix = prefix.iter().map(|word| (*word).to_owned()).collect();
        weft
    }

    pub(crate) fn state(&self) -> PathBuf {
        self.home.path().join("s")
    }

    /// Where the binary, blueprints and the state directory are.
    pub(crate) fn home(&self) -> &Path {
        self.home.path()
    }

    /// The command line `weft ARGS…`, ready to run.
    pub(crate) fn command(&self, args: &[&str]) -> Command {
        self.command_as("weft", args)
    }

    /// The same under another name beside the binary.
    pub(crate) fn command_as(&self, name: &str, args: &[&str]) -> Command {
        let mut words = self.prefix.clone();
        if self.who == Who::User && rustix::process::geteuid().is_root() {
            let id = ORDINARY.to_string();
            let drop = ["--clear-groups", "--inh-caps=-all", "--bounding-set=-all"];
            words.extend(["setpriv", "--reuid", &id, "--regid", &id].map(str::to_owned));
            words.extend(drop.map(str::to_owned));
        }
        words.push(self.home.path().join(name).to_str().expect("a plain path").to_owned());
        let mut command = Command::new(&words[0]);
        command
            .args(&words[1..])
            .args(args)
            .env("WEFT_STATE", self.state())
            .env("NO_COLOR", "1")
            .env("HOME", self.state())
            .env_remove("XDG_RUNTIME_DIR");
        command.current_dir(self.home.path()).stdin(Stdio::null());
        command
    }

    pub(crate) fn run(&self, args: &[&str]) -> Output {
        self.command(args).output().expect("to run weft")
    }

    /// Runs a command that must do its job, and returns what it printed.
    pub(crate) fn ok(&self, args: &[&str]) -> String {
        let output = self.run(args);
        let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        assert!(
            output.status.success(),
            "weft {args:?} as {:?}: {}\n{out}\n{err}{}",
            self.who,
            output.status,
            self.last_words()
        );
        out.into_owned()
    }

    /// Runs a command that must fail, and returns its error message.
    pub(crate) fn fails(&self, args: &[&str]) -> String {
        let output = self.run(args);
        assert_eq!(output.status.code(), Some(1), "weft {args:?}: {output:?}");
        String::from_utf8_lossy(&output.stderr).into_owned()
    }

    pub(crate) fn json(&self, args: &[&str]) -> Value {
        serde_json::from_str(&self.ok(args)).expect("JSON")
    }

    /// Stops what a command that was killed has left. That this was nothing at all is fine; that it would not go is not.
    pub(crate) fn stops(&self) {
        let output = self.run(&["stop"]);
        let err = String::from_utf8_lossy(&output.stderr);
        assert!(
            output.status.success() || err.contains("nothing runs"),
            "weft stop as {:?}: {}\n{err}{}",
            self.who,
            output.status,
            self.last_words()
        );
    }

    /// Writes a blueprint and returns its path.
    pub(crate) fn blueprint(&self, name: &str, text: &str) -> String {
        let path = self.home.path().join(name);
        fs::write(&path, text).expect("to write a blueprint");
        path.to_str().expect("a plain path").to_owned()
    }

    /// Process numbers of the running containers, by name.
    pub(crate) fn pids(&self) -> std::collections::BTreeMap<String, u64> {
        let listing = self.json(&["ps", "--json"]);
        let containers = listing["containers"].as_array().expect("containers");
        let pid = |row: &Value| Some((row["name"].as_str()?.to_owned(), row["pid"].as_u64()?));
        containers.iter().filter_map(pid).collect()
    }

    /// Its control groups.
    pub(crate) fn cgroups(&self) -> Vec<PathBuf> {
        cgroups_below(&self.state())
    }

    /// Starts a command whose standard output is read by the caller, and whose errors nobody reads.
    pub(crate) fn start(&self, args: &[&str]) -> Child {
        self.command(args).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().expect("to start weft")
    }

    /// Starts a command and kills it after a while.
    pub(crate) fn killed_after(&self, args: &[&str], delay: Duration) {
        let mut command =
            self.command(args).stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("to start weft");
        std::thread::sleep(delay);
        let _ = command.kill();
        command.wait().expect("its end");
    }

    /// Starts a command and kills it as soon as it has forked so many children, the last of which has hardly begun to
    /// become a program of its own. Says whether it came to that: on a busy machine one may come and go unseen.
    pub(crate) fn killed_at_birth(&self, args: &[&str], births: usize) -> bool {
        let mut command =
            self.command(args).stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("to start weft");
        let mut born = BTreeSet::new();
        let start = Instant::now();
        while born.len() < births && matches!(command.try_wait(), Ok(None)) && start.elapsed() < PATIENCE {
            let children = fs::read_to_string(format!("/proc/{0}/task/{0}/children", command.id()));
            born.extend(children.unwrap_or_default().split_whitespace().map(str::to_owned));
        }
        let _ = command.kill();
        command.wait().expect("its end");
        born.len() == births
    }

    /// Runs a command in a container that must do its job there, and returns what it printed.
    pub(crate) fn inside(&self, container: &str, command: &[&str]) -> String {
        self.ok(&[&["exec", container, "--"], command].concat())
    }

    /// The row of a container in `weft ps`.
    pub(crate) fn row(&self, container: &str) -> Value {
        let listing = self.json(&["ps", "--json"]);
        let rows = listing["containers"].as_array().expect("containers");
        rows.iter().find(|row| row["name"] == container).cloned().unwrap_or_default()
    }

    /// Process number of one of the processes that carry a deployment: sandbox, dataplane or edge.
    pub(crate) fn carrier(&self, deployment: &str, role: &str) -> u32 {
        let path = self.state().join("deployments").join(deployment).join(role).with_extension("json");
        let note: Value = serde_json::from_slice(&fs::read(path).expect("its note")).expect("JSON");
        note["pid"].as_u64().expect("a process number") as u32
    }

    /// What the processes of the deployment wrote before something went wrong.
    fn last_words(&self) -> String {
        let mut text = String::new();
        for deployment in fs::read_dir(self.state().join("deployments")).into_iter().flatten().flatten() {
            for role in ["sandbox", "dataplane", "edge"] {
                let log =
                    fs::read_to_string(deployment.path().join(format!("{role}.log"))).unwrap_or_default();
                text += &format!("\n{role}: {log}");
            }
        }
        text
    }

    /// Sees that everything is as it was before.
    pub(crate) fn nothing_left(&self) {
        let state = self.state();
        let same = eventually(|| Traces::of(&state).added_to(&self.before).is_empty());
        assert!(same, "left behind as {:?}: {:?}", self.who, Traces::of(&state).added_to(&self.before));
    }
}

impl Drop for Weft {
    fn drop(&mut self) {
        let _ = self.command(&["stop", "--all", "--grace", "0"]).output();
        if std::thread::panicking() {
            eprintln!("traces: {:?}", Traces::of(&self.state()).added_to(&self.before));
        }
    }
}

/// Everything a deployment could leave on the machine.
struct Traces(BTreeSet<String>);

impl Traces {
    fn of(state: &Path) -> Self {
        let mut traces = BTreeSet::new();
        let mark = format!("WEFT_DEPLOYMENT={}", state.display());
        for process in fs::read_dir("/proc").expect("/proc").flatten() {
            let environment = fs::read(process.path().join("environ")).unwrap_or_default();
            if environment.split(|byte| *byte == 0).any(|entry| entry.starts_with(mark.as_bytes())) {
                let words = fs::read_to_string(process.path().join("cmdline")).unwrap_or_default();
                let pid = process.file_name();
                traces.insert(format!("process {} ({})", pid.display(), words.replace('\0', " ").trim()));
            }
        }
        let mounts = fs::read_to_string("/proc/self/mountinfo").expect("mounts");
        traces.extend(
            mounts
                .lines()
                .filter(|line| line.contains(state.to_str().unwrap()))
                .map(|line| format!("mount {line}")),
        );
        let links = fs::read_dir("/sys/class/net").expect("interfaces").flatten();
        traces.extend(
            links
                .map(|link| format!("interface {:?}", link.file_name()))
                .filter(|name| !name.contains("wb") && !name.contains("wt")),
        );
        files_below(state, &mut traces);
        traces.extend(cgroups_below(state).iter().map(|path| format!("cgroup {}", path.display())));
        Self(traces)
    }

    fn added_to(&self, before: &Self) -> Vec<String> {
        self.0.difference(&before.0).cloned().collect()
    }
}

fn files_below(directory: &Path, traces: &mut BTreeSet<String>) {
    for entry in fs::read_dir(directory).into_iter().flatten().flatten() {
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            files_below(&entry.path(), traces);
        } else {
            traces.insert(format!("file {}", entry.path().display()));
        }
    }
}

/// Groups of the deployments whose state lies below `state`, in every hierarchy.
fn cgroups_below(state: &Path) -> Vec<PathBuf> {
    let list = |directory: &Path| fs::read_dir(directory).into_iter().flatten().flatten();
    let trees =
        list(Path::new("/sys/fs/cgroup")).map(|entry| entry.path()).chain([PathBuf::from("/sys/fs/cgroup")]);
    let groups =
        trees.flat_map(|tree| list(&tree.join("weft")).map(|entry| entry.path()).collect::<Vec<_>>());
    let ours = |path: &PathBuf| {
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        let deployment = name.rsplit_once('-').map_or("", |(deployment, _)| deployment);
        name == host::cgroup::name(deployment, &state.join("deployments").join(deployment))
    };
    groups.filter(ours).collect()
}

/// An error as one line, without what it is drawn with.
pub(crate) fn flat(error: &str) -> String {
    let lines = error.lines().map(|line| line.trim_start_matches([' ', '│', '×']).trim_end());
    lines.collect::<Vec<_>>().join(" ")
}

/// Kills a process at once.
pub(crate) fn kill(pid: u64) {
    let pid = Pid::from_raw(pid as i32).expect("a process number");
    let _ = kill_process(pid, Signal::KILL);
}

/// Waits for a condition; says whether it came about.
pub(crate) fn eventually(mut condition: impl FnMut() -> bool) -> bool {
    let start = Instant::now();
    while start.elapsed() < PATIENCE {
        if condition() {
            return true;
        }
        std::thread::sleep(Duration::from_millis(50));
    }
    condition()
}

/// A port that is free now, for TCP and UDP, and that nobody is given twice: below those that the kernel hands to
/// connections (`net.ipv4.ip_local_port_range`), any of which might take it a moment later.
pub(crate) fn free_port() -> u16 {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let first = std::process::id().wrapping_mul(131);
    loop {
        let port = 10_000 + (first.wrapping_add(NEXT.fetch_add(1, Ordering::Relaxed)) % 20_000) as u16;
        if port_is_free(port) {
            return port;
        }
    }
}

/// Takes a free port. A program that another test starts at this moment may still hold a port that was just tried out,
/// until it is executed: then it is tried again.
pub(crate) fn take<S>(port: u16, bind: impl Fn((&'static str, u16)) -> std::io::Result<S>) -> S {
    let mut taken = None;
    let bound = eventually(|| {
        taken = bind(("0.0.0.0", port)).ok();
        taken.is_some()
    });
    assert!(bound, "port {port} is not free");
    taken.expect("it is bound")
}

/// Whether a port of this machine could be published.
pub(crate) fn port_is_free(port: u16) -> bool {
    TcpListener::bind(("0.0.0.0", port)).is_ok() && UdpSocket::bind(("0.0.0.0", port)).is_ok()
}

/// Fetches a page with curl, as a user would; the body, or what curl said.
pub(crate) fn curl(url: &str) -> Result<String, String> {
    let output = Command::new("curl")
        .args(["-sS", "--max-time", "10", url])
        .output()
        .expect("curl, which tests/install.sh installs");
    if output.status.success() {
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    } else {
        Err(String::from_utf8_lossy(&output.stderr).into_owned())
    }
}
