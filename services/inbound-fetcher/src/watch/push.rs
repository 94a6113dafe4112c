use std::time::Duration;

use mailmesh_domain::{FailureCause, History, responsibility};
use mailmesh_events::Problem;
use tokio::time::Instant;

/// Sessions that ended early while they waited, in a row, after which changes are asked for instead of pushed.
const EARLY_ENDS: u32 = 3;
/// Pushing is tried again after this.
const POLLS_FOR: Duration = Duration::from_hours(1);

/// How a session ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum SessionEnd {
    /// While it waited for a change.
    InWait,
    /// Otherwise, or with its token.
    Else,
}

/// Whether a server can be waited at. There are servers that end each session as soon as it waits: they would be signed in
/// to again and again, and providers lock accounts out for that.
#[derive(Debug)]
pub(crate) struct PushTrust {
    /// A session that lived for so long was a good one.
    good_after: Duration,
    session_began: Instant,
    /// Sessions that ended early after a look that succeeded, in a row.
    early_ends: u32,
    /// Those of them that ended while they waited.
    ended_waits: u32,
    polls_until: Option<Instant>,
}

impl PushTrust {
    pub(crate) fn new(good_after: Duration) -> Self {
        Self {
            good_after,
            session_began: Instant::now(),
            early_ends: 0,
            ended_waits: 0,
            polls_until: None,
        }
    }

    pub(crate) fn begin_session(&mut self) {
        self.session_began = Instant::now();
    }

    /// Returns whether changes are asked for although the server could push them.
    pub(crate) fn polls(&self) -> bool {
        self.polls_until.is_some_and(|until| Instant::now() < until)
    }

    /// Notes that a wait ended well.
    pub(crate) fn note_wait(&mut self) {
        if self.session_began.elapsed() < self.good_after {
            return;
        }
        (self.early_ends, self.ended_waits) = (0, 0);
        if !self.polls() {
            self.polls_until = None;
        }
    }

    /// Notes that the session ended after a look that succeeded.
    pub(crate) fn note_end(&mut self, end: SessionEnd) {
        if self.session_began.elapsed() >= self.good_after {
            (self.early_ends, self.ended_waits) = (0, 0);
            return;
        }
        self.early_ends = self.early_ends.saturating_add(1);
        if end == SessionEnd::InWait {
            self.ended_waits = self.ended_waits.saturating_add(1);
        }
        if self.ended_waits >= EARLY_ENDS && !self.polls() {
            self.polls_until = Some(Instant::now() + POLLS_FOR);
        }
    }

    /// Returns how often sessions ended early, in a row: what came before in them was no success.
    pub(crate) const fn early_ends(&self) -> u32 {
        self.early_ends
    }

    /// Says that changes are not pushed, and since when that is so.
    pub(crate) fn problem(&self, poll_seconds: u32) -> Option<Problem> {
        self.polls_until?;
        let what = format!(
            "The server ended several sessions soon after they began to wait for changes (IDLE), so that it is asked for new mail each {poll_seconds} seconds instead."
        );
        let decided = responsibility(FailureCause::NotPushed, History::WORKS);
        let problem = Problem::decided(what, &decided).with_mail("All mail is received.");
        Some(problem)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD_AFTER: Duration = Duration::from_mins(1);

    #[tokio::test(start_paused = true)]
    async fn server_that_ends_each_session_early_is_polled_for_a_while() {
        let mut push = PushTrust::new(GOOD_AFTER);

        for ends in 1..=EARLY_ENDS {
            assert!(!push.polls() && push.problem(60).is_none());
            push.begin_session();
            push.note_wait();
            push.note_end(SessionEnd::InWait);
            assert_eq!(push.early_ends(), ends);
        }
        assert!(push.polls());
        assert!(push.problem(60).is_some());

        push.begin_session();
        tokio::time::advance(GOOD_AFTER).await;
        push.note_wait();
        assert_eq!(push.early_ends(), 0);
        assert!(push.polls() && push.problem(60).is_some());

        tokio::time::advance(POLLS_FOR).await;
        assert!(!push.polls());
        push.note_wait();
        assert!(push.problem(60).is_none());
    }

    #[tokio::test(start_paused = true)]
    async fn session_that_lived_is_no_early_end() {
        let mut push = PushTrust::new(GOOD_AFTER);
        push.note_end(SessionEnd::InWait);

        push.begin_session();
        tokio::time::advance(GOOD_AFTER).await;
        push.note_end(SessionEnd::InWait);

        assert_eq!(push.early_ends(), 0);
    }

    #[tokio::test(start_paused = true)]
    async fn end_for_another_reason_makes_no_poll_and_is_no_success_either() {
        let mut push = PushTrust::new(GOOD_AFTER);

        for _ in 0..10 {
            push.note_end(SessionEnd::Else);
        }

        assert_eq!((push.early_ends(), push.polls()), (10, false));
    }
}
