use bytes::Bytes;
use tokio::time::Instant;

use super::command::MatchedReply;
use super::error::{ImapError, Stage};
use super::fetch::forgive_partial;
use super::reply::{BodyValue, Reply};
use super::session::Session;
use crate::source::is_near;

impl Session {
    /// Fetches up to `bytes` of one mail from `offset` on; none mean that the mail ends there.
    ///
    /// An end that contradicts the announced size is not believed: there are servers that answer with no more than they
    /// like, that label parts wrongly, or that send more than was asked for. The whole is asked for then, and what was read
    /// of it already is passed over.
    ///
    /// # Errors
    ///
    /// A mail that is gone, or was never there, gives [`ImapError::MailGone`]; one whose whole is far shorter than the
    /// server says [`ImapError::MailCutShort`].
    pub async fn fetch_slice(
        &mut self,
        uid: u32,
        offset: u64,
        bytes: u32,
    ) -> Result<Bytes, ImapError> {
        if self.folder.is_none() {
            return Err(ImapError::NoFolder);
        }
        if let Some(slice) = self.go_on_with_body(uid, offset, bytes).await? {
            if slice.is_empty() {
                return self.settle_end(uid, offset, bytes).await;
            }
            return Ok(slice);
        }
        // What answers a question for a part with something else need not be asked for one again.
        let slice = if self.has_broken_ranges && offset > 0 {
            None
        } else {
            self.ask_for_part(uid, offset, bytes).await?
        };
        match slice {
            Some(slice) if !slice.is_empty() => Ok(slice),
            Some(_) => self.settle_end(uid, offset, bytes).await,
            None => {
                let announced = self.announced(uid).await?;
                self.read_whole_from(uid, offset, bytes, announced).await
            }
        }
    }

    /// Returns none if the answer is not the part that was asked for.
    async fn ask_for_part(
        &mut self,
        uid: u32,
        offset: u64,
        bytes: u32,
    ) -> Result<Option<Bytes>, ImapError> {
        self.expect_bodies(bytes);
        // `BODY[]` would set `\Seen` (RFC 3501 §6.4.5).
        let command = format!("UID FETCH {uid} (UID BODY.PEEK[]<{offset}.{bytes}>)");
        let fetched = self.fetch_one(&command, uid).await;
        self.wire.set_bounds(self.limits.bounds());
        let Some(body) = fetched? else {
            // More than that: from the first byte on it is all of it, from another on it may be anything.
            if offset > 0 {
                return Ok(None);
            }
            return self.go_on_with_body(uid, offset, bytes).await;
        };
        let (body, origin) = self.expect_body(uid, body).await?;
        let is_part = if offset == 0 {
            origin.is_none_or(|origin| origin == 0)
        } else {
            origin == Some(offset)
        };
        if is_part {
            return Ok(Some(cut(&body, 0, bytes)));
        }
        self.has_broken_ranges = true;
        Ok(None)
    }

    /// Looks at the end of a mail: the announced size agrees, or the whole is asked for, once.
    async fn settle_end(&mut self, uid: u32, offset: u64, bytes: u32) -> Result<Bytes, ImapError> {
        if let Some(whole) = self.open_body.as_ref().filter(|body| body.uid == uid)
            && (whole.is_asked_whole || whole.announced.is_some_and(|size| size <= offset))
        {
            let announced = whole.announced;
            return self.judge_end(announced, offset);
        }
        let announced = self.announced(uid).await?;
        let Some(size) = announced.filter(|size| *size > offset) else {
            return Ok(Bytes::new());
        };
        if self.has_estimates && is_near(size, offset) {
            return Ok(Bytes::new());
        }
        self.read_whole_from(uid, offset, bytes, announced).await
    }

    async fn announced(&mut self, uid: u32) -> Result<Option<u64>, ImapError> {
        let sizes = self.sizes(&[uid]).await?;
        Ok(sizes.get(&uid).copied().map(u64::from))
    }

    /// Asks for the whole without a range, which is read piece by piece.
    async fn read_whole_from(
        &mut self,
        uid: u32,
        offset: u64,
        bytes: u32,
        announced: Option<u64>,
    ) -> Result<Bytes, ImapError> {
        self.wire.set_bounds(self.limits.bounds_without_literal());
        let command = format!("UID FETCH {uid} (UID RFC822.SIZE BODY.PEEK[])");
        let fetched = self.fetch_one(&command, uid).await;
        self.wire.set_bounds(self.limits.bounds());
        let slice = if let Some(body) = fetched? {
            let (body, _) = self.expect_body(uid, body).await?;
            cut(&body, offset, bytes)
        } else {
            if let Some(whole) = &mut self.open_body {
                whole.is_asked_whole = true;
                whole.announced = announced;
            }
            let slice = self.go_on_with_body(uid, offset, bytes).await?;
            slice.ok_or(ImapError::MailUnreadable)?
        };
        if slice.is_empty() {
            return self.judge_end(announced, offset);
        }
        Ok(slice)
    }

    /// Judges a mail all of which was asked for: servers estimate sizes, Exchange among them, but not by much.
    fn judge_end(&mut self, announced: Option<u64>, came: u64) -> Result<Bytes, ImapError> {
        match announced.filter(|announced| *announced > came) {
            None => Ok(Bytes::new()),
            Some(announced) if is_near(announced, came) => {
                self.has_estimates = true;
                Ok(Bytes::new())
            }
            Some(announced) => Err(ImapError::MailCutShort { announced, came }),
        }
    }

    /// Returns the body that came, with its origin; asks whether the mail is there still if none did.
    async fn expect_body(
        &mut self,
        uid: u32,
        body: Option<BodyValue>,
    ) -> Result<(Bytes, Option<u64>), ImapError> {
        match body {
            Some(BodyValue::Bytes { bytes, origin }) => Ok((bytes, origin)),
            None if self.search_uids(&[uid]).await?.is_empty() => Err(ImapError::MailGone),
            Some(BodyValue::Nil) | None => Err(ImapError::MailUnreadable),
        }
    }

    /// Returns none if the server sends a body that is larger than what is read at once, which is open then.
    async fn fetch_one(
        &mut self,
        command: &str,
        uid: u32,
    ) -> Result<Option<Option<BodyValue>>, ImapError> {
        let running = self.start(Stage::Fetch, command).await?;
        let deadline = Instant::now() + self.limits.timeouts.fetch_mail;
        let mut body = None;
        loop {
            let reply = match self.next_fetched(deadline).await {
                Err(error) => {
                    self.open_body(&running, error, &[uid], 0).await?;
                    return Ok(None);
                }
                Ok(reply) => reply,
            };
            match self.settle(&running, reply) {
                MatchedReply::Done(outcome) => {
                    let done = outcome.map(drop).or_else(forgive_partial);
                    return done.map(|()| Some(body));
                }
                MatchedReply::Data(Reply::Fetch(fetched)) if fetched.uid == Some(uid) => {
                    body = fetched.body.or(body).or(Some(BodyValue::Nil));
                }
                MatchedReply::Data(Reply::BrokenFetch { uid: found })
                    if found.is_none_or(|found| found == uid) =>
                {
                    body = body.or(Some(BodyValue::Nil));
                }
                MatchedReply::Data(_) => {}
            }
        }
    }
}

fn cut(body: &Bytes, offset: u64, bytes: u32) -> Bytes {
    let start = usize::try_from(offset)
        .unwrap_or(usize::MAX)
        .min(body.len());
    let most = usize::try_from(bytes).unwrap_or(usize::MAX);
    let end = start.saturating_add(most).min(body.len());
    body.slice(start..end)
}
