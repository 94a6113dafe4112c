use mailmesh_domain::{MustAct, Verdict, VerdictKind};
use mailmesh_events::Problem;
use mailmesh_events::mail::{MailQuarantined, Origin};
use mailmesh_mail::imap::ImapError;
use mailmesh_store::account::Account;
use mailmesh_store::mailbox::{self, Cursor, MailFailures};
use mailmesh_store::outbox;
use time::{Duration, OffsetDateTime};
use tracing::warn;

use crate::context::Context;
use crate::failure::Failure;
use crate::folder::position_of;
use crate::witness::Witness;

/// A lost connection says less of the mail than a reply that cannot be read.
const LOST_FACTOR: i32 = 3;
/// A mail with no other beside it is to blame once it has failed for so long.
const ALONE_FOR: Duration = Duration::HOUR;

/// What one more failure means for a mail.
#[derive(Debug)]
pub(crate) enum Judgement {
    /// It says nothing of the mail.
    NotCounted,
    /// It counts, and other mails must speak before it counts as the last.
    Counted { attempts: i32, is_suspect: bool },
    /// The cursor may pass the mail.
    SetAside,
}

/// Counts one more failure of a mail that was asked for alone; after enough of them, and if another
/// mail of the folder was read meanwhile, sets it aside.
pub(crate) async fn count(
    context: &Context,
    account: &Account,
    cursor: &Cursor,
    uid: u32,
    error: &ImapError,
    witness: Witness,
) -> Result<Judgement, Failure> {
    let Some(limit) = attempts_allowed(error, context.settings.quarantine_attempts) else {
        return Ok(Judgement::NotCounted);
    };
    let origin = Origin {
        folder: cursor.folder.clone(),
        position: position_of(cursor, uid)?,
    };
    let problem = problem_of(error);
    let now = context.now();
    let replica = &context.replica;
    let mut tx = replica.database.begin().await?;
    let failures = mailbox::count_failure(&mut tx, account.id, &origin, &problem, now).await?;
    let attempts = failures.attempts;
    let is_over = is_to_blame(failures, limit, witness, now);
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
    if !is_over {
        let is_suspect = attempts + 1 >= limit;
        return Ok(Judgement::Counted {
            attempts,
            is_suspect,
        });
    }
    replica.outbox.wake();
    context.metrics.count_quarantined();
    warn!(account.id = %account.id, attempts, "A mail was set aside");
    Ok(Judgement::SetAside)
}

/// A server that fails on every mail looks, mail by mail, as if each were broken; so a mail is to
/// blame only if another was read right before it failed once more.
fn is_to_blame(failures: MailFailures, limit: i32, witness: Witness, now: OffsetDateTime) -> bool {
    failures.attempts >= limit
        && match witness {
            Witness::Silent => false,
            Witness::Read => true,
            Witness::NoOther => now - failures.first_failed_at >= ALONE_FOR,
        }
}

/// Returns after how many such failures a mail is to blame; none if it is not the mail's.
fn attempts_allowed(error: &ImapError, limit: i32) -> Option<i32> {
    if error.is_token_stale() {
        return None;
    }
    let lost = limit.saturating_mul(LOST_FACTOR);
    match error {
        ImapError::Excess { .. } | ImapError::MailUnreadable => Some(limit),
        ImapError::Unsupported { .. } => Some(1),
        // A throttle or a permission says nothing of the mail. An outage may be the mail's: there are
        // servers that end the session, or call themselves unavailable, over a mail they cannot read.
        ImapError::Refused { .. } | ImapError::Unreadable { .. } | ImapError::Bye { .. } => {
            match error.verdict().kind {
                VerdictKind::Unknown | VerdictKind::Permanent => Some(limit),
                VerdictKind::Transient => Some(lost),
                _ => None,
            }
        }
        ImapError::ConnectionLost { .. } | ImapError::TimedOut { .. } => Some(lost),
        _ => None,
    }
}

/// Returns whether one of several mails may have caused the failure. A lost connection or an outage
/// is held against none of them while some still come.
pub(crate) fn may_be_of_a_mail(error: &ImapError, came_some: bool) -> bool {
    match attempts_allowed(error, 1) {
        None => false,
        Some(attempts) => attempts < LOST_FACTOR || !came_some,
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
        assert!(may_be_of_a_mail(&lost, false) && !may_be_of_a_mail(&lost, true));
        assert!(may_be_of_a_mail(&ImapError::MailUnreadable, true));
        assert!(!may_be_of_a_mail(&ImapError::Closed, false));
    }

    #[test]
    fn a_mail_is_to_blame_if_another_was_read_or_it_failed_alone_for_long() {
        let first_failed_at = OffsetDateTime::UNIX_EPOCH;
        let failed = |attempts| MailFailures {
            attempts,
            first_failed_at,
        };
        let soon = first_failed_at + Duration::MINUTE;
        let late = first_failed_at + ALONE_FOR;

        for (attempts, witness, now, expected) in [
            (3, Witness::Read, soon, true),
            (2, Witness::Read, late, false),
            (99, Witness::Silent, late, false),
            (99, Witness::NoOther, soon, false),
            (3, Witness::NoOther, late, true),
        ] {
            let found = is_to_blame(failed(attempts), 3, witness, now);
            assert_eq!(found, expected, "{attempts} {witness:?} {now}");
        }
    }
}
