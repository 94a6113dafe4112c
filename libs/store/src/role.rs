//! A role per service in Postgres: what each may do stands in `grants.sql`.

use futures_util::future::BoxFuture;
use mailmesh_secrets::{ExposeSecret, SecretString};
use sqlx::Executor;

use crate::{Database, StoreError};

const GRANTS: &str = include_str!("../grants.sql");

/// The role of a service.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ServiceRole {
    Admin,
    AuthCallback,
    TokenRefresh,
    InboundFetcher,
    OutboundSender,
}

impl ServiceRole {
    /// All of them.
    pub const ALL: [Self; 5] = [
        Self::Admin,
        Self::AuthCallback,
        Self::TokenRefresh,
        Self::InboundFetcher,
        Self::OutboundSender,
    ];

    /// Returns the role's name in Postgres.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Admin => "mailmesh_admin",
            Self::AuthCallback => "mailmesh_auth_callback",
            Self::TokenRefresh => "mailmesh_token_refresh",
            Self::InboundFetcher => "mailmesh_inbound_fetcher",
            Self::OutboundSender => "mailmesh_outbound_sender",
        }
    }
}

impl Database {
    /// Makes the roles of the services where they are missing, and gives each exactly its rights on a database that is
    /// migrated.
    ///
    /// # Errors
    /// When the database fails, or its user may not make roles and they are missing.
    pub fn grant_roles(&self) -> BoxFuture<'_, Result<(), StoreError>> {
        Box::pin(async move {
            let mut tx = self.begin().await?;
            let granted = tx
                .connection()
                .connection
                .execute(sqlx::raw_sql(GRANTS))
                .await;
            granted.map_err(StoreError::query("grant the services their rights"))?;
            tx.commit().await
        })
    }

    /// Lets a service log in with this password, of letters, digits, `-` and `_`.
    ///
    /// # Errors
    /// When the password has other characters, or the database refuses.
    pub fn set_password<'a>(
        &'a self,
        role: ServiceRole,
        password: &'a SecretString,
    ) -> BoxFuture<'a, Result<(), StoreError>> {
        Box::pin(async move {
            let operation = StoreError::query("set a service's password");
            let text = password.expose_secret();
            let is_allowed = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
            if text.is_empty() || !text.bytes().all(is_allowed) {
                return Err(operation(sqlx::Error::Protocol(
                    "the password is empty or has other characters than letters, digits, - and _"
                        .to_owned(),
                )));
            }
            // ALTER ROLE takes no parameters; what the password may hold ends no literal.
            let name = role.name();
            let statement = format!("ALTER ROLE {name} LOGIN PASSWORD '{text}'");
            let mut tx = self.begin().await?;
            let statement = sqlx::AssertSqlSafe(statement);
            let done = sqlx::raw_sql(statement);
            let done = tx.connection().connection.execute(done).await;
            done.map_err(operation)?;
            tx.commit().await
        })
    }
}
