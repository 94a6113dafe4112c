use anyhow::{Context, Result};
use mailmesh_domain::{ClientConfigurationId, GrantState};
use mailmesh_store::grant::{self, Grant};
use mailmesh_store::{Tx, client_configuration};
use time::Duration;

use crate::sample::{self, LATER, NOW};
use crate::world::World;

async fn suspended(tx: &mut Tx, client: ClientConfigurationId, subject: &str) -> Result<Grant> {
    let grant = sample::stored_grant(tx, client, subject).await?;
    let problem = sample::problem();
    grant::record_failure(tx, &grant, GrantState::Suspended, &problem, LATER, NOW).await?;
    Ok(grant)
}

async fn due_at(tx: &mut Tx, grant: &Grant) -> Result<time::OffsetDateTime> {
    let found = grant::list_by_ids(tx, &[grant.id]).await?.pop();
    Ok(found.context("the grant is gone")?.refresh_due_at)
}

#[tokio::test]
async fn a_client_that_is_accepted_again_resumes_its_own_grants() -> Result<()> {
    let world = World::new().await?;
    let mut tx = world.database.begin().await?;
    let client = sample::stored_client(&mut tx, "example").await?;
    let other = sample::stored_client(&mut tx, "other").await?;
    let own = suspended(&mut tx, client, "s-1").await?;
    let foreign = suspended(&mut tx, other, "s-1").await?;

    let resumed = grant::resume_client(&mut tx, client, NOW).await?;

    assert_eq!(resumed, 1);
    assert_eq!(due_at(&mut tx, &own).await?, NOW);
    assert_eq!(due_at(&mut tx, &foreign).await?, LATER);
    Ok(())
}

#[tokio::test]
async fn a_client_that_was_changed_since_resumes_its_grants_once() -> Result<()> {
    let world = World::new().await?;
    let mut tx = world.database.begin().await?;
    let id = sample::stored_client(&mut tx, "example").await?;
    let grant = suspended(&mut tx, id, "s-1").await?;
    let before = grant::resume_corrected(&mut tx, NOW).await?;
    let mut client = client_configuration::find(&mut tx, id).await?.unwrap();
    client.updated_at = NOW + Duration::seconds(1);
    client_configuration::update(&mut tx, &client).await?;

    let resumed = grant::resume_corrected(&mut tx, NOW).await?;
    let again = grant::resume_corrected(&mut tx, NOW).await?;

    assert_eq!((before, resumed, again), (0, 1, 0));
    assert_eq!(due_at(&mut tx, &grant).await?, NOW);
    Ok(())
}

#[tokio::test]
async fn a_claim_is_given_up_by_its_owner_alone() -> Result<()> {
    let world = World::new().await?;
    let mut tx = world.database.begin().await?;
    let client = sample::stored_client(&mut tx, "example").await?;
    let grant = sample::stored_grant(&mut tx, client, "s-1").await?;
    let (owner, other) = (sample::replica(), sample::replica());
    let claiming = sample::claiming(owner);
    grant::claim_due(&mut tx, &claiming, LATER, 1).await?;
    let claimed = grant::next_due_at(&mut tx, &claiming).await?;

    grant::postpone(&mut tx, grant.id, other, LATER).await?;
    let still_claimed = grant::next_due_at(&mut tx, &claiming).await?;
    let later = LATER + Duration::hours(1);
    grant::postpone(&mut tx, grant.id, owner, later).await?;

    assert_eq!((claimed, still_claimed), (None, None));
    assert_eq!(grant::next_due_at(&mut tx, &claiming).await?, Some(later));
    assert!(grant::claim(&mut tx, grant.id, owner).await?.is_none());
    Ok(())
}

#[tokio::test]
async fn grants_that_are_stuck_are_counted_by_state() -> Result<()> {
    let world = World::new().await?;
    let mut tx = world.database.begin().await?;
    let client = sample::stored_client(&mut tx, "example").await?;
    sample::stored_grant(&mut tx, client, "s-1").await?;
    suspended(&mut tx, client, "s-2").await?;
    suspended(&mut tx, client, "s-3").await?;

    let counts = grant::count_stuck(&mut tx).await?;

    assert_eq!(counts, [(GrantState::Suspended, 2)]);
    Ok(())
}
