use std::fmt;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};

/// The name of an account or client configuration in subjects, URLs and commands: a slug of 1 to
/// 63 characters of `a-z`, `0-9` and `-`, starting with a letter or digit.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Key(String);

/// The text is no key.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("must be 1 to 63 characters of a-z, 0-9 and '-', starting with a letter or digit")]
pub struct InvalidKey;

impl Key {
    /// Checks that `text` is a key.
    ///
    /// # Errors
    /// [`InvalidKey`] when it is not.
    pub fn try_new(text: impl Into<String>) -> Result<Self, InvalidKey> {
        let text = text.into();
        let is_slug = text
            .bytes()
            .all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-');
        if text.is_empty() || text.len() > 63 || text.starts_with('-') || !is_slug {
            return Err(InvalidKey);
        }
        Ok(Self(text))
    }

    /// Returns the key as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl JsonSchema for Key {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Key".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "string", "pattern": "^[a-z0-9][a-z0-9-]{0,62}$" })
    }
}

impl TryFrom<String> for Key {
    type Error = InvalidKey;

    fn try_from(text: String) -> Result<Self, InvalidKey> {
        Self::try_new(text)
    }
}

impl From<Key> for String {
    fn from(key: Key) -> Self {
        key.0
    }
}

impl fmt::Display for Key {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{:?}", self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_slugs_are_keys() {
        for good in ["a", "support", "billing-2", "0x", &"a".repeat(63)] {
            assert!(Key::try_new(good).is_ok(), "{good}");
        }
        for bad in ["", "-a", "A", "a.b", "a b", "ä", "a*", ">", &"a".repeat(64)] {
            assert_eq!(Key::try_new(bad), Err(InvalidKey), "{bad}");
        }
    }
}
