use std::time::Duration;

use mailmesh_domain::{ErrorChain, MustAct, Verdict, VerdictKind};
use mailmesh_events::Problem;
use mailmesh_oauth::{OAuthError, ProviderError};
use mailmesh_secrets::{OpenError, SealError};

const MAIL: &str = "No mail is lost: inbound mail stays on the server, outbound mail waits.";

/// Why a grant was not refreshed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Failure {
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
    NoRefreshToken,
}

impl Failure {
    pub(crate) fn verdict(&self) -> Verdict {
        match self {
            Self::OAuth(error) => error.verdict(),
            Self::Provider(ProviderError::Discovery(error)) => {
                let verdict = error.verdict();
                // Metadata says nothing about a grant.
                if verdict.kind == VerdictKind::NeedsSignIn {
                    return Verdict::unknown();
                }
                verdict
            }
            // Another replica may have the key; nothing is wrong with the grant or its client.
            Self::Provider(ProviderError::Secret(_)) | Self::Open(_) | Self::Seal(_) => {
                Verdict::unknown()
            }
            Self::Provider(_) => Verdict::needs_administrator(MustAct::Administrator),
            Self::DiscoveryTimedOut { .. } => Verdict::transient(),
            Self::NoRefreshToken => Verdict::needs_sign_in(),
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

    pub(crate) fn problem(&self) -> Problem {
        let problem = Problem::new(ErrorChain(self).to_string(), self.verdict()).with_mail(MAIL);
        match self {
            Self::OAuth(error) | Self::Provider(ProviderError::Discovery(error)) => problem
                .with_code(error.code())
                .with_action(error.action()),
            Self::Provider(ProviderError::Secret(_)) => problem.with_action(
                "Give this service the key that the client secret was sealed for and start it anew; if that is lost, store the client secret again.",
            ),
            Self::Provider(_) => {
                problem.with_action("Correct the client configuration: the field named here.")
            }
            Self::Open(_) => problem.with_action(
                "Give this service the key that the token was sealed for and start it anew; if that is lost, sign in again for this mailbox.",
            ),
            Self::NoRefreshToken => problem.with_action(
                "Sign in again for this mailbox. To stay signed in, the client configuration must ask for offline access.",
            ),
            Self::DiscoveryTimedOut { .. } | Self::Seal(_) => problem,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failure_says_what_happened_and_who_must_act() {
        let failure = Failure::NoRefreshToken;
        let problem = failure.problem();

        assert_eq!(problem.must_act, MustAct::MailboxOwner);
        assert!(problem.what.contains("no refresh token"));
        assert!(!failure.concerns_client());

        let failure = Failure::Provider(ProviderError::BadUrl { field: "token_url" });
        let problem = failure.problem();

        assert_eq!(problem.must_act, MustAct::Administrator);
        assert!(problem.what.contains("token_url"));
        assert!(failure.concerns_client());
    }

    #[test]
    fn metadata_that_cannot_be_had_blames_no_grant() {
        let failure = Failure::Provider(ProviderError::Discovery(OAuthError::MixedUp));
        assert!(failure.verdict().is_retryable());
    }
}
