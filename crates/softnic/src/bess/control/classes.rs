//! Traffic classes.

use std::time::UNIX_EPOCH;

use rustix::io::Errno;

use super::{Bess, State};
use crate::bess::{Failure, pb};
use crate::engine::{ClassError, ClassKind, ClassSnapshot, Edit, Parent, Policy, Rank, Resource};

use pb::traffic_class::Arg;

impl From<ClassError> for Failure {
    fn from(error: ClassError) -> Self {
        let code = match &error {
            ClassError::NoClass(_)
            | ClassError::NoParent(_)
            | ClassError::NoModule(_)
            | ClassError::NoTask { .. } => Errno::NOENT,
            ClassError::UnderLeaf(_) => Errno::PERM,
            ClassError::TooMany(_) => Errno::NOMEM,
            _ => Errno::INVAL,
        };
        Self::new(code, error.to_string())
    }
}

fn resource(class: &pb::TrafficClass) -> Result<Resource, Failure> {
    Resource::find(&class.resource)
        .ok_or_else(|| Failure::invalid(format!("invalid resource '{}'", class.resource)))
}

/// What a map says of a resource, 0 if it says nothing.
fn amount(map: &std::collections::HashMap<String, i64>, resource: Resource) -> Result<Option<u64>, Failure> {
    let Some(&amount) = map.get(resource.name()) else { return Ok(None) };
    let amount = u64::try_from(amount)
        .map_err(|_| Failure::invalid(format!("{amount} {resource}s are less than none")))?;
    Ok(Some(amount))
}

fn policy(class: &pb::TrafficClass) -> Result<Policy, Failure> {
    Ok(match class.policy.as_str() {
        "priority" => Policy::Priority,
        "weighted_fair" => Policy::WeightedFair { resource: resource(class)? },
        "round_robin" => Policy::RoundRobin,
        "rate_limit" => {
            let resource = resource(class)?;
            Policy::RateLimit {
                resource,
                limit: amount(&class.limit, resource)?.unwrap_or(0),
                max_burst: amount(&class.max_burst, resource)?.unwrap_or(0),
            }
        }
        "leaf" => return Err(Failure::invalid("leaves come with their tasks: UpdateTcParent attaches one")),
        other => return Err(Failure::invalid(format!("invalid traffic policy '{other}'"))),
    })
}

impl Bess {
    pub(crate) fn reset_tcs(&self, _: &pb::EmptyRequest) -> Result<pb::EmptyResponse, Failure> {
        let state = self.lock();
        let attached = |class: &&ClassSnapshot| {
            matches!(class.kind, ClassKind::Leaf { .. }) && state.workers.contains(class.worker)
        };
        if self.engine.classes().iter().any(|class| attached(&class)) {
            return Err(Failure::busy("traffic classes still have tasks"));
        }
        self.engine.remove_classes();
        Ok(pb::EmptyResponse::default())
    }

    pub(crate) fn list_tcs(&self, request: &pb::ListTcsRequest) -> Result<pb::ListTcsResponse, Failure> {
        if request.wid >= crate::engine::WORKERS_MAX as i64 {
            return Err(Failure::invalid(format!("no worker has number {}", request.wid)));
        }
        let state = self.lock();
        let wanted = |class: &ClassSnapshot| {
            state.workers.contains(class.worker) && (request.wid < 0 || class.worker as i64 == request.wid)
        };
        let classes = self.engine.classes();
        let classes_status = classes.into_iter().filter(wanted).map(status).collect();
        Ok(pb::ListTcsResponse { error: None, classes_status })
    }

    pub(crate) fn check_scheduling_constraints(
        &self,
        _: &pb::EmptyRequest,
    ) -> Result<pb::CheckSchedulingConstraintsResponse, Failure> {
        let mut state = self.lock();
        self.adopt(&mut state)?;
        // All workers are on one socket, so nothing can be on a wrong one.
        let crowded = self.crowded(&state);
        let modules = crowded
            .into_iter()
            .map(|name| pb::check_scheduling_constraints_response::ViolatingModule { name });
        let modules: Vec<_> = modules.collect();
        let fatal = !modules.is_empty();
        Ok(pb::CheckSchedulingConstraintsResponse { error: None, fatal, violations: Vec::new(), modules })
    }

    pub(crate) fn add_tc(&self, request: &pb::AddTcRequest) -> Result<pb::EmptyResponse, Failure> {
        let class = request.class.clone().unwrap_or_default();
        if class.name.is_empty() {
            return Err(Failure::invalid("missing 'name' field"));
        }
        let policy = policy(&class)?;
        let mut state = self.lock();
        self.or_as_before(&mut state, |state| {
            let parent = self.parent(state, &class)?;
            Ok(self.engine.add_class(&class.name, policy, parent)?)
        })?;
        Ok(pb::EmptyResponse::default())
    }

    /// Where a class or a task is to stand.
    fn parent(&self, state: &mut State, class: &pb::TrafficClass) -> Result<Parent, Failure> {
        if class.parent.is_empty() {
            return Ok(Parent::worker(self.worker(state, class.wid)?));
        }
        if class.wid != -1 {
            return Err(Failure::invalid("both 'parent' and 'wid' have been specified"));
        }
        let parent = Parent::class(class.parent.clone());
        let number = |number: i64, what: &str| {
            u32::try_from(number).map_err(|_| Failure::invalid(format!("{number} is no {what}")))
        };
        Ok(match class.arg {
            None => parent,
            Some(Arg::Priority(priority)) => parent.priority(number(priority, "priority")?),
            Some(Arg::Share(share)) => parent.share(number(share, "share")?),
        })
    }

