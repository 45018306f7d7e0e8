//! `weft machines`: what is rented; and what `up`, `plan` and `stop` do with machines.

use std::time::Duration;

use clap::Args;
use indicatif::ProgressBar;
use quilt::Loaded;
use quilt::fault::Faults;
use quilt::machines::{self, Fleet, Found, MachineError, MachineStore, Progress};
use quilt::model::Blueprint;
use quilt::runtime::Store;

use super::blueprint::coloured;
use super::cluster::Apply;
use super::{print_json, report};
use crate::style::{columns, tint};

/// List the machines that were rented for deployments.
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  weft machines --json\n\n\
                        They are booted by `weft up FILE --target machines` and given back by `weft stop --machines`.")]
pub(crate) struct Machines {
    /// The machines of this deployment only
    #[arg(short, long, value_name = "NAME")]
    deployment: Option<String>,
    /// Where Amazon's machines of --deployment are, if this machine knows nothing of them
    #[arg(long, value_name = "REGION", requires = "deployment")]
    region: Option<String>,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

#[derive(serde::Serialize)]
struct Listing {
    deployment: String,
    provider: String,
    region: String,
    machines: Vec<Found>,
}

impl Machines {
    pub(crate) fn run(&self) -> miette::Result<()> {
        let store = Store::from_env().map_err(report)?;
        let names = match &self.deployment {
            Some(name) => vec![name.clone()],
            None => MachineStore::names(store.state()).map_err(|error| failed(&error))?,
        };
        let mut listings = Vec::new();
        for name in names {
            let mut fleet =
                Fleet::look(store.state(), &name, self.region.as_deref()).map_err(|error| failed(&error))?;
            let found = fleet.machines().map_err(|error| failed(&error))?;
            let (provider, region) = fleet.place();
            let (provider, region) = (provider.to_owned(), region.to_owned());
            listings.push(Listing { deployment: name, provider, region, machines: found });
        }
        if self.json {
            return print_json(&listings);
        }
        let mut rows = vec![
            ["DEPLOYMENT", "NAME", "STATE", "SIZE", "ADDRESS", "WITHIN", "PLACE", "ID"]
                .map(str::to_owned)
                .to_vec(),
        ];
        for listing in &listings {
            for machine in &listing.machines {
                let address = |address: Option<std::net::IpAddr>| {
                    address.map(|address| address.to_string()).unwrap_or_default()
                };
                let state = format!("{:?}", machine.state).to_lowercase();
                rows.push(vec![
                    listing.deployment.clone(),
                    machine.name.clone(),
                    tint(&state, machine.state == machines::State::Running),
                    format!("{}{}", machine.size, if machine.is_spot { " spot" } else { "" }),
                    address(machine.public_address),
                    address(machine.private_address),
                    format!("{} {}", listing.provider, listing.region),
                    machine.id.clone(),
                ]);
            }
        }
        print!("{}", columns(&rows));
        Ok(())
    }
}

fn failed(error: &MachineError) -> miette::Report {
    miette::miette!("{error}")
}

/// Refuses machines that could not be one cluster.
fn vet(loaded: &Loaded, admins: &[String]) -> miette::Result<()> {
    let faults = machines::vet(&loaded.blueprint, admins);
    if faults.is_empty() {
        return Ok(());
    }
    Err(Faults::finish(faults, &loaded.sources, String::new()).into_report())
}

/// What is to be said where machines are declared and this machine is meant.
pub(super) fn note(blueprint: &Blueprint) {
    match blueprint.machines.all.len() {
        0 => {}
        1 => eprintln!("note: the machine of the blueprint is not booted: --target machines does"),
        count => {
            eprintln!("note: the {count} machines of the blueprint are not booted: --target machines does");
        }
    }
}

/// How machines are booted.
#[derive(Debug, Args)]
#[command(next_help_heading = "Machines")]
pub(crate) struct Booting {
    /// A network that may reach the machines' API server and log in, beside the blueprint's adminACL
    #[arg(long = "admin", value_name = "CIDR")]
    pub(super) admins: Vec<String>,
    /// How long machines may take to join the cluster
    #[arg(long, value_name = "SECONDS", default_value_t = 900)]
    pub(super) join_timeout: u64,
}

/// `weft up --target machines`.
pub(super) fn up(
    apply: &Apply<'_>,
    booting: &Booting,
    loaded: &Loaded,
    bar: &ProgressBar,
) -> miette::Result<()> {
    vet(loaded, &booting.admins)?;
    let store = Store::from_env().map_err(report)?;
    let show = &mut |progress: Progress| show(bar, &progress);
    let mut run = || -> Result<_, MachineError> {
        let mut fleet = Fleet::of(store.state(), &loaded.blueprint)?;
        let plan = fleet.plan(&loaded.blueprint)?;
        if !apply.is_quiet {
            bar.suspend(|| print!("{}", coloured(&plan.to_string())));
        }
        let plan = fleet.boot(&loaded.blueprint, &booting.admins, show)?;
        let limit = Duration::from_secs(booting.join_timeout);
        let cluster = fleet.join(&plan, apply.access.server(), limit, show)?;
        fleet.retire(&plan, &cluster, show)?;
        Ok((fleet, cluster))
    };
    let (fleet, cluster) = run().map_err(|error| failed(&error))?;
    apply.run(loaded, &cluster, bar)?;
    if !apply.is_quiet {
        println!("\nkubectl --kubeconfig {}", fleet.kubeconfig().display());
    }
    Ok(())
}

fn show(bar: &ProgressBar, progress: &Progress) {
    match progress {
        Progress::Step(step) => bar.set_message(step.clone()),
        Progress::Joined { ready, all } => {
            bar.set_message(format!("{ready} of {all} machines are in the cluster"));
        }
        _ => {}
    }
}

/// `weft plan --target machines`: machines only, since there may be no cluster yet that could be asked.
pub(super) fn plan(loaded: &Loaded, booting: &Booting, json: bool) -> miette::Result<()> {
    vet(loaded, &booting.admins)?;
    let store = Store::from_env().map_err(report)?;
    let mut fleet = Fleet::of(store.state(), &loaded.blueprint).map_err(|error| failed(&error))?;
    let plan = fleet.plan(&loaded.blueprint).map_err(|error| failed(&error))?;
    if json {
        return print_json(&plan);
    }
    match plan.is_empty() {
        true => println!("nothing to do: {} machines are as wanted", plan.kept.len()),
        false => print!("{}", coloured(&plan.to_string())),
    }
    Ok(())
}

/// `weft stop --machines`.
pub(super) fn stop(name: Option<&str>, region: Option<&str>) -> miette::Result<()> {
    let store = Store::from_env().map_err(report)?;
    let known = MachineStore::names(store.state()).map_err(|error| failed(&error))?;
    let name = match (name, known.as_slice()) {
        (Some(name), _) => name.to_owned(),
        (None, [only]) => only.clone(),
        (None, []) => return Err(miette::miette!("no machines are known here")),
        (None, _) => return Err(failed(&MachineError::Which(known))),
    };
    let fleet = Fleet::known(store.state(), &name, region).map_err(|error| failed(&error))?;
    let bar = ProgressBar::new_spinner();
    bar.enable_steady_tick(Duration::from_millis(80));
    let result = fleet.stop(&mut |progress| show(&bar, &progress));
    bar.finish_and_clear();
    let (count, cleaned) = result.map_err(|error| failed(&error))?;
    println!(
        "gave back {count} machines, {} firewalls, {} keys and {} addresses of {name}",
        cleaned.firewalls.len(),
        cleaned.keys.len(),
        cleaned.addresses.len()
    );
    Ok(())
}
