//! One check of a container's health: a child of its init, inside, with a limit on its time and on what it says.

use std::fs::File;
use std::io::{self, PipeReader, Read, Write};
use std::net::{IpAddr, SocketAddr, TcpStream};
use std::os::fd::OwnedFd;
use std::time::{Duration, Instant};

use rustix::fs::OFlags;
use rustix::process::Pid;

use crate::command::Prepared;
use crate::error::{During, Result};
use crate::health::{HealthSpec, Probe};
use crate::process::OneThread;
use crate::spec::ContainerSpec;
use crate::status::Exit;
use crate::sys::{self, Fork};

/// What is kept of what a check says, in bytes.
const OUTPUT_BYTES_MAX: usize = 4 << 10;
/// Bytes read from a check's output at once.
const READ_BYTES: usize = 4 << 10;
/// Most reads in a row, so that a flood does not keep the init from its work.
const READS_MAX: usize = 8;
/// Bytes of an answer that are read until its first line has ended.
const ANSWER_BYTES_MAX: u64 = 64 << 10;
/// Statuses of HTTP that count as an answer: success and redirection, as Kubernetes has it.
const GOOD: std::ops::Range<u16> = 200..400;

/// How a container's checks are made.
#[derive(Debug)]
pub(crate) struct Prober {
    kind: Kind,
    timeout: Duration,
}

#[derive(Debug)]
enum Kind {
    Command(Prepared),
    Http { targets: Vec<SocketAddr>, path: String, host: String },
    Tcp { targets: Vec<SocketAddr> },
}

/// A check that runs.
#[derive(Debug)]
pub(crate) struct Running {
    pub(crate) pid: Pid,
    /// Until when it may run; not told again once it is over.
    pub(crate) deadline: Option<Instant>,
    pub(crate) output: PipeReader,
    text: Vec<u8>,
    late: Option<Duration>,
    silent: bool,
}

impl Prober {
    pub(crate) fn new(health: &HealthSpec, spec: &ContainerSpec) -> Result<Self> {
        let kind = match &health.probe {
            Probe::Command(words) => {
                Kind::Command(Prepared::new(&ContainerSpec { command: words.clone(), ..spec.clone() })?)
            }
            Probe::Http { port, path } => {
                Kind::Http { targets: targets(spec, *port), path: path.clone(), host: spec.hostname.clone() }
            }
            Probe::Tcp { port } => Kind::Tcp { targets: targets(spec, *port) },
        };
        Ok(Self { kind, timeout: Duration::from_millis(health.timeout_ms.into()) })
    }

    /// Starts a check.
    pub(crate) fn start(&self, single: OneThread, now: Instant) -> Result<Running> {
        let (output, writer) = io::pipe().during("make", "a pipe")?;
        rustix::fs::fcntl_setfl(&output, OFlags::NONBLOCK).during("configure", "a pipe")?;
        match sys::fork(single).during("fork", "a health check")? {
            Fork::Child => self.run(&writer.into()),
            Fork::Parent(pid) => {
                let deadline = Some(now + self.timeout);
                Ok(Running { pid, deadline, output, text: Vec::new(), late: None, silent: false })
            }
        }
    }

    fn run(&self, writer: &OwnedFd) -> ! {
        let _ = rustix::process::setsid();
        let joined = File::open("/dev/null").and_then(|null| {
            rustix::stdio::dup2_stdin(&null)?;
            rustix::stdio::dup2_stdout(writer)?;
            Ok(rustix::stdio::dup2_stderr(writer)?)
        });
        sys::default_signals();
        let outcome = match (&self.kind, joined) {
            (_, Err(error)) => Err(error.to_string()),
            (Kind::Command(command), Ok(())) => Err(command.run().to_string()),
            (Kind::Http { targets, path, host }, Ok(())) => http(targets, path, host, self.timeout),
            (Kind::Tcp { targets }, Ok(())) => connect(targets, self.timeout).map(drop),
        };
        match outcome {
            Ok(()) => sys::exit_now(0),
            Err(message) => {
                let _ = io::stderr().write_all(message.as_bytes());
                sys::exit_now(1)
            }
        }
    }
}

impl Running {
    /// Takes what the check has said so far; the rest of a long speech is not kept.
    pub(crate) fn listen(&mut self) {
        let mut buffer = [0; READ_BYTES];
        for _ in 0..READS_MAX {
            match self.output.read(&mut buffer) {
                Ok(read @ 1..) => {
                    let room = OUTPUT_BYTES_MAX - self.text.len();
                    self.text.extend_from_slice(&buffer[..read.min(room)]);
                }
                // Its end is closed, and the kernel would go on saying so.
                Ok(0) => {
                    self.silent = true;
                    break;
                }
                Err(_) => break,
            }
        }
    }

    /// Whether it says nothing more.
    pub(crate) fn is_silent(&self) -> bool {
        self.silent
    }

    /// Ends a check that takes too long; its end is then told as any other.
    pub(crate) fn end(&mut self, timeout: Duration) {
        (self.late, self.deadline) = (Some(timeout), None);
        self.kill();
    }

    fn kill(&self) {
        // Its whole group: what a command started goes with it.
        let _ = sys::kill_raw(-self.pid.as_raw_pid(), libc::SIGKILL);
    }

