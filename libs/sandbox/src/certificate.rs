use std::fmt;
use std::sync::Arc;

use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, ExtendedKeyUsagePurpose, IsCa,
    KeyPair, KeyUsagePurpose,
};
use rustls::ServerConfig;
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};

/// Names the server certificate is valid for.
const NAMES: &[&str] = &[
    "localhost",
    "127.0.0.1",
    "::1",
    "sandbox.test",
    "*.sandbox.test",
];

/// Why the certificates could not be made.
#[derive(Debug, thiserror::Error)]
pub enum CertificateError {
    /// A key or certificate was refused while it was made.
    #[error("cannot make a certificate")]
    Certificate(#[source] rcgen::Error),
    /// The TLS library refused our own certificate.
    #[error("cannot use the certificate made")]
    Config(#[source] rustls::Error),
}

/// The sandbox's own certificate authority and the one certificate all its servers show.
#[derive(Clone)]
pub struct TlsAuthority {
    ca_pem: Arc<str>,
    server: Arc<ServerConfig>,
}

impl TlsAuthority {
    /// Makes a fresh authority whose certificate is also valid for `host`; nothing is kept on disk.
    pub fn generate(host: &str) -> Result<Self, CertificateError> {
        let authority = make_authority().map_err(CertificateError::Certificate)?;
        let key = KeyPair::generate().map_err(CertificateError::Certificate)?;
        let certificate = server_params(host)
            .and_then(|params| params.signed_by(&key, &authority))
            .map_err(CertificateError::Certificate)?;
        let chain = vec![certificate.der().clone(), authority.der().clone()];
        let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.serialize_der()));
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let server = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .and_then(|builder| builder.with_no_client_auth().with_single_cert(chain, key))
            .map_err(CertificateError::Config)?;
        Ok(Self {
            ca_pem: authority.pem().into(),
            server: Arc::new(server),
        })
    }

    /// Returns the authority's certificate, which clients must trust.
    pub fn ca_pem(&self) -> &str {
        &self.ca_pem
    }

    /// Returns the configuration every TLS listener uses.
    pub fn server_config(&self) -> Arc<ServerConfig> {
        Arc::clone(&self.server)
    }
}

impl fmt::Debug for TlsAuthority {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("TlsAuthority")
            .finish_non_exhaustive()
    }
}

fn make_authority() -> Result<CertifiedIssuer<'static, KeyPair>, rcgen::Error> {
    let mut params = CertificateParams::default();
    params
        .distinguished_name
        .push(DnType::CommonName, "mailmesh sandbox authority");
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    CertifiedIssuer::self_signed(params, KeyPair::generate()?)
}

fn server_params(host: &str) -> Result<CertificateParams, rcgen::Error> {
    let other = Some(host).filter(|host| !NAMES.contains(host));
    let names: Vec<String> = NAMES
        .iter()
        .copied()
        .chain(other)
        .map(str::to_owned)
        .collect();
    let mut params = CertificateParams::new(names)?;
    params
        .distinguished_name
        .push(DnType::CommonName, "localhost");
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    params.use_authority_key_identifier_extension = true;
    Ok(params)
}
