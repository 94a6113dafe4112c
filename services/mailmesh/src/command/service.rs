use std::process::ExitCode;

use mailmesh_runtime::{Lifecycle, run as run_process};
use mailmesh_secrets::ExposeSecret;

use crate::ConfigArguments;
use crate::config::{Config, loader};
use crate::console::say;
use crate::mesh::{self, StartReport};

pub(crate) use crate::service_kind::Kind;

pub(crate) fn run(kind: Kind, arguments: &ConfigArguments) -> ExitCode {
    let loader = loader(arguments);
    run_process(
        kind.name(),
        &loader,
        |config: &Config| config.check(&[kind]),
        async move |config: Config, lifecycle: Lifecycle| {
            let connections = mesh::connect(config.postgres()?, &config, &lifecycle).await?;
            let StartReport { first_key, .. } =
                mesh::start(kind, &config, &connections, &lifecycle).await?;
            if let Some(key) = first_key {
                say(format!(
                    "The first administrator's API key, shown this once: {}",
                    key.expose_secret()
                ));
            }
            Ok(())
        },
    )
}
