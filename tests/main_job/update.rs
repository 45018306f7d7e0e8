//! Replacing members of a service in batches while clients ask: no request fails.

use std::collections::BTreeSet;
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use crate::harness::{Weft, Who, curl, eventually, flat, free_port};

/// A web server that says who it is and at which version; `/slow` takes its time in the middle of the page.
const SERVER: &str = r#"use IO::Socket::INET; $SIG{CHLD} = "IGNORE"; select(undef, undef, undef, 0.3);
    my $server = IO::Socket::INET->new(LocalPort => 80, Listen => 99, ReuseAddr => 1) or die $!;
    while (my $peer = $server->accept) {
        next if fork;
        my $request = <$peer>;
        while (<$peer>) { last if /^\s*$/ }
        $peer->autoflush(1);
        print $peer "HTTP/1.0 200 OK\r\n\r\n$ENV{HOSTNAME} ";
        select(undef, undef, undef, 1.5) if $request =~ /slow/;
        print $peer "version $ENV{VERSION}\n";
        exit;
    }"#;

struct Site<'a> {
    weft: &'a Weft,
    port: u16,
}

impl Site<'_> {
    fn blueprint(&self, version: u32, replicas: usize, path: &str) -> String {
        let port = self.port;
        let text = format!(
            "import {{Container, allow, deployment, publish}} from 'weft';
deployment({{name: 'site'}});
const web = new Container('web', {{
  command: ['perl', '-e', {SERVER:?}], replicas: {replicas}, env: {{VERSION: {version}}},
  health: {{{path}, interval: '100ms'}}, readyWithin: '3s',
  update: {{batch: 1, pause: '300ms', drain: '5s'}},
}});
const client = new Container('client', {{command: ['sleep', '1000']}});
allow(client, web, 80);
publish(web, {port}, 80);
"
        );
        self.weft.blueprint("site.js", &text)
    }

    fn url(&self) -> String {
        format!("http://localhost:{}/", self.port)
    }

    /// The versions that answer now.
    fn versions(&self) -> BTreeSet<String> {
        let page = |_| curl(&self.url()).expect("a page").trim().to_owned();
        (0..9).map(page).map(|page| page.rsplit(' ').next().unwrap_or_default().to_owned()).collect()
    }

    /// Does something while curl asks again and again, from outside and from a container; says how often it was answered.
    fn asked_all_the_while<R>(&self, work: impl FnOnce() -> R) -> (R, usize) {
        let over = AtomicBool::new(false);
        let ask = |mut once: Box<dyn FnMut() -> Result<String, String> + Send>| {
            let over = &over;
            move || {
                let mut answers = 0;
                while !over.load(Ordering::Relaxed) {
                    match once() {
                        Ok(page) if page.contains("version") => answers += 1,
                        failed => panic!("after {answers} answers: {failed:?}"),
                    }
                    thread::sleep(Duration::from_millis(5));
                }
                answers
            }
        };
        let url = self.url();
        let outside = ask(Box::new(move || curl(&url)));
        let mut command = self.weft.command(&["exec", "client", "--", "sh", "-c", ASK]);
        thread::scope(|scope| {
            let outside = scope.spawn(outside);
            let mut inside = command.stdout(std::process::Stdio::piped()).spawn().expect("a client inside");
            let result = work();
            over.store(true, Ordering::Relaxed);
            let answers = outside.join().expect("no request from outside fails");
            // It ends when somebody is there to see that it was never refused.
            self.weft.inside("client", &["touch", "/tmp/over"]);
            let code = inside.wait().expect("its end").code();
            self.weft.inside("client", &["rm", "/tmp/over"]);
            assert_eq!(code, Some(0), "no request from inside fails");
            (result, answers)
        })
    }
}

/// What a client inside does.
const ASK: &str =
    "while test ! -e /tmp/over; do curl -sS --max-time 10 http://web/ | grep -q version || exit 9; done";

#[test]
fn no_request_fails_while_replicas_are_replaced_as_root() {
    no_request_fails(Who::Root);
}

#[test]
fn no_request_fails_while_replicas_are_replaced_as_an_ordinary_user() {
    no_request_fails(Who::User);
}

