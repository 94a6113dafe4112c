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
/// Absence after which a mail's row is deleted: a server may list only a part of a mailbox for days. As in getmail.
const ABSENT_FOR: Duration = Duration::from_hours(30 * 24);

/// Time after which a mail is forgotten that was moved or deleted on its server: a backup that is restored later shows it as new.
const GONE_FOR: Duration = Duration::from_hours(365 * 24);

/// Runs until `stop`.
pub(crate) async fn run(replica: Replica, stop: CancellationToken) {
    let mut ticks = tokio::time::interval(EVERY);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            () = stop.cancelled() => return,
            _ = ticks.tick() => {}
        }
        while !stop.is_cancelled() {
            match forget(&replica).await {
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
async fn forget(replica: &Replica) -> Result<u64, StoreError> {
    let now = replica.clock.now();
    let limit = i64::try_from(BATCH).unwrap_or(i64::MAX);
    let mut tx = replica.database.begin().await?;
    let absent = progress::forget_absent(&mut tx, now - ABSENT_FOR, limit).await?;
    let gone = mailbox::forget_gone(&mut tx, now - GONE_FOR, limit).await?;
    tx.commit().await?;
    Ok(absent.max(gone))
}
