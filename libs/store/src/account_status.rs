//! `account_status`: what the service that runs an account knows of it.

use std::collections::HashSet;

use mailmesh_domain::{AccountId, AccountState, FailureCause, Flow, History, responsibility};
use mailmesh_events::Problem;
use serde_json::Value;
use time::OffsetDateTime;
use uuid::Uuid;

use crate::convert::{RowOf, to_json};
use crate::grant::account_state;
use crate::lease::LeaseTerm;
use crate::{StoreError, Tx};

/// How an account fares.
#[derive(Debug, Clone)]
pub struct AccountStatus {
    pub account_id: AccountId,
    /// Whether it can work. A grant that waits for a sign-in outweighs what was stored here.
    pub state: AccountState,
    /// Why not, if not.
    pub problem: Option<Problem>,
    /// Why nobody knows whether it works, if the state is unknown.
    pub unreported: Option<Problem>,
    /// When the state last changed.
    pub changed_at: OffsetDateTime,
    /// When the server last proved that it knows us, with the present settings.
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
    /// An application's grant whose first token is not there yet.
    is_token_missing: bool,
    grant_flow: Option<String>,
    service: String,
    /// Why what was recorded may not hold: `unserved`, `hindered` or `unproved`.
    doubt: Option<String>,
    replica_problem: Option<Value>,
    changed_at: OffsetDateTime,
    proved_at: Option<OffsetDateTime>,
    /// The settings were changed since the state was recorded.
    is_outdated: bool,
}

impl TryFrom<Row> for AccountStatus {
    type Error = StoreError;

    fn try_from(row: Row) -> Result<Self, StoreError> {
        let of = RowOf {
            table: "account_status",
            id: row.account_id,
        };
        let own: AccountState = of.parse("state", &row.state)?;
        let reported = row.report(&of)?;
        let grant_state = row.grant_state.as_deref();
        let grant_state = grant_state
            .map(|text| of.parse("state", text))
            .transpose()?;
        let grant_problem = of.json("problem", row.grant_problem)?;
        let flow = row.grant_flow.as_deref();
        let flow: Option<Flow> = flow.map(|text| of.parse("flow", text)).transpose()?;
        let by_grant = grant_state.and_then(|state| account_state(state, grant_problem.as_ref()));
        let (state, problem) = match by_grant {
            _ if row.is_grant_missing => (AccountState::SignInNeeded, None),
            Some(state) => (state, grant_problem),
            None if row.is_token_missing => {
                let unreported = Some(grant_problem.unwrap_or_else(first_token));
                return Ok(Self {
                    account_id: AccountId::from_uuid(row.account_id),
                    state: AccountState::Unknown,
                    problem: None,
                    unreported,
                    changed_at: row.changed_at,
                    proved_at: row.proved_at,
                });
            }
            // A sign-in has happened since; the service has not been there yet.
            None if own == AccountState::SignInNeeded => (AccountState::Active, None),
            // So has a change of the settings: the problem may be mended.
            None if row.is_outdated => (AccountState::Active, None),
            // There is nobody who could.
            None if own == AccountState::SignInRequired && flow.is_some_and(Flow::is_app) => {
                (AccountState::Failing, of.json("problem", row.problem)?)
            }
            None => (own, of.json("problem", row.problem)?),
        };
        // What is known to fail stays so; only what would be shown as working needs somebody who has seen it.
        let (state, unreported) = match (state, reported) {
            (AccountState::Active, Some(why)) => (AccountState::Unknown, Some(why)),
            (AccountState::Active, None) if row.proved_at.is_none() => {
                (AccountState::Unproved, None)
            }
            (state, _) => (state, None),
        };
        Ok(Self {
            account_id: AccountId::from_uuid(row.account_id),
            state,
            problem,
            unreported,
            changed_at: row.changed_at,
            proved_at: row.proved_at,
        })
    }
}

fn first_token() -> Problem {
    Problem::new(
        "The first token of the mailbox is being fetched.",
        FailureCause::Transient,
    )
}

impl Row {
    /// Returns why nobody can say at present how the account fares.
    fn report(&self, of: &RowOf<Uuid>) -> Result<Option<Problem>, StoreError> {
        let (what, cause) = match self.doubt.as_deref() {
            Some("unserved") => (
                format!(
                    "No replica of {} has written to the database within {SILENT_AFTER_SECONDS} s.",
                    self.service
                ),
                FailureCause::NotServed,
            ),
            Some("hindered") => return of.json("replica_problem", self.replica_problem.clone()),
            Some(_) => (
                "The server has not confirmed the folders for several poll intervals.".to_owned(),
                FailureCause::NotConfirmed,
            ),
            None => return Ok(None),
        };
        let decided = responsibility(cause, History::WORKS);
        Ok(Some(Problem::decided(what, &decided)))
    }
}

