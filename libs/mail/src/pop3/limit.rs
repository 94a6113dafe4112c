use std::time::Duration;

/// How long each wait may take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pop3Timeouts {
    /// Looking up, connecting, and agreeing on TLS.
    pub connect: Duration,
    /// The greeting, and each command until the session is signed in.
    pub sign_in: Duration,
    /// A command with a reply of one line.
    pub command: Duration,
    /// The whole of a listing.
    pub listing: Duration,
    /// Silence in the middle of a mail.
    pub silence: Duration,
    /// One fetched mail or slice, however steadily it trickles.
    pub fetch_mail: Duration,
    /// The answer to QUIT, before which the server deletes what was marked.
    pub quit: Duration,
}

impl Default for Pop3Timeouts {
    fn default() -> Self {
        Self {
            connect: Duration::from_secs(20),
            sign_in: Duration::from_secs(30),
            command: Duration::from_secs(90),
            listing: Duration::from_mins(5),
            silence: Duration::from_mins(1),
            fetch_mail: Duration::from_mins(5),
            quit: Duration::from_secs(30),
        }
    }
}

/// How much time and memory one session may take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pop3Limits {
    /// How long each wait may take.
    pub timeouts: Pop3Timeouts,
    /// The longest line of a reply or listing.
    pub line_bytes: usize,
    /// The most mails that one maildrop may list.
    pub mails: usize,
    /// The bytes that the unique ids of one listing may take together.
    pub uidl_bytes: usize,
    /// What is read of a mail that was given up half-way, so that the session can go on.
    pub drain_bytes: u64,
}

impl Default for Pop3Limits {
    fn default() -> Self {
        Self {
            timeouts: Pop3Timeouts::default(),
            line_bytes: 8 * 1024,
            mails: 500_000,
            uidl_bytes: 40 * 1024 * 1024,
            drain_bytes: 16 * 1024 * 1024,
        }
    }
}
