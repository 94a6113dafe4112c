use bytes::{Bytes, BytesMut};
use tokio::time::{Instant, timeout_at};

use super::command::{MatchedReply, RunningCommand};
use super::error::{ImapError, Stage};
use super::guard::GuardError;
use super::reply::{BodyValue, FetchReply, Reply};
use super::session::{OpenBody, Session};

/// Maximum bytes of a body whose size was not announced: no provider takes such mail. A larger one is refused as soon as its
/// literal is announced.
const LONGEST_UNKNOWN: u64 = 256 << 20;
/// Sizes are estimates at some servers.
const SPARE_BYTES: u64 = 64 * 1024;
/// What is passed over at most of a body that was given up, before another command; beyond it the session is dropped.
const PASSED_BYTES: u64 = 32 << 20;

impl Session {
    /// Goes on after a literal was refused: of a body that is larger than what was asked for, as servers send it that ignore
    /// the range, `slice_bytes` are read and the rest stays open. Any other failure is returned as it is.
    pub(super) async fn open_body(
        &mut self,
        running: &RunningCommand,
        error: ImapError,
        asked: &[u32],
        slice_bytes: usize,
    ) -> Result<FetchReply, ImapError> {
        let ImapError::Excess {
            source: GuardError::LiteralTooLarge { announced, .. },
            ..
        } = &error
        else {
            return Err(error);
        };
        let announced = *announced;
        let head = read_head(&self.wire.take_head());
        let Some(mut fetched) = head.filter(|fetched| announced <= longest(fetched.size)) else {
            return Err(error);
        };
        // It may stand behind the body.
        let only = asked.first().copied().filter(|_| asked.len() == 1);
        let uid = fetched.uid.or(only).filter(|uid| asked.contains(uid));
        let uid = uid.ok_or(error)?;
        let mut body = OpenBody::new(&running.tag, uid, announced);
        body.announced = fetched.size.map(u64::from);
        let bytes = self.read_body(&mut body, slice_bytes).await?;
        fetched.uid = Some(uid);
        fetched.body = Some(BodyValue::Bytes {
            bytes,
            origin: None,
        });
        self.open_body = Some(body);
        self.has_broken_ranges = true;
        Ok(fetched)
    }

    /// Returns the bytes from `offset` on if that mail's body is open and has not passed them; fewer mean that it ends.
    pub(super) async fn go_on_with_body(
        &mut self,
        uid: u32,
        offset: u64,
        bytes: u32,
    ) -> Result<Option<Bytes>, ImapError> {
        let goes_on = |body: &mut OpenBody| body.uid == uid && body.offset <= offset;
        // Taken out, so that a future dropped half-way leaves the session closed.
        let Some(mut body) = self.open_body.take_if(goes_on) else {
            return Ok(None);
        };
        self.pass(&mut body, offset).await?;
        let most = usize::try_from(bytes).unwrap_or(usize::MAX);
        let slice = self.read_body(&mut body, most).await?;
        if body.left == 0 && !body.is_over {
            self.finish_body(&mut body).await?;
        }
        self.open_body = Some(body);
        Ok(Some(slice))
    }

    /// Makes room for another command.
    pub(super) async fn close_body(&mut self) -> Result<(), ImapError> {
        let Some(mut body) = self.open_body.take() else {
            return Ok(());
        };
        if body.is_over {
            return Ok(());
        }
        if body.left > PASSED_BYTES {
            return Err(ImapError::Closed);
        }
        self.pass(&mut body, u64::MAX).await?;
        self.finish_body(&mut body).await
    }

    async fn pass(&mut self, body: &mut OpenBody, offset: u64) -> Result<(), ImapError> {
        while body.offset < offset && body.left > 0 {
            let bytes = usize::try_from(offset - body.offset).unwrap_or(usize::MAX);
            self.read_some(body, bytes, self.body_deadline()).await?;
        }
        Ok(())
    }

    async fn read_body(&mut self, body: &mut OpenBody, bytes: usize) -> Result<Bytes, ImapError> {
        let deadline = self.body_deadline();
        let mut slice = BytesMut::new();
        while slice.len() < bytes && body.left > 0 {
            let some = self.read_some(body, bytes - slice.len(), deadline).await?;
            slice.extend_from_slice(&some);
        }
        Ok(slice.freeze())
    }

    async fn read_some(
        &mut self,
        body: &mut OpenBody,
        most: usize,
        deadline: Instant,
    ) -> Result<Bytes, ImapError> {
        let stage = Stage::Fetch;
        let left = usize::try_from(body.left).unwrap_or(usize::MAX);
        let until = deadline.min(Instant::now() + self.limits.timeouts.silence);
        let some = timeout_at(until, self.wire.read_raw(most.min(left)))
            .await
            .map_err(|_| ImapError::TimedOut { stage })?
            .map_err(|source| ImapError::ConnectionLost { stage, source })?;
        let bytes = u64::try_from(some.len()).unwrap_or(u64::MAX);
        body.offset = body.offset.saturating_add(bytes);
        body.left = body.left.saturating_sub(bytes);
        Ok(some)
    }

    /// Passes over all that answers the command after the body. Other mails of it are asked for again.
    async fn finish_body(&mut self, body: &mut OpenBody) -> Result<(), ImapError> {
        let deadline = self.body_deadline();
        let running = RunningCommand {
            stage: Stage::Fetch,
            tag: body.tag.clone(),
        };
        let mut is_tail = true;
        while !body.is_over {
            let next = if is_tail {
                self.next_frame(Stage::Fetch, deadline, self.limits.timeouts.silence)
                    .await
                    .map(|_tail| None)
            } else {
                self.next_reply(Stage::Fetch, deadline).await.map(Some)
            };
            match next {
                Ok(None) => is_tail = false,
                Ok(Some(reply)) => {
                    body.is_over = matches!(self.settle(&running, reply), MatchedReply::Done(_));
                }
                Err(ImapError::Excess {
                    source: GuardError::LiteralTooLarge { announced, .. },
                    ..
                }) if announced <= PASSED_BYTES => {
                    self.wire.take_head();
                    let mut other = OpenBody::new(&running.tag, 0, announced);
                    self.pass(&mut other, u64::MAX).await?;
                    is_tail = true;
                }
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    fn body_deadline(&self) -> Instant {
        Instant::now() + self.limits.timeouts.fetch_mail
    }
}

/// Reads what a server sent before the literal of a body.
fn read_head(head: &[u8]) -> Option<FetchReply> {
    let open = head.iter().rposition(|byte| *byte == b'{')?;
    let mut frame = BytesMut::from(head.get(..open)?);
    frame.extend_from_slice(b"\"\")\r\n");
    match Reply::read(&frame.freeze()) {
        Reply::Fetch(fetched) if fetched.body.is_some() => Some(fetched),
        _ => None,
    }
}

/// Returns how many bytes a mail may have whose size was announced, as far as that is exact.
fn longest(size: Option<u32>) -> u64 {
    size.map_or(LONGEST_UNKNOWN, |size| {
        let size = u64::from(size);
        size.saturating_add(size / 4).saturating_add(SPARE_BYTES)
    })
}
