//! Replies of mail servers.

use super::{Row, When, always};
use crate::FailureCause as Cause;
use crate::MustAct::{Administrator, MailboxOwner, TenantAdministrator};
use crate::VerdictKind::{NeedsAdministrator, NeedsSignIn, Permanent, Unknown};

pub(super) const ROWS: &[Row] = &[
    always(
        Cause::TokenRefused,
        NeedsSignIn,
        MailboxOwner,
        "Sign in again for this mailbox. If the mail server refuses the new token, too, the administrator checks scopes and login.",
    )
    .when(When::Worked)
    .or(Administrator),
    always(
        Cause::TokenRefused,
        NeedsAdministrator,
        Administrator,
        "Check the scopes of the client configuration, the account's login, and that the mailbox allows this protocol: the sign-in works, and the mail server refuses its token.",
    ),
    always(
        Cause::PasswordRefused,
        NeedsAdministrator,
        Administrator,
        "Check login and password of the account, and whether the server wants an app password.",
    ),
    always(
        Cause::FreshTokensRefused,
        NeedsSignIn,
        Administrator,
        "Check that the scopes of the client configuration cover this protocol, that it is switched on for this mailbox, and the account's login; then sign in again. The sign-in itself works.",
    )
    .or(MailboxOwner),
    always(
        Cause::NoMechanism,
        NeedsAdministrator,
        Administrator,
        "Choose another authorisation or encryption for the account: the server offers no sign-in for this one.",
    ),
    always(
        Cause::SignInUnfit,
        NeedsAdministrator,
        Administrator,
        "Check protocol, authorisation and encryption of the account: the server refuses this way to sign in.",
    ),
    always(
        Cause::PasswordsNotTaken,
        NeedsAdministrator,
        Administrator,
        "Have the account sign in with OAuth 2.0: the server takes no passwords.",
    ),
    always(
        Cause::AppPasswordWanted,
        NeedsAdministrator,
        MailboxOwner,
        "Ask the mailbox's owner to make a password for this application alone at the provider; the administrator stores it in the account.",
    )
    .or(Administrator),
    always(
        Cause::BrowserCheckWanted,
        NeedsAdministrator,
        MailboxOwner,
        "Ask the mailbox's owner to sign in to the mailbox in a browser once, and to pass the provider's check there.",
    ),
    always(
        Cause::ProtocolSwitchedOff,
        NeedsAdministrator,
        MailboxOwner,
        "Ask the mailbox's owner to switch on this protocol in the settings of the mailbox.",
    ),
    always(
        Cause::TokenTooLong,
        NeedsAdministrator,
        Administrator,
        "Read the mailbox by IMAP: Microsoft's POP3 servers take no longer token since July 2025, and its length is Microsoft's.",
    ),
    always(
        Cause::LoginNotAllowed,
        NeedsAdministrator,
        Administrator,
        "Correct the account's login: the sign-in is good, and this mailbox is not open to it.",
    ),
    always(
        Cause::MailboxNotConnected,
        Unknown,
        TenantAdministrator,
        "Ask the administrator of the tenant to see that the mailbox exists, is licensed, allows this protocol, and is open to this login. It is tried again by itself.",
    ),
    always(
        Cause::TenantForbids,
        NeedsAdministrator,
        TenantAdministrator,
        "Ask the administrator of the tenant to lift what the server names: a protocol that is switched off, a missing permission, or a block of mailbox or tenant.",
    ),
    always(
        Cause::MailboxBroken,
        Permanent,
        TenantAdministrator,
        "Ask the administrator of the tenant to have the mailbox repaired: the server calls the failure permanent.",
    ),
    always(
        Cause::MachineRefused,
        NeedsAdministrator,
        Administrator,
        "Look the server's code up: it refuses this machine by its address or name, whoever signs in.",
    ),
    always(
        Cause::NoSuchFolder,
        NeedsAdministrator,
        Administrator,
        "Correct the account's folder, or create it at the server. It is tried again by itself.",
    ),
    always(
        Cause::FolderRefused,
        Unknown,
        Administrator,
        "Correct the account's folder, or create it at the server. It is tried again by itself.",
    ),
    always(
        Cause::FolderBesideInbox,
        NeedsAdministrator,
        Administrator,
        "Set the account's folder to INBOX: POP3 shows no other.",
    ),
    always(
        Cause::PostActionRefused,
        NeedsAdministrator,
        Administrator,
        "Correct the account's after_receive and move_to, create that folder at the server, or have the server allow it. It is tried again by itself.",
    ),
    always(
        Cause::PostActionUnfit,
        NeedsAdministrator,
        Administrator,
        "Choose another setting for received mail: POP3 can keep it or delete it.",
    ),
    always(
        Cause::ServerFault,
        Unknown,
        Administrator,
        "Have the mail server's administrator look at what it answered; the account's settings are not the cause. It is tried again by itself.",
    ),
    always(
        Cause::UniqueIdsChange,
        Unknown,
        Administrator,
        "Have the mail server's administrator give each mail one lasting UIDL (RFC 1939 section 7), or read the mailbox by IMAP, or let received mails be deleted.",
    ),
    always(
        Cause::BareLineFeeds,
        Unknown,
        Administrator,
        "Have the mail server's administrator make it end lines with CRLF (RFC 1939 section 3), or read the mailbox by IMAP.",
    ),
    always(
        Cause::ServerUnfit,
        Permanent,
        Administrator,
        "Look the server's words up in its documentation: it refuses the same each time.",
    ),
    always(
        Cause::SenderRefused,
        Permanent,
        Administrator,
        "Correct the account's From addresses, or have the mailbox allowed to send as the one that the mail names; then send the mail again under another idempotency key.",
    ),
    always(
        Cause::RecipientRefused,
        Permanent,
        Administrator,
        "Correct the recipient's address, and send it as a new mail: trying again would not help.",
    ),
    always(
        Cause::MailRefused,
        Permanent,
        Administrator,
        "Correct what is named here, and send it as a new mail: trying again would not help.",
    ),
    always(
        Cause::MailTooLarge,
        Permanent,
        Administrator,
        "Make the mail smaller, and send it as a new mail: trying again would not help.",
    ),
];
