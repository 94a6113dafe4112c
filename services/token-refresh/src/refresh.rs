//! One refresh: from a claimed grant to tokens in the database, or to a recorded failure.

use std::time::Duration;

use mailmesh_accounts::open_registration;
use mailmesh_domain::{Flow, History, Protocol};
use mailmesh_oauth::{OAuthError, Provider, Registration, TokenAnswer, missing_scopes};
use mailmesh_secrets::SecretString;
use mailmesh_store::StoreError;
use mailmesh_store::client_configuration::{self, ClientConfiguration};
use mailmesh_store::grant::{self, Grant, NewTokens};
use tokio::time::{Instant, timeout};
use tokio_util::sync::CancellationToken;
use tracing::{error, info, instrument, warn};

use crate::context::ServiceContext;
use crate::decide::{Situation, decide, history_of};
use crate::failure::RefreshFailure;
use crate::record::{FailedRefresh, RefreshRecord, spread_of};

/// Two requests of twenty seconds at most, cut short: the claim must outlast this and the refresh.
const DISCOVERY_LIMIT: Duration = Duration::from_secs(25);
/// A process that was frozen must not use a claim that is about to end: the refresh itself takes up
/// to twenty seconds of it.
const CLAIM_IS_SAFE_FOR: Duration = Duration::from_secs(50);

/// Refreshes grants that this replica has claimed.
#[derive(Debug)]
pub(crate) struct Refresher {
    pub(crate) context: ServiceContext,
}

impl Refresher {
    /// Refreshes a grant that this replica has claimed.
    #[instrument(name = "refresh.grant", skip_all, fields(grant.id = %grant.id))]
    pub(crate) async fn refresh(
        &self,
        grant: Grant,
        claimed_at: Instant,
        stop: &CancellationToken,
    ) {
        if let Err(error) = self.try_refresh(&grant, claimed_at, stop).await {
            // The claim ends by itself, and any replica tries again.
            self.context.metrics.count("not_recorded");
            error!(
                error = &error as &dyn std::error::Error,
                "What became of a refresh could not be recorded"
            );
        }
    }

    async fn try_refresh(
        &self,
        grant: &Grant,
        claimed_at: Instant,
        stop: &CancellationToken,
    ) -> Result<(), StoreError> {
        let Some(client) = self.load_client(grant).await? else {
            return Ok(());
        };
        if stop.is_cancelled() {
            return self.put_off(grant, Duration::ZERO).await;
        }
        if client.refusal.is_some() && !self.context.clients.may_probe(client.id, client.updated_at)
        {
            return self.record(grant, &client).wait_for_client().await;
        }
        let asked = self.ask_provider(grant, &client, claimed_at, stop).await;
        self.note_provider(&client, &asked);
        match asked {
            Ok(Some(tokens)) => self.record(grant, &client).store(&tokens, stop).await,
            Ok(None) => self.put_off(grant, Duration::ZERO).await,
            Err(failure) => self.fail(grant, &client, &failure).await,
        }
    }

