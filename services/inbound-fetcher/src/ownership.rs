mod published_index;
pub(crate) mod read_back;
mod read_event;

use mailmesh_bus::{Fence, StoredMessage, StreamKind};
use mailmesh_store::account::Account;
use mailmesh_store::event_mark::{self, EventMark};
use mailmesh_store::event_proof;
use mailmesh_store::lease::{self, LeaseTerm};
use mailmesh_store::mailbox::{self, Cursor, ReceivedMail};
use mailmesh_store::progress;
use time::OffsetDateTime;
use tracing::{error, info, instrument};

use self::published_index::PublishedIndex;
use self::read_back::ReadBackEvents;
use self::read_event::{EventReader, ReadEvent, UntrustedEvent};
use crate::context::ServiceContext;
use crate::failure::WatchFailure;

/// The right to publish an account's mails, and what is known to be published.
#[derive(Debug)]
pub(crate) struct Ownership {
    pub(crate) fence: Fence,
    pub(crate) published: PublishedIndex,
    pub(crate) read_back: ReadBackEvents,
    /// When the stream was made that the sequences of `published` belong to.
    stream_created_at: OffsetDateTime,
}

impl Ownership {
    /// Returns the last event that the next owner need not read again.
    pub(crate) fn safe_mark(&self) -> EventMark {
        EventMark {
            stream_created_at: Some(self.stream_created_at),
            sequence: self.published.safe_sequence(),
        }
    }
}

/// What taking an account over gives.
#[derive(Debug)]
pub(crate) struct OwnedAccount {
    pub(crate) ownership: Ownership,
    pub(crate) cursors: Vec<Cursor>,
    /// Mails were published that nobody had recorded.
    pub(crate) has_read_back: bool,
}

/// Takes the fence, then loads how far the account was recorded and reads back what was published
/// beyond it. From then on nobody else can publish, and nothing that was published is unknown.
#[instrument(name = "own.account", skip_all, fields(account.id = %account.id))]
pub(crate) async fn take(
    context: &ServiceContext,
    account: &Account,
    term: &LeaseTerm,
) -> Result<OwnedAccount, WatchFailure> {
    check_lease(context, term).await?;
    let bus = &context.replica.bus;
    let fence = bus.take_fence(account.key.as_str()).await?;
    // After the fence: it is gone with the stream, and nothing is published under it in another one.
    let stream_created_at = bus.events_created_at().await?;
    let mut tx = context.replica.database.begin().await?;
    // The sequence before the cursors: an earlier owner may record in between, and a sequence newer
    // than its cursor would hide events.
    let mark = event_mark::find(&mut tx, account.id).await?;
    let cursors = mailbox::list_cursors(&mut tx, &[account.id]).await?;
    let demanded_from = event_proof::demanded_from(&mut tx).await?;
    tx.commit().await?;
    let reader = EventReader {
        source: &context.replica.source(),
        proofs: &context.proofs,
        demanded_from,
    };

    let recorded = mark.map_or(0, |mark| {
        last_recorded(mark, stream_created_at, fence.token())
    });
    let mut ownership = Ownership {
        fence,
        published: PublishedIndex::starting_at(recorded),
        read_back: ReadBackEvents::default(),
        stream_created_at,
    };
    let subject = format!("mail.received.{}", account.key);
    let mut events = bus.read_back(&subject, recorded)?;
    let mut found = 0;
    loop {
        let batch = events.next_batch().await?;
        if batch.is_empty() {
            break;
        }
        let mails = read_batch(context, account, &reader, &batch);
        for stored in &batch {
            ownership.published.see(stored.sequence);
        }
        found += note_batch(context, &cursors, &mut ownership, mails).await?;
    }
    if found > 0 {
        info!(mails = found, "Read back published mails");
    }
    Ok(OwnedAccount {
        ownership,
        cursors,
        has_read_back: found > 0,
    })
}

