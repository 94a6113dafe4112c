use std::collections::HashMap;

use axum::Json;
use axum::extract::State;
use mailmesh_domain::{
    AccountId, FailureCause, History, Key, MailId, OutboundState, UncertainPolicy, responsibility,
};
use mailmesh_events::Problem;
use mailmesh_events::mail::{MailCancelled, MailFailed, MailSent, RecipientOutcome};
use mailmesh_store::account::{self, Account};
use mailmesh_store::outbound_mail::{self as store, OutboundMail, Recipient};
use mailmesh_store::{Tx, account_status};
use serde::{Deserialize, Serialize};
use time::OffsetDateTime;
use tracing::info;

use crate::access::{Caller, Modeller, Viewer};
use crate::account::hide_network_of_mail;
use crate::context::{ServiceContext, SharedContext};
use crate::error::ApiError;
use crate::extract::{JsonBody, PathId, QueryParameters};
use crate::field::{Faults, Field};

const WHAT: &str = "outbound mail";
const DEFAULT_LIMIT: i64 = 50;
const MOST: i64 = 500;

#[derive(Debug, Serialize)]
pub(super) struct OutboundMailView {
    mail_id: MailId,
    account: Option<Key>,
    state: OutboundState,
    idempotency_key: Option<String>,
    message_id: String,
    from: String,
    recipients: Vec<Recipient>,
    bytes: u64,
    attempts: i32,
    #[serde(with = "time::serde::rfc3339::option")]
    next_attempt_at: Option<OffsetDateTime>,
    on_uncertain: UncertainPolicy,
    problem: Option<Problem>,
    reply: Option<String>,
    #[serde(with = "time::serde::rfc3339")]
    created_at: OffsetDateTime,
    #[serde(with = "time::serde::rfc3339::option")]
    finished_at: Option<OffsetDateTime>,
}

#[derive(Debug, Serialize)]
pub(super) struct OutboxPage {
    mails: Vec<OutboundMailView>,
    /// The parameter `before` of the next page.
    next_before: Option<MailId>,
}

