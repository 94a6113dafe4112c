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
    /// Returns whether trying again later, without anybody acting, may succeed.
    pub const fn is_retryable(&self) -> bool {
        matches!(
            self.kind,
            VerdictKind::Transient | VerdictKind::Throttled | VerdictKind::Unknown
        )
    }
}
