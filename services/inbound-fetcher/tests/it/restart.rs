//! Servers that go away and come back.

use std::path::{Path, PathBuf};

use anyhow::Result;
use mailmesh_embedded::{
    Cache, Locator, LogProgress, Nats, NatsOptions, Postgres, PostgresOptions, Silent, find_nats,
    find_postgres,
};
use mailmesh_testkit::{MeshAddress, TestServers};

use crate::world::{World, mail};

fn folder(name: &str) -> Result<PathBuf> {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR"))
        .join(format!("fetcher-{}-{name}", std::process::id()));
    std::fs::create_dir_all(&folder)?;
    Ok(folder)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn mail_that_arrives_while_nats_is_away_is_published_afterwards() -> Result<()> {
    let servers = TestServers::shared().await?;
    let folder = folder("nats")?;
    let binary = find_nats(&Locator::new(Cache::of_user()), &LogProgress).await?;
    let mut nats = Nats::start(binary, NatsOptions::new(&folder)).await?;
    let url = servers.fresh_database().await?;
    let world = World::at(MeshAddress::on(&nats.url(), url)).await?;
    let account = world.account("support", |_| {}).await?;
    let replica = world.start().await?;
    world.deliver(mail(1))?;
    world.mails("support", 1).await?;
    world.recorded(&account, 1).await?;

    nats.kill().await;
    for number in 2..=40 {
        world.deliver(mail(number))?;
    }
    nats.restart().await?;
    world.deliver(mail(41))?;

    world.recorded(&account, 41).await?;
    world.mails("support", 41).await?;
    world.finish(replica).await?;
    nats.stop().await;
    Ok(std::fs::remove_dir_all(folder)?)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn mail_that_arrives_while_postgres_is_away_is_published_once() -> Result<()> {
    let servers = TestServers::shared().await?;
    // Postgres runs as another user where the tests run as root.
    let folder = std::env::temp_dir().join(format!("mailmesh-fetcher-{}", std::process::id()));
    let binaries = find_postgres(&Locator::new(Cache::of_user()), &LogProgress).await?;
    let options = PostgresOptions::new(folder.join("data"));
    let mut postgres = Postgres::start(binaries, options, &Silent).await?;
    let world = World::at(MeshAddress::on(servers.nats_url(), postgres.url())).await?;
    world.base.database.migrate().await?;
    let account = world.account("support", |_| {}).await?;
    let replica = world.start().await?;
    world.deliver(mail(1))?;
    world.mails("support", 1).await?;
    world.recorded(&account, 1).await?;

    postgres.kill().await;
    for number in 2..=40 {
        world.deliver(mail(number))?;
    }
    postgres.restart().await?;
    world.deliver(mail(41))?;

    world.recorded(&account, 41).await?;
    world.mails("support", 41).await?;
    world.finish(replica).await?;
    postgres.stop().await;
    Ok(std::fs::remove_dir_all(folder)?)
}
