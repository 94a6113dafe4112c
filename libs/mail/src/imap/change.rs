use super::capability::Capability;
use super::error::{ImapError, Stage};
use super::name::quote_mailbox;
use super::sequence::uid_sets;
use super::session::Session;

impl Session {
    /// Marks mails as read.
    pub async fn mark_seen(&mut self, uids: &[u32]) -> Result<(), ImapError> {
        // RFC 3501 §6.4.6: without SILENT the server answers with the new flags of each mail.
        self.for_sets(uids, Stage::Store, |set| {
            format!(r"UID STORE {set} +FLAGS.SILENT (\Seen)")
        })
        .await
    }

    /// Moves mails to another folder; mails that are gone are passed over.
    ///
    /// Without `MOVE`, copies, marks and removes; without `UIDPLUS` either, refuses, because the
    /// only way left would also remove what others have marked.
    pub async fn move_to(&mut self, uids: &[u32], folder: &str) -> Result<(), ImapError> {
        let target = quote_mailbox(folder);
        // RFC 6851. Gmail and Exchange announce it only after the sign-in.
        if self.capabilities().has(Capability::Move) {
            return self
                .for_sets(uids, Stage::Move, |set| format!("UID MOVE {set} {target}"))
                .await;
        }
        self.need_uid_expunge()?;
        self.for_sets(uids, Stage::Copy, |set| format!("UID COPY {set} {target}"))
            .await?;
        self.delete(uids).await
    }

    /// Removes mails for good, and no others.
    pub async fn delete(&mut self, uids: &[u32]) -> Result<(), ImapError> {
        self.need_uid_expunge()?;
        self.for_sets(uids, Stage::Store, |set| {
            format!(r"UID STORE {set} +FLAGS.SILENT (\Deleted)")
        })
        .await?;
        self.for_sets(uids, Stage::Expunge, |set| format!("UID EXPUNGE {set}"))
            .await
    }

    fn need_uid_expunge(&self) -> Result<(), ImapError> {
        // RFC 4315 §2.1: EXPUNGE alone removes whatever is marked, by whomever.
        if self.capabilities().has(Capability::UidPlus) {
            return Ok(());
        }
        Err(ImapError::Unsupported {
            capability: "UIDPLUS",
        })
    }

    async fn for_sets(
        &mut self,
        uids: &[u32],
        stage: Stage,
        command: impl Fn(&str) -> String + Send,
    ) -> Result<(), ImapError> {
        if self.folder.is_none() {
            return Err(ImapError::NoFolder);
        }
        for set in uid_sets(uids) {
            self.run(stage, &command(&set.text)).await?;
        }
        Ok(())
    }
}
