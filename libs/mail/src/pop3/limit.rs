use std::time::Duration;

/// Time limits of one session.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pop3Timeouts {
    /// Name lookup, TCP and the TLS handshake.
    pub connect: Duration,
    /// The greeting, and each command until the session is signed in.
    pub sign_in: Duration,
    /// A command with a reply of one line.
    pub command: Duration,
    /// The whole of a listing.
    pub listing: Duration,
    /// Pause between two reads of a mail.
    pub silence: Duration,
    /// One fetched mail or slice as a whole, against servers that send a few bytes at a time.
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

/// Bounds on time and memory of one session.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pop3Limits {
    pub timeouts: Pop3Timeouts,
    /// Maximum bytes of a line of a reply or listing.
    pub line_bytes: usize,
    /// Maximum mails of a maildrop.
    pub mails: usize,
    /// Maximum bytes of all unique ids of one listing together.
    pub uidl_bytes: usize,
    /// Maximum bytes read and dropped of a mail that was given up half-way, so that the session can go on.
    pub drain_bytes: u64,
}

impl Default for Pop3Limits {
    fn default() -> Self {
        Self {
            timeouts: Pop3Timeouts::default(),
            line_bytes: 8 * 1024,
            mails: 500_000,
            // As many ids of 70 bytes each, RFC 1939's longest, take 34 MiB.
            uidl_bytes: 40 * 1024 * 1024,
            drain_bytes: 16 * 1024 * 1024,
        }
    }
}
