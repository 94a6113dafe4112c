//! Servers that go away and come back.

use anyhow::Result;
use mailmesh_testkit::{MeshAddress, TestFolder, TestServers, own_nats, own_postgres};

use crate::world::{World, mail};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn mail_that_arrives_while_nats_is_away_is_published_afterwards() -> Result<()> {
    let servers = TestServers::shared().await?;
    let folder = TestFolder::new("restart")?;
    let mut nats = own_nats(&folder).await?;
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
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn mail_that_arrives_while_postgres_is_away_is_published_once() -> Result<()> {
    let servers = TestServers::shared().await?;
    let folder = TestFolder::new("restart")?;
    let mut postgres = own_postgres(&folder).await?;
    let world = World::at(MeshAddress::on(servers.nats_url(), postgres.url())).await?;
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
    Ok(())
}
