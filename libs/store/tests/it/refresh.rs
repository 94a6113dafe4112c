use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use mailmesh_domain::{ClientConfigurationId, GrantState, ReplicaId};
use mailmesh_store::grant::{self, ClaimRules, ClientShares, Grant, NewTokens};
use mailmesh_store::{Database, Tx};
use time::OffsetDateTime;

use crate::sample::{self, LATER, NOW};
use crate::world::World;

const REST: Duration = Duration::from_secs(30);

async fn with_client() -> Result<(World, ClientConfigurationId)> {
    let world = World::new().await?;
    let mut tx = world.database.begin().await?;
    let client = sample::stored_client(&mut tx, "example").await?;
    tx.commit().await?;
    Ok((world, client))
}

async fn with_grant() -> Result<(World, Grant)> {
    let (world, client) = with_client().await?;
    let mut tx = world.database.begin().await?;
    let grant = sample::stored_grant(&mut tx, client, "s-1").await?;
    tx.commit().await?;
    Ok((world, grant))
}

async fn claim(database: &Database, replica: ReplicaId) -> Result<Vec<Grant>> {
    let mut tx = database.begin().await?;
    let claimed = grant::claim_due(&mut tx, &sample::claiming(replica), NOW, 10).await?;
    tx.commit().await?;
    Ok(claimed)
}

async fn next_due_at(tx: &mut Tx) -> Result<Option<OffsetDateTime>> {
    Ok(grant::next_due_at(tx, &sample::claiming(sample::replica())).await?)
}

async fn let_claims_end(world: &World) -> Result<()> {
    world
        .execute("UPDATE grants SET claim_expires_at = now() - interval '1 s'")
        .await
}

async fn reload(tx: &mut Tx, grant: &Grant) -> Result<Grant> {
    let mut found = grant::list_by_ids(tx, &[grant.id]).await?;
    found.pop().context("the grant is gone")
}

fn tokens(access: u8, refresh: Option<u8>) -> Result<NewTokens> {
    Ok(NewTokens {
        scopes: None,
        token_origin: "https://id.test".to_owned(),
        access_token: sample::sealed(access)?,
        refresh_token: refresh.map(sample::sealed).transpose()?,
        access_expires_at: LATER,
        refresh_due_at: LATER,
        refresh_expires_at: None,
    })
}

#[tokio::test]
async fn of_two_replicas_one_claims_a_due_grant() -> Result<()> {
    let (world, grant) = with_grant().await?;
    let (first, second) = (sample::replica(), sample::replica());

    let (mine, theirs) = tokio::try_join!(
        claim(&world.database, first),
        claim(&world.database, second)
    )?;

    let claimed: Vec<Grant> = mine.into_iter().chain(theirs).collect();
    assert_eq!(claimed.len(), 1);
    assert_eq!(claimed[0].id, grant.id);
    assert!(claim(&world.database, first).await?.is_empty());
    Ok(())
}

#[tokio::test]
async fn only_due_grants_that_a_refresh_can_help_are_claimed_oldest_first() -> Result<()> {
    let (world, client) = with_client().await?;
    let mut tx = world.database.begin().await?;
    let minutes = time::Duration::minutes;
    let mut ids = Vec::new();
    for (subject, due_at, state) in [
        ("late", NOW - minutes(2), GrantState::Active),
        ("later", NOW - minutes(1), GrantState::Suspended),
        ("latest", NOW, GrantState::Active),
        ("not-yet", NOW + minutes(1), GrantState::Active),
        ("refused", NOW - minutes(3), GrantState::SignInRequired),
    ] {
        let grant = sample::stored_grant(&mut tx, client, subject).await?;
        grant::record_failure(&mut tx, &grant, state, &sample::problem(), due_at, NOW).await?;
        ids.push(grant.id);
    }

    let mut claimed = Vec::new();
    for _ in 0..4 {
        let one = grant::claim_due(&mut tx, &sample::claiming(sample::replica()), NOW, 1).await?;
        claimed.extend(one.into_iter().map(|grant| grant.id));
    }

    assert_eq!(claimed, ids[..3]);
    Ok(())
}