/// Returns up to where the stream needs no reading again. A sequence of another stream says nothing, nor does one that this
/// stream has not reached, as after it was restored from a backup: all is read again then.
fn last_recorded(mark: EventMark, stream_created_at: OffsetDateTime, last: u64) -> u64 {
    let is_other = mark
        .stream_created_at
        .is_some_and(|created_at| created_at != stream_created_at);
    if is_other || mark.sequence > last {
        return 0;
    }
    mark.sequence
}

/// An owner that was frozen and replaced would else take the fence away from its successor as it wakes.
async fn check_lease(context: &ServiceContext, term: &LeaseTerm) -> Result<(), WatchFailure> {
    let mut tx = context.replica.database.begin().await?;
    let terms = lease::list_terms(&mut tx, term.replica_id, &[term.account_id]).await?;
    tx.commit().await?;
    if terms.contains(term) {
        Ok(())
    } else {
        Err(WatchFailure::NotOwner)
    }
}

/// Returns the account's mails of a batch, each with the sequence of its event. What poses as one is told and left out: the
/// mail behind it is published, if there is one.
fn read_batch(
    context: &ServiceContext,
    account: &Account,
    reader: &EventReader<'_>,
    batch: &[StoredMessage],
) -> Vec<(u64, ReceivedMail)> {
    let mut mails = Vec::with_capacity(batch.len());
    for stored in batch {
        match reader.read(account.id, account.after_receive, stored) {
            ReadEvent::Mail(mail) => mails.push((stored.sequence, *mail)),
            ReadEvent::Other => {}
            ReadEvent::SetAside(doubt) => set_aside(context, stored, doubt),
        }
    }
    mails
}

fn set_aside(context: &ServiceContext, stored: &StoredMessage, doubt: UntrustedEvent) {
    context.metrics.count_set_aside();
    error!(
        event.stream = StreamKind::Events.name(),
        event.sequence = stored.sequence,
        error = &doubt as &dyn std::error::Error,
        "An event under our name does not count: look at who may publish there, and remove it"
    );
}

async fn note_batch(
    context: &ServiceContext,
    cursors: &[Cursor],
    ownership: &mut Ownership,
    mut mails: Vec<(u64, ReceivedMail)>,
) -> Result<usize, WatchFailure> {
    for (sequence, mail) in &mut mails {
        let epoch = mail.position.epoch();
        let cursor = cursors
            .iter()
            .find(|cursor| cursor.folder == mail.folder && cursor.epoch == epoch);
        if let (Some(cursor), Some(ordinal)) = (cursor, mail.position.ordinal()) {
            // Only once the mail was seen to be the one that its event announced.
            mail.is_post_action_due = false;
            if cursor.ordinal < ordinal {
                let published = &mut ownership.published;
                published.note_read_back(&mail.folder, ordinal, *sequence);
                ownership.read_back.note(mail);
            }
        } else if mail.position.ordinal().is_none() {
            ownership.read_back.note(mail);
        }
    }
    let recorded: Vec<&ReceivedMail> = mails.iter().map(|(_, mail)| mail).collect();
    let mut tx = context.replica.database.begin().await?;
    progress::record_read_back(&mut tx, &recorded, context.now()).await?;
    tx.commit().await?;
    Ok(mails.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sequence_of_another_stream_or_beyond_its_end_says_nothing() {
        let made = OffsetDateTime::UNIX_EPOCH;
        let anew = made + time::Duration::SECOND;
        let mark = |stream_created_at, sequence| EventMark {
            stream_created_at,
            sequence,
        };

        for (mark, expected) in [
            (mark(Some(made), 7), 7),
            (mark(Some(anew), 7), 0),
            (mark(Some(made), 10), 10),
            (mark(Some(made), 11), 0),
            // Of an earlier release.
            (mark(None, 7), 7),
            (mark(None, 11), 0),
        ] {
            assert_eq!(last_recorded(mark, made, 10), expected, "{mark:?}");
        }
    }
}
