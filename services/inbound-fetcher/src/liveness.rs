//! Liveness: records when each account's server last confirmed its state.

use std::sync::Arc;
use std::time::Duration;

use mailmesh_accounts::WorkerRegistry;
use mailmesh_store::account_status::SeenProof;
use mailmesh_store::{StoreError, account_status};
use tokio::time::MissedTickBehavior;
use tokio_util::sync::CancellationToken;
use tracing::warn;

use crate::context::ServiceContext;

/// Records the proofs of all workers together, until `ended` and then once more.
pub(crate) async fn record_until(
    context: Arc<ServiceContext>,
    registry: Arc<WorkerRegistry>,
    ended: CancellationToken,
) {
    let mut ticks = tokio::time::interval(Duration::from_secs(context.settings.proof_seconds));
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        let is_over = tokio::select! {
            () = ended.cancelled() => true,
            _ = ticks.tick() => false,
        };
        record(&context, &registry).await;
        if is_over {
            return;
        }
    }
}

async fn record(context: &ServiceContext, registry: &WorkerRegistry) {
    let now = context.now();
    let metrics = &context.metrics;
    let (mut workers, mut proofs) = (0, Vec::new());
    registry.visit(|worker| {
        workers += 1;
        let since = worker.proved_at.unwrap_or(worker.started_at);
        let seconds = u64::try_from((now - since).whole_seconds()).unwrap_or(0);
        metrics.show_unproved(worker.key, seconds);
        proofs.extend(worker.proved_at.map(|at| SeenProof {
            account_id: worker.id,
            revision: worker.revision,
            at,
        }));
    });
    metrics.show_accounts(workers);
    if proofs.is_empty() {
        return;
    }
    if let Err(error) = write(context, &proofs).await {
        warn!(
            error = &error as &dyn std::error::Error,
            "Proofs of life were not recorded"
        );
    }
}

async fn write(context: &ServiceContext, proofs: &[SeenProof]) -> Result<(), StoreError> {
    let mut tx = context.replica.database.begin().await?;
    account_status::set_proved(&mut tx, proofs).await?;
    tx.commit().await
}
