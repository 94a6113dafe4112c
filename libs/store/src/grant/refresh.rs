//! One refresh in flight per grant: a claim with an end, and a generation that must not have moved.

use std::time::Duration;

use mailmesh_domain::{ClientConfigurationId, GrantId, GrantState, ReplicaId};
use mailmesh_events::Problem;
use mailmesh_secrets::SealedSecret;
use time::OffsetDateTime;
use uuid::Uuid;

use super::{Grant, Row, select};
use crate::convert::{sealed_bytes, to_json};
use crate::{StoreError, Tx};

/// The tokens of a provider's answer to a refresh.
#[derive(Debug, Clone)]
pub struct NewTokens {
    pub access_token: SealedSecret,
    /// The refresh token, sealed, when the provider sent a new one; else the old one stays.
    pub refresh_token: Option<SealedSecret>,
    /// The origin of the token endpoint that gave them.
    pub token_origin: String,
    /// What they are good for, where it is no person's consent that decides it.
    pub scopes: Option<Vec<String>>,
    /// When the access token ends.
    pub access_expires_at: OffsetDateTime,
    pub refresh_due_at: OffsetDateTime,
    /// When the refresh token that is good from now on ends, if the provider said so.
    pub refresh_expires_at: Option<OffsetDateTime>,
}

/// Which grants a replica may claim, besides those that nobody has claimed.
#[derive(Debug, Clone, Copy)]
pub struct ClaimRules<'a> {
    pub replica: ReplicaId,
    /// How long its claims last.
    pub claim_for: Duration,
    /// Not these, whatever became of their claims.
    pub except: &'a [GrantId],
    /// Whether claims that have ended may be taken over.
    pub takes_over: bool,
    pub shares: ClientShares<'a>,
}

/// How many grants of each client configuration may be claimed at once: a provider that hangs must delay no other's.
#[derive(Debug, Clone, Copy)]
pub struct ClientShares<'a> {
    /// Of these client configurations so many.
    pub named: &'a [(ClientConfigurationId, i64)],
    /// Of each other one.
    pub others: i64,
}

impl ClientShares<'_> {
    /// Of each client configuration as many as there are.
    pub const ALL: Self = Self {
        named: &[],
        others: i64::MAX,
    };

    fn ids(&self) -> Vec<Uuid> {
        self.named.iter().map(|(id, _)| id.as_uuid()).collect()
    }

    fn counts(&self) -> Vec<i64> {
        self.named.iter().map(|(_, count)| *count).collect()
    }
}

impl ClaimRules<'_> {
    fn except(&self) -> Vec<Uuid> {
        self.except.iter().map(|id| id.as_uuid()).collect()
    }
}

/// Claims grants whose refresh is due and that nobody else is refreshing: of each client configuration up to its share, and
/// of all together up to `limit`, in turn of the client configurations.
///
/// # Errors
/// When the database fails.
pub async fn claim_due(
    tx: &mut Tx,
    claiming: &ClaimRules<'_>,
    now: OffsetDateTime,
    limit: i64,
) -> Result<Vec<Grant>, StoreError> {
    let rows: Vec<Row> = sqlx::query_as(
        "UPDATE grants
         SET claimed_by = $1, claim_expires_at = clock_timestamp() + make_interval(secs => $3)
         WHERE grant_id = ANY (ARRAY(
             SELECT due.grant_id FROM client_configurations c
             LEFT JOIN unnest($7::uuid[], $8::bigint[]) AS share (client, count)
               ON share.client = c.client_configuration_id
             CROSS JOIN LATERAL (
                 SELECT g.grant_id, g.refresh_due_at FROM grants g
                 WHERE g.client_configuration_id = c.client_configuration_id
                   AND g.state <> 'sign_in_required' AND g.refresh_due_at <= $2
                   AND (g.claimed_by IS NULL OR ($5 AND g.claim_expires_at < clock_timestamp()))
                   AND g.grant_id <> ALL ($6)
                 ORDER BY g.refresh_due_at
                 LIMIT least($4, coalesce(share.count, $9))
                 FOR UPDATE SKIP LOCKED
             ) due
             ORDER BY row_number() OVER (
                 PARTITION BY c.client_configuration_id ORDER BY due.refresh_due_at
             ), due.refresh_due_at
             LIMIT $4))
         RETURNING grant_id, client_configuration_id, flow, subject, token_origin, address, scopes, state, problem,
                   access_token_sealed, refresh_token_sealed, generation, access_expires_at,
                   refresh_due_at, refresh_expires_at, failures",
    )
    .bind(claiming.replica.as_uuid())
    .bind(now)
    .bind(claiming.claim_for.as_secs_f64())
    .bind(limit)
    .bind(claiming.takes_over)
    .bind(claiming.except())
    .bind(claiming.shares.ids())
    .bind(claiming.shares.counts())
    .bind(claiming.shares.others)
    .fetch_all(tx.connection())
    .await
    .map_err(StoreError::query("claim grants to refresh"))?;
    rows.into_iter().map(TryFrom::try_from).collect()
}

