//! Sends queued mail from the mailboxes of its accounts, once.
//!
//! | | |
//! |---|---|
//! | consumes | `mail.send`, `mail.cancel` (durable `outbound-sender-send-mail`); hints: `account.changed`, `account.authenticated`, `token.refreshed`, `outbound.due` |
//! | publishes | `mail.sent`, `mail.deferred`, `mail.failed`, `mail.uncertain`, `mail.rejected`, `mail.repeated`, `mail.cancelled`; `account.*` of its accounts; asks `token.refresh` |
//! | writes | `outbound_mails`, `outbound_cancels`, `outbound_blocks`, `send_attempts`, its rows of `account_status`, `account_leases`, `outbox`, `replicas` |
//!
//! Promises that a command which NATS has acknowledged becomes one mail or one `mail.rejected`; that
//! the same idempotency key is sent once; that an attempt is committed (SMTP: its final dot is sent)
//! only after the database has recorded that stage, so that of two replicas that believe they hold an
//! account one stops; and that a mail whose outcome is unknown is never sent again in silence. Mail of
//! an account that waits for a sign-in waits with it and loses no attempt. A `mail.cancel` that NATS has acknowledged takes
//! back the mail of a `mail.send` in front of it, or an event says why not, whichever replica hears either first.
//!
//! Refuses on the way in: unknown fields and accounts, foreign senders, line breaks in headers,
//! mail that is too large. A mail's id begins with the moment at which the stream stored the
//! command, so that ids sort by age, and a command that comes twice is the same mail.

mod account;
mod account_cache;
mod cancel;
mod cancel_event;
mod config;
mod context;
mod decide;
mod deleted_account;
mod delivery;
mod draft;
mod due;
mod event;
mod failure;
mod gauge;
mod handlers;
mod in_flight;
mod job;
mod leftover;
mod metric;
mod raw_cache;
mod recorder;
mod recovery;
mod retention;
mod retry_policy;
#[cfg(test)]
mod sample;
mod sent_folder;
mod service;
mod uncertain;
mod work;

pub use config::{Config, ConfigProblem};
pub use service::Service;
