use async_nats::jetstream::stream::PurgeErrorKind;
use bytes::Bytes;
use futures_util::future::BoxFuture;

use crate::cause::NatsCause;
use crate::connection::Bus;
use crate::direct;
use crate::header::find;
use crate::publish::{Outgoing, PublishError, PublishReceipt};
use crate::stored::ReadError;
use crate::stream::StreamKind;
use crate::subject::is_token;

/// Maximum bytes of a chunk: with headers below the server's default `max_payload` of 1 MiB.
const CHUNK_BYTES: usize = 512 * 1024;
/// `<number>`, and on the last chunk `<number>/<how many>`.
const CHUNK_HEADER: &str = "Mailmesh-Chunk";

/// Raw mails by reference: any NATS client can fetch them.
///
/// A mail lies in chunks of at most 512 KiB on `raw.<mail id>.0`, `raw.<mail id>.1`, …; most mails are one chunk. A client
/// fetches chunk 0 with an empty request to `$JS.API.DIRECT.GET.MAIL_RAW.raw.<mail id>.0`, and goes on with 1, 2, … until
/// the header `Mailmesh-Chunk` has a slash (`2/3`: this was the last of three). Status 404 means that the replica which answered
/// does not have it; whether it is there, the leader knows: `$JS.API.STREAM.MSG.GET.MAIL_RAW` with `{"last_by_subj":"raw.<mail id>.0"}`.
#[derive(Debug, Clone)]
pub struct RawMails {
    bus: Bus,
}

/// A mail for [`RawMails::put`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewRawMail {
    /// One token of a subject.
    pub mail_id: String,
    pub bytes: Bytes,
}

/// Why a raw mail cannot be read or deleted.
#[derive(Debug, thiserror::Error)]
pub enum RawError {
    /// The id cannot stand in a subject.
    #[error("{mail_id:?} is no mail id")]
    BadId { mail_id: String },
    /// A chunk is missing: the mail was never stored whole, or is being deleted.
    #[error("raw mail {mail_id} lacks chunk {chunk}")]
    Partial {
        mail_id: String,
        /// The first chunk that is missing.
        chunk: u32,
    },
    /// A chunk does not say which it is.
    #[error("chunk {chunk} of raw mail {mail_id} is not marked as one")]
    BadChunk { mail_id: String, chunk: u32 },
    /// It is larger than the caller wants to hold in memory.
    #[error("raw mail {mail_id} is larger than {limit} bytes")]
    TooLarge { mail_id: String, limit: usize },
    /// The stream could not be read.
    #[error("cannot read raw mail {mail_id}")]
    Read {
        mail_id: String,
        #[source]
        source: ReadError,
    },
    /// The chunks could not be deleted.
    #[error("cannot delete raw mail {mail_id}")]
    Delete {
        mail_id: String,
        #[source]
        source: NatsCause,
    },
}

impl Bus {
    /// Returns the store of raw mails.
    pub fn raw_mails(&self) -> RawMails {
        RawMails { bus: self.clone() }
    }
}

impl RawMails {
    /// Returns how many chunks a mail of so many bytes lies in.
    pub fn chunk_count(bytes: u64) -> u32 {
        let count = bytes.div_ceil(CHUNK_BYTES as u64).max(1);
        u32::try_from(count).unwrap_or(u32::MAX)
    }

    /// Stores many mails at once; answers in the same order.
    pub async fn put_all(&self, mails: Vec<NewRawMail>) -> Vec<Result<(), PublishError>> {
        let mut chunks = Vec::with_capacity(mails.len());
        let mut counts = Vec::with_capacity(mails.len());
        for mail in mails {
            let before = chunks.len();
            chunks.extend(cut(&mail));
            counts.push(chunks.len() - before);
        }
        let mut answers = self.bus.publish_all(chunks).await.into_iter();
        let per_mail = counts.into_iter().map(|count| {
            let of_mail: Vec<Result<PublishReceipt, PublishError>> =
                answers.by_ref().take(count).collect();
            of_mail.into_iter().try_for_each(|answer| answer.map(drop))
        });
        per_mail.collect()
    }

    /// Stores one mail.
    pub async fn put(&self, mail: NewRawMail) -> Result<(), PublishError> {
        self.put_all(vec![mail]).await.pop().unwrap_or(Ok(()))
    }

