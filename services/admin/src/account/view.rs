use std::collections::HashMap;

use mailmesh_domain::{
    AccountId, AccountState, AfterReceive, Authorisation, ClientConfigurationId, Direction,
    Encryption, FailureCause, Flow, GrantId, GrantState, History, Key, Protocol, responsibility,
};
use mailmesh_events::Problem;
use mailmesh_store::account::Account;
use mailmesh_store::account_status::{self, AccountStatus};
use mailmesh_store::grant::{self, GrantSummary};
use mailmesh_store::outbound_mail::OutboundMail;
use mailmesh_store::{StoreError, Tx, client_configuration};
use serde::Serialize;

use crate::access::Caller;
use time::OffsetDateTime;

/// An account as the API shows it: never its password or tokens.
#[derive(Debug, Serialize)]
pub(crate) struct AccountView {
    /// As in log lines. A later account may have the key, but not the id.
    id: AccountId,
    key: Key,
    name: String,
    enabled: bool,
    direction: Direction,
    protocol: Protocol,
    #[serde(flatten)]
    server: Option<ServerView>,
    authorisation: Authorisation,
    login: String,
    has_password: bool,
    client_configuration: Option<Key>,
    #[serde(skip_serializing_if = "Option::is_none")]
    from_addresses: Option<Vec<String>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    max_connections: Option<u32>,
    #[serde(flatten)]
    watching: Option<WatchView>,
    ca_pem: Option<String>,
    state: AccountState,
    sign_in_needed: bool,
    problem: Option<Problem>,
    #[serde(with = "time::serde::rfc3339")]
    state_changed_at: OffsetDateTime,
    #[serde(with = "time::serde::rfc3339::option")]
    proved_at: Option<OffsetDateTime>,
    grant: Option<GrantView>,
    #[serde(with = "time::serde::rfc3339")]
    created_at: OffsetDateTime,
    #[serde(with = "time::serde::rfc3339")]
    updated_at: OffsetDateTime,
}

#[derive(Debug, Serialize)]
struct ServerView {
    host: String,
    port: u16,
    encryption: Encryption,
}

#[derive(Debug, Serialize)]
struct WatchView {
    folders: Vec<String>,
    receive_existing: bool,
    poll_interval_seconds: u32,
    after_receive: AfterReceive,
    delete_after_days: Option<u32>,
    move_to: Option<String>,
}

#[derive(Debug, Serialize)]
struct GrantView {
    id: GrantId,
    state: GrantState,
    address: Option<String>,
    scopes: Vec<String>,
    generation: i64,
    #[serde(with = "time::serde::rfc3339")]
    access_expires_at: OffsetDateTime,
    problem: Option<Problem>,
}

impl From<GrantSummary> for GrantView {
    fn from(grant: GrantSummary) -> Self {
        Self {
            id: grant.id,
            state: grant.state,
            address: grant.address,
            scopes: grant.scopes,
            generation: grant.generation,
            access_expires_at: grant.access_expires_at,
            problem: grant.problem,
        }
    }
}

/// Adds to accounts what others know of them, with a fixed number of statements.
pub(crate) async fn load_views(
    tx: &mut Tx,
    caller: &impl Caller,
    accounts: Vec<Account>,
) -> Result<Vec<AccountView>, StoreError> {
    let ids: Vec<AccountId> = accounts.iter().map(|account| account.id).collect();
    let grants: Vec<GrantId> = accounts.iter().filter_map(|a| a.grant_id).collect();
    let statuses = account_status::list_by_ids(tx, &ids).await?;
    let mut statuses: HashMap<AccountId, AccountStatus> =
        statuses.into_iter().map(|s| (s.account_id, s)).collect();
    let grants = grant::list_summaries(tx, &grants).await?;
    let grants: HashMap<GrantId, GrantSummary> = grants.into_iter().map(|g| (g.id, g)).collect();
    let clients = client_configuration::list(tx).await?;
    let clients: HashMap<ClientConfigurationId, (Key, Flow)> = clients
        .into_iter()
        .map(|c| (c.id, (c.key, c.flow)))
        .collect();
    let views = accounts.into_iter().map(|account| {
        let client = account.client_configuration_id;
        let (client, flow) = client.and_then(|id| clients.get(&id).cloned()).unzip();
        let grant = account.grant_id.and_then(|id| grants.get(&id).cloned());
        let mut status = statuses.remove(&account.id);
        if let Some(status) = &mut status
            && !caller.is_administrator()
        {
            hide_network(&account, status);
        }
        if let Some(status) = &mut status
            && flow.is_some_and(Flow::is_app)
            && status.state == AccountState::SignInNeeded
        {
            // `token-refresh` has not seen the account yet; nobody signs in.
            status.state = AccountState::Unknown;
        }
        view(account, client, status, grant)
    });
    Ok(views.collect())
}

