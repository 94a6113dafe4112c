//! Watches mailboxes and publishes each new mail once, as `mail.received`.
//!
//! Listens to the hints `account.changed`, `account.authenticated` and `token.refreshed`. Publishes `mail.received` under the
//! account's fence; `mail.quarantined`, `mailbox.reset`, `account.failing`, `account.recovered` and
//! `account.sign_in_required` through the outbox; asks for `token.refresh`. Writes
//! `mailbox_cursors`, `received_mails`, `listed_mails`, `quarantined_mails`, and `account_status` of its accounts.
//!
//! Promises that every mail of a watched folder that is there when the server is next reached
//! becomes exactly one event: the cursor moves only after the stream has confirmed the event, and
//! whoever publishes has taken the account's fence first and then read back what an earlier owner
//! published without recording it. Leases only decide who tries. The fence is taken before the first
//! mail is published rather than when the account is: until then there is nothing it could protect,
//! and ten thousand accounts that change hands would cost as many synced writes for nothing.
//!
//! Events of one folder come in the order of ordinals. When the stream refuses one event out of a batch
//! (it is full, or a server went away), the later ones of that batch may stand before it.
//!
//! A mail of up to 16 MiB is held in memory while it is published; a larger one is read twice, first
//! for the hash that its id is made of, then into the raw store. All accounts together hold no more
//! than the budget in the settings; room for what a server may send is reserved before it is asked.
//!
//! A mail that cannot be read is quarantined, so that it stops no other, but only once another mail of
//! its folder was read right before it failed again: a server whose every fetch fails for a while
//! would else have its mails quarantined one after the other.
//!
//! Refuses to guess: if the account's events cannot be read back, nothing is published.
//!
//! The parts, each of which owns its state and has its own rooms in a folder of its name: `account` connects and decides on
//! failures; `watch` looks into folders and waits; `progress` knows what of each was received and what is new, by `cursor`,
//! `reconcile` and `known_mail` for sources that list what lies after an ordinal, by `seen_set` for those that list their whole
//! mailbox; `ownership` takes the fence and reads back; `receive` fetches, stores, publishes and records through `publish`, and
//! counts in `poison` what a mail breaks. None of them knows a protocol.

mod account;
mod account_context;
mod budget;
mod config;
mod context;
mod failure;
mod liveness;
mod mail_id;
mod metric;
mod open_folder;
mod ownership;
mod post_action;
mod prepare;
mod progress;
mod receive;
mod recorder;
mod retention;
mod service;
mod standby;
mod token_refusal;
mod watch;
mod work;

pub use config::{Config, ConfigProblem, Settings};
pub use service::Service;
