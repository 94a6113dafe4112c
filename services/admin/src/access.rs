//! Who calls, and what the role of the caller's key allows.

use axum::extract::FromRequestParts;
use http::header;
use http::request::Parts;
use mailmesh_domain::Role;
use mailmesh_secrets::{SecretString, random_token, sha256};
use mailmesh_store::api_key;

use crate::error::ApiError;
use crate::state::{App, SharedApp};

pub(crate) const KEY_PREFIX: &str = "mm_";
const KEY_BYTES: usize = 32;

/// Makes a key and the hash that is stored of it.
pub(crate) fn new_key() -> (SecretString, [u8; 32]) {
    use mailmesh_secrets::ExposeSecret;
    let random = random_token(KEY_BYTES);
    let key = format!("{KEY_PREFIX}{}", random.expose_secret());
    let hash = sha256(key.as_bytes());
    (SecretString::from(key), hash)
}

/// The key is looked up by its hash, so that how long it takes says nothing about the key.
async fn role_of(parts: &Parts, app: &App) -> Result<Role, ApiError> {
    let header = parts.headers.get(header::AUTHORIZATION);
    let text = header.and_then(|value| value.to_str().ok());
    let (scheme, key) = text
        .and_then(|text| text.split_once(' '))
        .ok_or(ApiError::Unauthorized)?;
    if !scheme.eq_ignore_ascii_case("bearer") {
        return Err(ApiError::Unauthorized);
    }
    let hash = sha256(key.trim().as_bytes());
    if let Some(role) = app.known_keys.find(&hash) {
        return Ok(role);
    }
    let mut tx = app.begin().await?;
    let found = api_key::find_by_hash(&mut tx, &hash).await?;
    let role = found.ok_or(ApiError::Unauthorized)?.role;
    app.known_keys.remember(hash, role);
    Ok(role)
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
    fn is_administrator(&self) -> bool;
}

macro_rules! callers {
    ($($(#[$doc:meta])* $name:ident needs $role:ident),+ $(,)?) => {$(
        $(#[$doc])*
        #[derive(Debug)]
        pub(crate) struct $name(Role);

        impl Caller for $name {
            fn is_administrator(&self) -> bool {
                self.0 == Role::Administrator
            }
        }

        impl FromRequestParts<SharedApp> for $name {
            type Rejection = ApiError;

            async fn from_request_parts(
                parts: &mut Parts,
                app: &SharedApp,
            ) -> Result<Self, ApiError> {
                let role = role_of(parts, app).await?;
                if rank(role) < rank(Role::$role) {
                    return Err(ApiError::Forbidden { needed: Role::$role });
                }
                Ok(Self(role))
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
