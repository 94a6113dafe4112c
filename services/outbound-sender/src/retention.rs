//! Forgets mail that has ended, and its body, after the time that keys are kept.

use std::sync::Arc;
use std::time::Duration;

use futures_util::{StreamExt, stream};
use mailmesh_bus::RawMails;
use mailmesh_domain::MailId;
use mailmesh_replica::Replica;
use mailmesh_store::{StoreError, outbound_mail};
use tokio::time::MissedTickBehavior;
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use crate::config::Config;
use crate::shared::raw_name;

const EVERY: Duration = Duration::from_mins(10);
const BATCH: i64 = 500;
const DELETIONS: usize = 8;

/// Runs until `stop`.
pub(crate) async fn run(replica: Replica, config: Arc<Config>, stop: CancellationToken) {
    let keep = Duration::from_secs(config.keep_finished_days * 24 * 3_600);
    let raws = replica.bus.raw_mails();
    let mut ticks = tokio::time::interval(EVERY);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            () = stop.cancelled() => return,
            _ = ticks.tick() => {}
        }
        while let Some(count) = log(forget(&replica, &raws, keep).await) {
            info!(mails = count, "Mail that has ended was forgotten");
            if i64::try_from(count).unwrap_or(i64::MAX) < BATCH || stop.is_cancelled() {
                break;
            }
        }
    }
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
