/// Why work failed, as far as it decides who must act.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FailureCause {
    /// The grant is dead: expired, revoked, password changed.
    GrantDead,
    /// The provider asks for an interactive sign-in: second factor, new terms, password change.
    Interaction,
    /// The person has not agreed, or not to all.
    Consent,
    /// The person said no.
    Declined,
    /// The code or the verifier does not fit: used twice, too old, another sign-in.
    CodeSpent,
    /// Only an administrator of the tenant may agree.
    AdministratorConsent,
    /// A rule of the tenant forbids it.
    Policy,
    /// A rule of the tenant asks for a managed or compliant device, which a server is not.
    DevicePolicy,
    /// Another account or tenant than this client accepts.
    WrongAccount,
    /// The account is blocked or disabled.
    AccountDisabled,
    /// The client's secret is past its date.
    SecretExpired,
    /// The client's id, secret or kind of proof is wrong, or the client is gone.
    ClientRefused,
    /// The key that the client signs its statements with is refused: not registered, withdrawn, or its certificate is over.
    KeyRefused,
    /// What the client signs is too old, or from the future.
    ClockOff,
    /// The client may not act for the mailboxes of this tenant.
    NotDelegated,
    /// No mailbox has the login that tokens are asked for.
    LoginUnknown,
    /// What the client signed is refused in words that fit no rule.
    StatementRefused,
    /// The authority, tenant or redirect URI of the client configuration is wrong.
    ClientMisconfigured,
    /// The scopes are unknown or not allowed for this client.
    Scope,
    /// The request itself is malformed.
    BadRequest,
    /// A request to the provider is refused in words that fit no rule.
    RefusedOtherwise,
    /// The provider's answer cannot be read: something else answers at its address.
    NoProvider,
    /// Nothing asks the provider for a refresh token.
    OfflineAccessNotAsked,
    /// The provider was asked for a refresh token and gave none.
    NoRefreshToken,
    /// The provider's endpoints are no longer those that the grant came from.
    GrantFromElsewhere,
    /// The provider's metadata names another token endpoint than the client secret was given for.
    TokenEndpointMoved,
    /// The mail server refuses an access token.
    TokenRefused,
    /// The mail server refuses a password.
    PasswordRefused,
    /// The mail server is not reached: its name is unknown, it refuses, or it does not answer.
    HostNotReached,
    /// Passes by itself.
    Transient,
    /// The remote side asks for fewer requests.
    Throttled,
    /// The account or our address is locked for a while.
    Locked,
    /// Fits no rule.
    Unknown,
}

impl FailureCause {
    /// Every cause.
    pub const ALL: [Self; 33] = [
        Self::GrantDead,
        Self::Interaction,
        Self::Consent,
        Self::Declined,
        Self::CodeSpent,
        Self::AdministratorConsent,
        Self::Policy,
        Self::DevicePolicy,
        Self::WrongAccount,
        Self::AccountDisabled,
        Self::SecretExpired,
        Self::ClientRefused,
        Self::KeyRefused,
        Self::ClockOff,
        Self::NotDelegated,
        Self::LoginUnknown,
        Self::StatementRefused,
        Self::ClientMisconfigured,
        Self::Scope,
        Self::BadRequest,
        Self::RefusedOtherwise,
        Self::NoProvider,
        Self::OfflineAccessNotAsked,
        Self::NoRefreshToken,
        Self::GrantFromElsewhere,
        Self::TokenEndpointMoved,
        Self::TokenRefused,
        Self::PasswordRefused,
        Self::HostNotReached,
        Self::Transient,
        Self::Throttled,
        Self::Locked,
        Self::Unknown,
    ];

    /// Returns whether the client configuration itself is at fault, so that every grant of it fails alike.
    pub const fn concerns_client(self) -> bool {
        matches!(
            self,
            Self::SecretExpired
                | Self::ClientRefused
                | Self::KeyRefused
                | Self::ClockOff
                | Self::ClientMisconfigured
                | Self::TokenEndpointMoved
        )
    }

    /// Returns whether providers that do not keep to RFC 6749 §5.2 say this of a refresh token that has ended.
    pub const fn may_be_dead_grant(self) -> bool {
        matches!(self, Self::BadRequest | Self::RefusedOtherwise)
    }
}
