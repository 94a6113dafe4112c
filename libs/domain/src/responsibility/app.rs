//! Rows for tokens that come without any person: what a mailbox's owner would mend elsewhere, an administrator mends here.

use super::FailureCause as Cause;
use super::table::{Row, always};
use crate::verdict::MustAct::{Administrator, TenantAdministrator};
use crate::verdict::VerdictKind::NeedsAdministrator;

const REFUSED: &str = "Check client id, credentials and scopes of the client configuration against the provider's instructions: it refuses to give tokens to the client itself.";
const CONSENT: &str = "Ask the administrator of the tenant to grant admin consent to the application permissions of this client, which are not the delegated ones. It goes on by itself.";
const POLICY: &str = "Ask the administrator of the tenant to exempt this application from the access rule that keeps it out, or to admit this server's address. It goes on by itself.";

const fn administrator(cause: Cause, action: &'static str) -> Row {
    always(cause, NeedsAdministrator, Administrator, action)
}

const fn tenant(cause: Cause, action: &'static str) -> Row {
    always(cause, NeedsAdministrator, TenantAdministrator, action)
}

/// Looked at before the rows that hold for all. A test holds that nobody is told to sign in.
pub(super) const TABLE: &[Row] = &[
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
    administrator(
        Cause::TokenRefused,
        "Check the account's login and that the application may open this mailbox with this protocol. At Microsoft 365 the Exchange administrator makes a service principal with the object id of the enterprise application and gives it FullAccess to the mailbox; at Google the scope must be the one that was delegated.",
    ),
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