    /// The class that a message means: by its name, or as the leaf of a task.
    fn find_class(&self, state: &State, class: &pb::TrafficClass) -> Result<ClassSnapshot, Failure> {
        let classes = self.engine.classes();
        if !class.name.is_empty() {
            let found = classes.into_iter().find(|known| known.name == class.name);
            return found.ok_or_else(|| Failure::not_found(format!("tc '{}' doesn't exist", class.name)));
        }
        if class.leaf_module_name.is_empty() {
            return Err(Failure::invalid("one of 'name' or 'leaf_module_name' must be specified"));
        }
        state.built(&class.leaf_module_name)?;
        let wanted = class.leaf_module_taskid;
        let leaf = |known: &ClassSnapshot| match &known.kind {
            ClassKind::Leaf { module, task } => *module == class.leaf_module_name && *task as u64 == wanted,
            ClassKind::Inner(_) => false,
        };
        let found = classes.into_iter().find(leaf);
        found.ok_or_else(|| {
            Failure::not_found(format!("task {}:{wanted} does not exist", class.leaf_module_name))
        })
    }

    pub(crate) fn update_tc_params(
        &self,
        request: &pb::UpdateTcParamsRequest,
    ) -> Result<pb::EmptyResponse, Failure> {
        let class = request.class.clone().unwrap_or_default();
        let state = self.lock();
        let known = self.find_class(&state, &class)?;
        let policy = match known.kind {
            ClassKind::Inner(Policy::RateLimit { limit, max_burst, .. }) => {
                let resource = resource(&class)?;
                Policy::RateLimit {
                    resource,
                    limit: amount(&class.limit, resource)?.unwrap_or(limit),
                    max_burst: amount(&class.max_burst, resource)?.unwrap_or(max_burst),
                }
            }
            ClassKind::Inner(Policy::WeightedFair { .. }) => {
                Policy::WeightedFair { resource: resource(&class)? }
            }
            _ => return Err(Failure::invalid("only 'rate_limit' and 'weighted_fair' can be updated")),
        };
        self.engine.update_class(&known.name, policy)?;
        Ok(pb::EmptyResponse::default())
    }

    pub(crate) fn update_tc_parent(
        &self,
        request: &pb::UpdateTcParentRequest,
    ) -> Result<pb::EmptyResponse, Failure> {
        let class = request.class.clone().unwrap_or_default();
        let mut state = self.lock();
        let known = self.find_class(&state, &class)?;
        self.or_as_before(&mut state, |state| {
            let parent = self.parent(state, &class)?;
            match &known.kind {
                ClassKind::Leaf { module, task } => self.attach(module, *task, parent),
                ClassKind::Inner(_) => Ok(self.engine.move_class(&known.name, parent)?),
            }
        })?;
        self.place(&state)?;
        Ok(pb::EmptyResponse::default())
    }

    /// Gives a task its place, and in the same moment the modules that it leads to their worker, as far as the place is in
    /// the list of classes, which leaves out the top of a worker that has one class.
    fn attach(&self, module: &str, task: usize, parent: Parent) -> Result<(), Failure> {
        let worker = match &parent {
            Parent::Worker(worker) => Some(*worker),
            Parent::Class { name, .. } => {
                let classes = self.engine.classes();
                classes.iter().find(|class| class.name == *name).map(|class| class.worker)
            }
        };
        let mut graph = self.engine.graph();
        if let Some((found, worker)) = graph.iter_mut().find(|found| found.name == module).zip(worker) {
            found.worker = worker;
        }
        self.place_with(Edit::new().attach_task(module, task, parent), &graph)
    }

    pub(crate) fn get_tc_stats(
        &self,
        request: &pb::GetTcStatsRequest,
    ) -> Result<pb::GetTcStatsResponse, Failure> {
        if request.name.is_empty() {
            return Err(Failure::invalid("the argument must be a class's name"));
        }
        let stats = self.engine.class_stats(&request.name)?;
        Ok(pb::GetTcStatsResponse {
            error: None,
            timestamp: stats.at.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs_f64(),
            count: stats.usage.count,
            cycles: stats.usage.cycles,
            packets: stats.usage.packets,
            bits: stats.usage.bits,
        })
    }
}

fn status(class: ClassSnapshot) -> pb::list_tcs_response::TrafficClassStatus {
    pb::list_tcs_response::TrafficClassStatus {
        class: Some(traffic_class(&class)),
        parent: class.parent.unwrap_or_default(),
    }
}

/// A class as clients see it, but where it stands.
pub(in crate::bess) fn traffic_class(class: &ClassSnapshot) -> pb::TrafficClass {
    let mut listed = pb::TrafficClass {
        name: class.name.clone(),
        blocked: class.blocked,
        policy: class.kind.policy().to_owned(),
        wid: class.worker as i64,
        arg: match class.rank {
            Rank::Equal => None,
            Rank::Priority(priority) => Some(Arg::Priority(i64::from(priority))),
            Rank::Share(share) => Some(Arg::Share(i64::from(share))),
        },
        ..Default::default()
    };
    match &class.kind {
        ClassKind::Leaf { module, task } => {
            listed.leaf_module_name.clone_from(module);
            listed.leaf_module_taskid = *task as u64;
        }
        ClassKind::Inner(Policy::RateLimit { resource, limit, max_burst }) => {
            listed.limit.insert(resource.name().to_owned(), i64::try_from(*limit).unwrap_or(i64::MAX));
            listed
                .max_burst
                .insert(resource.name().to_owned(), i64::try_from(*max_burst).unwrap_or(i64::MAX));
        }
        ClassKind::Inner(_) => {}
    }
    listed
}
