use std::io::Write;
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::Result;
use mailmesh_domain::GrantState;
use mailmesh_sandbox::{Fault, Personality};
use tracing_subscriber::filter::filter_fn;
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::layer::{Layer, SubscriberExt};

use crate::world::{CLIENT_SECRET, World};

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

#[tokio::test]
async fn neither_logs_nor_events_nor_problems_hold_a_secret() -> Result<()> {
    let log = Log::default();
    let ours = filter_fn(|metadata| {
        let target = metadata.target();
        target.starts_with("mailmesh") && !target.starts_with("mailmesh_sandbox")
    });
    let layer = tracing_subscriber::fmt::layer().with_writer(log.clone());
    let subscriber = tracing_subscriber::registry().with(layer.with_filter(ours));
    // Hears the other tests of this process too: a subscriber of one thread misses lines that another
    // thread was first to reach.
    tracing::subscriber::set_global_default(subscriber)?;
    let world = World::new(Personality::Standard).await?;
    let grant = world.grant("alice").await?;
    let [access, refresh] = world.opened(&grant)?;
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
    let mut told = format!("{:?}", failed.problem);
    for event in ["token.refreshed", "token.refresh_failed"] {
        let count = if event == "token.refreshed" { 1 } else { 2 };
        for payload in world
            .events(&format!("{event}.{}", grant.id), count)
            .await?
        {
            told.push_str(&String::from_utf8_lossy(&payload));
        }
    }
    replica.stop().await?;

    let logged = log.0.lock().unwrap_or_else(PoisonError::into_inner).clone();
    let logged = String::from_utf8_lossy(&logged).into_owned();
    assert!(logged.contains("A grant was refreshed"), "{logged}");
    let [new_access, new_refresh] = world.opened(&refreshed)?;
    let secrets = [&access, &refresh, &new_access, &new_refresh].map(String::as_str);
    for secret in secrets.into_iter().chain([CLIENT_SECRET]) {
        assert!(!told.contains(secret), "told: {told}");
        assert!(!logged.contains(secret), "logged: {logged}");
    }
    assert!(!logged.contains("alice@"), "logged: {logged}");
    Ok(())
}
