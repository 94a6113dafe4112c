use mailmesh_bus::{Fence, Stored};
use mailmesh_domain::{AccountId, AfterReceive, MailId};
use mailmesh_events::decode_event;
use mailmesh_events::mail::{MailReceived, Origin};
use mailmesh_store::account::Account;
use mailmesh_store::event_mark::{self, EventMark};
use mailmesh_store::lease::{self, LeaseTerm};
use mailmesh_store::mailbox::{self, Cursor, ReceivedMail};
use mailmesh_store::progress;
use time::OffsetDateTime;
use tracing::{info, instrument};

use crate::context::Context;
use crate::failure::Failure;
use crate::mail_id::{derive, from_hex};
use crate::published_index::PublishedIndex;
use crate::read_back::ReadBackEvents;

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
pub(crate) struct Taken {
    pub(crate) ownership: Ownership,
    pub(crate) cursors: Vec<Cursor>,
    /// Mails were published that nobody had recorded.
    pub(crate) has_read_back: bool,
}

/// Takes the fence, then loads how far the account was recorded and reads back what was published
/// beyond it. From then on nobody else can publish, and nothing that was published is unknown.
#[instrument(name = "own.account", skip_all, fields(account.id = %account.id))]
pub(crate) async fn take(
    context: &Context,
    account: &Account,
    term: &LeaseTerm,
) -> Result<Taken, Failure> {
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
    tx.commit().await?;

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
        found += note_batch(context, account, &cursors, &mut ownership, &batch).await?;
    }
    if found > 0 {
        info!(account.id = %account.id, mails = found, "Read back published mails");
    }
    Ok(Taken {
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
async fn check_lease(context: &Context, term: &LeaseTerm) -> Result<(), Failure> {
    let mut tx = context.replica.database.begin().await?;
    let terms = lease::list_terms(&mut tx, term.replica_id, &[term.account_id]).await?;
    tx.commit().await?;
    if terms.contains(term) {
        Ok(())
    } else {
        Err(Failure::NotOwner)
    }
}

async fn note_batch(
    context: &Context,
    account: &Account,
    cursors: &[Cursor],
    ownership: &mut Ownership,
    batch: &[Stored],
) -> Result<usize, Failure> {
    let mut mails = Vec::with_capacity(batch.len());
    for stored in batch {
        ownership.published.see(stored.sequence);
        let Some(mut mail) = read_event(&context.replica.source(), account, stored)? else {
            continue;
        };
        let epoch = mail.position.epoch();
        let cursor = cursors
            .iter()
            .find(|cursor| cursor.folder == mail.folder && cursor.epoch == epoch);
        if let (Some(cursor), Some(ordinal)) = (cursor, mail.position.ordinal()) {
            // Only once the mail was seen to be the one that its event announced.
            mail.is_post_action_due = false;
            if cursor.ordinal < ordinal {
                let published = &mut ownership.published;
                published.note_read_back(&mail.folder, ordinal, stored.sequence);
                ownership.read_back.note(&mail);
            }
        } else if mail.position.ordinal().is_none() {
            ownership.read_back.note(&mail);
        }
        mails.push(mail);
    }
    let recorded: Vec<&ReceivedMail> = mails.iter().collect();
    let mut tx = context.replica.database.begin().await?;
    progress::record_read_back(&mut tx, &recorded, context.now()).await?;
    tx.commit().await?;
    Ok(mails.len())
}

/// Reads an event back; none if it is not one of this account's mails.
///
/// Another account may have had the same key before, and whoever may publish on the subject may
/// have put something else there: neither must stop this account. What bears our own name and
/// cannot be read must, since the mail behind it would be published again.
fn read_event(
    source: &str,
    account: &Account,
    stored: &Stored,
) -> Result<Option<ReceivedMail>, Failure> {
    let event = match decode_event::<MailReceived>(&stored.headers, &stored.payload) {
        Ok(event) => event.data,
        Err(error) => {
            let is_ours = stored
                .headers
                .iter()
                .any(|(name, value)| name.eq_ignore_ascii_case("ce-source") && value == source);
            return if is_ours { Err(error.into()) } else { Ok(None) };
        }
    };
    Ok(from_event(account.id, account.after_receive, event))
}

fn from_event(
    account_id: AccountId,
    after_receive: AfterReceive,
    event: MailReceived,
) -> Option<ReceivedMail> {
    let sha256 = from_hex(&event.raw.sha256)?;
    let Origin { folder, position } = event.origin;
    let id: MailId = derive(account_id, &folder, &position, &sha256);
    (id == event.mail_id).then_some(ReceivedMail {
        id,
        account_id,
        folder,
        ordinal: position.ordinal().unwrap_or_default(),
        position,
        sha256,
        size_bytes: event.raw.bytes,
        chunks: event.raw.chunks,
        listed_bytes: None,
        is_post_action_due: after_receive != AfterReceive::Keep,
    })
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
