use axum::Json;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use http::{StatusCode, header};
use mailmesh_domain::{AccountId, Authorisation, Direction, Key, OutboundState};
use mailmesh_events::account::AccountChanged;
use mailmesh_store::account::{self as store, Account};
use mailmesh_store::client_configuration::{self, ClientConfiguration};
use mailmesh_store::{Tx, grant, outbound_mail, progress};
use serde::Serialize;
use tracing::info;

use crate::access::{Caller, Modeller, Viewer};
use crate::account::{
    AccountInput, AccountView, HostContext, MergeContext, check_destination, check_login,
    load_views, trust_host, validate,
};
use crate::context::{ServiceContext, SharedContext};
use crate::error::ApiError;
use crate::extract::{JsonBody, PathKey, QueryParameters};
use crate::field::{Faults, Field};

const WHAT: &str = "account";
/// Accounts of a page, unless `limit` asks for another number.
const DEFAULT_LIMIT: i64 = 100;
const MOST: i64 = 1_000;

#[derive(Debug, Serialize)]
pub(super) struct AccountList {
    accounts: Vec<AccountView>,
    /// The parameter `after` of the next page.
    next_after: Option<Key>,
}

pub(super) async fn list(
    caller: Viewer,
    State(app): State<SharedContext>,
    QueryParameters(pairs): QueryParameters,
) -> Result<Json<AccountList>, ApiError> {
    let page = read_page(pairs)?;
    let mut tx = app.begin().await?;
    // One more than is asked for shows whether there is another page.
    let seen = caller.key().accounts.as_deref();
    let after = page.after.as_ref();
    let mut accounts = store::list_page(&mut tx, seen, after, page.limit + 1).await?;
    let limit = usize::try_from(page.limit).unwrap_or(usize::MAX);
    let is_cut = accounts.len() > limit;
    accounts.truncate(limit);
    let next_after = accounts
        .last()
        .filter(|_| is_cut)
        .map(|last| last.key.clone());
    let accounts = load_views(&mut tx, &caller, accounts).await?;
    Ok(Json(AccountList {
        accounts,
        next_after,
    }))
}

#[derive(Debug)]
struct PageOf {
    after: Option<Key>,
    limit: i64,
}

fn read_page(pairs: Vec<(String, String)>) -> Result<PageOf, ApiError> {
    let mut faults = Faults::default();
    let mut page = PageOf {
        after: None,
        limit: DEFAULT_LIMIT,
    };
    for (name, text) in pairs {
        if text.is_empty() {
            continue;
        }
        match name.as_str() {
            "after" => match Key::try_new(text) {
                Ok(key) => page.after = Some(key),
                Err(fault) => faults.add(name, fault),
            },
            "limit" => match text.parse::<i64>() {
                Ok(limit) => page.limit = i64::from(faults.number("limit", limit, 1, MOST)),
                Err(_) => faults.add(name, "must be a whole number"),
            },
            _ => faults.add(name, "unknown parameter"),
        }
    }
    faults.finish()?;
    Ok(page)
}

pub(super) async fn create(
    caller: Modeller,
    State(app): State<SharedContext>,
    JsonBody(input, faults): JsonBody<AccountInput>,
) -> Result<Response, ApiError> {
    let mut tx = app.begin().await?;
    let client = load_client(&mut tx, &input.client_configuration, None).await?;
    let context = MergeContext {
        id: AccountId::generate(&*app.replica.clock),
        now: app.now(),
        current: None,
        client: client.as_ref(),
        sealing_key: &app.sealing_key,
    };
    let is_named = input.names_server();
    let mut account = validate(input, faults, &context)?;
    let host = HostContext {
        current: None,
        client: client.as_ref(),
        is_named,
        network: &app.network,
    };
    account.is_host_trusted = trust_host(&mut tx, &caller, &account, &host).await?;
    check_destination(&mut tx, &caller, client.as_ref(), &account).await?;
    check_login(&caller, client.as_ref(), None, &account)?;
    if !caller.may_see(&account.key) {
        return Err(ApiError::of_field(
            "key",
            "is none of those that the API key is for",
        ));
    }
    account.signs_in_for = caller.bound_key();
    account.grant_id = shared_grant(&mut tx, &account).await?;
    let inserted = store::insert(&mut tx, &account).await;
    inserted.map_err(|error| ApiError::on_insert(error, account.key.as_str()))?;
    announce(&app, &mut tx, &account.key, false).await?;
    let (id, key) = (account.id, account.key.clone());
    let view = load_one(&mut tx, &caller, account).await?;
    app.commit(tx).await?;
    info!(account.id = %id, account.key = %key, "Account created");
    let location = [(header::LOCATION, format!("/v1/accounts/{key}"))];
    Ok((StatusCode::CREATED, location, Json(view)).into_response())
}

pub(super) async fn read(
    caller: Viewer,
    State(app): State<SharedContext>,
    PathKey(key): PathKey,
) -> Result<Json<AccountView>, ApiError> {
    caller.check_account(&key, WHAT)?;
    let mut tx = app.begin().await?;
    let account = store::find_by_key(&mut tx, &key).await?;
    let account = account.ok_or(ApiError::NotFound { what: WHAT })?;
    Ok(Json(load_one(&mut tx, &caller, account).await?))
}

