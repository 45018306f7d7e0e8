//! The machines of a deployment, from a plan to a cluster, and back to nothing.

use std::collections::{BTreeMap, HashMap};
use std::net::IpAddr;
use std::path::Path;
use std::thread::sleep;
use std::time::{Duration, Instant};

use super::plan::{fingerprint, short_hash};
use super::provider::{Boot, Cleaned, Firewall, Found, Ground, Opening, State};
use super::{Identity, Kept, MachineError, MachinePlan, MachineStore, Provider, ProviderError, user_data};
use crate::cluster::{Cluster, Node, Target};
use crate::kubernetes::export::node_labels;
use crate::model::{Blueprint, Machine, MachineKind, Protocol, Role};

/// How long machines may take to run, and to be gone.
const RUN_LIMIT: Duration = Duration::from_secs(600);
/// Pause before the provider or the cluster is asked again how far they are; it doubles each time.
const PAUSE_MIN: Duration = Duration::from_millis(100);
/// The longest such pause.
const PAUSE_MAX: Duration = Duration::from_secs(3);
/// Most machines of one name whose tokens are tried: each was rented and given back within a day or so.
const ATTEMPTS_MAX: usize = 100;
/// Port of the API server.
const API_PORT: u16 = 6443;
/// Port of SSH.
const SSH_PORT: u16 = 22;
/// Everyone, in both families.
const EVERYONE: [&str; 2] = ["0.0.0.0/0", "::/0"];

/// What happens on the way, for whoever watches.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Progress {
    /// What is done now.
    Step(String),
    /// How many machines have joined the cluster.
    Joined {
        /// Ready nodes.
        ready: usize,
        /// Machines.
        all: usize,
    },
}

/// The machines of a deployment.
pub struct Fleet {
    store: MachineStore,
    kept: Kept,
    provider: Box<dyn Provider>,
}

impl std::fmt::Debug for Fleet {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Fleet").field("store", &self.store).finish_non_exhaustive()
    }
}

impl Fleet {
    /// The machines of a blueprint that [`super::vet`] finds nothing wrong with. Nothing is rented or written yet.
    ///
    /// # Errors
    /// When another command has them, or they are elsewhere than the blueprint says.
    pub fn of(state: &Path, blueprint: &Blueprint) -> Result<Fleet, MachineError> {
        let store = MachineStore::open(state, &blueprint.name)?;
        let first = blueprint.machines.all.first().cloned().unwrap_or_default();
        let kept = match store.read()? {
            Some(kept) if kept.provider != first.provider || kept.region != first.region => {
                return Err(MachineError::Moved {
                    name: blueprint.name.clone(),
                    before: format!("{} {}", kept.provider, kept.region),
                    after: format!("{} {}", first.provider, first.region),
                });
            }
            Some(kept) => kept,
            None => Kept { provider: first.provider, region: first.region, identity: Identity::new()? },
        };
        let provider = super::provider(&kept.provider, &kept.region)?;
        Ok(Fleet { store, kept, provider })
    }

    /// The machines that were booted for a deployment, to be given back. `region`, of Amazon, is where they are if
    /// nothing is kept here.
    ///
    /// # Errors
    /// When none are known, or another command has them.
    pub fn known(state: &Path, name: &str, region: Option<&str>) -> Result<Fleet, MachineError> {
        let is_kept = MachineStore::names(state)?.iter().any(|known| known == name);
        if !is_kept && region.is_none() {
            return Err(MachineError::NoMachines(name.to_owned()));
        }
        Fleet::with(MachineStore::open(state, name)?, region)
    }

    /// The same, to be looked at only.
    ///
    /// # Errors
    /// When none are known.
    pub fn look(state: &Path, name: &str, region: Option<&str>) -> Result<Fleet, MachineError> {
        Fleet::with(MachineStore::look(state, name), region)
    }

    fn with(store: MachineStore, region: Option<&str>) -> Result<Fleet, MachineError> {
        let kept = match (store.read()?, region) {
            (Some(kept), _) => kept,
            (None, Some(region)) => {
                Kept { provider: "Amazon".into(), region: region.to_owned(), identity: Identity::new()? }
            }
            (None, None) => return Err(MachineError::NoMachines(store.name().to_owned())),
        };
        let provider = super::provider(&kept.provider, &kept.region)?;
        Ok(Fleet { store, kept, provider })
    }

    /// The deployment.
    pub fn name(&self) -> &str {
        self.store.name()
    }

    /// Provider and region.
    pub fn place(&self) -> (&str, &str) {
        (&self.kept.provider, &self.kept.region)
    }

