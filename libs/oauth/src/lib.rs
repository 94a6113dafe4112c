//! Talks to OAuth 2.0 providers: authorise URL, code exchange, refresh, identity, and a verdict on
//! every failure.
//!
//! Promises that each call ends within its time limit, reads no more than [`BODY_LIMIT`] bytes,
//! follows no redirect, takes no proxy from the environment, never speaks without TLS except to
//! this machine, and connects to hosts that metadata names only where they are public or allowed; that whatever goes
//! wrong comes back as an [`OAuthError`] which says what it means, who must act and what to do; and
//! that no error, `Debug` or log line holds a token, code or secret, even if the provider echoes
//! one.
//!
//! Providers are data ([`profile`], [`discover`]): no code asks which one it speaks to. Answers are
//! read as leniently as real providers need, and identities as strictly as the standard asks.
//!
//! The protocol is the `oauth2` crate's; the HTTP beneath is ours, because that crate hides status
//! and headers and would call a 503 page a parse error. It refuses implicit and password grants, and
//! it keeps nothing but the metadata of providers: grants, retries and schedules belong to the callers.

mod app_token;
mod authorize;
mod body;
mod cause;
mod check;
mod client;
mod client_key;
mod discovery;
mod endpoints;
mod error;
mod http;
mod id_token;
mod identity;
mod key_cache;
mod keys;
mod operation;
pub mod profile;
mod provider;
mod proxy;
mod public;
mod refusal;
mod registration;
mod resolver;
mod retry_after;
mod schedule;
mod scope;
mod signer;
mod token;
mod wire;

pub use app_token::{request_for_client, request_for_mailbox};
pub use authorize::{
    AuthorizeRequest, Pkce, RESERVED_PARAMETERS, authorize_url, check_issuer_parameter,
};
pub use check::check_provider;
pub use client::Client;
pub use client_key::{ClientKey, ClientKeyError, ServiceAccount};
pub use discovery::discover;
pub use endpoints::Endpoints;
pub use error::OAuthError;
pub use http::{BODY_LIMIT, HttpClient, HttpSettings, HttpSetupError, is_protected};
pub use id_token::IdTokenError;
pub use identity::{Identity, identify};
pub use operation::Operation;
pub use provider::{Provider, ProviderError, Providers, RegisteredClient};
pub use proxy::{ForwardProxy, NoProxy};
pub use public::{OWN_REDIRECT_PATH, PublicSettings};
pub use refusal::ProviderRefusal;
pub use registration::Registration;
pub use schedule::{access_expires_at, refresh_due_at};
pub use scope::missing_scopes;
pub use signer::Signer;
pub use token::{TokenAnswer, exchange_code, refresh};
