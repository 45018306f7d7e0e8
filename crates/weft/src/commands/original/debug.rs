//! `quilt debug-logs`: everything that helps to find out what went wrong, in one folder or tarball.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{SystemTime, UNIX_EPOCH};

use miette::miette;
use quilt::daemon::tables::{Container, Machine};
use quilt::daemon::{self, Client};
use quilt::runtime::Deployment;

use super::flags::Flags;
use super::target;
use super::{client, failed, show};

/// Commands of the machine that say how it is.
const MACHINE: [(&str, &[&str]); 3] =
    [("uname", &["uname", "-a"]), ("uptime", &["uptime"]), ("dmesg", &["dmesg"])];

pub(super) fn run(flags: &Flags) -> miette::Result<ExitCode> {
    let all = flags.is_set("all");
    let (containers, machines) = (all || flags.is_set("containers"), all || flags.is_set("machines"));
    if flags.words.is_empty() && !containers && !machines {
        return Err(miette!("must supply at least one ID or set option"));
    }
    let mut client = client(flags)?;
    let mut chosen = Chosen::default();
    if containers || machines {
        if machines {
            chosen.machines = client.query("db.Machine").map_err(failed)?;
        }
        if containers {
            chosen.containers = client.query("db.Container").map_err(failed)?;
        }
    } else {
        for id in &flags.words {
            match target::find(&mut client, id)? {
                target::Target::Machine(machine) => chosen.machines.push(machine),
                target::Target::Container(container) => chosen.containers.push(container),
            }
        }
    }
    let out = flags.value("o").map_or_else(default_path, PathBuf::from);
    let failures = chosen.write(&mut client, &out)?;
    if failures > 0 {
        eprintln!("Some downloads failed");
    }
    if flags.is_set_or("tar", true) {
        tarball(&out).map_err(|error| miette!("Failed to tarball directory {}: {error}", out.display()))?;
    }
    Ok(ExitCode::from(u8::try_from(failures).unwrap_or(u8::MAX)))
}

/// `debug_logs_1500000000`: seconds after 1970.
fn default_path() -> PathBuf {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    format!("debug_logs_{}", now.as_secs()).into()
}

#[derive(Default)]
struct Chosen {
    machines: Vec<Machine>,
    containers: Vec<Container>,
}

impl Chosen {
    /// Writes a file for everything; says how many could not be had.
    fn write(&self, client: &mut Client, out: &Path) -> miette::Result<usize> {
        for directory in ["machines", "containers"] {
            fs::create_dir_all(out.join(directory)).map_err(|error| miette!("{}: {error}", out.display()))?;
        }
        let mut failures = 0;
        let mut note = |path: PathBuf, text: Result<Vec<u8>, String>| {
            let written = text.and_then(|text| fs::write(&path, text).map_err(|error| error.to_string()));
            if let Err(error) = written {
                eprintln!("Failed to get log '{}': {error}", path.display());
                failures += 1;
            }
        };
        let bytes =
            |text: miette::Result<String>| text.map(String::into_bytes).map_err(|error| error.to_string());
        note(out.join("ps"), bytes(show::text(client, false)));
        let versions =
            client.version().map(|version| format!("Client: {}\nDaemon: {version}\n", daemon::VERSION));
        note(out.join("version"), bytes(versions.map_err(failed)));
        let deployment = target::deployment(client)?;
        for machine in &self.machines {
            let directory = out.join("machines").join(&machine.stitch_id);
            fs::create_dir_all(&directory).map_err(failed)?;
            for role in ["sandbox", "dataplane", "edge"] {
                let log = fs::read(deployment.directory().join(role).with_extension("log"));
                // One that never ran has none.
                note(directory.join(role), Ok(log.unwrap_or_default()));
            }
            for (name, words) in MACHINE {
                let output = std::process::Command::new(words[0]).args(&words[1..]).output();
                note(
                    directory.join(name),
                    output.map(|output| output.stdout).map_err(|error| error.to_string()),
                );
            }
        }
        for container in &self.containers {
            let directory = out.join("containers").join(&container.stitch_id);
            fs::create_dir_all(&directory).map_err(failed)?;
            note(directory.join("logs"), logs(&deployment, container));
        }
        Ok(failures)
    }
}

fn logs(deployment: &Deployment, container: &Container) -> Result<Vec<u8>, String> {
    if container.docker_id.is_empty() {
        return Err("the container does not run".into());
    }
    let lines = host::log::read(&deployment.containers().container(&container.docker_id));
    let lines = lines.map_err(|error| error.to_string())?;
    Ok(lines.into_iter().flat_map(|line| line.text.into_iter().chain([b'\n'])).collect())
}

/// Puts a folder into a tarball beside it, and takes it away.
fn tarball(folder: &Path) -> std::io::Result<()> {
    let mut path = folder.as_os_str().to_owned();
    path.push(".tar");
    let mut archive = tar::Builder::new(fs::File::create(path)?);
    archive.append_dir_all(folder.file_name().unwrap_or(folder.as_os_str()), folder)?;
    archive.finish()?;
    fs::remove_dir_all(folder)
}