/// Makes a grant due now, if its access token is the one that was refused, and if that was not done
/// in the `rest` before. Returns whether it was.
///
/// # Errors
/// When the database fails.
pub async fn set_due(
    tx: &mut Tx,
    id: GrantId,
    refused_generation: i64,
    rest: Duration,
    now: OffsetDateTime,
) -> Result<bool, StoreError> {
    // A moment in the future is another replica's clock: it must not shut the grant off.
    let done = sqlx::query(
        "UPDATE grants SET refresh_due_at = least(refresh_due_at, $3), refresh_asked_at = $3
         WHERE grant_id = $1 AND generation = $2 AND state = 'active' AND failures = 0
           AND (refresh_asked_at IS NULL OR refresh_asked_at > $3
                OR refresh_asked_at <= $3 - make_interval(secs => $4))",
    )
    .bind(id.as_uuid())
    .bind(refused_generation)
    .bind(now)
    .bind(rest.as_secs_f64())
    .execute(tx.connection())
    .await
    .map_err(StoreError::query("make a grant due"))?;
    Ok(done.rows_affected() == 1)
}

/// Loads a grant that this replica has claimed, locking it; none when the claim was lost.
///
/// # Errors
/// When the database fails.
pub async fn claim(
    tx: &mut Tx,
    id: GrantId,
    replica: ReplicaId,
) -> Result<Option<Grant>, StoreError> {
    let row: Option<Row> = sqlx::query_as(select!(
        "WHERE grant_id = $1 AND claimed_by = $2 FOR UPDATE"
    ))
    .bind(id.as_uuid())
    .bind(replica.as_uuid())
    .fetch_optional(tx.connection())
    .await
    .map_err(StoreError::query("read a claimed grant again"))?;
    row.map(TryFrom::try_from).transpose()
}

/// Stores the tokens of a refresh and gives the claim up. Returns the new generation; none when the
/// row moved on meanwhile, because a sign-in replaced it.
///
/// # Errors
/// When the database fails.
pub async fn record_refresh(
    tx: &mut Tx,
    id: GrantId,
    refreshed_generation: i64,
    tokens: &NewTokens,
    now: OffsetDateTime,
) -> Result<Option<i64>, StoreError> {
    // The claim is not asked for: an answer that came late is still newer than what is stored, and
    // with rotation it holds the only refresh token that works.
    // Google's answers hold none: the old one stays.
    sqlx::query_scalar(
        "UPDATE grants
         SET access_token_sealed = $3,
             refresh_token_sealed = coalesce($4, refresh_token_sealed),
             access_expires_at = $5, refresh_due_at = $6,
             refresh_expires_at = $7, token_origin = $9, scopes = coalesce($10, scopes),
             generation = generation + 1, state = 'active', problem = NULL, failures = 0,
             claimed_by = NULL, claim_expires_at = NULL, updated_at = $8
         WHERE grant_id = $1 AND generation = $2
         RETURNING generation",
    )
    .bind(id.as_uuid())
    .bind(refreshed_generation)
    .bind(tokens.access_token.as_bytes())
    .bind(sealed_bytes(tokens.refresh_token.as_ref()))
    .bind(tokens.access_expires_at)
    .bind(tokens.refresh_due_at)
    .bind(tokens.refresh_expires_at)
    .bind(now)
    .bind(&tokens.token_origin)
    .bind(&tokens.scopes)
    .fetch_optional(tx.connection())
    .await
    .map_err(StoreError::query("store refreshed tokens"))
}

