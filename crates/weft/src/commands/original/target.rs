//! Containers and machines by the beginning of their identifiers.

use miette::{Report, miette};
use quilt::daemon::Client;
use quilt::daemon::tables::{Container, Machine};
use quilt::runtime::{Deployment, Store};

use super::{current, failed, report};

/// What an identifier means.
pub(super) enum Target {
    Machine(Machine),
    Container(Container),
}

/// The one whose identifier begins so.
pub(super) fn find(client: &mut Client, id: &str) -> miette::Result<Target> {
    match (machine(client, id), container(client, id)) {
        (Ok(machine), Err(_)) => Ok(Target::Machine(machine)),
        (Err(_), Ok(container)) => Ok(Target::Container(container)),
        (Ok(_), Ok(_)) => Err(miette!("Ambiguous ID: {id} is a machine and a container")),
        (Err(machine), Err(container)) => {
            Err(miette!("Failed to resolve target machine or container: {machine}; {container}"))
        }
    }
}

pub(super) fn machine(client: &mut Client, id: &str) -> miette::Result<Machine> {
    let machines: Vec<Machine> = client.query("db.Machine").map_err(failed)?;
    one(machines, id, "machine", |machine| &machine.stitch_id)
}

fn container(client: &mut Client, id: &str) -> miette::Result<Container> {
    let containers: Vec<Container> = client.query("db.Container").map_err(failed)?;
    one(containers, id, "container", |container| &container.stitch_id)
}

fn one<T>(all: Vec<T>, id: &str, what: &str, of: impl Fn(&T) -> &str) -> Result<T, Report> {
    let mut found = all.into_iter().filter(|one| of(one).starts_with(id));
    let first = found.next().ok_or_else(|| miette!("no {what} with stitchID {id:?}"))?;
    match found.next() {
        Some(second) => Err(miette!("ambiguous stitchIDs {} and {}", of(&first), of(&second))),
        None => Ok(first),
    }
}

/// Where what is deployed runs on this machine.
pub(super) fn deployment(client: &mut Client) -> miette::Result<Deployment> {
    let current = current(client)?.ok_or_else(|| miette!("nothing is deployed"))?;
    let name = quilt::daemon::lower(&current).map(|lowered| lowered.blueprint.name).unwrap_or_default();
    let store = Store::from_env().map_err(report)?;
    let all = store.deployments().map_err(report)?;
    all.into_iter().find(|one| one.name() == name).ok_or_else(|| {
        miette!(
            help = "the daemon's WEFT_STATE and this command's must be the same",
            "deployment '{name}' does not run here"
        )
    })
}
