//! Fields of a request: absent, null or given; and the faults found in them.

use std::fmt::Display;

use mailmesh_mail::client_config;
use mailmesh_secrets::SecretString;
use serde::de::Error;
use serde::{Deserialize, Deserializer};
use url::Url;

use crate::error::{ApiError, FieldFault};

/// A field of a JSON merge patch (RFC 7396). In a creation, null is as good as absent.
#[derive(Debug, Clone, Default)]
pub(crate) enum Field<T> {
    #[default]
    Absent,
    Null,
    Given(T),
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Field<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let given = Option::deserialize(deserializer)?;
        Ok(given.map_or(Self::Null, Self::Given))
    }
}

impl<T> Field<T> {
    /// Returns what holds after the patch; none: the default.
    pub(crate) fn over(self, current: Option<T>) -> Option<T> {
        match self {
            Self::Absent => current,
            Self::Null => None,
            Self::Given(value) => Some(value),
        }
    }

    pub(crate) const fn is_given(&self) -> bool {
        matches!(self, Self::Given(_))
    }
}

/// A secret in a request.
#[derive(Debug, Clone)]
pub(crate) struct SecretText(pub(crate) SecretString);

impl<'de> Deserialize<'de> for SecretText {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        // The reader's own error would repeat the value.
        let text = String::deserialize(deserializer);
        let text = text.map_err(|_| D::Error::custom("expected a string"))?;
        Ok(Self(SecretString::from(text)))
    }
}

/// Faults that are reported of one request; nobody reads more, and each is larger than the entry that it is about.
const MOST_FAULTS: usize = 100;

/// The faults of one request, reported together.
#[derive(Debug, Default)]
pub(crate) struct Faults(Vec<FieldFault>);

impl Faults {
    /// Adds a fault, unless the field has one: what was not read because of its type is not missing, too.
    pub(crate) fn add(&mut self, path: impl Display, message: impl Display) {
        let path = path.to_string();
        if self.0.len() < MOST_FAULTS && self.0.iter().all(|fault| fault.path != path) {
            let message = message.to_string();
            self.0.push(FieldFault { path, message });
        }
    }

    pub(crate) fn finish(self) -> Result<(), ApiError> {
        if self.0.is_empty() {
            Ok(())
        } else {
            Err(ApiError::Invalid(self.0))
        }
    }

    /// Says that only an administrator may set these fields so.
    pub(crate) fn for_administrators(self) -> ApiError {
        ApiError::ForAdministrators(self.0)
    }

    /// Checks a text that must not be empty.
    pub(crate) fn text(&mut self, path: impl Display, text: &str, most: usize) {
        if text.trim().is_empty() {
            self.add(path, "must not be empty");
        } else if text.chars().count() > most {
            self.add(path, format!("must have at most {most} characters"));
        } else if text.chars().any(char::is_control) {
            self.add(path, "must not hold control characters");
        }
    }

    /// Checks a number's bounds and returns it.
    pub(crate) fn number(&mut self, path: &str, value: i64, least: i64, most: i64) -> u32 {
        if !(least..=most).contains(&value) {
            self.add(path, format!("must be between {least} and {most}"));
        }
        u32::try_from(value).unwrap_or_default()
    }

    /// Checks a URL that secrets are sent to.
    pub(crate) fn url(&mut self, path: &str, text: &str) {
        match Url::parse(text) {
            Err(error) => self.add(path, format!("is no URL: {error}")),
            Ok(url) if !mailmesh_oauth::is_protected(&url) => {
                self.add(
                    path,
                    "must begin with https:// (http:// only for this machine)",
                );
            }
            Ok(url) if !url.username().is_empty() || url.password().is_some() => {
                self.add(path, "must not hold a user or password");
            }
            Ok(url) if url.fragment().is_some() => self.add(path, "must not have a #fragment"),
            Ok(_) => {}
        }
    }

    /// Checks that a PEM text holds certificate authorities.
    pub(crate) fn ca_pem(&mut self, path: &str, pem: &str) {
        if pem.len() > 256 * 1024 {
            self.add(path, "must have at most 262144 bytes");
        } else if let Err(error) = client_config(Some(pem)) {
            self.add(
                path,
                format!("holds no usable certificates in PEM: {error}"),
            );
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn so_many_faults_are_reported_and_no_more() {
        let mut faults = Faults::default();
        for number in 0..1_000 {
            faults.add(format!("list[{number}]"), "is not known");
        }

        let Err(ApiError::Invalid(reported)) = faults.finish() else {
            panic!("nothing is refused");
        };
        assert_eq!(reported.len(), MOST_FAULTS);
    }
}
