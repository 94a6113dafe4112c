//! `account_status`: what the service that runs an account knows of it.

use mailmesh_domain::{AccountId, AccountState};
use mailmesh_events::Problem;
use serde_json::Value;
use time::OffsetDateTime;
use uuid::Uuid;

use crate::convert::{RowOf, to_json};
use crate::{StoreError, Tx};

/// How an account fares.
#[derive(Debug, Clone)]
pub struct AccountStatus {
    pub account_id: AccountId,
    /// Whether it can work. A grant that waits for a sign-in outweighs what was stored here.
    pub state: AccountState,
    /// Why not, if not.
    pub problem: Option<Problem>,
    /// When the state last changed.
    pub changed_at: OffsetDateTime,
    /// When the server last proved that it knows us.
    pub proved_at: Option<OffsetDateTime>,
}

#[derive(sqlx_macros::FromRow)]
struct Row {
    account_id: Uuid,
    state: String,
    problem: Option<Value>,
    grant_state: Option<String>,
    grant_problem: Option<Value>,
    is_grant_missing: bool,
    changed_at: OffsetDateTime,
    proved_at: Option<OffsetDateTime>,
}

impl TryFrom<Row> for AccountStatus {
    type Error = StoreError;

    fn try_from(row: Row) -> Result<Self, StoreError> {
        let of = RowOf {
            table: "account_status",
            id: row.account_id,
        };
        let own: AccountState = of.parse("state", &row.state)?;
        let (state, problem) = match row.grant_state.as_deref() {
            _ if row.is_grant_missing => (AccountState::SignInNeeded, None),
            Some("sign_in_required") => (AccountState::SignInRequired, row.grant_problem),
            Some("suspended") => (AccountState::Failing, row.grant_problem),
            // A sign-in has happened since; the service has not been there yet.
            _ if own == AccountState::SignInNeeded => (AccountState::Active, None),
            _ => (own, row.problem),
        };
        Ok(Self {
            account_id: AccountId::from_uuid(row.account_id),
            state,
            problem: of.json("problem", problem)?,
            changed_at: row.changed_at,
            proved_at: row.proved_at,
        })
    }
}

/// Loads the status of many accounts in one statement.
///
/// # Errors
/// When the database fails.
pub async fn list_by_ids(tx: &mut Tx, ids: &[AccountId]) -> Result<Vec<AccountStatus>, StoreError> {
    let ids: Vec<Uuid> = ids.iter().map(|id| id.as_uuid()).collect();
    let rows: Vec<Row> = sqlx::query_as(
        "SELECT s.account_id, s.state, s.problem, g.state AS grant_state,
                g.problem AS grant_problem,
                (a.authorisation = 'oauth2' AND a.grant_id IS NULL) AS is_grant_missing,
                s.changed_at, s.proved_at
         FROM account_status s
         JOIN accounts a ON a.account_id = s.account_id
         LEFT JOIN grants g ON g.grant_id = a.grant_id
         WHERE s.account_id = ANY($1)",
    )
    .bind(ids)
    .fetch_all(tx.connection())
    .await
    .map_err(StoreError::query("load account status"))?;
    rows.into_iter().map(TryFrom::try_from).collect()
}

/// Records a state; returns the state before when it changed.
///
/// # Errors
/// When the database fails.
pub async fn set_state(
    tx: &mut Tx,
    id: AccountId,
    state: AccountState,
    problem: Option<&Problem>,
    now: OffsetDateTime,
) -> Result<Option<AccountState>, StoreError> {
    let operation = StoreError::query("record an account's state");
    let before: Option<String> =
        sqlx::query_scalar("SELECT state FROM account_status WHERE account_id = $1 FOR UPDATE")
            .bind(id.as_uuid())
            .fetch_optional(tx.connection())
            .await
            .map_err(&operation)?;
    let Some(before) = before else {
        return Ok(None);
    };
    sqlx::query(
        "UPDATE account_status
         SET state = $2, problem = $3,
             changed_at = CASE WHEN state = $2 THEN changed_at ELSE $4 END
         WHERE account_id = $1",
    )
    .bind(id.as_uuid())
    .bind(state.as_str())
    .bind(to_json(problem))
    .bind(now)
    .execute(tx.connection())
    .await
    .map_err(&operation)?;
    let of = RowOf {
        table: "account_status",
        id,
    };
    let before: AccountState = of.parse("state", &before)?;
    Ok((before != state).then_some(before))
}

/// Records when servers last proved that they know us, for many accounts in one statement.
///
/// # Errors
/// When the database fails.
pub async fn set_proved(
    tx: &mut Tx,
    proofs: &[(AccountId, OffsetDateTime)],
) -> Result<(), StoreError> {
    let ids: Vec<Uuid> = proofs.iter().map(|(id, _)| id.as_uuid()).collect();
    let moments: Vec<OffsetDateTime> = proofs.iter().map(|(_, at)| *at).collect();
    sqlx::query(
        "UPDATE account_status s SET proved_at = p.at
         FROM unnest($1::uuid[], $2::timestamptz[]) AS p (account_id, at)
         WHERE s.account_id = p.account_id",
    )
    .bind(ids)
    .bind(moments)
    .execute(tx.connection())
    .await
    .map_err(StoreError::query("record proofs of life"))?;
    Ok(())
}
