//! Removes commands that `MAIL_SEND` still holds although they are acknowledged.
//!
//! A work queue deletes a message once it is acknowledged. When nats-server is killed in between, the message stays, below what
//! the consumer has acknowledged: it takes room, and a consumer made anew would be given it again, after its key is forgotten.

use std::time::Duration;

use mailmesh_accounts::Replica;
use mailmesh_bus::{Delivery, Handler, StoredCommand, WorkQueueError};
use mailmesh_store::{StoreError, outbound_mail};
use tokio::time::MissedTickBehavior;
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use crate::handlers::{CommandHandler, named_mail};

const EVERY: Duration = Duration::from_mins(10);
/// Maximum commands looked at per interval; the next one goes on behind them.
const MOST: usize = 10_000;

#[derive(Debug, thiserror::Error)]
enum LeftoverError {
    #[error("the database does not answer")]
    Store(#[from] StoreError),
    #[error("the stream of commands does not answer")]
    WorkQueue(#[from] WorkQueueError),
}

/// Looks again and again until `stop`. As long as there is none, a look costs two questions to NATS.
pub(crate) async fn run(replica: Replica, stop: CancellationToken) {
    let mut ticks = tokio::time::interval(EVERY);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut resume_at = 0;
    loop {
        tokio::select! {
            () = stop.cancelled() => return,
            _ = ticks.tick() => {}
        }
        let removed = tokio::select! {
            () = stop.cancelled() => return,
            removed = remove(&replica, &mut resume_at) => removed,
        };
        match removed {
            Ok(0) => {}
            Ok(count) => info!(
                commands = count,
                "Commands that were left behind in the stream were removed"
            ),
            Err(error) => warn!(
                error = &error as &dyn std::error::Error,
                "Commands that were left behind are looked for again"
            ),
        }
    }
}

async fn remove(replica: &Replica, resume_at: &mut u64) -> Result<usize, LeftoverError> {
    let progress = replica
        .bus
        .work_queue_progress(CommandHandler::CONSUMER)
        .await?;
    let Some(progress) = progress else {
        return Ok(0);
    };
    let below = progress.first_sequence..=progress.acknowledged_sequence;
    let mut sequence = if below.contains(resume_at) {
        *resume_at
    } else {
        progress.first_sequence
    };
    *resume_at = 0;
    let mut removed = 0;
    for _ in 0..MOST {
        if !below.contains(&sequence) {
            return Ok(removed);
        }
        let next = replica.bus.next_command(sequence).await?;
        let Some(command) = next.filter(|command| below.contains(&command.sequence)) else {
            return Ok(removed);
        };
        sequence = command.sequence.saturating_add(1);
        let number = command.sequence;
        if is_recorded(replica, command).await? && replica.bus.delete_command(number).await? {
            removed += 1;
        }
    }
    *resume_at = sequence;
    Ok(removed)
}

/// Returns whether the mail of a command is in the table. What became no mail, a rejected command or a cancel, is left: it
/// would be answered again, and no mail would go out.
async fn is_recorded(replica: &Replica, command: StoredCommand) -> Result<bool, StoreError> {
    let delivery = Delivery {
        subject: command.subject,
        headers: command.headers,
        payload: command.payload,
        stream_sequence: command.sequence,
        timestamp: command.stored_at,
        attempt: 1,
        is_last_attempt: false,
    };
    let Some((id, account, key)) = named_mail(&delivery) else {
        return Ok(false);
    };
    let mut tx = replica.database.begin().await?;
    let is_recorded = outbound_mail::is_recorded(&mut tx, id, &account, &key).await?;
    tx.commit().await?;
    Ok(is_recorded)
}
