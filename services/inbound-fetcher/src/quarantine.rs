use mailmesh_domain::{MustAct, Verdict, VerdictKind};
use mailmesh_events::Problem;
use mailmesh_events::mail::{MailQuarantined, Origin};
use mailmesh_mail::imap::ImapError;
use mailmesh_store::account::Account;
use mailmesh_store::mailbox::{self, Cursor};
use mailmesh_store::outbox;
use tracing::warn;

use crate::context::Context;
use crate::failure::Failure;

/// A lost connection says less of the mail than a reply that cannot be read.
const LOST_FACTOR: i32 = 3;

/// Counts one more failure of a mail that was asked for alone; after enough of them sets it aside,
/// so that the cursor may pass it. Returns whether it did.
pub(crate) async fn count(
    context: &Context,
    account: &Account,
    cursor: &Cursor,
    uid: u32,
    error: &ImapError,
) -> Result<bool, Failure> {
    let Some(limit) = attempts_allowed(error, context.settings.quarantine_attempts) else {
        return Ok(false);
    };
    let origin = Origin {
        folder: cursor.folder.clone(),
        uid_validity: cursor.uid_validity,
        uid,
    };
    let problem = problem_of(error);
    let now = context.now();
    let replica = &context.replica;
    let mut tx = replica.database.begin().await?;
    let attempts = mailbox::count_failure(&mut tx, account.id, &origin, &problem, now).await?;
    let is_over = attempts >= limit;
    if is_over && mailbox::quarantine(&mut tx, account.id, &origin, now).await? {
        let event = replica.encode(&MailQuarantined {
            account: account.key.clone(),
            origin,
            attempts,
            problem,
        })?;
        outbox::insert(&mut tx, replica.id, &[event], now).await?;
    }
    tx.commit().await?;
    if is_over {
        replica.outbox.wake();
        context.metrics.count_quarantined();
        warn!(account.id = %account.id, attempts, "A mail was set aside");
    }
    Ok(is_over)
}

/// Returns after how many such failures a mail is to blame; none if it is not the mail's.
fn attempts_allowed(error: &ImapError, limit: i32) -> Option<i32> {
    match error {
        ImapError::Excess { .. } | ImapError::Unreadable { .. } | ImapError::MailUnreadable => {
            Some(limit)
        }
        ImapError::Unsupported { .. } => Some(1),
        // A throttle or an outage says nothing of the mail.
        ImapError::Refused { .. } => match error.verdict().kind {
            VerdictKind::Transient | VerdictKind::Throttled => None,
            _ => Some(limit),
        },
        ImapError::ConnectionLost { .. } | ImapError::TimedOut { .. } => {
            Some(limit.saturating_mul(LOST_FACTOR))
        }
        _ => None,
    }
}

fn problem_of(error: &ImapError) -> Problem {
    Problem::new(
        format!("A mail cannot be read: {error}."),
        Verdict::permanent(MustAct::Administrator),
    )
    .with_code(error.code().map(ToOwned::to_owned))
    .with_action(
        "Look at the mail in the mailbox; moved out of the folder and back it is tried again.",
    )
    .with_mail("The mail stays on the server and is not received; all others are.")
}

#[cfg(test)]
mod tests {
    use mailmesh_mail::imap::Stage;

    use super::*;

    #[test]
    fn a_lost_connection_is_forgiven_longer_than_an_unreadable_reply() {
        let lost = ImapError::TimedOut {
            stage: Stage::Fetch,
        };

        assert_eq!(attempts_allowed(&ImapError::MailUnreadable, 3), Some(3));
        assert_eq!(attempts_allowed(&lost, 3), Some(9));
        assert_eq!(attempts_allowed(&ImapError::Closed, 3), None);
    }
}
