//! The process that holds the namespace of a legacy instance.

use std::io::{self, BufRead};
use std::process::{Command, ExitStatus};

/// What it writes once the instance is set up.
pub(super) const READY: &str = "ready";
/// What it is told once its interfaces are there.
pub(super) const GO: &str = "go";

/// Waits until it is told that the interfaces are there, runs the command that sets the instance up, says so, and stays. It ends where
/// nobody tells it, or the command fails.
///
/// # Errors
/// The command cannot be started; its status otherwise.
pub fn hold(words: &[String]) -> io::Result<ExitStatus> {
    let mut told = String::new();
    io::stdin().lock().read_line(&mut told)?;
    let Some((program, arguments)) = words.split_first().filter(|_| told.trim() == GO) else {
        return Err(io::Error::other("nobody says that the interfaces are there"));
    };
    let status = Command::new(program).args(arguments).status()?;
    if !status.success() {
        return Ok(status);
    }
    println!("{READY}");
    loop {
        std::thread::park();
    }
}
