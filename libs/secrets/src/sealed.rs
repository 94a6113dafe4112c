use std::fmt;

pub(crate) const VERSION: u8 = 1;
pub(crate) const KEY_ID_BYTES: usize = 8;
pub(crate) const PUBLIC_KEY_BYTES: usize = 32;
pub(crate) const NONCE_BYTES: usize = 12;
pub(crate) const HEADER_BYTES: usize = 1 + KEY_ID_BYTES + PUBLIC_KEY_BYTES + NONCE_BYTES;
const TAG_BYTES: usize = 16;

/// Names a key pair: the first eight bytes of its public key's SHA-256.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct KeyId(pub(crate) [u8; KEY_ID_BYTES]);

impl fmt::Display for KeyId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0
            .iter()
            .try_for_each(|byte| write!(formatter, "{byte:02x}"))
    }
}

impl fmt::Debug for KeyId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, formatter)
    }
}

/// The bytes are no sealed secret.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NotSealed {
    /// Shorter than header and tag.
    #[error("{bytes} bytes are too few for a sealed secret")]
    TooShort {
        /// How many there are.
        bytes: usize,
    },
    /// Written by a later version.
    #[error("unknown version {version} of a sealed secret")]
    UnknownVersion {
        /// The version byte.
        version: u8,
    },
}

/// A secret as it lies in the database: version, key id, ephemeral public key, nonce, ciphertext.
#[derive(Clone, PartialEq, Eq)]
pub struct SealedSecret {
    bytes: Vec<u8>,
    key_id: KeyId,
}

/// A sealed secret cut into its parts.
pub(crate) struct Parts<'a> {
    pub(crate) header: &'a [u8; HEADER_BYTES],
    pub(crate) ephemeral: &'a [u8; PUBLIC_KEY_BYTES],
    pub(crate) nonce: [u8; NONCE_BYTES],
    pub(crate) ciphertext: &'a [u8],
}

impl SealedSecret {
    /// Checks version and length; whether it opens only a key can tell.
    ///
    /// # Errors
    /// [`NotSealed`] when it cannot be a sealed secret.
    pub fn from_bytes(bytes: impl Into<Vec<u8>>) -> Result<Self, NotSealed> {
        let bytes = bytes.into();
        let too_short = NotSealed::TooShort { bytes: bytes.len() };
        if bytes.len() < HEADER_BYTES + TAG_BYTES {
            return Err(too_short);
        }
        let (&version, rest) = bytes.split_first().ok_or(too_short)?;
        if version != VERSION {
            return Err(NotSealed::UnknownVersion { version });
        }
        let key_id = KeyId(*rest.first_chunk().ok_or(too_short)?);
        Ok(Self { bytes, key_id })
    }

    /// Returns the bytes to store.
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Returns the bytes to store, without a copy.
    pub fn into_bytes(self) -> Vec<u8> {
        self.bytes
    }

    /// Returns which key it was sealed for.
    pub fn key_id(&self) -> KeyId {
        self.key_id
    }

    pub(crate) fn parts(&self) -> Option<Parts<'_>> {
        let (header, ciphertext) = self.bytes.split_first_chunk()?;
        let (_, rest) = header.split_first_chunk::<{ 1 + KEY_ID_BYTES }>()?;
        let (ephemeral, nonce) = rest.split_first_chunk()?;
        Some(Parts {
            header,
            ephemeral,
            nonce: *nonce.first_chunk()?,
            ciphertext,
        })
    }
}

impl fmt::Debug for SealedSecret {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("SealedSecret")
            .field("key_id", &self.key_id)
            .field("bytes", &self.bytes.len())
            .finish()
    }
}
