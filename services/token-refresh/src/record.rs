//! Writes what became of a refresh, with its events, in one transaction.

use std::time::Duration;

use mailmesh_accounts::Replica;
use mailmesh_domain::{AccountState, GrantState};
use mailmesh_events::account::{
    AccountAuthenticated, AccountFailing, AccountRecovered, AccountSignInRequired, ClientRefused,
};
use mailmesh_events::token::{TokenRefreshFailed, TokenRefreshed};
use mailmesh_events::{EncodedEvent, Event, Problem};
use mailmesh_store::client_configuration::{self, ClientConfiguration};
use mailmesh_store::grant::{self, Grant, NewTokens};
use mailmesh_store::{StoreError, Tx, account, outbox};
use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;
use tracing::{error, info, warn};

use crate::context::ServiceContext;
use crate::decide::{RefreshDecision, is_told};

/// How long new tokens are held in memory while the database is away.
const HOLD_LIMIT: Duration = Duration::from_mins(10);
/// The same once the process was told to stop.
const HOLD_LIMIT_AT_STOP: Duration = Duration::from_secs(10);
const HOLD_PAUSE: Duration = Duration::from_millis(500);
/// Maximum accounts that one event names.
const MOST_ACCOUNTS: usize = 100;

/// A failed refresh, judged.
pub(crate) struct FailedRefresh {
    pub(crate) problem: Problem,
    /// Every grant of the client configuration fails alike.
    pub(crate) concerns_client: bool,
    pub(crate) decision: RefreshDecision,
}

/// Writes what became of one refresh.
pub(crate) struct RefreshRecord<'a> {
    pub(crate) context: &'a ServiceContext,
    pub(crate) grant: &'a Grant,
    pub(crate) client: &'a ClientConfiguration,
}

impl RefreshRecord<'_> {
    /// Stores new tokens. With rotation they are the only ones that work, so a database that is
    /// away is waited for.
    pub(crate) async fn store(
        &self,
        tokens: &NewTokens,
        stop: &CancellationToken,
    ) -> Result<(), StoreError> {
        let started = Instant::now();
        let mut stopped: Option<Instant> = None;
        loop {
            let error = match self.try_store(tokens).await {
                Ok(()) => return Ok(()),
                Err(error) => error,
            };
            if stop.is_cancelled() {
                stopped.get_or_insert_with(Instant::now);
            }
            let is_over = started.elapsed() > HOLD_LIMIT
                || stopped.is_some_and(|since| since.elapsed() > HOLD_LIMIT_AT_STOP);
            if is_over {
                return Err(error);
            }
            warn!(
                error = &error as &dyn std::error::Error,
                "New tokens cannot be stored yet; they are held"
            );
            sleep(HOLD_PAUSE).await;
        }
    }

    async fn try_store(&self, tokens: &NewTokens) -> Result<(), StoreError> {
        let (grant, client) = (self.grant, self.client);
        let now = self.context.replica.clock.now();
        let mut tx = self.context.replica.database.begin().await?;
        let stored =
            grant::record_refresh(&mut tx, grant.id, grant.generation, tokens, now).await?;
        let Some(generation) = stored else {
            // A sign-in has replaced it, or an earlier commit went through after all.
            self.context.metrics.count("overtaken");
            return Ok(());
        };
        if client.token_origin.is_none() {
            client_configuration::bind_token_origin(&mut tx, client, &tokens.token_origin).await?;
        }
        let mut events = Events::new(&self.context.replica);
        events.push(&TokenRefreshed {
            grant_id: grant.id,
            generation,
            expires_at: tokens.access_expires_at,
        });
        let was = grant.account_state();
        if was.is_some() || !grant.has_token() {
            for account in account::list_keys_by_grant(&mut tx, grant.id).await? {
                if !grant.has_token() {
                    events.push(&AccountAuthenticated {
                        account: account.clone(),
                        scopes: tokens.scopes.clone().unwrap_or_default(),
                    });
                }
                if let Some(was) = was {
                    events.push(&AccountRecovered { account, was });
                }
            }
        }
        if client.refusal.is_some()
            && client_configuration::set_refusal(&mut tx, client.id, None).await?
        {
            let resumed = grant::resume_client(&mut tx, client.id, now).await?;
            info!(client.key = %client.key, resumed, "A client configuration is accepted again");
        }
        events.commit(tx).await?;
        self.context.metrics.count("refreshed");
        info!(generation, "A grant was refreshed");
        Ok(())
    }

    /// Records a failure, unless the row is no longer the one that was sent.
    pub(crate) async fn failure(&self, failed: &FailedRefresh) -> Result<(), StoreError> {
        let (grant, client) = (self.grant, self.client);
        let now = self.context.replica.clock.now();
        let problem = &failed.problem;
        let mut tx = self.context.replica.database.begin().await?;
        if !self.still_claims(&mut tx).await? {
            return Ok(());
        }
        let (state, after, outcome) = match failed.decision {
            RefreshDecision::Retry { after } => (grant.state, after, "retried"),
            RefreshDecision::RequireSignIn => (
                GrantState::SignInRequired,
                Duration::ZERO,
                "sign_in_required",
            ),
            RefreshDecision::OfferSignIn { after } => {
                (GrantState::Suspended, after, "sign_in_offered")
            }
            RefreshDecision::Suspend { after } => (GrantState::Suspended, after, "suspended"),
        };
        let due_at = now + after + jitter(after, spread_of(grant));
        grant::record_failure(&mut tx, grant, state, problem, due_at, now).await?;

        let after = Grant {
            state,
            problem: Some(problem.clone()),
            ..grant.clone()
        };
        let is_changed = after.account_state() != grant.account_state();
        let mut events = Events::new(&self.context.replica);
        if is_told(grant.failures) || is_changed {
            let mut accounts = account::list_keys_by_grant(&mut tx, grant.id).await?;
            accounts.truncate(MOST_ACCOUNTS);
            events.push(&TokenRefreshFailed {
                grant_id: grant.id,
                generation: grant.generation,
                accounts,
                problem: problem.clone(),
            });
        }
        // A refused client is one event, whatever the number of its accounts.
        if failed.concerns_client && state == GrantState::Suspended {
            refuse_client(&mut tx, &mut events, client, problem).await?;
        } else if is_changed {
            tell_accounts(&mut tx, &mut events, &after).await?;
        }
        events.commit(tx).await?;
        self.context.metrics.count(outcome);
        Ok(())
    }

    /// Locks the grant's row and returns whether it is still the one that was claimed: a replica that was frozen must write
    /// nothing over what its successor has found.
    async fn still_claims(&self, tx: &mut Tx) -> Result<bool, StoreError> {
        let grant = self.grant;
        let current = grant::claim(tx, grant.id, self.context.replica.id).await?;
        let is_ours = current.is_some_and(|current| current.generation == grant.generation);
        if !is_ours {
            self.context.metrics.count("overtaken");
            info!("A failed refresh is not recorded: the grant has new tokens or another holder");
        }
        Ok(is_ours)
    }

    /// Lets a grant wait whose client configuration is known to be refused.
    pub(crate) async fn wait_for_client(&self) -> Result<(), StoreError> {
        let (grant, client) = (self.grant, self.client);
        let now = self.context.replica.clock.now();
        let after = self.context.config.slow_probe();
        let due_at = now + after + jitter(after, spread_of(grant));
        let mut tx = self.context.replica.database.begin().await?;
        if !self.still_claims(&mut tx).await? {
            return Ok(());
        }
        // It may have been corrected or accepted since it was loaded: this process may have been frozen in between.
        let present = client_configuration::find(&mut tx, client.id).await?;
        let refusal = present.filter(|present| present.updated_at == client.updated_at);
        let Some(problem) = &refusal.and_then(|present| present.refusal) else {
            grant::postpone(&mut tx, grant.id, self.context.replica.id, now).await?;
            return tx.commit().await;
        };
        grant::record_failure(&mut tx, grant, GrantState::Suspended, problem, due_at, now).await?;
        tx.commit().await?;
        self.context.metrics.count("waiting_for_client");
        Ok(())
    }
}

