use axum::response::Response;

use super::ProviderState;
use super::failure::TokenFailure;
use crate::fault::http::stumble;

/// How a token request ends other than with tokens.
pub(super) enum TokenRequestEnd {
    Refused(TokenFailure),
    Faulted(Response),
}

impl From<TokenFailure> for TokenRequestEnd {
    fn from(failure: TokenFailure) -> Self {
        Self::Refused(failure)
    }
}

/// Ends a request where a scripted fault lies at this point of it.
pub(super) async fn fail_at(
    provider: &ProviderState,
    point: &str,
    address: Option<&str>,
) -> Result<(), TokenRequestEnd> {
    match stumble(&provider.faults, point, address).await {
        Some(response) => Err(TokenRequestEnd::Faulted(response)),
        None => Ok(()),
    }
}
