//! Servers that say what they see.

use std::net::{SocketAddr, UdpSocket};
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use super::{Netns, must};

/// nginx in a namespace, until dropped.
pub struct Web(tempfile::TempDir);

impl Web {
    /// Answers with the address and port it sees.
    pub fn start(ns: &Netns, listen: &str) -> Self {
        Self::with(ns, listen, "default_type text/plain; return 200 \"$remote_addr $remote_port\";")
    }

    /// Does what `directives` say, in a directory of its own.
    pub fn with(ns: &Netns, listen: &str, directives: &str) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().display();
        let listens: String = listen.split(' ').map(|address| format!("listen {address};")).collect();
        // Root reads what the test writes.
        let config = format!(
            "user root; worker_processes 1; pid {path}/pid; error_log {path}/error; events {{}}
             http {{ access_log off; client_body_temp_path {path}/b; proxy_temp_path {path}/p;
             fastcgi_temp_path {path}/f; uwsgi_temp_path {path}/u; scgi_temp_path {path}/s;
             server {{ {listens} root {path}; {directives} }} }}"
        );
        std::fs::write(directory.path().join("conf"), config).unwrap();
        let web = Self(directory);
        // It goes into the background once it listens.
        must(web.arguments(&mut ns.program("nginx")));
        web
    }

    /// Where what it serves lies.
    pub fn directory(&self) -> &Path {
        self.0.path()
    }

    fn arguments<'a>(&self, nginx: &'a mut Command) -> &'a mut Command {
        let [config, log] = ["conf", "error"].map(|name| self.0.path().join(name));
        nginx.arg("-c").arg(config).arg("-e").arg(log)
    }
}

impl Drop for Web {
    fn drop(&mut self) {
        // The namespace may be gone already.
        must(self.arguments(Command::new("nginx").args(["-s", "stop"])));
    }
}

/// A server that answers every datagram with the address it saw and how many bytes came.
pub struct Echo {
    ended: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Echo {
    pub fn start(ns: &Netns, address: &str) -> Self {
        let address: SocketAddr = address.parse().unwrap();
        let ended = Arc::new(AtomicBool::new(false));
        let (is_ended, (ready, is_ready)) = (ended.clone(), std::sync::mpsc::channel());
        let thread = ns.enter(move || {
            let socket = UdpSocket::bind(address).unwrap();
            socket.set_read_timeout(Some(Duration::from_millis(50))).unwrap();
            ready.send(()).unwrap();
            let mut buffer = [0; 65_536];
            while !is_ended.load(Ordering::Relaxed) {
                let Ok((length, from)) = socket.recv_from(&mut buffer) else { continue };
                socket.send_to(format!("{from} {length}").as_bytes(), from).unwrap();
            }
        });
        is_ready.recv().unwrap();
        Self { ended, thread: Some(thread) }
    }
}

impl Drop for Echo {
    fn drop(&mut self) {
        self.ended.store(true, Ordering::Relaxed);
        let _ = self.thread.take().map(JoinHandle::join);
    }
}

/// Asks a UDP server from a namespace, from a port; what it answers, or why not.
pub fn ask(ns: &Netns, from: &str, to: &str, payload: usize) -> String {
    let (from, to): (SocketAddr, SocketAddr) = (from.parse().unwrap(), to.parse().unwrap());
    ns.enter(move || {
        let socket = UdpSocket::bind(from).unwrap();
        socket.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
        socket.connect(to).unwrap();
        socket.send(&vec![7; payload]).unwrap();
        let mut buffer = [0; 2048];
        match socket.recv(&mut buffer) {
            Ok(length) => String::from_utf8_lossy(&buffer[..length]).into_owned(),
            Err(error) => error.kind().to_string(),
        }
    })
    .join()
    .unwrap()
}
