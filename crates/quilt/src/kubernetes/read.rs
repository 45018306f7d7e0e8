//! Manifests as they lie in files: several documents, lists, and the objects that decide who may reach whom.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::Deserialize;
use serde::de::DeserializeOwned;

use super::manifest::{
    DataObject, Map, Metadata, NetworkPolicySpec, Object, PodSpec, PodTemplate, ServiceSpec, WorkloadSpec,
};
use crate::fault::{Fault, Faults, Kind, Sources};
use crate::model::Span;

/// Most bytes of one file of manifests.
pub const FILE_BYTES_MAX: usize = 16 << 20;
/// Most documents of all files together.
pub const DOCUMENTS_MAX: usize = 20_000;
/// Most workloads, as each pair of them is asked about.
pub const WORKLOADS_MAX: usize = 2_000;
/// The namespace of objects that name none.
pub const DEFAULT_NAMESPACE: &str = "default";
/// Label that every namespace has: its name.
const NAMESPACE_LABEL: &str = "kubernetes.io/metadata.name";

/// What some manifests make.
#[derive(Clone, Debug, Default)]
pub struct Cluster {
    /// Labels of each namespace that is there or that something is in.
    pub namespaces: BTreeMap<String, Map>,
    /// Pods, by what makes them.
    pub workloads: Vec<Workload>,
    /// Network policies.
    pub policies: Vec<Policy>,
    /// Services.
    pub services: Vec<Service>,
    /// Texts that pods are configured with: `ConfigMap`s by namespace and name.
    pub config_maps: BTreeMap<(String, String), Map>,
    /// What its author should know.
    pub notes: Vec<String>,
    /// The text behind the spans.
    pub sources: Sources,
}

/// Pods that are alike.
#[derive(Clone, Debug, PartialEq)]
pub struct Workload {
    /// `Deployment`, `Pod`, ….
    pub kind: String,
    /// Its name.
    pub name: String,
    /// Its namespace.
    pub namespace: String,
    /// Labels of its pods.
    pub labels: Map,
    /// How many pods; two stand for as many as there are nodes.
    pub count: u32,
    /// What they run.
    pub pod: PodSpec,
    /// Where it is written.
    pub span: Span,
}

impl Workload {
    /// Namespace and name.
    pub fn full_name(&self) -> String {
        format!("{}/{}", self.namespace, self.name)
    }
}

/// A network policy.
#[derive(Clone, Debug, PartialEq)]
pub struct Policy {
    /// Its name.
    pub name: String,
    /// Its namespace.
    pub namespace: String,
    /// What it says.
    pub spec: NetworkPolicySpec,
    /// Where it is written.
    pub span: Span,
}

impl Policy {
    /// Whether it closes what comes in: as it says, and unless it says otherwise.
    pub fn is_ingress(&self) -> bool {
        self.spec.policy_types.is_empty() || self.spec.policy_types.iter().any(|kind| kind == "Ingress")
    }

    /// Whether it closes what goes out: as it says, else if it has rules for that (the API server's defaults).
    pub fn is_egress(&self) -> bool {
        if self.spec.policy_types.is_empty() {
            return !self.spec.egress.is_empty();
        }
        self.spec.policy_types.iter().any(|kind| kind == "Egress")
    }
}

/// A service.
#[derive(Clone, Debug, PartialEq)]
pub struct Service {
    /// Its name.
    pub name: String,
    /// Its namespace.
    pub namespace: String,
    /// What it says.
    pub spec: ServiceSpec,
    /// Where it is written.
    pub span: Span,
}

