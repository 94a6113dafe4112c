//! Removes what deleting an account has left: the history of a busy one is more than one statement may take.

use std::error::Error;
use std::sync::Arc;
use std::time::Duration;

use mailmesh_accounts::Replica;
use mailmesh_store::{StoreError, account};
use tokio::sync::Notify;
use tokio::time::MissedTickBehavior;
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

/// For what a lost hint or a replica that was stopped has left.
const EVERY: Duration = Duration::from_mins(10);

/// Runs until `stop`: when an account `is_deleted`, and at intervals. Apart from other retention, since an account may take
/// minutes.
pub(crate) async fn run(replica: Replica, is_deleted: Arc<Notify>, stop: CancellationToken) {
    let mut ticks = tokio::time::interval(EVERY);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            () = stop.cancelled() => return,
            () = is_deleted.notified() => {}
            _ = ticks.tick() => {}
        }
        let mut removed = 0;
        while !stop.is_cancelled() {
            match remove_part(&replica).await {
                Ok(Some(count)) => removed += count,
                Ok(None) => break,
                Err(error) => {
                    warn!(
                        error = &error as &dyn Error,
                        "What is left of deleted accounts was not removed; it is tried again"
                    );
                    break;
                }
            }
        }
        if removed > 0 {
            info!(
                rows = removed,
                "What was left of deleted accounts was removed"
            );
        }
    }
}

/// Each part is a transaction, so that no row is locked for long.
async fn remove_part(replica: &Replica) -> Result<Option<u64>, StoreError> {
    let mut tx = replica.database.begin().await?;
    let removed = account::remove_deleted(&mut tx).await?;
    tx.commit().await?;
    Ok(removed)
}
