//! `weft up`, `plan` and `stop` on a cluster: the real binary against `tests/kubernetes/apiserver.py`.

use std::fs;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};

const TOKEN: &str = "a-token-of-the-test";

/// An API server, and what weft needs to find it.
struct Lab {
    server: Child,
    url: String,
    folder: tempfile::TempDir,
}

impl Drop for Lab {
    fn drop(&mut self) {
        let _ = self.server.kill();
        let _ = self.server.wait();
    }
}

fn judges() -> PathBuf {
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/kubernetes.sh");
    let target = Path::new(env!("CARGO_TARGET_TMPDIR")).parent().expect("the target directory");
    let run = Command::new(script).env("CARGO_TARGET_DIR", target).output().expect("bash");
    assert!(run.status.success(), "{script}: {}", String::from_utf8_lossy(&run.stderr));
    PathBuf::from(String::from_utf8(run.stdout).expect("a path").trim())
}

impl Lab {
    fn new(gateway: bool) -> Lab {
        let judges = judges();
        let script = concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/kubernetes/apiserver.py");
        let mut command = Command::new(judges.join("python"));
        command.args([script, "--token", TOKEN]).stdin(Stdio::piped()).stdout(Stdio::piped());
        if gateway {
            command.arg("--gateway").arg(judges.join("gateway-api"));
        }
        let mut server = command.spawn().expect("python");
        let mut line = String::new();
        BufReader::new(server.stdout.take().expect("a pipe")).read_line(&mut line).expect("a port");
        let url = format!("http://127.0.0.1:{}", line.trim());
        let lab = Lab { server, url, folder: tempfile::tempdir().expect("a folder") };
        fs::write(lab.path("config"), lab.kubeconfig(TOKEN)).expect("a kubeconfig");
        lab
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn kubeconfig(&self, token: &str) -> String {
        format!(
            "apiVersion: v1\nkind: Config\ncurrent-context: lab\nclusters:\n- name: lab\n  cluster:\n    server: {}\n\
             contexts:\n- name: lab\n  context: {{cluster: lab, user: me}}\nusers:\n- name: me\n  user:\n    token: {token}\n",
            self.url
        )
    }

    fn weft(&self, arguments: &[&str]) -> Output {
        Command::new(env!("CARGO_BIN_EXE_weft"))
            .args(arguments)
            .current_dir(self.folder.path())
            .env("KUBECONFIG", self.path("config"))
            .env("WEFT_STATE", self.path("state"))
            .env("NO_COLOR", "1")
            .env("WEFT_SECRET_PASSWORD", "hunter2")
            .stdin(Stdio::null())
            .output()
            .expect("weft")
    }

    fn done(&self, arguments: &[&str]) -> (String, String) {
        let run = self.weft(arguments);
        let (out, err) = texts(&run);
        assert!(run.status.success(), "{arguments:?}\n{out}{err}");
        (out, err)
    }

    fn failed(&self, arguments: &[&str]) -> String {
        let run = self.weft(arguments);
        let (out, err) = texts(&run);
        assert_eq!(run.status.code(), Some(1), "{arguments:?}\n{out}{err}");
        // miette breaks lines; messages are looked for in one.
        err.split_whitespace().filter(|word| !["│", "×"].contains(word)).collect::<Vec<_>>().join(" ")
    }

    fn up(&self, file: &str, more: &[&str]) -> (String, String) {
        self.done(&[&["up", file, "--target", "kubernetes"], more].concat())
    }

    fn blueprint(&self, file: &str, text: &str) {
        fs::write(self.path(file), text).expect("a blueprint");
    }

    /// What the server answers.
    fn ask(&self, method: &str, path: &str, body: Option<&str>) -> serde_json::Value {
        let mut curl = Command::new("curl");
        curl.args(["-sS", "-X", method, "-H", &format!("Authorization: Bearer {TOKEN}")]);
        if method == "PATCH" {
            curl.args(["-H", "Content-Type: application/apply-patch+yaml"]);
        }
        if let Some(body) = body {
            curl.args(["-d", body]);
        }
        let run = curl.arg(format!("{}{path}", self.url)).output().expect("curl");
        serde_json::from_slice(&run.stdout).expect("JSON")
    }

    /// Every object of a kind in namespace `shop`.
    fn names(&self, resource: &str) -> Vec<String> {
        let mut all = Vec::new();
        let mut token = String::new();
        loop {
            let page = self.ask("GET", &format!("/{resource}?continue={token}"), None);
            let items = page["items"].as_array().unwrap_or_else(|| panic!("{page}")).iter();
            all.extend(items.map(|one| one["metadata"]["name"].as_str().unwrap_or_default().to_owned()));
            match page["metadata"]["continue"].as_str() {
                Some(next) => token = next.to_owned(),
                None => return all,
            }
        }
    }
}

fn texts(run: &Output) -> (String, String) {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (text(&run.stdout), text(&run.stderr))
}

const SHOP: &str = "import {Container, Secret, Volume, allow, publish, deployment} from 'weft';
deployment({name: 'shop'});
const db = new Container('db', {command: ['db'], env: {P: new Secret('password')}, mounts: {'/data': new Volume('data')}});
const web = new Container('web', {command: ['web'], replicas: 3, files: {'/etc/motd': 'hello'}});
const once = new Container('once', {command: ['x'], restart: 'never'});
allow(web, db, 5432, 'tcp');
publish(web, 8080, 80);
";

const POLICIES: &str = "apis/networking.k8s.io/v1/namespaces/shop/networkpolicies";
const DEPLOYMENTS: &str = "apis/apps/v1/namespaces/shop/deployments";

#[test]
fn up_applies_waits_and_prunes_and_stop_leaves_nothing_but_volumes() {
    let lab = Lab::new(false);
    lab.blueprint("shop.js", SHOP);
    let (plan, _) = lab.done(&["plan", "shop.js", "--target", "kubernetes"]);
    assert!(plan.contains("+ Namespace shop\n") && plan.contains("+ Deployment web\n"), "{plan}");
    assert!(lab.names("api/v1/namespaces").is_empty(), "a plan changes nothing");

    let (out, err) = lab.up("shop.js", &[]);
    assert!(out.contains("web   3/3    ready"), "{out}");
    assert!(err.contains("warning: whether this cluster enforces network policies cannot be told"), "{err}");
    assert!(!format!("{out}{err}").contains("hunter2"));
    assert_eq!(lab.names(DEPLOYMENTS), ["db", "web"]);
    assert_eq!(lab.names("apis/batch/v1/namespaces/shop/jobs"), ["once"]);
    let secret = lab.ask("GET", "/api/v1/namespaces/shop/secrets/password", None);
    assert_eq!(secret["data"]["value"], "aHVudGVyMg==");
    let requests = lab.ask("GET", "/test/requests", None);
    let at = |what: &str| requests.as_array().unwrap().iter().position(|one| one == what).expect(what);
    assert!(at("PATCH NetworkPolicy weft.deny") < at("PATCH Deployment web"), "policies come before pods");

    let (plan, _) = lab.done(&["plan", "shop.js", "--target", "kubernetes"]);
    assert!(plan.starts_with("nothing to do: "), "{plan}");

    let changed = SHOP
        .replace("replicas: 3", "replicas: 2")
        .replace("publish(web, 8080, 80);", "publish(web, 8081, 80);")
        .replace("hello", "good evening")
        .replace("new Container('once', {command: ['x']", "new Container('twice', {command: ['y']")
        .replace("mounts: {'/data': new Volume('data')}", "");
    lab.blueprint("shop.js", &changed);
    let (plan, _) = lab.done(&["plan", "shop.js", "--target", "kubernetes"]);
    for line in [
        "~ Deployment web (spec.replicas: 3 -> 2, spec.template.metadata.annotations.weft/files: ",
        "- Job once\n",
        "+ Job twice\n",
        "~ ConfigMap web.files (data.file-0: hello -> good evening)\n",
    ] {
        assert!(plan.contains(line), "{line} is not in\n{plan}");
    }
    assert!(!plan.contains("PersistentVolumeClaim"), "{plan}");
    let (out, err) = lab.up("shop.js", &[]);
    assert!(out.contains("- Job once\n") && out.contains("web    2/2    ready"), "{out}");
    assert!(err.contains("PersistentVolumeClaim data is not in the blueprint any more and is kept"), "{err}");
    let ports = &lab.ask("GET", "/api/v1/namespaces/shop/services/web-public", None)["spec"]["ports"];
    assert_eq!((ports[0]["port"].as_u64(), ports.as_array().unwrap().len()), (Some(8081), 1), "{ports}");

    let (out, err) = lab.done(&["stop", "--target", "kubernetes", "-d", "shop"]);
    assert!(
        out.starts_with("stopped shop (") && err.contains("PersistentVolumeClaim data is kept"),
        "{out}{err}"
    );
    assert!(lab.names(DEPLOYMENTS).is_empty() && lab.names(POLICIES).is_empty());
    assert_eq!(lab.names("api/v1/namespaces"), ["shop"]);
    lab.done(&["stop", "--target", "kubernetes", "-d", "shop", "--volumes"]);
    assert!(lab.names("api/v1/namespaces").is_empty());
    let gone = lab.failed(&["stop", "--target", "kubernetes", "-d", "shop"]);
    assert!(gone.contains("nothing of 'shop' is in namespace 'shop'"), "{gone}");
}

#[test]
fn a_container_that_does_not_become_ready_is_said_to_and_why() {
    let lab = Lab::new(false);
    lab.blueprint("shop.js", SHOP);
    for (image, why) in [
        ("missing:1", "web 0/3 (ImagePullBackOff: Back-off pulling image \"missing:1\")"),
        ("crash:1", "web 0/3 (CrashLoopBackOff: back-off 10s restarting failed container, it ended with 1)"),
        ("nowhere:1", "web 0/3 (Unschedulable: 0/1 nodes are available: 1 Insufficient memory.)"),
        ("never:1", "web 0/3"),
    ] {
        let more = ["up", "shop.js", "--target", "kubernetes", "--image", image, "--timeout", "1"];
        let error = lab.failed(&more);
        assert!(error.contains("not ready after ") && error.contains(why), "{image}: {error}");
    }
    // What was wrong is put right.
    lab.up("shop.js", &["--image", "debian:stable-slim"]);
}

#[test]
fn fields_of_others_are_theirs_unless_forced() {
    let lab = Lab::new(false);
    lab.blueprint("shop.js", SHOP);
    lab.up("shop.js", &["-q"]);
    let scaled = r#"{"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "web"}, "spec": {"replicas": 9}}"#;
    let path = "/apis/apps/v1/namespaces/shop/deployments/web?fieldManager=hpa&force=true";
    assert_eq!(lab.ask("PATCH", path, Some(scaled))["spec"]["replicas"], 9);
    let error = lab.failed(&["up", "shop.js", "--target", "kubernetes"]);
    assert!(
        error.contains("Deployment web has fields that another program set") && error.contains("\"hpa\""),
        "{error}"
    );
    let (plan, _) = lab.done(&["plan", "shop.js", "--target", "kubernetes", "--force"]);
    assert_eq!(plan, "~ Deployment web (spec.replicas: 9 -> 3)\n");
    lab.up("shop.js", &["--force"]);
    lab.up("shop.js", &[]);
}

#[test]
fn what_is_not_of_the_deployment_is_left_alone() {
    let lab = Lab::new(false);
    lab.blueprint("shop.js", SHOP);
    let namespace = r#"{"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "shop"}}"#;
    lab.ask("POST", "/api/v1/namespaces", Some(namespace));
    let error = lab.failed(&["up", "shop.js", "--target", "kubernetes"]);
    assert!(
        error.contains("namespace 'shop' is there already and is not weft's: say --namespace shop"),
        "{error}"
    );
    let service = r#"{"apiVersion": "v1", "kind": "Service", "metadata": {"name": "db", "labels": {"app.kubernetes.io/part-of":
        "other"}}, "spec": {"selector": {"a": "b"}}}"#;
    lab.ask("POST", "/api/v1/namespaces/shop/services", Some(service));
    let error = lab.failed(&["up", "shop.js", "--target", "kubernetes", "--namespace", "shop"]);
    assert!(error.contains("Service db is there already and is not of this deployment (other)"), "{error}");
    let config = r#"{"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "mine"}, "data": {}}"#;
    lab.ask("POST", "/api/v1/namespaces/shop/configmaps", Some(config));
    lab.ask("DELETE", "/api/v1/namespaces/shop/services/db", None);
    lab.up("shop.js", &["--namespace", "shop"]);
    lab.done(&["stop", "--target", "kubernetes", "-d", "shop", "--namespace", "shop", "--volumes"]);
    assert_eq!(lab.names("api/v1/namespaces/shop/configmaps"), ["mine"]);
    assert_eq!(lab.names("api/v1/namespaces"), ["shop"], "a namespace that weft did not make stays");
    for (name, why) in [("kube-system", "the cluster's own"), ("nowhere", "there is no namespace 'nowhere'")]
    {
        let error = lab.failed(&["up", "shop.js", "--target", "kubernetes", "--namespace", name]);
        assert!(error.contains(why), "{error}");
    }
}

