use std::sync::atomic::{AtomicU64, Ordering};

use serde::Serialize;

/// A number that grows, or a level that also falls.
#[derive(Debug, Default)]
pub(crate) struct Counter(AtomicU64);

impl Counter {
    pub(crate) fn increase(&self) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn decrease(&self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }

    pub(crate) fn add(&self, amount: usize) {
        self.0.fetch_add(amount as u64, Ordering::Relaxed);
    }

    fn read(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

macro_rules! counters {
    ($($(#[doc = $text:literal])* $name:ident,)*) => {
        /// What the mail servers did since they started.
        #[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
        pub struct MailCounters {
            $($(#[doc = $text])* pub $name: u64,)*
        }

        #[derive(Debug, Default)]
        pub(crate) struct Counters {
            $(pub(crate) $name: Counter,)*
        }

        impl Counters {
            pub(crate) fn read(&self) -> MailCounters {
                MailCounters { $($name: self.$name.read(),)* }
            }
        }
    };
}

counters! {
    /// IMAP connections open now.
    imap_connections,
    /// IMAP connections accepted so far.
    imap_connected,
    /// IMAP sessions that wait in IDLE now.
    imap_idling,
    /// IMAP sign-ins that succeeded.
    imap_sign_ins,
    /// IMAP sign-ins that were refused.
    imap_refused,
    /// IMAP commands read.
    imap_commands,
    /// Mail bodies, whole or in part, sent over IMAP.
    imap_bodies,
    /// POP3 connections open now.
    pop3_connections,
    /// POP3 connections accepted so far.
    pop3_connected,
    /// POP3 sign-ins that succeeded.
    pop3_sign_ins,
    /// POP3 sign-ins that were refused.
    pop3_refused,
    /// POP3 commands read.
    pop3_commands,
    /// Mails sent over POP3.
    pop3_retrieved,
    /// SMTP connections open now.
    smtp_connections,
    /// SMTP connections accepted so far.
    smtp_connected,
    /// SMTP sign-ins that succeeded.
    smtp_sign_ins,
    /// SMTP sign-ins that were refused.
    smtp_refused,
    /// SMTP commands read.
    smtp_commands,
    /// Mails accepted over SMTP.
    submitted,
    /// Their bytes.
    submitted_bytes,
    /// Mails put into an INBOX.
    delivered,
    /// Faults that struck on the mail side.
    faults,
}
