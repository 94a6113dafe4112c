use mailmesh_domain::VerdictKind;

use super::error::{ImapError, Stage};
use super::name::quote;
use super::reply::Reply;
use super::sequence::uid_sets;
use super::session::{FolderUpdates, Session};
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
        let arrived = folder.begin_look();
        let uids = self.list_uids_after(last_uid).await?;
        let listed = u32::try_from(uids.len()).unwrap_or(u32::MAX);
        if let Some(folder) = self.folder.as_mut() {
            folder.has_unlisted = arrived > listed;
        }
        Ok(uids)
    }

    /// Returns whether more mails came before the last look than it listed, so that some have UIDs below those that were
    /// looked for.
    pub fn has_unlisted(&self) -> bool {
        self.folder.is_some_and(|folder| folder.has_unlisted)
    }

    async fn list_uids_after(&mut self, last_uid: u32) -> Result<Vec<u32>, ImapError> {
        let folder = self.folder.ok_or(ImapError::NoFolder)?;
        let Some(first) = last_uid.checked_add(1) else {
            return Ok(Vec::new());
        };
        if folder.is_empty_from(first) {
            return Ok(Vec::new());
        }
        if folder.is_empty() || is_answer_small(folder, first) {
            match self.search_after(first).await {
                // There are servers that refuse a set of which nothing exists.
                Err(error) if folder.is_counted && is_about_the_set(&error) => {}
                other => return other,
            }
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
        let folder = self.folder.ok_or(ImapError::NoFolder)?;
        if folder.is_empty_from(1) {
            return Ok(Vec::new());
        }
        let command = format!("UID SEARCH HEADER {} {}", quote(header), quote(value));
        match self.search(&command).await {
            Err(error) if folder.is_empty() && is_about_the_set(&error) => Ok(Vec::new()),
            other => other,
        }
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
        let mut broken = None;
        self.run_with(Stage::Search, command, |reply| match reply {
            Reply::Search(found) => {
                is_too_much |= uids.len() + found.len() > most;
                if !is_too_much {
                    uids.extend(found);
                }
            }
            Reply::BrokenSearch(line) => broken = Some(line),
            _ => {}
        })
        .await?;
        // Taken for an answer that finds nothing, it would stay unnoticed for ever.
        if is_too_much || broken.is_some() {
            self.is_ready = false;
            return Err(ImapError::Unreadable {
                stage: Stage::Search,
                text: broken.unwrap_or_default(),
            });
        }
        // RFC 3501 §7.2.5 prescribes no order.
        uids.sort_unstable();
        uids.dedup();
        Ok(uids)
    }

    /// Finds the lowest UIDs from `first` on by position, so that neither a large folder nor a
    /// wide gap makes the answer large; `None` if mails were removed meanwhile, as that shifts
    /// positions and a mail could slip through.
    async fn walk_after(&mut self, first: u32) -> Result<Option<Vec<u32>>, ImapError> {
        let before = self.folder.ok_or(ImapError::NoFolder)?;
        let Some(low) = self.find_sequence(first).await? else {
            return Ok(None);
        };
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

    /// Returns the lowest sequence number from whose mail on all UIDs are at least `first`, one beyond the last if there is
    /// none; `None` if a mail on the way was removed meanwhile.
    pub(super) async fn find_sequence(&mut self, first: u32) -> Result<Option<u32>, ImapError> {
        let folder = self.folder.ok_or(ImapError::NoFolder)?;
        let (mut low, mut high) = (1, folder.exists.saturating_add(1));
        while low < high {
            let middle = low + (high - low) / 2;
            match self.uids_at(middle, middle).await?.first() {
                Some(uid) if *uid >= first => high = middle,
                Some(_) => low = middle + 1,
                // FETCH of a mail that is gone answers with nothing, which is no error.
                None => return Ok(None),
            }
        }
        Ok(Some(low))
    }

    /// Returns the UIDs at positions `from` to `to`, ascending.
    async fn uids_at(&mut self, from: u32, to: u32) -> Result<Vec<u32>, ImapError> {
        let mut uids = Vec::new();
        let mut is_broken = false;
        self.run_with(
            Stage::Search,
            &format!("FETCH {from}:{to} (UID)"),
            |reply| match reply {
                Reply::Fetch(fetched) if (from..=to).contains(&fetched.sequence) => {
                    uids.extend(fetched.uid.filter(|_| uids.len() <= WINDOW as usize));
                }
                Reply::BrokenFetch { .. } => is_broken = true,
                _ => {}
            },
        )
        .await?;
        if is_broken {
            // It is of a mail that would be passed over.
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
}

/// Whether a plain search can answer with no more than about one window.
fn is_answer_small(folder: FolderUpdates, first: u32) -> bool {
    let is_gap_small = folder
        .uid_next
        // One below what was received says nothing of how much there is.
        .and_then(|next| next.checked_sub(first))
        .is_some_and(|gap| gap <= WINDOW / 2);
    !folder.is_counted || folder.exists <= WINDOW || is_gap_small
}

/// Whether a search was refused for no reason that lies outside of it.
fn is_about_the_set(error: &ImapError) -> bool {
    matches!(error, ImapError::Refused { .. })
        && matches!(
            error.verdict().kind,
            VerdictKind::Unknown | VerdictKind::Permanent | VerdictKind::NeedsAdministrator
        )
}
