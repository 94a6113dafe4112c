use std::time::Duration;

use aws_lc_rs::digest;
use bytes::{Bytes, BytesMut};
use mailmesh_mail::imap::{FetchedMail, ImapError, Session, Stage};
use tokio::time::{Instant, timeout};
use tracing::debug;

use crate::account::Worker;
use crate::config::Settings;
use crate::failure::Failure;
use crate::fetch::Chunk;
use crate::intake::Held;
use crate::prepare::Whole;

/// Beyond any mail that a provider takes: a server that goes on for ever is not followed.
const LONGEST_BYTES: u64 = 1 << 30;

/// A server that is slower keeps its share of the memory from others.
const LEAST_BYTES_PER_SECOND: u64 = 128 * 1024;
const LONGEST: Duration = Duration::from_hours(1);

const SPARE_BYTES: usize = 64 * 1024;

/// What the first reading of a large mail gave.
struct Reading {
    sha256: [u8; 32],
    bytes: u64,
    /// The mail's beginning, up to what may be held.
    head: Bytes,
}

impl Worker {
    /// Receives a mail that is larger than one slice, in memory that does not grow with it.
    pub(crate) async fn receive_large(
        &mut self,
        session: &mut Session,
        chunk: &mut Chunk<'_>,
        held: Held,
    ) -> Result<(), Failure> {
        let (mail, first_permit) = held.into_parts();
        let uid = mail.uid;
        let most = held_bytes(mail.size, self.context.settings.parse_bytes);
        let slice = usize::try_from(self.context.settings.slice_bytes).unwrap_or(usize::MAX);
        let host = self.account.host();
        let room = tokio::select! {
            () = self.stop.cancelled() => return Err(Failure::Stopping),
            room = self.context.budget.take_large(host, most.saturating_add(slice)) => room,
        };
        let outcome = self.read_and_publish(session, chunk, mail, most).await;
        drop((room, first_permit));
        match outcome {
            Err(Failure::Imap(ImapError::MailGone)) => {
                chunk.pending.remove(&uid);
                Ok(())
            }
            Err(Failure::Imap(error)) => {
                let is_healthy = error.is_session_healthy();
                if self.blame(chunk, uid, &error).await? && is_healthy {
                    return Ok(());
                }
                Err(error.into())
            }
            other => other,
        }
    }

    async fn read_and_publish(
        &mut self,
        session: &mut Session,
        chunk: &mut Chunk<'_>,
        mail: FetchedMail,
        most: usize,
    ) -> Result<(), Failure> {
        let uid = mail.uid;
        let settings = &self.context.settings;
        let mut patience = patience(mail.size, settings);
        let reading = self.read_whole(session, &mail, most, &mut patience).await?;
        let whole = Whole {
            uid,
            internal_date: mail.internal_date,
            flags: mail.flags,
            sha256: reading.sha256,
            bytes: reading.bytes,
            head: reading.head,
        };
        let sha256 = whole.sha256;
        let whole = self.leave_out_known(chunk, vec![whole]).await?;
        let prepared = self.prepare_all(chunk, whole).await?;
        let Some(first) = prepared.first() else {
            return Ok(());
        };
        let id = first.record.id.to_string();
        debug!(mail.id = %id, bytes = first.record.size_bytes, "Storing a large mail");
        let mut writer = self.context.replica.bus.raw_mails().writer(&id);
        writer.write(&first.raw).await.map_err(Failure::Raw)?;
        let held_bytes = crate::prepare::length(&first.raw);
        if held_bytes < first.record.size_bytes {
            let mut hash = digest::Context::new(&digest::SHA256);
            hash.update(&first.raw);
            let mut slices = Slices::new(uid, held_bytes, self.context.settings.slice_bytes);
            while let Some(slice) = slices.next(session, &mut patience).await? {
                hash.update(&slice);
                writer.write(&slice).await.map_err(Failure::Raw)?;
            }
            if hash.finish().as_ref() != sha256.as_slice() {
                // Each read gives another mail: there is no saying which of them it is.
                return Err(ImapError::MailUnreadable.into());
            }
        }
        writer.finish().await.map_err(Failure::Raw)?;
        self.publish(chunk, prepared).await
    }

    /// Reads a mail to its end and keeps as much of its beginning as is parsed.
    async fn read_whole(
        &self,
        session: &mut Session,
        mail: &FetchedMail,
        most: usize,
        patience: &mut Duration,
    ) -> Result<Reading, Failure> {
        let mut hash = digest::Context::new(&digest::SHA256);
        hash.update(&mail.body);
        let mut head = BytesMut::from(&mail.body[..]);
        let offset = crate::prepare::length(&mail.body);
        let mut slices = Slices::new(mail.uid, offset, self.context.settings.slice_bytes);
        while let Some(slice) = slices.next(session, patience).await? {
            hash.update(&slice);
            let room = most.saturating_sub(head.len()).min(slice.len());
            head.extend_from_slice(slice.get(..room).unwrap_or_default());
        }
        let mut sha256 = [0; 32];
        sha256.copy_from_slice(hash.finish().as_ref());
        Ok(Reading {
            sha256,
            bytes: slices.offset,
            head: head.freeze(),
        })
    }
}

/// Returns how much of a mail to hold: all of it with some room, as Exchange only estimates sizes.
fn held_bytes(size: Option<u32>, limit: usize) -> usize {
    let claimed = size.and_then(|size| usize::try_from(size).ok());
    claimed.map_or(limit, |size| (size + size / 4 + SPARE_BYTES).min(limit))
}

/// Returns how long the server may take for all of a mail, which may have to be read twice.
fn patience(size: Option<u32>, settings: &Settings) -> Duration {
    let bytes = size.map_or(LONGEST_BYTES, u64::from);
    let reading = Duration::from_secs(2 * bytes / LEAST_BYTES_PER_SECOND);
    let least = Duration::from_secs(settings.large_mail_seconds);
    least.saturating_add(reading).min(LONGEST.max(least))
}

/// Reads a mail slice by slice.
struct Slices {
    uid: u32,
    offset: u64,
    slice_bytes: u32,
    is_done: bool,
}

impl Slices {
    const fn new(uid: u32, offset: u64, slice_bytes: u32) -> Self {
        Self {
            uid,
            offset,
            slice_bytes,
            is_done: false,
        }
    }

    /// Returns the next slice, and takes from `patience` what it took.
    async fn next(
        &mut self,
        session: &mut Session,
        patience: &mut Duration,
    ) -> Result<Option<Bytes>, ImapError> {
        if self.is_done {
            return Ok(None);
        }
        if self.offset > LONGEST_BYTES {
            return Err(ImapError::MailUnreadable);
        }
        let begun = Instant::now();
        let fetching = session.fetch_slice(self.uid, self.offset, self.slice_bytes);
        let slice =
            timeout(*patience, fetching)
                .await
                .map_err(|_elapsed| ImapError::TimedOut {
                    stage: Stage::Fetch,
                })??;
        *patience = patience.saturating_sub(begun.elapsed());
        let bytes = crate::prepare::length(&slice);
        self.offset += bytes;
        self.is_done = bytes < u64::from(self.slice_bytes);
        Ok((!slice.is_empty()).then_some(slice))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn large_mails_have_time_by_their_size_and_an_end() {
        let settings = Settings::default();

        let small = patience(Some(600_000), &settings);
        let large = patience(Some(25 << 20), &settings);

        assert!(small < Duration::from_mins(3), "{small:?}");
        assert!(large > Duration::from_mins(8), "{large:?}");
        assert_eq!(patience(None, &settings), LONGEST);
    }
}
