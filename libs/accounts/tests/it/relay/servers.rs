//! Servers of one test's own, which it may kill.

use std::path::PathBuf;

use anyhow::Result;
use mailmesh_embedded::{
    Cache, Locator, Nats, NatsOptions, Postgres, PostgresOptions, Silent, find_nats, find_postgres,
};

/// A folder that is removed at the end of the test.
pub(crate) struct Scratch(PathBuf);

impl Scratch {
    // Named as the test kit does, which removes what a killed process leaves.
    pub(crate) fn new(name: &str) -> Result<Self> {
        let folder = std::env::temp_dir()
            .join(format!("mailmesh-test-{}", std::process::id()))
            .join(format!("own-{name}"));
        std::fs::create_dir_all(&folder)?;
        Ok(Self(folder))
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        std::fs::remove_dir_all(&self.0).ok();
    }
}

pub(crate) async fn start_nats(scratch: &Scratch) -> Result<Nats> {
    let binary = find_nats(&Locator::new(Cache::of_user()), &Silent).await?;
    let options = NatsOptions {
        sync_always: false,
        ..NatsOptions::new(&scratch.0)
    };
    Ok(Nats::start(binary, options).await?)
}

pub(crate) async fn start_postgres(scratch: &Scratch) -> Result<Postgres> {
    let binaries = find_postgres(&Locator::new(Cache::of_user()), &Silent).await?;
    // Durable: what was committed must be there after a kill.
    let options = PostgresOptions::new(&scratch.0);
    Ok(Postgres::start(binaries, options, &Silent).await?)
}