/// Longer than a replica's account is without an owner when another takes over.
const SILENT_AFTER_SECONDS: i32 = 30;
/// A folder that is watched by IDLE is confirmed each five minutes; one that is polled, with each poll.
const PROOF_LASTS_SECONDS: i32 = 15 * 60;

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
                coalesce(g.generation = 0, false) AS is_token_missing, g.flow AS grant_flow,
                k.service, r.problem AS replica_problem,
                CASE WHEN NOT a.is_enabled THEN NULL
                     WHEN NOT k.is_served THEN 'unserved'
                     WHEN r.problem IS NOT NULL THEN 'hindered'
                     WHEN a.direction = 'inbound' AND s.proved_at < clock_timestamp() - greatest(
                         make_interval(secs => $3), 5 * make_interval(secs => a.poll_interval_seconds))
                     THEN 'unproved' END AS doubt,
                s.changed_at, s.proved_at, s.state_revision < s.connection_revision AS is_outdated
         FROM (
             SELECT account_id, state, problem, changed_at, state_revision, connection_revision,
                    CASE WHEN proved_revision >= connection_revision THEN proved_at END AS proved_at
             FROM account_status JOIN accounts USING (account_id)
         ) s
         JOIN accounts a ON a.account_id = s.account_id
         JOIN (
             SELECT served.direction, served.service, EXISTS (
                 SELECT FROM replicas
                 WHERE replicas.service = served.service
                   AND seen_at > clock_timestamp() - make_interval(secs => $2)) AS is_served
             FROM (VALUES ('inbound', 'inbound-fetcher'), ('outbound', 'outbound-sender'))
                  AS served (direction, service)
         ) k ON k.direction = a.direction
         LEFT JOIN account_leases l ON l.account_id = s.account_id
         LEFT JOIN replicas r ON r.replica_id = l.replica_id
         LEFT JOIN grants g ON g.grant_id = a.grant_id
         WHERE s.account_id = ANY($1)",
    )
    .bind(ids)
    .bind(f64::from(SILENT_AFTER_SECONDS))
    .bind(f64::from(PROOF_LASTS_SECONDS))
    .fetch_all(tx.connection())
    .await
    .map_err(StoreError::query("load account status"))?;
    rows.into_iter().map(TryFrom::try_from).collect()
}

/// State as the service that runs the account has recorded it.
#[derive(Debug, Clone, PartialEq)]
pub struct StoredState {
    pub state: AccountState,
    pub problem: Option<Problem>,
    /// The account has other settings since.
    pub is_outdated: bool,
}

/// A state to record.
#[derive(Debug, Clone, Copy)]
pub struct SeenState<'a> {
    pub state: AccountState,
    pub problem: Option<&'a Problem>,
    /// Revision of the account that it was seen under.
    pub revision: i64,
}

/// A moment at which a server proved that it knows an account.
#[derive(Debug, Clone, Copy)]
pub struct SeenProof {
    pub account_id: AccountId,
    /// Revision of the account that was used.
    pub revision: i64,
    pub at: OffsetDateTime,
}

/// Loads what the services have recorded of many accounts, whatever their grants say.
///
/// # Errors
/// When the database fails.
pub async fn list_stored(
    tx: &mut Tx,
    ids: &[AccountId],
) -> Result<Vec<(AccountId, StoredState)>, StoreError> {
    let ids: Vec<Uuid> = ids.iter().map(|id| id.as_uuid()).collect();
    let rows: Vec<(Uuid, String, Option<Value>, bool)> = sqlx::query_as(
        "SELECT account_id, state, problem, state_revision < connection_revision
         FROM account_status JOIN accounts USING (account_id) WHERE account_id = ANY($1)",
    )
    .bind(ids)
    .fetch_all(tx.connection())
    .await
    .map_err(StoreError::query("load recorded states"))?;
    let stored = rows.into_iter().map(|(id, state, problem, is_outdated)| {
        let of = RowOf {
            table: "account_status",
            id,
        };
        let stored = StoredState {
            state: of.parse("state", &state)?,
            problem: of.json("problem", problem)?,
            is_outdated,
        };
        Ok((AccountId::from_uuid(id), stored))
    });
    stored.collect()
}

