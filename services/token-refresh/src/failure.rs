use std::time::Duration;

use mailmesh_domain::{
    ErrorChain, FailureCause, History, Responsibility, VerdictKind, responsibility,
};
use mailmesh_events::Problem;
use mailmesh_oauth::{OAuthError, ProviderError};
use mailmesh_secrets::{OpenError, SealError};

const MAIL: &str = "No mail is lost: it flows for as long as the present access token is valid; after that inbound mail stays on the server, and outbound mail waits.";

/// Why a grant was not refreshed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum RefreshFailure {
    #[error(transparent)]
    OAuth(#[from] OAuthError),
    #[error(transparent)]
    Provider(#[from] ProviderError),
    #[error("the provider's endpoints were not found within {} seconds", .limit.as_secs())]
    DiscoveryTimedOut { limit: Duration },
    #[error("the refresh token cannot be opened")]
    Open(#[source] OpenError),
    #[error("the new tokens cannot be sealed")]
    Seal(#[source] SealError),
    #[error("the access token has ended, and the provider gave no refresh token")]
    NoRefreshToken {
        /// Whether the client configuration asks for one.
        is_asked: bool,
    },
}

impl RefreshFailure {
    /// Returns what the failure means, who must act and what to do, given how the grant fared.
    pub(crate) fn responsibility(&self, history: History) -> Responsibility {
        let cause = match self {
            Self::OAuth(error) => return error.responsibility(history),
            Self::Provider(ProviderError::Discovery(error)) => return of_discovery(error, history),
            // Another replica may have the key; nothing is wrong with the grant or its client.
            Self::Provider(ProviderError::Secret(_)) => FailureCause::ClientSecretSealed,
            Self::Open(_) => FailureCause::RefreshTokenSealed,
            Self::Seal(_) => FailureCause::NoSealingKey,
            Self::Provider(_) => FailureCause::ClientFieldUnusable,
            Self::DiscoveryTimedOut { .. } => FailureCause::ProviderNotReached,
            Self::NoRefreshToken { is_asked: false } => FailureCause::OfflineAccessNotAsked,
            Self::NoRefreshToken { is_asked: true } => FailureCause::NoRefreshToken,
        };
        responsibility(cause, history)
    }

    /// Returns whether it is not known whether the grant is dead.
    pub(crate) fn is_unclear(&self) -> bool {
        match self {
            // Restored URLs mend it as well as a sign-in.
            Self::OAuth(OAuthError::GrantFromElsewhere { .. }) => true,
            Self::OAuth(error) => error.may_be_dead_grant(),
            _ => false,
        }
    }

    /// Returns whether every grant of the client configuration fails alike.
    pub(crate) fn concerns_client(&self) -> bool {
        match self {
            Self::OAuth(error) => error.concerns_client(),
            Self::Provider(ProviderError::Discovery(error)) => !error.verdict().is_retryable(),
            Self::Provider(ProviderError::Secret(_)) => false,
            Self::Provider(_) => true,
            _ => false,
        }
    }

    pub(crate) fn problem(&self, decided: &Responsibility) -> Problem {
        let problem = Problem::decided(ErrorChain(self).to_string(), decided).with_mail(MAIL);
        match self {
            Self::OAuth(error) | Self::Provider(ProviderError::Discovery(error)) => {
                problem.with_code(error.code())
            }
            _ => problem,
        }
    }
}

/// Metadata says nothing about a grant.
fn of_discovery(error: &OAuthError, history: History) -> Responsibility {
    let decided = error.responsibility(history);
    if decided.verdict.kind == VerdictKind::NeedsSignIn {
        return responsibility(FailureCause::Unknown, history);
    }
    decided
}

#[cfg(test)]
mod tests {
    use mailmesh_domain::MustAct;

    use super::*;

    #[test]
    fn a_failure_says_what_happened_and_who_must_act() {
        let told =
            |failure: &RefreshFailure| failure.problem(&failure.responsibility(History::WORKS));
        for (is_asked, who) in [
            (true, MustAct::MailboxOwner),
            (false, MustAct::Administrator),
        ] {
            let failure = RefreshFailure::NoRefreshToken { is_asked };
            let problem = told(&failure);

            assert_eq!(problem.must_act, who);
            assert!(problem.what.contains("no refresh token"));
            assert!(!failure.concerns_client());
        }

        let failure = RefreshFailure::Provider(ProviderError::BadUrl { field: "token_url" });
        let problem = told(&failure);

        assert_eq!(problem.must_act, MustAct::Administrator);
        assert!(problem.what.contains("token_url"));
        assert!(failure.concerns_client());
    }

    #[test]
    fn metadata_that_cannot_be_had_blames_no_grant() {
        let failure = RefreshFailure::Provider(ProviderError::Discovery(OAuthError::MixedUp));
        let decided = failure.responsibility(History::WORKS);
        assert!(decided.verdict.is_retryable());
    }
}
