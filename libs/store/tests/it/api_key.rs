use anyhow::Result;
use mailmesh_domain::{ApiKeyId, Role, SystemClock};
use mailmesh_store::api_key::{self, ApiKey};
use mailmesh_store::{Database, StoreError};

use crate::sample::{LATER, NOW};
use crate::world::World;

fn key(name: &str) -> ApiKey {
    ApiKey {
        accounts: None,
        may_read_raw: true,
        made_by: None,
        expires_at: None,
        last_used_at: None,
        id: ApiKeyId::generate(&SystemClock),
        name: name.to_owned(),
        role: Role::Modeller,
        created_at: NOW,
        revoked_at: None,
    }
}

#[tokio::test]
async fn a_key_is_found_by_its_hash_until_it_is_revoked() -> Result<()> {
    let world = World::new().await?;
    let mut tx = world.database.begin().await?;
    let stored = key("ci");
    api_key::insert(&mut tx, &stored, &[1; 32]).await?;

    let found = api_key::find_by_hash(&mut tx, &[1; 32], NOW).await?;
    let unknown = api_key::find_by_hash(&mut tx, &[2; 32], NOW).await?;
    let was_revoked = api_key::revoke(&mut tx, stored.id, LATER).await?;

    assert_eq!(format!("{found:?}"), format!("{:?}", Some(&stored)));
    assert!(unknown.is_none());
    assert!(was_revoked);
    assert!(
        api_key::find_by_hash(&mut tx, &[1; 32], NOW)
            .await?
            .is_none()
    );
    assert!(!api_key::revoke(&mut tx, stored.id, LATER).await?);
    let listed = api_key::list(&mut tx).await?;
    assert_eq!(listed.len(), 1);
    assert_eq!(listed[0].revoked_at, Some(LATER));
    Ok(())
}

#[tokio::test]
async fn a_hash_is_stored_once() -> Result<()> {
    let world = World::new().await?;
    let mut tx = world.database.begin().await?;
    api_key::insert(&mut tx, &key("one"), &[1; 32]).await?;

    let error = api_key::insert(&mut tx, &key("two"), &[1; 32])
        .await
        .unwrap_err();

    assert!(matches!(error, StoreError::Conflict { .. }), "{error}");
    Ok(())
}

async fn make_first(database: &Database, name: &str) -> Result<bool> {
    let mut tx = database.begin().await?;
    if api_key::lock_and_check_any(&mut tx).await? {
        return Ok(false);
    }
    let hash = mailmesh_secrets::sha256(name.as_bytes());
    api_key::insert(&mut tx, &key(name), &hash).await?;
    tx.commit().await?;
    Ok(true)
}

#[tokio::test]
async fn of_two_that_make_the_first_key_one_succeeds() -> Result<()> {
    let world = World::new().await?;

    let (one, two) = tokio::try_join!(
        make_first(&world.database, "one"),
        make_first(&world.database, "two")
    )?;

    assert!(one != two);
    Ok(())
}
