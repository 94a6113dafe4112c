//! Looks for a mail in the Sent folder of the mailbox that sent it.
//!
//! That a mail is not there proves something only where the server keeps copies by itself, as Gmail
//! and Exchange do and others do not. So a mail that the same account surely sent is looked for,
//! too: without that witness, absence says nothing.

use std::time::Duration;

use mailmesh_domain::OutboundState;
use mailmesh_mail::imap::{ImapError, ImapLimits, SelectMode, Session, SpecialUse};
use mailmesh_store::account::Account;
use mailmesh_store::{StoreError, account, outbound_mail};
use tracing::info;

use crate::access::Access;
use crate::shared::Shared;

const LIMIT: Duration = Duration::from_secs(90);
/// Mails among which a witness is searched.
const WITNESSES: i64 = 20;
/// Sent folders of servers that do not say which it is.
const USUAL_NAMES: [&str; 3] = ["Sent", "Sent Items", "INBOX.Sent"];

/// What the Sent folder says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Look {
    Found,
    Absent,
    /// There is no way to tell.
    Unknown,
    /// The server did not answer; another look may tell.
    Failed,
}

/// Looks for the Message-ID of a mail that an account may have sent.
pub(crate) async fn look(
    shared: &Shared,
    outbound: &Account,
    message_id: &str,
) -> Result<Look, StoreError> {
    let mut tx = shared.replica.database.begin().await?;
    let inbound = account::find_inbound_of(&mut tx, outbound).await?;
    let (id, sent) = (Some(outbound.id), Some(OutboundState::Sent));
    let known = outbound_mail::list(&mut tx, id, sent, None, WITNESSES).await?;
    tx.commit().await?;
    let Some(inbound) = inbound else {
        return Ok(Look::Unknown);
    };
    // One that only counts as sent is no witness.
    let has_reply =
        |reply: &Option<String>| reply.as_ref().is_some_and(|text| text.starts_with('2'));
    let witness = known.into_iter().find(|mail| has_reply(&mail.reply));
    let witness = witness.map(|mail| mail.message_id);
    let looking = search(shared, &inbound, message_id, witness.as_deref());
    match tokio::time::timeout(LIMIT, looking).await {
        Ok(Some(Ok(look))) => Ok(look),
        Ok(Some(Err(error))) => {
            info!(
                account.id = %inbound.id,
                error = &error as &dyn std::error::Error,
                "The Sent folder could not be read"
            );
            Ok(Look::Failed)
        }
        Ok(None) | Err(_) => Ok(Look::Failed),
    }
}

/// Returns none when the account cannot sign in now.
async fn search(
    shared: &Shared,
    inbound: &Account,
    message_id: &str,
    witness: Option<&str>,
) -> Option<Result<Look, ImapError>> {
    let server = Access::server(inbound).ok()?;
    let replica = &shared.replica;
    let now = replica.clock.now();
    let pass = shared.access.pass(&replica.database, inbound, now).await;
    let credentials = pass.ok()?.credentials;
    Some(
        match Session::connect(&server, &credentials, ImapLimits::default()).await {
            Ok(mut session) => {
                let look = ask(&mut session, message_id, witness).await;
                session.logout().await;
                look
            }
            Err(error) => Err(error),
        },
    )
}

async fn ask(
    session: &mut Session,
    message_id: &str,
    witness: Option<&str>,
) -> Result<Look, ImapError> {
    let folders = session.list_folders().await?;
    let by_use = folders
        .iter()
        .find(|folder| folder.special_use == Some(SpecialUse::Sent));
    let usual = |name: &str| {
        let mut usual = USUAL_NAMES.iter();
        usual.any(|usual| usual.eq_ignore_ascii_case(name))
    };
    let by_name = || folders.iter().find(|folder| usual(&folder.name));
    let Some(folder) = by_use.or_else(by_name) else {
        return Ok(Look::Unknown);
    };
    session.select(&folder.name, SelectMode::ReadOnly).await?;
    if !session.search_message_id(message_id).await?.is_empty() {
        return Ok(Look::Found);
    }
    let Some(witness) = witness else {
        return Ok(Look::Unknown);
    };
    if session.search_message_id(witness).await?.is_empty() {
        return Ok(Look::Unknown);
    }
    Ok(Look::Absent)
}
