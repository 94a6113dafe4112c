use std::process::ExitCode;

use mailmesh_runtime::Unavailable;

use crate::ConfigArguments;
use crate::config::{Config, loader};
use crate::console::{block_on, say};
use crate::mesh::connect_bus;

/// Makes the streams and changes them to the settings, whatever `nats.provision` says: calling this is asking for it.
pub(crate) fn run(arguments: &ConfigArguments) -> ExitCode {
    let loader = loader(arguments);
    block_on(async move {
        let mut config: Config = loader.load()?;
        // It needs NATS alone; what else is configured may be another service's to read.
        config.nats.provision = true;
        let bus = connect_bus(&config).await?;
        bus.ensure_streams().await.map_err(Unavailable::new)?;
        say("The streams are as the settings have them.");
        Ok(())
    })
}
