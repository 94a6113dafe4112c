use anyhow::Result;
use mailmesh_domain::{Authorisation, Direction, TokenEndpointAuth};
use mailmesh_store::{RowSecret, StoreError, account, client_configuration, grant};

use crate::sample::{self, LATER};
use crate::world::World;

#[tokio::test]
async fn a_client_configuration_is_read_as_it_was_stored() -> Result<()> {
    let world = World::new().await?;
    let mut tx = world.database.begin().await?;
    let mut stored = sample::client("example")?;
    stored.token_endpoint_auth = Some(TokenEndpointAuth::ClientSecretPost);
    stored.ca_pem = Some("PEM".to_owned());
    client_configuration::insert(&mut tx, &stored).await?;
    sample::stored_client(&mut tx, "another").await?;

    let by_key = client_configuration::find_by_key(&mut tx, &stored.key).await?;
    let by_id = client_configuration::find(&mut tx, stored.id).await?;
    let without = client_configuration::find_without_secret(&mut tx, stored.id).await?;
    let listed = client_configuration::list(&mut tx).await?;

    assert_eq!(format!("{by_id:?}"), format!("{:?}", Some(&stored)));
    let by_id = by_id.unwrap();
    assert_eq!(by_id.client_secret, stored.client_secret);
    assert_eq!(by_id.private_key, stored.private_key);
    let unread = client_configuration::ClientConfiguration {
        client_secret: RowSecret::Unread,
        private_key: RowSecret::Unread,
        ..stored
    };
    for found in [by_key, without, Some(listed[1].clone())] {
        assert_eq!(format!("{found:?}"), format!("{:?}", Some(&unread)));
    }
    let keys: Vec<&str> = listed.iter().map(|client| client.key.as_str()).collect();
    assert_eq!(keys, ["another", "example"]);
    Ok(())
}

#[tokio::test]
async fn a_change_is_stored_and_forgets_the_providers_refusal() -> Result<()> {
    let world = World::new().await?;
    let mut tx = world.database.begin().await?;
    let mut client = sample::client("example")?;
    client_configuration::insert(&mut tx, &client).await?;
    let problem = sample::problem();

    assert!(client_configuration::set_refusal(&mut tx, client.id, Some(&problem)).await?);
    assert!(!client_configuration::set_refusal(&mut tx, client.id, Some(&problem)).await?);
    let refused = client_configuration::find(&mut tx, client.id).await?;
    client.name = "Renamed".to_owned();
    client.client_secret = RowSecret::Absent;
    client.updated_at = LATER;
    client_configuration::update(&mut tx, &client).await?;

    assert_eq!(refused.unwrap().refusal, Some(problem));
    let changed = client_configuration::find(&mut tx, client.id).await?;
    assert_eq!(format!("{changed:?}"), format!("{:?}", Some(&client)));
    assert!(!client_configuration::set_refusal(&mut tx, client.id, None).await?);
    Ok(())
}

#[tokio::test]
async fn secrets_that_were_not_read_stay() -> Result<()> {
    let world = World::new().await?;
    let mut tx = world.database.begin().await?;
    let stored = sample::client("example")?;
    client_configuration::insert(&mut tx, &stored).await?;
    let (secret, key) = (&stored.client_secret, &stored.private_key);
    let other = RowSecret::Sealed(sample::sealed(5)?);
    let unread = RowSecret::Unread;

    for (written_secret, written_key, kept_secret, kept_key) in [
        (&unread, &unread, secret, key),
        (&other, &unread, &other, key),
        (&unread, &other, &other, &other),
        (&unread, &RowSecret::Absent, &other, &RowSecret::Absent),
        (
            &RowSecret::Absent,
            &unread,
            &RowSecret::Absent,
            &RowSecret::Absent,
        ),
        (secret, key, secret, key),
    ] {
        let found = client_configuration::find_for_update(&mut tx, &stored.key).await?;
        let written = client_configuration::ClientConfiguration {
            name: "Renamed".to_owned(),
            client_secret: written_secret.clone(),
            private_key: written_key.clone(),
            ..found.unwrap()
        };
        client_configuration::update(&mut tx, &written).await?;

        let kept = client_configuration::find(&mut tx, stored.id).await?;
        let kept = kept.unwrap();
        assert_eq!(&kept.client_secret, kept_secret);
        assert_eq!(&kept.private_key, kept_key);
        assert_eq!(kept.name, "Renamed");
    }
    Ok(())
}

#[tokio::test]
async fn a_taken_key_is_a_conflict_and_a_missing_row_is_told() -> Result<()> {
    let world = World::new().await?;
    let mut tx = world.database.begin().await?;
    let missing = client_configuration::update(&mut tx, &sample::client("gone")?).await;
    sample::stored_client(&mut tx, "example").await?;
    let taken = client_configuration::insert(&mut tx, &sample::client("example")?).await;

    assert!(matches!(missing, Err(StoreError::RowGone { .. })));
    let error = taken.unwrap_err();
    assert_eq!(
        error.to_string(),
        "cannot insert a client configuration: client_configurations_key_key is violated"
    );
    Ok(())
}

#[tokio::test]
async fn one_that_accounts_use_cannot_be_deleted() -> Result<()> {
    let world = World::new().await?;
    let mut tx = world.database.begin().await?;
    let client = sample::stored_client(&mut tx, "example").await?;
    let mut used_by = sample::account("support", Direction::Inbound)?;
    used_by.authorisation = Authorisation::OAuth2;
    used_by.client_configuration_id = Some(client);
    account::insert(&mut tx, &used_by).await?;
    tx.commit().await?;

    let mut tx = world.database.begin().await?;
    let error = client_configuration::delete(&mut tx, client)
        .await
        .unwrap_err();

    assert!(matches!(error, StoreError::Conflict { .. }), "{error:?}");
    Ok(())
}

#[tokio::test]
async fn deleting_one_deletes_its_grants() -> Result<()> {
    let world = World::new().await?;
    let mut tx = world.database.begin().await?;
    let client = sample::stored_client(&mut tx, "example").await?;
    let stored = sample::stored_grant(&mut tx, client, "s-1").await?;

    assert!(client_configuration::delete(&mut tx, client).await?);

    assert!(grant::list_by_ids(&mut tx, &[stored.id]).await?.is_empty());
    assert!(!client_configuration::delete(&mut tx, client).await?);
    Ok(())
}
