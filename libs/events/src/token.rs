//! Events about grants, and the request to refresh one.

use mailmesh_domain::{GrantId, Key};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use time::OffsetDateTime;

use crate::Problem;
use crate::envelope::event;

/// A grant has a new access token in the database. Never holds the token.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct TokenRefreshed {
    /// The grant.
    pub grant_id: GrantId,
    /// Counts up with every stored access token of the grant.
    pub generation: i64,
    /// When the access token ends.
    #[serde(with = "time::serde::rfc3339")]
    #[schemars(with = "String", extend("format" = "date-time"))]
    pub expires_at: OffsetDateTime,
}
event!(TokenRefreshed, "token.refreshed", grant_id);

/// A refresh failed; the grant's state is unchanged unless `problem` says otherwise.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct TokenRefreshFailed {
    /// The grant.
    pub grant_id: GrantId,
    /// The generation that stays in use.
    pub generation: i64,
    /// The accounts that use the grant, by key; the first hundred.
    #[serde(default)]
    pub accounts: Vec<Key>,
    /// What happened and what to do.
    pub problem: Problem,
}
event!(TokenRefreshFailed, "token.refresh_failed", grant_id);

/// Asks `token-refresh` to refresh a grant now, because a server refused the access token of this
/// generation. A hint on core NATS: whoever needs the token asks again until it has changed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[schemars(deny_unknown_fields)]
pub struct RefreshToken {
    /// The grant.
    pub grant_id: GrantId,
    /// The generation that was refused.
    pub refused_generation: i64,
}
