use std::time::Duration;

use aws_lc_rs::digest;
use bytes::{Bytes, BytesMut};
use mailmesh_mail::SourceError;
use mailmesh_mail::source::{FetchedMail, MailSource};
use tokio::time::{Instant, timeout};
use tracing::debug;

use crate::config::Settings;
use crate::failure::WatchFailure;
use crate::mail_id::length;
use crate::open_folder::OpenFolder;
use crate::prepare::WholeMail;
use crate::receive::mail_buffer::BufferedMail;
use crate::receive::publish::Publisher;

/// Maximum bytes of a mail, beyond what any provider accepts: bounds a server that never ends its mail.
const LONGEST_BYTES: u64 = 1 << 30;

/// Minimum rate of a server: a slower one would hold its part of the memory budget for too long.
const LEAST_BYTES_PER_SECOND: u64 = 128 * 1024;
const LONGEST: Duration = Duration::from_hours(1);

/// Reserve beyond a quarter of the claimed size.
const SPARE_BYTES: usize = 64 * 1024;

/// Result of the first reading of a large mail.
struct FirstReading {
    sha256: [u8; 32],
    /// The mail's beginning, up to what may be held.
    head: Bytes,
}

/// Receives a mail that is larger than one slice, in memory that does not grow with it.
pub(crate) async fn receive(
    folder: &mut OpenFolder<'_>,
    publisher: &mut Publisher<'_>,
    held: BufferedMail,
) -> Result<(), WatchFailure> {
    let owner = folder.owner;
    let settings = &owner.context.settings;
    let (mail, first_permit) = held.into_parts();
    let most = held_bytes(mail.bytes, settings.parse_bytes);
    let slice = usize::try_from(settings.slice_bytes).unwrap_or(usize::MAX);
    let taking = owner
        .context
        .budget
        .take_large(owner.account.host(), most.saturating_add(slice));
    let room = tokio::select! {
        () = owner.stop.cancelled() => return Err(WatchFailure::Stopping),
        room = taking => room,
    };
    let outcome = read_and_publish(folder.source, publisher, mail, most).await;
    drop((room, first_permit));
    outcome
}

async fn read_and_publish(
    source: &mut dyn MailSource,
    publisher: &mut Publisher<'_>,
    mail: FetchedMail,
    most: usize,
) -> Result<(), WatchFailure> {
    let Some(listed) = publisher.find_listed(mail.ordinal) else {
        return Ok(());
    };
    let settings = &publisher.owner().context.settings;
    let mut slices = Slices::new(&mail, settings);
    let reading = read_whole(source, &mail.body, &mut slices, most).await?;
    let sha256 = reading.sha256;
    let whole = WholeMail {
        ordinal: mail.ordinal,
        position: listed.position.clone(),
        listed_bytes: listed.bytes,
        received_at: mail.received_at,
        flags: mail.flags,
        sha256,
        bytes: slices.offset,
        head: reading.head,
    };
    let prepared = publisher.prepare(vec![whole]).await?;
    let Some(first) = prepared.first() else {
        return Ok(());
    };
    let id = first.record.id.to_string();
    debug!(mail.id = %id, bytes = first.record.size_bytes, "Storing a large mail");
    let raw_mails = publisher.owner().context.replica.bus.raw_mails();
    let mut writer = raw_mails.writer(&id);
    writer.write(&first.raw).await.map_err(WatchFailure::Raw)?;
    let held_bytes = length(&first.raw);
    if held_bytes < first.record.size_bytes {
        let mut hash = digest::Context::new(&digest::SHA256);
        hash.update(&first.raw);
        slices.restart(held_bytes);
        while let Some(slice) = slices.next(source).await? {
            hash.update(&slice);
            writer.write(&slice).await.map_err(WatchFailure::Raw)?;
        }
        if hash.finish().as_ref() != sha256.as_slice() {
            // The two readings differ, so the id of the first does not fit the content of the second.
            return Err(SourceError::MailUnreadable.into());
        }
    }
    writer.finish().await.map_err(WatchFailure::Raw)?;
    publisher.publish(prepared).await
}

