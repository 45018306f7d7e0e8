//! The control interface of the original, driven by gRPC's own client for Python, and the command `quilt`.

use std::io::{BufRead, BufReader, Write};
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::OnceLock;

use serde_json::{Value, json};

use crate::harness::{Weft, Who, curl, eventually, free_port};

/// Calls a method with one string, and prints the one string of its reply; says how it failed otherwise.
const CALL: &str = "
import grpc, sys
address, method, text = sys.argv[1:4]
text = (sys.stdin.buffer.read() if text == '-' else text.encode())
def varint(n):
    out = b''
    while n > 127: out, n = out + bytes([n & 127 | 128]), n >> 7
    return out + bytes([n])
def string(reply):
    if not reply: return b''
    assert reply[0] == 10, reply
    at, size, shift = 1, 0, 0
    while True:
        size |= (reply[at] & 127) << shift; shift += 7; at += 1
        if reply[at - 1] < 128: break
    return reply[at:at + size]
# Left to itself, it names the socket's path as the authority, percent-encoded, which no HTTP library in Rust takes.
options = [('grpc.default_authority', 'localhost'), ('grpc.max_receive_message_length', -1), ('grpc.max_send_message_length', -1)]
call = grpc.insecure_channel(address, options).unary_unary(method, None, None)
try:
    sys.stdout.buffer.write(string(call(b'\\x0a' + varint(len(text)) + text if text else b'', timeout=60)))
except grpc.RpcError as error:
    print(error.code().name, error.details())
    sys.exit(1)
";

/// Python with grpcio, which `tests/pypi.sh` installs.
fn python() -> &'static Path {
    static PYTHON: OnceLock<PathBuf> = OnceLock::new();
    PYTHON.get_or_init(|| {
        let script = concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/pypi.sh");
        let output =
            Command::new(script).arg("grpcio").stderr(Stdio::inherit()).output().expect("tests/pypi.sh");
        assert!(output.status.success(), "grpcio could not be installed");
        Path::new(String::from_utf8_lossy(&output.stdout).trim()).join("python")
    })
}

/// The daemon, and how to talk to it.
struct Daemon<'a> {
    weft: &'a Weft,
    quilt: PathBuf,
    child: Child,
}

impl<'a> Daemon<'a> {
    fn start(weft: &'a Weft) -> Self {
        let quilt = weft.home().join("quilt");
        if !quilt.exists() {
            symlink(weft.home().join("weft"), &quilt).expect("a link");
        }
        let address = Self::address_of(weft);
        let mut command = weft.command_as("quilt", &["daemon", "-H", &address]);
        let child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("a daemon");
        let daemon = Self { weft, quilt, child };
        assert!(eventually(|| daemon.call("/API/Version", "").is_ok()), "the daemon serves");
        daemon
    }

    fn address_of(weft: &Weft) -> String {
        format!("unix://{}", weft.state().join("q.sock").display())
    }

    /// A call by grpcio: the reply's text, or the failure's.
    fn call(&self, method: &str, text: &str) -> Result<String, String> {
        let mut child = Command::new(python())
            .args(["-c", CALL, &format!("unix:{}", self.weft.state().join("q.sock").display()), method])
            .arg(if text.is_empty() { "" } else { "-" })
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("python");
        // One that fails at once reads nothing.
        let _ = child.stdin.take().expect("its input").write_all(text.as_bytes());
        let output = child.wait_with_output().expect("its end");
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        if output.status.success() { Ok(text) } else { Err(text + &String::from_utf8_lossy(&output.stderr)) }
    }

    fn table(&self, name: &str) -> Value {
        let text = self.call("/API/Query", name).unwrap_or_else(|error| panic!("{name}: {error}"));
        serde_json::from_str(&text).unwrap_or_else(|error| panic!("{name}: {error}: {text}"))
    }

    /// `quilt WORDS…`, asked of this daemon.
    fn quilt(&self, words: &[&str], input: &str) -> Output {
        let (command, rest) = words.split_first().expect("a command");
        let address = Self::address_of(self.weft);
        let words: Vec<&str> = [&[*command, "-H", &address], rest].concat();
        let mut child = self
            .weft
            .command_as(self.quilt.file_name().and_then(|name| name.to_str()).expect("a name"), &words)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("quilt");
        let _ = child.stdin.take().expect("its input").write_all(input.as_bytes());
        child.wait_with_output().expect("its end")
    }

