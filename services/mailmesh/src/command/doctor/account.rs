//! Each account's server and sign-in.

use std::collections::{HashMap, HashSet};
use std::time::Duration;

use futures_util::stream::{self, StreamExt};
use mailmesh_accounts::{MailServers, open_credentials};
use mailmesh_domain::{
    AccountId, AccountState, Authorisation, ClientConfigurationId, Clock, ErrorChain, FailureCause,
    GrantId, GrantState, History, MustAct, SystemClock, VerdictKind, responsibility,
};
use mailmesh_events::Problem;
use mailmesh_mail::{Credentials, ProbeError, ProbeStep, probe};
use mailmesh_secrets::OpeningKeys;
use mailmesh_store::account::{self, Account};
use mailmesh_store::account_status::{self, AccountStatus};
use mailmesh_store::grant::{self, Grant};
use mailmesh_store::{Database, StoreError, client_configuration};
use time::OffsetDateTime;

use super::{Finding, Report, Trouble};
use crate::config::Config;
use crate::console::say;

/// Accounts that are tried at once.
const AT_ONCE: usize = 16;
/// Per account, its wait for a permit not counted.
const LIMIT: Duration = Duration::from_secs(20);

/// Stored state of an account.
struct StoredAccount {
    account: Account,
    status: Option<AccountStatus>,
    grant: Option<Grant>,
    /// Its client needs no person.
    is_app: bool,
}

/// What one attempt has shown of an account without a problem.
enum AccountCheck {
    SignedIn,
    /// Refused for now, while the services work: POP3 servers let one session in at a time and may delay the next sign-in.
    RefusedBesideServices(String),
}

/// Tries the accounts side by side, within the limits on sign-ins that the services keep.
pub(super) async fn examine(config: &Config, database: &Database, report: &Report) {
    let keys = config.opening_keys().ok();
    let accounts = match load(database).await {
        Ok(accounts) => accounts,
        Err(error) => {
            report.tell(&Finding::bad(
                "the accounts",
                ErrorChain(&error).to_string(),
                "Apply the migrations first: mailmesh migrate",
            ));
            return;
        }
    };
    let Some(keys) = keys else {
        let told = accounts
            .iter()
            .filter_map(|known| stored(known).or_else(|| untried(known)));
        told.for_each(|finding| report.tell(&finding));
        say("Sign-ins are not tried without the keys that open secrets.");
        return;
    };
    let servers = MailServers::new(&config.connects).allowing(&config.network);
    let mut checks = stream::iter(&accounts)
        .map(|known| check(known, &servers, &keys))
        .buffer_unordered(AT_ONCE);
    while let Some(finding) = checks.next().await {
        report.tell(&finding);
    }
}

async fn load(database: &Database) -> Result<Vec<StoredAccount>, StoreError> {
    let mut tx = database.begin().await?;
    let accounts = account::list(&mut tx).await?;
    let ids: Vec<AccountId> = accounts.iter().map(|account| account.id).collect();
    let grants: Vec<GrantId> = accounts.iter().filter_map(|a| a.grant_id).collect();
    let statuses = account_status::list_by_ids(&mut tx, &ids).await?;
    let mut statuses: HashMap<AccountId, AccountStatus> =
        statuses.into_iter().map(|s| (s.account_id, s)).collect();
    let grants = grant::list_by_ids(&mut tx, &grants).await?;
    let grants: HashMap<GrantId, Grant> = grants.into_iter().map(|g| (g.id, g)).collect();
    let clients = client_configuration::list(&mut tx).await?;
    let apps: HashSet<ClientConfigurationId> = clients
        .into_iter()
        .filter(|client| client.flow.is_app())
        .map(|client| client.id)
        .collect();
    let known = accounts.into_iter().map(|account| StoredAccount {
        is_app: account
            .client_configuration_id
            .is_some_and(|id| apps.contains(&id)),
        status: statuses.remove(&account.id),
        grant: account.grant_id.and_then(|id| grants.get(&id).cloned()),
        account,
    });
    Ok(known.collect())
}

/// Returns what the services have recorded against an account.
fn stored(known: &StoredAccount) -> Option<Finding> {
    let problem = known.status.as_ref().and_then(|s| s.problem.as_ref());
    let problem = problem.filter(|_| known.account.is_enabled)?;
    let (problem, action) = told(&known.account, problem);
    Some(Finding::bad(named(&known.account), problem, action))
}

