//! The part of Kubernetes' objects that weft reads and writes, as serde structs.
//!
//! Names and defaults are those of the API reference (`apps/v1`, `batch/v1`, `core/v1`, `networking.k8s.io/v1`).
//! Fields that are not here are skipped when read; `null` is read as left out, as the API server does.

use std::collections::BTreeMap;

use serde::{Deserialize, Deserializer, Serialize};

/// Labels, annotations and the like, in order.
pub type Map = BTreeMap<String, String>;

/// `null` where a list or an object could stand means the same as nothing.
fn lenient<'de, D: Deserializer<'de>, T: Deserialize<'de> + Default>(from: D) -> Result<T, D::Error> {
    Ok(Option::<T>::deserialize(from)?.unwrap_or_default())
}

fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}

/// An object of any kind.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Object<S> {
    /// Group and version.
    pub api_version: String,
    /// What it is.
    pub kind: String,
    /// Its name and labels.
    pub metadata: Metadata,
    /// What is wanted.
    pub spec: S,
}

/// An object that has data in place of a specification: `ConfigMap`, `Secret`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct DataObject {
    /// Group and version.
    pub api_version: String,
    /// What it is.
    pub kind: String,
    /// Its name and labels.
    pub metadata: Metadata,
    /// Text by key.
    #[serde(default, deserialize_with = "lenient", skip_serializing_if = "is_default")]
    pub data: Map,
    /// Text by key, of a secret.
    #[serde(default, deserialize_with = "lenient", skip_serializing_if = "is_default")]
    pub string_data: Map,
}

/// Name and labels.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Metadata {
    /// Unique among objects of its kind in its namespace.
    #[serde(default, deserialize_with = "lenient", skip_serializing_if = "is_default")]
    pub name: String,
    /// The namespace; `default` without.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub namespace: Option<String>,
    /// What selectors look at.
    #[serde(default, deserialize_with = "lenient", skip_serializing_if = "is_default")]
    pub labels: Map,
    /// What they do not.
    #[serde(default, deserialize_with = "lenient", skip_serializing_if = "is_default")]
    pub annotations: Map,
}

/// A `Deployment`, `StatefulSet`, `ReplicaSet`, `DaemonSet` or `Job`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct WorkloadSpec {
    /// How many pods; one without.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub replicas: Option<u32>,
    /// How many pods of a job at a time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub parallelism: Option<u32>,
    /// How many pods of a job must succeed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub completions: Option<u32>,
    /// How many times a job is tried again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub backoff_limit: Option<u32>,
    /// Which pods are its own; jobs choose for themselves.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub selector: Option<LabelSelector>,
    /// How long a new pod must be ready until it counts, in seconds. Not read from others' manifests.
    #[serde(default, skip_deserializing, skip_serializing_if = "Option::is_none")]
    pub min_ready_seconds: Option<u32>,
    /// How its pods are replaced. Not read from others' manifests.
    #[serde(default, skip_deserializing, skip_serializing_if = "Option::is_none")]
    pub strategy: Option<Strategy>,
    /// What its pods are like.
    pub template: PodTemplate,
}

/// How the pods of a deployment are replaced.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Strategy {
    /// `RollingUpdate`.
    pub r#type: String,
    /// A batch at a time.
    pub rolling_update: RollingUpdate,
}

/// How many pods are replaced at a time.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct RollingUpdate {
    /// Most pods beyond those wanted.
    pub max_surge: u32,
    /// Most pods that are missing.
    pub max_unavailable: u32,
}

/// A check that the kubelet makes of a container.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct PodProbe {
    /// A command.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub exec: Option<ExecAction>,
    /// A page.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub http_get: Option<HttpAction>,
    /// A port that accepts.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tcp_socket: Option<TcpAction>,
    /// How long after the start the first check is made, in seconds.
    #[serde(skip_serializing_if = "is_default")]
    pub initial_delay_seconds: u32,
    /// Pause between checks, in seconds.
    pub period_seconds: u32,
    /// How long a check may take, in seconds.
    pub timeout_seconds: u32,
    /// Failures in a row that count.
    pub failure_threshold: u32,
}

/// A command as a check.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ExecAction {
    /// Its words.
    pub command: Vec<String>,
}

/// A page as a check.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct HttpAction {
    /// Its path.
    pub path: String,
    /// Its port.
    pub port: u16,
}

