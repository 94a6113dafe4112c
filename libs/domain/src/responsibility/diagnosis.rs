use std::time::Duration;

use super::{FailureCause, History, Responsibility, responsibility};
use crate::Verdict;

/// A failure as the crate sees it that knows the remote side: its cause, and when the remote side said to come back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Diagnosis {
    pub cause: FailureCause,
    /// The remote side's own hint.
    pub retry_after: Option<Duration>,
}

impl Diagnosis {
    /// Makes a diagnosis without a hint.
    pub const fn new(cause: FailureCause) -> Self {
        Self {
            cause,
            retry_after: None,
        }
    }

    /// Adds the remote side's hint on when to come back.
    #[must_use]
    pub const fn after(mut self, delay: Duration) -> Self {
        self.retry_after = Some(delay);
        self
    }

    /// Decides who must act, and what to do.
    pub fn responsibility(self, history: History) -> Responsibility {
        let mut decided = responsibility(self.cause, history);
        decided.verdict.retry_after = self.retry_after;
        decided
    }

    /// Returns what the failure means as long as nobody is to be told of it: what to do about it may depend on the history,
    /// when to try again does not.
    pub fn verdict(self) -> Verdict {
        self.responsibility(History::WORKS).verdict
    }
}

impl From<FailureCause> for Diagnosis {
    fn from(cause: FailureCause) -> Self {
        Self::new(cause)
    }
}
