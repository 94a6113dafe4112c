//! What is new of a folder whose source lists what lies after an ordinal: a cursor says how far it was received. Sibling of
//! `seen_set`.

use mailmesh_mail::source::ListedMail;
use tracing::warn;

use crate::failure::WatchFailure;
use crate::open_folder::OpenFolder;
use crate::progress::numbering::Occasion;
use crate::progress::position::Positions;
use crate::progress::reconcile;

/// Opens a folder and gives it a cursor of its epoch.
pub(crate) async fn open(
    folder: &mut OpenFolder<'_>,
    positions: &mut Positions,
) -> Result<(), WatchFailure> {
    let opened = folder.open().await?;
    reconcile::fit_cursor(folder, positions, &opened).await?;
    positions.note_opened(folder.name, opened.last_ordinal);
    Ok(())
}

/// Forgets events that were read back of mails which the server never had: whatever announced them, the cursor must not
/// pass what comes to their places.
pub(crate) fn forget_impossible(folder: &OpenFolder<'_>, positions: &mut Positions) {
    // A server that does not say where its numbers end (UIDNEXT, optional before RFC 9051) refutes nothing.
    let Some(last) = positions.last_opened(folder.name) else {
        return;
    };
    let forgotten = positions.forget_beyond(folder.name, last);
    if forgotten > 0 {
        folder.owner.context.metrics.count_contradicted();
        warn!(
            events = forgotten,
            "Events announced mails that the server never had"
        );
    }
}

/// Returns whether stored positions mean the mails that they were stored for: while a folder is read again, mails are still
/// to get their new numbers.
pub(crate) fn is_settled(positions: &Positions, folder: &str) -> bool {
    let cursor = positions.cursor(folder);
    cursor.is_none_or(|cursor| cursor.rescan_until.is_none())
}

/// Lists what lies beyond the cursor, once the right to publish it is taken.
pub(crate) async fn list_new(
    folder: &mut OpenFolder<'_>,
    positions: &mut Positions,
) -> Result<Vec<ListedMail>, WatchFailure> {
    while let Some(cursor) = positions.cursor(folder.name) {
        let listed = folder.source.list_after(cursor.ordinal).await?;
        if folder.source.has_unlisted()
            && reconcile::check_numbering(folder, positions, Occasion::Unlisted).await?
        {
            continue;
        }
        if listed.is_empty() || positions.is_owned() {
            return Ok(listed);
        }
        // It reads the cursors again, so that less may lie beyond them.
        reconcile::take_ownership(folder.owner, positions, folder.name).await?;
    }
    Ok(Vec::new())
}
