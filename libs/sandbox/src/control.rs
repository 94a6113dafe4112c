//! The control API under `/control`: JSON, for demos, scripts and tests that live in another process.
//!
//! | request | does |
//! |---|---|
//! | `GET /control` | says where everything listens and which certificate to trust |
//! | `GET POST /control/mailboxes`, `DELETE /control/mailboxes/{address}` | mailboxes: `{address, password}` |
//! | `PUT /control/mailboxes/{address}/password` | `{password}` |
//! | `GET POST /control/mailboxes/{address}/mails?folder=` | lists a folder; puts in the raw mail of the body |
//! | `GET PUT DELETE /control/mailboxes/{address}/mails/{uid}?folder=` | raw mail; `{flags}`; removes it |
//! | `POST /control/mailboxes/{address}/folders`, `PUT DELETE /control/mailboxes/{address}/folders/{folder}` | `{name}`: makes a folder; renames it; removes it |
//! | `POST /control/mailboxes/{address}/uid-validity?folder=` | numbers the folder anew |
//! | `POST /control/mailboxes/{address}/preload` | `{count, bytes_each}` mails at once |
//! | `POST /control/mailboxes/{address}/sessions/expire` | ends the live IMAP and POP3 sessions |
//! | `GET PUT /control/mailboxes/{address}/pop3` | how it deviates over POP3: see [`crate::Pop3Quirks`] |
//! | `GET DELETE /control/outbox`, `GET /control/outbox/{id}` | submitted mail for recipients elsewhere |
//! | `PUT /control/sink` | `{on}`: counts submitted mails without keeping them |
//! | `POST /control/tokens` | `{address, client_id, scopes, offline}`: tokens without a browser |
//! | `POST /control/tokens/expire`, `POST /control/tokens/revoke` | `{address}`: its access tokens; its grants |
//! | `PUT /control/tokens/life` | `{seconds}`: life of access tokens from now on |
//! | `POST /control/keys/rotate` | a new key for id tokens |
//! | `POST /control/applications` | what a client may do in its own name: `{client_id, public_key, scopes, mailboxes}` |
//! | `GET POST /control/clients`, `DELETE /control/clients/{client_id}` | `{client_id, client_secret, redirect_uris}` |
//! | `GET POST DELETE /control/faults`, `DELETE /control/faults/{id}` | see [`crate::fault`] |
//! | `GET /control/counters` | what was asked of the servers |

mod client;
mod fault;
mod folder;
mod mail;
mod mailbox;
mod outbox;
mod token;

use std::sync::Arc;

