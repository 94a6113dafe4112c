use super::error::{ImapError, Stage};
use super::name::quote;
use super::reply::Reply;
use super::sequence::uid_sets;
use super::session::{OpenFolder, Session};
use crate::ServerText;

/// Maximum UIDs that one call returns and one command asks for.
const WINDOW: u32 = 10_000;

/// Maximum walks through a large folder that changes meanwhile.
const ATTEMPTS: usize = 3;

impl Session {
    /// Returns the UIDs above `last_uid`, ascending: all of them, or the lowest ten thousand.
    ///
    /// An answer of full length means: ask again after the last of them.
    pub async fn uids_after(&mut self, last_uid: u32) -> Result<Vec<u32>, ImapError> {
        let folder = self.folder.as_mut().ok_or(ImapError::NoFolder)?;
        // Changes from here on are not part of the answer, and are reported by noop and idle.
        folder.has_changed = false;
        let folder = *folder;
        let Some(first) = last_uid.checked_add(1) else {
            return Ok(Vec::new());
        };
        if is_answer_small(folder, first) {
            return self.search_after(first).await;
        }
        for _ in 0..ATTEMPTS {
            if let Some(uids) = self.walk_after(first).await? {
                return Ok(uids);
            }
        }
        Err(ImapError::KeepsChanging)
    }

    /// Returns the UIDs of mails whose Message-ID contains `message_id`.
    ///
    /// Exchange may replace the Message-ID at submission and keeps the old one in a header of its own.
    pub async fn search_message_id(&mut self, message_id: &str) -> Result<Vec<u32>, ImapError> {
        let found = self.search_header("Message-ID", message_id).await?;
        if !found.is_empty() {
            return Ok(found);
        }
        self.search_header("X-Microsoft-Original-Message-ID", message_id)
            .await
    }

    /// Returns the UIDs of mails with a header that contains `value`; servers may lag behind.
    pub async fn search_header(
        &mut self,
        header: &str,
        value: &str,
    ) -> Result<Vec<u32>, ImapError> {
        let is_printable = |text: &str| text.bytes().all(|byte| matches!(byte, b' '..=b'~'));
        if value.is_empty() || !is_printable(value) || !is_printable(header) {
            return Err(ImapError::InvalidSearchTerm);
        }
        if self.folder.is_none() {
            return Err(ImapError::NoFolder);
        }
        let command = format!("UID SEARCH HEADER {} {}", quote(header), quote(value));
        self.search(&command).await
    }

    /// Returns which of these the folder has, ascending.
    pub(super) async fn search_uids(&mut self, uids: &[u32]) -> Result<Vec<u32>, ImapError> {
        let mut listed = Vec::new();
        for set in uid_sets(uids) {
            let mut found = self.search(&format!("UID SEARCH UID {}", set.text)).await?;
            found.retain(|uid| set.uids.binary_search(uid).is_ok());
            listed.append(&mut found);
        }
        Ok(listed)
    }

    async fn search_after(&mut self, first: u32) -> Result<Vec<u32>, ImapError> {
        let mut uids = self.search(&format!("UID SEARCH UID {first}:*")).await?;
        // `n:*` also names the highest mail when that is below n.
        uids.retain(|uid| *uid >= first);
        uids.truncate(usize::try_from(WINDOW).unwrap_or(usize::MAX));
        Ok(uids)
    }

    async fn search(&mut self, command: &str) -> Result<Vec<u32>, ImapError> {
        let most = self.limits.line_bytes;
        let mut uids = Vec::new();
        let mut is_too_much = false;
        self.run_with(Stage::Search, command, |reply| {
            if let Reply::Search(found) = reply {
                is_too_much |= uids.len() + found.len() > most;
                if !is_too_much {
                    uids.extend(found);
                }
            }
        })
        .await?;
        if is_too_much {
            self.is_ready = false;
            return Err(ImapError::Unreadable {
                stage: Stage::Search,
                text: ServerText::default(),
            });
        }
        uids.sort_unstable();
        uids.dedup();
        Ok(uids)
    }

    /// Finds the lowest UIDs from `first` on by position, so that neither a large folder nor a
    /// wide gap makes the answer large; `None` if mails were removed meanwhile, as that shifts
    /// positions and a mail could slip through.
    async fn walk_after(&mut self, first: u32) -> Result<Option<Vec<u32>>, ImapError> {
        let before = self.folder.ok_or(ImapError::NoFolder)?;
        let (mut low, mut high) = (1, before.exists.saturating_add(1));
        while low < high {
            let middle = low + (high - low) / 2;
            match self.uids_at(middle, middle).await?.first() {
                Some(uid) if *uid >= first => high = middle,
                Some(_) => low = middle + 1,
                None => return Ok(None),
            }
        }
        let mut uids = Vec::new();
        if low <= before.exists {
            let last = before.exists.min(low.saturating_add(WINDOW - 1));
            uids = self.uids_at(low, last).await?;
        }
        let after = self.folder.ok_or(ImapError::NoFolder)?;
        uids.retain(|uid| *uid >= first);
        uids.truncate(usize::try_from(WINDOW).unwrap_or(usize::MAX));
        Ok((after.expunged == before.expunged).then_some(uids))
    }

    /// Returns the UIDs at positions `from` to `to`, ascending.
    async fn uids_at(&mut self, from: u32, to: u32) -> Result<Vec<u32>, ImapError> {
        let mut uids = Vec::new();
        self.run_with(
            Stage::Search,
            &format!("FETCH {from}:{to} (UID)"),
            |reply| {
                if let Reply::Fetch(fetched) = reply
                    && (from..=to).contains(&fetched.sequence)
                    && let Some(uid) = fetched.uid
                    && uids.len() <= WINDOW as usize
                {
                    uids.push(uid);
                }
            },
        )
        .await?;
        uids.sort_unstable();
        uids.dedup();
        Ok(uids)
    }
}

/// Whether a plain search can answer with no more than about one window.
fn is_answer_small(folder: OpenFolder, first: u32) -> bool {
    let is_gap_small = folder
        .uid_next
        .is_some_and(|next| next.saturating_sub(first) <= WINDOW / 2);
    folder.exists <= WINDOW || is_gap_small
}
