use std::collections::HashSet;

use mailmesh_events::mail::{MailboxReset, ResetReason};
use mailmesh_store::mailbox::{self, Cursor, FoundMail};
use mailmesh_store::outbox;
use time::OffsetDateTime;
use tracing::{info, warn};

use crate::account_context::AccountContext;
use crate::failure::WatchFailure;
use crate::mail_id::to_hex;
use crate::ownership::read_back::Comparison;
use crate::prepare::WholeMail;
use crate::progress::position::{FormerFolders, Positions};

/// Finds, in a folder that is read again or was renamed, the mails that are not to be announced: those that were received
/// before, under other numbers or another name of the folder, and those that were there before the folder was watched.
/// Returns their ordinals.
pub(crate) async fn find_known(
    owner: &AccountContext,
    positions: &mut Positions,
    folder: &str,
    mails: &[WholeMail],
) -> Result<HashSet<u64>, WatchFailure> {
    let former = positions.former(folder).cloned();
    let may_know = |cursor: &&Cursor| former.is_some() || cursor.rescan_until.is_some();
    let Some(cursor) = positions.cursor(folder).filter(may_know).cloned() else {
        return Ok(HashSet::new());
    };
    let rescanned = up_to(mails, cursor.rescan_until);
    let mut known = find_renumbered(owner, &cursor, &rescanned).await?;
    if let Some(former) = former {
        let mut unknown = up_to(mails, Some(former.last_ordinal));
        unknown.retain(|mail| !known.contains(&mail.ordinal));
        let adopted = adopt(owner, positions, &cursor, &former, &unknown).await?;
        known.extend(adopted);
    }
    if !owner.account.receive_existing {
        known.extend(find_older(positions.cursor(folder), &rescanned));
    }
    Ok(known)
}

/// Finds the mails whose own events an earlier owner published and did not record; what is to be done with them on the server
/// is due now. One that stands where another content was announced is told, and published as any other.
pub(crate) async fn find_published<'a>(
    owner: &AccountContext,
    positions: &mut Positions,
    folder: &str,
    mails: impl Iterator<Item = &'a WholeMail> + Send,
) -> Result<Vec<u64>, WatchFailure> {
    let (mut ordinals, mut ids) = (Vec::new(), Vec::new());
    for mail in mails {
        match positions.compare(folder, &mail.position, &mail.sha256) {
            Comparison::Unknown => {}
            Comparison::Same(id) => {
                ordinals.push(mail.ordinal);
                ids.push(id);
            }
            Comparison::Differs(announced) => {
                owner.context.metrics.count_contradicted();
                warn!(
                    position = ?mail.position,
                    announced.sha256 = to_hex(&announced),
                    found.sha256 = to_hex(&mail.sha256),
                    "An event announced another mail than stands at its place; that one is announced, too"
                );
            }
        }
    }
    if !ids.is_empty() && owner.opens_for_changes() {
        let mut tx = owner.context.replica.database.begin().await?;
        mailbox::demand_post_actions(&mut tx, &ids).await?;
        tx.commit().await?;
    }
    Ok(ordinals)
}

fn up_to(mails: &[WholeMail], last: Option<u64>) -> Vec<&WholeMail> {
    let mails = mails.iter().filter(|mail| Some(mail.ordinal) <= last);
    mails.collect()
}

/// Returns the mails of a folder that is read again which were there before it was watched.
fn find_older(cursor: Option<&Cursor>, mails: &[&WholeMail]) -> Vec<u64> {
    // INTERNALDATE has whole seconds: a mail of the same second may have come after.
    let activated_at = cursor.map(|cursor| cursor.activated_at.unix_timestamp());
    let older = mails.iter().filter(|mail| {
        let received_at = mail.received_at.map(OffsetDateTime::unix_timestamp);
        received_at.is_some() && received_at < activated_at
    });
    older.map(|mail| mail.ordinal).collect()
}

async fn find_renumbered(
    owner: &AccountContext,
    cursor: &Cursor,
    mails: &[&WholeMail],
) -> Result<HashSet<u64>, WatchFailure> {
    if mails.is_empty() {
        return Ok(HashSet::new());
    }
    let found = to_found(mails);
    let (id, folder) = (owner.account.id, &cursor.folder);
    let mut tx = owner.context.replica.database.begin().await?;
    let known = mailbox::renumber_known(&mut tx, id, folder, &cursor.epoch, &found).await?;
    tx.commit().await?;
    Ok(known)
}

/// Finds mails that were received under a former name of the folder, whose rows get its name. The first of them proves that
/// it was renamed: it has been watched for as long as its former name was.
async fn adopt(
    owner: &AccountContext,
    positions: &mut Positions,
    cursor: &Cursor,
    former: &FormerFolders,
    mails: &[&WholeMail],
) -> Result<HashSet<u64>, WatchFailure> {
    if mails.is_empty() {
        return Ok(HashSet::new());
    }
    let (account, replica) = (&owner.account, &owner.context.replica);
    let (found, folder) = (to_found(mails), cursor.folder.as_str());
    let is_told = positions.is_renamed(folder);
    let now = owner.context.now();
    let mut tx = replica.database.begin().await?;
    let adopted =
        mailbox::adopt_renamed(&mut tx, account.id, folder, &former.names, &found).await?;
    let is_first = !is_told && !adopted.is_empty();
    if is_first {
        mailbox::backdate(&mut tx, account.id, folder, former.activated_at).await?;
        let names = &former.names;
        mailbox::rename_quarantined(&mut tx, account.id, folder, names, &cursor.epoch).await?;
        let event = replica.encode(&MailboxReset {
            account: account.key.clone(),
            folder: folder.to_owned(),
            reason: ResetReason::FolderRenamed,
        })?;
        outbox::insert(&mut tx, replica.id, &[event], now).await?;
    }
    tx.commit().await?;
    if is_first {
        replica.outbox.wake();
        positions.note_renamed(folder, former.activated_at);
        info!("A folder was renamed; its mails are known");
    }
    Ok(adopted)
}

fn to_found(mails: &[&WholeMail]) -> Vec<FoundMail> {
    mails.iter().map(|mail| mail.to_found()).collect()
}