pub(super) async fn change(
    caller: Modeller,
    State(app): State<SharedContext>,
    PathKey(key): PathKey,
    JsonBody(input, faults): JsonBody<AccountInput>,
) -> Result<Json<AccountView>, ApiError> {
    caller.check_account(&key, WHAT)?;
    let mut tx = app.begin().await?;
    let current = store::find_for_update(&mut tx, &key).await?;
    let current = current.ok_or(ApiError::NotFound { what: WHAT })?;
    let client = load_client(&mut tx, &input.client_configuration, Some(&current)).await?;
    let context = MergeContext {
        id: current.id,
        now: app.now(),
        current: Some(&current),
        client: client.as_ref(),
        sealing_key: &app.sealing_key,
    };
    let is_named = input.names_server();
    let mut account = validate(input, faults, &context)?;
    let host = HostContext {
        current: Some(&current),
        client: client.as_ref(),
        is_named,
        network: &app.network,
    };
    account.is_host_trusted = trust_host(&mut tx, &caller, &account, &host).await?;
    check_destination(&mut tx, &caller, client.as_ref(), &account).await?;
    check_login(&caller, client.as_ref(), Some(&current), &account)?;
    if has_same_owner(&current, &account) {
        account.signs_in_for = current.signs_in_for;
        account.grant_id = current.grant_id;
    } else {
        account.signs_in_for = caller.bound_key();
        account.grant_id = shared_grant(&mut tx, &account).await?;
    }
    store::update(&mut tx, &account).await?;
    if let Some(left) = current.grant_id
        && account.grant_id != Some(left)
    {
        grant::delete_unused(&mut tx, left).await?;
    }
    if may_be_other_mailbox(&current, &account) {
        progress::void(&mut tx, account.id).await?;
    }
    announce(&app, &mut tx, &account.key, false).await?;
    let view = load_one(&mut tx, &caller, account).await?;
    app.commit(tx).await?;
    info!(account.id = %current.id, account.key = %key, "Account changed");
    Ok(Json(view))
}

pub(super) async fn remove(
    caller: Modeller,
    State(app): State<SharedContext>,
    PathKey(key): PathKey,
) -> Result<StatusCode, ApiError> {
    caller.check_account(&key, WHAT)?;
    let mut tx = app.begin().await?;
    // The lock keeps new mail from being accepted until this has ended.
    let account = store::find_for_update(&mut tx, &key).await?;
    let account = account.ok_or(ApiError::NotFound { what: WHAT })?;
    refuse_open_mail(&mut tx, &account).await?;
    store::delete(&mut tx, account.id).await?;
    if let Some(left) = account.grant_id {
        grant::delete_unused(&mut tx, left).await?;
    }
    announce(&app, &mut tx, &account.key, true).await?;
    app.commit(tx).await?;
    info!(account.id = %account.id, account.key = %key, "Account deleted");
    Ok(StatusCode::NO_CONTENT)
}

/// Loads the client configuration that the account has after the request.
async fn load_client(
    tx: &mut Tx,
    named: &Field<String>,
    current: Option<&Account>,
) -> Result<Option<ClientConfiguration>, ApiError> {
    let client = match named {
        Field::Null => return Ok(None),
        Field::Absent => {
            let Some(id) = current.and_then(|account| account.client_configuration_id) else {
                return Ok(None);
            };
            client_configuration::find_without_secret(tx, id).await?
        }
        Field::Given(text) => match Key::try_new(text) {
            Ok(key) => client_configuration::find_by_key(tx, &key).await?,
            Err(_) => None,
        },
    };
    let unknown = || {
        ApiError::of_field(
            "client_configuration",
            "there is no such client configuration",
        )
    };
    client.map(Some).ok_or_else(unknown)
}

/// Returns the grant that another account of the same mailbox has. Not an administrator's account on another's login: it
/// waits for that owner's own sign-in.
async fn shared_grant(
    tx: &mut Tx,
    account: &Account,
) -> Result<Option<mailmesh_domain::GrantId>, ApiError> {
    match account.client_configuration_id {
        Some(client) if account.authorisation == Authorisation::OAuth2 => {
            Ok(store::find_grant(tx, client, &account.login, account.signs_in_for).await?)
        }
        _ => Ok(None),
    }
}

fn has_same_owner(one: &Account, other: &Account) -> bool {
    one.client_configuration_id == other.client_configuration_id
        && one.authorisation == other.authorisation
        && one.login.eq_ignore_ascii_case(&other.login)
}

/// Cursors of one mailbox say nothing about another: its mail would be skipped. Whether it is another is not known: a
/// server may have got a new name, and a login may be an alias.
fn may_be_other_mailbox(one: &Account, other: &Account) -> bool {
    one.direction == Direction::Inbound
        && !(one.host().eq_ignore_ascii_case(other.host())
            && one.login.eq_ignore_ascii_case(&other.login))
}

async fn refuse_open_mail(tx: &mut Tx, account: &Account) -> Result<(), ApiError> {
    let open = [
        OutboundState::Queued,
        OutboundState::Sending,
        OutboundState::Uncertain,
    ];
    for state in open {
        let mails = outbound_mail::list(tx, Some(account.id), Some(state), None, 1).await?;
        if !mails.is_empty() {
            return Err(ApiError::conflict(
                format!("it has mail in state {state}, which would be lost"),
                format!(
                    "See GET /v1/outbox?account={}&state={state}: wait, cancel queued mails, decide uncertain ones.",
                    account.key
                ),
            ));
        }
    }
    Ok(())
}

async fn announce(
    app: &ServiceContext,
    tx: &mut Tx,
    key: &Key,
    is_deleted: bool,
) -> Result<(), ApiError> {
    let event = AccountChanged {
        account: key.clone(),
        is_deleted,
    };
    app.announce(tx, &event).await
}

async fn load_one(
    tx: &mut Tx,
    caller: &impl Caller,
    account: Account,
) -> Result<AccountView, ApiError> {
    let mut views = load_views(tx, caller, vec![account]).await?;
    views.pop().ok_or(ApiError::NotFound { what: WHAT })
}
