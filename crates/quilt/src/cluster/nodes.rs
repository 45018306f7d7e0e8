//! The machines of a cluster, as it knows them.

use kube_core::DynamicObject;
use serde::Serialize;

use super::kinds::NODE;
use super::{Cluster, ClusterError, label, name};

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
        is_ready: list("conditions").any(|one| one["type"] == "Ready" && one["status"] == "True"),
    }
}
