use async_nats::ServerError;

/// A right that the server has refused to our user. Whoever waits for an answer sees only that none comes.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Denial {
    /// To publish.
    #[error("the NATS user may not publish to {subject}")]
    Publish { subject: String },
    /// To subscribe.
    #[error("the NATS user may not subscribe to {subject}")]
    Subscribe { subject: String },
    /// To subscribe to the answers of its own requests.
    #[error("the NATS user may not subscribe to {subject}, where its answers come")]
    Answers {
        subject: String,
        /// `nats.inbox_prefix` as it is set.
        inbox_prefix: String,
    },
}

impl Denial {
    pub(super) fn of(error: &ServerError, inbox_prefix: &str) -> Option<Self> {
        let ServerError::Other(text) = error else {
            return None;
        };
        let right = after(text, "permissions violation for ")?;
        if let Some(subject) = after(right, "publish to ") {
            let subject = unquoted(subject);
            return Some(Self::Publish { subject });
        }
        let subject = unquoted(after(right, "subscription to ")?);
        let inner = subject.strip_prefix(inbox_prefix);
        if inner.is_some_and(|rest| rest.starts_with('.')) {
            let inbox_prefix = inbox_prefix.to_owned();
            return Some(Self::Answers {
                subject,
                inbox_prefix,
            });
        }
        Some(Self::Subscribe { subject })
    }

    /// Says what whoever runs the servers should do.
    pub fn action(&self) -> String {
        match self {
            Self::Publish { .. } | Self::Subscribe { .. } => "Give this NATS user the right (docs/permissions.md), or name a user who has it in nats.credentials or nats.url.".to_owned(),
            Self::Answers { inbox_prefix, .. } => format!(
                "Set nats.inbox_prefix, which is {inbox_prefix:?}, to the one that the user's permissions name (docs/permissions.md)."
            ),
        }
    }
}

fn after<'a>(text: &'a str, start: &str) -> Option<&'a str> {
    let (found, rest) = text.split_at_checked(start.len())?;
    found.eq_ignore_ascii_case(start).then_some(rest)
}

/// Returns the subject, without the queue group that may follow it.
fn unquoted(text: &str) -> String {
    let mut parts = text.split('"');
    let first = parts.next().unwrap_or_default();
    let subject = if first.is_empty() { parts.next() } else { None };
    subject.unwrap_or(first.trim()).to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn denied_rights_are_told_from_other_errors() {
        let of = |text: &str| Denial::of(&ServerError::Other(text.to_owned()), "_INBOX_erp");
        let subject = "a".to_owned();

        let publish = of("Permissions Violation for Publish to \"a\"");
        assert_eq!(
            publish,
            Some(Denial::Publish {
                subject: "a".into()
            })
        );
        for text in ["\"a\"", "\"a\" using queue \"q\"", "a"] {
            let text = format!("permissions violation for subscription to {text}");
            let subject = subject.clone();
            assert_eq!(of(&text), Some(Denial::Subscribe { subject }), "{text}");
        }
        assert_eq!(of("Maximum Payload Violation"), None);
        assert_eq!(of("ä"), None);
        assert_eq!(
            Denial::of(&ServerError::AuthorizationViolation, "_INBOX"),
            None
        );
    }

    #[test]
    fn denied_answers_name_the_prefix() {
        let text = "Permissions Violation for Subscription to \"_INBOX.x1.*\"";
        let of = |prefix: &str| Denial::of(&ServerError::Other(text.to_owned()), prefix);

        let denied = of("_INBOX").unwrap();

        assert!(denied.action().contains("nats.inbox_prefix"), "{denied:?}");
        assert!(denied.action().contains("\"_INBOX\""), "{denied:?}");
        assert!(matches!(of("_INB"), Some(Denial::Subscribe { .. })));
    }
}
