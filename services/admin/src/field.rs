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
        let text = text.map_err(|_| D::Error::custom("must be a text"))?;
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

    /// Checks that a value was put where documentation has a placeholder.
    pub(crate) fn placeholder(&mut self, path: impl Display, text: &str) {
        if let Some(found) = find_placeholder(text) {
            let message = format!("holds the placeholder {found}: put your own value in its place");
            self.add(path, message);
        }
    }

    /// As [`Faults::placeholder`], for a secret, which may hold any characters.
    pub(crate) fn secret_placeholder(&mut self, path: impl Display, text: &str) {
        if find_placeholder(text).is_some_and(|found| found.len() == text.trim().len()) {
            let message = "is a placeholder of the documentation: put your own value in its place";
            self.add(path, message);
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
            Err(_) => self.add(path, "must be a whole URL that begins with https://"),
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

/// Finds `…`, `<tenant>`, `{tenant}`, and a whole value such as `...` or `YOUR_CLIENT_ID`.
fn find_placeholder(text: &str) -> Option<&str> {
    let whole = text.trim();
    let is_dots = !whole.is_empty() && whole.chars().all(|character| character == '.');
    let is_yours = ["your_", "your-", "your "].iter().any(|start| {
        let found = whole.get(..start.len());
        found.is_some_and(|found| found.eq_ignore_ascii_case(start))
    });
    if is_dots || is_yours {
        return Some(whole);
    }
    let ellipsis = text.find('…');
    let ellipsis = ellipsis.and_then(|at| text.get(at..at + '…'.len_utf8()));
    ellipsis
        .or_else(|| find_bracketed(text, '<', '>'))
        .or_else(|| find_bracketed(text, '{', '}'))
}

fn find_bracketed(text: &str, open: char, close: char) -> Option<&str> {
    let rest = text.get(text.find(open)?..)?;
    let found = rest.get(..=rest.find(close)?)?;
    let name = found.trim_matches([open, close]);
    let is_name = |character: char| character.is_alphanumeric() || "-_. ".contains(character);
    (!name.is_empty() && name.chars().all(is_name)).then_some(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn placeholders_are_told_from_values() {
        for (text, found) in [
            ("…", "…"),
            ("4711….apps.googleusercontent.com", "…"),
            ("...", "..."),
            ("https://login.microsoftonline.com/<tenant>/", "<tenant>"),
            (
                "https://login.microsoftonline.com/{tenant-id}/v2.0",
                "{tenant-id}",
            ),
            ("YOUR_CLIENT_ID", "YOUR_CLIENT_ID"),
            ("your-client-id.apps", "your-client-id.apps"),
        ] {
            assert_eq!(find_placeholder(text), Some(found), "{text}");
        }
        for text in [
            "",
            "4711.apps.googleusercontent.com",
            "https://login.microsoftonline.com/common/",
            "https://yourcompany.example.com/",
            "a<b",
            "{}",
        ] {
            assert_eq!(find_placeholder(text), None, "{text}");
        }
    }

    #[test]
    fn a_secret_is_a_placeholder_as_a_whole_alone() {
        let refused = |text: &str| {
            let mut faults = Faults::default();
            faults.secret_placeholder("client_secret", text);
            faults.finish().is_err()
        };

        assert!(refused("…") && refused("<secret>"));
        assert!(!refused("a<b>c…") && !refused("GOCSPX-1"));
    }

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
