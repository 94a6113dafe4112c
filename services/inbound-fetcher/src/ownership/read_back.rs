use std::collections::HashMap;

use mailmesh_domain::{MailId, Position};
use mailmesh_store::mailbox::ReceivedMail;

/// What was read back for the place where a mail stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Comparison {
    /// No event.
    Unknown,
    /// The mail's own event.
    Same(MailId),
    /// An event of another content only, which has this fingerprint.
    Differs([u8; 32]),
}

/// Events that an earlier owner published and nobody recorded.
///
/// That an event names a place does not prove that the mail there is the one that it announced: the event may be forged, or
/// of a mailbox that was restored from a backup since. Each mail is fetched and compared.
#[derive(Debug, Default)]
pub(crate) struct ReadBackEvents {
    folders: HashMap<String, HashMap<Position, AnnouncedMails>>,
}

/// The mails that were announced for one place, with their fingerprints.
type AnnouncedMails = Vec<(MailId, [u8; 32])>;

impl ReadBackEvents {
    pub(crate) fn note(&mut self, mail: &ReceivedMail) {
        // Nothing but its content says which mail of a server without ids it is.
        if mail.position.is_nameless() {
            return;
        }
        let folder = self.folders.entry(mail.folder.clone()).or_default();
        let events = folder.entry(mail.position.clone()).or_default();
        events.push((mail.id, mail.sha256));
    }

    /// Compares a fetched mail with what was read back for its place. A difference is told once.
    pub(crate) fn compare(
        &mut self,
        folder: &str,
        position: &Position,
        sha256: &[u8; 32],
    ) -> Comparison {
        let Some(folder) = self.folders.get_mut(folder) else {
            return Comparison::Unknown;
        };
        let Some(events) = folder.get(position) else {
            return Comparison::Unknown;
        };
        if let Some((id, _)) = events.iter().find(|(_, other)| other == sha256) {
            return Comparison::Same(*id);
        }
        let other = events.first().map(|(_, other)| *other);
        folder.remove(position);
        other.map_or(Comparison::Unknown, Comparison::Differs)
    }

    /// Forgets a folder all of whose mails were dealt with.
    pub(crate) fn forget(&mut self, folder: &str) {
        self.folders.remove(folder);
    }
}

#[cfg(test)]
mod tests {
    use mailmesh_domain::AccountId;
    use uuid::Uuid;

    use super::*;

    fn published(uid: u32, content: u8) -> ReceivedMail {
        ReceivedMail {
            id: MailId::from_uuid(Uuid::from_u128(u128::from(content))),
            account_id: AccountId::from_uuid(Uuid::nil()),
            folder: "INBOX".to_owned(),
            position: imap(uid),
            ordinal: u64::from(uid),
            sha256: [content; 32],
            size_bytes: 1,
            chunks: 1,
            listed_bytes: None,
            is_post_action_due: false,
        }
    }

    const fn imap(uid: u32) -> Position {
        Position::imap(1, uid)
    }

    #[test]
    fn only_the_same_content_at_the_same_place_is_the_same_mail() {
        let mut events = ReadBackEvents::default();
        let (one, other) = (published(1, 1), published(1, 2));
        events.note(&one);
        events.note(&other);
        events.note(&published(2, 3));

        let mut compare = |folder, uid, content| events.compare(folder, &imap(uid), &[content; 32]);

        assert_eq!(compare("INBOX", 1, 1), Comparison::Same(one.id));
        assert_eq!(compare("INBOX", 1, 2), Comparison::Same(other.id));
        assert_eq!(compare("INBOX", 3, 3), Comparison::Unknown);
        assert_eq!(compare("Archive", 1, 1), Comparison::Unknown);
        assert_eq!(compare("INBOX", 2, 1), Comparison::Differs([3; 32]));
        assert_eq!(compare("INBOX", 2, 1), Comparison::Unknown);
    }
}
