use super::error::Pop3Error;
use super::reply::Reply;
use super::retrieval::Retrieval;
use super::session::{Absence, Session, length};
use super::stage::Stage;
use crate::source::is_near;

impl Session {
    /// Reads up to `bytes` of a mail from `offset` on; none mean that it ends there.
    ///
    /// One that ends before its listed size is listed and retrieved once more, as servers cut mails off. Sizes are exact by
    /// RFC 1939 §5, and yet estimates at some servers; a mail that is still far shorter is an error.
    pub(super) async fn fetch_slice(
        &mut self,
        ordinal: u64,
        offset: u64,
        bytes: u32,
    ) -> Result<Vec<u8>, Pop3Error> {
        self.begin()?;
        let slice = self.read_slice(ordinal, offset, bytes).await;
        self.finish(slice)
    }

    /// Returns whether a mail that ended after so many bytes is whole without a further question.
    pub(super) fn is_end(&self, listed: Option<u64>, read: u64) -> bool {
        listed.is_none_or(|listed| listed <= read || (self.has_estimates && is_near(listed, read)))
    }

    async fn read_slice(
        &mut self,
        ordinal: u64,
        offset: u64,
        bytes: u32,
    ) -> Result<Vec<u8>, Pop3Error> {
        let retrieval = self.retrieval_before(ordinal, offset).await?;
        let is_repeated = retrieval.is_repeated;
        let slice = self.read_on(retrieval, offset, bytes).await?;
        let listed = self.entry(ordinal).and_then(|entry| entry.bytes);
        if !slice.is_empty() || self.is_end(listed, offset) {
            return Ok(slice);
        }
        if is_repeated {
            return self.judge_end(listed, offset);
        }
        let listed = self.listed_again(ordinal).await?.or(listed);
        if self.is_end(listed, offset) {
            return Ok(Vec::new());
        }
        let mut retrieval = self.retrieval_of(ordinal).await?;
        retrieval.is_repeated = true;
        let slice = self.read_on(retrieval, offset, bytes).await?;
        if slice.is_empty() {
            return self.judge_end(listed, offset);
        }
        Ok(slice)
    }

    async fn read_on(
        &mut self,
        mut retrieval: Retrieval,
        offset: u64,
        bytes: u32,
    ) -> Result<Vec<u8>, Pop3Error> {
        let timeouts = &self.limits.timeouts;
        retrieval.pass_to(&mut self.wire, timeouts, offset).await?;
        let slice = retrieval
            .read(&mut self.wire, timeouts, length(bytes))
            .await?;
        self.retrieval = Some(retrieval);
        Ok(slice)
    }

    fn judge_end(&mut self, listed: Option<u64>, came: u64) -> Result<Vec<u8>, Pop3Error> {
        match listed {
            Some(announced) if !is_near(announced, came) => {
                Err(Pop3Error::MailCutShort { announced, came })
            }
            _ => {
                self.has_estimates = true;
                Ok(Vec::new())
            }
        }
    }

    /// Goes on with the open mail, or begins anew where that has passed the offset.
    async fn retrieval_before(
        &mut self,
        ordinal: u64,
        offset: u64,
    ) -> Result<Retrieval, Pop3Error> {
        let goes_on = |open: &mut Retrieval| open.ordinal == ordinal && open.offset <= offset;
        match self.retrieval.take_if(goes_on) {
            Some(retrieval) => Ok(retrieval),
            None => self.retrieval_of(ordinal).await,
        }
    }

    async fn retrieval_of(&mut self, ordinal: u64) -> Result<Retrieval, Pop3Error> {
        self.end_retrieval().await?;
        match self.retrieve(ordinal).await? {
            Ok(retrieval) => Ok(retrieval),
            Err(Absence::Gone) => Err(Pop3Error::MailGone),
            Err(Absence::Unreadable) => Err(Pop3Error::MailUnreadable),
        }
    }

    async fn listed_again(&mut self, ordinal: u64) -> Result<Option<u64>, Pop3Error> {
        self.end_retrieval().await?;
        let Some(number) = self.entry(ordinal).map(|entry| entry.number) else {
            return Ok(None);
        };
        match self.command(Stage::List, &format!("LIST {number}")).await? {
            Reply::Ok(text) => {
                let size = text.split(u8::is_ascii_whitespace).nth(1);
                Ok(size.and_then(|size| std::str::from_utf8(size).ok()?.parse().ok()))
            }
            Reply::Refused(_) => Ok(None),
            Reply::Continue(_) => Err(Pop3Error::Unreadable { stage: Stage::List }),
        }
    }
}
