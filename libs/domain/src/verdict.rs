use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What a failure means for the work that met it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum VerdictKind {
    /// Passes by itself: try again on the schedule.
    Transient,
    /// The server asked for less: try again after its own hint.
    Throttled,
    /// Will fail the same way every time.
    Permanent,
    /// The mailbox owner has to sign in again.
    NeedsSignIn,
    /// Somebody has to change a setting.
    NeedsAdministrator,
    /// The reply fits no rule; treated as transient for a bounded number of tries.
    Unknown,
}

/// Who has to act before the work can succeed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum MustAct {
    /// Nobody: it passes by itself.
    Nobody,
    /// The person who owns the mailbox.
    MailboxOwner,
    /// The administrator of this mesh.
    Administrator,
    /// The administrator of the provider's tenant (Workspace, Entra).
    TenantAdministrator,
}

/// The judgement on one failure: what it means, who must act, and the server's own hint on when.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Verdict {
    /// What the failure means.
    pub kind: VerdictKind,
    /// Who must act.
    pub who: MustAct,
    /// When the server said to come back, if it said so.
    pub retry_after: Option<Duration>,
}

impl Verdict {
    /// Passes by itself.
    pub const fn transient() -> Self {
        Self::of(VerdictKind::Transient, MustAct::Nobody)
    }

    /// Passes by itself after the server's own delay.
    pub const fn throttled(retry_after: Option<Duration>) -> Self {
        Self {
            kind: VerdictKind::Throttled,
            who: MustAct::Nobody,
            retry_after,
        }
    }

    /// Will fail the same way every time until `who` changes something.
    pub const fn permanent(who: MustAct) -> Self {
        Self::of(VerdictKind::Permanent, who)
    }

    /// The mailbox owner has to sign in again.
    pub const fn needs_sign_in() -> Self {
        Self::of(VerdictKind::NeedsSignIn, MustAct::MailboxOwner)
    }

    /// `who` has to change a setting.
    pub const fn needs_administrator(who: MustAct) -> Self {
        Self::of(VerdictKind::NeedsAdministrator, who)
    }

    /// The reply fits no rule.
    pub const fn unknown() -> Self {
        Self::of(VerdictKind::Unknown, MustAct::Administrator)
    }

    /// Adds the server's own hint on when to come back.
    #[must_use]
    pub const fn after(mut self, delay: Duration) -> Self {
        self.retry_after = Some(delay);
        self
    }

    /// Returns whether trying again later, without anybody acting, may succeed.
    pub const fn is_retryable(&self) -> bool {
        matches!(
            self.kind,
            VerdictKind::Transient | VerdictKind::Throttled | VerdictKind::Unknown
        )
    }

    const fn of(kind: VerdictKind, who: MustAct) -> Self {
        Self {
            kind,
            who,
            retry_after: None,
        }
    }
}