/// Reads manifests: the name and text of each file.
///
/// ```
/// let text = "apiVersion: v1\nkind: Pod\nmetadata: {name: web}\nspec: {containers: [{name: web}]}\n";
/// let cluster = quilt::kubernetes::read::read(&[("web.yaml".into(), text.into())])?;
/// assert_eq!(cluster.workloads[0].full_name(), "default/web");
/// # Ok::<(), quilt::fault::Faults>(())
/// ```
pub fn read(files: &[(String, Arc<str>)]) -> Result<Cluster, Faults> {
    let mut reader = Reader { cluster: Cluster::default(), faults: Vec::new(), documents: 0 };
    for (name, text) in files {
        reader.cluster.sources.insert(name.clone(), text.clone());
        reader.file(name, text);
    }
    let Reader { mut cluster, mut faults, .. } = reader;
    if cluster.workloads.len() > WORKLOADS_MAX {
        let message = format!("there are more than {WORKLOADS_MAX} workloads");
        faults.push(Fault::new(Kind::Manifest { message }, cluster.workloads[WORKLOADS_MAX].span.clone()));
    }
    let spaces = cluster.workloads.iter().map(|workload| &workload.namespace);
    let spaces: Vec<String> =
        spaces.chain(cluster.policies.iter().map(|policy| &policy.namespace)).cloned().collect();
    for namespace in spaces {
        cluster.namespaces.entry(namespace).or_default();
    }
    for (name, labels) in &mut cluster.namespaces {
        labels.insert(NAMESPACE_LABEL.into(), name.clone());
    }
    if faults.is_empty() { Ok(cluster) } else { Err(Faults::finish(faults, &cluster.sources, String::new())) }
}

struct Reader {
    cluster: Cluster,
    faults: Vec<Fault>,
    documents: usize,
}

/// What an object is, before it is known what else is in it.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Head {
    #[serde(default)]
    api_version: Option<String>,
    #[serde(default)]
    kind: Option<String>,
    #[serde(default)]
    items: Option<Vec<serde_json::Value>>,
}

#[derive(Deserialize)]
struct PodObject {
    #[serde(default)]
    metadata: Metadata,
    spec: PodSpec,
}

#[derive(Deserialize)]
struct CronJob {
    metadata: Metadata,
    spec: CronSpec,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct CronSpec {
    job_template: JobTemplate,
}

#[derive(Deserialize)]
struct JobTemplate {
    spec: JobSpec,
}

#[derive(Deserialize)]
struct JobSpec {
    template: PodTemplate,
    #[serde(default)]
    parallelism: Option<u32>,
}

#[derive(Deserialize)]
struct Named {
    #[serde(default)]
    metadata: Metadata,
}

impl Reader {
    fn fault(&mut self, message: String, span: &Span) {
        self.faults.push(Fault::new(Kind::Manifest { message }, span.clone()));
    }

    fn file(&mut self, file: &str, text: &str) {
        let whole = Span { file: file.to_owned(), ..Span::default() };
        if text.len() > FILE_BYTES_MAX {
            let message = format!("the file has {} bytes, and {FILE_BYTES_MAX} are the most", text.len());
            return self.fault(message, &whole);
        }
        for document in documents(text) {
            self.documents += 1;
            if self.documents > DOCUMENTS_MAX {
                return self.fault(format!("there are more than {DOCUMENTS_MAX} documents"), &whole);
            }
            let source = Source::Document { file, document };
            let span = source.start();
            if let Some(Some(head)) = self.decode::<Option<Head>>(&source, &span) {
                self.object(&head, &source, &span);
            }
        }
    }

    fn decode<T: DeserializeOwned>(&mut self, source: &Source<'_>, span: &Span) -> Option<T> {
        match source.decode() {
            Ok(value) => Some(value),
            Err((message, place)) => {
                self.fault(message, &place.unwrap_or_else(|| span.clone()));
                None
            }
        }
    }

