use std::collections::HashSet;

use bytes::Bytes;
use time::OffsetDateTime;

use super::flag::Flags;

/// One mail in a folder. The raw bytes are shared, never copied.
#[derive(Debug, Clone)]
pub(crate) struct Mail {
    pub(crate) uid: u32,
    pub(crate) flags: Flags,
    pub(crate) raw: Bytes,
    pub(crate) received_at: OffsetDateTime,
    /// The folder's version when the flags last changed.
    pub(crate) changed_at: u64,
    /// Whether a POP3 session has retrieved it and ended with QUIT.
    pub(crate) is_popped: bool,
}

/// A folder. `version` grows with every change, so a session can tell in constant time what it missed.
#[derive(Debug)]
pub(crate) struct Folder {
    pub(crate) name: String,
    pub(crate) special_use: Option<&'static str>,
    pub(crate) uid_validity: u32,
    pub(crate) uid_next: u32,
    pub(crate) version: u64,
    pub(crate) expunged_at: u64,
    pub(crate) flagged_at: u64,
    mails: Vec<Mail>,
}

impl Folder {
    pub(crate) fn new(name: &str, special_use: Option<&'static str>, uid_validity: u32) -> Self {
        Self {
            name: name.to_owned(),
            special_use,
            uid_validity,
            uid_next: 1,
            version: 0,
            expunged_at: 0,
            flagged_at: 0,
            mails: Vec::new(),
        }
    }

    /// Returns the mails, ordered by UID.
    pub(crate) fn mails(&self) -> &[Mail] {
        &self.mails
    }

    pub(crate) fn append(&mut self, raw: Bytes, flags: Flags, received_at: OffsetDateTime) -> u32 {
        let uid = self.uid_next;
        self.uid_next = self.uid_next.saturating_add(1);
        self.version += 1;
        self.mails.push(Mail {
            uid,
            flags,
            raw,
            received_at,
            changed_at: self.version,
            is_popped: false,
        });
        uid
    }

    fn position(&self, uid: u32) -> Option<usize> {
        // Without gaps the UID gives the place away; look there before searching.
        let guess = self
            .mails
            .first()
            .and_then(|first| uid.checked_sub(first.uid))
            .and_then(|offset| usize::try_from(offset).ok());
        if let Some(guess) = guess
            && self.mails.get(guess).is_some_and(|mail| mail.uid == uid)
        {
            return Some(guess);
        }
        self.mails.binary_search_by_key(&uid, |mail| mail.uid).ok()
    }

    pub(crate) fn find(&self, uid: u32) -> Option<&Mail> {
        self.mails.get(self.position(uid)?)
    }

    /// Returns the mails whose UID is greater than `uid`.
    pub(crate) fn after(&self, uid: u32) -> &[Mail] {
        let start = self.mails.partition_point(|mail| mail.uid <= uid);
        self.mails.get(start..).unwrap_or_default()
    }

    /// Changes the flags of one mail; returns it as it is now, or `None` when it is gone.
    pub(crate) fn change_flags(
        &mut self,
        uid: u32,
        change: impl FnOnce(&mut Flags),
    ) -> Option<&Mail> {
        let position = self.position(uid)?;
        let mail = self.mails.get_mut(position)?;
        let before = mail.flags.clone();
        change(&mut mail.flags);
        if mail.flags != before {
            self.version += 1;
            self.flagged_at = self.version;
            mail.changed_at = self.version;
        }
        Some(mail)
    }

    /// Removes the mails that `is_doomed` picks; returns how many.
    pub(crate) fn remove(&mut self, is_doomed: impl Fn(&Mail) -> bool) -> usize {
        let before = self.mails.len();
        self.mails.retain(|mail| !is_doomed(mail));
        let removed = before - self.mails.len();
        if removed > 0 {
            self.version += 1;
            self.expunged_at = self.version;
        }
        removed
    }

    /// Gives a mail another content; returns whether it is there.
    pub(crate) fn replace(&mut self, uid: u32, raw: Bytes) -> bool {
        let mail = self
            .position(uid)
            .and_then(|position| self.mails.get_mut(position));
        let Some(mail) = mail else {
            return false;
        };
        mail.raw = raw;
        self.version += 1;
        true
    }

    /// Notes that a POP3 session has retrieved these mails; no IMAP session can see that.
    pub(crate) fn mark_popped(&mut self, uids: &HashSet<u32>) {
        for mail in &mut self.mails {
            mail.is_popped |= uids.contains(&mail.uid);
        }
    }

    /// Forgets every UID: mails are numbered from 1 under a new UIDVALIDITY.
    pub(crate) fn renumber(&mut self, uid_validity: u32) {
        self.uid_validity = uid_validity;
        self.uid_next = 1;
        self.version += 1;
        for mail in &mut self.mails {
            mail.uid = self.uid_next;
            self.uid_next += 1;
        }
    }

    /// Goes back to a UID and keeps the UIDVALIDITY, as a restored server does: mails from it on are gone.
    pub(crate) fn rewind(&mut self, uid_next: u32) {
        self.remove(|mail| mail.uid >= uid_next);
        self.uid_next = uid_next;
        self.version += 1;
    }

    pub(crate) fn count_unseen(&self) -> usize {
        self.mails
            .iter()
            .filter(|mail| !mail.flags.has(Flags::SEEN))
            .count()
    }
}
