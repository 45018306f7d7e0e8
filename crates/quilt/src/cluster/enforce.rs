//! Whether the cluster's network enforces network policies.
//!
//! The API server takes policies whether anything enforces them or not, and says nothing. What enforces them runs on
//! every node: here it is looked for by the names under which it is installed.

use std::fmt;

use kube_core::DynamicObject;
use serde::Serialize;

use super::kinds::{DAEMON_SET, NODE};
use super::{Cluster, name};

/// What enforces policies, by the name of its `DaemonSet`, and what it is called.
const ENFORCING: [(&str, &str); 11] = [
    ("calico-node", "Calico"),
    ("canal", "Canal"),
    ("rke2-canal", "Canal"),
    ("cilium", "Cilium"),
    ("anetd", "GKE Dataplane V2"),
    ("antrea-agent", "Antrea"),
    ("kube-router", "kube-router"),
    ("ovnkube-node", "OVN-Kubernetes"),
    ("kube-ovn-cni", "Kube-OVN"),
    ("weave-net", "Weave Net"),
    ("azure-npm", "Azure Network Policy Manager"),
];
/// Networks that do not.
const OPEN: [(&str, &str); 4] = [
    ("kube-flannel-ds", "Flannel"),
    ("kube-flannel", "Flannel"),
    ("kube-multus-ds", "Multus"),
    ("netd", "GKE without network policies"),
];
/// Amazon's network, which enforces them if its agent is told to.
const AMAZON: &str = "aws-node";
/// kind's network, which enforces them since version 0.24 of kind.
const KIND: &str = "kindnet";
/// In the version of a node of k3s, which has kube-router's enforcement within.
const K3S: &str = "+k3s";

/// Whether the cluster's network enforces network policies.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case", tag = "enforcement", content = "because")]
pub enum Enforcement {
    /// It does: what was found.
    Yes(String),
    /// It does not: what was found.
    No(String),
    /// It cannot be told: why.
    Unknown(String),
}

impl fmt::Display for Enforcement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Enforcement::Yes(what) => write!(f, "network policies are enforced by {what}"),
            Enforcement::No(what) => write!(
                f,
                "this cluster does not enforce network policies ({what}): every pod reaches every other, whatever the \
                 blueprint says; install a network that does, such as Calico or Cilium"
            ),
            Enforcement::Unknown(why) => write!(
                f,
                "whether this cluster enforces network policies cannot be told ({why}): without a network that does, \
                 every pod reaches every other"
            ),
        }
    }
}

impl Cluster {
    /// Looks for what enforces network policies: the `DaemonSet`s of all namespaces, and the version of the nodes.
    pub fn enforcement(&self) -> Enforcement {
        self.runtime.block_on(async {
            let sets = match self.list(DAEMON_SET, None, "").await {
                Ok(sets) => sets.unwrap_or_default(),
                Err(error) => return Enforcement::Unknown(error.to_string()),
            };
            let nodes = self.list(NODE, None, "").await.ok().flatten().unwrap_or_default();
            judge(&sets, &nodes)
        })
    }
}

fn judge(sets: &[DynamicObject], nodes: &[DynamicObject]) -> Enforcement {
    let called = |known: &[(&str, &str)]| {
        let of = |set: &DynamicObject| known.iter().find(|(one, _)| name(set) == *one).map(|(_, what)| *what);
        let found = sets.iter().find_map(|set| of(set).map(|what| (name(set).to_owned(), what)));
        found.map(|(set, what)| format!("{what}, DaemonSet {set}"))
    };
    if let Some(what) = called(&ENFORCING) {
        return Enforcement::Yes(what);
    }
    if let Some(set) = sets.iter().find(|set| name(set) == AMAZON) {
        return amazon(set);
    }
    let version = |node: &DynamicObject| {
        let version = node.data["status"]["nodeInfo"]["kubeletVersion"].as_str()?;
        version.contains(K3S).then(|| version.to_owned())
    };
    if let Some(version) = nodes.iter().find_map(version) {
        return Enforcement::Yes(format!(
            "k3s {version}, unless it was started with --disable-network-policy"
        ));
    }
    if let Some(what) = called(&OPEN) {
        return Enforcement::No(what);
    }
    if sets.iter().any(|set| name(set) == KIND) {
        return Enforcement::Unknown("kind enforces them from its version 0.24 on".into());
    }
    Enforcement::Unknown(format!("none of its {} DaemonSets is one that is known to", sets.len()))
}

/// The agent's container beside the network's own has the switch.
fn amazon(set: &DynamicObject) -> Enforcement {
    let containers = set.data["spec"]["template"]["spec"]["containers"].as_array();
    let arguments =
        containers.into_iter().flatten().flat_map(|one| one["args"].as_array().into_iter().flatten());
    let is_on = |argument: &serde_json::Value| argument == "--enable-network-policy=true";
    if arguments.into_iter().any(is_on) {
        Enforcement::Yes("the Amazon VPC CNI, DaemonSet aws-node".into())
    } else {
        Enforcement::No("the Amazon VPC CNI without --enable-network-policy=true".into())
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn set(name: &str) -> DynamicObject {
        serde_json::from_value(
            json!({"apiVersion": "apps/v1", "kind": "DaemonSet", "metadata": {"name": name}}),
        )
        .unwrap()
    }

    #[test]
    fn what_enforces_policies_is_told_by_its_name() {
        let none: &[DynamicObject] = &[];
        assert_eq!(
            judge(&[set("x"), set("cilium")], none),
            Enforcement::Yes("Cilium, DaemonSet cilium".into())
        );
        // Flannel carries the packets of Canal; the policies are Calico's.
        assert!(matches!(judge(&[set("kube-flannel-ds"), set("calico-node")], none), Enforcement::Yes(_)));
        assert!(matches!(judge(&[set("kube-flannel-ds")], none), Enforcement::No(_)));
        assert!(matches!(judge(&[set("kindnet")], none), Enforcement::Unknown(_)));
        assert!(matches!(judge(none, none), Enforcement::Unknown(_)));
        let node =
            serde_json::from_value(json!({"apiVersion": "v1", "kind": "Node", "metadata": {"name": "n"},
            "status": {"nodeInfo": {"kubeletVersion": "v1.34.1+k3s1"}}}))
            .unwrap();
        assert!(matches!(judge(none, &[node]), Enforcement::Yes(_)));
    }

    #[test]
    fn amazons_network_enforces_them_if_it_is_told_to() {
        let mut of = set(AMAZON);
        assert!(matches!(judge(&[of.clone()], &[]), Enforcement::No(_)));
        of.data = json!({"spec": {"template": {"spec": {"containers": [{"name": "aws-node"},
            {"name": "aws-eks-nodeagent", "args": ["--enable-ipv6=false", "--enable-network-policy=true"]}]}}}});
        assert!(matches!(judge(&[of], &[]), Enforcement::Yes(_)));
    }
}