    fn ok(&self, words: &[&str], input: &str) -> String {
        let output = self.quilt(words, input);
        assert!(output.status.success(), "quilt {words:?}: {output:?}");
        String::from_utf8_lossy(&output.stdout).into_owned()
    }

    fn fails(&self, words: &[&str]) -> String {
        let output = self.quilt(words, "");
        assert!(!output.status.success(), "quilt {words:?}: {output:?}");
        String::from_utf8_lossy(&output.stderr).into_owned()
    }
}

impl Drop for Daemon<'_> {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn blueprint(port: u16, replicas: u32) -> String {
    format!(
        "const {{ Container, Machine, Service, createDeployment, publicInternet }} = require('@quilt/quilt');
const deployment = createDeployment({{ namespace: 'old-times' }});
const machine = new Machine({{ provider: 'Amazon', size: 'm4.large' }});
deployment.deploy([machine.asMaster(), machine.asWorker()]);
const web = new Service('web', new Container('host', ['weft', 'tool', 'web', '--listen', '{port}']).withEnv({{ GREETING: 'a & b' }}).replicate({replicas}));
const client = new Service('client', [new Container('host', ['sh', '-c', 'echo started; until test -e /tmp/go; do sleep 0.1; done; echo later; sleep 1000'])]);
web.allowFrom(client, {port});
web.allowFrom(publicInternet, {port});
deployment.deploy([web, client]);
"
    )
}

#[test]
fn the_originals_interface_deploys_and_tells_what_runs_as_root() {
    interface(Who::Root);
}

#[test]
fn the_originals_interface_deploys_and_tells_what_runs_as_an_ordinary_user() {
    interface(Who::User);
}