    /// What is there, by name; those that are gone are left out.
    ///
    /// # Errors
    /// When the provider does not say.
    pub fn machines(&mut self) -> Result<Vec<Found>, MachineError> {
        let mut all = self.provider.machines(self.store.name())?;
        all.retain(|machine| machine.state != State::Gone);
        all.sort_by(|a, b| (a.role, &a.name).cmp(&(b.role, &b.name)));
        Ok(all)
    }

    /// What has to be done.
    ///
    /// # Errors
    /// When the provider does not say what is there.
    pub fn plan(&mut self, blueprint: &Blueprint) -> Result<MachinePlan, MachineError> {
        let there = self.provider.machines(self.store.name())?;
        Ok(MachinePlan::between(&there, &blueprint.machines.all))
    }

    /// Rents what is missing, and waits until it runs. Nothing is given back yet.
    ///
    /// # Errors
    /// When the provider refuses. What was rented stays, and the next call goes on from there.
    pub fn boot(
        &mut self,
        blueprint: &Blueprint,
        admins: &[String],
        show: &mut dyn FnMut(Progress),
    ) -> Result<MachinePlan, MachineError> {
        let name = self.store.name().to_owned();
        let there = self.provider.machines(&name)?;
        if self.store.read()?.is_none() {
            let count = there.iter().filter(|machine| machine.state.is_alive()).count();
            if count > 0 {
                let (region, path) = (self.kept.region.clone(), self.store.path());
                return Err(MachineError::Foreign { name, count, region, path });
            }
            self.store.write(&self.kept)?;
        }
        let plan = MachinePlan::between(&there, &blueprint.machines.all);
        show(Progress::Step("preparing the firewall".into()));
        let ssh_key = blueprint.machines.all.iter().find_map(|machine| machine.ssh_keys.first());
        let ground =
            self.provider.prepare(&name, &firewall(blueprint, admins), ssh_key.map(String::as_str))?;
        let mut alive: BTreeMap<String, Found> = there
            .iter()
            .filter(|machine| machine.state.is_alive())
            .map(|machine| (machine.name.clone(), machine.clone()))
            .collect();
        // Masters first: the others are told where they are.
        let (masters, workers): (Vec<_>, Vec<_>) =
            plan.boots.iter().partition(|(_, machine)| machine.role == Role::Master);
        for (machine_name, machine) in masters.into_iter().chain(workers) {
            show(Progress::Step(format!("booting {machine_name}")));
            let join = alive
                .values()
                .filter(|found| found.role == Role::Master && !is_surplus(&plan, found))
                .chain(alive.values().filter(|found| found.role == Role::Master))
                .find_map(|found| found.private_address);
            let max_price = blueprint.machines.max_price_micros;
            let found = self.boot_one(&there, &ground, machine_name, machine, join, max_price)?;
            alive.insert(machine_name.clone(), found);
        }
        self.wait_running(&plan, show)?;
        for (machine_name, floating) in &plan.floating {
            if let Some(found) = self.machines()?.iter().find(|found| found.name == *machine_name)
                && !floating.is_none()
            {
                show(Progress::Step(format!("giving {machine_name} its address")));
                self.provider.float(&name, found, floating)?;
            }
        }
        Ok(plan)
    }

    fn boot_one(
        &mut self,
        there: &[Found],
        ground: &Ground,
        name: &str,
        machine: &Machine,
        join: Option<IpAddr>,
        max_price_micros: Option<u64>,
    ) -> Result<Found, MachineError> {
        let deployment = self.store.name().to_owned();
        let print = fingerprint(machine);
        // A token that was used for a machine which is gone boots no other one.
        let gone = there.iter().filter(|found| found.name == name && !found.state.is_alive()).count();
        for attempt in gone..gone + ATTEMPTS_MAX {
            let token = short_hash(&[&self.kept.identity.nonce, name, &print, &attempt.to_string()], 64);
            let node = format!("{name}-{}", &token[..8]);
            let keys = &machine.ssh_keys;
            let boot = Boot {
                name: name.to_owned(),
                user_data: user_data(&self.kept.identity, (name, &node), machine.role, join, keys)?,
                node,
                role: machine.role,
                size: machine.size.clone(),
                disk_gib: machine.disk_gib,
                is_spot: machine.is_spot,
                max_price_micros: max_price_micros.filter(|_| machine.is_spot),
                fingerprint: print.clone(),
                token,
            };
            match self.provider.boot(&deployment, ground, &boot) {
                Err(ProviderError::TokenSpent) => {}
                other => return Ok(other?),
            }
        }
        Err(ProviderError::TokenSpent.into())
    }

