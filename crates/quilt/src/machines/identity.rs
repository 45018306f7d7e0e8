//! The secrets of a cluster: made once, before its first machine, and given to its machines.
//!
//! k3s makes certificate authorities of its own unless it finds some. These are made here, so that weft holds a
//! certificate that the cluster trusts before the cluster exists, and knows the cluster's own: no machine has to be
//! logged in to. (<https://docs.k3s.io/cli/certificate#using-custom-ca-certificates>)

use std::fs::File;
use std::io::Read;

use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer,
    KeyPair, KeyUsagePurpose, date_time_ymd,
};
use serde::{Deserialize, Serialize};

use super::MachineError;

/// Bytes of a random secret.
const SECRET_BYTES: usize = 32;
/// Group whose members may do everything in a cluster.
const ADMIN_GROUP: &str = "system:masters";
/// A name that k3s puts into the certificate of every API server.
const SERVER_NAME: &str = "kubernetes";

/// The secrets of a cluster.
#[derive(Clone, Serialize, Deserialize)]
pub struct Identity {
    /// What machines join with.
    pub token: String,
    /// Tells one cluster of a name from the next one of that name.
    pub nonce: String,
    /// Signs the API servers' certificates.
    pub server_authority: Pair,
    /// Signs those of whom API servers trust.
    pub client_authority: Pair,
    /// weft's own, of a user who may do everything.
    pub admin: Pair,
}

/// A certificate and its key, in PEM.
#[derive(Clone, Serialize, Deserialize)]
pub struct Pair {
    /// The certificate.
    pub certificate: String,
    /// The key.
    pub key: String,
}

// Not `derive`: secrets stay out of logs.
impl std::fmt::Debug for Identity {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Identity").finish_non_exhaustive()
    }
}

impl Identity {
    /// Makes new secrets.
    ///
    /// # Errors
    /// When the kernel has no randomness, or no certificate can be made.
    pub fn new() -> Result<Identity, MachineError> {
        let wrong = |error: rcgen::Error| MachineError::Certificates(error.to_string());
        let (_, server_authority) = authority("weft-server-ca").map_err(wrong)?;
        let (client, client_authority) = authority("weft-client-ca").map_err(wrong)?;
        let admin = admin(&client).map_err(wrong)?;
        Ok(Identity { token: secret()?, nonce: secret()?, server_authority, client_authority, admin })
    }

    /// How the cluster is reached, as programs that know Kubernetes read it. The API server is known by its
    /// certificate, whatever its address.
    pub fn kubeconfig(&self, name: &str, server: &str) -> String {
        use base64::Engine;
        let encode = |text: &str| base64::engine::general_purpose::STANDARD.encode(text);
        format!(
            "apiVersion: v1\nkind: Config\ncurrent-context: {name}\nclusters:\n- name: {name}\n  cluster:\n    \
             server: {server}\n    tls-server-name: {SERVER_NAME}\n    certificate-authority-data: {}\ncontexts:\n\
             - name: {name}\n  context:\n    cluster: {name}\n    user: weft\nusers:\n- name: weft\n  user:\n    \
             client-certificate-data: {}\n    client-key-data: {}\n",
            encode(&self.server_authority.certificate),
            encode(&self.admin.certificate),
            encode(&self.admin.key)
        )
    }
}

fn secret() -> Result<String, MachineError> {
    let mut bytes = [0; SECRET_BYTES];
    File::open("/dev/urandom")
        .and_then(|mut file| file.read_exact(&mut bytes))
        .map_err(|source| MachineError::System { action: "read /dev/urandom", source })?;
    Ok(bytes.iter().map(|byte| format!("{byte:02x}")).collect())
}

fn named(common_name: &str) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, common_name);
    // Machines' clocks may be off when they start: the certificates hold from long before.
    params.not_before = date_time_ymd(2024, 1, 1);
    params.not_after = date_time_ymd(2044, 1, 1);
    params
}

fn authority(name: &str) -> Result<(Issuer<'static, KeyPair>, Pair), rcgen::Error> {
    let key = KeyPair::generate()?;
    let mut params = named(name);
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = vec![
        KeyUsagePurpose::KeyCertSign,
        KeyUsagePurpose::DigitalSignature,
        KeyUsagePurpose::KeyEncipherment,
    ];
    let certificate = params.self_signed(&key)?.pem();
    let pair = Pair { certificate, key: key.serialize_pem() };
    Ok((Issuer::new(params, key), pair))
}

fn admin(issuer: &Issuer<'static, KeyPair>) -> Result<Pair, rcgen::Error> {
    let key = KeyPair::generate()?;
    let mut params = named("weft");
    params.distinguished_name.push(DnType::OrganizationName, ADMIN_GROUP);
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature, KeyUsagePurpose::KeyEncipherment];
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
    let certificate = params.signed_by(&key, issuer)?.pem();
    Ok(Pair { certificate, key: key.serialize_pem() })
}
