use std::str::FromStr;

use anyhow::{Context, Result, ensure};
use mailmesh_domain::{Direction, Flow, GrantId, SystemClock};
use mailmesh_secrets::ExposeSecret;
use mailmesh_store::client_configuration::ClientConfiguration;
use mailmesh_store::grant::AppLogin;
use mailmesh_store::sealed::SealedColumn;
use mailmesh_store::{
    Database, RowSecret, ServiceRole, account, client_configuration, event_proof, grant, sealed,
};
use sqlx::postgres::PgConnectOptions;

use crate::sample;
use crate::world::World;

const GRANTS: &str = include_str!("../../grants.sql");

/// Lets a role log in, and connects as it.
async fn login_as(world: &World, role: ServiceRole) -> Result<Database> {
    // One cluster serves all tests, and a role has one password there.
    let password = "the-same-in-every-test".to_owned().into();
    world.database.set_password(role, &password).await?;
    let mut settings = world.settings();
    let owner = PgConnectOptions::from_str(settings.url.expose_secret())?;
    let (name, port) = (role.name(), owner.get_port());
    let database = owner.get_database().context("no database")?;
    let url = format!("postgres://{name}:the-same-in-every-test@127.0.0.1:{port}/{database}");
    settings.url = url.into();
    Ok(Database::connect(&settings).await?)
}

#[tokio::test]
async fn rights_can_be_granted_again_and_in_two_databases_at_once() -> Result<()> {
    let (one, two) = (World::new().await?, World::new().await?);

    let granted = tokio::join!(
        one.database.grant_roles(),
        two.database.grant_roles(),
        one.database.grant_roles(),
    );

    granted.0?;
    granted.1?;
    granted.2?;
    Ok(())
}

#[tokio::test]
async fn every_table_is_named_in_the_rights() -> Result<()> {
    let world = World::new().await?;
    let tables: String = world
        .read(
            "SELECT string_agg(relname, ' ') FROM pg_class
             WHERE relkind = 'r' AND relnamespace = 'public'::regnamespace",
        )
        .await?;

    for table in tables.split(' ') {
        let mut words =
            GRANTS.split(|character: char| !(character.is_alphanumeric() || character == '_'));
        ensure!(
            words.any(|word| word == table),
            "{table} is in no GRANT of grants.sql"
        );
    }
    Ok(())
}

#[tokio::test]
async fn secrets_are_read_by_those_who_can_use_them() -> Result<()> {
    let world = World::new().await?;
    world.database.grant_roles().await?;
    let mut tx = world.database.begin().await?;
    let mut mailbox = sample::account("support", Direction::Inbound)?;
    mailbox.password = RowSecret::Sealed(sample::sealed(3)?);
    account::insert(&mut tx, &mailbox).await?;
    tx.commit().await?;

    let callback = login_as(&world, ServiceRole::AuthCallback).await?;
    let mut tx = callback.begin().await?;
    let found = account::list_without_passwords(&mut tx, &[mailbox.id]).await?;
    assert_eq!(found.len(), 1);
    assert_eq!(found[0].login, mailbox.login);
    assert_eq!(found[0].password, RowSecret::Unread);
    let refused = account::list_by_ids(&mut tx, &[mailbox.id]).await;
    assert!(
        format!("{refused:?}").contains("permission denied"),
        "{refused:?}"
    );
    drop(tx);

    Ok(())
}

#[tokio::test]
async fn admin_changes_rows_around_secrets_that_it_may_not_read() -> Result<()> {
    let world = World::new().await?;
    world.database.grant_roles().await?;
    let admin = login_as(&world, ServiceRole::Admin).await?;

    let mut tx = admin.begin().await?;
    let mut client = sample::client("example")?;
    client_configuration::insert(&mut tx, &client).await?;
    let mut mailbox = sample::account("support", Direction::Inbound)?;
    account::insert(&mut tx, &mailbox).await?;
    for secret in [RowSecret::Unread, RowSecret::Sealed(sample::sealed(4)?)] {
        client.client_secret = secret.clone();
        client.private_key = secret.clone();
        client_configuration::update(&mut tx, &client).await?;
        mailbox.password = secret;
        account::update(&mut tx, &mailbox).await?;
        mailbox.revision += 1;
    }
    let mut found = account::list_page(&mut tx, None, None, 9).await?;
    found.extend(account::find_by_key(&mut tx, &mailbox.key).await?);
    found.extend(account::find_for_update(&mut tx, &mailbox.key).await?);
    found.extend(account::list_without_passwords(&mut tx, &[mailbox.id]).await?);
    tx.commit().await?;

    assert_eq!(found.len(), 4);
    assert!(found.iter().all(|row| row.password == RowSecret::Unread));
    for column in SealedColumn::ALL {
        let mut tx = admin.begin().await?;
        let refused = sealed::list(&mut tx, column, None, 1).await;
        let told = format!("{refused:?}");
        ensure!(told.contains("permission denied"), "{column:?}: {told}");
    }
    let mut tx = world.database.begin().await?;
    let stored = account::list_by_ids(&mut tx, &[mailbox.id]).await?;
    assert_eq!(stored[0].password, mailbox.password);
    Ok(())
}

