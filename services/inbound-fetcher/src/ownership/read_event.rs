use mailmesh_bus::{PROOF_HEADER, StoredMessage};
use mailmesh_domain::{AccountId, AfterReceive, MailId};
use mailmesh_events::decode_event;
use mailmesh_events::mail::{MailReceived, Origin};
use mailmesh_secrets::EventProofKeys;
use mailmesh_store::mailbox::ReceivedMail;
use time::OffsetDateTime;

use crate::mail_id::{derive, from_hex};

/// What is read back of an account's subject.
#[derive(Debug)]
pub(crate) enum ReadEvent {
    /// One of the account's mails.
    Mail(Box<ReceivedMail>),
    /// Of another account that had the same key before, or of a publisher who does not pose as us.
    Other,
    /// It bears our name, and does not count.
    SetAside(UntrustedEvent),
}

/// Why an event under our own name does not count.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum UntrustedEvent {
    #[error("it cannot be decoded")]
    Undecodable,
    #[error("it carries no proof that a service published it")]
    Unproved,
    #[error("its proof is not of this event, or made with a key that is not in the key file")]
    FalseProof,
}

/// Tells the events of the services from those of others.
#[derive(Debug)]
pub(crate) struct EventReader<'a> {
    /// The CloudEvents source of our events.
    pub(crate) source: &'a str,
    pub(crate) proofs: &'a EventProofKeys,
    /// Events that the stream stored before need no proof.
    pub(crate) demanded_from: OffsetDateTime,
}

impl EventReader<'_> {
    pub(crate) fn read(
        &self,
        account: AccountId,
        after_receive: AfterReceive,
        stored: &StoredMessage,
    ) -> ReadEvent {
        let event = match decode_event::<MailReceived>(&stored.headers, &stored.payload) {
            Ok(event) => event.data,
            Err(_) if self.is_ours(stored) => {
                return ReadEvent::SetAside(UntrustedEvent::Undecodable);
            }
            Err(_) => return ReadEvent::Other,
        };
        let Some(mail) = from_event(account, after_receive, event) else {
            return ReadEvent::Other;
        };
        match self.prove(stored) {
            Ok(()) => ReadEvent::Mail(Box::new(mail)),
            Err(doubt) => ReadEvent::SetAside(doubt),
        }
    }

    fn is_ours(&self, stored: &StoredMessage) -> bool {
        let mut sources = values(stored, "ce-source");
        sources.any(|source| source == self.source)
    }

    fn prove(&self, stored: &StoredMessage) -> Result<(), UntrustedEvent> {
        let id = values(stored, "ce-id").next().unwrap_or_default();
        let mut proofs = values(stored, PROOF_HEADER).peekable();
        if proofs.peek().is_none() {
            // The stream's own time: a publisher cannot choose it.
            let is_older = stored.stored_at.is_some_and(|at| at < self.demanded_from);
            return is_older.then_some(()).ok_or(UntrustedEvent::Unproved);
        }
        let (subject, body) = (stored.subject.as_str(), stored.payload.as_ref());
        let is_proved = proofs.any(|proof| self.proofs.verify(subject, id, body, proof));
        is_proved.then_some(()).ok_or(UntrustedEvent::FalseProof)
    }
}

fn values<'a>(stored: &'a StoredMessage, wanted: &'a str) -> impl Iterator<Item = &'a str> {
    let headers = stored.headers.iter();
    headers
        .filter(move |(name, _)| name.eq_ignore_ascii_case(wanted))
        .map(|(_, value)| value.as_str())
}

fn from_event(
    account_id: AccountId,
    after_receive: AfterReceive,
    event: MailReceived,
) -> Option<ReceivedMail> {
    let sha256 = from_hex(&event.raw.sha256)?;
    let Origin { folder, position } = event.origin;
    let id: MailId = derive(account_id, &folder, &position, &sha256);
    (id == event.mail_id).then_some(ReceivedMail {
        id,
        account_id,
        folder,
        ordinal: position.ordinal().unwrap_or_default(),
        position,
        sha256,
        size_bytes: event.raw.bytes,
        chunks: event.raw.chunks,
        listed_bytes: None,
        is_post_action_due: after_receive != AfterReceive::Keep,
    })
}

#[cfg(test)]
mod tests {
    use mailmesh_domain::{Clock, Position, SystemClock};
    use mailmesh_secrets::OpeningKeys;
    use serde_json::{Value, json};
    use time::Duration;

    use super::*;

    const SOURCE: &str = "mailmesh/inbound-fetcher";
    const SUBJECT: &str = "mail.received.support";

    struct World {
        account: AccountId,
        keys: OpeningKeys,
        demanded_from: OffsetDateTime,
    }

