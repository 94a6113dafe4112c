//! Deletes finished mail after the retention of idempotency keys, and the raw content of sent mail long before that: in
//! `MAIL_RAW` it would take the space of mail that is to be sent and received.

use std::sync::Arc;
use std::time::Duration;

use futures_util::{StreamExt, stream};
use mailmesh_accounts::Replica;
use mailmesh_bus::RawMails;
use mailmesh_domain::MailId;
use mailmesh_store::{StoreError, outbound_mail};
use tokio::sync::Notify;
use tokio::time::MissedTickBehavior;
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use crate::config::Config;
use crate::context::raw_name;

const EVERY: Duration = Duration::from_mins(10);
const BATCH: i64 = 500;
const DELETIONS: usize = 8;

/// Runs until `stop`. When the store of raw mails `is_full`, the oldest bodies of sent mails go at once.
pub(crate) async fn run(
    replica: Replica,
    config: Arc<Config>,
    is_full: Arc<Notify>,
    stop: CancellationToken,
) {
    let keep = hours(config.keep_finished_days.saturating_mul(24));
    let keep_bodies = hours(config.keep_sent_bodies_hours);
    let raws = replica.bus.raw_mails();
    let mut ticks = tokio::time::interval(EVERY);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            () = stop.cancelled() => return,
            () = is_full.notified() => {
                let dropped = drop_bodies(&replica, &raws, Duration::ZERO).await;
                let count = log(dropped).unwrap_or_default();
                info!(mails = count, "The store of raw mails is full; bodies of sent mail were deleted");
                continue;
            }
            _ = ticks.tick() => {}
        }
        while let Some(count) = log(drop_bodies(&replica, &raws, keep_bodies).await) {
            info!(mails = count, "Bodies of sent mail were deleted");
            if is_last(count) || stop.is_cancelled() {
                break;
            }
        }
        while let Some(count) = log(forget(&replica, &raws, keep).await) {
            info!(mails = count, "Mail that has ended was forgotten");
            if is_last(count) || stop.is_cancelled() {
                break;
            }
        }
    }
}

/// A century is as good as for ever, and can be taken from every moment.
fn hours(count: u64) -> Duration {
    const CENTURY: u64 = 100 * 365 * 24;
    Duration::from_secs(count.min(CENTURY) * 3_600)
}

fn is_last(count: usize) -> bool {
    i64::try_from(count).unwrap_or(i64::MAX) < BATCH
}

async fn drop_bodies(
    replica: &Replica,
    raws: &RawMails,
    keep: Duration,
) -> Result<usize, StoreError> {
    let before = replica.clock.now() - keep;
    let mut tx = replica.database.begin().await?;
    let ids = outbound_mail::drop_bodies(&mut tx, before, BATCH).await?;
    tx.commit().await?;
    delete_raws(raws, &ids).await;
    Ok(ids.len())
}

async fn forget(replica: &Replica, raws: &RawMails, keep: Duration) -> Result<usize, StoreError> {
    let before = replica.clock.now() - keep;
    let mut tx = replica.database.begin().await?;
    let ids = outbound_mail::delete_finished(&mut tx, before, BATCH).await?;
    tx.commit().await?;
    delete_raws(raws, &ids).await;
    Ok(ids.len())
}

/// Deletes bodies that nothing refers to. What is missed here goes by age.
pub(crate) async fn delete_raws(raws: &RawMails, ids: &[MailId]) {
    let names = ids.iter().copied().map(raw_name);
    let deleted = stream::iter(names).for_each_concurrent(DELETIONS, async |name| {
        if let Err(error) = raws.delete(&name).await {
            warn!(
                error = &error as &dyn std::error::Error,
                "A body was not deleted; it goes by age"
            );
        }
    });
    deleted.await;
}

fn log(result: Result<usize, StoreError>) -> Option<usize> {
    match result {
        Ok(0) => None,
        Ok(count) => Some(count),
        Err(error) => {
            warn!(
                error = &error as &dyn std::error::Error,
                "Mail that has ended was not forgotten; it is tried again"
            );
            None
        }
    }
}
