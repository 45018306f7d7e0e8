//! The command `quilt` of July 2017 (0.2), under which a link to weft of that name runs: its words, its flags, its output.
//!
//! Everything but `daemon` and `inspect` asks the daemon, over its socket. What needed a machine elsewhere then is done
//! on this one: logs are read, and commands are run, where the containers are.

mod debug;
mod flags;
mod inspect;
mod logs;
mod run;
mod show;
mod ssh;
mod target;

use std::process::ExitCode;

use quilt::daemon::{self, Client, Deployment, tables};
use quilt::runtime::Store;

use super::report;
use flags::Flags;

/// What every command that asks the daemon takes.
const HOST: &str = "H";
/// Shown without a command, and where one is not known.
const USAGE: &str = "
Usage: quilt [OPTIONS] COMMAND

An approachable way to deploy to the cloud using Node.js.

To see the help text for a given command:
quilt COMMAND --help

Commands:
  counters, daemon, debug-logs, inspect, logs, ps, show, run, ssh, stop,
  version

Options:
  -l, -log-level string
    \tlogging level (debug, info, warn, error, fatal, or panic) (default \"info\")
  -log-file string
    \tlog output file (will be overwritten)
  -v, -verbose
    \tturn on debug logging
";

/// A command: its usage and what it is for, its flags, and what it does.
struct Command {
    names: &'static [&'static str],
    usage: &'static str,
    about: &'static str,
    /// Name, whether it takes a value, what it is for.
    flags: &'static [(&'static str, bool, &'static str)],
    run: fn(&Flags) -> miette::Result<ExitCode>,
}

const COMMANDS: [Command; 10] = [
    Command {
        names: &["daemon"],
        usage: "quilt daemon [OPTIONS]",
        about: "Start the quilt daemon, which listens for quilt API requests.",
        flags: &[],
        run: serve,
    },
    Command {
        names: &["ps", "show"],
        usage: "quilt show [OPTIONS]",
        about: "Display the status of quilt-managed machines and containers.",
        flags: &[("no-trunc", false, "do not truncate container command output")],
        run: show::run,
    },
    Command {
        names: &["run"],
        usage: "quilt run [OPTIONS] BLUEPRINT",
        about: "Compile a blueprint, and deploy the system it describes.\n\nConfirmation is required if deploying the \
                blueprint would change an existing\ndeployment. Confirmation can be skipped with the -f flag.",
        flags: &[
            ("blueprint", true, "the blueprint to run"),
            ("f", false, "deploy without confirming changes"),
        ],
        run: run::run,
    },
    Command {
        names: &["stop"],
        usage: "quilt stop [NAMESPACE]",
        about: "Stop a deployment.\n\nThis will free all resources associated with the deployment.\n\nIf no namespace is \
                specified, stop the deployment running in the namespace that is\ncurrently tracked by the daemon.",
        flags: &[
            ("namespace", true, "the namespace to stop"),
            ("containers", false, "only destroy containers"),
        ],
        run: stop,
    },
    Command {
        names: &["logs"],
        usage: "quilt logs [OPTIONS] ID",
        about: "Fetch the logs of a container or machine. Either a container\nor machine ID must be supplied.\n\nTo follow \
                the logs of container 8879fd2dbcee:\nquilt logs -f 8879fd2dbcee",
        flags: &[
            ("i", true, "path to the private key; not used, the logs are here"),
            (
                "since",
                true,
                "show logs since timestamp (e.g. 2017-07-01T13:23:37) or relative time (e.g. 1h40m, 40s)",
            ),
            ("f", false, "follow log output"),
            ("t", false, "show timestamps"),
        ],
        run: logs::run,
    },
    Command {
        names: &["ssh"],
        usage: "quilt ssh [OPTIONS] ID [COMMAND]",
        about: "SSH into or execute a command in a machine or container.\n\nIf no command is supplied, a login shell is \
                created.\n\nTo run a command on container 8879fd2dbcee:\nquilt ssh 8879fd2dbcee echo foo",
        flags: &[
            ("i", true, "path to the private key; not used, the machine is this one"),
            ("t", false, "attempt to allocate a pseudo-terminal"),
        ],
        run: ssh::run,
    },
    Command {
        names: &["inspect"],
        usage: "quilt inspect BLUEPRINT OUTPUT_FORMAT",
        about: "Visualize a blueprint.\n\nOUTPUT_FORMAT can be pdf, ascii, or graphviz.\n\npdf needs graphviz's dot; ascii is \
                drawn by graph-easy where that is installed.",
        flags: &[],
        run: inspect::run,
    },
    Command {
        names: &["debug-logs"],
        usage: "quilt debug-logs [OPTIONS] [ID...]",
        about: "Fetch logs for a set of machines or containers, placing\nthe contents in appropriately named files inside a \
                timestamped tarball or folder.\n\nIf no IDs are provided, either the -all, -containers, or -machines flag \
                must be\nset.",
        flags: &[
            ("i", true, "path to the private key; not used, the logs are here"),
            ("o", true, "output path for the logs (defaults to timestamped path)"),
            ("all", false, "if provided, fetch debug logs for all machines and containers"),
            ("containers", false, "if provided, fetch all debug logs for application containers"),
            ("machines", false, "if provided, fetch all debug logs for machines"),
            (
                "tar",
                false,
                "if true (default), put the logs into a tarball. If false, store logs in a folder",
            ),
        ],
        run: debug::run,
    },
    Command {
        names: &["counters"],
        usage: "quilt counters [OPTIONS] TARGET",
        about: "Display internal counters tracked for\ndebugging purposes.  Most users will not need this command.\n\nTARGET \
                should be \"daemon\" to retrieve the counters for the daemon. To retrieve the\ncounters for a machine, use \
                the machine's ID as TARGET.",
        flags: &[],
        run: counters,
    },
    Command {
        names: &["version"],
        usage: "quilt version [OPTIONS]",
        about: "Show the Quilt version information.",
        flags: &[],
        run: version,
    },
];

