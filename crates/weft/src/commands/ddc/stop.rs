//! `weft ddc stop`.

use std::time::Duration;

use clap::Args;
use host::netns;
use rustix::process::Signal;

use super::place::{Place, Record};

/// How long a router may take to end.
const GRACE: Duration = Duration::from_secs(3);

/// End a network that `weft ddc run` has started: its processes, its namespaces, its files.
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  weft ddc stop --network lab")]
pub(crate) struct Stop {
    /// What it is called
    #[arg(long, value_name = "NAME", default_value = "ddc")]
    network: String,
}

impl Stop {
    pub(crate) fn run(&self) -> miette::Result<()> {
        let place = Place::of(&self.network)?;
        let record = place.expect()?;
        take_down(&place, &record);
        println!("stopped {} ({} routers, {} hosts)", place.name, record.routers.len(), record.hosts.len());
        Ok(())
    }
}

/// Ends what is in the record. What is gone already is no error.
pub(super) fn take_down(place: &Place, record: &Record) {
    let processes: Vec<_> = record.routers.iter().filter_map(|router| router.process).collect();
    for process in &processes {
        let _ = process.kill(Signal::TERM);
    }
    for process in &processes {
        if !process.wait(GRACE) {
            let _ = process.kill(Signal::KILL);
        }
    }
    let namespaces = record.routers.iter().map(|router| &router.namespace);
    for namespace in namespaces.chain(record.hosts.iter().map(|host| &host.namespace)) {
        if let Err(error) = netns::remove_named(namespace) {
            eprintln!("warning: {error}");
        }
    }
    if let Err(error) = std::fs::remove_dir_all(&place.directory) {
        eprintln!("warning: {}: {error}", place.directory.display());
    }
}