    /// What came of a check that has ended.
    pub(crate) fn outcome(mut self, exit: Exit) -> std::result::Result<(), String> {
        self.listen();
        self.kill();
        if let Some(timeout) = self.late {
            return Err(format!("no answer within {} ms", timeout.as_millis()));
        }
        if exit.success() {
            return Ok(());
        }
        let text = String::from_utf8_lossy(&self.text);
        match (text.trim(), exit) {
            ("", Exit::Code(code)) => Err(format!("exit code {code}")),
            ("", Exit::Signal(signal)) => Err(format!("ended by signal {signal}")),
            (text, _) => Err(text.to_owned()),
        }
    }
}

/// Where a port of the container is: at its own addresses, where others reach it too, or at the loopback without any.
fn targets(spec: &ContainerSpec, port: u16) -> Vec<SocketAddr> {
    let network = spec.network.as_ref();
    let v4 = network.and_then(|network| network.ipv4).map(IpAddr::from);
    let v6 = network.and_then(|network| network.ipv6).map(IpAddr::from);
    let mut all: Vec<_> = v4.into_iter().chain(v6).map(|address| SocketAddr::from((address, port))).collect();
    if all.is_empty() {
        all.push(SocketAddr::from(([127, 0, 0, 1], port)));
    }
    all
}

/// Connects to the first that accepts.
fn connect(targets: &[SocketAddr], timeout: Duration) -> std::result::Result<TcpStream, String> {
    let mut problem = String::from("there is no address");
    for target in targets {
        match TcpStream::connect_timeout(target, timeout) {
            Ok(stream) => return Ok(stream),
            // The first address is the one that everybody tries first.
            Err(error) if target == &targets[0] => problem = format!("{target}: {error}"),
            Err(_) => {}
        }
    }
    Err(problem)
}

/// Asks for a page; a status of success or redirection will do.
fn http(
    targets: &[SocketAddr],
    path: &str,
    host: &str,
    timeout: Duration,
) -> std::result::Result<(), String> {
    let mut stream = connect(targets, timeout)?;
    let problem = |error: io::Error| format!("GET {path}: {error}");
    stream.set_read_timeout(Some(timeout)).map_err(problem)?;
    stream.set_write_timeout(Some(timeout)).map_err(problem)?;
    let request = format!(
        "GET {path} HTTP/1.1\r\nHost: {host}\r\nUser-Agent: weft-health\r\nAccept: */*\r\nConnection: close\r\n\r\n"
    );
    stream.write_all(request.as_bytes()).map_err(problem)?;
    let mut answer = Vec::new();
    let mut limited = stream.take(ANSWER_BYTES_MAX);
    // Large, so that most servers see all of their answer read.
    let mut piece = [0; 16 << 10];
    while !answer.contains(&b'\n') {
        match limited.read(&mut piece).map_err(problem)? {
            0 => break,
            read => answer.extend_from_slice(&piece[..read]),
        }
    }
    judge(&String::from_utf8_lossy(&answer)).map_err(|found| format!("GET {path}: {found}"))
}

/// Judges the first line of an answer (RFC 9112 section 4).
fn judge(answer: &str) -> std::result::Result<(), String> {
    let line = answer.lines().next().unwrap_or_default().trim();
    let mut words = line.split(' ');
    let version = words.next().is_some_and(|word| word.starts_with("HTTP/"));
    match words.next().and_then(|word| word.parse::<u16>().ok()).filter(|_| version) {
        Some(status) if GOOD.contains(&status) => Ok(()),
        Some(_) => Err(line.to_owned()),
        None if line.is_empty() => Err("it hung up without an answer".into()),
        None => Err("its answer is not HTTP".into()),
    }
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use super::*;

    #[test]
    fn statuses_are_judged() {
        for good in ["HTTP/1.1 200 OK\r\n", "HTTP/1.0 204\r\n", "HTTP/1.1 302 Found\r\n"] {
            assert_eq!(judge(good), Ok(()), "{good}");
        }
        assert_eq!(
            judge("HTTP/1.1 503 Service Unavailable\r\n"),
            Err("HTTP/1.1 503 Service Unavailable".into())
        );
        assert!(judge("").is_err() && judge("220 mail ESMTP\r\n").is_err() && judge("HTTP/1.1\r\n").is_err());
    }

    #[test]
    fn a_page_is_asked_for() {
        let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
        let target = [listener.local_addr().unwrap()];
        let server = std::thread::spawn(move || {
            for answer in ["HTTP/1.1 200 OK\r\n\r\n", "HTTP/1.1 500 Oh\r\n\r\n"] {
                let (mut stream, _) = listener.accept().unwrap();
                let mut request = [0; 1024];
                let read = stream.read(&mut request).unwrap();
                assert!(request[..read].starts_with(b"GET /health HTTP/1.1\r\nHost: web\r\n"));
                stream.write_all(answer.as_bytes()).unwrap();
            }
        });
        let ask = || http(&target, "/health", "web", Duration::from_secs(5));
        assert_eq!(ask(), Ok(()));
        assert_eq!(ask(), Err("GET /health: HTTP/1.1 500 Oh".into()));
        server.join().unwrap();
        assert!(ask().is_err_and(|error| error.contains("refused")));
    }
}
