//! Whether a folder's numbering still means the mails that were received, although the server tells the same epoch.
//!
//! A server that was restored from a backup, or lost its counter, gives UIDs again that it had given to other mails, and
//! often keeps its UIDVALIDITY. What lies at or below the cursor then was never received.

use std::cmp::Ordering;

use bytes::BytesMut;
use mailmesh_domain::Position;
use mailmesh_mail::Concern;
use mailmesh_mail::source::{FetchedMail, HighestMail, OpenedFolder};
use mailmesh_store::mailbox::{self, Cursor, FoundMail, NewestMail};
use time::{Duration, OffsetDateTime};
use tokio::sync::mpsc;

use crate::failure::WatchFailure;
use crate::mail_id::length;
use crate::open_folder::OpenFolder;
use crate::progress::position::Positions;

/// Larger mails are not read for a comparison.
const COMPARED_BYTES: u32 = 256 * 1024;

/// A date within this time is not taken for a mail's own.
const RECENT: Duration = Duration::MINUTE;

/// How a folder's numbering stands to the cursor.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Numbering {
    GoesOn,
    /// It goes on, as this mail proves.
    Proved(NewestMail),
    WentBack,
}

/// Why the numbering may have gone back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Occasion {
    /// The folder was opened; `last` is the highest number that was given, if the server tells.
    Opened { last: Option<u64> },
    /// Mails came that are not listed beyond the cursor.
    Unlisted,
}

/// Which dates of the server tell mails apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Dates {
    Good,
    /// Dates have whole seconds: another mail may have come in the same one, just now.
    GoodBefore(OffsetDateTime),
    Void,
}

impl Dates {
    fn hold(self, date: Option<OffsetDateTime>) -> bool {
        match self {
            Self::Good => true,
            Self::GoodBefore(moment) => date < Some(moment),
            Self::Void => false,
        }
    }
}

/// Whether anything but the content may speak against a mail.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Doubt {
    /// Its number and date agree.
    Slight,
    Grave,
}

/// What the numbers of a folder say by themselves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum OrdinalCheck {
    Agree,
    /// The highest mail up to the cursor has to be read.
    Doubtful(HighestMail),
    Contradict,
}

/// Tells the source the epoch that the folder is in by our record, and returns the opening in terms of that.
pub(crate) fn resume(
    folder: &mut OpenFolder<'_>,
    positions: &Positions,
    opened: &OpenedFolder,
) -> OpenedFolder {
    let known = positions.resumed_epoch(folder.name, &opened.epoch);
    let epoch = known.unwrap_or(&opened.epoch).clone();
    folder.source.resume(&epoch);
    OpenedFolder {
        epoch,
        last_ordinal: opened.last_ordinal,
    }
}

/// Returns whether the open folder has gone back to numbers that it had given before.
pub(crate) async fn has_gone_back(
    folder: &mut OpenFolder<'_>,
    positions: &mut Positions,
    occasion: Occasion,
) -> Result<bool, WatchFailure> {
    let Some(cursor) = positions.cursor(folder.name).cloned() else {
        return Ok(false);
    };
    if let Occasion::Opened { last } = occasion
        && positions.is_checked(folder.name)
        && last.is_none_or(|last| last >= cursor.ordinal)
    {
        // A server that is restored ends its sessions; what goes on is not asked for each time that a folder is opened.
        return Ok(false);
    }
    let dates = match occasion {
        Occasion::Unlisted => Dates::Void,
        Occasion::Opened { .. } if positions.is_proved(folder.name) => Dates::Good,
        Occasion::Opened { .. } => Dates::GoodBefore(folder.owner.context.now() - RECENT),
    };
    let last = match occasion {
        Occasion::Opened { last } => last,
        Occasion::Unlisted => None,
    };
    let highest = folder.source.highest_up_to(cursor.ordinal).await?;
    let numbering = match judge(&cursor, highest, last, dates) {
        OrdinalCheck::Agree => match to_compare(positions, &cursor, highest) {
            Some(highest) => {
                positions.set_doubt(folder.name, Some(highest.ordinal));
                compare_small(folder, &cursor, highest).await?
            }
            None => Numbering::GoesOn,
        },
        OrdinalCheck::Contradict => Numbering::WentBack,
        // The mail breaks the session: reading the folder again passes over it after counted attempts.
        OrdinalCheck::Doubtful(highest) if positions.is_doubted(folder.name, highest.ordinal) => {
            Numbering::WentBack
        }
        OrdinalCheck::Doubtful(highest) => {
            positions.set_doubt(folder.name, Some(highest.ordinal));
            look_at(folder, &cursor, highest, Doubt::Grave).await?
        }
    };
    positions.set_doubt(folder.name, None);
    match &numbering {
        Numbering::GoesOn => positions.note_proved(folder.name, None),
        Numbering::Proved(newest) => positions.note_proved(folder.name, Some(newest.clone())),
        Numbering::WentBack => {}
    }
    Ok(numbering == Numbering::WentBack)
}

