//! The suite's cases, as `cases.py` writes them.

use std::path::{Path, PathBuf};
use std::process::Command;

pub(crate) struct Case {
    pub(crate) file: String,
    pub(crate) description: String,
    pub(crate) prerequisites: Vec<Vec<u8>>,
    pub(crate) trials: Vec<Trial>,
}

pub(crate) struct Trial {
    pub(crate) ingress: Ingress,
    pub(crate) expected: Expected,
}

pub(crate) enum Ingress {
    One(Vec<u8>),
    Many {
        /// Packets a second.
        rate: u64,
        seconds: u64,
        length: usize,
        filler: u8,
        heads: Vec<Vec<u8>>,
    },
}

pub(crate) enum Expected {
    Egress(Vec<u8>),
    PacketIn(Vec<u8>),
    Miss(Vec<u8>),
    Rates(Vec<Rate>),
}

pub(crate) struct Rate {
    pub(crate) flow: Vec<u8>,
    pub(crate) kbps: Option<f64>,
    pub(crate) packets: Option<f64>,
}

fn bytes(hex: &str) -> Vec<u8> {
    let pairs = hex.as_bytes().chunks_exact(2);
    let digit = |byte: u8| char::from(byte).to_digit(16).expect("a digit") as u8;
    pairs.map(|pair| digit(pair[0]) << 4 | digit(pair[1])).collect()
}

fn succeed(command: &mut Command) -> Vec<u8> {
    let output = command.output().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
    output.stdout
}

/// Python with os-ken, which `tests/pypi.sh` installs.
fn python() -> PathBuf {
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/pypi.sh");
    let target = Path::new(env!("CARGO_TARGET_TMPDIR")).parent().expect("the target directory");
    let path = succeed(Command::new(script).arg("os-ken").env("CARGO_TARGET_DIR", target));
    Path::new(String::from_utf8(path).expect("a path").trim()).join("python")
}

/// All cases of a suite, `of10` or `of13`.
pub(crate) fn read(suite: &str) -> Vec<Case> {
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/conformance/cases.py");
    let mut command = Command::new(python());
    let text = succeed(command.args(["-W", "ignore", script, suite]).env("OSKEN_HUB_TYPE", "native"));
    let text = String::from_utf8(text).expect("hexadecimal");
    let mut cases: Vec<Case> = Vec::new();
    for line in text.lines() {
        let mut words = line.split('\t');
        let word = words.next().unwrap_or_default();
        let words: Vec<&str> = words.collect();
        if word == "case" {
            let (file, description) = (words[0].to_owned(), words[1].to_owned());
            cases.push(Case { file, description, prerequisites: Vec::new(), trials: Vec::new() });
            continue;
        }
        let case = cases.last_mut().expect("a case first");
        if word == "message" {
            case.prerequisites.push(bytes(words[0]));
        } else if word == "test" {
            case.trials
                .push(Trial { ingress: Ingress::One(Vec::new()), expected: Expected::Rates(Vec::new()) });
        } else {
            add(case.trials.last_mut().expect("a test first"), word, &words);
        }
    }
    assert!(!cases.is_empty());
    cases
}

fn add(trial: &mut Trial, word: &str, words: &[&str]) {
    let number = |word: &str| word.parse::<u64>().expect("a number");
    match (word, &mut trial.ingress, &mut trial.expected) {
        ("ingress", ingress, _) => *ingress = Ingress::One(bytes(words[0])),
        ("many", ingress, _) => {
            *ingress = Ingress::Many {
                rate: number(words[0]),
                seconds: number(words[1]),
                length: number(words[2]) as usize,
                filler: number(words[3]) as u8,
                heads: Vec::new(),
            };
        }
        ("head", Ingress::Many { heads, .. }, _) => heads.push(bytes(words[0])),
        ("egress", _, expected) => *expected = Expected::Egress(bytes(words[0])),
        ("packet_in", _, expected) => *expected = Expected::PacketIn(bytes(words[0])),
        ("miss", _, expected) => {
            *expected = Expected::Miss(words.iter().map(|word| number(word) as u8).collect());
        }
        ("rate", _, Expected::Rates(rates)) => {
            let rate = |word: &str| word.parse().ok();
            rates.push(Rate { flow: bytes(words[0]), kbps: rate(words[1]), packets: rate(words[2]) });
        }
        other => panic!("{}", other.0),
    }
}