    fn object(&mut self, head: &Head, source: &Source<'_>, span: &Span) {
        let Some(kind) = &head.kind else {
            return self.fault("this is no Kubernetes object: it has no kind".into(), span);
        };
        if let (true, Some(items)) = (kind.ends_with("List"), &head.items) {
            for item in items {
                let source = Source::Item(item);
                if let Some(head) = self.decode::<Head>(&source, span) {
                    if head.items.is_some() {
                        return self.fault("a list has a list in it".into(), span);
                    }
                    self.object(&head, &source, span);
                }
            }
            return;
        }
        match kind.as_str() {
            "Pod" => {
                if let Some(PodObject { metadata, spec }) = self.decode(source, span) {
                    self.workload(kind, &metadata, metadata.labels.clone(), 1, spec, span);
                }
            }
            "Deployment" | "ReplicaSet" | "StatefulSet" | "DaemonSet" | "Job" | "ReplicationController" => {
                if let Some(object) = self.decode::<Object<WorkloadSpec>>(source, span) {
                    let spec = object.spec;
                    let count = match kind.as_str() {
                        "DaemonSet" => 2,
                        "Job" => spec.parallelism.unwrap_or(1),
                        _ => spec.replicas.unwrap_or(1),
                    };
                    let template = spec.template;
                    self.workload(
                        kind,
                        &object.metadata,
                        template.metadata.labels,
                        count,
                        template.spec,
                        span,
                    );
                }
            }
            "CronJob" => {
                if let Some(CronJob { metadata, spec }) = self.decode(source, span) {
                    let job = spec.job_template.spec;
                    let count = job.parallelism.unwrap_or(1);
                    self.workload(
                        kind,
                        &metadata,
                        job.template.metadata.labels,
                        count,
                        job.template.spec,
                        span,
                    );
                }
            }
            "NetworkPolicy" if head.api_version.as_deref() == Some("networking.k8s.io/v1") => {
                if let Some(object) = self.decode::<Object<NetworkPolicySpec>>(source, span) {
                    let (name, namespace) = named(&object.metadata);
                    self.cluster.policies.push(Policy {
                        name,
                        namespace,
                        spec: object.spec,
                        span: span.clone(),
                    });
                }
            }
            "Service" => {
                if let Some(object) = self.decode::<Object<ServiceSpec>>(source, span) {
                    let (name, namespace) = named(&object.metadata);
                    self.cluster.services.push(Service {
                        name,
                        namespace,
                        spec: object.spec,
                        span: span.clone(),
                    });
                }
            }
            "Namespace" => {
                if let Some(Named { metadata }) = self.decode(source, span) {
                    self.cluster.namespaces.insert(metadata.name, metadata.labels);
                }
            }
            "ConfigMap" => {
                if let Some(object) = self.decode::<DataObject>(source, span) {
                    let (name, namespace) = named(&object.metadata);
                    self.cluster.config_maps.insert((namespace, name), object.data);
                }
            }
            // Policies of other systems decide too, and are not understood.
            "NetworkPolicy"
            | "GlobalNetworkPolicy"
            | "CiliumNetworkPolicy"
            | "CiliumClusterwideNetworkPolicy"
            | "AdminNetworkPolicy"
            | "BaselineAdminNetworkPolicy"
            | "AuthorizationPolicy" => {
                let version = head.api_version.as_deref().unwrap_or("no version");
                self.fault(
                    format!("a {kind} of {version} may change who reaches whom, and is not understood"),
                    span,
                );
            }
            _ => {}
        }
    }

    fn workload(
        &mut self,
        kind: &str,
        metadata: &Metadata,
        labels: Map,
        count: u32,
        pod: PodSpec,
        span: &Span,
    ) {
        // One too many is enough to say so.
        if self.cluster.workloads.len() > WORKLOADS_MAX {
            return;
        }
        let (name, namespace) = named(metadata);
        if pod.host_network == Some(true) {
            let note = format!("{namespace}/{name} has its node's network: policies do not hold for it");
            self.cluster.notes.push(note);
        }
        let span = span.clone();
        let workload = Workload { kind: kind.to_owned(), name, namespace, labels, count, pod, span };
        let same = |other: &&mut Workload| {
            other.kind == workload.kind
                && other.name == workload.name
                && other.namespace == workload.namespace
        };
        // What is applied later takes the place of what was applied before.
        match self.cluster.workloads.iter_mut().find(same) {
            Some(before) => {
                let note = format!("{} is written twice: the second counts", workload.full_name());
                *before = workload;
                self.cluster.notes.push(note);
            }
            None => self.cluster.workloads.push(workload),
        }
    }
}

fn named(metadata: &Metadata) -> (String, String) {
    let namespace = metadata.namespace.clone().unwrap_or_else(|| DEFAULT_NAMESPACE.into());
    (metadata.name.clone(), namespace)
}

/// Where an object is read from.
enum Source<'a> {
    Document { file: &'a str, document: Document<'a> },
    Item(&'a serde_json::Value),
}

impl Source<'_> {
    fn start(&self) -> Span {
        match self {
            Source::Document { file, document } => document.span(file, 1, 1, 0),
            Source::Item(_) => Span::default(),
        }
    }

    fn decode<T: DeserializeOwned>(&self) -> Result<T, (String, Option<Span>)> {
        match self {
            Source::Document { file, document } => crate::yaml::decode(document.text).map_err(|error| {
                let place =
                    error.place.map(|(line, column, offset)| document.span(file, line, column, offset));
                (error.message, place)
            }),
            Source::Item(value) => {
                serde_json::from_value((*value).clone()).map_err(|error| (error.to_string(), None))
            }
        }
    }
}

