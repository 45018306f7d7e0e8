//! The `weft` command: wires the rooms together and holds no logic.

#![forbid(unsafe_code)]

mod commands;
mod style;
mod tool;

use std::process::ExitCode;

use clap::{CommandFactory, Parser, Subcommand};

use commands::{
    blueprint, ddc, e2, exec, export, graph, images, import, logs, machines, netbricks, openflow, original,
    pox, ps, quilt, rc3, roles, sim, softnic, stop, top, up, why,
};

/// Exit code for work that could not be done.
const FAILED: u8 = 1;

/// Programmable networks: one toolkit, one binary, one blueprint
#[derive(Debug, Parser)]
#[command(
    name = "weft",
    version,
    arg_required_else_help = true,
    after_help = "Example:\n  weft up examples/shop.js\n  curl http://localhost:8080/\n  weft why client db 5432\n  weft stop\n\n\
                  State lies in $WEFT_STATE, else $XDG_STATE_HOME/weft, else ~/.local/state/weft.\n\
                  Exit codes: 0 done, 1 failed, 2 wrong usage."
)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Start what a blueprint asks for, or change what runs into it
    Up(up::Up),
    /// Show what `up` would change, and change nothing
    Plan(blueprint::Plan),
    /// Check a blueprint, and run nothing; of manifests, tell who may reach whom
    Check(blueprint::Check),
    /// List containers, services and published ports
    Ps(ps::Ps),
    /// Tell whether one party may reach another on a port, and which line of the blueprint says so
    Why(why::Why),
    /// Print what containers wrote
    Logs(logs::Logs),
    /// Run a command inside a container
    Exec(exec::Exec),
    /// Write a blueprint for another system
    #[command(subcommand)]
    Export(export::Export),
    /// Turn files of another system into a blueprint with the least policy that they need
    #[command(subcommand)]
    Import(import::Import),
    /// Draw a blueprint's containers and links
    Graph(graph::Graph),
    /// Watch traffic and drops, live
    Top(top::Top),
    /// List the machines that were rented for deployments
    Machines(machines::Machines),
    /// Stop everything and leave nothing behind but named volumes
    Stop(stop::Stop),
    /// List the images that are kept, and remove them
    Images(images::Images),
    /// Data-Driven Connectivity: how far packets walk while links fail
    #[command(subcommand)]
    Ddc(ddc::Ddc),
    /// Policies of network functions: checked, placed and drawn
    #[command(subcommand)]
    E2(e2::E2),
    /// Network functions on ports and capture files
    #[command(subcommand)]
    Netbricks(netbricks::Netbricks),
    /// OpenFlow messages, printed and parsed
    #[command(subcommand)]
    Openflow(openflow::Openflow),
    Pox(pox::Pox),
    /// Blueprints in the dialects of Quilt and Kelda
    #[command(subcommand)]
    Quilt(quilt::Quilt),
    /// RC3: recursively cautious congestion control
    #[command(subcommand)]
    Rc3(rc3::Rc3),
    /// Simulations: scenario files, as tables and plots
    #[command(subcommand)]
    Sim(sim::Sim),
    /// The software NIC, and BESS's control interface
    #[command(subcommand)]
    Softnic(softnic::Softnic),
    /// Small programs for examples: a web server, a database, a client
    #[command(subcommand)]
    Tool(tool::Tool),
    /// Print a completion script for a shell
    #[command(
        after_help = "Example:\n  weft completions bash > ~/.local/share/bash-completion/completions/weft"
    )]
    Completions {
        /// Which shell
        shell: clap_complete::Shell,
    },
    /// Print the manual page, of weft or of one of its commands
    #[command(after_help = "Example:\n  weft man up | man -l -")]
    Man {
        /// Which command
        command: Option<String>,
    },
    #[command(flatten)]
    Role(roles::Role),
}

