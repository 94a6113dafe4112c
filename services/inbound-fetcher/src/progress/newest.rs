use std::collections::BTreeMap;

use mailmesh_store::mailbox::NewestMail;

use crate::prepare::WholeMail;

/// Mails that were read and lie beyond their folder's cursor.
#[derive(Debug, Default)]
pub(crate) struct NewestMails {
    folders: BTreeMap<String, BTreeMap<u64, NewestMail>>,
}

impl NewestMails {
    pub(crate) fn note(&mut self, folder: &str, mails: &[WholeMail]) {
        let read = mails.iter().map(|mail| {
            let newest = NewestMail {
                ordinal: mail.ordinal,
                received_at: mail.received_at,
                sha256: Some(mail.sha256),
            };
            (mail.ordinal, newest)
        });
        match self.folders.get_mut(folder) {
            Some(folder) => folder.extend(read),
            None => {
                self.folders.insert(folder.to_owned(), read.collect());
            }
        }
    }

    /// Returns the last of them that the cursor has come to, and forgets those before.
    pub(crate) fn take(&mut self, folder: &str, reached: u64) -> Option<NewestMail> {
        let mails = self.folders.get_mut(folder)?;
        let beyond = match reached.checked_add(1) {
            Some(first) => mails.split_off(&first),
            None => BTreeMap::new(),
        };
        let covered = std::mem::replace(mails, beyond);
        if mails.is_empty() {
            self.folders.remove(folder);
        }
        covered.into_values().next_back()
    }

    /// Forgets a folder whose numbering begins again.
    pub(crate) fn forget(&mut self, folder: &str) {
        self.folders.remove(folder);
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use mailmesh_domain::Position;

    use super::*;

    fn mail(uid: u32) -> WholeMail {
        WholeMail {
            ordinal: u64::from(uid),
            position: Position::imap(1, uid),
            received_at: None,
            flags: Vec::new(),
            sha256: [0; 32],
            bytes: 0,
            listed_bytes: None,
            head: Bytes::new(),
        }
    }

    #[test]
    fn newest_mail_is_the_last_up_to_the_cursor_in_whatever_order_they_were_read() {
        let mut newest = NewestMails::default();
        let ordinal = |mail: Option<NewestMail>| mail.map(|mail| mail.ordinal);

        newest.note("INBOX", &[mail(7), mail(3)]);
        newest.note("INBOX", &[mail(5)]);

        assert_eq!(ordinal(newest.take("INBOX", 2)), None);
        assert_eq!(ordinal(newest.take("INBOX", 6)), Some(5));
        assert_eq!(ordinal(newest.take("INBOX", 6)), None);
        assert_eq!(ordinal(newest.take("INBOX", u64::MAX)), Some(7));
        newest.note("INBOX", &[mail(9)]);
        newest.forget("INBOX");
        assert_eq!(ordinal(newest.take("INBOX", 9)), None);
    }
}