impl Command {
    fn known(&self) -> Vec<(&'static str, bool, &'static str)> {
        let common = [
            (HOST, true, "the host to connect to (default \"unix:///tmp/quilt.sock\")"),
            ("tls-dir", true, "the directory in which to lookup tls certs; not used"),
        ];
        common.into_iter().chain(self.flags.iter().copied()).collect()
    }

    fn help(&self) -> String {
        let mut text = format!("\nUsage: {}\n\n{}\n\nOptions:\n", self.usage, self.about);
        let mut flags = self.known();
        flags.sort_unstable();
        for (name, takes_value, about) in flags {
            text += &format!("  -{name}{}\n    \t{about}\n", if takes_value { " string" } else { "" });
        }
        text
    }
}

/// Runs the command line behind the name `quilt`.
///
/// # Errors
/// A command or flag that there is not, and whatever fails.
pub(crate) fn run(words: impl IntoIterator<Item = String>) -> miette::Result<ExitCode> {
    const OPTIONS: [(&str, bool, &str); 5] = [
        ("l", true, ""),
        ("log-level", true, ""),
        ("log-file", true, ""),
        ("v", false, ""),
        ("verbose", false, ""),
    ];
    let Some(first) = Flags::parse(words, &OPTIONS)? else { return Ok(usage()) };
    let Some((name, rest)) = first.words.split_first() else { return Ok(usage()) };
    if ["setup-tls", "minion"].contains(&name.as_str()) {
        return Err(miette::miette!("`quilt {name}` is not needed: everything runs on this machine"));
    }
    let Some(command) = COMMANDS.iter().find(|command| command.names.contains(&name.as_str())) else {
        return Ok(usage());
    };
    match Flags::parse(rest.iter().cloned(), &command.known())? {
        Some(flags) => (command.run)(&flags),
        None => {
            print!("{}", command.help());
            Ok(ExitCode::SUCCESS)
        }
    }
}

fn usage() -> ExitCode {
    print!("{USAGE}");
    ExitCode::from(crate::FAILED)
}

/// The daemon that the flags name.
fn client(flags: &Flags) -> miette::Result<Client> {
    Client::connect(address(flags)).map_err(|error| miette::miette!("{error}"))
}

