//! Looks at the queue and the accounts of this replica for the metrics that are no counters.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use mailmesh_store::{StoreError, account_status, outbound_mail};
use tokio::time::MissedTickBehavior;
use tokio_util::sync::CancellationToken;
use tracing::debug;

use crate::context::ServiceContext;
use crate::metric;

const EVERY: Duration = Duration::from_secs(15);
/// Maximum mails counted, so that a look costs the same however long a queue is.
const MOST: i64 = 100_000;

pub(crate) async fn run(context: Arc<ServiceContext>, stop: CancellationToken) {
    let mut ticks = tokio::time::interval(EVERY);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut counts = BTreeMap::new();
    loop {
        tokio::select! {
            () = stop.cancelled() => return,
            _ = ticks.tick() => {}
        }
        if let Err(error) = look(&context, &mut counts).await {
            debug!(
                error = &error as &dyn std::error::Error,
                "The queue was not measured"
            );
        }
    }
}

async fn look(
    context: &ServiceContext,
    counts: &mut BTreeMap<&'static str, u64>,
) -> Result<(), StoreError> {
    let accounts = context.registry.list();
    let replica = &context.replica;
    let mut tx = replica.database.begin().await?;
    let queue = outbound_mail::measure_queue(&mut tx, &accounts, MOST).await?;
    let held = account_status::list_by_ids(&mut tx, &accounts).await?;
    tx.commit().await?;
    let oldest = queue
        .oldest_due_at
        .map(|due_at| replica.clock.now() - due_at);
    let overdue = oldest.and_then(|age| u64::try_from(age.whole_seconds()).ok());
    metric::set_queue(queue.mails, overdue.unwrap_or_default());
    // A state that no account is in any more must not stay as it was.
    for count in counts.values_mut() {
        *count = 0;
    }
    for one in held {
        *counts.entry(one.state.as_str()).or_default() += 1;
    }
    metric::set_accounts(counts);
    Ok(())
}
