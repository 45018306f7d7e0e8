//! From a plan to what each data plane is told.
//!
//! ```text
//!  Policy, Plan ─► Scheme     what never changes while it runs: pipelets, rules, attributes
//!                     │
//!  Deployed ──────────┴────► programs   one for each site: the switch, then the servers
//!  which instances there are, who has which hashes, what is moving
//! ```
//!
//! Rules of the plan lead to instances by hash. Here they lead to functions, and each site knows which instance has which hashes:
//! then a range moves by changing one thing on every site. Nothing here touches a wire.

mod growing;
mod moving;
mod scheme;

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::compile::Plan;
use crate::key::HashRange;
use crate::plane::{GATES, proto};
use crate::policy::{Kind, Policy};

pub use growing::{back, free_cores, joins, out, server_for};
pub use moving::{Moving, Seen};
pub use scheme::Scheme;

/// Instances of a site: workers of a software NIC beside the one that has the data plane.
const WORKERS_MAX: u16 = 63;
/// Gates of a function that has no attributes: its inside and its outside.
const SIDES: u16 = 2;

/// Why a plan cannot be brought to life.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum DeployError {
    /// A function of which nobody says what runs.
    #[error("`{0}` has no `run`: what is it? `run: [firewall, \"rule=permit out any any\"]`")]
    NoRun(String),
    /// A port of which nobody says what it is.
    #[error("the port `{0}` has no `at`: what is it? `at: \"veth:eth1\"`")]
    NoPort(String),
    /// A native function that is no function of ours.
    #[error("`{function}`: {problem}")]
    Run {
        /// The function.
        function: String,
        /// What is wrong.
        problem: String,
    },
    /// More attributes than a tag has bits.
    #[error("{0} attributes travel with packets, of at most 64")]
    Attributes(usize),
    /// A site has too many instances and ports for one data plane.
    #[error("`{0}` has more than {GATES} gates or {WORKERS_MAX} instances")]
    Full(String),
    /// Instances that share a key which they change.
    #[error(
        "`{0}` changes the fields that its {1} instances share packets by: it must be one (a larger capacity, or scalable: false)"
    )]
    Rewrites(String, usize),
}

/// Which data plane: 0 is the switch, 1 the first server.
pub type SiteId = usize;

/// An instance that runs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Placed {
    /// Its function, by place.
    pub function: usize,
    /// Which of the function's instances, from 1.
    pub number: u32,
    /// Where it is.
    pub site: SiteId,
    /// The first gate of the data plane that it has.
    pub gate: u16,
    /// The worker of its software NIC that it has to itself.
    pub worker: u16,
    /// New flows of a range that go to another instance.
    pub detour: Option<(HashRange, u32)>,
    /// Flows that are sent to another instance.
    pub back: Option<(BTreeSet<u64>, u32)>,
}

/// Who has which of a function's hashes.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Shared {
    /// By start, all hashes once.
    pub parts: Vec<(HashRange, u32)>,
    /// Flows that go elsewhere.
    pub exceptions: BTreeMap<u64, u32>,
}

/// Everything that changes while it runs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Deployed {
    /// Of the manager that speaks.
    pub epoch: u64,
    /// Keys the hashes.
    pub seed: u64,
    /// How long flows are known after their last packet, in ns.
    pub idle_ns: u64,
    /// Flows known of each instance.
    pub flows: u32,
    /// By function.
    pub functions: Vec<Shared>,
    /// By number.
    pub instances: BTreeMap<u32, Placed>,
}

impl Deployed {
    /// What a plan says.
    ///
    /// # Errors
    /// What cannot run.
    pub fn of_plan(policy: &Policy, plan: &Plan, seed: u64) -> Result<Self, DeployError> {
        runs(policy)?;
        let mut deployed = Self {
            epoch: 1,
            seed,
            idle_ns: 300_000_000_000,
            flows: 1 << 16,
            functions: vec![Shared::default(); policy.functions.len()],
            instances: BTreeMap::new(),
        };
        for (id, (instance, server)) in (0..).zip(plan.igraph.instances.iter().zip(&plan.servers)) {
            let function = &policy.functions[instance.function];
            if instance.range != HashRange::ALL
                && function.rewrites.has_any(plan.igraph.keys[instance.function])
            {
                let count = plan.igraph.of(instance.function).count();
                return Err(DeployError::Rewrites(function.name.clone(), count));
            }
            let site = server.map_or(0, |server| server + 1);
            deployed.functions[instance.function].parts.push((instance.range, id));
            deployed.add(policy, id, instance.function, instance.number, site)?;
        }
        Ok(deployed)
    }

