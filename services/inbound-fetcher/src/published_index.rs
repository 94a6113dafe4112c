use std::collections::BTreeMap;

/// What the stream holds of an account beyond its cursors.
///
/// The recorded sequence says from where the next owner reads back. It may therefore never pass an event whose mail lies
/// beyond its folder's cursor, or that mail would be published again.
#[derive(Debug, Default)]
pub(crate) struct PublishedIndex {
    /// The sequence of each mail's event.
    folders: BTreeMap<String, BTreeMap<u64, u64>>,
    last_sequence: u64,
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

    /// Notes an event that the stream holds.
    pub(crate) fn note(&mut self, folder: &str, ordinal: u64, sequence: u64) {
        self.see(sequence);
        match self.folders.get_mut(folder) {
            Some(mails) => mails.insert(ordinal, sequence),
            None => self
                .folders
                .entry(folder.to_owned())
                .or_default()
                .insert(ordinal, sequence),
        };
    }

    pub(crate) fn contains(&self, folder: &str, ordinal: u64) -> bool {
        self.folders
            .get(folder)
            .is_some_and(|mails| mails.contains_key(&ordinal))
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
            .map(|sequence| sequence.saturating_sub(1))
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

        published.note("INBOX", 4, 104);
        published.note("INBOX", 5, 105);
        published.note("INBOX", 3, 110);
        published.cover("INBOX", 3);

        assert_eq!(published.safe_sequence(), 103);
        assert!(published.contains("INBOX", 4) && !published.contains("INBOX", 3));
        published.cover("INBOX", 5);
        assert_eq!(published.safe_sequence(), 110);
    }

    #[test]
    fn folders_hold_the_sequence_back_apart() {
        let mut published = PublishedIndex::starting_at(0);
        published.note("INBOX", 1, 7);
        published.note("Archive", u64::MAX, 9);

        published.cover("Archive", u64::MAX);
        assert_eq!(published.safe_sequence(), 6);
        assert_eq!(published.last_ordinal("INBOX"), Some(1));
        published.forget("INBOX");
        assert_eq!(published.safe_sequence(), 9);
        assert_eq!(published.last_ordinal("INBOX"), None);
    }
}
