use mailmesh_domain::{AccountId, AfterReceive, Authorisation, Direction, Encryption, Protocol};
use mailmesh_secrets::SealingKey;
use mailmesh_store::account::Account;
use mailmesh_store::client_configuration::ClientConfiguration;
use serde::Deserialize;
use time::OffsetDateTime;

use crate::field::{Field, SecretText};

/// A creation or a change.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct AccountInput {
    pub(crate) key: Field<String>,
    pub(super) name: Field<String>,
    pub(super) enabled: Field<bool>,
    pub(super) protocol: Field<Protocol>,
    pub(super) direction: Field<Direction>,
    pub(super) host: Field<String>,
    pub(super) port: Field<i64>,
    pub(super) encryption: Field<Encryption>,
    pub(super) authorisation: Field<Authorisation>,
    pub(super) login: Field<String>,
    pub(super) password: Field<SecretText>,
    pub(crate) client_configuration: Field<String>,
    pub(super) from_addresses: Field<Vec<String>>,
    pub(super) folders: Field<Vec<String>>,
    pub(super) receive_existing: Field<bool>,
    pub(super) poll_interval_seconds: Field<i64>,
    pub(super) after_receive: Field<AfterReceive>,
    pub(super) delete_after_days: Field<i64>,
    pub(super) move_to: Field<String>,
    pub(super) max_connections: Field<i64>,
    pub(super) ca_pem: Field<String>,
}

impl AccountInput {
    /// Returns whether the request itself says where the server is.
    pub(crate) const fn names_server(&self) -> bool {
        self.host.is_given()
    }
}

/// What the input is merged with.
#[derive(Debug)]
pub(crate) struct MergeContext<'a> {
    pub(crate) id: AccountId,
    pub(crate) now: OffsetDateTime,
    pub(crate) current: Option<&'a Account>,
    /// The client configuration that the account has after the change.
    pub(crate) client: Option<&'a ClientConfiguration>,
    pub(crate) sealing_key: &'a SealingKey,
}