#[test]
fn it_is_said_when_the_cluster_does_not_enforce_policies() {
    let lab = Lab::new(false);
    lab.blueprint("shop.js", SHOP);
    let namespace = r#"{"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "kube-system"}}"#;
    lab.ask("POST", "/api/v1/namespaces", Some(namespace));
    let set = |name: &str| {
        serde_json::json!({"apiVersion": "apps/v1", "kind": "DaemonSet", "metadata": {"name": name, "namespace": "kube-system"},
            "spec": {"selector": {"matchLabels": {"a": "b"}}, "template": {"metadata": {"labels": {"a": "b"}},
            "spec": {"containers": [{"name": "c", "image": "i"}]}}}})
        .to_string()
    };
    lab.ask("POST", "/apis/apps/v1/namespaces/kube-system/daemonsets", Some(&set("kube-flannel-ds")));
    let (_, err) = lab.up("shop.js", &[]);
    let says = "this cluster does not enforce network policies (Flannel, DaemonSet kube-flannel-ds): every pod reaches";
    assert!(err.contains(says), "{err}");
    lab.ask("POST", "/apis/apps/v1/namespaces/kube-system/daemonsets", Some(&set("calico-node")));
    let (_, err) = lab.up("shop.js", &[]);
    assert!(!err.contains("warning"), "{err}");
}

