//! The private key that a client signs with, in place of a secret.

mod certificate;
mod service_account;

use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey, Header, Validation};
use mailmesh_secrets::{ExposeSecret, SecretString};
use serde_json::{Map, Value, json};
use time::OffsetDateTime;

use certificate::Certificate;
pub use service_account::ServiceAccount;

const LABELS: [&str; 2] = [
    "-----BEGIN PRIVATE KEY-----",
    "-----BEGIN RSA PRIVATE KEY-----",
];

/// A key that signs, and how receivers find its public half. `Debug` shows nothing of it.
#[derive(Debug, Clone)]
pub struct ClientKey {
    key: EncodingKey,
    algorithm: Algorithm,
    /// The header `kid`.
    key_id: Option<String>,
    /// The header `x5t#S256`: SHA-256 of the certificate.
    thumbprint: Option<String>,
    certificate_ends_at: Option<OffsetDateTime>,
}

/// A private key or certificate that cannot be used. Holds nothing of either.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ClientKeyError {
    /// There is no private key in the text.
    #[error("must be a private key in PEM, which begins with -----BEGIN PRIVATE KEY-----")]
    NoKey,
    /// It opens with a passphrase only.
    #[error(
        "must not be protected by a passphrase: convert it with openssl pkcs8 -topk8 -nocrypt -in key.pem"
    )]
    Encrypted,
    /// An EC key in the older form (SEC 1).
    #[error("must be in PKCS#8 form: convert it with openssl pkcs8 -topk8 -nocrypt -in key.pem")]
    OldForm,
    /// Too short, of another kind, or damaged.
    #[error("must be an RSA key of 2048 to 8192 bits or an EC key on the curve P-256")]
    Unusable,
    /// The text holds no certificate.
    #[error("must be an X.509 certificate in PEM, which begins with -----BEGIN CERTIFICATE-----")]
    NoCertificate,
    /// The certificate's public key is another one.
    #[error("belongs to another private key")]
    OtherCertificate,
    /// The text is no JSON object.
    #[error(
        "must be the JSON file that Google gives when a key is added to a service account (Keys, Add key, JSON)"
    )]
    NoServiceAccount,
    /// The JSON of something else that Google gives out.
    #[error(
        "must be the JSON key of a service account, whose type is service_account; this is of {found}"
    )]
    OtherJson {
        /// What it is.
        found: String,
    },
    /// A field that is needed is missing or empty.
    #[error("lacks the field {field} of a service account's JSON key")]
    NoField { field: &'static str },
    /// The library would not sign, though it did when the key was read.
    #[error("cannot sign")]
    Sign,
}

impl ClientKey {
    /// Reads a private key, and the certificate that was registered for it where the provider wants one. RSA signs `RS256`, with a
    /// certificate `PS256`, which Entra wants; EC signs `ES256`.
    ///
    /// # Errors
    /// [`ClientKeyError`], whose text fits behind the field's name.
    pub fn try_new(
        private_key_pem: &SecretString,
        certificate_pem: Option<&str>,
    ) -> Result<Self, ClientKeyError> {
        let pem = find_key(private_key_pem.expose_secret())?;
        let certificate = certificate_pem
            .map(|pem| Certificate::read(pem).ok_or(ClientKeyError::NoCertificate))
            .transpose()?;
        let (key, algorithm) = if let Ok(key) = EncodingKey::from_ec_pem(pem.as_bytes()) {
            (key, Algorithm::ES256)
        } else {
            let key = EncodingKey::from_rsa_pem(pem.as_bytes());
            let algorithm = match certificate {
                Some(_) => Algorithm::PS256,
                None => Algorithm::RS256,
            };
            (key.map_err(|_| ClientKeyError::Unusable)?, algorithm)
        };
        let read = Self {
            key,
            algorithm,
            key_id: None,
            thumbprint: certificate.as_ref().map(Certificate::thumbprint),
            certificate_ends_at: certificate.as_ref().map(|certificate| certificate.ends_at),
        };
        // Parsing looks at the envelope alone; signing finds out whether there is a usable key in it.
        let probe = read.sign(&probe()).map_err(|_| ClientKeyError::Unusable)?;
        if let Some(certificate) = &certificate
            && !read.is_verified_by(&certificate.pem, &probe)
        {
            return Err(ClientKeyError::OtherCertificate);
        }
        Ok(read)
    }

    /// Returns whether the key is RSA.
    pub fn is_rsa(&self) -> bool {
        self.algorithm != Algorithm::ES256
    }

    /// Returns when the certificate ends.
    pub const fn certificate_ends_at(&self) -> Option<OffsetDateTime> {
        self.certificate_ends_at
    }

    /// Signs claims into a compact token (RFC 7515).
    pub(crate) fn sign(&self, claims: &Map<String, Value>) -> Result<SecretString, ClientKeyError> {
        let mut header = Header::new(self.algorithm);
        header.kid.clone_from(&self.key_id);
        header.x5t_s256.clone_from(&self.thumbprint);
        jsonwebtoken::encode(&header, claims, &self.key)
            .map(SecretString::from)
            .map_err(|_| ClientKeyError::Sign)
    }

    fn is_verified_by(&self, certificate_pem: &str, signed: &SecretString) -> bool {
        let public = if self.is_rsa() {
            DecodingKey::from_rsa_pem(certificate_pem.as_bytes())
        } else {
            DecodingKey::from_ec_pem(certificate_pem.as_bytes())
        };
        let mut validation = Validation::new(self.algorithm);
        validation.required_spec_claims.clear();
        validation.validate_exp = false;
        validation.validate_aud = false;
        let signed = signed.expose_secret();
        public.is_ok_and(|public| {
            jsonwebtoken::decode::<Map<String, Value>>(signed, &public, &validation).is_ok()
        })
    }
}

/// Exports of key stores hold certificates and remarks around the key.
fn find_key(text: &str) -> Result<&str, ClientKeyError> {
    let begin = LABELS.into_iter().find_map(|label| text.find(label));
    if let Some(pem) = begin.and_then(|at| text.get(at..)) {
        // An encrypted key of the older form says so in a header line.
        return if pem.lines().take(3).any(|line| line.contains("ENCRYPTED")) {
            Err(ClientKeyError::Encrypted)
        } else {
            Ok(pem)
        };
    }
    Err(if text.contains("BEGIN ENCRYPTED PRIVATE KEY") {
        ClientKeyError::Encrypted
    } else if text.contains("BEGIN EC PRIVATE KEY") {
        ClientKeyError::OldForm
    } else {
        ClientKeyError::NoKey
    })
}

fn probe() -> Map<String, Value> {
    Map::from_iter([("probe".to_owned(), json!(true))])
}

#[cfg(test)]
mod tests;