fn judge(
    cursor: &Cursor,
    highest: Option<HighestMail>,
    last: Option<u64>,
    dates: Dates,
) -> OrdinalCheck {
    if let Some(last) = last.filter(|last| *last < cursor.ordinal) {
        // A mail with a higher number than any that was given: there are servers whose UIDNEXT lags behind.
        if highest.is_none_or(|highest| highest.ordinal <= last) {
            return OrdinalCheck::Contradict;
        }
    }
    let (Some(highest), Some(newest)) = (highest, &cursor.newest) else {
        return OrdinalCheck::Agree;
    };
    let (shown, known) = (highest.received_at, newest.received_at);
    let is_proof = match highest.ordinal.cmp(&newest.ordinal) {
        Ordering::Equal if shown.is_none() && known.is_none() => newest.sha256.is_none(),
        Ordering::Equal => shown == known,
        // The newest is gone. What was received before it was there before it.
        Ordering::Less => shown <= known,
        Ordering::Greater => false,
    };
    if is_proof && dates.hold(shown) {
        OrdinalCheck::Agree
    } else {
        OrdinalCheck::Doubtful(highest)
    }
}

/// Returns the highest mail if its content may have to be compared although the dates agree. Nothing is read of a folder of
/// which reading mails has just failed.
fn to_compare(
    positions: &Positions,
    cursor: &Cursor,
    highest: Option<HighestMail>,
) -> Option<HighestMail> {
    let newest = cursor.newest.as_ref()?;
    let highest = highest.filter(|highest| highest.ordinal <= newest.ordinal)?;
    let is_readable = !positions.is_failing(&cursor.folder)
        && !positions.is_doubted(&cursor.folder, highest.ordinal);
    is_readable.then_some(highest)
}

/// Compares the content of a mail whose date agrees, where dates do not tell mails apart: there are servers that give all the
/// same. Elsewhere they are believed, as there are others, Exchange among them, that put a mail together anew each time that
/// it is read. It costs one small mail a session; of a larger one the date is believed.
async fn compare_small(
    folder: &mut OpenFolder<'_>,
    cursor: &Cursor,
    highest: HighestMail,
) -> Result<Numbering, WatchFailure> {
    let below = highest.ordinal.saturating_sub(1);
    let below = folder.source.highest_up_to(below).await?;
    if below.is_some_and(|below| below.received_at != highest.received_at) {
        return Ok(Numbering::GoesOn);
    }
    let sizes = folder.source.sizes(&[highest.ordinal]).await?;
    let size = sizes.get(&highest.ordinal).copied();
    if size.is_none_or(|size| size >= u64::from(COMPARED_BYTES)) {
        return Ok(Numbering::GoesOn);
    }
    match look_at(folder, cursor, highest, Doubt::Slight).await {
        Err(WatchFailure::Source(error)) if error.concern() == Concern::Mail => {
            Ok(Numbering::GoesOn)
        }
        other => other,
    }
}

/// Reads the mail, and compares its content with what was received there.
async fn look_at(
    folder: &mut OpenFolder<'_>,
    cursor: &Cursor,
    highest: HighestMail,
    doubt: Doubt,
) -> Result<Numbering, WatchFailure> {
    let account = &folder.owner.account;
    let within = highest.ordinal.to_string();
    let Some(position) = Position::from_stored(account.protocol, &cursor.epoch, &within) else {
        return Ok(Numbering::GoesOn);
    };
    let database = &folder.owner.context.replica.database;
    let mut tx = database.begin().await?;
    let has_failed = mailbox::has_failed(&mut tx, account.id, folder.name, &position).await?;
    tx.commit().await?;
    if has_failed {
        // It was passed over because it could not be read.
        return Ok(Numbering::GoesOn);
    }
    let Some(mail) = read(folder, highest.ordinal).await? else {
        // It was removed meanwhile, or cannot be shown.
        return Ok(Numbering::GoesOn);
    };
    if !mail.is_complete && doubt == Doubt::Slight {
        return Ok(Numbering::GoesOn);
    }
    if !mail.is_complete {
        // Too large to be read for a comparison: the folder is read again, which announces nothing twice.
        return Ok(Numbering::WentBack);
    }
    let sha256 = mailmesh_secrets::sha256(&mail.body);
    let newest = NewestMail {
        ordinal: highest.ordinal,
        received_at: highest.received_at,
        sha256: Some(sha256),
    };
    if cursor
        .newest
        .as_ref()
        .is_some_and(|known| is_same(known, &newest))
    {
        return Ok(Numbering::Proved(newest));
    }
    let found = FoundMail {
        ordinal: highest.ordinal,
        position,
        sha256,
    };
    let mut tx = database.begin().await?;
    let had_content = mailbox::had_content(&mut tx, account.id, folder.name, &found).await?;
    tx.commit().await?;
    let known = cursor.newest.as_ref();
    let is_known = known.is_some_and(|known| known.ordinal == highest.ordinal);
    Ok(match (had_content, doubt) {
        (Some(true), _) => Numbering::Proved(newest),
        // It was there before the folder was watched, or its row is removed by now.
        (None, Doubt::Slight) if !is_known => Numbering::GoesOn,
        (Some(false) | None, _) => Numbering::WentBack,
    })
}

