//! What becomes of one mail, in words, from its events.

use mailmesh_bus::Hint;
use mailmesh_domain::{MailId, OutboundState};
use mailmesh_events::mail::{
    MailCancelled, MailDeferred, MailFailed, MailRejected, MailRepeated, MailSent, MailUncertain,
    RecipientOutcome, RejectedCommand,
};
use mailmesh_events::{Event, Problem, decode_event};

/// The events that tell it.
pub(super) const EVENTS: [&str; 7] = [
    MailSent::NAME,
    MailDeferred::NAME,
    MailFailed::NAME,
    MailUncertain::NAME,
    MailRejected::NAME,
    MailRepeated::NAME,
    MailCancelled::NAME,
];

/// The mail that is waited for.
#[derive(Debug)]
pub(super) struct Watched {
    /// The sequence of its `mail.send`.
    pub(super) sequence: u64,
    /// The mail that the idempotency key was used for before, once that is known.
    pub(super) first: Option<MailId>,
}

/// What an event says of the mail.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    /// It is at the server, for all recipients.
    Sent(String),
    /// It is not, or not for all of them.
    NotSent(String),
    /// It goes on.
    Pending(String),
}

impl Watched {
    /// Returns what the event says of this mail; none if it is about another.
    pub(super) fn read(&mut self, event: &Hint) -> Option<Outcome> {
        let is_of = |name: &str| {
            let rest = event.subject.strip_prefix(name);
            rest.is_some_and(|rest| rest.starts_with('.'))
        };
        if is_of(MailSent::NAME) {
            let sent = decode::<MailSent>(event)?;
            return self
                .is_this(sent.mail_id, sent.stream_sequence)
                .then(|| told_sent(&sent));
        }
        if is_of(MailDeferred::NAME) {
            let deferred = decode::<MailDeferred>(event)?;
            let is_this = self.is_this(deferred.mail_id, deferred.stream_sequence);
            return is_this
                .then(|| Outcome::Pending(format!("waits: {}", told(&deferred.problem))));
        }
        if is_of(MailFailed::NAME) {
            let failed = decode::<MailFailed>(event)?;
            let is_this = self.is_this(failed.mail_id, failed.stream_sequence);
            return is_this.then(|| Outcome::NotSent(format!("failed: {}", told(&failed.problem))));
        }
        if is_of(MailUncertain::NAME) {
            let uncertain = decode::<MailUncertain>(event)?;
            let is_this = self.is_this(uncertain.mail_id, uncertain.stream_sequence);
            let text = || format!("uncertain: {}", told(&uncertain.problem));
            return is_this.then(|| Outcome::NotSent(text()));
        }
        if is_of(MailRejected::NAME) {
            let rejected = decode::<MailRejected>(event)?;
            let is_send = rejected.command == RejectedCommand::MailSend;
            let is_this = is_send && rejected.stream_sequence == self.sequence;
            return is_this.then(|| Outcome::NotSent(told_rejected(&rejected)));
        }
        if is_of(MailRepeated::NAME) {
            let repeated = decode::<MailRepeated>(event)?;
            let is_this = repeated.stream_sequence == self.sequence;
            return is_this.then(|| self.repeat(&repeated));
        }
        let cancelled = decode::<MailCancelled>(event)?;
        let is_this = self.is_this(cancelled.mail_id, cancelled.stream_sequence);
        is_this.then(|| Outcome::NotSent("cancelled: it was taken back".to_owned()))
    }

    fn is_this(&self, mail: MailId, sequence: Option<u64>) -> bool {
        sequence == Some(self.sequence) || self.first == Some(mail)
    }

    /// From now on the events of the first mail count.
    fn repeat(&mut self, repeated: &MailRepeated) -> Outcome {
        self.first = Some(repeated.mail_id);
        let text = format!(
            "repeated: the idempotency key was used before for the same mail, which is {}; nothing more is sent",
            repeated.state
        );
        match repeated.state {
            OutboundState::Queued | OutboundState::Sending => Outcome::Pending(text),
            OutboundState::Sent => Outcome::Sent(text),
            OutboundState::Failed | OutboundState::Uncertain | OutboundState::Cancelled => {
                Outcome::NotSent(text)
            }
        }
    }
}

