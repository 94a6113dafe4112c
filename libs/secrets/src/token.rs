use std::io::{self, Write};

use aws_lc_rs::{constant_time, digest, rand};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use secrecy::{ExposeSecret, SecretString};
use zeroize::Zeroizing;

/// Returns `bytes` random bytes as base64url without padding.
///
/// The process ends when the system has no randomness: a token that can be guessed is worse, and
/// AWS-LC does the same beneath.
pub fn random_token(bytes: usize) -> SecretString {
    let mut buffer = Zeroizing::new(vec![0; bytes]);
    if rand::fill(&mut buffer).is_err() {
        std::process::abort();
    }
    SecretString::from(URL_SAFE_NO_PAD.encode(&*buffer))
}

/// Returns the SHA-256 of `bytes`.
pub fn sha256(bytes: &[u8]) -> [u8; 32] {
    let mut hash = [0; 32];
    hash.copy_from_slice(digest::digest(&digest::SHA256, bytes).as_ref());
    hash
}

/// Makes a SHA-256 of what is written to it, which need not be in memory as a whole.
#[expect(
    missing_debug_implementations,
    reason = "what was hashed may be secret"
)]
pub struct Sha256Writer(digest::Context);

impl Sha256Writer {
    /// Returns the hash of all that was written.
    pub fn finish(self) -> [u8; 32] {
        let mut hash = [0; 32];
        hash.copy_from_slice(self.0.finish().as_ref());
        hash
    }
}

impl Default for Sha256Writer {
    fn default() -> Self {
        Self(digest::Context::new(&digest::SHA256))
    }
}

impl Write for Sha256Writer {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.update(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Returns whether `hash` is the SHA-256 of `token`, in time that does not depend on either.
pub fn verify_hash(token: &SecretString, hash: &[u8]) -> bool {
    let actual = sha256(token.expose_secret().as_bytes());
    constant_time::verify_slices_are_equal(&actual, hash).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_are_long_as_asked_and_never_the_same() {
        let (one, other) = (random_token(32), random_token(32));

        assert_eq!(one.expose_secret().len(), 43);
        assert_ne!(one.expose_secret(), other.expose_secret());
        assert!(!one.expose_secret().contains(['+', '/', '=']));
    }

    #[test]
    fn only_the_token_itself_fits_its_hash() {
        let token = random_token(16);
        let hash = sha256(token.expose_secret().as_bytes());

        assert!(verify_hash(&token, &hash));
        assert!(!verify_hash(&random_token(16), &hash));
        assert!(!verify_hash(&token, &hash[..31]));
        assert!(!verify_hash(&token, &[]));
    }

    #[test]
    fn the_hash_is_the_one_of_fips_180() {
        assert_eq!(&sha256(b"abc")[..4], &[0xba, 0x78, 0x16, 0xbf]);
    }
}
