//! One file holds the sections of all services.

use std::path::Path;

use mailmesh_bus::BusSettings;
use mailmesh_replica::{KeySettings, PostgresSettings, PublicSettings};
use mailmesh_runtime::Loader;
use serde::Deserialize;

use crate::ConfigArguments;

/// The sections beside those of the runtime.
const SECTIONS: [&str; 9] = [
    "nats",
    "postgres",
    "keys",
    "public",
    "admin",
    "auth_callback",
    "token_refresh",
    "inbound_fetcher",
    "outbound_sender",
];

/// The sections of all services. The runtime's own (`telemetry`, `ops`, `shutdown`) are loaded apart.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Config {
    pub(crate) nats: BusSettings,
    pub(crate) postgres: Option<PostgresSettings>,
    pub(crate) keys: KeySettings,
    pub(crate) public: Option<PublicSettings>,
    pub(crate) admin: mailmesh_admin::Config,
    pub(crate) auth_callback: mailmesh_auth_callback::Config,
    pub(crate) token_refresh: mailmesh_token_refresh::Config,
    pub(crate) inbound_fetcher: mailmesh_inbound_fetcher::Settings,
    pub(crate) outbound_sender: mailmesh_outbound_sender::Config,
}

/// Which servers were named, so that `up` knows which to start itself.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Given {
    nats: GivenUrl,
    postgres: GivenUrl,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct GivenUrl {
    url: Option<String>,
    url_file: Option<String>,
}

impl Given {
    pub(crate) const fn has_nats(&self) -> bool {
        self.nats.url.is_some()
    }

    pub(crate) const fn has_postgres(&self) -> bool {
        self.postgres.url.is_some() || self.postgres.url_file.is_some()
    }
}

/// Returns the loader of the file and variables that the command line names.
pub(crate) fn loader(arguments: &ConfigArguments) -> Loader {
    let loader = Loader::from_environment(&SECTIONS);
    match &arguments.config {
        Some(path) => loader.file(path),
        None => loader,
    }
}

/// The file in the data folder of `mailmesh up` that says how to reach its servers.
pub(crate) const CONNECTION_FILE: &str = "connection.toml";
pub(crate) const DATA_FOLDER: &str = "mailmesh-data";

/// As [`loader`], for the commands that talk to a mesh: without a configuration file they find the
/// `mailmesh up` of this folder.
pub(crate) fn client_loader(arguments: &ConfigArguments) -> Loader {
    let loader = loader(arguments);
    let connection = Path::new(DATA_FOLDER).join(CONNECTION_FILE);
    match std::fs::read_to_string(connection) {
        Ok(text) if arguments.config.is_none() => loader.defaults(&text),
        _ => loader,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The block of the page about configuration.
    fn documented() -> String {
        let page = include_str!("../../../docs/configuration.md");
        let (_, rest) = page.split_once("```toml\n").unwrap();
        rest.split_once("```").unwrap().0.to_owned()
    }

    #[test]
    fn the_documented_settings_are_known_and_are_the_defaults() {
        let loader = Loader::new(&SECTIONS).defaults(&documented());

        let documented: Config = loader.load().unwrap();
        let runtime: mailmesh_runtime::RuntimeSettings = loader.load().unwrap();

        let defaults = Config {
            postgres: documented.postgres.clone(),
            keys: documented.keys.clone(),
            public: documented.public.clone(),
            ..Config::default()
        };
        assert_eq!(format!("{documented:#?}"), format!("{defaults:#?}"));
        let defaults = mailmesh_runtime::RuntimeSettings::default();
        assert_eq!(format!("{runtime:#?}"), format!("{defaults:#?}"));
    }
}
