//! A shell: commands from the terminal, while the controller runs.
//!
//! ```text
//! pox> switches
//! 0000000000000001  OF1.3  127.0.0.1:51034  3 ports, 254 tables, up 12 s
//! pox> flow-mod 1 priority=10,tcp,tp_dst=80 actions=output:2
//! done
//! pox> help packet-out
//! ```
//!
//! `help` lists the commands, `help COMMAND` shows one with an example, `help COMPONENT` a component's manual. There are commands for
//! components (`components`, `start`, `stop`), the network (`switches`, `ports`, `links`, `hosts`), a switch's state (`flows`, `groups`,
//! `meters`, `tables`, `port-stats`, `describe`) and changes of it (`flow-mod`, `del-flows`, `packet-out`), the controller (`stats`, `log`,
//! `quit`), and the methods of `web.jsonrpc` (`methods`, then their names with parameters as JSON). Flows, matches and actions are
//! written as for `ovs-ofctl`; a switch is its datapath id, or as many of its last digits as tell it from the others.
//!
//! On a terminal lines can be edited, the arrow keys go through those said before, and the Tab key completes; Ctrl-C and Ctrl-D end the
//! controller. From a pipe each line is answered in turn, and at its end the controller goes on. The name is POX's, whose shell
//! speaks Python; this one does not.
//!
//! - `--history=FILE` keeps what was said for the next time.
//!
//! Launch: `weft pox py forwarding.l2_learning openflow.discovery host_tracker`

mod commands;
mod switch;
mod terminal;
mod words;

use std::io::{BufRead, IsTerminal, Write};
use std::path::PathBuf;

use crate::remote::Remote;
use crate::{Component, Core, Down, Options, OptionsError, Result, Source};

pub use commands::{COMMANDS, Command, run};

/// Bytes of one line.
pub const LINE_BYTES_MAX: usize = 1 << 16;

/// The shell.
#[derive(Debug)]
pub struct Shell {
    history: Option<PathBuf>,
}

pub(crate) fn build(options: &mut Options) -> std::result::Result<Box<dyn Component>, OptionsError> {
    Ok(Box::new(Shell { history: options.take("history")? }))
}

impl Component for Shell {
    fn start(&mut self, core: &mut Core) -> Result {
        let remote = core.remote();
        let thread = std::thread::Builder::new().name("pox-shell".into());
        if std::io::stdin().is_terminal() && std::io::stdout().is_terminal() {
            // A line that is being edited when the controller ends leaves the terminal as it was.
            if let Ok(before) = rustix::termios::tcgetattr(std::io::stdin()) {
                core.listen(Source::Core, move |_: &mut Self, _: &Down, _: &mut Core| {
                    let when = rustix::termios::OptionalActions::Now;
                    let _ = rustix::termios::tcsetattr(std::io::stdin(), when, &before); // it is gone
                });
            }
            let history = self.history.take();
            thread.spawn(move || terminal::read(&remote, history.as_deref()))?;
        } else {
            thread.spawn(move || {
                // A pipe that is gone has nothing more to say.
                let _ = read(std::io::stdin().lock(), std::io::stdout(), &remote);
            })?;
        }
        Ok(())
    }
}

/// Answers each line of `input` on `output`, until either ends or the controller does. A line longer than [`LINE_BYTES_MAX`] is
/// refused whole.
///
/// # Errors
/// Input that cannot be read, output that cannot be written.
pub fn read(mut input: impl BufRead, mut output: impl Write, remote: &Remote) -> std::io::Result<()> {
    let mut line = Vec::new();
    loop {
        line.clear();
        let mut limited = std::io::Read::take(&mut input, LINE_BYTES_MAX as u64);
        if limited.read_until(b'\n', &mut line)? == 0 {
            return Ok(());
        }
        if line.len() == LINE_BYTES_MAX && line.last() != Some(&b'\n') {
            input.skip_until(b'\n')?;
            writeln!(output, "error: a line has at most {LINE_BYTES_MAX} bytes")?;
            continue;
        }
        let words = String::from_utf8_lossy(&line).trim().to_owned();
        if words.is_empty() || words.starts_with('#') {
            continue;
        }
        if is_farewell(&words) {
            writeln!(output, "{BYE}")?;
            output.flush()?;
            let _ = remote.post(Core::quit); // it has ended
            return Ok(());
        }
        match answer(remote, words) {
            Some(text) => writeln!(output, "{text}")?,
            None => return Ok(()),
        }
        output.flush()?;
    }
}

/// What the controller ends with. It is said before the end, which comes at once.
const BYE: &str = "bye";

fn is_farewell(line: &str) -> bool {
    matches!(line, "quit" | "exit")
}

/// What a line is answered with; `None` once the controller has ended.
fn answer(remote: &Remote, line: String) -> Option<String> {
    let (sender, answer) = std::sync::mpsc::sync_channel(1);
    let posted = remote.post(move |core| {
        run(core, &line, move |text| {
            let _ = sender.send(text); // the shell is gone
        });
    });
    posted.ok().and_then(|()| answer.recv().ok())
}
