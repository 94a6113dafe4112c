use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, Nonce, UnboundKey};
use aws_lc_rs::agreement::{self, EphemeralPrivateKey, PrivateKey, UnparsedPublicKey, X25519};
use aws_lc_rs::error::Unspecified;
use aws_lc_rs::hkdf::{HKDF_SHA256, Salt};
use aws_lc_rs::rand::{self, SystemRandom};
use secrecy::{ExposeSecret, SecretString};
use zeroize::Zeroizing;

use crate::sealed::{HEADER_BYTES, KeyId, NONCE_BYTES, PUBLIC_KEY_BYTES, SealedSecret, VERSION};

const INFO: &[u8] = b"mailmesh seal v1";

/// Where a sealed secret belongs; it opens nowhere else.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SealContext {
    pub table: &'static str,
    pub column: &'static str,
    /// The row's id.
    pub row: [u8; 16],
}

/// A secret could not be sealed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("sealing failed: the system's cryptography refused")]
pub struct SealError;

/// A sealed secret could not be opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum OpenError {
    /// None of the opening keys is its recipient.
    #[error("no opening key {key_id} in the key file")]
    UnknownKey {
        /// The key it was sealed for.
        key_id: KeyId,
    },
    /// Changed after it was sealed, or sealed for another table, column or row.
    #[error("sealed secret was changed or belongs to another row")]
    Refused,
    /// Opened, but holds no text.
    #[error("sealed secret holds no text")]
    NotText,
}

impl SealContext {
    // The row comes last and has a fixed length, so no two contexts share their bytes.
    fn associated_data(&self, header: &[u8]) -> Vec<u8> {
        [
            header,
            self.table.as_bytes(),
            b".",
            self.column.as_bytes(),
            &self.row,
        ]
        .concat()
    }
}

pub(crate) fn seal(
    recipient: &[u8; PUBLIC_KEY_BYTES],
    key_id: KeyId,
    plain: &SecretString,
    context: &SealContext,
) -> Result<SealedSecret, Unspecified> {
    let ephemeral = EphemeralPrivateKey::generate(&X25519, &SystemRandom::new())?;
    let ephemeral_public = ephemeral.compute_public_key()?;
    let mut nonce = [0; NONCE_BYTES];
    rand::fill(&mut nonce)?;

    let mut bytes = Vec::with_capacity(HEADER_BYTES + plain.expose_secret().len() + 16);
    bytes.push(VERSION);
    bytes.extend_from_slice(&key_id.0);
    bytes.extend_from_slice(ephemeral_public.as_ref());
    bytes.extend_from_slice(&nonce);

    let salt = salt(ephemeral_public.as_ref(), recipient);
    let key = agreement::agree_ephemeral(
        ephemeral,
        UnparsedPublicKey::new(&X25519, recipient),
        Unspecified,
        |shared| derive(shared, &salt),
    )?;
    let aad = Aad::from(context.associated_data(&bytes));
    let mut buffer = Zeroizing::new(plain.expose_secret().as_bytes().to_vec());
    let tag = key.seal_in_place_separate_tag(
        Nonce::assume_unique_for_key(nonce),
        aad,
        buffer.as_mut_slice(),
    )?;
    bytes.extend_from_slice(&buffer);
    bytes.extend_from_slice(tag.as_ref());
    SealedSecret::from_bytes(bytes).map_err(|_| Unspecified)
}

pub(crate) fn open(
    private: &PrivateKey,
    recipient: &[u8; PUBLIC_KEY_BYTES],
    sealed: &SealedSecret,
    context: &SealContext,
) -> Result<SecretString, OpenError> {
    let parts = sealed.parts().ok_or(OpenError::Refused)?;
    let salt = salt(parts.ephemeral, recipient);
    let key = agreement::agree(
        private,
        UnparsedPublicKey::new(&X25519, parts.ephemeral),
        OpenError::Refused,
        |shared| derive(shared, &salt).map_err(|_| OpenError::Refused),
    )?;
    let mut buffer = Zeroizing::new(parts.ciphertext.to_vec());
    let plain = key
        .open_in_place(
            Nonce::assume_unique_for_key(parts.nonce),
            Aad::from(context.associated_data(parts.header)),
            &mut buffer,
        )
        .map_err(|_| OpenError::Refused)?;
    let text = std::str::from_utf8(plain).map_err(|_| OpenError::NotText)?;
    Ok(SecretString::from(text))
}

fn salt(ephemeral: &[u8], recipient: &[u8; PUBLIC_KEY_BYTES]) -> Vec<u8> {
    [ephemeral, recipient].concat()
}

// Both public keys are in the salt: X25519 alone binds the secret to neither.
fn derive(shared: &[u8], salt: &[u8]) -> Result<LessSafeKey, Unspecified> {
    let key = Salt::new(HKDF_SHA256, salt).extract(shared);
    let key = UnboundKey::from(key.expand(&[INFO], &AES_256_GCM)?);
    Ok(LessSafeKey::new(key))
}
