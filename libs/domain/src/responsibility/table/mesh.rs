//! The mesh itself, and what passes whoever fails.

use super::{Row, always};
use crate::FailureCause as Cause;
use crate::MustAct::{Administrator, MailboxOwner, Nobody};
use crate::VerdictKind::{NeedsAdministrator, NeedsSignIn, Throttled, Transient, Unknown};

pub(super) const ROWS: &[Row] = &[
    always(
        Cause::Transient,
        Transient,
        Nobody,
        "Nothing: it is tried again by itself.",
    ),
    always(
        Cause::Throttled,
        Throttled,
        Nobody,
        "Nothing: the provider asked to wait, and it is tried again by itself.",
    ),
    always(
        Cause::Locked,
        Throttled,
        Nobody,
        "Nothing: the provider asked to wait, and it is tried again by itself.",
    ),
    always(
        Cause::NoPassword,
        NeedsAdministrator,
        Administrator,
        "Give the account its password.",
    ),
    always(
        Cause::NotSignedIn,
        NeedsSignIn,
        MailboxOwner,
        "Sign in for this mailbox: nobody has yet.",
    ),
    always(
        Cause::GrantSuspended,
        NeedsAdministrator,
        Administrator,
        "Correct the client configuration, or have the mailbox signed in again: its sign-in was suspended when the configuration changed.",
    )
    .or(MailboxOwner),
    always(
        Cause::AccountSecretSealed,
        NeedsAdministrator,
        Administrator,
        "Give this service the key that the account's secret was sealed for and start it anew; if that is lost, store the password again or have the mailbox signed in again.",
    ),
    always(
        Cause::ClientSecretSealed,
        Unknown,
        Administrator,
        "Give this service the key that the client secret was sealed for and start it anew; if that is lost, store the client secret again.",
    ),
    always(
        Cause::RefreshTokenSealed,
        Unknown,
        Administrator,
        "Give this service the key that the token was sealed for and start it anew; if that is lost, the mailbox needs a new sign-in.",
    )
    .or(MailboxOwner),
    always(
        Cause::NoSealingKey,
        Unknown,
        Administrator,
        "Give this service the keys of its configuration and start it anew.",
    ),
    always(
        Cause::MeshFailed,
        Transient,
        Administrator,
        "See that Postgres and NATS run and have room; the service's log names the cause. It is tried again by itself.",
    ),
    always(
        Cause::EventUnreadable,
        Transient,
        Administrator,
        "Find out who else publishes events of this account: one on the stream EVENTS is not ours, or of a later release. It is tried again by itself.",
    ),
    always(
        Cause::BusSilent,
        Transient,
        Administrator,
        "Start NATS, or set nats.url to where it is.",
    ),
    always(
        Cause::NoJetStream,
        Transient,
        Administrator,
        "Free room on the disk of the NATS server, see that it runs with --jetstream, and restart it.",
    ),
    always(
        Cause::StreamSilent,
        Transient,
        Administrator,
        "See that enough servers of the NATS cluster run, if this does not pass within a minute.",
    ),
    always(
        Cause::StreamGone,
        Transient,
        Administrator,
        "Let the services' NATS user make streams, or make it by starting a service that may.",
    ),
    always(
        Cause::StreamFull,
        Transient,
        Administrator,
        "Let consumers catch up, or give the stream more room in [nats.streams].",
    ),
    always(
        Cause::NoStorage,
        Transient,
        Administrator,
        "Free room on the disk of the NATS server, or raise its max_file_store or the account's limit.",
    ),
    always(
        Cause::NotServed,
        Transient,
        Administrator,
        "See that the service named here runs and that its Postgres takes writes.",
    ),
    always(
        Cause::TokenNotReplaced,
        Transient,
        Administrator,
        "Check that token-refresh runs and reaches the provider; its log says more.",
    ),
    always(
        Cause::NotConfirmed,
        Transient,
        Administrator,
        "See the log of inbound-fetcher for this account.",
    ),
    always(
        Cause::HiddenFromOthers,
        NeedsAdministrator,
        Administrator,
        "Check host, port, encryption and login of the account; an administrator sees what the server said.",
    ),
];
