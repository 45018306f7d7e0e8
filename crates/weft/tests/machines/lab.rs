//! EC2's API as moto serves it, an API server of Kubernetes, and weft between them.

use std::cell::RefCell;
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Output, Stdio};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

/// How long anything may take.
const LIMIT: Duration = Duration::from_secs(60);

fn place(name: &str) -> String {
    format!("{}/../../tests/{name}", env!("CARGO_MANIFEST_DIR"))
}

/// The interpreter beside what a script of the tests puts in place.
fn python(script: &[&str]) -> PathBuf {
    let target = Path::new(env!("CARGO_TARGET_TMPDIR")).parent().expect("the target directory");
    let mut command = Command::new(place(script[0]));
    let run = command.args(&script[1..]).env("CARGO_TARGET_DIR", target).output().expect("bash");
    assert!(run.status.success(), "{script:?}: {}", String::from_utf8_lossy(&run.stderr));
    PathBuf::from(String::from_utf8(run.stdout).expect("a path").trim()).join("python")
}

/// What puts Amazon's API in place.
const MOTO: [&str; 2] = ["pypi.sh", "moto"];

/// A process that ends with the test.
struct Ends(Child);

impl Drop for Ends {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// A server that ends with the test.
pub(crate) struct Server {
    _child: Ends,
    /// What it printed first.
    line: String,
}

impl Server {
    /// Starts a program in Python where a script of the tests has put what it needs.
    fn start(script: &[&str], program: &str, arguments: &[String]) -> Server {
        let mut child = Command::new(python(script))
            .arg(place(program))
            .args(arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("python");
        let mut line = String::new();
        BufReader::new(child.stdout.take().expect("a pipe")).read_line(&mut line).expect("a line");
        Server { _child: Ends(child), line: line.trim().to_owned() }
    }
}

/// Everything that a test needs.
pub(crate) struct Lab {
    _cluster: Server,
    _cloud: Server,
    pub(crate) cluster: String,
    pub(crate) cloud: String,
    key: [String; 2],
    folder: tempfile::TempDir,
    boto: RefCell<Option<(Ends, BufReader<ChildStdout>)>>,
}

impl Lab {
    pub(crate) fn new() -> Lab {
        let cluster = Server::start(&["kubernetes.sh"], "kubernetes/apiserver.py", &[]);
        let url = |line: &str| format!("http://127.0.0.1:{}", line.split(' ').next().unwrap_or_default());
        let cluster_url = url(&cluster.line);
        let cloud = Server::start(&MOTO, "ec2/server.py", &["--api".into(), cluster_url.clone()]);
        let cloud_url = url(&cloud.line);
        let words: Vec<&str> = cloud.line.split(' ').collect();
        let key = [words[1].to_owned(), words[2].to_owned()];
        let folder = tempfile::tempdir().expect("a folder");
        Lab {
            _cluster: cluster,
            _cloud: cloud,
            cluster: cluster_url,
            cloud: cloud_url,
            key,
            folder,
            boto: RefCell::default(),
        }
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub(crate) fn blueprint(&self, text: &str) {
        std::fs::write(self.path("shop.js"), text).expect("a blueprint");
    }

    pub(crate) fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_weft"));
        command
            .args(arguments)
            .current_dir(self.folder.path())
            .env("AWS_ENDPOINT_URL", &self.cloud)
            .env("AWS_ACCESS_KEY_ID", &self.key[0])
            .env("AWS_SECRET_ACCESS_KEY", &self.key[1])
            .env_remove("AWS_PROFILE")
            .env_remove("AWS_SESSION_TOKEN")
            .env("WEFT_STATE", self.path("state"))
            .env("NO_COLOR", "1")
            .stdin(Stdio::null());
        command
    }

    pub(crate) fn key(&self) -> &[String; 2] {
        &self.key
    }

    pub(crate) fn done(&self, arguments: &[&str]) -> String {
        let run = self.command(arguments).output().expect("weft");
        assert!(run.status.success(), "{arguments:?}\n{}", whole(&run));
        String::from_utf8_lossy(&run.stdout).into_owned()
    }

