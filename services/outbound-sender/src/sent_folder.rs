//! Looks for a mail in the Sent folder of the mailbox that sent it.
//!
//! That a mail is not there proves something only where the server keeps copies by itself, as Gmail
//! and Exchange do and others do not. So a mail that the same account surely sent is looked for,
//! too: without that control mail, absence says nothing.

use std::time::Duration;

use mailmesh_domain::OutboundState;
use mailmesh_mail::source::{Farewell, MailSource};
use mailmesh_mail::{SourceError, connect_sent};
use mailmesh_runtime::account_span;
use mailmesh_store::account::Account;
use mailmesh_store::{StoreError, account, outbound_mail};
use tracing::info;

use crate::context::ServiceContext;

/// Time limit for opening a Sent folder, and for each lookup in it.
const LIMIT: Duration = Duration::from_secs(90);
/// Sent mails among which a control mail is chosen.
const CONTROL_CANDIDATES: i64 = 20;

/// What a lookup found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum SentLookup {
    Found,
    Absent,
    /// There is no way to tell.
    Unknown,
    /// The server did not answer; another lookup may tell.
    Failed,
}

/// The Sent folder of an account, in one session for all that is looked for.
pub(crate) struct SentFolder(State);

enum State {
    Open {
        source: Box<dyn MailSource>,
        control: ControlMail,
    },
    Unknown,
    Failed,
}

/// Whether a mail that was surely sent is there.
enum ControlMail {
    Unasked(String),
    Known(bool),
}

impl SentFolder {
    /// Opens the Sent folder of the mailbox that an account sends from.
    ///
    /// # Errors
    /// When the database fails. A server that fails shows in the lookups.
    pub(crate) async fn open(
        context: &ServiceContext,
        outbound: &Account,
    ) -> Result<Self, StoreError> {
        let mut tx = context.replica.database.begin().await?;
        let inbound = account::find_inbound_of(&mut tx, outbound).await?;
        let (id, sent) = (Some(outbound.id), Some(OutboundState::Sent));
        let known = outbound_mail::list(&mut tx, id, sent, None, CONTROL_CANDIDATES).await?;
        tx.commit().await?;
        let Some(inbound) = inbound else {
            return Ok(Self(State::Unknown));
        };
        // One that only counts as sent is no control mail.
        let has_reply =
            |reply: &Option<String>| reply.as_ref().is_some_and(|text| text.starts_with('2'));
        let control = known.into_iter().find(|mail| has_reply(&mail.reply));
        let control = control.map_or(ControlMail::Known(false), |mail| {
            ControlMail::Unasked(mail.message_id)
        });
        let opening = tokio::time::timeout(LIMIT, enter(context, &inbound));
        Ok(Self(match opening.await {
            Ok(Some(Ok(Some(source)))) => State::Open { source, control },
            Ok(Some(Ok(None))) => State::Unknown,
            Ok(Some(Err(error))) => {
                account_span(inbound.id, &inbound.key).in_scope(|| {
                    info!(
                        error = &error as &dyn std::error::Error,
                        "The Sent folder could not be read"
                    );
                });
                State::Failed
            }
            Ok(None) | Err(_) => State::Failed,
        }))
    }

    /// Looks for the Message-ID of a mail that the account may have sent.
    pub(crate) async fn look_up(&mut self, message_id: &str) -> SentLookup {
        let (source, control) = match &mut self.0 {
            State::Open { source, control } => (source, control),
            State::Unknown => return SentLookup::Unknown,
            State::Failed => return SentLookup::Failed,
        };
        let asking = tokio::time::timeout(LIMIT, ask(source.as_mut(), message_id, control));
        match asking.await {
            Ok(Ok(lookup)) => lookup,
            Ok(Err(error)) => {
                info!(
                    error = &error as &dyn std::error::Error,
                    "The Sent folder could not be searched"
                );
                self.0 = State::Failed;
                SentLookup::Failed
            }
            Err(_) => {
                self.0 = State::Failed;
                SentLookup::Failed
            }
        }
    }

    pub(crate) async fn close(self) {
        if let State::Open { source, .. } = self.0 {
            source.close(Farewell::Abandon).await;
        }
    }
}

/// Opens a session in the Sent folder, if there is one. Returns none when the account cannot sign in now.
async fn enter(
    context: &ServiceContext,
    inbound: &Account,
) -> Option<Result<Option<Box<dyn MailSource>>, SourceError>> {
    let servers = &context.replica.servers;
    let endpoint = servers.endpoint_of(inbound).ok()?;
    let opened = context.credentials.open(inbound, None, None).await;
    let credentials = opened.ok()?.credentials;
    let connecting = servers.permit_connect(endpoint.direction, &endpoint.server.host);
    let _permit = connecting.await;
    Some(connect_sent(&endpoint, &credentials).await)
}

async fn ask(
    source: &mut dyn MailSource,
    message_id: &str,
    control: &mut ControlMail,
) -> Result<SentLookup, SourceError> {
    if source.contains_message_id(message_id).await? {
        return Ok(SentLookup::Found);
    }
    if let ControlMail::Unasked(id) = control {
        let is_there = source.contains_message_id(id).await?;
        *control = ControlMail::Known(is_there);
    }
    Ok(match control {
        ControlMail::Known(true) => SentLookup::Absent,
        ControlMail::Known(false) | ControlMail::Unasked(_) => SentLookup::Unknown,
    })
}
