use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::Context;
use mailmesh_embedded::{DataFolder, EmbeddedError};
use mailmesh_runtime::{ConfigError, ConfigFaults, Lifecycle, RuntimeSettings, Unavailable};
use mailmesh_secrets::{ExposeSecret, SecretString};
use mailmesh_store::Database;

use crate::ConfigArguments;
use crate::config::{CONNECTION_FILE, Config, DATA_FOLDER, GivenServers, loader};
use crate::console::{finish, finish_with, say};
use crate::credentials::write_file;
use crate::embedded::{self, Advice, EmbeddedSettings, Ports};
use crate::mesh;
use crate::service_kind::Kind;
use crate::service_logins::ServiceLogins;

use super::keys;

/// Where the mesh lives.
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// The folder that holds everything: keys, NATS, Postgres.
    #[arg(long, default_value = DATA_FOLDER)]
    data: PathBuf,
    /// The port of NATS on 127.0.0.1, kept for later starts [default: 4222 if it is free].
    #[arg(long, default_value_t = 0, hide_default_value = true)]
    nats_port: u16,
    /// The port of Postgres on 127.0.0.1, kept for later starts [default: one that is free].
    #[arg(long, default_value_t = 0, hide_default_value = true)]
    postgres_port: u16,
    #[command(flatten)]
    servers: embedded::Source,
}

/// A mesh that runs in this process.
#[derive(Debug)]
pub(crate) struct RunningMesh {
    pub(crate) admin_url: String,
    /// For business systems: with their password, if the server is our own.
    pub(crate) nats_url: SecretString,
    pub(crate) redirect_uri: String,
    pub(crate) first_key: Option<SecretString>,
}

pub(crate) fn run(arguments: &ConfigArguments, up: &Arguments) -> ExitCode {
    let UpSettings {
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
    let place = EmbeddedSettings {
        folder: folder.path(),
        ports: Ports {
            nats: up.nats_port,
            postgres: up.postgres_port,
            prefers_usual: true,
        },
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

struct UpSettings {
    runtime: RuntimeSettings,
    config: Config,
    given: GivenServers,
}

fn settings(arguments: &ConfigArguments) -> Result<UpSettings, ConfigError> {
    let loader = loader(arguments);
    let mut faults = ConfigFaults::default();
    let runtime = faults.note(loader.load());
    let config: Option<Config> = faults.note(loader.load());
    let given = faults.note(loader.load());
    if let Some(config) = &config {
        faults.note(config.check_values(&Kind::ALL));
        if !config.has_no_keys() {
            faults.note(config.opening_keys());
            faults.note(config.sealing_key());
            faults.note(config.check_key_pair());
        }
    }
    let ((runtime, config), given) = faults.finish(runtime.zip(config).zip(given))?;
    Ok(UpSettings {
        runtime,
        config,
        given,
    })
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
    place: EmbeddedSettings<'_>,
    given: &GivenServers,
    mut config: Config,
    lifecycle: &Lifecycle,
) -> anyhow::Result<RunningMesh> {
    let folder = place.folder;
    let own_keys = config.has_no_keys().then(|| folder.join("keys"));
    if let Some(folder) = &own_keys {
        config.keys = keys::settings(folder);
    }
    let public = match &config.public {
        Some(public) => public.clone(),
        None => config.local_public()?,
    };
    let redirect_uri = public.redirect_uri().to_string();
    config.public = Some(public);

    let servers = embedded::start(place, given, &mut config).await?;
    let nats_url = servers.clients_url.clone();
    write_connection(folder, &config)?;
    let postgres_port = servers.postgres_port();
    servers.spawn(lifecycle);
    let logins = match postgres_port {
        Some(port) => Some((
            ServiceLogins::prepare(config.postgres()?, folder).await?,
            port,
        )),
        None => None,
    };
    if let Some(folder) = &own_keys {
        keys::ensure(folder, config.postgres()?).await?;
    }
    let settings_of = |kind: Kind| {
        let (logins, port) = logins.as_ref()?;
        logins.settings(kind, *port)
    };
    let own = settings_of(Kind::AuthCallback);
    let own = own.as_ref().map_or_else(|| config.postgres(), Ok)?;
    let connections = mesh::connect(own, &config, lifecycle).await?;
    let mut running = RunningMesh {
        admin_url: String::new(),
        nats_url: nats_url.unwrap_or_else(|| config.nats.shown_url().into()),
        redirect_uri,
        first_key: None,
    };
    for kind in Kind::ALL {
        let mut connections = connections.clone();
        if let Some(settings) = settings_of(kind) {
            let database = Database::connect(&settings.resolve()?).await?;
            connections = connections.with_database(database);
        }
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
    let mut text = String::from("# Written by `mailmesh up`: how to reach it, with all rights.\n");
    let mut section = |name: &str, fields: &[(&str, &str)]| {
        text = format!("{text}[{name}]\n");
        for (field, value) in fields {
            // A TOML basic string has the escapes of a JSON string.
            text = format!("{text}{field} = {}\n", serde_json::Value::from(*value));
        }
    };
    let nats = [
        ("url", config.nats.url.as_str()),
        ("inbox_prefix", config.nats.inbox_prefix.as_str()),
    ];
    section("nats", &nats);
    section("postgres", &[("url", postgres.url.expose_secret())]);
    if let Some(key) = key.and_then(Path::to_str) {
        section("keys", &[("opening_key_file", key)]);
    }
    if let Some(public) = &config.public {
        section("public", &[("url", public.url.as_str())]);
    }
    write_file(&folder.join(CONNECTION_FILE), 0o600, &text)
}

fn introduce(running: &RunningMesh) {
    say(format!("Admin page and API  {}", running.admin_url));
    say(format!(
        "NATS                {}",
        running.nats_url.expose_secret()
    ));
    say(format!("Redirect URI        {}", running.redirect_uri));
    if let Some(key) = &running.first_key {
        say(format!(
            "The first administrator's API key, shown this once: {}",
            key.expose_secret()
        ));
    }
    say("Ready. Ctrl-C stops it; the same command brings it back with everything it had.");
}
