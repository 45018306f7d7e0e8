//! From a container of the model to what the `host` room launches.

use std::path::{Path, PathBuf};

use host::{Capabilities, Content, FileSpec, Limits, LogSpec, MountSpec, Restart, RestartPolicy, RootSpec};
use host::{ContainerSpec, Mac, NetworkKind, NetworkSpec, ProcessId};

use super::roles::{EDGE_PEER, MTU, QUEUE_PACKETS};
use super::store::{Deployment, Store};
use super::{During, RuntimeError};
use crate::address::{Address, AddressPlan};
use crate::images::Prepared;
use crate::model::{self, Container, MountSource, Text};

/// Where containers find this program: examples run its small tools.
const WEFT_INSIDE: &str = "/usr/local/bin/weft";

/// What all containers of a deployment have in common.
pub(super) struct Specs<'a> {
    deployment: &'a Deployment,
    addresses: &'a AddressPlan,
    images: &'a Prepared,
    runtime: Option<&'a Path>,
    /// Everything weft keeps on this machine; no container shall see it.
    hide: Vec<PathBuf>,
    weft: PathBuf,
    tap: bool,
    sandbox: Option<ProcessId>,
}

impl<'a> Specs<'a> {
    pub(super) fn new(
        deployment: &'a Deployment,
        store: &Store,
        addresses: &'a AddressPlan,
        images: &'a Prepared,
        runtime: Option<&'a Path>,
    ) -> Result<Self, RuntimeError> {
        Ok(Self {
            deployment,
            addresses,
            images,
            runtime,
            hide: store.directories(),
            weft: std::env::current_exe().during("find the path of this program")?,
            tap: host::tap::available(),
            sandbox: deployment.holder()?,
        })
    }

    /// The whole specification of a container on a dataplane port.
    pub(super) fn spec(&self, container: &Container, port: u32) -> Result<ContainerSpec, RuntimeError> {
        let resolve = |text: &Text| match text.resolve(crate::secret) {
            Ok(value) => Ok(value.into_owned()),
            Err(secret) => Err(RuntimeError::Secret {
                container: container.name.clone(),
                secret: secret.to_owned(),
                span: container.span.clone(),
            }),
        };
        let secrets = container.env.values().chain(container.files.values()).filter_map(|text| match text {
            Text::Secret { secret } => Some((secret.clone(), crate::secret(secret)?)),
            Text::Plain(_) => None,
        });
        let env = container.env.iter().map(|(key, text)| Ok((key.clone(), resolve(text)?)));
        let files = container.files.iter().map(|(path, text)| {
            let content = Content::Text(resolve(text)?);
            Ok((PathBuf::from(path), FileSpec { content, mode: 0o644 }))
        });
        let model::Limits { memory_bytes, cpu_milli, pids } = container.limits;
        let gateway = AddressPlan::gateway();
        let root = self.images.root(&container.image);
        Ok(ContainerSpec {
            deployment: self.deployment.name().to_owned(),
            state: self.deployment.directory().to_owned(),
            name: container.name.clone(),
            hostname: container.name.clone(),
            command: container.command.clone(),
            env: env.collect::<Result<_, RuntimeError>>()?,
            cwd: container.workdir.as_deref().unwrap_or("/").into(),
            user: container.user.clone(),
            files: files.collect::<Result<_, RuntimeError>>()?,
            mounts: self.mounts(container, &root)?,
            root,
            hide: self.hide.clone(),
            limits: Limits { memory_bytes, cpu_millis: cpu_milli, pids },
            network: self.addresses.get(&container.name).map(|own| self.network(own, port)),
            resolv_conf: Some(format!("nameserver {}\noptions timeout:2 attempts:3\n", gateway.ipv4)),
            hosts: Some(hosts(&container.name, self.addresses.get(&container.name))),
            restart: RestartPolicy {
                when: match container.restart {
                    model::Restart::Always => Restart::Always,
                    model::Restart::OnFailure => Restart::OnFailure,
                    model::Restart::Never => Restart::Never,
                },
                ..RestartPolicy::default()
            },
            health: container.health.clone(),
            secrets: secrets.collect(),
            log: LogSpec::default(),
            capabilities: Capabilities::default(),
            no_new_privs: false,
            runtime: self.runtime.map(Path::to_owned),
        })
    }

    fn mounts(&self, container: &Container, root: &RootSpec) -> Result<Vec<MountSpec>, RuntimeError> {
        let mut mounts = Vec::new();
        // An image may lack the libraries that this program needs.
        if root.is_host() {
            mounts.push(MountSpec { source: self.weft.clone(), target: WEFT_INSIDE.into(), writable: false });
        }
        for mount in &container.mounts {
            let source = match &mount.source {
                MountSource::Host(path) => path.into(),
                MountSource::Named(name) => {
                    let path = self.deployment.volume(name);
                    std::fs::create_dir_all(&path).during("make the directory of a volume")?;
                    path
                }
            };
            mounts.push(MountSpec { source, target: (&mount.target).into(), writable: !mount.read_only });
        }
        Ok(mounts)
    }

    fn network(&self, own: Address, port: u32) -> NetworkSpec {
        let kind = match self.sandbox {
            // Its other end goes into the sandbox's network, where the dataplane is.
            Some(peer_netns) if !self.tap => NetworkKind::Veth { peer_name: format!("w{port}"), peer_netns },
            _ => NetworkKind::Tap { queues: 1, txqueuelen: QUEUE_PACKETS },
        };
        network(own, kind)
    }
}

/// The edge's own interface; `holder` is the process whose network the dataplane is in.
pub(super) fn edge_network(holder: ProcessId) -> NetworkSpec {
    let kind = if host::tap::available() {
        NetworkKind::Tap { queues: 1, txqueuelen: QUEUE_PACKETS }
    } else {
        NetworkKind::Veth { peer_name: EDGE_PEER.into(), peer_netns: holder }
    };
    network(AddressPlan::edge(), kind)
}

fn network(own: Address, kind: NetworkKind) -> NetworkSpec {
    let gateway = AddressPlan::gateway();
    NetworkSpec {
        kind,
        mac: Mac(own.mac),
        ipv4: Some(own.ipv4),
        ipv6: Some(own.ipv6),
        gateway4: Some(gateway.ipv4),
        gateway6: Some(gateway.ipv6),
        gateway_mac: None,
        mtu: MTU.into(),
    }
}

/// `/etc/hosts`: the container itself. Every other name is the dataplane's to answer, so that it can change.
fn hosts(name: &str, own: Option<Address>) -> String {
    let mut text = "127.0.0.1 localhost\n::1 localhost ip6-localhost\n".to_owned();
    if let Some(own) = own {
        text += &format!("{} {name}\n{} {name}\n", own.ipv4, own.ipv6);
    }
    text
}