/// As [`hide_network`], in what the outbox tells of a mail that waits for what keeps its account from connecting.
pub(crate) fn hide_network_of_mail(
    account: &Account,
    status: Option<&AccountStatus>,
    mail: &mut OutboundMail,
) {
    let has_worked = status.is_some_and(|status| status.proved_at.is_some());
    let is_failing = status.is_some_and(|status| status.state == AccountState::Failing);
    let was_tried = mail.attempts > 0 && !is_failing;
    if account.is_host_trusted || has_worked || was_tried {
        return;
    }
    mail.problem = mail.problem.take().map(hidden);
}

/// Whether a port is closed, filtered or answers, and with what, is told to administrators alone where somebody else has
/// named the host: else accounts would scan networks. What a mail server says that has let us in once is its own word.
fn hide_network(account: &Account, status: &mut AccountStatus) {
    if account.is_host_trusted
        || status.proved_at.is_some()
        || status.state != AccountState::Failing
    {
        return;
    }
    status.problem = status.problem.take().map(hidden);
}

fn hidden(problem: Problem) -> Problem {
    Problem::decided(
        "The mail server is not reached, or what answers there does not let us in.",
        &responsibility(FailureCause::HiddenFromOthers, History::NEW),
    )
    .with_mail(problem.mail)
}

fn view(
    account: Account,
    client: Option<Key>,
    status: Option<AccountStatus>,
    grant: Option<GrantSummary>,
) -> AccountView {
    let is_inbound = account.direction == Direction::Inbound;
    let state = status.as_ref().map_or(AccountState::Unproved, |s| s.state);
    let is_waiting = matches!(
        state,
        AccountState::SignInNeeded | AccountState::SignInRequired
    );
    let changed_at = status.as_ref().map(|s| s.changed_at);
    AccountView {
        id: account.id,
        key: account.key,
        name: account.name,
        enabled: account.is_enabled,
        direction: account.direction,
        protocol: account.protocol,
        server: account.server.map(|server| ServerView {
            host: server.host,
            port: server.port,
            encryption: server.encryption,
        }),
        authorisation: account.authorisation,
        login: account.login,
        has_password: account.password.is_set(),
        client_configuration: client,
        from_addresses: (!is_inbound).then_some(account.from_addresses),
        max_connections: (!is_inbound).then_some(account.max_connections),
        watching: is_inbound.then_some(WatchView {
            folders: account.folders,
            receive_existing: account.receive_existing,
            poll_interval_seconds: account.poll_interval_seconds,
            after_receive: account.after_receive,
            delete_after_days: account.delete_after_days,
            move_to: account.move_to,
        }),
        ca_pem: account.ca_pem,
        state,
        sign_in_needed: is_waiting && account.authorisation == Authorisation::OAuth2,
        state_changed_at: changed_at.unwrap_or(account.created_at),
        proved_at: status.as_ref().and_then(|s| s.proved_at),
        problem: status.and_then(|s| s.unreported.or(s.problem)),
        grant: grant.map(GrantView::from),
        created_at: account.created_at,
        updated_at: account.updated_at,
    }
}
