//! Stores a consent: the grant, the accounts that use it, and their events, in one transaction.

use std::time::Duration;

use mailmesh_domain::{AccountState, GrantId, GrantState, Key};
use mailmesh_events::EncodedEvent;
use mailmesh_events::account::AccountAuthenticated;
use mailmesh_events::token::TokenRefreshed;
use mailmesh_oauth::{Identity, TokenAnswer, access_expires_at, refresh_due_at};
use mailmesh_secrets::SealedSecret;
use mailmesh_store::account::{self, Account};
use mailmesh_store::client_configuration::{self, ClientConfiguration};
use mailmesh_store::grant::{self, Grant};
use mailmesh_store::{StoreError, outbox};
use time::OffsetDateTime;
use tokio::time::{Instant, sleep};
use tracing::warn;

use crate::context::ServiceContext;
use crate::failure::SignInFailure;

/// Without a refresh token a grant is only worth storing if it lasts.
const SHORTEST_WITHOUT_REFRESH: Duration = Duration::from_hours(24);

const STORE_FOR: Duration = Duration::from_secs(10);
const STORE_PAUSE: Duration = Duration::from_millis(500);

/// What a person consented to.
pub(crate) struct Consent<'a> {
    pub(crate) account: &'a Account,
    pub(crate) client: &'a ClientConfiguration,
    pub(crate) tokens: &'a TokenAnswer,
    pub(crate) identity: Option<&'a Identity>,
    /// The origin of the token endpoint that gave the tokens.
    pub(crate) token_origin: String,
    /// Whether the provider was asked for a refresh token.
    pub(crate) asks_offline_access: bool,
}

/// Stores a consent, or says why it is not worth it. The code is spent: one bad moment of the database
/// must not cost the tokens.
pub(crate) async fn store(
    app: &ServiceContext,
    consent: &Consent<'_>,
) -> Result<(), SignInFailure> {
    let started = Instant::now();
    let mut unsure = None;
    loop {
        let error = match try_store(app, consent, &mut unsure).await {
            Ok(()) => return Ok(()),
            Err(error) => error,
        };
        if !may_pass(&error) || started.elapsed() > STORE_FOR {
            return Err(error);
        }
        warn!(
            error = &error as &dyn std::error::Error,
            "A sign-in cannot be stored yet; it is tried again"
        );
        sleep(STORE_PAUSE).await;
    }
}

const fn may_pass(failure: &SignInFailure) -> bool {
    matches!(
        failure,
        SignInFailure::Store(
            StoreError::Connect(_)
                | StoreError::Query { .. }
                // Two sign-ins of one person ended at once: the second finds the row of the first.
                | StoreError::Conflict { .. }
        )
    )
}

/// `unsure` is what a commit of unknown outcome may have stored, once there was one.
async fn try_store(
    app: &ServiceContext,
    consent: &Consent<'_>,
    unsure: &mut Option<(GrantId, i64)>,
) -> Result<(), SignInFailure> {
    let Consent {
        account,
        client,
        identity,
        ..
    } = consent;
    let now = app.replica.clock.now();
    // Without an identity the login that was asked for is all that says whose grant it is.
    let subject = identity.map_or(account.login.as_str(), |identity| &identity.subject);
    let mut tx = app.replica.database.begin().await?;
    let replaced = grant::lock_accounts(&mut tx, account.id).await?;
    let before = grant::find_by_subject(&mut tx, client.id, subject).await?;
    if let (Some(before), Some((id, generation))) = (&before, *unsure)
        && before.id == id
        && before.generation >= generation
    {
        // Storing it again could put a refresh token back that was used since.
        return Ok(());
    }
    let grant = new_grant(app, consent, subject, before.as_ref(), now)?;
    grant::save_sign_in(&mut tx, &grant, now).await?;
    if client.token_origin.is_none() {
        client_configuration::bind_token_origin(&mut tx, client, &consent.token_origin).await?;
    }
    account::attach_grant(&mut tx, account.id, grant.id, now).await?;
    // Another subject for the same mailbox, or none before: nobody would sign in for that grant again.
    for left in replaced.into_iter().filter(|left| *left != grant.id) {
        grant::delete_unused(&mut tx, left).await?;
    }
    let keys = account::list_keys_by_grant(&mut tx, grant.id).await?;
    let events = events(app, &grant, keys)?;
    outbox::insert(&mut tx, app.replica.id, &events, now).await?;
    *unsure = Some((grant.id, grant.generation));
    tx.commit().await?;
    app.replica.outbox.wake();
    Ok(())
}

