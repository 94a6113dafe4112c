use std::time::Duration;

use crate::pipelining::PipeliningRecord;

/// How to talk to a submission server.
#[derive(Debug, Clone)]
pub struct SmtpSettings {
    /// Client name in EHLO: a host name or an address literal.
    pub ehlo_name: String,
    pub timeouts: SmtpTimeouts,
    /// Shared by all connections, so that each learns from the others' failures.
    pub pipelining: PipeliningRecord,
}

impl Default for SmtpSettings {
    fn default() -> Self {
        Self {
            // Submission servers authenticate the user, not the name; one that is not a domain of ours is still refused.
            ehlo_name: "[127.0.0.1]".to_owned(),
            timeouts: SmtpTimeouts::default(),
            pipelining: PipeliningRecord::default(),
        }
    }
}

/// Time limits of one connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SmtpTimeouts {
    /// Name lookup, TCP and, for implicit TLS, the handshake; also the one after STARTTLS.
    pub connect: Duration,
    /// The greeting and every command up to DATA.
    pub command: Duration,
    /// One write of a block of content.
    pub block: Duration,
    /// All of a mail before its final dot, however many recipients and blocks it has.
    pub transaction: Duration,
    /// The reply to the final dot.
    pub commit: Duration,
}

impl Default for SmtpTimeouts {
    /// RFC 5321 §4.5.3.2 where waiting decides about a mail, shorter where another try costs nothing.
    fn default() -> Self {
        Self {
            connect: Duration::from_secs(30),
            command: Duration::from_mins(2),
            block: Duration::from_mins(3),
            transaction: Duration::from_mins(30),
            commit: Duration::from_mins(10),
        }
    }
}
