//! Two namespaces, 10.77.0.1 and 10.77.0.2, and what runs in them; everything goes when it is dropped.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::fd::AsFd;
use std::process::{Command, Output};
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use rc3::live::Stop;

static NEXT: AtomicU32 = AtomicU32::new(0);

/// A namespace.
pub(crate) struct Namespace(String);

impl Namespace {
    fn new(role: &str) -> Self {
        let name = format!("wr{role}{}x{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
        ip(&format!("netns add {name}"));
        let made = Self(name);
        made.ip("link set lo up");
        made
    }

    pub(crate) fn ip(&self, words: &str) {
        ip(&format!("-n {} {words}", self.0));
    }

    /// Runs something inside, on a thread of its own. What that thread begins is inside, too.
    pub(crate) fn within<T: Send>(&self, work: impl FnOnce() -> T + Send) -> T {
        let path = format!("/run/netns/{}", self.0);
        std::thread::scope(|scope| {
            let inside = scope.spawn(move || {
                let namespace = std::fs::File::open(path).expect("the namespace");
                let kind = Some(rustix::thread::LinkNameSpaceType::Network);
                rustix::thread::move_into_link_name_space(namespace.as_fd(), kind).expect("to enter it");
                work()
            });
            inside.join().expect("no panic inside")
        })
    }

    /// curl, inside.
    pub(crate) fn curl(&self, words: &[&str]) -> Output {
        let all = ["netns", "exec", &self.0, "curl", "-sS", "--max-time", "50"];
        Command::new("ip").args(all).args(words).output().expect("curl, which tests/install.sh installs")
    }
}

impl Drop for Namespace {
    fn drop(&mut self) {
        let _ = Command::new("ip").args(["netns", "delete", &self.0]).output();
    }
}

fn ip(words: &str) {
    let output = Command::new("ip")
        .args(words.split_whitespace())
        .output()
        .expect("ip, which tests/install.sh installs");
    assert!(output.status.success(), "ip {words}: {output:?}");
}

/// The two of them.
pub(crate) struct Stage {
    pub(crate) near: Namespace,
    pub(crate) far: Namespace,
}

impl Stage {
    pub(crate) fn new() -> Self {
        let (near, far) = (Namespace::new("n"), Namespace::new("f"));
        near.ip(&format!("link add cable type veth peer name cable netns {}", far.0));
        for (namespace, own) in [(&near, 1), (&far, 2)] {
            namespace.ip(&format!("address add 10.77.0.{own}/24 dev cable"));
            namespace.ip(&format!("address add 2001:db8:77::{own}/64 dev cable nodad"));
            namespace.ip("link set cable up");
        }
        Self { near, far }
    }
}

/// A loop on a thread, that is stopped when it is dropped.
pub(crate) struct Running {
    pub(crate) local: SocketAddr,
    stop: Stop,
    thread: Option<JoinHandle<()>>,
}

impl Running {
    pub(crate) fn new(local: SocketAddr, stop: Stop, run: impl FnOnce() + Send + 'static) -> Self {
        Self { local, stop, thread: Some(std::thread::spawn(run)) }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.stop.stop();
        let ended = self.thread.take().map(JoinHandle::join);
        assert!(std::thread::panicking() || matches!(ended, Some(Ok(()))), "a loop has panicked");
    }
}

/// Bytes that tell where they are.
pub(crate) fn pattern(len: usize) -> Vec<u8> {
    (0..len).map(|at| (at * 31 + at / 251) as u8).collect()
}

/// A web server of another's kind: `/N` is N bytes of the pattern, `/part/N` announces as many and gives half, and what is sent is
/// answered with how much it was.
pub(crate) fn web(listener: TcpListener) {
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            std::thread::spawn(move || page(stream));
        }
    });
}

fn page(mut stream: TcpStream) {
    let (mut head, mut byte) = (Vec::new(), [0]);
    while !head.ends_with(b"\r\n\r\n") {
        if stream.read(&mut byte).unwrap_or(0) == 0 {
            return;
        }
        head.push(byte[0]);
    }
    let head = String::from_utf8_lossy(&head).into_owned();
    let sent = head
        .lines()
        .find_map(|line| line.to_ascii_lowercase().strip_prefix("content-length: ")?.parse::<u64>().ok());
    if head.contains("100-continue") {
        let _ = stream.write_all(b"HTTP/1.1 100 Continue\r\n\r\n");
    }
    let path = head.split(' ').nth(1).unwrap_or("/");
    let (part, number) = match path.strip_prefix("/part/") {
        Some(number) => (2, number),
        None => (1, path.trim_start_matches('/')),
    };
    let body = match sent {
        Some(length) => {
            let got = std::io::copy(&mut (&stream).take(length), &mut std::io::sink()).unwrap_or(0);
            format!("{got} bytes").into_bytes()
        }
        None => pattern(number.parse().unwrap_or(0)),
    };
    let _ = write!(stream, "HTTP/1.1 200 OK\r\nContent-Length: {}\r\nConnection: close\r\n\r\n", body.len());
    let _ = stream.write_all(&body[..body.len() / part]);
}

/// Waits until something holds.
pub(crate) fn wait_until(what: &str, mut holds: impl FnMut() -> bool) {
    let start = Instant::now();
    while !holds() {
        assert!(start.elapsed() < Duration::from_secs(40), "{what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}
