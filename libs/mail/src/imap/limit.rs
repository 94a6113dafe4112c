use std::time::Duration;

use super::guard::Bounds;

/// Time limits of one session.
#[derive(Debug, Clone, Copy)]
pub struct ImapTimeouts {
    /// Name lookup, TCP and the TLS handshake.
    pub connect: Duration,
    /// The greeting, and each command until the session is signed in.
    pub sign_in: Duration,
    /// A command, from the first byte sent to its tagged reply.
    pub command: Duration,
    /// Pause between two reads of a fetch.
    pub silence: Duration,
    /// One fetched mail or slice as a whole, against servers that send a few bytes at a time.
    pub fetch_mail: Duration,
    /// The answer to `IDLE` and to `DONE`.
    pub idle_answer: Duration,
    /// LOGOUT and closing the connection, together.
    pub logout: Duration,
}

impl Default for ImapTimeouts {
    fn default() -> Self {
        Self {
            connect: Duration::from_secs(20),
            sign_in: Duration::from_secs(30),
            command: Duration::from_secs(90),
            silence: Duration::from_mins(1),
            fetch_mail: Duration::from_mins(5),
            idle_answer: Duration::from_secs(30),
            logout: Duration::from_secs(5),
        }
    }
}

/// Bounds on time and memory of one session.
#[derive(Debug, Clone, Copy)]
pub struct ImapLimits {
    pub timeouts: ImapTimeouts,
    /// Maximum bytes of a line; a search for ten thousand mails answers with about 110 KiB.
    pub line_bytes: usize,
    /// Maximum bytes of a literal outside of mail bodies, such as a folder name.
    pub literal_bytes: usize,
    /// Maximum folders that are listed.
    pub folders: usize,
}

impl Default for ImapLimits {
    fn default() -> Self {
        Self {
            timeouts: ImapTimeouts::default(),
            line_bytes: 256 * 1024,
            literal_bytes: 64 * 1024,
            folders: 10_000,
        }
    }
}

impl ImapLimits {
    pub(super) const fn bounds(&self) -> Bounds {
        self.bounds_with_body(0)
    }

    /// Returns the bounds under which a body of any length is read piece by piece.
    pub(super) const fn bounds_without_literal(&self) -> Bounds {
        Bounds {
            literal: 0,
            ..self.bounds()
        }
    }

    /// Returns the bounds while bodies of up to `body_bytes` are expected.
    pub(super) const fn bounds_with_body(&self, body_bytes: usize) -> Bounds {
        let literal_bytes = if body_bytes > self.literal_bytes {
            body_bytes
        } else {
            self.literal_bytes
        };
        Bounds {
            line: self.line_bytes,
            literal: literal_bytes,
            response: self.line_bytes.saturating_add(literal_bytes),
        }
    }
}
