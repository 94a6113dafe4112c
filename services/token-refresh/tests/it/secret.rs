use anyhow::Result;
use mailmesh_domain::GrantState;
use mailmesh_sandbox::{Fault, Personality};
use mailmesh_testkit::{CapturedLog, check_no_secrets};

use crate::world::{CLIENT_SECRET, World};

#[tokio::test]
async fn neither_logs_nor_events_nor_problems_hold_a_secret() -> Result<()> {
    let log = CapturedLog::of_this_process()?;
    let world = World::new(Personality::Standard).await?;
    let grant = world.grant("alice").await?;
    let before = world.base.opened(&grant)?;
    let refresh = before.refresh.as_deref().unwrap_or_default();
    let echo = format!(r#"{{"error":"server_error","error_description":"{refresh}"}}"#);
    world.fail_refreshes(
        Some(1),
        Fault::Status {
            code: 400,
            retry_after: None,
            body: Some(echo),
        },
    )?;
    let replica = world.start().await?;

    world.ask(&grant, 1).await?;
    let failed = world
        .until("a failure", &grant, |grant| grant.failures == 1)
        .await?;
    world.advance(1);
    let refreshed = world
        .until("a new token", &grant, |grant| grant.generation == 2)
        .await?;
    world.sandbox.tokens().revoke_address(&grant.subject);
    world.ask(&grant, 2).await?;
    world
        .until("a refusal", &grant, |grant| {
            grant.state == GrantState::SignInRequired
        })
        .await?;
    let mut told = format!("{:?}", failed.problem).into_bytes();
    for (event, count) in [("token.refreshed", 1), ("token.refresh_failed", 2)] {
        let subject = format!("{event}.{}", grant.id);
        for stored in world.base.published(&subject, count).await? {
            told.extend_from_slice(&stored.payload);
        }
    }
    replica.stop().await?;

    let logged = log.text();
    assert!(logged.contains("A grant was refreshed"), "{logged}");
    assert!(!logged.contains("alice@"), "logged: {logged}");
    let after = world.base.opened(&refreshed)?;
    let secrets = [
        ("client secret", Some(CLIENT_SECRET.to_owned())),
        ("first access token", Some(before.access)),
        ("first refresh token", before.refresh),
        ("second access token", Some(after.access)),
        ("second refresh token", after.refresh),
    ];
    let secrets = secrets.map(|(name, secret)| (name.to_owned(), secret.unwrap_or_default()));
    let texts = [
        ("what was told", told.as_slice()),
        ("the log", logged.as_bytes()),
    ];
    check_no_secrets(&secrets, texts)
}