    /// Waits until every machine that is to stay runs and has its addresses.
    fn wait_running(
        &mut self,
        plan: &MachinePlan,
        show: &mut dyn FnMut(Progress),
    ) -> Result<(), MachineError> {
        let start = Instant::now();
        let mut pauses = Pauses::default();
        loop {
            let found: HashMap<String, Found> =
                self.machines()?.into_iter().map(|found| (found.name.clone(), found)).collect();
            let wanted = plan.kept.iter().chain(plan.boots.iter().map(|(name, _)| name));
            let runs = |found: &Found| {
                found.state == State::Running
                    && found.private_address.is_some()
                    && found.public_address.is_some()
            };
            let missing: Vec<String> =
                wanted.filter(|name| !found.get(*name).is_some_and(runs)).cloned().collect();
            if missing.is_empty() {
                return Ok(());
            }
            if start.elapsed() > RUN_LIMIT {
                return Err(MachineError::NotRunning {
                    seconds: start.elapsed().as_secs(),
                    machines: missing,
                });
            }
            show(Progress::Step(format!("waiting for {}", missing.join(", "))));
            pauses.sleep();
        }
    }

    /// Waits until every machine is a node of the cluster that is ready, and has the labels that rules of placement go
    /// by. `server` is where the API server is reached in place of a master's own address.
    ///
    /// # Errors
    /// When they are not within `limit`, or the cluster refuses.
    pub fn join(
        &mut self,
        plan: &MachinePlan,
        server: Option<&str>,
        limit: Duration,
        show: &mut dyn FnMut(Progress),
    ) -> Result<Cluster, MachineError> {
        let start = Instant::now();
        let mut pauses = Pauses::default();
        let mut reason;
        loop {
            let machines: Vec<Found> =
                self.machines()?.into_iter().filter(|machine| machine.state.is_alive()).collect();
            let cluster = self.cluster(&machines, server)?;
            let mut missing: Vec<String> = machines.iter().map(|machine| machine.name.clone()).collect();
            reason = None;
            let mut nodes = Vec::new();
            match cluster.nodes() {
                Ok(found) => {
                    nodes = found;
                    let is_ready =
                        |machine: &Found| nodes.iter().any(|node| node.is_ready && node.name == machine.node);
                    missing = machines
                        .iter()
                        .filter(|machine| !is_ready(machine))
                        .map(|machine| machine.name.clone())
                        .collect();
                }
                Err(error) => reason = Some(error.to_string()),
            }
            show(Progress::Joined { ready: machines.len() - missing.len(), all: machines.len() });
            if missing.is_empty() {
                self.label(plan, &machines, &nodes, &cluster)?;
                return Ok(cluster);
            }
            if start.elapsed() >= limit {
                let seconds = start.elapsed().as_secs();
                return Err(MachineError::NotJoined { seconds, machines: missing, reason });
            }
            pauses.sleep();
        }
    }

    /// Gives nodes the labels that the manifests' affinities ask for. k3s calls every size `k3s`, so that here it is said
    /// again.
    fn label(
        &self,
        plan: &MachinePlan,
        machines: &[Found],
        nodes: &[Node],
        cluster: &Cluster,
    ) -> Result<(), MachineError> {
        for machine in machines {
            let lasts = plan.floating.iter().any(|(name, of)| *name == machine.name && !of.is_none());
            let kind = MachineKind {
                provider: self.kept.provider.clone(),
                size: machine.size.clone(),
                region: self.kept.region.clone(),
                floating_ip: machine
                    .public_address
                    .filter(|_| lasts)
                    .map_or_else(String::new, |address| address.to_string()),
            };
            let labels = node_labels(&kind);
            let has = |node: &Node| labels.iter().all(|(key, value)| node.labels.get(key) == Some(value));
            if nodes.iter().any(|node| node.name == machine.node && !has(node)) {
                cluster.label_node(&machine.node, &labels)?;
            }
        }
        Ok(())
    }

    fn cluster(&self, machines: &[Found], server: Option<&str>) -> Result<Cluster, MachineError> {
        let masters = machines.iter().filter(|machine| machine.role == Role::Master);
        let address = masters.filter_map(|machine| machine.public_address).next();
        let own = match address {
            Some(IpAddr::V6(address)) => format!("https://[{address}]:{API_PORT}"),
            Some(address) => format!("https://{address}:{API_PORT}"),
            None => return Err(MachineError::NoMachines(self.store.name().to_owned())),
        };
        let text = self.kept.identity.kubeconfig(self.store.name(), server.unwrap_or(&own));
        self.store.write_kubeconfig(&text)?;
        let target = Target { kubeconfig: Some(self.store.kubeconfig_path()), ..Target::default() };
        Ok(Cluster::connect(&target)?)
    }

    /// Where the kubeconfig lies.
    pub fn kubeconfig(&self) -> std::path::PathBuf {
        self.store.kubeconfig_path()
    }

