//! `quilt ssh`: a command or a shell in a container, or on the machine, which is this one.

use std::io::IsTerminal;
use std::process::{Command, ExitCode};

use host::{ExecSpec, exec};
use miette::miette;

use super::flags::Flags;
use super::report;
use super::target::{self, Target};
use super::{client, failed};

pub(super) fn run(flags: &Flags) -> miette::Result<ExitCode> {
    let (id, words) = flags.words.split_first().ok_or_else(|| miette!("must specify a target"))?;
    let wants_terminal = flags.is_set("t") || words.is_empty();
    if wants_terminal && !std::io::stdout().is_terminal() {
        return Err(miette!("Cannot allocate pseudo-terminal without a terminal"));
    }
    let mut client = client(flags)?;
    let target = target::find(&mut client, id)?;
    let line = words.join(" ");
    match target {
        Target::Machine(_) => {
            drop(client);
            let shell = std::env::var_os("SHELL").unwrap_or_else(|| "/bin/sh".into());
            let mut command = Command::new(shell);
            if !line.is_empty() {
                command.arg("-c").arg(line);
            }
            let status = command.status().map_err(failed)?;
            Ok(code(status.code().unwrap_or(1)))
        }
        Target::Container(row) if row.docker_id.is_empty() => Err(miette!("Container not yet running")),
        Target::Container(row) => {
            let deployment = target::deployment(&mut client)?;
            // What follows wants this process to have one thread.
            drop(client);
            let container = deployment.containers().container(&row.docker_id);
            // A shell took the words apart on their way, and the container's own programs run them.
            let command = match line.as_str() {
                "" => vec!["sh".to_owned()],
                line => vec!["/bin/sh".into(), "-c".into(), line.to_owned()],
            };
            exec(&container, &ExecSpec { command, ..ExecSpec::default() }).map(code).map_err(report)
        }
    }
}

fn code(code: i32) -> ExitCode {
    ExitCode::from(u8::try_from(code).unwrap_or(1))
}
