use anyhow::{Context, Result};
use mailmesh_domain::Protocol;
use mailmesh_sandbox::{Fault, FaultRule, Visitor};
use mailmesh_testkit::{CapturedLog, check_no_secrets};

use crate::world::{ALICE, CLIENT_SECRET, World, location};

/// Signs in, and once more with a code that the provider refuses; returns what people and systems
/// were told, and what must not be in it.
async fn sign_in_twice(world: &World) -> Result<(String, Vec<(String, String)>)> {
    let account = world.account("support", Protocol::Imap).await?;
    let mut browser = Visitor::try_new(None)?;
    let mut told = String::new();
    let named = |name: &str, secret: &str| (name.to_owned(), secret.to_owned());
    let mut secrets = vec![named("client secret", CLIENT_SECRET)];
    for _ in 0..2 {
        let link = world.link(&account).await?;
        let callback = world.answer(&mut browser, &link).await?;
        let sent = callback
            .query_pairs()
            .filter(|(name, _)| name == "code" || name == "state");
        secrets.extend(sent.map(|(name, value)| named(&name, &value)));
        let link_token = link.path().rsplit('/').next();
        secrets.extend(link_token.map(|token| named("link", token)));
        let ended = browser.get(&callback).await?;
        let result = browser.get(&location(&ended, &callback)?).await?;
        told.push_str(&result.text().await?);
        told.push_str(&browser.get(&callback).await?.text().await?);
    }
    let grant = world.grant_of(&account).await?.context("no grant")?;
    let tokens = world.base.opened(&grant)?;
    secrets.push(named("access token", &tokens.access));
    let refresh = tokens.refresh.as_deref();
    secrets.extend(refresh.map(|token| named("refresh token", token)));
    for subject in [
        "account.authenticated.support".to_owned(),
        format!("token.refreshed.{}", grant.id),
    ] {
        for stored in world.base.published(&subject, 1).await? {
            told.push_str(&String::from_utf8_lossy(&stored.payload));
        }
    }
    Ok((told, secrets))
}

#[tokio::test]
async fn neither_pages_nor_logs_nor_events_hold_a_secret() -> Result<()> {
    let log = CapturedLog::of_this_process()?;
    let world = World::new().await?;
    world.sandbox.faults().add(FaultRule {
        after: 1,
        ..FaultRule::once(
            "oauth.token.code",
            Fault::Status {
                code: 400,
                retry_after: None,
                body: Some(r#"{"error":"invalid_grant"}"#.to_owned()),
            },
        )
    })?;

    let (told, secrets) = sign_in_twice(&world).await?;
    world.finish().await?;

    let logged = log.text();
    assert!(logged.contains("A mailbox was connected"), "{logged}");
    assert!(logged.contains("A sign-in was stopped"), "{logged}");
    assert!(!logged.to_lowercase().contains(ALICE), "{logged}");
    assert_eq!(secrets.len(), 9);
    check_no_secrets(&secrets, [("what was told", told), ("the log", logged)])
}
