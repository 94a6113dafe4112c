use std::time::Duration;

use mailmesh_domain::{Verdict, VerdictKind};

use crate::config::Config;

/// A hint beyond this is not taken at its word: the grant would be forgotten.
const LONGEST_HINT: Duration = Duration::from_hours(1);

/// What a failed refresh leads to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Decision {
    /// The grant's state stays; it is tried again.
    Retry { after: Duration },
    /// Only the mailbox owner can help.
    RequireSignIn,
    /// Only a changed setting can help; it is tried slowly meanwhile.
    Suspend { after: Duration },
}

/// Decides by the verdict and by how many refreshes failed in a row before.
pub(crate) fn decide(verdict: Verdict, failures: i32, config: &Config) -> Decision {
    match verdict.kind {
        VerdictKind::NeedsSignIn => Decision::RequireSignIn,
        VerdictKind::NeedsAdministrator | VerdictKind::Permanent => Decision::Suspend {
            after: config.slow_probe(),
        },
        VerdictKind::Transient | VerdictKind::Throttled | VerdictKind::Unknown => {
            let hint = verdict.retry_after.unwrap_or_default().min(LONGEST_HINT);
            Decision::Retry {
                after: backoff(failures, config).max(hint),
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
    use mailmesh_domain::MustAct;

    use super::*;

    #[test]
    fn each_verdict_leads_to_its_decision() {
        let retry = |seconds| Decision::Retry {
            after: Duration::from_secs(seconds),
        };
        let suspend = Decision::Suspend {
            after: Duration::from_mins(15),
        };
        let hinted = |seconds| Verdict::throttled(Some(Duration::from_secs(seconds)));
        for (verdict, failures, decision) in [
            (Verdict::transient(), 0, retry(5)),
            (Verdict::transient(), 1, retry(10)),
            (Verdict::transient(), 6, retry(300)),
            (Verdict::transient(), i32::MAX, retry(300)),
            (Verdict::unknown(), 0, retry(5)),
            (hinted(120), 0, retry(120)),
            (hinted(1), 2, retry(20)),
            (hinted(86_400), 0, retry(3_600)),
            (Verdict::needs_sign_in(), 0, Decision::RequireSignIn),
            (
                Verdict::needs_administrator(MustAct::Administrator),
                3,
                suspend,
            ),
            (Verdict::permanent(MustAct::Administrator), 0, suspend),
        ] {
            let decided = decide(verdict, failures, &Config::default());
            assert_eq!(decided, decision, "{verdict:?} after {failures}");
        }
    }

    #[test]
    fn the_first_and_each_tenth_failure_is_told() {
        let told: Vec<i32> = (0..25).filter(|failures| is_told(*failures)).collect();
        assert_eq!(told, [0, 10, 20]);
    }
}
