//! One file holds the sections of all services.

mod check;

use std::io::ErrorKind;
use std::path::Path;

use mailmesh_accounts::ConnectSettings;
use mailmesh_bus::BusSettings;
use mailmesh_domain::NetworkSettings;
use mailmesh_oauth::PublicSettings;
use mailmesh_runtime::{Loader, code, exit_code_of};
use mailmesh_secrets::KeySettings;
use mailmesh_store::PostgresSettings;
use serde::Deserialize;

use crate::ConfigArguments;

/// The sections beside those of the runtime.
const SECTIONS: [&str; 11] = [
    "nats",
    "postgres",
    "connects",
    "network",
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
    pub(crate) connects: ConnectSettings,
    pub(crate) network: NetworkSettings,
    pub(crate) keys: KeySettings,
    pub(crate) public: Option<PublicSettings>,
    pub(crate) admin: mailmesh_admin::Config,
    pub(crate) auth_callback: mailmesh_auth_callback::Config,
    pub(crate) token_refresh: mailmesh_token_refresh::Config,
    pub(crate) inbound_fetcher: mailmesh_inbound_fetcher::Settings,
    pub(crate) outbound_sender: mailmesh_outbound_sender::Config,
}

/// Server URLs that were configured, so that `up` starts only the others.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct GivenServers {
    nats: GivenUrl,
    postgres: GivenUrl,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct GivenUrl {
    url: Option<String>,
    url_file: Option<String>,
}

impl GivenServers {
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

/// Shorter than a service's, whose servers may start together with it: a person waits at the terminal.
const CLIENT_DEFAULTS: &str = "[nats]\nconnect_wait_seconds = 3\n";

/// Configuration of a command that talks to a running mesh.
#[derive(Debug)]
pub(crate) struct CommandConfig {
    pub(crate) loader: Loader,
    /// Advice for the error that the mesh is not found.
    hint: Option<String>,
}

impl CommandConfig {
    /// Without a configuration file, it finds the `mailmesh up` of this folder.
    pub(crate) fn new(arguments: &ConfigArguments) -> Self {
        let loader = loader(arguments).defaults(CLIENT_DEFAULTS);
        if arguments.config.is_some() {
            return Self { loader, hint: None };
        }
        let connection = Path::new(DATA_FOLDER).join(CONNECTION_FILE);
        match std::fs::read_to_string(&connection) {
            Ok(text) => Self {
                loader: loader.defaults(&text),
                hint: Some(format!(
                    "{} says where the mesh is; does `mailmesh up` run?",
                    connection.display()
                )),
            },
            Err(error) => Self {
                loader,
                hint: Some(not_found(&connection, &error)),
            },
        }
    }

    /// Returns what to do about an error that exits with 69 (unavailable).
    pub(crate) fn advice(self) -> impl FnOnce(&anyhow::Error) -> Option<String> {
        move |error| {
            self.hint
                .filter(|_| exit_code_of(error) == code::UNAVAILABLE)
        }
    }
}

fn not_found(connection: &Path, error: &std::io::Error) -> String {
    let path = connection.display();
    if error.kind() == ErrorKind::PermissionDenied {
        return format!(
            "{path} says where the mesh is, but only the user who runs `mailmesh up` can read it"
        );
    }
    format!(
        "no {path} here: call this where `mailmesh up` was called, or name its {CONNECTION_FILE}, or your configuration file, with --config"
    )
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
