//! The launcher: a short-lived process that makes containers and attaches them to the dataplane.
//!
//! Entering a user namespace and forking containers take a process with one thread, which the command itself is
//! not ([`host::helper`]).

use std::collections::HashMap;

use host::network::INTERFACE;
use host::{ContainerSpec, Enter, NetworkKind, ProcessId, helper};
use serde::{Deserialize, Serialize};
use softnic::daemon::{Client, DaemonError, Device, PacketDevice, TapDevice};

use super::RuntimeError;
use super::process::{self, RoleContext};
use super::store::{Deployment, Role};

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

/// Has all orders carried out and hears what became of each, as it does.
pub(super) fn launch(
    deployment: &Deployment,
    orders: &[Order],
    done: impl FnMut(Outcome),
) -> Result<(), RuntimeError> {
    Ok(helper::call(&mut process::command(deployment, "__launch"), &orders, done)?)
}

/// What the hidden subcommand does.
pub fn run(context: &RoleContext) {
    helper::serve(|orders, answer: &dyn Fn(Outcome)| carry_out(context, orders, answer));
}

fn carry_out(
    context: &RoleContext,
    orders: Vec<Order>,
    answer: &dyn Fn(Outcome),
) -> Result<(), RuntimeError> {
    // Connected before namespaces are entered, and single-threaded like everything here.
    let mut dataplane = Client::connect(&context.deployment.socket(Role::Dataplane))?;
    context.enter(Enter::User)?;
    let ports: HashMap<String, u32> =
        orders.iter().map(|order| (order.spec.name.clone(), order.port)).collect();
    let names: Vec<String> = orders.iter().map(|order| order.spec.name.clone()).collect();
    let attached = |spec: &ContainerSpec, init: ProcessId| -> Result<(), String> {
        let Some(port) = ports.get(&spec.name) else { return Ok(()) };
        let Some(device) = device(spec, init) else { return Ok(()) };
        attach(&mut dataplane, *port, spec, device).map_err(|error| error.to_string())
    };
    host::launch(orders.into_iter().map(|order| order.spec), attached, |index, result| {
        let result = result.map(|launched| launched.warnings).map_err(|error| error.to_string());
        answer(Outcome { name: names[index].clone(), result });
    })?;
    Ok(())
}

/// Attaches a container; services give one with health checks nothing until these succeed.
pub(super) fn attach(
    dataplane: &mut Client,
    port: u32,
    spec: &ContainerSpec,
    device: Device,
) -> Result<(), DaemonError> {
    match spec.health {
        Some(_) => dataplane.attach_gated(port, &spec.name, device),
        None => dataplane.attach(port, &spec.name, device),
    }
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
