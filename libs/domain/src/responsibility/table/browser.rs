//! Sign-ins in the browser, whose pages speak to who sits before it.

use super::{Row, always};
use crate::FailureCause as Cause;
use crate::MustAct::{Administrator, MailboxOwner};
use crate::VerdictKind::{NeedsAdministrator, NeedsSignIn, Unknown};

pub(super) const ROWS: &[Row] = &[
    always(
        Cause::LinkOver,
        NeedsAdministrator,
        Administrator,
        "Make a new link for the account. Each works for one sign-in.",
    ),
    always(
        Cause::NothingToSignIn,
        NeedsAdministrator,
        Administrator,
        "Check the account, and make a new link.",
    ),
    always(
        Cause::AnswerUnknown,
        NeedsSignIn,
        MailboxOwner,
        "Open the link that you were given again, and sign in once more. If it has ended, ask for a new link.",
    ),
    always(
        Cause::OtherBrowser,
        NeedsSignIn,
        MailboxOwner,
        "Ask for a new link, and open it in the browser in which you sign in. Allow cookies for this site.",
    ),
    always(
        Cause::AnswerEmpty,
        NeedsSignIn,
        MailboxOwner,
        "Ask for a new link, and sign in once more.",
    ),
    always(
        Cause::ChangedMeanwhile,
        NeedsSignIn,
        MailboxOwner,
        "Ask for a new link, and sign in once more.",
    ),
    always(
        Cause::SharedRedirect,
        NeedsAdministrator,
        Administrator,
        "Register the redirect URI named here at the provider and set own_redirect_uri of the client configuration to true; one configuration alone may stay without. Then make a new link.",
    ),
    always(
        Cause::ScopesLeftOut,
        NeedsSignIn,
        MailboxOwner,
        "Ask for a new link, sign in again, and leave every box ticked. If the provider offers no such box, the administrator must add these scopes to the application.",
    )
    .or(Administrator),
    always(
        Cause::OtherMailbox,
        NeedsSignIn,
        MailboxOwner,
        "Ask for a new link, sign out at the provider, and sign in with the mailbox that is to be connected. If both are the same mailbox, the administrator must enter the login as the provider writes it, or name another identity claim.",
    )
    .or(Administrator),
    always(
        Cause::SignInInterrupted,
        NeedsSignIn,
        MailboxOwner,
        "Ask for a new link in a few minutes and sign in again. If it stays, the administrator finds the cause in the log.",
    )
    .or(Administrator),
    always(
        Cause::SignInUnclear,
        Unknown,
        Administrator,
        "Check the URLs of the client configuration, and look what the provider said up in its documentation: its answer cannot be used. Then make a new link.",
    ),
    always(
        Cause::SignInNotStored,
        NeedsSignIn,
        MailboxOwner,
        "Ask for a new link in a few minutes. If it fails again, the administrator finds the cause in the log.",
    )
    .or(Administrator),
    always(
        Cause::SignInSlow,
        NeedsSignIn,
        MailboxOwner,
        "Wait a few minutes, and look whether the mailbox is connected, which the administrator sees: a sign-in that was made goes on by itself. If it is not, ask for a new link.",
    )
    .or(Administrator),
    always(
        Cause::Busy,
        NeedsSignIn,
        MailboxOwner,
        "Load this page again in a minute.",
    ),
];
