//! The deployment as Quilt's programs passed it on: read as they read it, written as they wrote it.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::DEPLOYMENT_BYTES_MAX;

macro_rules! original {
    ($(#[$about:meta])* $name:ident { $($(#[$doc:meta])* $field:ident: $type:ty = $key:literal;)* }) => {
        $(#[$about])*
        #[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
        #[serde(default)]
        pub struct $name {
            $(
                $(#[$doc])*
                #[serde(rename(serialize = $key), skip_serializing_if = "Zero::is_zero")]
                pub $field: $type,
            )*
        }

        impl Zero for $name {
            fn is_zero(&self) -> bool {
                // Structures were written always.
                false
            }
        }
    };
}

/// Whether a value is the one that is left out when it is written.
trait Zero {
    fn is_zero(&self) -> bool;
}

impl Zero for String {
    fn is_zero(&self) -> bool {
        self.is_empty()
    }
}

impl<T> Zero for Vec<T> {
    fn is_zero(&self) -> bool {
        self.is_empty()
    }
}

impl<K, V> Zero for BTreeMap<K, V> {
    fn is_zero(&self) -> bool {
        self.is_empty()
    }
}

impl Zero for bool {
    fn is_zero(&self) -> bool {
        !self
    }
}

impl Zero for i64 {
    fn is_zero(&self) -> bool {
        *self == 0
    }
}

impl Zero for Amount {
    fn is_zero(&self) -> bool {
        self.0 == 0.0
    }
}

/// A number that need not be whole; one that is is written as such.
#[derive(Clone, Copy, Debug, Default, PartialEq, Deserialize)]
#[serde(transparent)]
pub struct Amount(pub f64);

impl Serialize for Amount {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if self.0.fract() == 0.0 && self.0.abs() < 9e15 {
            serializer.serialize_i64(self.0 as i64)
        } else {
            serializer.serialize_f64(self.0)
        }
    }
}

original! {
    /// What runs together.
    Deployment {
        /// Programs.
        containers: Vec<Container> = "Containers";
        /// Groups of them.
        labels: Vec<Label> = "Labels";
        /// Who may connect to whom.
        connections: Vec<Connection> = "Connections";
        /// Which groups run where.
        placements: Vec<Placement> = "Placements";
        /// Machines to rent.
        machines: Vec<Machine> = "Machines";
        /// Whence machines may be administered.
        adminacl: Vec<String> = "AdminACL";
        /// The most that a machine may cost, in US dollars an hour.
        maxprice: Amount = "MaxPrice";
        /// Its name.
        namespace: String = "Namespace";
        /// What must be true of it.
        invariants: Vec<Invariant> = "Invariants";
    }
}

original! {
    /// Which group runs where.
    Placement {
        /// The group.
        targetlabel: String = "TargetLabel";
        /// Whether the rule excludes.
        exclusive: bool = "Exclusive";
        /// Beside this group, or never.
        otherlabel: String = "OtherLabel";
        /// On machines of this provider, or never.
        provider: String = "Provider";
        /// On machines of this size, or never.
        size: String = "Size";
        /// On machines of this region, or never.
        region: String = "Region";
        /// On the machine with this address, or never.
        floatingip: String = "FloatingIP";
    }
}

original! {
    /// An image.
    Image {
        /// Its name.
        name: String = "Name";
        /// What it is built from, if it is to be built.
        dockerfile: String = "Dockerfile";
    }
}

original! {
    /// A program.
    Container {
        /// A hash of what it is.
        id: String = "ID";
        /// Its image.
        image: Image = "Image";
        /// Its command.
        command: Vec<String> = "Command";
        /// Its environment.
        env: BTreeMap<String, String> = "Env";
        /// Its files.
        filepathtocontent: BTreeMap<String, String> = "FilepathToContent";
        /// Its own name.
        hostname: String = "Hostname";
    }
}

original! {
    /// A group of containers.
    Label {
        /// Its name.
        name: String = "Name";
        /// Its containers.
        ids: Vec<String> = "IDs";
        /// What was written down about it.
        annotations: Vec<String> = "Annotations";
    }
}

original! {
    /// A permission to connect.
    Connection {
        /// Who: a label, or `public`.
        from: String = "From";
        /// To whom.
        to: String = "To";
        /// On which ports, the lowest.
        minport: i64 = "MinPort";
        /// The highest.
        maxport: i64 = "MaxPort";
    }
}

original! {
    /// A machine to rent.
    Machine {
        /// A hash of what it is.
        id: String = "ID";
        /// Whose.
        provider: String = "Provider";
        /// `Master` or `Worker`.
        role: String = "Role";
        /// Which kind.
        size: String = "Size";
        /// Its cores.
        cpu: Range = "CPU";
        /// Its memory, in GiB.
        ram: Range = "RAM";
        /// Its disk, in GiB.
        disksize: i64 = "DiskSize";
        /// Where.
        region: String = "Region";
        /// Who may log in.
        sshkeys: Vec<String> = "SSHKeys";
        /// Its lasting address.
        floatingip: String = "FloatingIP";
        /// Whether it may be taken back.
        preemptible: bool = "Preemptible";
    }
}

original! {
    /// From a least to a most; no most where it is 0.
    Range {
        /// The least.
        min: Amount = "Min";
        /// The most.
        max: Amount = "Max";
    }
}

/// Something that must be true, or not.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Invariant {
    /// What: `reach`, `reachDirect`, `reachACL`, `between`, `enough`.
    #[serde(rename(serialize = "Form"))]
    pub form: String,
    /// Whether it must be.
    #[serde(rename(serialize = "Target"))]
    pub target: bool,
    /// Of whom.
    #[serde(rename(serialize = "Nodes"))]
    pub nodes: Vec<String>,
}

/// Why a text is no deployment.
#[derive(Debug, thiserror::Error)]
pub enum DeploymentError {
    /// It is too long.
    #[error("unable to parse blueprint: it has {bytes} bytes, and {DEPLOYMENT_BYTES_MAX} are the most")]
    TooLong {
        /// How long.
        bytes: usize,
    },
    /// It is JSON of another kind.
    #[error("unable to parse blueprint: it must be an object")]
    NotAnObject,
    /// It is not what it should be.
    #[error("unable to parse blueprint: {0}")]
    Malformed(#[from] serde_json::Error),
}

impl Deployment {
    /// Reads a deployment: as the bindings print it, or as Quilt's programs passed it on to each other. They took members
    /// in letters of either case, and what they did not know was left out.
    ///
    /// ```
    /// use quilt::daemon::Deployment;
    ///
    /// let printed = r#"{"namespace": "ns", "labels": [{"name": "web", "ids": ["a"], "annotations": []}]}"#;
    /// let deployment = Deployment::parse(printed)?;
    /// assert_eq!(deployment.to_string(), r#"{"Labels":[{"Name":"web","IDs":["a"]}],"Namespace":"ns"}"#);
    /// assert_eq!(Deployment::parse(&deployment.to_string())?, deployment);
    /// # Ok::<(), quilt::daemon::DeploymentError>(())
    /// ```
    ///
    /// # Errors
    /// When it is too long, not JSON, or a member is of another kind.
    pub fn parse(text: &str) -> Result<Self, DeploymentError> {
        if text.len() > DEPLOYMENT_BYTES_MAX {
            return Err(DeploymentError::TooLong { bytes: text.len() });
        }
        let value: Value = serde_json::from_str(text)?;
        if !value.is_object() {
            return Err(DeploymentError::NotAnObject);
        }
        Ok(serde_json::from_value(folded(value))?)
    }

    /// Whether it asks for nothing.
    pub fn is_empty(&self) -> bool {
        self.containers.is_empty() && self.labels.is_empty()
    }
}

/// The text that Quilt's programs passed on: members in a fixed order, without those that are zero (Go's
/// `encoding/json`, which also writes `<`, `>` and `&` as escapes).
impl std::fmt::Display for Deployment {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let value = serde_json::to_string(self).map_err(|_| std::fmt::Error)?;
        // These characters are nowhere but in strings.
        let text = value.replace('<', "\\u003c").replace('>', "\\u003e").replace('&', "\\u0026");
        f.write_str(&text.replace('\u{2028}', "\\u2028").replace('\u{2029}', "\\u2029"))
    }
}

/// The value with names of members in lower case, but for the names of variables and files; members that are null are
/// as if they were not there.
fn folded(value: Value) -> Value {
    match value {
        Value::Array(items) => Value::Array(items.into_iter().map(folded).collect()),
        Value::Object(members) => {
            let fold = |(key, value): (String, Value)| {
                let key = key.to_lowercase();
                let free = key == "env" || key == "filepathtocontent";
                let value = if free { value } else { folded(value) };
                (!value.is_null()).then_some((key, value))
            };
            Value::Object(members.into_iter().filter_map(fold).collect())
        }
        Value::Number(number) => whole(number),
        other => other,
    }
}

/// `80.0` is the number 80.
fn whole(number: serde_json::Number) -> Value {
    match number.as_f64() {
        Some(value) if number.is_f64() && value.fract() == 0.0 && value.abs() < 9e15 => (value as i64).into(),
        _ => Value::Number(number),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_variables_keep_their_case_and_others_do_not_matter() {
        let text = r#"{"CONTAINERS": [{"Id": "x", "IMAGE": {"name": "<b>&"}, "env": {"Path": "/A"}, "command": null,
            "unknown": {"deep": [1]}}], "connections": [{"minPort": 80.0, "maxPort": 80}], "maxPrice": 0.5}"#;
        let deployment = Deployment::parse(text).unwrap();
        assert_eq!(deployment.containers[0].env["Path"], "/A");
        assert_eq!(deployment.connections[0].minport, 80);
        assert_eq!(
            deployment.to_string(),
            r#"{"Containers":[{"ID":"x","Image":{"Name":"\u003cb\u003e\u0026"},"Env":{"Path":"/A"}}],"Connections":[{"MinPort":80,"MaxPort":80}],"MaxPrice":0.5}"#
        );
    }

    #[test]
    fn what_is_no_deployment_is_told() {
        for (text, told) in [
            ("", "unable to parse blueprint: EOF"),
            ("[]", "unable to parse blueprint: it must be an object"),
            ("null", "unable to parse blueprint: it must be an object"),
            (
                r#"{"containers": 5}"#,
                "unable to parse blueprint: invalid type: integer `5`, expected a sequence",
            ),
            (
                r#"{"connections": [{"minPort": 1.5}]}"#,
                "unable to parse blueprint: invalid type: floating point",
            ),
            (
                r#"{"containers": [{"env": {"a": 5}}]}"#,
                "unable to parse blueprint: invalid type: integer `5`",
            ),
        ] {
            let error = Deployment::parse(text).unwrap_err().to_string();
            assert!(error.starts_with(told), "{text}: {error}");
        }
        let deep = "[".repeat(100_000);
        assert!(Deployment::parse(&deep).unwrap_err().to_string().contains("recursion limit"));
        let long = " ".repeat(DEPLOYMENT_BYTES_MAX + 1);
        assert!(matches!(Deployment::parse(&long), Err(DeploymentError::TooLong { .. })));
    }

    #[test]
    fn structures_are_written_though_they_are_empty() {
        let machine = Machine {
            id: "m".into(),
            cpu: Range { min: Amount(2.0), max: Amount(0.0) },
            ..Machine::default()
        };
        let deployment = Deployment { machines: vec![machine], ..Deployment::default() };
        assert_eq!(deployment.to_string(), r#"{"Machines":[{"ID":"m","CPU":{"Min":2},"RAM":{}}]}"#);
    }
}
