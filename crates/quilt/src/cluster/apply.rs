//! Making what is wanted, and taking away what is not any more.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use kube_core::DynamicObject;
use kube_core::params::{DeleteParams, Patch, PatchParams};

use super::kinds::{CLAIM, DEPLOYMENT, JOB, Kind, MADE, NAMESPACE};
use super::{
    Cluster, ClusterError, Deployment, FIELD_MANAGER, MANAGED_BY, PART_OF, Progress, code, label, name,
    objects,
};
use crate::kubernetes::export::Exported;

/// How long the deletion of an object may take that has to be made anew.
const GONE_LIMIT: Duration = Duration::from_secs(60);
/// How often it is looked.
const GONE_PAUSE: Duration = Duration::from_millis(200);
/// Namespaces that every cluster has.
const OWN_NAMESPACES: [&str; 4] = ["default", "kube-node-lease", "kube-public", "kube-system"];

/// What an apply did.
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Serialize)]
pub struct Applied {
    /// How many objects are as wanted.
    pub objects: usize,
    /// What was made anew because it cannot be changed in place.
    pub replaced: Vec<String>,
    /// What the deployment does not have any more.
    pub pruned: Vec<String>,
}

/// What a stop did.
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Serialize)]
pub struct Stopped {
    /// What was deleted.
    pub deleted: Vec<String>,
    /// Volumes that were kept, and with them the namespace.
    pub kept: Vec<String>,
}

