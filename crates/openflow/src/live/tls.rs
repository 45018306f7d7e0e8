//! TLS, as OVS has it: both sides show certificates, each signed by an authority that the other trusts. Names are not
//! compared, since a switch knows its controller by address and is itself known by datapath id.

use std::io::{self, Read, Write};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use mio::net::TcpStream;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::verify_server_cert_signed_by_trust_anchor;
use rustls::crypto::{WebPkiSupportedAlgorithms, ring, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::server::{ParsedCertificate, WebPkiClientVerifier};
use rustls::{
    CertificateError, ClientConfig, ClientConnection, Connection, DigitallySignedStruct, InvalidMessage,
    RootCertStore, ServerConfig, ServerConnection, SignatureScheme,
};
use thiserror::Error;

/// Certificates of a file.
const CERTIFICATES_MAX: usize = 64;
/// Times that a read looks at the socket for one that gives it something.
const READS_MAX: usize = 16;

/// The files that say who we are and whom we trust, all PEM.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TlsFiles {
    /// Our private key.
    pub private_key: PathBuf,
    /// Our certificate, and those that lead from it to an authority.
    pub certificate: PathBuf,
    /// The authorities that we trust.
    pub ca: PathBuf,
}

/// What is wrong with them.
#[derive(Debug, Error)]
pub enum TlsError {
    /// A file cannot be read, or is not what it should be.
    #[error("{}: {problem}", .file.display())]
    File {
        /// Which.
        file: PathBuf,
        /// What is wrong.
        problem: String,
    },
    /// They do not fit together.
    #[error("{0}")]
    Unfit(String),
}

/// Who we are and whom we trust.
#[derive(Debug, Clone)]
pub struct TlsIdentity {
    client: Arc<ClientConfig>,
    server: Arc<ServerConfig>,
}

impl TlsIdentity {
    /// Reads the files.
    ///
    /// # Errors
    /// The file at fault and what is wrong with it.
    pub fn read(files: &TlsFiles) -> Result<Self, TlsError> {
        let provider = Arc::new(ring::default_provider());
        let chain = certificates(&files.certificate)?;
        let key = PrivateKeyDer::from_pem_file(&files.private_key).map_err(|error| TlsError::File {
            file: files.private_key.clone(),
            problem: error.to_string(),
        })?;
        let mut roots = RootCertStore::empty();
        for root in certificates(&files.ca)? {
            roots
                .add(root)
                .map_err(|error| TlsError::File { file: files.ca.clone(), problem: error.to_string() })?;
        }
        let roots = Arc::new(roots);
        let unfit = |error: rustls::Error| TlsError::Unfit(error.to_string());
        let verifier =
            ByAuthority { roots: roots.clone(), algorithms: provider.signature_verification_algorithms };
        let client = ClientConfig::builder_with_provider(provider.clone())
            .with_safe_default_protocol_versions()
            .map_err(unfit)?
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(verifier))
            .with_client_auth_cert(chain.clone(), key.clone_key())
            .map_err(unfit)?;
        let clients = WebPkiClientVerifier::builder_with_provider(roots, provider.clone())
            .build()
            .map_err(|error| TlsError::Unfit(error.to_string()))?;
        let server = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(unfit)?
            .with_client_cert_verifier(clients)
            .with_single_cert(chain, key)
            .map_err(unfit)?;
        Ok(Self { client: Arc::new(client), server: Arc::new(server) })
    }

    pub(super) fn dial(&self, socket: TcpStream, address: SocketAddr) -> io::Result<TlsStream> {
        let name = ServerName::IpAddress(address.ip().into());
        let session = ClientConnection::new(self.client.clone(), name).map_err(io::Error::other)?;
        Ok(TlsStream { socket, session: session.into() })
    }

    pub(super) fn accept(&self, socket: TcpStream) -> io::Result<TlsStream> {
        let session = ServerConnection::new(self.server.clone()).map_err(io::Error::other)?;
        Ok(TlsStream { socket, session: session.into() })
    }
}

fn certificates(file: &Path) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let wrong = |problem: String| TlsError::File { file: file.to_owned(), problem };
    let found = CertificateDer::pem_file_iter(file).map_err(|error| wrong(error.to_string()))?;
    let found: Result<Vec<_>, _> = found.take(CERTIFICATES_MAX).collect();
    match found {
        Ok(found) if found.is_empty() => Err(wrong("no certificate is in it".into())),
        Ok(found) => Ok(found),
        Err(error) => Err(wrong(error.to_string())),
    }
}

/// Trusts a server that an authority has signed, whatever its name.
#[derive(Debug)]
struct ByAuthority {
    roots: Arc<RootCertStore>,
    algorithms: WebPkiSupportedAlgorithms,
}

impl ServerCertVerifier for ByAuthority {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        _name: &ServerName<'_>,
        _ocsp: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        let certificate = ParsedCertificate::try_from(end_entity)?;
        verify_server_cert_signed_by_trust_anchor(
            &certificate,
            &self.roots,
            intermediates,
            now,
            self.algorithms.all,
        )?;
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(message, certificate, signature, &self.algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(message, certificate, signature, &self.algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.algorithms.supported_schemes()
    }
}

/// What went wrong, for those who run switches: who refuses whom, and for what.
fn said(error: &rustls::Error) -> String {
    match error {
        rustls::Error::InvalidCertificate(CertificateError::UnknownIssuer) => {
            "its certificate is signed by nobody we trust".into()
        }
        rustls::Error::InvalidCertificate(why) => format!("its certificate is no good: {why}"),
        rustls::Error::NoCertificatesPresented => "it shows no certificate".into(),
        rustls::Error::InvalidMessage(InvalidMessage::InvalidContentType) => "it does not speak TLS".into(),
        rustls::Error::AlertReceived(alert) => format!("it ends the TLS handshake: {alert:?}"),
        other => other.to_string(),
    }
}

/// A socket with a TLS session on it.
#[derive(Debug)]
pub(super) struct TlsStream {
    pub(super) socket: TcpStream,
    session: Connection,
}

impl TlsStream {
    pub(super) fn read(&mut self, bytes: &mut [u8]) -> io::Result<usize> {
        for _ in 0..READS_MAX {
            match self.session.reader().read(bytes) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                read => return read,
            }
            self.session.read_tls(&mut self.socket)?;
            if let Err(error) = self.session.process_new_packets() {
                // The peer is told why, as far as it listens.
                let _ = self.flush();
                return Err(io::Error::new(io::ErrorKind::InvalidData, said(&error)));
            }
            // Parts of the handshake.
            match self.flush() {
                Err(error) if error.kind() != io::ErrorKind::WouldBlock => return Err(error),
                _ => {}
            }
        }
        // Nothing but records without content: as good as an interruption.
        Err(io::ErrorKind::Interrupted.into())
    }

    pub(super) fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.session.is_handshaking() {
            // Kept here until then, so that nothing is taken twice.
            self.flush()?;
            return Err(io::ErrorKind::WouldBlock.into());
        }
        self.flush()?;
        let count = self.session.writer().write(bytes)?;
        match self.flush() {
            Err(error) if error.kind() != io::ErrorKind::WouldBlock => Err(error),
            _ if count == 0 => Err(io::ErrorKind::WouldBlock.into()),
            _ => Ok(count),
        }
    }

    pub(super) fn flush(&mut self) -> io::Result<()> {
        while self.session.wants_write() {
            self.session.write_tls(&mut self.socket)?;
        }
        Ok(())
    }

    pub(super) fn close(&mut self) {
        self.session.send_close_notify();
        let _ = self.flush();
    }
}