/// Of a mail that was there before the folder was watched only the date is known.
fn is_same(known: &NewestMail, shown: &NewestMail) -> bool {
    let is_content_same = match known.sha256 {
        Some(_) => known.sha256 == shown.sha256,
        None => known.received_at == shown.received_at,
    };
    known.ordinal == shown.ordinal && is_content_same
}

async fn read(
    folder: &mut OpenFolder<'_>,
    ordinal: u64,
) -> Result<Option<FetchedMail>, WatchFailure> {
    let owner = folder.owner;
    let bytes = usize::try_from(COMPARED_BYTES).unwrap_or(usize::MAX);
    let taking = owner.context.budget.take_few(owner.account.host(), bytes);
    let _room = tokio::select! {
        () = owner.stop.cancelled() => return Err(WatchFailure::Stopping),
        room = taking => room,
    };
    let (sender, mut mails) = mpsc::channel(1);
    folder
        .source
        .fetch(&[ordinal], COMPARED_BYTES, &sender)
        .await?;
    let Ok(mut mail) = mails.try_recv() else {
        return Ok(None);
    };
    // One that is small may be incomplete only in that its size is an estimate.
    let mut body = BytesMut::from(&mail.body[..]);
    while !mail.is_complete && body.len() < bytes {
        let left = u32::try_from(bytes - body.len()).unwrap_or(COMPARED_BYTES);
        let slice = folder
            .source
            .fetch_slice(ordinal, length(&body), left)
            .await?;
        mail.is_complete = slice.is_empty();
        body.extend_from_slice(&slice);
    }
    mail.body = body.freeze();
    Ok(Some(mail))
}

#[cfg(test)]
mod tests {
    use mailmesh_domain::{AccountId, Epoch};
    use uuid::Uuid;

    use super::*;

    const EARLY: OffsetDateTime = OffsetDateTime::UNIX_EPOCH;

    fn late() -> OffsetDateTime {
        EARLY + Duration::HOUR
    }

    fn cursor(newest: Option<u64>) -> Cursor {
        Cursor {
            account_id: AccountId::from_uuid(Uuid::nil()),
            folder: "INBOX".to_owned(),
            epoch: Epoch::of_uid_validity(7),
            ordinal: 40,
            activated_at: EARLY,
            rescan_until: None,
            newest: newest.map(|ordinal| NewestMail {
                ordinal,
                received_at: Some(EARLY),
                sha256: Some([0; 32]),
            }),
        }
    }

    #[test]
    fn numbers_are_judged_by_the_last_that_was_given_and_by_what_stands_at_the_highest() {
        let at = |ordinal, received_at| {
            Some(HighestMail {
                ordinal,
                received_at,
            })
        };
        let doubtful = |highest: Option<HighestMail>| OrdinalCheck::Doubtful(highest.unwrap());

        for (newest, highest, last, expected) in [
            (Some(40), at(40, Some(EARLY)), Some(40), OrdinalCheck::Agree),
            (Some(40), at(40, Some(EARLY)), None, OrdinalCheck::Agree),
            // UIDNEXT went back, and nothing or little is left.
            (
                Some(40),
                at(11, Some(late())),
                Some(11),
                OrdinalCheck::Contradict,
            ),
            (Some(40), None, Some(0), OrdinalCheck::Contradict),
            (None, None, Some(39), OrdinalCheck::Contradict),
            // UIDNEXT lags behind what the folder holds.
            (Some(40), at(40, Some(EARLY)), Some(39), OrdinalCheck::Agree),
            // Restored, and passed the cursor since.
            (
                Some(40),
                at(40, Some(late())),
                Some(42),
                doubtful(at(40, Some(late()))),
            ),
            (Some(40), at(40, None), Some(42), doubtful(at(40, None))),
            // The newest is gone.
            (Some(40), at(38, Some(EARLY)), Some(40), OrdinalCheck::Agree),
            (Some(40), None, Some(40), OrdinalCheck::Agree),
            (
                Some(40),
                at(38, Some(late())),
                Some(42),
                doubtful(at(38, Some(late()))),
            ),
            // Passed over without being read, or never seen.
            (
                Some(38),
                at(40, Some(late())),
                Some(40),
                doubtful(at(40, Some(late()))),
            ),
            (None, at(40, Some(late())), None, OrdinalCheck::Agree),
        ] {
            let found = judge(&cursor(newest), highest, last, Dates::Good);
            assert_eq!(found, expected, "{newest:?} {highest:?} {last:?}");
        }
    }

    #[test]
    fn date_of_just_now_proves_nothing() {
        let highest = HighestMail {
            ordinal: 40,
            received_at: Some(EARLY),
        };
        let doubtful = OrdinalCheck::Doubtful(highest);

        for (dates, expected) in [
            (Dates::Good, OrdinalCheck::Agree),
            (Dates::GoodBefore(late()), OrdinalCheck::Agree),
            (Dates::GoodBefore(EARLY), doubtful),
            (Dates::Void, doubtful),
        ] {
            let found = judge(&cursor(Some(40)), Some(highest), Some(40), dates);
            assert_eq!(found, expected, "{dates:?}");
        }
    }
}