    impl World {
        fn new() -> Self {
            Self {
                account: AccountId::generate(&SystemClock),
                keys: OpeningKeys::generate().unwrap(),
                demanded_from: SystemClock.now(),
            }
        }

        fn body(&self) -> Value {
            let position = Position::imap(1, 7);
            json!({
                "mail_id": derive(self.account, "INBOX", &position, &[7; 32]),
                "account": "support",
                "origin": {"folder": "INBOX", "position": {"imap": {"uid_validity": 1, "uid": 7}}},
                "raw": {"stream": "MAIL_RAW", "subject": "raw.x", "chunks": 1, "bytes": 3,
                        "sha256": "07".repeat(32)},
            })
        }

        fn stored(&self, body: &Value) -> StoredMessage {
            let id = body["mail_id"].as_str().unwrap_or_default();
            StoredMessage {
                sequence: 1,
                subject: SUBJECT.to_owned(),
                headers: [
                    ("ce-type", "mail.received.v1"),
                    ("ce-id", id),
                    ("ce-source", SOURCE),
                ]
                .map(|(name, value)| (name.to_owned(), value.to_owned()))
                .into(),
                payload: body.to_string().into(),
                stored_at: Some(self.demanded_from + Duration::SECOND),
            }
        }

        fn read(&self, stored: &StoredMessage) -> ReadEvent {
            let reader = EventReader {
                source: SOURCE,
                proofs: &self.keys.event_proofs().unwrap(),
                demanded_from: self.demanded_from,
            };
            reader.read(self.account, AfterReceive::Keep, stored)
        }
    }

    fn prove(stored: &mut StoredMessage, keys: &OpeningKeys) {
        let id = values(stored, "ce-id").next().unwrap().to_owned();
        let proofs = keys.event_proofs().unwrap();
        let proof = proofs.prove(&stored.subject, &id, &stored.payload).unwrap();
        stored.headers.push((PROOF_HEADER.to_owned(), proof));
    }

    #[test]
    fn an_event_counts_with_a_proof_of_any_of_the_keys() {
        let mut world = World::new();
        let mut stored = world.stored(&world.body());
        prove(&mut stored, &world.keys);
        assert!(matches!(world.read(&stored), ReadEvent::Mail(mail) if mail.ordinal == 7));

        world.keys = world.keys.add().unwrap().promote().unwrap();
        assert!(matches!(world.read(&stored), ReadEvent::Mail(_)));
    }

    #[test]
    fn a_forged_event_is_set_aside_with_the_reason() {
        let world = World::new();
        let unproved = world.stored(&world.body());
        let mut of_stranger = unproved.clone();
        prove(&mut of_stranger, &OpeningKeys::generate().unwrap());
        let mut of_another = unproved.clone();
        prove(&mut of_another, &world.keys);
        of_another.payload = {
            let mut body = world.body();
            body["subject"] = json!("another");
            body.to_string().into()
        };
        let mut moved = unproved.clone();
        moved.subject = "mail.received.other".to_owned();
        prove(&mut moved, &world.keys);
        moved.subject = SUBJECT.to_owned();
        let undecodable = StoredMessage {
            payload: "not JSON".into(),
            ..unproved.clone()
        };

        for (stored, expected) in [
            (&unproved, UntrustedEvent::Unproved),
            (&of_stranger, UntrustedEvent::FalseProof),
            (&of_another, UntrustedEvent::FalseProof),
            (&moved, UntrustedEvent::FalseProof),
            (&undecodable, UntrustedEvent::Undecodable),
        ] {
            let read = world.read(stored);
            assert!(
                matches!(read, ReadEvent::SetAside(doubt) if doubt == expected),
                "{expected}: {read:?}"
            );
        }
    }

    #[test]
    fn events_from_before_the_proofs_count_without_one() {
        let world = World::new();
        let mut stored = world.stored(&world.body());

        stored.stored_at = Some(world.demanded_from - Duration::SECOND);
        assert!(matches!(world.read(&stored), ReadEvent::Mail(_)));
        stored.stored_at = None;
        assert!(matches!(world.read(&stored), ReadEvent::SetAside(_)));
    }

    #[test]
    fn what_others_publish_is_passed_over() {
        let world = World::new();
        let mut stored = world.stored(&json!({"mine": true}));
        stored.headers = vec![("ce-source".to_owned(), "erp".to_owned())];
        assert!(matches!(world.read(&stored), ReadEvent::Other));

        let mut body = world.body();
        body["mail_id"] = json!("01a22d76-caf4-73de-a58d-266d8471569e");
        assert!(matches!(world.read(&world.stored(&body)), ReadEvent::Other));
    }
}
