//! Ports of this machine that lead into a deployment.

use std::net::{TcpListener, UdpSocket};
use std::time::Duration;

use crate::harness::{Weft, Who, eventually, free_port, port_is_free, take};

/// Answers every datagram with its own name in front.
const ECHO: &str = r#"use IO::Socket::INET;
    my $socket = IO::Socket::INET->new(LocalPort => 7, Proto => "udp") or die $!;
    while (defined(my $from = $socket->recv(my $text, 65535))) { $socket->send("$ENV{HOSTNAME} $text", 0, $from) }"#;

#[test]
fn datagrams_come_and_go_through_a_published_port_as_root() {
    datagrams(Who::Root);
}

#[test]
fn datagrams_come_and_go_through_a_published_port_as_an_ordinary_user() {
    datagrams(Who::User);
}

fn datagrams(who: Who) {
    let weft = Weft::new(who);
    let port = free_port();
    let text = format!(
        "import {{Container, publish}} from 'weft';\n\
         const echo = new Container('echo', {{command: ['perl', '-e', {ECHO:?}], replicas: 2}});\n\
         publish(echo, {port}, 7, 'udp');\n"
    );
    let file = weft.blueprint("echo.js", &text);
    let shown = weft.ok(&["up", &file]);
    assert!(shown.contains(&format!("localhost:{port}/udp")), "{shown}");
    // IPv4 and IPv6, and datagrams that take several packets.
    for (local, length) in [("127.0.0.1", 5), ("::1", 5), ("127.0.0.1", 4000), ("::1", 4000)] {
        let asker = UdpSocket::bind((local, 0)).expect("a socket");
        asker.set_read_timeout(Some(Duration::from_secs(2))).expect("its patience");
        asker.connect((local, port)).expect("the published port");
        let question = "x".repeat(length);
        let mut answer = vec![0; 65_536];
        let answered = eventually(|| {
            asker.send(question.as_bytes()).is_ok()
                && asker.recv(&mut answer).is_ok_and(|count| answer[..count].ends_with(question.as_bytes()))
        });
        assert!(answered, "{length} bytes over {local}");
        assert!(answer.starts_with(b"echo-"), "{:?}", String::from_utf8_lossy(&answer[..10]));
    }
    let status = weft.json(&["ps", "--json"])["published"][0]["status"].clone();
    assert!(status["total"].as_u64().is_some_and(|total| total >= 4), "{status}");
    weft.ok(&["stop"]);
    weft.nothing_left();
    assert!(port_is_free(port), "nobody holds the port");
}

#[test]
fn ports_come_and_go_with_the_blueprint() {
    let weft = Weft::new(Who::Root);
    let (first, second) = (free_port(), free_port());
    let blueprint = |ports: &[u16]| {
        let publishes: String = ports.iter().map(|port| format!("publish(web, {port}, 80);\n")).collect();
        weft.blueprint(
            "ports.js",
            &format!(
                "import {{Container, publish}} from 'weft';\n\
                 const web = new Container('web', {{command: ['weft', 'tool', 'web', '--listen', '80']}});\n{publishes}"
            ),
        )
    };
    let open = |port: u16| crate::harness::curl(&format!("http://localhost:{port}/")).is_ok();
    weft.ok(&["up", &blueprint(&[first])]);
    assert!(eventually(|| open(first)));
    let pids = weft.pids();
    let both = blueprint(&[first, second]);
    assert_eq!(weft.ok(&["plan", &both]).trim(), format!("+ publish {second} -> web:80/tcp"));
    weft.ok(&["up", &both]);
    assert!(open(first) && open(second));
    weft.ok(&["up", &blueprint(&[second])]);
    let both = blueprint(&[first, second]);
    assert!(!open(first) && open(second));
    assert!(eventually(|| port_is_free(first)));
    assert_eq!(weft.pids(), pids, "no container was started again");

    // A port that is taken while others are served: told on its line, and nothing changes.
    let taken = take(first, TcpListener::bind);
    let error = weft.fails(&["up", &both]);
    assert!(error.contains(&format!("port {first}/tcp of the host is taken")), "{error}");
    assert!(error.contains("ports.js:3:"), "{error}");
    assert!(open(second));
    drop(taken);
    weft.ok(&["stop"]);
    weft.nothing_left();
}
