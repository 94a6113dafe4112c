//! A code goes nowhere but where it came from.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use mailmesh_domain::{ClientConfigurationId, Clock, Protocol};
use mailmesh_sandbox::Visitor;
use mailmesh_store::account::{self, Account};
use mailmesh_store::client_configuration::{self, ClientConfiguration};

use crate::world::{World, location};

/// Changes something while a person is at the provider: the code must not be used.
async fn check_refused(change: impl AsyncFnOnce(&World, &Account) -> Result<()>) -> Result<()> {
    let world = World::new().await?;
    let account = world.account("support", Protocol::Imap).await?;
    let link = world.link(&account).await?;
    let mut browser = Visitor::try_new(None)?;
    let callback = world.answer(&mut browser, &link).await?;

    change(&world, &account).await?;
    let answer = browser.get(&callback).await?;
    let page = browser.get(&location(&answer, &callback)?).await?;

    let html = page.text().await?;
    ensure!(html.contains("changed while you signed in"), "{html}");
    ensure!(world.sandbox.oauth_counters().token_requests == 0);
    ensure!(world.grant_of(&account).await?.is_none());
    world.finish().await
}

#[tokio::test]
async fn a_code_is_not_sent_to_urls_that_were_changed_since() -> Result<()> {
    check_refused(async |world, _| {
        let mut tx = world.base.begin().await?;
        let found = client_configuration::find(&mut tx, world.client.id).await?;
        let mut client = found.context("no client")?;
        world.clock.advance(Duration::from_secs(1));
        client.token_url = Some(world.url.join("/elsewhere")?.to_string());
        client.updated_at = world.clock.now();
        client_configuration::update(&mut tx, &client).await?;
        Ok(tx.commit().await?)
    })
    .await
}

#[tokio::test]
async fn a_code_is_not_sent_to_the_provider_that_the_account_has_by_now() -> Result<()> {
    check_refused(async |world, account| {
        let client = ClientConfiguration {
            id: ClientConfigurationId::generate(&*world.clock),
            key: mailmesh_domain::Key::try_new("another")?,
            client_secret: None,
            ..world.client.clone()
        };
        world.base.insert_client(&client).await?;
        let mut tx = world.base.begin().await?;
        let found = account::find_by_key(&mut tx, &account.key).await?;
        let account = Account {
            client_configuration_id: Some(client.id),
            ..found.context("no account")?
        };
        account::update(&mut tx, &account).await?;
        Ok(tx.commit().await?)
    })
    .await
}
