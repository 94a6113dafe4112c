use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Context;
use mailmesh_runtime::Unavailable;
use mailmesh_secrets::{ExposeSecret, read_secret};
use mailmesh_store::Database;

use crate::ConfigArguments;
use crate::config::{Config, loader};
use crate::console::{block_on, say};
use crate::service_kind::Kind;

/// Which services get a login.
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// A folder with files `postgres-<service>.password`: each of these services may then log in as its role.
    #[arg(long)]
    passwords: Option<PathBuf>,
    /// Leave roles and rights as they are: for a database whose owner may not make roles.
    #[arg(long, conflicts_with = "passwords")]
    without_roles: bool,
}

pub(crate) fn run(config: &ConfigArguments, arguments: Arguments) -> ExitCode {
    let loader = loader(config);
    block_on(async move {
        let config: Config = loader.load()?;
        config.check_values(&[])?;
        let database = Database::connect(&config.postgres()?.resolve()?)
            .await
            .map_err(Unavailable::new)?;
        database.migrate().await?;
        say("The database has this release's shape.");
        if arguments.without_roles {
            return Ok(());
        }
        let granted = database.grant_roles().await;
        granted.context("without a right to make roles, an administrator runs libs/store/grants.sql; see docs/permissions.md, and --without-roles")?;
        say("Each service's role has its rights.");
        for kind in Kind::ALL {
            let name = format!("postgres-{}.password", kind.name());
            let path = arguments.passwords.as_ref().map(|folder| folder.join(name));
            let Some(path) = path.filter(|path| path.exists()) else {
                continue;
            };
            let password = read_secret(&path, "--passwords")?;
            let password = password.expose_secret().trim().to_owned().into();
            database.set_password(kind.role(), &password).await?;
            say(format!("{} may log in.", kind.role().name()));
        }
        Ok(())
    })
}