/// Tells of an account with whose present settings nothing has worked yet, and nothing has failed.
fn untried(known: &StoredAccount) -> Option<Finding> {
    let status = known.status.as_ref().filter(|_| known.account.is_enabled)?;
    (status.state == AccountState::Unproved).then(|| {
        let what = named(&known.account);
        Finding::well(format!("{what}: unproved, nothing has worked yet"))
    })
}

fn named(account: &Account) -> String {
    let server = account.server.as_ref();
    let place = server.map_or(String::new(), |at| format!(" at {}:{}", at.host, at.port));
    format!("account {} ({}{place})", account.key, account.protocol)
}

/// What the services have recorded covers more than one attempt and comes first; one attempt now is put beside it.
async fn check(known: &StoredAccount, servers: &MailServers, keys: &OpeningKeys) -> Finding {
    let account = &known.account;
    let what = named(account);
    if !account.is_enabled {
        return Finding::well(format!("{what}: disabled"));
    }
    let unproved = known
        .status
        .as_ref()
        .filter(|one| one.state == AccountState::Unproved);
    let before = unproved.map_or(
        "",
        |_| " (unproved: the services have done no work for it yet)",
    );
    let grant = known.grant.as_ref();
    let waits_for_sign_in = grant.is_some_and(|grant| grant.state != GrantState::Active);
    if let Some(finding) = stored(known).filter(|_| waits_for_sign_in) {
        return finding;
    }
    let stored = known.status.as_ref().and_then(|s| s.problem.as_ref());
    let tried = try_now(known, servers, keys, SystemClock.now()).await;
    let Some(stored) = stored else {
        return match tried {
            Ok(AccountCheck::SignedIn) => Finding::well(format!("{what}: signed in{before}")),
            Ok(AccountCheck::RefusedBesideServices(why)) => Finding::well(format!(
                "{what}: read by the services; one more sign-in fails for now: {why}"
            )),
            Err((problem, action)) => Finding::bad(what, problem, action),
        };
    };
    combined(what, told(account, stored), stored.must_act, tried)
}

fn combined(
    what: String,
    (stored, action): Trouble,
    must_act: MustAct,
    tried: Result<AccountCheck, Trouble>,
) -> Finding {
    let (now, action_now) = match tried {
        Ok(AccountCheck::SignedIn) => ("signed in".to_owned(), None),
        Ok(AccountCheck::RefusedBesideServices(why)) => (why, None),
        Err((why, action)) => (why, Some(action)),
    };
    if says_the_same(&stored, &now) {
        return Finding::bad(what, stored, action);
    }
    let problem = format!("{stored}; just now: {now}");
    // What passes by itself needs nobody; what was just seen may.
    let action_now = action_now.filter(|_| must_act == MustAct::Nobody);
    Finding::bad(what, problem, action_now.unwrap_or(action))
}

/// Returns whether what was seen just now only repeats what is stored: the services put the name of each folder around it.
fn says_the_same(stored: &str, now: &str) -> bool {
    let (stored, now) = (stored.to_lowercase(), now.to_lowercase());
    let reason = now
        .split_once(": ")
        .map_or(now.as_str(), |(_, reason)| reason);
    stored.contains(&now) || (now.starts_with("the folder ") && stored.contains(reason))
}

async fn try_now(
    known: &StoredAccount,
    servers: &MailServers,
    keys: &OpeningKeys,
    now: OffsetDateTime,
) -> Result<AccountCheck, Trouble> {
    let account = &known.account;
    let trouble = |problem: &str, action: &str| (problem.to_owned(), action.to_owned());
    let credentials = credentials(known, keys, now)?;
    let endpoint = servers.endpoint_of(account).map_err(|error| {
        let decided = responsibility(error.failure_cause(), history_of(known, now));
        trouble(&ErrorChain(&error).to_string(), decided.action)
    })?;
    let host = &endpoint.server.host;
    let _permit = servers.permit_connect(endpoint.direction, host).await;
    let tried = probe(&endpoint, &credentials, &account.folders, LIMIT).await;
    let mut failures = tried.failures();
    failures
        .next()
        .map_or(Ok(AccountCheck::SignedIn), |(step, error)| {
            let (what, action) = told(account, &problem_of(step, error, history_of(known, now)));
            let kind = error.verdict().kind;
            let is_passing = matches!(kind, VerdictKind::Transient | VerdictKind::Throttled);
            if is_passing && is_watched(known, now) {
                return Ok(AccountCheck::RefusedBesideServices(what));
            }
            Err((what, action))
        })
}