    pub(crate) fn failed(&self, arguments: &[&str]) -> String {
        let run = self.command(arguments).output().expect("weft");
        assert_eq!(run.status.code(), Some(1), "{arguments:?}\n{}", whole(&run));
        one_line(&run)
    }

    /// The arguments of an `up`; the cluster is reached at the test's own API server.
    pub(crate) fn up(&self) -> Vec<String> {
        ["up", "shop.js", "--target", "machines", "--server", &self.cluster].map(str::to_owned).into()
    }

    pub(crate) fn up_done(&self) -> String {
        self.done(&self.up().iter().map(String::as_str).collect::<Vec<_>>())
    }

    pub(crate) fn up_failed(&self) -> String {
        self.failed(&self.up().iter().map(String::as_str).collect::<Vec<_>>())
    }

    /// What a server answers.
    pub(crate) fn ask(url: &str, method: &str, body: Option<&Value>) -> Value {
        let mut curl = Command::new("curl");
        curl.args(["-sS", "-X", method, url]);
        if let Some(body) = body {
            curl.args(["-d", &body.to_string()]);
        }
        let run = curl.output().expect("curl");
        serde_json::from_slice(&run.stdout).unwrap_or_else(|error| panic!("{url}: {error}: {}", whole(&run)))
    }

    pub(crate) fn faults(&self, faults: &Value) {
        Lab::ask(&format!("{}/test/faults", self.cloud), "POST", Some(faults));
    }

    /// The parameters of the machines that were asked for since [`Lab::calls`] was.
    pub(crate) fn orders(&self) -> Vec<Value> {
        let orders = Lab::ask(&format!("{}/test/orders", self.cloud), "GET", None);
        serde_json::from_value(orders).expect("a list")
    }

    /// The actions that were asked for since this was called last.
    pub(crate) fn calls(&self) -> Vec<String> {
        let calls = Lab::ask(&format!("{}/test/calls", self.cloud), "GET", None);
        Lab::ask(&format!("{}/test/forget", self.cloud), "POST", None);
        serde_json::from_value(calls).expect("a list")
    }

    /// Runs `up` and kills it while its call number `after` is made: Amazon has done it, and nobody was told. Whether
    /// there was such a call.
    pub(crate) fn up_killed(&self, after: usize) -> bool {
        self.faults(&json!([{"action": "*", "after": after, "kind": "hold"}]));
        let arguments = self.up();
        let mut child = self
            .command(&arguments.iter().map(String::as_str).collect::<Vec<_>>())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("weft");
        let start = Instant::now();
        let held = loop {
            if Lab::ask(&format!("{}/test/held", self.cloud), "GET", None) == json!(true) {
                child.kill().expect("a kill");
                break true;
            }
            if let Some(status) = child.try_wait().expect("a status") {
                assert!(status.success(), "call {after} is not made, and the command fails");
                break false;
            }
            assert!(start.elapsed() < LIMIT, "call {after} is neither made nor left out");
            std::thread::sleep(Duration::from_millis(10));
        };
        child.wait().expect("an end");
        Lab::ask(&format!("{}/test/release", self.cloud), "POST", None);
        self.faults(&json!([]));
        held
    }

    /// The nodes of the cluster.
    pub(crate) fn nodes(&self) -> Vec<String> {
        let nodes = Lab::ask(&format!("{}/api/v1/nodes", self.cluster), "GET", None);
        let nodes = nodes["items"].as_array().expect("a list").iter();
        nodes.map(|node| node["metadata"]["name"].as_str().expect("a name").to_owned()).collect()
    }

