use anyhow::Context;
use mailmesh_secrets::ExposeSecret;
use sqlx::{AssertSqlSafe, Connection, PgConnection};

use super::MeshBase;

impl MeshBase {
    /// Runs statements behind the services' back, as to fill tables.
    pub async fn execute_sql(&self, statements: &str) -> anyhow::Result<()> {
        let mut connection = self.connect_sql().await?;
        sqlx::raw_sql(AssertSqlSafe(statements))
            .execute(&mut connection)
            .await
            .with_context(|| statements.to_owned())?;
        Ok(connection.close().await?)
    }

    /// Reads one number behind the services' back.
    pub async fn read_number(&self, query: &str) -> anyhow::Result<i64> {
        let mut connection = self.connect_sql().await?;
        let number = sqlx::query_scalar(AssertSqlSafe(query))
            .fetch_one(&mut connection)
            .await
            .with_context(|| query.to_owned())?;
        connection.close().await?;
        Ok(number)
    }

    async fn connect_sql(&self) -> anyhow::Result<PgConnection> {
        let url = self.address.postgres_url.expose_secret();
        Ok(PgConnection::connect(url).await?)
    }
}
