use std::collections::HashSet;

use mailmesh_store::mailbox::{self, FoundMail};

use crate::account_context::AccountContext;
use crate::failure::Failure;
use crate::position::Positions;
use crate::prepare::WholeMail;

/// Finds, in a folder that is read again, the mails that are not to be announced: those that were received before, under
/// other numbers, and those that were there before the folder was watched. Returns their ordinals.
pub(crate) async fn find_known(
    owner: &AccountContext,
    positions: &Positions,
    folder: &str,
    mails: &[WholeMail],
) -> Result<HashSet<u64>, Failure> {
    let Some(cursor) = positions.cursor(folder) else {
        return Ok(HashSet::new());
    };
    let Some(until) = cursor.rescan_until else {
        return Ok(HashSet::new());
    };
    let rescanned = || mails.iter().filter(|mail| mail.ordinal <= until);
    let asked: Vec<FoundMail> = rescanned().map(WholeMail::to_found).collect();
    if asked.is_empty() {
        return Ok(HashSet::new());
    }
    let id = owner.account.id;
    let mut tx = owner.context.replica.database.begin().await?;
    let mut known = mailbox::renumber_known(&mut tx, id, folder, &cursor.epoch, &asked).await?;
    tx.commit().await?;
    if !owner.account.receive_existing {
        // INTERNALDATE has whole seconds: a mail of the same second may have come after.
        let activated_at = cursor.activated_at.unix_timestamp();
        let older = rescanned().filter(|mail| {
            let mut received_at = mail.received_at.iter();
            received_at.any(|date| date.unix_timestamp() < activated_at)
        });
        known.extend(older.map(|mail| mail.ordinal));
    }
    Ok(known)
}
