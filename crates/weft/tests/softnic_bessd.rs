//! The daemon under BESS's own name: a link `bessd` to the real binary, started as `bessctl daemon start` starts it.

use std::io::Read;
use std::net::{SocketAddr, TcpListener};
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::{Errno, retry_on_intr};
use rustix::process::{Pid, PidfdFlags, Signal, getsid, kill_process, pidfd_open, test_kill_process};
use softnic::bess::{Client, pb};

/// How long clients wait for the daemon that they have started, and how often a busy machine may take longer.
const SERVES_WITHIN: Duration = Duration::from_secs(3);
const TRIES: u32 = 5;
/// How long anything else may take on a busy machine.
const PATIENCE: Duration = Duration::from_secs(60);
const EMPTY: pb::EmptyRequest = pb::EmptyRequest {};

/// `bessd`, its pid file, and the daemons that were started.
struct Bessd {
    directory: tempfile::TempDir,
    address: SocketAddr,
    started: Vec<Pid>,
}

impl Drop for Bessd {
    fn drop(&mut self) {
        for &pid in &self.started {
            let _ = kill_process(pid, Signal::KILL);
        }
    }
}

impl Bessd {
    fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        symlink(env!("CARGO_BIN_EXE_weft"), directory.path().join("bessd")).unwrap();
        // A port that nobody has at the moment.
        let address = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        Self { directory, address, started: Vec::new() }
    }

    fn pid_file(&self) -> PathBuf {
        self.directory.path().join("own.pid")
    }

    fn command(&self, more: &[&str]) -> Command {
        let mut command = Command::new(self.directory.path().join("bessd"));
        command.args(["-i", self.pid_file().to_str().unwrap(), "-p", &self.address.port().to_string()]);
        command.args(["-m", "0", "--buffers=1024"]).args(more);
        command.env_remove("WEFT_BESS_STATE").env_remove("WEFT_BESS_CLIENTS").env_remove("WEFT_LOG");
        command
    }

    /// The number in the pid file, of a process that runs.
    fn pid(&self) -> Pid {
        let text = std::fs::read_to_string(self.pid_file()).unwrap();
        Pid::from_raw(text.trim().parse().unwrap()).unwrap()
    }

    /// Starts it with pipes for its output, and waits for their end, as a client does that reads what it says.
    fn start(&mut self, more: &[&str]) -> (Pid, String, Duration) {
        let began = Instant::now();
        let mut command = self.command(more);
        let mut process =
            command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let [mut out, mut error] = [String::new(), String::new()];
        process.stdout.take().unwrap().read_to_string(&mut out).unwrap();
        process.stderr.take().unwrap().read_to_string(&mut error).unwrap();
        let status = process.wait().unwrap();
        assert!(status.success(), "{out}{error}");
        let pid = self.pid();
        self.started.push(pid);
        (pid, out + &error, began.elapsed())
    }

    /// As [`start`](Self::start) with `-k`, until it serves in time.
    fn in_time(&mut self) -> (Pid, String) {
        for _ in 0..TRIES {
            let (pid, said, took) = self.start(&["-k"]);
            if took < SERVES_WITHIN {
                return (pid, said);
            }
        }
        panic!("it never serves within {SERVES_WITHIN:?}");
    }

    fn client(&self) -> Client {
        Client::connect(self.address).unwrap()
    }
}

/// Waits for the end of a process that is no child of ours.
fn ends(pid: Pid) {
    let process = match pidfd_open(pid, PidfdFlags::empty()) {
        Ok(process) => process,
        Err(Errno::SRCH) => return,
        Err(error) => panic!("{error}"),
    };
    let patience = Timespec::try_from(PATIENCE).unwrap();
    let mut polled = [PollFd::new(&process, PollFlags::IN)];
    assert_eq!(retry_on_intr(|| poll(&mut polled, Some(&patience))).unwrap(), 1, "{pid:?} does not end");
}

fn program(pid: Pid) -> PathBuf {
    std::fs::read_link(Path::new("/proc").join(pid.as_raw_nonzero().to_string()).join("exe")).unwrap()
}

#[test]
fn it_goes_to_the_background_and_lets_go_of_its_output() {
    let mut bessd = Bessd::new();
    // `start` has read both pipes to their end: nobody holds them any more.
    let (pid, said) = bessd.in_time();
    assert!(said.contains(&format!("serving BESS's clients on {}", bessd.address)), "{said}");
    assert_eq!(program(pid), std::fs::canonicalize(env!("CARGO_BIN_EXE_weft")).unwrap());
    assert_eq!(getsid(Some(pid)).unwrap(), pid, "it has a session of its own");
    let descriptor = |number: u32| {
        let entry = format!("/proc/{}/fd/{number}", pid.as_raw_nonzero());
        std::fs::read_link(entry).unwrap()
    };
    for number in 0..3 {
        assert_eq!(descriptor(number), Path::new("/dev/null"), "descriptor {number}");
    }
    let mut client = bessd.client();
    assert!(client.get_version(EMPTY).unwrap().version.starts_with("weft "));
    // A client ends it.
    client.kill_bess(EMPTY).unwrap();
    drop(client);
    ends(pid);
}

#[test]
fn another_one_starts_only_if_it_may_end_the_first() {
    let mut bessd = Bessd::new();
    let (first, ..) = bessd.start(&[]);
    let mut client = bessd.client();
    let module = pb::CreateModuleRequest { mclass: "Sink".to_owned(), ..Default::default() };
    client.create_module(module).unwrap();

    let refused = bessd.command(&[]).stdin(Stdio::null()).output().unwrap();
    let said = String::from_utf8_lossy(&refused.stderr).split_whitespace().collect::<Vec<_>>().join(" ");
    assert!(!refused.status.success() && said.contains("a daemon runs already (process"), "{said}");
    assert!(said.contains("-k ends it first"), "{said}");
    assert_eq!(bessd.pid(), first, "its pid file stays");
    assert_eq!(client.list_modules(EMPTY).unwrap().modules.len(), 1, "and it goes on");

    drop(client);
    let (second, _) = bessd.in_time();
    assert_ne!(second, first);
    ends(first);
    let mut client = bessd.client();
    assert_eq!(client.list_modules(EMPTY).unwrap().modules, [], "it begins empty");

    // One with another file and another port runs beside it.
    let mut other = Bessd::new();
    let (third, ..) = other.start(&["-k"]);
    assert_eq!(test_kill_process(second), Ok(()));
    assert!(other.client().get_version(EMPTY).is_ok() && client.get_version(EMPTY).is_ok());
    for (bessd, pid) in [(&bessd, second), (&other, third)] {
        assert_eq!(bessd.pid(), pid);
        kill_process(pid, Signal::TERM).unwrap();
        ends(pid);
    }
}

#[test]
fn flags_that_it_does_not_have_are_refused() {
    let bessd = Bessd::new();
    for (flags, wanted) in [
        (&["-z"][..], "bessd has no flag `-z`"),
        (&["start"], "bessd takes flags only"),
        (&["-i"], "`-i` needs a value"),
    ] {
        let output = bessd.command(flags).stdin(Stdio::null()).output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(!output.status.success() && said.contains(wanted), "{said}");
        assert!(!bessd.pid_file().exists());
    }
}
