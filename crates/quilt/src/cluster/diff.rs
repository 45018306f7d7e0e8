//! What an apply would change: the manifests applied as a dry run, compared with what is there.

use std::fmt;

use kube_core::DynamicObject;
use kube_core::params::{Patch, PatchParams};
use serde::Serialize;
use serde_json::Value;

use super::apply::{is_immutable, is_of};
use super::kinds::{CLAIM, Kind};
use super::{Cluster, ClusterError, Deployment, FIELD_MANAGER, name, objects};
use crate::kubernetes::export::Exported;

/// Most fields that are named of an object that changes.
const FIELDS_SHOWN_MAX: usize = 5;
/// Longest value that is shown, in characters.
const VALUE_SHOWN_MAX: usize = 40;
/// What the API server keeps about an object itself.
const KEPT: [&str; 6] =
    ["managedFields", "resourceVersion", "generation", "uid", "creationTimestamp", "selfLink"];

/// What happens to an object.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Verb {
    /// It is made.
    Create,
    /// Some of its fields are changed.
    Change,
    /// It is deleted and made anew, since what changes cannot be changed in place.
    Replace,
    /// It is deleted.
    Delete,
}

/// What happens to one object.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Change {
    /// What happens.
    pub verb: Verb,
    /// Its kind.
    pub kind: &'static str,
    /// Its name.
    pub name: String,
    /// Which fields change, and into what.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub fields: Vec<String>,
}

/// Everything that an apply would change.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Changes {
    /// The changes, in the order in which they would be made.
    pub changes: Vec<Change>,
    /// How many objects stay as they are.
    pub unchanged: usize,
}

impl fmt::Display for Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let sign = match self.verb {
            Verb::Create => '+',
            Verb::Delete => '-',
            Verb::Change | Verb::Replace => '~',
        };
        write!(f, "{sign} {} {}", self.kind, self.name)?;
        if self.verb == Verb::Replace {
            f.write_str(" (made anew)")?;
        }
        if !self.fields.is_empty() {
            let shown = self.fields.iter().take(FIELDS_SHOWN_MAX).map(String::as_str).collect::<Vec<_>>();
            write!(f, " ({}", shown.join(", "))?;
            if self.fields.len() > FIELDS_SHOWN_MAX {
                write!(f, ", {} more", self.fields.len() - FIELDS_SHOWN_MAX)?;
            }
            f.write_str(")")?;
        }
        Ok(())
    }
}

impl fmt::Display for Changes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for change in &self.changes {
            writeln!(f, "{change}")?;
        }
        if self.changes.is_empty() {
            writeln!(f, "nothing to do: {} objects are as wanted", self.unchanged)?;
        }
        Ok(())
    }
}

impl Cluster {
    /// What [`Cluster::apply`] would do, asked of the cluster itself; nothing is changed.
    ///
    /// # Errors
    /// When the cluster refuses what would be applied.
    pub fn plan(
        &self,
        deployment: Deployment<'_>,
        exported: &Exported,
        force: bool,
    ) -> Result<Changes, ClusterError> {
        self.runtime.block_on(async {
            let wanted = objects(exported);
            let mut plan = Changes::default();
            for (kind, object) in &wanted {
                match self.change(deployment, *kind, object, force).await? {
                    Some(change) => plan.changes.push(change),
                    None => plan.unchanged += 1,
                }
            }
            for (kind, gone) in self.surplus(deployment, &wanted).await? {
                if kind != CLAIM {
                    let change =
                        Change { verb: Verb::Delete, kind: kind.kind, name: gone, fields: Vec::new() };
                    plan.changes.push(change);
                }
            }
            Ok(plan)
        })
    }

