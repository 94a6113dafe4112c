//! `grants`: consents, with their sealed tokens.

mod app;
mod refresh;
mod summary;

use mailmesh_domain::{AccountId, AccountState, ClientConfigurationId, Flow, GrantId, GrantState};
use mailmesh_events::Problem;
use mailmesh_secrets::{SealContext, SealedSecret};
use serde_json::Value;
use time::OffsetDateTime;
use uuid::Uuid;

use crate::convert::{RowOf, sealed_bytes};
use crate::{StoreError, Tx};

pub use app::{AppLogin, find_flow, list_logins_without_grant, start_app_grant};
pub use refresh::{
    ClaimRules, ClientShares, NewTokens, claim, claim_due, next_due_at, postpone, record_failure,
    record_refresh, resume_client, resume_corrected, set_due,
};
pub use summary::{GrantSummary, list_summaries};

/// One consent.
#[derive(Debug, Clone)]
pub struct Grant {
    pub id: GrantId,
    /// The client that was consented to.
    pub client_configuration_id: ClientConfigurationId,
    /// How its tokens come.
    pub flow: Flow,
    /// Who consented, as the provider names them; in an application's flow the login in lower case.
    pub subject: String,
    /// The origin of the token endpoint that gave the tokens; absent for grants from before it was kept.
    pub token_origin: Option<String>,
    /// The mailbox's address, as the provider names it.
    pub address: Option<String>,
    pub scopes: Vec<String>,
    /// Whether it can be refreshed.
    pub state: GrantState,
    /// Why not, if not.
    pub problem: Option<Problem>,
    pub access_token: SealedSecret,
    pub refresh_token: Option<SealedSecret>,
    /// Counts up with every stored access token.
    pub generation: i64,
    /// When the access token ends.
    pub access_expires_at: OffsetDateTime,
    pub refresh_due_at: OffsetDateTime,
    /// When the refresh token ends, if the provider said so.
    pub refresh_expires_at: Option<OffsetDateTime>,
    /// How many refreshes failed in a row.
    pub failures: i32,
}

impl Grant {
    /// Returns the state that the grant gives its accounts; none while it leaves them theirs.
    pub fn account_state(&self) -> Option<AccountState> {
        account_state(self.state, self.problem.as_ref())
    }

    /// Returns whether it has ever had a token: an application's grant begins without.
    pub const fn has_token(&self) -> bool {
        self.generation > 0
    }

    /// Returns what the access token of this row is sealed for.
    pub fn access_context(id: GrantId) -> SealContext {
        SealContext {
            table: "grants",
            column: "access_token_sealed",
            row: *id.as_uuid().as_bytes(),
        }
    }

    /// Returns what the refresh token of this row is sealed for.
    pub fn refresh_context(id: GrantId) -> SealContext {
        SealContext {
            table: "grants",
            column: "refresh_token_sealed",
            row: *id.as_uuid().as_bytes(),
        }
    }
}

/// A suspended grant is tried again by itself; where its owner may be able to mend it, a sign-in is offered all the same.
pub(crate) fn account_state(state: GrantState, problem: Option<&Problem>) -> Option<AccountState> {
    match state {
        GrantState::Active => None,
        GrantState::Suspended if !problem.is_some_and(Problem::offers_sign_in) => {
            Some(AccountState::Failing)
        }
        GrantState::Suspended | GrantState::SignInRequired => Some(AccountState::SignInRequired),
    }
}

#[derive(sqlx_macros::FromRow)]
struct Row {
    grant_id: Uuid,
    client_configuration_id: Uuid,
    flow: String,
    subject: String,
    token_origin: Option<String>,
    address: Option<String>,
    scopes: Vec<String>,
    state: String,
    problem: Option<Value>,
    access_token_sealed: Vec<u8>,
    refresh_token_sealed: Option<Vec<u8>>,
    generation: i64,
    access_expires_at: OffsetDateTime,
    refresh_due_at: OffsetDateTime,
    refresh_expires_at: Option<OffsetDateTime>,
    failures: i32,
}

