//! Work that needs a process with one thread and the right user namespace, done by a child of the caller: the
//! launching and, without root, the stopping of containers.
//!
//! A program that uses this crate has a hidden subcommand that calls [`serve`] before it starts any
//! thread, and starts itself with it:
//!
//! ```no_run
//! use host::{ContainerSpec, Launched, Sandbox, helper};
//!
//! /// Makes the containers and says of each what became of it.
//! fn work(specs: Vec<ContainerSpec>, answer: &dyn Fn(host::Result<Launched>)) -> host::Result<()> {
//!     Sandbox::detect().create_here()?;
//!     host::launch(specs, |_, _| Ok(()), |_, outcome| answer(outcome))
//! }
//!
//! # fn main() -> host::Result<()> {
//! if std::env::args().nth(1).as_deref() == Some("__launch") {
//!     helper::serve(work);
//!     return Ok(());
//! }
//! let mut command = std::process::Command::new("/proc/self/exe");
//! let specs: Vec<ContainerSpec> = Vec::new();
//! helper::call(command.arg("__launch"), &specs, |outcome: host::Result<Launched>| println!("{outcome:?}"))?;
//! # Ok(()) }
//! ```
//!
//! The request is one JSON document on the child's standard input. Its answers come as they are given, one a line.

use std::fmt::Display;
use std::io::{BufRead, BufReader, BufWriter, Read, Write};
use std::process::{Command, Stdio};

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::error::{During, Error, Result};

/// Largest request: the files of its containers travel in it.
const REQUEST_BYTES_MAX: u64 = 4 << 30;
/// Longest answer line.
const ANSWER_BYTES_MAX: u64 = 16 << 20;

/// What a helper says, one a line.
#[derive(Debug, Serialize, Deserialize)]
enum Line<A> {
    /// What the caller wants to hear.
    Answer(A),
    /// The work could not be done, or not to its end.
    Failed(String),
    /// All has been done.
    Done,
}

/// Does the work that the request on standard input asks for. What it passes to its second argument, and how it
/// ended, goes to the caller on standard output. Must be called while the process has one thread.
pub fn serve<Q: DeserializeOwned, A: Serialize, E: Display>(
    work: impl FnOnce(Q, &dyn Fn(A)) -> Result<(), E>,
) {
    // A caller that went away must not stop the work half-way.
    crate::sys::ignore_signal(libc::SIGPIPE);
    // All of it is read before the first answer, so that neither side waits for the other.
    let request = serde_json::from_reader(BufReader::new(std::io::stdin().lock().take(REQUEST_BYTES_MAX)));
    let outcome = match request {
        Ok(request) => work(request, &|answer| say(&Line::Answer(answer))).map_err(|error| error.to_string()),
        Err(error) => Err(Error::Message(error.to_string()).to_string()),
    };
    say(&outcome.map_or_else(Line::Failed, |()| Line::<A>::Done));
}

fn say<A: Serialize>(line: &Line<A>) {
    if let Ok(mut text) = serde_json::to_vec(line) {
        text.push(b'\n');
        let mut output = std::io::stdout().lock();
        let _ = output.write_all(&text).and_then(|()| output.flush());
    }
}

/// Starts `command`, which must end up in [`serve`], and passes its answers on as they come.
///
/// # Errors
/// The helper could not be started, could not do its work, or died in the middle.
pub fn call<Q: Serialize, A: DeserializeOwned>(
    command: &mut Command,
    request: &Q,
    each: impl FnMut(A),
) -> Result<()> {
    let what = command.get_program().display().to_string();
    let mut child =
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().during("start helper", &what)?;
    let mut outcome = Err(died());
    if let (Some(stdin), Some(stdout)) = (child.stdin.take(), child.stdout.take()) {
        // One that does not take the whole request says why, or has died.
        let mut stdin = BufWriter::new(stdin);
        let _ = serde_json::to_writer(&mut stdin, request);
        drop(stdin);
        outcome = hear(BufReader::new(stdout), each);
    }
    let _ = child.wait();
    outcome
}

/// Passes answers on until the helper has said how its work ended.
fn hear<A: DeserializeOwned>(mut lines: impl BufRead, mut each: impl FnMut(A)) -> Result<()> {
    let mut line = Vec::new();
    while let Ok(1..) = (&mut lines).take(ANSWER_BYTES_MAX).read_until(b'\n', &mut line) {
        match serde_json::from_slice(&line) {
            Ok(Line::Answer(answer)) => each(answer),
            Ok(Line::Failed(reason)) => return Err(Error::Helper(reason)),
            Ok(Line::Done) => return Ok(()),
            Err(error) => return Err(Error::Message(error.to_string())),
        }
        line.clear();
    }
    Err(died())
}

fn died() -> Error {
    Error::Helper("the helper process died before it was done".into())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn heard(lines: &str) -> (Vec<u8>, Result<()>) {
        let mut answers = Vec::new();
        let outcome = hear(lines.as_bytes(), |answer| answers.push(answer));
        (answers, outcome)
    }

    #[test]
    fn a_helper_is_believed_only_when_it_says_how_it_ended() {
        assert_eq!(heard("{\"Answer\":1}\n{\"Answer\":2}\n\"Done\"\n"), (vec![1, 2], Ok(())));
        let failed = Err(Error::Helper("no room".into()));
        assert_eq!(heard("{\"Answer\":1}\n{\"Failed\":\"no room\"}\n"), (vec![1], failed));
        assert_eq!(heard("{\"Answer\":1}\n"), (vec![1], Err(died())));
        assert_eq!(heard(""), (vec![], Err(died())));
        let (answers, outcome) = heard("{\"Answer\":1}\n{\"Answer\":-1}\n\"Done\"\n");
        assert_eq!(answers, [1]);
        assert!(matches!(outcome, Err(Error::Message(_))), "{outcome:?}");
    }
}
