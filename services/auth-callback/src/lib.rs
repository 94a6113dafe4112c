//! Receives the provider's answer to a sign-in and stores the grant; the only service on the public
//! internet.
//!
//! Publishes `token.refreshed` and `account.authenticated`; writes `grants`, the grant of `accounts`,
//! and `sign_ins`.
//!
//! Promises: a state works once, in the browser that started it, for fifteen minutes. Nothing is
//! stored unless issuer, nonce, scopes and identity are what was asked for; whatever goes wrong, the
//! account and its earlier grant are as they were, and a page says what happened, the provider's
//! code, who must act and what to do. What is stored is sealed, given to every account of the same
//! mailbox, and tried at the account's own mail server before the page says that it works.
//!
//! Whoever connects and says nothing takes no place from others, and nobody holds the stop.
//!
//! Each client configuration has a redirect URI of its own, `/oauth/callback/<key>`, so that an answer of one provider
//! cannot be passed off as another's where providers do not name themselves (RFC 9700 §4.4); one configuration may use the
//! URI without a key.
//!
//! Refuses: states that were forged, used or are late; answers of another issuer (RFC 9207), at the redirect URI of another client configuration, or for
//! another client configuration than the sign-in was started with; another mailbox than the account's,
//! and people whose mailbox the provider does not tell though it was asked (with the scope `openid` or
//! an identity claim); grants that would end within a day because the provider gave no
//! refresh token. No URL, redirect or text of a page is taken from a request: results travel to the
//! clean URL in a cookie that only this service can open, so any replica can show them.

mod config;
mod context;
mod cookie;
mod failure;
mod metric;
mod page;
mod probe;
mod routes;
mod service;
mod sign_in;
mod storing;

pub use config::Config;
pub use service::Service;