/// Records a failed refresh, when it is due again, and the state it leads to; gives the claim up.
/// Returns whether the row was still the one that was refreshed.
///
/// # Errors
/// When the database fails.
pub async fn record_failure(
    tx: &mut Tx,
    grant: &Grant,
    state: GrantState,
    problem: &Problem,
    due_at: OffsetDateTime,
    now: OffsetDateTime,
) -> Result<bool, StoreError> {
    // Of tokens that a sign-in has stored meanwhile this failure says nothing.
    let done = sqlx::query(
        "UPDATE grants
         SET state = $3, problem = $4, refresh_due_at = $5, failures = failures + 1,
             claimed_by = NULL, claim_expires_at = NULL, updated_at = $6
         WHERE grant_id = $1 AND generation = $2",
    )
    .bind(grant.id.as_uuid())
    .bind(grant.generation)
    .bind(state.as_str())
    .bind(to_json(Some(problem)))
    .bind(due_at)
    .bind(now)
    .execute(tx.connection())
    .await
    .map_err(StoreError::query("record a failed refresh"))?;
    Ok(done.rows_affected() == 1)
}

/// Gives a claim up without a try; it is due again later.
///
/// # Errors
/// When the database fails.
pub async fn postpone(
    tx: &mut Tx,
    id: GrantId,
    replica: ReplicaId,
    due_at: OffsetDateTime,
) -> Result<(), StoreError> {
    sqlx::query(
        "UPDATE grants SET claimed_by = NULL, claim_expires_at = NULL, refresh_due_at = $3
         WHERE grant_id = $1 AND claimed_by = $2",
    )
    .bind(id.as_uuid())
    .bind(replica.as_uuid())
    .bind(due_at)
    .execute(tx.connection())
    .await
    .map_err(StoreError::query("postpone a refresh"))?;
    Ok(())
}

/// Makes the suspended grants of a client configuration due, because it is accepted again. Returns
/// how many there were.
///
/// # Errors
/// When the database fails.
pub async fn resume_client(
    tx: &mut Tx,
    client: ClientConfigurationId,
    now: OffsetDateTime,
) -> Result<u64, StoreError> {
    let done = sqlx::query(
        "UPDATE grants SET refresh_due_at = $2
         WHERE client_configuration_id = $1 AND state = 'suspended' AND refresh_due_at > $2",
    )
    .bind(client.as_uuid())
    .bind(now)
    .execute(tx.connection())
    .await
    .map_err(StoreError::query("resume the grants of a client"))?;
    Ok(done.rows_affected())
}

/// Makes the suspended grants due whose client configuration was changed since they failed. Returns
/// how many there were.
///
/// # Errors
/// When the database fails.
pub async fn resume_corrected(tx: &mut Tx, now: OffsetDateTime) -> Result<u64, StoreError> {
    let done = sqlx::query(
        "UPDATE grants g SET refresh_due_at = $1
         FROM client_configurations c
         WHERE c.client_configuration_id = g.client_configuration_id AND g.state = 'suspended'
           AND g.refresh_due_at > $1 AND c.updated_at > g.updated_at",
    )
    .bind(now)
    .execute(tx.connection())
    .await
    .map_err(StoreError::query("resume grants of corrected clients"))?;
    Ok(done.rows_affected())
}

/// Returns when the next refresh is due that the replica may claim.
///
/// # Errors
/// When the database fails.
pub async fn next_due_at(
    tx: &mut Tx,
    claiming: &ClaimRules<'_>,
) -> Result<Option<OffsetDateTime>, StoreError> {
    sqlx::query_scalar(
        "SELECT min(due.refresh_due_at) FROM client_configurations c
         LEFT JOIN unnest($3::uuid[], $4::bigint[]) AS share (client, count)
           ON share.client = c.client_configuration_id
         CROSS JOIN LATERAL (
             SELECT g.refresh_due_at FROM grants g
             WHERE g.client_configuration_id = c.client_configuration_id
               AND g.state <> 'sign_in_required'
               AND (g.claimed_by IS NULL OR ($1 AND g.claim_expires_at < clock_timestamp()))
               AND g.grant_id <> ALL ($2)
             ORDER BY g.refresh_due_at
             LIMIT least(1, coalesce(share.count, $5))
         ) due",
    )
    .bind(claiming.takes_over)
    .bind(claiming.except())
    .bind(claiming.shares.ids())
    .bind(claiming.shares.counts())
    .bind(claiming.shares.others)
    .fetch_one(tx.connection())
    .await
    .map_err(StoreError::query("look for the next refresh"))
}