/// Finds which of many accounts have worked with their present settings.
///
/// # Errors
/// When the database fails.
pub async fn list_proved(tx: &mut Tx, ids: &[AccountId]) -> Result<HashSet<AccountId>, StoreError> {
    let ids: Vec<Uuid> = ids.iter().map(|id| id.as_uuid()).collect();
    let proved: Vec<Uuid> = sqlx::query_scalar(
        "SELECT account_id FROM account_status JOIN accounts USING (account_id)
         WHERE account_id = ANY($1) AND proved_at IS NOT NULL
           AND proved_revision >= connection_revision",
    )
    .bind(ids)
    .fetch_all(tx.connection())
    .await
    .map_err(StoreError::query("find accounts that have worked"))?;
    Ok(proved.into_iter().map(AccountId::from_uuid).collect())
}

/// What came of recording an account's state.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StateWrite {
    /// The lease is another's by now, or the account has other settings or is gone. Nothing was written.
    NotOwner,
    /// The state is as it was; its problem may be another.
    Same,
    /// The state was another.
    Changed {
        was: AccountState,
        /// The account has worked with its present settings.
        has_worked: bool,
    },
}

/// Records an account's state, if the lease is still held by this term and the account has no other settings since.
///
/// # Errors
/// When the database fails.
pub async fn set_state(
    tx: &mut Tx,
    term: &LeaseTerm,
    seen: SeenState<'_>,
    now: OffsetDateTime,
) -> Result<StateWrite, StoreError> {
    let operation = StoreError::query("record an account's state");
    // The shared lock keeps the lease where it is until this transaction ends: without it, who takes the account over could
    // write between the look and the commit, and be overwritten. Acquiring skips locked leases and so does not wait.
    let before: Option<(String, bool)> = sqlx::query_as(
        "WITH own AS (
             SELECT account_id FROM account_leases
             WHERE account_id = $1 AND replica_id = $2 AND generation = $3 FOR SHARE
         ), before AS (
             SELECT s.account_id, s.state,
                    s.proved_at IS NOT NULL AND s.proved_revision >= a.connection_revision
                        AS has_worked
             FROM account_status s JOIN own USING (account_id)
             JOIN accounts a ON a.account_id = s.account_id AND a.connection_revision <= $7
             FOR UPDATE OF s
         )
         UPDATE account_status s
         SET state = $4, problem = $5, state_revision = greatest(s.state_revision, $7),
             changed_at = CASE WHEN s.state = $4 THEN s.changed_at ELSE $6 END
         FROM before WHERE s.account_id = before.account_id
         RETURNING before.state, before.has_worked",
    )
    .bind(term.account_id.as_uuid())
    .bind(term.replica_id.as_uuid())
    .bind(term.generation)
    .bind(seen.state.as_str())
    .bind(to_json(seen.problem))
    .bind(now)
    .bind(seen.revision)
    .fetch_optional(tx.connection())
    .await
    .map_err(&operation)?;
    let Some((before, has_worked)) = before else {
        return Ok(StateWrite::NotOwner);
    };
    let of = RowOf {
        table: "account_status",
        id: term.account_id,
    };
    let was: AccountState = of.parse("state", &before)?;
    Ok(if was == seen.state {
        StateWrite::Same
    } else {
        StateWrite::Changed { was, has_worked }
    })
}

/// Records when servers last proved that they know us, for many accounts in one statement. A proof of settings that were
/// changed since is none.
///
/// # Errors
/// When the database fails.
pub async fn set_proved(tx: &mut Tx, proofs: &[SeenProof]) -> Result<(), StoreError> {
    let ids: Vec<Uuid> = proofs.iter().map(|one| one.account_id.as_uuid()).collect();
    let revisions: Vec<i64> = proofs.iter().map(|one| one.revision).collect();
    let moments: Vec<OffsetDateTime> = proofs.iter().map(|one| one.at).collect();
    sqlx::query(
        // A replica that was frozen may bring an older proof than its successor's.
        "UPDATE account_status s
         SET proved_at = greatest(s.proved_at, p.at),
             proved_revision = greatest(s.proved_revision, p.revision)
         FROM unnest($1::uuid[], $2::bigint[], $3::timestamptz[]) AS p (account_id, revision, at)
         JOIN accounts a ON a.account_id = p.account_id AND a.connection_revision <= p.revision
         WHERE s.account_id = p.account_id",
    )
    .bind(ids)
    .bind(revisions)
    .bind(moments)
    .execute(tx.connection())
    .await
    .map_err(StoreError::query("record proofs of life"))?;
    Ok(())
}