    async fn change(
        &self,
        deployment: Deployment<'_>,
        kind: Kind,
        object: &DynamicObject,
        force: bool,
    ) -> Result<Option<Change>, ClusterError> {
        let of = |verb, fields| Change { verb, kind: kind.kind, name: name(object).to_owned(), fields };
        // Into a namespace that is not there yet nothing can be applied, not even as a dry run.
        let Some(there) = self.get(kind, deployment.namespace, name(object)).await? else {
            return Ok(Some(of(Verb::Create, Vec::new())));
        };
        if !is_of(&there, deployment) {
            let owner = "its labels are not this deployment's".to_owned();
            return Err(ClusterError::Taken { object: kind.of(name(object)), owner });
        }
        let parameters =
            PatchParams { force, ..PatchParams::apply(FIELD_MANAGER).validation_strict() }.dry_run();
        let api = self.api(kind, deployment.namespace);
        let then = match api.patch(name(object), &parameters, &Patch::Apply(object)).await {
            Ok(then) => then,
            Err(error) if is_immutable(&error) => return Ok(Some(of(Verb::Replace, Vec::new()))),
            Err(error) => return Err(self.unapplied(kind, object, error)),
        };
        let mut fields = Vec::new();
        let is_secret = kind.kind == "Secret";
        compare("", &plain(&there), &plain(&then), is_secret, &mut fields);
        Ok((!fields.is_empty()).then(|| of(Verb::Change, fields)))
    }
}

/// An object without what the API server keeps about it.
fn plain(object: &DynamicObject) -> Value {
    let mut value = serde_json::to_value(object).unwrap_or_default();
    if let Some(members) = value.as_object_mut() {
        members.remove("status");
    }
    if let Some(metadata) = value["metadata"].as_object_mut() {
        for key in KEPT {
            metadata.remove(key);
        }
    }
    value
}

/// Adds how `then` differs from `now`. Values of secrets are not shown.
fn compare(path: &str, now: &Value, then: &Value, is_secret: bool, fields: &mut Vec<String>) {
    if now == then {
        return;
    }
    match (now, then) {
        (Value::Object(before), Value::Object(after)) => {
            let keys: std::collections::BTreeSet<&String> = before.keys().chain(after.keys()).collect();
            for key in keys {
                let within = if path.is_empty() { key.clone() } else { format!("{path}.{key}") };
                let (now, then) = (before.get(key), after.get(key));
                compare(
                    &within,
                    now.unwrap_or(&Value::Null),
                    then.unwrap_or(&Value::Null),
                    is_secret,
                    fields,
                );
            }
        }
        (Value::Array(before), Value::Array(after)) if before.len() == after.len() => {
            for (at, (now, then)) in before.iter().zip(after).enumerate() {
                compare(&format!("{path}[{at}]"), now, then, is_secret, fields);
            }
        }
        _ if is_secret => fields.push(format!("{path} changed")),
        _ => fields.push(format!("{path}: {} -> {}", shown(now), shown(then))),
    }
}

fn shown(value: &Value) -> String {
    let text = match value {
        Value::Null => "nothing".to_owned(),
        Value::String(text) => text.clone(),
        other => other.to_string(),
    };
    let plain = |c: char| if c.is_control() { ' ' } else { c };
    let short: String = text.chars().take(VALUE_SHOWN_MAX).map(plain).collect();
    if text.chars().count() > VALUE_SHOWN_MAX { format!("{short}…") } else { short }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn fields(now: &Value, then: &Value, is_secret: bool) -> Vec<String> {
        let mut fields = Vec::new();
        compare("", now, then, is_secret, &mut fields);
        fields
    }

    #[test]
    fn changes_name_the_field_and_both_values() {
        let now = json!({"spec": {"replicas": 2, "list": [1, 2]}, "a": 1});
        let then = json!({"spec": {"replicas": 3, "list": [1, 3]}, "b": {"c": "x"}});
        let found = fields(&now, &then, false);
        assert_eq!(
            found,
            [
                "a: 1 -> nothing",
                "b: nothing -> {\"c\":\"x\"}",
                "spec.list[1]: 2 -> 3",
                "spec.replicas: 2 -> 3"
            ]
        );
        let change = Change {
            verb: Verb::Change,
            kind: "Deployment",
            name: "web".into(),
            fields: vec!["a".into(); 7],
        };
        assert_eq!(change.to_string(), "~ Deployment web (a, a, a, a, a, 2 more)");
    }

    #[test]
    fn no_value_of_a_secret_is_shown() {
        let found = fields(&json!({"data": {"value": "b2xk"}}), &json!({"data": {"value": "bmV3"}}), true);
        assert_eq!(found, ["data.value changed"]);
    }
}