fn no_request_fails(who: Who) {
    let weft = Weft::new(who);
    let site = Site { weft: &weft, port: free_port() };
    weft.ok(&["up", &site.blueprint(1, 3, "tcp: 80")]);
    assert!(eventually(|| curl(&site.url()).is_ok()));
    assert!(eventually(|| site.versions() == BTreeSet::from(["1".to_owned()])));
    let before = weft.pids();

    // Everybody is replaced, one by one, while answers go on, and what was begun before is brought to its end.
    let file = site.blueprint(2, 3, "tcp: 80");
    let text = std::fs::read_to_string(&file).expect("the blueprint");
    let file = weft.blueprint("site.js", &text.replace("pause: '300ms'", "pause: '2s'"));
    assert!(weft.ok(&["plan", &file]).contains("~ container web-1 (env VERSION changed)"));
    let slow: Vec<_> = (0..3).map(|_| slow(&site)).collect();
    thread::sleep(Duration::from_millis(300));
    let (_, answers) = site.asked_all_the_while(|| weft.ok(&["up", &file]));
    assert!(answers > 20, "{answers} answers from outside are too few to say anything");
    for page in slow {
        let page = page.wait_with_output().expect("curl's end");
        assert!(page.status.success() && page.stdout.ends_with(b"version 1\n"), "{page:?}");
    }
    assert_eq!(site.versions(), BTreeSet::from(["2".to_owned()]));
    let after = weft.pids();
    assert!(["web-1", "web-2", "web-3"].iter().all(|name| before[*name] != after[*name]), "{after:?}");
    assert_eq!(before["client"], after["client"]);
    assert_eq!(weft.ok(&["plan", &file]).trim(), "nothing to change");
    // Between two batches there is a pause, at least.
    let mut started =
        ["web-1", "web-2", "web-3"].map(|name| weft.row(name)["started_ms"].as_u64().expect("a time"));
    started.sort_unstable();
    assert!(started.windows(2).all(|pair| pair[1] - pair[0] >= 2_000), "{started:?}");

    // One less, and then more again: who goes is let go gently as well.
    let ((), _) = site.asked_all_the_while(|| {
        weft.ok(&["up", &site.blueprint(2, 2, "tcp: 80")]);
        weft.ok(&["up", &site.blueprint(3, 4, "tcp: 80")]);
    });
    assert_eq!(site.versions(), BTreeSet::from(["3".to_owned()]));
    an_update_that_fails_stands_still(&site);
    a_killed_update_is_gone_on_with(&site);
    weft.ok(&["stop"]);
    weft.nothing_left();
}

/// A request that a server is still at while it is taken out.
fn slow(site: &Site<'_>) -> std::process::Child {
    let mut command = Command::new("curl");
    command.args(["-sS", "--max-time", "20", &format!("{}slow", site.url())]);
    command.stdout(std::process::Stdio::piped()).spawn().expect("curl")
}

/// What does not get ready stops the update where it is; the others answer as before.
fn an_update_that_fails_stands_still(site: &Site<'_>) {
    let weft = site.weft;
    let before = weft.pids();
    let bad = site.blueprint(4, 4, "tcp: 81");
    let (error, _) = site.asked_all_the_while(|| weft.fails(&["up", &bad]));
    let told = flat(&error);
    for words in
        ["the update of 'web' stopped with 0 of 4 done", "container 'web-1' is not ready", "site.js:3:"]
    {
        assert!(told.contains(words), "{words}: {error}");
    }
    assert!(told.contains("there still run web-2, web-3, web-4 as before"), "{error}");
    let after = weft.pids();
    assert!(["web-2", "web-3", "web-4"].iter().all(|name| before[*name] == after[*name]), "{after:?}");
    assert_eq!(site.versions(), BTreeSet::from(["3".to_owned()]), "the new one is not asked");
    assert!(weft.ok(&["ps"]).contains("not updated yet: web-2, web-3, web-4"), "{}", weft.ok(&["ps"]));
    let plan = weft.ok(&["plan", &bad]);
    assert!(
        !plan.contains("web-1") && plan.contains("~ container web-2 (health, env VERSION changed)"),
        "{plan}"
    );
    // With what is wrong put right, it goes on.
    let good = site.blueprint(5, 4, "tcp: 80");
    site.asked_all_the_while(|| weft.ok(&["up", &good]));
    assert_eq!(site.versions(), BTreeSet::from(["5".to_owned()]));
    assert!(!weft.ok(&["ps"]).contains("not updated yet"));
}

