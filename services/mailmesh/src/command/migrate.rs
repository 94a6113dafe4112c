use std::process::ExitCode;

use mailmesh_runtime::Unavailable;
use mailmesh_store::Database;

use crate::ConfigArguments;
use crate::config::{Config, loader};
use crate::console::{block_on, say};

pub(crate) fn run(arguments: &ConfigArguments) -> ExitCode {
    let loader = loader(arguments);
    block_on(async move {
        let config: Config = loader.load()?;
        config.check_values(&[])?;
        let database = Database::connect(&config.postgres()?.resolve()?)
            .await
            .map_err(Unavailable::new)?;
        database.migrate().await?;
        say("The database has this release's shape.");
        Ok(())
    })
}