    /// Starts to store a mail that comes in parts, so that it need not be in memory whole.
    pub fn writer(&self, mail_id: &str) -> RawWriter {
        RawWriter {
            bus: self.bus.clone(),
            mail_id: mail_id.to_owned(),
            pending: Vec::new(),
            next_chunk: 0,
        }
    }

    /// Opens a mail; none if nothing of it is there.
    pub async fn get(&self, mail_id: &str) -> Result<Option<RawReader>, RawError> {
        if !is_token(mail_id) {
            return Err(RawError::BadId {
                mail_id: mail_id.to_owned(),
            });
        }
        let mut reader = RawReader {
            bus: self.bus.clone(),
            mail_id: mail_id.to_owned(),
            first: None,
            next_chunk: 0,
            is_done: false,
        };
        match reader.fetch().await? {
            Some(bytes) => reader.first = Some(bytes),
            None => return Ok(None),
        }
        Ok(Some(reader))
    }

    /// Returns a whole mail of at most `limit` bytes; none if nothing of it is there.
    pub async fn get_whole(&self, mail_id: &str, limit: usize) -> Result<Option<Bytes>, RawError> {
        self.collect(mail_id, limit, 0).await
    }

    /// As [`RawMails::get_whole`], for a mail of so many bytes at most whose size is known: it takes no more memory than that,
    /// where a buffer that grows may take twice as much.
    pub async fn get_sized(&self, mail_id: &str, bytes: usize) -> Result<Option<Bytes>, RawError> {
        self.collect(mail_id, bytes, bytes).await
    }

    async fn collect(
        &self,
        mail_id: &str,
        limit: usize,
        capacity: usize,
    ) -> Result<Option<Bytes>, RawError> {
        let Some(mut reader) = self.get(mail_id).await? else {
            return Ok(None);
        };
        let mut whole = Vec::with_capacity(capacity);
        while let Some(chunk) = reader.next_chunk().await? {
            if whole.len() + chunk.len() > limit {
                return Err(RawError::TooLarge {
                    mail_id: mail_id.to_owned(),
                    limit,
                });
            }
            whole.extend_from_slice(&chunk);
        }
        Ok(Some(whole.into()))
    }

    /// Deletes what is there of a mail.
    pub fn delete<'a>(&'a self, mail_id: &'a str) -> BoxFuture<'a, Result<(), RawError>> {
        Box::pin(async move {
            if !is_token(mail_id) {
                return Err(RawError::BadId {
                    mail_id: mail_id.to_owned(),
                });
            }
            let inner = &self.bus.inner;
            let failed = |source: NatsCause| RawError::Delete {
                mail_id: mail_id.to_owned(),
                source,
            };
            let name = inner.prefix.stream(StreamKind::MailRaw.name());
            let nats = self.bus.nats().await;
            let stream = nats.jetstream.get_stream_no_info(&name).await;
            let stream = stream.map_err(|error| failed(error.into()))?;
            let filter = inner.prefix.subject(&format!("raw.{mail_id}.*"));
            let purged = stream.purge().filter(filter).await;
            purged
                .map_err(|error: async_nats::error::Error<PurgeErrorKind>| failed(error.into()))?;
            Ok(())
        })
    }
}

/// Stores one mail part by part.
#[derive(Debug)]
pub struct RawWriter {
    bus: Bus,
    mail_id: String,
    pending: Vec<u8>,
    next_chunk: u32,
}

impl RawWriter {
    /// Adds a part of any length. At most one chunk is held back.
    pub async fn write(&mut self, mut part: &[u8]) -> Result<(), PublishError> {
        while !part.is_empty() {
            // A full chunk goes out only when more follows: the last one must say that it is the last.
            if self.pending.len() == CHUNK_BYTES {
                let bytes = std::mem::take(&mut self.pending);
                let outgoing = chunk(&self.mail_id, self.next_chunk, false, bytes.into());
                self.bus.publish(outgoing).await?;
                self.next_chunk += 1;
            }
            let room = CHUNK_BYTES - self.pending.len();
            let (now, later) = part.split_at(room.min(part.len()));
            self.pending.extend_from_slice(now);
            part = later;
        }
        Ok(())
    }

