//! The launcher: a short-lived process that makes containers and attaches them to the dataplane.
//!
//! Entering a user namespace and forking containers take a process with one thread, which the command itself is
//! not. Orders come on standard input, one JSON document a line; what became of each goes to standard output.

use std::io::{self, BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, ChildStdout, Stdio};

use host::Enter;
use host::network::INTERFACE;
use host::{ContainerSpec, NetworkKind, ProcessId};
use serde::{Deserialize, Serialize};
use softnic::daemon::{Client, Device, PacketDevice, TapDevice};

use super::process::{self, RoleContext};
use super::store::{Deployment, Role};
use super::{During, RuntimeError};

/// A container to make, and the dataplane port it gets.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Order {
    pub(super) port: u32,
    pub(super) spec: ContainerSpec,
}

/// What became of an order.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Outcome {
    pub(super) name: String,
    /// What had to be done differently, or why it failed.
    pub(super) result: Result<Vec<String>, String>,
}

/// The launcher process, as the command sees it.
pub(super) struct Launcher {
    child: Child,
    input: Option<ChildStdin>,
    output: BufReader<ChildStdout>,
}

impl Launcher {
    pub(super) fn start(deployment: &Deployment) -> Result<Self, RuntimeError> {
        let mut child = process::command(deployment, "__launch")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::inherit())
            .spawn()
            .during("start the launcher")?;
        let pipes = child.stdin.take().zip(child.stdout.take());
        let (input, output) = pipes.ok_or(io::ErrorKind::BrokenPipe).during("talk to the launcher")?;
        Ok(Self { child, input: Some(input), output: BufReader::new(output) })
    }

    /// Hands over all orders and hears what became of each, as it does.
    pub(super) fn run(
        mut self,
        orders: Vec<Order>,
        mut done: impl FnMut(Outcome),
    ) -> Result<(), RuntimeError> {
        let mut input = self.input.take().ok_or(io::ErrorKind::BrokenPipe).during("talk to the launcher")?;
        // From a thread of its own: the launcher answers while it still reads.
        let writer = std::thread::spawn(move || {
            orders.iter().try_for_each(|order| {
                let mut line = serde_json::to_vec(order)?;
                line.push(b'\n');
                input.write_all(&line)
            })
        });
        let mut line = String::new();
        while self.output.read_line(&mut line).during("hear from the launcher")? > 0 {
            let outcome: Outcome = serde_json::from_str(&line).map_err(|error| RuntimeError::Process {
                role: "launcher",
                reason: format!("{error}: {}", line.trim_end()),
            })?;
            line.clear();
            done(outcome);
        }
        let status = self.child.wait().during("wait for the launcher")?;
        let written = writer.join().map_err(|_| io::ErrorKind::BrokenPipe).during("talk to the launcher")?;
        if status.success() {
            return written.during("talk to the launcher");
        }
        Err(RuntimeError::Process { role: "launcher", reason: format!("it ended with {status}") })
    }
}

impl Drop for Launcher {
    fn drop(&mut self) {
        // A command that gives up half-way leaves no launcher; containers that are not ready die with it.
        if self.child.try_wait().is_ok_and(|ended| ended.is_none()) {
            let _ = (self.child.kill(), self.child.wait());
        }
    }
}

/// What the hidden subcommand does.
///
/// # Errors
/// When the deployment's namespaces cannot be entered or the dataplane does not answer.
pub fn launch(context: &RoleContext) -> Result<(), RuntimeError> {
    // Connected before namespaces are entered, and single-threaded like everything here.
    let mut dataplane = Client::connect(&context.deployment.socket(Role::Dataplane))?;
    context.enter(Enter::User)?;
    let mut ports = std::collections::HashMap::new();
    let lines = io::stdin().lock().lines();
    let orders = lines.map_while(Result::ok).map_while(|line| serde_json::from_str::<Order>(&line).ok());
    let mut names = Vec::new();
    let specs: Vec<_> = orders
        .map(|order| {
            ports.insert(order.spec.name.clone(), order.port);
            names.push(order.spec.name.clone());
            order.spec
        })
        .collect();
    let attach = |spec: &ContainerSpec, init: ProcessId| -> Result<(), String> {
        let Some(port) = ports.get(&spec.name) else { return Ok(()) };
        let Some(device) = device(spec, init) else { return Ok(()) };
        dataplane.attach(*port, &spec.name, device).map_err(|error| error.to_string())
    };
    let mut told = Ok(());
    host::launch_attached(specs, attach, |index, result| {
        let result = result.map(|launched| launched.warnings).map_err(|error| error.to_string());
        if told.is_ok() {
            told = tell(&Outcome { name: names[index].clone(), result });
        }
    })?;
    told.during("answer the command that started the launcher")
}

/// The dataplane's end of a container's interface.
pub(super) fn device(spec: &ContainerSpec, init: ProcessId) -> Option<Device> {
    spec.network.as_ref().map(|network| device_of(&network.kind, init))
}

/// The dataplane's end of the interface of the network namespace that `process` is in.
pub(super) fn device_of(kind: &NetworkKind, process: ProcessId) -> Device {
    match kind {
        NetworkKind::Tap { .. } => Device::Tap(TapDevice {
            netns_pid: process.pid,
            netns_start_time: process.start_time,
            interface: INTERFACE.into(),
        }),
        NetworkKind::Veth { peer_name, .. } => Device::Packet(PacketDevice {
            interface: peer_name.clone(),
            peer_pid: process.pid,
            peer_start_time: process.start_time,
        }),
    }
}

fn tell(outcome: &Outcome) -> io::Result<()> {
    let mut line = serde_json::to_vec(outcome)?;
    line.push(b'\n');
    let mut output = io::stdout().lock();
    output.write_all(&line)?;
    output.flush()
}
