//! A blueprint on a Kubernetes cluster: its manifests applied, watched, compared and taken away again.
//!
//! ```text
//!  Exported ──apply──▶ server-side apply, as field manager `weft` ──prune──▶ what the labels say is ours and gone
//!           ──plan───▶ the same as a dry run, compared with what is there
//! ```
//!
//! Everything that weft makes carries two labels, `app.kubernetes.io/managed-by: weft` and
//! `app.kubernetes.io/part-of: DEPLOYMENT`; nothing without them is ever changed or deleted.

mod apply;
mod connect;
mod diff;
mod enforce;
mod error;
mod kinds;
mod nodes;
mod rollout;

use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use kube_client::{Api, Client};
use kube_core::DynamicObject;
use kube_core::params::ListParams;
use serde_json::Value;

pub use apply::{Applied, Stopped};
pub use connect::Target;
pub use diff::{Change, Changes, Verb};
pub use enforce::Enforcement;
pub use error::ClusterError;
pub use nodes::Node;
pub use rollout::{Rollout, State};

use crate::kubernetes::export::Exported;
use kinds::Kind;

/// Who weft is to the API server: the fields that it sets are its own.
pub const FIELD_MANAGER: &str = "weft";
/// How long it is waited for containers to become ready, unless said.
pub const READY_LIMIT: Duration = Duration::from_secs(300);
/// Objects in one answer of a list.
const PAGE: u32 = 500;
/// Most answers of one list.
const PAGES_MAX: usize = 100;
/// Label that says that weft made an object.
const MANAGED_BY: &str = "app.kubernetes.io/managed-by";
/// Label that says of which deployment an object is.
const PART_OF: &str = "app.kubernetes.io/part-of";
/// Label of a pod: which container it is of.
const CONTAINER: &str = "weft/container";

/// What happens on the way, for whoever watches.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Progress<'a> {
    /// What is done now.
    Step(&'a str),
    /// How far the containers are.
    Rollout(&'a [Rollout]),
    /// Something that the user should know.
    Warning(String),
}

/// A cluster that can be reached.
pub struct Cluster {
    runtime: tokio::runtime::Runtime,
    client: Client,
    url: String,
}

/// A deployment on a cluster: the manifests of a blueprint and where they go.
#[derive(Clone, Copy)]
pub struct Deployment<'a> {
    /// Its name.
    pub name: &'a str,
    /// The namespace it is in.
    pub namespace: &'a str,
}

impl Deployment<'_> {
    /// Selects what is of the deployment.
    fn selector(&self) -> String {
        format!("{MANAGED_BY}=weft,{PART_OF}={}", self.name)
    }
}

impl Cluster {
    /// Where its API server is.
    pub fn url(&self) -> &str {
        &self.url
    }

    fn api(&self, kind: Kind, namespace: &str) -> Api<DynamicObject> {
        let resource = kind.resource();
        if kind.namespaced {
            Api::namespaced_with(self.client.clone(), namespace, &resource)
        } else {
            Api::all_with(self.client.clone(), &resource)
        }
    }

    /// Every object of a kind that is selected; `None` where the cluster has no such kind.
    async fn list(
        &self,
        kind: Kind,
        namespace: Option<&str>,
        selector: &str,
    ) -> Result<Option<Vec<DynamicObject>>, ClusterError> {
        let api: Api<DynamicObject> = match namespace {
            Some(namespace) => self.api(kind, namespace),
            None => Api::all_with(self.client.clone(), &kind.resource()),
        };
        let mut all = Vec::new();
        let mut parameters = ListParams::default().labels(selector).limit(PAGE);
        for _ in 0..PAGES_MAX {
            let page = match api.list(&parameters).await {
                Ok(page) => page,
                Err(error) if code(&error) == Some(404) => return Ok(None),
                Err(error) => return Err(self.refused("list", kind.plural.to_owned(), error)),
            };
            all.extend(page.items);
            match page.metadata.continue_.filter(|token| !token.is_empty()) {
                Some(token) => parameters = parameters.continue_token(&token),
                None => return Ok(Some(all)),
            }
        }
        let message = format!("there are more than {} of them", PAGES_MAX * PAGE as usize);
        Err(ClusterError::Refused { action: "list", object: kind.plural.into(), message })
    }

    /// What went wrong with a request.
    fn refused(&self, action: &'static str, object: String, error: kube_client::Error) -> ClusterError {
        match error {
            kube_client::Error::Api(status) if status.code == 409 && action == "apply" => {
                ClusterError::Conflict { object, message: status.message }
            }
            kube_client::Error::Api(status) => {
                ClusterError::Refused { action, object, message: status.message }
            }
            other => ClusterError::Unreachable { url: self.url.clone(), reason: whole(&other) },
        }
    }
}

/// An error with what it comes from.
fn whole(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        let cause_text = cause.to_string();
        if !text.contains(&cause_text) {
            text = format!("{text}: {cause_text}");
        }
        source = cause.source();
    }
    text
}

/// The status of an answer, if it was the API server that refused.
fn code(error: &kube_client::Error) -> Option<u16> {
    match error {
        kube_client::Error::Api(status) => Some(status.code),
        _ => None,
    }
}

/// The value of a label.
fn label<'o>(object: &'o DynamicObject, key: &str) -> Option<&'o str> {
    object.metadata.labels.as_ref()?.get(key).map(String::as_str)
}

/// An object's name.
fn name(object: &DynamicObject) -> &str {
    object.metadata.name.as_deref().unwrap_or_default()
}

/// The manifests as objects, with their kinds.
fn objects(exported: &Exported) -> Vec<(Kind, DynamicObject)> {
    exported
        .manifests
        .iter()
        .filter_map(|manifest| {
            let mut value = serde_json::to_value(manifest).ok()?;
            encode(&mut value);
            let kind = Kind::find(value["apiVersion"].as_str()?, value["kind"].as_str()?)?;
            Some((kind, serde_json::from_value(value).ok()?))
        })
        .collect()
}

/// Texts of a secret as the API server keeps them. What is only written, as `stringData` is, has no owner, so that a
/// later apply could not take it away.
fn encode(object: &mut Value) {
    let Some(Value::Object(texts)) = object.as_object_mut().and_then(|object| object.remove("stringData"))
    else {
        return;
    };
    let encoded =
        texts.into_iter().filter_map(|(key, text)| Some((key, BASE64.encode(text.as_str()?).into())));
    object["data"] = Value::Object(encoded.collect());
}

impl std::fmt::Debug for Cluster {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Cluster").field("url", &self.url).finish_non_exhaustive()
    }
}
