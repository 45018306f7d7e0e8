//! Programs outside: JSON-RPC over HTTP by curl, WebSocket, the messenger over TCP, the shell.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::process::Command;
use std::sync::mpsc;
use std::thread::JoinHandle;
use std::time::Duration;

use pox::components::messenger::tcp_transport::TcpTransport;
use pox::components::py;
use pox::components::web::webcore::WebCore;
use pox::live::Live;
use pox::{Controller, Core, Launcher, Remote, launch};
use serde_json::{Value, json};

/// A controller that runs on its own thread until it is told to quit.
struct Running {
    remote: Remote,
    thread: Option<JoinHandle<()>>,
}

impl Running {
    fn new(line: &str) -> Self {
        let line = line.to_owned();
        let (sender, remote) = mpsc::channel();
        let thread = std::thread::spawn(move || {
            let mut controller = Controller::new();
            let lines = launch::read_words(line.split(' ')).unwrap();
            Launcher::stock().launch(controller.core_mut(), &lines).unwrap();
            let mut live = Live::new(controller).unwrap();
            sender.send(live.remote()).unwrap();
            live.run().unwrap();
        });
        Self { remote: remote.recv_timeout(Duration::from_secs(10)).unwrap(), thread: Some(thread) }
    }

    fn ask<R: Send + 'static>(&self, question: impl FnOnce(&mut Core) -> R + Send + 'static) -> R {
        self.remote.ask(question).unwrap()
    }

    fn web(&self) -> SocketAddr {
        self.ask(|core| core.get::<WebCore>("web.webcore").unwrap().address().unwrap())
    }

    fn messenger(&self) -> SocketAddr {
        self.ask(|core| core.get::<TcpTransport>("messenger.tcp_transport").unwrap().address().unwrap())
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.remote.post(Core::quit);
        if let Some(thread) = self.thread.take() {
            thread.join().unwrap();
        }
    }
}

/// Status and body.
fn curl(arguments: &[&str]) -> (String, String) {
    let output = Command::new("curl")
        .args(["-sS", "-m", "20", "-w", "\n%{http_code}"])
        .args(arguments)
        .output()
        .unwrap();
    assert!(output.status.success(), "{output:?}");
    let text = String::from_utf8(output.stdout).unwrap();
    let (body, status) = text.rsplit_once('\n').unwrap();
    (status.into(), body.into())
}

