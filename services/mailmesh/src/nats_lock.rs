//! The users of the NATS server that `mailmesh up` runs: one for its services, one for all business systems.

use std::path::Path;

use mailmesh_bus::{BusSettings, BusinessScope, BusinessSystem, NatsUser, accounts_config};
use mailmesh_secrets::{ExposeSecret, SecretString};

use crate::credentials;

const SERVICES: &str = "services";
const CLIENTS: &str = "clients";
/// That of plain clients, so that the printed address is all that they need. The services have another.
const CLIENTS_INBOX: &str = "_INBOX";
const SERVICES_INBOX: &str = "_INBOX_services";

/// Passwords of both users, kept in the data folder.
#[derive(Debug)]
pub(crate) struct NatsLock {
    services: SecretString,
    clients: SecretString,
}

impl NatsLock {
    /// Reads the passwords, or makes them where an earlier release left none.
    pub(crate) fn ensure(data: &Path) -> anyhow::Result<Self> {
        let folder = data.join("credentials");
        Ok(Self {
            services: credentials::ensure(&folder, "nats-services.password")?,
            clients: credentials::ensure(&folder, "nats-clients.password")?,
        })
    }

    /// Returns what the server's configuration says of its accounts and users.
    pub(crate) fn config(&self, prefix: &str) -> String {
        let services = NatsUser {
            comment: "The five services, in one process.".to_owned(),
            name: SERVICES.to_owned(),
            password: quoted(&self.services),
            permissions: None,
        };
        let clients = BusinessSystem {
            comment: "Business systems, whose address `mailmesh up` prints.",
            name: CLIENTS,
            password: &quoted(&self.clients),
            scope: BusinessScope::Everything,
            inbox_prefix: CLIENTS_INBOX,
        };
        accounts_config(prefix, &[services], &[clients])
    }

    /// Makes the settings those of the services at this server, such as `nats://127.0.0.1:4222`.
    ///
    /// The password stands in the address, so that both are replaced together when another server is named.
    pub(crate) fn apply(&self, settings: &mut BusSettings, url: &str) {
        settings.url = with_user(url, SERVICES, &self.services);
        settings.credentials = None;
        SERVICES_INBOX.clone_into(&mut settings.inbox_prefix);
    }

    /// Returns the address for business systems, with their password.
    pub(crate) fn clients_url(&self, url: &str) -> SecretString {
        with_user(url, CLIENTS, &self.clients).into()
    }
}

fn with_user(url: &str, user: &str, password: &SecretString) -> String {
    let host = url.strip_prefix("nats://").unwrap_or(url);
    format!("nats://{user}:{}@{host}", password.expose_secret())
}

fn quoted(password: &SecretString) -> String {
    format!("\"{}\"", password.expose_secret())
}
