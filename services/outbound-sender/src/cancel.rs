//! Keeps each `mail.cancel` until its mail has ended or can no longer come, and tells what became of it.
//!
//! Replicas take commands side by side, so that a cancel may be handled before the `mail.send` in front of it, which a frozen
//! process holds. It is kept then, and the mail that it names is not claimed. What can still come is decided by the stream's
//! sequences: once the consumer has acknowledged all commands before the cancel, there is no such mail.

use std::collections::HashMap;
use std::time::Duration;

use mailmesh_accounts::Replica;
use mailmesh_bus::{Handler, WorkQueueError, WorkQueueProgress};
use mailmesh_domain::{AccountId, Key};
use mailmesh_store::outbound_mail::{self, CancelRequest, CancelResult};
use mailmesh_store::{StoreError, account, outbox};
use tokio::time::MissedTickBehavior;
use tokio_util::sync::CancellationToken;
use tracing::warn;

use crate::cancel_event::outcome_event;
use crate::handlers::CommandHandler;

const LOOK_EVERY: Duration = Duration::from_secs(2);
/// Maximum cancels of one transaction.
const BATCH: i64 = 200;

#[derive(Debug, thiserror::Error)]
enum SettleError {
    #[error("the database does not answer")]
    Store(#[from] StoreError),
    #[error("the stream of commands does not answer")]
    WorkQueue(#[from] WorkQueueError),
}

/// Looks at the kept cancels again and again until `stop`. Any replica may: the rows are locked.
pub(crate) async fn run(replica: Replica, stop: CancellationToken) {
    let mut ticks = tokio::time::interval(LOOK_EVERY);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            () = stop.cancelled() => return,
            _ = ticks.tick() => {}
        }
        if let Err(error) = settle(&replica).await {
            warn!(
                error = &error as &dyn std::error::Error,
                "Cancels that wait for their mail are looked at again"
            );
        }
    }
}

async fn settle(replica: &Replica) -> Result<(), SettleError> {
    let mut tx = replica.database.begin().await?;
    let has_kept = outbound_mail::has_kept_cancels(&mut tx).await?;
    tx.commit().await?;
    if !has_kept {
        return Ok(());
    }
    // Asked before the mails are looked for: what is acknowledged by now is in the table by then.
    let progress = replica
        .bus
        .work_queue_progress(CommandHandler::CONSUMER)
        .await?;
    let now = replica.clock.now();
    let mut tx = replica.database.begin().await?;
    let kept = outbound_mail::claim_cancels(&mut tx, BATCH, now).await?;
    let ids: Vec<AccountId> = kept.iter().map(|request| request.account_id).collect();
    let accounts = account::list_by_ids(&mut tx, &ids).await?.into_iter();
    let keys: HashMap<AccountId, Key> = accounts.map(|one| (one.id, one.key)).collect();
    let (mut told, mut events) = (Vec::new(), Vec::new());
    for request in &kept {
        let Some(key) = keys.get(&request.account_id) else {
            continue;
        };
        let result = outbound_mail::settle_cancel(&mut tx, request, now).await?;
        if is_waiting(&result, request, progress.as_ref()) {
            continue;
        }
        told.push(request.event_id);
        events.extend(outcome_event(replica, key, request, &result));
    }
    outbound_mail::delete_cancels(&mut tx, &told).await?;
    outbox::insert(&mut tx, replica.id, &events, now).await?;
    tx.commit().await?;
    if !events.is_empty() {
        replica.outbox.wake();
    }
    Ok(())
}

/// Returns whether the outcome of a cancel is still open. Without knowledge of the stream its mail may come.
fn is_waiting(
    result: &CancelResult,
    request: &CancelRequest,
    progress: Option<&WorkQueueProgress>,
) -> bool {
    match result {
        CancelResult::Open => true,
        CancelResult::NotFound => !progress.is_some_and(|progress| {
            progress.has_passed_all_before(request.stream_sequence, request.stored_at)
        }),
        CancelResult::Cancelled(_) | CancelResult::Ended(_) | CancelResult::NotYetAsked => false,
    }
}
