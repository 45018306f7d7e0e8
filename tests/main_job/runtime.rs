//! Commands that runc starts in place of weft's own init; as root and as an ordinary user.

use std::fs;

use crate::harness::{Weft, Who, curl, eventually, flat, free_port};

const SITE: &str = r#"
import {Container, Volume, allow, deployment, hostPath, publish} from 'weft';
deployment({name: 'site'});
const page = `use IO::Socket::INET; $SIG{PIPE} = "IGNORE"; my $server = IO::Socket::INET->new(LocalPort => 80, Listen => 9, ReuseAddr => 1) or die $!;
    while (my $peer = $server->accept) { while (<$peer>) { last if /^\\s*$/ } print $peer "HTTP/1.0 200 OK\r\n\r\n$ENV{GREETING}\n"; close $peer; }`;
const web = new Container('web', {
  command: ['perl', '-e', page, 'PORT'], env: {GREETING: 'from runc'}, memory: '128M', pids: 40,
  health: {tcp: 80, interval: '200ms'}, mounts: {'/data': new Volume('data'), '/fixed': hostPath('/usr/share', {readOnly: true})},
});
const client = new Container('client', {command: ['sleep', '1000'], user: 'nobody', workdir: '/usr'});
const again = new Container('again', {command: ['sh', '-c', 'echo once more; sleep 0.3; exit 3'], restart: 'always'});
allow(client, web, 80);
publish(web, PORT, 80);
"#;

#[test]
fn runc_starts_what_a_blueprint_asks_for_as_root() {
    runs(Who::Root);
}

#[test]
fn runc_starts_what_a_blueprint_asks_for_as_an_ordinary_user() {
    runs(Who::User);
}

/// The name of a process's parent.
fn parent(pid: u64) -> String {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    let parent = stat.rsplit_once(')').and_then(|(_, rest)| rest.split_whitespace().nth(1)).unwrap_or("0");
    fs::read_to_string(format!("/proc/{parent}/comm")).unwrap_or_default().trim().to_owned()
}

/// The process whose command line ends so and that runc has started, as this machine numbers it.
fn started_by_runc(last: &str) -> Option<u64> {
    let numbers = fs::read_dir("/proc").expect("/proc").flatten();
    let mut numbers = numbers.filter_map(|entry| entry.file_name().to_str()?.parse::<u64>().ok());
    let words = |pid: u64| fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
    numbers.find(|pid| words(*pid).ends_with(last.as_bytes()) && parent(*pid).starts_with("runc"))
}

fn runs(who: Who) {
    let weft = Weft::new(who);
    let port = free_port();
    let file = weft.blueprint("site.js", &SITE.replace("PORT", &port.to_string()));
    weft.ok(&["up", "--runtime", "runc", &file]);
    assert!(
        eventually(|| curl(&format!("http://localhost:{port}/")).is_ok_and(|page| page == "from runc\n"))
    );

    // The command is runc's child, and weft's init that of runc.
    let web = started_by_runc(&format!("\0{port}\0")).expect("the server");

    // What it is given is what weft gives by itself.
    assert_eq!(weft.inside("client", &["curl", "-sS", "http://web/"]), "from runc\n");
    assert!(eventually(|| weft.row("web")["health"]["state"] == "healthy"), "{}", weft.row("web"));
    weft.inside("web", &["sh", "-c", "echo kept > /data/file; echo here > /written"]);
    let root = |path: &str| fs::read_to_string(format!("/proc/{web}/root{path}"));
    assert_eq!(root("/data/file").expect("the volume"), "kept\n");
    assert_eq!(root("/written").expect("the root"), "here\n", "exec and command see the same files");
    assert_eq!(root("/etc/hostname").expect("the root"), "web\n");
    let fixed = fs::read_to_string(format!("/proc/{web}/mountinfo")).expect("its mounts");
    let fixed = fixed.lines().find(|line| line.contains(" /fixed ")).expect("the mount");
    assert!(fixed.split(' ').nth(5).is_some_and(|options| options.starts_with("ro")), "{fixed}");
    let hidden = fs::read_dir(format!("/proc/{web}/root{}", weft.state().display())).expect("covered");
    assert_eq!(hidden.count(), 0, "weft's own state is not to be seen");
    let status = fs::read_to_string(format!("/proc/{web}/status")).expect("its status");
    let field = |name: &str| {
        status.lines().find_map(|line| line.strip_prefix(name)).unwrap_or_default().trim().to_owned()
    };
    assert_eq!(field("CapBnd:"), "00000000a00425fb", "no more than a server needs: {status}");

    // It ends and is started anew as ever, and its output is kept.
    assert!(eventually(|| weft.row("again")["restarts"].as_u64() > Some(1)), "{}", weft.row("again"));
    assert!(eventually(|| weft.ok(&["logs", "again"]).matches("once more").count() > 1));
    assert_eq!(weft.row("again")["exit"], 3, "{}", weft.row("again"));

    // What cannot be started is said, as without it.
    let missing = weft.blueprint(
        "missing.js",
        "import {Container} from 'weft'; new Container('none', {command: ['no-such-program']});",
    );
    let error = flat(&weft.fails(&["up", "--runtime", "runc", &missing]));
    assert!(error.contains("command `no-such-program` not found"), "{error}");
    let output = weft.run(&["up", "--runtime", "no-such-runtime", &file]);
    assert_eq!(output.status.code(), Some(2));
    assert!(
        String::from_utf8_lossy(&output.stderr).contains("there is no 'no-such-runtime' here"),
        "{output:?}"
    );
    // Killed with everything that it has, it leaves nothing.
    weft.ok(&["stop", "--grace", "0", "--volumes"]);
    weft.nothing_left();
}