/// A port as a check.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct TcpAction {
    /// The port.
    pub port: u16,
}

/// What pods are like.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PodTemplate {
    /// Their labels.
    #[serde(default, deserialize_with = "lenient")]
    pub metadata: Metadata,
    /// What they run.
    pub spec: PodSpec,
}

/// What a pod runs.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PodSpec {
    /// Whether it is given a token of the API server.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub automount_service_account_token: Option<bool>,
    /// Containers that run before the others.
    #[serde(default, deserialize_with = "lenient", skip_serializing_if = "is_default")]
    pub init_containers: Vec<PodContainer>,
    /// Its containers; they share one address.
    #[serde(default, deserialize_with = "lenient")]
    pub containers: Vec<PodContainer>,
    /// Whether services show in its environment.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub enable_service_links: Option<bool>,
    /// Where it may run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub affinity: Option<Affinity>,
    /// Whether it has the node's network in place of its own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub host_network: Option<bool>,
    /// Its host name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hostname: Option<String>,
    /// `Always`, `OnFailure` or `Never`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub restart_policy: Option<String>,
    /// What its mounts name.
    #[serde(default, deserialize_with = "lenient", skip_serializing_if = "is_default")]
    pub volumes: Vec<Volume>,
}

/// Where a pod may run.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Affinity {
    /// On which nodes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub node_affinity: Option<NodeAffinity>,
    /// Beside which pods.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pod_affinity: Option<PodAffinity>,
    /// Apart from which pods.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pod_anti_affinity: Option<PodAffinity>,
}

/// On which nodes a pod may run.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct NodeAffinity {
    /// Only on these.
    #[serde(
        rename = "requiredDuringSchedulingIgnoredDuringExecution",
        default,
        skip_serializing_if = "is_default"
    )]
    pub required: NodeSelector,
}

/// Nodes of which one of several terms is true.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct NodeSelector {
    /// The terms.
    #[serde(default, deserialize_with = "lenient", skip_serializing_if = "is_default")]
    pub node_selector_terms: Vec<NodeTerm>,
}

/// Requirements of a node's labels, all of which must be met.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct NodeTerm {
    /// The requirements.
    #[serde(default, deserialize_with = "lenient", skip_serializing_if = "is_default")]
    pub match_expressions: Vec<Requirement>,
}

/// Beside which pods a pod must be, or must not.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct PodAffinity {
    /// One of each of these.
    #[serde(
        rename = "requiredDuringSchedulingIgnoredDuringExecution",
        default,
        deserialize_with = "lenient",
        skip_serializing_if = "is_default"
    )]
    pub required: Vec<PodTerm>,
}

/// Pods, and what makes them neighbours.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PodTerm {
    /// The pods.
    #[serde(default, deserialize_with = "lenient")]
    pub label_selector: LabelSelector,
    /// The label of nodes that neighbours have in common.
    #[serde(default, deserialize_with = "lenient")]
    pub topology_key: String,
}

/// A container of a pod.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PodContainer {
    /// Its name within the pod.
    #[serde(default, deserialize_with = "lenient")]
    pub name: String,
    /// Its image.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub image: Option<String>,
    /// Program and arguments, in place of the image's entry point.
    #[serde(default, deserialize_with = "lenient", skip_serializing_if = "is_default")]
    pub command: Vec<String>,
    /// Arguments, in place of the image's command.
    #[serde(default, deserialize_with = "lenient", skip_serializing_if = "is_default")]
    pub args: Vec<String>,
    /// Directory it starts in.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub working_dir: Option<String>,
    /// Environment.
    #[serde(default, deserialize_with = "lenient", skip_serializing_if = "is_default")]
    pub env: Vec<EnvVar>,
    /// Ports it listens on: informative, but for their names.
    #[serde(default, deserialize_with = "lenient", skip_serializing_if = "is_default")]
    pub ports: Vec<ContainerPort>,
    /// Limits.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resources: Option<Resources>,
    /// Who it runs as.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub security_context: Option<SecurityContext>,
    /// Where volumes are seen.
    #[serde(default, deserialize_with = "lenient", skip_serializing_if = "is_default")]
    pub volume_mounts: Vec<VolumeMount>,
    /// While it fails, services give the pod no connections. Not read from others' manifests.
    #[serde(default, skip_deserializing, skip_serializing_if = "Option::is_none")]
    pub readiness_probe: Option<PodProbe>,
    /// When it fails, the container is started anew. Not read from others' manifests.
    #[serde(default, skip_deserializing, skip_serializing_if = "Option::is_none")]
    pub liveness_probe: Option<PodProbe>,
}

