//! Seals and opens secrets under rotating keys; types whose `Debug` shows nothing.
//!
//! Promises that a sealed secret opens only with a private key of its recipient and only in the
//! table, column and row it was sealed for; a byte changed anywhere, or a row copied elsewhere, is
//! refused. Sealing needs the public key alone, so a process that takes secrets in (the
//! administration) can be built without the means to read any back.
//!
//! Each secret has a key of its own, agreed between a throw-away X25519 key and the recipient's.
//! A symmetric data key per table would be faster, but whoever writes could then also read.
//! Rotation has two steps, so that no process meets what it cannot open: a new key goes behind the
//! others, and once every process has it, in front, where it seals. The others go on opening until
//! [`OpeningKeys::needs_reseal`] finds nothing more.
//!
//! There is no unencrypted mode, and no way to open what was sealed by a key that is lost.

mod envelope;
mod key;
mod proof;
mod sealed;
mod settings;
mod token;

pub use envelope::{OpenError, SealContext, SealError};
pub use key::{KeyFileError, OpeningKeys, SealingKey};
pub use proof::EventProofKeys;
pub use sealed::{KeyId, NotSealed, SealedSecret};
pub use secrecy::{ExposeSecret, SecretSlice, SecretString};
pub use settings::{KeySettings, KeysError, read_secret};
pub use token::{Sha256Writer, random_token, sha256, verify_hash};
