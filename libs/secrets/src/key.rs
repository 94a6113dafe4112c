use std::fmt;
use std::sync::Arc;

use aws_lc_rs::agreement::{PrivateKey, X25519};
use aws_lc_rs::encoding::{AsBigEndian, Curve25519SeedBin};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use secrecy::{ExposeSecret, SecretString};
use zeroize::Zeroizing;

use crate::envelope::{self, OpenError, SealContext, SealError};
use crate::proof::EventProofKeys;
use crate::sealed::{KEY_ID_BYTES, KeyId, PUBLIC_KEY_BYTES, SealedSecret};
use crate::token::sha256;

const OPENING_PREFIX: &str = "mailmesh-opening-key:";
const SEALING_PREFIX: &str = "mailmesh-sealing-key:";

/// A key file cannot be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum KeyFileError {
    /// No line holds a key.
    #[error("key file holds no key")]
    NoKey,
    /// A line is no key of the expected kind.
    #[error("line {line} of the key file is not `{expected}` and a key in base64")]
    NotAKey {
        /// The line, counted from one.
        line: usize,
        /// What the line must start with.
        expected: &'static str,
    },
    /// A file of one key holds more.
    #[error("line {line} of the key file is a second key, where one is wanted")]
    SecondKey {
        /// The line, counted from one.
        line: usize,
    },
}

/// The public half: seals, and cannot open what it sealed.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct SealingKey {
    public: [u8; PUBLIC_KEY_BYTES],
    key_id: KeyId,
}

/// The private keys, the one that seals first: opens what any of them received.
#[derive(Clone)]
pub struct OpeningKeys {
    current: OpeningKey,
    others: Vec<OpeningKey>,
}

#[derive(Clone)]
struct OpeningKey {
    private: Arc<PrivateKey>,
    sealing: SealingKey,
}

impl SealingKey {
    /// Seals `plain` for one place in the database.
    ///
    /// # Errors
    /// [`SealError`] when the system's cryptography refuses.
    pub fn seal(
        &self,
        plain: &SecretString,
        context: &SealContext,
    ) -> Result<SealedSecret, SealError> {
        envelope::seal(&self.public, self.key_id, plain, context).map_err(|_| SealError)
    }

    /// Returns the id that everything sealed here carries.
    pub fn key_id(&self) -> KeyId {
        self.key_id
    }

    /// Reads a public key file.
    ///
    /// # Errors
    /// [`KeyFileError`] when it does not hold exactly one sealing key.
    pub fn parse(text: &str) -> Result<Self, KeyFileError> {
        let mut found = None;
        for (line, key) in key_lines(text, SEALING_PREFIX) {
            let public = key?;
            if found.replace(Self::from_public(*public)).is_some() {
                return Err(KeyFileError::SecondKey { line });
            }
        }
        found.ok_or(KeyFileError::NoKey)
    }

    /// Returns the text of a public key file.
    pub fn to_file_text(&self) -> String {
        format!("{SEALING_PREFIX}{}\n", STANDARD.encode(self.public))
    }

    fn from_public(public: [u8; PUBLIC_KEY_BYTES]) -> Self {
        let mut key_id = KeyId([0; KEY_ID_BYTES]);
        key_id
            .0
            .iter_mut()
            .zip(sha256(&public))
            .for_each(|(to, from)| *to = from);
        Self { public, key_id }
    }
}

impl OpeningKeys {
    /// Makes one new key.
    ///
    /// # Errors
    /// [`SealError`] when the system's cryptography refuses.
    pub fn generate() -> Result<Self, SealError> {
        let private = PrivateKey::generate(&X25519).map_err(|_| SealError)?;
        Ok(Self {
            current: OpeningKey::from_private(private).ok_or(SealError)?,
            others: Vec::new(),
        })
    }

    /// Puts a new key behind the others: it opens, and seals nothing before it is promoted.
    ///
    /// # Errors
    /// [`SealError`] when the system's cryptography refuses.
    pub fn add(&self) -> Result<Self, SealError> {
        let mut keys = self.clone();
        keys.others.push(Self::generate()?.current);
        Ok(keys)
    }

    /// Puts the key that was added last in front, so that it seals; none if there is but one key.
    pub fn promote(&self) -> Option<Self> {
        let (last, between) = self.others.split_last()?;
        let before = std::iter::once(&self.current).chain(between);
        Some(Self {
            current: last.clone(),
            others: before.cloned().collect(),
        })
    }

