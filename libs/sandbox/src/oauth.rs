//! The authorisation server: RFC 6749 with PKCE, `OpenID` Connect, RFC 7009, 7662 and 9207.
//!
//! One set of rules with three behaviours: what differs between the personalities is decided in [`failure`], in the
//! token book, and where a handler asks for the [`Personality`].

mod app;
mod application;
mod authorize;
mod claim;
mod client;
mod code;
mod consent;
mod counter;
mod failure;
mod fields;
mod introspect;
mod key;
pub(crate) mod listener;
mod metadata;
mod redeem;
mod refuse;
mod revoke;
mod statement;
mod token_request;
mod userinfo;

use std::fmt;
use std::sync::Arc;

use axum::Router;
use axum::http::HeaderMap;
use axum::routing::{get, post};
use mailmesh_domain::Clock;

pub(crate) use application::ApplicationBook;
pub(crate) use client::ClientBook;
pub use client::InvalidRedirectUri;
pub(crate) use code::CodeBook;
pub(crate) use consent::ConsentBook;
pub(crate) use counter::AtomicCounters;
pub use counter::{MailboxCounts, OAuthCounters};
pub(crate) use key::SigningKey;
pub use key::SigningKeyError;

use crate::fault::FaultBook;
use crate::mailbox::MailStore;
use crate::settings::Personality;
use crate::token::TokenBook;

/// The one directory (tenant) of all mailboxes when Microsoft is imitated.
const TENANT_ID: &str = "5a9db0c7-51de-4b6f-9f0e-0d0000000001";

/// Everything the handlers share.
pub(crate) struct ProviderState {
    pub(crate) personality: Personality,
    pub(crate) auto_consent: bool,
    pub(crate) ask_password: bool,
    pub(crate) base_url: String,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) tokens: TokenBook,
    pub(crate) faults: FaultBook,
    pub(crate) mail: MailStore,
    pub(crate) clients: ClientBook,
    pub(crate) applications: ApplicationBook,
    pub(crate) codes: CodeBook,
    pub(crate) consents: ConsentBook,
    pub(crate) counters: AtomicCounters,
    pub(crate) key: SigningKey,
}

impl ProviderState {
    /// Returns a stable, opaque name of the mailbox's owner.
    fn subject(&self, address: &str) -> String {
        let seed = format!("subject:{}", address.to_ascii_lowercase());
        let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, seed.as_bytes());
        let number = digest
            .as_ref()
            .iter()
            .take(8)
            .fold(0_u64, |number, byte| number << 8 | u64::from(*byte));
        match self.personality {
            Personality::Google => format!("1{number:020}"),
            Personality::Microsoft | Personality::Standard => format!("{number:016x}"),
        }
    }

    /// Returns the issuer for a request that came in under `tenant`, or under no tenant.
    fn issuer(&self, tenant: Option<&str>) -> String {
        match tenant {
            None => self.base_url.clone(),
            Some(tenant) if is_shared_authority(tenant) => {
                format!("{}/{TENANT_ID}/v2.0", self.base_url)
            }
            Some(tenant) => format!("{}/{tenant}/v2.0", self.base_url),
        }
    }

    /// Writes scopes as this provider's token answers name them.
    fn scope_names(&self, scopes: &[String]) -> String {
        let named: Vec<&str> = scopes
            .iter()
            .map(String::as_str)
            .filter(|scope| {
                self.personality != Personality::Microsoft || *scope != "offline_access"
            })
            .collect();
        named.join(" ")
    }

    /// Returns a scope in the spelling under which consent to it is kept.
    fn canonical_scope(&self, scope: &str) -> String {
        match (self.personality, scope) {
            (Personality::Google, "email" | "profile") => {
                format!("https://www.googleapis.com/auth/userinfo.{scope}")
            }
            _ => scope.to_owned(),
        }
    }

    fn has_scope(&self, scopes: &[String], scope: &str) -> bool {
        scopes.contains(&self.canonical_scope(scope))
    }
}

impl fmt::Debug for ProviderState {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Provider")
            .field("personality", &self.personality)
            .field("base_url", &self.base_url)
            .finish_non_exhaustive()
    }
}

/// Builds the authorisation server without opening a socket.
pub(crate) fn router(provider: Arc<ProviderState>) -> Router {
    let mut router = Router::new()
        .route("/.well-known/openid-configuration", get(metadata::show))
        .route(
            "/.well-known/oauth-authorization-server",
            get(metadata::show),
        )
        .route("/jwks", get(metadata::show_keys))
        .route("/authorize", get(authorize::show).post(authorize::decide))
        .route("/token", post(redeem::redeem))
        .route("/userinfo", get(userinfo::show).post(userinfo::show));
    match provider.personality {
        Personality::Google => {
            router = router.route("/revoke", post(revoke::revoke));
        }
        Personality::Standard => {
            router = router
                .route("/revoke", post(revoke::revoke))
                .route("/introspect", post(introspect::introspect));
        }
        Personality::Microsoft => {
            router = router
                .route(
                    "/{tenant}/v2.0/.well-known/openid-configuration",
                    get(metadata::show),
                )
                .route("/{tenant}/discovery/v2.0/keys", get(metadata::show_keys))
                .route(
                    "/{tenant}/oauth2/v2.0/authorize",
                    get(authorize::show).post(authorize::decide),
                )
                .route("/{tenant}/oauth2/v2.0/token", post(redeem::redeem));
        }
    }
    router.with_state(provider)
}

/// Returns the token of an `Authorization: Bearer` header.
fn find_bearer(headers: &HeaderMap) -> Option<&str> {
    let value = headers.get("authorization")?.to_str().ok()?;
    let (scheme, token) = value.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| token.trim())
}

fn is_shared_authority(tenant: &str) -> bool {
    matches!(tenant, "common" | "organizations" | "consumers")
}
