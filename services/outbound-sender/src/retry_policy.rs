use std::time::Duration;

use mailmesh_domain::{Verdict, VerdictKind};

use crate::config::Config;

/// Pause after a throttle without a hint, and while a token is refreshed.
pub(crate) const SHORT_PAUSE: Duration = Duration::from_mins(1);

/// When a mail, or an account, is tried again.
#[derive(Debug, Clone)]
pub(crate) struct RetryPolicy {
    delays: Vec<Duration>,
    give_up_after: Duration,
    slow_probe: Duration,
    look_after: Duration,
    final_reply: Duration,
}

impl RetryPolicy {
    pub(crate) fn of(config: &Config) -> Self {
        let seconds = config.retry_delays_seconds.iter();
        Self {
            delays: seconds.copied().map(Duration::from_secs).collect(),
            give_up_after: Duration::from_secs(config.give_up_after_hours * 3_600),
            slow_probe: Duration::from_secs(config.slow_probe_seconds),
            look_after: Duration::from_secs(config.sent_folder_delay_seconds),
            final_reply: Duration::from_secs(config.final_reply_timeout_seconds),
        }
    }

    pub(crate) fn delay_after(&self, failures: i32) -> Duration {
        let index = usize::try_from(failures.saturating_sub(1)).unwrap_or_default();
        let delay = self.delays.get(index).or(self.delays.last());
        delay.copied().unwrap_or(SHORT_PAUSE)
    }

    /// Returns whether a mail has waited out its time on the schedule. Time in which it waited for its
    /// account does not count: a backlog must not fail in a burst on the first bad minute after it.
    pub(crate) fn is_spent(&self, failures: i32) -> bool {
        let waits = usize::try_from(failures).unwrap_or_default();
        let listed: Duration = self.delays.iter().take(waits).sum();
        let more = u32::try_from(waits.saturating_sub(self.delays.len())).unwrap_or(u32::MAX);
        let last = self.delays.last().copied().unwrap_or(SHORT_PAUSE);
        listed.saturating_add(last.saturating_mul(more)) >= self.give_up_after
    }

    pub(crate) const fn slow_probe(&self) -> Duration {
        self.slow_probe
    }

    pub(crate) const fn look_after(&self) -> Duration {
        self.look_after
    }

    /// How long after the commit nothing is concluded from silence: so long may the reply take, and
    /// then the copy in the Sent folder may lag.
    pub(crate) fn silence_is_over_after(&self) -> Duration {
        self.final_reply + self.look_after
    }

    /// How long an account rests after a failure that concerns it.
    pub(crate) fn rest_after(&self, verdict: Verdict) -> Duration {
        let default = match verdict.kind {
            VerdictKind::NeedsAdministrator => self.slow_probe,
            VerdictKind::NeedsSignIn
            | VerdictKind::Throttled
            | VerdictKind::Transient
            | VerdictKind::Permanent
            | VerdictKind::Unknown => SHORT_PAUSE,
        };
        verdict.retry_after.unwrap_or(default)
    }
}
