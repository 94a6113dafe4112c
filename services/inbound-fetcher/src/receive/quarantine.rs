use mailmesh_domain::FailureCause;
use mailmesh_events::Problem;
use mailmesh_events::mail::{MailQuarantined, Origin};
use mailmesh_mail::source::ListedMail;
use mailmesh_mail::{MailEvidence, SourceError};
use mailmesh_store::mailbox::{self, MailFailures};
use mailmesh_store::outbox;
use mailmesh_store::progress::{self, BrokenMail};
use time::{Duration, OffsetDateTime};
use tracing::warn;

use crate::account_context::AccountContext;
use crate::failure::WatchFailure;
use crate::receive::control_fetch::ControlFetch;

/// A lost connection says less of the mail than a reply that cannot be read.
const WEAK_FACTOR: i32 = 3;
/// Unless another mail was read right before in each session that broke: then it says nearly as much, and the mails behind
/// it would wait for a quarter of an hour.
const WEAK_AT_LEAST: i32 = 3;
/// A mail with no other beside it is quarantined once it has failed for so long.
const ALONE_FOR: Duration = Duration::HOUR;

/// What one more failure means for a mail.
#[derive(Debug, Clone, Copy)]
pub(crate) enum QuarantineDecision {
    /// It says nothing of the mail.
    NotCounted,
    /// It counts, and another mail has to be read before it counts as the last.
    Counted { attempts: i32, is_candidate: bool },
    /// The cursor may pass the mail.
    Quarantined,
}

/// Counts one more failure of a mail that was asked for alone; after enough of them, and if another mail of the folder was
/// read right before, quarantines it.
pub(crate) async fn count_failure(
    owner: &AccountContext,
    folder: &str,
    mail: &ListedMail,
    error: &SourceError,
    control: ControlFetch,
) -> Result<QuarantineDecision, WatchFailure> {
    let (context, account) = (&owner.context, &owner.account);
    let evidence = error.evidence_against_mail();
    let setting = context.settings.quarantine_attempts;
    let Some(limit) = attempts_allowed(evidence, setting, control) else {
        return Ok(QuarantineDecision::NotCounted);
    };
    let problem = problem_of(error);
    let broken = BrokenMail {
        folder,
        position: &mail.position,
        ordinal: mail.ordinal,
        listed_bytes: mail.bytes,
    };
    let now = context.now();
    let replica = &context.replica;
    let mut tx = replica.database.begin().await?;
    let failures =
        mailbox::count_failure(&mut tx, account.id, &broken.identity(), &problem, now).await?;
    let attempts = failures.attempts;
    let is_over = is_poison(failures, limit, control, now);
    if is_over && progress::quarantine(&mut tx, account.id, &broken, now).await? {
        let event = replica.encode(&MailQuarantined {
            account: account.key.clone(),
            origin: Origin {
                folder: folder.to_owned(),
                position: mail.position.clone(),
            },
            attempts,
            problem,
        })?;
        outbox::insert(&mut tx, replica.id, &[event], now).await?;
    }
    tx.commit().await?;
    if !is_over {
        let with_control = attempts_allowed(evidence, setting, ControlFetch::Passed);
        let is_candidate = with_control.is_some_and(|limit| {
            let first = if evidence == MailEvidence::Weak {
                limit.min(WEAK_AT_LEAST)
            } else {
                limit
            };
            attempts + 1 >= first
        });
        return Ok(QuarantineDecision::Counted {
            attempts,
            is_candidate,
        });
    }
    replica.outbox.wake();
    context.metrics.count_quarantined();
    warn!(attempts, "A mail was quarantined");
    Ok(QuarantineDecision::Quarantined)
}

/// Returns whether one of several mails may have caused the failure. A lost connection or an outage is held against none
/// of them while there is progress.
pub(crate) fn may_be_of_a_mail(error: &SourceError, has_advanced: bool) -> bool {
    match error.evidence_against_mail() {
        MailEvidence::None => false,
        MailEvidence::Weak => !has_advanced,
        MailEvidence::Strong | MailEvidence::Certain => true,
    }
}

/// A server that fails on every mail looks, mail by mail, as if each were broken; so a mail is poison only if another was
/// read right before it failed once more.
fn is_poison(
    failures: MailFailures,
    limit: i32,
    control: ControlFetch,
    now: OffsetDateTime,
) -> bool {
    failures.attempts >= limit
        && match control {
            ControlFetch::Inconclusive => false,
            ControlFetch::Passed => true,
            ControlFetch::NoOther => now - failures.first_failed_at >= ALONE_FOR,
        }
}

/// Returns after how many such failures a mail may be poison; none if they say nothing of it.
fn attempts_allowed(evidence: MailEvidence, limit: i32, control: ControlFetch) -> Option<i32> {
    match evidence {
        MailEvidence::None => None,
        MailEvidence::Weak if control == ControlFetch::Passed => {
            Some(limit.saturating_add(1).max(WEAK_AT_LEAST))
        }
        MailEvidence::Weak => Some(limit.saturating_mul(WEAK_FACTOR)),
        MailEvidence::Strong => Some(limit),
        MailEvidence::Certain => Some(1),
    }
}

fn problem_of(error: &SourceError) -> Problem {
    Problem::new(
        format!("A mail cannot be read: {error}."),
        FailureCause::MailUnreadable,
    )
    .with_code(error.code().map(ToOwned::to_owned))
    .with_mail("The mail stays on the server and is not received; all others are.")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lost_connection_is_forgiven_longer_than_an_unreadable_reply() {
        let lost = SourceError::MailTooSlow;
        let (none, passed) = (ControlFetch::Inconclusive, ControlFetch::Passed);
        let allowed = |error: &SourceError, control| {
            attempts_allowed(error.evidence_against_mail(), 3, control)
        };

        assert_eq!(allowed(&SourceError::MailUnreadable, none), Some(3));
        assert_eq!(allowed(&SourceError::MailUnreadable, passed), Some(3));
        assert_eq!(allowed(&lost, none), Some(9));
        assert_eq!(allowed(&lost, ControlFetch::NoOther), Some(9));
        assert_eq!(allowed(&lost, passed), Some(4));
        assert_eq!(attempts_allowed(MailEvidence::Weak, 1, passed), Some(3));
        assert_eq!(allowed(&SourceError::KeepsChanging, none), None);
        assert_eq!(attempts_allowed(MailEvidence::Certain, 3, none), Some(1));
        assert!(may_be_of_a_mail(&lost, false) && !may_be_of_a_mail(&lost, true));
        assert!(may_be_of_a_mail(&SourceError::MailUnreadable, true));
        assert!(!may_be_of_a_mail(&SourceError::KeepsChanging, false));
    }

    #[test]
    fn a_mail_is_poison_if_another_was_read_or_it_failed_alone_for_long() {
        let first_failed_at = OffsetDateTime::UNIX_EPOCH;
        let failed = |attempts| MailFailures {
            attempts,
            first_failed_at,
        };
        let soon = first_failed_at + Duration::MINUTE;
        let late = first_failed_at + ALONE_FOR;

        for (attempts, control, now, expected) in [
            (3, ControlFetch::Passed, soon, true),
            (2, ControlFetch::Passed, late, false),
            (99, ControlFetch::Inconclusive, late, false),
            (99, ControlFetch::NoOther, soon, false),
            (3, ControlFetch::NoOther, late, true),
        ] {
            let found = is_poison(failed(attempts), 3, control, now);
            assert_eq!(found, expected, "{attempts} {control:?} {now}");
        }
    }
}
