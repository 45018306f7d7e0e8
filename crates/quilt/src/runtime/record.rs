//! What a command writes down for the next one.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::address::AddressPlan;
use crate::model::Blueprint;
use crate::plan::Deployed;

/// What a command wrote down about the deployment it left behind.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Record {
    /// What was asked for, and what each container was started from.
    pub deployed: Deployed,
    /// Who has which address.
    #[serde(default)]
    pub addresses: AddressPlan,
    /// Dataplane port numbers of containers; a number stays with its container.
    #[serde(default)]
    pub ports: BTreeMap<String, u32>,
    /// The blueprint's file, as an absolute path.
    pub source: PathBuf,
    /// What containers still run as that the blueprint applied last is to take the place of; `None` when that is done.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unfinished: Option<Unfinished>,
}

/// A blueprint that another one has not taken the place of entirely.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Unfinished {
    /// It.
    pub blueprint: Blueprint,
    /// Containers that still run as it has them.
    pub containers: BTreeSet<String>,
}

impl Record {
    /// What runs, as a plan wants to know it: each container as it was started.
    pub(crate) fn running(&self) -> Deployed {
        let mut running = self.deployed.clone();
        let Some(unfinished) = &self.unfinished else { return running };
        for name in &unfinished.containers {
            let Some(was) = unfinished.blueprint.container(name) else { continue };
            match running.blueprint.containers.iter_mut().find(|container| container.name == *name) {
                Some(container) => container.clone_from(was),
                None => running.blueprint.containers.push(was.clone()),
            }
        }
        running
    }
}
