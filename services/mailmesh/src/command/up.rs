use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::Context;
use mailmesh_embedded::{DataFolder, EmbeddedError};
use mailmesh_oauth::PublicSettings;
use mailmesh_runtime::{ConfigError, Lifecycle, RuntimeSettings, Unavailable};
use mailmesh_secrets::{ExposeSecret, SecretString};
use mailmesh_store::Database;

use crate::ConfigArguments;
use crate::config::{CONNECTION_FILE, Config, DATA_FOLDER, Given, loader};
use crate::console::{finish, finish_with, say};
use crate::embedded::{self, Advice, Ports};
use crate::mesh::{self, Kind};

use super::keys;

/// Where the mesh lives.
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// The folder that holds everything: keys, NATS, Postgres.
    #[arg(long, default_value = DATA_FOLDER)]
    data: PathBuf,
    #[command(flatten)]
    servers: embedded::Source,
}

/// Data folder of a mesh, and the sources of its servers.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Place<'a> {
    pub(crate) folder: &'a Path,
    pub(crate) ports: Ports,
    pub(crate) servers: &'a embedded::Source,
}

/// A mesh that runs in this process.
#[derive(Debug)]
pub(crate) struct RunningMesh {
    pub(crate) admin_url: String,
    pub(crate) nats_url: String,
    pub(crate) redirect_uri: String,
    pub(crate) first_key: Option<SecretString>,
}

pub(crate) fn run(arguments: &ConfigArguments, up: &Arguments) -> ExitCode {
    let Settings {
        runtime,
        config,
        given,
    } = match settings(arguments) {
        Ok(settings) => settings,
        Err(error) => return finish(Err(error.into())),
    };
    // Before any socket opens, and for as long as the process lives.
    let folder = match DataFolder::open(&up.data) {
        Ok(folder) => folder,
        Err(error) => return refuse(error),
    };
    let advice = Advice::new(true);
    let place = Place {
        folder: folder.path(),
        ports: Ports::Usual,
        servers: &up.servers,
    };
    let code = mailmesh_runtime::start("mailmesh", &runtime, async |lifecycle| {
        let running = start(place, &given, config, &lifecycle).await;
        introduce(&running.map_err(|error| advice.on(error))?);
        Ok(())
    });
    advice.print_hint();
    code
}

struct Settings {
    runtime: RuntimeSettings,
    config: Config,
    given: Given,
}

fn settings(arguments: &ConfigArguments) -> Result<Settings, ConfigError> {
    let loader = loader(arguments);
    let settings = Settings {
        runtime: loader.load()?,
        config: loader.load()?,
        given: loader.load()?,
    };
    settings.config.check_values(&Kind::ALL)?;
    if !settings.config.has_no_keys() {
        settings.config.opening_keys()?;
        settings.config.sealing_key()?;
    }
    Ok(settings)
}

fn refuse(error: EmbeddedError) -> ExitCode {
    let hint = format!("{} (--data)", error.hint());
    let error = match error {
        EmbeddedError::FolderInUse { .. } => Unavailable::new(error).into(),
        _ => ConfigError::invalid("--data", error).into(),
    };
    finish_with(Err(error), |_| Some(hint))
}

/// Starts servers and services in this process. The folder's path is absolute, so that what other
/// commands read holds wherever they are called.
pub(crate) async fn start(
    place: Place<'_>,
    given: &Given,
    mut config: Config,
    lifecycle: &Lifecycle,
) -> anyhow::Result<RunningMesh> {
    let Place {
        folder,
        ports,
        servers,
    } = place;
    if config.has_no_keys() {
        config.keys = keys::ensure(&folder.join("keys"))?;
    }
    let public = match &config.public {
        Some(public) => public.clone(),
        None => default_public(&config)?,
    };
    let redirect_uri = public.redirect_uri().to_string();
    config.public = Some(public);

    let servers = embedded::start(folder, ports, servers, given, &mut config).await?;
    write_connection(folder, &config)?;
    servers.spawn(lifecycle);
    if !given.has_postgres() {
        migrate(&config).await?;
    }
    let connections = mesh::connect(&config, lifecycle).await?;
    let mut running = RunningMesh {
        admin_url: String::new(),
        nats_url: config.nats.shown_url(),
        redirect_uri,
        first_key: None,
    };
    for kind in Kind::ALL {
        let started = mesh::start(kind, &config, &connections, lifecycle).await?;
        if kind == Kind::Admin {
            running.first_key = started.first_key;
            let address = started.address.context("admin has no address")?;
            running.admin_url = format!("http://{address}");
        }
    }
    Ok(running)
}

/// Writes the file by which other commands reach this mesh.
fn write_connection(folder: &Path, config: &Config) -> anyhow::Result<()> {
    let postgres = config.postgres.as_ref().context("no database is named")?;
    let postgres = postgres.resolve()?;
    let key = config.keys.opening_key_file.as_deref();
    let mut text = String::from("# Written by `mailmesh up`: how to reach it.\n");
    let mut section = |name: &str, field: &str, value: &str| {
        // A TOML basic string has the escapes of a JSON string.
        let value = serde_json::Value::from(value);
        text = format!("{text}[{name}]\n{field} = {value}\n");
    };
    section("nats", "url", &config.nats.url);
    section("postgres", "url", postgres.url.expose_secret());
    if let Some(key) = key.and_then(Path::to_str) {
        section("keys", "opening_key_file", key);
    }
    if let Some(public) = &config.public {
        section("public", "url", public.url.as_str());
    }
    keys::write_file(&folder.join(CONNECTION_FILE), 0o600, &text)
}

/// Migrates without a command: the embedded database has no other user.
async fn migrate(config: &Config) -> anyhow::Result<()> {
    let postgres = config.postgres.as_ref().context("no database is named")?;
    let database = Database::connect(&postgres.resolve()?).await?;
    database.migrate().await?;
    database.close().await;
    Ok(())
}

fn default_public(config: &Config) -> anyhow::Result<PublicSettings> {
    let url = format!("http://localhost:{}", config.auth_callback.listen.port());
    Ok(PublicSettings {
        url: url.parse()?,
        redirect_path: "/oauth/callback".to_owned(),
    })
}

fn introduce(running: &RunningMesh) {
    say(format!("Admin page and API  {}", running.admin_url));
    say(format!("NATS                {}", running.nats_url));
    say(format!("Redirect URI        {}", running.redirect_uri));
    if let Some(key) = &running.first_key {
        say(format!(
            "The first administrator's API key, shown this once: {}",
            key.expose_secret()
        ));
    }
    say("Ready. Ctrl-C stops it; the same command brings it back with everything it had.");
}
