//! Who calls, and what the caller's key allows.

use axum::extract::FromRequestParts;
use http::header;
use http::request::Parts;
use mailmesh_domain::{ApiKeyId, Key, Role};
use mailmesh_secrets::{SecretString, random_token, sha256};
use mailmesh_store::api_key::{self, ApiKey};
use std::sync::Arc;
use std::time::Duration;
use tracing::Span;

use crate::context::{ServiceContext, SharedContext};
use crate::error::ApiError;

pub(crate) const KEY_PREFIX: &str = "mm_";
const KEY_BYTES: usize = 32;
/// How exactly the last use is known.
const USE_RECORDED_EVERY: Duration = Duration::from_mins(1);

/// Makes a key and the hash that is stored of it.
pub(crate) fn new_key() -> (SecretString, [u8; 32]) {
    use mailmesh_secrets::ExposeSecret;
    let random = random_token(KEY_BYTES);
    let key = format!("{KEY_PREFIX}{}", random.expose_secret());
    let hash = sha256(key.as_bytes());
    (SecretString::from(key), hash)
}

/// The key is looked up by its hash, so that how long it takes says nothing about the key.
async fn key_of(parts: &Parts, app: &ServiceContext) -> Result<Arc<ApiKey>, ApiError> {
    let header = parts.headers.get(header::AUTHORIZATION);
    let text = header.and_then(|value| value.to_str().ok());
    let (scheme, key) = text
        .and_then(|text| text.split_once(' '))
        .ok_or(ApiError::Unauthorized)?;
    if !scheme.eq_ignore_ascii_case("bearer") {
        return Err(ApiError::Unauthorized);
    }
    let (hash, now) = (sha256(key.trim().as_bytes()), app.now());
    let known = app.known_keys.find(&hash).filter(|key| key.is_valid(now));
    if let Some(known) = known {
        return Ok(known);
    }
    let mut tx = app.begin().await?;
    let found = api_key::find_by_hash(&mut tx, &hash, now).await?;
    let Some(found) = found else {
        // Nobody but its holder can name the hash.
        let expired_at = api_key::find_expiry(&mut tx, &hash, now).await?;
        return Err(expired_at.map_or(ApiError::Unauthorized, |at| ApiError::Expired { at }));
    };
    let key = Arc::new(found);
    if api_key::record_use(&mut tx, key.id, USE_RECORDED_EVERY, now).await? {
        tx.commit().await?;
    }
    app.known_keys.remember(hash, Arc::clone(&key));
    Ok(key)
}

const fn rank(role: Role) -> u8 {
    match role {
        Role::Viewer => 0,
        Role::Modeller => 1,
        Role::Administrator => 2,
    }
}

/// A caller whose key has the role that the route needs.
pub(crate) trait Caller {
    fn key(&self) -> &ApiKey;

    fn is_administrator(&self) -> bool {
        self.key().role == Role::Administrator
    }

    /// Returns the key that what the caller makes is bound to; none for administrators, who vouch for all.
    fn bound_key(&self) -> Option<ApiKeyId> {
        (!self.is_administrator()).then_some(self.key().id)
    }

    /// Returns whether the caller's key is for this account, too.
    fn may_see(&self, account: &Key) -> bool {
        let scope = self.key().accounts.as_ref();
        scope.is_none_or(|accounts| accounts.contains(account))
    }

    /// Hides what the caller's key is not for: that it exists is none of the caller's business.
    fn check_account(&self, account: &Key, what: &'static str) -> Result<(), ApiError> {
        let is_seen = self.may_see(account);
        is_seen.then_some(()).ok_or(ApiError::NotFound { what })
    }
}

macro_rules! callers {
    ($($(#[$doc:meta])* $name:ident needs $role:ident),+ $(,)?) => {$(
        $(#[$doc])*
        #[derive(Debug)]
        pub(crate) struct $name(Arc<ApiKey>);

        impl Caller for $name {
            fn key(&self) -> &ApiKey {
                &self.0
            }
        }

        impl FromRequestParts<SharedContext> for $name {
            type Rejection = ApiError;

            async fn from_request_parts(
                parts: &mut Parts,
                app: &SharedContext,
            ) -> Result<Self, ApiError> {
                let key = key_of(parts, app).await?;
                // Every line that is logged for this request tells who asked.
                Span::current().record("actor", tracing::field::display(key.id));
                if rank(key.role) < rank(Role::$role) {
                    return Err(ApiError::Forbidden { needed: Role::$role });
                }
                Ok(Self(key))
            }
        }
    )+};
}

callers! {
    /// A caller that may read.
    Viewer needs Viewer,
    /// A caller that may also change accounts, sign in and decide on mails.
    Modeller needs Modeller,
    /// A caller that may do everything.
    Administrator needs Administrator,
}
