//! weft itself: two containers of a blueprint, used as anyone would, through its command line.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use super::{Kind, Peer, Side};
use crate::cleanup::Guard;
use crate::error::{During, Error, Result};
use crate::machine;
use crate::process::{quick, run};
use crate::udp;

/// How long two containers may take to start.
const START: Duration = Duration::from_secs(60);
/// Where this program is seen inside the containers.
const INSIDE: &str = "/opt/interop";

/// The variable that names the state directory, which keeps our deployments apart from the user's.
pub(crate) fn state_variable() -> &'static str {
    "WEFT_STATE"
}

/// A deployment of two containers.
pub(crate) struct Weft {
    program: PathBuf,
    state: PathBuf,
    dataplane: Vec<u32>,
    _stop: Guard,
}

impl Weft {
    pub(crate) fn new(directory: &Path, program: &Path) -> Result<Self> {
        if !program.is_file() {
            return Err(Error::NoWeft(program.into()));
        }
        let home = directory.join("weft");
        let (state, bin) = (home.join("state"), home.join("bin"));
        for path in [&state, &bin] {
            fs::create_dir_all(path).during(format!("make {}", path.display()))?;
        }
        fs::copy("/proc/self/exe", bin.join("interop")).during("copy this program")?;
        let blueprint = home.join("blueprint.js");
        fs::write(&blueprint, text(&bin)).during("write a blueprint")?;
        let before = machine::running(program)?;
        let stop = Guard::command(program, &["stop", "--all", "--grace", "1"], state_variable(), &state);
        run(Command::new(program).arg("up").arg(&blueprint).env(state_variable(), &state), START)?;
        let ours = machine::running(program)?;
        let dataplane = ours.difference(&before).copied().filter(|&pid| carries_packets(pid)).collect();
        Ok(Self { program: program.into(), state, dataplane, _stop: stop })
    }
}

/// weft's processes are one program under hidden subcommands; this one moves the packets.
fn carries_packets(pid: u32) -> bool {
    let line = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
    line.split(|&byte| byte == 0).any(|word| word == b"__dataplane")
}

fn text(bin: &Path) -> String {
    let name = std::process::id();
    let (bin, port) = (bin.display(), udp::PORT);
    format!(
        "import {{ allow, Container, deployment, hostPath }} from 'weft';\n\
         deployment({{ name: 'wb{name}' }});\n\
         const mounts = {{ '{INSIDE}': hostPath('{bin}', {{ readOnly: true }}) }};\n\
         const server = new Container('server', {{ command: ['iperf3', '-s'], mounts }});\n\
         const client = new Container('client', {{ command: ['sleep', 'infinity'], mounts }});\n\
         allow(client, server, 5201);\n\
         allow(client, server, {port}, 'udp');\n"
    )
}

fn name(side: Side) -> &'static str {
    match side {
        Side::Client => "client",
        Side::Server => "server",
    }
}

impl Peer for Weft {
    fn kind(&self) -> Kind {
        Kind::Weft
    }

    fn command(&self, side: Side, program: &str) -> Command {
        let mut command = Command::new(&self.program);
        command.env(state_variable(), &self.state).args(["exec", name(side), "--", program]);
        command
    }

    /// A container's own commands may not change its interface, so this enters only its network.
    fn admin(&self, side: Side, program: &str) -> Result<Command> {
        let mut ps = Command::new(&self.program);
        let listing = quick(ps.env(state_variable(), &self.state).args(["ps", "--json"]))?.text;
        let rows: serde_json::Value = serde_json::from_str(&listing).unwrap_or_default();
        let mut rows = rows["containers"].as_array().into_iter().flatten();
        let pid = rows.find(|row| row["name"] == name(side)).and_then(|row| row["pid"].as_u64());
        let pid = pid.ok_or(Error::Malformed { place: "weft ps --json".into(), text: listing })?;
        let mut command = Command::new("nsenter");
        command.args([format!("--net=/proc/{pid}/ns/net").as_str(), "--", program]);
        Ok(command)
    }

    fn server(&self) -> &'static str {
        "server"
    }

    fn interop(&self) -> PathBuf {
        Path::new(INSIDE).join("interop")
    }

    fn dataplane(&self) -> Vec<u32> {
        self.dataplane.clone()
    }
}
