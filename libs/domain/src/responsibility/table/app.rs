//! Rows for tokens that come without any person: what a mailbox's owner would mend elsewhere, an administrator mends here.

use super::{Row, always};
use crate::FailureCause as Cause;
use crate::MustAct::{Administrator, TenantAdministrator};
use crate::VerdictKind::{NeedsAdministrator, Transient, Unknown};

const REFUSED: &str = "Check client id, credentials and scopes of the client configuration against the provider's instructions: it refuses to give tokens to the client itself.";
const CONSENT: &str = "Ask the administrator of the tenant to grant admin consent to the application permissions of this client, which are not the delegated ones. It goes on by itself.";
const POLICY: &str = "Ask the administrator of the tenant to exempt this application from the access rule that keeps it out, or to admit this server's address. It goes on by itself.";

const NOT_LET_IN: &str = "Check the account's login and that the application may open this mailbox with this protocol. At Microsoft 365 the Exchange administrator makes a service principal with the object id of the enterprise application and gives it FullAccess to the mailbox; at Google the scope must be the one that was delegated.";
const NO_LINK: &str = "Drop the link: the account's client configuration needs no person. If a person is to open the mailbox, choose a configuration whose flow is user.";

const fn administrator(cause: Cause, action: &'static str) -> Row {
    always(cause, NeedsAdministrator, Administrator, action)
}

const fn tenant(cause: Cause, action: &'static str) -> Row {
    always(cause, NeedsAdministrator, TenantAdministrator, action)
}

/// Looked at before the rows that hold for all. A test holds that nobody is told to sign in.
pub(super) const ROWS: &[Row] = &[
    administrator(Cause::GrantDead, REFUSED),
    administrator(Cause::CodeSpent, REFUSED),
    administrator(Cause::BadRequest, REFUSED),
    administrator(Cause::RefusedOtherwise, REFUSED),
    administrator(Cause::OfflineAccessNotAsked, REFUSED),
    administrator(Cause::NoRefreshToken, REFUSED),
    administrator(
        Cause::ClientRefused,
        "Check client id, client secret (its value, not its id) and authentication method in the client configuration, and that the application still exists in this tenant. The mailboxes go on by themselves.",
    ),
    administrator(
        Cause::SecretExpired,
        "Create a new client secret at the provider and store its value in the client configuration. The mailboxes go on by themselves.",
    ),
    administrator(
        Cause::GrantFromElsewhere,
        "Check the URLs of the client configuration: they name another provider than before.",
    ),
    administrator(
        Cause::WrongAccount,
        "Correct the login of the account: it belongs to no mailbox of the tenant of this client configuration.",
    ),
    // Exchange accepts such a token at first and refuses the mailbox: the service principal is missing or was made with the
    // object id of the registration, or it has no right on the mailbox.
    administrator(Cause::TokenRefused, NOT_LET_IN),
    administrator(Cause::FreshTokensRefused, NOT_LET_IN),
    administrator(Cause::LoginNotAllowed, NOT_LET_IN),
    administrator(
        Cause::AppPasswordWanted,
        "Check that the mail server takes OAuth 2.0 tokens for this mailbox: it asks for a password instead.",
    ),
    tenant(
        Cause::BrowserCheckWanted,
        "Ask the administrator of the tenant to lift the check that the provider wants passed in a browser.",
    ),
    tenant(
        Cause::ProtocolSwitchedOff,
        "Ask the administrator of the tenant to switch on this protocol for the mailbox.",
    ),
    // A grant of an application is made by token-refresh, as soon as an account needs it.
    always(
        Cause::NotSignedIn,
        Transient,
        Administrator,
        "Check that token-refresh runs and reaches the provider: it fetches the first token by itself.",
    ),
    administrator(
        Cause::GrantSuspended,
        "Correct the client configuration: its tokens were suspended when it changed. Then the mailboxes go on by themselves.",
    ),
    administrator(
        Cause::AccountSecretSealed,
        "Give this service the key that the access token was sealed for and start it anew; if that is lost, the next token is sealed for the present one.",
    ),
    always(
        Cause::RefreshTokenSealed,
        Unknown,
        Administrator,
        "Give this service the key that the token was sealed for and start it anew.",
    ),
    administrator(Cause::MixedUp, NO_LINK),
    administrator(Cause::LinkOver, NO_LINK),
    administrator(Cause::NothingToSignIn, NO_LINK),
    administrator(Cause::AnswerUnknown, NO_LINK),
    administrator(Cause::OtherBrowser, NO_LINK),
    administrator(Cause::AnswerEmpty, NO_LINK),
    administrator(Cause::ChangedMeanwhile, NO_LINK),
    administrator(Cause::ScopesLeftOut, NO_LINK),
    administrator(Cause::OtherMailbox, NO_LINK),
    administrator(Cause::SignInInterrupted, NO_LINK),
    administrator(Cause::SignInNotStored, NO_LINK),
    administrator(Cause::SignInSlow, NO_LINK),
    administrator(Cause::Busy, NO_LINK),
    tenant(Cause::Consent, CONSENT),
    tenant(Cause::Declined, CONSENT),
    tenant(Cause::AdministratorConsent, CONSENT),
    tenant(Cause::Interaction, POLICY),
    tenant(Cause::Policy, POLICY),
    tenant(Cause::DevicePolicy, POLICY),
    tenant(
        Cause::AccountDisabled,
        "Ask the administrator of the tenant to enable the account. It goes on by itself.",
    ),
];
