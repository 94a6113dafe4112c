use std::collections::BTreeMap;

/// What the stream holds of an account beyond its cursors.
///
/// The recorded sequence says from where the next owner reads back. It may therefore never pass an event whose mail lies
/// beyond its folder's cursor, or that mail would be published again.
#[derive(Debug, Default)]
pub(crate) struct PublishedIndex {
    folders: BTreeMap<String, BTreeMap<u64, PublishedEvent>>,
    last_sequence: u64,
}

/// The event of a mail.
#[derive(Debug, Clone, Copy)]
struct PublishedEvent {
    sequence: u64,
    /// Published by this owner, who saw the mail where the event says.
    is_own: bool,
}

impl PublishedIndex {
    /// Starts after the sequence up to which all is recorded and covered.
    pub(crate) fn starting_at(sequence: u64) -> Self {
        Self {
            folders: BTreeMap::new(),
            last_sequence: sequence,
        }
    }

    /// Notes a sequence of the account whose mail is covered.
    pub(crate) fn see(&mut self, sequence: u64) {
        self.last_sequence = self.last_sequence.max(sequence);
    }

    /// Notes an event that this owner published.
    pub(crate) fn note_own(&mut self, folder: &str, ordinal: u64, sequence: u64) {
        self.note(
            folder,
            ordinal,
            PublishedEvent {
                sequence,
                is_own: true,
            },
        );
    }

    /// Notes an event that was read back.
    pub(crate) fn note_read_back(&mut self, folder: &str, ordinal: u64, sequence: u64) {
        self.note(
            folder,
            ordinal,
            PublishedEvent {
                sequence,
                is_own: false,
            },
        );
    }

    fn note(&mut self, folder: &str, ordinal: u64, event: PublishedEvent) {
        self.see(event.sequence);
        match self.folders.get_mut(folder) {
            Some(mails) => mails.insert(ordinal, event),
            None => self
                .folders
                .entry(folder.to_owned())
                .or_default()
                .insert(ordinal, event),
        };
    }

    /// Returns whether this owner published the mail, so that it need not be fetched again.
    pub(crate) fn contains_own(&self, folder: &str, ordinal: u64) -> bool {
        let mails = self.folders.get(folder);
        let event = mails.and_then(|mails| mails.get(&ordinal));
        event.is_some_and(|event| event.is_own)
    }

    /// Forgets the events of a folder beyond `ordinal`, whose mails the server never had; returns how many there were.
    pub(crate) fn forget_beyond(&mut self, folder: &str, ordinal: u64) -> usize {
        let Some(mails) = self.folders.get_mut(folder) else {
            return 0;
        };
        let before = mails.len();
        mails.retain(|known, event| *known <= ordinal || event.is_own);
        let left = mails.len();
        if mails.is_empty() {
            self.folders.remove(folder);
        }
        before - left
    }

    /// Returns the highest ordinal of the folder that the stream holds beyond the cursor.
    pub(crate) fn last_ordinal(&self, folder: &str) -> Option<u64> {
        let mails = self.folders.get(folder)?;
        mails.last_key_value().map(|(ordinal, _)| *ordinal)
    }

    /// Notes that the folder's cursor has come to `ordinal`.
    pub(crate) fn cover(&mut self, folder: &str, ordinal: u64) {
        let Some(mails) = self.folders.get_mut(folder) else {
            return;
        };
        *mails = match ordinal.checked_add(1) {
            Some(first) => mails.split_off(&first),
            None => BTreeMap::new(),
        };
        if mails.is_empty() {
            self.folders.remove(folder);
        }
    }

    /// Forgets a folder whose mails are recorded by their fingerprints and were renumbered.
    pub(crate) fn forget(&mut self, folder: &str) {
        self.folders.remove(folder);
    }

    /// Returns the last sequence that the next owner need not read again.
    pub(crate) fn safe_sequence(&self) -> u64 {
        let uncovered = self.folders.values().flat_map(BTreeMap::values);
        uncovered
            .map(|event| event.sequence.saturating_sub(1))
            .min()
            .unwrap_or(self.last_sequence)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sequence_stays_before_the_first_event_beyond_a_cursor() {
        let mut published = PublishedIndex::starting_at(100);
        assert_eq!(published.safe_sequence(), 100);

        published.note_own("INBOX", 4, 104);
        published.note_own("INBOX", 5, 105);
        published.note_own("INBOX", 3, 110);
        published.cover("INBOX", 3);

        assert_eq!(published.safe_sequence(), 103);
        assert!(published.contains_own("INBOX", 4) && !published.contains_own("INBOX", 3));
        published.cover("INBOX", 5);
        assert_eq!(published.safe_sequence(), 110);
    }

    #[test]
    fn folders_hold_the_sequence_back_apart() {
        let mut published = PublishedIndex::starting_at(0);
        published.note_own("INBOX", 1, 7);
        published.note_read_back("Archive", u64::MAX, 9);

        published.cover("Archive", u64::MAX);
        assert_eq!(published.safe_sequence(), 6);
        assert_eq!(published.last_ordinal("INBOX"), Some(1));
        published.forget("INBOX");
        assert_eq!(published.safe_sequence(), 9);
        assert_eq!(published.last_ordinal("INBOX"), None);
    }

    #[test]
    fn read_back_mails_are_fetched_and_those_the_server_never_had_are_forgotten() {
        let mut published = PublishedIndex::starting_at(0);
        published.note_read_back("INBOX", 4, 7);
        published.note_read_back("INBOX", 4_000, 8);
        published.note_own("INBOX", 9, 9);

        assert!(!published.contains_own("INBOX", 4) && published.contains_own("INBOX", 9));
        assert_eq!(published.forget_beyond("INBOX", 5), 1);
        assert_eq!(published.last_ordinal("INBOX"), Some(9));
        published.cover("INBOX", 4);
        assert_eq!(published.safe_sequence(), 8);
    }
}
