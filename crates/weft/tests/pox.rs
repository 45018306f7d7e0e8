//! `weft pox`, with the real binary.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::process::{Child, ChildStdin, Command, Output, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

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

/// Longer than anything here takes on a busy machine.
const PATIENCE: Duration = Duration::from_secs(90);

/// The shell, and what it has said so far.
struct Shell {
    child: Child,
    input: Option<ChildStdin>,
    said: Arc<Mutex<String>>,
}

impl Shell {
    fn start(command: &mut Command) -> Self {
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let (input, mut output) = (child.stdin.take(), child.stdout.take().unwrap());
        let said: Arc<Mutex<String>> = Arc::default();
        let heard = Arc::clone(&said);
        std::thread::spawn(move || {
            let mut bytes = [0; 4096];
            while let Ok(count @ 1..) = output.read(&mut bytes) {
                heard.lock().unwrap().push_str(&text(&bytes[..count]));
            }
        });
        Self { child, input, said }
    }

    fn say(&mut self, words: &str) {
        self.input.as_mut().unwrap().write_all(words.as_bytes()).unwrap();
    }

    /// Waits until it has said that; all that it said before is forgotten.
    fn hear(&self, wanted: &str) -> String {
        let begin = Instant::now();
        loop {
            let mut said = self.said.lock().unwrap();
            if let Some(at) = said.find(wanted) {
                let rest = said.split_off(at + wanted.len());
                return std::mem::replace(&mut *said, rest);
            }
            assert!(begin.elapsed() < PATIENCE, "no {wanted:?} in {said:?}");
            drop(said);
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// Waits until it ends by itself.
    fn ends(mut self) {
        let begin = Instant::now();
        loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                assert_eq!(status.code(), Some(0));
                return;
            }
            assert!(begin.elapsed() < PATIENCE, "it goes on: {:?}", self.said.lock().unwrap());
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}

impl Drop for Shell {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn a_shell_answers_a_pipe_line_by_line_and_starts_and_stops_components() {
    let mut command = weft(&["py", "openflow.of_01", "--port=0", "--address=127.0.0.1"]);
    let mut shell = Shell::start(command.stderr(Stdio::null()));
    shell.say("help\n");
    assert!(shell.hear("quit  ").contains("packet-out "));
    shell.say("\n# nothing\nswitches\n");
    shell.hear("none\n");
    shell.say("components\nstart forwarding.hub --reactive\n");
    assert!(!shell.hear("started forwarding.hub\n").contains("forwarding.hub:"));
    shell.say("components\nlog\nnonsense\n");
    let said = shell.hear("error: there is no command 'nonsense'");
    assert!(said.contains("forwarding.hub: ") && said.contains("listens at tcp:127.0.0.1:"), "{said}");
    shell.say(&format!("{}\nstop forwarding.hub\n", "x".repeat(70_000)));
    assert!(shell.hear("stopped forwarding.hub\n").contains("error: a line has at most 65536 bytes\n"));
    shell.say("components\nhelp help\n");
    assert!(!shell.hear("such as: help flow-mod\n").contains("forwarding.hub: "));
    shell.say("quit\n");
    shell.hear("bye\n");
    shell.ends();

    // At the end of the input the controller goes on.
    let mut command = weft(&["py", "openflow.of_01", "--port=0", "--address=127.0.0.1"]);
    let mut shell = Shell::start(command.stderr(Stdio::null()));
    shell.say("switches\n");
    shell.hear("none\n");
    shell.input = None;
    std::thread::sleep(Duration::from_millis(300));
    assert!(shell.child.try_wait().unwrap().is_none());
    kill_process(Pid::from_child(&shell.child), Signal::INT).unwrap();
    shell.ends();
}

/// On a terminal, which util-linux' `script` makes: words are completed, lines come back, Ctrl-D ends the controller and the
/// terminal is as it was.
#[test]
fn a_shell_on_a_terminal_completes_words_and_remembers_lines() {
    let directory = tempfile::tempdir().unwrap();
    let history = directory.path().join("history");
    let weft = env!("CARGO_BIN_EXE_weft");
    let line = format!(
        "{weft} pox py --history={} openflow.of_01 --port=0 --address=127.0.0.1 2>/dev/null; stty -a",
        history.display()
    );
    for round in 0..2 {
        let mut command = Command::new("script");
        command.args(["-qefc", &line, "/dev/null"]).env("TERM", "xterm").env_remove("WEFT_LOG");
        let mut shell = Shell::start(&mut command);
        shell.hear("pox> ");
        if round == 0 {
            // A word, and the rest of it.
            shell.say("swi\t\r");
            shell.hear("none");
            shell.say("start forwarding.hu\t\r");
            shell.hear("started forwarding.hub");
            // Edited: to the beginning of the line, a word before the rest.
            shell.say("forwarding.hub\u{1}stop \r");
            shell.hear("stopped forwarding.hub");
        }
        // The last line but one again, in the next session too.
        shell.say(if round == 0 { "\u{1b}[A\u{1b}[A\r" } else { "\u{1b}[A\r" });
        shell.hear("started forwarding.hub");
        shell.hear("pox> ");
        shell.say("\u{4}");
        let said = shell.hear("bye");
        assert!(!said.contains("error"), "{said}");
        let flags = shell.hear("iexten");
        assert!(flags.contains("isig icanon") && !flags.contains("-isig"), "{flags}");
        shell.ends();
    }
    let kept = std::fs::read_to_string(&history).unwrap();
    assert!(kept.contains("stop forwarding.hub\n"), "{kept}");

    // A signal while a line is being written.
    let line = format!("{weft} pox py openflow.of_01 --port=0 --address=127.0.0.1 2>/dev/null; stty -a");
    let mut command = Command::new("script");
    command.args(["-qefc", &line, "/dev/null"]).env("TERM", "xterm");
    let mut shell = Shell::start(&mut command);
    shell.hear("pox> ");
    shell.say("swit");
    shell.hear("swit");
    let pid = victim(shell.child.id());
    kill_process(Pid::from_raw(pid).unwrap(), Signal::TERM).unwrap();
    let flags = shell.hear("iexten");
    assert!(flags.contains("isig icanon") && !flags.contains("-isig"), "{flags}");
    shell.ends();
}

/// The controller that `script` runs: the child of its shell's, or of itself.
fn victim(of: u32) -> i32 {
    let children = |pid: u32| {
        let path = format!("/proc/{pid}/task/{pid}/children");
        let text = std::fs::read_to_string(path).unwrap_or_default();
        text.split_whitespace().map(|pid| pid.parse().unwrap()).collect::<Vec<u32>>()
    };
    let mut found = of;
    while let Some(next) = children(found).first() {
        found = *next;
    }
    found as i32
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
