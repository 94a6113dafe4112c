use anyhow::Result;
use mailmesh_domain::{Authorisation, Direction, GrantId, GrantState, Key, SystemClock};
use mailmesh_store::account::{self, Account};
use mailmesh_store::{RowSecret, StoreError, grant};

use crate::sample::{self, LATER, NOW};
use crate::world::World;

#[tokio::test]
async fn a_grant_is_read_as_it_was_stored() -> Result<()> {
    let world = World::new().await?;
    let mut tx = world.database.begin().await?;
    let client = sample::stored_client(&mut tx, "example").await?;
    let stored = sample::stored_grant(&mut tx, client, "s-1").await?;

    let found = grant::find_by_subject(&mut tx, client, "s-1").await?;
    let listed = grant::list_by_ids(&mut tx, &[stored.id, GrantId::generate(&SystemClock)]).await?;

    assert_eq!(format!("{found:?}"), format!("{:?}", Some(&stored)));
    assert_eq!(found.unwrap().access_token, stored.access_token);
    assert_eq!(listed.len(), 1);
    assert_eq!(listed[0].refresh_token, stored.refresh_token);
    assert!(
        grant::find_by_subject(&mut tx, client, "s-2")
            .await?
            .is_none()
    );
    Ok(())
}

#[tokio::test]
async fn a_new_sign_in_makes_a_refused_grant_active() -> Result<()> {
    let world = World::new().await?;
    let mut tx = world.database.begin().await?;
    let client = sample::stored_client(&mut tx, "example").await?;
    let mut grant = sample::stored_grant(&mut tx, client, "s-1").await?;
    let refused = GrantState::SignInRequired;
    grant::record_failure(&mut tx, &grant, refused, &sample::problem(), LATER, NOW).await?;

    grant.generation = 2;
    grant.access_token = sample::sealed(5)?;
    grant.refresh_token = None;
    grant::save_sign_in(&mut tx, &grant, LATER).await?;

    let found = grant::list_by_ids(&mut tx, &[grant.id]).await?.remove(0);
    assert_eq!(found.state, GrantState::Active);
    assert!(found.problem.is_none());
    assert_eq!((found.generation, found.failures), (2, 0));
    assert_eq!(found.access_token, sample::sealed(5)?);
    assert!(found.refresh_token.is_none());
    Ok(())
}

#[tokio::test]
async fn a_subject_has_one_grant_per_client_configuration() -> Result<()> {
    let world = World::new().await?;
    let mut tx = world.database.begin().await?;
    let client = sample::stored_client(&mut tx, "example").await?;
    let other = sample::stored_client(&mut tx, "other").await?;
    sample::stored_grant(&mut tx, client, "s-1").await?;
    sample::stored_grant(&mut tx, other, "s-1").await?;

    let twice = sample::grant(client, "s-1")?;
    let error = grant::save_sign_in(&mut tx, &twice, NOW).await.unwrap_err();

    assert!(matches!(error, StoreError::Conflict { .. }), "{error}");
    Ok(())
}

#[tokio::test]
async fn a_value_that_no_release_knows_names_its_place() -> Result<()> {
    let world = World::new().await?;
    let mut tx = world.database.begin().await?;
    let client = sample::stored_client(&mut tx, "example").await?;
    let stored = sample::stored_grant(&mut tx, client, "s-1").await?;
    tx.commit().await?;
    world
        .execute("UPDATE grants SET access_token_sealed = '\\x00'")
        .await?;

    let mut tx = world.database.begin().await?;
    let error = grant::list_by_ids(&mut tx, &[stored.id]).await.unwrap_err();

    let place = format!("row {} of grants has a bad access_token_sealed", stored.id);
    assert_eq!(error.to_string(), place);
    Ok(())
}

#[tokio::test]
async fn the_accounts_of_a_sign_in_are_locked_and_name_their_grants() -> Result<()> {
    let world = World::new().await?;
    let mut tx = world.database.begin().await?;
    let client = sample::stored_client(&mut tx, "example").await?;
    let [old, other] = [
        sample::stored_grant(&mut tx, client, "s-1").await?,
        sample::stored_grant(&mut tx, client, "s-2").await?,
    ];
    let mut ids = Vec::new();
    for (key, login, grant) in [
        ("in", "a@example.com", None),
        ("out", "A@EXAMPLE.com", Some(old.id)),
        ("out-2", "a@example.com", Some(old.id)),
        ("other", "b@example.com", Some(other.id)),
    ] {
        let account = Account {
            authorisation: Authorisation::OAuth2,
            password: RowSecret::Absent,
            login: login.to_owned(),
            client_configuration_id: Some(client),
            grant_id: grant,
            ..sample::account(key, Direction::Inbound)?
        };
        account::insert(&mut tx, &account).await?;
        ids.push(account.id);
    }
    tx.commit().await?;

    let mut tx = world.database.begin().await?;
    let found = grant::lock_accounts(&mut tx, ids[0]).await?;
    let mut changing = world.database.begin().await?;
    let free = account::find_for_update(&mut changing, &Key::try_new("other")?).await?;
    let key = Key::try_new("out")?;
    let limit = std::time::Duration::from_millis(200);
    let held = tokio::time::timeout(limit, account::find_for_update(&mut changing, &key)).await;

    assert_eq!(found, [old.id]);
    assert!(free.is_some());
    assert!(held.is_err(), "not locked");
    Ok(())
}