    /// An API server under TLS, with a certificate that the authority of the machines' cluster has signed.
    pub(crate) fn secure_cluster(&self) -> (Server, String) {
        let text = std::fs::read_to_string(self.path("state/machines/shop/cluster.json")).expect("secrets");
        let kept: Value = serde_json::from_str(&text).expect("JSON");
        let write = |name: &str, text: &str| std::fs::write(self.path(name), text).expect("a file");
        for (name, key) in [("server", "server_authority"), ("client", "client_authority")] {
            write(
                &format!("{name}.crt"),
                kept["identity"][key]["certificate"].as_str().expect("a certificate"),
            );
            write(&format!("{name}.key"), kept["identity"][key]["key"].as_str().expect("a key"));
        }
        write("names", "subjectAltName=DNS:kubernetes\n");
        for arguments in [
            "req -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -keyout k3s.key -out k3s.csr -subj /CN=k3s",
            "x509 -req -in k3s.csr -CA server.crt -CAkey server.key -CAcreateserial -days 2 -extfile names -out k3s.crt",
        ] {
            let run =
                Command::new("openssl").args(arguments.split(' ')).current_dir(self.folder.path()).output();
            let run = run.expect("openssl");
            assert!(run.status.success(), "{arguments}: {}", whole(&run));
        }
        let path = |name: &str| self.path(name).to_string_lossy().into_owned();
        let options = [("--certificate", "k3s.crt"), ("--key", "k3s.key"), ("--clients", "client.crt")];
        let options: Vec<String> =
            options.iter().flat_map(|(option, name)| [(*option).to_owned(), path(name)]).collect();
        let server = Server::start(&["kubernetes.sh"], "kubernetes/apiserver.py", &options);
        let url = format!("https://127.0.0.1:{}", server.line);
        (server, url)
    }

    /// The machines, as `weft machines` has them.
    pub(crate) fn machines(&self) -> Vec<Value> {
        let all: Value = serde_json::from_str(&self.done(&["machines", "--json"])).expect("JSON");
        all.as_array()
            .expect("a list")
            .iter()
            .flat_map(|one| one["machines"].as_array().expect("a list").clone())
            .collect()
    }

    /// Name, size and whether it is a spot machine, of each.
    pub(crate) fn summary(&self) -> Vec<String> {
        let word = |machine: &Value, key: &str| machine[key].as_str().expect("text").to_owned();
        let line = |machine: &Value| {
            let spot = if machine["is_spot"] == json!(true) { " spot" } else { "" };
            format!("{} {}{spot} {}", word(machine, "name"), word(machine, "size"), word(machine, "state"))
        };
        self.machines().iter().map(line).collect()
    }

    /// What of a kind Amazon has, as its own client tells: an expression of boto3's over `c`.
    pub(crate) fn boto(&self, expression: &str) -> Value {
        let mut boto = self.boto.borrow_mut();
        let (child, answers) = boto.get_or_insert_with(|| self.start_boto());
        writeln!(child.0.stdin.as_ref().expect("a pipe"), "{expression}").expect("to ask");
        let mut line = String::new();
        answers.read_line(&mut line).expect("an answer");
        serde_json::from_str(&line).unwrap_or_else(|_| panic!("{expression}: {line}"))
    }

    /// Amazon's own client, which takes a second to start and then answers one expression after another.
    fn start_boto(&self) -> (Ends, BufReader<ChildStdout>) {
        let text = format!(
            "import boto3, json, sys\nc = boto3.client('ec2', endpoint_url='{}', region_name='us-west-1', \
             aws_access_key_id='{}', aws_secret_access_key='{}')\nfor line in sys.stdin:\n    \
             print(json.dumps(eval(line), default=str), flush=True)",
            self.cloud, self.key[0], self.key[1]
        );
        let mut command = Command::new(python(&MOTO));
        let mut child =
            command.args(["-c", &text]).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("python");
        let answers = BufReader::new(child.stdout.take().expect("a pipe"));
        (Ends(child), answers)
    }

    /// What Amazon has that is not its own from the start: living instances, groups, keys, addresses.
    pub(crate) fn left(&self) -> Value {
        self.boto(
            "{'instances': sum(i['State']['Name'] != 'terminated' for r in c.describe_instances()['Reservations'] \
             for i in r['Instances']), 'groups': [g['GroupName'] for g in \
             c.describe_security_groups()['SecurityGroups'] if g['GroupName'] != 'default'], 'keys': \
             [k['KeyName'] for k in c.describe_key_pairs()['KeyPairs']], 'addresses': \
             len(c.describe_addresses()['Addresses'])}",
        )
    }
}

fn whole(run: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&run.stdout), String::from_utf8_lossy(&run.stderr))
}

/// miette breaks lines; messages are looked for in one.
fn one_line(run: &Output) -> String {
    let text = String::from_utf8_lossy(&run.stderr).into_owned();
    text.split_whitespace().filter(|word| !["│", "×"].contains(word)).collect::<Vec<_>>().join(" ")
}
