/// Why an access token opens nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum TokenRefusal {
    /// Never issued here, or forgotten long after its end.
    #[error("unknown token")]
    Unknown,
    /// Its life is over.
    #[error("token expired")]
    Expired,
    /// Its grant was revoked.
    #[error("token revoked")]
    Revoked,
}

/// Why a refresh token yields nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum RefreshRefusal {
    /// Never issued here.
    #[error("unknown refresh token")]
    Unknown,
    /// Its grant was revoked.
    #[error("refresh token revoked")]
    Revoked,
    /// Used a second time; the whole family is revoked now.
    #[error("refresh token reused")]
    Reused,
    /// Issued to another client.
    #[error("refresh token of another client")]
    WrongClient,
    /// More scopes asked for than were consented to.
    #[error("scope exceeds the consent")]
    ScopeTooWide,
}