fn decode<E: Event>(event: &Hint) -> Option<E> {
    let decoded = decode_event::<E>(&event.headers, &event.payload);
    decoded.ok().map(|event| event.data)
}

fn told_sent(sent: &MailSent) -> Outcome {
    let reply = &sent.reply;
    let refused: Vec<String> = sent
        .recipients
        .iter()
        .filter(|recipient| !recipient.accepted)
        .map(told_refused)
        .collect();
    if refused.is_empty() {
        return Outcome::Sent(format!("sent: the server answered {reply}"));
    }
    Outcome::NotSent(format!(
        "sent, but not to {}; the server answered {reply}",
        refused.join(", ")
    ))
}

fn told_refused(recipient: &RecipientOutcome) -> String {
    let reply = recipient.reply.as_deref().unwrap_or("refused");
    format!("{} ({reply})", recipient.address)
}

fn told_rejected(rejected: &MailRejected) -> String {
    match rejected.field.as_str() {
        "" => format!("rejected: {}", rejected.reason),
        field => format!("rejected: {field}: {}", rejected.reason),
    }
}

fn told(problem: &Problem) -> String {
    let text = format!("{}. {}", problem.what_with_code(), problem.action);
    text.trim_end().to_owned()
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    const MAIL: &str = "01890a5d-ac96-774b-bcce-b302099a8057";

    fn event(name: &str, mut data: Value) -> Hint {
        let fields = data.as_object_mut().unwrap();
        fields.insert("account".to_owned(), json!("out"));
        Hint {
            subject: format!("{name}.out"),
            headers: vec![("ce-type".to_owned(), format!("{name}.v1"))],
            payload: data.to_string().into(),
        }
    }

    fn sent(sequence: u64) -> Hint {
        let data = json!({
            "mail_id": MAIL, "stream_sequence": sequence, "message_id": "<a@b.c>", "reply": "250 ok",
            "attempts": 1, "sent_at": "2026-01-31T12:00:00Z",
            "recipients": [{"address": "a@b.c", "accepted": true}],
        });
        event("mail.sent", data)
    }

    fn watched() -> Watched {
        Watched {
            sequence: 7,
            first: None,
        }
    }

    #[test]
    fn the_outcome_of_another_mail_is_passed_over() {
        assert_eq!(watched().read(&sent(8)), None);
        assert_eq!(
            watched().read(&sent(7)),
            Some(Outcome::Sent("sent: the server answered 250 ok".to_owned()))
        );
        let cancel = json!({"field": "mail_id", "reason": "is not known", "stream_sequence": 7, "command": "mail.cancel"});
        assert_eq!(watched().read(&event("mail.rejected", cancel)), None);
    }

    #[test]
    fn a_recipient_that_is_refused_is_told() {
        let data = json!({
            "mail_id": MAIL, "stream_sequence": 7, "message_id": "<a@b.c>", "reply": "250 ok", "attempts": 1,
            "sent_at": "2026-01-31T12:00:00Z",
            "recipients": [{"address": "a@b.c", "accepted": true}, {"address": "x@b.c", "accepted": false, "reply": "550 no"}],
        });

        let Some(Outcome::NotSent(text)) = watched().read(&event("mail.sent", data)) else {
            panic!("it counts as sent")
        };
        assert!(text.contains("x@b.c (550 no)"), "{text}");
        assert!(!text.contains("not to a@b.c"), "{text}");
    }

    #[test]
    fn a_repeated_key_waits_for_the_first_mail() {
        let mut watched = watched();
        let data = json!({"mail_id": MAIL, "state": "queued", "stream_sequence": 7});

        let repeated = watched.read(&event("mail.repeated", data));

        assert!(
            matches!(repeated, Some(Outcome::Pending(_))),
            "{repeated:?}"
        );
        assert!(matches!(watched.read(&sent(3)), Some(Outcome::Sent(_))));
    }

    #[test]
    fn a_rejection_names_the_field() {
        let data = json!({"field": "to[1]", "reason": "is no address", "stream_sequence": 7});
        assert_eq!(
            watched().read(&event("mail.rejected", data)),
            Some(Outcome::NotSent(
                "rejected: to[1]: is no address".to_owned()
            ))
        );
    }
}
