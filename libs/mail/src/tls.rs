//! TLS settings shared by every connection to a mail server.
//!
//! One provider (aws-lc-rs), TLS 1.2 and up, the system's roots. A configuration is some kilobytes
//! with its roots and resumption cache: make one, and give its `Arc` to ten thousand connections.

use std::sync::{Arc, OnceLock};

use mailmesh_domain::FailureCause;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::{self, PemObject};
use rustls::{ClientConfig, RootCertStore};

/// TLS settings that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    #[error("the extra certificate authority is not readable PEM")]
    UnreadableAuthority {
        #[source]
        source: pem::Error,
    },
    #[error("the extra certificate authority holds no certificate")]
    EmptyAuthority,
    #[error("the extra certificate authority holds a certificate that cannot be a root")]
    RefusedAuthority {
        #[source]
        source: rustls::Error,
    },
    /// Neither the system nor the settings name a root.
    #[error("this machine has no certificate authorities; install ca-certificates or give one")]
    NoRoots,
    /// The provider offers no protocol version that we accept.
    #[error("the TLS provider offers neither TLS 1.2 nor 1.3")]
    NoVersion {
        #[source]
        source: rustls::Error,
    },
}

impl TlsError {
    /// Returns what the failure is caused by, as far as it decides who must act.
    pub const fn failure_cause(&self) -> FailureCause {
        FailureCause::AuthorityUnusable
    }
}

/// Returns a client configuration that trusts the system's roots and those in `extra_ca_pem`.
///
/// Without extra roots every call returns the same configuration; with them, keep and share it.
pub fn client_config(extra_ca_pem: Option<&str>) -> Result<Arc<ClientConfig>, TlsError> {
    static SYSTEM: OnceLock<Arc<ClientConfig>> = OnceLock::new();

    if let Some(pem) = extra_ca_pem {
        return build(Arc::new(with_authority(pem)?));
    }
    if let Some(config) = SYSTEM.get() {
        return Ok(Arc::clone(config));
    }
    let roots = system_roots();
    if roots.is_empty() {
        return Err(TlsError::NoRoots);
    }
    let config = build(roots)?;
    Ok(Arc::clone(SYSTEM.get_or_init(|| config)))
}

fn build(roots: Arc<RootCertStore>) -> Result<Arc<ClientConfig>, TlsError> {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|source| TlsError::NoVersion { source })?
        .with_root_certificates(roots)
        .with_no_client_auth();
    Ok(Arc::new(config))
}

fn with_authority(pem: &str) -> Result<RootCertStore, TlsError> {
    let mut roots = RootCertStore::clone(&system_roots());
    let mut found = false;
    for certificate in CertificateDer::pem_slice_iter(pem.as_bytes()) {
        let certificate = certificate.map_err(|source| TlsError::UnreadableAuthority { source })?;
        roots
            .add(certificate)
            .map_err(|source| TlsError::RefusedAuthority { source })?;
        found = true;
    }
    if found {
        Ok(roots)
    } else {
        Err(TlsError::EmptyAuthority)
    }
}

fn system_roots() -> Arc<RootCertStore> {
    static ROOTS: OnceLock<Arc<RootCertStore>> = OnceLock::new();

    let roots = ROOTS.get_or_init(|| {
        let loaded = rustls_native_certs::load_native_certs();
        for error in &loaded.errors {
            tracing::warn!(
                error = error as &dyn std::error::Error,
                "Could not read some of the system's certificate authorities"
            );
        }
        let mut roots = RootCertStore::empty();
        roots.add_parsable_certificates(loaded.certs);
        Arc::new(roots)
    });
    Arc::clone(roots)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn several_authorities_are_accepted_and_rubbish_is_named() {
        let one = rcgen::generate_simple_self_signed(["one.test".to_owned()]).unwrap();
        let two = rcgen::generate_simple_self_signed(["two.test".to_owned()]).unwrap();
        let both = format!("{}{}", one.cert.pem(), two.cert.pem());

        assert!(client_config(Some(&both)).is_ok());
        assert!(matches!(
            client_config(Some("nothing here")),
            Err(TlsError::EmptyAuthority)
        ));
        assert!(matches!(
            client_config(Some(
                "-----BEGIN CERTIFICATE-----\n!!\n-----END CERTIFICATE-----\n"
            )),
            Err(TlsError::UnreadableAuthority { .. })
        ));
    }
}
