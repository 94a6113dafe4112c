use std::fmt;

/// What was being asked of the provider.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Operation {
    /// Reading the provider's metadata.
    Discover,
    /// The person's own step in the browser.
    Authorize,
    /// Trading the code for tokens.
    ExchangeCode,
    /// Trading the refresh token for a new access token.
    Refresh,
    /// Asking for a token in the client's own name.
    ClientCredentials,
    /// Asking for a token of a mailbox that the client acts for.
    JwtBearer,
    /// Asking whose token it is.
    Userinfo,
    /// Reading the provider's signing keys.
    FetchKeys,
    /// Asking the token endpoint for nothing, to see whether it is one.
    TokenEndpoint,
}

impl fmt::Display for Operation {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Discover => "provider discovery",
            Self::Authorize => "sign-in",
            Self::ExchangeCode => "code exchange",
            Self::Refresh => "token refresh",
            Self::ClientCredentials | Self::JwtBearer => "token request",
            Self::Userinfo => "userinfo request",
            Self::FetchKeys => "key set request",
            Self::TokenEndpoint => "token endpoint check",
        })
    }
}