    /// Adds an instance, without hashes yet.
    ///
    /// # Errors
    /// The site has no gates left.
    pub fn add(
        &mut self,
        policy: &Policy,
        id: u32,
        function: usize,
        number: u32,
        site: SiteId,
    ) -> Result<(), DeployError> {
        let wanted = gates(policy, function);
        let taken = |gate: u16| {
            let here = self.instances.values().filter(|one| one.site == site);
            here.clone().any(|one| gate < one.gate + gates(policy, one.function) && one.gate < gate + wanted)
        };
        let first = if site == 0 { policy.hardware.ports.len() + policy.hardware.servers.len() } else { 1 };
        let free = (first as u16..GATES.saturating_sub(wanted)).find(|gate| !taken(*gate));
        let busy = |worker: u16| self.instances.values().any(|one| one.site == site && one.worker == worker);
        let worker = (1..=WORKERS_MAX).find(|worker| !busy(*worker));
        let (gate, worker) =
            free.zip(worker).ok_or_else(|| DeployError::Full(site_name(policy, site).to_owned()))?;
        self.instances.insert(id, Placed { function, number, site, gate, worker, detour: None, back: None });
        Ok(())
    }

    /// `ids.2`.
    pub fn name(&self, policy: &Policy, id: u32) -> String {
        match self.instances.get(&id) {
            Some(one) => format!("{}.{}", policy.functions[one.function].name, one.number),
            None => format!("instance {id}"),
        }
    }

    /// The hashes that an instance has.
    pub fn parts_of(&self, id: u32) -> impl Iterator<Item = HashRange> {
        let all = self.functions.iter().flat_map(|shared| &shared.parts);
        all.filter(move |(_, instance)| *instance == id).map(|(range, _)| *range)
    }

    /// What each site is told: the switch, then the servers.
    pub fn programs(&self, scheme: &Scheme) -> Vec<proto::Program> {
        (0..=scheme.servers).map(|site| scheme.program(self, site)).collect()
    }
}

/// The name of a site.
pub fn site_name(policy: &Policy, site: SiteId) -> &str {
    match site.checked_sub(1) {
        None => &policy.hardware.switch.name,
        Some(server) => &policy.hardware.servers[server].name,
    }
}

/// Gates that an instance of a function has: its inside, its outside, one for each attribute.
pub fn gates(policy: &Policy, function: usize) -> u16 {
    SIDES + policy.functions[function].attributes.len() as u16
}

/// What a gate of a function is called, as an interface of a legacy one.
pub fn gate_name(policy: &Policy, function: usize, gate: u16) -> &str {
    match gate {
        0 => "inside",
        1 => "outside",
        other => &policy.functions[function].attributes[usize::from(other - SIDES)].0,
    }
}

/// Whether it is said of everything what it really is.
fn runs(policy: &Policy) -> Result<(), DeployError> {
    for port in &policy.hardware.ports {
        if port.at.is_none() {
            return Err(DeployError::NoPort(port.name.clone()));
        }
    }
    let used = |function: usize| {
        let ends =
            policy.pipelets.iter().flat_map(|pipelet| &pipelet.edges).flat_map(|edge| [edge.from, edge.to]);
        ends.into_iter().any(|end| end == crate::policy::End::Function(function))
    };
    for (place, function) in policy.functions.iter().enumerate().filter(|(place, _)| used(*place)) {
        let name = || function.name.clone();
        let Some(first) = function.run.first() else { return Err(DeployError::NoRun(name())) };
        if function.kind == Kind::Native && !scheme::is_native(first) {
            let problem = format!("there is no network function `{first}`: `weft netbricks list` has them");
            return Err(DeployError::Run { function: name(), problem });
        }
        let long = (SIDES..gates(policy, place))
            .map(|gate| gate_name(policy, place, gate))
            .find(|name| name.len() > 15);
        if let Some(long) = long.filter(|_| function.kind == Kind::Legacy) {
            let problem = format!("`{long}` is too long for the name of an interface");
            return Err(DeployError::Run { function: name(), problem });
        }
    }
    Ok(())
}
