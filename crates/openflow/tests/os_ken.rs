//! os-ken judges: its corpus of messages is read and written byte for byte, and it makes or reads each of ours.
//!
//! It is installed from PyPI into the target directory by `tests/pypi.sh`; nothing of it is in this repository.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use openflow::codec::{self, DecodeError};
use openflow::error::{BadRequest, Fault};
use openflow::fuzzing::specimens;
use openflow::wire::Header;
use openflow::{Version, message::Body};

/// The Python that has os-ken.
fn python() -> PathBuf {
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/pypi.sh");
    let target = Path::new(env!("CARGO_TARGET_TMPDIR")).parent().expect("the target directory");
    let run = Command::new(script).arg("os-ken").env("CARGO_TARGET_DIR", target).output().expect("bash");
    assert!(run.status.success(), "{script}: {}", String::from_utf8_lossy(&run.stderr));
    Path::new(String::from_utf8(run.stdout).expect("a path").trim()).join("python")
}

/// The files of a folder of the corpus, by name.
fn corpus(python: &Path, version: &str) -> Vec<(String, Vec<u8>)> {
    let code = "import os_ken, os; print(os.path.dirname(os_ken.__file__))";
    let run = Command::new(python).args(["-c", code]).output().expect("Python");
    let package = String::from_utf8(run.stdout).expect("a path");
    let folder = Path::new(package.trim()).join("tests/packet_data").join(version);
    let entries = std::fs::read_dir(&folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    let mut files: Vec<_> = entries
        .map(|entry| {
            let path = entry.expect("a file").path();
            let name = path.file_name().expect("a name").to_string_lossy().into_owned();
            (name, std::fs::read(&path).expect("a file that can be read"))
        })
        .collect();
    files.sort();
    files
}

fn refused(bytes: &[u8]) -> Fault {
    let DecodeError { fault, .. } = codec::decode(bytes).expect_err("what is refused");
    fault
}

#[test]
fn every_message_of_the_corpus_is_read_and_written_byte_for_byte() {
    let python = python();
    // How many there are in the wheel of that version.
    for (folder, version, count) in [("of10", Version::V10, 13), ("of13", Version::V13, 105)] {
        let files = corpus(&python, folder);
        assert_eq!(files.len(), count, "{folder}");
        for (name, bytes) in &files {
            if name.ends_with(".truncated64") {
                // No byte of it is there.
                assert_eq!(Header::peek(bytes), Ok(None), "{name}");
                assert_eq!(refused(bytes), BadRequest::BadLen.into(), "{name}");
                continue;
            }
            let (of, message) = codec::decode(bytes).unwrap_or_else(|error| panic!("{name}: {error}"));
            assert_eq!(of, version, "{name}");
            let mut out = vec![0xaa];
            codec::encode(version, &message, &mut out).unwrap_or_else(|error| panic!("{name}: {error}"));
            assert_eq!(out[0], 0xaa);
            assert!(out[1..] == *bytes, "{name}: {message:?}\n{bytes:02x?}\n{:02x?}", &out[1..]);
            // One byte less is never a message.
            assert_eq!(refused(&bytes[..bytes.len() - 1]), BadRequest::BadLen.into(), "{name}");
        }
    }
}

#[test]
fn messages_of_other_versions_are_refused_but_for_hello() {
    let python = python();
    let (mut hellos, mut others) = (0, 0);
    for folder in ["of12", "of14", "of15"] {
        for (name, bytes) in corpus(&python, folder) {
            // One of them lies in its length.
            let whole = |header: Header| usize::from(header.length) == bytes.len();
            if !Header::peek(&bytes).is_ok_and(|header| header.is_some_and(whole)) {
                continue;
            }
            assert_eq!(refused(&bytes), BadRequest::BadVersion.into(), "{folder} {name}");
            others += 1;
            hellos += usize::from(codec::decode_hello(&bytes).is_ok());
        }
    }
    assert!(hellos >= 2 && others > 150, "{hellos} {others}");
}

#[test]
fn os_ken_makes_or_reads_every_message_of_ours() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/os_ken");
    let mut lines = String::new();
    for version in Version::ALL {
        for (name, message) in specimens(version) {
            let mut bytes = Vec::new();
            codec::encode(version, &message, &mut bytes).unwrap_or_else(|error| panic!("{name}: {error}"));
            let hex: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
            lines.push_str(&format!("{}_{name} {hex}\n", version.to_string().to_lowercase()));
        }
    }
    let mut child = Command::new(python())
        .args([folder.join("judge.py"), folder.join("read.json")])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("Python");
    child.stdin.take().expect("a pipe").write_all(lines.as_bytes()).expect("a pipe that is read");
    let run = child.wait_with_output().expect("Python");
    let verdict = String::from_utf8_lossy(&run.stdout);
    assert!(run.status.success(), "{verdict}");
    assert!(verdict.contains(&format!("{} messages, 0 failures", lines.lines().count())), "{verdict}");
}

/// The specimens leave out no kind of message.
#[test]
fn there_is_a_specimen_of_every_kind() {
    for (version, kinds) in [(Version::V10, 22), (Version::V13, 30)] {
        let mut there: Vec<u8> = Vec::new();
        for (_, message) in specimens(version) {
            let mut bytes = Vec::new();
            codec::encode(version, &message, &mut bytes).expect("a specimen");
            there.push(bytes[1]);
            assert!(!matches!(message.body, Body::Experimenter { experimenter: 0x2320, .. }));
        }
        there.sort_unstable();
        there.dedup();
        assert_eq!(there, (0..kinds).collect::<Vec<u8>>(), "{version}");
    }
}
