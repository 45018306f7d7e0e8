//! `weft rc3` on sockets of this machine's loopback: files, and the pair of proxies under curl.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpListener;
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};

fn weft(words: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_weft")).args(["rc3"]).args(words).output().unwrap()
}

/// A command that runs until it is dropped, and the address that it says it has.
struct Running(Child, String);

impl Running {
    fn new(words: &[&str], before: &str) -> Self {
        let mut command = Command::new(env!("CARGO_BIN_EXE_weft"));
        let mut child = command.arg("rc3").args(words).stderr(Stdio::piped()).spawn().unwrap();
        let mut line = String::new();
        BufReader::new(child.stderr.take().unwrap()).read_line(&mut line).unwrap();
        let at = line.find(before).unwrap_or_else(|| panic!("{line:?}")) + before.len();
        let address = line[at..].split_whitespace().next().unwrap().to_owned();
        Self(child, address)
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
