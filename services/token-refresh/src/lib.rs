//! Refreshes every grant before it is needed, once across all replicas.
//!
//! Subscribes to `token.refresh`; publishes `token.refreshed`, `token.refresh_failed`,
//! `account.sign_in_required`, `account.failing`, `account.recovered`, `account.authenticated` and `client.refused`; writes
//! `grants` and the refusal in `client_configurations`.
//!
//! Promises: at most one refresh is in flight per grant (a claim in the database, longer than any
//! request may take). New tokens are committed before anybody can use them. A timeout, a 429 or a
//! broken server changes no state and loses no token. A provider's `invalid_grant` is believed only
//! if the row is still the one that was sent. A client that is refused as a whole is reported once,
//! its grants wait and are probed slowly, and they go on by themselves once it is corrected.
//! Every grant is refreshed at least weekly, used or not, so none dies of disuse.
//!
//! Of clients that need no person it starts the grants: one a mailbox, as soon as an account of it has none. Such a grant holds
//! no refresh token; each token is asked for anew, and one whose answer was lost is asked for again.
//!
//! An answer that is lost on the way may have rotated the refresh token. The old one is kept and
//! tried again: most providers accept it, and one that takes it for theft refuses, which is then
//! visible as a sign-in that is required. Nothing better is possible: RFC 6749 gives the client no
//! way to ask for the answer again.

mod app_grant;
mod client_limiter;
mod config;
mod context;
mod decide;
mod failure;
mod handlers;
mod metric;
mod record;
mod refresh;
mod schedule;
mod service;
mod takeover;

pub use config::{Config, ConfigProblem};
pub use service::Service;
