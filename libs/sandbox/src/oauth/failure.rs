use axum::http::StatusCode;

use crate::token::RefreshRefusal as Refused;

use TokenFailure as Failure;

/// Why the token endpoint, or one of its neighbours, refuses.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(super) enum TokenFailure {
    #[error("the body must be a form")]
    NotAForm,
    #[error("missing parameter: {0}")]
    Missing(&'static str),
    #[error("more than one client authentication")]
    TwoAuthentications,
    #[error("malformed Authorization header")]
    MalformedBasic,
    #[error("unknown client")]
    UnknownClient,
    #[error("client authentication is required")]
    MissingSecret,
    #[error("wrong client secret")]
    WrongSecret,
    #[error("unsupported grant type")]
    UnsupportedGrant,
    #[error("unknown code")]
    UnknownCode,
    #[error("the code has expired")]
    ExpiredCode,
    #[error("the code was used before")]
    ReusedCode,
    #[error("the code belongs to another client")]
    CodeOfOtherClient,
    #[error("the redirect URI differs from the one at authorisation")]
    OtherRedirectUri,
    #[error("the code verifier does not match")]
    WrongVerifier,
    #[error("the code verifier is missing")]
    MissingVerifier,
    #[error("a code verifier without a challenge")]
    UnexpectedVerifier,
    #[error("{0}")]
    Refresh(Refused),
    #[error("the token belongs to another client")]
    OtherClient,
    #[error("unknown token")]
    UnknownToken,
}

const BAD: StatusCode = StatusCode::BAD_REQUEST;
const UNAUTHORIZED: StatusCode = StatusCode::UNAUTHORIZED;

impl TokenFailure {
    pub(super) fn standard(self) -> (StatusCode, &'static str) {
        match self {
            Failure::NotAForm | Failure::Missing(_) | Failure::TwoAuthentications => {
                (BAD, "invalid_request")
            }
            Failure::MalformedBasic
            | Failure::UnknownClient
            | Failure::MissingSecret
            | Failure::WrongSecret => (UNAUTHORIZED, "invalid_client"),
            Failure::UnsupportedGrant => (BAD, "unsupported_grant_type"),
            Failure::Refresh(Refused::ScopeTooWide) => (BAD, "invalid_scope"),
            Failure::OtherClient => (BAD, "unauthorized_client"),
            _ => (BAD, "invalid_grant"),
        }
    }

    pub(super) fn google(self) -> (StatusCode, &'static str, &'static str) {
        match self {
            Failure::NotAForm | Failure::Missing(_) | Failure::TwoAuthentications => {
                (BAD, "invalid_request", "Missing required parameter")
            }
            Failure::UnknownClient => (
                UNAUTHORIZED,
                "invalid_client",
                "The OAuth client was not found.",
            ),
            Failure::MissingSecret => (BAD, "invalid_request", "client_secret is missing."),
            Failure::WrongSecret | Failure::MalformedBasic => {
                (UNAUTHORIZED, "invalid_client", "Unauthorized")
            }
            Failure::UnsupportedGrant => (BAD, "unsupported_grant_type", "Invalid grant_type"),
            Failure::UnknownCode | Failure::ReusedCode => {
                (BAD, "invalid_grant", "Malformed auth code.")
            }
            Failure::OtherRedirectUri => (BAD, "redirect_uri_mismatch", "Bad Request"),
            Failure::WrongVerifier | Failure::UnexpectedVerifier => {
                (BAD, "invalid_grant", "Invalid code verifier.")
            }
            Failure::MissingVerifier => (BAD, "invalid_grant", "Missing code verifier."),
            Failure::Refresh(Refused::Revoked | Refused::Reused) => {
                (BAD, "invalid_grant", "Token has been expired or revoked.")
            }
            Failure::Refresh(Refused::WrongClient) | Failure::OtherClient => {
                (UNAUTHORIZED, "unauthorized_client", "Unauthorized")
            }
            Failure::Refresh(Refused::ScopeTooWide) => (BAD, "invalid_scope", "Bad Request"),
            Failure::UnknownToken => (BAD, "invalid_token", "Token expired or revoked"),
            Failure::ExpiredCode | Failure::CodeOfOtherClient | Failure::Refresh(_) => {
                (BAD, "invalid_grant", "Bad Request")
            }
        }
    }

    /// The words behind the number are ours: Microsoft tells clients not to read them.
    pub(super) fn microsoft(self) -> (StatusCode, &'static str, u32) {
        match self {
            Failure::NotAForm | Failure::Missing(_) | Failure::TwoAuthentications => {
                (BAD, "invalid_request", 900_144)
            }
            Failure::MalformedBasic | Failure::WrongSecret => {
                (UNAUTHORIZED, "invalid_client", 7_000_215)
            }
            Failure::MissingSecret => (UNAUTHORIZED, "invalid_client", 7_000_218),
            Failure::UnknownClient => (BAD, "unauthorized_client", 700_016),
            Failure::UnsupportedGrant => (BAD, "unsupported_grant_type", 70_003),
            Failure::ExpiredCode => (BAD, "invalid_grant", 70_008),
            Failure::ReusedCode => (BAD, "invalid_grant", 54_005),
            Failure::OtherRedirectUri => (BAD, "invalid_grant", 500_112),
            Failure::WrongVerifier => (BAD, "invalid_grant", 501_481),
            Failure::MissingVerifier | Failure::UnexpectedVerifier => {
                (BAD, "invalid_grant", 50_148)
            }
            Failure::Refresh(Refused::Revoked) => (BAD, "invalid_grant", 50_173),
            Failure::Refresh(Refused::ScopeTooWide) => (BAD, "invalid_grant", 65_001),
            Failure::UnknownCode
            | Failure::CodeOfOtherClient
            | Failure::OtherClient
            | Failure::UnknownToken
            | Failure::Refresh(_) => (BAD, "invalid_grant", 70_000),
        }
    }
}
