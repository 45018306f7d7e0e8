//! `weft rc3` on sockets of this machine's loopback: files, and the pair of proxies under curl, whose ends are killed, too.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

fn weft(words: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_weft")).args(["rc3"]).args(words).output().unwrap()
}

/// A command that runs until it is dropped, the address that it says it has, and what it says after that.
struct Running(Child, String, Receiver<String>);

impl Running {
    fn new(words: &[&str], before: &str) -> Self {
        let mut command = Command::new(env!("CARGO_BIN_EXE_weft"));
        let mut child = command.arg("rc3").args(words).stderr(Stdio::piped()).spawn().unwrap();
        let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
        let line = lines.next().expect("a line").unwrap();
        let at = line.find(before).unwrap_or_else(|| panic!("{line:?}")) + before.len();
        let address = line[at..].split_whitespace().next().unwrap().to_owned();
        let (say, said) = channel();
        std::thread::spawn(move || lines.map_while(Result::ok).try_for_each(|line| say.send(line)));
        Self(child, address, said)
    }

    /// Waits until it says something.
    fn says(&self, words: &str) {
        let end = Instant::now() + Duration::from_secs(90);
        loop {
            let left = end.saturating_duration_since(Instant::now());
            let line = self.2.recv_timeout(left).unwrap_or_else(|_| panic!("it never said {words:?}"));
            if line.contains(words) {
                return;
            }
        }
    }

    /// Files and sockets that it has open.
    fn open_files(&self) -> usize {
        std::fs::read_dir(format!("/proc/{}/fd", self.0.id())).unwrap().count()
    }

    /// The same, once it does not change any more.
    fn open_at_rest(&self) -> usize {
        let (mut open, mut since) = (self.open_files(), Instant::now());
        wait_until("nothing opens or closes", || {
            let now = self.open_files();
            if now != open {
                (open, since) = (now, Instant::now());
            }
            since.elapsed() > Duration::from_secs(1)
        });
        open
    }

    /// Ends it without a chance to say so.
    fn kill(mut self) {
        self.0.kill().unwrap();
        self.0.wait().unwrap();
    }