#[tokio::test]
async fn a_claim_that_ended_passes_to_another() -> Result<()> {
    let (world, grant) = with_grant().await?;
    let (first, second) = (sample::replica(), sample::replica());
    claim(&world.database, first).await?;
    let_claims_end(&world).await?;

    assert_eq!(claim(&world.database, second).await?.len(), 1);

    let mut tx = world.database.begin().await?;
    assert!(grant::claim(&mut tx, grant.id, first).await?.is_none());
    assert!(grant::claim(&mut tx, grant.id, second).await?.is_some());
    Ok(())
}

#[tokio::test]
async fn a_claim_that_ended_is_left_alone_by_whoever_must_not_take_over() -> Result<()> {
    let (world, grant) = with_grant().await?;
    claim(&world.database, sample::replica()).await?;
    let_claims_end(&world).await?;
    let peaceful = sample::claiming(sample::replica());
    let careful = ClaimRules {
        takes_over: false,
        ..peaceful
    };
    let busy = ClaimRules {
        except: &[grant.id],
        ..peaceful
    };

    let mut tx = world.database.begin().await?;
    for claiming in [careful, busy] {
        let claimed = grant::claim_due(&mut tx, &claiming, NOW, 10).await?;
        assert!(claimed.is_empty(), "{claiming:?}");
        assert_eq!(grant::next_due_at(&mut tx, &claiming).await?, None);
    }
    assert!(grant::next_due_at(&mut tx, &peaceful).await?.is_some());
    assert_eq!(
        grant::claim_due(&mut tx, &peaceful, NOW, 10).await?.len(),
        1
    );
    Ok(())
}

#[tokio::test]
async fn an_answer_after_the_claim_ended_is_stored_once() -> Result<()> {
    let (world, grant) = with_grant().await?;
    claim(&world.database, sample::replica()).await?;
    let_claims_end(&world).await?;
    claim(&world.database, sample::replica()).await?;
    let mut tx = world.database.begin().await?;

    let late = tokens(11, Some(12))?;
    let late = grant::record_refresh(&mut tx, grant.id, 1, &late, NOW).await?;
    let second = tokens(21, Some(22))?;
    let second = grant::record_refresh(&mut tx, grant.id, 1, &second, NOW).await?;

    assert_eq!((late, second), (Some(2), None));
    let stored = reload(&mut tx, &grant).await?;
    assert_eq!(stored.access_token, sample::sealed(11)?);
    assert_eq!(stored.refresh_token, Some(sample::sealed(12)?));
    Ok(())
}

#[tokio::test]
async fn a_sign_in_during_a_refresh_wins() -> Result<()> {
    let (world, grant) = with_grant().await?;
    let replica = sample::replica();
    claim(&world.database, replica).await?;
    let mut tx = world.database.begin().await?;
    let mut signed_in = grant.clone();
    signed_in.generation = 2;
    signed_in.access_token = sample::sealed(31)?;
    grant::save_sign_in(&mut tx, &signed_in, NOW).await?;

    let late = tokens(11, Some(12))?;
    let stored = grant::record_refresh(&mut tx, grant.id, 1, &late, NOW).await?;
    let refused = GrantState::SignInRequired;
    let problem = sample::problem();
    let was_current = grant::record_failure(&mut tx, &grant, refused, &problem, LATER, NOW).await?;

    assert_eq!(stored, None);
    assert!(!was_current);
    assert!(grant::claim(&mut tx, grant.id, replica).await?.is_none());
    let kept = reload(&mut tx, &grant).await?;
    assert_eq!(kept.state, GrantState::Active);
    assert_eq!(kept.access_token, sample::sealed(31)?);
    Ok(())
}

