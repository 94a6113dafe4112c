//! The end of a sign-in: from the provider's answer to a grant that works.

use std::time::Duration;

use mailmesh_accounts::open_registration;
use mailmesh_domain::{AccountId, Authorisation};
use mailmesh_oauth::{
    Identity, OAuthError, Provider, ProviderError, TokenAnswer, check_issuer_parameter,
    exchange_code, identify, missing_scopes,
};
use mailmesh_secrets::SecretString;
use mailmesh_store::account::{self, Account};
use mailmesh_store::account_status::{self, SeenProof};
use mailmesh_store::client_configuration::{self, ClientConfiguration};
use mailmesh_store::sign_in::SignIn;
use mailmesh_store::{StoreError, Tx};
use std::sync::Arc;
use tokio::time::timeout;
use tracing::{Span, error, field, info, warn};

use crate::context::ServiceContext;
use crate::failure::SignInFailure;
use crate::page::Page;
use crate::probe::{self, ProbeResult};
use crate::storing::{Consent, store};

const DISCOVERY_LIMIT: Duration = Duration::from_secs(25);

/// What the provider sent through the browser.
pub(crate) struct ProviderAnswer {
    /// The key at the end of the redirect URI at which it arrived, if that has one.
    pub(crate) redirect_key: Option<String>,
    pub(crate) code: Option<SecretString>,
    pub(crate) error: Option<String>,
    pub(crate) description: Option<String>,
    pub(crate) issuer: Option<String>,
}

/// Ends a sign-in whose state and browser were checked, and says how.
pub(crate) async fn finish(app: &ServiceContext, sign_in: &SignIn, answer: ProviderAnswer) -> Page {
    let stored = match accept(app, sign_in, answer).await {
        Ok(stored) => stored,
        Err(failure) => {
            app.metrics.count(failure.kind());
            log(&failure);
            return failure.page();
        }
    };
    let (account, access_token) = stored;
    info!("A mailbox was connected");
    let proof = probe::prove(&app.replica.servers, &account, access_token).await;
    app.metrics.count(proof.kind());
    if matches!(proof, ProbeResult::Worked)
        && let Err(error) = record_proof(app, &account).await
    {
        warn!(
            error = &error as &dyn std::error::Error,
            "The account's proof was not recorded; its first work proves it"
        );
    }
    proof.page(&account)
}

/// An outbound account may have nothing to send for long.
async fn record_proof(app: &ServiceContext, account: &Account) -> Result<(), StoreError> {
    let proof = SeenProof {
        account_id: account.id,
        // Storing the grant was the change after the one that was read; any other since may be of what was tried.
        revision: account.revision + 1,
        at: app.replica.clock.now(),
    };
    let mut tx = app.replica.database.begin().await?;
    account_status::set_proved(&mut tx, &[proof]).await?;
    tx.commit().await
}

async fn accept(
    app: &ServiceContext,
    sign_in: &SignIn,
    answer: ProviderAnswer,
) -> Result<(Account, SecretString), SignInFailure> {
    let mut tx = app.replica.database.begin().await?;
    let (account, client) = load_account(&mut tx, sign_in.account_id).await?;
    Span::current().record("account.id", field::display(account.id));
    Span::current().record("account.key", field::display(&account.key));
    let protocols = account::list_protocols(&mut tx, &account).await?;
    drop(tx);
    if sign_in.client != Some((client.id, client.updated_at)) {
        return Err(SignInFailure::OtherClient);
    }
    // RFC 9700 §4.4.2.2: an answer at the redirect URI of one provider was not meant for another.
    let own_key = (!client.is_redirect_shared).then_some(client.key.as_str());
    if answer.redirect_key.as_deref() != own_key {
        return Err(OAuthError::MixedUp.into());
    }
    let provider = provider_of(app, &client).await?;
    check_issuer_parameter(&provider.endpoints, answer.issuer.as_deref())?;
    if let Some(error) = &answer.error {
        let description = answer.description.as_deref();
        return Err(OAuthError::from_authorization_answer(error, description).into());
    }
    let code = answer.code.ok_or(SignInFailure::NoCode)?;
    let verifier = app
        .keys
        .open(&sign_in.verifier, &SignIn::verifier_context(sign_in.id))?;
    let Provider {
        http,
        endpoints,
        client: registered,
    } = &*provider;
    endpoints.check_client_origin(client.token_origin.as_deref())?;
    let registered = &registered.for_protocols(&protocols);
    let tokens = exchange_code(http, endpoints, registered, &code, &verifier).await?;
    let scopes = missing_scopes(&registered.scopes, &tokens.scopes);
    if !scopes.is_empty() {
        return Err(SignInFailure::MissingScopes { scopes });
    }
    let identity = identify_twice(app, &provider, &tokens, &sign_in.nonce).await?;
    check_mailbox(&account, identity.as_ref())?;
    let access_token = tokens.access_token.clone();
    let consent = Consent {
        account: &account,
        client: &client,
        tokens: &tokens,
        identity: identity.as_ref(),
        token_origin: endpoints.token_origin(),
        asks_offline_access: registered.asks_offline_access(endpoints),
    };
    store(app, &consent).await?;
    Ok((account, access_token))
}

