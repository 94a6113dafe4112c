//! HTTP API and page for operators: client configurations, accounts, sign-in links, the outbox, API keys.
//!
//! Consumes nothing. Publishes `account.changed`, `mail.sent` and `mail.failed` (an operator's decision on an uncertain
//! mail) and `mail.cancelled`, all by the outbox. Writes `client_configurations`, `accounts`, `sign_ins` and `api_keys`,
//! voids the cursors of an account with another host or login, deletes grants that belong to nothing any more, and ends
//! outbound mails that an operator decides on.
//!
//! Promises:
//! - Nothing is changed without an API key whose role allows it; keys are stored as hashes.
//! - A secret goes in and never comes out: this process holds the public key alone and cannot open what it sealed.
//!   Nor does it go to a server of a modeller's choice: tokens go to the provider's own servers and to those that an
//!   administrator has used with the client configuration; a password is asked for again with another server.
//! - A change and its event are committed together. Reading never calls a provider.
//! - Bad input is refused with the path of every field at fault and what to write instead.
//!
//! Refuses unknown fields, secrets over unprotected connections (except to the same machine), and to delete what is in
//! use: a client configuration with accounts, an account with unsent mail, the last administrator's key.

mod access;
mod account;
mod client_configuration;
mod config;
mod context;
mod error;
mod extract;
mod field;
mod key_file;
mod known_keys;
mod made_key;
mod page;
mod raw_body;
mod routes;
mod service;

pub use config::Config;
pub use made_key::{NewKey, make_key};
pub use service::Service;
