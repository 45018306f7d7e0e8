//! A cluster's beginning and end.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use rustix::process::Signal;

use super::building::{Building, make_directory, trunk_name};
use super::process::end;
use super::record::{Lock, Record, Store};
use super::{LiveError, wires};
use crate::compile::Plan;
use crate::deploy::{Deployed, Scheme};
use crate::policy::Policy;

/// How long a manager may take to end.
const GRACE: Duration = Duration::from_secs(5);

/// How a cluster is started.
#[derive(Clone, Debug)]
pub struct Options {
    /// Its name.
    pub name: String,
    /// The policy, as the file says it.
    pub text: String,
    /// weft's program, which the sites run.
    pub program: PathBuf,
    /// A number that those who send packets cannot guess.
    pub seed: u64,
    /// How long a flow is known after its last packet, in ns: no shorter than the functions know it.
    pub idle_ns: u64,
}

/// Starts what a plan says, and returns once packets flow.
///
/// # Errors
/// What cannot be; then nothing is left of it.
pub fn up(store: &Store, options: &Options, policy: &Policy, plan: &Plan) -> Result<Record, LiveError> {
    let scheme = Scheme::of_plan(policy, plan)?;
    let deployed = Deployed { idle_ns: options.idle_ns, ..Deployed::of_plan(policy, plan, options.seed)? };
    if store.load(&options.name)?.is_some() {
        return Err(LiveError::Runs(options.name.clone()));
    }
    make_directory(&store.directory(&options.name)?)?;
    let _lock = locked(store, &options.name)?;
    let (name, text) = (options.name.clone(), options.text.clone());
    let (sites, held, moving, leaving, history) = Default::default();
    let mut record =
        Record { name, policy: text, sites, held, deployed, moving, leaving, manager: None, history };
    match begin(store, options, policy, &scheme, &mut record) {
        Ok(()) => Ok(record),
        Err(error) => {
            // What it has come to is written down, and ended as any other.
            let _ = clear(store, &record);
            Err(error)
        }
    }
}

fn begin(
    store: &Store,
    options: &Options,
    policy: &Policy,
    scheme: &Scheme,
    record: &mut Record,
) -> Result<(), LiveError> {
    let (program, mut children) = (&*options.program, Vec::new());
    let mut building = Building { store, program, policy, record, children: &mut children };
    let sites = 0..=policy.hardware.servers.len();
    let started: Result<Vec<_>, LiveError> = sites.map(|site| building.start_site(site)).collect();
    for (site, started) in started?.into_iter().enumerate() {
        building.served(site, started)?;
    }
    for server in 0..policy.hardware.servers.len() {
        building.trunk(server)?;
    }
    let programs = building.record.deployed.programs(scheme);
    for (site, program) in programs.iter().enumerate() {
        building.tell(site, program)?;
        building.finish(site)?;
    }
    Ok(())
}

/// The right to manage a cluster.
pub(super) fn locked(store: &Store, name: &str) -> Result<Lock, LiveError> {
    let managed = || {
        let by = store.load(name).ok().flatten().and_then(|record| record.manager);
        LiveError::Managed { name: name.to_owned(), by: by.map(|process| process.pid) }
    };
    store.lock(name)?.ok_or_else(managed)
}

/// Ends who manages a cluster: nobody is to start again what is ended.
fn unmanage(store: &Store, name: &str) -> Result<Lock, LiveError> {
    let end = Instant::now() + GRACE;
    loop {
        match locked(store, name) {
            Err(LiveError::Managed { .. }) if Instant::now() < end => {}
            locked => return locked,
        }
        let manager = store.known(name)?.manager;
        if let Some(process) = manager.filter(|process| process.is_alive()) {
            process.kill(Signal::TERM)?;
            let _ = process.wait(GRACE);
        }
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// Ends a cluster.
///
/// # Errors
/// There is none of that name.
pub fn stop(store: &Store, name: &str) -> Result<Record, LiveError> {
    store.known(name)?;
    let _lock = unmanage(store, name)?;
    let record = store.known(name)?;
    clear(store, &record)?;
    Ok(record)
}

fn clear(store: &Store, record: &Record) -> Result<(), LiveError> {
    let sites = record.sites.iter().map(|site| (site.process, site.own_namespace));
    let held = record.held.iter().map(|held| (held.process, true));
    end(&sites.chain(held).collect::<Vec<_>>());
    for server in 0..record.sites.len() {
        let name = trunk_name(record.deployed.seed, server);
        wires::remove(&wires::End { name: &name, within: None });
    }
    store.remove(&record.name)
}
