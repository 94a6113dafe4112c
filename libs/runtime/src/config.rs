//! Configuration: defaults compiled in, then a file, then `MAILMESH_…` variables.
//!
//! One file holds the sections of all services; each service takes those that it needs. A section is a struct with
//! `deny_unknown_fields`; the struct of sections that is loaded is not, since the file may hold more. Sections that
//! nobody knows are refused all the same. `MAILMESH_NATS__URL` sets `url` in `[nats]`.

mod environment;
mod error;
mod faults;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use figment::Figment;
use figment::providers::{Format, Serialized, Toml};
use figment::value::{Dict, Value};
use serde::de::DeserializeOwned;

use environment::Variable;
use error::PREFIX;
pub use error::{ConfigError, ConfigSource};
pub use faults::ConfigFaults;

/// The sections of the runtime itself, known to every process.
const OWN_SECTIONS: [&str; 3] = ["telemetry", "ops", "shutdown"];
/// Variables that are no settings.
const OWN_VARIABLES: [&str; 1] = ["MAILMESH_CONFIG"];

/// Where configuration comes from.
#[derive(Debug, Clone)]
pub struct Loader {
    defaults: Vec<String>,
    file: Option<PathBuf>,
    sections: Vec<String>,
    variables: Vec<(String, String)>,
    other_variables: Vec<String>,
}

/// Loads `T` from defaults, an optional file and this process's environment.
pub fn load<T: DeserializeOwned>(
    defaults_toml: &str,
    file: Option<&Path>,
    sections: &[&str],
) -> Result<T, ConfigError> {
    let mut loader = Loader::from_environment(sections).defaults(defaults_toml);
    if let Some(file) = file {
        loader = loader.file(file);
    }
    loader.load()
}

impl Loader {
    /// Starts with the variables of this process's environment and the sections that any service knows.
    pub fn from_environment(sections: &[&str]) -> Self {
        let pairs = std::env::vars_os().filter_map(|(name, value)| {
            Some((name.into_string().ok()?, value.into_string().ok()?))
        });
        Self::new(sections).variables(pairs)
    }

    /// Starts without any variables.
    pub fn new(sections: &[&str]) -> Self {
        let known = OWN_SECTIONS.iter().chain(sections);
        Self {
            defaults: Vec::new(),
            file: None,
            sections: known.map(|&name| name.to_owned()).collect(),
            variables: Vec::new(),
            other_variables: OWN_VARIABLES.map(str::to_owned).to_vec(),
        }
    }

    /// Adds compiled-in defaults; later ones win.
    #[must_use]
    pub fn defaults(mut self, toml: &str) -> Self {
        self.defaults.push(toml.to_owned());
        self
    }

    /// Reads this file, which must exist.
    #[must_use]
    pub fn file(mut self, path: impl Into<PathBuf>) -> Self {
        self.file = Some(path.into());
        self
    }

    /// Adds variables; those without our prefix are ignored.
    #[must_use]
    pub fn variables(mut self, pairs: impl IntoIterator<Item = (String, String)>) -> Self {
        let ours = pairs
            .into_iter()
            .filter(|(name, _)| name.starts_with(PREFIX));
        self.variables.extend(ours);
        self
    }

    /// Names variables with our prefix that are no settings, such as those of the command line.
    #[must_use]
    pub fn other_variables(mut self, names: &[&str]) -> Self {
        self.other_variables
            .extend(names.iter().map(|&name| name.to_owned()));
        self
    }

    /// Loads `T`; may be called for several types. The error tells all that is wrong.
    pub fn load<T: DeserializeOwned>(&self) -> Result<T, ConfigError> {
        let mut faults = ConfigFaults::default();
        let figment = self.merged(&mut faults)?;
        self.check_sections(&figment, &mut faults)?;
        let loaded = extract(&figment, &self.compiled_in(), &mut faults);
        faults.finish(loaded)
    }

    fn compiled_in(&self) -> Figment {
        let defaults = self.defaults.iter();
        defaults.fold(Figment::new(), |figment, text| {
            figment.merge(Toml::string(text))
        })
    }

    fn merged(&self, faults: &mut ConfigFaults) -> Result<Figment, ConfigError> {
        let mut figment = self.compiled_in();
        if let Some(path) = &self.file {
            std::fs::File::open(path).map_err(|source| ConfigError::File {
                path: path.clone(),
                source,
            })?;
            figment = figment.merge(Toml::file_exact(path));
        }
        for (name, value) in &self.variables {
            if self.other_variables.contains(name) {
                continue;
            }
            if let Some(variable) = faults.note(Variable::new(name, value, &self.sections)) {
                figment = figment.merge(variable);
            }
        }
        Ok(figment)
    }

    fn check_sections(
        &self,
        figment: &Figment,
        faults: &mut ConfigFaults,
    ) -> Result<(), ConfigError> {
        let found: Result<BTreeMap<String, Value>, figment::Error> = figment.extract();
        let found = found.map_err(|error| ConfigError::of(error, figment))?;
        let known: Vec<&str> = self.sections.iter().map(String::as_str).collect();
        for name in found.keys().filter(|name| !self.sections.contains(*name)) {
            let unknown = ConfigError::unknown(name.clone(), figment, &known);
            faults.note::<()>(Err(unknown));
        }
        Ok(())
    }
}

/// Reads all, with the default in place of each setting that is at fault, as the reader stops at the first.
fn extract<T: DeserializeOwned>(
    figment: &Figment,
    defaults: &Figment,
    faults: &mut ConfigFaults,
) -> Option<T> {
    let mut current = figment.clone();
    let mut replaced: Vec<String> = Vec::new();
    for _ in 0..faults::MOST {
        // Lossy: variables are text, and become numbers only where a number is wanted.
        let error = match current.extract_lossy() {
            Ok(loaded) => return Some(loaded),
            Err(error) => error,
        };
        let fault = ConfigError::of(error, figment);
        let key = fault.key().map(str::to_owned);
        // What was taken out and has no default is missing now.
        if key.as_ref().is_some_and(|key| replaced.contains(key)) {
            return None;
        }
        let may_go_on = fault.is_replaceable();
        faults.note::<()>(Err(fault));
        let key = key.filter(|_| may_go_on)?;
        current = with_default(&current, defaults, &key)?;
        replaced.push(key);
    }
    None
}

fn with_default(figment: &Figment, defaults: &Figment, key: &str) -> Option<Figment> {
    let mut settings: Dict = figment.extract().ok()?;
    remove(&mut settings, key)?;
    let without = Figment::from(Serialized::defaults(settings));
    Some(match defaults.find_value(key) {
        Ok(value) => without.merge(Serialized::default(key, value)),
        Err(_) => without,
    })
}

fn remove(settings: &mut Dict, key: &str) -> Option<Value> {
    let Some((section, rest)) = key.split_once('.') else {
        return settings.remove(key);
    };
    match settings.get_mut(section)? {
        Value::Dict(_, inner) => remove(inner, rest),
        _ => None,
    }
}

#[cfg(test)]
mod tests;