#[test]
fn curl_reads_the_controller() {
    let running = Running::new("web.webcore --port=0 web.jsonrpc openflow.of_service");
    let site = format!("http://{}", running.web());
    let (status, body) = curl(&["-d", r#"{"id":1,"method":"get_switches"}"#, &format!("{site}/OF/")]);
    assert_eq!((status.as_str(), body.as_str()), ("200", r#"{"id":1,"jsonrpc":"2.0","result":[]}"#));
    let (_, body) =
        curl(&["-d", r#"{"id":1,"method":"get_flow_stats","params":{"dpid":"1"}}"#, &format!("{site}/rpc")]);
    let answer: Value = serde_json::from_str(&body).unwrap();
    assert!(answer["error"]["message"].as_str().unwrap().contains("not connected"), "{body}");
    let (status, body) = curl(&[&format!("{site}/metrics")]);
    assert_eq!(status, "200");
    assert!(body.contains("pox_handled_total{component=\"web.webcore\"}"), "{body}");
    let (_, body) = curl(&[&format!("{site}/")]);
    assert!(body.contains("openflow.set_table"), "{body}");
    assert_eq!(curl(&[&format!("{site}/nothing")]).0, "404");
    assert_eq!(curl(&["-d", r#"{"method":"get_switches"}"#, &format!("{site}/rpc")]).0, "204");
    let long = format!("@{}", long_file().path().display());
    assert_eq!(curl(&["--data-binary", &long, &format!("{site}/rpc")]).0, "413", "more than a megabyte");
}

fn long_file() -> &'static tempfile::NamedTempFile {
    static FILE: std::sync::OnceLock<tempfile::NamedTempFile> = std::sync::OnceLock::new();
    FILE.get_or_init(|| {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        file.write_all(&vec![b' '; 2 << 20]).unwrap();
        file
    })
}

#[test]
fn a_password_keeps_others_out() {
    let running = Running::new("web.webcore --port=0 --user=me:secret web.jsonrpc");
    let site = format!("http://{}/", running.web());
    assert_eq!(curl(&[&site]).0, "401");
    assert_eq!(curl(&["-u", "me:wrong", &site]).0, "401");
    assert_eq!(curl(&["-u", "me:secret", &site]).0, "200");
}

/// A WebSocket by hand: short frames only (RFC 6455).
struct Socket(TcpStream);

impl Socket {
    fn open(address: SocketAddr, path: &str) -> Self {
        let mut stream = TcpStream::connect(address).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
        write!(
            stream,
            "GET {path} HTTP/1.1\r\nHost: {address}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
             Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
        )
        .unwrap();
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            let mut byte = [0];
            stream.read_exact(&mut byte).unwrap();
            head.push(byte[0]);
        }
        let head = String::from_utf8(head).unwrap();
        assert!(head.starts_with("HTTP/1.1 101") && head.contains("s3pPLMBiTxaQ9kYGzzhZRbK+xOo="), "{head}");
        Self(stream)
    }

    fn say(&mut self, text: &str) {
        assert!(text.len() < 126);
        let mut frame = vec![0x81, 0x80 | text.len() as u8, 1, 2, 3, 4];
        frame.extend(text.bytes().enumerate().map(|(at, byte)| byte ^ [1, 2, 3, 4][at % 4]));
        self.0.write_all(&frame).unwrap();
    }

    fn hear(&mut self) -> Value {
        let mut head = [0; 2];
        self.0.read_exact(&mut head).unwrap();
        assert_eq!(head[0], 0x81, "a whole text");
        let length = match head[1] {
            126 => {
                let mut length = [0; 2];
                self.0.read_exact(&mut length).unwrap();
                usize::from(u16::from_be_bytes(length))
            }
            short => usize::from(short),
        };
        let mut text = vec![0; length];
        self.0.read_exact(&mut text).unwrap();
        serde_json::from_slice(&text).unwrap()
    }
}

#[test]
fn websockets_carry_requests_and_sessions() {
    let running =
        Running::new("web.webcore --port=0 web.jsonrpc openflow.of_service messenger messenger.chat");
    let mut requests = Socket::open(running.web(), "/ws");
    requests.say(r#"{"id":5,"method":"get_switches"}"#);
    assert_eq!(requests.hear(), json!({ "jsonrpc": "2.0", "id": 5, "result": [] }));
    let mut session = Socket::open(running.web(), "/messenger");
    assert_eq!(session.hear()["cmd"], "welcome");
    session.say(r#"{"CHANNEL":"","cmd":"join","channel":"chat"}"#);
    assert_eq!(session.hear()["cmd"], "join_ack");
    session.say(r#"{"CHANNEL":"chat","msg":"hello"}"#);
    assert_eq!(session.hear()["msg"], "hello");
}

struct Client(BufReader<TcpStream>);

impl Client {
    fn new(address: SocketAddr) -> Self {
        let stream = TcpStream::connect(address).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
        let mut client = Self(BufReader::new(stream));
        assert_eq!(client.hear()["cmd"], "welcome");
        client
    }

    fn say(&mut self, text: &str) -> &mut Self {
        self.0.get_mut().write_all(text.as_bytes()).unwrap();
        self
    }

    fn hear(&mut self) -> Value {
        let mut line = String::new();
        self.0.read_line(&mut line).unwrap();
        serde_json::from_str(&line).unwrap_or_else(|error| panic!("{line:?}: {error}"))
    }
}

#[test]
fn clients_speak_to_one_another_and_hear_the_log() {
    let running =
        Running::new("messenger messenger.tcp_transport --port=0 messenger.chat messenger.log_service");
    let join = |channel| format!(r#"{{"CHANNEL":"","cmd":"join","channel":"{channel}"}}"#);
    let (mut one, mut two) = (Client::new(running.messenger()), Client::new(running.messenger()));
    for client in [&mut one, &mut two] {
        assert_eq!(client.say(&join("chat")).hear()["cmd"], "join_ack");
    }
    one.say(r#"{"CHANNEL":"#).say(r#""chat","msg":[1,2]}"#);
    for client in [&mut one, &mut two] {
        let heard = client.hear();
        assert_eq!((&heard["msg"], &heard["from"]), (&json!([1, 2]), &json!("session-1")));
    }
    two.say(&join("log")).hear();
    running.ask(|core| pox::info!(core, "something happened"));
    assert_eq!(two.hear()["message"], "something happened");
    one.say(r#"{"CHANNEL":"","cmd":"test","n":1}"#);
    assert_eq!(one.hear(), json!({ "CHANNEL": "", "cmd": "test", "n": 1, "test": "ok" }));
    one.say("5");
    assert_eq!(one.hear()["cmd"], "error");
    one.say("{]");
    let mut rest = Vec::new();
    assert_eq!(one.0.read_to_end(&mut rest).unwrap(), 0, "what is no JSON ends the session");
    two.say(r#"{"CHANNEL":"chat","msg":"still here"}"#);
    assert_eq!(two.hear()["msg"], "still here");
}

/// A client that never reads is cut off; the others and the controller go on.
#[test]
fn a_client_that_does_not_read_is_cut_off() {
    let running = Running::new("messenger messenger.tcp_transport --port=0 messenger.chat");
    let mut deaf = Client::new(running.messenger());
    deaf.say(r#"{"CHANNEL":"","cmd":"join","channel":"chat"}"#).hear();
    let mut loud = Client::new(running.messenger());
    let long = "x".repeat(8_000);
    for _ in 0..2_000 {
        loud.say(&format!(r#"{{"CHANNEL":"chat","msg":"{long}"}}"#));
    }
    loud.say(r#"{"CHANNEL":"","cmd":"test"}"#);
    assert_eq!(loud.hear()["test"], "ok");
    let mut rest = Vec::new();
    let read = deaf.0.read_to_end(&mut rest);
    assert!(read.is_err() || rest.len() < 2_000 * 8_000, "it heard everything");
}

#[test]
fn the_shell_answers_line_by_line() {
    let running = Running::new("web.jsonrpc openflow.of_service");
    let input = "switches\nhelp\nmethods\n# a comment\nflows 7\n\nopenflow.get_switches {\nlog debug\nnonsense\nget_switches {\"a\":1}\n";
    let mut output = Vec::new();
    py::read(input.as_bytes(), &mut output, &running.remote).unwrap();
    let output = String::from_utf8(output).unwrap();
    let lines: Vec<&str> = output.lines().collect();
    assert_eq!(lines[0], "none");
    assert!(lines[1].starts_with("help "), "{output}");
    assert!(output.contains("openflow.set_table: replaces a switch's flows"), "{output}");
    assert!(output.contains("error: switch 0000000000000007 is not connected"), "{output}");
    assert!(output.contains("parameters are JSON"), "{output}");
    assert!(output.contains("debug and louder"), "{output}");
    assert!(output.contains("error: there is no method 'nonsense'"), "{output}");
    let mut output = Vec::new();
    py::read("quit\nswitches\n".as_bytes(), &mut output, &running.remote).unwrap();
    assert!(String::from_utf8(output).unwrap().starts_with("bye\n"));
}
