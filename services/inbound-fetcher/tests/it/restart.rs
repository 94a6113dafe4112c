//! Servers that go away and come back.

use anyhow::Result;
use mailmesh_domain::Protocol;
use mailmesh_testkit::{MeshAddress, TestFolder, TestServers, own_nats, own_postgres};

use crate::world::{World, mail, over_each_protocol};

over_each_protocol! {
    mail_that_arrives_while_nats_is_away_is_published_afterwards,
    mail_that_arrives_while_postgres_is_away_is_published_once,
}

async fn mail_that_arrives_while_nats_is_away_is_published_afterwards(
    protocol: Protocol,
) -> Result<()> {
    let servers = TestServers::shared().await?;
    let folder = TestFolder::new("restart")?;
    let mut nats = own_nats(&folder).await?;
    let url = servers.fresh_database().await?;
    let world = World::at(MeshAddress::on(&nats.url(), url))
        .await?
        .with(protocol);
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

async fn mail_that_arrives_while_postgres_is_away_is_published_once(
    protocol: Protocol,
) -> Result<()> {
    let servers = TestServers::shared().await?;
    let folder = TestFolder::new("restart")?;
    let mut postgres = own_postgres(&folder).await?;
    let world = World::at(MeshAddress::on(servers.nats_url(), postgres.url()))
        .await?
        .with(protocol);
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
