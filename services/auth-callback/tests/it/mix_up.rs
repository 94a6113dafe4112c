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
            client_secret: mailmesh_store::RowSecret::Absent,
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

#[tokio::test]
async fn a_code_and_the_client_secret_go_to_no_other_token_endpoint_than_before() -> Result<()> {
    let world = World::with(
        |_| {},
        |client, _| client.token_origin = Some("https://other.example.test".to_owned()),
    )
    .await?;
    let account = world.account("support", Protocol::Imap).await?;
    let link = world.link(&account).await?;

    let page = Visitor::try_new(None)?
        .sign_in(&link, crate::world::ALICE, true)
        .await?;

    ensure!(
        page.html.contains("The administrator of mailmesh"),
        "{}",
        page.html
    );
    ensure!(page.html.contains("endpoint moved from"), "{}", page.html);
    ensure!(world.sandbox.oauth_counters().token_requests == 0);
    ensure!(world.grant_of(&account).await?.is_none());
    world.finish().await
}

#[tokio::test]
async fn a_sign_in_notes_where_its_tokens_come_from() -> Result<()> {
    let world = World::new().await?;
    let account = world.account("support", Protocol::Imap).await?;
    let link = world.link(&account).await?;
    Visitor::try_new(None)?
        .sign_in(&link, crate::world::ALICE, true)
        .await?;

    let grant = world.grant_of(&account).await?.context("no grant")?;
    let mut tx = world.base.begin().await?;
    let client = client_configuration::find(&mut tx, world.client.id).await?;
    let issuer = &world.sandbox.addresses().issuer;
    let origin = grant.token_origin.context("no origin")?;
    ensure!(issuer.starts_with(&origin), "{issuer} {origin}");
    ensure!(client.context("no client")?.token_origin == Some(origin));
    drop(tx);
    world.finish().await
}

fn own(client: &mut ClientConfiguration, _: &mailmesh_sandbox::Sandbox) {
    client.is_redirect_shared = false;
}

async fn own_world() -> Result<World> {
    World::with(
        |provider| {
            for client in &mut provider.clients {
                for uri in &mut client.redirect_uris {
                    *uri =
                        uri.replace("/receiveTokenAuthentication.htm", "/oauth/callback/sandbox");
                }
            }
        },
        own,
    )
    .await
}

#[tokio::test]
async fn each_client_configuration_has_a_redirect_uri_of_its_own() -> Result<()> {
    let world = own_world().await?;
    let account = world.account("support", Protocol::Imap).await?;
    let link = world.link(&account).await?;
    let mut browser = Visitor::try_new(None)?;
    let callback = world.answer(&mut browser, &link).await?;

    let answer = browser.get(&callback).await?;
    let page = browser.get(&location(&answer, &callback)?).await?;

    ensure!(
        callback.path() == format!("/oauth/callback/{}", world.client.key),
        "{callback}"
    );
    let html = page.text().await?;
    ensure!(html.contains("The mailbox is connected"), "{html}");
    world.finish().await
}

#[tokio::test]
async fn an_answer_at_the_redirect_uri_of_another_provider_is_refused() -> Result<()> {
    for path in [
        "/oauth/callback/another",
        "/oauth/callback",
        "/receiveTokenAuthentication.htm",
    ] {
        let world = own_world().await?;
        let account = world.account("support", Protocol::Imap).await?;
        let link = world.link(&account).await?;
        let http = reqwest::Client::builder()
            .redirect(reqwest::redirect::Policy::none())
            .build()?;
        let started = http.get(link.clone()).send().await?;
        let cookie = started.headers().get("set-cookie").context("no cookie")?;
        let cookie = cookie
            .to_str()?
            .split(';')
            .next()
            .unwrap_or_default()
            .to_owned();
        let authorize = location(&started, &link)?;
        let mut callback = location(&http.get(authorize.clone()).send().await?, &authorize)?;
        callback.set_path(path);

        // A client that sends the cookie everywhere, whatever its path.
        let answer = http
            .get(callback.clone())
            .header("cookie", &cookie)
            .send()
            .await?;
        let result = answer.headers().get("set-cookie").context("no result")?;
        let result = result
            .to_str()?
            .split(';')
            .next()
            .unwrap_or_default()
            .to_owned();
        let page = location(&answer, &callback)?;
        let page = http
            .get(page)
            .header("cookie", result)
            .send()
            .await?
            .text()
            .await?;

        ensure!(
            page.contains("answered by another issuer"),
            "{path}: {page}"
        );
        ensure!(world.sandbox.oauth_counters().token_requests == 0, "{path}");
        ensure!(world.grant_of(&account).await?.is_none(), "{path}");
        world.finish().await?;
    }
    Ok(())
}

#[tokio::test]
async fn the_shared_redirect_uri_serves_one_client_configuration_alone() -> Result<()> {
    let world = World::new().await?;
    let account = world.account("support", Protocol::Imap).await?;
    let link = world.link(&account).await?;
    let another = ClientConfiguration {
        id: ClientConfigurationId::generate(&*world.clock),
        key: mailmesh_domain::Key::try_new("another")?,
        client_secret: mailmesh_store::RowSecret::Absent,
        ..world.client.clone()
    };
    world.base.insert_client(&another).await?;

    let answer = Visitor::try_new(None)?.get(&link).await?;

    ensure!(answer.status() == 409, "{}", answer.status());
    let html = answer.text().await?;
    ensure!(html.contains("own_redirect_uri"), "{html}");
    ensure!(
        html.contains(&format!("/oauth/callback/{}", world.client.key)),
        "{html}"
    );
    world.finish().await
}

#[tokio::test]
async fn a_cookie_that_was_there_before_starts_no_sign_in() -> Result<()> {
    let world = World::new().await?;
    let account = world.account("support", Protocol::Imap).await?;
    let link = world.link(&account).await?;
    let http = reqwest::Client::builder()
        .redirect(reqwest::redirect::Policy::none())
        .build()?;
    let first = http.get(link.clone()).send().await?;
    let planted = first
        .headers()
        .get("set-cookie")
        .context("no cookie")?
        .to_str()?
        .to_owned();
    let planted = planted.split(';').next().unwrap_or_default().to_owned();

    let started = http
        .get(link.clone())
        .header("cookie", &planted)
        .send()
        .await?;
    let fresh = started
        .headers()
        .get("set-cookie")
        .context("no cookie")?
        .to_str()?
        .to_owned();
    let authorize = location(&started, &link)?;
    let callback = location(&http.get(authorize.clone()).send().await?, &authorize)?;
    let answer = http.get(callback).header("cookie", &planted).send().await?;

    ensure!(!fresh.starts_with(&planted), "{fresh}");
    ensure!(answer.status() == 400, "{}", answer.status());
    ensure!(world.grant_of(&account).await?.is_none());
    world.finish().await
}
