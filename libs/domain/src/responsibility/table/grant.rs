//! Grants and client configurations.

use super::{Row, When, always};
use crate::FailureCause as Cause;
use crate::MustAct::{Administrator, MailboxOwner, TenantAdministrator};
use crate::VerdictKind::{NeedsAdministrator, NeedsSignIn, Permanent, Unknown};

const DEAD_IN_OTHER_WORDS: &str = "Sign in again for this mailbox: the provider keeps refusing to renew the earlier sign-in, in words of its own. If that does not help, the administrator compares the client configuration with the provider's instructions.";

pub(super) const ROWS: &[Row] = &[
    // RFC 6749 §5.2 has one word for a dead refresh token, `invalid_grant`; some providers use others. While the access
    // token works the mailbox works, and the owner is not troubled.
    always(Cause::BadRequest, NeedsSignIn, MailboxOwner, DEAD_IN_OTHER_WORDS)
        .when(When::Stands)
        .or(Administrator),
    always(Cause::RefusedOtherwise, NeedsSignIn, MailboxOwner, DEAD_IN_OTHER_WORDS)
        .when(When::Stands)
        .or(Administrator),
    always(
        Cause::GrantDead,
        NeedsSignIn,
        MailboxOwner,
        "Sign in again for this mailbox: the provider no longer accepts the earlier sign-in.",
    ),
    always(
        Cause::Interaction,
        NeedsSignIn,
        MailboxOwner,
        "Sign in again for this mailbox: the provider wants to see its owner, for example for a second factor.",
    ),
    always(
        Cause::Consent,
        NeedsSignIn,
        MailboxOwner,
        "Sign in again and agree to everything that is asked. If agreeing is not offered, the administrator of the tenant has to do it.",
    )
    .or(TenantAdministrator),
    always(
        Cause::Declined,
        NeedsSignIn,
        MailboxOwner,
        "Sign in again and agree: the request was declined at the provider.",
    ),
    always(
        Cause::CodeSpent,
        NeedsSignIn,
        MailboxOwner,
        "Sign in once more: this sign-in was used already, took too long, or was mixed up with another.",
    ),
    always(
        Cause::WrongAccount,
        NeedsSignIn,
        MailboxOwner,
        "Sign in with an account that belongs to the tenant of this client configuration. If it should accept the account, the administrator corrects the tenant in the configuration.",
    )
    .or(Administrator),
    always(
        Cause::NoRefreshToken,
        NeedsSignIn,
        MailboxOwner,
        "Sign in again for this mailbox; remove the application from the account at the provider first, so that it asks for consent anew. If the provider gives no lasting access then either, the administrator checks that the application may have it.",
    )
    .or(Administrator),
    always(
        Cause::GrantFromElsewhere,
        NeedsSignIn,
        MailboxOwner,
        "Sign in again for this mailbox: the client configuration now names another provider than the one that the earlier sign-in was made at. If that is not intended, the administrator restores the URLs.",
    )
    .or(Administrator),
    always(
        Cause::TokenEndpointMoved,
        NeedsAdministrator,
        Administrator,
        "Find out whether the provider has moved its token endpoint: its metadata names another than the client secret was given for. If so, store the client secret again; else correct the issuer.",
    ),
    always(
        Cause::AdministratorConsent,
        NeedsAdministrator,
        TenantAdministrator,
        "Ask the administrator of the tenant to grant this application consent, then sign in again.",
    ),
    always(
        Cause::Policy,
        NeedsAdministrator,
        TenantAdministrator,
        "Ask the administrator of the tenant to allow this application and this server's address in its access rules, then sign in again.",
    ),
    always(
        Cause::DevicePolicy,
        NeedsAdministrator,
        TenantAdministrator,
        "Ask the administrator of the tenant to exempt this application from the access rule that asks for a managed or compliant device: a server is none. Then sign in again.",
    ),
    always(
        Cause::AccountDisabled,
        NeedsAdministrator,
        TenantAdministrator,
        "Ask the administrator of the tenant to enable the account, then sign in again.",
    ),
    always(
        Cause::SecretExpired,
        NeedsAdministrator,
        Administrator,
        "Create a new client secret at the provider and store its value in the client configuration. Mailboxes that are connected need no new sign-in.",
    ),
    always(
        Cause::ClientRefused,
        NeedsAdministrator,
        Administrator,
        "Check client id, client secret (its value, not its id) and authentication method in the client configuration, and that the application still exists at the provider. Mailboxes that are connected need no new sign-in.",
    ),
    always(
        Cause::KeyRefused,
        NeedsAdministrator,
        Administrator,
        "Register the public key or certificate at the provider for this client id, or store the private key that is registered there: the provider does not accept the one that signs, or its certificate has ended. Mailboxes that are connected go on by themselves.",
    ),
    always(
        Cause::ClockOff,
        NeedsAdministrator,
        Administrator,
        "Set the clock of this machine by a time server: the provider takes what is signed here for too old or from the future. Then it goes on by itself.",
    ),
    always(
        Cause::NotDelegated,
        NeedsAdministrator,
        TenantAdministrator,
        "Ask the administrator of the tenant to let the client id act for its mailboxes with exactly the scopes of the client configuration (Google: Admin console, Security, API controls, Domain-wide delegation), and check that the login belongs to that tenant. It goes on by itself.",
    ),
    always(
        Cause::LoginUnknown,
        NeedsAdministrator,
        Administrator,
        "Correct the login of the account: the provider knows no such mailbox, or it was deleted or suspended.",
    ),
    always(
        Cause::StatementRefused,
        NeedsAdministrator,
        Administrator,
        "Check that the key is still listed at the provider, that this machine's clock is right, and that the login is a mailbox of the tenant: the provider refuses what the client signs and does not say which of these it is.",
    ),
    always(
        Cause::ClientMisconfigured,
        NeedsAdministrator,
        Administrator,
        "Correct the client configuration: base URL or tenant, redirect URI and application type must be those registered at the provider.",
    ),
    always(
        Cause::Scope,
        NeedsAdministrator,
        Administrator,
        "Correct the scopes in the client configuration, and allow them for the application at the provider.",
    ),
    always(
        Cause::BadRequest,
        Permanent,
        Administrator,
        "Compare the client configuration with the provider's instructions: it calls the request malformed.",
    ),
    always(
        Cause::RefusedOtherwise,
        Unknown,
        Administrator,
        "It is tried again by itself. If it stays, look the provider's code up in its documentation and check the client configuration.",
    ),
    always(
        Cause::NoProvider,
        Unknown,
        Administrator,
        "It is tried again by itself. If it stays, check the URLs of the client configuration: something other than the provider's endpoint answers there.",
    ),
    always(
        Cause::OfflineAccessNotAsked,
        NeedsAdministrator,
        Administrator,
        "Have the client configuration ask for lasting access: add the scope offline_access, at Google access_type=offline and prompt=consent as extra_authorize_parameters. Then the mailbox needs a new sign-in.",
    ),
];
