mod api;
mod story;

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;

use mailmesh_domain::SystemClock;
use mailmesh_embedded::DataFolder;
use mailmesh_oauth::PublicSettings;
use mailmesh_runtime::{Lifecycle, OpsSettings, RuntimeSettings, TelemetrySettings};
use mailmesh_sandbox::{ClientSettings, MailboxSettings, Sandbox, Settings as SandboxSettings};
use mailmesh_secrets::ExposeSecret;

use crate::config::{Config, GivenServers};
use crate::console::{finish, say, warn};
use crate::embedded::{self, Advice, EmbeddedSettings, Ports, others_ended};

use super::up;

/// Warnings, but not what the database says of its own.
const QUIET: &str = "warn,sqlx::postgres::notice=error";

/// How the demo ends.
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// Exits after the last step, instead of staying up.
    #[arg(long)]
    once: bool,
    /// Logs of the services as well.
    #[arg(long)]
    verbose: bool,
    #[command(flatten)]
    servers: embedded::Source,
}

pub(crate) fn run(arguments: &Arguments) -> ExitCode {
    let folder = std::env::temp_dir().join(format!("mailmesh-demo-{}", std::process::id()));
    let settings = RuntimeSettings {
        telemetry: TelemetrySettings {
            level: if arguments.verbose { "info" } else { QUIET }.to_owned(),
            ..TelemetrySettings::default()
        },
        ops: OpsSettings {
            listen: ([127, 0, 0, 1], 0).into(),
        },
        ..RuntimeSettings::default()
    };
    let folder = match DataFolder::open(&folder) {
        Ok(folder) => folder,
        Err(error) => return finish(Err(error.into())),
    };
    let advice = Advice::new(false);
    let code = mailmesh_runtime::start("demo", &settings, async |lifecycle| {
        let played = start_and_play(folder.path(), arguments, lifecycle).await;
        played.map_err(|error| advice.on(error))
    });
    advice.print_hint();
    remove(folder.path());
    code
}

async fn start_and_play(
    folder: &Path,
    arguments: &Arguments,
    lifecycle: Lifecycle,
) -> anyhow::Result<()> {
    let port = mailmesh_embedded::free_port();
    let public = PublicSettings {
        url: format!("http://localhost:{port}").parse()?,
        redirect_path: "/oauth/callback".to_owned(),
    };
    say("1. Starting NATS, Postgres and the five services");
    let mut config = Config {
        public: Some(public.clone()),
        ..Config::default()
    };
    config.auth_callback.listen = ([127, 0, 0, 1], port).into();
    config.admin.listen = ([127, 0, 0, 1], 0).into();
    // The demo is the same whatever the environment says.
    let place = EmbeddedSettings {
        folder,
        ports: Ports::default(),
        servers: &arguments.servers,
    };
    let running = up::start(place, &GivenServers::default(), config, &lifecycle).await?;
    say(format!(
        "   NATS        {}",
        running.nats_url.expose_secret()
    ));
    say(format!("   admin page  {}", running.admin_url));

    say("2. Starting the sandbox, a whole mail provider in this process");
    let sandbox = Sandbox::start(provider(&public), Arc::new(SystemClock)).await?;
    let addresses = sandbox.addresses().clone();
    say(format!("   OAuth 2.0   {}", addresses.issuer));
    say(format!(
        "   IMAP, SMTP  {}, {}",
        addresses.mail.imap_tls, addresses.mail.smtp_tls
    ));
    say(format!("   POP3        {}", addresses.mail.pop3_tls));

    story::play(&running, &sandbox).await?;

    let process = lifecycle.clone();
    lifecycle.spawn("sandbox", async move {
        process.stopping().await;
        others_ended(&process).await;
        sandbox.stop().await;
    });
    if arguments.once {
        lifecycle.stop();
        return Ok(());
    }
    say("");
    say(format!(
        "Everything stays up until Ctrl-C. Admin page: {}",
        running.admin_url
    ));
    if let Some(key) = &running.first_key {
        say(format!("API key: {}", key.expose_secret()));
    }
    Ok(())
}

fn provider(public: &PublicSettings) -> SandboxSettings {
    let mailbox = |name: &str| MailboxSettings {
        address: format!("{name}@sandbox.test"),
        password: name.to_owned(),
    };
    SandboxSettings {
        mailboxes: vec![mailbox("support"), mailbox("customer")],
        clients: vec![ClientSettings {
            client_id: story::CLIENT_ID.to_owned(),
            client_secret: story::CLIENT_SECRET.to_owned(),
            redirect_uris: vec![public.redirect_uri().to_string()],
        }],
        ..SandboxSettings::default()
    }
}

/// As root, Postgres's files may lie elsewhere, behind a link in the folder.
fn remove(folder: &Path) {
    let elsewhere = std::fs::read_link(folder.join("postgres/cluster")).ok();
    for path in elsewhere.iter().map(PathBuf::as_path).chain([folder]) {
        if let Err(error) = std::fs::remove_dir_all(path)
            && error.kind() != std::io::ErrorKind::NotFound
        {
            warn(format!("cannot remove {}: {error}", path.display()));
        }
    }
}
