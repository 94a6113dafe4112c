use std::collections::BTreeMap;

use tokio::time::Instant;

use super::command::MatchedReply;
use super::error::{ImapError, Stage};
use super::reply::Reply;
use super::sequence::uid_sets;
use super::session::Session;
use super::verdict::is_partial_fetch;

impl Session {
    /// Returns what the server claims of the mails' sizes, by UID; mails without a size are left out.
    ///
    /// Exchange only estimates, and no server is forced to be exact.
    pub async fn sizes(&mut self, uids: &[u32]) -> Result<BTreeMap<u32, u32>, ImapError> {
        if self.folder.is_none() {
            return Err(ImapError::NoFolder);
        }
        let mut sizes = BTreeMap::new();
        for set in uid_sets(uids) {
            let command = format!("UID FETCH {} (UID RFC822.SIZE)", set.text);
            self.fetch_sizes(&command, |uid, size| {
                if set.uids.binary_search(&uid).is_ok() {
                    sizes.insert(uid, size);
                }
            })
            .await?;
        }
        Ok(sizes)
    }

    async fn fetch_sizes(
        &mut self,
        command: &str,
        mut note: impl FnMut(u32, u32) + Send,
    ) -> Result<(), ImapError> {
        // Servers may have to look into every mail for it.
        let deadline = Instant::now() + self.limits.timeouts.fetch_mail;
        let silence = self.limits.timeouts.silence;
        let running = self.start(Stage::Fetch, command).await?;
        loop {
            let reply = self
                .next_reply_within(Stage::Fetch, deadline, silence)
                .await?;
            match self.settle(&running, reply) {
                MatchedReply::Done(Err(error)) if is_partial_fetch(&error) => return Ok(()),
                MatchedReply::Done(outcome) => return outcome.map(drop),
                MatchedReply::Data(Reply::Fetch(fetched)) => {
                    if let (Some(uid), Some(size)) = (fetched.uid, fetched.size) {
                        note(uid, size);
                    }
                }
                MatchedReply::Data(_) => {}
            }
        }
    }
}