impl Cluster {
    /// Makes the cluster what the manifests say, and deletes what is of this deployment and not in them.
    ///
    /// # Errors
    /// When the cluster refuses; what was applied until then stays, and the next apply goes on from there.
    pub fn apply(
        &self,
        deployment: Deployment<'_>,
        exported: &Exported,
        force: bool,
        show: &mut dyn FnMut(Progress<'_>),
    ) -> Result<Applied, ClusterError> {
        if OWN_NAMESPACES.contains(&deployment.namespace) {
            return Err(ClusterError::Namespace(deployment.namespace.to_owned()));
        }
        self.runtime.block_on(async {
            let wanted = objects(exported);
            self.check_namespace(deployment, &wanted).await?;
            let mut applied = Applied::default();
            for (kind, object) in &wanted {
                show(Progress::Step(&format!("applying {}", kind.of(name(object)))));
                if self.apply_one(deployment, *kind, object, force).await? {
                    applied.replaced.push(kind.of(name(object)));
                }
                applied.objects += 1;
            }
            show(Progress::Step("pruning"));
            applied.pruned = self.prune(deployment, &wanted, show).await?;
            Ok(applied)
        })
    }

    /// Deletes everything of a deployment; claims of volumes only if `volumes`.
    ///
    /// # Errors
    /// When there is nothing of it, or the cluster refuses.
    pub fn stop(
        &self,
        deployment: Deployment<'_>,
        volumes: bool,
        show: &mut dyn FnMut(Progress<'_>),
    ) -> Result<Stopped, ClusterError> {
        self.runtime.block_on(async {
            let mut stopped = Stopped::default();
            for kind in MADE.iter().rev().copied() {
                let found = self.list(kind, Some(deployment.namespace), &deployment.selector()).await?;
                for object in found.unwrap_or_default() {
                    let what = kind.of(name(&object));
                    if kind == CLAIM && !volumes {
                        stopped.kept.push(what);
                        continue;
                    }
                    show(Progress::Step(&format!("deleting {what}")));
                    self.delete(kind, deployment.namespace, name(&object)).await?;
                    stopped.deleted.push(what);
                }
            }
            let namespace = self.get(NAMESPACE, "", deployment.namespace).await?;
            if let Some(namespace) = namespace.filter(|object| is_of(object, deployment))
                && stopped.kept.is_empty()
            {
                self.delete(NAMESPACE, "", name(&namespace)).await?;
                stopped.deleted.push(NAMESPACE.of(name(&namespace)));
            }
            if stopped.deleted.is_empty() && stopped.kept.is_empty() {
                let (name, namespace) = (deployment.name.to_owned(), deployment.namespace.to_owned());
                return Err(ClusterError::NothingThere { name, namespace });
            }
            Ok(stopped)
        })
    }

    /// A namespace that weft is to make must not be somebody else's, and one that it is not to make must be there.
    async fn check_namespace(
        &self,
        deployment: Deployment<'_>,
        wanted: &[(Kind, DynamicObject)],
    ) -> Result<(), ClusterError> {
        let found = self.get(NAMESPACE, "", deployment.namespace).await?;
        let is_made = wanted.iter().any(|(kind, _)| *kind == NAMESPACE);
        match found {
            None if !is_made => Err(ClusterError::NoNamespace(deployment.namespace.to_owned())),
            Some(object) if is_made && !is_of(&object, deployment) => {
                Err(ClusterError::NamespaceTaken(deployment.namespace.to_owned()))
            }
            _ => Ok(()),
        }
    }

    pub(super) async fn get(
        &self,
        kind: Kind,
        namespace: &str,
        name: &str,
    ) -> Result<Option<DynamicObject>, ClusterError> {
        match self.api(kind, namespace).get_opt(name).await {
            // A kind that the cluster does not know is answered so too, in other words.
            Err(error) if code(&error) == Some(404) => Ok(None),
            found => found.map_err(|error| self.refused("read", kind.of(name), error)),
        }
    }

    /// Applies one object; whether it had to be made anew.
    async fn apply_one(
        &self,
        deployment: Deployment<'_>,
        kind: Kind,
        object: &DynamicObject,
        force: bool,
    ) -> Result<bool, ClusterError> {
        let there = self.get(kind, deployment.namespace, name(object)).await?;
        if let Some(there) = there.filter(|there| !is_of(there, deployment)) {
            let of =
                label(&there, PART_OF).or(label(&there, MANAGED_BY)).unwrap_or("it has no label of weft's");
            return Err(ClusterError::Taken { object: kind.of(name(object)), owner: of.to_owned() });
        }
        match self.patch(deployment, kind, object, force).await {
            Ok(_) => Ok(false),
            Err(error) if is_immutable(&error) && is_replaceable(kind) => {
                self.delete(kind, deployment.namespace, name(object)).await?;
                self.gone(kind, deployment.namespace, name(object)).await?;
                let again = self.patch(deployment, kind, object, force).await;
                again.map(|_| true).map_err(|error| self.unapplied(kind, object, error))
            }
            Err(error) => Err(self.unapplied(kind, object, error)),
        }
    }

    async fn patch(
        &self,
        deployment: Deployment<'_>,
        kind: Kind,
        object: &DynamicObject,
        force: bool,
    ) -> Result<DynamicObject, kube_client::Error> {
        let parameters = PatchParams { force, ..PatchParams::apply(FIELD_MANAGER).validation_strict() };
        self.api(kind, deployment.namespace).patch(name(object), &parameters, &Patch::Apply(object)).await
    }

    /// Why an object was not applied.
    pub(super) fn unapplied(
        &self,
        kind: Kind,
        object: &DynamicObject,
        error: kube_client::Error,
    ) -> ClusterError {
        // The path of a kind that is not there is not found; names are made by applying.
        if code(&error) == Some(404) && kind != NAMESPACE {
            return ClusterError::UnknownKind { kind: kind.kind, version: kind.api_version() };
        }
        self.refused("apply", kind.of(name(object)), error)
    }

    async fn prune(
        &self,
        deployment: Deployment<'_>,
        wanted: &[(Kind, DynamicObject)],
        show: &mut dyn FnMut(Progress<'_>),
    ) -> Result<Vec<String>, ClusterError> {
        let mut pruned = Vec::new();
        for (kind, gone) in self.surplus(deployment, wanted).await? {
            if kind == CLAIM {
                show(Progress::Warning(format!(
                    "{} is not in the blueprint any more and is kept with its data",
                    kind.of(&gone)
                )));
                continue;
            }
            self.delete(kind, deployment.namespace, &gone).await?;
            pruned.push(kind.of(&gone));
        }
        Ok(pruned)
    }

    /// What is of the deployment and not among what is wanted; pods before what they stand on.
    pub(super) async fn surplus(
        &self,
        deployment: Deployment<'_>,
        wanted: &[(Kind, DynamicObject)],
    ) -> Result<Vec<(Kind, String)>, ClusterError> {
        let keep: BTreeSet<(&str, &str)> =
            wanted.iter().map(|(kind, object)| (kind.kind, name(object))).collect();
        let mut surplus = Vec::new();
        for kind in MADE.iter().rev().copied() {
            let found = self.list(kind, Some(deployment.namespace), &deployment.selector()).await?;
            for object in found.unwrap_or_default() {
                let is_going = object.metadata.deletion_timestamp.is_some();
                if !is_going && !keep.contains(&(kind.kind, name(&object))) {
                    surplus.push((kind, name(&object).to_owned()));
                }
            }
        }
        Ok(surplus)
    }

    /// Deletes an object and, in the background, what it made; that it is gone already is as good.
    pub(super) async fn delete(&self, kind: Kind, namespace: &str, name: &str) -> Result<(), ClusterError> {
        match self.api(kind, namespace).delete(name, &DeleteParams::background()).await {
            Ok(_) => Ok(()),
            Err(error) if code(&error) == Some(404) => Ok(()),
            Err(error) => Err(self.refused("delete", kind.of(name), error)),
        }
    }

    /// Waits until an object is gone.
    async fn gone(&self, kind: Kind, namespace: &str, name: &str) -> Result<(), ClusterError> {
        let deadline = Instant::now() + GONE_LIMIT;
        while self.get(kind, namespace, name).await?.is_some() {
            if Instant::now() > deadline {
                let message = format!("it is still there after {} s", GONE_LIMIT.as_secs());
                return Err(ClusterError::Refused { action: "delete", object: kind.of(name), message });
            }
            tokio::time::sleep(GONE_PAUSE).await;
        }
        Ok(())
    }
}

/// Whether an object's labels say that it is of the deployment.
pub(super) fn is_of(object: &DynamicObject, deployment: Deployment<'_>) -> bool {
    label(object, MANAGED_BY) == Some("weft") && label(object, PART_OF) == Some(deployment.name)
}

/// Whether it holds nothing that would be lost if it were made anew.
fn is_replaceable(kind: Kind) -> bool {
    kind == JOB || kind == DEPLOYMENT || kind.kind == "Service"
}

/// Fields that cannot be changed: a job's template, whether a service has an address of its own.
pub(super) fn is_immutable(error: &kube_client::Error) -> bool {
    match error {
        kube_client::Error::Api(status) => {
            status.code == 422
                && ["immutable", "may not change", "may not be set to 'None'"]
                    .iter()
                    .any(|word| status.message.contains(word))
        }
        _ => false,
    }
}