/// Reads a mail to its end and keeps as much of its beginning as is parsed.
async fn read_whole(
    source: &mut dyn MailSource,
    body: &Bytes,
    slices: &mut Slices,
    most: usize,
) -> Result<FirstReading, WatchFailure> {
    let mut hash = digest::Context::new(&digest::SHA256);
    hash.update(body);
    let mut head = BytesMut::from(&body[..]);
    while let Some(slice) = slices.next(source).await? {
        hash.update(&slice);
        let room = most.saturating_sub(head.len()).min(slice.len());
        head.extend_from_slice(slice.get(..room).unwrap_or_default());
    }
    let mut sha256 = [0; 32];
    sha256.copy_from_slice(hash.finish().as_ref());
    Ok(FirstReading {
        sha256,
        head: head.freeze(),
    })
}

/// Returns how many bytes of a mail to hold: all of it and a reserve, as Exchange only estimates sizes.
fn held_bytes(size: Option<u64>, limit: usize) -> usize {
    let claimed = size.and_then(|size| usize::try_from(size).ok());
    claimed.map_or(limit, |size| {
        let spare = (size / 4).saturating_add(SPARE_BYTES);
        size.saturating_add(spare).min(limit)
    })
}

/// Returns the time limit for all of a mail, which may have to be read twice.
fn time_allowed(size: Option<u64>, settings: &Settings) -> Duration {
    // A claimed size is not trusted.
    let bytes = size.unwrap_or(LONGEST_BYTES).min(LONGEST_BYTES);
    let reading = Duration::from_secs(2 * bytes / LEAST_BYTES_PER_SECOND);
    let least = Duration::from_secs(settings.large_mail_seconds);
    least.saturating_add(reading).min(LONGEST.max(least))
}

/// Reads a mail slice by slice, in a bounded time.
#[derive(Debug)]
struct Slices {
    ordinal: u64,
    offset: u64,
    slice_bytes: u32,
    /// What the server claims as the mail's size.
    claimed: Option<u64>,
    time_left: Duration,
    is_done: bool,
}

impl Slices {
    /// Begins after what came of the mail.
    fn new(mail: &FetchedMail, settings: &Settings) -> Self {
        Self {
            ordinal: mail.ordinal,
            offset: length(&mail.body),
            slice_bytes: settings.slice_bytes,
            claimed: mail.bytes,
            time_left: time_allowed(mail.bytes, settings),
            is_done: false,
        }
    }

    /// Begins once more at `offset`, in the time that is left.
    const fn restart(&mut self, offset: u64) {
        self.offset = offset;
        self.is_done = false;
    }

    async fn next(&mut self, source: &mut dyn MailSource) -> Result<Option<Bytes>, SourceError> {
        if self.is_done {
            return Ok(None);
        }
        if self.offset > LONGEST_BYTES {
            return Err(SourceError::MailUnreadable);
        }
        let begun = Instant::now();
        let fetching = source.fetch_slice(self.ordinal, self.offset, self.slice_bytes);
        let fetched = timeout(self.time_left, fetching).await;
        let slice = fetched.map_err(|_elapsed| SourceError::MailTooSlow)??;
        self.time_left = self.time_left.saturating_sub(begun.elapsed());
        let bytes = length(&slice);
        self.offset += bytes;
        let is_short = bytes < u64::from(self.slice_bytes);
        let is_all = self.claimed.is_some_and(|claimed| self.offset >= claimed);
        self.is_done = bytes == 0 || (is_short && is_all);
        Ok((!slice.is_empty()).then_some(slice))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn large_mails_have_time_by_their_size_and_an_end() {
        let settings = Settings::default();

        let small = time_allowed(Some(600_000), &settings);
        let large = time_allowed(Some(25 << 20), &settings);

        assert!(small < Duration::from_mins(3), "{small:?}");
        assert!(large > Duration::from_mins(8), "{large:?}");
        assert_eq!(time_allowed(None, &settings), LONGEST);
    }
}