#[test]
fn a_job_or_a_service_that_cannot_be_changed_is_made_anew() {
    let lab = Lab::new(false);
    lab.blueprint("shop.js", SHOP);
    lab.up("shop.js", &[]);
    // Without ports of its own a service has no address of its own.
    let changed = SHOP.replace("['x']", "['z']").replace("publish(web, 8080, 80);", "");
    lab.blueprint("shop.js", &changed);
    let (plan, _) = lab.done(&["plan", "shop.js", "--target", "kubernetes"]);
    assert!(
        plan.contains("~ Job once (made anew)\n") && plan.contains("~ Service web (made anew)\n"),
        "{plan}"
    );
    let (out, _) = lab.up("shop.js", &[]);
    assert!(out.contains("~ Job once (made anew)\n") && out.contains("- Service web-public\n"), "{out}");
}

#[test]
fn a_gateway_needs_a_cluster_that_knows_it() {
    let lab = Lab::new(false);
    lab.blueprint("shop.js", SHOP);
    let gateway = ["--gateway", "envoy", "--http", "8080"];
    let error = lab.failed(&[&["up", "shop.js", "--target", "kubernetes"], &gateway[..]].concat());
    assert!(error.contains("the cluster knows no Gateway of gateway.networking.k8s.io/v1"), "{error}");
    let lab = Lab::new(true);
    lab.blueprint("shop.js", SHOP);
    lab.up("shop.js", &gateway);
    assert_eq!(lab.names("apis/gateway.networking.k8s.io/v1/namespaces/shop/httproutes"), ["tcp-8080"]);
    // Back to a service of the cloud's: the gateway goes.
    let (out, _) = lab.up("shop.js", &[]);
    assert!(out.contains("- HTTPRoute tcp-8080\n") && out.contains("- Gateway shop\n"), "{out}");
}

