//! Forgets what was seen of mailboxes once it has long been gone from them.

use std::error::Error;
use std::time::Duration;

use mailmesh_accounts::Replica;
use mailmesh_store::{StoreError, mailbox, progress};
use tokio::time::MissedTickBehavior;
use tokio_util::sync::CancellationToken;
use tracing::warn;

const EVERY: Duration = Duration::from_hours(1);
const BATCH: u64 = 5_000;
/// For how long mails are remembered that are gone from their mailboxes. Those that stay in their folder are remembered as long
/// as the account is there: when the server numbers its mails anew, only that tells seen from new.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Retention {
    /// Absence after which a mail of a mailbox that is listed whole counts as gone.
    pub(crate) absent: Duration,
    /// Time after which a mail is forgotten that is gone, or that the account moved or deleted.
    pub(crate) gone: Duration,
}

/// Runs until `stop`.
pub(crate) async fn run(replica: Replica, retention: Retention, stop: CancellationToken) {
    let mut ticks = tokio::time::interval(EVERY);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            () = stop.cancelled() => return,
            _ = ticks.tick() => {}
        }
        while !stop.is_cancelled() {
            match forget(&replica, retention).await {
                Ok(count) if count >= BATCH => {}
                Ok(_) => break,
                Err(error) => {
                    warn!(
                        error = &error as &dyn Error,
                        "Mails that are long gone were not forgotten; it is tried again"
                    );
                    break;
                }
            }
        }
    }
}

/// Returns how many rows of one kind were deleted at most.
async fn forget(replica: &Replica, retention: Retention) -> Result<u64, StoreError> {
    let now = replica.clock.now();
    let limit = i64::try_from(BATCH).unwrap_or(i64::MAX);
    let mut tx = replica.database.begin().await?;
    let absent = progress::forget_absent(&mut tx, now - retention.absent, limit).await?;
    let gone = mailbox::forget_gone(&mut tx, now - retention.gone, limit).await?;
    tx.commit().await?;
    Ok(absent.max(gone))
}