/// A command that is killed in the middle leaves what the next one goes on with: nobody is replaced twice.
fn a_killed_update_is_gone_on_with(site: &Site<'_>) {
    let weft = site.weft;
    let before = weft.pids();
    let file = site.blueprint(6, 4, "tcp: 80");
    site.asked_all_the_while(|| {
        let mut command = weft.start(&["up", &file]);
        // `ps` says who is still to come, from the files that the command writes as it goes.
        let start = Instant::now();
        while !weft.ok(&["ps"]).contains("not updated yet: web-3, web-4")
            && start.elapsed() < Duration::from_secs(30)
        {
            thread::sleep(Duration::from_millis(20));
        }
        command.kill().expect("to kill it");
        command.wait().expect("its end");
        let half = weft.pids();
        assert_ne!(half["web-1"], before["web-1"]);
        weft.ok(&["up", &file]);
        let after = weft.pids();
        assert_eq!(after["web-1"], half["web-1"], "it was done");
        assert!(["web-2", "web-3", "web-4"].iter().all(|name| before[*name] != after[*name]), "{after:?}");
    });
    assert_eq!(site.versions(), BTreeSet::from(["6".to_owned()]));
    assert_eq!(weft.ok(&["plan", &file]).trim(), "nothing to change");
}

/// Answers what it is asked over UDP, at its leisure, and says who it is.
const ANSWERER: &str = r#"use IO::Socket::INET;
    my $socket = IO::Socket::INET->new(LocalPort => 53, Proto => "udp") or die $!;
    while (defined(my $from = $socket->recv(my $text, 100))) {
        select(undef, undef, undef, 0.5);
        $socket->send("version $ENV{VERSION}\n", 0, $from);
    }"#;

/// Asks the service by name from a port of its own each time, one question after the other, and counts.
const ASKER: &str = r#"use IO::Socket::INET; $| = 1; my $count = 0;
    until (-e "/tmp/over") {
        my $socket = IO::Socket::INET->new(PeerAddr => "names", PeerPort => 53, Proto => "udp") or die "no socket: $!";
        $socket->send("hello") or die "not sent: $!";
        local $SIG{ALRM} = sub { die "lost after $count\n" }; alarm 20;
        defined($socket->recv(my $text, 100)) or die "refused after $count: $!\n";
        alarm 0; $count++;
    }
    print $count;"#;

/// Of datagrams nobody says when the last one was: a member is let go once it was silent for a while.
#[test]
fn no_datagram_is_lost_while_replicas_are_replaced() {
    let weft = Weft::new(Who::User);
    let blueprint = |version: u32| {
        let text = format!(
            "import {{Container, allow, deployment}} from 'weft';
deployment({{name: 'names'}});
const names = new Container('names', {{
  command: ['perl', '-e', {ANSWERER:?}], replicas: 2, env: {{VERSION: {version}}},
  health: {{command: 'grep -qi :0035 /proc/net/udp', interval: '100ms'}}, update: {{batch: 1, drain: '20s'}},
}});
const client = new Container('client', {{command: ['sleep', '1000'], files: {{'/ask.pl': {ASKER:?}}}}});
allow(client, names, 53, 'udp');
"
        );
        weft.blueprint("names.js", &text)
    };
    weft.ok(&["up", &blueprint(1)]);
    let healthy = |name: &str| weft.row(name)["health"]["state"] == "healthy";
    assert!(eventually(|| healthy("names-1") && healthy("names-2")));
    let mut asking = weft.start(&["exec", "client", "--", "perl", "/ask.pl"]);
    thread::sleep(Duration::from_millis(700));
    weft.ok(&["up", &blueprint(2)]);
    thread::sleep(Duration::from_millis(700));
    weft.inside("client", &["touch", "/tmp/over"]);
    let mut told = String::new();
    let mut output = asking.stdout.take().expect("its output");
    std::io::Read::read_to_string(&mut output, &mut told).expect("its last word");
    assert!(asking.wait().expect("its end").success(), "an answer was lost");
    assert!(told.parse::<u32>().is_ok_and(|count| count > 5), "{told:?}");
    weft.ok(&["stop"]);
    weft.nothing_left();
}
