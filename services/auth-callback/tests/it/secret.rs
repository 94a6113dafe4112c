use std::io::Write;
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::{Context, Result};
use mailmesh_domain::Protocol;
use mailmesh_sandbox::{Fault, FaultRule, Visitor};
use tracing_subscriber::filter::filter_fn;
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::layer::{Layer, SubscriberExt};

use crate::world::{ALICE, CLIENT_SECRET, World, location};

#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl Write for Log {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        let mut log = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        log.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

impl MakeWriter<'_> for Log {
    type Writer = Self;

    fn make_writer(&self) -> Self {
        self.clone()
    }
}

/// Hears the other tests of this process too: a subscriber of one thread misses lines that another
/// thread was first to reach.
fn listen() -> Result<Log> {
    let log = Log::default();
    let ours = filter_fn(|metadata| {
        let target = metadata.target();
        target.starts_with("mailmesh") && !target.starts_with("mailmesh_sandbox")
    });
    let layer = tracing_subscriber::fmt::layer().with_writer(log.clone());
    let subscriber = tracing_subscriber::registry().with(layer.with_filter(ours));
    tracing::subscriber::set_global_default(subscriber)?;
    Ok(log)
}

/// Signs in, and once more with a code that the provider refuses; returns what people and systems
/// were told, and what must not be in it.
async fn sign_in_twice(world: &World) -> Result<(String, Vec<String>)> {
    let account = world.account("support", Protocol::Imap).await?;
    let mut browser = Visitor::try_new(None)?;
    let mut told = String::new();
    let mut secrets = vec![CLIENT_SECRET.to_owned()];
    for _ in 0..2 {
        let link = world.link(&account).await?;
        let callback = world.answer(&mut browser, &link).await?;
        let sent = callback
            .query_pairs()
            .filter(|(name, _)| name == "code" || name == "state");
        secrets.extend(sent.map(|(_, value)| value.into_owned()));
        secrets.extend(link.path().rsplit('/').next().map(str::to_owned));
        let ended = browser.get(&callback).await?;
        let result = browser.get(&location(&ended, &callback)?).await?;
        told.push_str(&result.text().await?);
        told.push_str(&browser.get(&callback).await?.text().await?);
    }
    let grant = world.grant_of(&account).await?.context("no grant")?;
    let (access, refresh) = world.opened(&grant)?;
    secrets.push(access);
    secrets.extend(refresh);
    for subject in [
        "account.authenticated.support".to_owned(),
        format!("token.refreshed.{}", grant.id),
    ] {
        for payload in world.events(&subject, 1).await? {
            told.push_str(&String::from_utf8_lossy(&payload));
        }
    }
    Ok((told, secrets))
}

#[tokio::test]
async fn neither_pages_nor_logs_nor_events_hold_a_secret() -> Result<()> {
    let log = listen()?;
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

    let logged = log.0.lock().unwrap_or_else(PoisonError::into_inner).clone();
    let logged = String::from_utf8_lossy(&logged).into_owned();
    assert!(logged.contains("A mailbox was connected"), "{logged}");
    assert!(logged.contains("A sign-in was stopped"), "{logged}");
    assert_eq!(secrets.len(), 9);
    for secret in &secrets {
        assert!(!told.contains(secret.as_str()), "{secret} in {told}");
        assert!(!logged.contains(secret.as_str()), "{secret} in {logged}");
    }
    assert!(!logged.to_lowercase().contains(ALICE), "{logged}");
    Ok(())
}