    const fn record<'a>(
        &'a self,
        grant: &'a Grant,
        client: &'a ClientConfiguration,
    ) -> RefreshRecord<'a> {
        RefreshRecord {
            context: &self.context,
            grant,
            client,
        }
    }

    /// A provider that refuses has answered; one that hangs, fails or throttles gets fewer of the next refreshes.
    fn note_provider(
        &self,
        client: &ClientConfiguration,
        asked: &Result<Option<NewTokens>, RefreshFailure>,
    ) {
        match asked {
            Ok(None) => {}
            Err(failure)
                if failure
                    .responsibility(History::WORKS)
                    .verdict
                    .is_retryable() =>
            {
                self.context.clients.note_failure(client.id);
            }
            Ok(Some(_)) | Err(_) => self.context.clients.note_answer(client.id),
        }
    }

    async fn load_client(&self, grant: &Grant) -> Result<Option<ClientConfiguration>, StoreError> {
        let mut tx = self.context.replica.database.begin().await?;
        client_configuration::find(&mut tx, grant.client_configuration_id).await
    }

    /// Returns the new tokens, sealed; none when the claim became too old to be used, or when the stop
    /// came first: a refresh that begins then may outlive the process, and what it rotated is lost.
    async fn ask_provider(
        &self,
        grant: &Grant,
        row: &ClientConfiguration,
        claimed_at: Instant,
        stop: &CancellationToken,
    ) -> Result<Option<NewTokens>, RefreshFailure> {
        let registered = open_registration(row, &self.context.keys, &self.context.replica.clock)?;
        let held = self.open_held(grant, &registered.registration)?;
        let limit = DISCOVERY_LIMIT;
        let found = tokio::select! {
            biased;
            () = stop.cancelled() => return Ok(None),
            found = timeout(limit, self.context.providers.get(&registered)) => found,
        };
        let provider = found.map_err(|_| RefreshFailure::DiscoveryTimedOut { limit })??;
        if claimed_at.elapsed() > CLAIM_IS_SAFE_FOR {
            warn!("A claim became too old before it was used");
            return Ok(None);
        }
        let endpoints = &provider.endpoints;
        endpoints.check_client_origin(row.token_origin.as_deref())?;
        let answer = request(&provider, grant, &held).await?;
        self.seal(grant, &answer, endpoints.token_origin())
            .map(Some)
    }

    /// Opens what the grant itself holds to get a token with.
    fn open_held(
        &self,
        grant: &Grant,
        registration: &Registration,
    ) -> Result<Held, RefreshFailure> {
        match grant.flow {
            Flow::ClientCredentials => return Ok(Held::Nothing),
            Flow::JwtBearer => return Ok(Held::Login(login_of(grant).to_owned())),
            Flow::User => {}
        }
        let Some(sealed) = &grant.refresh_token else {
            let is_asked = registration.asks_offline_access();
            return Err(RefreshFailure::NoRefreshToken { is_asked });
        };
        let context = Grant::refresh_context(grant.id);
        let opened = self.context.keys.open(sealed, &context);
        opened.map(Held::RefreshToken).map_err(RefreshFailure::Open)
    }

    fn seal(
        &self,
        grant: &Grant,
        answer: &TokenAnswer,
        token_origin: String,
    ) -> Result<NewTokens, RefreshFailure> {
        let now = self.context.replica.clock.now();
        let key = self.context.keys.sealing_key();
        let access = key.seal(&answer.access_token, &Grant::access_context(grant.id));
        let refresh = answer.refresh_token.as_ref();
        let refresh = refresh.map(|token| key.seal(token, &Grant::refresh_context(grant.id)));
        let access_expires_at = mailmesh_oauth::access_expires_at(answer.expires_in, now);
        // An end belongs to its token: a new one without an end does not inherit the old one's.
        let refresh_expires_at = match (&answer.refresh_token, answer.refresh_token_expires_in) {
            (_, Some(life)) => Some(now + life),
            (Some(_), None) => None,
            (None, None) => grant.refresh_expires_at,
        };
        Ok(NewTokens {
            access_token: access.map_err(RefreshFailure::Seal)?,
            refresh_token: refresh.transpose().map_err(RefreshFailure::Seal)?,
            token_origin,
            scopes: grant.flow.is_app().then(|| answer.scopes.clone()),
            access_expires_at,
            refresh_due_at: mailmesh_oauth::refresh_due_at(
                now,
                access_expires_at,
                refresh_expires_at,
                spread_of(grant),
            ),
            refresh_expires_at,
        })
    }

    async fn put_off(&self, grant: &Grant, by: Duration) -> Result<(), StoreError> {
        let due_at = self.context.replica.clock.now() + by;
        let mut tx = self.context.replica.database.begin().await?;
        grant::postpone(&mut tx, grant.id, self.context.replica.id, due_at).await?;
        tx.commit().await
    }

    /// A refused token cannot be replaced before its end either.
    async fn fail(
        &self,
        grant: &Grant,
        client: &ClientConfiguration,
        failure: &RefreshFailure,
    ) -> Result<(), StoreError> {
        let now = self.context.replica.clock.now();
        let token_left = Duration::try_from(grant.access_expires_at - now).unwrap_or_default();
        if matches!(failure, RefreshFailure::NoRefreshToken { .. }) && !token_left.is_zero() {
            return self.put_off(grant, token_left).await;
        }
        let decided = failure.responsibility(history_of(grant, now));
        let situation = Situation {
            failures: grant.failures,
            token_left,
            is_unclear: failure.is_unclear(),
        };
        let decision = decide(&decided, situation, &self.context.config);
        info!(
            error = failure as &dyn std::error::Error,
            ?decision,
            failures = grant.failures,
            "A refresh failed"
        );
        let failed = FailedRefresh {
            problem: failure.problem(&decided),
            concerns_client: failure.concerns_client(),
            decision,
        };
        self.record(grant, client).failure(&failed).await
    }
}

/// What a grant holds to get a token with.
enum Held {
    RefreshToken(SecretString),
    /// A mailbox that its client may act for.
    Login(String),
    /// Its client's credentials are all that is needed.
    Nothing,
}

/// Asks for a token. Where no person consented, what was given before is not needed: a token that was lost on the way is asked
/// for once more.
async fn request(
    provider: &Provider,
    grant: &Grant,
    held: &Held,
) -> Result<TokenAnswer, OAuthError> {
    let Provider {
        http,
        endpoints,
        client,
    } = provider;
    match held {
        Held::RefreshToken(token) => {
            endpoints.check_grant_origin(grant.token_origin.as_deref())?;
            let client = &client.for_protocols(Protocol::ALL);
            let asked = still_granted(&client.scopes, &grant.scopes);
            mailmesh_oauth::refresh(http, endpoints, client, token, &asked).await
        }
        Held::Login(login) => {
            mailmesh_oauth::request_for_mailbox(http, endpoints, client, login).await
        }
        Held::Nothing => mailmesh_oauth::request_for_client(http, endpoints, client).await,
    }
}

/// As an account writes it, where that is known.
fn login_of(grant: &Grant) -> &str {
    grant.address.as_deref().unwrap_or(&grant.subject)
}

/// Returns the scopes to ask for again: a scope that was added to the configuration since needs a
/// new sign-in, and asking for it here would cost the grant.
fn still_granted(configured: &[String], granted: &[String]) -> Vec<String> {
    let missing = missing_scopes(configured, granted);
    let kept = configured.iter().filter(|scope| !missing.contains(scope));
    kept.cloned().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scopes_that_were_added_later_are_not_asked_for() {
        let owned = |scopes: &[&str]| -> Vec<String> {
            scopes.iter().map(|scope| (*scope).to_owned()).collect()
        };
        let asked = still_granted(&owned(&["openid", "mail", "new"]), &owned(&["mail"]));
        assert_eq!(asked, owned(&["openid", "mail"]));
    }
}