#[tokio::test]
async fn a_refresh_without_a_new_refresh_token_keeps_the_old_one() -> Result<()> {
    let (world, grant) = with_grant().await?;
    let replica = sample::replica();
    let mut tx = world.database.begin().await?;
    let suspended = GrantState::Suspended;
    grant::record_failure(&mut tx, &grant, suspended, &sample::problem(), NOW, NOW).await?;
    grant::claim_due(&mut tx, &sample::claiming(replica), NOW, 10).await?;

    let generation = grant::record_refresh(&mut tx, grant.id, 1, &tokens(11, None)?, LATER).await?;

    assert_eq!(generation, Some(2));
    let stored = reload(&mut tx, &grant).await?;
    assert_eq!(stored.refresh_token, grant.refresh_token);
    assert_eq!(stored.access_token, sample::sealed(11)?);
    assert_eq!((stored.state, stored.failures), (GrantState::Active, 0));
    assert!(stored.problem.is_none());
    assert_eq!(stored.refresh_due_at, LATER);
    assert!(grant::claim(&mut tx, grant.id, replica).await?.is_none());
    Ok(())
}

#[tokio::test]
async fn a_new_refresh_token_without_an_end_has_none() -> Result<()> {
    let (world, client) = with_client().await?;
    let mut tx = world.database.begin().await?;
    let mut grant = sample::grant(client, "s-1")?;
    grant.refresh_expires_at = Some(LATER);
    grant::save_sign_in(&mut tx, &grant, NOW).await?;

    grant::record_refresh(&mut tx, grant.id, 1, &tokens(11, Some(12))?, NOW).await?;

    assert_eq!(reload(&mut tx, &grant).await?.refresh_expires_at, None);
    Ok(())
}

#[tokio::test]
async fn a_failure_is_counted_and_gives_the_claim_up() -> Result<()> {
    let (world, grant) = with_grant().await?;
    let mut tx = world.database.begin().await?;
    for failures in 1..=2 {
        let claimed =
            grant::claim_due(&mut tx, &sample::claiming(sample::replica()), NOW, 10).await?;
        assert_eq!(claimed.len(), 1);

        let active = GrantState::Active;
        assert!(
            grant::record_failure(&mut tx, &grant, active, &sample::problem(), NOW, NOW).await?
        );

        let stored = reload(&mut tx, &grant).await?;
        assert_eq!(stored.failures, failures);
        assert_eq!(stored.problem, Some(sample::problem()));
        assert_eq!(stored.refresh_token, grant.refresh_token);
    }
    Ok(())
}

#[tokio::test]
async fn a_refused_token_makes_its_grant_due_and_an_older_one_does_not() -> Result<()> {
    let (world, client) = with_client().await?;
    let mut tx = world.database.begin().await?;
    let mut grant = sample::grant(client, "s-1")?;
    grant.generation = 3;
    grant.refresh_due_at = LATER;
    grant::save_sign_in(&mut tx, &grant, NOW).await?;

    for other in [2, 4] {
        assert!(!grant::set_due(&mut tx, grant.id, other, REST, NOW).await?);
    }
    assert_eq!(next_due_at(&mut tx).await?, Some(LATER));
    assert!(grant::set_due(&mut tx, grant.id, 3, REST, NOW).await?);
    assert_eq!(next_due_at(&mut tx).await?, Some(NOW));
    // Never later than it was due.
    grant::set_due(&mut tx, grant.id, 3, REST, LATER).await?;
    assert_eq!(next_due_at(&mut tx).await?, Some(NOW));
    Ok(())
}

#[tokio::test]
async fn a_grant_is_made_due_at_most_once_in_its_rest() -> Result<()> {
    let (world, mut grant) = with_grant().await?;
    let mut tx = world.database.begin().await?;
    let mut ask = async |generation, seconds| -> Result<bool> {
        let now = NOW + time::Duration::seconds(seconds);
        Ok(grant::set_due(&mut tx, grant.id, generation, REST, now).await?)
    };

    assert!(ask(1, 0).await?);
    assert!(!ask(1, 29).await?);
    assert!(ask(1, 30).await?);
    assert!(!ask(1, 59).await?);
    // Of a clock that is behind the one before.
    assert!(ask(1, -3_600).await?);

    grant.generation = 2;
    grant::save_sign_in(&mut tx, &grant, NOW).await?;
    assert!(grant::set_due(&mut tx, grant.id, 2, REST, NOW).await?);
    Ok(())
}

