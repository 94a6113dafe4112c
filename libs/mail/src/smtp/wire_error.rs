use std::io;

use mailmesh_domain::FailureCause;
use thiserror::Error;

/// A failure of the stream or of the reply syntax.
#[derive(Debug, Error)]
pub enum WireError {
    /// The stream failed.
    #[error("the connection failed")]
    Io {
        #[source]
        source: io::Error,
    },
    #[error("the server closed the connection")]
    Closed,
    /// The server did not answer, or did not take what we sent, in time.
    #[error("the server did not answer in time")]
    TimedOut,
    /// A reply line is longer than allowed.
    #[error("the server sent a line that is too long")]
    LineTooLong,
    /// A reply has more lines than allowed.
    #[error("the server sent a reply that is too long")]
    ReplyTooLong,
    #[error("the server sent something that is not an SMTP reply")]
    NotAReply,
    /// What answered speaks something else, so that port and protocol do not fit.
    #[error("the server speaks {spoken} on this port, not SMTP")]
    OtherProtocol {
        /// What it speaks.
        spoken: &'static str,
    },
    /// The server sent an unsolicited reply: later replies could be matched to the wrong command.
    #[error("the server sent a reply that nothing had asked for")]
    Unsolicited,
}

impl WireError {
    pub(super) const fn failure_cause(&self) -> FailureCause {
        match self {
            Self::Io { .. } | Self::Closed | Self::TimedOut => FailureCause::Transient,
            Self::OtherProtocol { .. } => FailureCause::OtherProtocol,
            Self::LineTooLong | Self::ReplyTooLong | Self::NotAReply | Self::Unsolicited => {
                FailureCause::Unknown
            }
        }
    }
}
