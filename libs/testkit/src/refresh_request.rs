use std::time::Duration;

use anyhow::Context;
use mailmesh_bus::{Bus, Subscription};
use mailmesh_domain::{GrantId, SystemClock};
use mailmesh_events::subject::TOKEN_REFRESH;
use mailmesh_events::token::RefreshToken;

const LIMIT: Duration = Duration::from_secs(30);

/// What services ask of `token-refresh` from here on.
#[derive(Debug)]
pub struct RefreshRequests {
    bus: Bus,
    asked: Subscription,
}

impl RefreshRequests {
    /// Begins to listen.
    pub async fn subscribe(bus: &Bus) -> anyhow::Result<Self> {
        Ok(Self {
            bus: bus.clone(),
            asked: bus.subscribe(TOKEN_REFRESH, None).await?,
        })
    }

    /// Waits for the next.
    pub async fn next(&mut self) -> anyhow::Result<RefreshToken> {
        let hint = tokio::time::timeout(LIMIT, self.asked.next()).await;
        let hint = hint.context("nobody asks for a token")?;
        let hint = hint.context("the subscription ended")?;
        Ok(serde_json::from_slice(&hint.payload)?)
    }

    /// Returns the generations that were asked about and not yet read.
    pub async fn so_far(&mut self) -> anyhow::Result<Vec<i64>> {
        let end = RefreshToken {
            grant_id: GrantId::generate(&SystemClock),
            refused_generation: -1,
        };
        ask_for_refresh(&self.bus, &end).await?;
        let mut generations = Vec::new();
        loop {
            let request = self.next().await?;
            if request.grant_id == end.grant_id {
                return Ok(generations);
            }
            generations.push(request.refused_generation);
        }
    }
}

/// Asks as a service does whose token was refused.
pub async fn ask_for_refresh(bus: &Bus, request: &RefreshToken) -> anyhow::Result<()> {
    let payload = serde_json::to_vec(request)?.into();
    bus.publish_core(TOKEN_REFRESH, &[], payload).await?;
    Ok(bus.flush().await?)
}