    /// Stores the last chunk: only now the mail is there as a whole.
    pub async fn finish(self) -> Result<(), PublishError> {
        let outgoing = chunk(&self.mail_id, self.next_chunk, true, self.pending.into());
        self.bus.publish(outgoing).await.map(drop)
    }
}

/// Reads one mail, chunk by chunk.
#[derive(Debug)]
pub struct RawReader {
    bus: Bus,
    mail_id: String,
    first: Option<Bytes>,
    next_chunk: u32,
    is_done: bool,
}

impl RawReader {
    /// Returns the next chunk; none after the last.
    pub async fn next_chunk(&mut self) -> Result<Option<Bytes>, RawError> {
        if let Some(first) = self.first.take() {
            return Ok(Some(first));
        }
        if self.is_done {
            return Ok(None);
        }
        match self.fetch().await? {
            Some(bytes) => Ok(Some(bytes)),
            None => Err(RawError::Partial {
                mail_id: self.mail_id.clone(),
                chunk: self.next_chunk,
            }),
        }
    }

    /// Fetches one chunk by its number, not in stream order: a chunk that was sent again lies behind later ones.
    async fn fetch(&mut self) -> Result<Option<Bytes>, RawError> {
        let subject = format!("raw.{}.{}", self.mail_id, self.next_chunk);
        let failed = |source| RawError::Read {
            mail_id: self.mail_id.clone(),
            source,
        };
        let raw = StreamKind::MailRaw;
        let mut found = direct::last(&self.bus, raw, &subject)
            .await
            .map_err(failed)?;
        if found.is_none() {
            // A replica that lags behind answers 404 for what is stored, and mail would be given up for lack of its body.
            let of_leader = direct::last_of_leader(&self.bus, raw, &subject);
            found = of_leader.await.map_err(failed)?;
        }
        let Some(stored) = found else { return Ok(None) };
        let Some(mark) = find(&stored.headers, CHUNK_HEADER) else {
            return Err(RawError::BadChunk {
                mail_id: self.mail_id.clone(),
                chunk: self.next_chunk,
            });
        };
        self.is_done = mark.contains('/');
        self.next_chunk += 1;
        Ok(Some(stored.payload))
    }
}

fn cut(mail: &NewRawMail) -> Vec<Outgoing> {
    let count = mail.bytes.len().div_ceil(CHUNK_BYTES).max(1);
    let each = (0..count).map(|index| {
        let from = index * CHUNK_BYTES;
        let to = mail.bytes.len().min(from + CHUNK_BYTES);
        let number = u32::try_from(index).unwrap_or(u32::MAX);
        let is_last = index + 1 == count;
        chunk(&mail.mail_id, number, is_last, mail.bytes.slice(from..to))
    });
    each.collect()
}

fn chunk(mail_id: &str, number: u32, is_last: bool, payload: Bytes) -> Outgoing {
    let mark = if is_last {
        format!("{number}/{}", number.saturating_add(1))
    } else {
        number.to_string()
    };
    Outgoing {
        subject: format!("raw.{mail_id}.{number}"),
        // None: the stream keeps the last message of a subject, so a repetition replaces. With an id, a mail that is
        // stored again right after it was deleted would be taken for a duplicate and not stored at all.
        message_id: String::new(),
        headers: vec![(CHUNK_HEADER.to_owned(), mark)],
        payload,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mail_is_cut_into_chunks_that_say_which_is_the_last() {
        for (length, marks) in [
            (0, vec!["0/1"]),
            (1, vec!["0/1"]),
            (CHUNK_BYTES, vec!["0/1"]),
            (CHUNK_BYTES + 1, vec!["0", "1/2"]),
            (3 * CHUNK_BYTES, vec!["0", "1", "2/3"]),
        ] {
            let mail = NewRawMail {
                mail_id: "m".to_owned(),
                bytes: vec![0; length].into(),
            };

            let chunks = cut(&mail);

            let found: Vec<_> = chunks
                .iter()
                .map(|chunk| chunk.headers[0].1.as_str())
                .collect();
            assert_eq!(found, marks, "{length}");
            let total: usize = chunks.iter().map(|chunk| chunk.payload.len()).sum();
            assert_eq!(total, length);
        }
    }
}
