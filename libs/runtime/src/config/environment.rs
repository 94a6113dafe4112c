use figment::value::{Dict, Map, Value};
use figment::{Metadata, Profile, Provider, Source};

use super::error::{ConfigError, PREFIX, closest};

const SEPARATOR: &str = "__";

/// One setting from one variable, so that an error can name it.
pub(super) struct Variable {
    name: String,
    path: String,
    value: Value,
}

impl Variable {
    /// Reads `MAILMESH_<SECTION>__<KEY>[__<KEY>…]`.
    pub(super) fn new(name: &str, value: &str, sections: &[String]) -> Result<Self, ConfigError> {
        let key = name
            .strip_prefix(PREFIX)
            .unwrap_or(name)
            .to_ascii_lowercase();
        let parts: Vec<&str> = key.split(SEPARATOR).collect();
        let is_known = parts
            .first()
            .is_some_and(|section| sections.iter().any(|known| known == section));
        if !is_known || parts.len() < 2 || parts.iter().any(|part| part.is_empty()) {
            return Err(ConfigError::Variable {
                name: name.to_owned(),
                suggestion: meant(&key, sections),
            });
        }
        Ok(Self {
            name: name.to_owned(),
            path: parts.join("."),
            value: value_of(value),
        })
    }
}

/// Lists and tables are written as in TOML; all else is text until somebody wants a number of it. A client id of digits
/// would otherwise arrive as a number.
fn value_of(text: &str) -> Value {
    if text.starts_with(['[', '{'])
        && let Ok(value) = text.parse::<Value>()
    {
        return value;
    }
    Value::from(text)
}

/// One underscore where two belong, or a slip in the section's name.
fn meant(key: &str, sections: &[String]) -> Option<String> {
    let split = sections.iter().find_map(|section| {
        let rest = key.strip_prefix(section.as_str())?.trim_start_matches('_');
        (!rest.is_empty()).then(|| (section.clone(), rest.to_owned()))
    });
    let (section, rest) = split.or_else(|| {
        let (section, rest) = key.split_once(SEPARATOR)?;
        let known: Vec<&str> = sections.iter().map(String::as_str).collect();
        Some((closest(section, &known)?.to_owned(), rest.to_owned()))
    })?;
    let name = format!("{section}{SEPARATOR}{rest}").to_ascii_uppercase();
    Some(format!("{PREFIX}{name}"))
}

impl Provider for Variable {
    fn metadata(&self) -> Metadata {
        Metadata::from("variable", Source::Custom(self.name.clone()))
    }

    fn data(&self) -> Result<Map<Profile, Dict>, figment::Error> {
        let nested = figment::util::nest(&self.path, self.value.clone());
        let dict = nested.into_dict().unwrap_or_default();
        Ok(Profile::Default.collect(dict))
    }
}
