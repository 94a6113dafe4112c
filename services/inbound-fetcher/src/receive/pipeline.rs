//! Moves fetched mails through two streams: `MAIL_RAW`, then `EVENTS`.

use mailmesh_accounts::MemoryPermit;
use mailmesh_bus::{Bus, NewRawMail};

use crate::failure::WatchFailure;
use crate::prepare::{PreparedEvent, WholeMail};
use crate::receive::mail_buffer::{BufferedMail, MailBuffer};
use crate::receive::publish::Publisher;

/// Mails whose raw content is stored and whose events are not yet published, with their memory permits.
#[derive(Debug)]
struct PublishBatch {
    prepared: Vec<PreparedEvent>,
    _permits: Vec<MemoryPermit>,
}

/// Publishes what the buffer takes in; after a failure nothing more is taken in.
pub(crate) async fn take_in(
    publisher: &mut Publisher<'_>,
    buffer: &mut MailBuffer<'_>,
) -> Result<(), WatchFailure> {
    let outcome = publish_as_they_come(publisher, buffer).await;
    if outcome.is_err() {
        buffer.close();
    }
    outcome
}

/// Publishes mails that are held.
pub(crate) async fn publish_held(
    publisher: &mut Publisher<'_>,
    held: Vec<BufferedMail>,
) -> Result<(), WatchFailure> {
    let batch = prepare_held(publisher, held).await?;
    let bus = publisher.owner().context.replica.bus.clone();
    store_raw(bus, raw_mails(&batch.prepared)).await?;
    publisher.publish(batch.prepared).await
}

/// Stores the raw mails of one batch while the events of the one before it are published: they go to two streams, each as
/// fast as its disk. A batch that is stored waits for no further mail.
async fn publish_as_they_come(
    publisher: &mut Publisher<'_>,
    buffer: &mut MailBuffer<'_>,
) -> Result<(), WatchFailure> {
    let mut stored: Option<PublishBatch> = None;
    loop {
        let next = if stored.is_none() || buffer.has_ready() {
            buffer.next_batch().await
        } else {
            None
        };
        let next = match next {
            Some(held) => Some(prepare_held(publisher, held).await?),
            None if stored.is_none() => return Ok(()),
            None => None,
        };
        let raw = next.as_ref().map(|batch| raw_mails(&batch.prepared));
        let bus = publisher.owner().context.replica.bus.clone();
        let storing = store_raw(bus, raw.unwrap_or_default());
        let publishing = publish_batch(publisher, stored.take());
        let both = async { tokio::join!(storing, publishing) };
        tokio::pin!(both);
        let (raw_outcome, event_outcome) = loop {
            tokio::select! {
                outcome = &mut both => break outcome,
                () = buffer.gather(), if buffer.has_room() => {}
            }
        };
        event_outcome?;
        raw_outcome?;
        stored = next;
    }
}

async fn publish_batch(
    publisher: &mut Publisher<'_>,
    batch: Option<PublishBatch>,
) -> Result<(), WatchFailure> {
    match batch {
        Some(batch) => publisher.publish(batch.prepared).await,
        None => Ok(()),
    }
}

async fn prepare_held(
    publisher: &mut Publisher<'_>,
    held: Vec<BufferedMail>,
) -> Result<PublishBatch, WatchFailure> {
    let mut permits = Vec::with_capacity(held.len());
    let mut mails = Vec::with_capacity(held.len());
    for one in held {
        let (mail, permit) = one.into_parts();
        permits.extend(permit);
        let listed = publisher.find_listed(mail.ordinal);
        // A server may send what it was not asked for, or send it twice.
        if let Some(listed) = listed.filter(|_| publisher.is_pending(mail.ordinal)) {
            mails.push(WholeMail::new(mail, listed));
        }
    }
    Ok(PublishBatch {
        prepared: publisher.prepare(mails).await?,
        _permits: permits,
    })
}

fn raw_mails(prepared: &[PreparedEvent]) -> Vec<NewRawMail> {
    let raw = prepared.iter().map(|mail| NewRawMail {
        mail_id: mail.record.id.to_string(),
        bytes: mail.raw.clone(),
    });
    raw.collect()
}

async fn store_raw(bus: Bus, mails: Vec<NewRawMail>) -> Result<(), WatchFailure> {
    let answers = bus.raw_mails().put_all(mails).await;
    let stored: Result<(), _> = answers.into_iter().collect();
    stored.map_err(WatchFailure::Raw)
}
