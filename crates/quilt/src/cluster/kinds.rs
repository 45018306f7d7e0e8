//! The kinds of objects that weft makes, in the order in which they are made.

use kube_core::ApiResource;

/// A kind of object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Kind {
    pub(crate) group: &'static str,
    pub(crate) version: &'static str,
    pub(crate) kind: &'static str,
    pub(crate) plural: &'static str,
    /// Whether its objects are in a namespace.
    pub(crate) namespaced: bool,
}

const fn kind(group: &'static str, version: &'static str, kind: &'static str, plural: &'static str) -> Kind {
    Kind { group, version, kind, plural, namespaced: true }
}

/// Namespaces.
pub(crate) const NAMESPACE: Kind = Kind { namespaced: false, ..kind("", "v1", "Namespace", "namespaces") };
/// Nodes.
pub(crate) const NODE: Kind = Kind { namespaced: false, ..kind("", "v1", "Node", "nodes") };
/// Pods.
pub(crate) const POD: Kind = kind("", "v1", "Pod", "pods");
/// What runs on every node.
pub(crate) const DAEMON_SET: Kind = kind("apps", "v1", "DaemonSet", "daemonsets");
/// Containers that always run.
pub(crate) const DEPLOYMENT: Kind = kind("apps", "v1", "Deployment", "deployments");
/// Claims of storage, which outlive deployments.
pub(crate) const CLAIM: Kind = kind("", "v1", "PersistentVolumeClaim", "persistentvolumeclaims");
/// Containers that end.
pub(crate) const JOB: Kind = kind("batch", "v1", "Job", "jobs");

/// What weft makes in a namespace; policies before pods, so that no pod is ever open.
pub(crate) const MADE: [Kind; 11] = [
    kind("networking.k8s.io", "v1", "NetworkPolicy", "networkpolicies"),
    kind("", "v1", "Secret", "secrets"),
    kind("", "v1", "ConfigMap", "configmaps"),
    CLAIM,
    kind("", "v1", "Service", "services"),
    DEPLOYMENT,
    JOB,
    kind("gateway.networking.k8s.io", "v1", "Gateway", "gateways"),
    kind("gateway.networking.k8s.io", "v1", "HTTPRoute", "httproutes"),
    kind("gateway.networking.k8s.io", "v1alpha2", "TCPRoute", "tcproutes"),
    kind("gateway.networking.k8s.io", "v1alpha2", "UDPRoute", "udproutes"),
];

impl Kind {
    /// Group and version, as objects say them.
    pub(crate) fn api_version(self) -> String {
        if self.group.is_empty() { self.version.into() } else { format!("{}/{}", self.group, self.version) }
    }

    /// How the client knows it.
    pub(crate) fn resource(self) -> ApiResource {
        ApiResource {
            group: self.group.into(),
            version: self.version.into(),
            api_version: self.api_version(),
            kind: self.kind.into(),
            plural: self.plural.into(),
        }
    }

    /// How an object is called in a message.
    pub(crate) fn of(self, name: &str) -> String {
        format!("{} {name}", self.kind)
    }

    /// The kind of an object that weft makes.
    pub(crate) fn find(api_version: &str, kind: &str) -> Option<Kind> {
        let made = MADE.iter().chain([&NAMESPACE]);
        made.copied().find(|one| one.kind == kind && one.api_version() == api_version)
    }
}
