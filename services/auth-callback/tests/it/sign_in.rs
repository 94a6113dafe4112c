use anyhow::{Context, Result};
use mailmesh_domain::{GrantState, Protocol};
use mailmesh_events::account::AccountAuthenticated;
use mailmesh_sandbox::{Personality, Visitor};
use mailmesh_store::account::Account;

use crate::world::{ALICE, World, location};

const OUTLOOK: &str = "https://outlook.office.com/IMAP.AccessAsUser.All";

#[tokio::test]
async fn a_mailbox_is_connected_for_all_of_its_accounts_and_proved() -> Result<()> {
    let world = World::with(|provider| provider.auto_consent = false, |_, _| {}).await?;
    let inbound = world.account("support", Protocol::Imap).await?;
    let outbound = world.account("support-out", Protocol::Smtp).await?;
    let link = world.link(&inbound).await?;

    let page = Visitor::try_new(None)?.sign_in(&link, ALICE, true).await?;

    assert_eq!(page.status, 200, "{}", page.html);
    assert!(page.url.contains("/connected/"), "{}", page.url);
    assert!(
        page.html.contains("The mailbox is connected"),
        "{}",
        page.html
    );
    let grant = world.grant_of(&inbound).await?.context("no grant")?;
    let shared = world.grant_of(&outbound).await?.context("no grant")?;
    assert_eq!((grant.id, grant.generation), (shared.id, 1));
    assert_eq!(grant.state, GrantState::Active);
    assert_eq!(grant.address.as_deref(), Some(ALICE));
    assert!(grant.refresh_due_at < grant.access_expires_at);
    let tokens = world.base.opened(&grant)?;
    let holder = world.sandbox.tokens().check_access(&tokens.access)?;
    assert_eq!(holder.address, ALICE);
    assert!(
        world
            .sandbox
            .tokens()
            .check_refresh(&tokens.refresh.context("no refresh token")?)
            .is_some()
    );
    assert!(
        world.sandbox.mail().sign_ins(ALICE)? > 0,
        "it was not proved"
    );
    for key in ["support", "support-out"] {
        world
            .base
            .published(&format!("account.authenticated.{key}"), 1)
            .await?;
        let event: AccountAuthenticated = world.base.first_event(key).await?;
        assert_eq!(event.account.as_str(), key);
        assert!(event.scopes.contains(&"mail".to_owned()));
    }
    world
        .base
        .published(&format!("token.refreshed.{}", grant.id), 1)
        .await?;
    world.finish().await
}

#[tokio::test]
async fn mailbox_that_is_read_by_pop3_is_asked_for_it_besides() -> Result<()> {
    const POP: &str = "https://outlook.office.com/POP.AccessAsUser.All";
    let world = World::with(
        |_| {},
        |client, _| {
            client.profile = "microsoft".to_owned();
            client.issuer = None;
            client.scopes = ["openid", "offline_access", OUTLOOK]
                .map(str::to_owned)
                .to_vec();
        },
    )
    .await?;
    let imap = world.account("support", Protocol::Imap).await?;
    let asked = async |account: &Account| -> Result<String> {
        let link = world.link(account).await?;
        let answer = Visitor::try_new(None)?.get(&link).await?;
        let provider = location(&answer, &link)?;
        let mut query = provider.query_pairs();
        let scope = query.find(|(name, _)| name == "scope");
        Ok(scope.context("no scope")?.1.into_owned())
    };

    let before = asked(&imap).await?;
    let pop3 = world.account("archive", Protocol::Pop3).await?;

    assert!(!before.contains(POP), "{before}");
    // One grant serves both accounts.
    for account in [&imap, &pop3] {
        let scopes = asked(account).await?;
        assert!(scopes.contains(POP) && scopes.contains(OUTLOOK), "{scopes}");
    }
    world.finish().await
}

#[tokio::test]
async fn an_account_is_proved_by_pop3() -> Result<()> {
    let world = World::new().await?;
    let account = world.account("archive", Protocol::Pop3).await?;
    let link = world.link(&account).await?;

    let page = Visitor::try_new(None)?.sign_in(&link, ALICE, true).await?;

    assert!(
        page.html.contains("The mailbox is connected"),
        "{}",
        page.html
    );
    assert_eq!(world.sandbox.mail().counters().pop3_sign_ins, 1);
    world.finish().await
}

#[tokio::test]
async fn an_outbound_account_is_proved_by_smtp() -> Result<()> {
    let world = World::new().await?;
    let account = world.account("support-out", Protocol::Smtp).await?;
    let link = world.link(&account).await?;

    let page = Visitor::try_new(None)?.sign_in(&link, ALICE, true).await?;

    assert!(
        page.html.contains("The mailbox is connected"),
        "{}",
        page.html
    );
    world.finish().await
}

#[tokio::test]
async fn every_personality_connects() -> Result<()> {
    for (personality, mail) in [
        (Personality::Google, "https://mail.google.com/"),
        (Personality::Microsoft, OUTLOOK),
    ] {
        let world = World::with(
            |provider| provider.personality = personality,
            |client, _| {
                let extra = &mut client.extra_authorize_parameters;
                extra.insert("access_type".to_owned(), "offline".to_owned());
                client.scopes = ["openid", "email", "offline_access", mail]
                    .map(str::to_owned)
                    .to_vec();
            },
        )
        .await?;
        let account = world.account("support", Protocol::Imap).await?;
        let link = world.link(&account).await?;

        let page = Visitor::try_new(None)?.sign_in(&link, ALICE, true).await?;

        assert!(
            page.html.contains("is connected"),
            "{personality:?}: {}",
            page.html
        );
        world.finish().await?;
    }
    Ok(())
}

#[tokio::test]
async fn explicit_endpoints_need_no_discovery_and_no_identity() -> Result<()> {
    let world = World::with(
        |provider| provider.personality = Personality::Microsoft,
        |client, _| {
            client.scopes = [OUTLOOK, "offline_access"].map(str::to_owned).to_vec();
        },
    )
    .await?;
    let account = world.account("support", Protocol::Imap).await?;
    let mut client = world.client.clone();
    let discovered = world.sandbox.addresses().issuer.clone();
    client.authorize_url = Some(format!("{discovered}/authorize"));
    client.token_url = Some(format!("{discovered}/token"));
    client.issuer = None;
    let mut tx = world.base.begin().await?;
    mailmesh_store::client_configuration::update(&mut tx, &client).await?;
    tx.commit().await?;
    let link = world.link(&account).await?;

    let page = Visitor::try_new(None)?.sign_in(&link, ALICE, true).await?;

    assert!(
        page.html.contains("is connected"),
        "{} {}",
        page.url,
        page.html
    );
    let grant = world.grant_of(&account).await?.context("no grant")?;
    assert_eq!(
        grant.subject, account.login,
        "the login stands for the person"
    );
    world.finish().await
}

#[tokio::test]
async fn a_provider_with_a_private_authority_connects() -> Result<()> {
    let world = World::with(
        |provider| provider.https = true,
        |client, sandbox| client.ca_pem = Some(sandbox.ca_pem().to_owned()),
    )
    .await?;
    let account = world.account("support", Protocol::Imap).await?;
    let link = world.link(&account).await?;
    let mut browser = Visitor::try_new(Some(world.sandbox.ca_pem()))?;

    let page = browser.sign_in(&link, ALICE, true).await?;

    assert!(page.html.contains("is connected"), "{}", page.html);
    world.finish().await
}
