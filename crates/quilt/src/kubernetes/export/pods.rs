//! Containers as pods, with their files, secrets and volumes.

use std::collections::BTreeMap;

use super::dynamics;
use super::{
    CONTAINER_LABEL, Exporter, FILES_BYTES_MAX, MEMBER, Manifest, Workload, member_label, object_name,
};
use crate::fault::{Fault, Kind};
use crate::kubernetes::manifest::{
    Claim, ClaimSpec, ConfigMapVolume, DataObject, EnvSource, EnvVar, HostPath, KeyRef, LabelSelector, Map,
    Metadata, Object, PodContainer, PodSpec, PodTemplate, Quantity, Requests, Resources, SecretVolume,
    SecurityContext, Volume, VolumeMount, WorkloadSpec,
};
use crate::model::{Container, Image, Limits, MountSource, Restart, Text};

/// Key of a secret's value in its object.
const SECRET_KEY: &str = "value";
/// Annotation of a pod: a fingerprint of its files.
const FILES_ANNOTATION: &str = "weft/files";
/// How much storage a named volume asks for.
const VOLUME_SIZE: &str = "1Gi";

impl<'a> Exporter<'a> {
    /// Configurations that hold files, and the workloads.
    pub(super) fn pods(&mut self) -> (Vec<Manifest>, Vec<Manifest>) {
        let workloads = std::mem::take(&mut self.workloads);
        let mut files = Vec::new();
        let mut pods = Vec::new();
        for workload in &workloads {
            pods.push(self.workload(workload, &mut files));
        }
        self.workloads = workloads;
        (files, pods)
    }

    fn workload(&mut self, workload: &Workload<'a>, files: &mut Vec<Manifest>) -> Manifest {
        let container = &workload.members[0];
        let count = workload.members.len() as u32;
        let mut labels: Map = [(CONTAINER_LABEL.to_owned(), workload.name.to_owned())].into();
        let selector = LabelSelector { match_labels: labels.clone(), ..LabelSelector::default() };
        for service in self.services_of.get(container.name.as_str()).into_iter().flatten() {
            labels.insert(member_label(&service.name), MEMBER.to_owned());
        }
        let always = container.restart == Restart::Always;
        // Mounted files do not follow their configuration: other files are another pod.
        let annotations = (!container.files.is_empty())
            .then(|| Container { files: container.files.clone(), ..Container::default() }.fingerprint())
            .map(|print| (FILES_ANNOTATION.to_owned(), print));
        let annotations = annotations.into_iter().collect();
        let template = PodTemplate {
            metadata: Metadata { labels, annotations, ..Metadata::default() },
            spec: PodSpec {
                automount_service_account_token: Some(false),
                enable_service_links: Some(false),
                affinity: self.affinity(workload),
                hostname: (count == 1).then(|| container.name.clone()),
                restart_policy: match container.restart {
                    Restart::Always => None,
                    Restart::OnFailure => Some("OnFailure".into()),
                    Restart::Never => Some("Never".into()),
                },
                ..self.pod(workload, container, files)
            },
        };
        let services = self.services_of.get(container.name.as_str()).into_iter().flatten();
        let (strategy, min_ready_seconds) =
            dynamics::strategy(services.clone().find_map(|service| service.update).filter(|_| count > 1));
        let spec = if always {
            WorkloadSpec {
                strategy,
                min_ready_seconds,
                replicas: Some(count),
                selector: Some(selector),
                template,
                ..WorkloadSpec::default()
            }
        } else {
            let backoff_limit = (container.restart == Restart::Never).then_some(0);
            let (parallelism, completions) = (Some(count), Some(count));
            WorkloadSpec { parallelism, completions, backoff_limit, template, ..WorkloadSpec::default() }
        };
        Manifest::Workload(Box::new(Object {
            api_version: if always { "apps/v1" } else { "batch/v1" }.into(),
            kind: if always { "Deployment" } else { "Job" }.into(),
            metadata: self.metadata(workload.name),
            spec,
        }))
    }

