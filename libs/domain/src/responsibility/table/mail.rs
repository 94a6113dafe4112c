//! Single mails.

use super::{Row, always};
use crate::FailureCause as Cause;
use crate::MustAct::{Administrator, Nobody};
use crate::VerdictKind::{Permanent, Transient, Unknown};

pub(super) const ROWS: &[Row] = &[
    always(
        Cause::MailUnsendable,
        Permanent,
        Administrator,
        "Correct what is named here, and send it as a new mail: trying again would not help.",
    ),
    always(
        Cause::BodyGone,
        Permanent,
        Administrator,
        "Have it sent anew; if that happens again, find out who deletes from the stream MAIL_RAW.",
    ),
    always(
        Cause::BodyExchanged,
        Permanent,
        Administrator,
        "Find out who else writes to the stream MAIL_RAW, then have the mail sent anew.",
    ),
    always(
        Cause::MailUncertain,
        Unknown,
        Administrator,
        "Look for the mail in the Sent folder, then decide: POST /v1/outbox/<mail_id>/decision with resend, assume_sent or fail.",
    ),
    always(
        Cause::MailGivenUp,
        Permanent,
        Administrator,
        "Correct what is named here, then send it again under another idempotency key.",
    ),
    always(
        Cause::MailDecidedUnsent,
        Permanent,
        Administrator,
        "Send it again under another idempotency key, if it is still needed.",
    ),
    always(
        Cause::MailUnreadable,
        Permanent,
        Administrator,
        "Look at the mail in the mailbox; moved out of the folder and back it is tried again.",
    ),
    always(
        Cause::NotPushed,
        Transient,
        Nobody,
        "Nothing: pushing is tried again by itself, once an hour. To have mail sooner meanwhile, shorten the account's poll interval.",
    ),
];