    /// Reads a private key file: one key a line, the one that seals first, `#` before comments.
    ///
    /// # Errors
    /// [`KeyFileError`] when a line is no opening key or there is none.
    pub fn parse(text: &SecretString) -> Result<Self, KeyFileError> {
        let mut keys = Vec::new();
        for (line, seed) in key_lines(text.expose_secret(), OPENING_PREFIX) {
            let key = PrivateKey::from_private_key(&X25519, seed?.as_slice())
                .ok()
                .and_then(OpeningKey::from_private);
            keys.push(key.ok_or(KeyFileError::NotAKey {
                line,
                expected: OPENING_PREFIX,
            })?);
        }
        let mut keys = keys.into_iter();
        Ok(Self {
            current: keys.next().ok_or(KeyFileError::NoKey)?,
            others: keys.collect(),
        })
    }

    /// Returns the text of a private key file.
    ///
    /// # Errors
    /// [`SealError`] when a key cannot be exported.
    pub fn to_file_text(&self) -> Result<SecretString, SealError> {
        let mut text = Zeroizing::new(String::new());
        for key in self.keys() {
            let seed: Curve25519SeedBin<'_> = key.private.as_be_bytes().map_err(|_| SealError)?;
            let encoded = Zeroizing::new(STANDARD.encode(seed.as_ref()));
            text.push_str(OPENING_PREFIX);
            text.push_str(&encoded);
            text.push('\n');
        }
        Ok(SecretString::from(text.as_str()))
    }

    /// Returns the public half of the first key.
    pub fn sealing_key(&self) -> SealingKey {
        self.current.sealing
    }

    /// Returns the ids of all keys, the one that seals first.
    pub fn key_ids(&self) -> Vec<KeyId> {
        self.keys().map(|key| key.sealing.key_id).collect()
    }

    /// Opens a secret in the place it was sealed for.
    ///
    /// # Errors
    /// [`OpenError`] when the key is unknown, or the bytes or the place do not fit.
    pub fn open(
        &self,
        sealed: &SealedSecret,
        context: &SealContext,
    ) -> Result<SecretString, OpenError> {
        let key_id = sealed.key_id();
        let key = self
            .keys()
            .find(|key| key.sealing.key_id == key_id)
            .ok_or(OpenError::UnknownKey { key_id })?;
        envelope::open(&key.private, &key.sealing.public, sealed, context)
    }

    /// Returns keys that prove whose an event is, derived from these.
    ///
    /// # Errors
    /// [`SealError`] when a key cannot be exported.
    pub fn event_proofs(&self) -> Result<EventProofKeys, SealError> {
        let mut seeds = Vec::new();
        for key in self.keys() {
            let seed: Curve25519SeedBin<'_> = key.private.as_be_bytes().map_err(|_| SealError)?;
            seeds.push(Zeroizing::new(seed.as_ref().to_vec()));
        }
        EventProofKeys::derive(seeds.iter().map(|seed| seed.as_slice())).ok_or(SealError)
    }

    /// Returns whether it was sealed for another key than the one that seals now.
    pub fn needs_reseal(&self, sealed: &SealedSecret) -> bool {
        sealed.key_id() != self.current.sealing.key_id
    }

    fn keys(&self) -> impl Iterator<Item = &OpeningKey> {
        std::iter::once(&self.current).chain(&self.others)
    }
}

impl OpeningKey {
    fn from_private(private: PrivateKey) -> Option<Self> {
        let public = private.compute_public_key().ok()?;
        let public = public.as_ref().try_into().ok()?;
        Some(Self {
            private: Arc::new(private),
            sealing: SealingKey::from_public(public),
        })
    }
}

impl fmt::Debug for SealingKey {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "SealingKey({})", self.key_id)
    }
}

impl fmt::Debug for OpeningKeys {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "OpeningKeys({:?})", self.key_ids())
    }
}

type KeyBytes = Zeroizing<[u8; PUBLIC_KEY_BYTES]>;

fn key_lines(
    text: &str,
    expected: &'static str,
) -> impl Iterator<Item = (usize, Result<KeyBytes, KeyFileError>)> {
    (1..)
        .zip(text.lines())
        .map(|(line, content)| (line, content.trim()))
        .filter(|(_, content)| !content.is_empty() && !content.starts_with('#'))
        .map(move |(line, content)| {
            let key = content.strip_prefix(expected).and_then(decode_key);
            (line, key.ok_or(KeyFileError::NotAKey { line, expected }))
        })
}

fn decode_key(encoded: &str) -> Option<KeyBytes> {
    let bytes = Zeroizing::new(STANDARD.decode(encoded).ok()?);
    let bytes: [u8; PUBLIC_KEY_BYTES] = bytes.as_slice().try_into().ok()?;
    Some(Zeroizing::new(bytes))
}

#[cfg(test)]
mod tests;
