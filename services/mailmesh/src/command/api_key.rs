use std::process::ExitCode;

use mailmesh_admin::{NewKey, make_key};
use mailmesh_domain::{Role, SystemClock};
use mailmesh_runtime::Unavailable;
use mailmesh_secrets::ExposeSecret;
use mailmesh_store::Database;

use crate::ConfigArguments;
use crate::config::{CommandConfig, Config};
use crate::console::{block_on_with, say};

/// What to do with API keys.
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    action: ApiKeyAction,
}

#[derive(Debug, clap::Subcommand)]
enum ApiKeyAction {
    /// Make a key with access to the database alone: in place of one that was lost.
    Create {
        /// What the key is for.
        #[arg(long, default_value = "made on the host")]
        name: String,
        /// What its holder may do: administrator, modeller or viewer.
        #[arg(long, default_value = "administrator")]
        role: Role,
        /// For how many days it is accepted; until it is revoked when left out.
        #[arg(long, value_parser = clap::value_parser!(u32).range(1..=3650))]
        valid_days: Option<u32>,
    },
}

pub(crate) fn run(arguments: &ConfigArguments, Arguments { action }: Arguments) -> ExitCode {
    let client = CommandConfig::new(arguments);
    let loader = client.loader.clone();
    let ApiKeyAction::Create {
        name,
        role,
        valid_days,
    } = action;
    let work = async move {
        let config: Config = loader.load()?;
        config.check_values(&[])?;
        let database = Database::connect(&config.postgres()?.resolve()?)
            .await
            .map_err(Unavailable::new)?;
        let wanted = NewKey {
            name,
            role,
            valid_days,
        };
        let key = make_key(&database, &SystemClock, &wanted).await?;
        // The key alone, so that scripts can take it.
        say(key.expose_secret());
        Ok(())
    };
    block_on_with(work, client.advice())
}