#[tokio::test]
async fn admin_reads_grants_without_their_tokens() -> Result<()> {
    let world = World::new().await?;
    world.database.grant_roles().await?;
    let mut tx = world.database.begin().await?;
    let client = sample::stored_client(&mut tx, "example").await?;
    let stored = sample::stored_grant(&mut tx, client, "s-1").await?;
    tx.commit().await?;

    let admin = login_as(&world, ServiceRole::Admin).await?;
    let mut tx = admin.begin().await?;
    let found = grant::list_summaries(&mut tx, &[stored.id]).await?;
    assert_eq!(found.len(), 1);
    assert_eq!(found[0].address, stored.address);
    assert_eq!(found[0].scopes, stored.scopes);
    let refused = grant::list_by_ids(&mut tx, &[stored.id]).await;
    assert!(
        format!("{refused:?}").contains("permission denied"),
        "{refused:?}"
    );
    Ok(())
}

#[tokio::test]
async fn auth_callback_sees_no_client_or_grant_of_an_application() -> Result<()> {
    let world = World::new().await?;
    world.database.grant_roles().await?;
    let mut tx = world.database.begin().await?;
    let person = sample::client("person")?;
    let app = ClientConfiguration {
        flow: Flow::ClientCredentials,
        client_secret: RowSecret::Sealed(sample::sealed(31)?),
        private_key: RowSecret::Sealed(sample::sealed(32)?),
        ..sample::client("app")?
    };
    client_configuration::insert(&mut tx, &person).await?;
    client_configuration::insert(&mut tx, &app).await?;
    let of_person = sample::stored_grant(&mut tx, person.id, "s-1").await?;
    let login = AppLogin {
        client_configuration_id: app.id,
        flow: app.flow,
        login: "jo@corp.test".to_owned(),
    };
    let of_app = GrantId::generate(&SystemClock);
    grant::start_app_grant(&mut tx, &login, (of_app, &sample::sealed(33)?), sample::NOW).await?;
    tx.commit().await?;
    let grants = [of_person.id, of_app];

    let callback = login_as(&world, ServiceRole::AuthCallback).await?;
    let mut tx = callback.begin().await?;
    let found = client_configuration::find(&mut tx, person.id).await?;
    assert_eq!(found.unwrap().client_secret, person.client_secret);
    assert!(client_configuration::find(&mut tx, app.id).await?.is_none());
    let origin = "https://id.example.com";
    assert!(client_configuration::bind_token_origin(&mut tx, &person, origin).await?);
    assert!(!client_configuration::bind_token_origin(&mut tx, &app, origin).await?);
    let found = grant::list_by_ids(&mut tx, &grants).await?;
    assert_eq!(found.len(), 1);
    assert_eq!(found[0].id, of_person.id);
    assert!(!grant::delete_unused(&mut tx, of_app).await?);
    for column in [
        SealedColumn::ClientSecret,
        SealedColumn::PrivateKey,
        SealedColumn::AccessToken,
    ] {
        let found = sealed::list(&mut tx, column, None, 9).await?;
        assert_eq!(found.len(), 1, "{column:?}");
    }
    let other = AppLogin {
        login: "di@corp.test".to_owned(),
        ..login
    };
    let (id, no_token) = (GrantId::generate(&SystemClock), sample::sealed(34)?);
    let written = grant::start_app_grant(&mut tx, &other, (id, &no_token), sample::NOW).await;
    let refused = format!("{written:?}");
    ensure!(refused.contains("row-level security"), "{refused}");

    the_others_see_all(&world, &grants, &app).await
}

async fn the_others_see_all(
    world: &World,
    grants: &[GrantId],
    app: &ClientConfiguration,
) -> Result<()> {
    for role in ServiceRole::ALL {
        if role == ServiceRole::AuthCallback {
            continue;
        }
        let database = login_as(world, role).await?;
        let mut tx = database.begin().await?;
        let found = grant::list_summaries(&mut tx, grants).await?;
        ensure!(found.len() == 2, "{role:?}");
    }
    let refresh = login_as(world, ServiceRole::TokenRefresh).await?;
    let mut tx = refresh.begin().await?;
    let found = client_configuration::find(&mut tx, app.id).await?;
    let key = found.map(|found| found.private_key);
    ensure!(key.as_ref() == Some(&app.private_key), "{key:?}");
    Ok(())
}

#[tokio::test]
async fn a_password_that_could_end_its_literal_is_refused() -> Result<()> {
    let world = World::new().await?;
    world.database.grant_roles().await?;

    for password in ["", "x' SUPERUSER --", "a b", "ä"] {
        let password = password.to_owned().into();
        let set = world
            .database
            .set_password(ServiceRole::Admin, &password)
            .await;
        ensure!(set.is_err(), "{}", password.expose_secret());
    }
    Ok(())
}

#[tokio::test]
async fn a_mesh_that_was_empty_demands_proofs_of_all_events() -> Result<()> {
    let world = World::new().await?;
    let mut tx = world.database.begin().await?;

    let demanded_from = event_proof::demanded_from(&mut tx).await?;

    assert!(demanded_from < sample::NOW);
    Ok(())
}
