//! Logins of the services at the Postgres that `mailmesh up` runs: each has a role of its own.

use std::path::Path;

use mailmesh_secrets::{ExposeSecret, SecretString};
use mailmesh_store::{Database, PostgresSettings};

use crate::credentials;
use crate::service_kind::Kind;

/// Connections of each service, besides the urgent ones.
const MAX_CONNECTIONS: u32 = 12;

/// Passwords of the services, kept in the data folder.
#[derive(Debug)]
pub(crate) struct ServiceLogins {
    passwords: Vec<(Kind, SecretString)>,
}

impl ServiceLogins {
    /// Brings the database to this release's shape as its owner, and lets each service in with its own password, which is
    /// made where an earlier release left none.
    pub(crate) async fn prepare(owner: &PostgresSettings, data: &Path) -> anyhow::Result<Self> {
        let database = Database::connect(&owner.resolve()?).await?;
        database.migrate().await?;
        database.grant_roles().await?;
        let folder = data.join("credentials");
        let mut passwords = Vec::new();
        for kind in Kind::ALL {
            let name = format!("postgres-{}.password", kind.name());
            let password = credentials::ensure(&folder, &name)?;
            database.set_password(kind.role(), &password).await?;
            passwords.push((kind, password));
        }
        database.close().await;
        Ok(Self { passwords })
    }

    /// Returns the settings with which a service reaches the database on this port.
    pub(crate) fn settings(&self, kind: Kind, port: u16) -> Option<PostgresSettings> {
        let mut passwords = self.passwords.iter();
        let (_, password) = passwords.find(|(of, _)| *of == kind)?;
        let (role, password) = (kind.role().name(), password.expose_secret());
        let url = format!("postgres://{role}:{password}@127.0.0.1:{port}/mailmesh");
        Some(PostgresSettings::of_url(url.into(), MAX_CONNECTIONS))
    }
}