/// Returns whether the server has confirmed the folders to the services within the last few polls.
fn is_watched(known: &StoredAccount, now: OffsetDateTime) -> bool {
    let poll = Duration::from_secs(u64::from(known.account.poll_interval_seconds));
    let Some(status) = &known.status else {
        return false;
    };
    let is_fresh = |proved_at: OffsetDateTime| now - proved_at <= 3 * poll + LIMIT;
    status.state == AccountState::Active && status.proved_at.is_some_and(is_fresh)
}

fn history_of(known: &StoredAccount, now: OffsetDateTime) -> History {
    let proved_at = known.status.as_ref().and_then(|status| status.proved_at);
    History {
        has_worked: proved_at.is_some(),
        failing_for: proved_at.map_or(Duration::ZERO, |at| {
            Duration::try_from(now - at).unwrap_or_default()
        }),
        is_app: known.is_app,
    }
}

fn problem_of(step: &ProbeStep, error: &ProbeError, history: History) -> Problem {
    let what = match step {
        ProbeStep::SignIn => ErrorChain(error).to_string(),
        ProbeStep::OpenFolder(folder) => {
            format!(
                "the folder {folder:?} cannot be opened: {}",
                ErrorChain(error)
            )
        }
    };
    Problem::decided(what, &error.diagnosis().responsibility(history)).with_code(error.code())
}

/// Adds to a problem how to make the link for a new sign-in, where that is what it asks for.
fn told(account: &Account, problem: &Problem) -> Trouble {
    let is_sign_in = problem.kind == VerdictKind::NeedsSignIn;
    let link = match account.authorisation {
        Authorisation::OAuth2 if is_sign_in => {
            format!(" POST /v1/accounts/{}/sign-in makes the link.", account.key)
        }
        _ => String::new(),
    };
    super::told(problem, &link)
}

fn credentials(
    known: &StoredAccount,
    keys: &OpeningKeys,
    now: OffsetDateTime,
) -> Result<Credentials, Trouble> {
    let account = &known.account;
    let grant = match account.authorisation {
        Authorisation::OAuth2 => Some(usable(known, now)?),
        Authorisation::Password | Authorisation::None => None,
    };
    let opened =
        open_credentials(keys, account, grant).map_err(|error| told(account, &error.problem()))?;
    Ok(opened.credentials)
}

/// Returns the grant if its access token has not expired: the mail server's refusal of an expired one would name the wrong
/// person to act.
fn usable(known: &StoredAccount, now: OffsetDateTime) -> Result<&Grant, Trouble> {
    let decided = |what: String, cause| {
        let history = History {
            is_app: known.is_app,
            ..History::WORKS
        };
        let problem = Problem::decided(what, &responsibility(cause, history));
        told(&known.account, &problem)
    };
    let Some(grant) = &known.grant else {
        let what = if known.is_app {
            "it has no token yet"
        } else {
            "nobody has signed in"
        };
        return Err(decided(what.to_owned(), FailureCause::NotSignedIn));
    };
    let minutes = (now - grant.access_expires_at).whole_minutes();
    match &grant.problem {
        _ if grant.state == GrantState::Active && grant.access_expires_at > now => Ok(grant),
        Some(problem) => Err(told(&known.account, problem)),
        None if !grant.has_token() => Err(decided(
            "its first token is being fetched".to_owned(),
            FailureCause::TokenNotReplaced,
        )),
        None => Err(decided(
            format!("its access token has ended {minutes} minutes ago and was not replaced"),
            FailureCause::TokenNotReplaced,
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_stored_is_not_told_again() {
        let refused = "the server refused while opening the folder with NO \"Unknown mailbox\"";
        let stored = format!("Not every folder is received. folder \"Sales\": {refused}");
        let now = format!("the folder \"Sales\" cannot be opened: {refused}");

        assert!(says_the_same(&stored, &now));
        assert!(says_the_same(
            "The mail server failed: it is cut",
            "the mail server failed: it is cut"
        ));
        assert!(!says_the_same(
            "IMAP is turned off",
            "cannot connect: refused"
        ));
        assert!(!says_the_same(
            &stored,
            "the folder \"Sales\" cannot be opened: NO [UNAVAILABLE]"
        ));
    }
}