/// Loads an account and the client that it signs in with.
pub(crate) async fn load_account(
    tx: &mut Tx,
    id: AccountId,
) -> Result<(Account, ClientConfiguration), SignInFailure> {
    let account = account::list_without_passwords(tx, &[id]).await?.pop();
    let account = account
        .filter(|account| account.authorisation == Authorisation::OAuth2)
        .ok_or(SignInFailure::NothingToSignIn)?;
    let client = account
        .client_configuration_id
        .ok_or(SignInFailure::NothingToSignIn)?;
    let client = client_configuration::find(tx, client).await?;
    // A link from before the account was given a client that needs no person.
    let client = client.filter(|client| !client.flow.is_app());
    Ok((account, client.ok_or(SignInFailure::NothingToSignIn)?))
}

/// The code is spent and the tokens are good: one bad moment of the key server must not cost them.
async fn identify_twice(
    app: &ServiceContext,
    provider: &Provider,
    tokens: &TokenAnswer,
    nonce: &str,
) -> Result<Option<Identity>, OAuthError> {
    let Provider {
        http,
        endpoints,
        client,
    } = provider;
    let nonce = client.asks_identity().then_some(nonce);
    let now = app.replica.clock.now();
    match identify(http, endpoints, client, tokens, nonce, now).await {
        Err(error) if error.verdict().is_retryable() => {
            identify(http, endpoints, client, tokens, nonce, now).await
        }
        answer => answer,
    }
}

fn check_mailbox(account: &Account, identity: Option<&Identity>) -> Result<(), SignInFailure> {
    let Some((identity, address)) =
        identity.and_then(|identity| Some((identity, identity.address.as_ref()?)))
    else {
        return Ok(());
    };
    if address.to_lowercase() == account.login.to_lowercase() {
        return Ok(());
    }
    Err(SignInFailure::OtherMailbox {
        expected: account.login.clone(),
        signed_in: address.clone(),
        claim: identity.claim.clone(),
    })
}

pub(crate) async fn provider_of(
    app: &ServiceContext,
    client: &ClientConfiguration,
) -> Result<Arc<Provider>, SignInFailure> {
    let mut registered = open_registration(client, &app.keys, &app.replica.clock)?;
    if !client.is_redirect_shared {
        registered.redirect_uri = Some(app.public.own_redirect_uri(client.key.as_str()));
    }
    match timeout(DISCOVERY_LIMIT, app.providers.get(&registered)).await {
        Ok(found) => Ok(found?),
        Err(_) => Err(ProviderError::Discovery(OAuthError::TimedOut {
            operation: mailmesh_oauth::Operation::Discover,
        })
        .into()),
    }
}

/// Ours are errors, the visitor's and the provider's are warnings.
pub(crate) fn log(failure: &SignInFailure) {
    let (kind, error) = (failure.kind(), failure as &dyn std::error::Error);
    if failure.is_ours() {
        error!(kind, error, "A sign-in failed");
    } else {
        warn!(kind, error, "A sign-in was stopped");
    }
}