/// An environment variable.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct EnvVar {
    /// Its name.
    pub name: String,
    /// Its value.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub value: Option<String>,
    /// Where its value comes from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub value_from: Option<EnvSource>,
}

/// Where a value comes from.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct EnvSource {
    /// A key of a secret.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub secret_key_ref: Option<KeyRef>,
    /// A key of a configuration.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub config_map_key_ref: Option<KeyRef>,
}

/// A key of a `Secret` or `ConfigMap`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct KeyRef {
    /// The object.
    #[serde(default, deserialize_with = "lenient")]
    pub name: String,
    /// The key.
    pub key: String,
}

/// A port that a container listens on.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ContainerPort {
    /// What policies and services may call it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// The port.
    pub container_port: u16,
    /// A port of the node that leads to it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub host_port: Option<u16>,
    /// `TCP` without.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub protocol: Option<String>,
}

/// Resources of a container.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Resources {
    /// The most it may have.
    #[serde(default, deserialize_with = "lenient")]
    pub limits: BTreeMap<String, Quantity>,
}

/// A quantity, which YAML may take for a number.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Quantity {
    /// With or without a unit.
    Text(String),
    /// Without.
    Number(f64),
}

/// Who a container runs as.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SecurityContext {
    /// User id.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub run_as_user: Option<i64>,
    /// Group id.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub run_as_group: Option<i64>,
}

/// Where a volume is seen.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct VolumeMount {
    /// The volume.
    pub name: String,
    /// Absolute path inside.
    pub mount_path: String,
    /// What of the volume.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sub_path: Option<String>,
    /// Whether it can only be read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub read_only: Option<bool>,
}

/// A volume of a pod.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Volume {
    /// Its name within the pod.
    pub name: String,
    /// A path of the node.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub host_path: Option<HostPath>,
    /// The keys of a configuration.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub config_map: Option<ConfigMapVolume>,
    /// The keys of a secret.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub secret: Option<SecretVolume>,
    /// Storage that outlives pods.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub persistent_volume_claim: Option<Claim>,
}

/// A path of the node.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct HostPath {
    /// The path.
    pub path: String,
}

/// The keys of a `ConfigMap` as files.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct ConfigMapVolume {
    /// The object.
    #[serde(default, deserialize_with = "lenient")]
    pub name: String,
}

/// The keys of a `Secret` as files.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SecretVolume {
    /// The object.
    #[serde(default, deserialize_with = "lenient")]
    pub secret_name: String,
}

/// A `PersistentVolumeClaim`, by name.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Claim {
    /// The object.
    pub claim_name: String,
}

/// What a `PersistentVolumeClaim` asks for.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ClaimSpec {
    /// Who may mount it.
    pub access_modes: Vec<String>,
    /// How much.
    pub resources: Requests,
}

/// What storage is asked for.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Requests {
    /// `storage` and how much.
    pub requests: Map,
}

/// A `Service`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ServiceSpec {
    /// `ClusterIP` without; `LoadBalancer` and `NodePort` are open to what is outside.
    #[serde(rename = "type", default, skip_serializing_if = "Option::is_none")]
    pub kind: Option<String>,
    /// `None`: its name stands for the pods' own addresses.
    #[serde(rename = "clusterIP", default, skip_serializing_if = "Option::is_none")]
    pub cluster_ip: Option<String>,
    /// Labels of its pods.
    #[serde(default, deserialize_with = "lenient", skip_serializing_if = "is_default")]
    pub selector: Map,
    /// Its ports.
    #[serde(default, deserialize_with = "lenient", skip_serializing_if = "is_default")]
    pub ports: Vec<ServicePort>,
}

/// A port of a service.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ServicePort {
    /// Its name, where there are several.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// The port.
    pub port: u16,
    /// Port of the pods, or its name; the same one without.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub target_port: Option<PortName>,
    /// `TCP` without.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub protocol: Option<String>,
}

/// A port by number or by the name that a container gives it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum PortName {
    /// By number.
    Number(u16),
    /// By name.
    Name(String),
}