impl TryFrom<Row> for Grant {
    type Error = StoreError;

    fn try_from(row: Row) -> Result<Self, StoreError> {
        let of = RowOf {
            table: "grants",
            id: row.grant_id,
        };
        let client = ClientConfigurationId::from_uuid(row.client_configuration_id);
        Ok(Self {
            id: GrantId::from_uuid(row.grant_id),
            client_configuration_id: client,
            flow: of.parse("flow", &row.flow)?,
            subject: row.subject,
            token_origin: row.token_origin,
            address: row.address,
            scopes: row.scopes,
            state: of.parse("state", &row.state)?,
            problem: of.json("problem", row.problem)?,
            access_token: SealedSecret::from_bytes(row.access_token_sealed)
                .map_err(|_| of.bad("access_token_sealed"))?,
            refresh_token: of.sealed("refresh_token_sealed", row.refresh_token_sealed)?,
            generation: row.generation,
            access_expires_at: row.access_expires_at,
            refresh_due_at: row.refresh_due_at,
            refresh_expires_at: row.refresh_expires_at,
            failures: row.failures,
        })
    }
}

macro_rules! select {
    ($rest:literal) => {
        concat!(
            "SELECT grant_id, client_configuration_id, flow, subject, token_origin, address, scopes, state, problem,
                    access_token_sealed, refresh_token_sealed, generation, access_expires_at,
                    refresh_due_at, refresh_expires_at, failures
             FROM grants ",
            $rest
        )
    };
}

/// Finds the grant of a client configuration and subject, locking it until the transaction ends.
///
/// # Errors
/// When the database fails.
pub async fn find_by_subject(
    tx: &mut Tx,
    client: ClientConfigurationId,
    subject: &str,
) -> Result<Option<Grant>, StoreError> {
    let row: Option<Row> = sqlx::query_as(select!(
        "WHERE client_configuration_id = $1 AND subject = $2 FOR UPDATE"
    ))
    .bind(client.as_uuid())
    .bind(subject)
    .fetch_optional(tx.connection())
    .await
    .map_err(StoreError::query("find a grant"))?;
    row.map(TryFrom::try_from).transpose()
}

/// Loads many grants in one statement.
///
/// # Errors
/// When the database fails.
pub async fn list_by_ids(tx: &mut Tx, ids: &[GrantId]) -> Result<Vec<Grant>, StoreError> {
    let ids: Vec<Uuid> = ids.iter().map(|id| id.as_uuid()).collect();
    let rows: Vec<Row> = sqlx::query_as(select!("WHERE grant_id = ANY($1)"))
        .bind(ids)
        .fetch_all(tx.connection())
        .await
        .map_err(StoreError::query("load grants"))?;
    rows.into_iter().map(TryFrom::try_from).collect()
}

/// Counts the grants that cannot be refreshed, by state.
///
/// # Errors
/// When the database fails.
pub async fn count_stuck(tx: &mut Tx) -> Result<Vec<(GrantState, i64)>, StoreError> {
    let rows: Vec<(String, i64)> =
        sqlx::query_as("SELECT state, count(*) FROM grants WHERE state <> 'active' GROUP BY state")
            .fetch_all(tx.connection())
            .await
            .map_err(StoreError::query("count the grants that are stuck"))?;
    let of = RowOf {
        table: "grants",
        id: "of a count",
    };
    rows.into_iter()
        .map(|(state, count)| Ok((of.parse("state", &state)?, count)))
        .collect()
}

/// Locks the accounts that a sign-in for this account gives its grant to, and returns the grants that
/// they have. Comes before any lock on a grant, as with whoever changes an account.
///
/// # Errors
/// When the database fails.
pub async fn lock_accounts(tx: &mut Tx, account: AccountId) -> Result<Vec<GrantId>, StoreError> {
    let grants: Vec<Option<Uuid>> = sqlx::query_scalar(
        "SELECT a.grant_id FROM accounts a
         JOIN accounts signed_in ON signed_in.account_id = $1
         WHERE a.account_id = $1
            OR (a.client_configuration_id = signed_in.client_configuration_id
                AND lower(a.login) = lower(signed_in.login))
         ORDER BY a.account_id FOR UPDATE OF a",
    )
    .bind(account.as_uuid())
    .fetch_all(tx.connection())
    .await
    .map_err(StoreError::query("lock the accounts of a sign-in"))?;
    let mut grants: Vec<Uuid> = grants.into_iter().flatten().collect();
    grants.sort_unstable();
    grants.dedup();
    Ok(grants.into_iter().map(GrantId::from_uuid).collect())
}

