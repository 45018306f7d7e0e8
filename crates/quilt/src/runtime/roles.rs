//! What the hidden subcommands do: the long-lived processes of a deployment.

use host::Enter;

use super::process::{RoleContext, run_role};
use super::spec::edge_network;
use super::store::Role;
use super::{During, RuntimeError, edge, watcher};

/// The dataplane's end of the edge's interface where there is no TAP.
pub(super) const EDGE_PEER: &str = "wedge";
/// Largest IP packet on every interface.
pub(super) const MTU: u16 = 1500;
/// Packets that may wait between an interface and the dataplane.
pub(super) const QUEUE_PACKETS: u32 = 4096;

/// Holds the deployment's namespaces until it is ended.
///
/// # Errors
/// When namespaces cannot be made; the error says what to change.
pub fn sandbox(context: &RoleContext) -> Result<(), RuntimeError> {
    run_role(context, |context| {
        if context.deployment.holder()?.is_some() {
            // The last one was killed, and the dataplane kept its namespaces.
            context.enter(Enter::UserAndNetwork)?;
        } else {
            context.sandbox.create_here()?;
            host::netns::unshare_here()?;
        }
        context.ready(Role::Sandbox).during("answer the starting command")?;
        loop {
            std::thread::park();
        }
    })
}

/// Carries the deployment's packets until it is ended.
///
/// # Errors
/// When the deployment's namespaces cannot be entered or the socket cannot be made.
pub fn dataplane(context: &RoleContext) -> Result<(), RuntimeError> {
    run_role(context, |context| {
        context.enter(Enter::UserAndNetwork)?;
        let socket = context.deployment.socket(Role::Dataplane);
        let ready = || {
            watcher::start(&context.deployment)?;
            context.ready(Role::Dataplane)
        };
        softnic::daemon::serve(&socket, ready).map_err(RuntimeError::from)
    })
}

/// Serves the deployment's published ports, and the way to the outside, until it is ended.
///
/// # Errors
/// When the deployment's namespaces cannot be entered or the interface cannot be made.
pub fn edge(context: &RoleContext) -> Result<(), RuntimeError> {
    run_role(context, |context| {
        let holder = context.enter(Enter::User)?;
        // One thread stays in the network that the command was started in.
        let beyond = edge::Beyond::start().during("start the thread for the outside")?;
        host::netns::unshare_here()?;
        host::network::configure(&edge_network(holder))?;
        edge::serve(&context.deployment.socket(Role::Edge), beyond, || context.ready(Role::Edge))
            .during("serve published ports")
    })
}
