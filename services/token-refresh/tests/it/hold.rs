//! New tokens are held while the database is away, and nobody spends the old ones again meanwhile.

use std::time::Duration;

use anyhow::Result;
use mailmesh_domain::{Clock, ReplicaId};
use mailmesh_sandbox::{Fault, Personality};
use mailmesh_store::grant::{self, ClaimRules, ClientShares, Grant};
use mailmesh_store::{Database, DatabaseSettings};
use mailmesh_testkit::{RunningReplica, eventually};
use mailmesh_token_refresh::Config;

use crate::proxy::Proxy;
use crate::start::start;
use crate::world::World;

const STORE: &str = "access_token_sealed = $3";
const CLAIM: &str = "SET claimed_by = $1";

/// A replica behind a proxy that holds new tokens and cannot store them.
async fn holder(world: &World, grant: &Grant) -> Result<(RunningReplica, Proxy)> {
    let proxy = Proxy::before(&world.base.address.postgres_url).await?;
    let settings = DatabaseSettings {
        url: proxy.url().clone(),
        max_connections: 4,
        acquire_timeout: Duration::from_secs(5),
        ca_file: None,
    };
    let database = Database::connect(&settings).await?;
    let replica = start(world, Config::default(), database).await?;
    world.fail_at("oauth.after_token", Some(1), Fault::Stall { seconds: None })?;
    world.ask(grant, 1).await?;
    eventually("the provider has rotated", async || {
        world.refreshes(grant) == (1, 0)
    })
    .await?;
    proxy.forbid(&[STORE]);
    world.sandbox.faults().clear();
    Ok((replica, proxy))
}

/// As the claim of a refresh that takes too long.
async fn end_claim(world: &World, grant: &Grant) -> Result<()> {
    let due = Grant {
        refresh_due_at: world.clock.now() - Duration::from_mins(1),
        ..grant.clone()
    };
    world.base.save_grant(&due).await?;
    let claiming = ClaimRules {
        replica: ReplicaId::generate(&*world.clock),
        claim_for: Duration::ZERO,
        except: &[],
        takes_over: true,
        shares: ClientShares::ALL,
    };
    let mut tx = world.base.begin().await?;
    let claimed = grant::claim_due(&mut tx, &claiming, world.clock.now(), 1).await?;
    let ids = claimed.iter().map(|claimed| claimed.id);
    anyhow::ensure!(ids.eq([grant.id]), "{claimed:?}");
    Ok(tx.commit().await?)
}

#[tokio::test]
async fn a_replica_does_not_claim_again_what_it_holds() -> Result<()> {
    let world = World::new(Personality::Standard).await?;
    let [grant, other] = [world.grant("alice").await?, world.grant("bob").await?];
    let (replica, proxy) = holder(&world, &grant).await?;

    // Not even when nobody else has claimed it.
    let due = Grant {
        refresh_due_at: world.clock.now() - Duration::from_mins(1),
        ..grant.clone()
    };
    world.base.save_grant(&due).await?;
    world.ask(&other, 1).await?;
    eventually("the other's turn", async || {
        world.refreshes(&other) == (1, 0)
    })
    .await?;
    proxy.forbid(&[]);
    for grant in [&grant, &other] {
        world
            .until("stored tokens", grant, |grant| grant.generation == 2)
            .await?;
    }

    assert_eq!(world.refreshes(&grant), (1, 0));
    replica.stop().await
}

#[tokio::test]
async fn another_replica_lets_the_holder_store_first_once_the_database_is_back() -> Result<()> {
    let world = World::new(Personality::Standard).await?;
    let [grant, other] = [world.grant("alice").await?, world.grant("bob").await?];
    let (holder, proxy) = holder(&world, &grant).await?;
    proxy.forbid(&[STORE, CLAIM]);
    end_claim(&world, &grant).await?;

    let second = world.start().await?;
    world.ask(&other, 1).await?;
    world
        .until("the other's token", &other, |grant| grant.generation == 2)
        .await?;
    proxy.forbid(&[]);
    world
        .until("stored tokens", &grant, |grant| grant.generation == 2)
        .await?;

    assert_eq!(world.refreshes(&grant), (1, 0));
    for replica in [holder, second] {
        replica.stop().await?;
    }
    Ok(())
}
