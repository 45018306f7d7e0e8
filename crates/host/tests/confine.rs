//! What a confined program can do, as root and as an ordinary user: nothing but compute on what it was passed.

mod stage;

use stage::{Stage, Who};

const SIGSYS: &str = "Signal(31)";
const REFUSED: &str = "Code(42)";
const SUCCEEDED: &str = "Code(66)";

/// What an attempt prints of its end in each stage: the way it ended, then what it said.
fn end(stage: &Stage, when: &str, attempt: &str) -> String {
    let output = stage.confined().args(["spawn", when, attempt]).output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success(), "{attempt}: {text}{}", String::from_utf8_lossy(&output.stderr));
    text.trim().to_owned()
}

fn each(check: impl Fn(&Stage)) {
    for who in [Who::Root, Who::User] {
        check(&Stage::new(who));
    }
}

#[test]
fn it_runs_alone_with_what_it_was_passed() {
    each(|stage| {
        for when in ["loading", "serving"] {
            assert_eq!(
                end(stage, when, "say"),
                format!("{SUCCEEDED} 1 []"),
                "process 1, an empty environment"
            );
            assert_eq!(end(stage, when, "allocate"), SUCCEEDED);
            assert_eq!(end(stage, when, "hoard"), REFUSED);
        }
    });
}

#[test]
fn what_would_reach_out_ends_it() {
    let attempts = ["socket", "connect", "fork", "thread", "ptrace", "kill", "mount", "unshare"];
    each(|stage| {
        for when in ["loading", "serving"] {
            for attempt in attempts {
                assert_eq!(end(stage, when, attempt), SIGSYS, "{:?} {when} {attempt}", stage.who);
            }
        }
    });
}

#[test]
fn files_are_not_there_before_and_not_to_be_asked_for_after() {
    each(|stage| {
        for attempt in ["open", "create", "proc", "exec"] {
            assert_eq!(end(stage, "loading", attempt), REFUSED, "{:?} {attempt}", stage.who);
            assert_eq!(end(stage, "serving", attempt), SIGSYS, "{:?} {attempt}", stage.who);
        }
        assert_eq!(end(stage, "serving", "executable memory"), SIGSYS);
        assert_eq!(end(stage, "serving", "other descriptor"), SIGSYS);
    });
}