fn interface(who: Who) {
    let weft = Weft::new(who);
    let port = free_port();
    let file = weft.blueprint("old.js", &blueprint(port, 2));
    let deployment = weft.ok(&["quilt", "eval", "--dialect", "quilt", &file]);
    let daemon = Daemon::start(&weft);
    assert_eq!(daemon.call("/API/Version", "").as_deref(), Ok("0.2.0"));
    for table in ["db.Machine", "db.Container", "db.Cluster"] {
        assert_eq!(daemon.table(table), json!([]), "{table} before anything is deployed");
    }
    assert_eq!(daemon.call("/API/Deploy", &deployment), Ok(String::new()));
    assert!(eventually(|| curl(&format!("http://localhost:{port}/")).is_ok()), "it runs");

    let [machine, containers, labels] =
        ["db.Machine", "db.Container", "db.Label"].map(|table| daemon.table(table));
    let asked: Value = serde_json::from_str(&deployment).expect("JSON");
    assert_eq!(machine[0]["StitchID"], asked["machines"][1]["id"]);
    assert_eq!((&machine[0]["Status"], &machine[0]["Role"]), (&json!("connected"), &json!("Worker")));
    let rows = containers.as_array().expect("rows");
    assert_eq!(rows.len(), 3);
    for row in rows {
        assert_eq!((&row["Status"], &row["Minion"]), (&json!("running"), &machine[0]["PrivateIP"]), "{row}");
        let same = |one: &&Value| one["id"] == row["StitchID"];
        let own =
            asked["containers"].as_array().expect("containers").iter().find(same).expect("it was asked for");
        assert_eq!((&row["Command"], &row["Image"]), (&own["command"], &own["image"]["name"]));
        assert!(row["Created"].as_str().is_some_and(|time| time.starts_with("20")), "{row}");
    }
    assert_eq!(
        (&labels[0]["Label"], labels[0]["ContainerIPs"].as_array().map(Vec::len)),
        (&json!("web"), Some(2))
    );
    let connections = daemon.table("Connection");
    assert!(
        connections
            .as_array()
            .expect("rows")
            .contains(&json!({"From": "public", "To": "web", "MinPort": port, "MaxPort": port})),
        "{connections}"
    );
    let cluster = daemon.table("db.Cluster");
    assert_eq!(cluster[0]["Namespace"], "old-times");
    // What it tells of itself is what it takes.
    let told = cluster[0]["Blueprint"].as_str().expect("a deployment").to_owned();
    let pids = weft.pids();
    assert_eq!(daemon.call("/API/Deploy", &told), Ok(String::new()));
    assert_eq!(weft.pids(), pids, "nothing has changed");
    assert_eq!(daemon.table("db.Image"), json!([]));
    assert_eq!(daemon.table("db.Etcd")[0]["Leader"], true);
    assert_eq!(
        daemon.call("/API/Query", "db.Minion").unwrap_err().trim(),
        "UNKNOWN unrecognized table: db.Minion"
    );

    // A daemon that is killed takes nothing down, and the next one knows what was deployed.
    drop(daemon);
    let daemon = Daemon::start(&weft);
    assert_eq!((weft.pids(), &daemon.table("db.Cluster")[0]["Namespace"]), (pids, &json!("old-times")));
    // The namespace without anything in it ends it.
    assert_eq!(daemon.call("/API/Deploy", r#"{"Namespace": "old-times"}"#), Ok(String::new()));
    assert_eq!(daemon.table("db.Container"), json!([]));
    drop(daemon);
    let _ = std::fs::remove_file(weft.state().join("q.sock"));
    weft.nothing_left();
}

#[test]
fn deployments_that_make_no_sense_are_told_and_the_daemon_lives() {
    let weft = Weft::new(Who::Root);
    let daemon = Daemon::start(&weft);
    let container = |extra: &str| {
        format!(
            r#"{{"containers": [{{"id": "a", "image": {{"name": "host"}}, "command": ["true"]{extra}}}], "labels": [{{"name": "web", "ids": ["a"]}}]"#
        )
    };
    let deep = format!("{{\"containers\": {}", "[".repeat(100_000));
    let long = format!("{{\"namespace\": \"{}\"}}", "x".repeat(17 << 20));
    for (deployment, told) in [
        ("nonsense".to_owned(), "INVALID_ARGUMENT unable to parse blueprint: expected ident"),
        ("[]".to_owned(), "INVALID_ARGUMENT unable to parse blueprint: it must be an object"),
        ("{\"containers\": 5}".to_owned(), "INVALID_ARGUMENT unable to parse blueprint: invalid type"),
        (deep, "INVALID_ARGUMENT unable to parse blueprint: recursion limit exceeded"),
        (long, "OUT_OF_RANGE"),
        (container("") + "}, \"labels\": 1}", "INVALID_ARGUMENT unable to parse blueprint: trailing characters"),
        (container("") + ", \"connections\": [{\"from\": \"web\", \"to\": \"db\", \"minPort\": 1, \"maxPort\": 1}]}", "INVALID_ARGUMENT the connection web -> db names the label \"db\", which is not deployed"),
        (container("") + ", \"connections\": [{\"from\": \"web\", \"to\": \"web\", \"minPort\": 1, \"maxPort\": 99999}]}", "INVALID_ARGUMENT the connection web -> web is on ports 1 to 99999"),
        (container(", \"env\": {\"A=B\": \"x\"}") + "}", "INVALID_ARGUMENT "),
        (container(", \"filepathToContent\": {\"etc\": \"x\"}") + "}", "INVALID_ARGUMENT path 'etc' of container 'web-1'"),
        (container("") + ", \"invariants\": [{\"form\": \"reach\", \"target\": true, \"nodes\": [\"public\", \"web\"]}]}", "INVALID_ARGUMENT public internet is to reach web, but"),
        (r#"{"containers": [{"id": "a", "image": {"name": "Bad Name"}}]}"#.to_owned(), "INVALID_ARGUMENT could not parse container image Bad Name"),
        (r#"{"containers": [{"id": "a", "image": {"name": "acme/thing"}}], "labels": [{"name": "x", "ids": ["a"]}]}"#.to_owned(), "INVALID_ARGUMENT container 'x-1' has no command"),
        (container("").replace("\"true\"", "\"/no/such/program\"") + "}", "FAILED_PRECONDITION "),
    ] {
        let error = daemon.call("/API/Deploy", &deployment).expect_err(told);
        let shown: String = deployment.chars().take(80).collect();
        assert!(error.starts_with(told), "{shown}: {error}");
    }
    assert!(daemon.call("/API/Nothing", "").unwrap_err().starts_with("UNIMPLEMENTED"));
    assert_eq!(daemon.call("/API/Version", "").as_deref(), Ok("0.2.0"));
    // A second daemon does not take the first one's socket.
    assert!(daemon.fails(&["daemon"]).contains("serves"), "one is enough");
    drop(daemon);
    let _ = std::fs::remove_file(weft.state().join("q.sock"));
    weft.nothing_left();
}

#[test]
fn the_command_quilt_works_as_it_did() {
    let weft = Weft::new(Who::Root);
    let port = free_port();
    let file = weft.blueprint("old.js", &blueprint(port, 1));
    let daemon = Daemon::start(&weft);
    assert_eq!(daemon.ok(&["version"], ""), "Client: 0.2.0\nDaemon: 0.2.0\n");
    assert_eq!(
        daemon.ok(&["ps"], ""),
        "MACHINE    ROLE    PROVIDER    REGION    SIZE    PUBLIC IP    STATUS\n\n"
    );
    // The first time there is nothing to confirm.
    assert_eq!(daemon.ok(&["run", &file], ""), "");
    assert!(eventually(|| curl(&format!("http://localhost:{port}/")).is_ok()), "it runs");
    let listing = daemon.ok(&["ps"], "");
    let lines: Vec<&str> = listing.lines().collect();
    assert!(lines[0].starts_with("MACHINE         ROLE      PROVIDER"), "{listing}");
    assert!(lines[3].starts_with("CONTAINER       MACHINE         COMMAND"), "{listing}");
    let web = lines.iter().find(|line| line.contains("web")).expect("the web server");
    assert!(
        web.contains("host weft tool web --listen") && web.contains("running") && web.contains(" ago"),
        "{listing}"
    );
    assert!(web.ends_with(&format!("127.0.0.1:{port}")), "{listing}");
    let id_of = |label: &str| {
        let line = lines.iter().skip(4).find(|line| line.contains(label)).expect("its line");
        line.split_whitespace().next().expect("its ID").to_owned()
    };
    let (client, machine) = (id_of("client"), lines[1].split_whitespace().next().expect("its ID").to_owned());

    // More of it, after a look at the difference.
    weft.blueprint("old.js", &blueprint(port, 2));
    let refused = daemon.ok(&["run", &file], "what?\nn\n");
    assert!(refused.contains("--- Current\n+++ Proposed\n") && refused.contains("\n+\t"), "{refused}");
    assert!(refused.ends_with("Deployment aborted by user.\n"), "{refused}");
    assert_eq!(weft.pids().len(), 2);
    assert!(daemon.ok(&["run", &file], "y\n").contains("Continue with deployment? [y/n]: "));
    assert_eq!(weft.pids().len(), 3);
    assert!(daemon.ok(&["run", &file], "YES\n").starts_with("No change.\n"));
    weft.blueprint("old.js", &blueprint(port, 1));
    assert_eq!(daemon.ok(&["run", "-f", &file], ""), "");
    assert_eq!(weft.pids().len(), 2);
    assert!(daemon.fails(&["run"]).contains("no blueprint specified"));

    // Logs and commands, by the beginning of an ID.
    assert!(eventually(|| daemon.ok(&["logs", &client[..6]], "") == "started\n"));
    assert!(daemon.ok(&["logs", "-t", &client], "").starts_with("20"));
    assert_eq!(daemon.ok(&["logs", "-since", "2099-01-01T00:00:00", &client], ""), "");
    assert_eq!(daemon.ok(&["logs", "--since=1h", &client], ""), "started\n");
    let followed = ["logs", "-H", &Daemon::address_of(&weft), "-f", &client];
    let mut following = weft.command_as("quilt", &followed);
    let mut following = following.stdout(Stdio::piped()).spawn().expect("quilt");
    let mut lines = BufReader::new(following.stdout.take().expect("its output")).lines();
    let mut line = || lines.next().expect("another line").expect("text");
    assert_eq!(line(), "started");
    // It waits for what is still to come.
    daemon.ok(&["ssh", &client, "touch /tmp/go"], "");
    assert_eq!(line(), "later");
    following.kill().and_then(|()| following.wait()).expect("its end");
    assert_eq!(daemon.ok(&["ssh", &client, "echo", "$((6", "*", "7))"], ""), "42\n");
    assert_eq!(daemon.quilt(&["ssh", &client, "exit 7"], "").status.code(), Some(7));
    assert_eq!(daemon.ok(&["ssh", &machine, "echo here"], ""), "here\n");
    assert!(daemon.fails(&["ssh", &client]).contains("Cannot allocate pseudo-terminal without a terminal"));
    assert!(daemon.fails(&["logs", "nobody"]).contains("no container with stitchID"));
    assert!(daemon.ok(&["counters", "daemon"], "").starts_with("COUNTER"));
    assert!(daemon.ok(&["counters", &machine], "").contains("Connections"));

    // Everything that helps, in one tarball.
    let out = weft.home().join("logs");
    let out = out.to_str().expect("a plain path");
    daemon.ok(&["debug-logs", "-all", "-o", out], "");
    let listed = Command::new("tar").args(["-tf", &format!("{out}.tar")]).output().expect("tar");
    let listed = String::from_utf8_lossy(&listed.stdout).into_owned();
    for name in ["logs/ps", "logs/version", "/logs", "/dataplane", "/uname"] {
        assert!(listed.lines().any(|line| line.ends_with(name)), "{name}: {listed}");
    }
    assert!(daemon.fails(&["debug-logs"]).contains("at least one ID"));

    assert_eq!(daemon.ok(&["stop"], ""), "");
    assert_eq!(weft.run(&["ps"]).status.code(), Some(1), "nothing runs");
    drop(daemon);
    let _ = std::fs::remove_file(weft.state().join("q.sock"));
    weft.nothing_left();
}

#[test]
fn images_of_a_deployment_are_built_from_their_dockerfiles() {
    let weft = Weft::new(Who::Root);
    let with = |dockerfile: &str| {
        let text = format!(
            "const {{ Container, Image, Service, createDeployment }} = require('@quilt/quilt');
const deployment = createDeployment({{ namespace: 'built' }});
deployment.deploy(new Service('web', [new Container(new Image('greeter', {dockerfile:?})).withEnv({{ NAME: 'x' }})]));
"
        );
        weft.blueprint("built.js", &text)
    };
    let daemon = Daemon::start(&weft);
    let file = with(
        "FROM host\nRUN echo made > /made\nENV NAME=y MORE=z\nCMD [\"sh\", \"-c\", \"cat /made; echo $NAME $MORE; sleep 1000\"]\n",
    );
    daemon.ok(&["run", "-f", &file], "");
    assert!(eventually(|| weft.ok(&["logs", "web-1"]) == "made\nx z\n"), "{}", weft.ok(&["logs", "web-1"]));
    let images = daemon.table("db.Image");
    assert_eq!(images[0]["Name"], "greeter");
    assert!(images[0]["Dockerfile"].as_str().is_some_and(|text| text.contains("RUN echo made")), "{images}");
    // A Dockerfile comes alone, as it did.
    let told = daemon.fails(&["run", "-f", &with("FROM scratch\nCOPY x /x\nCMD [\"/x\"]\n")]);
    assert!(
        told.contains("Dockerfile of 'greeter':2:1: this blueprint has no directory to copy from"),
        "{told}"
    );
    let told = daemon.fails(&["run", "-f", &with("FROM scratch\nONBUILD RUN x\n")]);
    assert!(told.contains("Dockerfile of 'greeter':2:1") && told.contains("ONBUILD"), "{told}");
    daemon.ok(&["stop"], "");
    drop(daemon);
    let _ = std::fs::remove_file(weft.state().join("q.sock"));
    weft.ok(&["images", "rm", "greeter"]);
}

#[test]
fn what_needs_no_daemon_asks_for_none() {
    let weft = Weft::new(Who::Root);
    symlink(weft.home().join("weft"), weft.home().join("quilt")).expect("a link");
    let file = weft.blueprint("old.js", &blueprint(8080, 1));
    let quilt = |words: &[&str]| weft.command_as("quilt", words).output().expect("quilt");
    let drawn = String::from_utf8_lossy(&quilt(&["inspect", &file, "ascii"]).stdout).into_owned();
    assert!(drawn.contains("client") || drawn.contains("-->"), "{drawn}");
    assert!(quilt(&["inspect", &file, "graphviz"]).status.success());
    let dot = std::fs::read_to_string(file.replace(".js", ".dot")).expect("a drawing");
    assert!(
        dot.starts_with("strict digraph {\n    subgraph cluster_0 {\n") && dot.contains("public -> "),
        "{dot}"
    );
    let drawn = quilt(&["inspect", &file, "pdf"]);
    assert!(drawn.status.success(), "graphviz, which tests/install.sh installs: {drawn:?}");
    assert!(std::fs::read(file.replace(".js", ".pdf")).expect("a drawing").starts_with(b"%PDF-"));
    let gone = quilt(&["ps", "-H", "unix:///nowhere/q.sock"]);
    let error = String::from_utf8_lossy(&gone.stderr).into_owned();
    assert!(error.contains("Is the quilt daemon running?"), "{error}");
    assert_eq!(quilt(&["nonsense"]).status.code(), Some(1));
    let help = quilt(&["run", "--help"]);
    assert!(
        String::from_utf8_lossy(&help.stdout).contains("Usage: quilt run [OPTIONS] BLUEPRINT"),
        "{help:?}"
    );
}