/// Grants that were stored in the same moment differ in the random end of their ids.
pub(crate) fn spread_of(grant: &Grant) -> u8 {
    grant.id.as_uuid().as_bytes().last().copied().unwrap_or(0)
}

async fn tell_accounts(
    tx: &mut Tx,
    events: &mut Events<'_>,
    grant: &Grant,
) -> Result<(), StoreError> {
    let (Some(state), Some(problem)) = (grant.account_state(), &grant.problem) else {
        return Ok(());
    };
    for account in account::list_keys_by_grant(tx, grant.id).await? {
        let problem = problem.clone();
        match state {
            AccountState::SignInRequired => {
                events.push(&AccountSignInRequired { account, problem });
            }
            _ => events.push(&AccountFailing {
                account,
                problem,
                // Of the mail server, token-refresh knows nothing.
                is_unproved: false,
            }),
        }
    }
    if state == AccountState::SignInRequired {
        warn!(
            code = problem.code.as_deref(),
            "A mailbox owner must sign in again"
        );
    }
    Ok(())
}

async fn refuse_client(
    tx: &mut Tx,
    events: &mut Events<'_>,
    client: &ClientConfiguration,
    problem: &Problem,
) -> Result<(), StoreError> {
    let present = client_configuration::find(tx, client.id).await?;
    // What was corrected while the request was under way is not refused yet.
    let is_same = present.is_some_and(|present| present.updated_at == client.updated_at);
    if is_same && client_configuration::set_refusal(tx, client.id, Some(problem)).await? {
        error!(
            client.key = %client.key,
            code = problem.code.as_deref(),
            "The provider refuses a client configuration"
        );
        events.push(&ClientRefused {
            client_configuration: client.key.clone(),
            problem: problem.clone(),
        });
    }
    Ok(())
}

/// Up to a tenth, so that grants which failed together are not tried together for ever.
fn jitter(after: Duration, spread: u8) -> Duration {
    after / 10 * u32::from(spread) / u32::from(u8::MAX)
}

/// Events of one transaction.
struct Events<'a> {
    replica: &'a Replica,
    encoded: Vec<EncodedEvent>,
}

impl<'a> Events<'a> {
    fn new(replica: &'a Replica) -> Self {
        Self {
            replica,
            encoded: Vec::new(),
        }
    }

    fn push<E: Event>(&mut self, event: &E) {
        match self.replica.encode(event) {
            Ok(mut encoded) => {
                mailmesh_bus::trace::inject(&mut encoded.headers);
                self.encoded.push(encoded);
            }
            // Plain structs always encode; the state in the database is the truth all the same.
            Err(error) => error!(
                error = &error as &dyn std::error::Error,
                event = E::NAME,
                "An event cannot be written"
            ),
        }
    }

    async fn commit(self, mut tx: Tx) -> Result<(), StoreError> {
        let now = self.replica.clock.now();
        outbox::insert(&mut tx, self.replica.id, &self.encoded, now).await?;
        tx.commit().await?;
        self.replica.outbox.wake();
        Ok(())
    }
}
