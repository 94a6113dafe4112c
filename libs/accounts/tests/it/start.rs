//! Servers that are starting while a service does.

use anyhow::Result;
use mailmesh_accounts::{Connections, ConnectionsError};
use mailmesh_store::PostgresSettings;
use mailmesh_testkit::{MeshAddress, TestFolder, own_postgres};

#[tokio::test]
async fn postgres_that_is_not_there_yet_is_waited_for() -> Result<()> {
    let folder = TestFolder::new("starting")?;
    let mut postgres = own_postgres(&folder).await?;
    let nats = MeshAddress::fresh().await?.bus;
    let settings = PostgresSettings::of_url(postgres.url(), 2);
    postgres.kill().await;

    let (opened, restarted) = tokio::join!(Connections::open(&settings, &nats), async {
        // After the first attempt has been refused.
        tokio::time::sleep(std::time::Duration::from_secs(1)).await;
        postgres.restart().await
    });

    restarted?;
    opened?;
    Ok(())
}

#[tokio::test]
async fn wrong_database_is_told_at_once() -> Result<()> {
    let address = MeshAddress::fresh().await?;
    let url = mailmesh_secrets::ExposeSecret::expose_secret(&address.postgres_url).to_owned();
    let settings = PostgresSettings::of_url(format!("{url}_not_there").into(), 2);

    let begun = tokio::time::Instant::now();
    let opened = Connections::open(&settings, &address.bus).await;

    assert!(
        matches!(opened, Err(ConnectionsError::Database(_))),
        "{opened:?}"
    );
    assert!(begun.elapsed() < std::time::Duration::from_secs(10));
    Ok(())
}
