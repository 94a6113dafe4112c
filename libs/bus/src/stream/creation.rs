use std::sync::{Mutex, PoisonError};

use time::OffsetDateTime;

use super::kind::StreamKind;

/// When each stream was made, as this process last saw it. A stream that somebody deletes and makes again between two looks is
/// told from the one before by nothing else.
#[derive(Debug, Default)]
pub(crate) struct StreamCreations(Mutex<[Option<OffsetDateTime>; StreamKind::ALL.len()]>);

impl StreamCreations {
    /// Notes what was seen; returns whether it is another stream than the one seen before.
    pub(super) fn note(&self, kind: StreamKind, created_at: OffsetDateTime) -> bool {
        self.replace(kind, Some(created_at))
            .is_some_and(|before| before != created_at)
    }

    /// Forgets a stream whose loss was told.
    pub(super) fn forget(&self, kind: StreamKind) {
        self.replace(kind, None);
    }

    fn replace(&self, kind: StreamKind, seen: Option<OffsetDateTime>) -> Option<OffsetDateTime> {
        let mut creations = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let place = creations.get_mut(kind.index())?;
        std::mem::replace(place, seen)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn only_a_stream_that_was_seen_and_is_another_now_is_anew() {
        let creations = StreamCreations::default();
        let (first, kind) = (OffsetDateTime::UNIX_EPOCH, StreamKind::MailSend);
        let second = first + Duration::from_secs(1);

        assert!(!creations.note(kind, first));
        assert!(!creations.note(kind, first));
        assert!(!creations.note(StreamKind::Events, second));
        assert!(creations.note(kind, second));
        assert!(!creations.note(kind, second));
        creations.forget(kind);
        assert!(!creations.note(kind, first));
    }
}
