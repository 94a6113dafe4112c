//! All SQL of the mesh: migrations, and one module a table. Holds only sealed secrets.
//!
//! Functions are plain and take a [`Tx`]; ids and moments come in as parameters, except that leases
//! are judged by the database's own clock, so that replicas need not agree on the time. Rows become
//! domain types here: a row that does not fit names its table, column and id.
//!
//! | table | written by |
//! |---|---|
//! | `client_configurations` | admin; `refusal`: token-refresh; `token_origin`: auth-callback, token-refresh |
//! | `accounts` | admin; `grant_id`: auth-callback, token-refresh |
//! | `account_status` | inbound-fetcher, outbound-sender, each for its accounts; the state only by who holds the lease (admin inserts the row) |
//! | `account_leases` | inbound-fetcher, outbound-sender (admin inserts the row) |
//! | `grants` | auth-callback inserts and replaces, token-refresh updates, and inserts those of applications, admin deletes unused ones |
//! | `sign_ins` | admin inserts, auth-callback consumes |
//! | `mailbox_cursors`, `received_mails`, `quarantined_mails` | inbound-fetcher; admin voids the cursors of an account with another host or login |
//! | `listed_mails` | inbound-fetcher; admin makes those of an account with another host or login absent |
//! | `outbound_mails`, `send_attempts` | outbound-sender; admin decides and cancels |
//! | `event_proofs` | migrations |
//! | `outbox` | every service inserts its events; its relay deletes them |
//! | `replicas` | every service, its own row |
//! | `api_keys` | admin |
//! | sealed columns of all | `mailmesh reseal` puts the same secret there, sealed anew |

pub mod account;
pub mod account_status;
pub mod api_key;
pub mod client_configuration;
mod convert;
mod database;
mod error;
pub mod event_mark;
pub mod event_proof;
pub mod grant;
pub mod lease;
pub mod listed_mail;
pub mod mailbox;
pub mod outbound_mail;
pub mod outbox;
pub mod progress;
pub mod raw_mail;
pub mod replica;
mod role;
mod row_secret;
pub mod sealed;
pub mod send_attempt;
mod settings;
pub mod sign_in;
mod timed_connection;

pub use database::{Database, DatabaseSettings, MigrationState, Tx, URGENT_CONNECTIONS};
pub use error::StoreError;
pub use role::ServiceRole;
pub use row_secret::RowSecret;
pub use settings::PostgresSettings;
