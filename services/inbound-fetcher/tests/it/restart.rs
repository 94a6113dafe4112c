//! Servers that go away and come back.

use std::ops::RangeInclusive;

use anyhow::Result;
use mailmesh_domain::Protocol;
use mailmesh_testkit::{
    MeshAddress, RunningReplica, TestFolder, TestServers, own_nats, own_postgres,
};

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

    let outage = async || {
        nats.kill().await;
        deliver(&world, 2..=40)?;
        anyhow::Ok(nats.restart().await?)
    };
    let replica = receives_through(&world, outage).await?;

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

    let outage = async || {
        postgres.kill().await;
        deliver(&world, 2..=40)?;
        anyhow::Ok(postgres.restart().await?)
    };
    let replica = receives_through(&world, outage).await?;

    world.finish(replica).await?;
    postgres.stop().await;
    Ok(())
}

fn deliver(world: &World, numbers: RangeInclusive<u32>) -> Result<()> {
    for number in numbers {
        world.deliver(mail(number))?;
    }
    Ok(())
}

/// Expects each of 41 mails once: the first before the outage, the last after it, the others as the outage delivers them.
async fn receives_through(
    world: &World,
    outage: impl AsyncFnOnce() -> Result<()>,
) -> Result<RunningReplica> {
    let account = world.account("support", |_| {}).await?;
    let replica = world.start().await?;
    deliver(world, 1..=1)?;
    world.mails("support", 1).await?;
    world.recorded(&account, 1).await?;

    outage().await?;
    deliver(world, 41..=41)?;

    world.recorded(&account, 41).await?;
    world.mails("support", 41).await?;
    Ok(replica)
}