#[test]
fn a_cluster_that_cannot_be_used_is_said_which_and_why() {
    let lab = Lab::new(false);
    lab.blueprint("shop.js", SHOP);
    let up = |more: &[&str]| lab.failed(&[&["up", "shop.js", "--target", "kubernetes"], more].concat());
    fs::write(lab.path("wrong"), lab.kubeconfig("wrong")).unwrap();
    assert!(
        up(&["--kubeconfig", "wrong"]).contains("the cluster refuses to read Namespace shop: Unauthorized")
    );
    fs::write(lab.path("closed"), lab.kubeconfig(TOKEN).replace(&lab.url, "http://127.0.0.1:1")).unwrap();
    assert!(up(&["--kubeconfig", "closed"]).contains("the cluster at http://127.0.0.1:1/ does not answer"));
    assert!(up(&["--kubeconfig", "none"]).contains("none cannot be used"));
    fs::write(lab.path("yaml"), "a: [").unwrap();
    assert!(up(&["--kubeconfig", "yaml"]).contains("yaml cannot be used"));
    assert!(up(&["--context", "other"]).contains("no cluster is known"));
    assert!(up(&["--server", "::"]).contains("'::' is no address"));
    let error = lab.failed(&["up", "shop.js", "--context", "lab"]);
    assert!(error.contains("--context is about a cluster, and the target is this machine"), "{error}");
}