fn address(flags: &Flags) -> &str {
    flags.value(HOST).unwrap_or(daemon::SOCKET)
}

fn failed(error: impl std::fmt::Display) -> miette::Report {
    miette::miette!("{error}")
}

/// What is deployed now, if anything is.
fn current(client: &mut Client) -> miette::Result<Option<Deployment>> {
    let clusters: Vec<tables::Cluster> = client.query("db.Cluster").map_err(failed)?;
    let Some(cluster) = clusters.first() else { return Ok(None) };
    Deployment::parse(&cluster.blueprint).map(Some).map_err(failed)
}

fn serve(flags: &Flags) -> miette::Result<ExitCode> {
    let address = address(flags);
    let path = daemon::socket_path(address).map_err(failed)?;
    let store = Store::from_env().map_err(report)?;
    daemon::serve(path, store, || eprintln!("quilt daemon {} serves {address}", daemon::VERSION))
        .map_err(failed)?;
    Ok(ExitCode::SUCCESS)
}

fn stop(flags: &Flags) -> miette::Result<ExitCode> {
    let mut client = client(flags)?;
    let namespace = flags.words.first().map(String::as_str).or_else(|| flags.value("namespace"));
    let only_containers = flags.is_set("containers");
    let mut empty =
        Deployment { namespace: namespace.unwrap_or_default().to_owned(), ..Deployment::default() };
    if namespace.is_none() || only_containers {
        let current = current(&mut client)?
            .ok_or_else(|| miette::miette!("Failed to get current cluster: no cluster"))?;
        if namespace.is_none() {
            empty.namespace = current.namespace.clone();
        }
        if only_containers {
            if empty.namespace != current.namespace {
                return Err(miette::miette!(
                    "Stopping only containers for a namespace not tracked by the remote daemon is not currently supported"
                ));
            }
            empty.machines = current.machines;
        }
    }
    client
        .deploy(&empty.to_string())
        .map_err(|error| miette::miette!("Unable to stop namespace. {error}"))?;
    Ok(ExitCode::SUCCESS)
}

fn version(flags: &Flags) -> miette::Result<ExitCode> {
    println!("Client: {}", daemon::VERSION);
    let version =
        client(flags)?.version().map_err(|error| miette::miette!("Failed to get daemon version: {error}"))?;
    println!("Daemon: {version}");
    Ok(ExitCode::SUCCESS)
}

fn counters(flags: &Flags) -> miette::Result<ExitCode> {
    let target = flags.words.first().ok_or_else(|| miette::miette!("must specify a target"))?;
    let mut client = client(flags)?;
    let host = match target.as_str() {
        "daemon" => None,
        id => Some(target::machine(&mut client, id)?.public_ip),
    };
    let mut counters = client
        .counters(host.as_deref())
        .map_err(|error| miette::miette!("error querying debug counters: {error}"))?;
    counters.sort_by(|a, b| (&a.pkg, &a.name).cmp(&(&b.pkg, &b.name)));
    let mut rows = vec![vec!["COUNTER".to_owned(), "VALUE".into(), "DELTA".into()], vec![String::new(); 3]];
    let mut last = None;
    for counter in counters {
        if last.as_ref() != Some(&counter.pkg) {
            rows.push(vec![counter.pkg.clone(), String::new(), String::new()]);
        }
        let delta = counter.value.wrapping_sub(counter.prev_value);
        rows.push(vec![format!("    {}", counter.name), counter.value.to_string(), delta.to_string()]);
        last = Some(counter.pkg);
    }
    print!("{}", show::columns(&rows, 2));
    Ok(ExitCode::SUCCESS)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_command_has_its_own_names_and_flags() {
        let mut names: Vec<_> = COMMANDS.iter().flat_map(|command| command.names).collect();
        let count = names.len();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), count);
        for command in &COMMANDS {
            let known = command.known();
            let mut flags: Vec<_> = known.iter().map(|(name, ..)| name).collect();
            flags.sort_unstable();
            flags.dedup();
            assert_eq!(flags.len(), known.len(), "{}", command.usage);
            assert!(command.help().contains("-H string"));
        }
    }
}