#[tokio::test]
async fn asking_again_does_not_hasten_a_grant_that_fails() -> Result<()> {
    let (world, grant) = with_grant().await?;
    let mut tx = world.database.begin().await?;
    let active = GrantState::Active;
    grant::record_failure(&mut tx, &grant, active, &sample::problem(), LATER, NOW).await?;

    assert!(!grant::set_due(&mut tx, grant.id, 1, REST, NOW).await?);
    assert_eq!(next_due_at(&mut tx).await?, Some(LATER));
    Ok(())
}

#[tokio::test]
async fn nothing_is_due_while_every_grant_waits_for_a_person() -> Result<()> {
    let (world, grant) = with_grant().await?;
    let mut tx = world.database.begin().await?;
    let refused = GrantState::SignInRequired;
    grant::record_failure(&mut tx, &grant, refused, &sample::problem(), NOW, NOW).await?;

    assert_eq!(next_due_at(&mut tx).await?, None);
    Ok(())
}

#[tokio::test]
async fn each_client_has_its_share_of_a_claim_however_many_are_due_at_another() -> Result<()> {
    let world = World::new().await?;
    let mut tx = world.database.begin().await?;
    let flooded = sample::stored_client(&mut tx, "flooded").await?;
    let quiet = sample::stored_client(&mut tx, "quiet").await?;
    let first = sample::stored_grant(&mut tx, flooded, "first").await?;
    for subject in ["one", "two"] {
        sample::stored_grant(&mut tx, quiet, subject).await?;
    }
    tx.commit().await?;
    // All of them are due before those of the other client.
    world.execute(&copies_of(&first, 100_000)).await?;
    let by_share = |named, others| ClaimRules {
        shares: ClientShares { named, others },
        ..sample::claiming(sample::replica())
    };

    let mut tx = world.database.begin().await?;
    let begun = Instant::now();
    let in_turn = grant::claim_due(&mut tx, &by_share(&[], 10), NOW, 4).await?;
    let named = [(flooded, 3)];
    let by_name = grant::claim_due(&mut tx, &by_share(&named, 0), NOW, 10).await?;
    let without = [(flooded, 0)];
    let rest = grant::next_due_at(&mut tx, &by_share(&without, 1)).await?;
    let took = begun.elapsed();

    assert_eq!(of_clients(&in_turn, [flooded, quiet]), [2, 2]);
    assert_eq!(of_clients(&by_name, [flooded, quiet]), [3, 0]);
    assert_eq!(rest, None);
    assert!(took < Duration::from_secs(2), "{took:?}");
    Ok(())
}

fn of_clients(claimed: &[Grant], clients: [ClientConfigurationId; 2]) -> [usize; 2] {
    clients.map(|client| {
        let of_client = claimed
            .iter()
            .filter(|one| one.client_configuration_id == client);
        of_client.count()
    })
}

fn copies_of(grant: &Grant, count: u32) -> String {
    format!(
        "INSERT INTO grants (grant_id, client_configuration_id, subject, scopes, state, access_token_sealed,
             refresh_token_sealed, generation, access_expires_at, refresh_due_at, created_at, updated_at)
         SELECT gen_random_uuid(), client_configuration_id, 'copy ' || n, scopes, state, access_token_sealed,
             refresh_token_sealed, generation, access_expires_at, refresh_due_at - make_interval(secs => n),
             created_at, updated_at
         FROM grants, generate_series(1, {count}) AS n WHERE grant_id = '{}'; ANALYZE grants",
        grant.id
    )
}
