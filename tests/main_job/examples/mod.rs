//! The examples, run as their comments say, from Debian's packages (tests/install.sh). The shop has a file of its own.

mod data;
mod dialects;
mod traffic;
mod web;

use std::path::Path;

use crate::harness::{Weft, eventually};

/// curl's exit code for a connection that could not be made (curl(1)).
const COULD_NOT_CONNECT: i32 = 7;

/// An example, with the port it publishes exchanged for a free one; what it reads comes along.
fn example(weft: &Weft, name: &str, port: Option<(&str, u16)>) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples").join(name);
    let mut text = std::fs::read_to_string(&path).expect("the example");
    if let Some((old, new)) = port {
        assert!(text.contains(old), "{name} is published on {old}");
        text = text.replace(old, &new.to_string());
    }
    let beside = path.with_extension("");
    let copy = weft.blueprint(path.file_name().and_then(|name| name.to_str()).expect("a plain name"), &text);
    if beside.is_dir() {
        let to = Path::new(&copy).with_extension("");
        std::fs::create_dir(&to).expect("a directory");
        for file in std::fs::read_dir(beside).expect("its files").map(|file| file.expect("a file")) {
            std::fs::copy(file.path(), to.join(file.file_name())).expect("a copy");
        }
    }
    copy
}

/// Whether a container gets to say something that fits.
fn says(weft: &Weft, container: &str, fits: impl Fn(&str) -> bool) -> bool {
    eventually(|| fits(&weft.ok(&["logs", container])))
}

/// Fetches a page from within a container: curl's exit code, and the page.
fn fetch(weft: &Weft, container: &str, url: &str) -> (Option<i32>, String) {
    let output = weft.run(&["exec", container, "--", "curl", "-sS", "--max-time", "20", url]);
    (output.status.code(), String::from_utf8_lossy(&output.stdout).into_owned())
}
