use std::time::Duration;

use anyhow::Result;
use mailmesh_domain::Clock;
use mailmesh_sandbox::Personality;
use mailmesh_store::ServiceRole;
use mailmesh_store::client_configuration::{self, ClientConfiguration};
use mailmesh_token_refresh::Config;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::net::TcpListener;
use tokio::time::timeout;

use crate::start::start;
use crate::world::World;

#[tokio::test]
async fn providers_are_asked_by_way_of_the_configured_proxy() -> Result<()> {
    let world = World::new(Personality::Standard).await?;
    let grant = world.grant("alice").await?;
    world.clock.advance(Duration::from_secs(1));
    let far = ClientConfiguration {
        issuer: Some("https://provider.test".to_owned()),
        updated_at: world.clock.now(),
        ..world.client.clone()
    };
    let mut tx = world.base.begin().await?;
    client_configuration::update(&mut tx, &far).await?;
    tx.commit().await?;
    let proxy = TcpListener::bind("127.0.0.1:0").await?;
    let config = Config {
        proxy_url: Some(format!("http://{}", proxy.local_addr()?).parse()?),
        ..Config::default()
    };
    let address = &world.base.address;
    let database = address.database_as(ServiceRole::TokenRefresh).await?;
    let replica = start(&world, config, database).await?;

    world.ask(&grant, 1).await?;
    let (stream, _) = timeout(Duration::from_secs(20), proxy.accept()).await??;
    let mut asked = String::new();
    BufReader::new(stream).read_line(&mut asked).await?;

    assert!(asked.starts_with("CONNECT provider.test:443 "), "{asked}");
    replica.stop().await
}
