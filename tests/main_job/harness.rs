//! Running the real binary in a state directory of its own, as root or as an ordinary user, and seeing that it
//! leaves nothing behind.

use std::collections::BTreeSet;
use std::fs;
use std::net::TcpListener;
use std::os::unix::fs::{PermissionsExt, chown};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;
use tempfile::TempDir;

/// A user that exists on no machine, so that nothing of a real one's is in reach.
const ORDINARY: u32 = 61_234;
/// How long anything may take to come about.
const PATIENCE: Duration = Duration::from_secs(20);

/// Who runs the command.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Who {
    Root,
    User,
}

/// One state directory and the binary that works on it. Dropping it stops whatever still runs.
pub struct Weft {
    who: Who,
    home: TempDir,
    before: Traces,
}

impl Weft {
    pub fn new(who: Who) -> Self {
        assert!(rustix::process::geteuid().is_root(), "these tests make namespaces as root and as an ordinary user: run them as root");
        let home = tempfile::Builder::new().prefix("weft-test-").tempdir_in("/var/tmp").expect("a directory");
        fs::set_permissions(home.path(), fs::Permissions::from_mode(0o755)).expect("its mode");
        // The build directory may be closed to others; the binary itself is all they need.
        fs::copy(env!("CARGO_BIN_EXE_weft"), home.path().join("weft")).expect("a copy of the binary");
        let state = home.path().join("s");
        fs::create_dir(&state).expect("a state directory");
        if who == Who::User {
            chown(&state, Some(ORDINARY), Some(ORDINARY)).expect("to give it away");
        }
        Self { who, before: Traces::of(&state), home }
    }

    pub fn state(&self) -> PathBuf {
        self.home.path().join("s")
    }

    /// The command line `weft ARGS…`, ready to run.
    pub fn command(&self, args: &[&str]) -> Command {
        let binary = self.home.path().join("weft");
        let mut command = match self.who {
            Who::Root => Command::new(binary),
            Who::User => {
                let mut command = Command::new("setpriv");
                let id = ORDINARY.to_string();
                command.args(["--reuid", &id, "--regid", &id, "--clear-groups", "--inh-caps=-all", "--bounding-set=-all"]);
                command.arg(binary);
                command
            }
        };
        command.args(args).env("WEFT_STATE", self.state()).env("NO_COLOR", "1").env("HOME", self.state()).env_remove("XDG_RUNTIME_DIR");
        command.current_dir(self.home.path()).stdin(Stdio::null());
        command
    }

    pub fn run(&self, args: &[&str]) -> Output {
        self.command(args).output().expect("to run weft")
    }

    /// Runs a command that must do its job, and returns what it printed.
    pub fn ok(&self, args: &[&str]) -> String {
        let output = self.run(args);
        let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        assert!(output.status.success(), "weft {args:?} as {:?}: {}\n{out}\n{err}{}", self.who, output.status, self.last_words());
        out.into_owned()
    }

    /// Runs a command that must fail, and returns its error message.
    pub fn fails(&self, args: &[&str]) -> String {
        let output = self.run(args);
        assert_eq!(output.status.code(), Some(1), "weft {args:?}: {output:?}");
        String::from_utf8_lossy(&output.stderr).into_owned()
    }

    pub fn json(&self, args: &[&str]) -> Value {
        serde_json::from_str(&self.ok(args)).expect("JSON")
    }

    /// Writes a blueprint and returns its path.
    pub fn blueprint(&self, name: &str, text: &str) -> String {
        let path = self.home.path().join(name);
        fs::write(&path, text).expect("to write a blueprint");
        path.to_str().expect("a plain path").to_owned()
    }

    /// Process numbers of the running containers, by name.
    pub fn pids(&self) -> std::collections::BTreeMap<String, u64> {
        let listing = self.json(&["ps", "--json"]);
        let containers = listing["containers"].as_array().expect("containers");
        let pid = |row: &Value| Some((row["name"].as_str()?.to_owned(), row["pid"].as_u64()?));
        containers.iter().filter_map(pid).collect()
    }

    /// What the processes of the deployment wrote before something went wrong.
    fn last_words(&self) -> String {
        let mut text = String::new();
        for deployment in fs::read_dir(self.state().join("deployments")).into_iter().flatten().flatten() {
            for role in ["sandbox", "dataplane", "edge"] {
                let log = fs::read_to_string(deployment.path().join(format!("{role}.log"))).unwrap_or_default();
                text += &format!("\n{role}: {log}");
            }
        }
        text
    }

    /// Sees that everything is as it was before.
    pub fn nothing_left(&self) {
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
                traces.insert(format!("process {:?}", process.file_name()));
            }
        }
        let mounts = fs::read_to_string("/proc/self/mountinfo").expect("mounts");
        traces.extend(mounts.lines().filter(|line| line.contains(state.to_str().unwrap())).map(|line| format!("mount {line}")));
        let links = fs::read_dir("/sys/class/net").expect("interfaces").flatten();
        traces.extend(links.map(|link| format!("interface {:?}", link.file_name())).filter(|name| !name.contains("wb") && !name.contains("wt")));
        files_below(state, &mut traces);
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

/// Cgroups of deployments whose name holds `part`, in every hierarchy.
pub fn cgroups_of(part: &str) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut waiting = vec![(PathBuf::from("/sys/fs/cgroup"), 0)];
    while let Some((directory, depth)) = waiting.pop() {
        for entry in fs::read_dir(&directory).into_iter().flatten().flatten() {
            if !entry.file_type().is_ok_and(|kind| kind.is_dir()) {
                continue;
            }
            if entry.path().to_string_lossy().contains("weft") && entry.file_name().to_string_lossy().contains(part) {
                found.push(entry.path());
            }
            if depth < 6 {
                waiting.push((entry.path(), depth + 1));
            }
        }
    }
    found
}

/// Waits for a condition; says whether it came about.
pub fn eventually(mut condition: impl FnMut() -> bool) -> bool {
    let start = Instant::now();
    while start.elapsed() < PATIENCE {
        if condition() {
            return true;
        }
        std::thread::sleep(Duration::from_millis(50));
    }
    condition()
}

/// A TCP port that is free now.
pub fn free_port() -> u16 {
    TcpListener::bind(("0.0.0.0", 0)).and_then(|listener| listener.local_addr()).expect("a port").port()
}

/// Fetches a page with curl, as a user would; the body, or what curl said.
pub fn curl(url: &str) -> Result<String, String> {
    let output = Command::new("curl").args(["-sS", "--max-time", "5", url]).output().expect("curl, which tests/install.sh installs");
    if output.status.success() {
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    } else {
        Err(String::from_utf8_lossy(&output.stderr).into_owned())
    }
}
