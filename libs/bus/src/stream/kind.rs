use std::sync::LazyLock;
use std::time::Duration;

use async_nats::jetstream::stream::{
    Config, DiscardPolicy, Republish, RetentionPolicy, StorageType,
};
use mailmesh_events::subject::{
    DEAD_LETTERS_STREAM, EVENTS_STREAM, MAIL_RAW_STREAM, MAIL_SEND_STREAM, of_event,
};
use mailmesh_events::{COMMAND_NAMES, EVENT_NAMES};

use crate::settings::{Storage, StreamSettings};
use crate::subject::{Prefix, matches};

/// The streams of the mesh.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum StreamKind {
    /// Commands to send and to cancel: a work queue.
    MailSend,
    /// Every event, and the fences of the accounts.
    Events,
    /// What could not be handled, with the reason.
    DeadLetters,
    /// Raw mails, as they came from or go to the mail server.
    MailRaw,
}

impl StreamKind {
    /// All of them, in the order in which they are made.
    pub const ALL: [Self; 4] = [
        Self::Events,
        Self::MailSend,
        Self::DeadLetters,
        Self::MailRaw,
    ];

    /// Returns the stream's name without the prefix.
    pub const fn name(self) -> &'static str {
        match self {
            Self::MailSend => MAIL_SEND_STREAM,
            Self::Events => EVENTS_STREAM,
            Self::DeadLetters => DEAD_LETTERS_STREAM,
            Self::MailRaw => MAIL_RAW_STREAM,
        }
    }

    /// Returns its place in [`Self::ALL`].
    pub(crate) const fn index(self) -> usize {
        match self {
            Self::Events => 0,
            Self::MailSend => 1,
            Self::DeadLetters => 2,
            Self::MailRaw => 3,
        }
    }

    /// Says what is lost with the stream, and what is not.
    pub(super) const fn loss(self) -> &'static str {
        match self {
            Self::Events => {
                "events that no consumer had read; received mails are in the API, and in their mailboxes unless they are deleted there"
            }
            Self::MailSend => {
                "commands that were acknowledged to their senders and not yet accepted; accepted mails are in the database"
            }
            Self::DeadLetters => "copies of messages that could not be handled",
            Self::MailRaw => {
                "raw mails: queued mails fail with an event, received ones are in their mailboxes unless they are deleted there"
            }
        }
    }

    fn subjects(self) -> Vec<String> {
        match self {
            Self::MailSend => {
                let bare_and_keyed = |name: &&str| [(*name).to_owned(), of_event(name, "*")];
                COMMAND_NAMES.iter().flat_map(bare_and_keyed).collect()
            }
            Self::Events => event_subjects(),
            Self::DeadLetters => vec!["dead_letter.*".to_owned()],
            Self::MailRaw => vec!["raw.*.*".to_owned()],
        }
    }

    /// Returns the stream that takes what is published to a subject without the prefix.
    pub(crate) fn of(subject: &str) -> Option<Self> {
        static SUBJECTS: LazyLock<Vec<(StreamKind, Vec<String>)>> =
            LazyLock::new(|| StreamKind::ALL.map(|kind| (kind, kind.subjects())).into());
        let takes = |filters: &Vec<String>| filters.iter().any(|each| matches(each, subject));
        let stream = SUBJECTS.iter().find(|(_, filters)| takes(filters));
        stream.map(|(kind, _)| *kind)
    }

    /// Says whether we publish to it in batches: many small messages at once, all of them ours.
    pub(crate) const fn takes_batches(self) -> bool {
        matches!(self, Self::Events | Self::MailRaw)
    }

    pub(super) const fn limits(self, settings: &StreamSettings) -> (u64, u64) {
        match self {
            Self::MailSend => (settings.mail_send_max_bytes, 0),
            Self::Events => (settings.events_max_bytes, settings.events_max_age_seconds),
            Self::DeadLetters => (
                settings.dead_letters_max_bytes,
                settings.dead_letters_max_age_seconds,
            ),
            Self::MailRaw => (settings.raw_max_bytes, settings.raw_max_age_seconds),
        }
    }

    /// Writes what this stream must be into a configuration, and leaves the rest of it alone.
    pub(super) fn shape(self, config: &mut Config, settings: &StreamSettings, prefix: &Prefix) {
        let (max_bytes, max_age_seconds) = self.limits(settings);
        config.name = prefix.stream(self.name());
        // Never fewer: while versions change, an old process would take away what a new one publishes.
        for subject in self.subjects() {
            let subject = prefix.subject(&subject);
            if !config.subjects.contains(&subject) {
                config.subjects.push(subject);
            }
        }
        config.num_replicas = settings.replicas;
        config.storage = match settings.storage {
            Storage::File => StorageType::File,
            Storage::Memory => StorageType::Memory,
        };
        config.retention = match self {
            Self::MailSend => RetentionPolicy::WorkQueue,
            Self::Events | Self::DeadLetters | Self::MailRaw => RetentionPolicy::Limits,
        };
        config.max_bytes = match i64::try_from(max_bytes) {
            Ok(0) | Err(_) => -1,
            Ok(bytes) => bytes,
        };
        config.max_age = Duration::from_secs(max_age_seconds);
        config.max_messages = -1;
        // One message per chunk: a chunk that is sent again replaces the first.
        config.max_messages_per_subject = if self == Self::MailRaw { 1 } else { -1 };
        config.max_consumers = -1;
        // A full stream refuses new messages; it never drops unread ones.
        config.discard = DiscardPolicy::New;
        // The server refuses a window above the stream's max age, so `StreamSettings::validate` does first.
        config.duplicate_window = Duration::from_secs(settings.duplicate_window_seconds);
        config.allow_direct = true;
        config.allow_atomic_publish |= self.takes_batches();
        if self == Self::Events {
            // For fences: one message an account, which outlives the stream's max age.
            config.allow_message_ttl = true;
            config.allow_rollup = true;
            // Three tokens: an event `<a>.<b>.<key>` is republished on `<a>.<b>`; a fence has two and is not.
            config.republish = Some(Republish {
                source: prefix.subject("*.*.*"),
                destination: prefix.subject("{{wildcard(1)}}.{{wildcard(2)}}"),
                headers_only: false,
            });
        }
    }
}

/// A wildcard for each kind of event, so that a new event of a known kind needs no change of the stream.
fn event_subjects() -> Vec<String> {
    let mut subjects = vec!["fence.*".to_owned()];
    for name in EVENT_NAMES {
        let subject = match name.split_once('.') {
            // One by one: `mail.send.*` and `mail.cancel.*` belong to another stream.
            Some(("mail", _)) | None => of_event(name, "*"),
            Some((kind, _)) => format!("{kind}.*.*"),
        };
        if !subjects.contains(&subject) {
            subjects.push(subject);
        }
    }
    subjects
}
