//! Who must act on a failure, and what to do: one table for every protocol and service.
//!
//! Libraries that know a remote side turn its answer into a [`FailureCause`]; [`responsibility`] decides the rest, from
//! the cause and from the [`History`] of the work that failed. Actor and text stand in one row, so that they cannot
//! contradict each other.

mod cause;
mod diagnosis;
mod table;

use std::time::Duration;

use crate::verdict::{MustAct, Verdict, VerdictKind};

pub use cause::FailureCause;
pub use diagnosis::Diagnosis;

/// What is known of the work that failed, apart from the failure itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct History {
    /// Whether it ever worked with these settings.
    pub has_worked: bool,
    /// How long it has failed without a success in between; zero as long as the work itself goes on.
    pub failing_for: Duration,
    /// Whether tokens come without any person ([`crate::Flow::is_app`]), so that nobody can be asked to sign in.
    pub is_app: bool,
}

impl History {
    /// The work still goes on, or went on a moment ago.
    pub const WORKS: Self = Self {
        has_worked: true,
        failing_for: Duration::ZERO,
        is_app: false,
    };
    /// It is tried for the first time.
    pub const NEW: Self = Self {
        has_worked: false,
        failing_for: Duration::ZERO,
        is_app: false,
    };
}

/// What a failure means, who must act, and what that person should do. Nothing but the table makes one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Responsibility {
    /// What it means for the work; its actor is the first to act.
    pub verdict: Verdict,
    /// Who else may be able to mend it, where the remote side does not say which of the two it is.
    pub also: Option<MustAct>,
    /// What to do, in a sentence or two, addressed to whoever must act.
    pub action: &'static str,
}

/// Decides who must act on a failure.
pub fn responsibility(cause: FailureCause, history: History) -> Responsibility {
    let fitting = |row: &&table::Row| row.cause == cause && row.when.fits(history);
    // A test holds that each cause has a row for each history.
    let row = table::rows(history.is_app)
        .find(fitting)
        .unwrap_or(&table::UNKNOWN);
    Responsibility {
        verdict: Verdict {
            kind: row.kind,
            who: row.who,
            retry_after: None,
        },
        also: row.also,
        action: row.action,
    }
}

impl Responsibility {
    /// Returns whether a new sign-in may be the cure, whoever else may have to act.
    pub fn offers_sign_in(&self) -> bool {
        self.verdict.kind == VerdictKind::NeedsSignIn || self.also == Some(MustAct::MailboxOwner)
    }
}

#[cfg(test)]
mod tests;
