use std::time::Duration;

use anyhow::Result;
use mailmesh_domain::{Clock, GrantState, MustAct, ReplicaId};
use mailmesh_events::account::AccountSignInRequired;
use mailmesh_sandbox::{Fault, Personality};
use mailmesh_store::grant::{self, ClaimRules, ClientShares};
use mailmesh_testkit::eventually;

use crate::world::World;

fn status(code: u16, retry_after: Option<u64>) -> Fault {
    Fault::Status {
        code,
        retry_after,
        body: None,
    }
}

#[tokio::test]
async fn what_passes_by_itself_costs_neither_state_nor_token() -> Result<()> {
    for fault in [
        status(503, None),
        status(500, None),
        status(429, Some(1)),
        Fault::Cut,
        Fault::Reply {
            text: "<html>Maintenance</html>".to_owned(),
        },
        Fault::Status {
            code: 503,
            retry_after: None,
            body: Some(r#"{"error":"invalid_grant"}"#.to_owned()),
        },
    ] {
        let world = World::new(Personality::Standard).await?;
        let grant = world.grant("alice").await?;
        world.fail_refreshes(Some(1), fault.clone())?;
        let replica = world.start().await?;

        world.ask(&grant, 1).await?;
        let failed = world
            .until("a failure", &grant, |grant| grant.failures == 1)
            .await?;
        world.advance(1);
        let recovered = world
            .until("a new token", &grant, |grant| grant.generation == 2)
            .await?;

        assert_eq!(failed.state, GrantState::Active, "{fault:?}");
        assert_eq!(world.base.opened(&failed)?, world.base.opened(&grant)?);
        assert!(failed.problem.is_some());
        assert_eq!((recovered.failures, recovered.problem), (0, None));
        world
            .base
            .published(&format!("token.refresh_failed.{}", grant.id), 1)
            .await?;
        world
            .base
            .published("account.sign_in_required.alice", 0)
            .await?;
        replica.stop().await?;
    }
    Ok(())
}

#[tokio::test]
async fn the_servers_own_hint_is_kept_to() -> Result<()> {
    let world = World::new(Personality::Standard).await?;
    let grant = world.grant("alice").await?;
    world.fail_refreshes(Some(1), status(429, Some(600)))?;
    let replica = world.start().await?;

    world.ask(&grant, 1).await?;
    let failed = world
        .until("a failure", &grant, |grant| grant.failures == 1)
        .await?;

    assert!(failed.refresh_due_at >= world.clock.now() + Duration::from_mins(10));
    replica.stop().await
}

#[tokio::test]
async fn a_dead_grant_is_told_for_each_of_its_accounts() -> Result<()> {
    let world = World::new(Personality::Google).await?;
    let grant = world.grant("alice").await?;
    let other = world.grant("bob").await?;
    world.sandbox.tokens().revoke_address("alice@sandbox.test");
    let replica = world.start().await?;

    world.advance(51);
    let refused = world
        .until("a refusal", &grant, |grant| {
            grant.state == GrantState::SignInRequired
        })
        .await?;
    world
        .until("the other's token", &other, |grant| grant.generation == 2)
        .await?;

    let problem = refused.problem.expect("a problem");
    assert_eq!(problem.code.as_deref(), Some("invalid_grant"));
    assert_eq!(problem.must_act, MustAct::MailboxOwner);
    for key in ["alice", "alice-out"] {
        world
            .base
            .published(&format!("account.sign_in_required.{key}"), 1)
            .await?;
        let event: AccountSignInRequired = world.base.first_event(key).await?;
        assert_eq!(event.problem, problem);
    }
    assert_eq!(world.refreshes(&grant), (0, 1), "it is not tried again");
    replica.stop().await
}

#[tokio::test]
async fn a_lost_answer_under_rotation_ends_in_a_visible_sign_in() -> Result<()> {
    let world = World::new(Personality::Standard).await?;
    let grant = world.grant("alice").await?;
    world.fail_at("oauth.after_token", Some(1), Fault::Cut)?;
    let replicas = [world.start().await?, world.start().await?];

    world.ask(&grant, 1).await?;
    let failed = world
        .until("a lost answer", &grant, |grant| grant.failures == 1)
        .await?;
    world.advance(1);
    world
        .until("a refusal", &grant, |grant| {
            grant.state == GrantState::SignInRequired
        })
        .await?;

    assert_eq!(failed.state, GrantState::Active);
    world
        .base
        .published("account.sign_in_required.alice", 1)
        .await?;
    for replica in replicas {
        replica.stop().await?;
    }
    Ok(())
}

#[tokio::test]
async fn a_lost_answer_is_survived_where_old_tokens_stay_good() -> Result<()> {
    let world = World::new(Personality::Microsoft).await?;
    let grant = world.grant("alice").await?;
    world.fail_at("oauth.after_token", Some(1), Fault::Cut)?;
    let replica = world.start().await?;

    world.ask(&grant, 1).await?;
    world
        .until("a lost answer", &grant, |grant| grant.failures == 1)
        .await?;
    world.advance(1);
    world
        .until("a new token", &grant, |grant| grant.generation == 2)
        .await?;

    replica.stop().await
}

#[tokio::test]
async fn a_refusal_is_not_believed_when_a_sign_in_came_first() -> Result<()> {
    let world = World::new(Personality::Google).await?;
    let grant = world.grant("alice").await?;
    world.fail_refreshes(Some(1), Fault::Stall { seconds: None })?;
    let replica = world.start().await?;
    world.ask(&grant, 1).await?;
    eventually("the request is there", async || {
        let faults = world.sandbox.faults().list();
        faults.is_empty() || faults.iter().any(|fault| fault.taken == 1)
    })
    .await?;

    world.sandbox.tokens().revoke_address(&grant.subject);
    let renewed = world.new_grant(grant.id, &grant.subject, 2)?;
    world.base.save_grant(&renewed).await?;
    world.sandbox.faults().clear();
    eventually("the old token is refused", async || {
        world.refreshes(&grant) == (0, 1)
    })
    .await?;
    replica.stop().await?;

    let found = world.base.grant(grant.id).await?;
    assert_eq!((found.state, found.generation), (GrantState::Active, 2));
    assert_eq!(world.base.opened(&found)?, world.base.opened(&renewed)?);
    world
        .base
        .published("account.sign_in_required.alice", 0)
        .await?;
    Ok(())
}

#[tokio::test]
async fn a_grant_without_a_refresh_token_works_until_its_end() -> Result<()> {
    let world = World::new(Personality::Google).await?;
    let mut grant = world.grant("alice").await?;
    grant.refresh_token = None;
    world.base.save_grant(&grant).await?;
    let replica = world.start().await?;

    world.advance(51);
    let postponed = world
        .until("a look", &grant, |grant| {
            grant.refresh_due_at == grant.access_expires_at
        })
        .await?;
    world.advance(10);
    let ended = world
        .until("its end", &grant, |grant| {
            grant.state == GrantState::Suspended
        })
        .await?;

    // The client of these tests asks for no lasting access, which only the administrator can mend.
    assert_eq!(postponed.state, GrantState::Active);
    let problem = ended.problem.expect("a problem");
    assert_eq!(problem.must_act, MustAct::Administrator);
    assert!(problem.action.contains("offline_access"));
    world.base.published("account.failing.alice", 1).await?;
    replica.stop().await
}

#[tokio::test]
async fn a_replica_that_dies_between_answer_and_store_leaves_no_silent_loss() -> Result<()> {
    let world = World::new(Personality::Standard).await?;
    let grant = world.grant("alice").await?;
    world.fail_at("oauth.after_token", Some(1), Fault::Stall { seconds: None })?;
    let dying = world.start().await?;
    world.ask(&grant, 1).await?;
    eventually("the provider has rotated", async || {
        world.refreshes(&grant) == (1, 0)
    })
    .await?;

    dying.kill().await;
    world.sandbox.faults().clear();
    // As if the dead replica's claim had come to its end.
    world.base.save_grant(&grant).await?;
    let replicas = [world.start().await?, world.start().await?];
    world.ask(&grant, 1).await?;
    let refused = world
        .until("a refusal", &grant, |grant| {
            grant.state == GrantState::SignInRequired
        })
        .await?;

    assert!(refused.problem.is_some());
    assert_eq!(world.refreshes(&grant), (1, 1));
    world
        .base
        .published("account.sign_in_required.alice", 1)
        .await?;
    for replica in replicas {
        replica.stop().await?;
    }
    Ok(())
}

#[tokio::test]
async fn a_grant_that_another_replica_has_claimed_is_left_to_it() -> Result<()> {
    let world = World::new(Personality::Standard).await?;
    let [claimed, free] = [world.grant("claimed").await?, world.grant("free").await?];
    let claiming = ClaimRules {
        replica: ReplicaId::generate(&*world.clock),
        claim_for: Duration::from_secs(4),
        except: &[],
        takes_over: true,
        shares: ClientShares::ALL,
    };
    let due = claimed.refresh_due_at;
    let mut tx = world.base.begin().await?;
    let taken = grant::claim_due(&mut tx, &claiming, due, 1).await?;
    tx.commit().await?;
    let free = if taken[0].id == claimed.id {
        free
    } else {
        claimed
    };
    let replica = world.start().await?;

    world.advance(51);
    world
        .until("the free one's token", &free, |grant| grant.generation == 2)
        .await?;
    let seen = world.refreshes(&taken[0]);
    eventually("the claim ends", async || {
        let mut tx = world.base.begin().await?;
        let due = grant::next_due_at(&mut tx, &claiming).await?;
        anyhow::ensure!(due == Some(taken[0].refresh_due_at), "{due:?}");
        Ok(())
    })
    .await?;
    world
        .until(
            "the other's token, once its claim has ended",
            &taken[0],
            |grant| grant.generation == 2,
        )
        .await?;

    assert_eq!(seen, (0, 0));
    assert_eq!(world.refreshes(&taken[0]), (1, 0));
    replica.stop().await
}
