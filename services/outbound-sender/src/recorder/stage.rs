use std::collections::HashSet;

use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use mailmesh_accounts::Replica;
use mailmesh_domain::MailId;
use mailmesh_store::{StoreError, send_attempt};
use tokio::sync::{mpsc, oneshot};
use tokio_util::sync::CancellationToken;
use tracing::warn;

const BATCH: usize = 256;
/// Transactions on their way to the disk at once; Postgres syncs them together.
const PARALLEL: usize = 3;

/// Whether a mail may be committed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Entry {
    Entered,
    TakenOver,
    NotRecorded,
}

/// An attempt that is about to commit.
#[derive(Debug)]
pub(super) struct Enter {
    pub(super) mail: MailId,
    pub(super) attempt: i32,
    pub(super) answer: oneshot::Sender<Entry>,
}

/// Records until `stop`. Whoever still asks then is told that nothing was recorded.
pub(super) async fn run(
    replica: &Replica,
    mut requests: mpsc::Receiver<Enter>,
    stop: CancellationToken,
) {
    let mut writing = FuturesUnordered::new();
    loop {
        let first = tokio::select! {
            () = stop.cancelled() => break,
            Some(()) = writing.next(), if !writing.is_empty() => continue,
            request = requests.recv(), if writing.len() < PARALLEL => request,
        };
        let Some(first) = first else { break };
        let mut batch = vec![first];
        while batch.len() < BATCH
            && let Ok(next) = requests.try_recv()
        {
            batch.push(next);
        }
        writing.push(write_and_answer(replica, batch));
    }
    while writing.next().await.is_some() {}
}

async fn write_and_answer(replica: &Replica, batch: Vec<Enter>) {
    let attempts: Vec<(MailId, i32)> = batch
        .iter()
        .map(|enter| (enter.mail, enter.attempt))
        .collect();
    let entered = write(replica, &attempts).await;
    if let Err(error) = &entered {
        warn!(
            error = error as &dyn std::error::Error,
            stages = batch.len(),
            "Stages were not recorded; the mails go back to the queue"
        );
    }
    for enter in batch {
        let entry = match &entered {
            Ok(entered) if entered.contains(&enter.mail) => Entry::Entered,
            Ok(_) => Entry::TakenOver,
            Err(_) => Entry::NotRecorded,
        };
        // Whoever asked may have gone: then the mail is not committed.
        enter.answer.send(entry).ok();
    }
}

async fn write(
    replica: &Replica,
    attempts: &[(MailId, i32)],
) -> Result<HashSet<MailId>, StoreError> {
    let mut tx = replica.database.begin().await?;
    let entered = send_attempt::enter_committing(&mut tx, attempts).await?;
    tx.commit().await?;
    Ok(entered)
}
