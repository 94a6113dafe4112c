use std::fmt;
use std::sync::{PoisonError, RwLock};

use aws_lc_rs::encoding::{AsDer as _, PublicKeyX509Der};
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::{KeyPair, KeySize};
use aws_lc_rs::signature::{KeyPair as _, RSA_PKCS1_SHA256};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};

/// Why no id token can be signed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SigningKeyError {
    /// The library made no key, or one of a shape we do not know.
    #[error("cannot make a signing key")]
    Generate,
    /// The library refused to sign.
    #[error("cannot sign")]
    Sign,
}

/// The RS256 key behind id tokens. It signs with aws-lc directly: jsonwebtoken parses the key again for each token.
pub(crate) struct SigningKey {
    current: RwLock<Current>,
}

struct Current {
    pair: KeyPair,
    key_id: String,
    modulus: String,
}

impl SigningKey {
    pub(crate) fn generate() -> Result<Self, SigningKeyError> {
        Ok(Self {
            current: RwLock::new(Current::generate()?),
        })
    }

    /// Replaces the key; the old one leaves the key set at once.
    pub(crate) fn rotate(&self) -> Result<(), SigningKeyError> {
        let fresh = Current::generate()?;
        *self.current.write().unwrap_or_else(PoisonError::into_inner) = fresh;
        Ok(())
    }

    /// Returns the JSON Web Key Set.
    pub(super) fn key_set(&self) -> Value {
        let current = self.current.read().unwrap_or_else(PoisonError::into_inner);
        json!({"keys": [{
            "kty": "RSA",
            "use": "sig",
            "alg": "RS256",
            "kid": current.key_id,
            "n": current.modulus,
            "e": "AQAB",
        }]})
    }

    /// Signs claims into a compact token.
    pub(super) fn sign(&self, claims: &Value) -> Result<String, SigningKeyError> {
        let current = self.current.read().unwrap_or_else(PoisonError::into_inner);
        let header = json!({"alg": "RS256", "typ": "JWT", "kid": current.key_id});
        let mut token = URL_SAFE_NO_PAD.encode(header.to_string());
        token.push('.');
        URL_SAFE_NO_PAD.encode_string(claims.to_string(), &mut token);
        let mut signature = vec![0; current.pair.public_modulus_len()];
        current
            .pair
            .sign(
                &RSA_PKCS1_SHA256,
                &SystemRandom::new(),
                token.as_bytes(),
                &mut signature,
            )
            .map_err(|_| SigningKeyError::Sign)?;
        token.push('.');
        URL_SAFE_NO_PAD.encode_string(signature, &mut token);
        Ok(token)
    }
}

impl Current {
    fn generate() -> Result<Self, SigningKeyError> {
        let pair = KeyPair::generate(KeySize::Rsa2048).map_err(|_| SigningKeyError::Generate)?;
        let modulus = find_modulus(pair.public_key().as_ref()).ok_or(SigningKeyError::Generate)?;
        let der: PublicKeyX509Der<'_> = pair
            .public_key()
            .as_der()
            .map_err(|_| SigningKeyError::Generate)?;
        let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, der.as_ref());
        let key_id = URL_SAFE_NO_PAD.encode(digest.as_ref().get(..12).unwrap_or_default());
        let modulus = URL_SAFE_NO_PAD.encode(modulus);
        Ok(Self {
            pair,
            key_id,
            modulus,
        })
    }
}

/// Returns the modulus of a 2048-bit PKCS#1 public key with exponent 65537.
///
/// Such a key has one shape: SEQUENCE (4 bytes), INTEGER (4 bytes), a zero byte, 256 bytes of modulus, exponent.
fn find_modulus(pkcs1: &[u8]) -> Option<&[u8]> {
    const HEAD: &[u8] = &[0x30, 0x82, 0x01, 0x0a, 0x02, 0x82, 0x01, 0x01, 0x00];
    const TAIL: &[u8] = &[0x02, 0x03, 0x01, 0x00, 0x01];
    pkcs1.strip_prefix(HEAD)?.strip_suffix(TAIL)
}

impl fmt::Debug for SigningKey {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("SigningKey").finish_non_exhaustive()
    }
}
