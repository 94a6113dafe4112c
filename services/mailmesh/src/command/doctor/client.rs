//! Each client configuration's provider: metadata, key set, token endpoint and TLS.

use std::time::Duration;

use futures_util::stream::{self, StreamExt};
use mailmesh_accounts::read_registration;
use mailmesh_domain::{ErrorChain, FailureCause, History, MustAct, Responsibility};
use mailmesh_events::Problem;
use mailmesh_oauth::{OAuthError, Operation, ProviderError, Providers, check_provider};
use mailmesh_store::client_configuration::{self, ClientConfiguration};
use mailmesh_store::{Database, StoreError};
use tokio::time::timeout;

use super::{Finding, Report, told};
use crate::config::Config;

/// Client configurations that are tried at once.
const AT_ONCE: usize = 16;
/// For the metadata, and once more for key set and token endpoint together.
const LIMIT: Duration = Duration::from_secs(10);

/// Asks the providers side by side, by the same way and within the same networks as `token-refresh`. No secret is sent:
/// whether the provider accepts it is known from the refreshes.
pub(super) async fn examine(config: &Config, database: &Database, report: &Report) {
    let public = match &config.public {
        Some(public) => Ok(public.clone()),
        None => config.local_public(),
    };
    let (public, clients) = match (public, load(database).await) {
        (Ok(public), Ok(clients)) => (public, clients),
        (public, clients) => {
            let stored = clients.err().map(|error| ErrorChain(&error).to_string());
            let local = public.err().map(|error| format!("{error:#}"));
            let problem = stored.or(local).unwrap_or_default();
            let action = "Apply the migrations first: mailmesh migrate";
            report.tell(&Finding::bad("the client configurations", problem, action));
            return;
        }
    };
    let providers = Providers::new(public.redirect_uri())
        .through(config.token_refresh.proxy_url.clone())
        .allowing(&config.network);
    let mut checks = stream::iter(&clients)
        .map(|client| check(client, &providers))
        .buffer_unordered(AT_ONCE);
    while let Some(finding) = checks.next().await {
        report.tell(&finding);
    }
}

async fn load(database: &Database) -> Result<Vec<ClientConfiguration>, StoreError> {
    let mut tx = database.begin().await?;
    client_configuration::list(&mut tx).await
}

/// A refusal that refreshes have recorded comes first; what the provider answers now is put beside it.
async fn check(client: &ClientConfiguration, providers: &Providers) -> Finding {
    let what = format!("client configuration {} ({})", client.key, client.profile);
    let now = match find_failures(client, providers).await {
        Ok(failures) => worst(client, &failures),
        Err(problem) => Some(problem),
    };
    let (problem, action) = match (&client.refusal, now) {
        (None, None) => return Finding::well(format!("{what}: the provider answers")),
        (None, Some(now)) => told(&now, ""),
        (Some(refusal), None) => told(refusal, ""),
        (Some(refusal), Some(now)) => {
            let (stored, action) = told(refusal, "");
            let (now, _) = told(&now, "");
            (format!("{stored}; just now: {now}"), action)
        }
    };
    Finding::bad(what, problem, action)
}

async fn find_failures(
    client: &ClientConfiguration,
    providers: &Providers,
) -> Result<Vec<OAuthError>, Problem> {
    let registered = read_registration(client).map_err(|error| unusable(&error))?;
    let provider = match timeout(LIMIT, providers.get(&registered)).await {
        Ok(Ok(provider)) => provider,
        Ok(Err(ProviderError::Discovery(error))) => return Ok(vec![error]),
        Ok(Err(error)) => return Err(unusable(&error)),
        Err(_) => {
            let operation = Operation::Discover;
            return Ok(vec![OAuthError::TimedOut { operation }]);
        }
    };
    let known = client.token_origin.as_deref();
    if let Err(moved) = provider.endpoints.check_client_origin(known) {
        return Ok(vec![moved]);
    }
    Ok(check_provider(&provider, LIMIT).await)
}

fn unusable(error: &ProviderError) -> Problem {
    let cause = match error {
        ProviderError::Secret(_) => FailureCause::ClientSecretSealed,
        _ => FailureCause::ClientFieldUnusable,
    };
    Problem::new(ErrorChain(error).to_string(), cause)
}

/// Returns all failures as one problem, with what to do about the first that needs somebody.
fn worst(client: &ClientConfiguration, failures: &[OAuthError]) -> Option<Problem> {
    let history = History {
        has_worked: client.token_origin.is_some(),
        failing_for: Duration::ZERO,
        is_app: client.flow.is_app(),
    };
    let decided = |error: &OAuthError| error.responsibility(history);
    let needs_somebody = |decided: &Responsibility| decided.verdict.who != MustAct::Nobody;
    let first = failures.first().map(decided)?;
    let worst = failures.iter().map(decided).find(needs_somebody);
    let words = failures.iter().map(|error| ErrorChain(error).to_string());
    let words: Vec<String> = words.collect();
    Some(Problem::decided(words.join("; "), &worst.unwrap_or(first)))
}
