//! Secrets: programs get them, and nothing that weft shows or keeps for show has them.

use std::path::Path;

use crate::harness::{Weft, Who, eventually};

const VALUE: &str = "correct-horse-battery";
const KEY: &str = "-----BEGIN KEY-----\nc2VjcmV0IG9mIG1hbnkgbGluZXM\n-----END KEY-----\n";

/// Prints both secrets in every way that a careless program would.
const TALK: &str = r#"echo "password=$PASSWORD."
printf 'half %s' "$(echo $PASSWORD | cut -c1-9)"; sleep 0.3; printf '%s of it\n' "$(echo $PASSWORD | cut -c10-)"
echo "to stderr: $PASSWORD" >&2
cat /etc/key
printf '%s' "$PASSWORD"
echo; echo talked; sleep 1000"#;

#[test]
fn a_secret_printed_by_a_program_is_not_kept_as_root() {
    not_kept(Who::Root, &[]);
}

#[test]
fn a_secret_printed_by_a_program_is_not_kept_as_an_ordinary_user() {
    not_kept(Who::User, &[]);
}

#[test]
fn nor_where_runc_starts_it_as_root() {
    not_kept(Who::Root, &["--runtime", "runc"]);
}

#[test]
fn nor_where_runc_starts_it_as_an_ordinary_user() {
    not_kept(Who::User, &["--runtime", "runc"]);
}

fn not_kept(who: Who, how: &[&str]) {
    let weft = Weft::new(who);
    let file = weft.blueprint(
        "talker.js",
        &format!(
            "import {{Container, Secret, deployment}} from 'weft';
deployment({{name: 'talker'}});
const health = {{interval: '100ms', startPeriod: '0s', command: 'echo it is $PASSWORD; false'}};
new Container('talker', {{command: {TALK:?}, env: {{PASSWORD: new Secret('password')}}, files: {{'/etc/key': new Secret('key')}}, health}});
new Container('shy', {{command: ['no-such-program'], env: {{PASSWORD: new Secret('password')}}}});
"
        ),
    );
    let with = |args: &[&str]| {
        let mut command = weft.command(args);
        command.env("WEFT_SECRET_PASSWORD", VALUE).env("WEFT_SECRET_KEY", KEY);
        let output = command.output().expect("to run weft");
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        (output.status.success(), text(&output.stdout) + &text(&output.stderr))
    };
    let without = weft.run(&["up", &file]);
    let error = String::from_utf8_lossy(&without.stderr).into_owned();
    assert!(error.contains("WEFT_SECRET_PASSWORD") && error.contains("talker.js:4:"), "{error}");

    let mut shown = Vec::new();
    let (_, plan) = with(&["plan", &file]);
    shown.extend([plan, with(&["plan", "--json", &file]).1, with(&["check", "--json", &file]).1]);
    let up = |file: &str| with(&[&["up"], how, &[file]].concat());
    let (failed, said) = up(&file);
    assert!(!failed && said.contains("no-such-program"), "{said}");
    shown.push(said);
    let text = std::fs::read_to_string(&file).unwrap();
    let file = weft.blueprint("talker.js", &text.replace("no-such-program", "true"));
    let (done, said) = up(&file);
    assert!(done, "{said}");
    shown.push(said);
    assert!(eventually(|| weft.ok(&["logs", "talker"]).contains("talked")));
    assert!(eventually(|| weft.row("talker")["health"]["state"] == "unhealthy"));

    let logs = weft.ok(&["logs", "talker"]);
    for line in [
        "password=(secret password).",
        "half (secret password) of it",
        "to stderr: (secret password)",
        "(secret key)",
    ] {
        assert!(logs.lines().any(|shown| shown == line), "{line}: {logs}");
    }
    assert_eq!(weft.row("talker")["health"]["message"], "it is (secret password)");
    shown.extend([
        logs,
        weft.ok(&["ps"]),
        weft.ok(&["ps", "--json"]),
        weft.ok(&["top", "--json"]),
        weft.ok(&["graph"]),
        with(&["export", "kubernetes", &file]).1,
        with(&["plan", &file]).1,
    ]);
    for text in &shown {
        has_none(text, "what a command printed");
    }
    // Programs get the real thing, and so does who runs a command inside.
    assert_eq!(weft.inside("talker", &["sh", "-c", "echo $PASSWORD"]).trim(), VALUE);
    assert_eq!(weft.inside("talker", &["cat", "/etc/key"]), KEY);
    let directory = weft.state().join("deployments/talker");
    kept_nowhere(&directory);
    // What an OCI runtime is told is in memory: in its bundle is but the way there.
    let bundle = directory.join("containers/talker/bundle");
    assert_eq!(bundle.exists(), !how.is_empty());
    let config = std::fs::read_link(bundle.join("config.json"));
    assert_eq!(config.is_ok_and(|place| place.starts_with("/proc/self/fd")), !how.is_empty());
    weft.ok(&["stop"]);
    weft.nothing_left();
}

fn has_none(text: &str, what: &str) {
    for value in [VALUE, "horse-battery", "c2VjcmV0IG9mIG1hbnkgbGluZXM"] {
        assert!(!text.contains(value), "{what} has {value:?}: {text}");
    }
}

/// No file of the deployment has them but the journal, which holds the environment for `exec`, and the container's own
/// files; neither is open to anybody else.
fn kept_nowhere(directory: &Path) {
    for entry in std::fs::read_dir(directory).into_iter().flatten().flatten() {
        let (path, name) = (entry.path(), entry.file_name());
        let kind = entry.file_type().expect("its kind");
        if kind.is_dir() && name != "layers" && name != "root" {
            kept_nowhere(&path);
        } else if kind.is_file() && name != "journal.json" {
            let text = std::fs::read(&path).unwrap_or_default();
            has_none(&String::from_utf8_lossy(&text), &path.display().to_string());
        }
    }
}
