use std::error::Error;
use std::fmt;
use std::path::PathBuf;

use figment::error::{Actual, Kind};
use figment::{Figment, Source};

/// What every variable of ours begins with.
pub(super) const PREFIX: &str = "MAILMESH_";

/// What is wrong with the configuration, and where it says so.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file cannot be read.
    #[error("cannot read the configuration file {}", path.display())]
    File {
        path: PathBuf,
        #[source]
        source: std::io::Error,
    },
    /// The file is no TOML.
    #[error("{place} is no valid TOML: {text}")]
    Syntax {
        place: ConfigSource,
        /// The parser's words, with line and column.
        text: String,
    },
    /// A key or section that nobody knows.
    #[error("{key} in {place} is no setting{}", hint(suggestion.as_deref()))]
    Unknown {
        key: String,
        place: ConfigSource,
        suggestion: Option<String>,
    },
    /// A variable with our prefix that sets nothing.
    #[error("variable {name} is no setting{}", hint(suggestion.as_deref()))]
    Variable {
        name: String,
        suggestion: Option<String>,
    },
    /// A value of the wrong kind.
    #[error("{key} in {place}: {problem}")]
    Wrong {
        key: String,
        place: ConfigSource,
        /// What was expected, and what was found.
        problem: String,
    },
    /// A setting without a default that was not set.
    #[error(
        "{key} is not set: add it to the configuration file or set {}",
        variable(key)
    )]
    Missing { key: String },
    /// More than one of these.
    #[error("{} settings are wrong: {}", faults.len(), listed(faults))]
    Several { faults: Vec<Self> },
    /// A value that does not fit the others.
    #[error("{key} does not fit")]
    Invalid {
        key: String,
        #[source]
        source: Box<dyn Error + Send + Sync>,
    },
}

/// Where a setting stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ConfigSource {
    /// Compiled in.
    Defaults,
    File(PathBuf),
    /// A variable of the environment.
    Variable(String),
}

impl fmt::Display for ConfigSource {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Defaults => formatter.write_str("the defaults"),
            Self::File(path) => write!(formatter, "{}", path.display()),
            Self::Variable(name) => write!(formatter, "variable {name}"),
        }
    }
}

impl ConfigError {
    /// Says that a value, well-formed by itself, does not fit.
    pub fn invalid(key: &str, source: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        Self::Invalid {
            key: key.to_owned(),
            source: source.into(),
        }
    }

    /// Returns the setting at fault.
    pub(super) fn key(&self) -> Option<&str> {
        match self {
            Self::Unknown { key, .. } | Self::Wrong { key, .. } | Self::Missing { key } => {
                Some(key)
            }
            _ => None,
        }
    }

    /// Returns whether the setting is there, and the rest can be read without it.
    pub(super) const fn is_replaceable(&self) -> bool {
        matches!(self, Self::Unknown { .. } | Self::Wrong { .. })
    }

    /// Returns the error with its causes in one line.
    pub(super) fn told(&self) -> String {
        let mut text = self.to_string();
        let mut cause = self.source();
        while let Some(error) = cause {
            text = format!("{text}: {error}");
            cause = error.source();
        }
        text
    }

    pub(super) fn unknown(key: String, figment: &Figment, known: &[&str]) -> Self {
        let (parent, name) = key
            .rsplit_once('.')
            .map_or(("", key.as_str()), |split| split);
        let suggestion = closest(name, known).map(|name| join(parent, name));
        Self::Unknown {
            place: place_of(figment, &key),
            key,
            suggestion,
        }
    }

    pub(super) fn of(error: figment::Error, figment: &Figment) -> Self {
        let path = error.path.join(".");
        match error.kind {
            // The path of an unknown field ends with the field already.
            Kind::UnknownField(name, known) if error.path.last() == Some(&name) => {
                Self::unknown(path, figment, known)
            }
            Kind::UnknownField(name, known) => Self::unknown(join(&path, &name), figment, known),
            Kind::MissingField(name) => Self::Missing {
                key: join(&path, &name),
            },
            Kind::Message(text) if path.is_empty() => Self::Syntax {
                place: place(error.metadata.as_ref()),
                text: text.trim().to_owned(),
            },
            kind => {
                let stated = figment.find_metadata(&path);
                let place = place(stated.or(error.metadata.as_ref()));
                Self::Wrong {
                    problem: problem(&path, kind),
                    key: path,
                    place,
                }
            }
        }
    }
}

