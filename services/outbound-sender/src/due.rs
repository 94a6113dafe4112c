//! Wakes the workers of accounts that have mail to send.

use std::sync::Arc;
use std::time::Duration;

use mailmesh_bus::Subscription;
use mailmesh_domain::AccountId;
use mailmesh_store::{StoreError, outbound_mail};
use tokio::time::MissedTickBehavior;
use tokio_util::sync::CancellationToken;
use tracing::warn;

use crate::context::{ServiceContext, account_of_hint};

/// Interval of looking for due mail whose hint was lost, and for retries, which have none.
const DUE_EVERY: Duration = Duration::from_secs(2);

/// Wakes by hints and, as one may be lost and retries fall due without any, by looking; until `stop`.
pub(crate) async fn run(
    context: Arc<ServiceContext>,
    mut hints: Subscription,
    stop: CancellationToken,
) {
    let mut ticks = tokio::time::interval(DUE_EVERY);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            () = stop.cancelled() => return,
            Some(hint) = hints.next() => {
                account_of_hint(&hint.payload).map(|id| context.registry.wake(id));
            }
            _ = ticks.tick() => {
                if let Err(error) = wake_due(&context).await {
                    warn!(
                        error = &error as &dyn std::error::Error,
                        "Due mail was not looked for; it is tried again"
                    );
                }
            }
        }
    }
}

/// Runs one query for all accounts, as hints may be lost.
async fn wake_due(context: &ServiceContext) -> Result<(), StoreError> {
    let now = context.replica.clock.now();
    let waiting = list_waiting(context, &context.registry.list()).await?;
    for (id, due_at) in waiting {
        if due_at <= now {
            context.registry.wake(id);
        }
    }
    Ok(())
}

/// Wakes those of the accounts that have mail, due or not: the reason for waiting may be gone.
pub(crate) async fn wake_waiting(
    context: &ServiceContext,
    accounts: &[AccountId],
) -> Result<(), StoreError> {
    for (id, _) in list_waiting(context, accounts).await? {
        context.registry.wake(id);
    }
    Ok(())
}

async fn list_waiting(
    context: &ServiceContext,
    accounts: &[AccountId],
) -> Result<Vec<(AccountId, time::OffsetDateTime)>, StoreError> {
    if accounts.is_empty() {
        return Ok(Vec::new());
    }
    let mut tx = context.replica.database.begin().await?;
    let waiting = outbound_mail::next_due(&mut tx, accounts).await?;
    tx.commit().await?;
    Ok(waiting)
}
