use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::Context;
use mailmesh_secrets::{ExposeSecret, SecretString};

use crate::console::{finish, say};
use crate::credentials::{ensure, make_folder, write_file};
use crate::service_kind::Kind;

/// The owner of the database, who migrates.
const OWNER: &str = "mailmesh";
/// Beside the services: those of `mailmesh nats-users`.
const OTHER_USERS: [&str; 3] = ["operator", "clients", "support-desk"];

/// Where passwords go, and where the servers are.
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// The folder; each user's files lie in a folder of their own there.
    #[arg(long, default_value = "credentials")]
    out: PathBuf,
    /// Host and port of Postgres in the services' addresses, and what else belongs behind them.
    #[arg(long, default_value = "postgres:5432/mailmesh")]
    postgres: String,
    /// Host and port of NATS in the address for business systems.
    #[arg(long, default_value = "127.0.0.1:4222")]
    nats: String,
}

/// Makes the passwords that are missing, and writes each in the form in which its reader wants it.
pub(crate) fn run(arguments: &Arguments) -> ExitCode {
    finish(make(arguments))
}

fn make(arguments: &Arguments) -> anyhow::Result<()> {
    let folder = |name: &str| arguments.out.join(name);
    let mut nats = String::from("# Passwords of users.conf.\n");
    for user in Kind::ALL.map(Kind::name).into_iter().chain(OTHER_USERS) {
        let password = ensure(&folder(user), "nats.password")?;
        let variable = user.to_ascii_uppercase().replace('-', "_");
        nats = format!(
            "{nats}{variable}_PASSWORD: \"{}\"\n",
            password.expose_secret()
        );
    }
    let clients = ensure(&folder("clients"), "nats.password")?;
    let address = format!(
        "nats://clients:{}@{}\n",
        clients.expose_secret(),
        arguments.nats
    );
    write_file(&folder("clients").join("nats.url"), 0o600, &address)?;
    // The servers' own users read these: keep the folders from everybody else.
    share(&folder("nats"), "passwords.conf", &nats)?;

    for kind in Kind::ALL {
        let password = ensure(
            &folder("roles"),
            &format!("postgres-{}.password", kind.name()),
        )?;
        let url = postgres_url(kind.role().name(), &password, &arguments.postgres);
        write_file(&folder(kind.name()).join("postgres.url"), 0o600, &url)?;
    }
    let owner = ensure(&folder("owner"), "postgres.password")?;
    let url = postgres_url(OWNER, &owner, &arguments.postgres);
    write_file(&folder("owner").join("postgres.url"), 0o600, &url)?;
    share(&folder("postgres"), "password", owner.expose_secret())?;
    say(format!(
        "{}: a folder for each user",
        arguments.out.display()
    ));
    Ok(())
}

fn postgres_url(user: &str, password: &SecretString, place: &str) -> String {
    format!("postgres://{user}:{}@{place}\n", password.expose_secret())
}

fn share(folder: &Path, name: &str, text: &str) -> anyhow::Result<()> {
    make_folder(folder)?;
    let path = folder.join(name);
    // An unchanged file is left: a server may be reading it.
    if std::fs::read_to_string(&path).is_ok_and(|found| found == text) {
        return Ok(());
    }
    write_file(&path, 0o644, text).context("the servers' passwords were not written")
}