    /// Containers and volumes of a pod.
    fn pod(
        &mut self,
        workload: &Workload<'a>,
        container: &'a Container,
        files: &mut Vec<Manifest>,
    ) -> PodSpec {
        let mut volumes = Vec::new();
        let mut mounts = Vec::new();
        self.files(workload.name, container, files, &mut volumes, &mut mounts);
        for mount in &container.mounts {
            let name = format!("v{}", volumes.len());
            let mut volume = Volume { name: name.clone(), ..Volume::default() };
            match &mount.source {
                MountSource::Host(path) => {
                    volume.host_path = Some(HostPath { path: path.clone() });
                    self.notes.insert(format!("{path} is that of the node that a pod runs on"));
                }
                MountSource::Named(named) => {
                    let taken = self.volumes.values().map(|(object, _)| object);
                    let object = object_name(named, taken);
                    let entry = self.volumes.entry(named).or_insert((object, 0));
                    entry.1 += workload.members.len();
                    volume.persistent_volume_claim = Some(Claim { claim_name: entry.0.clone() });
                }
            }
            volumes.push(volume);
            let read_only = mount.read_only.then_some(true);
            let mount_path = mount.target.clone();
            mounts.push(VolumeMount { name, mount_path, sub_path: None, read_only });
        }
        let image = match &container.image {
            Image::Host => self.options.host_image.to_owned(),
            Image::Alias(image) => image.clone(),
            // What a cluster pulls has to be in a registry: told as such.
            image @ (Image::Scratch | Image::Oci(_) | Image::Built(_)) => {
                self.own_image(workload.name, image)
            }
        };
        let env = container.env.iter().map(|(name, text)| self.env(name, text)).collect();
        let (readiness_probe, liveness_probe) = dynamics::probes(container.health.as_ref());
        let own = PodContainer {
            readiness_probe,
            liveness_probe,
            name: workload.name.to_owned(),
            image: Some(image),
            command: container.command.iter().map(|word| literal(word)).collect(),
            working_dir: container.workdir.clone(),
            env,
            resources: resources(container.limits),
            security_context: self.identity(container),
            volume_mounts: mounts,
            ..PodContainer::default()
        };
        PodSpec { containers: vec![own], volumes, ..PodSpec::default() }
    }

    /// What a cluster would call an image that weft keeps: it has to be in a registry first.
    fn own_image(&mut self, workload: &str, image: &Image) -> String {
        let name = match image {
            Image::Built(built) => built.name.clone(),
            Image::Oci(oci) => oci.name.clone().unwrap_or_else(|| oci.path.clone()),
            _ => workload.to_owned(),
        };
        let plain = |c: char| {
            if c.is_ascii_alphanumeric() || "._/-:".contains(c) { c.to_ascii_lowercase() } else { '-' }
        };
        let name: String = name.chars().map(plain).collect();
        let name = name.trim_matches(['.', '/', '-', ':']).to_owned();
        self.notes.insert(format!(
            "image '{image}' is kept by weft: push it as '{name}' to a registry that the cluster pulls from"
        ));
        name
    }

    fn env(&mut self, name: &str, text: &'a Text) -> EnvVar {
        let name = name.to_owned();
        match text {
            Text::Plain(text) => EnvVar { name, value: Some(literal(text)), value_from: None },
            Text::Secret { secret } => {
                let reference = KeyRef { name: self.secret(secret), key: SECRET_KEY.into() };
                let source = EnvSource { secret_key_ref: Some(reference), ..EnvSource::default() };
                EnvVar { name, value: None, value_from: Some(source) }
            }
        }
    }

    /// The object of a secret.
    fn secret(&mut self, secret: &'a str) -> String {
        let object = object_name(secret, self.secrets.values());
        self.secrets.entry(secret).or_insert(object).clone()
    }