/// Stores the grant of a sign-in: a new row, or new tokens in the row that the same subject has.
/// Whatever its state was, it is active afterwards, and a refresh under way loses its claim.
///
/// # Errors
/// When the database fails.
pub async fn save_sign_in(
    tx: &mut Tx,
    grant: &Grant,
    now: OffsetDateTime,
) -> Result<(), StoreError> {
    sqlx::query(
        "INSERT INTO grants
             (grant_id, client_configuration_id, subject, address, scopes, state,
              access_token_sealed, refresh_token_sealed, generation, access_expires_at,
              refresh_due_at, refresh_expires_at, token_origin, created_at, updated_at)
         VALUES ($1, $2, $3, $4, $5, 'active', $6, $7, $8, $9, $10, $11, $13, $12, $12)
         ON CONFLICT (grant_id) DO UPDATE
         SET address = excluded.address, scopes = excluded.scopes, state = 'active',
             problem = NULL, access_token_sealed = excluded.access_token_sealed,
             refresh_token_sealed = excluded.refresh_token_sealed,
             generation = excluded.generation, access_expires_at = excluded.access_expires_at,
             refresh_due_at = excluded.refresh_due_at,
             refresh_expires_at = excluded.refresh_expires_at,
             token_origin = excluded.token_origin, failures = 0,
             refresh_asked_at = NULL, claimed_by = NULL, claim_expires_at = NULL,
             updated_at = excluded.updated_at",
    )
    .bind(grant.id.as_uuid())
    .bind(grant.client_configuration_id.as_uuid())
    .bind(&grant.subject)
    .bind(&grant.address)
    .bind(&grant.scopes)
    .bind(grant.access_token.as_bytes())
    .bind(sealed_bytes(grant.refresh_token.as_ref()))
    .bind(grant.generation)
    .bind(grant.access_expires_at)
    .bind(grant.refresh_due_at)
    .bind(grant.refresh_expires_at)
    .bind(now)
    .bind(&grant.token_origin)
    .execute(tx.connection())
    .await
    .map_err(StoreError::query("store a sign-in's grant"))?;
    Ok(())
}

/// Has the origin of every grant of a client configuration looked at soon, because its endpoints were changed. What is
/// not known to come from the new ones counts as coming from elsewhere. Returns how many grants there are.
///
/// # Errors
/// When the database fails.
pub async fn recheck_origins(
    tx: &mut Tx,
    client: ClientConfigurationId,
    now: OffsetDateTime,
) -> Result<u64, StoreError> {
    let done = sqlx::query(
        "UPDATE grants SET token_origin = coalesce(token_origin, ''),
                           refresh_due_at = least(refresh_due_at, $2)
         WHERE client_configuration_id = $1",
    )
    .bind(client.as_uuid())
    .bind(now)
    .execute(tx.connection())
    .await
    .map_err(StoreError::query("have the origins of grants looked at"))?;
    Ok(done.rows_affected())
}

/// Deletes a grant that no account uses any more; returns whether it did.
///
/// # Errors
/// When the database fails.
pub async fn delete_unused(tx: &mut Tx, id: GrantId) -> Result<bool, StoreError> {
    let done = sqlx::query(
        "DELETE FROM grants g WHERE grant_id = $1
           AND NOT EXISTS (SELECT 1 FROM accounts a WHERE a.grant_id = g.grant_id)",
    )
    .bind(id.as_uuid())
    .execute(tx.connection())
    .await
    .map_err(StoreError::query("delete a grant that is not used"))?;
    Ok(done.rows_affected() == 1)
}

pub(super) use select;
