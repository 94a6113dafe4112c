//! What may be said of an account, and what comes of it.

mod credentials;
mod destination;
mod server;
mod settle;
mod view;
mod watching;

use mailmesh_domain::{AfterReceive, Authorisation, Direction, Encryption, Protocol};
use serde::Deserialize;

use crate::field::{Field, SecretText};

pub(crate) use destination::check_destination;
pub(crate) use settle::{Basis, settle};
pub(crate) use view::{View, load_views};

/// A creation or a change.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Input {
    pub(crate) key: Field<String>,
    name: Field<String>,
    enabled: Field<bool>,
    protocol: Field<Protocol>,
    direction: Field<Direction>,
    host: Field<String>,
    port: Field<i64>,
    encryption: Field<Encryption>,
    authorisation: Field<Authorisation>,
    login: Field<String>,
    password: Field<SecretText>,
    pub(crate) client_configuration: Field<String>,
    from_addresses: Field<Vec<String>>,
    folders: Field<Vec<String>>,
    receive_existing: Field<bool>,
    poll_interval_seconds: Field<i64>,
    after_receive: Field<AfterReceive>,
    delete_after_days: Field<i64>,
    move_to: Field<String>,
    max_connections: Field<i64>,
    ca_pem: Field<String>,
}
