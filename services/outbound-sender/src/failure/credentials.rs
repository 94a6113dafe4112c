//! Failures and problems of mail whose account has nothing to sign in with.

use mailmesh_accounts::{CredentialsError, EndpointError};
use mailmesh_domain::{ErrorChain, FailureCause};
use mailmesh_events::Problem;

use crate::failure::{WAITS, problem_from};

pub(crate) fn of_endpoint(error: &EndpointError) -> Problem {
    problem_from(ErrorChain(error).sentence(), error.failure_cause()).with_mail(WAITS)
}

pub(crate) fn of_credentials(error: &CredentialsError) -> Problem {
    error.problem().with_mail(WAITS)
}

/// Describes mail that waits for a new access token.
pub(crate) fn token_over() -> Problem {
    let what = "The access token is no longer accepted and a new one is being fetched";
    problem_from(what, FailureCause::Transient).with_mail(WAITS)
}
