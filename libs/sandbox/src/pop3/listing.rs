use std::collections::HashSet;
use std::fmt::Write as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use aws_lc_rs::digest::{SHA256, digest};
use bytes::Bytes;
use time::OffsetDateTime;

use crate::mailbox::{Folder, Mail, Pop3Quirks, UidlKind};

/// What a session shows of its folder.
#[derive(Clone, Copy)]
pub(super) struct Selection {
    pub(super) hides_popped: bool,
    pub(super) since: Option<OffsetDateTime>,
    pub(super) most: Option<usize>,
}

/// A mail as one session knows it, whatever others do meanwhile.
pub(super) struct ListedMessage {
    uid: u32,
    pub(super) raw: Bytes,
    is_deleted: bool,
    is_retrieved: bool,
}

static LISTINGS: AtomicU64 = AtomicU64::new(0);

/// The mails of one session, numbered from 1.
pub(super) struct SessionListing {
    /// Each session has another.
    number: u64,
    uid_validity: u32,
    messages: Vec<ListedMessage>,
    quirks: Arc<Pop3Quirks>,
}

impl SessionListing {
    pub(super) fn open(folder: &Folder, quirks: Arc<Pop3Quirks>, selection: Selection) -> Self {
        let is_shown = |mail: &&Mail| {
            let is_hidden =
                quirks.hidden.contains(&mail.uid) || (selection.hides_popped && mail.is_popped);
            !is_hidden
                && selection
                    .since
                    .is_none_or(|since| mail.received_at >= since)
        };
        let messages = folder
            .mails()
            .iter()
            .filter(is_shown)
            .take(selection.most.unwrap_or(usize::MAX))
            .map(|mail| ListedMessage {
                uid: mail.uid,
                raw: mail.raw.clone(),
                is_deleted: false,
                is_retrieved: false,
            })
            .collect();
        Self {
            number: LISTINGS.fetch_add(1, Ordering::Relaxed),
            uid_validity: folder.uid_validity,
            messages,
            quirks,
        }
    }

    /// Returns the mails that are not deleted, with their numbers.
    pub(super) fn live(&self) -> impl Iterator<Item = (usize, &ListedMessage)> {
        let numbered = self.messages.iter().enumerate();
        numbered
            .filter(|(_, message)| !message.is_deleted)
            .map(|(place, message)| (place + 1, message))
    }

    pub(super) fn find(&self, number: usize) -> Option<&ListedMessage> {
        let message = self.messages.get(number.checked_sub(1)?)?;
        (!message.is_deleted).then_some(message)
    }

    pub(super) fn is_broken(&self, number: usize) -> bool {
        let mut found = self.find(number).into_iter();
        found.any(|message| self.quirks.broken.contains(&message.uid))
    }

    fn find_mut(&mut self, number: usize) -> Option<&mut ListedMessage> {
        let message = self.messages.get_mut(number.checked_sub(1)?)?;
        (!message.is_deleted).then_some(message)
    }

    /// Marks a mail as deleted; returns whether there was one.
    pub(super) fn delete(&mut self, number: usize) -> bool {
        let found = self.find_mut(number);
        found.map(|message| message.is_deleted = true).is_some()
    }

    pub(super) fn mark_retrieved(&mut self, number: usize) {
        if let Some(message) = self.find_mut(number) {
            message.is_retrieved = true;
        }
    }

    /// Takes all marks back.
    pub(super) fn reset(&mut self) {
        for message in &mut self.messages {
            message.is_deleted = false;
        }
    }

    /// Returns the size to announce for a mail, which may be configured wrong.
    pub(super) fn size(&self, message: &ListedMessage) -> i64 {
        to_size(message.raw.len()).saturating_add(self.quirks.size_error)
    }

    pub(super) fn total_size(&self) -> i64 {
        let sizes = self.live().map(|(_, message)| to_size(message.raw.len()));
        sizes.sum::<i64>().saturating_add(self.quirks.size_error)
    }

    pub(super) fn has_uidls(&self) -> bool {
        self.quirks.uidl != UidlKind::Missing
    }

    pub(super) fn most_uidls(&self) -> usize {
        self.quirks.uidl_at_most.unwrap_or(usize::MAX)
    }

    pub(super) fn uidl(&self, number: usize, message: &ListedMessage) -> String {
        if let Some(chosen) = self.quirks.uidls.get(&message.uid) {
            return chosen.clone();
        }
        match self.quirks.uidl {
            UidlKind::Uid | UidlKind::Missing => {
                format!("{:08x}{:08x}", self.uid_validity, message.uid)
            }
            UidlKind::Number => number.to_string(),
            UidlKind::Session => format!("{}-{number}", self.number),
            UidlKind::Content => {
                let mut text = String::with_capacity(64);
                for byte in digest(&SHA256, &message.raw).as_ref() {
                    // Writing into a String cannot fail.
                    write!(text, "{byte:02x}").ok();
                }
                text
            }
        }
    }

    /// Does what QUIT promises; returns whether anything changed that other sessions can see.
    pub(super) fn commit(&self, folder: &mut Folder) -> bool {
        if folder.uid_validity != self.uid_validity {
            // The UIDs of this session mean other mails now.
            return false;
        }
        folder.mark_popped(&self.pick(|message| message.is_retrieved));
        let deleted = self.pick(|message| message.is_deleted);
        folder.remove(|mail| deleted.contains(&mail.uid)) > 0
    }

    fn pick(&self, is_meant: impl Fn(&ListedMessage) -> bool) -> HashSet<u32> {
        let messages = self.messages.iter();
        messages
            .filter(|message| is_meant(message))
            .map(|message| message.uid)
            .collect()
    }
}

fn to_size(length: usize) -> i64 {
    i64::try_from(length).unwrap_or(i64::MAX)
}
