//! The loop that claims what is due.

use std::sync::Arc;
use std::time::Duration;

use mailmesh_store::StoreError;
use mailmesh_store::grant::{self, Grant};
use tokio::sync::Notify;
use tokio::task::JoinSet;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tracing::{error, warn};

use crate::refresh::Refresher;

/// Longer than all that one refresh may wait for; see `refresh`.
pub(crate) const CLAIM: Duration = Duration::from_secs(90);
const SHORTEST_PAUSE: Duration = Duration::from_millis(100);
const COUNT_EVERY: Duration = Duration::from_secs(15);

/// Refreshes what is due until `stop`, then ends those that are under way.
pub(crate) async fn run(refresher: Arc<Refresher>, wake: Arc<Notify>, stop: CancellationToken) {
    let mut tasks = JoinSet::new();
    let mut count_at = Instant::now();
    loop {
        if Instant::now() >= count_at {
            count_stuck(&refresher).await;
            count_at = Instant::now() + COUNT_EVERY;
        }
        let room = refresher.config.max_in_flight.saturating_sub(tasks.len());
        let pause = match fill(&refresher, &mut tasks, room, &stop).await {
            Ok(pause) => pause,
            Err(error) => {
                warn!(
                    error = &error as &dyn std::error::Error,
                    "Due grants cannot be read; it is tried again"
                );
                refresher.config.poll()
            }
        };
        tokio::select! {
            () = stop.cancelled() => break,
            () = wake.notified() => {}
            () = tokio::time::sleep(pause) => {}
            Some(ended) = tasks.join_next() => note(ended),
        }
        while let Some(ended) = tasks.try_join_next() {
            note(ended);
        }
    }
    while let Some(ended) = tasks.join_next().await {
        note(ended);
    }
}

/// Claims and starts as much as there is room for; returns how long to wait for more.
async fn fill(
    refresher: &Arc<Refresher>,
    tasks: &mut JoinSet<()>,
    room: usize,
    stop: &CancellationToken,
) -> Result<Duration, StoreError> {
    let poll = refresher.config.poll();
    if room == 0 {
        return Ok(poll);
    }
    let claimed_at = Instant::now();
    let (due, pause) = claim(refresher, room).await?;
    let is_full = due.len() == room;
    for grant in due {
        let refresher = Arc::clone(refresher);
        let stop = stop.clone();
        tasks.spawn(async move { refresher.refresh(grant, claimed_at, &stop).await });
    }
    // With all places taken, the first that ends wakes the loop.
    Ok(if is_full { poll } else { pause.min(poll) })
}

async fn claim(refresher: &Refresher, room: usize) -> Result<(Vec<Grant>, Duration), StoreError> {
    let replica = &refresher.replica;
    let now = replica.clock.now();
    let limit = i64::try_from(room).unwrap_or(i64::MAX);
    let mut tx = replica.database.begin().await?;
    grant::resume_corrected(&mut tx, now).await?;
    let due = grant::claim_due(&mut tx, replica.id, now, CLAIM, limit).await?;
    let next = grant::next_due_at(&mut tx).await?;
    tx.commit().await?;
    let pause = next.map_or(Duration::MAX, |at| {
        Duration::try_from(at - now).unwrap_or_default()
    });
    Ok((due, pause.max(SHORTEST_PAUSE)))
}

async fn count_stuck(refresher: &Refresher) {
    let counted = async {
        let mut tx = refresher.replica.database.begin().await?;
        grant::count_stuck(&mut tx).await
    };
    match counted.await {
        Ok(counts) => refresher.metrics.show_stuck(&counts),
        Err(error) => warn!(
            error = &error as &dyn std::error::Error,
            "Grants that are stuck cannot be counted"
        ),
    }
}

fn note(ended: Result<(), tokio::task::JoinError>) {
    // Its claim ends by itself, and the grant is tried again.
    if let Err(error) = ended {
        error!(
            error = &error as &dyn std::error::Error,
            "A refresh broke down"
        );
    }
}