fn main() -> ExitCode {
    style::install();
    match called() {
        Ok(code) => code,
        Err(report) => {
            style::show(&report);
            ExitCode::from(FAILED)
        }
    }
}

/// Runs what the command line says. A link to weft that is called `bessd` is BESS's daemon, one that is called `quilt`
/// the command of that name.
fn called() -> miette::Result<ExitCode> {
    let mut words = std::env::args();
    let name = words.next().unwrap_or_default();
    match std::path::Path::new(&name).file_name().and_then(std::ffi::OsStr::to_str) {
        Some("bessd") => softnic::Daemon::from_bessd(words)?.run(),
        Some("quilt") => original::run(words),
        _ => run(Cli::parse().command),
    }
}

fn run(command: Command) -> miette::Result<ExitCode> {
    match command {
        Command::Up(command) => command.run()?,
        Command::Plan(command) => command.run()?,
        Command::Check(command) => command.run()?,
        Command::Ps(command) => command.run()?,
        Command::Why(command) => return command.run(),
        Command::Logs(command) => command.run()?,
        Command::Exec(command) => return command.run(),
        Command::Export(command) => command.run()?,
        Command::Import(command) => command.run()?,
        Command::Graph(command) => command.run()?,
        Command::Top(command) => command.run()?,
        Command::Machines(command) => command.run()?,
        Command::Stop(command) => command.run()?,
        Command::Images(command) => command.run()?,
        Command::Ddc(command) => return command.run(),
        Command::E2(command) => command.run()?,
        Command::Netbricks(command) => return command.run(),
        Command::Openflow(command) => return command.run(),
        Command::Pox(command) => return command.run(),
        Command::Quilt(command) => command.run()?,
        Command::Rc3(command) => command.run()?,
        Command::Sim(command) => command.run()?,
        Command::Softnic(command) => return command.run(),
        Command::Tool(tool) => tool.run().map_err(|error| miette::miette!("{error}"))?,
        Command::Completions { shell } => {
            clap_complete::generate(shell, &mut shown(), "weft", &mut std::io::stdout());
        }
        Command::Man { command } => manual(command.as_deref())?,
        Command::Role(role) => role.run()?,
    }
    Ok(ExitCode::SUCCESS)
}

/// The command line without the subcommands that only weft itself uses.
fn shown() -> clap::Command {
    let whole = Cli::command();
    let subcommands = whole.get_subcommands().filter(|command| !command.is_hide_set()).cloned();
    clap::Command::new("weft")
        .version(env!("CARGO_PKG_VERSION"))
        .about(whole.get_about().cloned().unwrap_or_default())
        .subcommands(subcommands)
}

fn manual(name: Option<&str>) -> miette::Result<()> {
    let mut whole = Cli::command();
    whole.build();
    let command = match name {
        None => whole,
        Some(name) => {
            whole.find_subcommand(name).filter(|found| !found.is_hide_set()).cloned().ok_or_else(|| {
                miette::miette!(help = "`weft --help` lists them", "there is no command '{name}'")
            })?
        }
    };
    clap_mangen::Man::new(command).render(&mut std::io::stdout()).map_err(|error| miette::miette!("{error}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_sound() {
        Cli::command().debug_assert();
    }

    #[test]
    fn every_help_ends_in_an_example() {
        let mut whole = Cli::command();
        whole.build();
        let mut waiting: Vec<_> =
            whole.get_subcommands().filter(|command| !command.is_hide_set()).cloned().collect();
        waiting.push(whole);
        while let Some(command) = waiting.pop() {
            let name = command.get_name().to_owned();
            if name == "help" {
                continue;
            }
            if !["weft", "tool"].contains(&name.as_str()) {
                waiting.extend(command.get_subcommands().cloned());
            }
            let after = command.get_after_help().map(ToString::to_string).unwrap_or_default();
            assert!(
                after.contains("Example:\n  weft ") || name == "tool",
                "`weft {name} --help` has no example"
            );
        }
    }
}
