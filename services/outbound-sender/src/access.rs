//! Failures and problems of mail whose account has nothing to sign in with.

use mailmesh_accounts::{CredentialsError, EndpointError};
use mailmesh_domain::{ErrorChain, Verdict};
use mailmesh_events::Problem;

use crate::problem::WAITS;

pub(crate) fn of_endpoint(error: &EndpointError) -> Problem {
    Problem::new(ErrorChain(error).sentence(), error.verdict())
        .with_action(error.advice())
        .with_mail(WAITS)
}

pub(crate) fn of_credentials(error: &CredentialsError) -> Problem {
    error.problem().with_mail(WAITS)
}

/// Describes mail that waits for a new access token.
pub(crate) fn token_over() -> Problem {
    let what = "The access token is no longer accepted and a new one is being fetched";
    Problem::new(what, Verdict::transient()).with_mail(WAITS)
}