fn new_grant(
    app: &ServiceContext,
    consent: &Consent<'_>,
    subject: &str,
    before: Option<&Grant>,
    now: OffsetDateTime,
) -> Result<Grant, SignInFailure> {
    let Consent {
        account,
        client,
        tokens,
        identity,
        ..
    } = consent;
    let clock = &*app.replica.clock;
    let id = before.map_or_else(|| GrantId::generate(clock), |grant| grant.id);
    let key = app.keys.sealing_key();
    let access_token = key.seal(&tokens.access_token, &Grant::access_context(id))?;
    let refresh_token = refresh_token(app, consent, id, before)?;
    let access_expires_at = access_expires_at(tokens.expires_in, now);
    // One that was kept keeps its end too.
    let refresh_expires_at = match (&tokens.refresh_token, tokens.refresh_token_expires_in) {
        (Some(_), life) => life.map(|life| now + life),
        (None, _) => before.and_then(|grant| grant.refresh_expires_at),
    };
    let spread = id.as_uuid().as_bytes().last().copied().unwrap_or(0);
    let refresh_due_at = match refresh_token {
        Some(_) => refresh_due_at(now, access_expires_at, refresh_expires_at, spread),
        None => access_expires_at,
    };
    let address = identity.and_then(|identity| identity.address.clone());
    Ok(Grant {
        id,
        client_configuration_id: client.id,
        flow: client.flow,
        subject: subject.to_owned(),
        token_origin: Some(consent.token_origin.clone()),
        address: address.or_else(|| Some(account.login.clone())),
        scopes: tokens.scopes.clone(),
        state: GrantState::Active,
        problem: None,
        access_token,
        refresh_token,
        generation: before.map_or(1, |grant| grant.generation + 1),
        access_expires_at,
        refresh_due_at,
        refresh_expires_at,
        failures: 0,
    })
}

/// Google gives a refresh token with the first consent only, so that of an earlier sign-in is kept.
fn refresh_token(
    app: &ServiceContext,
    consent: &Consent<'_>,
    id: GrantId,
    before: Option<&Grant>,
) -> Result<Option<SealedSecret>, SignInFailure> {
    let tokens = consent.tokens;
    if let Some(token) = &tokens.refresh_token {
        let key = app.keys.sealing_key();
        return Ok(Some(key.seal(token, &Grant::refresh_context(id))?));
    }
    // One that was refused is dead, whoever consents again.
    let is_dead = |grant: &&Grant| grant.account_state() == Some(AccountState::SignInRequired);
    let comes_from_here = |grant: &&Grant| {
        let origin = grant.token_origin.as_ref();
        origin.is_none_or(|origin| *origin == consent.token_origin)
    };
    let alive = before.filter(|grant| !is_dead(grant) && comes_from_here(grant));
    let kept = alive.and_then(|grant| grant.refresh_token.clone());
    let is_lasting = tokens
        .expires_in
        .is_some_and(|life| life >= SHORTEST_WITHOUT_REFRESH);
    if kept.is_none() && !is_lasting {
        return Err(SignInFailure::NoRefreshToken {
            is_asked: consent.asks_offline_access,
        });
    }
    Ok(kept)
}

fn events(
    app: &ServiceContext,
    grant: &Grant,
    keys: Vec<Key>,
) -> Result<Vec<EncodedEvent>, SignInFailure> {
    let refreshed = TokenRefreshed {
        grant_id: grant.id,
        generation: grant.generation,
        expires_at: grant.access_expires_at,
    };
    let mut events = vec![app.replica.encode(&refreshed)?];
    for account in keys {
        let authenticated = AccountAuthenticated {
            account,
            scopes: grant.scopes.clone(),
        };
        events.push(app.replica.encode(&authenticated)?);
    }
    for event in &mut events {
        mailmesh_bus::trace::inject(&mut event.headers);
    }
    Ok(events)
}
