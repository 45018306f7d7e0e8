//! A connection that lasts, while everything around it changes.

use std::io::{BufRead, BufReader, Read};
use std::process::Child;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use crate::harness::{Weft, Who, eventually, free_port, kill};

/// A web page without an end, every line one higher than the last: whatever is lost, doubled or cut shows.
pub(crate) const SERVER: &str = r#"use IO::Socket::INET; $SIG{CHLD} = "IGNORE";
    my $server = IO::Socket::INET->new(LocalPort => 80, Listen => 9, ReuseAddr => 1) or die $!;
    while (my $peer = $server->accept) {
        next if fork;
        print $peer "HTTP/1.0 200 OK\r\n\r\n";
        for (my $i = 0; print $peer "$i\n"; $i++) { select(undef, undef, undef, 0.002) if $i % 50 == 0 }
        exit;
    }"#;

#[test]
fn a_stream_outlives_control_and_dataplane_as_root() {
    outlives(Who::Root);
}

#[test]
fn a_stream_outlives_control_and_dataplane_as_an_ordinary_user() {
    outlives(Who::User);
}

fn outlives(who: Who) {
    let weft = Weft::new(who);
    let port = free_port();
    let blueprint = |others: usize| {
        format!(
            "import {{Container, allow, deployment, publish}} from 'weft';\n\
             deployment({{name: 'stream'}});\n\
             const server = new Container('server', {{command: ['perl', '-e', {SERVER:?}]}});\n\
             const reader = new Container('reader', {{command: ['sleep', '1000']}});\n\
             const others = new Container('other', {{command: ['sleep', '1000'], replicas: {others}}});\n\
             allow(reader, server, 80);\n\
             allow(others, server, 80);\n\
             publish(server, {port}, 80);\n"
        )
    };
    let file = weft.blueprint("stream.js", &blueprint(2));
    weft.ok(&["up", &file]);
    let inside = [
        "exec",
        "reader",
        "--",
        "curl",
        "-sS",
        "-N",
        "--retry-connrefused",
        "--retry",
        "9",
        "http://server/",
    ];
    let inner = Stream::of(weft.start(&inside));
    let mut outside = std::process::Command::new("curl");
    outside.args(["-sS", "-N", &format!("http://localhost:{port}/")]).stdout(std::process::Stdio::piped());
    let outer = Stream::of(outside.spawn().expect("curl"));
    let both_flow = |when: &str| {
        inner.flows(when);
        outer.flows(when);
    };
    both_flow("at first");

    // The control process dies in the middle of changing things around the two ends.
    let changed = weft.blueprint("changed.js", &blueprint(4));
    for delay_ms in [20, 60, 100, 150] {
        weft.killed_after(&["up", &changed], Duration::from_millis(delay_ms));
        both_flow("after a control process was killed");
    }
    weft.ok(&["up", &changed]);
    both_flow("after others came");
    let unrelated = weft.blueprint(
        "unrelated.js",
        "import {Container} from 'weft';\nnew Container('alone', {command: ['sleep', '99']});\n",
    );
    weft.ok(&["up", &unrelated]);
    both_flow("after an unrelated deployment came");
    assert!(weft.fails(&["ps"]).contains("several deployments run: say which with -d (stream, unrelated)"));
    weft.ok(&["stop", "-d", "unrelated"]);
    both_flow("after it went");
    weft.ok(&["up", &file]);
    both_flow("after others went");

    // The dataplane dies, and its successor knows nothing of the connections: it picks them up.
    kill(weft.carrier("stream", "dataplane").into());
    weft.ok(&["up", &file]);
    both_flow("after the dataplane came back");
    weft.ok(&["stop"]);
    weft.nothing_left();
}

/// Somebody who reads the page without an end.
pub(crate) struct Stream {
    child: Child,
    lines: Arc<AtomicU64>,
    reader: Option<JoinHandle<Result<(), String>>>,
}

impl Stream {
    pub(crate) fn of(mut child: Child) -> Self {
        let lines = Arc::new(AtomicU64::new(0));
        let (page, count) = (child.stdout.take().expect("its output"), lines.clone());
        let reader = std::thread::spawn(move || in_order(page, &count));
        Self { child, lines, reader: Some(reader) }
    }

    /// Sees that new lines come, all of them and in order.
    pub(crate) fn flows(&self, when: &str) {
        let before = self.lines.load(Ordering::Relaxed);
        let more = eventually(|| self.lines.load(Ordering::Relaxed) > before + 100);
        let ended = self.reader.as_ref().is_some_and(JoinHandle::is_finished);
        assert!(
            more && !ended,
            "{when}: the stream stands still at line {before}, its reader ended: {ended}"
        );
    }
}

impl Drop for Stream {
    fn drop(&mut self) {
        let _ = (self.child.kill(), self.child.wait());
        if let Some(Ok(Err(error))) = self.reader.take().map(JoinHandle::join) {
            eprintln!("{error}");
        }
    }
}

fn in_order(page: impl Read, count: &AtomicU64) -> Result<(), String> {
    for (number, line) in BufReader::new(page).lines().enumerate() {
        let line = line.map_err(|error| error.to_string())?;
        if line != number.to_string() {
            return Err(format!("line {number} is {line:?}"));
        }
        count.store(number as u64, Ordering::Relaxed);
    }
    Ok(())
}
