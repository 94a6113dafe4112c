use std::process::ExitCode;

use anyhow::Context;
use mailmesh_store::Database;

use crate::ConfigArguments;
use crate::config::{Config, loader};
use crate::console::{block_on, say};

pub(crate) fn run(arguments: &ConfigArguments) -> ExitCode {
    let loader = loader(arguments);
    block_on(async move {
        let config: Config = loader.load()?;
        let postgres = config.postgres.context(
            "no database is named: set postgres.url in the configuration file, or MAILMESH_POSTGRES__URL",
        )?;
        let database = Database::connect(&postgres.resolve()?).await?;
        database.migrate().await?;
        say("The database has this release's shape.");
        Ok(())
    })
}
