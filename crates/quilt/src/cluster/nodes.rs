//! The machines of a cluster, as it knows them.

use std::collections::BTreeMap;

use kube_core::DynamicObject;
use kube_core::params::{Patch, PatchParams};
use serde::Serialize;
use serde_json::json;

use super::kinds::NODE;
use super::{Cluster, ClusterError, FIELD_MANAGER, label, name};

/// Label that weft's machines give their nodes: their names.
const MACHINE: &str = "weft/machine";

/// A machine of the cluster.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Node {
    /// Its name.
    pub name: String,
    /// Its addresses.
    pub addresses: Vec<String>,
    /// Whether it takes pods.
    pub is_ready: bool,
    /// Which of weft's machines it is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub machine: Option<String>,
    /// Its labels.
    #[serde(skip)]
    pub labels: BTreeMap<String, String>,
}

impl Cluster {
    /// The machines that have joined the cluster.
    ///
    /// # Errors
    /// When the cluster does not answer, or does not say.
    pub fn nodes(&self) -> Result<Vec<Node>, ClusterError> {
        let nodes = self.runtime.block_on(self.list(NODE, None, ""))?;
        Ok(nodes.unwrap_or_default().iter().map(node).collect())
    }

    /// Gives a machine labels, whoever has set them before.
    ///
    /// # Errors
    /// When the cluster refuses.
    pub fn label_node(&self, name: &str, labels: &BTreeMap<String, String>) -> Result<(), ClusterError> {
        let wanted =
            json!({"apiVersion": "v1", "kind": "Node", "metadata": {"name": name, "labels": labels}});
        let parameters = PatchParams::apply(FIELD_MANAGER).force();
        let patch = Patch::Apply(wanted);
        let api = self.api(NODE, "");
        let answer = self.runtime.block_on(api.patch(name, &parameters, &patch));
        answer.map(drop).map_err(|error| self.refused("label", NODE.of(name), error))
    }

    /// Takes a machine out of the cluster: its pods are made anew elsewhere.
    ///
    /// # Errors
    /// When the cluster refuses. That it is gone already is none.
    pub fn remove_node(&self, name: &str) -> Result<(), ClusterError> {
        self.runtime.block_on(self.delete(NODE, "", name))
    }
}

fn node(object: &DynamicObject) -> Node {
    let status = &object.data["status"];
    let list = |key: &str| status[key].as_array().into_iter().flatten();
    Node {
        name: name(object).to_owned(),
        addresses: list("addresses").filter_map(|one| one["address"].as_str().map(str::to_owned)).collect(),
        machine: label(object, MACHINE).map(str::to_owned),
        labels: object.metadata.labels.clone().unwrap_or_default(),
        is_ready: list("conditions").any(|one| one["type"] == "Ready" && one["status"] == "True"),
    }
}