use axum::extract::{DefaultBodyLimit, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::{delete, get, post, put};
use axum::{Json, Router};
use serde_json::{Value, json};

use crate::Addresses;
use crate::mailbox::MailStoreError;
use crate::oauth::{InvalidRedirectUri, ProviderState, SigningKeyError};

/// Larger than any mail a provider takes.
const BODY_BYTES: usize = 64 * 1024 * 1024;

/// What the control API works on.
#[derive(Debug)]
pub(crate) struct Desk {
    pub(crate) provider: Arc<ProviderState>,
    pub(crate) addresses: Addresses,
    pub(crate) ca_pem: String,
}

/// Why a control request was refused.
#[derive(Debug, thiserror::Error)]
enum ControlError {
    #[error(transparent)]
    Mail(#[from] MailStoreError),
    #[error(transparent)]
    Client(#[from] InvalidRedirectUri),
    #[error(transparent)]
    Fault(#[from] crate::fault::UnknownPoint),
    #[error(transparent)]
    Key(#[from] SigningKeyError),
    #[error("there is no such {what}")]
    Missing { what: &'static str },
}

impl IntoResponse for ControlError {
    fn into_response(self) -> Response {
        let status = match &self {
            Self::Missing { .. }
            | Self::Mail(MailStoreError::UnknownMailbox | MailStoreError::UnknownFolder) => {
                StatusCode::NOT_FOUND
            }
            Self::Mail(MailStoreError::AlreadyExists | MailStoreError::Inbox) => {
                StatusCode::CONFLICT
            }
            Self::Client(_) | Self::Fault(_) => StatusCode::BAD_REQUEST,
            Self::Key(_) => StatusCode::INTERNAL_SERVER_ERROR,
        };
        (status, Json(json!({"error": self.to_string()}))).into_response()
    }
}

/// Builds the control API without opening a socket.
pub(crate) fn router(desk: Arc<Desk>) -> Router {
    Router::new()
        .route("/control", get(show))
        .route("/control/counters", get(show_counters))
        .merge(mailbox_routes())
        .route("/control/outbox", get(outbox::list).delete(outbox::clear))
        .route("/control/outbox/{id}", get(outbox::show))
        .route("/control/sink", put(outbox::set_sink))
        .route("/control/tokens", post(token::issue))
        .route("/control/tokens/expire", post(token::expire))
        .route("/control/tokens/revoke", post(token::revoke))
        .route("/control/tokens/life", put(token::set_life))
        .route("/control/keys/rotate", post(token::rotate_key))
        .route("/control/clients", get(client::list).post(client::register))
        .route("/control/clients/{client_id}", delete(client::remove))
        .route("/control/applications", post(client::register_application))
        .route(
            "/control/faults",
            get(fault::list).post(fault::add).delete(fault::clear),
        )
        .route("/control/faults/{id}", delete(fault::remove))
        .layer(DefaultBodyLimit::max(BODY_BYTES))
        .with_state(desk)
}

fn mailbox_routes() -> Router<Arc<Desk>> {
    Router::new()
        .route(
            "/control/mailboxes",
            get(mailbox::list).post(mailbox::create),
        )
        .route("/control/mailboxes/{address}", delete(mailbox::remove))
        .route(
            "/control/mailboxes/{address}/password",
            put(mailbox::set_password),
        )
        .route(
            "/control/mailboxes/{address}/uid-validity",
            post(mailbox::reset_uid_validity),
        )
        .route(
            "/control/mailboxes/{address}/preload",
            post(mailbox::preload),
        )
        .route(
            "/control/mailboxes/{address}/sessions/expire",
            post(mailbox::expire_sessions),
        )
        .route("/control/mailboxes/{address}/folders", post(folder::create))
        .route(
            "/control/mailboxes/{address}/folders/{folder}",
            put(folder::rename).delete(folder::remove),
        )
        .route(
            "/control/mailboxes/{address}/pop3",
            get(mailbox::show_pop3_quirks).put(mailbox::set_pop3_quirks),
        )
        .route(
            "/control/mailboxes/{address}/mails",
            get(mail::list).post(mail::deliver),
        )
        .route(
            "/control/mailboxes/{address}/mails/{uid}",
            get(mail::show).put(mail::set_flags).delete(mail::remove),
        )
}

async fn show(State(desk): State<Arc<Desk>>) -> Json<Value> {
    Json(json!({
        "sandbox": true,
        "personality": desk.provider.personality,
        "issuer": desk.addresses.issuer,
        "host": desk.addresses.host,
        "imap_tls": desk.addresses.mail.imap_tls,
        "imap": desk.addresses.mail.imap,
        "pop3_tls": desk.addresses.mail.pop3_tls,
        "pop3": desk.addresses.mail.pop3,
        "smtp_tls": desk.addresses.mail.smtp_tls,
        "smtp": desk.addresses.mail.smtp,
        "ca_pem": desk.ca_pem,
    }))
}

async fn show_counters(State(desk): State<Arc<Desk>>) -> Json<Value> {
    let mail = &desk.provider.mail;
    let sign_ins: serde_json::Map<String, Value> = mail
        .addresses()
        .into_iter()
        .filter_map(|address| {
            let count = mail.sign_ins(&address).ok()?;
            Some((address, json!(count)))
        })
        .collect();
    Json(json!({
        "oauth": desk.provider.counters.read(),
        "mail": mail.counters(),
        "sign_ins": sign_ins,
    }))
}