    /// Takes machines that are not wanted any more, or are gone already, out of the cluster and gives them back.
    ///
    /// # Errors
    /// When the cluster or the provider refuses.
    pub fn retire(
        &mut self,
        plan: &MachinePlan,
        cluster: &Cluster,
        show: &mut dyn FnMut(Progress),
    ) -> Result<(), MachineError> {
        for machine in &plan.surplus {
            show(Progress::Step(format!("taking {} out of the cluster", machine.name)));
            cluster.remove_node(&machine.node)?;
        }
        let alive: Vec<Found> =
            self.machines()?.into_iter().filter(|machine| machine.state.is_alive()).collect();
        for node in cluster.nodes()?.into_iter().filter(|node| node.machine.is_some()) {
            if !alive.iter().any(|machine| machine.node == node.name) {
                cluster.remove_node(&node.name)?;
            }
        }
        let ids: Vec<String> = plan.surplus.iter().map(|machine| machine.id.clone()).collect();
        if !ids.is_empty() {
            self.provider.terminate(&ids)?;
        }
        self.provider.release(self.store.name())?;
        Ok(())
    }

    /// Gives everything back and forgets the cluster. Says how many machines, and what else.
    ///
    /// # Errors
    /// When the provider refuses; the next call goes on from there.
    pub fn stop(mut self, show: &mut dyn FnMut(Progress)) -> Result<(usize, Cleaned), MachineError> {
        let name = self.store.name().to_owned();
        let alive: Vec<String> = self
            .machines()?
            .into_iter()
            .filter(|machine| machine.state.is_alive())
            .map(|machine| machine.id)
            .collect();
        if !alive.is_empty() {
            show(Progress::Step(format!("giving back {} machines", alive.len())));
            self.provider.terminate(&alive)?;
        }
        let start = Instant::now();
        let mut pauses = Pauses::default();
        loop {
            // A firewall can only go when no machine stands behind it any more.
            let left = self.machines()?;
            if left.is_empty() {
                break;
            }
            if start.elapsed() > RUN_LIMIT {
                let machines = left.into_iter().map(|machine| machine.name).collect();
                return Err(MachineError::NotRunning { seconds: start.elapsed().as_secs(), machines });
            }
            show(Progress::Step(format!("waiting for {} machines to be gone", left.len())));
            pauses.sleep();
        }
        let cleaned = self.provider.clean(&name)?;
        self.store.remove()?;
        Ok((alive.len(), cleaned))
    }
}

/// The pauses of whoever waits: short at first, so that what is quick is seen soon, and then longer.
struct Pauses(Duration);

impl Default for Pauses {
    fn default() -> Self {
        Self(PAUSE_MIN)
    }
}

impl Pauses {
    fn sleep(&mut self) {
        sleep(self.0);
        self.0 = (self.0 * 2).min(PAUSE_MAX);
    }
}

fn is_surplus(plan: &MachinePlan, found: &Found) -> bool {
    plan.surplus.iter().any(|one| one.id == found.id)
}

/// What is open: the API server and SSH to whoever administers, published ports to everyone.
fn firewall(blueprint: &Blueprint, admins: &[String]) -> Firewall {
    let mut openings = Vec::new();
    for network in blueprint.machines.admins.iter().chain(admins) {
        for port in [API_PORT, SSH_PORT] {
            openings.push(Opening { protocol: Protocol::Tcp, port, network: network.clone() });
        }
    }
    for publish in &blueprint.publishes {
        for network in EVERYONE {
            let (protocol, port) = (publish.protocol, publish.host_port);
            openings.push(Opening { protocol, port, network: network.to_owned() });
        }
    }
    openings.sort();
    openings.dedup();
    Firewall { openings }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Machines, Party, Publish, Span};

    #[test]
    fn the_firewall_opens_what_is_published_and_the_api_server_to_admins() {
        let publish = Publish {
            to: Party::Container("a".into()),
            host_port: 53,
            container_port: 5353,
            protocol: Protocol::Udp,
            through: Vec::new(),
            span: Span::default(),
        };
        let machines = Machines { admins: vec!["203.0.113.7/32".into()], ..Machines::default() };
        let blueprint = Blueprint { publishes: vec![publish], machines, ..Blueprint::default() };
        let open: Vec<String> = firewall(&blueprint, &["203.0.113.7/32".to_owned()])
            .openings
            .iter()
            .map(|one| format!("{} {}/{}", one.network, one.port, one.protocol))
            .collect();
        assert_eq!(
            open,
            ["203.0.113.7/32 22/tcp", "203.0.113.7/32 6443/tcp", "0.0.0.0/0 53/udp", "::/0 53/udp"]
        );
    }
}
