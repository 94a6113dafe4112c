use std::time::Duration;

use anyhow::Result;
use mailmesh_store::{Database, MigrationState, StoreError, api_key};

use crate::proxy::Proxy;
use crate::world::{World, settings, start_own};

#[tokio::test]
async fn an_empty_database_is_behind_until_it_is_migrated() -> Result<()> {
    let world = World::empty().await?;

    let before = world.database.migration_state().await?;
    world.database.migrate().await?;

    let MigrationState::Behind(missing) = before else {
        panic!("{before:?}");
    };
    let applied: i64 = world.read("SELECT count(*) FROM _sqlx_migrations").await?;
    assert_eq!(i64::try_from(missing)?, applied);
    assert_eq!(
        world.database.migration_state().await?,
        MigrationState::Current
    );
    Ok(())
}

#[tokio::test]
async fn processes_that_migrate_at_once_do_not_disturb_each_other() -> Result<()> {
    let world = World::empty().await?;
    let other = Database::connect(&world.settings()).await?;

    let (first, second) = tokio::join!(world.database.migrate(), other.migrate());

    first?;
    second?;
    assert_eq!(other.migration_state().await?, MigrationState::Current);
    Ok(())
}

#[tokio::test]
async fn a_database_of_a_newer_release_is_used_as_it_is() -> Result<()> {
    let world = World::new().await?;
    world
        .execute(
            "INSERT INTO _sqlx_migrations (version, description, success, checksum, execution_time)
             VALUES (99991231000000, 'from the future', true, '\\x00', 1)",
        )
        .await?;

    assert_eq!(
        world.database.migration_state().await?,
        MigrationState::Ahead
    );
    world.database.migrate().await?;
    Ok(())
}

#[tokio::test]
async fn the_server_tells_its_clock_and_version() -> Result<()> {
    let world = World::new().await?;

    let first = world.database.ping().await?;
    let second = world.database.ping().await?;

    assert!(second > first);
    assert!(world.database.server_version().await? >= 150_000);
    Ok(())
}

#[tokio::test]
async fn nothing_of_a_dropped_transaction_stays() -> Result<()> {
    let world = World::new().await?;
    let mut tx = world.database.begin().await?;
    crate::sample::stored_client(&mut tx, "example").await?;

    drop(tx);

    let left: i64 = world
        .read("SELECT count(*) FROM client_configurations")
        .await?;
    assert_eq!(left, 0);
    Ok(())
}

#[tokio::test]
async fn nobody_waits_for_a_connection_without_end() -> Result<()> {
    let world = World::new().await?;
    let mut narrow = world.settings();
    narrow.max_connections = 1;
    narrow.acquire_timeout = Duration::from_secs(3);
    let database = Database::connect(&narrow).await?;
    let _held = database.begin().await?;

    let error = database.begin().await.unwrap_err();

    assert!(matches!(error, StoreError::Connect(_)), "{error:?}");
    Ok(())
}

#[tokio::test]
async fn an_unusable_url_and_a_silent_server_are_told_apart() -> Result<()> {
    let unusable = Database::connect(&settings(&"no url".to_owned().into())).await;
    let port = mailmesh_embedded::free_port();
    let mut silent = settings(&format!("postgres://u:hunter2@127.0.0.1:{port}/x").into());
    silent.acquire_timeout = Duration::from_secs(1);
    let silent = Database::connect(&silent).await;

    assert!(matches!(unusable, Err(StoreError::Settings(_))));
    let error = silent.unwrap_err();
    assert!(matches!(error, StoreError::Connect(_)), "{error:?}");
    assert_eq!(error.to_string(), "cannot connect to Postgres");
    assert!(!format!("{error:?}").contains("hunter2"), "{error:?}");
    Ok(())
}

#[tokio::test]
async fn work_goes_on_after_the_server_was_killed() -> Result<()> {
    let (mut server, _tidy) = start_own("killed").await?;
    let world = World::at(server.url()).await?;
    world.database.migrate().await?;
    // The server commits asynchronously, to be fast: what is not flushed would be lost with it.
    world.execute("CHECKPOINT").await?;
    let mut tx = world.database.begin().await?;
    assert!(api_key::list(&mut tx).await?.is_empty());

    server.kill().await;
    assert!(api_key::list(&mut tx).await.is_err());
    drop(tx);
    server.restart().await?;

    // Connections that died in the pool are no longer asked.
    look(&world.database).await?;
    Ok(())
}

#[tokio::test]
async fn a_server_that_falls_silent_is_given_up_in_time() -> Result<()> {
    let world = World::new().await?;
    let proxy = Proxy::before(&world.settings().url).await?;
    let database = Database::connect(&settings(&proxy.url)).await?;
    let database = database.answering_within(Duration::from_millis(500));
    let mut held = [database.begin().await?, database.begin().await?];
    for tx in &mut held {
        api_key::list(tx).await?;
    }
    let [in_use, idle] = held;
    idle.commit().await?;
    let mut in_use = in_use;

    proxy.silence();

    // Whoever waits for an answer hears that there is none; whoever begins has a connection that answers.
    let error = api_key::list(&mut in_use).await.unwrap_err();
    assert!(format!("{error:?}").contains("no answer"), "{error:?}");
    drop(in_use);
    look(&database).await?;
    Ok(())
}

#[tokio::test]
async fn a_pooled_connection_that_fell_silent_is_replaced() -> Result<()> {
    let world = World::new().await?;
    let proxy = Proxy::before(&world.settings().url).await?;
    let database = Database::connect(&settings(&proxy.url)).await?;
    let database = database.answering_within(Duration::from_millis(500));
    look(&database).await?;

    proxy.silence();

    look(&database).await?;
    Ok(())
}

#[tokio::test]
async fn work_that_takes_every_connection_leaves_one_for_the_heart() -> Result<()> {
    let world = World::new().await?;
    let mut narrow = world.settings();
    narrow.max_connections = 1;
    let database = Database::connect(&narrow).await?;
    let _held = database.begin().await?;

    let mut tx = database.begin_urgent().await?;

    assert!(api_key::list(&mut tx).await?.is_empty());
    Ok(())
}

#[tokio::test]
async fn connections_that_were_opened_while_the_server_was_read_only_are_replaced() -> Result<()> {
    let world = World::new().await?;
    world.set_read_only(true).await?;
    let mut settings = world.settings();
    settings.max_connections = 3;
    let database = Database::connect(&settings).await?;
    for tx in [
        database.begin().await?,
        database.begin().await?,
        database.begin().await?,
        database.begin_urgent().await?,
    ] {
        tx.commit().await?;
    }
    world.set_read_only(false).await?;

    let refused = write(&database).await;

    // One refusal is enough: all of them were opened at that time.
    assert!(refused.is_err());
    let mut held = Vec::new();
    for key in ["one", "two", "three"] {
        let mut tx = database.begin().await?;
        crate::sample::stored_client(&mut tx, key).await?;
        held.push(tx);
    }
    let mut urgent = database.begin_urgent().await?;
    crate::sample::stored_client(&mut urgent, "urgent").await?;
    Ok(())
}

async fn write(database: &Database) -> Result<()> {
    let mut tx = database.begin().await?;
    crate::sample::stored_client(&mut tx, "example").await?;
    Ok(tx.commit().await?)
}

async fn look(database: &Database) -> Result<(), StoreError> {
    let mut tx = database.begin().await?;
    api_key::list(&mut tx).await?;
    tx.commit().await
}