    /// Interrupts it; whether it says that all went well.
    fn interrupt(mut self) -> bool {
        let pid = rustix::process::Pid::from_child(&self.0);
        rustix::process::kill_process(pid, rustix::process::Signal::INT).unwrap();
        self.0.wait().unwrap().success()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

#[test]
fn files_are_served_and_fetched_with_a_key() {
    let directory = tempfile::tempdir().unwrap();
    let at = |name: &str| directory.path().join(name);
    let (key, other) = (at("key"), at("other"));
    for key in [&key, &other] {
        assert!(weft(&["key", text(key)]).status.success());
    }
    let again = weft(&["key", text(&key)]);
    assert_eq!(again.status.code(), Some(1), "a key is not overwritten");
    std::fs::create_dir(at("public")).unwrap();
    let bytes: Vec<u8> = (0..300_000_u32).map(|at| (at * 7 + at / 256) as u8).collect();
    std::fs::write(at("public/file"), &bytes).unwrap();
    let public = at("public");
    let words = ["serve", text(&public), "--listen", "127.0.0.1:0", "--key", text(&key)];
    let serve = Running::new(&words, " at ");
    let url = |path: &str| format!("rc3://{}/{path}", serve.1);
    let got = at("got");
    let output = weft(&["get", &url("file"), text(&got), "--key", text(&key), "--algorithm", "newreno"]);
    assert!(output.status.success() && output.stdout.is_empty(), "{output:?}");
    assert!(std::fs::read(&got).unwrap() == bytes);
    let output = weft(&["get", &url("none"), text(&at("none")), "--key", text(&key)]);
    assert_eq!(output.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&output.stderr).contains("no such file"), "{output:?}");
    assert!(!at("none").exists());
    for wrong in [&["get", "http://a/b", "c"][..], &["get", &url("file"), "c", "--pacing", "fast"]] {
        assert_eq!(weft(wrong).status.code(), Some(2), "{wrong:?}");
    }
    assert!(serve.interrupt());
}

#[test]
fn curl_goes_through_the_pair() {
    let directory = tempfile::tempdir().unwrap();
    let key = directory.path().join("key");
    assert!(weft(&["key", text(&key)]).status.success());
    let web = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = web.local_addr().unwrap();
    std::thread::spawn(move || {
        for mut stream in web.incoming().flatten() {
            let _ = stream.read(&mut [0; 4_096]);
            let _ = stream.write_all(b"HTTP/1.0 200 OK\r\n\r\nhello");
        }
    });
    let egress = Running::new(&["egress", "--key", text(&key), "--listen", "127.0.0.1:0"], " comes to ");
    let words =
        ["proxy", "--key", text(&key), "--egress", &egress.1, "--listen", "socks5:127.0.0.1:0", "--no-low"];
    let proxy = Running::new(&words, " connections at ");
    let by = format!("socks5h://{}", proxy.1);
    let url = format!("http://{address}/");
    let output = Command::new("curl").args(["-sS", "--max-time", "50", "-x", &by, &url]).output().unwrap();
    assert_eq!(output.stdout, b"hello", "{output:?}");
    assert!(proxy.interrupt() && egress.interrupt());
}

fn wait_until(what: &str, mut holds: impl FnMut() -> bool) {
    let start = Instant::now();
    while !holds() {
        assert!(start.elapsed() < Duration::from_secs(90), "{what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// A web server: `/slow` announces two megabytes and sends one, as long as somebody listens; anything else is `hello`. Tells of each
/// listener of a slow one that has gone.
fn web() -> (SocketAddr, Receiver<()>) {
    let web = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = web.local_addr().unwrap();
    let (say, gone) = channel();
    let page = |mut stream: TcpStream| {
        let mut question = [0; 4_096];
        let length = stream.read(&mut question).unwrap_or(0);
        let slow = question[..length].starts_with(b"GET /slow");
        let (length, body): (_, &[u8]) = if slow { (2_000_000, &[7; 1_000_000]) } else { (5, b"hello") };
        let _ = write!(stream, "HTTP/1.0 200 OK\r\nContent-Length: {length}\r\n\r\n");
        let _ = stream.write_all(body);
        // Until the other side is through, too.
        if slow {
            while stream.read(&mut question).is_ok_and(|length| length > 0) {}
        }
        slow
    };
    std::thread::spawn(move || {
        for stream in web.incoming().flatten() {
            let say = say.clone();
            std::thread::spawn(move || {
                if page(stream) {
                    let _ = say.send(());
                }
            });
        }
    });
    (address, gone)
}

/// curl that has got a part of a slow answer.
fn downloading(by: &str, address: SocketAddr, into: &Path) -> Child {
    let url = format!("http://{address}/slow");
    let mut curl = Command::new("curl");
    let words = ["-sS", "--no-buffer", "--max-time", "100", "-x", by, "-o", text(into), &url];
    let curl = curl.args(words).spawn().unwrap();
    wait_until("a part of it comes", || into.metadata().is_ok_and(|file| file.len() >= 1_000_000));
    curl
}

#[test]
fn an_end_that_is_killed_is_noticed_and_everything_released() {
    let directory = tempfile::tempdir().unwrap();
    let (key, got) = (directory.path().join("key"), directory.path().join("got"));
    assert!(weft(&["key", text(&key)]).status.success());
    let (address, gone) = web();
    let start_egress =
        |listen: &str| Running::new(&["egress", "--key", text(&key), "--listen", listen], " comes to ");
    let mut egress = start_egress("127.0.0.1:0");
    let listen = egress.1.clone();
    let start_proxy = |at: &str| {
        let at = format!("socks5:{at}");
        Running::new(
            &["proxy", "--key", text(&key), "--egress", &listen, "--listen", &at],
            " connections at ",
        )
    };
    let proxy = start_proxy("127.0.0.1:0");
    let by = format!("socks5h://{}", proxy.1);
    let hello = || {
        let url = format!("http://{address}/");
        Command::new("curl").args(["-sS", "--max-time", "20", "-x", &by, &url]).output().unwrap().stdout
            == b"hello"
    };
    wait_until("it works", hello);
    let [proxy_idle, egress_idle] = [&proxy, &egress].map(Running::open_at_rest);

    // The far end.
    let mut curl = downloading(&by, address, &got);
    assert!(proxy.open_files() > proxy_idle);
    egress.kill();
    assert!(!curl.wait().unwrap().success(), "half an answer is none");
    proxy.says("no connection to the egress");
    gone.recv_timeout(Duration::from_secs(30)).expect("the server hears of it");
    wait_until("the proxy lets go", || proxy.open_files() < proxy_idle);
    egress = start_egress(&listen);
    wait_until("a new egress is found", hello);
    wait_until("as before", || proxy.open_files() == proxy_idle && egress.open_files() == egress_idle);

    // The near end.
    std::fs::remove_file(&got).unwrap();
    let mut curl = downloading(&by, address, &got);
    assert!(egress.open_files() > egress_idle);
    proxy.kill();
    assert!(!curl.wait().unwrap().success(), "half an answer is none");
    let _proxy = start_proxy(by.trim_start_matches("socks5h://"));
    wait_until("a new proxy works", hello);
    egress.says("no connection to a client any more");
    gone.recv_timeout(Duration::from_secs(30)).expect("the server hears of it");
    wait_until("the egress lets go", || egress.open_files() == egress_idle);
    assert!(hello());
}
