use mailmesh_secrets::ExposeSecret;
use mailmesh_store::{Database, DatabaseSettings, MigrationState};
use mailmesh_testkit::{TestServers, fresh_prefix};
use std::time::Duration;

async fn connect(url: mailmesh_secrets::SecretString) -> anyhow::Result<Database> {
    let settings = DatabaseSettings {
        url,
        max_connections: 2,
        acquire_timeout: Duration::from_secs(10),
        ca_file: None,
    };
    Ok(Database::connect(&settings).await?)
}

#[tokio::test]
async fn each_test_gets_a_migrated_database_of_its_own() {
    let servers = TestServers::shared().await.unwrap();

    let (one, other) = tokio::join!(servers.fresh_database(), servers.fresh_database());

    let (one, other) = (one.unwrap(), other.unwrap());
    assert_ne!(one.expose_secret(), other.expose_secret());
    for url in [one, other] {
        let database = connect(url).await.unwrap();
        assert_eq!(
            database.migration_state().await.unwrap(),
            MigrationState::Current
        );
    }
}

#[tokio::test]
async fn an_empty_database_has_no_tables() {
    let servers = TestServers::shared().await.unwrap();

    let database = connect(servers.empty_database().await.unwrap())
        .await
        .unwrap();

    let state = database.migration_state().await.unwrap();
    assert!(
        matches!(state, MigrationState::Behind(missing) if missing > 0),
        "{state:?}"
    );
}

#[tokio::test]
async fn all_tests_share_the_servers_and_none_shares_a_prefix() {
    let one = TestServers::shared().await.unwrap();
    let other = TestServers::shared().await.unwrap();

    assert_eq!(one.nats_url(), other.nats_url());
    assert_ne!(fresh_prefix(), fresh_prefix());
}
