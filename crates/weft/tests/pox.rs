//! `weft pox`, with the real binary.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::process::{Command, Output, Stdio};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

fn weft(args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_weft"));
    command.arg("pox").args(args).env("NO_COLOR", "1").env_remove("WEFT_LOG").stdin(Stdio::null());
    command
}

fn run(args: &[&str]) -> Output {
    weft(args).output().unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// What a launch line that is wrong leads to, without the line breaks of a terminal.
fn refused(args: &[&str]) -> String {
    let output = run(args);
    assert_eq!(output.status.code(), Some(2), "{args:?}: {}", text(&output.stderr));
    text(&output.stderr).split_whitespace().filter(|word| *word != "│").collect::<Vec<_>>().join(" ")
}

#[test]
fn components_are_listed_and_have_manuals() {
    let listed = text(&run(&["list"]).stdout);
    let hub = listed.lines().find(|line| line.starts_with("forwarding.hub ")).unwrap();
    assert!(hub.ends_with("Floods every packet: makes hubs of switches."), "{hub}");
    let json: Value = serde_json::from_slice(&run(&["list", "--json"]).stdout).unwrap();
    assert_eq!(json.as_array().unwrap().len(), listed.lines().count());
    let manual = text(&run(&["help", "openflow.of_01", "forwarding.hub"]).stdout);
    assert!(
        manual.starts_with("openflow.of_01\n\nWaits for switches") && manual.contains("`--reactive`"),
        "{manual}"
    );
    assert_eq!(run(&["help", "nobody"]).status.code(), Some(2));
}

#[test]
fn what_is_wrong_is_said_with_what_is_near() {
    for (args, wanted) in [
        (
            &["forwarding.hubb"][..],
            "there is no component 'forwarding.hubb' help: did you mean 'forwarding.hub'?",
        ),
        (&["l2_learning"], "did you mean 'forwarding.l2_learning'?"),
        (
            &["forwarding.hub", "--reactiv"],
            "takes no --reactiv; it takes --reactive help: did you mean --reactive?",
        ),
        (&["--reactive", "forwarding.hub"], "'--reactive' stands before any component"),
        (&["forwarding.l2_learning", "--hold-down=x"], "--hold-down=x: the units are us, ms, s, m, h"),
        (&["forwarding.hub", "forwarding.hub"], "'forwarding.hub' may be launched once"),
        (&[], "required arguments were not provided"),
    ] {
        let said = refused(args);
        assert!(said.contains(wanted), "{args:?}: {said}");
    }
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("network.pox");
    std::fs::write(&file, "forwarding.hub\ninfo.switch_info --alwys\n").unwrap();
    let said = refused(&["--config", file.to_str().unwrap()]);
    assert!(said.contains("line 2: info.switch_info: it takes no --alwys"), "{said}");
}

#[test]
fn a_controller_says_hello_and_ends_when_it_is_told_to() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("network.pox");
    std::fs::write(&file, "# all of it\nopenflow.of_01 --port=0 --address=127.0.0.1\n").unwrap();
    let mut command = weft(&["--config", file.to_str().unwrap(), "forwarding.l2_learning"]);
    let mut child = command.stderr(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
    let port = lines.find_map(|line| {
        let line = line.unwrap();
        line.split_once("listens at tcp:127.0.0.1:").map(|(_, port)| port.to_owned())
    });
    let mut switch = TcpStream::connect(("127.0.0.1", port.unwrap().parse().unwrap())).unwrap();
    let mut hello = [0; 8];
    switch.read_exact(&mut hello).unwrap();
    assert_eq!(hello[..2], [4, 0], "a hello of OpenFlow 1.3");
    // One that says nonsense is turned away.
    switch.write_all(b"GET / HTTP/1.0\r\n\r\n").unwrap();
    switch.read_to_end(&mut Vec::new()).unwrap();
    let pid = Pid::from_child(&child);
    kill_process(pid, Signal::INT).unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(0));
    let rest: Vec<String> = lines.map(Result::unwrap).collect();
    assert!(rest.iter().any(|line| line.contains("did not become a switch")), "{rest:?}");
}

#[test]
fn an_address_that_is_taken_is_said() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = format!("--port={}", taken.local_addr().unwrap().port());
    let output = run(&["openflow.of_01", &port, "--address=127.0.0.1"]);
    assert_eq!(output.status.code(), Some(1));
    let said = text(&output.stderr);
    assert!(said.contains("switches cannot be waited for at tcp:127.0.0.1"), "{said}");
}
