use std::time::Duration;

use mailmesh_domain::{History, Responsibility, VerdictKind};
use mailmesh_store::grant::Grant;
use time::OffsetDateTime;

use crate::config::Config;

/// A hint beyond this is not taken at its word: the grant would be forgotten.
const LONGEST_HINT: Duration = Duration::from_hours(1);
/// So many refusals in a row are no bad moment of the provider any more.
const REFUSALS_THAT_GO_ON: i32 = 2;

/// What a failed refresh leads to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum RefreshDecision {
    /// The grant's state stays; it is tried again.
    Retry { after: Duration },
    /// Only the mailbox owner can help.
    RequireSignIn,
    /// A sign-in may help, or something else: it is offered, and the grant is tried slowly meanwhile.
    OfferSignIn { after: Duration },
    /// Only a changed setting can help; it is tried slowly meanwhile.
    Suspend { after: Duration },
}

/// What a decision is made from, besides the failure.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Situation {
    /// How many refreshes failed in a row before.
    pub(crate) failures: i32,
    /// How long the access token still lasts.
    pub(crate) token_left: Duration,
    /// Whether a refusal of this kind may mean that the grant is dead, or that it is not.
    pub(crate) is_unclear: bool,
}

/// Returns how a grant fared: its accounts stand once the access token has ended, and the provider's refusals go on
/// once the last failures were refusals, too.
pub(crate) fn history_of(grant: &Grant, now: OffsetDateTime) -> History {
    let was_refused = grant.problem.as_ref().is_some_and(|problem| {
        !matches!(
            problem.kind,
            VerdictKind::Transient | VerdictKind::Throttled
        )
    });
    let goes_on = grant.failures >= REFUSALS_THAT_GO_ON && was_refused;
    let ended_for = Duration::try_from(now - grant.access_expires_at).unwrap_or_default();
    History {
        has_worked: grant.has_token(),
        failing_for: if goes_on { ended_for } else { Duration::ZERO },
        is_app: grant.flow.is_app(),
    }
}

pub(crate) fn decide(decided: &Responsibility, of: Situation, config: &Config) -> RefreshDecision {
    let verdict = decided.verdict;
    let slowly = config.slow_probe();
    match verdict.kind {
        VerdictKind::NeedsSignIn if of.is_unclear => RefreshDecision::OfferSignIn { after: slowly },
        VerdictKind::NeedsSignIn => RefreshDecision::RequireSignIn,
        VerdictKind::NeedsAdministrator | VerdictKind::Permanent => {
            // Whether it goes on past the token's end decides who is called: that must not take long to be known.
            let until_clear = of.token_left.max(backoff(of.failures, config));
            let after = if of.is_unclear {
                slowly.min(until_clear)
            } else {
                slowly
            };
            RefreshDecision::Suspend { after }
        }
        VerdictKind::Transient | VerdictKind::Throttled | VerdictKind::Unknown => {
            let hint = verdict.retry_after.unwrap_or_default().min(LONGEST_HINT);
            RefreshDecision::Retry {
                after: backoff(of.failures, config).max(hint),
            }
        }
    }
}

/// Returns whether a failure is published: the first in a row, then each tenth.
pub(crate) const fn is_told(failures: i32) -> bool {
    failures % 10 == 0
}

fn backoff(failures: i32, config: &Config) -> Duration {
    let doublings = u32::try_from(failures).unwrap_or_default().min(16);
    let seconds = config.first_retry_seconds.saturating_mul(1 << doublings);
    Duration::from_secs(seconds.min(config.longest_retry_seconds))
}

#[cfg(test)]
mod tests {
    use mailmesh_domain::{FailureCause as Cause, responsibility};

    use super::*;

    const STANDS: History = History {
        has_worked: true,
        failing_for: Duration::from_secs(1),
        is_app: false,
    };

    fn decided(
        cause: Cause,
        history: History,
        failures: i32,
        hint: Option<u64>,
    ) -> RefreshDecision {
        let mut decided = responsibility(cause, history);
        decided.verdict.retry_after = hint.map(Duration::from_secs);
        let situation = Situation {
            failures,
            token_left: Duration::ZERO,
            is_unclear: cause.may_be_dead_grant(),
        };
        decide(&decided, situation, &Config::default())
    }

    #[test]
    fn each_cause_leads_to_its_decision() {
        let retry = |seconds| RefreshDecision::Retry {
            after: Duration::from_secs(seconds),
        };
        let suspend = |seconds| RefreshDecision::Suspend {
            after: Duration::from_secs(seconds),
        };
        let offer = RefreshDecision::OfferSignIn {
            after: Duration::from_mins(15),
        };
        let works = History::WORKS;
        for (cause, history, failures, hint, decision) in [
            (Cause::Transient, works, 0, None, retry(5)),
            (Cause::Transient, works, 1, None, retry(10)),
            (Cause::Transient, works, 6, None, retry(300)),
            (Cause::Transient, STANDS, i32::MAX, None, retry(300)),
            (Cause::Unknown, works, 0, None, retry(5)),
            (Cause::Throttled, works, 0, Some(120), retry(120)),
            (Cause::Throttled, works, 2, Some(1), retry(20)),
            (Cause::Throttled, works, 0, Some(86_400), retry(3_600)),
            (
                Cause::GrantDead,
                works,
                0,
                None,
                RefreshDecision::RequireSignIn,
            ),
            (Cause::ClientRefused, works, 3, None, suspend(900)),
            (Cause::DevicePolicy, STANDS, 3, None, suspend(900)),
            (Cause::BadRequest, works, 0, None, suspend(5)),
            (Cause::BadRequest, works, 1, None, suspend(10)),
            (Cause::BadRequest, STANDS, 2, None, offer),
            (Cause::RefusedOtherwise, works, 1, None, retry(10)),
            (Cause::RefusedOtherwise, STANDS, 2, None, offer),
            (Cause::NoProvider, STANDS, 9, None, retry(300)),
        ] {
            let found = decided(cause, history, failures, hint);
            assert_eq!(found, decision, "{cause:?} {history:?} after {failures}");
        }
    }

    #[test]
    fn the_first_and_each_tenth_failure_is_told() {
        let told: Vec<i32> = (0..25).filter(|failures| is_told(*failures)).collect();
        assert_eq!(told, [0, 10, 20]);
    }
}
