//! Which cluster is meant, and how it is reached.

use std::path::{Path, PathBuf};
use std::time::Duration;

use kube_client::config::{KubeConfigOptions, Kubeconfig};
use kube_client::{Client, Config};

use super::{Cluster, ClusterError, whole};

/// How long a connection may take to be made.
const CONNECT_LIMIT: Duration = Duration::from_secs(10);
/// How long an answer may take.
const READ_LIMIT: Duration = Duration::from_secs(60);

/// Which cluster is meant.
#[derive(Clone, Debug, Default)]
pub struct Target {
    /// The kubeconfig; without, `KUBECONFIG`, `~/.kube/config`, or the account of the pod that weft runs in.
    pub kubeconfig: Option<PathBuf>,
    /// Which of its contexts; the current one without.
    pub context: Option<String>,
    /// Where its API server is reached in place of where the kubeconfig says, as through a tunnel.
    pub server: Option<String>,
}

impl Cluster {
    /// Finds out how the cluster is reached; nothing is sent yet.
    ///
    /// # Errors
    /// When nothing names a cluster, or what names it cannot be used.
    pub fn connect(target: &Target) -> Result<Cluster, ClusterError> {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(|source| ClusterError::System { action: "start the client", source })?;
        let mut config = runtime.block_on(config(target))?;
        config.connect_timeout = Some(CONNECT_LIMIT);
        config.read_timeout = Some(READ_LIMIT);
        config.write_timeout = Some(READ_LIMIT);
        if let Some(server) = &target.server {
            config.cluster_url = server.parse::<http::Uri>().map_err(|error| ClusterError::NoCluster {
                reason: format!("'{server}' is no address ({error})"),
            })?;
        }
        let url = config.cluster_url.to_string();
        let client = {
            let _inside = runtime.enter();
            Client::try_from(config)
        };
        let client =
            client.map_err(|error| ClusterError::Unreachable { url: url.clone(), reason: whole(&error) })?;
        Ok(Cluster { runtime, client, url })
    }
}

async fn config(target: &Target) -> Result<Config, ClusterError> {
    let options = KubeConfigOptions { context: target.context.clone(), ..KubeConfigOptions::default() };
    if let Some(path) = &target.kubeconfig {
        return from_file(path, &options).await;
    }
    match Config::from_kubeconfig(&options).await {
        Ok(config) => Ok(config),
        Err(error) => {
            // Within a cluster there is no file; whoever has one, or names a context, means that.
            let inside = if target.context.is_none() { Config::incluster().ok() } else { None };
            inside.ok_or_else(|| ClusterError::NoCluster { reason: whole(&error) })
        }
    }
}

async fn from_file(path: &Path, options: &KubeConfigOptions) -> Result<Config, ClusterError> {
    let wrong = |reason: String| ClusterError::Kubeconfig { path: path.to_owned(), reason };
    let file = Kubeconfig::read_from(path).map_err(|error| wrong(whole(&error)))?;
    Config::from_custom_kubeconfig(file, options).await.map_err(|error| wrong(whole(&error)))
}
