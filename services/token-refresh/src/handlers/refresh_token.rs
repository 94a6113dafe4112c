//! Subscribes to `token.refresh`: a server refused an access token.

use std::sync::Arc;
use std::time::Duration;

use mailmesh_accounts::Replica;
use mailmesh_bus::{SubscribeError, Subscription};
use mailmesh_events::subject::TOKEN_REFRESH;
use mailmesh_events::token::RefreshToken;
use mailmesh_store::{StoreError, grant};
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;
use tracing::{debug, info_span, warn};

/// A token that is refused as soon as it comes is replaced no more often. Whoever needs another asks
/// again, so the next one is late but not lost.
const REST: Duration = Duration::from_secs(30);

pub(crate) async fn subscribe(replica: &Replica) -> Result<Subscription, SubscribeError> {
    let queue = Some(replica.service);
    replica.bus.subscribe(TOKEN_REFRESH, queue).await
}

/// Makes grants due that are asked for, until `stop`. A question that is lost is asked again by
/// whoever needs the token.
pub(crate) async fn run(
    replica: Replica,
    mut questions: Subscription,
    wake: Arc<Notify>,
    stop: CancellationToken,
) {
    loop {
        let question = tokio::select! {
            () = stop.cancelled() => return,
            question = questions.next() => question,
        };
        let Some(question) = question else {
            return;
        };
        let span = info_span!("handle.refresh_token");
        mailmesh_bus::trace::continue_from(&span, &question.headers);
        let Ok(asked) = serde_json::from_slice::<RefreshToken>(&question.payload) else {
            warn!(parent: &span, "A question for a token cannot be read");
            continue;
        };
        match make_due(&replica, &asked).await {
            Ok(true) => wake.notify_one(),
            Ok(false) => {
                debug!(parent: &span, grant.id = %asked.grant_id, "The token asked for is there, on its way, or was asked for just now");
            }
            Err(error) => warn!(
                parent: &span,
                grant.id = %asked.grant_id,
                error = &error as &dyn std::error::Error,
                "A grant could not be made due"
            ),
        }
    }
}

async fn make_due(replica: &Replica, asked: &RefreshToken) -> Result<bool, StoreError> {
    let mut tx = replica.database.begin().await?;
    let now = replica.clock.now();
    let refused = asked.refused_generation;
    let is_due = grant::set_due(&mut tx, asked.grant_id, refused, REST, now).await?;
    tx.commit().await?;
    Ok(is_due)
}
