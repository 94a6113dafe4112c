/// Defines the causes and their list, so that a cause can't be left out of the list that tests walk.
macro_rules! causes {
    ($($(#[$meta:meta])* $name:ident,)*) => {
        /// Why work failed, as far as it decides who must act.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub enum FailureCause {
            $($(#[$meta])* $name,)*
        }

        impl FailureCause {
            /// Every cause.
            pub const ALL: &[Self] = &[$(Self::$name),*];
        }
    };
}

causes! {
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
    /// The mail server refuses every token, although the sign-in works and has brought fresh ones.
    FreshTokensRefused,
    /// The mail server refuses a password.
    PasswordRefused,
    /// Passes by itself.
    Transient,
    /// The remote side asks for fewer requests.
    Throttled,
    /// The account or our address is locked for a while.
    Locked,
    // Of the provider's URLs and what its metadata and tokens prove.
    /// The provider is not reached, or does not answer in time.
    ProviderNotReached,
    /// Its certificate is not trusted.
    ProviderUntrusted,
    /// A URL would carry secrets in clear.
    UrlInClear,
    /// A URL leads to a network that is not allowed.
    UrlNotAllowed,
    /// Nothing says where the endpoints are.
    NoEndpoints,
    /// There is no metadata where the issuer says.
    NoMetadata,
    /// The metadata names no key set.
    NoKeySet,
    /// The metadata is of another issuer.
    OtherIssuer,
    /// The answer came from another issuer, or the id token belongs to another sign-in.
    MixedUp,
    /// Nothing tells whose mailbox signed in.
    NoMailbox,
    /// No id token came.
    NoIdToken,
    /// The provider's clock and ours differ.
    ClocksDiffer,
    /// The id token is from another issuer or for another client.
    IdTokenForOthers,
    /// The signature of the id token does not fit the provider's keys.
    IdTokenForged,
    /// The provider does not publish the key of the id token yet, or no longer.
    IdTokenKeyUnknown,
    // Of the connection to a mail server.
    /// It is not reached: its name is unknown, it refuses, or it does not answer.
    HostNotReached,
    /// It takes the connection and says nothing, as a port does that waits for TLS.
    ServerSilent,
    /// TLS was begun and not agreed on.
    TlsFailed,
    /// It does not speak TLS on this port.
    NotTls,
    /// It offers no STARTTLS.
    NoStartTls,
    /// Something was injected before the TLS handshake, or the session was signed in before it.
    TlsTampered,
    /// The certificate is for another host name.
    CertificateOfOtherHost,
    /// The certificate was signed by an authority that is not trusted.
    CertificateAuthority,
    /// The certificate has expired, was revoked or is broken.
    CertificateInvalid,
    /// It speaks another protocol.
    OtherProtocol,
    /// A token or password would cross the network in clear.
    SecretInClear,
    /// The host is neither a name nor an address.
    HostInvalid,
    /// The host is in a network that is not allowed.
    NetworkNotAllowed,
    /// The account names no server.
    NoServer,
    /// The account's private certificate authority cannot be used.
    AuthorityUnusable,
    /// The account's protocol cannot do what the account is for.
    ProtocolUnfit,
    /// Login, token or password cannot be put on the wire.
    CredentialsUnusable,
    /// The client name is no host name.
    ClientNameInvalid,
    // Of what a mail server replies.
    /// It offers no way to sign in that fits the account.
    NoMechanism,
    /// It refuses the way to sign in, and has not looked at the secret.
    SignInUnfit,
    /// It takes no passwords.
    PasswordsNotTaken,
    /// It wants a password for this application alone.
    AppPasswordWanted,
    /// It wants the owner to pass a check in the browser.
    BrowserCheckWanted,
    /// The owner has switched the protocol off.
    ProtocolSwitchedOff,
    /// The access token is longer than it takes.
    TokenTooLong,
    /// The sign-in is good, and the mailbox is not open to it.
    LoginNotAllowed,
    /// It knows the user, and the mailbox cannot be opened.
    MailboxNotConnected,
    /// A rule or block of the tenant, or its administrator, forbids it.
    TenantForbids,
    /// The mailbox is broken at the server.
    MailboxBroken,
    /// It refuses this machine, by address or name.
    MachineRefused,
    /// There is no such folder.
    NoSuchFolder,
    /// It refuses to open the folder, and does not say why.
    FolderRefused,
    /// POP3 was asked for another folder than the inbox.
    FolderBesideInbox,
    /// The protocol cannot do what is set for received mail.
    PostActionUnfit,
    /// The server refuses to mark, move or delete received mail.
    PostActionRefused,
    /// It cannot do what was asked for, today or later.
    ServerUnfit,
    /// It answers what no setting of the account explains.
    ServerFault,
    /// It gives mails other unique ids in each session.
    UniqueIdsChange,
    /// It ends the lines of mail with LF alone.
    BareLineFeeds,
    /// The account may not send as this address.
    SenderRefused,
    /// A recipient's address is refused.
    RecipientRefused,
    /// The mail is refused for what it is.
    MailRefused,
    /// The mail is larger than it takes.
    MailTooLarge,
    // Of a mail.
    /// It cannot be sent as it was accepted.
    MailUnsendable,
    /// Its stored body is gone.
    BodyGone,
    /// Its stored body is not the one that was accepted.
    BodyExchanged,
    /// Nobody knows whether it was sent.
    MailUncertain,
    /// It was tried for as long as it may be.
    MailGivenUp,
    /// An operator decided that it was not sent.
    MailDecidedUnsent,
    /// A received mail cannot be read.
    MailUnreadable,
    /// The server ends sessions that wait for changes, and is polled instead.
    NotPushed,
    // Of a sign-in in the browser.
    /// The link is not known, was used or has ended.
    LinkOver,
    /// No account waits for this sign-in.
    NothingToSignIn,
    /// The answer belongs to no sign-in that is under way.
    AnswerUnknown,
    /// The answer came to another browser.
    OtherBrowser,
    /// The answer holds nothing.
    AnswerEmpty,
    /// Account or client configuration were changed meanwhile.
    ChangedMeanwhile,
    /// Client configurations share a redirect URI.
    SharedRedirect,
    /// Scopes were left out.
    ScopesLeftOut,
    /// Another mailbox signed in.
    OtherMailbox,
    /// The provider fails for the moment, and nothing tries a sign-in again by itself.
    SignInInterrupted,
    /// The provider's answer to a sign-in cannot be used.
    SignInUnclear,
    /// Something of ours failed during a sign-in.
    SignInNotStored,
    /// A sign-in takes too long to be waited for.
    SignInSlow,
    /// Too many sign-ins are under way.
    Busy,
    // Of the mesh itself.
    /// The account has no password.
    NoPassword,
    /// Nobody has signed in for the account yet.
    NotSignedIn,
    /// The grant was suspended by a change of the client configuration.
    GrantSuspended,
    /// No key opens the account's password or access token.
    AccountSecretSealed,
    /// No key opens the client secret.
    ClientSecretSealed,
    /// No key opens the refresh token.
    RefreshTokenSealed,
    /// Tokens cannot be sealed.
    NoSealingKey,
    /// A field of the client configuration cannot be used.
    ClientFieldUnusable,
    /// Postgres or NATS fails, and names no more.
    MeshFailed,
    /// An event of ours cannot be read back.
    EventUnreadable,
    /// NATS does not answer.
    BusSilent,
    /// NATS runs without JetStream, or switched it off.
    NoJetStream,
    /// A stream does not answer.
    StreamSilent,
    /// A stream is gone.
    StreamGone,
    /// A stream is full.
    StreamFull,
    /// NATS has no storage left.
    NoStorage,
    /// No replica of the service runs.
    NotServed,
    /// An access token has ended, and `token-refresh` has not replaced it.
    TokenNotReplaced,
    /// The server has not confirmed the account's folders for long.
    NotConfirmed,
    /// The account failed by a reason that only administrators see.
    HiddenFromOthers,
    /// Fits no rule.
    Unknown,
}

impl FailureCause {
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
