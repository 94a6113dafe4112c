use mailmesh_store::ServiceRole;

/// One of the five services.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Admin,
    AuthCallback,
    TokenRefresh,
    InboundFetcher,
    OutboundSender,
}

impl Kind {
    pub(crate) const ALL: [Self; 5] = [
        Self::TokenRefresh,
        Self::InboundFetcher,
        Self::OutboundSender,
        Self::AuthCallback,
        Self::Admin,
    ];

    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Admin => "admin",
            Self::AuthCallback => "auth-callback",
            Self::TokenRefresh => "token-refresh",
            Self::InboundFetcher => "inbound-fetcher",
            Self::OutboundSender => "outbound-sender",
        }
    }

    /// Returns the service's role in Postgres.
    pub(crate) const fn role(self) -> ServiceRole {
        match self {
            Self::Admin => ServiceRole::Admin,
            Self::AuthCallback => ServiceRole::AuthCallback,
            Self::TokenRefresh => ServiceRole::TokenRefresh,
            Self::InboundFetcher => ServiceRole::InboundFetcher,
            Self::OutboundSender => ServiceRole::OutboundSender,
        }
    }
}
