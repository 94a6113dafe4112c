use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use anyhow::Context;
use mailmesh_secrets::{ExposeSecret, SecretString};
use mailmesh_store::{Database, DatabaseSettings};
use sqlx::{AssertSqlSafe, Connection, PgConnection};
use tokio::sync::{Mutex, OnceCell};

use super::random_letters;
use crate::wait::within;

/// Databases that outlived their tests on a server that outlives us are dropped after this time.
const ABANDONED_AFTER_SECONDS: i64 = 6 * 60 * 60;

/// Makes one database per test, as copies of one that was migrated once.
#[derive(Debug)]
pub(crate) struct Databases {
    admin_url: SecretString,
    run: String,
    count: AtomicU32,
    template: OnceCell<String>,
    /// A template may be copied by one at a time.
    copying: Mutex<()>,
}

impl Databases {
    /// Waits until Postgres answers at this URL, and drops what old runs left on it.
    pub(crate) async fn connect(admin_url: SecretString, limit: Duration) -> anyhow::Result<Self> {
        let now: i64 = within(limit, "Postgres answers", async || {
            let mut connection = PgConnection::connect(admin_url.expose_secret()).await?;
            sqlx::query_scalar("SELECT extract(epoch FROM now())::bigint")
                .fetch_one(&mut connection)
                .await
        })
        .await?;
        let run = format!("{now}_{}", random_letters(8));
        let databases = Self {
            admin_url,
            run,
            count: AtomicU32::new(0),
            template: OnceCell::new(),
            copying: Mutex::new(()),
        };
        databases.drop_abandoned(now).await?;
        Ok(databases)
    }

    pub(crate) async fn migrated(&self) -> anyhow::Result<SecretString> {
        let template = self
            .template
            .get_or_try_init(async || self.create_template().await)
            .await?;
        let name = self.next_name();
        let _one_at_a_time = self.copying.lock().await;
        self.execute(&format!("CREATE DATABASE {name} TEMPLATE {template}"))
            .await?;
        Ok(self.url_of(&name))
    }

    pub(crate) async fn empty(&self) -> anyhow::Result<SecretString> {
        let name = self.next_name();
        self.execute(&format!("CREATE DATABASE {name} TEMPLATE template0"))
            .await?;
        Ok(self.url_of(&name))
    }

    pub(crate) async fn restored(&self, dump: &str) -> anyhow::Result<SecretString> {
        let url = self.empty().await?;
        let restored = execute_at(&url, dump).await;
        restored.context("cannot restore a dump")?;
        Ok(url)
    }

    async fn create_template(&self) -> anyhow::Result<String> {
        let name = self.next_name();
        self.execute(&format!("CREATE DATABASE {name} TEMPLATE template0"))
            .await?;
        let database = Database::connect(&DatabaseSettings {
            url: self.url_of(&name),
            max_connections: 1,
            acquire_timeout: Duration::from_secs(20),
            ca_file: None,
        })
        .await
        .context("cannot connect to the database to be migrated")?;
        database
            .migrate()
            .await
            .context("cannot migrate a fresh database")?;
        database
            .grant_roles()
            .await
            .context("cannot give the services their rights")?;
        // Nobody may be connected to a template while it is copied.
        database.close().await;
        Ok(name)
    }

    async fn drop_abandoned(&self, now: i64) -> anyhow::Result<()> {
        let mut connection = self.admin().await?;
        let names: Vec<String> = sqlx::query_scalar(
            "SELECT datname FROM pg_database WHERE datname LIKE 'mailmesh\\_test\\_%'",
        )
        .fetch_all(&mut connection)
        .await?;
        for name in names.iter().filter(|name| is_abandoned(name, now)) {
            // Another run may be dropping the same.
            self.execute(&format!("DROP DATABASE IF EXISTS {name} WITH (FORCE)"))
                .await
                .ok();
        }
        Ok(())
    }

    fn next_name(&self) -> String {
        format!(
            "mailmesh_test_{}_{}",
            self.run,
            self.count.fetch_add(1, Ordering::Relaxed)
        )
    }

    fn url_of(&self, database: &str) -> SecretString {
        let url = self.admin_url.expose_secret();
        let (address, options) = url.split_once('?').unwrap_or((url, ""));
        // Behind the scheme's two slashes, the last one begins the database's name.
        let server = match address.rsplit_once('/') {
            Some((server, _database)) if !server.ends_with('/') => server,
            _ => address,
        };
        let separator = if options.is_empty() { "" } else { "?" };
        format!("{server}/{database}{separator}{options}").into()
    }

    async fn admin(&self) -> anyhow::Result<PgConnection> {
        PgConnection::connect(self.admin_url.expose_secret())
            .await
            .context("cannot connect to the test Postgres")
    }

    async fn execute(&self, statement: &str) -> anyhow::Result<()> {
        let mut connection = self.admin().await?;
        sqlx::raw_sql(AssertSqlSafe(statement))
            .execute(&mut connection)
            .await
            .with_context(|| format!("cannot run `{statement}`"))?;
        connection.close().await?;
        Ok(())
    }
}

fn is_abandoned(name: &str, now: i64) -> bool {
    let created = name
        .strip_prefix("mailmesh_test_")
        .and_then(|rest| rest.split('_').next()?.parse::<i64>().ok());
    created.is_some_and(|created| created + ABANDONED_AFTER_SECONDS < now)
}

/// Runs statements on a database.
pub(crate) async fn execute_at(url: &SecretString, statements: &str) -> anyhow::Result<()> {
    let mut connection = PgConnection::connect(url.expose_secret()).await?;
    let statements = sqlx::raw_sql(AssertSqlSafe(statements.to_owned()));
    statements.execute(&mut connection).await?;
    Ok(connection.close().await?)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn databases(url: &str) -> Databases {
        Databases {
            admin_url: url.to_owned().into(),
            run: "1_a".to_owned(),
            count: AtomicU32::new(0),
            template: OnceCell::new(),
            copying: Mutex::new(()),
        }
    }

    #[test]
    fn the_database_takes_the_place_of_the_admins() {
        for (admin, fresh) in [
            ("postgres://u:p@h:1/postgres", "postgres://u:p@h:1/x"),
            ("postgres://u:p@h:1", "postgres://u:p@h:1/x"),
            (
                "postgres://u:p@h/a?sslmode=disable",
                "postgres://u:p@h/x?sslmode=disable",
            ),
        ] {
            assert_eq!(databases(admin).url_of("x").expose_secret(), fresh);
        }
    }

    #[test]
    fn only_old_databases_of_tests_are_abandoned() {
        let now = 1_800_000_000;
        assert!(is_abandoned("mailmesh_test_1700000000_abc_7", now));
        assert!(!is_abandoned("mailmesh_test_1799999999_abc_7", now));
        assert!(!is_abandoned("mailmesh_test_mine", now));
        assert!(!is_abandoned("mailmesh", now));
    }
}
