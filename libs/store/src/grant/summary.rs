use mailmesh_domain::{GrantId, GrantState};
use mailmesh_events::Problem;
use serde_json::Value;
use time::OffsetDateTime;
use uuid::Uuid;

use crate::convert::RowOf;
use crate::{StoreError, Tx};

/// A grant as operators see it: without its tokens, which their service's role may not read.
#[derive(Debug, Clone)]
pub struct GrantSummary {
    pub id: GrantId,
    /// The address of the mailbox, if the provider tells it.
    pub address: Option<String>,
    pub scopes: Vec<String>,
    pub state: GrantState,
    /// Why it is not refreshed.
    pub problem: Option<Problem>,
    /// Counts up with each stored access token.
    pub generation: i64,
    pub access_expires_at: OffsetDateTime,
}

#[derive(sqlx_macros::FromRow)]
struct Row {
    grant_id: Uuid,
    address: Option<String>,
    scopes: Vec<String>,
    state: String,
    problem: Option<Value>,
    generation: i64,
    access_expires_at: OffsetDateTime,
}

impl TryFrom<Row> for GrantSummary {
    type Error = StoreError;

    fn try_from(row: Row) -> Result<Self, StoreError> {
        let of = RowOf {
            table: "grants",
            id: row.grant_id,
        };
        Ok(Self {
            id: GrantId::from_uuid(row.grant_id),
            address: row.address,
            scopes: row.scopes,
            state: of.parse("state", &row.state)?,
            problem: of.json("problem", row.problem)?,
            generation: row.generation,
            access_expires_at: row.access_expires_at,
        })
    }
}

/// Loads summaries of many grants in one statement.
///
/// # Errors
/// When the database fails.
pub async fn list_summaries(tx: &mut Tx, ids: &[GrantId]) -> Result<Vec<GrantSummary>, StoreError> {
    let ids: Vec<Uuid> = ids.iter().map(|id| id.as_uuid()).collect();
    let rows: Vec<Row> = sqlx::query_as(
        "SELECT grant_id, address, scopes, state, problem, generation, access_expires_at
         FROM grants WHERE grant_id = ANY($1)",
    )
    .bind(ids)
    .fetch_all(tx.connection())
    .await
    .map_err(StoreError::query("load summaries of grants"))?;
    rows.into_iter().map(TryFrom::try_from).collect()
}
