//! What a machine does at its first start: cloud-init writes k3s's configuration and installs it.
//!
//! Formats: <https://cloudinit.readthedocs.io/en/latest/reference/examples.html>,
//! <https://docs.k3s.io/installation/configuration>, <https://docs.k3s.io/datastore/ha-embedded>.

use std::net::IpAddr;

use serde::Serialize;

use super::{Identity, MachineError};
use crate::model::Role;

/// Most bytes of user data, as Amazon has it.
pub const USER_DATA_BYTES_MAX: usize = 16 << 10;
/// The release of k3s that machines install.
const K3S_VERSION: &str = "v1.34.1+k3s1";
/// Where k3s looks for certificate authorities.
const AUTHORITIES: &str = "/var/lib/rancher/k3s/server/tls";
/// How often the installation is tried: a machine's network may not be there at once.
const TRIES: u32 = 60;

#[derive(Serialize)]
struct CloudConfig<'a> {
    #[serde(skip_serializing_if = "<[String]>::is_empty")]
    ssh_authorized_keys: &'a [String],
    write_files: Vec<File>,
    runcmd: Vec<Vec<String>>,
}

#[derive(Serialize)]
struct File {
    path: String,
    permissions: &'static str,
    content: String,
}

/// k3s's configuration.
#[derive(Serialize)]
#[serde(rename_all = "kebab-case")]
struct Config<'a> {
    token: &'a str,
    node_name: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    server: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    cluster_init: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    tls_san: Option<Vec<String>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    write_kubeconfig_mode: Option<&'static str>,
    node_label: Vec<String>,
}

/// What cloud-init is told. `join` is the address of a master that is there already; the first one has none.
///
/// # Errors
/// When it is more than a provider takes.
pub fn user_data(
    identity: &Identity,
    (name, node): (&str, &str),
    role: Role,
    join: Option<IpAddr>,
    ssh_keys: &[String],
) -> Result<String, MachineError> {
    let is_master = role == Role::Master;
    let server = join.map(|address| match address {
        IpAddr::V4(address) => format!("https://{address}:6443"),
        IpAddr::V6(address) => format!("https://[{address}]:6443"),
    });
    let config = Config {
        token: &identity.token,
        node_name: node,
        // Their own store, so that masters can be added later.
        cluster_init: (is_master && server.is_none()).then_some(true),
        server,
        tls_san: is_master.then(|| vec!["kubernetes".into()]),
        write_kubeconfig_mode: is_master.then_some("0600"),
        node_label: vec![format!("weft/machine={name}")],
    };
    // JSON is YAML.
    let file = |path: &str, content: String| File { path: path.into(), permissions: "0600", content };
    let mut write_files = vec![file("/etc/rancher/k3s/config.yaml", text(&config))];
    if is_master {
        for (name, pair) in
            [("server-ca", &identity.server_authority), ("client-ca", &identity.client_authority)]
        {
            write_files.push(file(&format!("{AUTHORITIES}/{name}.crt"), pair.certificate.clone()));
            write_files.push(file(&format!("{AUTHORITIES}/{name}.key"), pair.key.clone()));
        }
    }
    let mode = if is_master { "server" } else { "agent" };
    // The installer holds the program against the checksum that is published with it.
    let script = format!(
        "for try in $(seq {TRIES}); do curl -sfL https://get.k3s.io -o /run/k3s.sh && \
         INSTALL_K3S_VERSION={K3S_VERSION} sh /run/k3s.sh {mode} && exit 0; sleep 5; done; exit 1"
    );
    let cloud = CloudConfig {
        ssh_authorized_keys: ssh_keys,
        write_files,
        runcmd: vec![vec!["sh".into(), "-c".into(), script]],
    };
    let data = format!("#cloud-config\n{}\n", text(&cloud));
    if data.len() > USER_DATA_BYTES_MAX {
        let (machine, bytes) = (name.to_owned(), data.len());
        return Err(MachineError::UserData { machine, bytes, bytes_max: USER_DATA_BYTES_MAX });
    }
    Ok(data)
}

/// The JSON of a value of ours, which always has one.
fn text(value: &impl Serialize) -> String {
    serde_json::to_string(value).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn data(role: Role, join: Option<&str>) -> serde_json::Value {
        let identity = Identity::new().unwrap();
        let join = join.map(|address| address.parse().unwrap());
        let keys = ["ssh-ed25519 AAAA me".to_owned()];
        let text = user_data(&identity, ("m-1", "m-1-abc"), role, join, &keys).unwrap();
        let json = text.strip_prefix("#cloud-config\n").unwrap();
        let value: serde_json::Value = serde_json::from_str(json).unwrap();
        assert_eq!(value["ssh_authorized_keys"][0], "ssh-ed25519 AAAA me");
        let config: serde_json::Value =
            serde_json::from_str(value["write_files"][0]["content"].as_str().unwrap()).unwrap();
        assert_eq!(config["token"], identity.token);
        serde_json::json!({"config": config, "files": value["write_files"].as_array().unwrap().len(),
            "run": value["runcmd"][0][2]})
    }

    #[test]
    fn the_first_master_begins_a_cluster_and_others_join_it() {
        let first = data(Role::Master, None);
        assert_eq!((&first["config"]["cluster-init"], &first["files"]), (&true.into(), &5.into()));
        let second = data(Role::Master, Some("10.0.0.4"));
        assert_eq!(second["config"]["server"], "https://10.0.0.4:6443");
        assert!(second["config"].get("cluster-init").is_none());
        let worker = data(Role::Worker, Some("fd00::4"));
        assert_eq!(worker["config"]["server"], "https://[fd00::4]:6443");
        assert_eq!(worker["files"], 1, "a worker is given no key of the cluster's");
        assert!(worker["run"].as_str().unwrap().contains("sh /run/k3s.sh agent"));
    }

    #[test]
    fn user_data_has_an_end() {
        let identity = Identity::new().unwrap();
        let keys = vec!["k".repeat(1000); 20];
        let error = user_data(&identity, ("m-1", "n"), Role::Worker, None, &keys).unwrap_err();
        assert!(error.to_string().contains("the user data of m-1 has 2"), "{error}");
    }
}
