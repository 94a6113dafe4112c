//! Events about accounts and client configurations.

use mailmesh_domain::{AccountState, Key};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::Problem;
use crate::envelope::event;

/// A person has signed in for an account, or its client, which needs no person, got its first token; the grant is stored. Whether the mail server takes it is tried afterwards:
/// `account.failing` or `account.sign_in_required` tells if it does not.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct AccountAuthenticated {
    /// The account's key.
    pub account: Key,
    /// The scopes that were granted.
    pub scopes: Vec<String>,
}
event!(AccountAuthenticated, "account.authenticated", account);

/// An account was created, changed or deleted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct AccountChanged {
    /// The account's key.
    pub account: Key,
    /// Whether it was deleted.
    pub is_deleted: bool,
}
event!(AccountChanged, "account.changed", account);

/// The provider refuses the account's grant: a person must sign in again.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct AccountSignInRequired {
    /// The account's key.
    pub account: Key,
    /// What happened and what to do.
    pub problem: Problem,
}
event!(AccountSignInRequired, "account.sign_in_required", account);

/// An account cannot work, for a reason other than its sign-in.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct AccountFailing {
    /// The account's key.
    pub account: Key,
    /// What happened and what to do.
    pub problem: Problem,
    /// Whether nothing has worked yet with the account's present settings, so that they are the likely reason.
    #[serde(default)]
    pub is_unproved: bool,
}
event!(AccountFailing, "account.failing", account);

/// An account works again.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct AccountRecovered {
    /// The account's key.
    pub account: Key,
    /// The state that it left.
    pub was: AccountState,
}
event!(AccountRecovered, "account.recovered", account);

/// The provider refuses a client configuration as a whole.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ClientRefused {
    /// The client configuration's key.
    pub client_configuration: Key,
    /// What happened and what to do.
    pub problem: Problem,
}
event!(ClientRefused, "client.refused", client_configuration);