/// A `NetworkPolicy`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct NetworkPolicySpec {
    /// Pods of its namespace that it is about.
    #[serde(default, deserialize_with = "lenient")]
    pub pod_selector: LabelSelector,
    /// `Ingress`, `Egress`: the directions that it closes but for its rules.
    #[serde(default, deserialize_with = "lenient", skip_serializing_if = "is_default")]
    pub policy_types: Vec<String>,
    /// What may come in.
    #[serde(default, deserialize_with = "lenient", skip_serializing_if = "is_default")]
    pub ingress: Vec<IngressRule>,
    /// What may go out.
    #[serde(default, deserialize_with = "lenient", skip_serializing_if = "is_default")]
    pub egress: Vec<EgressRule>,
}

/// What may come in.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct IngressRule {
    /// From whom; from everywhere if empty.
    #[serde(default, deserialize_with = "lenient", skip_serializing_if = "is_default")]
    pub from: Vec<Peer>,
    /// On which ports; on all if empty.
    #[serde(default, deserialize_with = "lenient", skip_serializing_if = "is_default")]
    pub ports: Vec<PolicyPort>,
}

/// What may go out.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct EgressRule {
    /// To whom; everywhere if empty.
    #[serde(default, deserialize_with = "lenient", skip_serializing_if = "is_default")]
    pub to: Vec<Peer>,
    /// On which ports; on all if empty.
    #[serde(default, deserialize_with = "lenient", skip_serializing_if = "is_default")]
    pub ports: Vec<PolicyPort>,
}

/// Pods, or addresses outside.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Peer {
    /// Pods with these labels, of the policy's namespace or of those selected.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pod_selector: Option<LabelSelector>,
    /// Pods of namespaces with these labels.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub namespace_selector: Option<LabelSelector>,
    /// Addresses.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ip_block: Option<IpBlock>,
}

/// Addresses of one network less those of some others.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct IpBlock {
    /// The network.
    pub cidr: String,
    /// The others.
    #[serde(default, deserialize_with = "lenient", skip_serializing_if = "is_default")]
    pub except: Vec<String>,
}

/// Ports of a rule.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PolicyPort {
    /// `TCP` without.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub protocol: Option<String>,
    /// The port, or the first one; all of the protocol's without.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub port: Option<PortName>,
    /// The last one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub end_port: Option<u16>,
}

/// Which labels an object must have; all of it must be so, and an empty one is of everything.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct LabelSelector {
    /// Labels with their values.
    #[serde(default, deserialize_with = "lenient", skip_serializing_if = "is_default")]
    pub match_labels: Map,
    /// Other requirements.
    #[serde(default, deserialize_with = "lenient", skip_serializing_if = "is_default")]
    pub match_expressions: Vec<Requirement>,
}

/// A requirement of a selector.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Requirement {
    /// The label.
    pub key: String,
    /// `In`, `NotIn`, `Exists` or `DoesNotExist`.
    pub operator: String,
    /// Values of the first two.
    #[serde(default, deserialize_with = "lenient", skip_serializing_if = "is_default")]
    pub values: Vec<String>,
}

impl LabelSelector {
    /// One label with its value.
    pub fn of(key: impl Into<String>, value: impl Into<String>) -> LabelSelector {
        LabelSelector { match_labels: [(key.into(), value.into())].into(), ..LabelSelector::default() }
    }

    /// Whether an object with these labels is selected. Operators are those that [`LabelSelector::unknown_operator`]
    /// lets pass.
    pub fn matches(&self, labels: &Map) -> bool {
        self.match_labels.iter().all(|(key, value)| labels.get(key) == Some(value))
            && self.match_expressions.iter().all(|requirement| requirement.matches(labels))
    }

    /// The first operator that is none.
    pub fn unknown_operator(&self) -> Option<&str> {
        let known = ["In", "NotIn", "Exists", "DoesNotExist"];
        let operators = self.match_expressions.iter().map(|requirement| requirement.operator.as_str());
        operators.into_iter().find(|operator| !known.contains(operator))
    }
}

impl Requirement {
    fn matches(&self, labels: &Map) -> bool {
        let value = labels.get(&self.key);
        match self.operator.as_str() {
            "In" => value.is_some_and(|value| self.values.contains(value)),
            "NotIn" => value.is_none_or(|value| !self.values.contains(value)),
            "Exists" => value.is_some(),
            _ => value.is_none(),
        }
    }
}