fn listed(faults: &[ConfigError]) -> String {
    let told: Vec<String> = faults.iter().map(ConfigError::told).collect();
    told.join("; ")
}

fn place_of(figment: &Figment, key: &str) -> ConfigSource {
    place(figment.find_metadata(key))
}

fn place(metadata: Option<&figment::Metadata>) -> ConfigSource {
    match metadata.and_then(|metadata| metadata.source.as_ref()) {
        Some(Source::File(path)) => ConfigSource::File(path.clone()),
        Some(Source::Custom(name)) => ConfigSource::Variable(name.clone()),
        _ => ConfigSource::Defaults,
    }
}

fn problem(path: &str, kind: Kind) -> String {
    match kind {
        Kind::InvalidType(found, expected) | Kind::InvalidValue(found, expected) => {
            let expected = expected_in_words(&expected);
            format!("expected {expected}, found {}", shown(path, &found))
        }
        Kind::UnknownVariant(found, known) => {
            let found = shown(path, &Actual::Str(found));
            format!("expected one of {}, found {found}", known.join(", "))
        }
        other => other.to_string(),
    }
}

/// The readers of values name their own types and errors.
fn expected_in_words(expected: &str) -> &str {
    match expected {
        "a string" | "str" | "string or map" => "a text",
        "a boolean" => "true or false",
        "u8" => "a whole number from 0 to 255",
        "u16" => "a whole number from 0 to 65535",
        "u32" | "u64" | "usize" | "i64" => "a whole number",
        "a sequence" => "a list",
        "a map" => "a section",
        "socket address" => "an address and port, such as 127.0.0.1:8025",
        text if text.starts_with("struct ") => "a section",
        text if is_of_url(text) => "a whole URL, such as https://mail.example.com",
        text => text,
    }
}

/// What the `url` crate says instead of what it wants.
fn is_of_url(text: &str) -> bool {
    const ERRORS: [&str; 9] = [
        "empty host",
        "invalid international domain name",
        "invalid port number",
        "invalid IPv4 address",
        "invalid IPv6 address",
        "invalid domain character",
        "relative URL without a base",
        "relative URL with a cannot-be-a-base base",
        "a string representing an URL",
    ];
    ERRORS.contains(&text)
}

/// A secret that was put where its file's name belongs must not end in a log.
fn shown(path: &str, found: &Actual) -> String {
    let name = path.rsplit('.').next().unwrap_or_default();
    let is_secret = ["secret", "password", "token", "key", "seed", "credential"]
        .iter()
        .any(|word| name.contains(word));
    match found {
        Actual::Str(text) if is_secret => format!("text of {} bytes", text.len()),
        _ if is_secret => "something else".to_owned(),
        Actual::Str(text) => format!("{text:?}"),
        other => other.to_string(),
    }
}

fn join(parent: &str, name: &str) -> String {
    if parent.is_empty() {
        name.to_owned()
    } else {
        format!("{parent}.{name}")
    }
}

fn variable(key: &str) -> String {
    let name = key.replace('.', "__").to_ascii_uppercase();
    format!("{PREFIX}{name}")
}

fn hint(suggestion: Option<&str>) -> String {
    suggestion.map_or_else(String::new, |name| format!(", did you mean {name}?"))
}

/// Returns the known name that is nearest, if it is near at all.
pub(super) fn closest<'a>(name: &str, known: &[&'a str]) -> Option<&'a str> {
    let near = known
        .iter()
        .map(|known| (distance(name, known), *known))
        .min()?;
    (near.0 <= name.len().div_ceil(3).max(1)).then_some(near.1)
}

/// Levenshtein's distance.
fn distance(left: &str, right: &str) -> usize {
    let right: Vec<char> = right.chars().collect();
    let mut row: Vec<usize> = (0..=right.len()).collect();
    for (index, from) in left.chars().enumerate() {
        let mut next = vec![index + 1];
        for (at, to) in right.iter().enumerate() {
            let replaced = row.get(at).copied().unwrap_or(0) + usize::from(from != *to);
            let removed = row.get(at + 1).copied().unwrap_or(0) + 1;
            let added = next.last().copied().unwrap_or(0) + 1;
            next.push(replaced.min(removed).min(added));
        }
        row = next;
    }
    row.last().copied().unwrap_or(0)
}
