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
    #[error("what the client signs is malformed, or for another audience or use")]
    BadStatement,
    #[error("what the client signs was used before")]
    ReusedStatement,
    #[error("the key that signs is not the one that is registered")]
    WrongKey,
    #[error("what the client signs is too old, too long or from the future")]
    UntimelyStatement,
    #[error("no application or service account is known by that name")]
    UnknownApplication,
    #[error("no mailbox has that name")]
    UnknownMailbox,
    #[error("the client may have no such tokens of its own")]
    NotAllowed,
    #[error("the scope is not one of an application")]
    NotAppScope,
    #[error("an application has no tokens of its own at an authority of many tenants")]
    SharedAuthority,
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
            | Failure::WrongSecret
            | Failure::BadStatement
            | Failure::ReusedStatement
            | Failure::WrongKey
            | Failure::UntimelyStatement => (UNAUTHORIZED, "invalid_client"),
            Failure::UnsupportedGrant => (BAD, "unsupported_grant_type"),
            Failure::Refresh(Refused::ScopeTooWide) | Failure::NotAppScope => {
                (BAD, "invalid_scope")
            }
            Failure::OtherClient | Failure::NotAllowed => (BAD, "unauthorized_client"),
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
            Failure::WrongKey => (BAD, "invalid_grant", "Invalid JWT Signature."),
            Failure::UntimelyStatement => (
                BAD,
                "invalid_grant",
                "Invalid JWT: Token must be a short-lived token (60 minutes) and in a reasonable timeframe. Check your iat and exp values in the JWT claim.",
            ),
            Failure::UnknownApplication => {
                (BAD, "invalid_grant", "Invalid grant: account not found")
            }
            Failure::UnknownMailbox => (BAD, "invalid_grant", "Invalid email or User ID"),
            Failure::NotAllowed => (
                UNAUTHORIZED,
                "unauthorized_client",
                "Client is unauthorized to retrieve access tokens using this method, or client not authorized for any of the scopes requested.",
            ),
            Failure::BadStatement | Failure::ReusedStatement => {
                (BAD, "invalid_grant", "Invalid JWT: Failed audience check.")
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
            Failure::Refresh(Refused::ScopeTooWide)
            | Failure::NotAppScope
            | Failure::SharedAuthority => (BAD, "invalid_scope", "Bad Request"),
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
            Failure::UnknownClient | Failure::UnknownApplication => {
                (BAD, "unauthorized_client", 700_016)
            }
            Failure::WrongKey => (UNAUTHORIZED, "invalid_client", 700_027),
            Failure::UntimelyStatement => (UNAUTHORIZED, "invalid_client", 700_024),
            Failure::BadStatement | Failure::ReusedStatement => {
                (UNAUTHORIZED, "invalid_client", 50_013)
            }
            Failure::NotAllowed => (BAD, "unauthorized_client", 7_000_112),
            Failure::NotAppScope => (BAD, "invalid_scope", 70_011),
            Failure::SharedAuthority => (BAD, "invalid_request", 9_001_023),
            Failure::UnknownMailbox => (BAD, "invalid_grant", 50_034),
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