/// One document of a file.
#[derive(Clone, Copy)]
struct Document<'a> {
    text: &'a str,
    /// Where it starts: bytes and lines before it.
    offset: usize,
    lines: u32,
}

impl Document<'_> {
    fn span(&self, file: &str, line: u32, column: u32, offset: usize) -> Span {
        let offset = offset.min(self.text.len());
        let rest = &self.text.get(offset..).unwrap_or_default();
        let len = rest.find(['\n', '\r']).unwrap_or(rest.len());
        Span { file: file.to_owned(), line: self.lines + line, column, offset: self.offset + offset, len }
    }
}

/// The documents of a stream. A line that starts with `---` or `...` always ends one (YAML 1.2, section 9.1.2), so
/// they can be told apart before they are parsed. Those without content are left out.
fn documents(text: &str) -> Vec<Document<'_>> {
    let mut all = Vec::new();
    let (mut start, mut start_line) = (0, 0);
    let mut at = 0;
    let mut push = |from: usize, to: usize, lines: u32| {
        let part = &text[from..to];
        let has_content = |line: &str| {
            let line = line.strip_prefix("---").unwrap_or(line).trim();
            !line.is_empty() && !line.starts_with('#') && !line.starts_with('%') && line != "..."
        };
        if part.lines().any(has_content) {
            // Comments and empty lines before the content are no part of its place.
            let skipped: usize =
                part.split_inclusive('\n').take_while(|line| !has_content(line)).map(str::len).sum();
            let lines = lines + part[..skipped].matches('\n').count() as u32;
            all.push(Document { text: &part[skipped..], offset: from + skipped, lines });
        }
    };
    for (number, line) in text.split_inclusive('\n').enumerate() {
        let is_marker = ["---", "..."].iter().any(|marker| {
            line.strip_prefix(marker)
                .is_some_and(|rest| rest.is_empty() || rest.starts_with([' ', '\t', '\n', '\r']))
        });
        if is_marker {
            push(start, at, start_line);
            (start, start_line) = (at, number as u32);
        }
        at += line.len();
    }
    push(start, text.len(), start_line);
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    fn faults(text: &str) -> Vec<String> {
        let faults = read(&[("f.yaml".into(), text.into())]).unwrap_err();
        faults.faults.iter().map(|fault| format!("{}: {fault}", fault.span)).collect()
    }

    #[test]
    fn documents_are_told_apart_before_they_are_parsed() {
        let text = "# a\n---\n# b\n\n--- # c\na: |\n ---\n  x\n...\n---\nb: 1\n--- {c: 2}\n---\n";
        let found: Vec<(u32, &str)> = documents(text).iter().map(|one| (one.lines + 1, one.text)).collect();
        assert_eq!(found, [(6, "a: |\n ---\n  x\n"), (11, "b: 1\n"), (12, "--- {c: 2}\n")]);
    }

    #[test]
    fn faults_have_the_line_of_the_file() {
        assert_eq!(faults("---\nkind: Pod\n---\nkind: [\n")[0].split(": ").next(), Some("f.yaml:2:1"));
        let wrong = "---\napiVersion: v1\nkind: Pod\nmetadata:\n  name: x\nspec:\n  containers: 7\n";
        let found = faults(wrong);
        assert!(found[0].starts_with("f.yaml:7:15: "), "{found:?}");
        assert_eq!(faults("a: 1"), ["f.yaml:1:1: this is no Kubernetes object: it has no kind"]);
        let cilium = "apiVersion: cilium.io/v2\nkind: CiliumNetworkPolicy\nmetadata: {name: x}\n";
        assert!(faults(cilium)[0].contains("is not understood"), "{:?}", faults(cilium));
    }

    #[test]
    fn lists_are_read_and_nulls_are_nothing() {
        let text = "kind: List\napiVersion: v1\nitems:\n- kind: Pod\n  metadata: {name: a, labels: null}\n  \
                    spec: {containers: null}\n- kind: Unknown\n";
        let cluster = read(&[("f.yaml".into(), text.into())]).unwrap();
        assert_eq!(cluster.workloads.len(), 1);
        assert_eq!(cluster.namespaces["default"][NAMESPACE_LABEL], "default");
    }
}
