//! How far the containers of a deployment are, and why one does not become ready.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use kube_core::DynamicObject;
use serde::Serialize;
use serde_json::Value;

use super::kinds::{DEPLOYMENT, JOB, POD};
use super::{CONTAINER, Cluster, ClusterError, Deployment, Progress, label, name};

/// How often it is looked.
const PAUSE: Duration = Duration::from_millis(500);
/// Most containers that an error names.
const STUCK_SHOWN_MAX: usize = 10;
/// Longest reason that is shown, in characters: some repeat the whole log of a failed start.
const REASON_MAX: usize = 300;

/// How far a workload is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum State {
    /// Pods are missing, old, or not ready.
    Waiting,
    /// All pods are ready.
    Ready,
    /// A job whose pods have succeeded.
    Done,
    /// It will not become ready by itself.
    Failed,
}

/// How far a `Deployment` or `Job` is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Rollout {
    /// Its name.
    pub name: String,
    /// Pods that are ready and as wanted; of a job, those that have started.
    pub ready: u64,
    /// Pods that are wanted.
    pub desired: u64,
    /// How far that is.
    pub state: State,
    /// Why a pod is not ready, where the cluster says so.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

impl Cluster {
    /// Waits until all containers of a deployment are ready. `show` is called when something has changed.
    ///
    /// # Errors
    /// When they are not within `limit`, or a job has failed: with the reason of each.
    pub fn wait(
        &self,
        deployment: Deployment<'_>,
        limit: Duration,
        show: &mut dyn FnMut(Progress<'_>),
    ) -> Result<Vec<Rollout>, ClusterError> {
        self.runtime.block_on(async {
            let start = Instant::now();
            let mut shown = Vec::new();
            loop {
                let rollouts = self.rollouts(deployment).await?;
                if rollouts != shown {
                    show(Progress::Rollout(&rollouts));
                    shown.clone_from(&rollouts);
                }
                let is_over = |one: &Rollout| matches!(one.state, State::Ready | State::Done);
                if rollouts.iter().all(is_over) {
                    return Ok(rollouts);
                }
                let has_failed = rollouts.iter().any(|one| one.state == State::Failed)
                    && rollouts.iter().all(|one| one.state != State::Waiting);
                if has_failed || start.elapsed() >= limit {
                    let stuck = rollouts.iter().filter(|one| !is_over(one)).take(STUCK_SHOWN_MAX);
                    let stuck = stuck.map(ToString::to_string).collect();
                    return Err(ClusterError::NotReady { seconds: start.elapsed().as_secs(), stuck });
                }
                tokio::time::sleep(PAUSE).await;
            }
        })
    }

    /// How far the containers of a deployment are now.
    ///
    /// # Errors
    /// When the cluster does not say.
    pub fn status(&self, deployment: Deployment<'_>) -> Result<Vec<Rollout>, ClusterError> {
        self.runtime.block_on(self.rollouts(deployment))
    }

    async fn rollouts(&self, deployment: Deployment<'_>) -> Result<Vec<Rollout>, ClusterError> {
        let (namespace, selector) = (Some(deployment.namespace), deployment.selector());
        let workloads = self.list(DEPLOYMENT, namespace, &selector).await?.unwrap_or_default();
        let jobs = self.list(JOB, namespace, &selector).await?.unwrap_or_default();
        let mut rollouts: Vec<Rollout> = workloads.iter().map(of_deployment).collect();
        rollouts.extend(jobs.iter().map(of_job));
        if rollouts.iter().any(|one| matches!(one.state, State::Waiting | State::Failed)) {
            let pods = self.list(POD, namespace, CONTAINER).await?.unwrap_or_default();
            let mut reasons: BTreeMap<&str, String> = BTreeMap::new();
            for pod in &pods {
                if let (Some(of), Some(reason)) = (label(pod, CONTAINER), stuck(pod)) {
                    reasons.entry(of).or_insert(reason);
                }
            }
            for one in &mut rollouts {
                if one.state == State::Waiting || one.state == State::Failed {
                    let found = reasons.get(one.name.as_str()).cloned();
                    one.reason = found.or_else(|| one.reason.take());
                }
            }
        }
        Ok(rollouts)
    }
}

impl std::fmt::Display for Rollout {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} {}/{}", self.name, self.ready, self.desired)?;
        match &self.reason {
            Some(reason) => write!(f, " ({reason})"),
            None => Ok(()),
        }
    }
}

fn number(value: &Value) -> u64 {
    value.as_u64().unwrap_or_default()
}

/// A deployment is ready when its controller has seen what is wanted and no pod of before is left.
fn of_deployment(object: &DynamicObject) -> Rollout {
    let (spec, status) = (&object.data["spec"], &object.data["status"]);
    let desired = spec["replicas"].as_u64().unwrap_or(1);
    let is_seen =
        status["observedGeneration"].as_i64().unwrap_or_default() >= object.metadata.generation.unwrap_or(1);
    let (updated, available) = (number(&status["updatedReplicas"]), number(&status["availableReplicas"]));
    let ready = if is_seen { updated.min(available) } else { 0 };
    let is_ready = is_seen && ready == desired && number(&status["replicas"]) == desired;
    let condition = |kind: &str, value: &str| {
        let conditions = status["conditions"].as_array()?;
        conditions.iter().find(|one| one["type"] == kind && one["status"] == value)
    };
    let failed = condition("Progressing", "False").or_else(|| condition("ReplicaFailure", "True"));
    Rollout {
        name: name(object).to_owned(),
        ready,
        desired,
        // Even after its deadline a deployment becomes ready when what hinders it is gone: it is waited for.
        state: if is_ready { State::Ready } else { State::Waiting },
        reason: failed.filter(|_| is_seen).and_then(reason_of),
    }
}