/// What to do with a mail whose delivery stayed unknown.
#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(rename_all = "snake_case")]
enum UncertainDecision {
    Resend,
    AssumeSent,
    Fail,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct DecisionInput {
    decision: Field<UncertainDecision>,
}

#[derive(Debug)]
struct Filter {
    account: Option<Key>,
    state: Option<OutboundState>,
    before: Option<MailId>,
    limit: i64,
}

pub(super) async fn list(
    caller: Viewer,
    State(app): State<SharedContext>,
    QueryParameters(pairs): QueryParameters,
) -> Result<Json<OutboxPage>, ApiError> {
    let filter = read_filter(pairs)?;
    if filter.account.is_none() && caller.key().accounts.is_some() {
        return Err(ApiError::of_field(
            "account",
            "is required, because the API key is for single accounts",
        ));
    }
    let mut tx = app.begin().await?;
    let account = match &filter.account {
        Some(key) => {
            let found = account::find_by_key(&mut tx, key).await?;
            let found = found.filter(|account| caller.may_see(&account.key));
            let unknown = || ApiError::of_field("account", "there is no such account");
            Some(found.ok_or_else(unknown)?.id)
        }
        None => None,
    };
    let mails = store::list(&mut tx, account, filter.state, filter.before, filter.limit).await?;
    let is_full = i64::try_from(mails.len()).unwrap_or(i64::MAX) == filter.limit;
    let next_before = mails.last().filter(|_| is_full).map(|mail| mail.id);
    let mails = load_views(&mut tx, &caller, mails).await?;
    Ok(Json(OutboxPage { mails, next_before }))
}

pub(super) async fn read(
    caller: Viewer,
    State(app): State<SharedContext>,
    PathId(id): PathId<MailId>,
) -> Result<Json<OutboundMailView>, ApiError> {
    let mut tx = app.begin().await?;
    check_mail(&mut tx, &caller, id).await?;
    let mail = find(&mut tx, id).await?;
    Ok(Json(load_one(&mut tx, &caller, mail).await?))
}

pub(super) async fn decide(
    caller: Modeller,
    State(app): State<SharedContext>,
    PathId(id): PathId<MailId>,
    JsonBody(decided, faults): JsonBody<DecisionInput>,
) -> Result<Json<OutboundMailView>, ApiError> {
    faults.finish()?;
    let Some(decision) = decided.decision.over(None) else {
        return Err(ApiError::of_field(
            "decision",
            "is required: resend, assume_sent or fail",
        ));
    };
    let mut tx = app.begin().await?;
    check_mail(&mut tx, &caller, id).await?;
    let state = match decision {
        UncertainDecision::Resend => OutboundState::Queued,
        UncertainDecision::AssumeSent => OutboundState::Sent,
        UncertainDecision::Fail => OutboundState::Failed,
    };
    let Some(mail) = store::resolve_uncertain(&mut tx, id, state, app.now()).await? else {
        let found = find(&mut tx, id).await?;
        return Err(wrong_state(&found, "Only uncertain mails are decided on."));
    };
    let view = load_one(&mut tx, &caller, mail.clone()).await?;
    if let Some(account) = view.account.clone() {
        announce_decision(&app, &mut tx, account, &mail, decision).await?;
    }
    app.commit(tx).await?;
    info!(mail.id = %id, decision = ?decision, "Uncertain mail decided");
    Ok(Json(view))
}

pub(super) async fn cancel(
    caller: Modeller,
    State(app): State<SharedContext>,
    PathId(id): PathId<MailId>,
) -> Result<Json<OutboundMailView>, ApiError> {
    let mut tx = app.begin().await?;
    check_mail(&mut tx, &caller, id).await?;
    let found = find(&mut tx, id).await?;
    let account = found.account_id;
    let Some(mail) = store::cancel(&mut tx, account, Some(id), None, app.now()).await? else {
        let found = find(&mut tx, id).await?;
        return Err(wrong_state(&found, "Only queued mails can be taken back."));
    };
    let (given_key, stream_sequence) = (mail.given_key(), mail.stream_sequence);
    let view = load_one(&mut tx, &caller, mail).await?;
    if let Some(account) = view.account.clone() {
        let event = MailCancelled {
            mail_id: id,
            account,
            idempotency_key: given_key,
            stream_sequence,
            cancel_stream_sequence: None,
        };
        app.announce(&mut tx, &event).await?;
    }
    app.commit(tx).await?;
    info!(mail.id = %id, "Mail cancelled");
    Ok(Json(view))
}

/// Adds the event of a decision; for a mail that is sent again, its next attempt publishes one.
async fn announce_decision(
    app: &ServiceContext,
    tx: &mut Tx,
    account: Key,
    mail: &OutboundMail,
    decision: UncertainDecision,
) -> Result<(), ApiError> {
    let outcome = |accepted: bool| -> Vec<RecipientOutcome> {
        let each = mail.recipients.iter().map(|recipient| RecipientOutcome {
            accepted: recipient.accepted.unwrap_or(accepted),
            ..recipient.outcome()
        });
        each.collect()
    };
    match decision {
        UncertainDecision::Resend => Ok(()),
        // It goes on to the recipients that it was not handed over for.
        UncertainDecision::AssumeSent if mail.state == OutboundState::Queued => Ok(()),
        UncertainDecision::AssumeSent => {
            let event = MailSent {
                mail_id: mail.id,
                account,
                idempotency_key: mail.given_key(),
                stream_sequence: mail.stream_sequence,
                message_id: mail.message_id.clone(),
                reply: "no reply; an operator decided that it was sent".to_owned(),
                attempts: mail.attempts,
                sent_at: app.now(),
                recipients: outcome(true),
            };
            app.announce(tx, &event).await
        }
        UncertainDecision::Fail => {
            let decided = responsibility(FailureCause::MailDecidedUnsent, History::WORKS);
            let problem = Problem::decided("An operator decided that it was not sent.", &decided)
                .with_mail("The server may have it all the same; its body is kept.");
            let event = MailFailed {
                mail_id: mail.id,
                account,
                idempotency_key: mail.given_key(),
                stream_sequence: mail.stream_sequence,
                attempts: mail.attempts,
                problem,
                recipients: outcome(false),
            };
            app.announce(tx, &event).await
        }
    }
}

fn read_filter(pairs: Vec<(String, String)>) -> Result<Filter, ApiError> {
    let mut faults = Faults::default();
    let mut filter = Filter {
        account: None,
        state: None,
        before: None,
        limit: DEFAULT_LIMIT,
    };
    for (name, text) in pairs {
        if text.is_empty() {
            continue;
        }
        match name.as_str() {
            "account" => match Key::try_new(text) {
                Ok(key) => filter.account = Some(key),
                Err(fault) => faults.add(name, fault),
            },
            "state" => match text.parse() {
                Ok(state) => filter.state = Some(state),
                Err(_) => faults.add(
                    name,
                    "must be queued, sending, sent, failed, uncertain or cancelled",
                ),
            },
            "before" => match text.parse() {
                Ok(id) => filter.before = Some(id),
                Err(_) => faults.add(name, "must be the id of a mail"),
            },
            "limit" => match text.parse::<i64>() {
                Ok(limit) => filter.limit = i64::from(faults.number("limit", limit, 1, MOST)),
                Err(_) => faults.add(name, "must be a whole number"),
            },
            _ => faults.add(name, "unknown parameter"),
        }
    }
    faults.finish()?;
    Ok(filter)
}

/// A scoped key is for the mails of its accounts alone.
async fn check_mail(tx: &mut Tx, caller: &impl Caller, id: MailId) -> Result<(), ApiError> {
    if caller.key().accounts.is_none() {
        return Ok(());
    }
    let account = account::find_key_by_mail(tx, id).await?;
    caller.check_account(&account.ok_or(ApiError::NotFound { what: WHAT })?, WHAT)
}

async fn find(tx: &mut Tx, id: MailId) -> Result<OutboundMail, ApiError> {
    let mail = store::find(tx, id).await?;
    mail.ok_or(ApiError::NotFound { what: WHAT })
}

fn wrong_state(mail: &OutboundMail, action: &str) -> ApiError {
    ApiError::conflict(format!("the mail is {}", mail.state), action)
}

async fn load_one(
    tx: &mut Tx,
    caller: &impl Caller,
    mail: OutboundMail,
) -> Result<OutboundMailView, ApiError> {
    let mut views = load_views(tx, caller, vec![mail]).await?;
    views.pop().ok_or(ApiError::NotFound { what: WHAT })
}

async fn load_views(
    tx: &mut Tx,
    caller: &impl Caller,
    mut mails: Vec<OutboundMail>,
) -> Result<Vec<OutboundMailView>, ApiError> {
    let mut ids: Vec<AccountId> = mails.iter().map(|mail| mail.account_id).collect();
    ids.sort_unstable();
    ids.dedup();
    let accounts = account::list_without_passwords(tx, &ids).await?;
    if !caller.is_administrator() {
        let statuses = account_status::list_by_ids(tx, &ids).await?;
        for mail in &mut mails {
            let of_account = |account: &&Account| account.id == mail.account_id;
            let status = statuses.iter().find(|s| s.account_id == mail.account_id);
            if let Some(account) = accounts.iter().find(of_account) {
                hide_network_of_mail(account, status, mail);
            }
        }
    }
    let keys: HashMap<AccountId, Key> = accounts.into_iter().map(|a| (a.id, a.key)).collect();
    let views = mails.into_iter().map(|mail| OutboundMailView {
        mail_id: mail.id,
        account: keys.get(&mail.account_id).cloned(),
        state: mail.state,
        idempotency_key: mail.given_key(),
        message_id: mail.message_id,
        from: mail.envelope_from,
        recipients: mail.recipients,
        bytes: mail.size_bytes,
        attempts: mail.attempts,
        next_attempt_at: (mail.state == OutboundState::Queued).then_some(mail.due_at),
        on_uncertain: mail.on_uncertain,
        problem: mail.problem,
        reply: mail.reply,
        created_at: mail.created_at,
        finished_at: mail.finished_at,
    });
    Ok(views.collect())
}