    /// Files become keys of a configuration of the workload's own; each is mounted alone.
    fn files(
        &mut self,
        name: &str,
        container: &'a Container,
        files: &mut Vec<Manifest>,
        volumes: &mut Vec<Volume>,
        mounts: &mut Vec<VolumeMount>,
    ) {
        let mut data = Map::new();
        let mut secret_volumes: BTreeMap<String, String> = BTreeMap::new();
        for (at, (path, text)) in container.files.iter().enumerate() {
            let (volume, key) = match text {
                Text::Plain(text) => {
                    data.insert(format!("file-{at}"), text.clone());
                    ("files".to_owned(), format!("file-{at}"))
                }
                Text::Secret { secret } => {
                    let object = self.secret(secret);
                    let next = format!("s{}", secret_volumes.len());
                    (secret_volumes.entry(object).or_insert(next).clone(), SECRET_KEY.to_owned())
                }
            };
            let mount_path = path.clone();
            mounts.push(VolumeMount { name: volume, mount_path, sub_path: Some(key), read_only: Some(true) });
        }
        for (object, name) in secret_volumes {
            let secret = Some(SecretVolume { secret_name: object });
            volumes.push(Volume { name, secret, ..Volume::default() });
        }
        if data.is_empty() {
            return;
        }
        if data.values().map(String::len).sum::<usize>() > FILES_BYTES_MAX {
            let what = "files together".to_owned();
            let reason = "are larger than a ConfigMap may be, 900 KiB";
            let kind = Kind::Text { name: container.name.clone(), what, reason };
            self.faults.push(Fault::new(kind, container.span.clone()));
            return;
        }
        // No container can be called that: names have no dots.
        let object = format!("{name}.files");
        let config_map = Some(ConfigMapVolume { name: object.clone() });
        volumes.push(Volume { name: "files".into(), config_map, ..Volume::default() });
        files.push(Manifest::Data(DataObject {
            api_version: "v1".into(),
            kind: "ConfigMap".into(),
            metadata: self.metadata(&object),
            data,
            ..DataObject::default()
        }));
    }

    fn identity(&mut self, container: &Container) -> Option<SecurityContext> {
        let user = container.user.as_ref()?;
        let (uid, gid) = match user.split_once(':') {
            Some((uid, gid)) => (uid.parse().ok(), gid.parse().ok()),
            None => (user.parse().ok(), None),
        };
        if uid.is_none() {
            self.notes.insert(format!(
                "user {user} of {} is not exported: pods know users by number",
                container.name
            ));
        }
        uid.map(|uid| SecurityContext { run_as_user: Some(uid), run_as_group: gid })
    }

    /// Objects of the secrets that are used, where their values may be written.
    pub(super) fn secrets(&mut self) -> Vec<Manifest> {
        let mut manifests = Vec::new();
        for (secret, object) in &self.secrets {
            let Some(value) = self.options.secrets.and_then(|lookup| lookup(secret)) else {
                self.notes.insert(format!(
                    "the value of secret {secret} is not exported; set it with: kubectl -n {} create secret generic \
                     {object} --from-literal={SECRET_KEY}=…",
                    self.namespace()
                ));
                continue;
            };
            manifests.push(Manifest::Data(DataObject {
                api_version: "v1".into(),
                kind: "Secret".into(),
                metadata: self.metadata(object),
                string_data: [(SECRET_KEY.to_owned(), value)].into(),
                ..DataObject::default()
            }));
        }
        manifests
    }

    /// Objects of the named volumes that are used.
    pub(super) fn claims(&mut self) -> Vec<Manifest> {
        let mut manifests = Vec::new();
        for (object, pods) in self.volumes.values() {
            let mode = if *pods > 1 { "ReadWriteMany" } else { "ReadWriteOnce" };
            self.notes.insert(format!("volume {object} asks for {VOLUME_SIZE}, {mode}"));
            let requests = Requests { requests: [("storage".to_owned(), VOLUME_SIZE.to_owned())].into() };
            manifests.push(Manifest::Claim(Object {
                api_version: "v1".into(),
                kind: "PersistentVolumeClaim".into(),
                metadata: self.metadata(object),
                spec: ClaimSpec { access_modes: vec![mode.into()], resources: requests },
            }));
        }
        manifests
    }
}

/// The kubelet replaces `$(NAME)` in commands and environment, unless it is written `$$(NAME)`.
pub(super) fn literal(text: &str) -> String {
    text.replace("$(", "$$(")
}

fn resources(limits: Limits) -> Option<Resources> {
    let memory = limits.memory_bytes.map(|bytes| ("memory".to_owned(), Quantity::Text(bytes.to_string())));
    let cpu = limits.cpu_milli.map(|milli| ("cpu".to_owned(), Quantity::Text(format!("{milli}m"))));
    let limits: BTreeMap<_, _> = memory.into_iter().chain(cpu).collect();
    (!limits.is_empty()).then_some(Resources { limits })
}