/// A job is as wanted once its pods have started: how long it runs is its own affair.
fn of_job(object: &DynamicObject) -> Rollout {
    let (spec, status) = (&object.data["spec"], &object.data["status"]);
    let desired = spec["completions"].as_u64().or(spec["parallelism"].as_u64()).unwrap_or(1);
    let succeeded = number(&status["succeeded"]);
    let started = succeeded + number(&status["ready"]);
    let failed = status["conditions"].as_array().and_then(|conditions| {
        conditions.iter().find(|one| one["type"] == "Failed" && one["status"] == "True")
    });
    let state = match failed {
        Some(_) => State::Failed,
        None if succeeded >= desired => State::Done,
        None if started >= desired => State::Ready,
        None => State::Waiting,
    };
    let name = name(object).to_owned();
    Rollout { name, ready: started.min(desired), desired, state, reason: failed.and_then(reason_of) }
}

/// Reason and message of a condition or of a state.
fn reason_of(value: &Value) -> Option<String> {
    let text = match (value["reason"].as_str(), value["message"].as_str()) {
        (Some(reason), Some(message)) if !message.is_empty() => format!("{reason}: {message}"),
        (Some(word), _) | (None, Some(word)) => word.to_owned(),
        (None, None) => return None,
    };
    Some(text.chars().take(REASON_MAX).map(|c| if c.is_control() { ' ' } else { c }).collect())
}

/// Why a pod is not ready, if it does not simply take its time.
fn stuck(pod: &DynamicObject) -> Option<String> {
    let status = &pod.data["status"];
    let list = |key: &str| status[key].as_array().into_iter().flatten();
    let unscheduled =
        list("conditions").find(|one| one["type"] == "PodScheduled" && one["status"] == "False");
    if let Some(reason) = unscheduled.and_then(reason_of) {
        return Some(reason);
    }
    for container in list("initContainerStatuses").chain(list("containerStatuses")) {
        let waiting = &container["state"]["waiting"];
        if !matches!(waiting["reason"].as_str(), None | Some("ContainerCreating" | "PodInitializing")) {
            let ended = &container["lastState"]["terminated"];
            let last = ended["exitCode"].as_i64().map(|code| format!(", it ended with {code}"));
            return reason_of(waiting).map(|reason| reason + &last.unwrap_or_default());
        }
        let ended = &container["state"]["terminated"];
        if let Some(code) = ended["exitCode"].as_i64().filter(|code| *code != 0) {
            return Some(format!("{}, it ended with {code}", ended["reason"].as_str().unwrap_or("Error")));
        }
    }
    (status["phase"] == "Failed").then(|| reason_of(status)).flatten()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn object(value: Value) -> DynamicObject {
        serde_json::from_value(value).unwrap()
    }

    fn deployment(status: &Value) -> Rollout {
        of_deployment(&object(json!({
            "apiVersion": "apps/v1", "kind": "Deployment",
            "metadata": {"name": "web", "generation": 2}, "spec": {"replicas": 3}, "status": status,
        })))
    }

    #[test]
    fn a_deployment_is_ready_when_all_of_it_is_new_and_nothing_old_is_left() {
        let ready =
            json!({"observedGeneration": 2, "replicas": 3, "updatedReplicas": 3, "availableReplicas": 3});
        assert_eq!(deployment(&ready).state, State::Ready);
        for (key, value) in
            [("observedGeneration", 1), ("replicas", 4), ("updatedReplicas", 2), ("availableReplicas", 2)]
        {
            let mut status = ready.clone();
            status[key] = value.into();
            assert_eq!(deployment(&status).state, State::Waiting, "{key}");
        }
        assert_eq!(deployment(&json!({})).to_string(), "web 0/3");
    }

    #[test]
    fn the_reason_of_a_pod_is_what_its_kubelet_says() {
        let pod = |status: Value| {
            stuck(&object(
                json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "p"}, "status": status}),
            ))
        };
        let waiting = |reason: &str| {
            json!({"containerStatuses": [{"state": {"waiting": {"reason": reason, "message": "m"}},
            "lastState": {"terminated": {"exitCode": 3}}}]})
        };
        assert_eq!(pod(waiting("ContainerCreating")), None);
        assert_eq!(pod(waiting("CrashLoopBackOff")).unwrap(), "CrashLoopBackOff: m, it ended with 3");
        let nowhere = json!({"conditions": [{"type": "PodScheduled", "status": "False", "reason": "Unschedulable",
            "message": "0/1 nodes are available"}]});
        assert_eq!(pod(nowhere).unwrap(), "Unschedulable: 0/1 nodes are available");
        assert_eq!(pod(json!({"containerStatuses": "no list", "conditions": 7})), None);
    }

    #[test]
    fn a_job_that_has_failed_is_not_waited_for() {
        let job = |status: Value| {
            of_job(&object(json!({"apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": "j"},
                "spec": {"completions": 1}, "status": status})))
        };
        assert_eq!(job(json!({})).state, State::Waiting);
        assert_eq!(job(json!({"ready": 1})).state, State::Ready);
        assert_eq!(job(json!({"succeeded": 1})).state, State::Done);
        let failed = job(
            json!({"conditions": [{"type": "Failed", "status": "True", "reason": "BackoffLimitExceeded"}]}),
        );
        assert_eq!(
            (failed.state, failed.to_string().as_str()),
            (State::Failed, "j 0/1 (BackoffLimitExceeded)")
        );
    }
}
