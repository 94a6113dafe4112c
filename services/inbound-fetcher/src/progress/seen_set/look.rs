use std::collections::{HashMap, HashSet};

use mailmesh_events::mail::{MailboxReset, ResetReason};
use mailmesh_store::listed_mail::{self, FetchedEntry, ListingEntry};
use mailmesh_store::{Tx, outbox};
use time::OffsetDateTime;

use crate::account_context::AccountContext;
use crate::failure::WatchFailure;

/// Maximum mails per statement.
const CHUNK: usize = 5_000;

/// What tells mails apart that share their id.
type Twin = (String, [u8; 32]);

/// One look through a folder that is listed whole.
#[derive(Debug)]
pub(crate) struct ListingLook {
    pub(crate) digest: [u8; 32],
    /// Ids that several mails of the listing have.
    doubled: HashSet<String>,
    /// What came of those, and how often.
    twins: HashMap<Twin, Vec<FetchedEntry>>,
    /// No id of the listing was seen before. If the content was, the server has numbered its mails anew.
    is_unfamiliar: bool,
    /// The content of some was.
    is_renumbered: bool,
    /// Renumberings are told no more, as each look finds one.
    is_muted: bool,
    /// Mails that the server received earlier are not announced.
    start: Option<OffsetDateTime>,
}

impl ListingLook {
    pub(crate) fn new(digest: [u8; 32], entries: &[ListingEntry], is_unfamiliar: bool) -> Self {
        let mut ids = HashSet::with_capacity(entries.len());
        let mut doubled = HashSet::new();
        for entry in entries {
            let id = entry.position.within_epoch();
            if let Some(id) = ids.replace(id) {
                doubled.insert(id);
            }
        }
        Self {
            digest,
            doubled,
            twins: HashMap::new(),
            is_unfamiliar,
            is_renumbered: false,
            is_muted: false,
            start: None,
        }
    }

    /// Leaves out what the server received before a moment.
    pub(crate) fn with_start(self, start: Option<OffsetDateTime>) -> Self {
        Self { start, ..self }
    }

    /// Tells of no renumbering.
    pub(crate) fn muted(self, is_muted: bool) -> Self {
        Self { is_muted, ..self }
    }

    /// Returns whether the server had numbered its mails anew.
    pub(crate) const fn is_renumbered(&self) -> bool {
        self.is_renumbered
    }

    /// Returns whether a mail was there before the account was, by the server's own date.
    pub(crate) fn is_before_start(&self, received_at: Option<OffsetDateTime>) -> bool {
        // The date has whole seconds.
        let second = |moment: OffsetDateTime| moment.unix_timestamp();
        received_at.is_some() && received_at.map(second) < self.start.map(second)
    }

    /// Finds the fetched mails that are known by their content. Of mails that share both id and content the first stands
    /// for all: nothing tells them apart, today or at the next look.
    pub(crate) async fn adopt_known(
        &mut self,
        owner: &AccountContext,
        folder: &str,
        fetched: Vec<FetchedEntry>,
    ) -> Result<HashSet<u64>, WatchFailure> {
        let (further, asked): (Vec<_>, Vec<_>) = fetched
            .into_iter()
            .partition(|mail| self.is_further_twin(mail));
        let id = owner.account.id;
        let mut tx = owner.context.replica.database.begin().await?;
        let mut known = listed_mail::adopt_known(&mut tx, id, folder, &asked).await?;
        let is_renumbered = self.is_unfamiliar && !known.is_empty();
        if is_renumbered && !self.is_muted {
            announce_renumbering(&mut tx, owner, folder).await?;
        }
        tx.commit().await?;
        if is_renumbered {
            self.is_unfamiliar = false;
            self.is_renumbered = true;
            owner.context.replica.outbox.wake();
        }
        known.extend(further.into_iter().map(|mail| mail.ordinal));
        Ok(known)
    }

    /// Records how many mails share id and content, so that they are not fetched at each look to find that out again.
    pub(crate) async fn record_twins(
        &mut self,
        tx: &mut Tx,
        owner: &AccountContext,
        folder: &str,
    ) -> Result<(), WatchFailure> {
        let twins = std::mem::take(&mut self.twins);
        let mut chunk = Vec::new();
        for group in twins.into_values().filter(|group| group.len() > 1) {
            if chunk.len() + group.len() > CHUNK && !chunk.is_empty() {
                listed_mail::adopt_known(tx, owner.account.id, folder, &chunk).await?;
                chunk.clear();
            }
            chunk.extend(group);
        }
        if !chunk.is_empty() {
            listed_mail::adopt_known(tx, owner.account.id, folder, &chunk).await?;
        }
        Ok(())
    }

    fn is_further_twin(&mut self, mail: &FetchedEntry) -> bool {
        let id = mail.entry.position.within_epoch();
        if !self.doubled.contains(&id) {
            return false;
        }
        let group = self.twins.entry((id, mail.sha256)).or_default();
        group.push(mail.clone());
        group.len() > 1
    }
}

async fn announce_renumbering(
    tx: &mut Tx,
    owner: &AccountContext,
    folder: &str,
) -> Result<(), WatchFailure> {
    let (replica, now) = (&owner.context.replica, owner.context.now());
    let event = replica.encode(&MailboxReset {
        account: owner.account.key.clone(),
        folder: folder.to_owned(),
        reason: ResetReason::PositionsReplaced,
    })?;
    outbox::insert(tx, replica.id, &[event], now).await?;
    Ok(())
}
