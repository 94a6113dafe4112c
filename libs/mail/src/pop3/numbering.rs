use mailmesh_domain::Position;

use super::maildrop::{Maildrop, MaildropEntry};
use crate::source::ListedMail;

/// Maximum mails that one call lists.
const PAGE: usize = 10_000;

/// The listing, and the ordinal after which its numbers begin.
#[derive(Debug)]
pub(super) struct NumberedMaildrop {
    pub(super) base: u64,
    pub(super) maildrop: Maildrop,
}

impl NumberedMaildrop {
    pub(super) fn entry(&self, ordinal: u64) -> Option<&MaildropEntry> {
        let place = ordinal.checked_sub(self.base)?.checked_sub(1)?;
        self.maildrop.entries().get(usize::try_from(place).ok()?)
    }

    /// Returns the mails above `ordinal`, as many as one call lists.
    pub(super) fn page(&self, ordinal: u64) -> Vec<ListedMail> {
        let passed = usize::try_from(ordinal.saturating_sub(self.base)).unwrap_or(usize::MAX);
        let entries = self.maildrop.entries().iter().enumerate();
        let listed = |(index, entry): (usize, &MaildropEntry)| ListedMail {
            ordinal: self.ordinal(index),
            position: Position::Pop3 {
                uidl: self.maildrop.uidl(entry).map(str::to_owned),
            },
            bytes: entry.bytes,
        };
        entries.skip(passed).take(PAGE).map(listed).collect()
    }

    pub(super) fn locate(&self, position: &Position) -> Option<u64> {
        match position {
            Position::Pop3 { uidl: Some(uidl) } => {
                let index = self.maildrop.find(uidl)?;
                Some(self.ordinal(index))
            }
            _ => None,
        }
    }

    fn ordinal(&self, index: usize) -> u64 {
        let place = u64::try_from(index).unwrap_or(u64::MAX);
        self.base.saturating_add(place).saturating_add(1)
    }
}
